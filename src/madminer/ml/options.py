"""Options of training: meaning, default and check of each.

Those of the loop itself are described by `madminer.nn.loop.TrainingSettings`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import TypedDict

import torch

from madminer import checks
from madminer.errors import OptionError
from madminer.ml.inputs import DataLike
from madminer.nn.history import EpochCallback, check_callbacks
from madminer.nn.loop import TrainingSettings
from madminer.typing import Seed, StrPath

__all__ = ["TrainingKeywords", "TrainingOptions"]


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
        device: Where to train; None for the graphics processor if there is one.
        dtype: "float32", or "float64" for double precision.
        callbacks: Called after every epoch with a `madminer.nn.EpochReport`.
        checkpoint: File that keeps the state of the training; None for none.
        checkpoint_every: Epochs between two states; the last one is kept too.
        resume: Whether to continue from the checkpoint, if there is one: with the same arguments a
            killed training ends exactly as one that was not killed.

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
