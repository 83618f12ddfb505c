"""Random numbers of torch without touching its global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["draw_generator", "isolated_randomness"]

_LARGEST_SEED = 2**63 - 1


def draw_generator(rng: np.random.Generator) -> torch.Generator:
    """Make a torch generator seeded by the next number of `rng`."""
    return torch.Generator().manual_seed(int(rng.integers(_LARGEST_SEED)))


@contextmanager
def isolated_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside this context and restore them behind it.

    Dropout and randomised activations can draw from the global generators only.

    Args:
        seed: Seed inside the context.
        device: The device on which random numbers are drawn.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
