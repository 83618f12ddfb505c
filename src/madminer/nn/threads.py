"""Threads of the processor: as many as a training step is worth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["SMALL_STEP", "threads_for_step"]

SMALL_STEP = 5e7
"""Multiplications in a forward pass below which one thread is the fastest: the threads of a small
step wait for each other, and where another program needs a core, they wait for it."""


class _Number:
    """The number of threads that the program has chosen, while trainings change it.

    Every thread has its own number, and starts with the one that any thread has set last. So what
    trainings in several threads find is not what the program has chosen; only the first one knows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_trainings = 0
        self._chosen = 1

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Give the number, and restore it in this thread at the end."""
        with self._lock:
            present = torch.get_num_threads()  # asked first, a thread keeps what is set later
            if self._n_trainings == 0:
                self._chosen = present
            self._n_trainings += 1
            chosen = self._chosen
        try:
            yield chosen
        finally:
            with self._lock:
                self._n_trainings -= 1
                torch.set_num_threads(chosen)


_number = _Number()


@contextmanager
def threads_for_step(n_multiplications: float) -> Iterator[None]:
    """Use one thread inside this context if steps are small, and restore their number behind it.

    Trainings in several threads of Python do not disturb each other, nor what is set afterwards.

    Args:
        n_multiplications: Multiplications in a forward pass: events in a batch times weights.
    """
    with _number.kept() as chosen:
        torch.set_num_threads(1 if n_multiplications < SMALL_STEP else chosen)
        yield
