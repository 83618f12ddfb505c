"""Which loop trains an estimator: its own, or one that it shares with others of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from madminer.nn.data import Dataset
from madminer.nn.history import EpochCallback, TrainingHistory
from madminer.nn.loop import BatchLoss, TrivialAnswer, fit
from madminer.nn.optimizers import TrainingSettings
from madminer.nn.run_state import CheckpointSettings


class Fit(Protocol):
    """Trains a network, as `madminer.nn.fit` does."""

    def __call__(
        self,
        network: nn.Module,
        batch_loss: BatchLoss,
        training: Dataset,
        validation: Dataset | None,
        settings: TrainingSettings,
        *,
        generator: torch.Generator,
        callbacks: Sequence[EpochCallback] = (),
        checkpoint: CheckpointSettings | None = None,
        on_epoch: Callable[[int], None] | None = None,
        trivial: TrivialAnswer | None = None,
    ) -> TrainingHistory:
        """Train the network."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop for a network that is ready to be trained.

    Args:
        fit: Trains it.
        n_networks: Number of networks that train together.
    """

    fit: Fit = fit
    n_networks: int = 1


_ALONE = Loop()
shared_loop: ContextVar[Loop] = ContextVar("shared_loop", default=_ALONE)
"""The loop of the trainings in this context."""
