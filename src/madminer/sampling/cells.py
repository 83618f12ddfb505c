r"""Cells: events with similar weights lie together, so that extremes are found by bounds.

The largest weight :math:`\max_i |\sum_b C_b w_{ib}|` is needed at many parameter points. Scanning
all events at every point is avoided: events are sorted into cells, the box
:math:`c \pm h` around the rotated weights :math:`V^T w` of a cell bounds its weights by

.. math:: |C \cdot w_i| \le |E \cdot c| + |E| \cdot h, \qquad E = C V,

and only cells whose bound exceeds a weight already found are looked at. The result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.typing import FloatArray, IntArray

__all__ = ["Cells", "Extremes", "assign_cells", "box_cells", "find_extremes"]

_MAX_LABELS = 1 << 15  # labels of 16 bits are sorted in linear time
_QUANTILES = np.array([1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999, 0.9999])
_N_AXES = 3
_N_PROBE = 20_000
_TIE = 1e-9  # a cell that exceeds the heaviest event by less than rounding is not looked at
_BLOCK = 2_000_000  # bounds held at once


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Boxes around events that lie together in a table sorted by cell.

    Args:
        starts: First event of each cell and the number of events, shape ``(n_cells + 1,)``.
        groups: Group of events that each cell belongs to, shape ``(n_cells,)``.
        rotation: Axes V, shape ``(n_benchmarks, n_benchmarks)``.
        centres: Centres of the boxes, shape ``(n_cells, n_benchmarks)``.
        halves: Half widths of the boxes, shape ``(n_cells, n_benchmarks)``.
    """

    starts: IntArray
    groups: IntArray
    rotation: FloatArray
    centres: FloatArray
    halves: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Largest weights at many points.

    Args:
        heaviest: Largest :math:`f |w|` that is not above the limit, shape ``(n_thetas,)``.
        removed: Sum of the weights above the limit, shape ``(n_thetas,)``.
    """

    heaviest: FloatArray
    removed: FloatArray


def assign_cells(weights: FloatArray, groups: IntArray, n_groups: int) -> IntArray:
    """Label of the cell of each event: its group, then its place along three axes.

    Args:
        weights: Weights, shape ``(n_events, n_benchmarks)``.
        groups: Group of each event, shape ``(n_events,)``.
        n_groups: Number of groups.

    Returns:
        Labels in the order of groups, shape ``(n_events,)``.
    """
    axes = _rotation(weights)[:, :_N_AXES]
    coordinates = (weights @ axes).T
    n_bins = min(int((_MAX_LABELS // n_groups) ** (1 / axes.shape[1])), len(_QUANTILES) + 1)
    labels = np.asarray(groups, dtype=np.int16).copy()
    if n_bins < 2:
        return labels
    picked = np.linspace(0, len(_QUANTILES) - 1, n_bins - 1).round().astype(np.intp)
    for column in coordinates:
        probe = column[:: max(len(column) // _N_PROBE, 1)]
        bins = np.zeros(len(column), dtype=np.int8)
        for edge in np.quantile(probe, _QUANTILES[picked]):
            bins += column > edge
        labels *= n_bins
        labels += bins
    return labels


def box_cells(weights: FloatArray, labels: IntArray, groups: IntArray) -> Cells:
    """Boxes around the cells of a sorted table.

    Args:
        weights: Weights, sorted by label, shape ``(n_events, n_benchmarks)``.
        labels: Labels in rising order, shape ``(n_events,)``.
        groups: Group of each event, in the same order, shape ``(n_events,)``.

    Returns:
        The cells.
    """
    first = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    rotation = _rotation(weights)
    rotated = weights @ rotation
    low = np.minimum.reduceat(rotated, first, axis=0)
    high = np.maximum.reduceat(rotated, first, axis=0)
    return Cells(
        starts=np.append(first, len(weights)),
        groups=groups[first],
        rotation=rotation,
        centres=0.5 * (low + high),
        halves=0.5 * (high - low),
    )


def find_extremes(
    weights: FloatArray,
    cells: Cells,
    coefficients: FloatArray,
    factors: FloatArray,
    limits: FloatArray | None = None,
) -> Extremes:
    """The heaviest events at many points.

    Args:
        weights: Weights, sorted by cell, shape ``(n_events, n_benchmarks)``.
        cells: The cells.
        coefficients: Coefficients of the weights, shape ``(n_thetas, n_benchmarks)``.
        factors: Factors of the groups, shape ``(n_thetas, n_groups)``.
        limits: Weights above are counted as removed, shape ``(n_thetas,)``; None: no limit.

    Returns:
        The extremes.
    """
    n_thetas = len(coefficients)
    bounds = np.full(n_thetas, np.inf) if limits is None else limits
    heaviest, removed = np.zeros(n_thetas), np.zeros(n_thetas)
    patterns, members = np.unique(factors > 0.0, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        used = np.flatnonzero(pattern[cells.groups])
        points = np.flatnonzero(members.reshape(-1) == i)
        step = max(_BLOCK // max(len(used), 1), 1)
        for start in range(0, len(points), step):
            block = points[start : start + step]
            heaviest[block], removed[block] = _search(
                weights, cells, used, coefficients[block], factors[block], bounds[block]
            )
    return Extremes(heaviest, removed)


def _search(
    weights: FloatArray,
    cells: Cells,
    used: IntArray,
    coefficients: FloatArray,
    factors: FloatArray,
    limits: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Heaviest and removed weights of a block of points, from the cells in use."""
    scale = factors[:, cells.groups[used]]
    rotated = coefficients @ cells.rotation
    upper = np.abs(rotated @ cells.centres[used].T) + np.abs(rotated) @ cells.halves[used].T
    upper *= scale
    samples = np.abs(coefficients @ weights[cells.starts[used]].T) * scale
    heaviest = np.where(samples <= limits[:, np.newaxis], samples, 0.0).max(axis=1)
    removed = np.zeros(len(coefficients))
    excess = upper - heaviest[:, np.newaxis] * (1.0 + _TIE)
    promising = np.flatnonzero((excess > 0.0).any(axis=0))
    # Cells of the largest weights first: what they hold settles most of the others.
    for j in promising[np.argsort(-excess[:, promising].max(axis=0))]:
        points = np.flatnonzero(upper[:, j] > heaviest * (1.0 + _TIE))
        if points.size == 0:
            continue
        rows = weights[cells.starts[used[j]] : cells.starts[used[j] + 1]]
        found = np.abs(coefficients[points] @ rows.T) * scale[points, j, np.newaxis]
        over = found > limits[points, np.newaxis]
        removed[points] += np.where(over, found, 0.0).sum(axis=1)
        largest = np.where(over, 0.0, found).max(axis=1)
        heaviest[points] = np.maximum(heaviest[points], largest)
    return heaviest, removed


def _rotation(weights: FloatArray) -> FloatArray:
    """Principal axes of the weights, that of the largest variance first."""
    probe = weights[:: max(len(weights) // _N_PROBE, 1)]
    centred = probe - probe.mean(axis=0)
    axes: FloatArray = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return axes
