"""SampleAugmenter: training and test samples with joint likelihood ratios and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np

from madminer.sampling import first_release
from madminer.sampling.columns import SamplingOptions, report_draws
from madminer.sampling.messages import report_extraction
from madminer.sampling.parameters import NuSpecification, ThetaSpecification
from madminer.sampling.points import resolve_points
from madminer.sampling.results import (
    LocalSample,
    MoreRatiosSample,
    PlainSample,
    RatioSample,
    Sample,
    check_destination,
    given,
)
from madminer.sampling.sampler import Sampler
from madminer.sampling.weighted import WeightedSample, weighted_sample
from madminer.typing import ArrayLike, FloatArray, Seed, StrPath, ThetaLike

__all__ = ["FileFormat", "NegativeWeights", "SampleAugmenter"]

AnySample = TypeVar("AnySample", bound=Sample)

FileFormat = Literal["npy", "parquet"]
"""How samples are saved."""

NegativeWeights = Literal["sign", "drop", "refuse"]
"""What happens to negative weights, see `SampleAugmenter.sample_train_plain`."""


class SampleAugmenter(Sampler):
    r"""Draws unweighted samples at any parameter points and augments them with the gold.

    Events are drawn with replacement, with probability proportional to the absolute value of
    their weight. Where weights are negative, their share is reported, and the attribute `w` of
    each returned sample (and, then, the file ``w_<filename>.npy``) holds the signs: means over
    the sample are right when weighted by them.

    Parameter points are given by the functions of `madminer.sampling.parameters`. The arrays are
    returned and, if `folder` and `filename` are given, saved as ``<name>_<filename>.npy``.

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

    def sample_train_plain(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "train",
        n_processes: int = 1,  # noqa: ARG002  # documented; drawing needs no processes
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
    ) -> PlainSample:
        """Draw samples without joint quantities.

        Args:
            theta: Parameter points to draw from.
            n_samples: Number of samples over all points.
            nu: Nuisance parameters, None for their nominal values; random ones come one for each
                theta, or one for each sample if there is one theta. Shorter lists are cycled.
            sample_only_from_closest_benchmark: Whether to draw only events generated at the
                benchmark closest to the point, and background.
            folder: Folder of the saved arrays; None: they are not saved.
            filename: Common part of the names of the saved arrays.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
            n_processes: Accepted, no longer needed.
            n_eff_forced: Events with a probability above ``1 / n_eff_forced`` are never drawn.
            double_precision: Whether to return float64 instead of float32.
            seed: Source of randomness.
            negative_weights: ``"sign"``: events are drawn by the absolute value of their weight,
                and the attribute `w` of the result holds the signs; ``"drop"``: those of negative
                weight are never drawn, as in MadMiner 0.9, and counted in a warning;
                ``"refuse"``: they are an error.
            file_format: ``"npy"``: a file for each array; ``"parquet"``: one file
                ``<filename>.parquet``.

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
        check_destination(folder, filename, file_format)
        options = SamplingOptions(
            only_closest=sample_only_from_closest_benchmark,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            n_eff_forced=n_eff_forced,
            double_precision=double_precision,
            negative_weights=negative_weights,
        )
        rng = np.random.default_rng(seed)
        what = "evaluation sample" if partition == "test" else "plain training sample"
        report_extraction(f"Extracting {what}. Sampling according to %s", theta)
        columns = self._single_columns(theta, nu, n_samples, options, rng, with_score=False)
        report_draws(columns, options)
        sample = PlainSample.of((columns.x, columns.theta0, columns.n_eff), columns.w)
        return self._save(sample, folder, filename, file_format)

    def sample_train_local(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        nuisance_score: str | bool = "auto",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "train",
        n_processes: int = 1,  # noqa: ARG002
        log_message: bool = True,
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
    ) -> LocalSample:
        """Draw samples with the joint score, for SALLY and SALLINO.

        Args:
            theta: Parameter points to draw from, at which the score is evaluated.
            n_samples: Number of samples over all points.
            nu: See `sample_train_plain`, as for all arguments not named here.
            sample_only_from_closest_benchmark: See there.
            folder: See there.
            filename: See there.
            nuisance_score: Whether the score has components for nuisance parameters; ``"auto"``:
                if there are any.
            test_split: See there.
            validation_split: See there.
            partition: See there.
            n_processes: Accepted, no longer needed.
            log_message: Whether to log the effective number of samples.
            n_eff_forced: See there.
            double_precision: See there.
            seed: Source of randomness.
            negative_weights: See `sample_train_plain`.
            file_format: See there.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, p)`` or, with nuisance parameters,
            ``(n, p + v)``; joint score t_xz of the same shape (``(n, p)`` without nuisance score);
            effective number of samples.

        Raises:
            OptionError: If an option or a specification is not understood.
            MorphingError: If derivatives are not known at a point.
            DataError: If a drawn event has no score.
        """
        check_destination(folder, filename, file_format)
        options = SamplingOptions(
            only_closest=sample_only_from_closest_benchmark,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            n_eff_forced=n_eff_forced,
            double_precision=double_precision,
            nuisance_score=nuisance_score,
            negative_weights=negative_weights,
        )
        if log_message:
            report_extraction(
                "Extracting training sample for local score regression. Sampling and score "
                "evaluation according to %s",
                theta,
            )
        rng = np.random.default_rng(seed)
        columns = self._single_columns(theta, nu, n_samples, options, rng, with_score=True)
        report_draws(columns, options, log_message=log_message)
        sample = LocalSample.of(
            (columns.x, columns.theta0, given(columns.t_xz0), columns.n_eff), columns.w
        )
        return self._save(sample, folder, filename, file_format)

    def sample_train_density(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        nuisance_score: str | bool = "auto",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "train",
        n_processes: int = 1,  # noqa: ARG002
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
    ) -> LocalSample:
        """Draw samples with the joint score, for density estimation (SCANDAL).

        The same as `sample_train_local`; the points are usually many.

        Args:
            theta: Parameter points to draw from, at which the score is evaluated.
            n_samples: Number of samples over all points.
            nu: See `sample_train_plain`, as for all arguments not named here.
            sample_only_from_closest_benchmark: See there.
            folder: See there.
            filename: See there.
            nuisance_score: See `sample_train_local`.
            test_split: See there.
            validation_split: See there.
            partition: See there.
            n_processes: Accepted, no longer needed.
            n_eff_forced: See there.
            double_precision: See there.
            seed: Source of randomness.
            negative_weights: See `sample_train_plain`.
            file_format: See there.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, p)`` or, with nuisance parameters,
            ``(n, p + v)``; joint score t_xz of the same shape (``(n, p)`` without nuisance score);
            effective number of samples.
        """
        check_destination(folder, filename, file_format)
        options = SamplingOptions(
            only_closest=sample_only_from_closest_benchmark,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            n_eff_forced=n_eff_forced,
            double_precision=double_precision,
            nuisance_score=nuisance_score,
            negative_weights=negative_weights,
        )
        report_extraction(
            "Extracting training sample for density estimation. Sampling and score evaluation "
            "according to %s",
            theta,
        )
        rng = np.random.default_rng(seed)
        columns = self._single_columns(theta, nu, n_samples, options, rng, with_score=True)
        report_draws(columns, options)
        sample = LocalSample.of(
            (columns.x, columns.theta0, given(columns.t_xz0), columns.n_eff), columns.w
        )
        return self._save(sample, folder, filename, file_format)

    def sample_train_ratio(
        self,
        theta0: ThetaSpecification,
        theta1: ThetaSpecification,
        n_samples: int,
        nu0: NuSpecification | None = None,
        nu1: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        nuisance_score: str | bool = "auto",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "train",
        n_processes: int = 1,  # noqa: ARG002
        return_individual_n_effective: bool = False,
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
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
            sample_only_from_closest_benchmark: See `sample_train_plain`, as for all arguments not
                named here.
            folder: See there.
            filename: See there.
            nuisance_score: See `sample_train_local`.
            test_split: See there.
            validation_split: See there.
            partition: See there.
            n_processes: Accepted, no longer needed.
            return_individual_n_effective: Whether to return the effective number of samples at
                the point of each sample, instead of the smallest; see `madminer.sampling.draws`.
            n_eff_forced: See there.
            double_precision: See there.
            seed: Source of randomness.
            negative_weights: See `sample_train_plain`.
            file_format: See there.

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
        check_destination(folder, filename, file_format)
        options = SamplingOptions(
            only_closest=sample_only_from_closest_benchmark,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            n_eff_forced=n_eff_forced,
            double_precision=double_precision,
            nuisance_score=nuisance_score,
            negative_weights=negative_weights,
        )
        rng = np.random.default_rng(seed)
        report_extraction(
            "Extracting training sample for ratio-based methods. Numerator hypothesis: %s, "
            "denominator hypothesis: %s",
            theta0,
            theta1,
        )
        columns = self._ratio_columns(
            [theta0, theta1], [nu0, nu1], n_samples, options, rng, with_score1=False
        )
        report_draws(columns, options)
        n_eff = columns.n_effective if return_individual_n_effective else columns.n_eff
        pairs = given(columns.theta1), given(columns.y), given(columns.r_xz)
        sample = RatioSample.of(
            (columns.x, columns.theta0, *pairs, columns.t_xz0, n_eff), columns.w
        )
        return self._save(sample, folder, filename, file_format)

    def sample_train_more_ratios(
        self,
        theta0: ThetaSpecification,
        theta1: ThetaSpecification,
        n_samples: int,
        nu0: NuSpecification | None = None,
        nu1: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        additional_thetas: Sequence[ThetaSpecification] | None = None,
        nuisance_score: str | bool = "auto",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "train",
        n_processes: int = 1,  # noqa: ARG002
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
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
            sample_only_from_closest_benchmark: See `sample_train_plain`, as for all arguments not
                named here.
            folder: See there.
            filename: See there.
            additional_thetas: Further parameter points.
            nuisance_score: See `sample_train_local`.
            test_split: See there.
            validation_split: See there.
            partition: See there.
            n_processes: Accepted, no longer needed.
            n_eff_forced: See there.
            double_precision: See there.
            seed: Source of randomness.
            negative_weights: See `sample_train_plain`.
            file_format: See there.

        Returns:
            As `sample_train_ratio`, but with the joint scores at theta0 and at theta1.

        Raises:
            OptionError: If an option or a specification is not understood.
            DataError: If a drawn event has no joint ratio or score.
        """
        check_destination(folder, filename, file_format)
        options = SamplingOptions(
            only_closest=sample_only_from_closest_benchmark,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            n_eff_forced=n_eff_forced,
            double_precision=double_precision,
            nuisance_score=nuisance_score,
            negative_weights=negative_weights,
        )
        rng = np.random.default_rng(seed)
        thetas = [theta0, theta1, *(additional_thetas or [])]
        report_extraction(
            "Extracting training sample for ratio-based methods. Numerator hypothesis: %s, "
            "denominator hypothesis: %s",
            theta0,
            theta1,
        )
        columns = self._ratio_columns(thetas, [nu0, nu1], n_samples, options, rng, with_score1=True)
        report_draws(columns, options)
        pairs = given(columns.theta1), given(columns.y), given(columns.r_xz)
        scores = columns.t_xz0, columns.t_xz1
        sample = MoreRatiosSample.of(
            (columns.x, columns.theta0, *pairs, *scores, columns.n_eff), columns.w
        )
        return self._save(sample, folder, filename, file_format)

    def sample_test(
        self,
        theta: ThetaSpecification,
        n_samples: int,
        nu: NuSpecification | None = None,
        sample_only_from_closest_benchmark: bool = True,
        folder: StrPath | None = None,
        filename: str | None = None,
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        partition: str = "test",
        n_processes: int = 1,
        n_eff_forced: float | None = None,
        double_precision: bool = False,
        *,
        seed: Seed = None,
        negative_weights: NegativeWeights = "sign",
        file_format: FileFormat = "npy",
    ) -> PlainSample:
        """Draw samples for evaluation, by default from the events kept for testing.

        Args:
            theta: Parameter points to draw from.
            n_samples: Number of samples over all points.
            nu: See `sample_train_plain`, as for all arguments not named here.
            sample_only_from_closest_benchmark: See there.
            folder: See there.
            filename: See there.
            test_split: See there.
            validation_split: See there.
            partition: See there.
            n_processes: Accepted, no longer needed.
            n_eff_forced: See there.
            double_precision: See there.
            seed: Source of randomness.
            negative_weights: See `sample_train_plain`.
            file_format: See there.

        Returns:
            Observables x ``(n, n_observables)``; theta ``(n, n_parameters)``; effective number of
            samples.
        """
        return self.sample_train_plain(
            theta,
            n_samples,
            nu,
            sample_only_from_closest_benchmark,
            folder,
            filename,
            test_split,
            validation_split,
            partition,
            n_processes,
            n_eff_forced,
            double_precision,
            seed=seed,
            negative_weights=negative_weights,
            file_format=file_format,
        )

    def weighted_local(
        self,
        theta: ThetaLike,
        *,
        partition: str = "train",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        sample_only_from_closest_benchmark: bool = True,
        nu: ArrayLike | None = None,
        nuisance_score: str | bool = "auto",
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

        Returns:
            Observables, joint scores and weights of mean one.

        Raises:
            DataError: If the score of an event is not defined at `theta`.
            NegativeWeightError: If the cross section at `theta` is not positive.
        """
        return weighted_sample(
            self,
            theta,
            partition=partition,
            test_split=test_split,
            validation_split=validation_split,
            sample_only_from_closest_benchmark=sample_only_from_closest_benchmark,
            nu=nu,
            nuisance_score=self._wants_nuisance_score(nuisance_score),
        )

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
        points = resolve_points(theta, nu, None, self.setup, np.random.default_rng(seed))
        xsecs, uncertainties = self._xsecs_at(points, self._group_factors(None))
        columns = [points.positions] if nu is None else [points.positions, points.nus]
        return np.hstack(columns), xsecs, uncertainties

    def _save(
        self, sample: AnySample, folder: StrPath | None, filename: str | None, file_format: str
    ) -> AnySample:
        """Save a sample if a folder and a file name are given, and hand it out."""
        if folder is not None and filename is not None:
            sample.save(
                folder,
                filename,
                file_format=file_format,
                observables=list(self.observables),
                parameters=[*self.parameters, *self.nuisance_parameters],
            )
        return sample

    # Names of the first releases

    extract_samples_train_plain = first_release.extract_samples_train_plain
    extract_samples_train_local = first_release.extract_samples_train_local
    extract_samples_train_global = first_release.extract_samples_train_global
    extract_samples_train_ratio = first_release.extract_samples_train_ratio
    extract_samples_train_more_ratios = first_release.extract_samples_train_more_ratios
    extract_samples_test = first_release.extract_samples_test
    extract_cross_sections = first_release.extract_cross_sections
    extract_raw_data = first_release.extract_raw_data
