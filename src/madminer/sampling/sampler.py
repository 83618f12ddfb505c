"""Sampler: draws events of a file and gathers the columns of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from madminer import checks
from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import (
    closest_benchmarks,
    closest_factors,
    partition_range,
    share_factors,
)
from madminer.blocks import row_blocks
from madminer.errors import OptionError
from madminer.progress import track
from madminer.sampling.augment import DrawnSample, draw_sample, joint_ratio, sample_at, signs
from madminer.sampling.bootstrap import bootstrap_counts
from madminer.sampling.messages import (
    report_contents,
    report_draws,
    report_extraction,
    report_negative_weights,
    report_reliability,
)
from madminer.sampling.options import SamplingOptions
from madminer.sampling.parameters import NuSpecification, Points, ThetaSpecification, resolve_points
from madminer.sampling.results import Columns, join_columns
from madminer.sampling.table import WeightTable, empty_weights, stratified
from madminer.typing import BoolArray, EventSource, FloatArray, IntArray

_ROWS = 1_000_000  # whose weights are read at once
_MOST_SAMPLES = 1_000_000_000  # all in memory


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """The weights last read: of which partition, bootstrap and groups of events."""

    source: tuple[int, int, int | None]
    groups: BoolArray
    table: WeightTable


class Sampler(DataAnalyzer):
    """What the functions of `SampleAugmenter` have in common.

    Args:
        filename: Event file.
        disable_morphing: Whether to ignore the morphing setup of the file.
        include_nuisance_parameters: Whether to load nuisance parameters.
        debug: Accepted for code written for the first releases, without effect.
        memory_limit: Bytes of event weights that may be held in memory; larger tables are mapped
            to a temporary file.

    Raises:
        OptionError: If `memory_limit` is not positive.
    """

    def __init__(
        self,
        filename: EventSource,
        disable_morphing: bool = False,
        include_nuisance_parameters: bool = True,
        *,
        debug: bool = False,  # noqa: ARG002
        memory_limit: float = 4e9,
    ) -> None:
        if not checks.real(memory_limit, "memory_limit") > 0.0:
            raise OptionError(f"memory_limit must be a positive number of bytes: {memory_limit!r}.")
        self.memory_limit = memory_limit
        super().__init__(filename, disable_morphing, include_nuisance_parameters)
        report_contents(self)
        self._kept: _Kept | None = None

    def __getstate__(self) -> dict[str, object]:
        """Without the weights that are kept: other processes read them again."""
        return {**self.__dict__, "_kept": None}

    def _single_columns(
        self,
        theta: ThetaSpecification,
        nu: NuSpecification | None,
        n_samples: int,
        options: SamplingOptions,
        *,
        with_score: bool,
    ) -> Columns:
        n_samples = checks.whole(n_samples, "n_samples", 1, _MOST_SAMPLES)
        rng = checks.random_generator(options.seed)
        by_nu = self._wants_nuisance_score(options.nuisance_score)
        points = resolve_points(theta, nu, n_samples, self.setup, rng)
        if with_score:
            _ = points.gradients  # refused before anything is drawn
        sample = self._draw(points, len(points), points.n_per_point, options, rng)
        scored = sample_at(sample, points, by_theta=True, by_nu=by_nu) if with_score else None
        columns = Columns(
            x=self.event_file.rows(sample.rows),
            theta0=_positions(sample, points),
            t_xz0=None if scored is None else scored.score,
            n_effective=sample.n_effective,
            w=signs(sample),
        )
        return join_columns([columns], options.dtype, None)

    def _draw(
        self,
        points: Points,
        n_sets: int,
        n_per_set: int,
        options: SamplingOptions,
        rng: np.random.Generator,
    ) -> DrawnSample:
        n_generated = self.n_events_generated_per_benchmark
        if options.sample_only_from_closest_benchmark and self.event_file.has_sampling_benchmarks:
            closest = closest_benchmarks(points.positions, self.setup.benchmark_thetas, n_generated)
            factors = closest_factors(closest, self.n_benchmarks_phys)
        else:
            factors = np.tile(share_factors(n_generated), (len(points), 1))
        table = self._table(
            options, np.any(factors > 0.0, axis=0), in_classes=not points.is_nominal
        )
        report_negative_weights(table, options.negative_weights)
        sample = draw_sample(
            table,
            points,
            factors,
            np.repeat(np.arange(n_sets), n_per_set),
            rng,
            n_eff_forced=options.n_eff_forced,
            drop_negative=options.negative_weights == "drop" and table.is_signed,
        )
        report_reliability(sample, points)
        if not points.is_nominal or self._wants_nuisance_score(options.nuisance_score):
            sample.response.report(self._reported)
        return sample

    def _table(
        self, options: SamplingOptions, groups: BoolArray, *, in_classes: bool
    ) -> WeightTable:
        """Weights of some groups of events in a partition; those last asked for are kept."""
        start, stop, _ = partition_range(
            self.n_samples, options.partition, options.test_split, options.validation_split
        )
        kept, source = self._kept, (start, stop, options.bootstrap)
        if kept is None or kept.source != source:
            kept = _Kept(source, groups, self._read_table(*source, groups))
        elif np.any(groups & ~kept.groups):
            groups = groups | kept.groups
            kept = _Kept(source, groups, self._read_table(*source, groups))
        if in_classes and kept.table.bounds is None and not self.response.varying:
            kept = replace(kept, table=stratified(kept.table))
        self._kept = kept
        return kept.table

    def _read_table(
        self, start: int, stop: int, bootstrap: int | None, wanted: BoolArray
    ) -> WeightTable:
        """Weights of groups of events; the file is read from its beginning to its end, once."""
        blocks = [slice(start + b.start, start + b.stop) for b in row_blocks(stop - start, _ROWS)]
        counts = [self._counts(block, bootstrap, wanted) for block in blocks]
        edges = np.append(0, np.cumsum(np.sum(counts, axis=0)))
        firsts = edges[:-1] + np.cumsum(counts, axis=0) - counts
        rows = np.empty(edges[-1], dtype=np.int64)
        weights = empty_weights((len(rows), self.n_benchmarks), self.memory_limit)
        for block, first, count in zip(
            track(blocks, "Reading weights"), firsts, counts, strict=True
        ):
            read = self.event_file.read_weights(block.start, block.stop)[:, : self.n_benchmarks]
            groups, times = self._groups_and_times(block, bootstrap)
            for group in np.flatnonzero(count):
                mine = np.flatnonzero((groups == group) & (times > 0))
                at = slice(first[group], first[group] + len(mine))
                rows[at] = block.start + mine
                np.take(read, mine, axis=0, out=weights[at], mode="clip")
                if bootstrap is not None:
                    weights[at] *= times[mine, np.newaxis]
        return WeightTable(rows=rows, edges=edges, weights=weights, model=self.response)

    def _groups_and_times(self, block: slice, bootstrap: int | None) -> tuple[IntArray, IntArray]:
        """Group of each event, and how often it is in a bootstrap."""
        rows = np.arange(block.start, block.stop)
        return self._groups(block.start, block.stop), bootstrap_counts(bootstrap, rows)

    def _counts(self, block: slice, bootstrap: int | None, wanted: BoolArray) -> IntArray:
        """Number of events of each group that is wanted, shape ``(n_groups,)``."""
        groups, times = self._groups_and_times(block, bootstrap)
        return np.bincount(groups[times > 0], minlength=len(wanted)) * wanted

    def _ratio_columns(
        self,
        thetas: Sequence[ThetaSpecification],
        nus: Sequence[NuSpecification | None],
        n_samples: int,
        options: SamplingOptions,
        *,
        with_score1: bool,
    ) -> Columns:
        """Samples from the first (y = 0) and second (y = 1) of the specified points.

        The further ones take the place of the point that was not drawn from, with its nuisance
        parameters.
        """
        n_half = checks.whole(n_samples, "n_samples", 2, _MOST_SAMPLES) // 2
        rng = checks.random_generator(options.seed)
        report_extraction(
            "Extracting training sample for ratio-based methods. Numerator hypothesis: %s, "
            "denominator hypothesis: %s",
            *thetas[:2],
        )
        by_nu = self._wants_nuisance_score(options.nuisance_score)
        halves: list[tuple[DrawnSample, list[tuple[Points, Points]]]] = []
        for y in (0, 1):
            points = [
                resolve_points(theta, nu, n_half, self.setup, rng)
                for theta, nu in zip(thetas, [*nus, *[nus[1 - y]] * (len(thetas) - 2)], strict=True)
            ]
            n_sets = max(len(p) for p in points)
            n_per_set = min(p.n_per_point for p in points)
            drawn, others = points[y], [points[1 - y], *points[2:]]
            sample = self._draw(drawn, n_sets, n_per_set, options, rng)
            pairs = [(drawn, other) if y == 0 else (other, drawn) for other in others]
            halves.append((sample, pairs))
        rows = [sample.rows for sample, _ in halves]
        x = np.split(self.event_file.rows(np.concatenate(rows)), [len(rows[0])])  # one pass
        pieces = [
            _ratio_piece(sample, x[y], *pair, y, with_score1=with_score1, by_nu=by_nu)
            for y, (sample, pairs) in enumerate(halves)
            for pair in pairs
        ]
        columns = join_columns(pieces, options.dtype, rng)
        report_draws(columns, options)
        return columns

    def _wants_nuisance_score(self, nuisance_score: str | bool) -> bool:
        if nuisance_score is True and self.n_nuisance_parameters == 0:
            raise OptionError(
                "nuisance_score=True needs nuisance parameters, but the file has none, or they "
                "were left out with include_nuisance_parameters=False. Use 'auto' or False."
            )
        return nuisance_score is not False and self.n_nuisance_parameters > 0


def _ratio_piece(
    sample: DrawnSample,
    x: FloatArray,
    points0: Points,
    points1: Points,
    y: int,
    *,
    with_score1: bool,
    by_nu: bool,
) -> Columns:
    at0 = sample_at(sample, points0, by_theta=points0.has_gradients, by_nu=by_nu)
    with_score1 = with_score1 and points1.has_gradients
    at1 = sample_at(sample, points1, by_theta=with_score1, by_nu=by_nu)
    ratio = joint_ratio(at0.weights, at1.weights, at0.xsecs, at1.xsecs)
    return Columns(
        x=x,
        theta0=_positions(sample, points0),
        theta1=_positions(sample, points1),
        y=np.full((len(ratio), 1), y),
        r_xz=ratio[:, np.newaxis],
        t_xz0=at0.score,
        t_xz1=at1.score,
        n_effective=sample.n_effective,
        w=signs(sample),
    )


def _positions(sample: DrawnSample, points: Points) -> FloatArray:
    """Theta and nu of each sample, shape ``(n_samples, p + v)``."""
    values = np.hstack([points.positions, points.nus])
    if len(points) == 1:
        return np.broadcast_to(values, (len(sample.sets), values.shape[1]))
    return values[sample.sets % len(points)]
