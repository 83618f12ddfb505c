"""Kinematic Fisher information from scores."""

from __future__ import annotations

import numpy as np

from madminer.errors import OptionError
from madminer.typing import FloatArray

__all__ = ["kinematic_information"]


def kinematic_information(
    scores: FloatArray, weights: FloatArray, n_events: float, *, sum_events: bool = True
) -> FloatArray:
    r"""Expected Fisher information in the kinematics of a number of events.

    .. math:: I_{ij} = n \sum_e w_e\, t_{ei} t_{ej}, \qquad \sum_e w_e = 1

    Args:
        scores: Scores, shape ``(n_x, n_parameters)``.
        weights: Weights with sum one, shape ``(n_x,)``.
        n_events: Expected number of events n.
        sum_events: Whether to sum; otherwise the terms of the sum are returned.

    Returns:
        Information in inverse squared parameter units, shape ``(n_parameters, n_parameters)``, or
        ``(n_x, n_parameters, n_parameters)`` without sum.

    Raises:
        OptionError: If `n_events` is negative or not finite.

    References:
        Brehmer et al., *Better Higgs boson measurements through information geometry*,
        arXiv:1612.05261.

    Examples:
        >>> kinematic_information(np.array([[1.0], [3.0]]), np.array([0.5, 0.5]), 10.0)
        array([[50.]])
    """
    if not (np.isfinite(n_events) and n_events >= 0.0):
        raise OptionError(f"n_events must be an expected number of events >= 0, got {n_events}.")
    weighted = n_events * weights[:, np.newaxis] * scores
    if sum_events:
        total: FloatArray = weighted.T @ scores
        return (total + total.T) / 2.0
    return weighted[:, :, np.newaxis] * scores[:, np.newaxis, :]
