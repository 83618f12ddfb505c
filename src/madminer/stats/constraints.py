r"""Constraints on nuisance parameters: what is known of them before the measurement.

Each is a standard normal, as nu counts standard deviations of its systematic uncertainty:

.. math::

    \log p(\nu) = -\tfrac12 \sum_j \left(\nu_j^2 + \log 2 \pi\right), \qquad
    \frac{\partial \log p}{\partial \nu_j} = -\nu_j, \qquad I_{jk} = \delta_{jk}
"""

from __future__ import annotations

import numpy as np

from madminer.typing import ArrayLike, FloatArray

__all__ = ["constraint_information", "constraint_score", "log_constraint"]


def log_constraint(nu: ArrayLike) -> FloatArray:
    """Logarithm of the density of the constraints, to be added to a log likelihood.

    Args:
        nu: Nuisance parameters, shape ``(..., v)``.

    Returns:
        Logarithms, shape ``(...)``.

    Examples:
        >>> difference = log_constraint([1.0, -2.0]) - log_constraint([0.0, 0.0])
        >>> float(-2.0 * difference)  # as two measurements one and two standard deviations off
        5.0
    """
    values = np.asarray(nu, dtype=np.float64)
    logs: FloatArray = -0.5 * np.sum(values**2 + np.log(2.0 * np.pi), axis=-1)
    return logs


def constraint_score(nu: ArrayLike) -> FloatArray:
    """Derivatives of `log_constraint`, to be added to a score: ``(..., v)`` to ``(..., v)``."""
    return -np.asarray(nu, dtype=np.float64)


def constraint_information(n_parameters: int, n_nuisance_parameters: int) -> FloatArray:
    """Fisher information of the constraints, to be added to that of the events.

    Args:
        n_parameters: Number p of theory parameters, which have no constraints.
        n_nuisance_parameters: Number v of nuisance parameters.

    Returns:
        Diagonal matrix, shape ``(p + v, p + v)``.

    Examples:
        >>> constraint_information(1, 1)
        array([[0., 0.],
               [0., 1.]])
    """
    return np.diag([0.0] * n_parameters + [1.0] * n_nuisance_parameters)
