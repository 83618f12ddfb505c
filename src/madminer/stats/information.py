r"""Fisher information of Poisson rates, and its statistical covariance.

A cell (an event, a bin, the whole sample) with cross section sigma and gradient g = d sigma in
the parameters contributes, at luminosity L,

.. math:: I_{ij} = L \frac{g_i g_j}{\sigma}

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. II.
"""

from __future__ import annotations

import numpy as np

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

__all__ = [
    "cell_information",
    "cell_information_covariance",
    "direction_of_largest_ratio",
    "event_information",
    "event_information_covariance",
    "symmetric_pairs",
    "unfold_pairs",
]

_BUDGET = 2**21  # numbers held in temporary arrays
_RESOLVED = 1e-4  # share of the largest information below which a direction holds none


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
