r"""Running sums on two levels: of blocks of events, and within a block.

The event with :math:`\sum_{j < i} w_j \le t < \sum_{j \le i} w_j` is found by a search among the
blocks and a walk through one of them. Running sums of all events, many times larger, are neither
calculated nor kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.typing import FloatArray, IntArray

__all__ = ["RunningSums"]

_LENGTH = 8  # events in a block


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Running sums of each column of weights.

    Args:
        weights: Weights, contiguous in memory, shape ``(n_events, n_columns)``.

    Examples:
        >>> running = RunningSums(np.array([[1.0], [2.0], [4.0]]))
        >>> running.before(np.array([0, 2, 3])).ravel()
        array([0., 3., 7.])
        >>> running.find(np.array([0.5, 1.0, 6.9]), np.array([0, 0, 0]))
        array([0, 1, 2])
    """

    weights: FloatArray

    @cached_property
    def blocks(self) -> FloatArray:
        """Sums of all blocks before each block and the end, shape ``(n_columns, n_blocks + 1)``."""
        n_events, n_columns = self.weights.shape
        n_full = n_events // _LENGTH
        full = self.weights[: n_full * _LENGTH].reshape(n_full, _LENGTH * n_columns)
        running = np.zeros((n_columns, -(-n_events // _LENGTH) + 1))
        running[:, 1 : n_full + 1] = (full @ np.tile(np.eye(n_columns), (_LENGTH, 1))).T
        if n_events > n_full * _LENGTH:
            running[:, -1] = self.weights[n_full * _LENGTH :].sum(axis=0)
        return np.cumsum(running, axis=1, out=running)

    def before(self, events: IntArray) -> FloatArray:
        """Sums of the weights of all events before some events.

        Args:
            events: Positions from 0 to the number of events, shape ``(n,)``.

        Returns:
            Sums, shape ``(n, n_columns)``.
        """
        starts = events - events % _LENGTH
        within = [
            self.weights[start:event].sum(axis=0)
            for start, event in zip(starts, events, strict=True)
        ]
        sums: FloatArray = self.blocks[:, starts // _LENGTH].T + np.array(within)
        return sums

    def find(self, targets: FloatArray, columns: IntArray) -> IntArray:
        """Events at which running sums pass the targets.

        Args:
            targets: Values from zero to the sum of the column, shape ``(n,)``.
            columns: Column of each target, shape ``(n,)``.

        Returns:
            Positions, shape ``(n,)``; rounding may move a target at the edge of an event to its
            neighbour.
        """
        found = np.empty(len(targets), dtype=np.int64)
        for column in range(self.weights.shape[1]):
            at = np.flatnonzero(columns == column)
            at = at[np.argsort(targets[at])]  # neighbours in memory are found much faster
            found[at] = self._find_in(column, targets[at])
        return found

    def _find_in(self, column: int, targets: FloatArray) -> IntArray:
        n_events, n_columns = self.weights.shape
        before = self.blocks[column]
        blocks = np.searchsorted(before, targets, side="right") - 1
        rest = targets - before[blocks]
        events = blocks * _LENGTH
        places, flat = events * n_columns + column, self.weights.ravel()
        for _ in range(_LENGTH - 1):
            rest -= np.take(flat, places, mode="clip")  # beyond the last event it does not matter
            events += rest >= 0.0
            places += n_columns
        np.minimum(events, n_events - 1, out=events)
        return events
