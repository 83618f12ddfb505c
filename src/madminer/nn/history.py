"""What a training run reports while it runs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from madminer.errors import OptionError
from madminer.text import Table, tables_html

TrainLosses = tuple[float, ...]
ValidationLosses = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """An epoch of training, as callbacks see it right after it has finished.

    Args:
        epoch: Number of the epoch, counted from 0.
        n_epochs: Number of epochs that were asked for.
        train_loss: Mean loss over the training sample while it was being learned.
        validation_loss: Mean loss over the validation sample, None without one.
        learning_rate: Learning rate of the first step.
        is_best: Whether the weights of this epoch are the ones to keep so far.
        seconds: Duration of the epoch in seconds, validation included.

    Examples:
        A tracker is a function of a report:

        >>> report = EpochReport(epoch=0, n_epochs=2, train_loss=0.7, validation_loss=0.6,
        ...     learning_rate=1e-3, is_best=True, seconds=1.5)
        >>> rows = []
        >>> track = lambda report: rows.append((report.epoch, report.validation_loss))
        >>> track(report)
        >>> rows
        [(0, 0.6)]
    """

    epoch: int
    n_epochs: int
    train_loss: float
    validation_loss: float | None
    learning_rate: float
    is_best: bool
    seconds: float


EpochCallback: TypeAlias = Callable[[EpochReport], object]
"""Called after every epoch; what it returns has no effect, what it raises ends the training."""


@dataclass(frozen=True, slots=True, repr=False)
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
        seconds: Duration of the run in seconds, of all its parts if it was resumed.

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
    def summary(self) -> str:
        """How the training ended, in one line."""
        best = self.best_epoch
        losses = f"loss {self.train_losses[best]:.5g}"
        if self.validation_losses[best] is not None:
            losses += f", validation {self.validation_losses[best]:.5g}"
        end = ", stopped early" if self.stopped_early else ""
        return (
            f"{self.n_epochs} epochs in {self.seconds:.3g} s{end}; kept epoch {best + 1} with "
            f"{losses}"
        )

    def __repr__(self) -> str:
        """The end; the losses of all epochs are attributes."""
        return f"TrainingHistory({self.summary})"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{epoch + 1}{' (kept)' if epoch == self.best_epoch else ''}",
                f"{loss:.5g}",
                "" if validated is None else f"{validated:.5g}",
                f"{rate:.3g}",
            )
            for epoch, (loss, validated, rate) in enumerate(
                zip(self.train_losses, self.validation_losses, self.learning_rates, strict=True)
            )
        ]
        columns = ("epoch", "loss", "validation", "learning rate")
        return tables_html([Table(columns, rows, "Training", frozenset(range(4)))], self.summary)

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


def check_callbacks(callbacks: object) -> None:
    """Refuse what is no sequence of callables.

    Raises:
        OptionError: Says what came.
    """
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise OptionError(
            f"callbacks must be a list of callables, got a {type(callbacks).__name__}. Give a "
            f"single one as [callback]."
        )
    for i, callback in enumerate(callbacks):
        if not callable(callback):
            raise OptionError(
                f"callbacks must be callables that take an EpochReport, but callbacks[{i}] is a "
                f"{type(callback).__name__}."
            )
