r"""Refinement of a morphing basis: its benchmarks move until the mean squared weights are least.

With the monomials :math:`m_c(\theta)` at test points and their mean products
:math:`A_{cc'} = \langle m_c m_{c'} \rangle`, n bases with the monomials :math:`F_k` at their
benchmarks and :math:`M_k = F_k^{-1} / n` have

.. math::

    J = \Bigl\langle \sum_b W_b(\theta)^2 \Bigr\rangle
      = \sum_k \operatorname{tr} M_k^T A M_k, \qquad
    \frac{\partial J}{\partial F_k} = -2 n \left(M_k M_k^T A M_k\right)^T
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from madminer.morphing.weights import monomial_gradients, monomials
from madminer.typing import FloatArray, IntArray

__all__ = ["mean_squared_weights", "refine_basis"]

SINGULAR_COST = 1e300


def refine_basis(
    basis: FloatArray,
    n_fixed: int,
    components: IntArray,
    ranges: FloatArray,
    test_thetas: FloatArray,
    n_bases: int = 1,
    max_evaluations: int = 100,
) -> FloatArray:
    """Move the benchmarks of a basis to a local minimum of the mean squared weights.

    L-BFGS-B of SciPy with exact gradients, on the logarithm of the mean.

    Args:
        basis: Where to start, shape ``(n_bases * n_components, n_parameters)``.
        n_fixed: Number of benchmarks, the first ones, that stay.
        components: Powers, shape ``(n_components, n_parameters)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        test_thetas: Test points, shape ``(n, n_parameters)``.
        n_bases: Number of bases, which follow each other.
        max_evaluations: Largest number of evaluations of the mean, about.

    Returns:
        The basis that was reached, shape as `basis`.
    """
    low, high = ranges.T
    products = _mean_products(test_thetas, components)

    def place(position: FloatArray) -> FloatArray:
        moved = low + (high - low) * position.reshape(-1, len(low))
        return np.concatenate([basis[:n_fixed], moved])

    def objective(position: FloatArray) -> tuple[float, FloatArray]:
        cost, gradient = mean_squared_weights(place(position), components, products, n_bases)
        return float(np.log(cost)), (gradient[n_fixed:] * (high - low) / cost).ravel()

    width = np.where(high > low, high - low, 1.0)
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
    basis: FloatArray, components: IntArray, products: FloatArray, n_bases: int = 1
) -> tuple[float, FloatArray]:
    """Mean squared morphing weights of a basis and their derivatives.

    Args:
        basis: Benchmarks, shape ``(n_bases * n_components, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        products: Mean products of the monomials, shape ``(n_components, n_components)``.
        n_bases: Number of bases, which follow each other.

    Returns:
        The mean; and its derivatives with respect to `basis`, shape as `basis`. A singular basis
        has a huge mean and no derivatives.
    """
    n_components = len(components)
    scales = np.sqrt(np.diagonal(products))  # removes the units of the parameters
    scales = np.where(scales > 0, scales, 1.0)
    factors = (monomials(basis, components) / scales).reshape(n_bases, n_components, n_components)
    try:
        inverses = np.linalg.inv(factors)
    except np.linalg.LinAlgError:
        return SINGULAR_COST, np.zeros_like(basis)
    matrices = inverses / n_bases
    projected = (products / np.outer(scales, scales)) @ matrices
    cost = float(np.sum(matrices * projected))
    if not np.isfinite(cost) or cost > SINGULAR_COST:
        return SINGULAR_COST, np.zeros_like(basis)
    transposed = matrices.transpose(0, 2, 1)
    by_factors = -2.0 * n_bases * (matrices @ transposed @ projected).transpose(0, 2, 1)
    gradients = monomial_gradients(basis, components) / scales  # (b, p, c)
    by_basis = by_factors.reshape(len(basis), 1, n_components) * gradients
    return cost, by_basis.sum(axis=-1)


def _mean_products(thetas: FloatArray, components: IntArray) -> FloatArray:
    values = monomials(thetas, components)
    products: FloatArray = values.T @ values / len(values)
    return products
