"""Factors on the weights of events in a table at values of the nuisance parameters."""

from __future__ import annotations

import numpy as np

from madminer.analysis.points import ParameterPoints
from madminer.analysis.response import (
    event_responses,
    every_pair,
    one_each,
    response_factors,
)
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = ["factor_bounds", "factors_of_all", "factors_of_each"]


def factors_of_all(
    table: WeightTable, points: ParameterPoints, point: int | np.integer
) -> FloatArray:
    """Factors of all events at one point, shape ``(n_events,)``."""
    one = points.take(np.array([point]))
    return np.concatenate(
        [
            response_factors(every_pair, table.model, one, weights, responses)[0]
            for weights, responses, _ in table.batches()
        ]
    )


def factors_of_each(
    table: WeightTable, points: ParameterPoints, which: IntArray, weights: FloatArray
) -> FloatArray:
    """Factors of chosen events, each at its own point.

    Args:
        table: The table that the events are from.
        points: Parameter points.
        which: Number of the point of each event, shape ``(n,)``.
        weights: Weights of the events at the benchmarks, shape ``(n, n_benchmarks)``.

    Returns:
        Factors, shape ``(n,)``.
    """
    responses = event_responses(table.model, weights)
    each = points.take(which)
    return response_factors(one_each, table.model, each, weights, responses)


def factor_bounds(table: WeightTable, points: ParameterPoints) -> FloatArray:
    """Factors that no event of a group exceeds, shape ``(n_points, n_groups)``.

    The response must not depend on theta, and the groups must be `refined`.
    """
    if table.bounds is None:
        raise RuntimeError("The groups of this table have no bounds.")
    bounds: FloatArray = np.exp(table.bounds.largest_logs(points.nus))
    return bounds
