"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from madminer.errors import OptionError, TrainingError
from madminer.nn.data import Batch, Dataset
from madminer.nn.history import TrainingHistory
from madminer.nn.optimizers import check_optimizer, make_optimizer
from madminer.nn.parameters import FlatParameters
from madminer.nn.randomness import isolated_randomness
from madminer.nn.schedules import learning_rates
from madminer.nn.threads import threads_for_step
from madminer.progress import progress_bar
from madminer.typing import FloatArray

__all__ = ["VERBOSITY", "BatchLoss", "TrainingSettings", "fit"]

logger = logging.getLogger(__name__)

BatchLoss = Callable[[Batch], Tensor]
"""Loss of a batch as a function of its columns."""

VERBOSITY: dict[str, float] = {"all": math.inf, "many": 50, "some": 20, "few": 5, "none": 0}
"""Number of reports that a run logs, by the names that estimators accept."""

_VALIDATION_BATCH = 8192  # events; gradients are not needed, so batches only bound the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        optimizer: Name of the optimiser.
        n_epochs: Number of passes over the training sample.
        batch_size: Number of events in a step.
        initial_lr: Learning rate at the start.
        final_lr: Learning rate at the end.
        nesterov_momentum: Momentum of optimizer 'sgd'.
        scheduler: Name of the learning-rate schedule.
        early_stopping: Whether to keep the weights of the epoch with the lowest validation loss.
        early_stopping_patience: Epochs without improvement after which to stop; None for never.
        clip_gradient: Largest norm of the gradient of all parameters; None for any.
        verbose: How many reports are logged.

    Raises:
        OptionError: If an option lies outside its range.
    """

    optimizer: str = "amsgrad"
    n_epochs: int = 50
    batch_size: int = 128
    initial_lr: float = 0.001
    final_lr: float = 0.0001
    nesterov_momentum: float | None = None
    scheduler: str = "exponential"
    early_stopping: bool = True
    early_stopping_patience: int | None = None
    clip_gradient: float | None = None
    verbose: str = "some"

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "initial_lr", "final_lr", "clip_gradient"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OptionError(f"{name} must be positive and finite, got {value}.")
        for name in ("n_epochs", "batch_size"):
            if getattr(self, name) != int(getattr(self, name)):
                raise OptionError(f"{name} must be a whole number, got {getattr(self, name)}.")
        if self.early_stopping_patience is not None and self.early_stopping_patience < 0:
            raise OptionError(
                f"early_stopping_patience must be 0 or more, got {self.early_stopping_patience}."
            )
        if self.verbose not in VERBOSITY:
            raise OptionError(
                f"verbose must be one of {', '.join(VERBOSITY)}; got {self.verbose!r}."
            )
        learning_rates(self.scheduler, self.initial_lr, self.final_lr, 1, 1)
        check_optimizer(self.optimizer, self.nesterov_momentum)


def fit(
    network: nn.Module,
    batch_loss: BatchLoss,
    training: Dataset,
    validation: Dataset | None,
    settings: TrainingSettings,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingHistory:
    """Train a network.

    The data lie on the device of the network; nothing is synchronised within an epoch. Whatever
    ends the run, the network has the weights of the best finished epoch: with early stopping the
    one of lowest validation loss, else the last. Global random state is not touched.

    Args:
        network: What is trained, changed in place.
        batch_loss: Loss of a batch as mean over its events.
        training: Training sample.
        validation: Validation sample, None for none.
        settings: How to train.
        generator: Source of the order of events and of dropout.
        on_epoch: Called with the number of each finished epoch, None for nothing.

    Returns:
        The losses of all epochs.

    Raises:
        TrainingError: If the loss is no longer finite; says what to try.
    """
    run = _Run(network, batch_loss, training, validation, settings, generator)
    device = next(network.parameters()).device
    bar = progress_bar(settings.n_epochs, "Training", unit="epochs")
    logger.debug("Training on %d events for %d epochs", len(training), settings.n_epochs)
    step = settings.batch_size * sum(p.numel() for p in network.parameters())
    with isolated_randomness(generator.initial_seed(), device), threads_for_step(step):
        try:
            for epoch in range(settings.n_epochs):
                run.epoch(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)
                bar.set_postfix_str(run.summary(), refresh=False)
                bar.update()
                if run.is_exhausted(epoch):
                    break
        finally:
            bar.close()
            run.finish()
    return run.history()


class _Run:
    """State of one training run."""

    def __init__(
        self,
        network: nn.Module,
        batch_loss: BatchLoss,
        training: Dataset,
        validation: Dataset | None,
        settings: TrainingSettings,
        generator: torch.Generator,
    ) -> None:
        self.network = network
        self.batch_loss = batch_loss
        self.training = training
        self.validation = validation
        self.settings = settings
        self.generator = generator
        self.parameters = FlatParameters(network)
        self.optimizer = make_optimizer(
            settings.optimizer,
            self.parameters.vector,
            settings.initial_lr,
            settings.nesterov_momentum,
        )
        self.rates: FloatArray = learning_rates(
            settings.scheduler,
            settings.initial_lr,
            settings.final_lr,
            settings.n_epochs,
            -(-len(training) // settings.batch_size),
        )
        self.train_losses: list[float] = []
        self.validation_losses: list[float | None] = []
        self.best = self.parameters.copy()
        self.best_epoch = -1
        self.best_loss = math.inf
        self.start = time.perf_counter()

    def epoch(self, epoch: int) -> None:
        """Train and validate once, and keep the weights if they are the best."""
        train = self._train(self.rates[epoch].tolist())
        validated = None if self.validation is None else self._validate(self.validation)
        for name, loss in (("training", train), ("validation", validated)):
            if loss is not None and not math.isfinite(loss):
                raise TrainingError(_divergence(name, loss, epoch, self.best_epoch))
        self.train_losses.append(train)
        self.validation_losses.append(validated)
        if validated is None or not self.settings.early_stopping or validated < self.best_loss:
            self.best = self.parameters.copy()
            self.best_epoch = epoch
            self.best_loss = math.inf if validated is None else validated
        self._report(epoch)

    def is_exhausted(self, epoch: int) -> bool:
        """Whether patience has run out."""
        patience = self.settings.early_stopping_patience
        return patience is not None and epoch - self.best_epoch > patience

    def summary(self) -> str:
        """Describe the last epoch in a few words."""
        validated = self.validation_losses[-1]
        text = f"loss {self.train_losses[-1]:.5g}"
        return text if validated is None else f"{text}, validation {validated:.5g}"

    def finish(self) -> None:
        """Restore the best weights."""
        self.parameters.restore(self.best)
        self.parameters.release()
        self.network.eval()

    def history(self) -> TrainingHistory:
        """Collect what the run leaves behind."""
        n_epochs = len(self.train_losses)
        return TrainingHistory(
            train_losses=tuple(self.train_losses),
            validation_losses=tuple(self.validation_losses),
            learning_rates=tuple(self.rates[:n_epochs, 0].tolist()),
            best_epoch=self.best_epoch,
            stopped_early=n_epochs < self.settings.n_epochs,
            seconds=time.perf_counter() - self.start,
        )

    def _train(self, rates: list[float]) -> float:
        self.network.train()
        group = self.optimizer.param_groups[0]
        gradient, clip = self.parameters.gradient, self.settings.clip_gradient
        total = torch.zeros((), dtype=gradient.dtype, device=gradient.device)
        batches = self.training.batches(self.settings.batch_size, self.generator)
        for batch, rate in zip(batches, rates, strict=True):
            gradient.zero_()
            loss = self.batch_loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(self.parameters.vector, clip)
            group["lr"] = rate
            self.optimizer.step()
            total.add_(loss.detach(), alpha=_length(batch))
        return total.item() / len(self.training)

    def _validate(self, validation: Dataset) -> float:
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            for batch in validation.batches(max(_VALIDATION_BATCH, self.settings.batch_size)):
                total += self.batch_loss(batch).item() * _length(batch)
        return total / len(validation)

    def _report(self, epoch: int) -> None:
        reports = VERBOSITY[self.settings.verbose]
        if reports == 0:
            return
        interval = max(1, round(self.settings.n_epochs / reports))
        if (epoch + 1) % interval == 0 or epoch + 1 == self.settings.n_epochs:
            logger.info("Epoch %d of %d: %s", epoch + 1, self.settings.n_epochs, self.summary())


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _divergence(name: str, loss: float, epoch: int, best_epoch: int) -> str:
    kept = "the initial weights" if best_epoch < 0 else f"the weights of epoch {best_epoch + 1}"
    return (
        f"The {name} loss became {loss} in epoch {epoch + 1}; {kept} were kept. Try a lower "
        f"initial_lr, clip_gradient=1.0, scaled inputs, or a lower alpha, and look for outliers "
        f"in r_xz and t_xz."
    )
