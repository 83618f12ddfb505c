"""Likelihoods of theta and nuisance parameters: from histograms and from networks; fits."""

from __future__ import annotations

from madminer.likelihood.base import BaseLikelihood
from madminer.likelihood.fit import FitResult, Impacts, fit, impacts
from madminer.likelihood.histo import HistoLikelihood
from madminer.likelihood.learned import train_response
from madminer.likelihood.manipulate import (
    fix_params,
    profile_log_likelihood,
    project_log_likelihood,
)
from madminer.likelihood.model import Likelihood
from madminer.likelihood.neural import NeuralLikelihood

__all__ = [
    "BaseLikelihood",
    "FitResult",
    "HistoLikelihood",
    "Impacts",
    "Likelihood",
    "NeuralLikelihood",
    "fit",
    "fix_params",
    "impacts",
    "profile_log_likelihood",
    "project_log_likelihood",
    "train_response",
]
