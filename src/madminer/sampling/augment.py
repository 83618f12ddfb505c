r"""Drawn samples, and the joint quantities that follow from the weights of their events.

**Joint likelihood ratio and joint score: what a simulator knows about each of its events.**

.. math::

    r(x, z | \theta_0, \theta_1) = \frac{w(\theta_0) / \sigma(\theta_0)}
                                        {w(\theta_1) / \sigma(\theta_1)}, \qquad
    t(x, z | \theta) = \nabla_\theta \log \frac{w(\theta)}{\sigma(\theta)}
                     = \frac{\nabla w}{w} - \frac{\nabla \sigma}{\sigma}

References:
    Brehmer et al., *Constraining Effective Field Theories with Machine Learning*,
    arXiv:1805.00013, Eqs. (9) and (10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from madminer.analysis.response import EventResponse, one_each
from madminer.analysis.weights import ParameterPoints
from madminer.errors import DataError
from madminer.sampling.draws import Targets, draw_events
from madminer.sampling.parameters import Points
from madminer.sampling.results import Columns
from madminer.sampling.table import WeightTable
from madminer.sampling.xsecs import xsecs_and_gradients
from madminer.typing import FloatArray, IntArray


def joint_ratio(
    weights0: FloatArray, weights1: FloatArray, xsecs0: FloatArray, xsecs1: FloatArray
) -> FloatArray:
    """Joint likelihood ratio r(x, z) of each event, Eq. (9), from weights and cross sections.

    All arrays have shape ``(n,)``.

    Raises:
        DataError: If a weight in the denominator is zero.

    Examples:
        >>> joint_ratio(np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([1.0]))
        array([0.5])
    """
    _require_support(weights1, "joint likelihood ratio")
    ratio: FloatArray = (weights0 / xsecs0) / (weights1 / xsecs1)
    return ratio


def joint_score(
    weights: FloatArray, gradients: FloatArray, xsecs: FloatArray, xsec_gradients: FloatArray
) -> FloatArray:
    """Joint score t(x, z) of each event, Eq. (10), gradients and scores ``(n, n_parameters)``.

    Raises:
        DataError: If a weight is zero.
    """
    _require_support(weights, "joint score")
    score: FloatArray = gradients / weights[:, np.newaxis] - xsec_gradients / xsecs[:, np.newaxis]
    return score


def _require_support(weights: FloatArray, quantity: str) -> None:
    n_zero = np.count_nonzero(weights == 0.0)
    if n_zero:
        raise DataError(
            f"The {quantity} needs weights other than zero, but {n_zero} of {len(weights)} drawn "
            f"events have weight zero at the parameter point. Choose points at which all events "
            f"are possible."
        )


@dataclass(frozen=True, eq=False)
class DrawnSample:
    """Events drawn at several parameter points, in equal numbers for each set of points.

    Args:
        table: What was drawn from.
        rows: Rows of the events in the file, shape ``(n_samples,)``.
        weights: Weights at the benchmarks, shape ``(n_samples, n_benchmarks)``.
        factors: Factors of the groups of the file that each set was drawn from, shape
            ``(n_sets, n_file_groups)``.
        sets: Set of points that each sample belongs to, shape ``(n_samples,)``.
        n_effective: Effective number of events at the point of each sample, shape ``(n_samples,)``.
        w: +1, or -1 where the weight of a sample is negative, shape ``(n_samples, 1)``.
    """

    table: WeightTable
    rows: IntArray
    weights: FloatArray
    factors: FloatArray
    sets: IntArray
    n_effective: FloatArray
    w: FloatArray

    @cached_property
    def response(self) -> EventResponse:
        """Response of the events to nuisance parameters."""
        return EventResponse.of(self.table.model, self.weights)


class SampleAt(NamedTuple):
    """A sample at the parameter points of its sets."""

    weights: FloatArray
    """Weight of each event in pb, shape ``(n_samples,)``."""

    xsecs: FloatArray
    """Cross section in pb of the events that each was drawn from, shape ``(n_samples,)``."""

    score: FloatArray | None
    """Joint score, shape ``(n_samples, p)`` or ``(n_samples, p + v)``; None where not wanted."""


def draw_sample(
    table: WeightTable,
    points: Points,
    factors: FloatArray,
    sets: IntArray,
    rng: np.random.Generator,
    *,
    n_eff_forced: float | None,
    drop_negative: bool,
) -> DrawnSample:
    """Draw events at the points of each set; set s takes point ``s % len(points)``.

    Args:
        table: Weights of the events to draw from.
        points: Points to draw at.
        factors: Factors of the groups of the file, shape ``(n_points, n_file_groups)``.
        sets: Set that each sample belongs to, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: See `madminer.sampling.draws.draw_events`.
        drop_negative: Whether events of negative weight are never drawn.
    """
    at = sets % len(points)
    targets = Targets(
        points.coefficients, table.spread(factors), drop_negative=drop_negative and table.is_signed
    )
    if not points.is_nominal:
        xsecs, _ = xsecs_and_gradients(table, points, factors)
        targets = replace(targets, points=points, known_xsecs=xsecs)
    draws = draw_events(table, targets, at, rng, n_eff_forced)
    return DrawnSample(
        table=table,
        rows=table.rows[draws.events],
        weights=np.take(table.weights, draws.events, axis=0),
        factors=factors[np.arange(sets[-1] + 1) % len(points)],
        sets=sets,
        n_effective=draws.n_effective[at],
        w=np.where(draws.is_negative, -1.0, 1.0)[:, np.newaxis],
    )


def sample_columns(
    sample: DrawnSample, x: FloatArray, points: Points, *, with_score: bool = False, by_nu: bool
) -> Columns:
    """What every sample has, and the score at its points (drawn from, or numerator) if wanted."""
    theta0, n_effective = points.of_sets(sample.sets), sample.n_effective
    columns = {"x": x, "theta0": theta0, "n_effective": n_effective, "w": sample.w}
    if with_score:
        score = sample_at(sample, points, by_theta=True, by_nu=by_nu).score
        columns |= {} if score is None else {"t_xz0": score}
    return columns


def ratio_columns(
    sample: DrawnSample,
    x: FloatArray,
    points0: Points,
    points1: Points,
    y: int,
    *,
    with_score1: bool,
    by_nu: bool,
) -> Columns:
    """A sample with the joint ratio of points0 to points1, and the scores that are known.

    It was drawn from points0 (y = 0) or points1 (y = 1).
    """
    by_theta1 = with_score1 and points1.has_gradients
    at0 = sample_at(sample, points0, by_theta=points0.has_gradients, by_nu=by_nu)
    at1 = sample_at(sample, points1, by_theta=by_theta1, by_nu=by_nu)
    ratio = joint_ratio(at0.weights, at1.weights, at0.xsecs, at1.xsecs)[:, np.newaxis]
    columns = sample_columns(sample, x, points0, by_nu=by_nu)
    columns |= {"theta1": points1.of_sets(sample.sets), "r_xz": ratio}
    columns["y"] = np.full(ratio.shape, float(y))
    scores = {"t_xz0": at0.score, "t_xz1": at1.score}
    return columns | {name: score for name, score in scores.items() if score is not None}


def sample_at(
    sample: DrawnSample, points: Points, *, by_theta: bool = False, by_nu: bool = False
) -> SampleAt:
    """Weights, cross sections and, `by_theta`, scores of drawn events at points of their sets.

    Raises:
        DataError: If the score of an event is not defined.
    """
    n_sets = len(sample.factors)
    of_sets = points if n_sets == len(points) else points.take(np.arange(n_sets) % len(points))
    xsecs, xsec_gradients = xsecs_and_gradients(
        sample.table, of_sets, sample.factors, by_theta=by_theta, by_nu=by_theta and by_nu
    )
    weights = _form(of_sets.coefficients, sample.sets, sample.weights)
    if not points.is_nominal:
        weights *= sample.response.factors(of_sets.take(sample.sets), one_each)
    xsecs = xsecs[sample.sets]
    if xsec_gradients is None:
        return SampleAt(weights, xsecs, None)
    gradients = _gradients(sample, of_sets, weights, xsec_gradients.shape[1])
    score = joint_score(weights, gradients, xsecs, xsec_gradients[sample.sets])
    return SampleAt(weights, xsecs, score)


def _gradients(
    sample: DrawnSample, points: ParameterPoints, weights: FloatArray, n_gradients: int
) -> FloatArray:
    """Gradients of the weights of drawn events by theta and, if that many, by nu."""
    p = points.setup.n_parameters
    gradients = np.empty((len(weights), n_gradients))
    for j in range(p):
        gradients[:, j] = _form(points.gradients[:, j], sample.sets, sample.weights)
    if not points.is_nominal:
        nominal = _form(points.coefficients, sample.sets, sample.weights)
        factors = np.divide(weights, nominal, out=np.ones_like(weights), where=nominal != 0.0)
        gradients[:, :p] *= factors[:, np.newaxis]
    if n_gradients > p or sample.table.model.varying:
        slopes = sample.response.slopes(points.take(sample.sets), one_each)
        for j, found in enumerate(slopes[:n_gradients]):
            if found is not None:
                gradients[:, j] = weights * found + (gradients[:, j] if j < p else 0.0)
    return gradients


def _form(coefficients: FloatArray, sets: IntArray, rows: FloatArray) -> FloatArray:
    """One linear form a row, shape ``(n_samples,)``."""
    if len(coefficients) == 1:
        single: FloatArray = rows @ coefficients[0]
        return single
    many: FloatArray = np.einsum("nb,nb->n", np.take(coefficients, sets, axis=0), rows)
    return many
