"""MLForge, the one class of the first releases for all estimators: deprecated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from madminer.deprecation import renamed
from madminer.errors import NotTrainedError, OptionError
from madminer.ml.base import Estimator
from madminer.ml.first_release_methods import KINDS, ForgeTraining
from madminer.ml.inputs import DataLike
from madminer.ml.persistence import read_settings
from madminer.ml.registry import ESTIMATORS, load_single_estimator
from madminer.nn.history import TrainingHistory
from madminer.typing import FloatArray, Seed, StrPath

__all__ = ["Forge", "MLForge", "name_thetas"]

P = ParamSpec("P")
R = TypeVar("R")


def _also_by_filename(function: Callable[P, R]) -> Callable[P, R]:
    """Let a method with the arguments x, theta0, theta1 take them as ``x_filename`` etc. too."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {}
        for name, value in kwargs.items():
            short = name.removesuffix("_filename")
            if short in given:
                raise OptionError(f"Give {short} or {short}_filename, not both.")
            given[short] = value
        return function(*args, **given)

    return wrapper


def name_thetas(
    keywords: Mapping[str, str], thetas: Mapping[str, DataLike | None]
) -> dict[str, DataLike]:
    """Thetas by their keyword of today.

    Args:
        keywords: Keyword of today by name of then, for the thetas that an estimator needs.
        thetas: What was given, by name of then.

    Raises:
        OptionError: If one is missing.
    """
    given = {keywords[old]: value for old, value in thetas.items() if old in keywords}
    named = {new: value for new, value in given.items() if value is not None}
    if len(named) < len(keywords):
        raise OptionError(
            f"This estimator depends on {', '.join(keywords)}; give all of them, as arrays or "
            f"files."
        )
    return named


