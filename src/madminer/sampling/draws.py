r"""Draws: events chosen with probability proportional to their weight at many points.

.. math:: p_i = \frac{f_i |w_i(\theta)|}{\sum_j f_j |w_j(\theta)|}, \qquad
    n_\mathrm{eff} = \frac{1}{\max_i p_i}

The maximum is taken over all events where there are few points, otherwise over the events that
were drawn: an upper bound of the effective number, and sharp, since a heavy event is drawn often.
Each point takes the cheaper of two exact routes: the running sum of the weights of all events
(`draw_directly`) or proposals from the benchmark distributions (`draw_from_envelope`).

**Envelope sampling: events at many parameter points, at a cost per sample.**

An event is proposed from the distribution of one benchmark, group and benchmark being chosen with
probability :math:`f_g |W_b(\theta)| \sum_{i \in g} |w_{ib}|`, and accepted with probability

.. math:: \frac{|\sum_b W_b(\theta)\, w_{ib}|}{\sum_b |W_b(\theta)|\, |w_{ib}|} \le 1 .

Accepted events follow :math:`p_i \propto f_i |w_i(\theta)|` exactly, and no step scans the events:
the running sums of the benchmark weights serve all points. With nuisance parameters, the bound
:math:`F_g(\nu) \ge f_i(\nu)` of each group multiplies its probability, and :math:`f_i / F_g` the
acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from madminer.analysis.response import EventResponse, one_each
from madminer.analysis.weights import ParameterPoints
from madminer.errors import NegativeWeightError, NoEventsError
from madminer.sampling.table import RunningSums, WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

_MAX_PROPOSALS = 1_000_000
_MAX_TRIES = 20  # rounds for one point

# The times for one event, and for its response to nuisance parameters, in units of that for one
# proposal, as measured; they decide between the routes, not on the result.
_EVENT_COST = 0.03
_RESPONSE_COST = 0.3

_BLOCK = 1 << 18  # weights calculated at once
_SCANNED = 1 << 23  # weights that are all looked at for the effective number of events
_FEW_POINTS = 4  # at which they are, however many


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Distributions to draw from.

    Args:
        coefficients: Coefficients of the benchmark weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        points: The points, where nuisance parameters have other than nominal values.
        known_xsecs: Cross sections at these points, in the units of the weights, shape
            ``(n_points,)``; None: linear in the weights, without nuisance parameters.
        limits: Largest weight that may be drawn, shape ``(n_points,)``; None: all.
        drop_negative: Whether events of negative weight are never drawn, instead of by |w|.
    """

    coefficients: FloatArray
    factors: FloatArray
    points: ParameterPoints | None = None
    known_xsecs: FloatArray | None = None
    limits: FloatArray | None = None
    drop_negative: bool = False

    def __len__(self) -> int:
        return len(self.coefficients)

    def xsecs(self, sums: FloatArray) -> FloatArray:
        """Cross sections in the units of `sums`, shape ``(n_points,)``."""
        if self.known_xsecs is not None:
            return self.known_xsecs
        xsecs: FloatArray = np.einsum("tb,tb->t", self.coefficients, self.factors @ sums)
        return xsecs

    def take(self, points: IntArray) -> Targets:
        """Some of the distributions."""
        return Targets(
            self.coefficients[points],
            self.factors[points],
            None if self.points is None else self.points.take(points),
            None if self.known_xsecs is None else self.known_xsecs[points],
            None if self.limits is None else self.limits[points],
            self.drop_negative,
        )

    def drawn_by(self, weights: FloatArray) -> FloatArray:
        """The weights that events are drawn by, in place of their own."""
        if self.drop_negative:
            return np.maximum(weights, 0.0, out=weights)
        return np.abs(weights, out=weights)

    def weights_of_each(self, table: WeightTable, points: IntArray, events: IntArray) -> FloatArray:
        """Weights of chosen events, each at its own point, shape ``(n,)``."""
        rows = np.take(table.weights, events, axis=0)
        weights: FloatArray = one_each(np.take(self.coefficients, points, axis=0), rows)
        weights *= self.factors[points, table.groups[events]]
        if self.points is not None:
            response = EventResponse.of(table.model, rows)
            weights *= response.factors(self.points.take(points), one_each)
        return weights

    def weights_of_all(self, table: WeightTable, point: int | np.integer) -> FloatArray:
        """Weights of all events at one point, shape ``(n_events,)``."""
        factors = None
        if self.points is not None:
            factors = table.factors(self.points.take(np.array([point])))
        return point_weights(table, self.coefficients[point], self.factors[point], factors)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Drawn events.

    Args:
        events: Positions in the table, shape ``(n_samples,)``.
        is_negative: Whether the weight of each at its point is negative, shape ``(n_samples,)``.
        n_effective: Effective number of events at each point, shape ``(n_points,)``; infinite at a
            point without samples, if there are many.
    """

    events: IntArray
    is_negative: BoolArray
    n_effective: FloatArray


def draw_events(
    table: WeightTable,
    targets: Targets,
    points: IntArray,
    rng: np.random.Generator,
    n_eff_forced: float | None = None,
) -> Draws:
    """Draw one event for each sample, with replacement.

    Args:
        table: Weights of the events.
        targets: Distributions to draw from.
        points: Index of the distribution that each sample follows, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: Events with a probability above ``1 / n_eff_forced`` are never drawn.

    Raises:
        NoEventsError: If no event can be drawn at a point.
        NegativeWeightError: If the cross section at a point is not positive.
    """
    totals = _totals(table, targets)
    limited = targets if n_eff_forced is None else replace(targets, limits=totals / n_eff_forced)
    events = _draw(table, limited, points, rng)
    weights = targets.weights_of_each(table, points, events)
    is_negative = weights < 0.0
    if is_negative.any() and not table.is_signed:  # by extrapolation: the sum of |w| is not sigma
        signed = np.unique(points[is_negative])
        totals[signed] = _look_at_all(table, replace(targets, drop_negative=False).take(signed))[1]
    if len(targets) <= _FEW_POINTS or len(targets) * len(table) <= _SCANNED:
        heaviest, totals = _look_at_all(table, limited)
    else:
        heaviest = np.zeros(len(targets))
        np.maximum.at(heaviest, points, np.abs(weights))
    n_effective = np.divide(
        totals, heaviest, out=np.full(len(targets), np.inf), where=heaviest > 0.0
    )
    return Draws(events, is_negative, n_effective)


def _totals(table: WeightTable, targets: Targets) -> FloatArray:
    """Sums of the absolute weights at each point, or of the positive ones."""
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
    if not table.is_signed and not targets.drop_negative:
        return np.array(xsecs)
    return _look_at_all(table, targets)[1]


def _look_at_all(table: WeightTable, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """Largest weight that any event is drawn by at each point, and their sums."""
    heaviest, totals = np.zeros(len(targets)), np.zeros(len(targets))
    step = max(_BLOCK // max(len(targets), 1), 1)
    for group in range(table.n_groups):
        factors = targets.factors[:, group, np.newaxis]
        for start in range(table.edges[group], table.edges[group + 1], step):
            rows = table.weights[start : min(start + step, table.edges[group + 1])]
            weights: FloatArray = targets.coefficients @ rows.T
            if targets.points is not None:
                weights *= EventResponse.of(table.model, rows).factors(targets.points)
            weights = targets.drawn_by(weights)
            weights *= factors
            if targets.limits is not None:
                weights[weights > targets.limits[:, np.newaxis]] = 0.0
            np.maximum(heaviest, weights.max(axis=1), out=heaviest)
            totals += weights.sum(axis=1)
    return heaviest, totals


def _draw(
    table: WeightTable, targets: Targets, points: IntArray, rng: np.random.Generator
) -> IntArray:
    counts = np.bincount(points, minlength=len(targets))
    use_envelope, bounds = _routes(table, targets, counts)
    drawn = np.empty(len(points), dtype=np.int64)
    ends = np.cumsum(counts)
    missing = counts.copy()
    if use_envelope.any():
        chosen = np.flatnonzero(use_envelope)
        chosen_bounds = None if bounds is None else bounds[chosen]
        drawn[np.repeat(use_envelope, counts)], missing[chosen] = draw_from_envelope(
            table, targets.take(chosen), counts[chosen], rng, chosen_bounds
        )
    for i in np.flatnonzero(missing):  # each pass here costs one look at every event
        weights = targets.drawn_by(targets.weights_of_all(table, i))
        limit = None if targets.limits is None else targets.limits[i]
        drawn[ends[i] - missing[i] : ends[i]] = draw_directly(weights, missing[i], limit, rng)
    events = np.empty_like(drawn)
    events[np.argsort(points, kind="stable")] = drawn
    return events


def _routes(
    table: WeightTable, targets: Targets, counts: IntArray
) -> tuple[BoolArray, FloatArray | None]:
    """The points at which proposals are cheaper than a look at every event, and their bounds."""
    cost, factors, bounds = _EVENT_COST, targets.factors, None
    if targets.points is not None:
        if table.bounds is None or table.model.varying:
            return np.zeros(len(targets), dtype=np.bool_), None
        bounds = np.exp(table.log_factor_bounds(targets.points.nus))
        cost, factors = _RESPONSE_COST, factors * bounds
    accepted = acceptances(
        table.sums, targets.coefficients, factors, xsecs=targets.xsecs(table.sums)
    )
    envelope = 3.0 + counts / np.maximum(accepted, 1e-4)
    direct = cost * ((targets.factors > 0.0) @ np.diff(table.edges))
    cheaper: BoolArray = (envelope < direct) & (counts > 0)
    return cheaper, bounds


def point_weights(
    table: WeightTable,
    coefficients: FloatArray,
    factors: FloatArray,
    responses: FloatArray | None = None,
) -> FloatArray:
    """Weights in pb of all events at one point, zero where the factor is, shape ``(n_events,)``.

    Args:
        table: Weights of the events.
        coefficients: Coefficients of the weights, shape ``(n_benchmarks,)``.
        factors: Factors of the groups, shape ``(n_groups,)``.
        responses: Factors f(nu) of the events, shape ``(n_events,)``; None: one.
    """
    weights = np.zeros(len(table))
    for group in np.flatnonzero(factors):
        events = slice(table.edges[group], table.edges[group + 1])
        weights[events] = factors[group] * (table.weights[events] @ coefficients)
    return weights if responses is None else weights * responses


def draw_directly(
    weights: FloatArray, count: int, limit: float | None, rng: np.random.Generator
) -> IntArray:
    """Draw positions with replacement, each with probability proportional to its weight.

    Weights above a limit are never drawn, and set to zero.

    Raises:
        NoEventsError: If no event has a weight that may be drawn.
    """
    if limit is not None:
        weights[weights > limit] = 0.0
    running = RunningSums(weights[:, np.newaxis])
    total = running.before(np.array([len(weights)]))[0, 0]
    if not total > 0.0:
        raise NoEventsError(
            "No event has a weight other than zero that may be drawn at a parameter point; lower "
            "n_eff_forced or move the point closer to the benchmarks."
        )
    events = running.find(rng.random(count) * total, np.zeros(count, dtype=np.int64))
    slipped = weights[events] == 0.0  # by rounding, to the neighbour
    events[slipped] = np.argmax(weights)
    return events


def acceptances(
    sums: FloatArray,
    coefficients: FloatArray,
    factors: FloatArray,
    xsecs: FloatArray | None = None,
) -> FloatArray:
    """Expected fraction of accepted proposals, an estimate if there are negative weights.

    Args:
        sums: Sums of the weights of each group, shape ``(n_groups, n_benchmarks)``.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups, shape ``(n_points, n_groups)``, with their bounds.
        xsecs: Cross sections, shape ``(n_points,)``; None: from the sums.
    """
    if xsecs is None:
        xsecs = np.einsum("tb,tb->t", coefficients, factors @ sums)
    envelopes = np.einsum("tb,tb->t", np.abs(coefficients), factors @ np.abs(sums))
    tiny = np.finfo(np.float64).tiny
    fractions: FloatArray = np.clip(np.abs(xsecs) / np.maximum(envelopes, tiny), 0.0, 1.0)
    return fractions


def draw_from_envelope(
    table: WeightTable,
    targets: Targets,
    counts: IntArray,
    rng: np.random.Generator,
    bounds: FloatArray | None = None,
) -> tuple[IntArray, IntArray]:
    """Draw events with replacement, each with probability proportional to its absolute weight.

    Args:
        table: Weights of the events.
        targets: Distributions to draw from.
        counts: Number of events to draw at each point.
        rng: Source of randomness.
        bounds: Of the factors f(nu) of the groups, shape ``(n_points, n_groups)``; None: of 1.

    Returns:
        Positions in the table, one point after the other, shape ``(sum(counts),)``; and how many
        are still missing at each point (all others zero) where hardly any proposal is accepted,
        shape ``(n_points,)``. Missing positions are -1.
    """
    drawn = np.full(int(counts.sum()), -1, dtype=np.int64)
    ends = np.cumsum(counts)
    missing = np.array(counts, dtype=np.int64)
    proposal = targets.factors if bounds is None else targets.factors * bounds
    expected = np.maximum(acceptances(table.sums, targets.coefficients, proposal), 1e-4)
    choices = _choices(table, targets.coefficients, proposal)
    tries = np.zeros(len(counts), dtype=np.int64)
    while np.any(open_now := (missing > 0) & (tries < _MAX_TRIES)):
        open_points = np.flatnonzero(open_now)
        numbers = np.ceil(1.1 * missing[open_points] / expected[open_points]).astype(np.int64) + 2
        batch = max(int(np.searchsorted(np.cumsum(numbers), _MAX_PROPOSALS)), 1)
        tries[open_points[:batch]] += 1
        at = np.repeat(open_points[:batch], np.minimum(numbers[:batch], _MAX_PROPOSALS))
        events = _propose(table, choices, at, rng)
        accepted = _accepted(table, targets, at, events, rng, bounds)
        proposed = np.bincount(at, minlength=len(counts))
        at, events = at[accepted], events[accepted]
        seen = (np.bincount(at, minlength=len(counts)) + 1.0) / np.maximum(proposed, 1)
        expected = np.where(proposed > 0, np.clip(seen, 1e-4, expected), expected)
        _, firsts, numbers = np.unique(at, return_index=True, return_counts=True)
        rank = np.arange(len(at)) - np.repeat(firsts, numbers)
        kept = rank < missing[at]
        at, events, rank = at[kept], events[kept], rank[kept]
        drawn[ends[at] - missing[at] + rank] = events
        missing -= np.bincount(at, minlength=len(missing))
    return drawn, missing


def _choices(table: WeightTable, coefficients: FloatArray, factors: FloatArray) -> FloatArray:
    """Running probabilities of group and benchmark, the points one after the other.

    Point t covers the numbers from t to t + 1, so that one search serves all points.
    """
    mass = factors[:, :, np.newaxis] * np.abs(coefficients)[:, np.newaxis, :] * table.absolute_sums
    running = np.cumsum(mass.reshape(len(mass), -1), axis=1)
    running /= running[:, -1:]
    running += np.arange(len(running))[:, np.newaxis]
    return running


def _propose(
    table: WeightTable, choices: FloatArray, points: IntArray, rng: np.random.Generator
) -> IntArray:
    n_benchmarks = table.weights.shape[1]
    chosen = np.searchsorted(choices.ravel(), points + rng.random(len(points)), side="right")
    chosen = np.minimum(chosen - points * choices.shape[1], choices.shape[1] - 1)
    groups, columns = np.divmod(chosen, n_benchmarks)
    low = table.running.before(table.edges)[groups, columns]
    targets = low + rng.random(len(points)) * table.absolute_sums[groups, columns]
    events = table.running.find(targets, columns)
    return np.clip(events, table.edges[groups], table.edges[groups + 1] - 1)


def _accepted(
    table: WeightTable,
    targets: Targets,
    at: IntArray,
    events: IntArray,
    rng: np.random.Generator,
    bounds: FloatArray | None,
) -> IntArray:
    """Accepted ones of the events, each proposed at its point."""
    rows = np.take(table.weights, events, axis=0)
    terms = np.take(targets.coefficients, at, axis=0) * rows
    weights, envelope = terms.sum(axis=1), np.abs(terms).sum(axis=1)
    if targets.points is not None and bounds is not None:
        response = EventResponse.of(table.model, rows)
        weights *= response.factors(targets.points.take(at), one_each)
        envelope *= bounds[at, table.groups[events]]
    weights = targets.drawn_by(weights)
    accepted = rng.random(len(at)) * envelope < weights
    if targets.limits is not None:
        accepted &= weights * targets.factors[at, table.groups[events]] <= targets.limits[at]
    return np.flatnonzero(accepted)
