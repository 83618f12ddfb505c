"""Sampler: draws events of a file and gathers the columns of a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.rescaling import closest_benchmarks, closest_factors, share_factors
from madminer.errors import OptionError
from madminer.sampling.augment import (
    DrawnSample,
    draw_sample,
    sample_ratio,
    sample_score,
    signs,
)
from madminer.sampling.columns import Columns, SamplingOptions, join_columns
from madminer.sampling.draws import Targets
from madminer.sampling.messages import report_contents
from madminer.sampling.parameters import NuSpecification, ThetaSpecification
from madminer.sampling.points import Points, require_nominal, resolve_thetas
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, StrPath

__all__ = ["Sampler"]


class Sampler(DataAnalyzer):
    """What the functions of `SampleAugmenter` have in common.

    Args:
        filename: Event file.
        disable_morphing: Whether to ignore the morphing setup of the file.
        include_nuisance_parameters: Whether to load nuisance parameters.
        debug: Accepted for code written for the first releases, without effect.
    """

    def __init__(
        self,
        filename: StrPath,
        disable_morphing: bool = False,
        include_nuisance_parameters: bool = True,
        *,
        debug: bool = False,  # noqa: ARG002
    ) -> None:
        super().__init__(filename, disable_morphing, include_nuisance_parameters)
        report_contents(self)
        self._tables: dict[tuple[int, int], WeightTable] = {}

    def _single_columns(
        self,
        theta: ThetaSpecification,
        nu: NuSpecification | None,
        n_samples: int,
        options: SamplingOptions,
        rng: np.random.Generator,
        *,
        with_score: bool,
    ) -> Columns:
        require_nominal(nu)
        points = resolve_thetas(theta, n_samples, self.setup, rng)
        if with_score:
            _ = points.gradients  # refused before anything is drawn
        sample = self._draw(points, len(points), points.n_per_theta, options, rng)
        columns = Columns(
            x=self.event_file.rows(sample.rows),
            theta0=self._thetas(sample, points),
            t_xz0=sample_score(sample, points) if with_score else None,
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
        table = self._table(options)
        n_generated = self.n_events_generated_per_benchmark
        if options.only_closest and self.event_file.has_sampling_benchmarks:
            closest = closest_benchmarks(points.positions, self.setup.benchmark_thetas, n_generated)
            factors = closest_factors(closest, self.n_benchmarks_phys)
        else:
            factors = np.tile(share_factors(n_generated), (len(points), 1))
        sets = np.repeat(np.arange(n_sets), n_per_set)
        targets = Targets(points.coefficients, factors)
        return draw_sample(
            table,
            targets,
            sets,
            rng,
            options.n_eff_forced,
            individually=options.individual_n_effective,
        )

    def _table(self, options: SamplingOptions) -> WeightTable:
        """Weights of a partition; those of the last one asked for are kept."""
        start, stop, _ = partition_range(
            self.n_samples, options.partition, options.test_split, options.validation_split
        )
        key = (start, stop)
        if key not in self._tables:
            self._tables.clear()
            groups = self._groups(start, stop)
            members = [np.flatnonzero(groups == g) for g in range(self.n_benchmarks_phys + 1)]
            rows = start + np.concatenate(members)
            counts = [len(events) for events in members]
            self._tables[key] = WeightTable(
                rows=rows,
                edges=np.append(0, np.cumsum(counts)),
                weights=np.ascontiguousarray(self.event_file.weights(rows)[:, : self.n_benchmarks]),
            )
        return self._tables[key]

    def _ratio_columns(
        self,
        specifications: Sequence[ThetaSpecification],
        n_samples: int,
        options: SamplingOptions,
        rng: np.random.Generator,
        *,
        with_score1: bool,
    ) -> Columns:
        """Samples from the first (y = 0) and second (y = 1) of the specified points.

        The further ones take the place of the point that was not drawn from.
        """
        n_half = n_samples // 2
        if n_half < 1:
            raise OptionError(f"n_samples must be at least 2, one a half; got {n_samples}.")
        halves: list[tuple[DrawnSample, list[tuple[Points, Points]]]] = []
        for y in (0, 1):
            points = [resolve_thetas(s, n_half, self.setup, rng) for s in specifications]
            n_sets = max(len(p) for p in points)
            n_per_set = min(p.n_per_theta for p in points)
            drawn, others = points[y], [points[1 - y], *points[2:]]
            sample = self._draw(drawn, n_sets, n_per_set, options, rng)
            pairs = [(drawn, other) if y == 0 else (other, drawn) for other in others]
            halves.append((sample, pairs))
        rows = [sample.rows for sample, _ in halves]
        x = np.split(self.event_file.rows(np.concatenate(rows)), [len(rows[0])])  # one pass
        pieces = [
            self._piece(sample, x[y], *pair, y, with_score1)
            for y, (sample, pairs) in enumerate(halves)
            for pair in pairs
        ]
        return join_columns(pieces, options.dtype, rng)

    def _piece(
        self,
        sample: DrawnSample,
        x: FloatArray,
        points0: Points,
        points1: Points,
        y: int,
        with_score1: bool,
    ) -> Columns:
        ratio = sample_ratio(sample, points0, points1)
        scores = [
            sample_score(sample, points) if wanted and points.has_gradients else None
            for points, wanted in ((points0, True), (points1, with_score1))
        ]
        return Columns(
            x=x,
            theta0=self._thetas(sample, points0),
            theta1=self._thetas(sample, points1),
            y=np.full((len(ratio), 1), y),
            r_xz=ratio[:, np.newaxis],
            t_xz0=scores[0],
            t_xz1=scores[1],
            n_effective=sample.n_effective,
            w=signs(sample),
        )

    def _thetas(self, sample: DrawnSample, points: Points) -> FloatArray:
        thetas = points.positions[sample.sets % len(points)]
        return self._with_nominal_nu(thetas)

    def _with_nominal_nu(self, thetas: FloatArray) -> FloatArray:
        return np.pad(thetas, ((0, 0), (0, self.n_nuisance_parameters)))

    def _require_theta_score(self, nuisance_score: str | bool) -> None:
        if nuisance_score not in {"auto", True, False}:
            raise OptionError(
                f"nuisance_score must be 'auto', True or False, got {nuisance_score!r}."
            )
        if nuisance_score is not False and self.n_nuisance_parameters > 0:
            raise OptionError(
                f"Scores of nuisance parameters are not available so far, but the file has "
                f"{list(self.nuisance_parameters)}. Use nuisance_score=False, or open the file "
                f"with include_nuisance_parameters=False."
            )
