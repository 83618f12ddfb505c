"""Extremes: the heaviest events at many parameter points, found without a scan at each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.sampling.cells import Cells
from madminer.typing import FloatArray, IntArray

__all__ = ["Extremes", "find_extremes"]

_TIE = 1e-9  # a cell that exceeds the heaviest event by less than rounding is not looked into
_BLOCK = 1 << 18  # products of points and events calculated at once


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
                chosen, scales = points[alive], factors[alive, np.newaxis]
                self.look_at(self.weights[children], chosen, self.coefficients[chosen] * scales)

    def look_at(self, rows: FloatArray, points: IntArray, scaled: FloatArray) -> None:
        """Compare points with events, halving the points until few events remain for each half."""
        if len(points) * len(rows) <= _BLOCK or len(points) == 1:
            self._compare(rows, points, scaled)
            return
        self._try_heaviest_of_middle(rows, points, scaled)
        tiny = np.finfo(np.float64).tiny
        units = scaled / np.maximum(self.heaviest[points, np.newaxis], tiny)
        middle, axes = _principal_axes(units)
        shifts = (units - middle) @ axes
        reach = np.abs(rows @ middle) + np.abs(rows @ axes) @ np.abs(shifts).max(axis=0)
        rows = rows[reach > 1.0 + _TIE]
        if len(rows):
            order = np.argsort(shifts[:, 0], kind="stable")
            for half in np.array_split(order, 2):
                self.look_at(rows, points[half], scaled[half])

    def _try_heaviest_of_middle(
        self, rows: FloatArray, points: IntArray, scaled: FloatArray
    ) -> None:
        """What is heavy at the point in the middle is heavy at its neighbours."""
        distance = np.abs(scaled - np.median(scaled, axis=0)).sum(axis=1)
        candidate = rows[np.argmax(np.abs(rows @ scaled[np.argmin(distance)]))]
        found = np.abs(scaled @ candidate)
        allowed = np.where(found <= self.limits[points], found, 0.0)
        self.heaviest[points] = np.maximum(self.heaviest[points], allowed)

    def _compare(self, rows: FloatArray, points: IntArray, scaled: FloatArray) -> None:
        step = max(_BLOCK // len(points), 1)
        for start in range(0, len(rows), step):
            found = np.abs(scaled @ rows[start : start + step].T)
            over = found > self.limits[points, np.newaxis]
            if over.any():
                self.removed[points] += np.where(over, found, 0.0).sum(axis=1)
                found[over] = 0.0
            self.heaviest[points] = np.maximum(self.heaviest[points], found.max(axis=1))


def _principal_axes(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean of some vectors and the axes of their spread, the longest first."""
    middle = vectors.mean(axis=0)
    centred = vectors - middle
    axes: FloatArray = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return middle, axes
