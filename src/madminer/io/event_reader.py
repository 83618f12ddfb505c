"""Reading event files in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.errors import (
    DataError,
    FileChangedError,
    FileFormatError,
    MissingWeightsError,
    OptionError,
)
from madminer.io.events import LARGEST_WEIGHT, Events, EventSummary, all_finite, describe_not_finite
from madminer.io.opened import OpenedFile
from madminer.io.schema import (
    BACKGROUND_EVENTS,
    OBSERVATIONS,
    OLD_SIGNAL_EVENTS,
    SAMPLING_BENCHMARKS,
    SIGNAL_EVENTS,
    WEIGHTS,
    HDF5Reader,
)
from madminer.io.setup_file import read_setup_group
from madminer.io.stored_events import Rows, StoredEvents
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray, StrPath

BLOCK_BYTES = 2**22
"""Part of a file that is read at once where many of its rows are wanted."""

CHUNKED_BLOCK_ROWS = 65_536
"""Rows of a chunked dataset read at once; bounds the memory."""

GAP_ROWS = 2_048
"""Rows of a chunked dataset that it is cheaper to read than to skip."""

READ_BYTES = 2**15
"""Bytes that are read in the time that it takes to ask for them."""


def read_rows(dataset: h5py.Dataset, start: int, stop: int, file: OpenedFile) -> NDArray[Any]:
    """Read consecutive rows of an HDF5 dataset.

    Args:
        dataset: HDF5 dataset, shape ``(n, ...)``.
        start: First row.
        stop: Row behind the last one, at most `n`.
        file: The file that the dataset is in.

    Returns:
        The rows, shape ``(stop - start, ...)``.
    """
    if not _is_one_piece(dataset):
        rows: NDArray[Any] = dataset[start:stop]
        return rows
    rows = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        file.read_at(dataset.id.get_offset() + start * rows[0].nbytes, rows)
    return rows


def gather_rows(dataset: h5py.Dataset, indices: IntArray, file: OpenedFile) -> NDArray[Any]:
    """Read chosen rows of an HDF5 dataset.

    Blocks of the file are read and rows picked in memory; where few rows of a block are wanted,
    only these. That is far faster than h5py's own selection by index, and allows any order and
    repetitions. Beside the result, the memory is bounded, and never is the file mapped to it: what
    another process cuts from a mapped file ends this one.

    Args:
        dataset: HDF5 dataset, shape ``(n, ...)``.
        indices: Row numbers, shape ``(m,)``.
        file: The file that the dataset is in.

    Returns:
        The rows in the order of `indices`, shape ``(m, ...)``.

    Raises:
        OptionError: If there is no such row.
    """
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(dataset):
        raise OptionError(
            f"Rows 0 to {len(dataset) - 1} can be read, but rows {indices.min()} to "
            f"{indices.max()} were asked for."
        )
    if not _is_one_piece(dataset):
        return _gather_blocks(dataset, indices)
    rows = np.empty((len(indices), *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        row = np.dtype((np.void, rows[0].nbytes))  # one element a row, which is copied as a whole
        _gather_pieces(dataset, indices, file, rows.reshape(len(rows), -1).view(row)[:, 0])
    return rows


def _gather_pieces(
    dataset: h5py.Dataset, indices: IntArray, file: OpenedFile, rows: NDArray[np.void]
) -> None:
    """Fill `rows` from a dataset in one piece, block by block."""
    n_block = max(BLOCK_BYTES // rows.itemsize, 1)
    blocks = (indices // n_block).astype(np.min_scalar_type(len(dataset) // n_block))
    if np.all(blocks[1:] >= blocks[:-1]):
        _gather_ordered(dataset, indices, blocks, file, rows)
        return
    order = np.argsort(blocks, kind="stable")
    ordered = np.empty_like(rows)
    _gather_ordered(dataset, indices[order], blocks[order], file, ordered)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    np.take(ordered, places, out=rows, mode="clip")  # faster than to assign in this order


def _gather_ordered(
    dataset: h5py.Dataset,
    indices: IntArray,
    blocks: IntArray,
    file: OpenedFile,
    rows: NDArray[np.void],
) -> None:
    """Fill `rows` with those of one block after the other."""
    size, offset = rows.itemsize, dataset.id.get_offset()
    buffer = np.empty(max(BLOCK_BYTES // size, 1), rows.dtype)
    edges = np.flatnonzero(blocks[1:] != blocks[:-1]) + 1
    for first, last in pairwise([0, *edges.tolist(), len(blocks)]):
        wanted = indices[first:last]
        if len(wanted) * READ_BYTES < BLOCK_BYTES:
            for place, index in enumerate(wanted.tolist(), first):
                file.read_at(offset + index * size, rows[place : place + 1])
            continue
        low = int(wanted.min())
        n_rows = int(wanted.max()) + 1 - low
        file.read_at(offset + low * size, buffer[:n_rows])
        np.take(buffer, wanted - low, out=rows[first:last], mode="clip")


def _gather_blocks(dataset: h5py.Dataset, indices: IntArray) -> NDArray[Any]:
    """The rows of a dataset in chunks."""
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    rows = np.empty((len(indices), *dataset.shape[1:]), dtype=dataset.dtype)
    for first, last in pairwise(_run_edges(ordered)):
        low, high = ordered[first], ordered[last - 1] + 1
        rows[order[first:last]] = dataset[low:high][ordered[first:last] - low]
    return rows


def _run_edges(ordered: IntArray) -> list[int]:
    """Positions where a new block begins or a gap is worth skipping, and the end."""
    is_new_block = np.diff(ordered // CHUNKED_BLOCK_ROWS) > 0
    is_gap = np.diff(ordered) > GAP_ROWS
    breaks = np.flatnonzero(is_new_block | is_gap) + 1
    return [0, *breaks.tolist(), len(ordered)] if len(ordered) else []


def _is_one_piece(dataset: h5py.Dataset) -> bool:
    """Whether the bytes of the rows follow each other in the file, as they are in memory."""
    return (
        dataset.id.get_offset() is not None  # neither chunked, compact, virtual nor empty
        and not dataset.external
        and dataset.file.userblock_size == 0
        and dataset.dtype.kind in "fiu"
    )


class EventFile(StoredEvents):
    """Events on disk: observables and weights at every benchmark.

    The file is opened and its layout checked once; the events are read when they are asked for.
    It stays open until nothing refers to it any more, and holds what it held when it was opened:
    if another file takes its place, the old one is still read; if it is written to, reading is
    refused. Copies in other processes open it again, if it is still the same.

    Args:
        path: Event file of this version or of MadMiner 0.2 to 0.9.

    Attributes:
        path: The file.
        version: Version of the layout; 0 for files of MadMiner 0.9 and before.
        setup: Setup of the analysis; its benchmarks are the columns of the weights, its
            observables those of x.
        n_events: Number of events.
        n_observables: Number of observables.
        n_benchmarks: Number of weights of each event, with those of nuisance variations.
        has_sampling_benchmarks: Whether it is known where each event was generated.
        summary: Numbers of events generated at each benchmark, None where not known.

    Raises:
        MissingFileError: If there is no such file.
        MissingWeightsError: If it has no events or not one weight for each benchmark.
        FileFormatError: If it is truncated or of another layout.
        FileChangedError: If it is written to while it is read, now or later.
    """

    def __init__(self, path: StrPath) -> None:
        self.path: Final = checks.path(path)
        self._file: HDF5Reader | None = HDF5Reader(self.path)
        self._identity: Final = self._file.source.identity
        self.version: Final = self._file.version
        with self._file.reading():
            setup = read_setup_group(self._file)
            n_events = _check_layout(self._file, setup)
            self.summary: Final = _read_summary(self._file, setup)
            is_known = _has_sampling_benchmarks(self._file, n_events)
        super().__init__(str(self.path), setup, n_events, is_known)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None}

    def close(self) -> None:
        """Close the file for now: it is opened again, if it is still the same, to be read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def _opened(self) -> Iterator[HDF5Reader]:
        if self._file is None:
            file = HDF5Reader(self.path)
            if file.source.identity != self._identity:
                raise FileChangedError(
                    f"{self.path} has changed, or was replaced, since it was read first. Make the "
                    f"object that reads it again."
                )
            self._file = file
        with self._file.reading():
            yield self._file

    def generated(self) -> EventSummary:
        """Numbers of events generated at each benchmark: as the file states them, else counted."""
        stated = self.summary
        if stated is not None and (
            np.any(stated.signal_events > 0) or not self.has_sampling_benchmarks
        ):
            return stated
        return self._counted()

    def iterate_unchecked(self, batch_size: int) -> Iterator[Events]:
        """Read all events in batches, whatever their numbers are; see `iterate`.

        Sampling benchmarks need not exist.
        """
        for start in range(0, self.n_events, batch_size):
            rows = slice(start, min(start + batch_size, self.n_events))
            yield Events(
                self._values(OBSERVATIONS, rows),
                self._values(WEIGHTS, rows),
                self._values(SAMPLING_BENCHMARKS, rows) if self.has_sampling_benchmarks else None,
            )

    def _values(self, name: str, rows: Rows) -> NDArray[Any]:
        with self._opened() as file:
            dataset = file[name]
            if isinstance(rows, slice):
                values = read_rows(dataset, rows.start, rows.stop, file.source)
            else:
                values = gather_rows(dataset, rows, file.source)
        return values.astype(np.int64 if name == SAMPLING_BENCHMARKS else np.float64, copy=False)

    def _observables(self, rows: Rows, allow_nan: bool) -> FloatArray:
        x = self._values(OBSERVATIONS, rows)
        if not allow_nan and not all_finite(x):
            raise DataError(
                f"Observables in {self.path} are not finite for some of {len(x)} events: "
                f"{describe_not_finite(x, list(self.setup.observables))}. Give these observables a "
                f"default, or make them required, when the events are read into the file."
            )
        return x

    def _weights(self, rows: Rows) -> FloatArray:
        weights = self._values(WEIGHTS, rows)
        if not all_finite(weights, LARGEST_WEIGHT):
            raise DataError(
                f"Weights in {self.path} are not finite for some of {len(weights)} events: "
                f"{describe_not_finite(weights, self.setup.benchmarks, LARGEST_WEIGHT)}. Remove "
                f"these events from the sample, or repeat the reweighting."
            )
        return weights

    def _sampled(self, rows: Rows) -> IntArray:
        sampled: IntArray = self._values(SAMPLING_BENCHMARKS, rows)
        n_physical = len(self.setup.physical_benchmarks)
        if sampled.size and sampled.max() >= n_physical:
            raise FileFormatError(
                f"{self.path} has events generated at benchmark {sampled.max()}, but only "
                f"{n_physical} physical benchmarks. Read the sample again."
            )
        return sampled


