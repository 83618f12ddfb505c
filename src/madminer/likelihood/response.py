r"""Learned response of events to nuisance parameters: nuisances for a network of theta alone.

The weight of a simulated event is log-quadratic in nu,
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

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import parameter_points
from madminer.checks import path
from madminer.errors import OptionError, SetupError
from madminer.likelihood.learned import LearnedDensity
from madminer.likelihood.pool import EventPool
from madminer.likelihood.terms import ResponseShape
from madminer.likelihood.yields import EventCells
from madminer.ml import Estimator, ScoreEstimator, load_estimator
from madminer.typing import EventSource, FloatArray, StrPath, ThetaLike

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
    """Coefficients a and b of the response of events, each of shape ``(n, k)``.

    Args:
        estimator: See `train_response`.
        x: Observables, shape ``(n, n_observables)``.
    """
    odd, even = np.split(estimator.evaluate_score(x, nuisance_mode="keep"), 2, axis=1)
    up, down = (np.log(np.maximum(1.0 + even + sign * odd, SMALLEST_RATIO)) for sign in (1.0, -1.0))
    return 0.5 * (up - down), 0.5 * (up + down)


def response_term(
    response: ResponseEstimator | StrPath,
    density: LearnedDensity,
    x: FloatArray,
    weights: FloatArray,
    pool: EventPool,
) -> ResponseShape:
    """The term that a learned response adds to a likelihood of theta alone.

    Args:
        response: The estimator, or its file.
        density: The density of x, which must not know nu.
        x: Events, shape ``(n, n_observables)``.
        weights: Their weights, which add up to their number, shape ``(n,)``.
        pool: Simulated events that normalise the density at each nu.

    Raises:
        OptionError: If the density knows nu already, or the response is another estimator.
        SetupError: If it was trained for other nuisance parameters.
    """
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
    v = pool.setup.n_nuisance_parameters
    if known.n_parameters != 2 * v:
        raise SetupError(
            f"response must have two outputs for each of {v} nuisance parameters, got one of "
            f"{known.n_parameters}: use train_response with events of this setup."
        )
    respond = partial(learned_response, known)
    total = _normalization(pool, *respond(pool.x))
    return ResponseShape.of(total, *respond(x), weights, respond=respond)


def _normalization(pool: EventPool, a: FloatArray, b: FloatArray) -> EventCells:
    r"""Integral of :math:`\sigma(\theta) p(x|\theta) \exp(a \nu + b \nu^2)` over simulated events.

    With the exact cross section instead, what the learned response neglects would count once for
    every event of the data.
    """
    model, none = response_model(pool.setup), np.zeros(a.shape[1], dtype=np.int64)
    response = EventResponse(replace(model, varying=()), pool.weights, a, b, none, none)
    cells = np.zeros(len(pool), dtype=np.int64)
    return EventCells(pool.setup, pool.weights, cells, 1, response)
