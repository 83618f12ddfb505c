r"""Envelope sampling: events at many parameter points, at a cost per sample.

An event is proposed from the distribution of one benchmark, group and benchmark being chosen with
probability :math:`f_g |C_b(\theta)| \sum_{i \in g} |w_{ib}|`, and accepted with probability

.. math:: \frac{|\sum_b C_b(\theta)\, w_{ib}|}{\sum_b |C_b(\theta)|\, |w_{ib}|} \le 1 .

Accepted events follow :math:`p_i \propto f_i |w_i(\theta)|` exactly, and no step scans the events:
the running sums of the benchmark weights serve all points. With nuisance parameters, the bound
:math:`F_g(\nu) \ge f_i(\nu)` of each group multiplies its probability, and :math:`f_i / F_g` the
acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.analysis.points import ParameterPoints
from madminer.analysis.response import EventResponse, one_each
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = ["acceptances", "draw_from_envelope"]

_MAX_PROPOSALS = 1_000_000
_MAX_TRIES = 20  # rounds for one point


def acceptances(
    sums: FloatArray,
    coefficients: FloatArray,
    factors: FloatArray,
    xsecs: FloatArray | None = None,
) -> FloatArray:
    """Expected fraction of accepted proposals, an estimate if there are negative weights.

    Args:
        sums: Sums of the weights of each group, shape ``(n_groups, n_benchmarks)``.
        coefficients: Coefficients of the weights, shape ``(n_thetas, n_benchmarks)``.
        factors: Factors of the groups, shape ``(n_thetas, n_groups)``, with their bounds.
        xsecs: Cross sections, shape ``(n_thetas,)``; None: from the sums.

    Returns:
        Fractions, shape ``(n_thetas,)``.
    """
    if xsecs is None:
        xsecs = np.einsum("tb,tb->t", coefficients, factors @ sums)
    envelopes = np.einsum("tb,tb->t", np.abs(coefficients), factors @ np.abs(sums))
    tiny = np.finfo(np.float64).tiny
    fractions: FloatArray = np.clip(np.abs(xsecs) / np.maximum(envelopes, tiny), 0.0, 1.0)
    return fractions


def draw_from_envelope(
    table: WeightTable,
    coefficients: FloatArray,
    factors: FloatArray,
    counts: IntArray,
    limits: FloatArray | None,
    rng: np.random.Generator,
    *,
    points: ParameterPoints | None = None,
    bounds: FloatArray | None = None,
    drop_negative: bool = False,
) -> tuple[IntArray, IntArray]:
    """Draw events with replacement, each with probability proportional to its absolute weight.

    Args:
        table: Weights of the events.
        coefficients: Coefficients of the weights, shape ``(n_thetas, n_benchmarks)``.
        factors: Factors of the groups, shape ``(n_thetas, n_groups)``.
        counts: Number of events to draw at each point, shape ``(n_thetas,)``.
        limits: Largest weight that may be drawn, shape ``(n_thetas,)``; None: all.
        rng: Source of randomness.
        points: The points, where nuisance parameters have other than nominal values.
        bounds: With them, bounds of the factors of the groups, shape ``(n_thetas, n_groups)``.
        drop_negative: Whether events of negative weight are never drawn.

    Returns:
        Positions in the table, one point after the other, shape ``(sum(counts),)``; and how many
        are still missing at each point (all others zero) where hardly any proposal is accepted,
        shape ``(n_thetas,)``. Missing positions are -1.
    """
    drawn = np.full(int(counts.sum()), -1, dtype=np.int64)
    ends = np.cumsum(counts)
    missing = np.array(counts, dtype=np.int64)
    proposal = factors if bounds is None else factors * bounds
    expected = np.maximum(acceptances(table.sums, coefficients, proposal), 1e-4)
    choices = _choices(table, coefficients, proposal)
    acceptance = _Acceptance(
        table, coefficients, factors, limits, points, bounds, drop_negative=drop_negative
    )
    tries = np.zeros(len(counts), dtype=np.int64)
    while np.any(open_now := (missing > 0) & (tries < _MAX_TRIES)):
        open_points = np.flatnonzero(open_now)
        numbers = np.ceil(1.1 * missing[open_points] / expected[open_points]).astype(np.int64) + 2
        batch = max(int(np.searchsorted(np.cumsum(numbers), _MAX_PROPOSALS)), 1)
        tries[open_points[:batch]] += 1
        at = np.repeat(open_points[:batch], np.minimum(numbers[:batch], _MAX_PROPOSALS))
        events = _propose(table, choices, at, rng)
        accepted = acceptance.decide(at, events, rng)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Acceptance:
    """Decides which proposals are accepted."""

    table: WeightTable
    coefficients: FloatArray
    factors: FloatArray
    limits: FloatArray | None
    points: ParameterPoints | None
    bounds: FloatArray | None
    drop_negative: bool

    def decide(self, at: IntArray, events: IntArray, rng: np.random.Generator) -> IntArray:
        """Accepted ones of the events, each proposed at its point."""
        rows = np.take(self.table.weights, events, axis=0)
        terms = np.take(self.coefficients, at, axis=0) * rows
        weights, envelope = terms.sum(axis=1), np.abs(terms).sum(axis=1)
        if self.points is not None and self.bounds is not None:
            response = EventResponse.of(self.table.model, rows)
            weights *= response.factors(self.points.take(at), one_each)
            envelope *= self.bounds[at, self.table.groups[events]]
        if not self.drop_negative:
            np.abs(weights, out=weights)
        accepted = rng.random(len(at)) * envelope < weights
        if self.limits is not None:
            scaled = np.abs(weights) * self.factors[at, self.table.groups[events]]
            accepted &= scaled <= self.limits[at]
        return np.flatnonzero(accepted)
