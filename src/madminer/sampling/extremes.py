r"""Extremes: the heaviest events at many parameter points, found without a scan at each.

Whether an event is heavier than one already found, of weight L, is measured from the mean
:math:`\bar{w}` of some events: with :math:`u = C / (L - C \cdot \bar{w})`, it takes
:math:`u \cdot (w_i - \bar{w}) > 1`. The points of a cluster differ from its middle m by
:math:`u - m = S z` with :math:`|z| \le r`, so that

.. math:: |u \cdot (w_i - \bar{w})| \le |m \cdot (w_i - \bar{w})| + r\, |S^T (w_i - \bar{w})|

bounds an event at all of them: below one, it is not the heaviest at any. One scan of the events
serves all clusters; the few events that remain for each are scanned again in smaller clusters, or
compared with each point. The result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["Extremes", "find_extremes", "largest_probability"]

_TIE = 1e-9  # an event that may exceed the heaviest by less than rounding is not looked at
_BLOCK = 1 << 16  # numbers calculated at once, few enough for the cache of a processor core
_SAMPLE = 256  # one event of so many tells roughly how heavy the heaviest is
_POINTS = 500  # that are looked at first for the largest of all
_FEW = 32  # points that are compared with all events left
_CLUSTERS = (1, 4, 16)  # that share a scan; as many as leave few events
_ENOUGH = 0.2  # events left in all clusters, as a fraction


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Largest weights at many points.

    Args:
        heaviest: Largest :math:`f |w|` that is not above the limit, shape ``(n_points,)``.
        removed: Sum of the weights above the limit, shape ``(n_points,)``.
    """

    heaviest: FloatArray
    removed: FloatArray


def find_extremes(
    table: WeightTable,
    coefficients: FloatArray,
    factors: FloatArray,
    limits: FloatArray | None = None,
) -> Extremes:
    """The heaviest events at many points.

    Args:
        table: Weights of the events.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        limits: Weights above are counted as removed, shape ``(n_points,)``; None: no limit.

    Returns:
        The extremes.
    """
    allowed = np.full(len(coefficients), np.inf) if limits is None else limits
    heaviest, removed = np.zeros(len(coefficients)), np.zeros(len(coefficients))
    for rows, scaled, points in _groups(table, coefficients, factors):
        known = _glance(rows, scaled, allowed[points], heaviest[points])
        heaviest[points], over = _scan(rows, scaled, allowed[points], known)
        removed[points] += over
    return Extremes(heaviest, removed)


