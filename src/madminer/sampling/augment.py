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

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.analysis.response import EventResponse, one_each
from madminer.analysis.sums import (
    NuisanceSums,
    accumulate_nuisance_sums,
    distinct_points,
    nuisance_gradients,
    theta_gradients,
)
from madminer.analysis.weights import ParameterPoints
from madminer.errors import DataError
from madminer.progress import track
from madminer.sampling.draws import Targets, draw_events
from madminer.sampling.nuisance_fit import NuisanceFit, fit_nuisance_sums
from madminer.sampling.parameters import Points
from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray


def joint_ratio(
    weights0: FloatArray, weights1: FloatArray, xsecs0: FloatArray, xsecs1: FloatArray
) -> FloatArray:
    """Joint likelihood ratio of each event.

    Args:
        weights0: Weights at the point of the numerator, shape ``(n,)``.
        weights1: Weights at the point of the denominator, shape ``(n,)``.
        xsecs0: Cross sections at the numerator, shape ``(n,)``.
        xsecs1: Cross sections at the denominator, shape ``(n,)``.

    Returns:
        Ratios, shape ``(n,)``.

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
    """Joint score of each event.

    Args:
        weights: Weights, shape ``(n,)``.
        gradients: Gradients of the weights, shape ``(n, n_parameters)``.
        xsecs: Cross sections, shape ``(n,)``.
        xsec_gradients: Gradients of the cross sections, shape ``(n, n_parameters)``.

    Returns:
        Scores, shape ``(n, n_parameters)``.

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


_AT_ONCE = 256  # values of nu in one pass over the events
_MANY = 4  # passes from which on a progress bar is shown


@dataclass(frozen=True, slots=True, eq=False)
class PointMoments:
    """Cross sections of the events in a table at parameter points.

    Args:
        xsecs: Cross sections in pb, shape ``(n,)``.
        gradients: Their gradients by theta and, if wanted, nu, shape ``(n, p)`` or
            ``(n, p + v)``; None where not wanted.
    """

    xsecs: FloatArray
    gradients: FloatArray | None


def point_moments(
    table: WeightTable,
    points: ParameterPoints,
    factors: FloatArray,
    *,
    by_theta: bool = False,
    by_nu: bool = False,
) -> PointMoments:
    """Sum up the weights of events at parameter points.

    At nominal nuisance parameters the sums over the table serve all points; each other nu costs a
    pass over it, unless there are so many that a fit does (`madminer.sampling.nuisance_fit`).

    Args:
        table: Weights of the events.
        points: Parameter points.
        factors: Factors of the groups of the file at each point, shape ``(n, n_file_groups)``.
        by_theta: Whether gradients are wanted.
        by_nu: Whether they have components for nuisance parameters.

    Returns:
        The moments.
    """
    if points.is_nominal and not by_nu:
        sums = factors @ table.file_sums
        xsecs: FloatArray = np.einsum("nb,nb->n", points.coefficients, sums)
        slopes = np.einsum("npb,nb->np", points.gradients, sums) if by_theta else None
        return PointMoments(xsecs, slopes)
    distinct, which = distinct_points(table.model, points)
    everywhere = points.take(distinct)
    fit = fit_nuisance_sums(table, everywhere, with_slopes=by_theta or by_nu)
    order = np.argsort(which, kind="stable")
    xsecs = np.empty(len(points))
    n_gradients = points.setup.n_parameters + (len(table.model.columns) if by_nu else 0)
    gradients = np.empty((len(points), n_gradients)) if by_theta else None
    starts = range(0, len(distinct), _AT_ONCE)
    for start in track(starts, "Integrating") if len(starts) >= _MANY else starts:
        some = distinct[start : start + _AT_ONCE]
        low, high = np.searchsorted(which[order], [start, start + len(some)])
        mine = order[low:high]
        sums_of_some = _sums(table, points.take(some), fit, with_slopes=by_theta or by_nu)
        part, at = points.take(mine), which[mine] - start
        first = np.einsum("ng,ngb->nb", factors[mine], sums_of_some.first[at])
        xsecs[mine] = np.einsum("nb,nb->n", part.coefficients[:, : first.shape[1]], first)
        if gradients is not None:
            gradients[mine] = _gradients(sums_of_some, at, part, factors[mine], by_nu=by_nu)
    return PointMoments(xsecs, gradients)


def _sums(
    table: WeightTable, points: ParameterPoints, fit: NuisanceFit | None, *, with_slopes: bool
) -> NuisanceSums:
    if fit is not None:
        return fit.sums(points, with_slopes=with_slopes)
    return accumulate_nuisance_sums(
        table.file_batches(), table.model, points, table.n_file_groups, with_slopes=with_slopes
    )


def _gradients(
    sums: NuisanceSums, at: IntArray, points: ParameterPoints, factors: FloatArray, *, by_nu: bool
) -> FloatArray:
    by_theta = theta_gradients(sums, at, points, factors)
    if not by_nu:
        return by_theta
    return np.hstack([by_theta, nuisance_gradients(sums, at, points, factors)])


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
