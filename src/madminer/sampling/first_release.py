"""Names of the first releases of MadMiner: deprecated, each calls what replaces it.

The methods split the file into halves for training and testing, without validation, and draw from
the events of all benchmarks, as they did then; they return neither signs nor the effective number
of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from madminer.analysis import DataAnalyzer
from madminer.deprecation import renamed
from madminer.sampling.parameters import (
    Prior,
    ThetaSpecification,
    benchmark,
    benchmarks,
    morphing_point,
    morphing_points,
    random_morphing_points,
)
from madminer.typing import ArrayLike, FloatArray, Seed, StrPath, ThetaLike

if TYPE_CHECKING:
    from madminer.sampling.sampleaugmenter import SampleAugmenter

__all__ = [
    "constant_benchmark_theta",
    "constant_morphing_theta",
    "extract_cross_sections",
    "extract_raw_data",
    "extract_samples_test",
    "extract_samples_train_global",
    "extract_samples_train_local",
    "extract_samples_train_more_ratios",
    "extract_samples_train_plain",
    "extract_samples_train_ratio",
    "multiple_benchmark_thetas",
    "multiple_morphing_thetas",
    "random_morphing_thetas",
]


@renamed("madminer.sampling.benchmark")
def constant_benchmark_theta(benchmark_name: str) -> ThetaSpecification:
    """Deprecated name of `benchmark`."""
    return benchmark(benchmark_name)


@renamed("madminer.sampling.benchmarks")
def multiple_benchmark_thetas(benchmark_names: Sequence[str]) -> ThetaSpecification:
    """Deprecated name of `benchmarks`."""
    return benchmarks(benchmark_names)


@renamed("madminer.sampling.morphing_point")
def constant_morphing_theta(theta: ArrayLike) -> ThetaSpecification:
    """Deprecated name of `morphing_point`."""
    return morphing_point(theta)


@renamed("madminer.sampling.morphing_points")
def multiple_morphing_thetas(thetas: Sequence[ArrayLike]) -> ThetaSpecification:
    """Deprecated name of `morphing_points`."""
    return morphing_points(thetas)


@renamed("madminer.sampling.random_morphing_points")
def random_morphing_thetas(n_thetas: int | None, priors: Sequence[Prior]) -> ThetaSpecification:
    """Deprecated name of `random_morphing_points`."""
    return random_morphing_points(n_thetas, priors)


@renamed("SampleAugmenter.sample_train_plain")
def extract_samples_train_plain(
    augmenter: SampleAugmenter,
    theta: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray]:
    """Deprecated name of `sample_train_plain`.

    Args:
        augmenter: The object whose method this is.
        theta: Parameter points to draw from.
        n_samples: Number of samples over all points.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events kept for testing.
        seed: Source of randomness.

    Returns:
        Observables x and theta.
    """
    options = _options(test_split, "test" if switch_train_test_events else "train")
    sample = augmenter.sample_train_plain(
        theta, n_samples, folder=folder, filename=filename, seed=seed, **options
    )
    return sample[:2]


@renamed("SampleAugmenter.sample_train_local")
def extract_samples_train_local(
    augmenter: SampleAugmenter,
    theta: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    nuisance_score: str | bool = False,
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Deprecated name of `sample_train_local`.

    Args:
        augmenter: The object whose method this is.
        theta: Parameter points to draw from, at which the score is evaluated.
        n_samples: Number of samples over all points.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events kept for testing.
        nuisance_score: Whether the score has components for nuisance parameters.
        seed: Source of randomness.

    Returns:
        Observables x, theta and joint score t_xz.
    """
    options = _options(test_split, "test" if switch_train_test_events else "train")
    sample = augmenter.sample_train_local(
        theta,
        n_samples,
        folder=folder,
        filename=filename,
        nuisance_score=nuisance_score,
        seed=seed,
        **options,
    )
    return sample[:3]


