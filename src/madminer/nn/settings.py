"""How a network is trained: the options of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from madminer import checks
from madminer.nn.optimizers import check_optimizer, check_schedule

VERBOSITY: dict[str, float] = {"all": math.inf, "many": 50, "some": 20, "few": 5, "none": 0}
"""Number of reports that a run logs, by the names that estimators accept."""

_LARGEST = 3e38  # of numbers in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        optimizer: Name of the optimiser, see `madminer.nn.OPTIMIZERS`.
        n_epochs: Number of passes over the training sample.
        batch_size: Number of events in a step.
        initial_lr: Learning rate in the first epoch.
        final_lr: Learning rate in the last epoch.
        nesterov_momentum: Momentum of optimizer "sgd"; None for none.
        scheduler: Learning-rate schedule, see `madminer.nn.SCHEDULES`.
        early_stopping: Whether to keep the weights of the epoch of lowest validation loss.
        early_stopping_patience: Epochs without improvement after which to stop; None for never.
        clip_gradient: Largest norm of the gradient of all parameters; None for any.
        verbose: Reports in the log: "all", "many", "some", "few" or "none"; with "none" there is
            no progress bar either.

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
        checks.flag(self.early_stopping, "early_stopping")
        for name in ("initial_lr", "final_lr", "clip_gradient"):
            value = getattr(self, name)
            if not (name == "clip_gradient" and value is None):
                rate = checks.number(value, name, above=0.0, high=_LARGEST)
                object.__setattr__(self, name, rate)
        for name, low in (("n_epochs", 1), ("batch_size", 1), ("early_stopping_patience", 0)):
            value = getattr(self, name)
            if not (name == "early_stopping_patience" and value is None):
                object.__setattr__(self, name, _whole(value, name, low))
        checks.one_of(self.verbose, "verbose", VERBOSITY)
        check_schedule(self.scheduler)
        check_optimizer(self.optimizer, self.nesterov_momentum)


def _whole(value: object, name: str, low: int) -> int:
    """A whole number; 50.0 counts too."""
    is_whole = isinstance(value, float) and value.is_integer()
    return checks.whole(int(value) if is_whole else value, name, low)  # type: ignore[call-overload]
