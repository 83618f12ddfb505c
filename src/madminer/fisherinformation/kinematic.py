r"""Kinematic information from a trained estimator of the score.

.. math:: I_{ij} = n \sum_e w_e\, \hat t_i(x_e)\, \hat t_j(x_e), \qquad \sum_e w_e = 1

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 3; Brehmer et al., *MadMiner*,
    arXiv:1907.10621, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from madminer.errors import DataError, NoEventsError, OptionError
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator, load_estimator
from madminer.typing import FloatArray, StrPath

__all__ = [
    "ScoreModel",
    "estimated_scores",
    "kinematic_information",
    "load_score_model",
    "score_information",
]

ScoreModel = ScoreEstimator | ParameterizedRatioEstimator
"""Estimators whose score gives an information."""


def load_score_model(filename: StrPath) -> ScoreModel:
    """Load an estimator that knows the score.

    Args:
        filename: Saved score estimator or single ratio estimator.

    Returns:
        The estimator.

    Raises:
        OptionError: If the file holds another type of estimator.
    """
    estimator = load_estimator(filename)
    if not isinstance(estimator, ScoreEstimator | ParameterizedRatioEstimator):
        raise OptionError(
            "A Fisher information needs a score estimator or a single parameterized ratio "
            f"estimator, but {filename} holds a {type(estimator).__name__}."
        )
    return estimator


def estimated_scores(estimator: ScoreModel, x: FloatArray, theta: FloatArray) -> FloatArray:
    """Score that an estimator predicts for each event.

    Args:
        estimator: Score estimator (at its own reference point), or single ratio estimator.
        x: Observables, shape ``(n, n_observables)``.
        theta: Point of the score in the estimator's parameters, shape ``(m,)``.

    Returns:
        Scores, shape ``(n, m)``.

    Raises:
        DataError: If a score is not finite.
    """
    point = theta[np.newaxis, :]
    scores = np.asarray(estimator.evaluate_score(x, point, nuisance_mode="keep"), dtype=np.float64)
    n_bad = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
    if n_bad:
        raise DataError(f"The estimated score is not finite for {n_bad} of {len(x)} events.")
    return scores


def score_information(scores: FloatArray, weights: FloatArray) -> FloatArray:
    r"""Sum over events :math:`\sum_e w_e t_{ei} t_{ej}`: ``(n, m)``, ``(n,)`` to ``(m, m)``."""
    information: FloatArray = (scores * weights[:, np.newaxis]).T @ scores
    return 0.5 * (information + information.T)


def kinematic_information(
    estimator: ScoreModel,
    batches: Iterable[tuple[FloatArray, FloatArray]],
    theta: FloatArray,
    n_events: float,
) -> FloatArray:
    """Information in the kinematics of an expected number of events.

    Args:
        estimator: Score estimator or single ratio estimator.
        batches: Observables, shape ``(n, n_observables)``, and weights at theta, shape ``(n,)``,
            in any normalisation; the result does not depend on how events are batched.
        theta: Parameter point of the estimator, shape ``(m,)``.
        n_events: Expected number of events.

    Returns:
        Information, shape ``(m, m)``.

    Raises:
        NoEventsError: If the weights do not add up to a positive number.
    """
    total, weight_sum = np.zeros((len(theta), len(theta))), 0.0
    for x, weights in batches:
        if len(x):
            total += score_information(estimated_scores(estimator, x, theta), weights)
            weight_sum += float(weights.sum())
    if weight_sum <= 0.0:
        raise NoEventsError(
            f"The weights of the events add up to {weight_sum}; a Fisher information needs events "
            "with a positive total."
        )
    information: FloatArray = n_events / weight_sum * total
    return information
