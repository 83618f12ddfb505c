"""What a training run leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TrainingHistory"]

TrainLosses = tuple[float, ...]
ValidationLosses = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TrainingHistory:
    """Losses of a training run, with an entry per finished epoch.

    It unpacks as the pair (train losses, validation losses).

    Args:
        train_losses: Mean loss over the training sample while it was being learned.
        validation_losses: Mean loss over the validation sample after the epoch; None entries
            without validation sample.
        learning_rates: Learning rate of the first step of each epoch.
        best_epoch: Epoch, counted from 0, whose weights were kept.
        stopped_early: Whether patience ran out before the last epoch.
        seconds: Duration of the run in seconds.

    Examples:
        >>> history = TrainingHistory((0.7, 0.6), (0.65, 0.66), (1e-3, 1e-4), 0, False, 1.5)
        >>> train, validation = history
        >>> validation[history.best_epoch]
        0.65
    """

    train_losses: TrainLosses
    validation_losses: ValidationLosses
    learning_rates: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    seconds: float

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.train_losses)

    def __iter__(self) -> Iterator[TrainLosses | ValidationLosses]:
        """Iterate over the pair (train losses, validation losses)."""
        yield self.train_losses
        yield self.validation_losses

    def __getitem__(self, index: int) -> TrainLosses | ValidationLosses:
        """Take the train (0) or the validation (1) losses."""
        return (self.train_losses, self.validation_losses)[index]

    def __len__(self) -> int:
        """Length as a pair: two."""
        return 2
