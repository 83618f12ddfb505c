r"""Draws: events chosen with probability proportional to their weight at many points.

.. math:: p_i = \frac{f_i |w_i(\theta)|}{\sum_j f_j |w_j(\theta)|}, \qquad
    n_\mathrm{eff} = \frac{1}{\max_i p_i}

Each point takes the cheaper of two exact routes: the running sum of the weights of all events
(`madminer.sampling.direct`) or proposals from the benchmark distributions
(`madminer.sampling.envelope`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from madminer.errors import NegativeWeightError, NoEventsError, OptionError
from madminer.sampling.direct import draw_directly, point_weights
from madminer.sampling.envelope import acceptances, draw_from_envelope
from madminer.sampling.extremes import find_extremes, largest_probability
from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["Draws", "Targets", "draw_events"]

logger = logging.getLogger(__name__)

# The time for one event in units of that for one proposal, as measured; it decides between the
# routes, not on the result.
_EVENT_COST = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Distributions to draw from.

    Args:
        coefficients: Coefficients of the benchmark weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
    """

    coefficients: FloatArray
    factors: FloatArray

    def __len__(self) -> int:
        return len(self.coefficients)

    def xsecs(self, sums: FloatArray) -> FloatArray:
        """Cross sections in the units of `sums`, shape ``(n_points,)``."""
        xsecs: FloatArray = np.einsum("tb,tb->t", self.coefficients, self.factors @ sums)
        return xsecs


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Drawn events.

    Args:
        events: Positions in the table, shape ``(n_samples,)``.
        points: Point that each was drawn at, shape ``(n_samples,)``.
        is_negative: Whether its weight there is negative, shape ``(n_samples,)``.
        n_effective: Effective number of events at each point, shape ``(n_points,)``.
    """

    events: IntArray
    points: IntArray
    is_negative: BoolArray
    n_effective: FloatArray


def draw_events(
    table: WeightTable,
    targets: Targets,
    points: IntArray,
    rng: np.random.Generator,
    n_eff_forced: float | None = None,
    *,
    individually: bool = True,
) -> Draws:
    """Draw one event for each sample, with replacement.

    Args:
        table: Weights of the events.
        targets: Distributions to draw from.
        points: Index of the distribution that each sample follows, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: Events with a probability above ``1 / n_eff_forced`` are never drawn.
        individually: Whether the effective number of events is wanted at each point; otherwise
            the smallest stands for all, which is far cheaper.

    Returns:
        The draws.

    Raises:
        NoEventsError: If no event can be drawn at a point.
        NegativeWeightError: If the cross section at a point is not positive.
        OptionError: If `n_eff_forced` is not positive.
    """
    totals = _totals(table, targets)
    limits = None
    if n_eff_forced is not None:
        if not n_eff_forced > 0.0:
            raise OptionError(f"n_eff_forced must be positive, or None; got {n_eff_forced}.")
        limits = totals / n_eff_forced
    events = _draw(table, targets, points, limits, rng)
    coefficients = np.take(targets.coefficients, points, axis=0)
    weights = np.einsum("nb,nb->n", coefficients, np.take(table.weights, events, axis=0))
    is_negative = weights < 0.0
    if is_negative.any() and not table.is_signed:
        signed = np.unique(points[is_negative])
        totals[signed] = _absolute_totals(table, targets, signed)
    n_effective = _n_effective(table, targets, totals, limits, individually=individually)
    return Draws(events, points, is_negative, n_effective)


def _n_effective(
    table: WeightTable,
    targets: Targets,
    totals: FloatArray,
    limits: FloatArray | None,
    *,
    individually: bool,
) -> FloatArray:
    forms = targets.coefficients, targets.factors
    if individually or limits is not None:
        extremes = find_extremes(table, *forms, limits)
        n_effective: FloatArray = (totals - extremes.removed) / extremes.heaviest
        return n_effective
    return np.full(len(totals), 1.0 / largest_probability(table, *forms, totals))


def _totals(table: WeightTable, targets: Targets) -> FloatArray:
    """Sums of the absolute weights at each point."""
    xsecs = targets.xsecs(table.sums)
    if not np.all(targets.factors @ np.diff(table.edges) > 0.0):
        raise NoEventsError(
            "There are no events to draw from at a parameter point: the partition has none that "
            "were generated at the closest benchmark. Use a larger partition or "
            "sample_only_from_closest_benchmark=False."
        )
    if not np.all(xsecs > 0.0):
        raise NegativeWeightError(
            f"The cross section must be positive at every parameter point, but is "
            f"{xsecs.min():.3g} pb at one of {len(xsecs)}: there the weights of the events cancel. "
            f"Stay closer to the benchmarks or use more events."
        )
    if table.is_signed:
        return _absolute_totals(table, targets, np.arange(len(targets)))
    return xsecs


def _absolute_totals(table: WeightTable, targets: Targets, points: IntArray) -> FloatArray:
    return np.array(
        [
            np.abs(point_weights(table, targets.coefficients[i], targets.factors[i])).sum()
            for i in points
        ]
    )


def _draw(
    table: WeightTable,
    targets: Targets,
    points: IntArray,
    limits: FloatArray | None,
    rng: np.random.Generator,
) -> IntArray:
    counts = np.bincount(points, minlength=len(targets))
    use_envelope = _prefers_envelope(table, targets, counts)
    drawn = np.empty(len(points), dtype=np.int64)
    ends = np.cumsum(counts)
    missing = counts.copy()
    if use_envelope.any():
        chosen = np.flatnonzero(use_envelope)
        drawn[use_envelope[np.repeat(np.arange(len(counts)), counts)]], missing[chosen] = (
            draw_from_envelope(
                table,
                targets.coefficients[chosen],
                targets.factors[chosen],
                counts[chosen],
                None if limits is None else limits[chosen],
                rng,
            )
        )
    for i in np.flatnonzero(missing):  # each pass here costs one look at every event
        drawn[ends[i] - missing[i] : ends[i]] = draw_directly(
            table,
            targets.coefficients[i],
            targets.factors[i],
            missing[i],
            None if limits is None else limits[i],
            rng,
        )
    events = np.empty_like(drawn)
    events[np.argsort(points, kind="stable")] = drawn
    return events


def _prefers_envelope(table: WeightTable, targets: Targets, counts: IntArray) -> BoolArray:
    """The points at which proposals are cheaper than a look at every event."""
    accepted = acceptances(table.sums, targets.coefficients, targets.factors)
    envelope = 3.0 + counts / np.maximum(accepted, 1e-4)
    direct = _EVENT_COST * ((targets.factors > 0.0) @ np.diff(table.edges))
    cheaper: BoolArray = (envelope < direct) & (counts > 0)
    return cheaper
