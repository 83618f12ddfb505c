"""Drawn samples, and the joint quantities that follow from the weights of their events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.analysis.points import ParameterPoints
from madminer.analysis.response import EventResponse, one_each
from madminer.sampling.draws import Targets, draw_events
from madminer.sampling.joint import joint_score
from madminer.sampling.moments import PointMoments, point_moments
from madminer.sampling.points import Points
from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["DrawnSample", "SampleAt", "draw_sample", "sample_at", "signs"]


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
        is_negative: Whether the weight of each sample is negative.
    """

    table: WeightTable
    rows: IntArray
    weights: FloatArray
    factors: FloatArray
    sets: IntArray
    n_effective: FloatArray
    is_negative: BoolArray

    @cached_property
    def response(self) -> EventResponse:
        """Response of the events to nuisance parameters."""
        return EventResponse.of(self.table.model, self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class SampleAt:
    """A sample at the parameter points of its sets.

    Args:
        weights: Weight of each event in pb, shape ``(n_samples,)``.
        xsecs: Cross section in pb of the events it was drawn from, shape ``(n_samples,)``.
        score: Joint score, shape ``(n_samples, p)`` or ``(n_samples, p + v)``; None where not
            wanted.
    """

    weights: FloatArray
    xsecs: FloatArray
    score: FloatArray | None


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
    """Draw events at the points of each set.

    Args:
        table: Weights of the events to draw from.
        points: Points to draw at; set s takes number ``s % len(points)``.
        factors: Factors of the groups of the file at each point, shape
            ``(n_points, n_file_groups)``.
        sets: Set that each sample belongs to, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: See `madminer.sampling.draws.draw_events`.
        drop_negative: See there.

    Returns:
        The sample.
    """
    nuisances = None if points.is_nominal else points
    xsecs = None if points.is_nominal else point_moments(table, points, factors).xsecs
    at = sets % len(points)
    draws = draw_events(
        table,
        Targets(points.coefficients, table.spread(factors), nuisances, xsecs),
        at,
        rng,
        n_eff_forced,
        drop_negative=drop_negative,
    )
    return DrawnSample(
        table=table,
        rows=table.rows[draws.events],
        weights=np.take(table.weights, draws.events, axis=0),
        factors=factors[np.arange(sets[-1] + 1) % len(points)],
        sets=sets,
        n_effective=draws.n_effective[at],
        is_negative=draws.is_negative,
    )


def sample_at(
    sample: DrawnSample, points: Points, *, by_theta: bool = False, by_nu: bool = False
) -> SampleAt:
    """Weights, cross sections and scores of drawn events at parameter points.

    Args:
        sample: The sample.
        points: Points at which it is evaluated; set s takes number ``s % len(points)``.
        by_theta: Whether the joint score is wanted.
        by_nu: Whether it has components for nuisance parameters.

    Returns:
        The sample there.

    Raises:
        DataError: If the score of an event is not defined.
    """
    n_sets = len(sample.factors)
    of_sets = points if n_sets == len(points) else points.take(np.arange(n_sets) % len(points))
    moments = point_moments(
        sample.table, of_sets, sample.factors, by_theta=by_theta, by_nu=by_theta and by_nu
    )
    weights = _form(of_sets.coefficients, sample.sets, sample.weights)
    if not points.is_nominal:
        weights *= sample.response.factors(of_sets.take(sample.sets), one_each)
    score = None
    if moments.gradients is not None:
        score = _score(sample, of_sets, weights, moments, moments.gradients)
    return SampleAt(weights, moments.xsecs[sample.sets], score)


def signs(sample: DrawnSample) -> FloatArray:
    """+1, or -1 where the weight of a drawn event is negative, shape ``(n_samples, 1)``."""
    return np.where(sample.is_negative, -1.0, 1.0)[:, np.newaxis]


def _score(
    sample: DrawnSample,
    points: ParameterPoints,
    weights: FloatArray,
    moments: PointMoments,
    xsec_gradients: FloatArray,
) -> FloatArray:
    """Joint scores of drawn events, with components for nu if the cross sections have them."""
    p = points.setup.n_parameters
    gradients = np.empty((len(weights), xsec_gradients.shape[1]))
    for j in range(p):
        gradients[:, j] = _form(points.gradients[:, j], sample.sets, sample.weights)
    if not points.is_nominal:
        nominal = _form(points.coefficients, sample.sets, sample.weights)
        factors = np.divide(weights, nominal, out=np.ones_like(weights), where=nominal != 0.0)
        gradients[:, :p] *= factors[:, np.newaxis]
    if xsec_gradients.shape[1] > p or sample.table.model.varying:
        slopes = sample.response.slopes(points.take(sample.sets), one_each)
        for j, found in enumerate(slopes[: xsec_gradients.shape[1]]):
            if found is not None:
                gradients[:, j] = weights * found + (gradients[:, j] if j < p else 0.0)
    return joint_score(weights, gradients, moments.xsecs[sample.sets], xsec_gradients[sample.sets])


def _form(coefficients: FloatArray, sets: IntArray, rows: FloatArray) -> FloatArray:
    """One linear form a row, shape ``(n_samples,)``."""
    if len(coefficients) == 1:
        single: FloatArray = rows @ coefficients[0]
        return single
    many: FloatArray = np.einsum("nb,nb->n", np.take(coefficients, sets, axis=0), rows)
    return many
