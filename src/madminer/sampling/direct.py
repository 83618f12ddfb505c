"""Direct sampling: events at one parameter point, from the running sum of their weights."""

from __future__ import annotations

import numpy as np

from madminer.errors import NoEventsError
from madminer.sampling.running import RunningSums
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = ["draw_directly", "point_weights"]


def point_weights(
    table: WeightTable,
    coefficients: FloatArray,
    factors: FloatArray,
    responses: FloatArray | None = None,
) -> FloatArray:
    """Rescaled weights of all events at one point.

    Args:
        table: Weights of the events.
        coefficients: Coefficients of the weights, shape ``(n_benchmarks,)``.
        factors: Factors of the groups, shape ``(n_groups,)``.
        responses: Factors f(nu) of the events, shape ``(n_events,)``; None: one.

    Returns:
        Weights in pb, zero where the factor is zero, shape ``(n_events,)``.
    """
    weights = np.zeros(len(table))
    for group in np.flatnonzero(factors):
        events = slice(table.edges[group], table.edges[group + 1])
        weights[events] = factors[group] * (table.weights[events] @ coefficients)
    return weights if responses is None else weights * responses


def draw_directly(
    weights: FloatArray, count: int, limit: float | None, rng: np.random.Generator
) -> IntArray:
    """Draw events with replacement, each with probability proportional to its weight.

    Args:
        weights: Weights of zero or more, shape ``(n_events,)``; changed if there is a limit.
        count: Number of events to draw.
        limit: Largest weight that may be drawn; None: all.
        rng: Source of randomness.

    Returns:
        Positions, shape ``(count,)``.

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
