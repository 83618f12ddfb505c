"""Machine learning: estimators of scores and likelihood ratios, trained on augmented data."""

from __future__ import annotations

from madminer.ml.base import ConditionalEstimator, Estimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.calibrated_ratio import CalibratedRatio
from madminer.ml.calibrated_score import CalibratedScore
from madminer.ml.double_parameterized_ratio import DoubleParameterizedRatioEstimator
from madminer.ml.ensemble import Ensemble
from madminer.ml.first_release import EnsembleForge, MLForge
from madminer.ml.likelihood import LikelihoodEstimator
from madminer.ml.lookup import load_estimator
from madminer.ml.morphing_aware import (
    MorphingAwareRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
)
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.score import ScoreEstimator

__all__ = [
    "CalibratedRatio",
    "CalibratedScore",
    "ConditionalEstimator",
    "DoubleParameterizedRatioEstimator",
    "Ensemble",
    "EnsembleForge",
    "Estimator",
    "LikelihoodEstimator",
    "MLForge",
    "MorphingAwareRatioEstimator",
    "ParameterizedRatioEstimator",
    "QuadraticMorphingAwareRatioEstimator",
    "ScoreEstimator",
    "TheresAGoodReasonThisDoesntWork",
    "load_estimator",
]