def largest_probability(
    table: WeightTable, coefficients: FloatArray, factors: FloatArray, totals: FloatArray
) -> float:
    r"""The largest probability of any event at any of many points, :math:`\max_{i\theta} p_i`.

    Args:
        table: Weights of the events.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        totals: Sums of the absolute weights at each point, shape ``(n_points,)``.

    Returns:
        The probability; far cheaper than the extremes of all points.
    """
    groups = _groups(table, coefficients / totals[:, np.newaxis], factors)
    limits = np.full(len(totals), np.inf)
    largest = 0.0
    for rows, scaled, points in groups:
        some = scaled[:: len(scaled) // _POINTS + 1]
        found = _glance(rows, some, limits[points[: len(some)]], np.zeros(len(some)))
        largest = max(largest, float(found.max()))
    for rows, scaled, points in groups:
        known = np.full(len(points), largest)
        largest = _scan(rows, scaled, limits[points], known)[0].max()
    return float(largest)


def _groups(
    table: WeightTable, coefficients: FloatArray, factors: FloatArray
) -> list[tuple[FloatArray, FloatArray, IntArray]]:
    """Weights of each group, and coefficients and positions of the points that count it."""
    groups: list[tuple[FloatArray, FloatArray, IntArray]] = []
    for group in range(factors.shape[1]):
        rows = table.weights[table.edges[group] : table.edges[group + 1]]
        points = np.flatnonzero(factors[:, group] > 0.0)
        if len(rows) and len(points):
            groups.append((rows, coefficients[points] * factors[points, group, None], points))
    return groups


def _glance(
    rows: FloatArray, scaled: FloatArray, limits: FloatArray, known: FloatArray
) -> FloatArray:
    """Largest weights of a few events, or those known."""
    if _are_few(rows, scaled):
        return known
    return np.maximum(known, _compare(rows[::_SAMPLE], scaled, limits)[0])


def _are_few(rows: FloatArray, scaled: FloatArray) -> bool:
    return len(scaled) <= _FEW or len(scaled) * len(rows) <= _BLOCK


def _scan(
    rows: FloatArray, scaled: FloatArray, limits: FloatArray, known: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Largest weights of events, or those known, and the sums of the weights above the limits."""
    if _are_few(rows, scaled) or not np.all(known > 0.0):
        found, removed = _compare(rows, scaled, limits)
        return np.maximum(known, found), removed
    sample = rows[::_SAMPLE]
    middle = sample.mean(axis=0)
    if np.any(np.abs(scaled @ middle) > known * (1.0 + _TIE)):  # because of the limits
        middle = np.zeros_like(middle)
    units = _in_margins(scaled, scaled @ middle, known)
    for n_clusters in _CLUSTERS:
        clusters = _clusters(_embedded(units, sample - middle), n_clusters)
        is_last = n_clusters == _CLUSTERS[-1]
        if is_last or _leave_few(_candidates(sample, middle, units, clusters), sample):
            candidates = _candidates(rows, middle, units, clusters)
            if is_last or _leave_few(candidates, rows):
                break
    heaviest, removed = known.copy(), np.zeros(len(scaled))
    for cluster, chosen in zip(clusters, candidates, strict=True):
        some = np.take(rows, chosen, axis=0), scaled[cluster], limits[cluster]
        heaviest[cluster], removed[cluster] = _scan(*some, _glance(*some, heaviest[cluster]))
    return heaviest, removed


def _leave_few(candidates: list[IntArray], rows: FloatArray) -> bool:
    return sum(len(chosen) for chosen in candidates) <= _ENOUGH * len(rows)


def _compare(
    rows: FloatArray, scaled: FloatArray, limits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Largest weights of events up to the limits, and the sums of those above."""
    heaviest, removed = np.zeros(len(scaled)), np.zeros(len(scaled))
    step = max(_BLOCK // len(scaled), 1)
    for start in range(0, len(rows), step):
        found = scaled @ rows[start : start + step].T
        np.abs(found, out=found)
        largest = found.max(axis=1)
        if np.any(largest > limits):
            over = found > limits[:, np.newaxis]
            removed += np.where(over, found, 0.0).sum(axis=1)
            found[over] = 0.0
            largest = found.max(axis=1)
        np.maximum(heaviest, largest, out=heaviest)
    return heaviest, removed


def _in_margins(scaled: FloatArray, at_middle: FloatArray, heaviest: FloatArray) -> FloatArray:
    """Coefficients u, with the sign that makes the weight of the mean event positive."""
    margins = np.maximum(heaviest - np.abs(at_middle), _TIE * heaviest)
    units: FloatArray = scaled * (np.where(at_middle < 0.0, -1.0, 1.0) / margins)[:, np.newaxis]
    return units


def _embedded(units: FloatArray, rows: FloatArray) -> FloatArray:
    """Points whose distances are the mean squared differences of the weights of events."""
    variances, axes = np.linalg.eigh(rows.T @ rows)
    embedded: FloatArray = units @ (axes * np.sqrt(np.maximum(variances, 0.0)))
    return embedded


def _clusters(points: FloatArray, number: int) -> list[IntArray]:
    """Neighbouring points, in equal numbers."""
    clusters: list[IntArray] = [np.arange(len(points))]
    while len(clusters) < number and len(clusters) * _FEW < len(points):
        halves: list[IntArray] = []
        for cluster in clusters:
            centred = points[cluster] - points[cluster].mean(axis=0)
            along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
            halves += np.array_split(cluster[np.argsort(along, kind="stable")], 2)
        clusters = halves
    return clusters


def _candidates(
    rows: FloatArray, middle: FloatArray, units: FloatArray, clusters: list[IntArray]
) -> list[IntArray]:
    """Events that can be the heaviest at a point of each cluster."""
    middles = np.stack([units[cluster].mean(axis=0) for cluster in clusters])
    shifts = [units[cluster] - centre for cluster, centre in zip(clusters, middles, strict=True)]
    spread = np.concatenate(shifts)
    variances, axes = np.linalg.eigh(spread.T @ spread)
    lengths = np.sqrt(np.maximum(variances, 1e-12 * variances[-1] + np.finfo(np.float64).tiny))
    radii = np.array([np.linalg.norm(shift @ axes / lengths, axis=1).max() for shift in shifts])
    directions = np.concatenate([(axes * lengths).T, middles])
    offsets = (directions @ middle)[:, np.newaxis]
    is_candidate: BoolArray = np.empty((len(clusters), len(rows)), dtype=np.bool_)
    step = max(_BLOCK // len(directions), 1)
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        products = directions @ rows[chunk].T
        products -= offsets
        along, bounds = products[: len(axes)], products[len(axes) :]
        np.square(along, out=along)
        np.abs(bounds, out=bounds)
        bounds += radii[:, np.newaxis] * np.sqrt(along.sum(axis=0))
        np.greater(bounds, 1.0 + _TIE, out=is_candidate[:, chunk])
    return [np.flatnonzero(row) for row in is_candidate]
