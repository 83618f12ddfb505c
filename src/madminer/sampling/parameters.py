"""Parameter points from which samples are drawn, as users specify them.

Each function returns a small tuple that the functions of `SampleAugmenter` take as `theta` or
`nu`. They also take points as they are: the name or number of a benchmark, a position, or a list of
these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from madminer.errors import OptionError, ShapeError
from madminer.typing import ArrayLike, FloatArray, ThetaLike

__all__ = [
    "NuSpecification",
    "Prior",
    "Specification",
    "ThetaSpecification",
    "benchmark",
    "benchmarks",
    "check_prior",
    "iid_nuisance_parameters",
    "morphing_point",
    "morphing_points",
    "nominal_nuisance_parameters",
    "random_morphing_points",
    "specification",
]

Prior: TypeAlias = tuple[str, float, float]
"""``("flat", low, high)`` or ``("gaussian", mean, standard deviation)``."""

Specification: TypeAlias = tuple[str, object]
"""What the functions here return."""

ThetaSpecification: TypeAlias = Specification | ThetaLike | Sequence[ThetaLike]
"""What the functions for theta return; a point, or a list of points."""

NuSpecification: TypeAlias = Specification | Sequence[float] | FloatArray | Sequence[FloatArray]
"""What the functions for nu return; values of the nuisance parameters, or a list of these."""

KINDS = (
    "benchmark",
    "benchmarks",
    "iid",
    "morphing_point",
    "morphing_points",
    "nominal",
    "random_morphing_points",
)
"""First entries of specifications."""


def benchmark(benchmark_name: str) -> tuple[str, str]:
    """A single parameter benchmark.

    Args:
        benchmark_name: Name of the benchmark.

    Examples:
        >>> benchmark("sm")
        ('benchmark', 'sm')
    """
    return "benchmark", benchmark_name


def benchmarks(benchmark_names: Sequence[str]) -> tuple[str, list[str]]:
    """Several benchmarks, with the same number of samples from each.

    Args:
        benchmark_names: Names of the benchmarks.

    Examples:
        >>> benchmarks(["sm", "w"])
        ('benchmarks', ['sm', 'w'])
    """
    return "benchmarks", [benchmark_names] if isinstance(benchmark_names, str) else list(
        benchmark_names
    )


def morphing_point(theta: ArrayLike) -> tuple[str, FloatArray]:
    """A single parameter point.

    Args:
        theta: The point, shape ``(n_parameters,)``.

    Raises:
        ShapeError: If it is no finite vector.

    Examples:
        >>> morphing_point([0.5, 1.0])
        ('morphing_point', array([0.5, 1. ]))
    """
    return "morphing_point", _point(theta)


def morphing_points(thetas: Sequence[ArrayLike]) -> tuple[str, list[FloatArray]]:
    """Several parameter points, with the same number of samples from each.

    Args:
        thetas: The points, each of shape ``(n_parameters,)``.

    Raises:
        ShapeError: If one is no finite vector.
    """
    return "morphing_points", [_point(theta) for theta in thetas]


def random_morphing_points(
    n_thetas: int | None, priors: Sequence[Prior]
) -> tuple[str, tuple[int | None, list[Prior]]]:
    """Parameter points drawn from a prior, with the same number of samples from each.

    Args:
        n_thetas: Number of points; None, 0 or less: a new point for each sample.
        priors: For each parameter ``("flat", low, high)`` or ``("gaussian", mean, std)``.

    Raises:
        OptionError: If a prior is none of these.

    Examples:
        >>> random_morphing_points(100, [("flat", -1.0, 1.0), ("gaussian", 0.0, 0.5)])
        ('random_morphing_points', (100, [('flat', -1.0, 1.0), ('gaussian', 0.0, 0.5)]))
    """
    number = None if n_thetas is None else int(n_thetas)
    return "random_morphing_points", (number, [check_prior(prior) for prior in priors])


def iid_nuisance_parameters(
    shape: str = "gaussian", param0: float = 0.0, param1: float = 1.0
) -> tuple[str, Prior]:
    """Nuisance parameters that all follow the same prior.

    Args:
        shape: ``"gaussian"`` or ``"flat"``.
        param0: Mean, or lower end.
        param1: Standard deviation, or upper end.

    Raises:
        OptionError: If this is no prior.

    Examples:
        >>> iid_nuisance_parameters()
        ('iid', ('gaussian', 0.0, 1.0))
    """
    return "iid", check_prior((shape, param0, param1))


def nominal_nuisance_parameters() -> tuple[str, None]:
    """Nuisance parameters at their nominal value, 0.

    Examples:
        >>> nominal_nuisance_parameters()
        ('nominal', None)
    """
    return "nominal", None


def specification(points: object) -> Specification:
    """What users give as points in the form that the functions here return.

    Args:
        points: A specification; the name or number of a benchmark, a position of shape ``(n,)``,
            or a list of these.

    Raises:
        OptionError: If it is nothing of all that.

    Examples:
        >>> specification("sm"), specification([0.5, 1.0])
        (('benchmark', 'sm'), ('morphing_point', [0.5, 1.0]))
        >>> specification(["sm", [0.5, 1.0]])
        ('morphing_points', ['sm', [0.5, 1.0]])
    """
    if isinstance(points, tuple) and len(points) == 2 and isinstance(points[0], str):
        kind, value = points
        if kind in KINDS or not isinstance(value, str):  # else two benchmarks
            return kind, value
    if isinstance(points, str | int | np.integer) and not isinstance(points, bool):
        return "benchmark", points
    if isinstance(points, list | tuple) or (isinstance(points, np.ndarray) and points.ndim):
        is_list = any(isinstance(point, str) or np.ndim(point) > 0 for point in points)
        return ("morphing_points" if is_list else "morphing_point"), points
    raise OptionError(
        f"Parameter points are the name of a benchmark, a position such as [0.5, 1.0], a list of "
        f"these, or what a function of madminer.sampling returns, such as random_morphing_points; "
        f"got {points!r:.200}."
    )


def check_prior(prior: object) -> Prior:
    """Return a prior in its standard form.

    Args:
        prior: What was given as a prior.

    Raises:
        OptionError: If it is not ``("flat", low, high)`` or ``("gaussian", mean, std)`` with
            finite numbers, low < high, and std > 0.
    """
    if not (isinstance(prior, list | tuple) and len(prior) == 3):
        raise OptionError(_expected_prior(prior))
    shape = prior[0]
    try:
        low, high = float(prior[1]), float(prior[2])
    except (TypeError, ValueError) as error:
        raise OptionError(_expected_prior(prior)) from error
    valid = {"flat": low < high, "gaussian": high > 0.0}
    finite = math.isfinite(low) and math.isfinite(high)
    if not (isinstance(shape, str) and valid.get(shape, False) and finite):
        raise OptionError(_expected_prior(prior))
    return shape, low, high


def _expected_prior(prior: object) -> str:
    return (
        f"A prior must be ('flat', low, high) with low < high or ('gaussian', mean, std) with "
        f"std > 0, got {prior!r}."
    )


def _point(theta: ArrayLike) -> FloatArray:
    point = np.asarray(theta, dtype=np.float64)
    if point.ndim != 1 or not np.all(np.isfinite(point)):
        raise ShapeError(
            f"A parameter point must be a vector of finite numbers, got {point.tolist()}."
        )
    return point
