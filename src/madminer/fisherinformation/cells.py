"""One pass over the events: truth information, and moments of the cells of a histogram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from madminer.errors import NoEventsError
from madminer.fisherinformation.response import CellResponse, check_some_weight, events_information
from madminer.fisherinformation.selection import EventFunction
from madminer.stats import BinnedMoments, bin_indices, binned_moments
from madminer.typing import FloatArray, IntArray

__all__ = [
    "Axis",
    "Batches",
    "cell_indices",
    "cell_moments",
    "quantile_sample",
    "truth_information",
]

Batches = Iterable[tuple[FloatArray, FloatArray]]
"""Batches of observables, shape ``(n, n_observables)``, and weights in pb, shape ``(n, b)``."""

Axis = tuple[EventFunction, FloatArray]
"""A histogram axis: what is histogrammed, and the edges, shape ``(n_edges,)``."""

_NO_EVENTS = "No event passes the cuts; loosen them or read more events."


def truth_information(
    batches: Batches, response: CellResponse, luminosity: float
) -> tuple[FloatArray, FloatArray]:
    """Information of fully observed events, and its covariance.

    Args:
        batches: Events.
        response: Cross section and gradient at the parameter point.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

    Raises:
        NoEventsError: If no event is left, or all weights are zero.
    """
    m = response.n_parameters
    information, covariance = np.zeros((m, m)), np.zeros((m, m, m, m))
    n_events, total = 0, np.zeros(1)
    for _, weights in batches:
        n_events += len(weights)
        total += np.abs(response.sigma(weights)).sum()
        added = events_information(weights, response, luminosity)
        information += added[0]
        covariance += added[1]
    if n_events == 0:
        raise NoEventsError(_NO_EVENTS)
    check_some_weight(total)
    return information, covariance


def cell_moments(batches: Batches, axes: Sequence[Axis]) -> BinnedMoments:
    """Sums over the events of each cell of a histogram with open outermost cells.

    Args:
        batches: Events.
        axes: Axes of the histogram; none for a single cell with all events.

    Returns:
        Moments of all cells, the last axis running fastest.

    Raises:
        NoEventsError: If no event is left.
        DataError: If an observable is not a number.
    """
    n_cells = int(np.prod([len(edges) + 1 for _, edges in axes], dtype=np.int64))
    total: BinnedMoments | None = None
    for x, weights in batches:
        if len(weights):
            moments = binned_moments(weights, cell_indices(x, axes), n_cells)
            total = moments if total is None else total + moments
    if total is None:
        raise NoEventsError(_NO_EVENTS)
    return total


def quantile_sample(
    batches: Batches, function: EventFunction, response: CellResponse
) -> tuple[FloatArray, FloatArray]:
    """Values of an observable, and weights at theta, of all events.

    Args:
        batches: Events.
        function: The observable.
        response: Gives the weights at theta.

    Returns:
        Values, shape ``(n,)``, and weights in pb, shape ``(n,)``.

    Raises:
        NoEventsError: If no event is left.
    """
    parts = [(function(x), response.sigma(w)) for x, w in batches if len(w)]
    if not parts:
        raise NoEventsError(_NO_EVENTS)
    return np.concatenate([part[0] for part in parts]), np.concatenate([p[1] for p in parts])


def cell_indices(x: FloatArray, axes: Sequence[Axis]) -> IntArray:
    """Cell of each event, shape ``(n,)``, the last axis running fastest."""
    cells: IntArray = np.zeros(len(x), dtype=np.int64)
    for function, edges in axes:
        cells = cells * (len(edges) + 1) + bin_indices(function(x), edges)
    return cells
