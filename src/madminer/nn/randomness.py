"""Random numbers of torch without touching its global state.

A network draws while it trains: dropout and randomised activations. It draws from the generator of
the training run, which the run makes known with `drawing_from` to its own thread only; trainings in
several threads therefore draw as if each were alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor, nn

_LARGEST_SEED = 2**63 - 1
_LOWER, _UPPER = 1.0 / 8.0, 1.0 / 3.0  # slopes of randomised units, as in torch
_source: ContextVar[torch.Generator | None] = ContextVar("source", default=None)


def draw_generator(rng: np.random.Generator) -> torch.Generator:
    """Make a torch generator seeded by the next number of `rng`."""
    return torch.Generator().manual_seed(int(rng.integers(_LARGEST_SEED)))


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator that draws on a device: the given one, or another one with its seed."""
    if generator.device.type == device.type:
        return generator
    return torch.Generator(device).manual_seed(generator.initial_seed())


def draws(network: nn.Module) -> bool:
    """Whether a network draws random numbers while it trains."""
    return any(
        isinstance(module, RandomizedReLU) or getattr(module, "dropout_prob", 0.0) > 0.0
        for module in network.modules()
    )


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let networks draw from a generator inside this context, in this thread.

    Without it they draw from torch's global generator, as other networks do.

    Args:
        generator: Source of random numbers, on the device of the network.
    """
    token = _source.set(generator)
    try:
        yield
    finally:
        _source.reset(token)


def dropout(values: Tensor, probability: float) -> Tensor:
    r"""Set values to zero at random, and divide the others by :math:`1 - p`.

    Args:
        values: Activations, any shape.
        probability: Probability p of zero, below 1.

    Returns:
        The values, of the same shape.

    References:
        Srivastava et al., *Dropout*, JMLR 15 (2014) 1929.
    """
    kept = torch.empty_like(values, requires_grad=False)
    kept.bernoulli_(1.0 - probability, generator=_source.get()).div_(1.0 - probability)
    return values * kept


class RandomizedReLU(nn.Module):
    r"""Leaky rectified units whose slope is random while training.

    .. math:: a(z) = \max(z, 0) + s \min(z, 0), \qquad s \sim U(1/8, 1/3)

    Outside of training s is the mean of the two ends.

    References:
        Xu et al., arXiv:1505.00853.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate, any shape."""
        if not self.training:
            return nn.functional.leaky_relu(z, (_LOWER + _UPPER) / 2.0)
        slopes = torch.empty_like(z, requires_grad=False)
        slopes.uniform_(_LOWER, _UPPER, generator=_source.get())
        return torch.where(z < 0.0, slopes * z, z)
