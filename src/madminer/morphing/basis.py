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
    return _average_inverse(factors)


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
    draws are skipped. With ``optimizer="scipy"`` the five best draws then move to minima of that
    mean, by at most `n_trials` steps of L-BFGS-B each: never worse than the best draw.

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
            f"Remove benchmarks, raise max_overall_power or the parameters' max_power, or choose a "
            f"new basis with include_existing_benchmarks=False."
        )
    if n_missing == 0:
        morphing_matrix(kept, components, n_bases)  # refuses singular ones
        return kept
    low, high = bounds.T
    test_thetas = rng.uniform(low, high, size=(n_test_thetas, n_parameters))
    drawn = rng.uniform(low, high, size=(n_trials, n_missing, n_parameters))
    bases = np.concatenate([np.broadcast_to(kept, (n_trials, *kept.shape)), drawn], axis=1)
    costs = _costs(bases, components, n_bases, test_thetas)
    if not np.isfinite(costs).any():
        raise MorphingError(
            f"All of {n_trials} drawn bases are singular together with the {len(kept)} given "
            f"benchmarks: {kept.tolist()}. These depend on each other: move or remove one, or "
            f"choose a new basis with include_existing_benchmarks=False; or the parameter ranges "
            f"{bounds.tolist()} are too narrow around points far from zero."
        )
    if optimizer == "random":
        return np.array(bases[np.argmin(costs)])
    starts = bases[np.argsort(costs)[:N_STARTS]]
    refined = [
        refine_basis(start, len(kept), components, bounds, test_thetas, n_bases, n_trials)
        for start in starts
    ]
    candidates = np.concatenate([starts[:1], refined])
    best: FloatArray = candidates[np.argmin(_costs(candidates, components, n_bases, test_thetas))]
    return best


def _check_options(optimizer: str, n_bases: int, n_trials: int, n_test_thetas: int) -> None:
    if min(n_bases, n_trials, n_test_thetas) < 1:
        raise OptionError(
            f"n_bases, n_trials and n_test_thetas must be at least 1, got {n_bases}, {n_trials} "
            f"and {n_test_thetas}."
        )
    if optimizer not in ("random", "scipy"):
        raise OptionError(f"optimizer must be 'random' or 'scipy', got {optimizer!r}.")


def _costs(
    bases: FloatArray, components: IntArray, n_bases: int, test_thetas: FloatArray
) -> FloatArray:
    """Mean squared weights of each basis, infinite for singular ones."""
    n_components = len(components)
    costs = np.full(len(bases), np.inf)
    for start in range(0, len(bases), TRIALS_AT_ONCE):
        batch = slice(start, start + TRIALS_AT_ONCE)
        factors = monomials(bases[batch], components)
        blocks = factors.reshape(-1, n_bases, n_components, n_components)
        regular: BoolArray = np.all(condition_numbers(blocks) <= MAX_CONDITION, axis=-1)
        sums = squared_weights(test_thetas, components, _average_inverse(blocks[regular]))
        costs[batch][regular] = sums.mean(axis=-1)
    return costs


def _average_inverse(factors: FloatArray) -> FloatArray:
    """Inverses of shape (..., c, c), averaged and joined over the axis of bases (-3)."""
    n_bases, n_components = factors.shape[-3:-1]
    scales = np.abs(factors).max(axis=-2)
    inverses = np.linalg.inv(factors / scales[..., np.newaxis, :]) / scales[..., :, np.newaxis]
    joined = np.moveaxis(inverses, -3, -2) / n_bases
    shape = (*factors.shape[:-3], n_components, n_bases * n_components)
    averaged: FloatArray = joined.reshape(shape)
    return averaged
