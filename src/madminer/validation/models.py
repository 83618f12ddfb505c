"""What is asked of an estimator or an ensemble when it is validated."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from madminer.errors import NotTrainedError, OptionError
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    Estimator,
    LikelihoodEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.typing import BoolArray, FloatArray, StrPath


class ValidatedModel:
    """An estimator, or the members of an ensemble and their mean.

    Args:
        model: Estimator or ensemble, or the file or folder of either.

    Raises:
        NotTrainedError: If it was not trained.
        MissingFileError: If there is no such file.
    """

    def __init__(self, model: Estimator | Ensemble | StrPath) -> None:
        loaded = model if isinstance(model, Estimator | Ensemble) else load_estimator(model)
        self.members: list[Estimator] = (
            list(loaded.estimators) if isinstance(loaded, Ensemble) else [loaded]
        )
        if not self.members or not all(member.is_trained for member in self.members):
            raise NotTrainedError("The estimator was not trained yet; train or load it first.")
        self.is_ensemble = isinstance(loaded, Ensemble)
        self.estimator = loaded

    @property
    def name(self) -> str:
        """What is validated, in words."""
        kind = type(self.members[0]).__name__
        return f"Ensemble of {len(self.members)} {kind}" if self.is_ensemble else kind

    @property
    def knows_ratios(self) -> bool:
        """Whether it gives likelihood ratios."""
        return not isinstance(self.members[0], ScoreEstimator)

    @property
    def knows_scores(self) -> bool:
        """Whether it gives scores."""
        return not isinstance(self.members[0], DoubleParameterizedRatioEstimator)

    @property
    def n_parameters(self) -> int:
        """Number of parameters, nuisance parameters included."""
        return self.members[0].n_parameters or 0

    @property
    def theta_ref(self) -> FloatArray | None:
        """Point that a score estimator was trained at, where it is known."""
        known = getattr(self.members[0], "theta_ref", None)
        return None if known is None else np.asarray(known, dtype=np.float64)

    @cached_property
    def columns(self) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the observables while training."""
        arrays = self.members[0].stored().arrays
        return arrays["x_means"], arrays["x_stds"]

    @cached_property
    def trained_thetas(self) -> tuple[FloatArray, FloatArray] | None:
        """Means and standard deviations of the parameters while training, where known."""
        arrays = self.members[0].stored().arrays
        if "theta_means" not in arrays:
            return None
        return arrays["theta_means"][: self.n_parameters], arrays["theta_stds"][: self.n_parameters]

    @cached_property
    def is_untrained(self) -> BoolArray:
        """Which parameters were zero in all of the training, shape ``(n_parameters,)``.

        A column that never varies is left as it is, with the mean 0 and the width 1; so are all
        where parameters were not to be scaled, of which nothing is known.
        """
        if self.trained_thetas is None:
            return np.zeros(self.n_parameters, dtype=np.bool_)
        means, stds = self.trained_thetas
        is_plain: BoolArray = (means == 0.0) & (stds == 1.0)
        return is_plain & ~np.all(is_plain)

    def scores(self, x: FloatArray, theta: FloatArray) -> FloatArray:
        """Scores of each member at one point, shape ``(n_members, n, m)``."""
        return np.stack([_score(member, x, theta) for member in self.members])

    def log_ratios(self, x: FloatArray, theta: FloatArray, theta1: FloatArray) -> FloatArray:
        """Mean log r of the members at several points, shape ``(n_thetas, n)``."""
        found: FloatArray = np.mean(
            [_log_ratio(member, x, theta, theta1) for member in self.members], axis=0
        )
        return found


def _score(member: Estimator, x: FloatArray, theta: FloatArray) -> FloatArray:
    if isinstance(member, LikelihoodEstimator):
        _, score = member.evaluate_log_likelihood(
            x, theta[np.newaxis], test_all_combinations=False, evaluate_score=True
        )
        return np.asarray(score)
    if isinstance(member, DoubleParameterizedRatioEstimator):
        raise OptionError("A DoubleParameterizedRatioEstimator knows no score.")
    return np.asarray(member.evaluate_score(x, theta[np.newaxis], nuisance_mode="keep"))


def _log_ratio(
    member: Estimator, x: FloatArray, theta: FloatArray, theta1: FloatArray
) -> FloatArray:
    """Log ratios of theta to theta1, shape ``(n_thetas, n)``."""
    if isinstance(member, LikelihoodEstimator | DoubleParameterizedRatioEstimator):
        return np.asarray(member.evaluate_log_likelihood_ratio(x, theta, theta1[np.newaxis])[0])
    return np.asarray(member.evaluate_log_likelihood_ratio(x, theta)[0])
