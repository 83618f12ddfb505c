"""Neural networks: losses, optimisers, schedules and the training loop.

Nothing here knows of files or of physics beyond the symbols of the papers.
"""

from __future__ import annotations

from madminer.nn.activations import ACTIVATIONS
from madminer.nn.data import Dataset
from madminer.nn.history import EpochReport, TrainingHistory
from madminer.nn.loop import fit
from madminer.nn.networks import MLP
from madminer.nn.optimizers import OPTIMIZERS, SCHEDULES, TrainingSettings, learning_rates
from madminer.nn.scaling import Standardization, fit_standardization

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "OPTIMIZERS",
    "SCHEDULES",
    "Dataset",
    "EpochReport",
    "Standardization",
    "TrainingHistory",
    "TrainingSettings",
    "fit",
    "fit_standardization",
    "learning_rates",
]
