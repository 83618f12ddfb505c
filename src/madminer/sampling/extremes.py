"""Extremes: the heaviest events at many parameter points, found without a scan at each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.sampling.cells import Cells
from madminer.typing import FloatArray, IntArray

__all__ = ["Extremes", "find_extremes"]

_TIE = 1e-9  # a cell that exceeds the heaviest event by less than rounding is not looked into
_BLOCK = 1 << 20  # products of points and events held at once


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
    weights: FloatArray,
    cells: Cells,
    coefficients: FloatArray,
    factors: FloatArray,
    limits: FloatArray | None = None,
) -> Extremes:
    """The heaviest events at many points, by descending into cells that may hold them.

    Args:
        weights: Weights, sorted by cell, shape ``(n_events, n_benchmarks)``.
        cells: The cells.
        coefficients: Coefficients of the weights, shape ``(n_points, n_benchmarks)``.
        factors: Factors of the groups of events, shape ``(n_points, n_groups)``.
        limits: Weights above are counted as removed, shape ``(n_points,)``; None: no limit.

    Returns:
        The extremes.
    """
    search = _Search(
        weights=weights,
        cells=cells,
        coefficients=coefficients,
        rotated=coefficients @ cells.rotation,
        limits=np.full(len(coefficients), np.inf) if limits is None else limits,
        heaviest=np.zeros(len(coefficients)),
        removed=np.zeros(len(coefficients)),
    )
    for i, group in enumerate(cells.groups):
        points = np.flatnonzero(factors[:, group] > 0.0)
        search.descend(0, slice(i, i + 1), points, factors[points, group])
    return Extremes(search.heaviest, search.removed)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """State of a search; `heaviest` and `removed` are filled while it runs."""

    weights: FloatArray
    cells: Cells
    coefficients: FloatArray
    rotated: FloatArray
    limits: FloatArray
    heaviest: FloatArray
    removed: FloatArray

    def descend(self, depth: int, cells: slice, points: IntArray, factors: FloatArray) -> None:
        """Look into sibling cells, those with the largest bounds first."""
        if points.size == 0:
            return
        level = self.cells.levels[depth]
        bounds = level.bounds(cells, self.rotated[points]) * factors[:, np.newaxis]
        excess = (bounds - self.heaviest[points, np.newaxis]).max(axis=0)
        # The cell that promises most settles most of the others.
        for j in np.argsort(-excess):
            alive = np.flatnonzero(bounds[:, j] > self.heaviest[points] * (1.0 + _TIE))
            if alive.size == 0:
                continue
            cell = cells.start + int(j)
            children = slice(int(level.starts[cell]), int(level.starts[cell + 1]))
            if depth + 1 < len(self.cells.levels):
                self.descend(depth + 1, children, points[alive], factors[alive])
            else:
                self._look_at(children, points[alive], factors[alive])

    def _look_at(self, events: slice, points: IntArray, factors: FloatArray) -> None:
        """Compare with all events of a cell."""
        step = max(_BLOCK // len(points), 1)
        for start in range(events.start, events.stop, step):
            rows = self.weights[start : min(start + step, events.stop)]
            found = np.abs(self.coefficients[points] @ rows.T) * factors[:, np.newaxis]
            over = found > self.limits[points, np.newaxis]
            if over.any():
                self.removed[points] += np.where(over, found, 0.0).sum(axis=1)
                found[over] = 0.0
            self.heaviest[points] = np.maximum(self.heaviest[points], found.max(axis=1))
