r"""Checks of estimated scores with the joint scores of test events.

With f the estimate and t the joint score of events at the reference point, products of f with t
have the means that the true score t(x) would give (`madminer.stats.score_moments`). Hence

- :math:`E[f] = 0`, as for every score;
- the regression of t on f is the identity, and :math:`E[t - f | f] = 0` in every bin of f;
- :math:`E[t - f | x] = 0` in every bin of every observable;
- the guaranteed information B of one event is neither far below what f claims,
  :math:`E[f f^T]`, nor below what a polynomial of second degree in x finds, whose coefficients
  are known without training; nothing is above the truth at parton level, :math:`E[t t^T]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from madminer.evidence import Graph, Series, ValidationCheck
from madminer.stats.information import direction_of_largest_ratio
from madminer.stats.score_moments import MatrixEstimate, ScoreMoments
from madminer.typing import BoolArray, FloatArray
from madminer.validation.events import ValidationEvents
from madminer.validation.judgement import (
    N_BINS,
    Requirement,
    beyond_polynomial,
    judge,
    mean_and_error,
    means_in_bins,
    overtraining_check,
    polynomial_predictions,
    quantile_bins,
    residual_check,
)
from madminer.validation.validated_model import ValidatedModel

MEAN = Requirement(
    "mean score",
    "0 within 0.05 standard deviations",
    "The mean of a score at its reference point is zero; a bias moves every measurement.",
    "Check that the estimator was trained at this reference point and for these events; train "
    'longer (settings="recommended").',
    tolerance=0.05,
)
CALIBRATION = Requirement(
    "calibration of scores",
    "the unit matrix within 0.1",
    "The regression of joint scores on estimated ones is the identity, else informations and "
    "errors are wrong by this factor.",
    "Recalibrate with held-out events (CalibratedScore, or calibrate=True), or train longer.",
    tolerance=0.1,
)
CURVE = Requirement(
    "calibration curve of scores",
    "0 within 0.15 standard deviations",
    "Events with the same estimated score have this score on average, small or large.",
    "Train longer, with more events or units; recalibrate with held-out events.",
    tolerance=0.15,
)
OVERSTATED = Requirement(
    "information claimed",
    "not above the guaranteed one by more than 10 %",
    "The guaranteed information is never above that of the observables; what is claimed beyond "
    "it is noise of the network.",
    "Use the guaranteed information, or calibrate=True; train with more events.",
    tolerance=0.1,
    side=1,
)
TRUTH = Requirement(
    "information and truth",
    "not above the truth at parton level by more than 2 %",
    "What a detector leaves of events cannot tell more than their latent variables do.",
    "Do not quote this information. The network is over-trained, trained at another point, or "
    "not calibrated.",
    tolerance=0.02,
    side=1,
)
LEARNED = Requirement(
    "information learned",
    "above 0, and not 5 % below that of a polynomial of second degree",
    "A network that finds less than a fit of a polynomial to the joint scores has not learned.",
    'Train longer (settings="recommended"), check the scaling of scores (scale_scores=True) and '
    "the order of observables.",
    tolerance=0.05,
    side=-1,
)
RESIDUALS = Requirement(
    "residuals in observables",
    "0 within 0.15 standard deviations",
    "In every bin of every observable the estimated score is the mean joint score; where not, "
    "this region was not learned.",
    "Train longer or with more units, with more events in this region, or check this observable.",
    tolerance=0.15,
)
OVERTRAINING = Requirement(
    "over-training",
    "guaranteed information of training events not above that of test events by 5 %",
    "A network that knows its own events better than others has learned their accidents.",
    "Train with more events, early stopping, fewer epochs or dropout.",
    tolerance=0.05,
    side=1,
)
SPREAD = Requirement(
    "spread of the ensemble",
    "squared error of the mean at most (0.03 rms)^2 above that of twice the spread",
    "The spread of members is their error only if they do not share a bias.",
    "Treat the spread as a lower limit of the error: all members share a bias. Train them "
    "longer, or with other settings or bootstraps of the events.",
    tolerance=0.03**2,
    side=1,
)
N_SPREADS = 2.0
"""How many times the error that the spread says is allowed: four members know theirs to 40 %."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreEvidence:
    """Estimated and joint scores of the same events.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        estimated: Estimated scores f, shape ``(n, m)``.
        joint: Joint scores t, shape ``(n, m)``.
        weights: Weights at the reference point with sum one, shape ``(n,)``.
        observables: Names of the observables.
        parameters: Names of the parameters.
    """

    x: FloatArray
    estimated: FloatArray
    joint: FloatArray
    weights: FloatArray
    observables: Sequence[str]
    parameters: Sequence[str]

    @classmethod
    def of(cls, estimated: FloatArray, events: ValidationEvents) -> Self:
        """The evidence of events with joint scores."""
        names = events.observables or (), events.parameters or ()
        return cls(events.x, estimated, np.asarray(events.t_xz), events.w, *names)

    def only(self, components: BoolArray) -> ScoreEvidence:
        """Keep some components of the scores."""
        names = [name for name, kept in zip(self.parameters, components, strict=True) if kept]
        estimated, joint = self.estimated[:, components], self.joint[:, components]
        return ScoreEvidence(self.x, estimated, joint, self.weights, self.observables, names)

    @property
    def moments(self) -> ScoreMoments:
        """Second moments of both."""
        moments = ScoreMoments(len(self.parameters))
        return moments.add(self.estimated, self.joint, self.weights)

    @property
    def sizes(self) -> FloatArray:
        """Root mean squares of the estimated scores, or of the joint ones where they vanish."""
        f, t = (np.sqrt(self.weights @ s**2) for s in (self.estimated, self.joint))
        sizes: FloatArray = np.where(f > 1e-6 * t, f, t)
        return sizes


