"""Activation functions by name, with their slopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from madminer import checks
from madminer.nn.randomness import RandomizedReLU

__all__ = ["ACTIVATIONS", "Activation", "activation"]

Slope = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation function and what backpropagation by hand needs of it.

    Args:
        module: Makes the layer.
        slope: Derivative :math:`a'(z)` as a function of z and :math:`a(z)`; None where it is
            random or has parameters of its own, so that autograd must find it.
    """

    module: Callable[[], nn.Module]
    slope: Slope | None = None


def activation(name: str) -> Activation:
    """Look up an activation function.

    Raises:
        OptionError: If there is none of this name.
    """
    return ACTIVATIONS[checks.one_of(name, "activation", ACTIVATIONS)]


def _tanh(_: Tensor, a: Tensor) -> Tensor:
    return torch.addcmul(a.new_ones(()), a, a, value=-1.0)  # 1 - a^2 in one operation


def _sigmoid(_: Tensor, a: Tensor) -> Tensor:
    return a * (1.0 - a)


def _relu(z: Tensor, _: Tensor) -> Tensor:
    return (z > 0).to(z.dtype)


def _leaky_relu(z: Tensor, _: Tensor) -> Tensor:
    return torch.where(z > 0, 1.0, 0.01).to(z.dtype)


def _elu(z: Tensor, _: Tensor) -> Tensor:
    return torch.exp(z.clamp(max=0.0))


def _selu(z: Tensor, _: Tensor) -> Tensor:
    # Klambauer et al., arXiv:1706.02515, Eq. (2)
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return torch.where(z > 0, torch.full_like(z, scale), scale * alpha * torch.exp(z.clamp(max=0)))


def _softplus(z: Tensor, _: Tensor) -> Tensor:
    return torch.sigmoid(z)


def _log_sigmoid(z: Tensor, _: Tensor) -> Tensor:
    return torch.sigmoid(-z)


ACTIVATIONS: dict[str, Activation] = {
    "elu": Activation(nn.ELU, _elu),
    "log_sigmoid": Activation(nn.LogSigmoid, _log_sigmoid),
    "lrelu": Activation(nn.LeakyReLU, _leaky_relu),
    "prelu": Activation(nn.PReLU),
    "relu": Activation(nn.ReLU, _relu),
    "rrelu": Activation(RandomizedReLU),
    "selu": Activation(nn.SELU, _selu),
    "sigmoid": Activation(nn.Sigmoid, _sigmoid),
    "softplus": Activation(nn.Softplus, _softplus),
    "tanh": Activation(nn.Tanh, _tanh),
}
"""Activation functions by the names that estimators accept."""
