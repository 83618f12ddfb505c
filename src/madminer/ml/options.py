"""Options of training: meaning, default and check of each.

Those of the loop itself are described by `madminer.nn.TrainingSettings`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Literal, TypedDict

import torch

from madminer import checks
from madminer.errors import OptionError
from madminer.ml.inputs import DataLike, load_columns
from madminer.nn.history import EpochCallback, check_callbacks
from madminer.nn.optimizers import TrainingSettings
from madminer.typing import Seed, StrPath

Settings = Literal["default", "recommended"]
"""Which values options have that are not given."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingOptions:
    """What the estimators' ``train`` have in common.

    Args:
        alpha: Factor of the score error in the loss of cascal, rascal, alices and scandal.
        validation_split: Fraction of the events used for validation; None for none.
        scale_inputs: Whether to scale the observables to zero mean and unit variance.
        shuffle_labels: Whether to permute y, r_xz and t_xz together, as a closure test: estimated
            ratios should then be near 1, and scores near 0.
        limit_samplesize: Number of first events to use; None for all.
        memmap: Whether files above 1 GiB are read in pieces, also if larger than memory.
        scale_parameters: Whether to scale the parameters to zero mean and unit variance. This
            sets the weight of each parameter in the score error, not the units of results.
        n_workers: Accepted and not used: data in memory need no workers.
        seed: Source of the split, the initial weights and the order of events.
        sample_weight: Weights of the events, may be signed, shape ``(n,)``; None for one each.
        sample_weight_val: Weights of the validation events.
        device: Where to train; None for the faster one of CPU and graphics processor, by
            `madminer.ml.inputs.pick_training_device`.
        dtype: "float32", or "float64" for double precision.
        callbacks: Called after every epoch with a `madminer.nn.EpochReport`.
        checkpoint: File that keeps the state of the training; None for none.
        checkpoint_every: Epochs between two states; the last one is kept too.
        resume: Whether to continue from the checkpoint, if there is one: with the same arguments a
            killed training ends exactly as one that was not killed.
        settings: Values of `n_epochs`, `batch_size`, `initial_lr`, `final_lr` and `scheduler` that
            are not given: "default", as above; or "recommended", which learn more in less time,
            chosen by method and size of the sample, see
            `madminer.ml.options.recommended_settings`.

    Raises:
        OptionError: If an option lies outside its range.
    """

    alpha: float = 1.0
    optimizer: str = "amsgrad"
    n_epochs: int = 50
    batch_size: int = 128
    initial_lr: float = 0.001
    final_lr: float = 0.0001
    nesterov_momentum: float | None = None
    validation_split: float | None = 0.25
    early_stopping: bool = True
    scale_inputs: bool = True
    shuffle_labels: bool = False
    limit_samplesize: int | None = None
    memmap: bool = False
    verbose: str = "some"
    scale_parameters: bool = True
    n_workers: int = 8
    clip_gradient: float | None = None
    early_stopping_patience: int | None = None
    _: KW_ONLY
    seed: Seed = None
    sample_weight: DataLike | None = None
    sample_weight_val: DataLike | None = None
    scheduler: str = "exponential"
    device: str | torch.device | None = None
    dtype: str = "float32"
    callbacks: Sequence[EpochCallback] = ()
    checkpoint: StrPath | None = None
    checkpoint_every: int = 10
    resume: bool = False
    settings: Settings = "default"

    def __post_init__(self) -> None:
        _ = self.loop
        check_callbacks(self.callbacks)
        checks.number(self.alpha, "alpha", 0.0, 3e38)  # in single precision, too
        if self.validation_split is not None:
            checks.number(self.validation_split, "validation_split", 0.0, below=1.0)
        if self.limit_samplesize is not None:
            checks.whole(self.limit_samplesize, "limit_samplesize", 1)
        for name in ("scale_inputs", "scale_parameters", "shuffle_labels", "memmap", "resume"):
            checks.flag(getattr(self, name), name)
        checks.one_of(self.settings, "settings", ("default", "recommended"))
        checks.seed(self.seed)
        checks.whole(self.n_workers, "n_workers", 0)
        checks.whole(self.checkpoint_every, "checkpoint_every", 1)
        if self.checkpoint is not None and not isinstance(self.checkpoint, str | os.PathLike):
            raise checks.refusal("checkpoint", "None or the path of a file", self.checkpoint)
        if self.resume and self.checkpoint is None:
            raise OptionError("resume=True needs the file of the checkpoint: give checkpoint=...")

    @property
    def loop(self) -> TrainingSettings:
        """How the loop runs."""
        names = (field.name for field in fields(TrainingSettings))
        return TrainingSettings(**{name: getattr(self, name) for name in names})


class TrainingKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    alpha: float
    optimizer: str
    n_epochs: int
    batch_size: int
    initial_lr: float
    final_lr: float
    nesterov_momentum: float | None
    validation_split: float | None
    early_stopping: bool
    scale_inputs: bool
    shuffle_labels: bool
    limit_samplesize: int | None
    memmap: bool
    verbose: str
    scale_parameters: bool
    n_workers: int
    clip_gradient: float | None
    early_stopping_patience: int | None
    seed: Seed
    sample_weight: DataLike | None
    sample_weight_val: DataLike | None
    scheduler: str
    device: str | torch.device | None
    dtype: str
    callbacks: Sequence[EpochCallback]
    checkpoint: StrPath | None
    checkpoint_every: int
    resume: bool
    settings: Settings


def training_options(method: str, x: DataLike, given: TrainingKeywords) -> TrainingOptions:
    """What one call of ``train`` asks for; with settings="recommended" what it gave wins.

    Args:
        method: Name of the inference method.
        x: Observations of the training sample, which tell its size.
        given: The keywords of the call.

    Returns:
        All options.

    Raises:
        OptionError: If one lies outside its range.

    Examples:
        >>> given: TrainingKeywords = {"settings": "recommended", "n_epochs": 3}
        >>> options = training_options("sally", torch.zeros(10_000, 1), given)
        >>> options.n_epochs, options.batch_size, options.scheduler
        (3, 128, 'one-cycle')
    """
    options = TrainingOptions(**given)
    if options.settings == "default":
        return options
    n_events = len(load_columns(x, "x", memmap=True)[: options.limit_samplesize])
    return TrainingOptions(**recommended_settings(method, n_events) | given)


_OF_SCORES, _OF_DENSITIES, _OF_RATIOS_WITH_SCORES = 25, 10, 16
_EPOCHS = {
    "sally": _OF_SCORES,
    "sallino": _OF_SCORES,
    "nde": _OF_DENSITIES,
    "scandal": _OF_DENSITIES,
    "alices": _OF_RATIOS_WITH_SCORES,
    "cascal": _OF_RATIOS_WITH_SCORES,
    "rascal": _OF_RATIOS_WITH_SCORES,
}
_RATES = {"sally": 0.005, "sallino": 0.005}
_BATCHES = 80  # of an epoch, where the limits below allow it
_SMALLEST_BATCH, _LARGEST_BATCH = 64, 512
_FEWEST_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 800, 8, 50


def recommended_settings(method: str, n_events: int) -> TrainingKeywords:
    r"""Settings that reach a lower loss than the defaults, in a small part of their time.

    Found on a toy with known score and ratio, from 2,000 to 75,000 events, and on events of the
    embedded generator. SALLY trains for 25 epochs, ratios with scores for 16, densities for 10 and
    ratios without scores for 8. Batches have the power of two that is next to an 80th of the
    sample, from 64 to 512 events; small samples get more epochs, up to 50, for 800 batches in all.
    More of them learn the fluctuations of so few events.

    Args:
        method: Name of the inference method.
        n_events: Number of events in the sample, with those for validation.

    Returns:
        Values of `n_epochs`, `batch_size`, `initial_lr`, `final_lr` and `scheduler`.

    Examples:
        >>> sally, alices = (recommended_settings(m, 75_000) for m in ("sally", "alices"))
        >>> sally["n_epochs"], sally["batch_size"], alices["n_epochs"], alices["batch_size"]
        (25, 512, 16, 512)
    """
    power = round(math.log2(n_events / _BATCHES))
    batch_size = min(max(_SMALLEST_BATCH, 2**power), _LARGEST_BATCH)
    n_epochs = math.ceil(_FEWEST_STEPS * batch_size / n_events)
    return {
        "n_epochs": max(_EPOCHS.get(method, _FEWEST_EPOCHS), min(n_epochs, _MOST_EPOCHS)),
        "batch_size": int(batch_size),
        "initial_lr": _RATES.get(method, 0.01),
        "final_lr": 0.0001,
        "scheduler": "one-cycle",
    }
