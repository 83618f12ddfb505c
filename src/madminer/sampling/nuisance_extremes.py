r"""Extremes with nuisance parameters: the heaviest events at many points of theta and nu.

Weights are no longer linear in the coefficients of a point, so that a scan of the events at each
point is needed where the extremes of all points are wanted. For the largest probability of all,
an event is looked at only if its bound

.. math:: B_i = \Bigl(\sum_b \max_t \frac{|C_{tb}| f_t}{\sigma_t}\, |w_{ib}|\Bigr)
    \prod_j \max_{\nu_j} \exp(a_{ij} \nu_j + b_{ij} \nu_j^2)

exceeds the largest probability found so far, the most promising events first, and only at points
where the bound of these events together exceeds it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from madminer.analysis.points import ParameterPoints
from madminer.analysis.response import (
    EventResponses,
    event_responses,
    every_pair,
    log_factors,
)
from madminer.sampling.extremes import Extremes
from madminer.sampling.table import ResponseBounds, WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = [
    "absolute_nuisance_totals",
    "find_nuisance_extremes",
    "largest_nuisance_probability",
]

_EVENTS = 1 << 11  # events looked at together
_POINTS = 1 << 8  # points looked at together


def find_nuisance_extremes(
    table: WeightTable,
    points: ParameterPoints | None,
    coefficients: FloatArray,
    factors: FloatArray,
    limits: FloatArray | None = None,
    *,
    drop_negative: bool = False,
) -> Extremes:
    """The heaviest events at many points, by a scan.

    Args:
        table: Weights of the events.
        points: Points of theta and nu; None: nominal nuisance parameters.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        limits: Weights above are counted as removed, shape ``(n_points,)``; None: no limit.
        drop_negative: Whether events of negative weight do not count.

    Returns:
        The extremes.
    """
    heaviest, removed = np.zeros(len(coefficients)), np.zeros(len(coefficients))
    for start in range(0, len(table), _EVENTS):
        events = np.arange(start, min(start + _EVENTS, len(table)))
        for at, found in _weights(table, points, coefficients, factors, events):
            weights = np.maximum(found, 0.0) if drop_negative else np.abs(found)
            if limits is not None:
                over = weights > limits[at, np.newaxis]
                removed[at] += np.where(over, weights, 0.0).sum(axis=1)
                weights[over] = 0.0
            heaviest[at] = np.maximum(heaviest[at], weights.max(axis=1, initial=0.0))
    return Extremes(heaviest, removed)


def absolute_nuisance_totals(
    table: WeightTable, points: ParameterPoints, coefficients: FloatArray, factors: FloatArray
) -> FloatArray:
    """Sums of the absolute weights at many points, by a scan, shape ``(n_points,)``.

    Args:
        table: Weights of the events.
        points: Points of theta and nu.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
    """
    totals = np.zeros(len(coefficients))
    for start in range(0, len(table), _EVENTS):
        events = np.arange(start, min(start + _EVENTS, len(table)))
        for at, found in _weights(table, points, coefficients, factors, events):
            totals[at] += np.abs(found, out=found).sum(axis=1)
    return totals


def largest_nuisance_probability(
    table: WeightTable,
    points: ParameterPoints,
    coefficients: FloatArray,
    factors: FloatArray,
    totals: FloatArray,
) -> float:
    """The largest probability of any event at any of many points.

    Args:
        table: Weights of the events.
        points: Points of theta and nu.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        totals: Sums of the absolute weights at each point, shape ``(n_points,)``.

    Returns:
        The probability.
    """
    if table.model.varying:
        extremes = find_nuisance_extremes(table, points, coefficients, factors)
        return float((extremes.heaviest / totals).max())
    scaled = coefficients / totals[:, np.newaxis]
    bounds = np.concatenate(
        [
            (np.abs(weights) * _largest_coefficients(scaled, factors)[groups]).sum(axis=1)
            * np.exp(_largest_logs(responses, points.nus))
            for weights, responses, groups in table.batches()
        ]
    )
    order, largest = np.argsort(-bounds), 0.0
    for start in range(0, len(order), _EVENTS):
        events = order[start : start + _EVENTS]
        if bounds[events[0]] <= largest:
            break
        at = _promising(table, points, scaled, factors, events, largest)
        for _, found in _weights(table, points.take(at), scaled[at], factors[at], events):
            largest = max(largest, float(np.abs(found).max()))
    return largest


def _promising(
    table: WeightTable,
    points: ParameterPoints,
    coefficients: FloatArray,
    factors: FloatArray,
    events: IntArray,
    known: float,
) -> IntArray:
    """Points at which one of some events may have a weight above a known one."""
    rows = table.weights[events]
    responses = event_responses(table.model, rows)
    box = ResponseBounds(
        responses.a.min(axis=0, keepdims=True),
        responses.a.max(axis=0, keepdims=True),
        responses.b.max(axis=0, keepdims=True),
    )
    bounds = np.exp(box.largest_logs(points.nus)[:, 0]) * factors.max(axis=1)
    bounds *= np.abs(coefficients) @ np.abs(rows).max(axis=0)
    return np.flatnonzero(bounds > known)


def _weights(
    table: WeightTable,
    points: ParameterPoints | None,
    coefficients: FloatArray,
    factors: FloatArray,
    events: IntArray,
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Weights of some events at all points, a few points at a time."""
    rows, groups = table.weights[events], table.groups[events]
    responses = event_responses(table.model, rows)
    for start in range(0, len(coefficients), _POINTS):
        at = np.arange(start, min(start + _POINTS, len(coefficients)))
        weights = (coefficients[at] @ rows.T) * np.take(factors[at], groups, axis=1)
        if points is not None:
            logs = log_factors(every_pair, table.model, points.take(at), rows, responses)
            weights *= np.exp(logs)
        yield at, weights


def _largest_coefficients(coefficients: FloatArray, factors: FloatArray) -> FloatArray:
    """Largest absolute coefficients of any point, shape ``(n_groups, n_benchmarks)``."""
    rows = [(np.abs(coefficients) * factors[:, [g]]).max(axis=0) for g in range(factors.shape[1])]
    return np.stack(rows)


def _largest_logs(responses: EventResponses, nus: FloatArray) -> FloatArray:
    """Largest log f of each event for nu between the smallest and largest, shape ``(n,)``."""
    total = np.zeros(len(responses.a))
    for j, (low, high) in enumerate(zip(nus.min(axis=0), nus.max(axis=0), strict=True)):
        a, b = responses.a[:, j], responses.b[:, j]
        vertex = np.divide(-a, 2.0 * b, out=np.full(len(a), low), where=b < 0.0)
        places = (low, high, np.clip(vertex, low, high))
        total += np.max([a * nu + b * nu**2 for nu in places], axis=0)
    return total
