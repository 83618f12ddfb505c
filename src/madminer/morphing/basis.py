r"""Morphing basis: the benchmarks whose weights determine those everywhere else.

A basis is judged by its condition number, by the mean over test points of the squared weights, and
by their largest value. It is the best of random draws, or these refined: the benchmarks move until
the mean is least. With the monomials :math:`m_c(\theta)` at test points and their mean products
:math:`A_{cc'} = \langle m_c m_{c'} \rangle`, a basis with the matrix :math:`M = F^{-1}` has

.. math::

    J = \Bigl\langle \sum_b W_b(\theta)^2 \Bigr\rangle = \operatorname{tr} M^T A M, \qquad
    \frac{\partial J}{\partial F} = -2 \left(M M^T A M\right)^T
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import random_generator
from madminer.errors import MorphingError, OptionError, ShapeError
from madminer.morphing.weights import (
    monomial_gradients,
    monomials,
    morphing_weight_gradients,
    morphing_weights,
)
from madminer.typing import BoolArray, FloatArray, IntArray, Seed

MAX_CONDITION = 1e12
"""Condition number beyond which a basis is refused: fewer than four digits would be left."""

SMALL_PART = 1e-3
"""Smaller entries of a null vector, relative to its largest, do not count."""

Optimizer = Literal["random", "scipy"]
"""How a basis is chosen: the best of random draws, or draws refined by SciPy."""

NUMBERS_AT_ONCE = 2**22  # of factors of trials, in each temporary array
N_STARTS = 5  # draws that are refined
N_POINTS, N_CLIMBS = 1000, 5  # points and refined points in the search for the largest weights
SINGULAR_COST, SMALLEST_COST = 1e300, 1e-300
REPULSION_LENGTH = 0.1  # of the ranges


def basis_points(basis: ArrayLike, components: IntArray) -> FloatArray:
    """Benchmarks as an array of shape ``(n_basis, n_parameters)``; ShapeError if they are none."""
    points = np.asarray(basis, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != components.shape[1] or not np.isfinite(points).all():
        raise ShapeError(
            f"A morphing basis must be finite with the shape (n, {components.shape[1]}), one row "
            f"for each benchmark; got the shape {points.shape}."
        )
    return points


def condition_numbers(factors: FloatArray) -> FloatArray:
    """Condition numbers once every component is scaled to a largest value of one.

    Scaling removes the units of the parameters, which spoil no digits.

    Args:
        factors: Monomials at the benchmarks of each basis, shape ``(..., n_basis, n_components)``.

    Returns:
        Ratios of the largest to the smallest singular value, infinite for singular bases.

    Examples:
        >>> condition_numbers(np.array([[[1.0, 0.0], [1.0, 1e6]]])).round(3)
        array([2.618])
    """
    condition: FloatArray = np.linalg.cond(_scaled(factors))
    return np.where(np.isfinite(condition), condition, np.inf)


def check_condition(
    factors: FloatArray,
    points: FloatArray,
    components: IntArray,
    names: Sequence[str] | None = None,
) -> None:
    r"""Refuse a singular basis and name what is wrong with it.

    If :math:`u^T F = 0`, the benchmarks with :math:`u_b \neq 0` depend on each other; if
    :math:`F v = 0`, the components with :math:`v_c \neq 0` are not determined.
    """
    condition = float(condition_numbers(factors))
    if condition <= MAX_CONDITION:
        return
    left, sizes, right = np.linalg.svd(_scaled(factors), full_matrices=False)
    is_null = sizes <= sizes[0] / MAX_CONDITION
    dependent = ""
    if len(points) == len(components):
        labels = [f"number {b}" for b in range(len(points))] if names is None else names
        listed = [f"{labels[b]} at {points[b].tolist()}" for b in _parts(left[:, is_null])]
        dependent = f" These benchmarks depend on each other: {', '.join(listed)};"
    powers = components[_parts(right[is_null].T)].tolist()
    raise MorphingError(
        f"The morphing basis is singular: its condition number is {condition:.1e}, more than "
        f"{MAX_CONDITION:.0e}.{dependent} move or remove one, or add others. The components with "
        f"the powers {powers} are not determined: give each parameter as many different values as "
        f"its max_power needs, or let the missing benchmarks be chosen with set_morphing."
    )


def _scaled(factors: FloatArray) -> FloatArray:
    scales = np.abs(factors).max(axis=-2, keepdims=True)
    return factors / np.where(scales > 0, scales, 1.0)


def _parts(null_vectors: FloatArray) -> IntArray:
    """Rows that take part in null vectors of shape (n, n_null)."""
    sizes = np.linalg.norm(null_vectors, axis=1)
    return np.flatnonzero(sizes > SMALL_PART * sizes.max())


def refine_basis(
    basis: FloatArray,
    n_fixed: int,
    components: IntArray,
    ranges: FloatArray,
    test_thetas: FloatArray,
    others: FloatArray,
    max_evaluations: int = 100,
) -> FloatArray:
    r"""Move the benchmarks of a basis to a local minimum of the mean squared weights.

    L-BFGS-B of SciPy with exact gradients, on the logarithm of the mean plus a repulsion
    :math:`\sum \exp(-d^2 / 2 \ell^2)` at distances d to other benchmarks, where :math:`\ell` is
    a tenth of the ranges.

    The first `n_fixed` benchmarks stay. The basis keeps away from `others`, shape
    ``(n_others, n_parameters)``, since the same benchmark in two bases adds nothing.
    """
    from scipy.optimize import minimize  # takes half a second, which few programs need

    low, high = ranges.T
    width = np.where(high > low, high - low, 1.0)
    obstacles = (others - low) / width
    values = monomials(test_thetas, components)
    products: FloatArray = values.T @ values / len(values)

    def place(position: FloatArray) -> FloatArray:
        moved = low + (high - low) * position.reshape(-1, len(low))
        return np.concatenate([basis[:n_fixed], moved])

    def objective(position: FloatArray) -> tuple[float, FloatArray]:
        cost, gradient = mean_squared_weights(place(position), components, products)
        cost = max(cost, SMALLEST_COST)  # zero if all test points are
        repulsion, push = _repulsion(position.reshape(-1, len(low)), obstacles)
        slope = gradient[n_fixed:] * (high - low) / cost + push
        return float(np.log(cost)) + repulsion, slope.ravel()

    start = np.clip((basis[n_fixed:] - low) / width, 0.0, 1.0).ravel()
    bounds = [(0.0, 1.0)] * len(start)
    outcome = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxfun": max_evaluations, "maxiter": max_evaluations},
    )
    return np.clip(place(outcome.x), np.minimum(basis, low), np.maximum(basis, high))


def mean_squared_weights(
    basis: FloatArray, components: IntArray, products: FloatArray
) -> tuple[float, FloatArray]:
    """Mean squared morphing weights J of a basis and their derivatives, shape as `basis`.

    `products` are the mean products of the monomials, shape ``(n_components, n_components)``. A
    singular basis has a huge mean and no derivatives.
    """
    scales = np.sqrt(np.diagonal(products))  # removes the units of the parameters
    scales = np.where(scales > 0, scales, 1.0)
    try:
        matrix = np.linalg.inv(monomials(basis, components) / scales)
    except np.linalg.LinAlgError:
        return SINGULAR_COST, np.zeros_like(basis)
    projected = (products / np.outer(scales, scales)) @ matrix
    cost = float(np.sum(matrix * projected))
    if not np.isfinite(cost) or cost > SINGULAR_COST:
        return SINGULAR_COST, np.zeros_like(basis)
    by_factors = -2.0 * (matrix @ matrix.T @ projected).T  # (b, c)
    by_basis = monomial_gradients(basis, components) / scales  # (b, p, c)
    return cost, np.einsum("bc,bpc->bp", by_factors, by_basis)


def _repulsion(positions: FloatArray, obstacles: FloatArray) -> tuple[float, FloatArray]:
    """Sum of exp(-d^2 / 2 l^2) over pairs, and its derivatives (n_positions, n_parameters)."""
    steps = (positions[:, np.newaxis] - obstacles) / REPULSION_LENGTH
    terms = np.exp(-0.5 * np.sum(steps**2, axis=-1))
    return float(terms.sum()), -np.sum(terms[..., np.newaxis] * steps, axis=1) / REPULSION_LENGTH


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
    sums: FloatArray = np.sum(morphing_weights(thetas, components, matrix) ** 2, axis=-1)
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
    rng = random_generator(seed)
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
    step = max(1, NUMBERS_AT_ONCE // components.shape[0] ** 2 // components.shape[1])
    for start in range(0, len(bases), step):
        batch = slice(start, start + step)
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


def largest_squared_weights(
    components: IntArray, matrix: FloatArray, ranges: ArrayLike, *, seed: Seed = 0
) -> tuple[float, FloatArray]:
    r"""Find the maximum of :math:`\sum_b W_b(\theta)^2` over the parameter ranges.

    The best of random points and corners are starts of L-BFGS-B of SciPy.

    Args:
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        seed: Source of randomness.

    Returns:
        The maximum; and the point, shape ``(n_parameters,)``.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> matrix = np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.5], [0.5, -1.0, 0.5]])  # -1, 0, 1
        >>> largest_squared_weights(components, matrix, [(-1.0, 2.0)])
        (19.0, array([2.]))
    """
    from scipy.optimize import minimize  # takes half a second, which few programs need

    low, high = np.asarray(ranges, dtype=np.float64).T
    rng = random_generator(seed)
    size = (N_POINTS, len(low))
    positions = np.concatenate([rng.uniform(size=size), rng.integers(0, 2, size=size)])

    def place(position: FloatArray) -> FloatArray:
        inside: FloatArray = np.clip(low + (high - low) * position, low, high)
        return inside

    def objective(position: FloatArray) -> tuple[float, FloatArray]:
        weights = morphing_weights(place(position), components, matrix)
        gradients = morphing_weight_gradients(place(position), components, matrix)
        size = 1.0 + float(weights @ weights)
        return -float(np.log(size)), -2.0 * (high - low) * (gradients @ weights) / size

    sums = squared_weights(place(positions), components, matrix)
    starts = positions[np.argsort(sums)[::-1][:N_CLIMBS]]
    bounds = [(0.0, 1.0)] * len(low)
    ends = [minimize(objective, start, jac=True, bounds=bounds).x for start in starts]
    points = place(np.concatenate([starts, ends]))
    sums = squared_weights(points, components, matrix)
    best = int(np.argmax(sums))
    return float(sums[best]), points[best]
