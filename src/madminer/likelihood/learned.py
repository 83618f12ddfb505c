r"""What networks have learned: densities of x, and responses of events to nuisance parameters.

A density is that of x at theta, or at theta and nu. To one of theta alone a learned response adds
the nuisance parameters: the weight of a simulated event is log-quadratic in nu,
:math:`w(\theta, \nu) = w(\theta) \exp \sum_j (a_j \nu_j + b_j \nu_j^2)`. Averaged over what is not
observed, its ratios at :math:`\nu_j = \pm 1` are functions of x,

.. math::

    r_j^\pm(x) = E\left[ \frac{w(\nu_j = \pm 1)}{w(\nu_j = 0)} \middle| x \right], \qquad
    a_j(x) = \tfrac12 \log \frac{r_j^+}{r_j^-}, \quad b_j(x) = \tfrac12 \log r_j^+ r_j^-

which one regression learns from the weights: the odd parts :math:`(r^+ - r^-)/2` and, apart from
them, the even parts :math:`(r^+ + r^-)/2 - 1`, which are smaller by an order, but count with
:math:`N \nu^2`. With them

.. math::

    \sigma(\theta, \nu)\, p(x|\theta, \nu) \approx \sigma(\theta)\, p(x|\theta)
    \exp \sum_j \left( a_j(x)\, \nu_j + b_j(x)\, \nu_j^2 \right)

normalised, for the distribution of events, over simulated events with the same a and b.
This is exact at :math:`\nu_j = 0, \pm 1` of one nuisance parameter, at the theta where the response
was learned, and everywhere if the response is a function of x alone. Else it neglects how theta and
other nuisance parameters change the mix of events with the same x; an estimator trained on theta
and nu does not.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.checks import path
from madminer.errors import NotTrainedError, OptionError, SetupError
from madminer.evidence import report_weakness
from madminer.likelihood.base import EventPool
from madminer.likelihood.terms import LearnedShape, ResponseShape, Term
from madminer.likelihood.yields import EventCells
from madminer.ml import (
    Ensemble,
    Estimator,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.validated import UndecidedValidation
from madminer.models import AnalysisSetup
from madminer.text import one_line
from madminer.typing import BoolArray, EventSource, FloatArray, StrPath, ThetaLike

logger = logging.getLogger(__name__)

LARGE_SHIFT = 0.3
"""Shift of the best fit, in statistical errors, that must not be left out of its error."""

_MOST_FACTORS = 1 << 21  # of events that tell how much responses differ: thousands are enough
_SHOWN = 4  # names in a message

DensityModel = ParameterizedRatioEstimator | LikelihoodEstimator | Ensemble
"""Estimators of :math:`\\log p(x|\\theta)` up to a constant, and ensembles of them."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedDensity:
    r"""One network or several, whose mean :math:`\log \hat f(x|\theta, \nu)` is taken.

    Args:
        members: Single ratio estimators or likelihood estimators of one type.
        n_parameters: Number p of theory parameters.
        knows_nu: Whether the networks take nuisance parameters after theta.
        validated_thetas: Points at which their calibration was tested, shape ``(n, m)``; None if
            it never was.
        undecided_validation: A later validation whose events were too few to tell; None without.
        varied: Which nuisance parameters the training varied, shape ``(v,)``; None for all that
            the networks take. What networks say of the others is noise: they get zero for them.
    """

    members: Sequence[ParameterizedRatioEstimator | LikelihoodEstimator]
    n_parameters: int
    knows_nu: bool
    validated_thetas: FloatArray | None = None
    undecided_validation: UndecidedValidation | None = None
    varied: BoolArray | None = None

    def is_unknown(self, n_nuisance_parameters: int) -> BoolArray:
        """Which nuisance parameters change nothing in this density, shape ``(v,)``."""
        if self.varied is not None:
            return ~self.varied
        return np.full(n_nuisance_parameters, not self.knows_nu)

    def positions(self, points: ParameterPoints) -> FloatArray:
        """What the networks take of parameter points, shape ``(n, p)`` or ``(n, p + v)``."""
        if not self.knows_nu:
            return points.positions
        nus = points.nus if self.varied is None else points.nus * self.varied
        return np.hstack([points.positions, nus])

    def in_double_precision(self) -> LearnedDensity:
        """The same density without the rounding that fits of many events would see."""
        members = deepcopy(list(self.members))
        for member in members:
            if member._network is not None:
                member._network.double()
        return replace(self, members=members)

    def combinations(
        self, x: FloatArray, positions: FloatArray, *, with_score: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Every event ``(n_x, n_observables)`` at every point ``(n, m)``.

        Returns:
            Values of log f, shape ``(n, n_x)``, and scores, shape ``(n, n_x, m)``, if wanted.
        """
        return self._mean(x, positions, all_combinations=True, with_score=with_score)

    def member_values(self, x: FloatArray, positions: FloatArray) -> FloatArray:
        """Values of each member at every point, shape ``(n_members, n, n_x)``."""
        return np.stack([_log_f(member, x, positions, True, False)[0] for member in self.members])

    def pairs(self, x: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Each event at a point of its own: values ``(n,)`` and scores ``(n, m)``."""
        values, scores = self._mean(x, positions, all_combinations=False, with_score=True)
        return values, np.empty((len(x), 0)) if scores is None else scores

    def _mean(
        self, x: FloatArray, positions: FloatArray, *, all_combinations: bool, with_score: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        found = [_log_f(m, x, positions, all_combinations, with_score) for m in self.members]
        values = sum((value for value, _ in found[1:]), found[0][0]) / len(found)
        scores = [score for _, score in found if score is not None]
        if not scores:
            return values, None
        score = sum(scores[1:], scores[0]) / len(scores)
        if self.varied is not None:  # it does not depend on what is not handed over
            score[..., self.n_parameters :] *= self.varied
        return values, score


def _log_f(
    member: ParameterizedRatioEstimator | LikelihoodEstimator,
    x: FloatArray,
    positions: FloatArray,
    all_combinations: bool,
    with_score: bool,
) -> tuple[FloatArray, FloatArray | None]:
    if isinstance(member, LikelihoodEstimator):
        return member.evaluate_log_likelihood(x, positions, all_combinations, with_score)
    return member.evaluate_log_likelihood_ratio(x, positions, all_combinations, with_score)


def _varied_nus(
    members: Sequence[ParameterizedRatioEstimator | LikelihoodEstimator], p: int, v: int
) -> BoolArray:
    """Which nuisance parameters were not always zero in the training, shape ``(v,)``.

    Raises:
        OptionError: If none was.
    """
    varied = np.ones(v, dtype=np.bool_)
    for member in members:
        scaling = member._theta_scaling
        if scaling is None:
            continue
        is_constant = (scaling.means == 0.0) & (scaling.stds == 1.0)  # of a sample drawn never so
        if not np.all(is_constant):
            varied &= ~is_constant[p:]
    if varied.any():
        return varied
    raise OptionError(
        "The estimator was trained at nu = 0 alone and does not know what nuisance parameters do. "
        "Train it with samples of nu drawn at random (iid_nuisance_parameters; in an analysis file "
        "nuisances: random), or without nuisance parameters and give "
        "response=train_response(...), or load the events with include_nuisance_parameters=False."
    )


def learned_density(model: Estimator | Ensemble | StrPath, setup: AnalysisSetup) -> LearnedDensity:
    """Load an estimator where a path is given, and check that it fits to a setup.

    Raises:
        OptionError: If it is another type of estimator, or it knows nuisance parameters by name
            but was trained at nu = 0 alone.
        NotTrainedError: If it was not trained, or an ensemble has no members.
        SetupError: If the numbers of parameters or observables are others than those of the setup.
    """
    known = (
        model
        if isinstance(model, Estimator | Ensemble)
        else load_estimator(path(model, "model_file"))
    )
    members = known.estimators if isinstance(known, Ensemble) else [known]
    if not members:
        raise NotTrainedError("The ensemble has no estimators yet. Train or load it.")
    densities = [
        m for m in members if isinstance(m, ParameterizedRatioEstimator | LikelihoodEstimator)
    ]
    if len(densities) < len(members):
        kinds = sorted({type(member).__name__ for member in members})
        raise OptionError(
            "A likelihood needs a single parameterized ratio estimator or a likelihood estimator, "
            f"or an ensemble of them; got {' and '.join(kinds)}. Scores are histogrammed: use "
            "HistoLikelihood, or the modes 'sally' and 'sallino' of AsymptoticLimits."
        )
    if densities[0].n_parameters is None:
        raise NotTrainedError(
            f"This {type(densities[0]).__name__} was not trained yet; call train or load first."
        )
    p, v = setup.n_parameters, setup.n_nuisance_parameters
    if densities[0].n_parameters not in {p, p + v}:
        raise SetupError(
            f"The estimator knows {densities[0].n_parameters} parameters, but the setup has {p} "
            f"theory parameters and {v} nuisance parameters."
        )
    n_observables = len(setup.observables)
    if densities[0].n_observables not in {None, n_observables} and densities[0].features is None:
        raise SetupError(
            f"The estimator was trained with {densities[0].n_observables} observables, but the "
            f"events have {n_observables}."
        )
    knows_nu = v > 0 and densities[0].n_parameters == p + v
    varied = _varied_nus(densities, p, v) if knows_nu else None
    return LearnedDensity(
        densities,
        p,
        knows_nu,
        known.validated_thetas,
        known.undecided_validation,
        None if varied is None or varied.all() else varied,
    )


ResponseEstimator = ScoreEstimator
"""A regression of ratios of weights with 2 k outputs: odd parts, then even parts."""

SMALLEST_RATIO = 1e-3
"""Predicted ratios below this are no ratios of weights, but errors of the network."""


def train_response(
    analyzer: DataAnalyzer | EventSource,
    theta: ThetaLike,
    *,
    test_split: float | None = 0.2,
    n_hidden: tuple[int, ...] = (100,),
    activation: str = "tanh",
    **training: Any,
) -> ResponseEstimator:
    """Learn how events respond to the nuisance parameters.

    Args:
        analyzer: Events with weights at nuisance benchmarks, or their file.
        theta: Parameter point at which events are weighted: the centre of the limits.
        test_split: Fraction of the file, at its end, that is left out; None for none.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function.
        **training: Options of `ScoreEstimator.train`, such as `n_epochs` and `seed`.

    Returns:
        The estimator, to be saved with `save` and given to `NeuralLikelihood` or
        `AsymptoticLimits` as `response`.

    Raises:
        SetupError: If the file has no nuisance parameters.
        NoEventsError: If there are no events.
    """
    events = analyzer if isinstance(analyzer, DataAnalyzer) else DataAnalyzer(analyzer)
    setup = events.setup
    if not setup.n_nuisance_parameters:
        raise SetupError(
            "A response to nuisance parameters needs some: the file has none, or they were left "
            "out with include_nuisance_parameters=False."
        )
    pool = EventPool.of(events, "train", test_split)
    k = setup.n_nuisance_parameters
    nus = np.vstack([np.eye(k), -np.eye(k)])
    points = parameter_points(setup, [theta] * (2 * k), nus)
    up, down = np.split(EventResponse.of(response_model(setup), pool.weights).factors(points), 2)
    parts = np.concatenate([0.5 * (up - down), 0.5 * (up + down) - 1.0]).T
    estimator = ScoreEstimator(n_hidden=n_hidden, activation=activation)
    weights = pool.probabilities(theta) * len(pool)
    estimator.train("sally", pool.x, parts, sample_weight=weights, scale_scores=True, **training)
    return estimator


def learned_response(estimator: ResponseEstimator, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients a and b ``(n, k)`` of the response of events ``(n, n_observables)``."""
    odd, even = np.split(estimator.evaluate_score(x, nuisance_mode="keep"), 2, axis=1)
    up, down = (np.log(np.maximum(1.0 + even + sign * odd, SMALLEST_RATIO)) for sign in (1.0, -1.0))
    return 0.5 * (up - down), 0.5 * (up + down)


def network_terms(
    analyzer: DataAnalyzer, learned: LearnedShape, response: ResponseEstimator | StrPath | None
) -> tuple[Term, ...]:
    """A network, and the term of a learned response; without one a warning where it is missed.

    Raises:
        OptionError: If the density knows nu already, or the response is another estimator.
        SetupError: If it was trained for other nuisance parameters.
    """
    density = learned.density
    if response is None:
        report_fixed_shape(analyzer, density, float(learned.weights.sum()))
        return (learned,)
    if density.knows_nu:
        raise OptionError(
            "The estimator knows the nuisance parameters already: leave out response."
        )
    known = (
        response if isinstance(response, Estimator) else load_estimator(path(response, "response"))
    )
    if not isinstance(known, ScoreEstimator):
        raise OptionError(
            f"response must be what train_response returns, got a {type(known).__name__}."
        )
    v = analyzer.setup.n_nuisance_parameters
    if known.n_parameters != 2 * v:
        raise SetupError(
            f"response must have two outputs for each of {v} nuisance parameters, got one of "
            f"{known.n_parameters}: use train_response with events of this setup."
        )
    respond, pool = partial(learned_response, known), EventPool.of(analyzer)
    # The integral of the density over simulated events, not the exact cross section: with that,
    # what the learned response neglects would count once for every event of the data.
    model, none = response_model(pool.setup), np.zeros(v, dtype=np.int64)
    a, b = respond(pool.x)
    events = EventResponse(replace(model, varying=()), pool.weights, a, b, none, none)
    total = EventCells(pool.setup, pool.weights, np.zeros(len(pool), dtype=np.int64), 1, events)
    a, b = respond(learned.x)
    return learned, ResponseShape.of(total, a, b, learned.weights, respond=respond)


def shape_spreads(analyzer: DataAnalyzer) -> FloatArray:
    r"""How much the responses of events to each nuisance parameter differ, shape ``(v,)``.

    .. math:: s_j = \max_{\nu_j = \pm 1} \frac{\sqrt{E[f_j^2] - E[f_j]^2}}{E[f_j]}

    with the factor f on the weight of an event, averaged at the reference benchmark. It is zero
    for what changes the number of events alone.

    Args:
        analyzer: The events; of large files the first thousands are used.
    """
    setup = analyzer.setup
    unit = np.eye(setup.n_nuisance_parameters)
    nus = np.vstack([unit, -unit])
    last = min(analyzer.n_samples, max(_MOST_FACTORS // len(nus), 1))
    _, weights = analyzer.weighted_events(start_event=0, end_event=last)
    points = parameter_points(setup, [str(setup.reference_benchmark)] * len(nus), nus)
    factors = EventResponse.of(analyzer.response, weights).factors(points)
    shares = np.abs(weights @ points.coefficients[0])
    shares = shares / (shares.sum() or 1.0)
    means = factors @ shares
    variances = (factors - means[:, np.newaxis]) ** 2 @ shares
    spreads = np.sqrt(variances) / np.where(means > 0.0, means, 1.0)
    largest: FloatArray = spreads.reshape(2, -1).max(axis=0)
    return largest


def report_fixed_shape(analyzer: DataAnalyzer, density: LearnedDensity, n_events: float) -> None:
    r"""Warn of networks that do not know nuisance parameters which change more than a number.

    Then nothing but the number of events responds to them. By the inequality of Cauchy and Schwarz
    a step of one standard deviation in nu moves the best fit by at most :math:`\sqrt{N} s` of its
    statistical errors, as :math:`|\mathrm{Cov}(t, f)| \le \sigma_t\, s` with the score t, whose
    variance gives the error.

    Args:
        analyzer: The events, with the nuisance parameters that are profiled.
        density: The network; nothing is said of nuisance parameters that its training varied.
        n_events: Number N of events.
    """
    is_unknown = density.is_unknown(analyzer.setup.n_nuisance_parameters)
    if not is_unknown.any():
        return
    spreads = np.where(is_unknown, shape_spreads(analyzer), 0.0)
    shifts = np.sqrt(max(n_events, 0.0)) * spreads
    total = float(np.sqrt(np.sum(shifts**2)))
    if total <= LARGE_SHIFT:
        return
    labels = list(analyzer.setup.nuisance_labels.values())
    order = [i for i in np.argsort(-shifts, kind="stable") if shifts[i] > 0.1 * shifts.max()]
    shown = [f"{one_line(labels[i])} ({100.0 * spreads[i]:.2g} %)" for i in order[:_SHOWN]]
    more = [f"{len(order) - _SHOWN} more"] if len(order) > _SHOWN else []
    known, remedy = "theta alone", "Give response=train_response(...); or train it"
    if density.knows_nu:
        known, remedy = "nothing of some nuisance parameters", "Train it"
    report_weakness(
        logger,
        "The network knows %s, but nuisance parameters change the shape of the distributions, not "
        "only the number of events: %s, by which responses of events differ. Nothing of this is in "
        "these limits, profiled or not, and they are too strong: with %.4g events it may move the "
        "best fit by up to %.2g statistical errors. %s with nuisance parameters drawn at random "
        "(iid_nuisance_parameters, in an analysis file nuisances: random); or take histograms "
        "(mode 'histo' or 'sally', HistoLikelihood), which know it.",
        known,
        " and ".join([*shown, *more]),
        n_events,
        total,
        remedy,
    )
