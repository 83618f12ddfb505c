"""Parameter points from which samples are drawn, as users specify them.

Each function returns a small tuple that the functions of `SampleAugmenter` take as `theta` or
`nu`. They also take points as they are: the name or number of a benchmark, a position, or a list of
these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from madminer import checks
from madminer.analysis.weights import ParameterPoints, Thetas, ThetaTable, checked_nu
from madminer.errors import OptionError, ShapeError
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray, ThetaLike

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
    return "morphing_points", checks.sequence(thetas, "thetas", _point)


def random_morphing_points(
    n_thetas: int | None, priors: Sequence[Prior]
) -> tuple[str, tuple[int | None, list[Prior]]]:
    """Parameter points drawn from a prior, with the same number of samples from each.

    Args:
        n_thetas: Number of points; None, 0 or less: a new point for each sample.
        priors: For each parameter ``("flat", low, high)`` or ``("gaussian", mean, std)``.

    Raises:
        OptionError: If `n_thetas` is no whole number or a prior is none of these.

    Examples:
        >>> random_morphing_points(100, [("flat", -1.0, 1.0), ("gaussian", 0.0, 0.5)])
        ('random_morphing_points', (100, [('flat', -1.0, 1.0), ('gaussian', 0.0, 0.5)]))
    """
    number = None if n_thetas is None else checks.whole(n_thetas, "n_thetas")
    return "random_morphing_points", (number, _checked_priors(priors))


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
    if isinstance(prior, list | tuple) and len(prior) == 3:
        shape = prior[0]
        try:
            low, high = float(prior[1]), float(prior[2])
        except (TypeError, ValueError):
            low = high = math.nan
        valid = {"flat": low < high, "gaussian": high > 0.0}
        is_finite = math.isfinite(low) and math.isfinite(high)
        if isinstance(shape, str) and valid.get(shape, False) and is_finite:
            return shape, low, high
    raise OptionError(
        f"A prior must be ('flat', low, high) with low < high or ('gaussian', mean, std) with "
        f"std > 0, got {prior!r}."
    )


def _checked_priors(priors: object) -> list[Prior]:
    return checks.sequence(priors, "priors", lambda prior, _: check_prior(prior))


def _point(theta: object, name: str = "A parameter point") -> FloatArray:
    point = checks.real_array(theta, name)
    if point.ndim != 1 or not np.all(np.isfinite(point)):
        raise ShapeError(f"{name} must be a vector of finite numbers, got {point.tolist()}.")
    return point


@dataclass(frozen=True, eq=False)
class Points(ParameterPoints):
    """Parameter points and the number of samples at each of them.

    Args:
        n_per_point: Samples at each point.
    """

    n_per_point: int = 1

    def of_sets(self, sets: IntArray) -> FloatArray:
        """Theta and nu of samples; set s takes point ``s % len(self)``, shape ``(n, p + v)``."""
        values = np.hstack([self.positions, self.nus])
        if len(self) == 1:
            return np.broadcast_to(values, (len(sets), values.shape[1]))
        return values[sets % len(self)]


def resolve_points(
    theta: ThetaSpecification,
    nu: NuSpecification | None,
    n_samples: int | None,
    setup: AnalysisSetup,
    rng: np.random.Generator,
) -> Points:
    """Turn specifications into points; the shorter list of theta and nu is cycled.

    Args:
        theta: What a function for theta of `madminer.sampling.parameters` returns, or points, see
            `madminer.sampling.parameters.specification`.
        nu: What a function for nu there returns, or one for theta with values of nu, or these
            values; None for nominal values.
        n_samples: Number of samples over all points; None where no samples are drawn.
        setup: Setup of the analysis.
        rng: Source of randomness.

    Returns:
        The points. Each gets `n_samples` if it is the only one, else
        ``max(round(n_samples / n_points), 1)``. Random nu come one for each theta, or one for each
        sample if there is one theta.

    Raises:
        OptionError: If a specification is not understood or a prior is missing.
        UnknownNameError: If there is no such benchmark.
        ShapeError: If a point has the wrong number of parameters.
    """
    if n_samples is not None:
        n_samples = checks.whole(n_samples, "n_samples", 1)
    thetas = _resolve_thetas(theta, n_samples, setup, rng)
    if len(thetas) == 0:
        raise OptionError(f"At least one parameter point is needed, got {theta!r}.")
    table = ThetaTable(setup, thetas)
    _ = table.coefficients  # refuses unknown names and wrong dimensions
    nus = _resolve_nus(nu, len(thetas), n_samples, setup, rng)
    n_points, total = max(len(thetas), len(nus)), n_samples or 1
    numbers = np.arange(n_points)
    n_per_point = total if n_points == 1 else max(round(total / n_points), 1)
    return Points(table, numbers % len(thetas), nus[numbers % len(nus)], n_per_point)


def _resolve_thetas(
    theta: ThetaSpecification,
    n_samples: int | None,
    setup: AnalysisSetup,
    rng: np.random.Generator,
) -> Thetas:
    kind, value = specification(theta)
    if kind in {"benchmark", "morphing_point"}:
        return [value]  # type: ignore[list-item]  # checked by positions()
    if kind in {"benchmarks", "morphing_points"}:
        if not isinstance(value, list | tuple | np.ndarray):
            raise OptionError(f"A list of parameter points is needed, got {value!r}.")
        return list(value)
    if kind != "random_morphing_points":
        known = ["benchmark", "benchmarks", "morphing_point", "morphing_points"]
        raise OptionError(
            f"theta must be specified as one of {[*known, 'random_morphing_points']}, see "
            f"madminer.sampling; got {theta!r}."
        )
    return _draw(value, list(setup.parameters), n_samples, rng)


def _resolve_nus(
    nu: NuSpecification | None,
    n_thetas: int,
    n_samples: int | None,
    setup: AnalysisSetup,
    rng: np.random.Generator,
) -> FloatArray:
    """Values of the nuisance parameters, shape ``(n_nus, v)``."""
    kind, value = ("nominal", None) if nu is None else specification(nu)
    names = list(setup.nuisance_parameters)
    if kind == "nominal":
        return np.zeros((1, len(names)))
    if not names:
        raise OptionError(
            f"nu needs nuisance parameters, but the file has none, or they were left out with "
            f"include_nuisance_parameters=False; got {nu!r}."
        )
    if kind == "morphing_point":
        return checked_nu(setup, value)[np.newaxis]  # type: ignore[arg-type]  # checked there
    if kind == "morphing_points" and isinstance(value, list | tuple | np.ndarray) and len(value):
        return np.stack([checked_nu(setup, point) for point in value])
    if kind == "iid":
        value = None, [value] * len(names)
    elif kind != "random_morphing_points" or not (isinstance(value, tuple) and len(value) == 2):
        raise OptionError(
            f"nu must be specified by iid_nuisance_parameters, nominal_nuisance_parameters, "
            f"morphing_point, morphing_points or random_morphing_points, got {nu!r}."
        )
    return _draw(value, names, n_samples if n_thetas == 1 else n_thetas, rng)


def _draw(
    value: object, names: Sequence[str], at_most: int | None, rng: np.random.Generator
) -> FloatArray:
    """Random points from ``(number, priors)``; None and zero mean as many as possible."""
    if not (isinstance(value, tuple) and len(value) == 2):
        raise OptionError(f"Random points need (number, priors), got {value!r}.")
    number, priors = value[0], _checked_priors(value[1])
    if len(priors) != len(names):
        raise OptionError(f"One prior is needed for each of {list(names)}, got {len(priors)}.")
    if number is not None:
        number = checks.whole(number, "n_thetas")
    n = number if number is not None and number > 0 else at_most
    if n is None:
        raise OptionError(f"Random points without samples need a number of points, got {value!r}.")
    n = n if at_most is None else min(n, at_most)
    columns = [
        rng.uniform(first, second, n) if shape == "flat" else rng.normal(first, second, n)
        for shape, first, second in priors
    ]
    return np.stack(columns, axis=1)
