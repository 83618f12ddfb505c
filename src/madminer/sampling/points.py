"""Points: specifications of theta resolved to positions and numbers of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.analysis.coefficients import (
    Thetas,
    gradient_coefficients,
    has_gradients,
    positions,
    weight_coefficients,
)
from madminer.errors import OptionError
from madminer.models import AnalysisSetup
from madminer.sampling.parameters import NuSpecification, Prior, ThetaSpecification, check_prior
from madminer.typing import FloatArray

__all__ = ["Points", "require_nominal", "resolve_thetas"]


@dataclass(frozen=True, eq=False)
class Points:
    """Parameter points and the number of samples at each of them.

    Args:
        thetas: Names of benchmarks, or positions: a list or an array
            ``(n_points, n_parameters)``.
        n_per_theta: Samples at each point.
        setup: Setup of the analysis; its benchmarks are the columns of the weights.
    """

    thetas: Thetas
    n_per_theta: int
    setup: AnalysisSetup

    def __len__(self) -> int:
        return len(self.thetas)

    @cached_property
    def positions(self) -> FloatArray:
        """Positions, shape ``(n_points, n_parameters)``."""
        return positions(self.setup, self.thetas)

    @cached_property
    def coefficients(self) -> FloatArray:
        """Coefficients of the weights, shape ``(n_points, n_benchmarks)``."""
        return weight_coefficients(self.setup, self.thetas, len(self.setup.benchmarks))

    @cached_property
    def gradients(self) -> FloatArray:
        """Coefficients of their gradients, shape ``(n_points, n_parameters, n_benchmarks)``."""
        return gradient_coefficients(self.setup, self.thetas, len(self.setup.benchmarks))

    @cached_property
    def has_gradients(self) -> bool:
        """Whether gradients are known at all points."""
        return has_gradients(self.setup, self.thetas)


def resolve_thetas(
    specification: ThetaSpecification,
    n_samples: int | None,
    setup: AnalysisSetup,
    rng: np.random.Generator,
) -> Points:
    """Turn a specification into points.

    Args:
        specification: A tuple made by a function of `madminer.sampling.parameters`.
        n_samples: Number of samples over all points; None where no samples are drawn.
        setup: Setup of the analysis.
        rng: Source of randomness.

    Returns:
        The points. Each gets `n_samples` if it is the only one, else
        ``max(round(n_samples / n_thetas), 1)``.

    Raises:
        OptionError: If the specification is not understood or a prior is missing.
        UnknownNameError: If there is no such benchmark.
        ShapeError: If a point has the wrong number of parameters.
    """
    if n_samples is not None and n_samples < 1:
        raise OptionError(f"n_samples must be at least 1, got {n_samples}.")
    kind, value = _pair(specification)
    resolver = _RESOLVERS.get(kind)
    if resolver is None:
        raise OptionError(
            f"theta must be specified as one of {sorted(_RESOLVERS)}, see madminer.sampling; got "
            f"{specification!r}."
        )
    thetas = resolver(value, n_samples, setup, rng)
    if len(thetas) == 0:
        raise OptionError(f"At least one parameter point is needed, got {specification!r}.")
    total = n_samples or 1
    n_per_theta = total if len(thetas) == 1 else max(round(total / len(thetas)), 1)
    points = Points(thetas, n_per_theta, setup)
    _ = points.coefficients  # refuses unknown names and wrong dimensions
    return points


def require_nominal(nu: NuSpecification | None) -> None:
    """Accept only nominal nuisance parameters.

    Raises:
        OptionError: If other values are asked for.
    """
    if nu is not None and _pair(nu)[0] != "nominal":
        raise OptionError(
            f"Nuisance parameters can only have their nominal values so far; use None or "
            f"nominal_nuisance_parameters(), got {nu!r}."
        )


def _pair(specification: object) -> tuple[str, object]:
    if not (
        isinstance(specification, tuple)
        and len(specification) == 2
        and isinstance(specification[0], str)
    ):
        raise OptionError(
            f"Parameter points are specified by a function of madminer.sampling, such as "
            f"benchmark('sm') or morphing_point([0.5, 1.0]); got {specification!r}."
        )
    return specification[0], specification[1]


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
    if n_samples is None and (number is None or number <= 0):
        raise OptionError(f"Random points without samples need a number of points, got {number!r}.")
    if n_samples is not None and (number is None or not 0 < number <= n_samples):
        number = n_samples
    return np.stack([_draw(check_prior(prior), number, rng) for prior in priors], axis=1)


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