@renamed("SampleAugmenter.sample_train_density")
def extract_samples_train_global(
    augmenter: SampleAugmenter,
    theta: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    nuisance_score: str | bool = False,
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Deprecated name of `sample_train_density`.

    Args:
        augmenter: The object whose method this is.
        theta: Parameter points to draw from, at which the score is evaluated.
        n_samples: Number of samples over all points.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events kept for testing.
        nuisance_score: Whether the score has components for nuisance parameters.
        seed: Source of randomness.

    Returns:
        Observables x, theta and joint score t_xz.
    """
    options = _options(test_split, "test" if switch_train_test_events else "train")
    sample = augmenter.sample_train_density(
        theta,
        n_samples,
        folder=folder,
        filename=filename,
        nuisance_score=nuisance_score,
        seed=seed,
        **options,
    )
    return sample[:3]


@renamed("SampleAugmenter.sample_train_ratio")
def extract_samples_train_ratio(
    augmenter: SampleAugmenter,
    theta0: ThetaSpecification,
    theta1: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    nuisance_score: str | bool = False,
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray | None]:
    """Deprecated name of `sample_train_ratio`.

    Args:
        augmenter: The object whose method this is.
        theta0: Parameter points of the numerator.
        theta1: Parameter points of the denominator.
        n_samples: Number of samples over all points and both halves.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events kept for testing.
        nuisance_score: Whether the score has components for nuisance parameters.
        seed: Source of randomness.

    Returns:
        Observables x, theta0, theta1, labels y, joint ratio r_xz and joint score t_xz at theta0.
    """
    options = _options(test_split, "test" if switch_train_test_events else "train")
    sample = augmenter.sample_train_ratio(
        theta0,
        theta1,
        n_samples,
        folder=folder,
        filename=filename,
        nuisance_score=nuisance_score,
        seed=seed,
        **options,
    )
    return sample[:6]


@renamed("SampleAugmenter.sample_train_more_ratios")
def extract_samples_train_more_ratios(
    augmenter: SampleAugmenter,
    theta0: ThetaSpecification,
    theta1: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    additional_thetas: Sequence[ThetaSpecification] | None = None,
    nuisance_score: str | bool = False,
    seed: Seed = None,
) -> tuple[
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray | None,
    FloatArray | None,
]:
    """Deprecated name of `sample_train_more_ratios`.

    Args:
        augmenter: The object whose method this is.
        theta0: Parameter points of the numerator.
        theta1: Parameter points of the denominator.
        n_samples: Number of drawn samples; as many more for each additional theta.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events kept for testing.
        additional_thetas: Further parameter points.
        nuisance_score: Whether the scores have components for nuisance parameters.
        seed: Source of randomness.

    Returns:
        Observables x, theta0, theta1, labels y, joint ratio r_xz, joint scores t_xz0 at theta0 and
        t_xz1 at theta1.
    """
    options = _options(test_split, "test" if switch_train_test_events else "train")
    sample = augmenter.sample_train_more_ratios(
        theta0,
        theta1,
        n_samples,
        folder=folder,
        filename=filename,
        additional_thetas=additional_thetas,
        nuisance_score=nuisance_score,
        seed=seed,
        **options,
    )
    return sample[:7]


@renamed("SampleAugmenter.sample_test")
def extract_samples_test(
    augmenter: SampleAugmenter,
    theta: ThetaSpecification,
    n_samples: int,
    folder: StrPath | None = None,
    filename: str | None = None,
    test_split: float | None = 0.5,
    switch_train_test_events: bool = False,
    *,
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray]:
    """Deprecated name of `sample_test`.

    Args:
        augmenter: The object whose method this is.
        theta: Parameter points to draw from.
        n_samples: Number of samples over all points.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        test_split: Fraction of events kept for testing.
        switch_train_test_events: Whether to draw from the events for training.
        seed: Source of randomness.

    Returns:
        Observables x and theta.
    """
    options = _options(test_split, "train" if switch_train_test_events else "test")
    sample = augmenter.sample_test(
        theta, n_samples, folder=folder, filename=filename, seed=seed, **options
    )
    return sample[:2]


@renamed("SampleAugmenter.cross_sections")
def extract_cross_sections(
    augmenter: SampleAugmenter, theta: ThetaSpecification, *, seed: Seed = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Deprecated name of `cross_sections`.

    Args:
        augmenter: The object whose method this is.
        theta: Parameter points.
        seed: Source of randomness for random points.

    Returns:
        Parameter points, cross sections and their statistical uncertainties in pb.
    """
    return augmenter.cross_sections(theta, seed=seed)


@renamed("weighted_events")
def extract_raw_data(
    analyzer: DataAnalyzer, theta: ThetaLike | None = None, derivative: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Deprecated name of `weighted_events`.

    Args:
        analyzer: The object whose method this is.
        theta: Parameter point; None: weights at all benchmarks.
        derivative: Whether to return the derivatives of the weights at `theta`.

    Returns:
        Observables and weights in pb of all events.
    """
    return analyzer.weighted_events(theta, derivative=derivative)


def _options(test_split: float | None, partition: str) -> dict[str, Any]:
    """Options that tell the sampling of then from that of now."""
    return {
        "test_split": test_split,
        "validation_split": None,
        "partition": partition,
        "sample_only_from_closest_benchmark": False,
    }
