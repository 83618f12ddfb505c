r"""Kinematic information from a trained estimator of the score.

.. math:: I_{ij} = n \sum_e w_e\, \hat t_i(x_e)\, \hat t_j(x_e), \qquad \sum_e w_e = 1

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 3; Brehmer et al., *MadMiner*,
    arXiv:1907.10621, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.blocks import CACHED_ROWS, row_blocks
from madminer.checks import path, real_array, shown
from madminer.errors import DataError, NotTrainedError, OptionError, SetupError, ShapeError
from madminer.ml import (
    Ensemble,
    Estimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.ensemble_statistics import (
    ensemble_information,
    member_mean,
    normalized_member_weights,
)
from madminer.ml.inputs import load_array
from madminer.models import AnalysisSetup
from madminer.stats.information import symmetric_pairs
from madminer.stats.score_moments import MatrixEstimate, MatrixMean
from madminer.typing import BoolArray, FloatArray, StrPath, ThetaLike

ScoreModel = ScoreEstimator | ParameterizedRatioEstimator | Ensemble
"""Estimators whose score gives an information, and ensembles of them."""


def load_score_model(model: Estimator | Ensemble | StrPath) -> ScoreModel:
    """An estimator that knows the score, or an ensemble of them, loaded where a path is given.

    Raises:
        OptionError: If it is another type of estimator.
        NotTrainedError: If it is an ensemble without estimators.
    """
    if isinstance(model, Estimator | Ensemble):
        estimator = model
    else:
        estimator = load_estimator(path(model, "model_file"))
    if isinstance(estimator, Ensemble) and not estimator.estimators:
        raise NotTrainedError("The ensemble has no estimators yet. Train or load it.")
    member = estimator.estimators[0] if isinstance(estimator, Ensemble) else estimator
    if not isinstance(member, ScoreEstimator | ParameterizedRatioEstimator):
        raise OptionError(
            "A Fisher information needs a score estimator or a single parameterized ratio "
            f"estimator, got a {type(member).__name__}."
        )
    return estimator if isinstance(estimator, Ensemble) else member


def score_model_at(
    model: Estimator | Ensemble | StrPath, setup: AnalysisSetup, theta: ThetaLike
) -> tuple[ScoreModel, FloatArray]:
    """An estimator, and a parameter point as it needs it, nuisance parameters at zero.

    Args:
        model: Score estimator or single ratio estimator, or an ensemble of them, or the file or
            folder of either.
        setup: Setup of the analysis with p theory and k nuisance parameters.
        theta: Name or index of a benchmark, or an array, shape ``(p,)``, or ``(p + k,)`` with
            zeros for the nuisance parameters.

    Returns:
        The estimator, and the point, shape ``(p,)`` or ``(p + k,)``.

    Raises:
        OptionError: As `load_score_model`, and if a score estimator is known to be trained for
            another point; most do not know theirs.
        SetupError: If the estimator has neither p nor p + k parameters.
        ShapeError: If theta has the wrong shape, or nuisance parameters other than zero.
        UnknownNameError: If there is no such benchmark.
    """
    estimator = load_score_model(model)
    p, k = setup.n_parameters, setup.n_nuisance_parameters
    if estimator.n_parameters not in {p, p + k}:
        raise SetupError(
            f"The estimator has {estimator.n_parameters} parameters, but the file has {p} theory "
            f"parameters and {k} nuisance parameters; train it on samples of this file."
        )
    at = theta
    if not isinstance(theta, str | int | np.integer):
        given = real_array(theta, "theta")
        if given.shape not in {(p,), (p + k,)} or np.any(given[p:] != 0.0):
            raise ShapeError(
                f"theta must have shape ({p},), or ({p + k},) with zeros for the nuisance "
                f"parameters; got {shown(theta)}."
            )
        at = given[:p]
    point = np.append(setup.theta(at), np.zeros(estimator.n_parameters - p))
    members = estimator.estimators if isinstance(estimator, Ensemble) else [estimator]
    for member in members:
        reference = getattr(member, "theta_ref", None)
        if reference is not None and not np.allclose(reference, point, rtol=1e-5, atol=1e-8):
            raise OptionError(
                f"The score estimator was trained at theta = {list(reference)}, and knows the "
                f"score only there, not at {point.tolist()}. Train another one, or take a ratio "
                f"estimator."
            )
    return estimator, point


class EstimatedScores:
    """What an estimator says of events at one parameter point.

    Args:
        estimator: Score estimator (at its own reference point) or single ratio estimator, or an
            ensemble of them.
        theta: Point of the score in the estimator's parameters, shape ``(m,)``.
        vanishing: Components that are known to be zero for each event, shape ``(m,)``; None for
            none.
        estimator_weights: Weights of the members in any normalisation; None for equal ones.

    Raises:
        ShapeError: If there is not one weight for each member of an ensemble.
    """

    def __init__(
        self,
        estimator: ScoreModel,
        theta: FloatArray,
        vanishing: BoolArray | None = None,
        estimator_weights: ArrayLike | None = None,
    ) -> None:
        self.estimator, self.theta = estimator, theta
        self.vanishing = np.zeros(len(theta), dtype=bool) if vanishing is None else vanishing
        self.member_weights: FloatArray = np.ones(1)
        if isinstance(estimator, Ensemble):
            n = estimator.n_estimators
            self.member_weights = normalized_member_weights(estimator_weights, n)

    def members(self, x: FloatArray) -> FloatArray:
        """Scores of each member: ``(n, n_observables)`` to ``(n_members, n, m)``.

        Raises:
            DataError: If a score is not finite.
        """
        if isinstance(self.estimator, Ensemble):
            scores = self.estimator.member_scores(x, self.theta)
        else:
            at = self.theta[np.newaxis]
            scores = self.estimator.evaluate_score(x, at, nuisance_mode="keep")[np.newaxis]
        n_bad = np.count_nonzero(~np.isfinite(scores).all(axis=(0, 2)))
        if n_bad:
            raise DataError(f"The estimated score is not finite for {n_bad} of {len(x)} events.")
        return np.where(self.vanishing, 0.0, scores)

    def mean(self, members: FloatArray) -> FloatArray:
        """Their mean: ``(n_members, n, m)`` to ``(n, m)``."""
        return member_mean(members, self.member_weights)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Mean scores: ``(n, n_observables)`` to ``(n, m)``."""
        return self.mean(self.members(x))


