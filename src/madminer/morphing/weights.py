r"""Morphing weights: how much each benchmark contributes at a parameter point.

A squared matrix element is a polynomial in theta. With the powers :math:`k_{ci}` of its
components, the weight of an event anywhere follows from its weights at a basis of benchmarks:

.. math::

    w(\theta) = \sum_b W_b(\theta)\, w_b, \qquad
    W_b(\theta) = \sum_c m_c(\theta)\, M_{cb}, \qquad
    m_c(\theta) = \prod_i \theta_i^{k_{ci}}

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray


def monomials(theta: ArrayLike, components: IntArray) -> FloatArray:
    r"""Products of parameter powers, :math:`m_c(\theta) = \prod_i \theta_i^{k_{ci}}`.

    Args:
        theta: Parameter points, shape ``(..., n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.

    Returns:
        Monomials, shape ``(..., n_components)``.

    Raises:
        ShapeError: If the last axes differ.

    Examples:
        >>> monomials([2.0, 3.0], np.array([[0, 0], [1, 0], [1, 2]]))
        array([ 1.,  2., 18.])
    """
    points = _points(theta, components)
    product: FloatArray = np.prod(points[..., np.newaxis, :] ** components, axis=-1)
    return product


def monomial_gradients(theta: ArrayLike, components: IntArray) -> FloatArray:
    r"""Derivatives :math:`\partial m_c / \partial \theta_i`.

    Args:
        theta: Parameter points, shape ``(..., n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.

    Returns:
        Gradients, shape ``(..., n_parameters, n_components)``.

    Raises:
        ShapeError: If the last axes differ.

    Examples:
        >>> monomial_gradients([2.0, 3.0], np.array([[0, 0], [1, 0], [1, 2]]))
        array([[ 0.,  1.,  9.],
               [ 0.,  0., 12.]])
    """
    points = _points(theta, components)
    n_parameters = components.shape[1]
    rows = []
    for i in range(n_parameters):
        lowered = components.copy()
        lowered[:, i] = np.maximum(lowered[:, i] - 1, 0)
        rows.append(components[:, i] * monomials(points, lowered))
    return np.stack(rows, axis=-2)


def morphing_weights(theta: ArrayLike, components: IntArray, matrix: FloatArray) -> FloatArray:
    r"""Weights :math:`W_b(\theta)` of the basis benchmarks.

    Args:
        theta: Parameter points, shape ``(..., n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.

    Returns:
        Weights, shape ``(..., n_basis)``; they sum to one if there is a constant component.

    Raises:
        ShapeError: If the axes do not fit.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> basis = np.array([[-1.0], [0.0], [1.0]])
        >>> matrix = np.linalg.inv(monomials(basis, components))
        >>> morphing_weights([0.5], components, matrix)
        array([-0.125,  0.75 ,  0.375])
    """
    weights: FloatArray = monomials(theta, components) @ matrix
    return weights


def morphing_weight_gradients(
    theta: ArrayLike, components: IntArray, matrix: FloatArray
) -> FloatArray:
    r"""Derivatives :math:`\partial W_b / \partial \theta_i`.

    Args:
        theta: Parameter points, shape ``(..., n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.

    Returns:
        Gradients, shape ``(..., n_parameters, n_basis)``.

    Raises:
        ShapeError: If the axes do not fit.
    """
    gradients: FloatArray = monomial_gradients(theta, components) @ matrix
    return gradients


def _points(theta: ArrayLike, components: IntArray) -> FloatArray:
    points = np.asarray(theta, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != components.shape[1]:
        raise ShapeError(
            f"theta must have {components.shape[1]} parameters in its last axis, as the morphing "
            f"components have; got an array of shape {points.shape}."
        )
    return points
