"""The weights of a partition in memory, sorted for drawing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.analysis.sums import group_sums
from madminer.sampling.cells import Cells, assign_cells, box_cells
from madminer.typing import FloatArray, IntArray

__all__ = ["WeightTable", "weight_table"]

_CHUNK = 1 << 12


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights of events, those of one group together.

    Args:
        rows: Row of each event in the file, shape ``(n_events,)``.
        labels: Cell of each event, in rising order, shape ``(n_events,)``.
        groups: Group of each event, in rising order, shape ``(n_events,)``.
        weights: Weights in pb, shape ``(n_events, n_benchmarks)``.
        sums: Sums of the weights of each group, shape ``(n_groups, n_benchmarks)``.
        n_bins: Number of bins of an axis that the labels count.
    """

    rows: IntArray
    labels: IntArray
    groups: IntArray
    weights: FloatArray
    sums: FloatArray
    n_bins: int

    def __len__(self) -> int:
        return len(self.weights)

    @cached_property
    def edges(self) -> IntArray:
        """First event of each group, and the number of events, shape ``(n_groups + 1,)``."""
        return np.searchsorted(self.groups, np.arange(len(self.sums) + 1))

    @cached_property
    def is_signed(self) -> bool:
        """Whether any weight is negative."""
        return bool(np.any(self.weights < 0.0))

    @property
    def has_cumulative(self) -> bool:
        """Whether the running sums have been calculated already."""
        return "cumulative" in self.__dict__

    @cached_property
    def cumulative(self) -> FloatArray:
        """Running sums of the absolute weights, shape ``(n_benchmarks, n_events + 1)``."""
        running = np.zeros((self.weights.shape[1], len(self) + 1))
        for start in range(0, len(self), _CHUNK):  # transposed in the cache
            chunk = self.weights[start : start + _CHUNK]
            np.abs(chunk.T, out=running[:, start + 1 : start + 1 + len(chunk)])
        np.cumsum(running, axis=1, out=running)
        return running

    @cached_property
    def absolute_sums(self) -> FloatArray:
        """Sums of the absolute weights of each group, shape ``(n_groups, n_benchmarks)``."""
        sums: FloatArray = np.diff(self.cumulative[:, self.edges], axis=1).T
        return sums

    @cached_property
    def cells(self) -> Cells:
        """Boxes around events with similar weights."""
        return box_cells(self.weights, self.labels, self.n_bins)


def weight_table(
    weights: FloatArray, groups: IntArray, n_groups: int, first_row: int
) -> WeightTable:
    """Sort the weights of consecutive events by group and cell.

    Args:
        weights: Weights in pb, shape ``(n_events, n_benchmarks)``.
        groups: Group of each event, shape ``(n_events,)``.
        n_groups: Number of groups.
        first_row: Row of the first event in the file.

    Returns:
        The table.
    """
    labels, n_bins = assign_cells(weights, groups, n_groups)
    order = np.argsort(labels, kind="stable")
    return WeightTable(
        rows=order + first_row,
        labels=labels[order],
        groups=groups[order],
        weights=np.take(weights, order, axis=0),
        sums=group_sums(weights, groups, n_groups),
        n_bins=n_bins,
    )
