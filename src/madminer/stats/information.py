r"""Fisher information of Poisson rates and of scores, and its statistical covariance.

A cell (an event, a bin, the whole sample) with cross section sigma and gradient g = d sigma in
the parameters contributes, at luminosity L,

.. math:: I_{ij} = L \frac{g_i g_j}{\sigma}

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. II; for profiled scores: Alsing, Wandelt, *Nuisance hardened data
    compression for fast likelihood-free inference*, arXiv:1903.01473.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import number, real_array, refusal, sequence, whole
from madminer.errors import DataError, ShapeError
from madminer.typing import FloatArray, IntArray

_BUDGET = 2**21  # numbers held in temporary arrays
_RESOLVED = 1e-4  # share of the largest information below which a direction holds none

_SYMMETRY = 1e-6


def cell_information(sigma: FloatArray, gradient: FloatArray, luminosity: float) -> FloatArray:
    r"""Fisher information of each cell, :math:`I_{kij} = L g_{ki} g_{kj} / \sigma_k`.

    Args:
        sigma: Cross sections in pb, shape ``(n_cells,)``; a cell with zero gives nothing.
        gradient: Derivatives of sigma in pb, shape ``(n_cells, m)``.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information of each cell, shape ``(n_cells, m, m)``.

    Raises:
        ShapeError: If the shapes do not fit.

    Examples:
        >>> cell_information(np.array([2.0, 0.0]), np.array([[4.0], [0.0]]), 10.0)[:, 0, 0]
        array([80.,  0.])
    """
    inverse = _inverse(sigma, gradient)
    scaled: FloatArray = luminosity * inverse[:, np.newaxis, np.newaxis]
    return scaled * gradient[:, :, np.newaxis] * gradient[:, np.newaxis, :]


def cell_information_covariance(
    sigma: FloatArray,
    gradient: FloatArray,
    sigma_jacobian: FloatArray,
    gradient_jacobian: FloatArray,
    products: FloatArray,
    luminosity: float,
) -> FloatArray:
    r"""Covariance of the summed information of cells, propagated from their sums of weights.

    .. math::

        \mathrm{Cov}_{ijkl} = \sum_\mathrm{cells} J_{ijb} V_{bc} J_{klc}, \qquad
        J_{ijb} = L \left[ \frac{G_{ib} g_j + G_{jb} g_i}{\sigma}
                  - \frac{W_b g_i g_j}{\sigma^2} \right]

    Args:
        sigma: Cross sections, shape ``(n_cells,)``.
        gradient: Derivatives of sigma, shape ``(n_cells, m)``.
        sigma_jacobian: Derivatives W of sigma in the sums of weights, shape ``(b,)``.
        gradient_jacobian: Derivatives G of the gradient, shape ``(n_cells, m, b)`` or ``(m, b)``.
        products: Sums V over events of products of two weights, shape ``(n_cells, b, b)``.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Covariance, shape ``(m, m, m, m)``.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    inverse = _inverse(sigma, gradient)
    m, b = gradient.shape[1], sigma_jacobian.shape[0]
    if products.shape != (*sigma.shape, b, b) or gradient_jacobian.shape[-2:] != (m, b):
        raise ShapeError(
            f"Expected products {(*sigma.shape, b, b)} and a gradient jacobian (..., {m}, {b}), "
            f"got {products.shape} and {gradient_jacobian.shape}."
        )
    rows, columns = symmetric_pairs(m)
    score = gradient * inverse[:, np.newaxis]
    slopes = np.broadcast_to(gradient_jacobian, (len(sigma), m, b))
    total = np.zeros((len(rows), len(rows)))
    step = max(1, _BUDGET // (len(rows) * b))
    for start in range(0, len(sigma), step):
        cells = slice(start, start + step)
        t, G = score[cells, :, np.newaxis], slopes[cells]
        J = G[:, rows] * t[:, columns] + G[:, columns] * t[:, rows]
        J -= t[:, rows] * t[:, columns] * sigma_jacobian
        JV = J @ products[cells]
        total += np.tensordot(JV, J, axes=([0, 2], [0, 2]))
    return luminosity**2 * unfold_pairs(total)


def event_information(sigma: FloatArray, gradient: FloatArray, luminosity: float) -> FloatArray:
    r"""Information summed over events that are cells of their own.

    Args:
        sigma: Weights of the events in pb, shape ``(n,)``.
        gradient: Derivatives of the weights in pb, shape ``(n, m)``.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information, shape ``(m, m)``.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    score = gradient * _inverse(sigma, gradient)[:, np.newaxis]
    information: FloatArray = luminosity * (score.T @ gradient)
    return 0.5 * (information + information.T)


def event_information_covariance(
    sigma: FloatArray, gradient: FloatArray, luminosity: float
) -> FloatArray:
    r"""Covariance of :func:`event_information`.

    The information of an event is homogeneous of degree one in its weights, so that Euler's
    theorem contracts :math:`J V J` with :math:`V_{bc} = w_b w_c` exactly:

    .. math:: \mathrm{Cov}_{ijkl} = \sum_e I_{eij} I_{ekl}

    Args:
        sigma: Weights of the events in pb, shape ``(n,)``.
        gradient: Derivatives of the weights in pb, shape ``(n, m)``.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Covariance, shape ``(m, m, m, m)``.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    score = gradient * _inverse(sigma, gradient)[:, np.newaxis]
    rows, columns = symmetric_pairs(gradient.shape[1])
    total = np.zeros((len(rows), len(rows)))
    step = max(1, _BUDGET // len(rows))
    for start in range(0, len(sigma), step):
        events = slice(start, start + step)
        single = score[events][:, rows] * gradient[events][:, columns]
        total += single.T @ single
    return luminosity**2 * unfold_pairs(total)


def score_moment(scores: FloatArray, weights: FloatArray) -> FloatArray:
    r"""Sum over events :math:`\sum_e w_e t_{ei} t_{ej}`: ``(n, m)``, ``(n,)`` to ``(m, m)``."""
    moment: FloatArray = (scores * weights[:, np.newaxis]).T @ scores
    return 0.5 * (moment + moment.T)


def kinematic_information(
    scores: FloatArray, weights: FloatArray, n_events: float, *, sum_events: bool = True
) -> FloatArray:
    r"""Expected Fisher information in the kinematics of a number of events.

    .. math:: I_{ij} = n \sum_e w_e\, t_{ei} t_{ej}, \qquad \sum_e w_e = 1

    Args:
        scores: Scores, shape ``(n_x, m)``.
        weights: Weights with sum one, shape ``(n_x,)``.
        n_events: Expected number of events n.
        sum_events: Whether to sum; otherwise the terms of the sum are returned.

    Returns:
        Information in inverse squared parameter units, shape ``(m, m)``, or ``(n_x, m, m)``
        without sum.

    Raises:
        OptionError: If `n_events` is negative or not finite.

    Examples:
        >>> kinematic_information(np.array([[1.0], [3.0]]), np.array([0.5, 0.5]), 10.0)
        array([[50.]])
    """
    scaled = number(n_events, "n_events", 0.0) * weights
    if sum_events:
        return score_moment(scores, scaled)
    return (scaled[:, np.newaxis] * scores)[:, :, np.newaxis] * scores[:, np.newaxis, :]


def direction_of_largest_ratio(information: FloatArray, bound: FloatArray) -> FloatArray:
    r"""Direction v in which an information is largest relative to another one.

    .. math:: v = \arg\max \frac{v^T I v}{v^T B v}

    It does not depend on the units of the parameters. Parameters without any information in the
    bound are left out.

    Args:
        information: Information I, shape ``(m, m)``.
        bound: Information B to compare with, shape ``(m, m)``.

    Returns:
        Unit vector, shape ``(m,)``; zero if there is no information in the bound.

    Examples:
        >>> direction_of_largest_ratio(np.diag([1.0, 3.0]), np.diag([1.0, 2.0])).round(6)
        array([0., 1.])
    """
    diagonal = np.maximum(np.diagonal(bound), 0.0)
    scale = np.divide(1.0, np.sqrt(diagonal), out=np.zeros(len(bound)), where=diagonal > 0.0)
    values, vectors = np.linalg.eigh(bound * np.outer(scale, scale))
    whitening = vectors / np.sqrt(np.maximum(values, _RESOLVED * max(values[-1], 1e-300)))
    axes = scale[:, np.newaxis] * whitening
    best: FloatArray = axes @ np.linalg.eigh(axes.T @ information @ axes)[1][:, -1]
    length = float(np.linalg.norm(best))
    if not length:
        return best
    direction: FloatArray = best / (length * np.sign(best[np.argmax(np.abs(best))]))
    return direction


def symmetric_pairs(m: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the upper triangle of an ``(m, m)`` matrix, each ``(m (m + 1) / 2,)``."""
    return np.triu_indices(m)


def unfold_pairs(covariance: FloatArray) -> FloatArray:
    """Covariance of a symmetric matrix from the covariance of its upper triangle.

    Args:
        covariance: Shape ``(n_pairs, n_pairs)`` in the order of :func:`symmetric_pairs`.

    Returns:
        Shape ``(m, m, m, m)``.
    """
    n_pairs = covariance.shape[0]
    m = int(np.sqrt(2 * n_pairs))  # m (m + 1) / 2 = n_pairs
    index = np.zeros((m, m), dtype=np.int64)
    rows, columns = symmetric_pairs(m)
    index[rows, columns] = index[columns, rows] = np.arange(n_pairs)
    return covariance[index[:, :, np.newaxis, np.newaxis], index]


def _inverse(sigma: FloatArray, gradient: FloatArray) -> FloatArray:
    if sigma.ndim != 1 or gradient.ndim != 2 or len(gradient) != len(sigma):
        raise ShapeError(
            f"Expected cross sections (n,) and gradients (n, m), got {sigma.shape} and "
            f"{gradient.shape}."
        )
    return np.divide(1.0, sigma, out=np.zeros(sigma.shape), where=sigma != 0.0)


def profile_matrix(information: FloatArray, kept: Sequence[int]) -> FloatArray:
    r"""Matrix that profiles the other parameters out of a score or an information.

    .. math:: A = (1, -I_{pn} I_{nn}^{-1}), \qquad t_\mathrm{prof} = A t, \qquad
              I_\mathrm{prof} = A I A^T = I_{pp} - I_{pn} I_{nn}^{-1} I_{np}

    Args:
        information: Fisher information, shape ``(n, n)``.
        kept: Parameters of interest p; the others n are profiled.

    Returns:
        A with the columns in the order of `information`, shape ``(n_kept, n)``.

    Raises:
        DataError: If the block of the profiled parameters is singular: the data do not
            constrain them.
    """
    n = len(information)
    others = [i for i in range(n) if i not in set(kept)]
    matrix = np.zeros((len(kept), n))
    matrix[np.arange(len(kept)), kept] = 1.0
    if not others:
        return matrix
    block = information[np.ix_(others, others)]
    _check_regular(block, others)
    matrix[:, others] = -np.linalg.solve(block, information[np.ix_(others, kept)]).T
    return matrix


def profiled(information: FloatArray, kept: Sequence[int]) -> FloatArray:
    """Information on the kept parameters after profiling the others, ``(n_kept, n_kept)``.

    Raises:
        DataError: If the block of the profiled parameters is singular.
    """
    return transform_information(information, profile_matrix(information, kept))


def transform_information(information: FloatArray, matrix: FloatArray) -> FloatArray:
    r""":math:`A I A^T`, symmetric, for a matrix A of shape ``(m, n)``."""
    result: FloatArray = matrix @ information @ matrix.T
    return 0.5 * (result + result.T)


def transform_covariance(covariance: FloatArray, matrix: FloatArray) -> FloatArray:
    r"""Covariance of :math:`A I A^T` from that of I.

    Profiling is linear in small changes of the information, with this same matrix:
    :math:`d(I_{pp} - I_{pn} I_{nn}^{-1} I_{np}) = A\, dI\, A^T`.

    Args:
        covariance: Covariance of I, shape ``(n, n, n, n)``.
        matrix: A, shape ``(m, n)``.

    Returns:
        Covariance, shape ``(m, m, m, m)``.
    """
    result: FloatArray = np.einsum(
        "ai,bj,ijkl,ck,dl->abcd", matrix, matrix, covariance, matrix, matrix, optimize=True
    )
    return result


def unit_scales(information: FloatArray) -> FloatArray:
    r"""Standard deviations with all others fixed, :math:`1 / \sqrt{I_{ii}}`, 1 where that is 0."""
    diagonal = np.diagonal(information)
    return 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))


def as_information(information: ArrayLike) -> FloatArray:
    """Check a Fisher information: square, finite, symmetric.

    Raises:
        ShapeError: If it is not a square matrix.
        DataError: If it is not finite and symmetric.
    """
    matrix = real_array(information, "A Fisher information")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ShapeError(f"A Fisher information has shape (n, n), got {matrix.shape}.")
    if not np.all(np.isfinite(matrix)):
        raise DataError("The Fisher information has entries that are not finite.")
    if np.max(np.abs(matrix - matrix.T)) > _SYMMETRY * np.max(np.abs(matrix)):
        raise DataError("The Fisher information is not symmetric.")
    return matrix


def as_semidefinite(information: ArrayLike) -> FloatArray:
    """Check a Fisher information of which parameters are profiled: of no direction negative.

    Raises:
        ShapeError: If it is not a square matrix.
        DataError: If it is not finite, symmetric and positive semidefinite.
    """
    matrix = as_information(information)
    scale = unit_scales(np.abs(matrix))  # units of the parameters do not count
    smallest = float(np.linalg.eigvalsh(matrix * np.outer(scale, scale))[0])
    if smallest < -_SYMMETRY * len(matrix):
        raise DataError(
            f"The Fisher information is not positive semidefinite, as the mean product of scores "
            f"is: with a diagonal of ones its smallest eigenvalue is {smallest:.3g}. Check where "
            f"it comes from; events of negative weight, or differences of informations, can do it."
        )
    return matrix


def as_covariance(covariance: ArrayLike, n: int) -> FloatArray:
    """Check the covariance of an information of `n` parameters: finite, ``(n, n, n, n)``.

    Raises:
        ShapeError: If the shape is another.
        DataError: If it is not finite.
    """
    tensor = real_array(covariance, "The covariance of an information")
    if tensor.shape != (n, n, n, n):
        raise ShapeError(
            f"The covariance of an information ({n}, {n}) has shape {(n, n, n, n)}, "
            f"got {tensor.shape}."
        )
    if not np.all(np.isfinite(tensor)):
        raise DataError("The covariance of the information has entries that are not finite.")
    return tensor


def as_components(
    components: Sequence[int], n: int, name: str = "remaining_components"
) -> list[int]:
    """Check the indices of parameters that remain.

    Args:
        components: The indices.
        n: Number of parameters.
        name: What the user calls the indices.

    Returns:
        The indices.

    Raises:
        OptionError: If there are none, or one is repeated or not between 0 and ``n - 1``.
    """

    def position(value: object, name: str) -> int:
        return whole(value, name, 0, n - 1)

    kept = sequence(components, name, position)
    if not kept or len(set(kept)) != len(kept):
        expected = f"a list of different numbers from 0 to {n - 1}"
        raise refusal(name, expected, components)
    return kept


def _check_regular(block: FloatArray, others: Sequence[int]) -> None:
    scale = np.sqrt(np.abs(np.diag(block)))
    if np.all(scale > 0.0):  # the condition number should not depend on units
        condition = np.linalg.cond(block / np.outer(scale, scale))
        if condition < 1e12:
            return
    raise DataError(
        f"The information on the profiled parameters {list(others)} is singular: the data leave "
        "some of them free. Add their constraints (nuisance_constraint_information) or leave "
        "them out."
    )