class Forge:
    """An estimator of any type, chosen by the method of its training."""

    def __init__(self) -> None:
        self.method: str | None = None
        self.estimator: Estimator | None = None

    def train(
        self,
        method: str,
        x_filename: DataLike,
        y_filename: DataLike | None = None,
        theta0_filename: DataLike | None = None,
        theta1_filename: DataLike | None = None,
        r_xz_filename: DataLike | None = None,
        t_xz0_filename: DataLike | None = None,
        t_xz1_filename: DataLike | None = None,
        features: Sequence[int] | None = None,
        nde_type: str = "mafmog",
        n_hidden: Sequence[int] = (100, 100),
        activation: str = "tanh",
        maf_n_mades: int = 3,
        maf_batch_norm: bool = False,
        maf_batch_norm_alpha: float = 0.1,
        maf_mog_n_components: int = 10,
        alpha: float = 1.0,
        trainer: str = "amsgrad",
        n_epochs: int = 50,
        batch_size: int = 128,
        initial_lr: float = 0.001,
        final_lr: float = 0.0001,
        nesterov_momentum: float | None = None,
        validation_split: float | None = None,
        early_stopping: bool = True,
        scale_inputs: bool = True,
        shuffle_labels: bool = False,
        grad_x_regularization: float | None = None,
        limit_samplesize: int | None = None,
        return_first_loss: bool = False,
        *,
        seed: Seed = None,
    ) -> TrainingHistory:
        """Train the estimator that knows the method.

        A second training continues from the present weights if it asks for the same kind of
        network, else it begins anew.

        Args:
            method: Name of the method, with a trailing 2 for doubly parameterized estimators.
            x_filename: See `madminer.ml.first_release_methods.ForgeTraining`, as for all others.
            y_filename: See there.
            theta0_filename: See there.
            theta1_filename: See there.
            r_xz_filename: See there.
            t_xz0_filename: See there.
            t_xz1_filename: See there.
            features: See there.
            nde_type: See there.
            n_hidden: See there.
            activation: See there.
            maf_n_mades: See there.
            maf_batch_norm: See there.
            maf_batch_norm_alpha: See there.
            maf_mog_n_components: See there.
            alpha: See there.
            trainer: See there.
            n_epochs: See there.
            batch_size: See there.
            initial_lr: See there.
            final_lr: See there.
            nesterov_momentum: See there.
            validation_split: See there.
            early_stopping: See there.
            scale_inputs: See there.
            shuffle_labels: See there.
            grad_x_regularization: See there.
            limit_samplesize: See there.
            return_first_loss: See there.
            seed: See there.

        Returns:
            The losses; unpacks as (train losses, validation losses).

        Raises:
            OptionError: If the method is unknown, or an option is used that was given up.
            TrainingError: If data are missing or the loss diverges.
        """
        training = ForgeTraining(
            method=method,
            x_filename=x_filename,
            y_filename=y_filename,
            theta0_filename=theta0_filename,
            theta1_filename=theta1_filename,
            r_xz_filename=r_xz_filename,
            t_xz0_filename=t_xz0_filename,
            t_xz1_filename=t_xz1_filename,
            features=features,
            nde_type=nde_type,
            n_hidden=n_hidden,
            activation=activation,
            maf_n_mades=maf_n_mades,
            maf_batch_norm=maf_batch_norm,
            maf_batch_norm_alpha=maf_batch_norm_alpha,
            maf_mog_n_components=maf_mog_n_components,
            alpha=alpha,
            trainer=trainer,
            n_epochs=n_epochs,
            batch_size=batch_size,
            initial_lr=initial_lr,
            final_lr=final_lr,
            nesterov_momentum=nesterov_momentum,
            validation_split=validation_split,
            early_stopping=early_stopping,
            scale_inputs=scale_inputs,
            shuffle_labels=shuffle_labels,
            grad_x_regularization=grad_x_regularization,
            limit_samplesize=limit_samplesize,
            return_first_loss=return_first_loss,
            seed=seed,
        )
        return self.prepare(training).train(**training.arguments)

    @_also_by_filename
    def evaluate(
        self,
        x: DataLike,
        theta0: DataLike | None = None,
        theta1: DataLike | None = None,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> FloatArray | tuple[FloatArray, FloatArray | None, FloatArray | None]:
        """Evaluate what the estimator estimates.

        Args:
            x: Observations, shape ``(n_x, n_observables)``, or their file, also as `x_filename`.
            theta0: Numerator parameters, or their file, also as `theta0_filename`.
            theta1: Denominator parameters, or their file, also as `theta1_filename`.
            test_all_combinations: Whether to combine every x with every theta.
            evaluate_score: Whether to evaluate scores too.

        Returns:
            Of "sally" and "sallino" the score, shape ``(n_x, n_parameters)``. Else the log
            likelihood ratio or log likelihood, the score at theta0, and the score at theta1, each
            None where it is unknown or was not asked for.

        Raises:
            NotTrainedError: If it was not trained.
            OptionError: If the method needs a theta that is missing.
        """
        estimator, thetas = self.trained, {"theta0": theta0, "theta1": theta1}
        kind = KINDS[estimator.family]
        if estimator.family == "score":
            score: FloatArray = estimator.evaluate_score(x=x)
            return score
        log_f, *scores = getattr(estimator, kind.quantity)(
            x=x,
            **name_thetas(kind.thetas, thetas),
            test_all_combinations=test_all_combinations,
            evaluate_score=evaluate_score,
        )
        score0, score1 = [*scores, None][:2]
        return log_f, score0, score1

    @_also_by_filename
    def calculate_fisher_information(
        self, x: DataLike, weights: DataLike | None = None, n_events: float = 1
    ) -> FloatArray:
        """Calculate the expected kinematic Fisher information, with "sally" or "sallino".

        Args:
            x: Observations drawn at the reference point, or their file, also as `x_filename`.
            weights: Weights of the observations; None for equal ones.
            n_events: Expected number of events.

        Returns:
            Information, shape ``(n_parameters, n_parameters)``.

        Raises:
            OptionError: If the estimator is of another type.
        """
        estimator = self.trained
        if estimator.family != "score":
            raise OptionError(
                f"Here only 'sally' and 'sallino' give a Fisher information, got "
                f"{self.method or estimator.family!r}. Use calculate_fisher_information(x, theta) "
                f"of ParameterizedRatioEstimator."
            )
        return estimator.calculate_fisher_information(x, weights=weights, n_events=n_events)

    def save(self, filename: StrPath) -> None:
        """Save the estimator, in the files of today."""
        self.trained.save(filename)

    def load(self, filename: StrPath) -> None:
        """Load an estimator from files of today or of the first releases."""
        self.estimator = load_single_estimator(filename)
        self.method = read_settings(filename).get("method")

    def prepare(self, training: ForgeTraining) -> Estimator:
        """Keep the estimator if it is of the kind that is asked for, else make another."""
        self.method = training.method
        old, new = self.estimator, ESTIMATORS[training.family](**training.constructor)
        if (
            old is not None
            and old.family == new.family
            and all(getattr(old, name) == getattr(new, name) for name in training.constructor)
        ):
            return old
        self.estimator = new
        return new

    @property
    def trained(self) -> Estimator:
        """The estimator of today.

        Raises:
            NotTrainedError: If there is none yet.
        """
        if self.estimator is None:
            raise NotTrainedError("This forge was not trained yet; call train or load first.")
        return self.estimator


class MLForge(Forge):
    """Deprecated: an estimator of any type, chosen by the method of its training.

    Args:
        debug: Without effect.

    Attributes:
        estimator: The estimator of today that does the work, None before training.
        method: Name of the method, None if unknown.
    """

    @renamed(
        "ScoreEstimator, ParameterizedRatioEstimator, DoubleParameterizedRatioEstimator or "
        "LikelihoodEstimator of madminer.ml"
    )
    def __init__(self, debug: bool = False) -> None:  # noqa: ARG002
        super().__init__()
