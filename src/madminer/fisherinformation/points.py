"""Checks of what users give: parameter points of estimators."""

from __future__ import annotations

import numpy as np

from madminer.checks import real_array, shown
from madminer.errors import SetupError, ShapeError
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, ThetaLike

__all__ = ["model_point"]


def model_point(setup: AnalysisSetup, theta: ThetaLike, n_parameters: int | None) -> FloatArray:
    """Parameter point of an estimator, nuisance parameters at zero.

    Args:
        setup: Setup of the analysis with p theory and k nuisance parameters.
        theta: Name or index of a benchmark, or an array, shape ``(p,)``, or ``(p + k,)`` with
            zeros for the nuisance parameters.
        n_parameters: Number of parameters of the estimator.

    Returns:
        The point, shape ``(p,)`` or ``(p + k,)`` as the estimator needs it.

    Raises:
        SetupError: If the estimator has neither p nor p + k parameters.
        ShapeError: If theta has the wrong shape, or nuisance parameters other than zero.
        UnknownNameError: If there is no such benchmark.
    """
    p, k = setup.n_parameters, setup.n_nuisance_parameters
    if n_parameters not in {p, p + k}:
        raise SetupError(
            f"The estimator has {n_parameters} parameters, but the file has {p} theory parameters "
            f"and {k} nuisance parameters; train it on samples of this file."
        )
    if isinstance(theta, str | int | np.integer):
        theory = setup.theta(theta)
    else:
        point = real_array(theta, "theta")
        if point.shape not in {(p,), (p + k,)} or np.any(point[p:] != 0.0):
            raise ShapeError(
                f"theta must have shape ({p},), or ({p + k},) with zeros for the nuisance "
                f"parameters; got {shown(theta)}."
            )
        theory = setup.theta(point[:p])
    return np.append(theory, np.zeros(n_parameters - p))
