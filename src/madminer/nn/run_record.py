"""What is known of a training run from the losses of its epochs: the best one, and its end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from madminer.errors import TrainingError
from madminer.nn.convergence import training_weakness
from madminer.nn.history import TrainingHistory
from madminer.nn.optimizers import learning_rates_of_epoch
from madminer.nn.settings import TrainingSettings

_TRY = (
    "Try a lower initial_lr, clip_gradient=1.0, scaled inputs, or a lower alpha, and look for "
    "outliers in r_xz and t_xz."
)


@dataclass(slots=True)
class RunRecord:
    """Losses of the finished epochs of a run, and what follows from them.

    Args:
        settings: How the network is trained.
        n_events: Number of events in the training sample.

    Attributes:
        best_epoch: The epoch whose weights are to be kept, counted from 0; -1 before the first.
        best_loss: Its validation loss; infinite without validation.
        seconds_before: Duration of earlier parts of the run.

    Examples:
        >>> record = RunRecord(TrainingSettings(n_epochs=5, early_stopping_patience=0), 100)
        >>> [record.add(0.9, 0.8), record.add(0.8, 0.85)]
        [True, False]
        >>> record.is_over, record.history().best_epoch
        (True, 0)
    """

    settings: TrainingSettings
    n_events: int
    learning_rates: list[float] = field(default_factory=list, init=False)
    train_losses: list[float] = field(default_factory=list, init=False)
    validation_losses: list[float | None] = field(default_factory=list, init=False)
    best_epoch: int = field(default=-1, init=False)
    best_loss: float = field(default=math.inf, init=False)
    seconds_before: float = field(default=0.0, init=False)
    _start: float = field(default_factory=time.perf_counter, init=False, repr=False)

    @property
    def n_finished(self) -> int:
        """Number of finished epochs."""
        return len(self.train_losses)

    @property
    def is_exhausted(self) -> bool:
        """Whether patience has run out."""
        patience = self.settings.early_stopping_patience
        return patience is not None and self.n_finished - 1 - self.best_epoch > patience

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done or patience has run out."""
        return self.n_finished == self.settings.n_epochs or self.is_exhausted

    @property
    def seconds(self) -> float:
        """Duration so far, of all parts of the run."""
        return self.seconds_before + time.perf_counter() - self._start

    def rates(self, epoch: int) -> list[float]:
        """Learning rates of the steps of an epoch."""
        settings = self.settings
        rates: list[float] = learning_rates_of_epoch(
            settings.scheduler,
            settings.initial_lr,
            settings.final_lr,
            settings.n_epochs,
            -(-self.n_events // settings.batch_size),
            epoch,
        ).tolist()
        return rates

    def add(self, train: float, validated: float | None, *, finite_weights: bool = True) -> bool:
        """Take the losses of an epoch.

        Args:
            train: Mean loss over the training sample.
            validated: Mean loss over the validation sample, None without one.
            finite_weights: Whether no weight is NaN or infinite.

        Returns:
            Whether its weights are the ones to keep so far.

        Raises:
            TrainingError: If a loss or a weight is not finite; says what to try.
        """
        epoch = self.n_finished
        for name, loss in (("training", train), ("validation", validated)):
            if loss is not None and not math.isfinite(loss):
                raise TrainingError(self._divergence(f"{name} loss became {loss}"))
        if not finite_weights:
            raise TrainingError(self._divergence("weights became nan or infinite"))
        self.learning_rates.append(self.rates(epoch)[0])
        self.train_losses.append(train)
        self.validation_losses.append(validated)
        if validated is None or not self.settings.early_stopping or validated < self.best_loss:
            self.best_epoch = epoch
            self.best_loss = math.inf if validated is None else validated
        return self.best_epoch == epoch

    def history(self) -> TrainingHistory:
        """Collect what the run leaves behind."""
        return TrainingHistory(
            train_losses=tuple(self.train_losses),
            validation_losses=tuple(self.validation_losses),
            learning_rates=tuple(self.learning_rates),
            best_epoch=self.best_epoch,
            stopped_early=self.n_finished < self.settings.n_epochs,
            seconds=self.seconds,
        )

    def weakness(self, answer: tuple[str, float] | None) -> str | None:
        """What shows that the run has diverged, learned nothing, or ended too early.

        Args:
            answer: What a network says that has learned nothing, and its loss; None if unknown.
        """
        reach = math.fsum(rate for epoch in range(self.n_finished) for rate in self.rates(epoch))
        if self.settings.optimizer == "sgd":
            reach = math.inf  # the rates multiply gradients, which do not tell how far weights go
        return training_weakness(self.history(), answer, reach)

    def _divergence(self, what: str) -> str:
        best = self.best_epoch
        kept = "the initial weights" if best < 0 else f"the weights of epoch {best + 1}"
        return f"The {what} in epoch {self.n_finished + 1}; {kept} were kept. {_TRY}"
