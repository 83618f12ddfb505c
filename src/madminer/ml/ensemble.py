"""Ensembles of estimators: better means than a single network, and their uncertainty."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from inspect import signature
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from madminer import checks
from madminer.blocks import ROWS, row_blocks
from madminer.errors import DataError, EnsembleError, NotTrainedError, OptionError, ShapeError
from madminer.io.file_sets import reading
from madminer.ml.base import Estimator
from madminer.ml.ensemble_statistics import (
    ensemble_information,
    member_covariance,
    member_mean,
    normalized_member_weights,
)
from madminer.ml.ensemble_training import (
    check_members,
    common_number,
    member_arguments,
    mixture_error,
    train_members,
)
from madminer.ml.inputs import DataLike, load_array, load_columns, load_thetas, normalized_weights
from madminer.ml.lookup import ESTIMATORS, family_of_method, load_members, load_single_estimator
from madminer.ml.persistence import write_models
from madminer.ml.score import ScoreEstimator
from madminer.ml.validated import Validated
from madminer.nn.history import TrainingHistory
from madminer.stats import kinematic_information
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, Seed, StrPath


@final
class Ensemble(Validated):
    r"""Several estimators of the same quantity, evaluated together.

    .. math:: \bar f(x) = \sum_a v_a f_a(x), \qquad \sum_a v_a = 1

    Members may be trained with different methods and on different samples, but they are of one
    type and have the same observables and parameters.

    A covariance holds what members differ in: the training if it is their seeds, the finite
    simulation too if each was trained on another bootstrap of its events. It holds nothing that
    they share, as the bias of networks that are too small.

    Args:
        estimators: Estimators, trained or not, or paths of saved ones; a number: so many are
            created at the first training, of the class that its method needs; None: none yet.
        features: Indices of the observables that created members see; None for all.
        n_hidden: Units of each hidden layer of created members.
        activation: Activation function of created members.
        dropout_prob: Dropout probability of created members. For further settings create the
            estimators yourself.

    Attributes:
        estimators: The members; empty until the first training if a number was given.
        validated_thetas: Parameter points at which a validation found the mean of the members
            calibrated, see `Estimator`.
        undecided_validation: The last validation, if its events were too few to tell; None else.

    Raises:
        EnsembleError: If members are of different types or sizes.
        MissingFileError: If a file is missing.
        OptionError: If a setting lies outside its range, or is given for estimators that exist.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.5.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(2000, 1))  # the score of N(theta, 1) at 0
        >>> ensemble = Ensemble(3, n_hidden=(10,))
        >>> histories = ensemble.train_all(
        ...     method="sally", x=x, t_xz=x, n_epochs=10, initial_lr=0.02, seed=1
        ... )
        >>> information, covariance = ensemble.calculate_fisher_information(x, n_events=10.0)
        >>> abs(information[0, 0] - 10.0) < 1.0, covariance.shape
        (np.True_, (1, 1, 1, 1))
    """

    def __init__(
        self,
        estimators: int | Sequence[Estimator | StrPath] | None = None,
        *,
        features: Sequence[int] | None = None,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
    ) -> None:
        self.estimators: list[Estimator] = []
        self._n_to_create = 0
        settings: dict[str, Any] = {"features": features, "n_hidden": n_hidden}
        settings |= {"activation": activation, "dropout_prob": dropout_prob}
        self._settings = {k: v for k, v in settings.items() if v != _DEFAULTS[k]}
        if isinstance(estimators, int | np.integer):
            ScoreEstimator(**settings)  # refuses now what would be refused in training
            self._n_to_create = checks.whole(estimators, "estimators", 1)
            return
        if self._settings:
            raise OptionError(
                f"{', '.join(self._settings)}: settings of estimators that the ensemble creates. "
                f"Give the number of estimators, or make them with their settings."
            )
        if isinstance(estimators, str | os.PathLike):
            raise OptionError(
                f"estimators must be a number or a list, got the path {str(estimators)!r}. Load a "
                f"folder with Ensemble().load or madminer.ml.load_estimator."
            )
        if estimators is None:
            return
        checks.sequence(estimators, "estimators", lambda member, _: member)
        for estimator in estimators:
            self.add_estimator(estimator)

    def __repr__(self) -> str:
        """Number and kind of the members, and how many were trained."""
        kinds = " and ".join(dict.fromkeys(type(member).__name__ for member in self.estimators))
        n_trained = sum(member.is_trained for member in self.estimators)
        members = f"{self.n_estimators} {kinds or 'estimators to be created'}"
        return f"Ensemble({members}, {n_trained} trained)"

    def _repr_html_(self) -> str:
        rows = [(str(i), repr(member)) for i, member in enumerate(self.estimators)]
        return tables_html([Table(("", ""), rows, "Estimators")], repr(self))

    @property
    def n_estimators(self) -> int:
        """Number of members, including those that are yet to be created."""
        return len(self.estimators) + self._n_to_create

    @property
    def n_parameters(self) -> int | None:
        """Number of parameters of all members, None before training."""
        return common_number(self.estimators, "n_parameters")

    @property
    def n_observables(self) -> int | None:
        """Number of observables that all members see, None before training."""
        return common_number(self.estimators, "n_observables")

    def add_estimator(self, estimator: Estimator | StrPath) -> None:
        """Add an estimator.

        Args:
            estimator: The estimator, trained or not, or the path of a saved one.

        Raises:
            EnsembleError: If it does not fit to the other members, or is one of them.
            MissingFileError: If a file is missing.
        """
        if isinstance(estimator, str | os.PathLike):
            estimator = load_single_estimator(estimator)
        if not isinstance(estimator, Estimator):
            raise OptionError(
                f"estimator must be an Estimator or the path of one, got a "
                f"{type(estimator).__name__}."
            )
        if any(member is estimator for member in self.estimators):
            raise EnsembleError("This estimator is in the ensemble already; make another one.")
        self._create(type(estimator))
        check_members([*self.estimators, estimator])
        self.estimators.append(estimator)
        self.validated_thetas = None  # the mean is another one

    def train_one(self, i: int, **kwargs: Any) -> TrainingHistory:
        """Train one estimator.

        Args:
            i: Its index, from 0.
            **kwargs: Arguments of its ``train``; lists are taken as they are.

        Returns:
            Its losses; unpacks as (train losses, validation losses).

        Raises:
            OptionError: If there is no such estimator or method.
            EnsembleError: If it does not fit to the other members afterwards.
        """
        self._create_for(kwargs.get("method"), kwargs)
        self.validated_thetas = None
        checks.whole(i, "i", 0, len(self.estimators) - 1)
        history = self.estimators[i].train(**kwargs)
        check_members(self.estimators)
        return history

    def train_all(
        self,
        *args: Any,
        n_processes: int | None = None,
        seed: Seed | list[Seed] = None,
        executor: Executor | None = None,
        stacked: bool | None = None,
        **kwargs: Any,
    ) -> list[TrainingHistory]:
        """Train all estimators, one after the other or several at once.

        A value that is a list has one entry for each estimator; every other value, as an array, a
        path or a tuple, is used for all. So ``n_epochs=[10, 20]`` or ``x=[x_0, x_1]`` treat two
        estimators differently, and data that all share are given as arrays or files. Exceptions:
        all callbacks are called for every estimator, and the path of a checkpoint gets its number.

        Processes start afresh, which takes some seconds, and use one thread each. They give the
        same networks as training one after the other, exactly for networks that are trained by one
        thread anyway. A script that uses them keeps its steps below
        ``if __name__ == "__main__":``; notebooks need nothing. Callbacks run in these processes,
        hence must be functions of a module.

        In a stack, all estimators of equal shape train together, as one batch of products of
        matrices: those of one class, method, network, loss, batch size, optimizer and numbers of
        events. Each has its own initial weights, data, order of events, learning rates, best epoch
        and end, and the result is that of training it alone, within rounding. Estimators of
        different shapes train in groups.

        Args:
            *args: Arguments of ``train`` by position, as the method.
            n_processes: Number of processes; None or 1 for none besides this one.
            seed: Source of all randomness, from which every estimator gets its own seed; or a list
                of their seeds.
            executor: Instead of processes of this machine, any `concurrent.futures.Executor`, as
                those of Dask and MPI. Its workers must see the folder for temporary files, which
                the environment variable ``TMPDIR`` names.
            stacked: Whether to train in stacks. None: on a graphics processor, where those that
                cannot be stacked (likelihood and morphing-aware estimators, dropout, activations
                prelu and rrelu, checkpoints, callbacks, mapped files) train one by one. On a CPU
                stacks save at most a fifth of the time, and `n_processes` more.
            **kwargs: Arguments of ``train`` by name.

        Returns:
            The losses of each estimator.

        Raises:
            OptionError: If a list does not have one entry for each estimator, a method or option is
                unknown or outside its range, or an estimator cannot be stacked and is to be.
            MadMinerError: If estimators fail, of the type of their error; says which. The others
                are trained.
            EnsembleError: If there are no estimators, or they do not fit together afterwards.
        """
        self._create_for(args[0] if args else kwargs.get("method"), kwargs)
        self.validated_thetas = None
        if not self.estimators:
            raise EnsembleError(f"There is nothing to train. {_EMPTY}")
        arguments = member_arguments(self.estimators, args, kwargs, seed)
        histories = train_members(
            self.estimators,
            arguments,
            n_processes=n_processes,
            executor=executor,
            stacked=stacked,
        )
        check_members(self.estimators)
        return histories

    def calculate_expectation(
        self,
        x: DataLike,
        theta: DataLike | None = None,
        theta0: DataLike | None = None,
        theta1: DataLike | None = None,
        obs_weights: DataLike | None = None,
    ) -> FloatArray:
        r"""Expectation values that vanish for a perfect estimator, as a check of each member.

        .. math::

            E_{x \sim p(x|\theta_{ref})}[\hat t(x)] = 0, \qquad
            E_{x \sim p(x|\theta_1)}[\hat r(x|\theta_0, \theta_1)] - 1 = 0

        `madminer.ml.ensemble_statistics.expectation_weights` turns them into `estimator_weights`.

        Args:
            x: Observations drawn at the reference point of a score or single ratio estimator, or
                at `theta1`, shape ``(n_x, n_observables)``.
            theta: Numerators of single ratio estimators, shape ``(n_thetas, n_parameters)``.
            theta0: Numerators of double ratio and likelihood estimators.
            theta1: Their denominators.
            obs_weights: Weights of the observations; None for equal ones.

        Returns:
            Mean scores, shape ``(n_estimators, n_parameters)``, or mean ratios minus one, shape
            ``(n_estimators, n_thetas)``.

        Raises:
            NotTrainedError: If a member was not trained.
            DataError: If a mean is not finite.
        """
        members, events = self._trained(), load_columns(x, "x")
        weights = normalized_weights(obs_weights, len(events), "obs_weights")
        if members[0].family == ScoreEstimator.family:
            return np.stack([weights @ scores for scores in self.member_scores(events)])
        given = {"theta": theta, "theta0": theta0, "theta1": theta1}
        points: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        points["test_all_combinations"] = True
        log_ratios = (m.evaluate_log_likelihood_ratio(x=events, **points)[0] for m in members)
        with np.errstate(over="ignore"):
            means = np.stack([np.exp(log_r) @ weights - 1.0 for log_r in log_ratios])
        if not np.all(np.isfinite(means)):
            raise DataError(
                "The mean ratio overflows: some events are far from the training sample."
            )
        return means

    def evaluate_log_likelihood(
        self,
        estimator_weights: ArrayLike | None = None,
        calculate_covariance: bool = False,
        **kwargs: Any,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the log likelihood of each estimator and average.

        Args:
            estimator_weights: Weights of the members, shape ``(n_estimators,)``; None for equal
                ones.
            calculate_covariance: Whether to calculate the covariance over members too.
            **kwargs: Arguments of the members' `evaluate_log_likelihood` by name; scores at theta
                are not evaluated.

        Returns:
            The mean, of the shape that members give, and the covariance over members, how much a
            single one scatters, with the axes of the mean twice; None if not asked for. It holds
            what members differ in, see the class.

        Raises:
            TheresAGoodReasonThisDoesntWork: If the members do not know it.
            NotTrainedError: If a member was not trained.
            EnsembleError: If a covariance is asked of fewer than two members.
            OptionError: If the covariance does not fit into memory.
        """
        return self._evaluate(
            "evaluate_log_likelihood", estimator_weights, calculate_covariance, kwargs
        )

    def evaluate_log_likelihood_ratio(
        self,
        estimator_weights: ArrayLike | None = None,
        calculate_covariance: bool = False,
        **kwargs: Any,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the log likelihood ratio of each estimator and average.

        Args:
            estimator_weights: Weights of the members, shape ``(n_estimators,)``; None for equal
                ones.
            calculate_covariance: Whether to calculate the covariance over members too.
            **kwargs: Arguments of the members' `evaluate_log_likelihood_ratio` by name; scores at
                theta are not evaluated, see `evaluate_score`.

        Returns:
            The mean, of the shape that members give, and the covariance over members, how much a
            single one scatters, with the axes of the mean twice; None if not asked for. It holds
            what members differ in, see the class.

        Raises:
            TheresAGoodReasonThisDoesntWork: If the members do not know it.
            NotTrainedError: If a member was not trained.
            EnsembleError: If a covariance is asked of fewer than two members.
            OptionError: If the covariance does not fit into memory.
        """
        return self._evaluate(
            "evaluate_log_likelihood_ratio", estimator_weights, calculate_covariance, kwargs
        )

    def evaluate_score(
        self,
        estimator_weights: ArrayLike | None = None,
        calculate_covariance: bool = False,
        **kwargs: Any,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the score of each estimator and average.

        Args:
            estimator_weights: Weights of the members, shape ``(n_estimators,)``; None for equal
                ones.
            calculate_covariance: Whether to calculate the covariance over members too.
            **kwargs: Arguments of the members' `evaluate_score` by name.

        Returns:
            The mean, of the shape that members give, and the covariance over members, how much a
            single one scatters, with the axes of the mean twice; None if not asked for. It holds
            what members differ in, see the class.

        Raises:
            NotTrainedError: If a member was not trained.
            EnsembleError: If a covariance is asked of fewer than two members.
            OptionError: If the covariance does not fit into memory.
        """
        return self._evaluate("evaluate_score", estimator_weights, calculate_covariance, kwargs)

    def member_scores(self, x: DataLike, theta: DataLike | None = None) -> FloatArray:
        """Evaluate the score of each estimator, with all components.

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta: One parameter point, shape ``(n_parameters,)``; score estimators need none.

        Returns:
            Scores in inverse parameter units, shape ``(n_estimators, n_x, n_parameters)``.

        Raises:
            NotTrainedError: If a member was not trained.
            OptionError: If members need theta and there is none.
            ShapeError: If shapes do not fit, or there is more than one theta.
            NotImplementedError: If the members are double ratio or likelihood estimators.
        """
        members, events, point = self._trained(), load_columns(x, "x"), None
        if members[0].family != ScoreEstimator.family:
            if theta is None:
                raise OptionError(
                    f"The score of a {type(members[0]).__name__} depends on theta: give theta, "
                    f"shape ({self.n_parameters},)."
                )
            point = load_thetas(theta, self.n_parameters or 0)
            if len(point) != 1:
                raise ShapeError(
                    f"The ensemble needs a single theta of shape ({self.n_parameters},), got "
                    f"{len(point)} points."
                )
        return np.stack(
            [m.evaluate_score(x=events, theta=point, nuisance_mode="keep") for m in members]
        )

    def calculate_fisher_information(
        self,
        x: DataLike,
        theta: DataLike | None = None,
        obs_weights: DataLike | None = None,
        estimator_weights: ArrayLike | None = None,
        n_events: float = 1,
        mode: str = "score",
        calculate_covariance: bool = True,
        sum_events: bool = True,
        epsilon_shift: float = 0.001,
    ) -> tuple[FloatArray, FloatArray | None]:
        r"""Expected kinematic Fisher information, and its uncertainty from the spread of members.

        .. math:: I(t) = n \sum_e w_e\, t_e t_e^T, \qquad \sum_e w_e = 1

        With the scores :math:`t_a` of the members, their mean :math:`m = \sum_a v_a t_a` for every
        event and :math:`q^2 = \sum_a v_a^2`, or 1 over the number of members with equal weights,

        - mode "score" returns :math:`I(m)`, and as covariance the error of the mean,
          :math:`\mathrm{Cov}_a[I(m + \epsilon (t_a - m))]\, q^2 / \epsilon^2`;
        - mode "modified_score" propagates shifts as large as the error of the mean instead of
          small ones: :math:`\mathrm{Cov}_a[I(m + q (t_a - m))]`;
        - mode "information" returns :math:`\sum_a v_a I(t_a)`, and as covariance the spread of
          single members, :math:`\mathrm{Cov}_a[I(t_a)]`. Multiplied by :math:`q^2` it is the error
          of the mean, see `madminer.ml.ensemble_statistics.covariance_of_mean`.

        The "score" modes are more precise: noise of single members adds to :math:`I(t_a)`.

        What the covariance holds depends on what members differ in:

        - seeds alone: the training. What the simulation could have been is shared;
        - `bootstrap` of the simulated events (see `madminer.sampling.options`): training and
          simulation, if the mode is "information". The error of the mean of the other modes falls
          with the number of members, whereas the mean of any number of bootstraps keeps the error
          of the simulation: it then says too little. Errors of a network of all events are the
          spread of those of bootstraps.

        It never holds a bias that members share, nor the finite number of events x, which
        `madminer.fisherinformation.FisherInformation.full_information` adds.

        Args:
            x: Observations drawn at theta, shape ``(n_x, n_observables)``.
            theta: Parameter point of ratio estimators, shape ``(n_parameters,)``; score estimators
                have theirs from training.
            obs_weights: Weights of the observations, rescaled to sum one; None for equal ones.
            estimator_weights: Weights of the members, shape ``(n_estimators,)``; None for equal
                ones.
            n_events: Expected number of events n.
            mode: "score", "information" or "modified_score".
            calculate_covariance: Whether to calculate the covariance.
            sum_events: Whether to sum over the observations; mode "information" always does.
            epsilon_shift: The small number epsilon of mode "score".

        Returns:
            mean_prediction: Information, shape ``(n_parameters, n_parameters)``, or
                ``(n_x, n_parameters, n_parameters)`` without sum.
            covariance: Covariance of the summed information, indexed ijkl, shape
                ``(n_parameters,) * 4``: of the mean, or in mode "information" of a single member;
                None if not asked for.

        Raises:
            NotTrainedError: If a member was not trained.
            OptionError: If an option lies outside its range, or theta is needed.
            ShapeError: If shapes do not fit, or there is more than one theta.
            EnsembleError: If a covariance is asked of fewer than two members.
            NotImplementedError: If the members are double ratio or likelihood estimators.

        References:
            Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.5.
        """
        events = load_columns(x, "x")
        weights = normalized_weights(obs_weights, len(events), "obs_weights")
        member_weights = normalized_member_weights(estimator_weights, len(self._trained()))
        n_at_once = ROWS if sum_events else len(events)
        kept = []

        def batches() -> Iterator[tuple[FloatArray, FloatArray]]:
            for rows in row_blocks(len(events), n_at_once):
                scores = self.member_scores(events[rows], theta)
                if not sum_events:
                    kept.append(member_mean(scores, member_weights))
                yield scores, weights[rows]

        information, covariance = ensemble_information(
            batches(),
            n_events,
            member_weights,
            mode,
            calculate_covariance=calculate_covariance,
            epsilon_shift=epsilon_shift,
        )
        if not sum_events and mode != "information":
            information = kinematic_information(kept[0], weights, n_events, sum_events=False)
        return information, covariance

    def save(self, folder: StrPath, save_model: bool = False) -> None:
        """Save all estimators.

        Args:
            folder: Folder for ``ensemble.json`` and, for every estimator, ``estimator_<i>`` with
                the suffixes of `Estimator.save`. It holds the old ensemble or the new one, never a
                mixture; other files in it stay.
            save_model: Whether to write ``_model.pt`` for every estimator too.

        Raises:
            NotTrainedError: If a member was not trained; nothing is written.
            OutputError: If the folder cannot be written.
        """
        models = [member.stored(save_model) for member in self._trained()]
        write_models(folder, models, **self._validation_settings())

    def load(self, folder: StrPath) -> None:
        """Load estimators, also those of MadMiner 0.9; they replace the present ones.

        Args:
            folder: Folder as given to `save`.

        Raises:
            MissingFileError: If a file is missing.
            FileFormatError: If a file is damaged.
            EnsembleError: If the estimators do not fit together.
        """
        index, estimators = load_members(folder)
        check_members(estimators)
        with reading(folder, "Save the ensemble again."):
            self._restore_validation(index, estimators[0].n_parameters)
        self.estimators, self._n_to_create = estimators, 0

    def _create_for(self, method: object, keywords: dict[str, Any]) -> None:
        """Create the members that were asked for as a number, of the class that trains so."""
        if not self._n_to_create:
            return
        methods = method if isinstance(method, list) else [method]
        pairs = "theta0" in keywords or "theta1" in keywords
        families = list(dict.fromkeys(family_of_method(name, pairs) for name in methods))
        if len(families) > 1:
            raise mixture_error(families)
        self._create(ESTIMATORS[families[0]])

    def _create(self, kind: type[Estimator]) -> None:
        unknown = set(self._settings) - set(signature(kind).parameters)
        if self._n_to_create and unknown:
            raise OptionError(f"A {kind.__name__} has no {', '.join(sorted(unknown))}.")
        self.estimators.extend(kind(**self._settings) for _ in range(self._n_to_create))
        self._n_to_create = 0

    def _trained(self) -> list[Estimator]:
        if not self.estimators:
            raise NotTrainedError(f"The ensemble is empty. {_EMPTY}")
        untrained = [i for i, member in enumerate(self.estimators) if not member.is_trained]
        if untrained:
            raise NotTrainedError(
                f"Estimators {untrained} of the ensemble were not trained yet; call train_all, or "
                f"train_one for each."
            )
        check_members(self.estimators)
        return self.estimators

    def _evaluate(
        self,
        name: str,
        estimator_weights: ArrayLike | None,
        calculate_covariance: bool,
        keywords: dict[str, Any],
    ) -> tuple[FloatArray, FloatArray | None]:
        members = self._trained()
        member_weights = normalized_member_weights(estimator_weights, len(members))
        if "x" in keywords:
            keywords["x"] = load_array(keywords["x"], "x")
        keywords |= {"evaluate_score": False} if "evaluate_score" in keywords else {}
        predictions = (_first(getattr(member, name)(**keywords)) for member in members)
        if not calculate_covariance:
            pairs = zip(member_weights, predictions, strict=True)
            return sum((weight * value for weight, value in pairs), start=np.zeros(())), None
        values = np.stack(list(predictions))
        return member_mean(values, member_weights), member_covariance(values, member_weights)


_DEFAULTS = {"features": None, "n_hidden": (100,), "activation": "tanh", "dropout_prob": 0.0}
_EMPTY = "Add estimators, load them, or create them with Ensemble(n)."


def _first(result: FloatArray | tuple[FloatArray, ...]) -> FloatArray:
    return result[0] if isinstance(result, tuple) else result
