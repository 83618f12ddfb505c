"""Methods and arguments of the first releases, in the words of today.

Then, one class had all methods, data came from files, and a trailing 2 marked the doubly
parameterized ratio estimators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from madminer.errors import OptionError
from madminer.ml.inputs import DataLike
from madminer.typing import Seed

__all__ = ["KINDS", "ForgeTraining", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one type of estimator takes and gives.

    Args:
        data: Keyword of ``train`` today by name of then, without ``_filename``.
        quantity: Name of the method that evaluates it today.
        thetas: Keyword of this method by name of then.
    """

    data: Mapping[str, str]
    quantity: str
    thetas: Mapping[str, str]


KINDS: dict[str, Kind] = {
    "score": Kind({"x": "x", "t_xz0": "t_xz"}, "evaluate_score", {}),
    "parameterized_ratio": Kind(
        {"x": "x", "y": "y", "theta0": "theta", "r_xz": "r_xz", "t_xz0": "t_xz"},
        "evaluate_log_likelihood_ratio",
        {"theta0": "theta"},
    ),
    "double_parameterized_ratio": Kind(
        {name: name for name in ("x", "y", "theta0", "theta1", "r_xz", "t_xz0", "t_xz1")},
        "evaluate_log_likelihood_ratio",
        {"theta0": "theta0", "theta1": "theta1"},
    ),
    "likelihood": Kind(
        {"x": "x", "theta0": "theta", "t_xz0": "t_xz"},
        "evaluate_log_likelihood",
        {"theta0": "theta"},
    ),
}
"""Estimators by the type that stands in their files."""

_RATIOS = ("alice", "alices", "carl", "cascal", "rascal", "rolr")
_FAMILIES = {
    "sally": "score",
    "sallino": "score",
    "nde": "likelihood",
    "scandal": "likelihood",
    **dict.fromkeys(_RATIOS, "parameterized_ratio"),
    **dict.fromkeys((f"{name}2" for name in _RATIOS), "double_parameterized_ratio"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForgeTraining:
    """One training as ``MLForge.train`` was asked for it, with the defaults of then.

    Data that a method does not need are not read.

    Args:
        method: Name of the method, with a trailing 2 for doubly parameterized estimators.
        x_filename: Observations.
        y_filename: Labels.
        theta0_filename: Numerator parameters.
        theta1_filename: Denominator parameters.
        r_xz_filename: Joint likelihood ratios.
        t_xz0_filename: Joint scores at theta0.
        t_xz1_filename: Joint scores at theta1.
        features: Indices of the observables that the network sees, None for all.
        nde_type: "mafmog" for a flow that ends in a mixture of Gaussians, "maf" for one Gaussian.
        n_hidden: Units of each hidden layer.
        activation: Activation function.
        maf_n_mades: Number of MADEs in the flow.
        maf_batch_norm: Whether there is batch normalisation between them.
        maf_batch_norm_alpha: Weight of the last batch in its running moments.
        maf_mog_n_components: Number of components of the mixture.
        alpha: Factor of the score error in the loss.
        trainer: Name of the optimiser.
        n_epochs: Number of passes over the sample.
        batch_size: Number of events in a step.
        initial_lr: Learning rate in the first epoch.
        final_lr: Learning rate in the last epoch.
        nesterov_momentum: Momentum of trainer "sgd".
        validation_split: Fraction of the events used for validation.
        early_stopping: Whether to keep the weights of the epoch of lowest validation loss.
        scale_inputs: Whether to scale the observables.
        shuffle_labels: Whether to permute the labels as a closure test.
        grad_x_regularization: Given up; None.
        limit_samplesize: Number of first events to use.
        return_first_loss: Given up; False.
        seed: Source of all randomness.

    Raises:
        OptionError: If the method is unknown, or an option is used that was given up.
    """

    method: str
    x_filename: DataLike
    y_filename: DataLike | None = None
    theta0_filename: DataLike | None = None
    theta1_filename: DataLike | None = None
    r_xz_filename: DataLike | None = None
    t_xz0_filename: DataLike | None = None
    t_xz1_filename: DataLike | None = None
    features: Sequence[int] | None = None
    nde_type: str = "mafmog"
    n_hidden: Sequence[int] = (100, 100)
    activation: str = "tanh"
    maf_n_mades: int = 3
    maf_batch_norm: bool = False
    maf_batch_norm_alpha: float = 0.1
    maf_mog_n_components: int = 10
    alpha: float = 1.0
    trainer: str = "amsgrad"
    n_epochs: int = 50
    batch_size: int = 128
    initial_lr: float = 0.001
    final_lr: float = 0.0001
    nesterov_momentum: float | None = None
    validation_split: float | None = None
    early_stopping: bool = True
    scale_inputs: bool = True
    shuffle_labels: bool = False
    grad_x_regularization: float | None = None
    limit_samplesize: int | None = None
    return_first_loss: bool = False
    seed: Seed = None

    def __post_init__(self) -> None:
        if self.method not in _FAMILIES:
            raise OptionError(f"method must be one of {', '.join(_FAMILIES)}; got {self.method!r}.")
        if self.nde_type not in {"maf", "mafmog"}:
            raise OptionError(f"nde_type must be 'maf' or 'mafmog', got {self.nde_type!r}.")
        if self.grad_x_regularization:
            raise OptionError(
                f"grad_x_regularization was given up, got {self.grad_x_regularization}. Use None, "
                f"and dropout_prob or early stopping of the estimators against overtraining."
            )
        if self.return_first_loss:
            raise OptionError(
                "return_first_loss was given up. Use False; the returned losses start with that "
                "of the first epoch."
            )

    @property
    def family(self) -> str:
        """Type of the estimator that knows the method."""
        return _FAMILIES[self.method]

    @property
    def constructor(self) -> dict[str, Any]:
        """Arguments of its constructor."""
        shared = {
            "features": self.features,
            "n_hidden": self.n_hidden,
            "activation": self.activation,
        }
        if self.family != "likelihood":
            return shared
        return {
            **shared,
            "n_mades": self.maf_n_mades,
            "n_components": self.maf_mog_n_components if self.nde_type == "mafmog" else 1,
            "batch_norm": self.maf_batch_norm_alpha if self.maf_batch_norm else None,
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of its ``train``."""
        data = {
            new: getattr(self, f"{old}_filename") for old, new in KINDS[self.family].data.items()
        }
        if self.family != "score":
            data["alpha"] = self.alpha
        return {
            "method": self.method.removesuffix("2"),
            **data,
            "optimizer": self.trainer,
            "n_epochs": self.n_epochs,
            "batch_size": self.batch_size,
            "initial_lr": self.initial_lr,
            "final_lr": self.final_lr,
            "nesterov_momentum": self.nesterov_momentum,
            "validation_split": self.validation_split,
            "early_stopping": self.early_stopping,
            "scale_inputs": self.scale_inputs,
            "shuffle_labels": self.shuffle_labels,
            "limit_samplesize": self.limit_samplesize,
            "seed": self.seed,
        }
