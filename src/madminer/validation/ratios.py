r"""Checks of estimated likelihood ratios with the joint ratios of test events.

Let :math:`\hat r(x)` estimate :math:`r(x) = p(x|\theta) / p(x|\theta_1)`, and :math:`r(x, z)` be
the joint ratio of events at :math:`\theta_1`, whose mean given x is r(x). Then

- :math:`E[\hat r] = 1`, the normalisation, and in every bin of :math:`\log \hat r` the mean joint
  ratio is the exact likelihood ratio of the statistic :math:`\hat r`: it equals the mean of
  :math:`\hat r` if that is calibrated;
- in every bin of every observable, events at :math:`\theta_1` times :math:`\hat r` are as many as
  events at :math:`\theta` (reweighting closure); a classifier cannot tell the two apart;
- :math:`2 E[\hat r r] - E[\hat r^2] = E[r(x)^2] - E[(\hat r - r(x))^2]` bounds the second moment
  from below, while the plug-in :math:`E[\hat r^2]` can be anything. Where r has long tails such
  means have no error, so that the same is done for :math:`s = r / (1 + r)`, the probability that an
  event of both hypotheses in equal parts belongs to theta: the mean over these of
  :math:`2 (\hat s - 1/2) (s - 1/2) - (\hat s - 1/2)^2`, in which r is linear, is at most that of
  :math:`(s(x) - 1/2)^2`, the separation of the hypotheses;
- the expected :math:`-2 \log r` at :math:`\theta` under :math:`\theta_1`, the power of a test, has
  the lower bound of Donsker and Varadhan for any :math:`\hat r`,

  .. math:: 2 \mathrm{KL} \ge -2 E[\log \hat r] - 2 \log E[r(x, z) / \hat r],

  and that of the joint ratios, :math:`-2 E[\log r(x, z)]`, as upper bound.

All means are over events at :math:`\theta_1`.

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 5 (calibration, closure);
    Donsker and Varadhan, Comm. Pure Appl. Math. 28 (1975) 1 (the bound).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit

from madminer.evidence import Graph, Series, ValidationCheck, unreported
from madminer.ml import ParameterizedRatioEstimator
from madminer.typing import FloatArray
from madminer.validation.events import ValidationEvents
from madminer.validation.judgement import (
    N_BINS,
    FitData,
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

_N_DERIVATIVES = 1000  # events at which derivatives are compared

MEAN = Requirement(
    "mean ratio",
    "1 within 0.05",
    "A likelihood ratio has the mean 1 under its denominator.",
    "Check the denominator theta1; train longer or with more events; calibrate (CalibratedRatio).",
    expected=1.0,
    tolerance=0.05,
)
CURVE = Requirement(
    "calibration curve of ratios",
    "0 within 0.1 in log r",
    "Events with the same estimated ratio have this ratio on average; else limits are wrong by "
    "the difference times the number of events.",
    "Calibrate with held-out events (CalibratedRatio), take p-values from toys, or train longer.",
    tolerance=0.1,
)
CLOSURE = Requirement(
    "reweighting closure",
    "0 within 0.1",
    "Events at theta1 times the estimated ratio have the distributions of events at theta.",
    "Train longer or with more events in this region; check this observable.",
    tolerance=0.1,
)
POWER = Requirement(
    "power claimed",
    "not above the guaranteed one by more than 10 %",
    "The expected -2 log r of any statistic is bounded by the known ratios; what is claimed "
    "beyond it is not there.",
    "Calibrate (CalibratedRatio), or take p-values from toys.",
    tolerance=0.1,
    side=1,
)
TRUTH = Requirement(
    "power and truth",
    "not above that of the joint ratios by more than 2 %",
    "What a detector leaves of events cannot tell more than their latent variables do.",
    "Do not quote these limits; the network is over-trained or not calibrated.",
    tolerance=0.02,
    side=1,
)
LEARNED = Requirement(
    "ratio learned",
    "guaranteed separation not 10 % below that of a polynomial of second degree",
    "A network that tells less than a fit of a polynomial to the joint ratios has not learned.",
    'Train longer (settings="recommended"); check the order of observables and parameters.',
    tolerance=0.1,
    side=-1,
)
OVERTRAINING = Requirement(
    "over-training of ratios",
    "guaranteed separation of training events not above that of test events by 10 %",
    "A network that knows its own events better than others has learned their accidents.",
    "Train with more events, early stopping, fewer epochs or dropout.",
    tolerance=0.1,
    side=1,
)
CLASSIFIER = Requirement(
    "classifier two-sample test",
    "area under the curve 0.5 within 0.02",
    "A classifier cannot tell events at theta1 times the estimated ratio from events at theta.",
    "Train longer or with more units; calibration alone does not mend this.",
    expected=0.5,
    tolerance=0.02,
    side=1,
)
DERIVATIVE = Requirement(
    "score and derivative of log r",
    "equal within 1 % of the rms",
    "The score is the derivative of the logarithm of the ratio.",
    "Report this: the estimator is inconsistent with itself.",
    tolerance=0.01,
)


@dataclass(frozen=True, slots=True, eq=False)
class RatioEvidence:
    """Estimated and joint ratios of the same events at theta1.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        log_r: Estimated log ratios, shape ``(k, n)``.
        joint: Joint ratios, shape ``(k, n)``.
        weights: Weights at theta1 with sum one, shape ``(n,)``.
        observables: Names of the observables.
        points: Names of the k numerators.
    """

    x: FloatArray
    log_r: FloatArray
    joint: FloatArray
    weights: FloatArray
    observables: Sequence[str]
    points: Sequence[str]

    @classmethod
    def of(cls, model: ValidatedModel, events: ValidationEvents) -> Self:
        """The evidence of events with joint ratios."""
        theta, names = np.asarray(events.theta), events.parameters or ()
        points = [
            ", ".join(f"{name} = {value:.3g}" for name, value in zip(names, point, strict=True))
            for point in theta
        ]
        log_r = model.log_ratios(events.x, theta, events.reference)
        joint = np.asarray(events.r_xz)
        return cls(events.x, log_r, joint, events.w, events.observables or (), points)


def checks_of_ratios(
    model: ValidatedModel, events: ValidationEvents, classifier: bool
) -> list[ValidationCheck]:
    """All checks of ratios; a classifier only if that is wanted."""
    test, train = RatioEvidence.of(model, events), None
    if events.train is not None and events.train.r_xz is not None:
        train = RatioEvidence.of(model, events.train)
    found = ratio_checks(test, train)
    if classifier:
        farthest = int(np.argmax(test.weights @ (test.joint.T - 1.0) ** 2))
        found.append(classifier_check(test, farthest))
    return found


def ratio_checks(test: RatioEvidence, train: RatioEvidence | None) -> list[ValidationCheck]:
    """All checks of ratios that need no training, with as many training events if there are."""
    checks = [
        _mean(test),
        _curve(test),
        _closure(test),
        _power(test),
        _truth(test),
        _learned(test, train),
    ]
    return checks if train is None else [*checks, _overtraining(test, train)]


def classifier_check(test: RatioEvidence, i: int, seed: int = 1) -> ValidationCheck:
    """Area under the curve of a classifier that tells the i-th point from theta1.

    It is trained on half of the events, and judged by the other half.
    """
    estimated, joint = np.exp(test.log_r[i]), test.joint[i]
    x, w = test.x, test.weights
    train, held_out = slice(0, None, 2), slice(1, None, 2)
    n = len(x[train])
    shares = _share(w[train] * estimated[train]), _share(w[train] * joint[train])
    classifier = ParameterizedRatioEstimator(n_hidden=(50, 50))
    with unreported():  # where it learns nothing all is well
        classifier.train(
            "carl",
            x=np.vstack([x[train], x[train]]),
            y=np.repeat([1.0, 0.0], n),  # 1: the denominator of the classifier, theta1 reweighted
            theta=np.zeros((2 * n, 1)),
            sample_weight=2.0 * n * np.concatenate(shares),
            n_epochs=15,
            batch_size=256,
            scale_parameters=False,
            verbose="none",
            seed=seed,
        )
    score, _ = classifier.evaluate_log_likelihood_ratio(
        x[held_out], np.zeros((1, 1)), test_all_combinations=False
    )
    share1 = _share(w[held_out] * estimated[held_out])
    share0 = _share(w[held_out] * joint[held_out])
    area, error = _area(score, share0, share1)
    return judge(CLASSIFIER, [f"area at {test.points[i]}"], np.array([area]), np.array([error]))


def derivative_check(model: ValidatedModel, events: ValidationEvents) -> ValidationCheck:
    """Compare scores with differences of log ratios."""
    x, theta = events.x[:_N_DERIVATIVES], events.reference
    score = model.scores(x, theta).mean(axis=0)
    rms = np.sqrt(np.mean(score**2, axis=0))
    step = 0.01 / np.where(rms > 0.0, rms, 1.0)  # log r changes by a percent
    points = theta + np.concatenate([np.diag(step), -np.diag(step)])
    up, down = np.split(model.log_ratios(x, points, theta), 2)
    numerical = ((up - down) / (2.0 * step[:, np.newaxis])).T
    away = np.sqrt(np.mean((score - numerical) ** 2, axis=0)) / np.where(rms > 0.0, rms, 1.0)
    labels = [f"rms difference for {name} / rms" for name in events.parameters or ()]
    return judge(DERIVATIVE, labels, away, np.zeros(len(away)))


def _mean(test: RatioEvidence) -> ValidationCheck:
    means, errors = mean_and_error(np.exp(test.log_r).T, test.weights)
    return judge(MEAN, [f"E[r] at {point}" for point in test.points], means, errors)


def _curve(test: RatioEvidence) -> ValidationCheck:
    """Logarithm of mean joint over mean estimated ratio in bins of the latter."""
    labels: list[str] = []
    values, errors, series = [], [], []
    for point, log_r, joint in zip(test.points, test.log_r, test.joint, strict=True):
        # bins of equal weight under the mean of both hypotheses, so that both have events
        bins = quantile_bins(log_r, test.weights * 0.5 * (1.0 + np.exp(log_r)), N_BINS)
        estimated = np.exp(log_r)
        columns = np.stack([joint, estimated, joint - estimated], axis=1)
        means, error = means_in_bins(columns, test.weights, bins)
        mean_joint = np.where(means[:, 0] > 0.0, means[:, 0], np.nan)
        centres = np.log(means[:, 1])
        labels += [f"log r(x,z) - log r at {point}, log r = {c:.2g}" for c in centres]
        values.append(np.log(mean_joint) - centres)
        errors.append(error[:, 2] / mean_joint)
        series.append(Series(point, centres, np.log(mean_joint), error[:, 0] / mean_joint))
    graph = Graph("estimated log r", "log of the mean joint r", tuple(series), "diagonal")
    return judge(CURVE, labels, np.concatenate(values), np.concatenate(errors), graph=graph)


def _closure(test: RatioEvidence) -> ValidationCheck:
    """Relative differences of reweighted and true distributions of every observable."""
    residuals = (test.joint - np.exp(test.log_r)).T
    labels = [f"share at {point}" for point in test.points]
    return residual_check(CLOSURE, test.x, residuals, test.weights, test.observables, labels)


def _own_norm(test: RatioEvidence) -> FloatArray:
    """What each event adds to the mean of the joint ratios, shape ``(n, k)``.

    Ratios of weights are divided by their mean over the same events, where the cross section is not
    known better: the fluctuation of this mean is one of all that follows. Exact ratios, whose mean
    is not exactly one, have none.
    """
    is_own = np.isclose(test.joint @ test.weights, 1.0, rtol=0.0, atol=1e-9)
    terms: FloatArray = np.where(is_own, test.joint.T, 0.0)
    return terms


def _power(test: RatioEvidence) -> ValidationCheck:
    claimed, _ = mean_and_error(-2.0 * test.log_r.T, test.weights)
    quotient = (test.joint * np.exp(-test.log_r)).T
    mean, _ = mean_and_error(quotient, test.weights)
    mean = np.maximum(mean, 1e-300)
    guaranteed = claimed - 2.0 * np.log(mean)
    excess_terms = 2.0 * (quotient / mean - _own_norm(test))
    _, error = mean_and_error(excess_terms, test.weights)
    _, bound_error = mean_and_error(-2.0 * test.log_r.T - excess_terms, test.weights)
    truth, truth_error = mean_and_error(-2.0 * _safe_log(test.joint).T, test.weights)
    positions = np.arange(len(claimed), dtype=np.float64)
    series = (
        Series("claimed", positions, claimed, np.zeros(len(claimed))),
        Series("guaranteed", positions, guaranteed, bound_error),
        Series("truth (joint ratios)", positions, truth, truth_error),
    )
    graph = Graph("", "expected -2 log r of an event", series, None, tuple(test.points))
    unit = np.maximum(np.abs(claimed), 1e-300)
    labels = [f"excess over the guaranteed power at {point}, share" for point in test.points]
    return judge(POWER, labels, (claimed - guaranteed) / unit, error / unit, graph=graph)


def _truth(test: RatioEvidence) -> ValidationCheck:
    """Power of the network over that of the joint ratios, both less 2 E[r - 1], which is zero."""
    network = _normalised_power_terms(test.log_r)
    joint = _normalised_power_terms(_safe_log(test.joint))
    claimed, _ = mean_and_error(network, test.weights)
    truth, _ = mean_and_error(joint, test.weights)
    ratio = claimed / truth
    _, error = mean_and_error(network - ratio * joint, test.weights)
    labels = [f"excess over the truth at {point}, share" for point in test.points]
    return judge(TRUTH, labels, ratio - 1.0, error / np.abs(truth))


def _normalised_power_terms(log_r: FloatArray) -> FloatArray:
    """-2 log r + 2 (r - 1), never negative, of each event: fluctuates less, shape ``(n, k)``."""
    terms: FloatArray = 2.0 * (np.exp(log_r) - 1.0 - log_r).T
    return terms


def _safe_log(ratios: FloatArray) -> FloatArray:
    return np.log(np.where(ratios > 0.0, ratios, np.nan))


def _learned(test: RatioEvidence, train: RatioEvidence | None) -> ValidationCheck:
    """Bound on what tells the hypotheses apart, less that of a polynomial, in units of it."""
    network = _bound_terms(expit(test.log_r).T - 0.5, test.joint.T)
    polynomial = _bound_terms(_polynomial(test, train), test.joint.T)
    differences, errors, unit, _ = beyond_polynomial(network, polynomial, test.weights)
    labels = [f"separation at {point} beyond a polynomial, share" for point in test.points]
    return judge(LEARNED, labels, differences / unit, errors / unit)


def _polynomial(test: RatioEvidence, train: RatioEvidence | None) -> FloatArray:
    """Fits of s - 1/2 to training events, or to each half of the events for the other one."""

    def data(part: RatioEvidence, i: int) -> FitData:
        r = part.joint[i]
        total = np.where(r == -1.0, 1.0, 1.0 + r)  # of signed weights
        return part.x, (0.5 * (r - 1.0) / total)[:, np.newaxis], 0.5 * part.weights * total

    columns = [
        polynomial_predictions(data(test, i), None if train is None else data(train, i))
        for i in range(len(test.points))
    ]
    return np.clip(np.hstack(columns), -0.5, 0.5)


def _bound_terms(estimated: FloatArray, joint: FloatArray) -> FloatArray:
    """What each event adds to the bound for estimates of s - 1/2, shape ``(n, k)``."""
    terms: FloatArray = 0.5 * estimated * (joint - 1.0) - 0.5 * (1.0 + joint) * estimated**2
    return terms


def _overtraining(test: RatioEvidence, train: RatioEvidence) -> ValidationCheck:
    terms = _bound_terms(expit(test.log_r).T - 0.5, test.joint.T)
    guaranteed, noise = mean_and_error(terms, test.weights)
    unit = np.maximum(np.maximum(np.abs(guaranteed), noise), 1e-300)
    labels = [f"training less test separation at {point}, share" for point in test.points]
    of_test, of_train = ((_squared_errors(part), part.weights) for part in (test, train))
    return overtraining_check(OVERTRAINING, labels, of_test, of_train, unit)


def _squared_errors(evidence: RatioEvidence) -> FloatArray:
    """(s-hat - s)^2 of events of both hypotheses in equal parts, shape ``(n, k)``."""
    both = np.where(evidence.joint == -1.0, 1.0, 1.0 + evidence.joint)  # of signed weights
    errors: FloatArray = 0.5 * both * (expit(evidence.log_r) - evidence.joint / both) ** 2
    return errors.T


def _share(weights: FloatArray) -> FloatArray:
    positive = np.maximum(weights, 0.0)
    share: FloatArray = positive / positive.sum()
    return share


def _area(score: FloatArray, share0: FloatArray, share1: FloatArray) -> tuple[float, float]:
    """Area under the curve of two weighted samples of the same events, and its error."""
    order = np.argsort(score, kind="stable")
    s0, s1 = share0[order], share1[order]
    below1 = np.cumsum(s1) - 0.5 * s1  # share of sample 1 below each event
    below0 = np.cumsum(s0) - 0.5 * s0
    area = float(s0 @ below1)
    # influence of each event (DeLong): its place in the other sample, as member of each
    influence = s0 * (below1 - area) + s1 * ((1.0 - below0) - area)
    return area, float(np.sqrt(np.sum(influence**2)))
