r"""Scores without nuisance parameters: profiled or projected.

With the Fisher information split into parameters of interest (p) and nuisance parameters (n), the
profiled score is

.. math:: t_{prof} = t_p - I_{pn} I_{nn}^{-1} t_n

and the projected one is :math:`t_p`.

References:
    Alsing and Wandelt, *Nuisance hardened data compression for fast likelihood-free inference*,
    arXiv:1903.01473.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madminer.errors import DataError, OptionError, ShapeError
from madminer.typing import FloatArray

__all__ = ["profile_matrix", "project_matrix"]


def project_matrix(n_parameters: int, parameters_of_interest: Sequence[int]) -> FloatArray:
    """Matrix that picks components of the score.

    Args:
        n_parameters: Number of parameters and nuisance parameters.
        parameters_of_interest: Components to keep, in their new order.

    Returns:
        Matrix, shape ``(n_poi, n_parameters)``.

    Raises:
        OptionError: If a component is repeated or does not exist.

    Examples:
        >>> project_matrix(3, [2, 0])
        array([[0., 0., 1.],
               [1., 0., 0.]])
    """
    kept = [int(i) for i in parameters_of_interest]
    if not kept or len(set(kept)) != len(kept) or not set(kept) <= set(range(n_parameters)):
        raise OptionError(
            f"parameters_of_interest must be different numbers from 0 to {n_parameters - 1}, "
            f"got {kept}."
        )
    matrix: FloatArray = np.eye(n_parameters)[kept]
    return matrix


def profile_matrix(
    fisher_information: FloatArray, parameters_of_interest: Sequence[int]
) -> FloatArray:
    r"""Matrix that profiles the score, :math:`t_p - I_{pn} I_{nn}^{-1} t_n`.

    Args:
        fisher_information: Information of one or many events, its size cancels; shape
            ``(n_parameters, n_parameters)``.
        parameters_of_interest: Components to keep, in their new order.

    Returns:
        Matrix, shape ``(n_poi, n_parameters)``.

    Raises:
        ShapeError: If the information is not a square matrix.
        OptionError: If a component is repeated or does not exist.
        DataError: If the information on the nuisance parameters is singular.

    Examples:
        >>> profile_matrix(np.array([[2.0, 1.0], [1.0, 4.0]]), [0])
        array([[ 1.  , -0.25]])
    """
    if fisher_information.ndim != 2 or len(set(fisher_information.shape)) != 1:
        raise ShapeError(
            f"fisher_information must have shape (n_parameters, n_parameters), got "
            f"{fisher_information.shape}."
        )
    if not np.allclose(fisher_information, fisher_information.T, rtol=1e-5):  # also if NaN
        raise DataError("fisher_information must be finite and symmetric.")
    n_parameters = len(fisher_information)
    matrix = project_matrix(n_parameters, parameters_of_interest)
    kept = [int(i) for i in parameters_of_interest]
    others = [i for i in range(n_parameters) if i not in kept]
    block = fisher_information[np.ix_(others, others)]
    if others and not np.linalg.cond(block) < 1.0 / np.finfo(np.float64).eps:
        raise DataError(
            f"The information on the nuisance parameters {others} is singular, so that they cannot "
            f"be profiled. Add their constraint information, or leave those without effect out."
        )
    matrix[:, others] = -np.linalg.solve(block, fisher_information[np.ix_(others, kept)]).T
    return matrix
