r"""Information matrices restricted to parameters of interest: projection and profiling.

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261; for profiled scores: Alsing, Wandelt, *Nuisance hardened data compression
    for fast likelihood-free inference*, arXiv:1903.01473.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madminer.checks import real_array, refusal, sequence, whole
from madminer.errors import DataError, ShapeError
from madminer.typing import ArrayLike, FloatArray

__all__ = [
    "as_covariance",
    "as_information",
    "as_components",
    "profile_matrix",
    "profiled",
    "transform_covariance",
    "transform_information",
]

_SYMMETRY = 1e-6


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
