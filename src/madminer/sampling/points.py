"""Points: specifications of theta and nu resolved to positions and numbers of samples."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from madminer.analysis.coefficients import Thetas
from madminer.analysis.points import ParameterPoints, ThetaTable, checked_nu
from madminer.errors import OptionError
from madminer.models import AnalysisSetup
from madminer.sampling.parameters import (
    NuSpecification,
    Prior,
    ThetaSpecification,
    check_prior,
    specification,
)
from madminer.typing import FloatArray

__all__ = ["Points", "resolve_points"]


@dataclass(frozen=True, eq=False)
class Points(ParameterPoints):
    """Parameter points and the number of samples at each of them.

    Args:
        n_per_point: Samples at each point.
    """

    n_per_point: int = 1


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
    number: object = n_samples  # users pass all kinds
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if number is not None and (not is_whole or operator.index(n_samples or 0) < 1):
        raise OptionError(f"n_samples must be a whole number of at least 1, got {n_samples!r}.")
    kind, value = specification(theta)
    resolver = _RESOLVERS.get(kind)
    if resolver is None:
        raise OptionError(
            f"theta must be specified as one of {sorted(_RESOLVERS)}, see madminer.sampling; got "
            f"{theta!r}."
        )
    thetas = resolver(value, n_samples, setup, rng)
    if len(thetas) == 0:
        raise OptionError(f"At least one parameter point is needed, got {theta!r}.")
    table = ThetaTable(setup, thetas)
    _ = table.coefficients  # refuses unknown names and wrong dimensions
    nus = _resolve_nus(nu, len(thetas), n_samples, setup, rng)
    n_points, total = max(len(thetas), len(nus)), n_samples or 1
    numbers = np.arange(n_points)
    n_per_point = total if n_points == 1 else max(round(total / n_points), 1)
    return Points(table, numbers % len(thetas), nus[numbers % len(nus)], n_per_point)


def _resolve_nus(
    nu: NuSpecification | None,
    n_thetas: int,
    n_samples: int | None,
    setup: AnalysisSetup,
    rng: np.random.Generator,
) -> FloatArray:
    """Values of the nuisance parameters, shape ``(n_nus, v)``."""
    kind, value = ("nominal", None) if nu is None else specification(nu)
    v = setup.n_nuisance_parameters
    if kind == "nominal":
        return np.zeros((1, v))
    if v == 0:
        raise OptionError(
            f"nu needs nuisance parameters, but the file has none, or they were left out with "
            f"include_nuisance_parameters=False; got {nu!r}."
        )
    if kind == "morphing_point":
        return checked_nu(setup, value)[np.newaxis]  # type: ignore[arg-type]  # checked there
    if kind == "morphing_points" and isinstance(value, list | tuple | np.ndarray) and len(value):
        return np.stack([checked_nu(setup, point) for point in value])
    if kind == "iid":
        priors, number = [check_prior(value)] * v, None
    elif kind == "random_morphing_points" and isinstance(value, tuple) and len(value) == 2:
        number, priors = value[0], [check_prior(prior) for prior in value[1]]
    else:
        raise OptionError(
            f"nu must be specified by iid_nuisance_parameters, nominal_nuisance_parameters, "
            f"morphing_point, morphing_points or random_morphing_points, got {nu!r}."
        )
    if len(priors) != v:
        raise OptionError(
            f"One prior is needed for each of {list(setup.nuisance_parameters)}, got {len(priors)}."
        )
    at_most = n_samples if n_thetas == 1 else n_thetas
    n_nus = _number(number, at_most, nu)
    return np.stack([_draw(prior, n_nus, rng) for prior in priors], axis=1)


def _number(number: int | None, at_most: int | None, specification: object) -> int:
    """How many random points are drawn; None and zero mean as many as possible."""
    wanted = number if number is not None and number > 0 else at_most
    if wanted is None:
        raise OptionError(
            f"Random points without samples need a number of points, got {specification!r}."
        )
    return wanted if at_most is None else min(wanted, at_most)


def _one(value: object, _n: int | None, _setup: AnalysisSetup, _rng: np.random.Generator) -> Thetas:
    return [value]  # type: ignore[list-item]  # checked by positions()


def _many(
    value: object, _n: int | None, _setup: AnalysisSetup, _rng: np.random.Generator
) -> Thetas:
    if not isinstance(value, list | tuple | np.ndarray):
        raise OptionError(f"A list of parameter points is needed, got {value!r}.")
    return list(value)


def _random(
    value: object, n_samples: int | None, setup: AnalysisSetup, rng: np.random.Generator
) -> Thetas:
    if not (isinstance(value, tuple) and len(value) == 2):
        raise OptionError(f"Random points need (number, priors), got {value!r}.")
    number, priors = value
    if len(priors) != setup.n_parameters:
        raise OptionError(
            f"One prior is needed for each of {list(setup.parameters)}, got {len(priors)}."
        )
    n_thetas = _number(number, n_samples, value)
    return np.stack([_draw(check_prior(prior), n_thetas, rng) for prior in priors], axis=1)


def _draw(prior: Prior, number: int, rng: np.random.Generator) -> FloatArray:
    shape, first, second = prior
    if shape == "flat":
        return rng.uniform(first, second, number)
    return rng.normal(first, second, number)


_Resolver = Callable[[object, int | None, AnalysisSetup, np.random.Generator], Thetas]
_RESOLVERS: dict[str, _Resolver] = {
    "benchmark": _one,
    "benchmarks": _many,
    "morphing_point": _one,
    "morphing_points": _many,
    "random_morphing_points": _random,
}
