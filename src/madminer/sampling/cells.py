r"""Cells: events with similar weights lie together, so that extremes are found by bounds.

The largest weight :math:`\max_i |\sum_b C_b w_{ib}|` is needed at many parameter points. Scanning
all events at every point is avoided: events are sorted into nested cells, the box
:math:`c \pm h` around the rotated weights :math:`V^T w` of a cell bounds its weights by

.. math:: |C \cdot w_i| \le |E \cdot c| + |E| \cdot h, \qquad E = C V,

and only cells whose bound exceeds a weight already found are looked into. The result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.typing import FloatArray, IntArray

__all__ = ["Boxes", "Cells", "assign_cells", "box_cells"]

_MAX_LABELS = 1 << 15  # labels of 16 bits are sorted in linear time
_QUANTILES = np.array([1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999, 0.9999])
_N_AXES = 3
_N_PROBE = 20_000
_CHUNK = 1 << 14  # rows that stay in the cache of a processor core


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes around the events of cells, in rotated weights.

    Args:
        starts: First child of each cell, and the number of children, shape ``(n_cells + 1,)``;
            children are cells of the next finer level or, at the finest, events.
        centres: Centres of the boxes, shape ``(n_cells, n_benchmarks)``.
        halves: Half widths of the boxes, shape ``(n_cells, n_benchmarks)``.
    """

    starts: IntArray
    centres: FloatArray
    halves: FloatArray

    def bounds(self, cells: slice, rotated: FloatArray) -> FloatArray:
        """Upper bounds of the absolute weights in some cells.

        Args:
            cells: The cells.
            rotated: Rotated coefficients E, shape ``(n_points, n_benchmarks)``.

        Returns:
            Bounds, shape ``(n_points, n_cells)``.
        """
        centres = rotated @ self.centres[cells].T
        bounds: FloatArray = np.abs(centres) + np.abs(rotated) @ self.halves[cells].T
        return bounds


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Nested cells of a sorted table.

    Args:
        rotation: Axes V, shape ``(n_benchmarks, n_benchmarks)``.
        levels: Boxes from the coarsest level, one cell a group of events, to the finest.
        groups: Group of each cell of the coarsest level.
    """

    rotation: FloatArray
    levels: tuple[Boxes, ...]
    groups: IntArray


def assign_cells(weights: FloatArray, groups: IntArray, n_groups: int) -> tuple[IntArray, int]:
    """Label of the cell of each event: its group, then its bins along three axes.

    Args:
        weights: Weights, shape ``(n_events, n_benchmarks)``.
        groups: Group of each event, shape ``(n_events,)``.
        n_groups: Number of groups.

    Returns:
        Labels, shape ``(n_events,)``, and the number of bins of an axis: the bin along the last
        axis counts in ones, that along the axis before in units of this number, and so on.
    """
    labels = np.asarray(groups, dtype=np.int16).copy()
    n_bins = min(int((_MAX_LABELS // n_groups) ** (1 / _N_AXES)), len(_QUANTILES) + 1)
    if n_bins < 2 or len(weights) == 0:
        return labels, 1
    axes = _rotation(weights)[:, :_N_AXES]
    picked = np.linspace(0, len(_QUANTILES) - 1, n_bins - 1).round().astype(np.intp)
    edges = np.quantile(_probe(weights) @ axes, _QUANTILES[picked], axis=0)
    for start in range(0, len(weights), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for column, column_edges in zip(axes.T @ weights[chunk].T, edges.T, strict=True):
            bins = np.zeros(len(column), dtype=np.int8)
            for edge in column_edges:
                bins += (column > edge).view(np.int8)
            labels[chunk] *= n_bins
            labels[chunk] += bins
    return labels, n_bins


def box_cells(weights: FloatArray, labels: IntArray, n_bins: int) -> Cells:
    """Boxes around the cells of a sorted table.

    Args:
        weights: Weights, sorted by label, shape ``(n_events, n_benchmarks)``.
        labels: Labels in rising order, shape ``(n_events,)``.
        n_bins: Number of bins of an axis.

    Returns:
        The cells.
    """
    rotation = _rotation(weights)
    low = high = rotation.T @ weights.T  # one axis after the other: faster to reduce
    names = labels.astype(np.int64)
    levels: list[Boxes] = []
    n_axes = 0 if n_bins == 1 else min(_N_AXES, weights.shape[1])
    groups = names
    for _ in range(n_axes + 1):  # from the finest level to that of the groups
        first = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
        low = np.minimum.reduceat(low, first, axis=1)
        high = np.maximum.reduceat(high, first, axis=1)
        starts = np.append(first, len(names))
        levels.insert(0, Boxes(starts, 0.5 * (low + high).T, 0.5 * (high - low).T))
        groups = names[first]
        names = groups // n_bins
    return Cells(rotation, tuple(levels), groups)


def _rotation(weights: FloatArray) -> FloatArray:
    """Principal axes of the weights, that of the largest variance first."""
    probe = _probe(weights)
    centred = probe - probe.mean(axis=0)
    axes: FloatArray = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return axes


def _probe(weights: FloatArray) -> FloatArray:
    return weights[:: max(len(weights) // _N_PROBE, 1)]
