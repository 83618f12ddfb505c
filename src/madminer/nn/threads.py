"""Threads of the processor: as many as a training step is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["SMALL_STEP", "threads_for_step"]

SMALL_STEP = 5e7
"""Multiplications in a forward pass below which one thread is the fastest: the threads of a small
step wait for each other, and where another program needs a core, they wait for it."""


@contextmanager
def threads_for_step(n_multiplications: float) -> Iterator[None]:
    """Use one thread inside this context if steps are small, and restore their number behind it.

    Args:
        n_multiplications: Multiplications in a forward pass: events in a batch times weights.
    """
    n_threads = torch.get_num_threads()
    if n_multiplications < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
