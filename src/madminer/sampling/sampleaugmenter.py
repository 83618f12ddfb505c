"""SampleAugmenter: training and test samples with joint likelihood ratios and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import random_generator
from madminer.options import takes
from madminer.sampling.messages import report_draws, report_extraction, report_few_weighted
from madminer.sampling.options import SamplingKeywords, SamplingOptions, check_bootstrap
from madminer.sampling.parameters import NuSpecification, ThetaSpecification, resolve_points
from madminer.sampling.results import (
    LocalSample,
    MoreRatiosSample,
    PlainSample,
    RatioSample,
    Sample,
    given,
)
from madminer.sampling.sampler import Sampler
from madminer.sampling.weighted import WeightedSample, weighted_sample
from madminer.typing import FloatArray, Seed

AnySample = TypeVar("AnySample", bound=Sample)


class SampleAugmenter(Sampler):
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
        columns = self._single_columns(theta, nu, n_samples, chosen, with_score=False)
        report_draws(columns, chosen)
        sample = PlainSample.of((columns.x, columns.theta0, columns.n_eff), columns.w)
        return self._save(sample, chosen)

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
        return self._local_sample(theta, n_samples, nu, chosen, log_message=log_message)

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
        return self._local_sample(theta, n_samples, nu, SamplingOptions(**options))

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
        columns = self._ratio_columns(
            [theta0, theta1], [nu0, nu1], n_samples, chosen, with_score1=False
        )
        n_eff = columns.n_effective if return_individual_n_effective else columns.n_eff
        pairs = given(columns.theta1), given(columns.y), given(columns.r_xz)
        sample = RatioSample.of(
            (columns.x, columns.theta0, *pairs, columns.t_xz0, n_eff), columns.w
        )
        return self._save(sample, chosen)

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
        thetas = [theta0, theta1, *(additional_thetas or [])]
        columns = self._ratio_columns(thetas, [nu0, nu1], n_samples, chosen, with_score1=True)
        pairs = given(columns.theta1), given(columns.y), given(columns.r_xz)
        scores = columns.t_xz0, columns.t_xz1
        sample = MoreRatiosSample.of(
            (columns.x, columns.theta0, *pairs, *scores, columns.n_eff), columns.w
        )
        return self._save(sample, chosen)

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
        points = resolve_points(theta, nu, None, self.setup, random_generator(seed))
        xsecs, uncertainties = self._xsecs_at(points, self._group_factors(None))
        columns = [points.positions] if nu is None else [points.positions, points.nus]
        return np.hstack(columns), xsecs, uncertainties

    def _local_sample(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None,
        options: SamplingOptions,
        *,
        log_message: bool = True,
    ) -> LocalSample:
        columns = self._single_columns(theta, nu, n_samples, options, with_score=True)
        report_draws(columns, options, log_message=log_message)
        sample = LocalSample.of(
            (columns.x, columns.theta0, given(columns.t_xz0), columns.n_eff), columns.w
        )
        return self._save(sample, options)

    def _save(self, sample: AnySample, options: SamplingOptions) -> AnySample:
        """Save a sample if a folder and a file name are given, and hand it out."""
        if options.folder is not None and options.filename is not None:
            sample.save(
                options.folder,
                options.filename,
                file_format=options.file_format,
                observables=list(self.observables),
                parameters=[*self.parameters, *self.nuisance_parameters],
            )
        return sample