@dataclass(frozen=True, slots=True, eq=False)
class ModelInformation:
    """Information of one event that scores claim, with its two uncertainties.

    Args:
        claimed: The information, with the covariance from the finite number of events.
        training: Covariance from the training of an ensemble, shape ``(m, m, m, m)``; None where
            it is not known.
        uncertainties: What both hold, in words.
    """

    claimed: MatrixEstimate
    training: FloatArray | None
    uncertainties: str

    @property
    def total(self) -> MatrixEstimate:
        r"""With both, by the law of total variance.

        .. math::

            \mathrm{Var}(I) = E[\mathrm{Var}_\mathrm{events}(I)]
            + \mathrm{Var}_\mathrm{training}(E[I])
        """
        if self.training is None:
            return self.claimed
        return self.claimed.plus(np.zeros_like(self.claimed.value), self.training)


def model_information(
    scores: EstimatedScores,
    batches: Iterable[tuple[FloatArray, FloatArray]],
    mode: str = "score",
    *,
    calculate_covariance: bool = True,
) -> ModelInformation:
    """Information in the kinematics of one event.

    Args:
        scores: Where the scores come from.
        batches: Scores of the members, shape ``(n_members, n, m)``, and weights at theta, shape
            ``(n,)``, in any normalisation; the result does not depend on how events are batched.
        mode: How an ensemble is averaged, see `madminer.ml.Ensemble`.
        calculate_covariance: Whether to calculate the covariance from the training of an ensemble.

    Raises:
        NoEventsError: If the weights do not add up to a positive number.
        EnsembleError: If a covariance is asked of fewer than two members.
    """
    mean = MatrixMean(len(scores.theta))

    def watched() -> Iterator[tuple[FloatArray, FloatArray]]:
        for members, weights in batches:
            for rows in row_blocks(len(weights), CACHED_ROWS):
                mean.add(_squares(members[:, rows], scores, mode), weights[rows])
            yield members, weights

    information, training = ensemble_information(
        watched(),
        1.0,
        scores.member_weights,
        mode,
        calculate_covariance=calculate_covariance and isinstance(scores.estimator, Ensemble),
    )
    claimed = MatrixEstimate(information, mean.estimate().covariance)
    return ModelInformation(claimed, training, _uncertainties(scores, training, mode))


def _uncertainties(scores: EstimatedScores, training: FloatArray | None, mode: str) -> str:
    if not isinstance(scores.estimator, Ensemble):
        return "test events, without that of the training, which a single network cannot tell"
    if training is None:
        return "test events, without that of the training"
    what = "spread of" if mode == "information" else "error of the mean of"
    return f"test events, and {what} {scores.estimator.n_estimators} networks"


def _squares(members: FloatArray, scores: EstimatedScores, mode: str) -> FloatArray:
    """What is averaged over events, upper triangles, shape ``(n, n_pairs)``."""
    rows, columns = symmetric_pairs(members.shape[-1])
    if mode == "information":
        return scores.mean(members[..., rows] * members[..., columns])
    mean = scores.mean(members).T  # products of rows are fast
    squares: FloatArray = (mean[rows] * mean[columns]).T
    return squares


def read_samples(
    filename: StrPath, n_observables: int, batch_size: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Batches of observables from an npy file, each event with weight one.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is not an npy file of numbers.
        ShapeError: If it has another shape.
    """
    x = load_array(filename, "unweighted_x_sample_file", memmap=True)
    if x.ndim != 2 or x.shape[1] != n_observables:
        raise ShapeError(
            f"{filename} must hold observables of shape (n, {n_observables}), got {x.shape}."
        )
    return (
        (np.array(x[i : i + batch_size]), np.ones(len(x[i : i + batch_size])))
        for i in range(0, len(x), batch_size)
    )
