r"""The weights of a partition in memory, group after group.

**Running sums on two levels: of blocks of events, and within a block.**

The event with :math:`\sum_{j < i} w_j \le t < \sum_{j \le i} w_j` is found by a search among the
blocks and a walk through one of them. Running sums of all events, many times larger, are neither
calculated nor kept.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.analysis.response import EventResponse, ResponseModel
from madminer.analysis.sums import NuisanceSums, ResponseBatch, accumulate_nuisance_sums
from madminer.analysis.weights import ParameterPoints
from madminer.blocks import row_blocks
from madminer.errors import OutputError
from madminer.progress import track
from madminer.sampling.options import bootstrap_counts
from madminer.typing import BoolArray, FloatArray, IntArray

_LENGTH = 8  # events in a block
_BLOCKS = 1 << 16  # blocks summed up at once


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Running sums of each column of weights.

    Args:
        weights: Weights, contiguous in memory or mapped, shape ``(n_events, n_columns)``.
        absolute: Whether absolute values are summed up, which without it must not be negative for
            `find`.
        length: Events in a block; a larger one takes less memory and more time.

    Examples:
        >>> running = RunningSums(np.array([[1.0], [2.0], [4.0]]))
        >>> running.before(np.array([0, 2, 3])).ravel()
        array([0., 3., 7.])
        >>> running.find(np.array([0.5, 1.0, 6.9]), np.array([0, 0, 0]))
        array([0, 1, 2])
    """

    weights: FloatArray
    absolute: bool = False
    length: int = _LENGTH

    @cached_property
    def blocks(self) -> FloatArray:
        """Sums of all blocks before each block and the end, shape ``(n_columns, n_blocks + 1)``."""
        n_events, n_columns = self.weights.shape
        n_full = n_events // self.length
        running = np.zeros((n_columns, -(-n_events // self.length) + 1))
        ones = np.tile(np.eye(n_columns), (self.length, 1))
        for start in range(0, n_full, _BLOCKS):
            stop = min(start + _BLOCKS, n_full)
            rows = self._signed(self.weights[start * self.length : stop * self.length])
            blocks = rows.reshape(stop - start, self.length * n_columns)
            running[:, start + 1 : stop + 1] = (blocks @ ones).T
        if n_events > n_full * self.length:
            running[:, -1] = self._signed(self.weights[n_full * self.length :]).sum(axis=0)
        return np.cumsum(running, axis=1, out=running)

    def before(self, events: IntArray) -> FloatArray:
        """Sums of the weights of all events before some events, shape ``(n, n_columns)``."""
        starts = events - events % self.length
        within = [
            self._signed(self.weights[start:event]).sum(axis=0)
            for start, event in zip(starts, events, strict=True)
        ]
        sums: FloatArray = self.blocks[:, starts // self.length].T + np.array(within)
        return sums

    def find(self, targets: FloatArray, columns: IntArray) -> IntArray:
        """Events at which running sums of columns pass the targets.

        Rounding may move a target at the edge of an event to its neighbour.
        """
        found = np.empty(len(targets), dtype=np.int64)
        for column in range(self.weights.shape[1]):
            at = np.flatnonzero(columns == column)
            at = at[np.argsort(targets[at])]  # neighbours in memory are found much faster
            found[at] = self._find_in(column, targets[at])
        return found

    def _find_in(self, column: int, targets: FloatArray) -> IntArray:
        n_events, n_columns = self.weights.shape
        before = self.blocks[column]
        blocks = np.searchsorted(before, targets, side="right") - 1
        rest = targets - before[blocks]
        events = blocks * self.length
        places, flat = events * n_columns + column, self.weights.ravel()
        for _ in range(self.length - 1):  # beyond the last event it does not matter
            rest -= self._signed(np.take(flat, places, mode="clip"))
            events += rest >= 0.0
            places += n_columns
        np.minimum(events, n_events - 1, out=events)
        return events

    def _signed(self, values: FloatArray) -> FloatArray:
        return np.abs(values) if self.absolute else values


_ROWS = 1_000_000  # whose weights are read at once
_CHUNK = 1 << 16
_MAPPED_LENGTH = 64  # events in a block of running sums, where weights do not fit into memory
_QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights of events, those of one group together.

    Args:
        rows: Row of each event in the file, shape ``(n_events,)``.
        edges: First event of each group, and the number of events, shape ``(n_groups + 1,)``.
        weights: Weights in pb, contiguous in memory or mapped to a file, shape
            ``(n_events, n_benchmarks)``.
        model: Response to nuisance parameters.
        parents: Group of the file, see `madminer.analysis.partitions`, that each group belongs to,
            shape ``(n_groups,)``; None: the same.
        bounds: Smallest linear, largest linear and largest quadratic coefficients of the responses
            in each group, shape ``(3, n_groups, v)``; None where groups are not `stratified`.
        n_groups_of_file: Number of groups of the file; None: the same.
    """

    rows: IntArray
    edges: IntArray
    weights: FloatArray
    model: ResponseModel = field(default_factory=lambda: ResponseModel((), ()))
    parents: IntArray | None = None
    bounds: FloatArray | None = None
    n_groups_of_file: int | None = None

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.edges) - 1

    @cached_property
    def groups(self) -> IntArray:
        """Group of each event, in rising order, shape ``(n_events,)``."""
        return np.repeat(np.arange(self.n_groups, dtype=np.int16), np.diff(self.edges))

    @cached_property
    def is_signed(self) -> bool:
        """Whether any weight is negative."""
        return bool(np.min(self.weights, initial=0.0) < 0.0)

    @cached_property
    def n_negative(self) -> int:
        """Number of events with a negative weight at any benchmark."""
        parts = (self.weights[i : i + _CHUNK] for i in range(0, len(self), _CHUNK))
        return sum(int(np.count_nonzero(part.min(axis=1) < 0.0)) for part in parts)

    @cached_property
    def running(self) -> RunningSums:
        """Running sums of the absolute weights."""
        return self._running(absolute=self.is_signed)

    @cached_property
    def absolute_sums(self) -> FloatArray:
        """Sums of the absolute weights of each group, shape ``(n_groups, n_benchmarks)``."""
        return np.diff(self.running.before(self.edges), axis=0)

    @cached_property
    def sums(self) -> FloatArray:
        """Sums of the weights of each group, shape ``(n_groups, n_benchmarks)``."""
        if not self.is_signed:
            return self.absolute_sums
        return np.diff(self._running(absolute=False).before(self.edges), axis=0)

    def _running(self, *, absolute: bool) -> RunningSums:
        length = _MAPPED_LENGTH if isinstance(self.weights, np.memmap) else _LENGTH
        return RunningSums(self.weights, absolute, length)

    @cached_property
    def file_sums(self) -> FloatArray:
        """Sums of the weights of each group of the file, shape ``(n_file_groups, b)``."""
        if self.parents is None:
            return self.sums
        total = np.zeros((self.n_file_groups, self.sums.shape[1]))
        np.add.at(total, self.parents, self.sums)
        return total

    @property
    def n_file_groups(self) -> int:
        """Number of groups of the file."""
        return self.n_groups if self.n_groups_of_file is None else self.n_groups_of_file

    def spread(self, factors: FloatArray) -> FloatArray:
        """Factors of the groups of the file as factors of the groups of this table."""
        return factors if self.parents is None else factors[:, self.parents]

    def batches(self) -> Iterator[ResponseBatch]:
        """Successive events and their groups."""
        for start in range(0, len(self), _CHUNK):
            some = slice(start, start + _CHUNK)
            yield EventResponse.of(self.model, self.weights[some]), self.groups[some]

    def factors(self, point: ParameterPoints) -> FloatArray:
        """Factors f(nu) of all events at one point, shape ``(n_events,)``."""
        return np.concatenate([response.factors(point)[0] for response, _ in self.batches()])

    def log_factor_bounds(self, nus: FloatArray) -> FloatArray:
        """Values that log f(nu) of no event of a group exceeds, shape ``(n_points, n_groups)``.

        The response must not depend on theta, and the groups must be `stratified`.
        """
        if self.bounds is None:
            raise RuntimeError("The groups of this table have no bounds.")
        low, high, quadratic = self.bounds
        linear: FloatArray = np.maximum(nus, 0.0) @ high.T + np.minimum(nus, 0.0) @ low.T
        linear += nus**2 @ quadratic.T
        return linear

    def nuisance_sums(self, points: ParameterPoints, *, with_slopes: bool) -> NuisanceSums:
        """Sums over the groups of the file at points with different sums, in one pass."""
        groups = self.batches()
        if self.parents is not None:
            parents = self.parents
            groups = ((response, parents[own]) for response, own in groups)
        return accumulate_nuisance_sums(
            groups, self.model, points, self.n_file_groups, with_slopes=with_slopes
        )


def read_table(
    analyzer: DataAnalyzer,
    start: int,
    stop: int,
    bootstrap: int | None,
    wanted: BoolArray,
    memory_limit: float,
) -> WeightTable:
    """Read weights of the groups that are wanted, in some rows, once from beginning to end."""

    def groups_and_times(block: slice) -> tuple[IntArray, IntArray]:
        """Group of each event, and how often it is in the bootstrap."""
        times = bootstrap_counts(bootstrap, np.arange(block.start, block.stop))
        return analyzer._groups(block.start, block.stop), times

    def numbers(block: slice) -> IntArray:
        groups, times = groups_and_times(block)
        return np.bincount(groups[times > 0], minlength=len(wanted)) * wanted

    blocks = [slice(start + b.start, start + b.stop) for b in row_blocks(stop - start, _ROWS)]
    counts = [numbers(block) for block in blocks]
    edges = np.append(0, np.cumsum(np.sum(counts, axis=0)))
    firsts = edges[:-1] + np.cumsum(counts, axis=0) - counts
    positions = np.empty(edges[-1], dtype=np.int64)
    weights = empty_weights((len(positions), analyzer.n_benchmarks), memory_limit)
    for block, first, count in zip(track(blocks, "Reading weights"), firsts, counts, strict=True):
        read = analyzer.event_file.read_weights(block.start, block.stop)
        groups, times = groups_and_times(block)
        for group in np.flatnonzero(count):
            mine = np.flatnonzero((groups == group) & (times > 0))
            at = slice(first[group], first[group] + len(mine))
            positions[at] = block.start + mine
            np.take(read[:, : analyzer.n_benchmarks], mine, axis=0, out=weights[at], mode="clip")
            if bootstrap is not None:
                weights[at] *= times[mine, np.newaxis]
    return WeightTable(rows=positions, edges=edges, weights=weights, model=analyzer.response)


def stratified(table: WeightTable) -> WeightTable:
    """Divide groups into classes of events with similar responses to nuisance parameters.

    Few events with large responses then do not spoil the bounds for all others.
    """
    spread = np.concatenate([_deviation(response) for response, _ in table.batches()])
    orders, parents, sizes = [], [], []
    for group in range(table.n_groups):
        events = np.arange(table.edges[group], table.edges[group + 1])
        if not len(events):
            continue
        limits = np.unique(np.quantile(spread[events], _QUANTILES))
        classes = np.searchsorted(limits, spread[events])
        for number in np.unique(classes):
            members = events[classes == number]
            orders.append(members)
            parents.append(group)
            sizes.append(len(members))
    order = np.concatenate(orders)
    if isinstance(table.weights, np.memmap):
        weights = empty_weights(table.weights.shape, memory_limit=0.0)
        for start in range(0, len(order), _CHUNK):
            some = slice(start, start + _CHUNK)
            weights[some] = table.weights[order[some]]
    else:
        weights = table.weights[order]
    result = replace(
        table,
        rows=table.rows[order],
        weights=weights,
        edges=np.append(0, np.cumsum(sizes)),
        parents=np.array(parents),
        n_groups_of_file=table.n_groups,
    )
    return replace(result, bounds=_bounds(result))


def empty_weights(shape: tuple[int, ...], memory_limit: float) -> FloatArray:
    """Make room for weights: in memory, or in a temporary file that vanishes with the array.

    Raises:
        OutputError: If there is no space for the file.
    """
    size = 8 * math.prod(shape)
    if size <= memory_limit or size == 0:
        return np.empty(shape)
    try:
        with tempfile.TemporaryFile(prefix="madminer-") as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"{size / 1e9:.3g} GB of weights do not fit into the memory_limit of "
            f"{memory_limit / 1e9:.3g} GB, nor into a file in {tempfile.gettempdir()} ({error}). "
            f"Raise memory_limit, or set TMPDIR to a folder with space."
        ) from error


def _deviation(response: EventResponse) -> FloatArray:
    """How much the responses of events differ from none, shape ``(n,)``."""
    deviation: FloatArray = (np.abs(response.a) + np.abs(response.b)).max(axis=1, initial=0.0)
    return np.round(deviation, 12)  # rounding must not divide equal responses


def _bounds(table: WeightTable) -> FloatArray:
    bounds = np.full((3, table.n_groups, len(table.model.columns)), -np.inf)
    bounds[0] = np.inf
    for response, groups in table.batches():
        for group in np.unique(groups):
            a, b = response.a[groups == group], response.b[groups == group]
            bounds[0, group] = np.minimum(bounds[0, group], a.min(axis=0))
            bounds[1, group] = np.maximum(bounds[1, group], a.max(axis=0))
            bounds[2, group] = np.maximum(bounds[2, group], b.max(axis=0))
    return bounds
