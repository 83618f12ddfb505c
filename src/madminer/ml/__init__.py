"""Machine learning: estimators of scores and likelihood ratios, trained on augmented data."""

from __future__ import annotations

from madminer.ml.base import ConditionalEstimator, Estimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.lookup import load_estimator
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.score import ScoreEstimator

__all__ = [
    "ConditionalEstimator",
    "Estimator",
    "ParameterizedRatioEstimator",
    "ScoreEstimator",
    "TheresAGoodReasonThisDoesntWork",
    "load_estimator",
]
