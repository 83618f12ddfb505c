r"""Masked networks whose outputs for a dimension see only theta and the dimensions before it.

References:
    Germain et al., *MADE: Masked Autoencoder for Distribution Estimation*, arXiv:1502.03509.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from zuko.nn import MaskedMLP

from madminer.nn.activations import Slope
from madminer.nn.activations import activation as find_activation
from madminer.nn.randomness import WithoutDraws

__all__ = ["MADE", "Pullback"]

Pullback = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From the gradient by the outputs to those by theta and by x."""


class MADE(nn.Module):
    r"""A conditional masked autoencoder for distribution estimation.

    .. math:: z_1 = A\theta + (M_1 \odot W_1)\, x + b_1, \qquad
        z_{l+1} = (M_{l+1} \odot W_{l+1})\, a(z_l) + b_{l+1}

    The masks M let the outputs for :math:`x_i` depend on theta and on the :math:`x_j` before it.
    Hidden units are shared out evenly between the dimensions; those of the first dimension see
    only theta. The parameters are called ``layers.<2l>.weight`` and ``layers.<2l>.bias``, the masks
    ``layers.<2l>.mask``; the first layer takes theta before x.

    Args:
        n_parameters: Number of parameters theta, at least one.
        n_features: Number of dimensions of x.
        n_hidden: Units of each hidden layer; empty for linear functions.
        n_outputs: Number of outputs for each dimension.
        activation: Name of the activation function.
        is_reversed: Whether the first dimension depends on all others, instead of the last.
        generator: Source of the initial parameters, uniform within :math:`\pm 1/\sqrt{n_{in}}` for
            a unit that sees :math:`n_{in}` others; None for one with a fixed seed.
    """

    def __init__(
        self,
        n_parameters: int,
        n_features: int,
        n_hidden: Sequence[int],
        n_outputs: int,
        activation: str = "tanh",
        *,
        is_reversed: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        found = find_activation(activation)
        source = torch.Generator().manual_seed(0) if generator is None else generator
        with source.device, WithoutDraws():  # zuko would draw from the global generator
            before = torch.ones(n_features, n_features, dtype=torch.bool).tril(-1)
            of_theta = torch.ones(n_features, n_parameters, dtype=torch.bool)
            sees = torch.cat((of_theta, before.T if is_reversed else before), dim=1)
            self.layers = MaskedMLP(sees.repeat(n_outputs, 1), n_hidden, found.module)
        self._slope = found.slope
        self._n_parameters = n_parameters
        for layer in self._linear():
            mask = layer.get_buffer("mask").to(layer.weight)  # multiplies faster than booleans
            layer.register_buffer("mask", mask)
            _initialize(layer, source)

    def forward(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate the outputs.

        Args:
            theta: Parameters, shape ``(n, n_parameters)``.
            x: Dimensions, shape ``(n, n_features)``.

        Returns:
            The first outputs of all dimensions, then the second, and so on, shape
            ``(n, n_outputs * n_features)``.
        """
        first, *others = self._linear()
        z = linear(torch.cat((theta, x), dim=-1), _weight(first), first.bias)
        return self._after_first(z, others)

    def combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate the outputs where many events share a theta.

        Args:
            theta: Parameters, shape ``(n_thetas, n_parameters)``.
            x: Dimensions of the events of each theta, shape ``(n_thetas, n_x, n_features)``, or
                ``(1, n_x, n_features)`` if they are the same for all.

        Returns:
            Outputs, shape ``(n_thetas, n_x, n_outputs * n_features)``.
        """
        first, *others = self._linear()
        of_theta, of_x = _weight(first).tensor_split((self._n_parameters,), dim=1)
        z = linear(theta, of_theta, first.bias)[:, None] + linear(x, of_x)
        return self._after_first(z, others)

    def with_pullback(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        r"""Evaluate the outputs o, and prepare their gradients by the chain rule written out.

        .. math:: \frac{\partial f}{\partial z_l} = \left(\frac{\partial f}{\partial z_{l+1}}\,
            (M_{l+1} \odot W_{l+1})\right) a'(z_l)

        Args:
            theta: Parameters, shape ``(n, n_parameters)``.
            x: Dimensions, shape ``(n, n_features)``.

        Returns:
            The outputs as `forward` gives them, and a function that takes
            :math:`\partial f/\partial o`, of their shape, to :math:`\partial f/\partial\theta` and
            :math:`\partial f/\partial x`; all differentiable.
        """
        layers = self._linear()
        weights = [_weight(layer) for layer in layers]
        slopes: list[Tensor] = []
        z = linear(torch.cat((theta, x), dim=-1), weights[0], layers[0].bias)
        for act, layer, weight in zip(self._activations(), layers[1:], weights[1:], strict=True):
            a, slope = _with_slope(act, self._slope, z)
            slopes.append(slope)
            z = linear(a, weight, layer.bias)

        def pull_back(gradient: Tensor) -> tuple[Tensor, Tensor]:
            for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
                gradient = (gradient @ weight) * slope
            of_theta, of_x = (gradient @ weights[0]).tensor_split((self._n_parameters,), dim=-1)
            return of_theta, of_x

        return z, pull_back

    def _after_first(self, z: Tensor, layers: Sequence[nn.Linear]) -> Tensor:
        """Evaluate what follows the first linear layer."""
        for act, layer in zip(self._activations(), layers, strict=True):
            z = linear(act(z), _weight(layer), layer.bias)
        return z

    def _linear(self) -> list[nn.Linear]:
        return list(self.layers)[::2]

    def _activations(self) -> list[nn.Module]:
        return list(self.layers)[1::2]


def _weight(layer: nn.Linear) -> Tensor:
    return cast("Tensor", layer.mask) * layer.weight


def _initialize(layer: nn.Linear, generator: torch.Generator) -> None:
    bound = layer.get_buffer("mask").sum(dim=1).clamp(min=1.0).rsqrt()
    with torch.no_grad():
        layer.weight.uniform_(-1.0, 1.0, generator=generator).mul_(bound[:, None])
        layer.bias.uniform_(-1.0, 1.0, generator=generator).mul_(bound)


def _with_slope(act: nn.Module, slope: Slope | None, z: Tensor) -> tuple[Tensor, Tensor]:
    """An activation and its derivative; autograd finds it where no formula does."""
    if slope is not None:
        a = act(z)
        return a, slope(z, a)
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        a = act(z)
        (found,) = torch.autograd.grad(a, z, torch.ones_like(a), create_graph=differentiable)
    return (a, found) if differentiable else (a.detach(), found)
