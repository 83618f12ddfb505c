r"""Dense networks, and those that estimate likelihood ratios.

References:
    Brehmer et al., *A guide to constraining effective field theories with machine learning*,
    arXiv:1805.00020 (ratios).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from madminer.nn.activations import activation as find_activation
from madminer.nn.activations import dropout
from madminer.nn.conditional import ConditionalNetwork, combination_blocks, with_gradient


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
        dropout_prob = self.dropout_prob if self.training else 0.0
        return after_first_layer(z, self.activations, self.layers[1:], dropout_prob)

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
            return with_gradient(lambda z: self.from_first_layer(z).squeeze(-1), z)
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


def after_first_layer(
    z: Tensor, activations: Iterable[nn.Module], layers: Iterable[nn.Module], dropout_prob: float
) -> Tensor:
    """Pass values of the first linear layer on to the outputs."""
    for act, layer in zip(activations, layers, strict=True):
        a = act(z)
        z = layer(dropout(a, dropout_prob) if dropout_prob > 0.0 else a)
    return z


def _linear(n_inputs: int, n_outputs: int, generator: torch.Generator) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, n_inputs, n_outputs)  # type: ignore[no-untyped-call]
    bound = 1.0 / math.sqrt(n_inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class RatioNetwork(MLP, ConditionalNetwork):
    r"""Log likelihood ratio to a fixed reference, :math:`\log \hat r(x|\theta) = f(\theta, x)`.

    A dense network with ``n_parameters + n_features`` inputs and one output. Its first layer is
    linear, :math:`z = A\theta + B x + b`, so on a grid its two parts are computed once for every
    theta and every x and added for each combination.
    """

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        values = [self(torch.cat((given, x), dim=-1)) for given in self._orders(theta)]
        return self._difference(values).squeeze(-1)

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the gradient by theta, by the chain rule written out."""
        first = (self.layer(0)(torch.cat((given, x), dim=-1)) for given in self._orders(theta))
        return self._with_gradient(first, theta.shape[-1])

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        of_thetas, of_x = self._first_layer(theta, x)
        values = [self.from_first_layer(part[:, None] + of_x) for part in of_thetas]
        return self._difference(values).squeeze(-1)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            for block, first in self._blocks(theta, x):
                values = self._difference([self.from_first_layer(z) for z in first])
                result[block] = values.reshape(result[block].shape)
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with gradients by theta, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((*result.shape, theta.shape[1]))
        with torch.no_grad():
            for block, first in self._blocks(theta, x):
                values, gradients = self._with_gradient(first, theta.shape[1])
                result[block] = values.reshape(result[block].shape)
                scores[block] = gradients.reshape(scores[block].shape)
        return result, scores

    def _orders(self, theta: Tensor) -> list[Tensor]:
        """Theta as f takes it; in two orders where the ratio is a difference."""
        return [theta]

    @staticmethod
    def _difference(parts: Sequence[Tensor]) -> Tensor:
        """What the first order gives, less what the second gives if there is one."""
        return parts[0] if len(parts) == 1 else parts[0] - parts[1]

    def _with_gradient(self, first: Iterable[Tensor], n: int) -> tuple[Tensor, Tensor]:
        """Values and gradients by the n components of theta, of the first layer's values."""
        weight = self.layer(0).weight[:, :n]
        values, slopes = zip(*map(self.from_first_layer_with_slope, first), strict=True)
        gradients = [slope @ weight for slope in slopes]
        gradients[1:] = (g.roll(n // 2, dims=-1) for g in gradients[1:])  # from the other order
        return self._difference(values), self._difference(gradients)

    def _first_layer(self, theta: Tensor, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The parts of the first layer that theta makes in each order, and the part of x."""
        first, n = self.layer(0), theta.shape[1]
        weight = first.weight[:, :n].T
        of_x = x @ first.weight[:, n:].T + first.bias
        return [given @ weight for given in self._orders(theta)], of_x

    def _blocks(
        self, theta: Tensor, x: Tensor
    ) -> Iterator[tuple[tuple[slice, slice], Iterator[Tensor]]]:
        """Blocks of combinations, and the first layer's values of each as rows."""
        of_thetas, of_x = self._first_layer(theta, x)
        for thetas, events in combination_blocks(len(theta), len(x), x.device):
            features = of_x[events]
            yield (
                (thetas, events),
                ((part[thetas, None] + features).flatten(0, 1) for part in of_thetas),
            )


class DoubleRatioNetwork(RatioNetwork):
    r"""Log likelihood ratio between any two parameter points, antisymmetric by construction.

    .. math::

        \log \hat r(x|\theta_0, \theta_1) = f(\theta_0, \theta_1, x) - f(\theta_1, \theta_0, x)

    A dense network f with ``2 n_parameters + n_features`` inputs and one output. It takes theta0
    and theta1 side by side, as one vector of ``2 n_parameters`` values, and gives the gradient by
    both.
    """

    def log_r_and_scores(
        self, theta0: Tensor, theta1: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Evaluate the log ratio and the scores at both ends.

        .. math::

            \hat t_0 = \nabla_{\theta_0} \log \hat r, \qquad
            \hat t_1 = -\nabla_{\theta_1} \log \hat r

        Args:
            theta0: Numerator parameters, shape ``(n, n_parameters)``.
            theta1: Denominator parameters, shape ``(n, n_parameters)``.
            x: Features, shape ``(n, n_features)``.

        Returns:
            Log ratios, shape ``(n,)``, and the two scores, shape ``(n, n_parameters)`` each.
        """
        log_r, gradient = self.log_f_and_score(torch.cat((theta0, theta1), dim=-1), x)
        # p(x|theta1) stands in the denominator, hence the sign of its score
        of_theta0, of_theta1 = gradient.chunk(2, dim=-1)
        return log_r, of_theta0, -of_theta1

    def _orders(self, theta: Tensor) -> list[Tensor]:
        # log r(x|theta0, theta1) = -log r(x|theta1, theta0) is exact and need not be learned
        return [theta, theta.roll(theta.shape[-1] // 2, dims=-1)]
