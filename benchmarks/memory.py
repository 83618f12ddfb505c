"""How much memory a process takes."""

from __future__ import annotations

import resource
import sys
import threading
from pathlib import Path

__all__ = ["PeakMemory", "anonymous_bytes", "resident_bytes"]


class PeakMemory(threading.Thread):
    """Follows the pages that belong to the process alone; files do not count."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = 0
        self._done = threading.Event()

    def run(self) -> None:
        """Look a hundred times a second."""
        while not self._done.wait(0.01):
            self.anonymous = max(self.anonymous, anonymous_bytes())

    def stop(self) -> None:
        """End it."""
        self._done.set()
        self.join()


def anonymous_bytes() -> int:
    """Pages of this process that are of no file, now; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def resident_bytes() -> int:
    """Largest resident size so far, pages of files included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
