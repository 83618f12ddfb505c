"""EnsembleForge, the ensembles of the first releases: deprecated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madminer.deprecation import renamed
from madminer.errors import OptionError, ShapeError
from madminer.io.file_sets import reading
from madminer.ml.ensemble import Ensemble
from madminer.ml.ensemble_files import read_ensemble, read_index, write_ensemble
from madminer.ml.ensemble_statistics import expectation_votes, normalized_votes
from madminer.ml.first_release import Forge, name_thetas
from madminer.ml.first_release_methods import KINDS, ForgeTraining
from madminer.ml.inputs import DataLike
from madminer.ml.persistence import read_settings
from madminer.nn.history import TrainingHistory
from madminer.typing import FloatArray, Seed, StrPath

__all__ = ["EnsembleForge", "saved_votes"]

Votes = float | Sequence[float] | None


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
        estimators: int | Sequence[Forge | StrPath] | None = None,
        debug: bool = False,  # noqa: ARG002
    ) -> None:
        self.estimators: list[Forge] = []
        self.expectations: FloatArray | None = None
        if isinstance(estimators, int):
            self.estimators = [Forge() for _ in range(estimators)]
            return
        for estimator in estimators or ():
            self.add_estimator(estimator)

    def add_estimator(self, estimator: Forge | StrPath) -> None:
        """Add a forge, or a saved one by its path."""
        if isinstance(estimator, str | os.PathLike):
            filename, estimator = estimator, Forge()
            estimator.load(filename)
        self.estimators.append(estimator)
        self.expectations = None

    def train_one(self, i: int, **kwargs: Any) -> TrainingHistory:
        """Train forge number i, see `MLForge.train`."""
        if not 0 <= i < len(self.estimators):
            raise OptionError(f"i must be from 0 to {len(self.estimators) - 1}, got {i}.")
        self.expectations = None
        return self.estimators[i].train(**kwargs)

    def train_all(
        self, *, seed: Seed = None, n_processes: int | None = None, **kwargs: Any
    ) -> list[TrainingHistory]:
        """Train all forges, see `MLForge.train`.

        Args:
            seed: Source of all randomness, from which every forge gets its own seed.
            n_processes: See `Ensemble.train_all`.
            **kwargs: Arguments of `MLForge.train`; a list has one entry for each forge.

        Returns:
            The losses of each.

        Raises:
            OptionError: If a list has another length, or an option is not understood.
            EnsembleError: If the methods are of different types.
        """
        n_forges = len(self.estimators)
        for name, value in kwargs.items():
            if isinstance(value, list) and len(value) != n_forges:
                raise OptionError(
                    f"The list {name} must have an entry for each of {n_forges} forges, got "
                    f"{len(value)}. Give a value for all as a tuple or array."
                )
        trainings = [
            ForgeTraining(**{k: v[i] if isinstance(v, list) else v for k, v in kwargs.items()})
            for i in range(n_forges)
        ]
        members = zip(self.estimators, trainings, strict=True)
        ensemble = Ensemble([forge.prepare(training) for forge, training in members])
        arguments = [training.arguments for training in trainings]
        names = [name for name in arguments[0] if name != "seed"]
        spread: dict[str, Any] = {name: [a[name] for a in arguments] for name in names}
        self.expectations = None
        return ensemble.train_all(**spread, seed=seed, n_processes=n_processes)

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
            Mean scores, shape ``(n, n_parameters)``.

        Raises:
            OptionError: If the methods are not "sally" or "sallino".
        """
        ensemble = self._ensemble()
        self._require_scores("calculate_expectation")
        self.expectations = ensemble.calculate_expectation(x_filename)
        return self.expectations

    def evaluate(
        self,
        x_filename: DataLike,
        theta0_filename: DataLike | None = None,
        theta1_filename: DataLike | None = None,
        test_all_combinations: bool = True,
        vote_expectation_weight: Votes = None,
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

        Raises:
            OptionError: If votes are asked for, but no expectations are known.
        """
        if isinstance(vote_expectation_weight, Sequence):
            return _lists(
                self.evaluate(
                    x_filename,
                    theta0_filename,
                    theta1_filename,
                    test_all_combinations,
                    c,
                    calculate_covariance,
                    return_individual_predictions,
                )
                for c in vote_expectation_weight
            )
        ensemble, votes = self._ensemble(), self._votes(vote_expectation_weight)
        kind = KINDS[ensemble.estimators[0].family]
        thetas = {"theta0": theta0_filename, "theta1": theta1_filename}
        arguments = {"x": x_filename, **name_thetas(kind.thetas, thetas)}
        if kind.thetas:
            arguments["test_all_combinations"] = test_all_combinations
        mean, covariance = getattr(ensemble, kind.quantity)(
            estimator_weights=votes, calculate_covariance=calculate_covariance, **arguments
        )
        if covariance is not None:
            covariance = covariance.reshape(mean.size, mean.size)
        if not return_individual_predictions:
            return mean, covariance
        results = [getattr(member, kind.quantity)(**arguments) for member in ensemble.estimators]
        predictions = [r[0] if isinstance(r, tuple) else r for r in results]
        return mean, covariance, votes, np.stack(predictions)

    def calculate_fisher_information(
        self,
        x: DataLike,
        obs_weights: DataLike | None = None,
        n_events: float = 1,
        mode: str = "score",
        uncertainty: str = "ensemble",
        vote_expectation_weight: Votes = None,
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

        Raises:
            OptionError: If an option was given up, or no expectations are known for the votes.
        """
        if isinstance(vote_expectation_weight, Sequence):
            return _lists(
                self.calculate_fisher_information(
                    x, obs_weights, n_events, mode, uncertainty, c, return_individual_predictions
                )
                for c in vote_expectation_weight
            )
        if uncertainty not in {"ensemble", "none"}:
            raise OptionError(
                f"uncertainty must be 'ensemble' or 'none', got {uncertainty!r}; other estimates "
                f"were given up."
            )
        ensemble, votes = self._ensemble(), self._votes(vote_expectation_weight)
        self._require_scores("calculate_fisher_information")
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
        informations = [
            member.calculate_fisher_information(x, weights=obs_weights, n_events=n_events)
            for member in ensemble.estimators
        ]
        return information, covariance, votes, np.stack(informations)

    def save(self, folder: StrPath) -> None:
        """Save all forges and the expectations, in the files of today."""
        expectations = None if self.expectations is None else self.expectations.tolist()
        write_ensemble(folder, self._ensemble().estimators, expectations=expectations)

    def load(self, folder: StrPath) -> None:
        """Load an ensemble of today or of the first releases; it replaces the present forges."""
        expectations, forges = _expectations(folder), []
        for i, estimator in enumerate(read_ensemble(folder)):
            forges.append(Forge())
            forges[i].estimator = estimator
            forges[i].method = read_settings(Path(folder) / f"estimator_{i}").get("method")
        self.estimators, self.expectations = forges, expectations

    def _ensemble(self) -> Ensemble:
        return Ensemble([forge.trained for forge in self.estimators])

    def _votes(self, c: float | None) -> FloatArray:
        if c is None:
            return normalized_votes(None, len(self.estimators))
        if self.expectations is None:
            raise OptionError(
                f"vote_expectation_weight={c} needs expectations. Call calculate_expectation "
                f"first, or use None."
            )
        return expectation_votes(self.expectations, c)

    def _require_scores(self, name: str) -> None:
        family = self.estimators[0].trained.family
        if family != "score":
            raise OptionError(
                f"{name} of an EnsembleForge needs 'sally' or 'sallino', got {family!r}. Use "
                f"madminer.ml.Ensemble."
            )


def saved_votes(folder: StrPath, vote_expectation_weight: float) -> FloatArray:
    """Votes of a saved ensemble, from the expectations that were saved with it.

    Args:
        folder: Folder that `EnsembleForge.save` wrote.
        vote_expectation_weight: The c of votes exp(-c abs(mean score)).

    Returns:
        Votes with sum one, shape ``(n,)``.

    Raises:
        OptionError: If no expectations were saved.
        MissingFileError: If there is no such ensemble.
    """
    expectations = _expectations(folder)
    if expectations is None:
        raise OptionError(
            f"Votes with vote_expectation_weight={vote_expectation_weight} need expectations, but "
            f"{folder} was saved without. Call calculate_expectation before save, or use None."
        )
    return expectation_votes(expectations, vote_expectation_weight)


def _lists(results: Iterable[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*results, strict=True))


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
