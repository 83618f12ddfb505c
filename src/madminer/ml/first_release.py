"""MLForge and EnsembleForge, the classes of the first releases: deprecated.

Then, one class had all methods, data came from files, and a trailing 2 marked the doubly
parameterized ratio estimators.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np

from madminer.checks import one_of, whole
from madminer.deprecation import renamed
from madminer.errors import NotTrainedError, OptionError, ShapeError
from madminer.io.file_sets import reading
from madminer.ml.base import Estimator
from madminer.ml.ensemble import Ensemble
from madminer.ml.ensemble_statistics import expectation_weights, normalized_member_weights
from madminer.ml.ensemble_training import spread
from madminer.ml.inputs import DataLike
from madminer.ml.lookup import ESTIMATORS, load_members, load_single_estimator
from madminer.ml.methods import FAMILIES
from madminer.ml.options import TrainingOptions
from madminer.ml.persistence import read_index, read_settings, write_models
from madminer.nn.history import TrainingHistory
from madminer.nn.optimizers import TrainingSettings
from madminer.options import takes
from madminer.typing import FloatArray, Seed, StrPath

F = TypeVar("F", bound=Callable[..., Any])

VoteStrength: TypeAlias = "float | Sequence[float] | None"


class _Names(NamedTuple):
    """What one type of estimator takes and gives."""

    data: Mapping[str, str]  # keyword of ``train`` by its old name, without ``_filename``
    evaluate: str  # name of the method that evaluates it
    thetas: Mapping[str, str]  # keyword of this method by its old name


_NAMES = {
    "score": _Names({"x": "x", "t_xz0": "t_xz"}, "evaluate_score", {}),
    "parameterized_ratio": _Names(
        {"x": "x", "y": "y", "theta0": "theta", "r_xz": "r_xz", "t_xz0": "t_xz"},
        "evaluate_log_likelihood_ratio",
        {"theta0": "theta"},
    ),
    "double_parameterized_ratio": _Names(
        {name: name for name in ("x", "y", "theta0", "theta1", "r_xz", "t_xz0", "t_xz1")},
        "evaluate_log_likelihood_ratio",
        {"theta0": "theta0", "theta1": "theta1"},
    ),
    "likelihood": _Names(
        {"x": "x", "theta0": "theta", "t_xz0": "t_xz"},
        "evaluate_log_likelihood",
        {"theta0": "theta"},
    ),
}
_FAMILIES = {
    method + ("2" if family == "double_parameterized_ratio" else ""): family
    for family in _NAMES
    for method in FAMILIES[family].methods
}
_GIVEN_UP = {
    "grad_x_regularization": "Use None, and dropout_prob or early stopping of the estimators "
    "against overtraining.",
    "return_first_loss": "Use False; the returned losses start with that of the first epoch.",
}


@dataclass(frozen=True, slots=True, eq=False)
class ForgeTraining:
    """One training as ``MLForge.train`` is asked for it, with the old defaults.

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
        trainer: Name of the optimiser.
        grad_x_regularization: Given up; None.
        return_first_loss: Given up; False.

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
    _: KW_ONLY
    seed: Seed = None

    def __post_init__(self) -> None:
        one_of(self.method, "method", _FAMILIES)
        one_of(self.nde_type, "nde_type", ["maf", "mafmog"])
        for name, remedy in _GIVEN_UP.items():
            if getattr(self, name):
                raise OptionError(f"{name} was given up, got {getattr(self, name)}. {remedy}")

    @property
    def family(self) -> str:
        """Type of the estimator that knows the method."""
        return _FAMILIES[self.method]

    @property
    def constructor(self) -> dict[str, Any]:
        """Arguments of its constructor."""
        shared = {name: getattr(self, name) for name in ("features", "n_hidden", "activation")}
        if self.family != "likelihood":
            return shared
        return shared | {
            "n_mades": self.maf_n_mades,
            "n_components": self.maf_mog_n_components if self.nde_type == "mafmog" else 1,
            "batch_norm": self.maf_batch_norm_alpha if self.maf_batch_norm else None,
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of its ``train``."""
        shared = {f.name for f in fields(TrainingOptions)} & {f.name for f in fields(self)}
        return {
            "method": self.method.removesuffix("2"),
            **{
                new: getattr(self, f"{old}_filename")
                for old, new in _NAMES[self.family].data.items()
            },
            "optimizer": self.trainer,
            **{n: getattr(self, n) for n in shared if n != "alpha" or self.family != "score"},
        }


def _also_by_filename(function: F) -> F:
    """Let a method with the arguments x, theta0, theta1 take them as ``x_filename`` etc. too."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given: dict[str, Any] = {}
        for name, value in kwargs.items():
            short = name.removesuffix("_filename")
            if short in given:
                raise OptionError(f"Give {short} or {short}_filename, not both.")
            given[short] = value
        return function(*args, **given)

    return cast("F", wrapper)


def _one_or_several_strengths(function: F) -> F:
    """Let a method return lists, with an entry for each of several `vote_expectation_weight`."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        strengths = given.get("vote_expectation_weight")
        if not isinstance(strengths, Sequence):
            return function(**given)
        results = [function(**{**given, "vote_expectation_weight": c}) for c in strengths]
        return tuple(list(column) for column in zip(*results, strict=True))

    return cast("F", wrapper)


def _evaluation(
    family: str, x: DataLike, theta0: DataLike | None, theta1: DataLike | None, **options: Any
) -> tuple[str, dict[str, Any]]:
    """Name of the method that evaluates an estimator, and its arguments."""
    names, thetas = _NAMES[family], {"theta0": theta0, "theta1": theta1}
    if any(thetas[old] is None for old in names.thetas):
        raise OptionError(
            f"This estimator depends on {', '.join(names.thetas)}; give all of them, as arrays or "
            f"files."
        )
    points = {new: thetas[old] for old, new in names.thetas.items()}
    return names.evaluate, {"x": x, **points, **(options if points else {})}


class MLForge:
    """Deprecated: an estimator of any type, chosen by the method of its training.

    Args:
        debug: Without effect.

    Attributes:
        estimator: The estimator that does the work, None before training.
        method: Name of the method, None if unknown.
    """

    method: str | None = None
    estimator: Estimator | None = None

    @renamed(
        "ScoreEstimator, ParameterizedRatioEstimator, DoubleParameterizedRatioEstimator or "
        "LikelihoodEstimator of madminer.ml"
    )
    def __init__(self, debug: bool = False) -> None:
        pass

    @takes(ForgeTraining, TrainingOptions, TrainingSettings)
    def train(self, **options: Any) -> TrainingHistory:
        """Train, from the present weights if these are of the network that is asked for.

        Returns:
            The losses; unpacks as (train losses, validation losses).

        Raises:
            OptionError: If the method is unknown, or an option is used that was given up.
            TrainingError: If data are missing or the loss diverges.
        """
        training = ForgeTraining(**options)
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
        estimator = self.trained
        name, arguments = _evaluation(
            *(estimator.family, x, theta0, theta1),
            test_all_combinations=test_all_combinations,
            evaluate_score=evaluate_score,
        )
        result = getattr(estimator, name)(**arguments)
        if estimator.family == "score":
            return cast("FloatArray", result)
        log_f, *scores = result
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
        """Save the estimator in the files of this version."""
        self.trained.save(filename)

    def load(self, filename: StrPath) -> None:
        """Load an estimator from files of this version or of the first releases."""
        self.estimator = load_single_estimator(filename)
        self.method = read_settings(filename).get("method")

    def prepare(self, training: ForgeTraining) -> Estimator:
        """Keep the estimator if it is of the kind that is asked for, else make another."""
        self.method = training.method
        old, new = self.estimator, ESTIMATORS[training.family](**training.constructor)
        if (
            old is None
            or old.family != new.family
            or any(getattr(old, name) != getattr(new, name) for name in training.constructor)
        ):
            self.estimator = new
        return self.trained

    @property
    def trained(self) -> Estimator:
        """The estimator; a `NotTrainedError` if there is none yet."""
        if self.estimator is None:
            raise NotTrainedError("This forge was not trained yet; call train or load first.")
        return self.estimator


class EnsembleForge:
    """Deprecated: several forges with methods of the same type.

    Args:
        estimators: Number of forges to make, or forges, or paths of saved ones.
        debug: Without effect.

    Attributes:
        estimators: The forges.
        expectations: Mean scores that `calculate_expectation` found, shape ``(n, n_parameters)``;
            None before.
    """

    @renamed("madminer.ml.Ensemble")
    def __init__(
        self,
        estimators: int | Sequence[MLForge | StrPath] | None = None,
        debug: bool = False,  # noqa: ARG002
    ) -> None:
        self.estimators: list[MLForge] = []
        self.expectations: FloatArray | None = None
        if isinstance(estimators, int):
            self.estimators = [_forge() for _ in range(estimators)]
            return
        for estimator in estimators or ():
            self.add_estimator(estimator)

    def add_estimator(self, estimator: MLForge | StrPath) -> None:
        """Add a forge, or a saved one by its path."""
        if isinstance(estimator, str | os.PathLike):
            filename, estimator = estimator, _forge()
            estimator.load(filename)
        self.estimators.append(estimator)
        self.expectations = None

    def train_one(self, i: int, **kwargs: Any) -> TrainingHistory:
        """Train forge number i, see `MLForge.train`."""
        whole(i, "i", 0, len(self.estimators) - 1)
        self.expectations = None
        history: TrainingHistory = self.estimators[i].train(**kwargs)
        return history

    def train_all(
        self, *, seed: Seed = None, n_processes: int | None = None, **kwargs: Any
    ) -> list[TrainingHistory]:
        """Train all forges, see `Ensemble.train_all`.

        Args:
            seed: Source of all randomness, from which every forge gets its own seed.
            n_processes: Number of processes.
            **kwargs: Arguments of `MLForge.train`; a list has one entry for each forge.

        Returns:
            The losses of each.
        """
        given = spread(kwargs, len(self.estimators))
        trainings = [ForgeTraining(**arguments) for arguments in given]
        members = zip(self.estimators, trainings, strict=True)
        ensemble = Ensemble([forge.prepare(training) for forge, training in members])
        arguments = [training.arguments for training in trainings]
        by_name: dict[str, Any] = {name: [a[name] for a in arguments] for name in arguments[0]}
        self.expectations = None
        return ensemble.train_all(**(by_name | {"seed": seed}), n_processes=n_processes)

    def calculate_expectation(
        self,
        x_filename: DataLike,
        theta0_filename: DataLike | None = None,  # noqa: ARG002
        theta1_filename: DataLike | None = None,  # noqa: ARG002
    ) -> FloatArray:
        """Calculate mean scores, zero for perfect estimators, and keep them for votes.

        Args:
            x_filename: Observations drawn at the reference point.
            theta0_filename: Not used.
            theta1_filename: Not used.

        Returns:
            Mean scores of "sally" or "sallino", shape ``(n, n_parameters)``.
        """
        self.expectations = self._scores("calculate_expectation").calculate_expectation(x_filename)
        return self.expectations

    @_one_or_several_strengths
    def evaluate(
        self,
        x_filename: DataLike,
        theta0_filename: DataLike | None = None,
        theta1_filename: DataLike | None = None,
        test_all_combinations: bool = True,
        vote_expectation_weight: VoteStrength = None,
        calculate_covariance: bool = False,
        return_individual_predictions: bool = False,
    ) -> tuple[Any, ...]:
        """Evaluate the score, log likelihood ratio or log likelihood.

        Args:
            x_filename: Observations.
            theta0_filename: Numerator parameters, where the method needs them.
            theta1_filename: Denominator parameters, where the method needs them.
            test_all_combinations: Whether to combine every x with every theta.
            vote_expectation_weight: The c of votes exp(-c abs(mean score)); None for equal votes;
                a list: all results are lists with an entry for each.
            calculate_covariance: Whether to calculate the covariance over forges.
            return_individual_predictions: Whether to return votes and predictions too.

        Returns:
            Mean prediction; covariance of the flattened predictions, shape ``(m, m)``, or None; if
            asked for, votes with sum one, shape ``(n,)``, and predictions of each forge, shape
            ``(n, ...)``.
        """
        ensemble, votes = self._ensemble(), self._votes(vote_expectation_weight)
        name, arguments = _evaluation(
            *(ensemble.estimators[0].family, x_filename, theta0_filename, theta1_filename),
            test_all_combinations=test_all_combinations,
        )
        mean, covariance = getattr(ensemble, name)(
            estimator_weights=votes, calculate_covariance=calculate_covariance, **arguments
        )
        if covariance is not None:
            covariance = covariance.reshape(mean.size, mean.size)
        if not return_individual_predictions:
            return mean, covariance
        results = [getattr(member, name)(**arguments) for member in ensemble.estimators]
        predictions = np.stack([r[0] if isinstance(r, tuple) else r for r in results])
        return mean, covariance, votes, predictions

    @_one_or_several_strengths
    def calculate_fisher_information(
        self,
        x: DataLike,
        obs_weights: DataLike | None = None,
        n_events: float = 1,
        mode: str = "score",
        uncertainty: str = "ensemble",
        vote_expectation_weight: VoteStrength = None,
        return_individual_predictions: bool = False,
    ) -> tuple[Any, ...]:
        """Calculate the expected kinematic Fisher information, with "sally" or "sallino".

        Args:
            x: Observations drawn at the reference point.
            obs_weights: Weights of the observations; None for equal ones.
            n_events: Expected number of events.
            mode: "score": information of the mean scores; "information": mean of the informations.
            uncertainty: "ensemble": the spread of the forges; "none".
            vote_expectation_weight: See `evaluate`.
            return_individual_predictions: Whether to return votes and informations too.

        Returns:
            Information, shape ``(p, p)``; covariance, shape ``(p, p, p, p)``, zero in mode "score"
            (`Ensemble.calculate_fisher_information` knows it); if asked for, votes with sum one,
            shape ``(n,)``, and informations of each forge, shape ``(n, p, p)``.
        """
        one_of(uncertainty, "uncertainty", ["ensemble", "none"])
        votes = self._votes(vote_expectation_weight)
        ensemble = self._scores("calculate_fisher_information")
        information, covariance = ensemble.calculate_fisher_information(
            x,
            obs_weights=obs_weights,
            estimator_weights=votes,
            n_events=n_events,
            mode=mode,
            calculate_covariance=uncertainty == "ensemble" and mode != "score",
        )
        if covariance is None:
            covariance = np.zeros(information.shape * 2)
        if not return_individual_predictions:
            return information, covariance
        given: dict[str, Any] = {"weights": obs_weights, "n_events": n_events}
        each = [m.calculate_fisher_information(x, **given) for m in ensemble.estimators]
        return information, covariance, votes, np.stack(each)

    def save(self, folder: StrPath) -> None:
        """Save all forges and the expectations, in the files of this version."""
        expectations = None if self.expectations is None else self.expectations.tolist()
        models = [member.stored() for member in self._ensemble().estimators]
        write_models(folder, models, expectations=expectations)

    def load(self, folder: StrPath) -> None:
        """Load an ensemble of this version or of the first releases; it replaces the forges."""
        expectations, members = _expectations(folder), load_members(folder)[1]
        settings = [read_settings(Path(folder) / f"estimator_{i}") for i in range(len(members))]
        pairs = zip(members, settings, strict=True)
        self.estimators = [_forge(member, given.get("method")) for member, given in pairs]
        self.expectations = expectations

    def _ensemble(self) -> Ensemble:
        return Ensemble([forge.trained for forge in self.estimators])

    def _votes(self, c: VoteStrength) -> FloatArray:
        if c is None:
            return normalized_member_weights(None, len(self.estimators))
        if self.expectations is None:
            raise OptionError(
                f"vote_expectation_weight={c} needs expectations. Call calculate_expectation "
                f"first, or use None."
            )
        return expectation_weights(self.expectations, cast("float", c))

    def _scores(self, name: str) -> Ensemble:
        ensemble = self._ensemble()
        family = ensemble.estimators[0].family
        if family != "score":
            raise OptionError(
                f"{name} of an EnsembleForge needs 'sally' or 'sallino', got {family!r}. Use "
                f"madminer.ml.Ensemble."
            )
        return ensemble


def saved_member_weights(folder: StrPath, vote_expectation_weight: float) -> FloatArray:
    """Votes of an ensemble that was saved with its expectations, shape ``(n,)``."""
    expectations = _expectations(folder)
    if expectations is None:
        raise OptionError(
            f"Votes with vote_expectation_weight={vote_expectation_weight} need expectations, but "
            f"{folder} was saved without. Call calculate_expectation before save, or use None."
        )
    return expectation_weights(expectations, vote_expectation_weight)


def _forge(estimator: Estimator | None = None, method: str | None = None) -> MLForge:
    """A forge of an ensemble: the deprecation of the ensemble was reported."""
    forge = MLForge.__new__(MLForge)
    forge.estimator, forge.method = estimator, method
    return forge


def _expectations(folder: StrPath) -> FloatArray | None:
    """Mean scores that were saved with an ensemble, None where there are none."""
    index = read_index(folder)
    if index.get("expectations") is None:
        return None
    with reading(Path(folder) / "ensemble.json", "Save the ensemble again."):
        expectations = np.asarray(index["expectations"], dtype=np.float64)
        if expectations.ndim != 2 or len(expectations) != index["n_estimators"]:
            raise ShapeError(
                f"expectations of {index['n_estimators']} estimators, got {expectations.shape}"
            )
        return expectations
