"""Several dense networks of one shape, evaluated together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from madminer.nn.activations import activation as find_activation
from madminer.nn.randomness import dropout

__all__ = ["ParallelMLPs"]


class ParallelMLPs(nn.Module):
    r"""Dense networks of equal shape and separate parameters, evaluated together.

    The parameters are called ``layers.<l>.weight``, of shape ``(n_networks, n_out, n_in)``, and
    ``layers.<l>.bias``. Parameters of activations are shared.

    Args:
        n_networks: Number of networks.
        n_inputs: Number of inputs, the same for all networks.
        n_hidden: Units of each hidden layer; empty for linear functions.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        generator: Source of the initial parameters, uniform within :math:`\pm 1/\sqrt{n_{in}}`;
            None for one with a fixed seed.
        start: What every network gives at first: the last layer starts with this bias and without
            weights.
    """

    def __init__(
        self,
        n_networks: int,
        n_inputs: int,
        n_hidden: Sequence[int],
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        generator: torch.Generator | None = None,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0) if generator is None else generator
        widths = (n_inputs, *n_hidden, 1)
        self.layers = nn.ModuleList(_Linear(n_networks, m, n, source) for m, n in pairwise(widths))
        self.activations = nn.ModuleList(find_activation(activation).module() for _ in n_hidden)
        self.dropout_prob = dropout_prob
        last = cast("_Linear", self.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, start)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate all networks, shape ``(n, n_inputs)`` to ``(n, n_networks)``."""
        first = cast("_Linear", self.layers[0])
        z = first(x.expand(len(first.weight), -1, -1))
        for act, layer in zip(self.activations, self.layers[1:], strict=True):
            a = act(z)
            if self.dropout_prob > 0.0 and self.training:
                a = dropout(a, self.dropout_prob)
            z = layer(a)
        values: Tensor = z.squeeze(-1).T
        return values


class _Linear(nn.Module):
    """A layer of several networks, shape (n_networks, n, n_in) to (n_networks, n, n_out)."""

    def __init__(
        self, n_networks: int, n_inputs: int, n_outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_inputs)

        def draw(*shape: int) -> nn.Parameter:
            values = torch.empty(shape, device=generator.device)
            return nn.Parameter(values.uniform_(-bound, bound, generator=generator))

        self.weight = draw(n_networks, n_outputs, n_inputs)
        self.bias = draw(n_networks, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], inputs, self.weight.transpose(1, 2))
