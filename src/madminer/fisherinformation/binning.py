"""Bin edges from what users give: a number and a range, a number alone, or the edges."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from madminer.checks import interval, whole
from madminer.errors import OptionError
from madminer.stats import as_edges, weighted_quantiles
from madminer.typing import FloatArray

__all__ = ["Bins", "Sample", "cell_edges", "slice_edges", "warn_about_sparse_bins"]

logger = logging.getLogger(__name__)

FEW_EVENTS = 5.0
"""Effective number of events in a bin below which it resolves the events themselves."""

MOST_BINS = 1_000_000
"""More bins than that cannot be filled with events, but fill the memory."""

Bins = int | Sequence[float] | FloatArray
"""A number of bins, or edges."""

Sample = Callable[[], tuple[FloatArray, FloatArray]]
"""Gives values and weights from which quantiles are taken, when they are needed."""


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
    values, weights = sample()
    return np.unique(weighted_quantiles(values, np.arange(1, n_bins) / n_bins, weights))


def slice_edges(n_bins: int, histrange: tuple[float, float] | None, sample: Sample) -> FloatArray:
    """Edges of a number of bins, with underflow and overflow outside.

    Args:
        n_bins: Number of bins.
        histrange: Range; None for bins of equal content that hold all events.
        sample: Gives the events for the latter.

    Returns:
        Edges, shape ``(n_bins + 1,)``.

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


def warn_about_sparse_bins(n_effective: FloatArray) -> None:
    """Log a warning if the bins of a histogram hold few events.

    Args:
        n_effective: Effective number of events in each bin that is not empty, shape ``(n,)``.
    """
    mean = float(n_effective.mean()) if len(n_effective) else FEW_EVENTS
    if mean < FEW_EVENTS:
        logger.warning(
            "The %d bins with events hold %.2g effective events on average: the histogram "
            "approaches the truth at event level, and its information is too large. Use fewer "
            "bins or more events.",
            len(n_effective),
            mean,
        )


def _even_edges(n_bins: int, histrange: tuple[float, float]) -> FloatArray:
    low, high = interval(histrange, "histrange")
    return np.linspace(low, high, n_bins + 1)
