r"""The polynomial of morphing: its components, and the weights of benchmarks at parameter points.

A squared matrix element is a polynomial in theta. With the powers :math:`k_{ci}` of its
components, the weight of an event anywhere follows from its weights at a basis of benchmarks, or
from its coefficients :math:`a_c`, which some generators give:

.. math::

    w(\theta) = \sum_b W_b(\theta)\, w_b = \sum_c a_c\, m_c(\theta), \qquad
    W_b(\theta) = \sum_c m_c(\theta)\, M_{cb}, \qquad
    m_c(\theta) = \prod_i \theta_i^{k_{ci}}

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import shown
from madminer.errors import OptionError, ShapeError
from madminer.typing import FloatArray, IntArray

MAX_COMPONENTS = 2000
"""Components beyond which morphing is refused: events have a weight for each of them."""

_OF_THETA = "theta must have {} parameters in its last axis, as the morphing components have"
_OF_COEFFICIENTS = "Coefficients must have one entry for each of {} components in their last axis"
_OF_WEIGHTS = (
    "Weights must have one entry for each of {} benchmarks of the basis in their last axis"
)


def morphing_components(max_powers: Sequence[int], max_overall_power: int) -> IntArray:
    r"""All powers :math:`k` with :math:`k_i \leq K_i` and :math:`\sum_i k_i \leq K`.

    Args:
        max_powers: Largest power :math:`K_i` of each parameter, shape ``(n_parameters,)``.
        max_overall_power: Largest sum of powers :math:`K`.

    Returns:
        Powers, the last parameter fastest, shape ``(n_components, n_parameters)``.

    Raises:
        OptionError: If a power is negative, there are no parameters, or there would be more than
            `MAX_COMPONENTS`.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.

    Examples:
        >>> morphing_components((2, 2), 2).tolist()
        [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]
    """
    if not max_powers or min(max_powers) < 0 or max_overall_power < 0:
        raise OptionError(
            f"Morphing needs at least one parameter and powers of zero or more, got the largest "
            f"powers {list(max_powers)} and the overall power {max_overall_power}."
        )
    powers = np.zeros((1, 0), dtype=np.int64)
    remaining = np.array([min(max_overall_power, sum(max_powers), MAX_COMPONENTS)])
    for largest in max_powers:
        n_choices = np.minimum(min(largest, MAX_COMPONENTS), remaining) + 1
        if n_choices.sum() > MAX_COMPONENTS:
            raise OptionError(
                f"Morphing has {MAX_COMPONENTS} components at most, but {len(max_powers)} "
                f"parameters with the largest powers {shown(list(max_powers))} and the overall "
                f"power {max_overall_power} have more. Each needs a benchmark of its own: lower "
                f"max_overall_power or the parameters' max_power, or take fewer parameters."
            )
        rows = np.repeat(np.arange(len(powers)), n_choices)
        choice = np.arange(len(rows)) - np.repeat(np.cumsum(n_choices) - n_choices, n_choices)
        powers = np.column_stack([powers[rows], choice])
        remaining = remaining[rows] - choice
    return powers


def coupling_components(
    n_production: int, n_decay: int, n_shared: int, max_power: float = math.inf
) -> IntArray:
    r"""Powers of the couplings in a production followed by a decay.

    They are the monomials of

    .. math:: \Bigl(\sum g_p + \sum g_s\Bigr)^2 \Bigl(\sum g_d + \sum g_s\Bigr)^2,

    where a factor without couplings is one.

    Args:
        n_production: Number of couplings :math:`g_p` that only enter the production.
        n_decay: Number of couplings :math:`g_d` that only enter the decay.
        n_shared: Number of couplings :math:`g_s` that enter both.
        max_power: Largest power of each coupling but the first of its group.

    Returns:
        Powers with the columns decay, production, shared and the rows in falling lexicographic
        order, shape ``(n_components, n_decay + n_production + n_shared)``.

    Raises:
        OptionError: If a number is negative or there are no couplings.

    Examples:
        >>> coupling_components(n_production=1, n_decay=2, n_shared=0).tolist()
        [[2, 0, 2], [1, 1, 2], [0, 2, 2]]
    """
    sizes = (n_decay, n_production, n_shared)
    if min(sizes) < 0 or sum(sizes) == 0:
        raise OptionError(
            f"Morphing in couplings needs at least one, got {n_production} in the production, "
            f"{n_decay} in the decay and {n_shared} in both."
        )
    decay = range(n_decay)
    production = range(n_decay, n_decay + n_production)
    shared = range(n_decay + n_production, sum(sizes))
    in_decay = _quadratic([*decay, *shared], sum(sizes))
    in_production = _quadratic([*production, *shared], sum(sizes))
    products = (in_decay[:, np.newaxis] + in_production).reshape(-1, sum(sizes))
    components = np.unique(products, axis=0)[::-1]
    bounded = [i for group in (decay, production, shared) for i in group[1:]]
    return components[np.all(components[:, bounded] <= max_power, axis=1)]


def _quadratic(columns: Sequence[int], n_columns: int) -> IntArray:
    """Monomials of the squared sum of some couplings; one if there are none of them."""
    degree = 2 if columns else 0
    pairs = combinations_with_replacement(columns, degree)
    return np.array([[pair.count(i) for i in range(n_columns)] for pair in pairs])


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
    points = _of_size(theta, components.shape[1], _OF_THETA)
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
    points = _of_size(theta, components.shape[1], _OF_THETA)
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
    given = _of_size(coefficients, len(components), _OF_COEFFICIENTS)
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
    given = _of_size(weights, matrix.shape[1], _OF_WEIGHTS)
    coefficients: FloatArray = given @ matrix.T
    return coefficients


def _of_size(values: ArrayLike, size: int, rule: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(f"{rule.format(size)}; got an array of shape {array.shape}.")
    return array