def score_checks(model: ValidatedModel, events: ValidationEvents) -> list[ValidationCheck]:
    """All checks of scores; of over-training if there are training events.

    Components whose joint score vanishes identically, as of systematics of the normalisation, are
    left out: there is nothing to learn.
    """
    members = model.scores(events.x, events.reference)
    whole, train = ScoreEvidence.of(members.mean(axis=0), events), None
    largest = np.abs(whole.joint).max(axis=0)
    exists = largest > 1e-9 * max(float(largest.max()), 1e-300)
    if events.train is not None and events.train.t_xz is not None:
        estimated = model.scores(events.train.x, events.train.reference).mean(axis=0)
        train = ScoreEvidence.of(estimated, events.train).only(exists)
    checks = _checks(whole.only(exists), train) if exists.any() else []
    return checks if len(members) == 1 else [*checks, _spread(whole, members)]


def _checks(test: ScoreEvidence, train: ScoreEvidence | None) -> list[ValidationCheck]:
    moments = test.moments
    checks = [
        _mean(test),
        _calibration(test, moments),
        _curve(test),
        _overstated(moments),
        _truth(test, moments),
        _learned(test, train, moments),
        _residuals(test),
    ]
    return checks if train is None else [*checks, _overtraining(test, train)]


def _spread(test: ScoreEvidence, members: FloatArray) -> ValidationCheck:
    r"""Compare errors of the mean of an ensemble with what the spread of its members says.

    The squared residuals of the mean in bins of the observables, less their statistical errors,
    against the scatter of the members' means in the same bins, divided by :math:`\sqrt{n}`. In
    squares, as there is nothing to divide by where an ensemble is better than the events can tell.
    """
    squares, noise, spread = [], [], []
    for column in test.x.T:
        bins = quantile_bins(column, test.weights, N_BINS)
        residuals, errors = means_in_bins(test.joint - test.estimated, test.weights, bins)
        means = np.stack([means_in_bins(f, test.weights, bins)[0] for f in members])
        claimed = means.std(axis=0, ddof=1) / np.sqrt(len(members))
        squares.append((residuals / test.sizes) ** 2)
        noise.append((errors / test.sizes) ** 2)
        spread.append((claimed / test.sizes) ** 2)
    d2, s2, c2 = (float(np.nanmean(np.concatenate(part))) for part in (squares, noise, spread))
    n_independent = N_BINS * len(test.parameters)  # bins of several observables are correlated
    error = np.sqrt((2.0 * s2**2 + 4.0 * s2 * max(d2 - s2, 0.0)) / n_independent)
    label = f"squared error of the mean less that of {N_SPREADS:g} spreads, in rms^2"
    return judge(SPREAD, [label], np.array([d2 - s2 - N_SPREADS**2 * c2]), np.array([error]))


def _mean(test: ScoreEvidence) -> ValidationCheck:
    means, errors = mean_and_error(test.estimated, test.weights)
    sizes = test.sizes
    labels = [f"E[t] of {name} / rms" for name in test.parameters]
    return judge(MEAN, labels, means / sizes, errors / sizes)


def _calibration(test: ScoreEvidence, moments: ScoreMoments) -> ValidationCheck:
    matrix = moments.calibration()
    sizes = test.sizes
    units = sizes[np.newaxis, :] / sizes[:, np.newaxis]
    away = (matrix.value - np.eye(len(sizes))) * units
    labels = [
        f"slope of {row}" if i == j else f"mixing of {column} into {row}"
        for i, row in enumerate(test.parameters)
        for j, column in enumerate(test.parameters)
    ]
    return judge(CALIBRATION, labels, away.ravel(), (matrix.errors * units).ravel())


def _curve(test: ScoreEvidence) -> ValidationCheck:
    """Mean of t - f in bins of f, for each component."""
    labels, values, errors, series = [], [], [], []
    for j, (name, size) in enumerate(zip(test.parameters, test.sizes, strict=True)):
        f, t = test.estimated[:, j], test.joint[:, j]
        bins = quantile_bins(f, test.weights, N_BINS)
        means, error = means_in_bins(np.stack([t - f, f, t], axis=1), test.weights, bins)
        labels += [f"t - f of {name} at f = {f_mean:.2g} rms" for f_mean in means[:, 1] / size]
        values.append(means[:, 0] / size)
        errors.append(error[:, 0] / size)
        series.append(Series(name, means[:, 1] / size, means[:, 2] / size, error[:, 0] / size))
    graph = Graph("estimated score / rms", "mean joint score / rms", tuple(series), "diagonal")
    return judge(CURVE, labels, np.concatenate(values), np.concatenate(errors), graph=graph)


