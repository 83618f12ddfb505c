"""One pass over the events: truth information, and moments of the cells of a histogram."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from madminer.checks import whole
from madminer.errors import NoEventsError
from madminer.fisherinformation.binning import MOST_BINS
from madminer.fisherinformation.response import CellResponse, check_some_weight, events_information
from madminer.fisherinformation.selection import EventFunction
from madminer.stats import BinnedMoments, bin_indices, binned_moments
from madminer.stats.information import direction_of_largest_ratio, event_information
from madminer.typing import FloatArray, IntArray

__all__ = [
    "Axis",
    "Batches",
    "TruthSums",
    "cell_indices",
    "cell_moments",
    "quantile_sample",
    "truth_information",
]

logger = logging.getLogger(__name__)

N_SIGMA = 3.0
"""Statistical errors of the truth by which an estimate may exceed it."""

TOLERANCE = 0.02
"""Share of the truth that the noise of a good network may add."""

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


class TruthSums:
    r"""What events would tell if all their latent variables were known, summed as they pass by.

    .. math:: \frac{1}{\sigma} \sum_e w_e\, t_e t_e^T, \qquad
              \frac{1}{\sigma} \sum_e w_e\, t_e = \frac{d \sigma}{\sigma}

    Args:
        response: Cross section and gradient at the parameter point.
    """

    def __init__(self, response: CellResponse) -> None:
        m = response.n_parameters
        self._response = response
        self._sigma, self._gradient, self._information = 0.0, np.zeros(m), np.zeros((m, m))

    def watch(self, batches: Batches) -> Iterator[tuple[FloatArray, FloatArray]]:
        """The same events, which are added to the sums."""
        for x, weights in batches:
            sigma, gradient = self._response.sigma(weights), self._response.gradient(weights)
            self._sigma += float(sigma.sum())
            self._gradient += gradient.sum(axis=0)
            self._information += event_information(sigma, gradient, 1.0)
            yield x, weights

    def report_excess(self, kinematic: FloatArray, again: Callable[[], Batches]) -> None:
        """Log a warning if an estimate is above the information of these events.

        What a detector leaves of events cannot tell more than the events (data processing
        inequality), in no direction of the parameters.

        Args:
            kinematic: Estimated information in the kinematics of one event, shape ``(m, m)``. With
                that in the rate it is compared with the truth, which holds both.
            again: Gives the events once more, for the statistical error of their information.
        """
        if not self._sigma > 0.0:
            return
        score, truth = self._gradient / self._sigma, self._information / self._sigma
        estimate = kinematic + np.outer(score, score)
        v = direction_of_largest_ratio(estimate, truth)
        estimated, known = float(v @ estimate @ v), float(v @ truth @ v)
        if estimated <= (1.0 + TOLERANCE) * known:
            return
        error = self._error(v, again())
        if estimated > (1.0 + TOLERANCE) * known + N_SIGMA * error:
            logger.warning(
                "The estimated information of an event is %.4g in the direction %s of the "
                "parameters, more than the %.4g +- %.2g with all its latent variables known, which "
                "is impossible: the network is not converged, was trained at another point or on "
                "few samples, or describes these events too well. Train it on more samples and on "
                "events that are not averaged over.",
                estimated,
                np.round(v, 3).tolist(),
                known,
                error,
            )

    def _error(self, v: FloatArray, batches: Batches) -> float:
        """Statistical error of the information of an event in a direction."""
        variance = 0.0
        for _, weights in batches:
            sigma, slope = self._response.sigma(weights), self._response.gradient(weights) @ v
            single = np.divide(slope**2, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
            variance += float(single @ single)
        return math.sqrt(variance) / self._sigma


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
    n_cells = whole(
        math.prod(len(edges) + 1 for _, edges in axes), "The number of bins", 1, MOST_BINS
    )
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
