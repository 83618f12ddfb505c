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
        n_events, n_columns = self.weights.shape
        blocks, rest = np.empty(len(targets), dtype=np.int64), np.empty(len(targets))
        for column in range(n_columns):
            at = np.flatnonzero(columns == column)
            blocks[at] = np.searchsorted(self.blocks[column], targets[at], side="right") - 1
            rest[at] = targets[at] - self.blocks[column][blocks[at]]
        events = blocks * _LENGTH
        passed = np.zeros_like(events)
        flat, last = self.weights.ravel(), (n_events - 1) * n_columns
        for step in range(_LENGTH - 1):
            rest -= flat[np.minimum((events + step) * n_columns, last) + columns]
            passed += rest >= 0.0
        found: IntArray = np.minimum(events + passed, n_events - 1)
        return found
