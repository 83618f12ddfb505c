"""Events of histograms: edges of the bins, moments of the events in each, slices of information."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from madminer.checks import interval, whole
from madminer.errors import NoEventsError, OptionError
from madminer.evidence import report_weakness
from madminer.fisherinformation.options import EventFunction
from madminer.fisherinformation.response import CellResponse, check_some_weight
from madminer.stats import (
    BinnedMoments,
    as_edges,
    bin_indices,
    binned_moments,
    event_information,
    event_information_covariance,
    weighted_quantiles,
)
from madminer.stats.information import symmetric_pairs
from madminer.typing import FloatArray, IntArray

logger = logging.getLogger(__name__)

FEW_EVENTS = 5.0
"""Effective number of events in a bin below which it resolves the events themselves."""

MOST_BINS = 1_000_000
"""More bins than that cannot be filled with events, but fill the memory."""

Bins = int | Sequence[float] | FloatArray
"""A number of bins, or edges."""

Sample = Callable[[], tuple[FloatArray, FloatArray]]
"""Gives values and weights from which quantiles are taken, when they are needed."""

Batches = Iterable[tuple[FloatArray, FloatArray]]
"""Batches of observables, shape ``(n, n_observables)``, and weights in pb, shape ``(n, b)``."""

ScoredBatches = Iterable[tuple[FloatArray, FloatArray, FloatArray]]
"""Batches of observables, weights at theta in pb, shape ``(n,)``, and scores, shape ``(n, m)``."""

Axis = tuple[EventFunction, FloatArray]
"""A histogram axis: what is histogrammed, and the edges, shape ``(n_edges,)``."""

_NO_EVENTS = "No event passes the cuts; loosen them or read more events."


def cell_edges(bins: Bins, histrange: tuple[float, float] | None, sample: Sample) -> FloatArray:
    """Edges between the cells of a histogram whose outermost cells are open.

    Args:
        bins: Number of bins, or edges. Edges give ``len + 1`` cells. A number with a range gives
            that many bins plus underflow and overflow; a number alone that many cells of equal
            content.
        histrange: Range, or None; ignored with edges.
        sample: Gives the events whose quantiles separate cells of equal content.

    Returns:
        Edges, shape ``(n_cells - 1,)``. Repeated quantiles are merged: such cells are empty.

    Raises:
        OptionError: If number, range or edges are not valid.
    """
    if not isinstance(bins, int | np.integer) or isinstance(bins, bool):
        edges = as_edges(bins)
        if not len(edges):
            raise OptionError("Bins need at least one edge, got []. Give edges or a number.")
        return edges
    n_bins = whole(bins, "bins", 1, MOST_BINS)
    if histrange is not None:
        return _even_edges(n_bins, histrange)
    return equal_edges(n_bins, *sample())


def equal_edges(n_cells: int, values: FloatArray, weights: FloatArray) -> FloatArray:
    """Edges between cells of equal content; repeated quantiles are merged."""
    return np.unique(weighted_quantiles(values, np.arange(1, n_cells) / n_cells, weights))


def slice_edges(n_bins: int, histrange: tuple[float, float] | None, sample: Sample) -> FloatArray:
    """Edges ``(n_bins + 1,)`` of bins with underflow and overflow outside.

    Without a range bins have equal content, and hold all events of the sample.

    Raises:
        OptionError: If number or range is not valid, or the observable has too few values for
            that many bins of equal content.
    """
    n_bins = whole(n_bins, "nbins", 1, MOST_BINS)
    if histrange is not None:
        return _even_edges(n_bins, histrange)
    values, weights = sample()
    edges = weighted_quantiles(values, np.linspace(0.0, 1.0, n_bins + 1), weights)
    edges[0] = np.nextafter(edges[0], -np.inf)  # edges belong to the bin below
    if np.any(np.diff(edges) <= 0.0):
        raise OptionError(
            f"The observable has too few different values for {n_bins} bins of equal content; "
            "give a range or fewer bins."
        )
    return edges


def warn_about_sparse_bins(n_effective: FloatArray, n_total: float) -> None:
    """Warn if the bins of a histogram, those that are not empty, hold few effective events."""
    n_bins = len(n_effective)
    # a few heavy events beside many light ones: most bins have enough, and all the weight is in few
    mean = min(float(n_effective.mean()), n_total / n_bins) if n_bins else FEW_EVENTS
    if mean < FEW_EVENTS:
        report_weakness(
            logger,
            "The %d bins with events hold %.2g effective events on average: the histogram "
            "approaches the truth at event level, and its information is too large. Use fewer "
            "bins or more events.",
            len(n_effective),
            mean,
        )


def _even_edges(n_bins: int, histrange: tuple[float, float]) -> FloatArray:
    low, high = interval(histrange, "histrange")
    return np.linspace(low, high, n_bins + 1)


def truth_information(
    batches: Batches, response: CellResponse, luminosity: float
) -> tuple[FloatArray, FloatArray]:
    """Information of fully observed events ``(m, m)``, and its covariance ``(m, m, m, m)``.

    Raises:
        NoEventsError: If no event is left, or all weights are zero.
    """
    m = response.n_parameters
    information, covariance = np.zeros((m, m)), np.zeros((m, m, m, m))
    n_events, total = 0, np.zeros(1)
    for _, weights in batches:
        sigma, gradient = response.sigma(weights), response.gradient(weights)
        n_events += len(sigma)
        total += np.abs(sigma).sum()
        information += event_information(sigma, gradient, luminosity)
        covariance += event_information_covariance(sigma, gradient, luminosity)
    if n_events == 0:
        raise NoEventsError(_NO_EVENTS)
    check_some_weight(total)
    return information, covariance


def cell_moments(batches: Batches, axes: Sequence[Axis]) -> BinnedMoments:
    """Sums over the events of each cell of a histogram with open outermost cells.

    The last axis runs fastest; without any a single cell holds all events.

    Raises:
        NoEventsError: If no event is left.
        DataError: If an observable is not a number.
    """
    n_cells = whole(
        math.prod(len(edges) + 1 for _, edges in axes), "The number of bins", 1, MOST_BINS
    )
    total: BinnedMoments | None = None
    for x, weights in batches:
        if len(weights):
            moments = binned_moments(weights, _cell_indices(x, axes), n_cells)
            total = moments if total is None else total + moments
    if total is None:
        raise NoEventsError(_NO_EVENTS)
    return total


def quantile_sample(
    batches: Batches, function: EventFunction, response: CellResponse
) -> tuple[FloatArray, FloatArray]:
    """Values of an observable ``(n,)``, and weights at theta ``(n,)``, of all events.

    Raises:
        NoEventsError: If no event is left.
    """
    parts = [(function(x), response.sigma(w)) for x, w in batches if len(w)]
    if not parts:
        raise NoEventsError(_NO_EVENTS)
    values, weights = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(weights)


def score_slices(scored: ScoredBatches, axis: Axis, m: int) -> tuple[FloatArray, FloatArray]:
    r"""Sums of :math:`w\, t t^T` over the events of each slice, and of w.

    With the score of the differential cross section, that of the density plus that of the total
    rate, the slices add up to the full information.

    Args:
        scored: Events with their scores.
        axis: Observable and edges of the slices.
        m: Number of parameters.

    Returns:
        Sums of outer products in pb, shape ``(n_edges + 1, m, m)``, and of weights in pb, shape
        ``(n_edges + 1,)``.
    """
    n_cells, (rows, columns) = len(axis[1]) + 1, symmetric_pairs(m)
    products, sums = np.zeros((n_cells, len(rows))), np.zeros(n_cells)
    for x, weights, scores in scored:
        cells = _cell_indices(x, [axis])
        sums += np.bincount(cells, weights, minlength=n_cells)
        for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
            values = weights * scores[:, i] * scores[:, j]
            products[:, k] += np.bincount(cells, values, minlength=n_cells)
    total = np.zeros((n_cells, m, m))
    total[:, rows, columns] = total[:, columns, rows] = products
    return total, sums


def _cell_indices(x: FloatArray, axes: Sequence[Axis]) -> IntArray:
    """Cell of each event, shape ``(n,)``, the last axis running fastest."""
    cells: IntArray = np.zeros(len(x), dtype=np.int64)
    for function, edges in axes:
        cells = cells * (len(edges) + 1) + bin_indices(function(x), edges)
    return cells
