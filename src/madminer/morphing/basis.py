"""Morphing basis: the benchmarks whose weights determine those everywhere else."""

from __future__ import annotations

import numpy as np

from madminer.errors import MorphingError, OptionError, ShapeError
from madminer.morphing.weights import monomials
from madminer.typing import ArrayLike, BoolArray, FloatArray, IntArray, Seed

__all__ = [
    "MAX_CONDITION",
    "morphing_matrix",
    "morphing_pseudo_inverse",
    "optimize_basis",
    "squared_weights",
]

MAX_CONDITION = 1e12
"""Condition number beyond which a basis is refused: fewer than four digits would be left."""

TRIALS_AT_ONCE = 50


def morphing_matrix(basis: ArrayLike, components: IntArray, n_bases: int = 1) -> FloatArray:
    r"""Matrix that turns weights at the basis into those of the components.

    .. math:: M = F^{-1}, \qquad F_{bc} = \prod_i \theta_{bi}^{k_{ci}}

    Args:
        basis: Benchmarks, shape ``(n_bases * n_components, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        n_bases: Number of bases, which follow each other; their average is taken.

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
    points = _basis_points(basis, components)
    n_components = len(components)
    if len(points) != n_bases * n_components:
        raise MorphingError(
            f"Morphing with {n_components} components and n_bases = {n_bases} needs "
            f"{n_bases * n_components} benchmarks in the basis, got {len(points)}. Add or remove "
            f"benchmarks, or change max_overall_power."
        )
    factors = monomials(points, components).reshape(n_bases, n_components, n_components)
    condition = _condition(factors).max()
    if condition > MAX_CONDITION:
        raise _singular_error(float(condition))
    return _average_inverse(factors)


def morphing_pseudo_inverse(basis: ArrayLike, components: IntArray) -> FloatArray:
    r"""Morphing matrix of least norm, for more benchmarks than components.

    .. math:: M = F^+, \qquad F_{bc} = \prod_i \theta_{bi}^{k_{ci}}

    Args:
        basis: Benchmarks, shape ``(n_basis, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.

    Returns:
        Morphing matrix, shape ``(n_components, n_basis)``.

    Raises:
        ShapeError: If the basis has another number of parameters.
        MorphingError: If there are fewer benchmarks than components, or they are singular.

    Examples:
        >>> morphing_pseudo_inverse([[1.0], [3.0], [8.0]], np.array([[0], [1]])).round(3)
        array([[ 0.795,  0.487, -0.282],
               [-0.115, -0.038,  0.154]])
    """
    points = _basis_points(basis, components)
    if len(points) < len(components):
        raise MorphingError(
            f"Morphing with {len(components)} components needs at least as many benchmarks, got "
            f"{len(points)}. Add benchmarks."
        )
    factors = monomials(points, components)
    condition = float(_condition(factors))
    if condition > MAX_CONDITION:
        raise _singular_error(condition)
    scales = np.abs(factors).max(axis=0)
    inverse: FloatArray = np.linalg.pinv(factors / scales) / scales[:, np.newaxis]
    return inverse


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
) -> FloatArray:
    r"""Choose the benchmarks of a basis so that morphing weights are small.

    Missing benchmarks are drawn uniformly `n_trials` times. The best draw has the smallest mean
    of :math:`\sum_b W_b(\theta)^2` over test points, which are the same for all draws. Singular
    draws are skipped.

    Args:
        components: Powers, shape ``(n_components, n_parameters)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        fixed: Benchmarks that come first and stay, shape ``(n_fixed, n_parameters)``.
        n_bases: Number of bases, which follow each other.
        n_trials: Number of draws.
        n_test_thetas: Number of test points, uniform in `ranges`.
        seed: Source of randomness.

    Returns:
        The basis, shape ``(n_bases * n_components, n_parameters)``.

    Raises:
        OptionError: If a number is below one.
        MorphingError: If there are more fixed benchmarks than the basis has, or every basis with
            them is singular.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> optimize_basis(components, [(-1.0, 1.0)], [[0.0]], seed=1).round(2)
        array([[ 0.  ],
               [ 0.88],
               [-0.95]])
    """
    if min(n_bases, n_trials, n_test_thetas) < 1:
        raise OptionError(
            f"n_bases, n_trials and n_test_thetas must be at least 1, got {n_bases}, {n_trials} "
            f"and {n_test_thetas}."
        )
    rng = np.random.default_rng(seed)
    low, high = np.asarray(ranges, dtype=np.float64).T
    n_parameters = components.shape[1]
    kept = _basis_points(np.empty((0, n_parameters)) if fixed is None else fixed, components)
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
    test_thetas = rng.uniform(low, high, size=(n_test_thetas, n_parameters))
    drawn = rng.uniform(low, high, size=(n_trials, n_missing, n_parameters))
    bases = np.concatenate([np.broadcast_to(kept, (n_trials, *kept.shape)), drawn], axis=1)
    starts = range(0, n_trials, TRIALS_AT_ONCE)
    batches = [bases[start : start + TRIALS_AT_ONCE] for start in starts]
    costs = np.concatenate([_costs(b, components, n_bases, test_thetas) for b in batches])
    if not np.isfinite(costs).any():
        raise MorphingError(
            f"All of {n_trials} drawn bases are singular together with the {len(kept)} given "
            f"benchmarks: {kept.tolist()}. These depend on each other: move or remove one, or "
            f"choose a new basis with include_existing_benchmarks=False; or the parameter ranges "
            f"{np.asarray(ranges).tolist()} are too narrow around points far from zero."
        )
    best: FloatArray = bases[np.argmin(costs)]
    return best


def _costs(
    bases: FloatArray, components: IntArray, n_bases: int, test_thetas: FloatArray
) -> FloatArray:
    """Mean squared weights of each basis, infinite for singular ones."""
    n_components = len(components)
    factors = monomials(bases, components).reshape(-1, n_bases, n_components, n_components)
    regular: BoolArray = np.all(_condition(factors) <= MAX_CONDITION, axis=-1)
    costs = np.full(len(bases), np.inf)
    matrices = _average_inverse(factors[regular])
    costs[regular] = squared_weights(test_thetas, components, matrices).mean(axis=-1)
    return costs


def _condition(factors: FloatArray) -> FloatArray:
    """Condition numbers once every component is scaled to a largest value of one.

    Scaling removes the units of the parameters, which spoil no digits.
    """
    scales = np.abs(factors).max(axis=-2, keepdims=True)
    scaled = factors / np.where(scales > 0, scales, 1.0)
    condition: FloatArray = np.linalg.cond(scaled)
    return np.where(np.isfinite(condition), condition, np.inf)


def _average_inverse(factors: FloatArray) -> FloatArray:
    """Inverses of shape (..., c, c), averaged and joined over the axis of bases (-3)."""
    n_bases, n_components = factors.shape[-3:-1]
    scales = np.abs(factors).max(axis=-2)
    inverses = np.linalg.inv(factors / scales[..., np.newaxis, :]) / scales[..., :, np.newaxis]
    joined = np.moveaxis(inverses, -3, -2) / n_bases
    shape = (*factors.shape[:-3], n_components, n_bases * n_components)
    averaged: FloatArray = joined.reshape(shape)
    return averaged


def _basis_points(basis: ArrayLike, components: IntArray) -> FloatArray:
    points = np.asarray(basis, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != components.shape[1] or not np.isfinite(points).all():
        raise ShapeError(
            f"A morphing basis must be finite with the shape (n, {components.shape[1]}), one row "
            f"for each benchmark; got the shape {points.shape}."
        )
    return points


def _singular_error(condition: float) -> MorphingError:
    return MorphingError(
        f"The morphing basis is singular: its condition number is {condition:.1e}, more than "
        f"{MAX_CONDITION:.0e}. Some benchmarks do not add information: move or remove one, give "
        f"each parameter as many different values as its max_power needs, or let the missing "
        f"benchmarks be chosen with set_morphing."
    )