def _overstated(moments: ScoreMoments) -> ValidationCheck:
    claimed, excess = moments.plug_in(), moments.excess()
    v = direction_of_largest_ratio(excess.value, claimed.value)
    scale, _ = claimed.along(v)
    share, error = np.array(excess.along(v)) / scale if scale > 0.0 else (0.0, 0.0)
    label = f"excess over the guaranteed information in the direction {_shown(v)}, share"
    return judge(OVERSTATED, [label], np.array([share]), np.array([error]))


def _truth(test: ScoreEvidence, moments: ScoreMoments) -> ValidationCheck:
    claimed, truth = moments.plug_in(), moments.truth()
    v = direction_of_largest_ratio(claimed.value, truth.value)
    ratio = claimed.along(v)[0] / truth.along(v)[0]
    terms = (test.estimated @ v) ** 2 - ratio * (test.joint @ v) ** 2
    _, error = mean_and_error(terms, test.weights)
    label = f"excess over the truth in the direction {_shown(v)}, share"
    return judge(TRUTH, [label], np.array([ratio - 1.0]), np.atleast_1d(error / truth.along(v)[0]))


def _learned(
    test: ScoreEvidence, train: ScoreEvidence | None, moments: ScoreMoments
) -> ValidationCheck:
    """Guaranteed information of the network less that of a polynomial, in units of the latter."""
    others = None if train is None else (train.x, train.joint, train.weights)
    fitted = polynomial_predictions((test.x, test.joint, test.weights), others)
    network = _bound_terms(test.estimated, test.joint)
    polynomial = _bound_terms(fitted, test.joint)
    differences, errors, unit, found = beyond_polynomial(network, polynomial, test.weights)
    unit = np.where(unit > 0.0, unit, 1.0)  # of a network that tells nothing of a parameter
    labels = [f"information on {name} beyond a polynomial, share" for name in test.parameters]
    graph = _bounds(test, moments, np.maximum(found, 0.0))
    check = judge(LEARNED, labels, differences / unit, errors / unit, graph=graph)
    guaranteed, noise = mean_and_error(network, test.weights)
    for name, value, error in zip(test.parameters, guaranteed, noise, strict=True):
        if check.passed and value <= 3.0 * error:
            return replace(
                check,
                quantity=f"guaranteed information on {name} of an event",
                value=float(value),
                error=float(error),
                verdict="undecided",
            )
    return check


def _bound_terms(estimated: FloatArray, joint: FloatArray) -> FloatArray:
    """What each event adds to the diagonal of the guaranteed information, shape ``(n, m)``."""
    return 2.0 * estimated * joint - estimated**2


def _bounds(test: ScoreEvidence, moments: ScoreMoments, simple: FloatArray) -> Graph:
    """Informations of an event by parameter, as shares of the truth."""
    truth = np.diag(moments.truth().value)
    positions = np.arange(len(truth), dtype=np.float64)

    def bars(label: str, estimate: MatrixEstimate) -> Series:
        errors = np.diag(estimate.errors)
        return Series(label, positions, np.diag(estimate.value) / truth, errors / truth)

    polynomial = Series("polynomial", positions, simple / truth, np.zeros(len(truth)))
    calibrated = moments.guaranteed(moments.calibration().value)
    series = (
        bars("claimed", moments.plug_in()),
        bars("guaranteed", moments.guaranteed()),
        bars("guaranteed if recalibrated", calibrated),
        polynomial,
    )
    return Graph("", "information / truth", series, 1.0, tuple(test.parameters))


def _residuals(test: ScoreEvidence) -> ValidationCheck:
    """Mean of t - f in bins of each observable."""
    residuals = (test.joint - test.estimated) / test.sizes
    return residual_check(
        RESIDUALS, test.x, residuals, test.weights, test.observables, test.parameters
    )


def _overtraining(test: ScoreEvidence, train: ScoreEvidence) -> ValidationCheck:
    guaranteed, noise = mean_and_error(_bound_terms(test.estimated, test.joint), test.weights)
    unit = np.maximum(np.maximum(np.abs(guaranteed), noise), test.sizes**2)
    labels = [f"training less test information on {name}, share" for name in test.parameters]
    of_test, of_train = (
        ((part.joint - part.estimated) ** 2, part.weights) for part in (test, train)
    )
    return overtraining_check(OVERTRAINING, labels, of_test, of_train, unit)


def _shown(v: FloatArray) -> str:
    return "(" + ", ".join(f"{component:.2g}" for component in v) + ")"
