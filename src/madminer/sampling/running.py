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
_CHUNK = 1 << 16  # blocks summed up at once


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Running sums of each column of weights.

    Args:
        weights: Weights, contiguous in memory or mapped, shape ``(n_events, n_columns)``.
        absolute: Whether absolute values are summed up, which without it must not be negative for
            `find`.
        length: Events in a block; a larger one takes less memory and more time.

    Examples:
        >>> running = RunningSums(np.array([[1.0], [2.0], [4.0]]))
        >>> running.before(np.array([0, 2, 3])).ravel()
        array([0., 3., 7.])
        >>> running.find(np.array([0.5, 1.0, 6.9]), np.array([0, 0, 0]))
        array([0, 1, 2])
    """

    weights: FloatArray
    absolute: bool = False
    length: int = _LENGTH

    @cached_property
    def blocks(self) -> FloatArray:
        """Sums of all blocks before each block and the end, shape ``(n_columns, n_blocks + 1)``."""
        n_events, n_columns = self.weights.shape
        n_full = n_events // self.length
        running = np.zeros((n_columns, -(-n_events // self.length) + 1))
        ones = np.tile(np.eye(n_columns), (self.length, 1))
        for start in range(0, n_full, _CHUNK):
            stop = min(start + _CHUNK, n_full)
            rows = self._signed(self.weights[start * self.length : stop * self.length])
            blocks = rows.reshape(stop - start, self.length * n_columns)
            running[:, start + 1 : stop + 1] = (blocks @ ones).T
        if n_events > n_full * self.length:
            running[:, -1] = self._signed(self.weights[n_full * self.length :]).sum(axis=0)
        return np.cumsum(running, axis=1, out=running)

    def before(self, events: IntArray) -> FloatArray:
        """Sums of the weights of all events before some events.

        Args:
            events: Positions from 0 to the number of events, shape ``(n,)``.

        Returns:
            Sums, shape ``(n, n_columns)``.
        """
        starts = events - events % self.length
        within = [
            self._signed(self.weights[start:event]).sum(axis=0)
            for start, event in zip(starts, events, strict=True)
        ]
        sums: FloatArray = self.blocks[:, starts // self.length].T + np.array(within)
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
        events = blocks * self.length
        places, flat = events * n_columns + column, self.weights.ravel()
        for _ in range(self.length - 1):  # beyond the last event it does not matter
            rest -= self._signed(np.take(flat, places, mode="clip"))
            events += rest >= 0.0
            places += n_columns
        np.minimum(events, n_events - 1, out=events)
        return events

    def _signed(self, values: FloatArray) -> FloatArray:
        return np.abs(values) if self.absolute else values
