r"""Refinement of a morphing basis: its benchmarks move until the mean squared weights are least.

With the monomials :math:`m_c(\theta)` at test points and their mean products
:math:`A_{cc'} = \langle m_c m_{c'} \rangle`, a basis with the matrix :math:`M = F^{-1}` has

.. math::

    J = \Bigl\langle \sum_b W_b(\theta)^2 \Bigr\rangle = \operatorname{tr} M^T A M, \qquad
    \frac{\partial J}{\partial F} = -2 \left(M M^T A M\right)^T
"""

from __future__ import annotations

import numpy as np

from madminer.morphing.weights import monomial_gradients, monomials
from madminer.typing import FloatArray, IntArray

__all__ = ["mean_squared_weights", "refine_basis"]

SINGULAR_COST = 1e300
SMALLEST_COST = 1e-300
REPULSION_LENGTH = 0.1


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

    Args:
        basis: Where to start, shape ``(n_components, n_parameters)``.
        n_fixed: Number of benchmarks, the first ones, that stay.
        components: Powers, shape ``(n_components, n_parameters)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        test_thetas: Test points, shape ``(n, n_parameters)``.
        others: Benchmarks to keep away from, shape ``(n_others, n_parameters)``, since the same
            benchmark in two bases adds nothing.
        max_evaluations: Largest number of evaluations of the mean, about.

    Returns:
        The basis that was reached, shape as `basis`.
    """
    from scipy.optimize import minimize  # takes half a second, which few programs need

    low, high = ranges.T
    width = np.where(high > low, high - low, 1.0)
    obstacles = (others - low) / width
    products = _mean_products(test_thetas, components)

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
    """Mean squared morphing weights of a basis and their derivatives.

    Args:
        basis: Benchmarks, shape ``(n_components, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        products: Mean products of the monomials, shape ``(n_components, n_components)``.

    Returns:
        The mean; and its derivatives with respect to `basis`, shape as `basis`. A singular basis
        has a huge mean and no derivatives.
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


def _mean_products(thetas: FloatArray, components: IntArray) -> FloatArray:
    values = monomials(thetas, components)
    products: FloatArray = values.T @ values / len(values)
    return products
