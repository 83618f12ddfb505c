"""Morphing basis: the benchmarks whose weights determine those everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from madminer.errors import MorphingError, OptionError
from madminer.morphing.conditioning import (
    MAX_CONDITION,
    basis_points,
    check_condition,
    condition_numbers,
)
from madminer.morphing.refinement import refine_basis
from madminer.morphing.weights import monomials
from madminer.typing import ArrayLike, BoolArray, FloatArray, IntArray, Seed

__all__ = [
    "MAX_CONDITION",
    "Optimizer",
    "morphing_matrix",
    "optimize_basis",
    "squared_weights",
]

Optimizer = Literal["random", "scipy"]
"""How a basis is chosen: the best of random draws, or draws refined by SciPy."""

TRIALS_AT_ONCE = 50
N_STARTS = 5


def morphing_matrix(
    basis: ArrayLike,
    components: IntArray,
    n_bases: int = 1,
    *,
    names: Sequence[str] | None = None,
) -> FloatArray:
    r"""Matrix that turns weights at the basis into those of the components.

    .. math:: M = F^{-1}, \qquad F_{bc} = \prod_i \theta_{bi}^{k_{ci}}

    Args:
        basis: Benchmarks, shape ``(n_bases * n_components, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        n_bases: Number of bases, which follow each other; their average is taken.
        names: Names of the benchmarks, for messages.

    Returns:
        Morphing matrix, shape ``(n_components, n_bases * n_components)``.

    Raises:
        ShapeError: If the basis has another number of parameters.
        MorphingError: If there are too few or too many benchmarks, or they are singular.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.

    Examples:
        >>> morphing_matrix([[-1.0], [0.0], [1.0]], np.array([[0], [1], [2]]))
        array([[ 0. ,  1. ,  0. ],
               [-0.5,  0. ,  0.5],
               [ 0.5, -1. ,  0.5]])
    """
    points = basis_points(basis, components)
    n_components = len(components)
    if len(points) != n_bases * n_components:
        raise MorphingError(
            f"Morphing with {n_components} components and n_bases = {n_bases} needs "
            f"{n_bases * n_components} benchmarks in the basis, got {len(points)}. Add or remove "
            f"benchmarks, or change max_overall_power."
        )
    factors = monomials(points, components).reshape(n_bases, n_components, n_components)
    labels = [f"number {b}" for b in range(len(points))] if names is None else list(names)
    for k, block in enumerate(factors):
        rows = slice(k * n_components, (k + 1) * n_components)
        check_condition(block, points[rows], components, labels[rows])
    return np.concatenate(list(_inverse(factors)), axis=1) / n_bases


def squared_weights(thetas: FloatArray, components: IntArray, matrix: FloatArray) -> FloatArray:
    r"""Sums of squared morphing weights, :math:`\sum_b W_b(\theta)^2`.

    A large sum means large cancellations between benchmarks, hence large statistical errors.

    Args:
        thetas: Parameter points, shape ``(n, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, or many, shape ``(..., n_components, n_basis)``.

    Returns:
        Sums, shape ``(..., n)``.
    """
    sums: FloatArray = np.sum((monomials(thetas, components) @ matrix) ** 2, axis=-1)
    return sums


def optimize_basis(
    components: IntArray,
    ranges: ArrayLike,
    fixed: ArrayLike | None = None,
    *,
    n_bases: int = 1,
    n_trials: int = 100,
    n_test_thetas: int = 100,
    seed: Seed = None,
    optimizer: Optimizer = "random",
) -> FloatArray:
    r"""Choose the benchmarks of a basis so that morphing weights are small.

    Missing benchmarks are drawn uniformly `n_trials` times. The best draw has the smallest mean
    of :math:`\sum_b W_b(\theta)^2` over test points, which are the same for all draws. Singular
    draws are skipped. The sums of several bases add up, so each takes its own best draw. With
    ``optimizer="scipy"`` the five best draws then move to minima of that mean, by about `n_trials`
    evaluations of L-BFGS-B each, away from the benchmarks of earlier bases: the result is never
    worse than the best draw.

    Args:
        components: Powers, shape ``(n_components, n_parameters)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        fixed: Benchmarks that come first and stay, shape ``(n_fixed, n_parameters)``.
        n_bases: Number of bases, which follow each other.
        n_trials: Number of draws.
        n_test_thetas: Number of test points, uniform in `ranges`.
        seed: Source of randomness.
        optimizer: ``"random"`` or ``"scipy"``.

    Returns:
        The basis, shape ``(n_bases * n_components, n_parameters)``.

    Raises:
        OptionError: If a number is below one, or there is no such optimizer.
        MorphingError: If there are more fixed benchmarks than the basis has, or every basis with
            them is singular.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> optimize_basis(components, [(-1.0, 1.0)], [[0.0]], seed=1).round(2)
        array([[ 0.  ],
               [ 0.88],
               [-0.95]])
    """
    _check_options(optimizer, n_bases, n_trials, n_test_thetas)
    rng = np.random.default_rng(seed)
    bounds = np.asarray(ranges, dtype=np.float64)
    n_parameters = components.shape[1]
    kept = basis_points(np.empty((0, n_parameters)) if fixed is None else fixed, components)
    n_missing = n_bases * len(components) - len(kept)
    if n_missing < 0:
        raise MorphingError(
            f"The basis has {n_bases * len(components)} benchmarks, but {len(kept)} are given. "
            f"Use them all with least_squares=True, add those for tests after set_morphing, remove "
            f"some, raise max_overall_power or the parameters' max_power, or choose a new basis "
            f"with include_existing_benchmarks=False."
        )
    if n_missing == 0:
        morphing_matrix(kept, components, n_bases)  # refuses singular ones
        return kept
    low, high = bounds.T
    test_thetas = rng.uniform(low, high, size=(n_test_thetas, n_parameters))
    drawn = rng.uniform(low, high, size=(n_trials, n_missing, n_parameters))
    draws = np.concatenate([np.broadcast_to(kept, (n_trials, *kept.shape)), drawn], axis=1)
    chosen: list[FloatArray] = []
    for k, proposals in enumerate(np.split(draws, n_bases, axis=1)):
        costs = _costs(proposals, components, test_thetas)
        if not np.isfinite(costs).any():
            raise MorphingError(
                f"All of {n_trials} drawn bases are singular together with the {len(kept)} given "
                f"benchmarks: {kept.tolist()}. These depend on each other: move or remove one, or "
                f"choose a new basis with include_existing_benchmarks=False; or the parameter "
                f"ranges {bounds.tolist()} are too narrow around points far from zero."
            )
        best = proposals[np.argsort(costs)[:N_STARTS]]
        n_fixed = max(len(kept) - k * len(components), 0)
        if optimizer == "scipy" and n_fixed < len(components):
            others = np.concatenate([kept[:0], *chosen])
            arguments = (n_fixed, components, bounds, test_thetas, others, n_trials)
            refined = [refine_basis(start, *arguments) for start in best]
            best = np.stack([best[0], *refined])
            best = best[np.argsort(_costs(best, components, test_thetas))]
        chosen.append(best[0])
    return np.concatenate(chosen)


def _check_options(optimizer: str, n_bases: int, n_trials: int, n_test_thetas: int) -> None:
    if min(n_bases, n_trials, n_test_thetas) < 1:
        raise OptionError(
            f"n_bases, n_trials and n_test_thetas must be at least 1, got {n_bases}, {n_trials} "
            f"and {n_test_thetas}."
        )
    if optimizer not in ("random", "scipy"):
        raise OptionError(f"optimizer must be 'random' or 'scipy', got {optimizer!r}.")


def _costs(bases: FloatArray, components: IntArray, test_thetas: FloatArray) -> FloatArray:
    """Mean squared weights of each basis, infinite for singular ones."""
    costs = np.full(len(bases), np.inf)
    for start in range(0, len(bases), TRIALS_AT_ONCE):
        batch = slice(start, start + TRIALS_AT_ONCE)
        factors = monomials(bases[batch], components)
        regular: BoolArray = condition_numbers(factors) <= MAX_CONDITION
        sums = squared_weights(test_thetas, components, _inverse(factors[regular]))
        costs[batch][regular] = sums.mean(axis=-1)
    return costs


def _inverse(factors: FloatArray) -> FloatArray:
    """Inverses, computed without the units of the parameters."""
    scales = np.abs(factors).max(axis=-2)
    scaled = np.linalg.inv(factors / scales[..., np.newaxis, :])
    inverses: FloatArray = scaled / scales[..., :, np.newaxis]
    return inverses
