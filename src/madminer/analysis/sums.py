r"""Sums over events, accumulated in one pass: all that cross sections need.

Per group :math:`g` of events (see `madminer.analysis.rescaling`)

.. math:: S_{gb} = \sum_{i \in g} w_{ib}, \qquad Q_{gbc} = \sum_{i \in g} w_{ib} w_{ic}

With the coefficients :math:`C_b` of a point, :math:`w_i(\theta) = \sum_b C_b w_{ib}`, the cross
section is :math:`\sum_g f_g\, C \cdot S_g` and its variance
:math:`\sum_g f_g^2\, C^T Q_g C = \sum_i (f_i w_i(\theta))^2`, without touching the events again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madminer.errors import NoEventsError
from madminer.typing import FloatArray, IntArray

__all__ = ["EventSums", "accumulate_sums", "cross_sections", "group_sums"]

_CHUNK = 1 << 13  # rows that stay in the cache of a processor core


@dataclass(frozen=True, slots=True, eq=False)
class EventSums:
    """First and second moments of the benchmark weights, per group of events.

    Args:
        n_events: Number of events, shape ``(n_groups,)``.
        first: Sums of weights in pb, shape ``(n_groups, n_benchmarks)``.
        second: Sums of products, shape ``(n_groups, n_benchmarks, n_benchmarks)``.
    """

    n_events: IntArray
    first: FloatArray
    second: FloatArray


def accumulate_sums(
    batches: Iterable[tuple[FloatArray, IntArray]], n_groups: int, n_benchmarks: int
) -> EventSums:
    """Accumulate the moments in one pass.

    Args:
        batches: Weights ``(n, n_benchmarks)`` and groups ``(n,)`` of successive events.
        n_groups: Number of groups.
        n_benchmarks: Number of weight columns.

    Returns:
        The sums.
    """
    n_events = np.zeros(n_groups, dtype=np.int64)
    first = np.zeros((n_groups, n_benchmarks))
    second = np.zeros((n_groups, n_benchmarks, n_benchmarks))
    for weights, groups in batches:
        for start in range(0, len(weights), _CHUNK):
            chunk, group = weights[start : start + _CHUNK], groups[start : start + _CHUNK]
            for g in np.flatnonzero(np.bincount(group, minlength=n_groups)):
                rows = chunk[group == g]
                n_events[g] += len(rows)
                first[g] += rows.sum(axis=0)
                second[g] += rows.T @ rows
    return EventSums(n_events, first, second)


def group_sums(weights: FloatArray, groups: IntArray, n_groups: int) -> FloatArray:
    """Sums of weights per group, without the second moments.

    Args:
        weights: Weights, shape ``(n, n_benchmarks)``.
        groups: Group of each event, shape ``(n,)``.
        n_groups: Number of groups.

    Returns:
        Sums, shape ``(n_groups, n_benchmarks)``.
    """
    total = np.zeros((n_groups, weights.shape[1]))
    labels = np.arange(n_groups)[:, np.newaxis]
    for start in range(0, len(weights), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        total += (groups[chunk] == labels).astype(np.float64) @ weights[chunk]
    return total


def cross_sections(
    sums: EventSums, coefficients: FloatArray, factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Cross sections and their statistical uncertainties.

    Args:
        sums: Moments of the events.
        coefficients: Coefficients of the benchmark weights, shape ``(n_thetas, n_benchmarks)``.
        factors: Factor of each group, shape ``(n_groups,)``.

    Returns:
        Cross sections in pb, shape ``(n_thetas,)``, and uncertainties in pb, shape
        ``(n_thetas,)``.

    Raises:
        NoEventsError: If no event has a factor other than zero.
    """
    if not np.any(sums.n_events[factors != 0.0]):
        raise NoEventsError("There are no events to calculate a cross section from.")
    xsecs: FloatArray = coefficients @ (factors @ sums.first)
    second = np.tensordot(factors**2, sums.second, axes=1)
    variances = np.einsum("tb,tb->t", coefficients @ second, coefficients)
    return xsecs, np.sqrt(np.maximum(variances, 0.0))  # rounding can leave -0.0
