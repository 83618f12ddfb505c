r"""What a training run reports while it runs, what it leaves behind, and what its losses say.

A network that learns lowers the loss from that of a trivial answer, T, towards a limit that is not
known. Its training was not long enough if the last epoch is the best, and

- the loss still falls by more than a tenth of :math:`T - L` in as many epochs as there were, at
  the pace of the last quarter of them; or
- the weights cannot have gone far from where they began at random: Adam moves a weight by about
  the learning rate in a step.

On toys with known scores and ratios no training of SALLY, ALICE, ALICES or a density with the
recommended settings met any of them (50 trainings), and those of few epochs did. The losses of ROLR
and RASCAL fluctuate with the largest ratios, and these often need more epochs than recommended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from madminer.errors import OptionError, TrainingError
from madminer.nn.optimizers import TrainingSettings, learning_rates_of_epoch
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


_GROWTH = 10.0  # a loss that grew to so many times that of the first epoch has no bound
_FAR = 0.5  # part of the trivial loss by which that of a diverged network is above it
_PACE = 0.1  # part of what was learned that more epochs would add, from which on they are too few
_SMALLEST_REACH = 0.3  # sum of the learning rates of all steps below which weights hardly moved

_RECOMMENDED = 'settings="recommended"'
_DIVERGED = (
    f"Try a lower initial_lr, {_RECOMMENDED}, clip_gradient=1.0, scaled inputs, or a lower alpha, "
    f"and look for outliers in r_xz and t_xz."
)


def training_weakness(
    history: TrainingHistory,
    trivial: tuple[str, float] | None = None,
    reach: float = math.inf,
) -> str | None:
    """What shows that a training has diverged, learned nothing, or ended too early.

    Args:
        history: Its losses; those of the training sample count where no others are known.
        trivial: What a network says that has learned nothing, in words, and its loss; None where
            that is not known.
        reach: Sum of the learning rates of all steps, for optimisers that move weights by these.

    Returns:
        What is wrong, with its numbers, and what to do; None if nothing is.

    Examples:
        >>> history = TrainingHistory((0.9, 0.7), (0.9, 0.7), (1e-3, 1e-4), 1, False, 0.1)
        >>> print(training_weakness(history, ("the mean score", 1.0)))
        The validation loss was still falling when the training ended after epoch 2, at 0.7: there
        is more to be learned. Train for more epochs, as n_epochs=4, or with settings="recommended"
        if these are not.
    """
    name, losses = "validation", [loss for loss in history.validation_losses if loss is not None]
    if len(losses) < history.n_epochs:
        name, losses = "training", list(history.train_losses)
    kept, first, last = losses[history.best_epoch], losses[0], losses[-1]
    if trivial is not None and kept >= trivial[1]:
        answer, expected = trivial
        is_far = kept > expected + _FAR * abs(expected)
        remedy = (
            _DIVERGED
            if is_far
            else f"Train with {_RECOMMENDED} or for more epochs. If it stays so, the observables "
            f"tell nothing, or the events are too few."
        )
        return (
            f"The {name} loss of the weights that were kept, {kept:.5g}, is "
            f"{'far above' if is_far else 'not below'} {expected:.5g}, which {answer} would have: "
            f"nothing was learned. {remedy}"
        )
    if first == min(losses) and last - first > (_GROWTH - 1.0) * abs(first):
        return (
            f"The {name} loss was lowest in the first of {len(losses)} epochs and grew from "
            f"{first:.5g} to {last:.5g}; the weights of epoch {history.best_epoch + 1} were kept. "
            f"The training diverges. {_DIVERGED}"
        )
    if trivial is not None and _is_too_short(losses, history.best_epoch, trivial[1], reach):
        return (
            f"The {name} loss was still falling when the training ended after epoch "
            f"{len(losses)}, at {last:.5g}: there is more to be learned. Train for "
            f"more epochs, as n_epochs={2 * len(losses)}, or with {_RECOMMENDED} if these are "
            f"not."
        )
    return None


def _is_too_short(losses: list[float], best_epoch: int, expected: float, reach: float) -> bool:
    n = len(losses)
    n_last = max(1, n // 4)
    before = min(losses[:-n_last], default=expected)  # the lowest, as losses fluctuate
    at_that_pace = n * (before - losses[-1]) / n_last
    is_slow = reach < _SMALLEST_REACH or at_that_pace > _PACE * (expected - losses[-1])
    return best_epoch == n - 1 and is_slow


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
            learning_rates=tuple(self.rates(epoch)[0] for epoch in range(self.n_finished)),
            best_epoch=self.best_epoch,
            stopped_early=self.n_finished < self.settings.n_epochs,
            seconds=self.seconds,
        )

    def weakness(self, answer: tuple[str, float] | None) -> str | None:
        """What `training_weakness` finds, given the trivial answer and its loss."""
        # the rates of SGD multiply gradients, which do not tell how far weights go
        epochs = range(self.n_finished)
        reach = math.fsum(rate for epoch in epochs for rate in self.rates(epoch))
        is_sgd = self.settings.optimizer == "sgd"
        return training_weakness(self.history(), answer, math.inf if is_sgd else reach)

    def _divergence(self, what: str) -> str:
        best = self.best_epoch
        kept = "the initial weights" if best < 0 else f"the weights of epoch {best + 1}"
        return f"The {what} in epoch {self.n_finished + 1}; {kept} were kept. {_DIVERGED}"