def _check_layout(file: HDF5Reader, setup: AnalysisSetup) -> int:
    """Check that everything has the right shape and type; returns the number of events."""
    if WEIGHTS not in file or len(file[WEIGHTS].shape or ()) != 2:
        raise MissingWeightsError(
            f"{file.path} has a setup, but no event weights ({WEIGHTS!r}). Read a sample into "
            f"an event file first, with LHEReader or DelphesReader."
        )
    n_events, n_columns = file[WEIGHTS].shape
    if n_columns != len(setup.benchmarks):
        raise MissingWeightsError(
            f"{file.path} has {n_columns} weights for each event, but {len(setup.benchmarks)} "
            f"benchmarks: {list(setup.benchmarks)}. Read the sample again with the setup it was "
            f"made with."
        )
    expected = (n_events, len(setup.observables))
    shape = file[OBSERVATIONS].shape if OBSERVATIONS in file else None
    if shape != expected:
        raise FileFormatError(
            f"{file.path} must hold observables of the shape {expected}, one row for each "
            f"weight and one column for each of {list(setup.observables)}; got {shape}. Read the "
            f"sample again."
        )
    sampled = file[SAMPLING_BENCHMARKS].shape if SAMPLING_BENCHMARKS in file else (0,)
    if sampled not in {(n_events,), (0,)}:
        raise FileFormatError(
            f"{file.path} must name the sampling benchmark of all {n_events} events or of "
            f"none, got the shape {sampled}. Read the sample again."
        )
    kinds = {OBSERVATIONS: "fiu", WEIGHTS: "fiu"}
    if _has_sampling_benchmarks(file, n_events):
        kinds[SAMPLING_BENCHMARKS] = "iu"
    for name, kind in kinds.items():
        if file[name].dtype.kind not in kind:
            raise FileFormatError(
                f"{file.path} must hold {'whole ' if kind == 'iu' else ''}numbers as {name!r}, got "
                f"the type {file[name].dtype}. Read the sample again."
            )
    return int(n_events)


def _has_sampling_benchmarks(file: HDF5Reader, n_events: int) -> bool:
    return SAMPLING_BENCHMARKS in file and file[SAMPLING_BENCHMARKS].shape == (n_events,)


def _read_summary(file: HDF5Reader, setup: AnalysisSetup) -> EventSummary | None:
    """Numbers of generated events; None where there are none, or an empty list."""
    name = SIGNAL_EVENTS if SIGNAL_EVENTS in file else OLD_SIGNAL_EVENTS
    if name not in file or file[name].shape == (0,):
        return None
    background = file.numbers(BACKGROUND_EVENTS, [], np.zeros(()))
    return EventSummary.checked(file.numbers(name, [None]), float(background), setup)
