"""The weights of a partition in memory, group after group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.sampling.running import RunningSums
from madminer.typing import FloatArray, IntArray

__all__ = ["WeightTable"]


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights of events, those of one group together.

    Args:
        rows: Row of each event in the file, shape ``(n_events,)``.
        edges: First event of each group, and the number of events, shape ``(n_groups + 1,)``.
        weights: Weights in pb, contiguous in memory, shape ``(n_events, n_benchmarks)``.
    """

    rows: IntArray
    edges: IntArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.weights)

    @cached_property
    def groups(self) -> IntArray:
        """Group of each event, in rising order, shape ``(n_events,)``."""
        return np.repeat(np.arange(len(self.edges) - 1), np.diff(self.edges))

    @cached_property
    def is_signed(self) -> bool:
        """Whether any weight is negative."""
        return bool(np.min(self.weights, initial=0.0) < 0.0)

    @cached_property
    def running(self) -> RunningSums:
        """Running sums of the absolute weights."""
        return RunningSums(np.abs(self.weights) if self.is_signed else self.weights)

    @cached_property
    def absolute_sums(self) -> FloatArray:
        """Sums of the absolute weights of each group, shape ``(n_groups, n_benchmarks)``."""
        return np.diff(self.running.before(self.edges), axis=0)

    @cached_property
    def sums(self) -> FloatArray:
        """Sums of the weights of each group, shape ``(n_groups, n_benchmarks)``."""
        if not self.is_signed:
            return self.absolute_sums
        return np.diff(RunningSums(self.weights).before(self.edges), axis=0)
