r"""Coefficients of the components: another form of the weights at a morphing basis.

The weight of an event is a polynomial in theta, known from its values at a basis or from its
coefficients :math:`a_c`, which some generators give:

.. math::

    w(\theta) = \sum_c a_c \prod_i \theta_i^{k_{ci}}, \qquad
    w_b = w(\theta_b), \qquad a_c = \sum_b M_{cb}\, w_b
"""

from __future__ import annotations

import numpy as np

from madminer.errors import ShapeError
from madminer.morphing.weights import monomials
from madminer.typing import ArrayLike, FloatArray, IntArray

__all__ = ["benchmark_weights_from_coefficients", "coefficients_from_benchmark_weights"]


def benchmark_weights_from_coefficients(
    coefficients: ArrayLike, components: IntArray, thetas: ArrayLike
) -> FloatArray:
    r"""Weights at benchmarks from coefficients, :math:`w_b = \sum_c a_c\, m_c(\theta_b)`.

    Args:
        coefficients: Coefficients of each event in pb, shape ``(..., n_components)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        thetas: Positions of the benchmarks, shape ``(n_benchmarks, n_parameters)``.

    Returns:
        Weights in pb, shape ``(..., n_benchmarks)``.

    Raises:
        ShapeError: If the numbers of components or parameters differ.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> benchmark_weights_from_coefficients([[1.0, 2.0, 3.0]], components, [[0.0], [1.0]])
        array([[1., 6.]])
    """
    given = _with_last_axis(coefficients, len(components), "Coefficients", "components")
    weights: FloatArray = given @ monomials(thetas, components).T
    return weights


def coefficients_from_benchmark_weights(weights: ArrayLike, matrix: FloatArray) -> FloatArray:
    r"""Coefficients of the components from weights at the basis, :math:`a_c = \sum_b M_{cb} w_b`.

    Args:
        weights: Weights of each event at the basis in pb, shape ``(..., n_basis)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.

    Returns:
        Coefficients in pb, shape ``(..., n_components)``.

    Raises:
        ShapeError: If the numbers of benchmarks differ.

    Examples:
        >>> matrix = np.array([[1.0, 0.0], [-1.0, 1.0]])  # components 1, theta; basis 0, 1
        >>> coefficients_from_benchmark_weights([[3.0, 5.0]], matrix)
        array([[3., 2.]])
    """
    given = _with_last_axis(weights, matrix.shape[1], "Weights", "benchmarks of the basis")
    coefficients: FloatArray = given @ matrix.T
    return coefficients


def _with_last_axis(values: ArrayLike, size: int, name: str, of_what: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(
            f"{name} must have one entry for each of {size} {of_what} in their last axis; got an "
            f"array of shape {array.shape}."
        )
    return array
