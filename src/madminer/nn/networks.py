"""Dense networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from madminer.nn.activations import activation as find_activation
from madminer.nn.randomness import dropout


class MLP(nn.Module):
    r"""Linear layers with an activation between them.

    .. math:: z_1 = W_0 x + b_0, \qquad z_{l+1} = W_l\, a(z_l) + b_l

    The parameters are called ``layers.<l>.weight`` and ``layers.<l>.bias``.

    Args:
        n_inputs: Number of inputs.
        n_hidden: Units of each hidden layer; empty for a linear function.
        n_outputs: Number of outputs.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        generator: Source of the initial parameters, uniform within :math:`\pm 1/\sqrt{n_{in}}`;
            None for one with a fixed seed.

    Attributes:
        widths: Numbers of inputs, of units of each hidden layer, and of outputs.
        activation: The activation with what is known of its derivatives.
    """

    def __init__(
        self,
        n_inputs: int,
        n_hidden: Sequence[int],
        n_outputs: int,
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = (n_inputs, *n_hidden, n_outputs)
        source = torch.Generator().manual_seed(0) if generator is None else generator
        self.layers = nn.ModuleList(_linear(m, n, source) for m, n in pairwise(widths))
        self.widths = widths
        self.activation = find_activation(activation)
        self.activations = nn.ModuleList(self.activation.module() for _ in n_hidden)
        self.dropout_prob = dropout_prob

    def forward(self, inputs: Tensor) -> Tensor:
        """Evaluate the network, shape ``(..., n_inputs)`` to ``(..., n_outputs)``."""
        first: Tensor = self.layers[0](inputs)
        return self.from_first_layer(first)

    def from_first_layer(self, z: Tensor) -> Tensor:
        """Evaluate what follows the first linear layer.

        Args:
            z: Values of the first layer, shape ``(..., n_units)``.

        Returns:
            Outputs, shape ``(..., n_outputs)``.
        """
        for act, layer in zip(self.activations, self.layers[1:], strict=True):
            a = act(z)
            if self.dropout_prob > 0.0 and self.training:
                a = dropout(a, self.dropout_prob)
            z = layer(a)
        return z

    def from_first_layer_with_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        r"""Evaluate a network with one output and its derivative by the first layer's values.

        .. math:: \frac{\partial f}{\partial z_l} =
            \left(\frac{\partial f}{\partial z_{l+1}} W_l\right) a'(z_l)

        Written out, this costs less than a second differentiable autograd pass; activations
        without a known slope and dropout take that pass.

        Args:
            z: Values of the first layer, shape ``(n, n_units)``.

        Returns:
            f, shape ``(n,)``, and its derivative, shape ``(n, n_units)``; both differentiable.
        """
        slope = self.activation.slope
        if slope is None or self.dropout_prob > 0.0:
            return self._slope_by_autograd(z)
        slopes: list[Tensor] = []
        for act, layer in zip(self.activations, self.layers[1:], strict=True):
            a = act(z)
            slopes.append(slope(z, a))
            z = layer(a)
        if not slopes:
            return z.squeeze(-1), torch.ones_like(z)
        delta = self.layer(len(slopes)).weight * slopes[-1]
        for index in range(len(slopes) - 1, 0, -1):
            delta = (delta @ self.layer(index).weight) * slopes[index - 1]
        return z.squeeze(-1), delta

    def layer(self, index: int) -> nn.Linear:
        """Take one of the linear layers."""
        return cast("nn.Linear", self.layers[index])

    def _slope_by_autograd(self, z: Tensor) -> tuple[Tensor, Tensor]:
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if z.requires_grad else z.detach().requires_grad_()
            f = self.from_first_layer(z).squeeze(-1)
            (delta,) = torch.autograd.grad(f, z, torch.ones_like(f), create_graph=differentiable)
        return (f, delta) if differentiable else (f.detach(), delta)


def _linear(n_inputs: int, n_outputs: int, generator: torch.Generator) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, n_inputs, n_outputs)  # type: ignore[no-untyped-call]
    bound = 1.0 / math.sqrt(n_inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


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
