"""SampleAugmenter: training and test samples with joint likelihood ratios and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike

from madminer import checks
from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import (
    closest_benchmarks,
    closest_factors,
    partition_range,
    share_factors,
)
from madminer.checks import listed
from madminer.errors import OptionError
from madminer.options import takes
from madminer.sampling.augment import DrawnSample, draw_sample, ratio_columns, sample_columns
from madminer.sampling.messages import (
    report_contents,
    report_draws,
    report_extraction,
    report_few_weighted,
    report_negative_weights,
    report_reliability,
)
from madminer.sampling.options import SamplingKeywords, SamplingOptions, check_bootstrap
from madminer.sampling.parameters import NuSpecification, Points, ThetaSpecification, resolve_points
from madminer.sampling.results import (
    Columns,
    LocalSample,
    MoreRatiosSample,
    PlainSample,
    RatioSample,
    Sample,
    join_columns,
)
from madminer.sampling.table import WeightTable, read_table, stratified
from madminer.sampling.weighted import WeightedSample, weighted_sample
from madminer.typing import BoolArray, EventSource, FloatArray, Seed

AnySample = TypeVar("AnySample", bound=Sample)

_MOST_SAMPLES = 1_000_000_000  # all in memory


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """The weights last read: of which partition, bootstrap and groups of events."""

    source: tuple[int, int, int | None]
    groups: BoolArray
    table: WeightTable


class SampleAugmenter(DataAnalyzer):
    r"""Draws unweighted samples at any parameter points and augments them with the gold.

    Events are drawn with replacement, with probability proportional to the absolute value of
    their weight. Where weights are negative, their share is reported, and the attribute `w` of
    each returned sample (and, then, the file ``w_<filename>.npy``) holds the signs: means over
    the sample are right when weighted by them.

    Parameter points are names or numbers of benchmarks, positions, lists of these, or what the
    functions of `madminer.sampling.parameters` return. The arrays are returned and, if `folder` and
    `filename` are given, saved as ``<name>_<filename>.npy``.

    Args:
        filename: Event file.
        disable_morphing: Whether to ignore the morphing setup of the file.
        include_nuisance_parameters: Whether to load nuisance parameters.
        debug: Accepted for code written for the first releases, without effect.
        memory_limit: Bytes of event weights that may be held in memory, 4e9 by default; larger
            tables are mapped to a temporary file, in the folder that TMPDIR names. Samples are
            the same, somewhat slower.

    Examples:
        .. code-block:: python

            augmenter = SampleAugmenter("events.h5")
            x, theta, t_xz, n_eff = augmenter.sample_train_local(
                benchmark("sm"), 100_000, folder="samples", filename="train", seed=1
            )
    """

    _calculates: ClassVar = (
        "sample_train_plain",
        "sample_train_local",
        "sample_train_density",
        "sample_train_ratio",
        "sample_train_more_ratios",
        "sample_test",
        "weighted_local",
        "cross_sections",
    )

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

    @takes(SamplingOptions, without=("nuisance_score",))
    def sample_train_plain(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> PlainSample:
        """Draw samples without joint quantities.

        Args:
            theta: Parameter points to draw from.
            n_samples: Number of samples over all points.
            nu: Nuisance parameters, None for their nominal values; random ones come one for each
                theta, or one for each sample if there is one theta. Shorter lists are cycled.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, n_parameters)``, followed by nuisance
            parameters where they are loaded; effective number of samples, the smallest over the
            points.

        Raises:
            OptionError: If an option or a specification is not understood.
            UnknownNameError: If there is no such benchmark.
            NoEventsError: If there are no events to draw from.
            NegativeWeightError: If the cross section at a point is not positive.
        """
        chosen = SamplingOptions(**options)
        what = "evaluation sample" if chosen.partition == "test" else "plain training sample"
        report_extraction(f"Extracting {what}. Sampling according to %s", theta)
        return self._single(PlainSample, theta, nu, n_samples, chosen)

    @takes(SamplingOptions, after={"log_message": "n_processes"})
    def sample_train_local(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        *,
        log_message: bool = True,
        **options: Unpack[SamplingKeywords],
    ) -> LocalSample:
        """Draw samples with the joint score, for SALLY and SALLINO.

        Args:
            theta: Parameter points to draw from, at which the score is evaluated.
            n_samples: Number of samples over all points.
            nu: Nuisance parameters, as in `sample_train_plain`.
            log_message: Whether to log the effective number of samples.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, p)`` or, with nuisance parameters,
            ``(n, p + v)``; joint score t_xz of the same shape (``(n, p)`` without nuisance score);
            effective number of samples.

        Raises:
            OptionError: If an option or a specification is not understood.
            MorphingError: If derivatives are not known at a point.
            DataError: If a drawn event has no score.
        """
        if log_message:
            report_extraction(
                "Extracting training sample for local score regression. Sampling and score "
                "evaluation according to %s",
                theta,
            )
        chosen = SamplingOptions(**options)
        return self._single(LocalSample, theta, nu, n_samples, chosen, log_message=log_message)

    @takes(SamplingOptions)
    def sample_train_density(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> LocalSample:
        """Draw samples with the joint score, for density estimation (SCANDAL).

        The same as `sample_train_local`; the points are usually many.

        Args:
            theta: Parameter points to draw from, at which the score is evaluated.
            n_samples: Number of samples over all points.
            nu: Nuisance parameters, as in `sample_train_plain`.

        Returns:
            As `sample_train_local`.
        """
        report_extraction(
            "Extracting training sample for density estimation. Sampling and score evaluation "
            "according to %s",
            theta,
        )
        return self._single(LocalSample, theta, nu, n_samples, SamplingOptions(**options))

    @takes(SamplingOptions, after={"return_individual_n_effective": "n_processes"})
    def sample_train_ratio(
        self,
        theta0: ThetaSpecification,
        theta1: ThetaSpecification,
        n_samples: int,
        nu0: NuSpecification | None = None,
        nu1: NuSpecification | None = None,
        *,
        return_individual_n_effective: bool = False,
        **options: Unpack[SamplingKeywords],
    ) -> RatioSample:
        """Draw samples with the joint likelihood ratio, for CARL, ROLR, ALICE and their kin.

        Half of the samples are drawn from theta0 (y = 0), half from theta1 (y = 1); random points
        are drawn anew for the second half. Points are cycled to the longer list.

        Args:
            theta0: Parameter points of the numerator.
            theta1: Parameter points of the denominator.
            n_samples: Number of samples over all points and both halves.
            nu0: Nuisance parameters of the numerator, None for their nominal values.
            nu1: Nuisance parameters of the denominator, None for their nominal values.
            return_individual_n_effective: Whether to return the effective number of samples at
                the point of each sample, instead of the smallest; see `madminer.sampling.draws`.

        Returns:
            Shuffled: observables x ``(n, n_observables)``; theta0 and theta1 ``(n, p)`` or, with
            nuisance parameters, ``(n, p + v)``; y ``(n, 1)``; joint ratio r_xz of theta0 to theta1
            ``(n, 1)``; joint score t_xz at theta0, of the shape of theta0 (``(n, p)`` without
            nuisance score), None where derivatives are not known; effective number of samples,
            the smallest over the points, or ``(n,)``.

        Raises:
            OptionError: If an option or a specification is not understood.
            DataError: If a drawn event has no joint ratio or score.
        """
        chosen = SamplingOptions(**options)
        return self._ratio(
            RatioSample,
            [theta0, theta1],
            [nu0, nu1],
            n_samples,
            chosen,
            individual_n_eff=return_individual_n_effective,
        )

    @takes(SamplingOptions, after={"additional_thetas": "filename"})
    def sample_train_more_ratios(
        self,
        theta0: ThetaSpecification,
        theta1: ThetaSpecification,
        n_samples: int,
        nu0: NuSpecification | None = None,
        nu1: NuSpecification | None = None,
        *,
        additional_thetas: Sequence[ThetaSpecification] | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> MoreRatiosSample:
        """Draw samples with the joint ratio and both scores, for doubly parameterized estimators.

        Each of `additional_thetas` repeats the half drawn from theta0 with it as theta1, and the
        half drawn from theta1 with it as theta0.

        Args:
            theta0: Parameter points of the numerator.
            theta1: Parameter points of the denominator.
            n_samples: Number of drawn samples; as many more for each additional theta.
            nu0: Nuisance parameters of the numerator, None for their nominal values.
            nu1: Nuisance parameters of the denominator, None for their nominal values.
            additional_thetas: Further parameter points.

        Returns:
            As `sample_train_ratio`, but with the joint scores at theta0 and at theta1.

        Raises:
            OptionError: If an option or a specification is not understood.
            DataError: If a drawn event has no joint ratio or score.
        """
        chosen = SamplingOptions(**options)
        more = () if additional_thetas is None else listed(additional_thetas, "additional_thetas")
        thetas = [theta0, theta1, *more]
        return self._ratio(MoreRatiosSample, thetas, [nu0, nu1], n_samples, chosen)

    @takes(SamplingOptions, without=("nuisance_score",), defaults={"partition": "test"})
    def sample_test(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> PlainSample:
        """Draw samples for evaluation, by default from the events kept for testing.

        Args:
            theta: Parameter points to draw from.
            n_samples: Number of samples over all points.
            nu: Nuisance parameters, as in `sample_train_plain`.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, n_parameters)``; effective number of
            samples.
        """
        return self.sample_train_plain(theta, n_samples, nu, **options)

    def weighted_local(
        self,
        theta: ThetaSpecification,
        *,
        partition: str = "train",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        sample_only_from_closest_benchmark: bool = True,
        nu: ArrayLike | None = None,
        nuisance_score: str | bool = "auto",
        bootstrap: int | None = None,
    ) -> WeightedSample:
        """Take every event once, with its weight and joint score, instead of drawing.

        Train with ``sample_weight=sample.w``: rare events of large score, which draws seldom hold,
        all count. New in version 1.0.

        Args:
            theta: Parameter point, shape ``(n_parameters,)``, or name or index of a benchmark, or
                what `benchmark` and `morphing_point` return.
            partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            sample_only_from_closest_benchmark: Whether to take only events generated at the
                benchmark closest to `theta`, and background.
            nu: Nuisance parameters, shape ``(v,)``; None: zero.
            nuisance_score: Whether the score has components for nuisance parameters; ``"auto"``:
                if there are any.
            bootstrap: Number of a bootstrap, from 0, as in the functions that draw: events count
                as often as they are in it, those that are not are left out. None: each counts
                once.

        Returns:
            Observables, joint scores and weights of mean one.

        Raises:
            DataError: If the score of an event is not defined at `theta`.
            NegativeWeightError: If the cross section at `theta` is not positive.
        """
        sample = weighted_sample(
            self,
            theta,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            sample_only_from_closest_benchmark=sample_only_from_closest_benchmark,
            nu=nu,
            nuisance_score=self._wants_nuisance_score(nuisance_score),
            bootstrap=check_bootstrap(bootstrap),
        )
        report_few_weighted(len(sample.x), sample.n_effective)
        return sample

    def cross_sections(
        self, theta: ThetaSpecification, nu: NuSpecification | None = None, *, seed: Seed = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Total cross sections at parameter points, from all events.

        Args:
            theta: Parameter points.
            nu: Nuisance parameters, None for their nominal values.
            seed: Source of randomness for random points.

        Returns:
            Parameter points ``(n_thetas, n_parameters)``, with `nu` followed by the nuisance
            parameters; cross sections in pb ``(n_thetas,)``; statistical uncertainties in pb
            ``(n_thetas,)``.

        Raises:
            OptionError: If a specification is not understood.
        """
        points = resolve_points(theta, nu, None, self.setup, checks.random_generator(seed))
        factors, rows = self._group_factors(None), partition_range(self.n_samples, "all")
        xsecs, uncertainties = self._xsecs_at(points, factors, rows)
        columns = [points.positions] if nu is None else [points.positions, points.nus]
        return np.hstack(columns), xsecs, uncertainties

    def _single(
        self,
        kind: type[AnySample],
        theta: ThetaSpecification,
        nu: NuSpecification | None,
        n_samples: int,
        options: SamplingOptions,
        *,
        log_message: bool = True,
    ) -> AnySample:
        """A sample of one kind of points, with their score where it has one."""
        n_samples = checks.whole(n_samples, "n_samples", 1, _MOST_SAMPLES)
        rng = checks.random_generator(options.seed)
        by_nu = self._wants_nuisance_score(options.nuisance_score)
        points = resolve_points(theta, nu, n_samples, self.setup, rng)
        with_score = kind is LocalSample
        if with_score:
            _ = points.gradients  # refused before anything is drawn
        sample = self._draw(points, len(points), points.n_per_point, options, rng)
        x = self.event_file.rows(sample.rows)
        columns = sample_columns(sample, x, points, with_score=with_score, by_nu=by_nu)
        joined = join_columns([columns], options.dtype, None)
        del sample, x, columns  # a file may be written next, which takes memory
        return self._finished(kind, joined, options, log_message=log_message)

    def _ratio(
        self,
        kind: type[AnySample],
        thetas: Sequence[ThetaSpecification],
        nus: Sequence[NuSpecification | None],
        n_samples: int,
        options: SamplingOptions,
        *,
        individual_n_eff: bool = False,
    ) -> AnySample:
        """A sample from the first (y = 0) and second (y = 1) of the specified points.

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
            halves.append((sample, [(drawn, o) if y == 0 else (o, drawn) for o in others]))
        rows = [sample.rows for sample, _ in halves]
        x = np.split(self.event_file.rows(np.concatenate(rows)), [len(rows[0])])  # one pass
        with_score1 = kind is MoreRatiosSample
        pieces = [
            ratio_columns(sample, x[y], *pair, y, with_score1=with_score1, by_nu=by_nu)
            for y, (sample, pairs) in enumerate(halves)
            for pair in pairs
        ]
        joined = join_columns(pieces, options.dtype, rng)
        del halves, sample, rows, x, pieces  # a file may be written next, which takes memory
        return self._finished(kind, joined, options, individual_n_eff=individual_n_eff)

    def _finished(
        self,
        kind: type[AnySample],
        columns: Columns,
        options: SamplingOptions,
        *,
        log_message: bool = True,
        individual_n_eff: bool = False,
    ) -> AnySample:
        """Report on a sample, save it if a folder and a file name are given, and hand it out."""
        n_eff = float(columns["n_effective"].min())
        report_draws(n_eff, columns["w"], options, log_message=log_message)
        sample = kind.of_columns(columns, columns["n_effective"] if individual_n_eff else n_eff)
        if options.folder is not None and options.filename is not None:
            sample.save(
                options.folder,
                options.filename,
                file_format=options.file_format,
                observables=list(self.observables),
                parameters=[*self.parameters, *self.nuisance_parameters],
            )
        return sample

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
        groups = np.any(factors > 0.0, axis=0)
        table = self._table(options, groups, in_classes=not points.is_nominal)
        report_negative_weights(table, options.negative_weights)
        sample = draw_sample(
            table,
            points,
            factors,
            np.repeat(np.arange(n_sets), n_per_set),
            rng,
            n_eff_forced=options.n_eff_forced,
            drop_negative=options.negative_weights == "drop",
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
        if kept is not None and kept.source == source:
            groups = groups | kept.groups
        if kept is None or kept.source != source or np.any(groups != kept.groups):
            kept = _Kept(source, groups, read_table(self, *source, groups, self.memory_limit))
        if in_classes and kept.table.bounds is None and not self.response.varying:
            kept = replace(kept, table=stratified(kept.table))
        self._kept = kept
        return kept.table

    def _wants_nuisance_score(self, nuisance_score: str | bool) -> bool:
        if nuisance_score is True and self.n_nuisance_parameters == 0:
            raise OptionError(
                "nuisance_score=True needs nuisance parameters, but the file has none, or they "
                "were left out with include_nuisance_parameters=False. Use 'auto' or False."
            )
        return nuisance_score is not False and self.n_nuisance_parameters > 0
