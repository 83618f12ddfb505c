"""The validated model: what it is asked, and whether events belong to what it was trained for."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from madminer.errors import NotTrainedError
from madminer.evidence import ValidationCheck
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    Estimator,
    LikelihoodEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.typing import BoolArray, FloatArray, StrPath
from madminer.validation.events import ValidationEvents
from madminer.validation.judgement import Requirement, judge


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
    return np.asarray(member.evaluate_score(x, theta[np.newaxis], nuisance_mode="keep"))


def _log_ratio(
    member: Estimator, x: FloatArray, theta: FloatArray, theta1: FloatArray
) -> FloatArray:
    """Log ratios of theta to theta1, shape ``(n_thetas, n)``."""
    if isinstance(member, LikelihoodEstimator | DoubleParameterizedRatioEstimator):
        return np.asarray(member.evaluate_log_likelihood_ratio(x, theta, theta1[np.newaxis])[0])
    return np.asarray(member.evaluate_log_likelihood_ratio(x, theta)[0])


COLUMNS = Requirement(
    "observables",
    "means within 0.5 standard deviations of the training, spreads within a factor 2",
    "The events must have the observables that the estimator was trained with, in their order.",
    "Check names and order of the observables, and that the events belong to the same analysis.",
    tolerance=0.5,
)
REFERENCE = Requirement(
    "reference point",
    "that of the training",
    "A score estimator knows the score at one point only.",
    "Give the point at which it was trained, or train it again.",
    tolerance=1e-6,
)
_FEWEST = 20  # events below which nothing can be said about columns

N_EFFECTIVE = Requirement(
    "effective events",
    "at least 1000",
    "With few events, or few of large weight, no mean has a reliable error.",
    "Generate more events, or generate them closer to these points; unweight backgrounds.",
    expected=1000.0,
    side=-1,
)
OUTSIDE = Requirement(
    "observables outside the training",
    "at most 1 % of the test events",
    "Where a network has not been trained it extrapolates.",
    "Train with more events; cut events away that lie outside.",
    tolerance=0.01,
    side=1,
)
REGION = Requirement(
    "parameters outside the training",
    "at most 3 standard deviations from the mean of the training",
    "Where a network has not been trained it extrapolates.",
    "Train with a wider prior, or set limits in a smaller region.",
    tolerance=3.0,
    side=1,
)
VARIED = Requirement(
    "parameters in the training",
    "different values of every parameter",
    "What a parameter does is not learned from samples in which it is always zero: scores, ratios "
    "and what mixes with it are noise.",
    "Draw nuisance parameters at random (sample_train_ratio with nu0=iid_nuisance_parameters(); in "
    "an analysis file nuisances: random), or train without them "
    "(SampleAugmenter(..., include_nuisance_parameters=False); nuisances: none).",
    side=1,
)

SCORES_KNOWN = Requirement(
    "joint scores",
    "joint scores t_xz that are not zero",
    "Scores are compared with the joint scores of events; without them nothing is known.",
    "Give events with t_xz, or an event file.",
)
RATIOS_KNOWN = Requirement(
    "joint ratios",
    "joint ratios r_xz at points theta",
    "Ratios are compared with the joint ratios of events; without them nothing is known.",
    "Give theta and r_xz, or an event file and theta.",
)


def match_checks(model: ValidatedModel, events: ValidationEvents) -> list[ValidationCheck]:
    """Whether model and events belong together."""
    found = [_columns(model, events)]
    if model.theta_ref is not None and len(model.theta_ref) == len(events.reference):
        away = np.abs(model.theta_ref - events.reference)
        size = np.maximum(np.abs(events.reference), 1.0)
        labels = [f"distance in {name}" for name in events.parameters or ()]
        found.append(judge(REFERENCE, labels, away / size, np.zeros(len(away))))
    return found


def training_checks(model: ValidatedModel, events: ValidationEvents) -> list[ValidationCheck]:
    """Whether the training varied every parameter that is tested; nothing where it did."""
    is_tested = np.zeros(model.n_parameters, dtype=np.bool_)
    for known in (events.theta, events.t_xz):
        is_tested |= False if known is None else np.any(known != 0.0, axis=0)
    untrained = model.is_untrained & is_tested
    if not untrained.any():
        return []
    labels = [f"samples with {name} = 0 alone" for name in events.parameters or ()]
    return [judge(VARIED, labels, untrained.astype(np.float64), np.zeros(len(untrained)))]


def region_checks(model: ValidatedModel, events: ValidationEvents) -> list[ValidationCheck]:
    """Whether there are events, and whether the training reached them."""
    counts = {"the reference": events.n_effective}
    theta = events.theta if model.knows_ratios else None
    for i, point in enumerate([] if theta is None else theta):
        counts[f"theta = {np.round(point, 4).tolist()}"] = events.n_effective_at(i)
    labels = [f"effective events at {name}" for name in counts]
    values = np.array(list(counts.values()))
    check = judge(N_EFFECTIVE, labels, values, np.zeros(len(values)))
    found = [check if check.passed else replace(check, verdict="undecided")]
    if events.train is not None:
        found.append(_outside(events, events.train))
    if model.trained_thetas is not None and theta is not None:
        means, stds = model.trained_thetas
        distance = np.abs((theta - means) / stds).max(axis=1)
        names = [f"distance of theta = {np.round(point, 4).tolist()}" for point in theta]
        found.append(judge(REGION, names, distance, np.zeros(len(distance))))
    return found


def untested_checks(model: ValidatedModel, events: ValidationEvents) -> list[ValidationCheck]:
    """What could not be compared: undecided, so that it does not pass for tested."""
    missing = []
    if model.knows_scores and (events.t_xz is None or not np.any(events.t_xz)):
        missing.append(SCORES_KNOWN)
    if model.knows_ratios and events.theta is None:
        missing.append(RATIOS_KNOWN)
    nothing = np.array([np.nan])
    return [judge(requirement, [requirement.name], nothing, nothing) for requirement in missing]


def _columns(model: ValidatedModel, events: ValidationEvents) -> ValidationCheck:
    """Means and spreads of the observables in units of those while training."""
    # scores are trained on events with weights, whose means are taken without; ratios on draws
    equal = np.full(len(events.x), 1.0 / len(events.x))
    found = np.stack([_distances(model, events.x, w) for w in (equal, events.w)])
    values = found[np.argmin(np.abs(found), axis=0), np.arange(found.shape[1])]
    n_x = len(values) // 2
    labels = [f"mean of {name}" for name in events.observables or ()]
    labels += [f"spread of {name}" for name in events.observables or ()]
    n = len(events.x)
    errors = np.concatenate([np.full(n_x, 1.0), np.full(n_x, 0.5)]) / np.sqrt(n)
    return judge(COLUMNS, labels, values, errors if n >= _FEWEST else np.full(len(values), np.nan))


def _distances(model: ValidatedModel, x: FloatArray, weights: FloatArray) -> FloatArray:
    """Distances of means and of spreads; a factor 2 in spread counts as 1/2."""
    means, stds = model.columns
    mean = weights @ x
    variance = weights @ (x - mean) ** 2
    stretch = 0.25 * np.log2(np.where(variance > 0.0, variance, stds**2) / stds**2)
    return np.concatenate([(mean - means) / stds, stretch])


def _outside(events: ValidationEvents, train: ValidationEvents) -> ValidationCheck:
    low, high = train.x.min(axis=0), train.x.max(axis=0)
    outside = (events.x < low) | (events.x > high)
    shares = outside.mean(axis=0)
    labels = [f"share of events outside in {name}" for name in events.observables or ()]
    errors = np.sqrt(shares * (1.0 - shares) / len(events.x))
    return judge(OUTSIDE, labels, shares, errors)
