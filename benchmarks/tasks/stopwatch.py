"""What every task shares: it times the work, not the imports, and prints one line of JSON."""

from __future__ import annotations

import json
import resource
import time
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Stopwatch"]


class Stopwatch:
    """Context manager around the work of a task."""

    def __init__(self) -> None:
        self._wall = 0.0
        self._cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wall = time.perf_counter() - self._wall
        self._cpu = time.process_time() - self._cpu

    def report(self, numbers: ArrayLike) -> None:
        """Print the seconds, the largest memory and the numbers that both packages share."""
        outcome = {
            "seconds": self._wall,
            "cpu_seconds": self._cpu,
            "memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "numbers": np.ravel(np.asarray(numbers, dtype=np.float64)).tolist(),
        }
        print(json.dumps(outcome), flush=True)
