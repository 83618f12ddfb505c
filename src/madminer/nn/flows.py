r"""Autoregressive flows: densities of x given theta.

Each layer takes a location :math:`\mu` and a log precision a from the network and standardises

.. math:: u = e^{a/2} (x - \mu), \qquad \log p(x) = \tfrac12 (a - u^2 - \log 2\pi)

Two limits keep everything finite for outliers and badly trained networks. The log precision
bends smoothly, :math:`a = 14 \tanh(\hat a / 14)` with the output :math:`\hat a` of the network, so
that a layer stretches or shrinks by at most :math:`e^7`. What is passed on ends at
:math:`|u| = 10^9`, where no event of a sensible model lies.

References:
    Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*,
    arXiv:1705.07057.
    Germain et al., *MADE: Masked Autoencoder for Distribution Estimation*, arXiv:1502.03509.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import hardtanh, linear

from madminer.nn.activations import Slope
from madminer.nn.activations import activation as find_activation
from madminer.nn.conditional import ConditionalNetwork, with_gradient

LOG_NORMALIZATION = -math.log(2.0 * math.pi) / 2.0
"""What the logarithm of a normal density in one dimension has besides :math:`a/2 - u^2/2`."""

_LARGEST = 1e9
_LARGEST_LOG_SCALE = 7.0


def bounded(values: Tensor) -> Tensor:
    """End values at plus and minus a billion."""
    return hardtanh(values, -_LARGEST, _LARGEST)  # a clamp whose gradient is one operation


def standardize(outputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Standardise by a normal distribution.

    Args:
        outputs: :math:`\mu` and :math:`\hat a`, shape ``(..., 2 * n_features)``.
        x: Dimensions, of a shape that broadcasts to ``(..., n_features)``.

    Returns:
        u and :math:`a/2`, shape ``(..., n_features)`` each.
    """
    mu, a = outputs.chunk(2, dim=-1)
    log_scale = _log_scale(a)
    return bounded((x - mu) * torch.exp(log_scale)), log_scale


def standardize_gradient(gradient: Tensor, u: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""Gradient of a function f(u) + sum(a)/2, by the chain rule.

    Args:
        gradient: :math:`\partial f/\partial u`, shape ``(n, n_features)``.
        u: As `standardize` gave it.
        log_scale: :math:`a/2`.

    Returns:
        Gradient by the outputs, shape ``(n, 2 * n_features)``, and by x at fixed outputs, shape
        ``(n, n_features)``.
    """
    by_x = gradient * torch.exp(log_scale)
    # a/2 enters the log density itself, with slope 1, and stretches u, with slope u
    by_a = (1.0 + gradient * u) * _slope(log_scale)
    return torch.cat((-by_x, by_a), dim=-1), by_x


def mixture(outputs: Tensor, x: Tensor, n_components: int) -> Tensor:
    r"""Log density of a mixture of normal distributions in each dimension.

    .. math:: \log p = \log \sum_k w_k \exp\left(\frac{a_k}{2} - \frac{u_k^2}{2}\right),
        \qquad \sum_k w_k = 1

    Args:
        outputs: Logits of w, :math:`\mu` and :math:`\hat a` of the components, shape
            ``(..., 3 * n_components * n_features)``.
        x: Dimensions, of a shape that broadcasts to ``(..., n_features)``.
        n_components: Number of components.

    Returns:
        Log densities without `LOG_NORMALIZATION`, shape ``(..., n_features)``.
    """
    log_p, _, _ = _components(outputs, x, n_components)
    return log_p.logsumexp(dim=-2)


def mixture_gradient(
    outputs: Tensor, x: Tensor, n_components: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Log density of a mixture and the gradient of its sum over dimensions.

    Args:
        outputs: As in `mixture`, shape ``(n, 3 * n_components * n_features)``.
        x: Dimensions, shape ``(n, n_features)``.
        n_components: Number of components.

    Returns:
        Log densities, shape ``(n, n_features)``, and their gradients by the outputs, of their
        shape, and by x at fixed outputs, shape ``(n, n_features)``.
    """
    log_p, u, log_scale = _components(outputs, x, n_components)
    total = log_p.logsumexp(dim=-2)
    # d log sum_k p_k = sum_k (p_k / p) d log p_k: every component by its share of the density
    share = torch.exp(log_p - total.unsqueeze(-2))
    weight = _split(outputs, n_components)[0].softmax(dim=-2)
    by_x = -share * u * torch.exp(log_scale)
    by_a = share * (1.0 - u.square()) * _slope(log_scale)
    # of a softmax: d log w_k / d logit_j = delta_kj - w_j
    gradient = torch.stack((share - weight, -by_x, by_a), dim=-3)
    return total, gradient.flatten(-3), by_x.sum(dim=-2)


def _components(outputs: Tensor, x: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log density, u and a/2 of each component, shape ``(..., n_components, n_features)``."""
    logits, mu, a = _split(outputs, n)
    log_scale = _log_scale(a)
    u = bounded((x.unsqueeze(-2) - mu) * torch.exp(log_scale))
    return logits.log_softmax(dim=-2) + log_scale - u.square() / 2.0, u, log_scale


def _split(outputs: Tensor, n_components: int) -> tuple[Tensor, Tensor, Tensor]:
    logits, mu, a = outputs.reshape(*outputs.shape[:-1], 3, n_components, -1).unbind(dim=-3)
    return logits, mu, a


def _log_scale(a: Tensor) -> Tensor:
    return _LARGEST_LOG_SCALE * torch.tanh(a * (0.5 / _LARGEST_LOG_SCALE))


def _slope(log_scale: Tensor) -> Tensor:
    """Derivative of the bounded a/2 by the output of the network."""
    # of c tanh(a / 2c): (1 - tanh^2) / 2, where the value is c tanh
    return 0.5 - log_scale.square() * (0.5 / _LARGEST_LOG_SCALE**2)


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
        layers: list[nn.Module] = []
        for mask in _masks(n_parameters, n_features, n_hidden, n_outputs, is_reversed):
            n_out, n_in = mask.shape
            layer = nn.Linear(n_in, n_out, device="meta").to_empty(device=source.device)
            layer.register_buffer("mask", mask.to(layer.weight))  # multiplies faster than booleans
            _initialize(layer, source)
            layers += [layer, found.module()]
        self.layers = nn.Sequential(*layers[:-1])
        self._slope = found.slope
        self._n_parameters = n_parameters

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
        return cast("list[nn.Linear]", list(self.layers)[::2])

    def _activations(self) -> list[nn.Module]:
        return list(self.layers)[1::2]


def _masks(
    n_parameters: int,
    n_features: int,
    n_hidden: Sequence[int],
    n_outputs: int,
    is_reversed: bool,
) -> list[Tensor]:
    """Which units of a layer see which of the one before (Germain et al., arXiv:1502.03509).

    A unit of degree d depends on theta and on the d first dimensions, whose own degrees are
    smaller, so that it sees inputs below its degree and units up to it.
    """
    order = torch.arange(n_features)
    dimensions = order.flip(0) if is_reversed else order
    hidden = [torch.arange(n) % n_features for n in n_hidden]  # shared out evenly
    degrees = [*hidden, dimensions.repeat(n_outputs)]
    # below its degree, not up to it: what gives the density of x_i must not see x_i
    sees_x = dimensions < degrees[0][:, None]
    first = torch.cat((torch.ones(len(degrees[0]), n_parameters, dtype=torch.bool), sees_x), dim=1)
    return [first, *(above[:, None] >= below for below, above in pairwise(degrees))]


def _weight(layer: nn.Linear) -> Tensor:
    return cast("Tensor", layer.mask) * layer.weight


def _initialize(layer: nn.Linear, generator: torch.Generator) -> None:
    bound = layer.get_buffer("mask").sum(dim=1).clamp(min=1.0).rsqrt()
    with torch.no_grad():
        layer.weight.uniform_(-1.0, 1.0, generator=generator).mul_(bound[:, None])
        layer.bias.uniform_(-1.0, 1.0, generator=generator).mul_(bound)


def _with_slope(act: nn.Module, slope: Slope | None, z: Tensor) -> tuple[Tensor, Tensor]:
    """An activation and its derivative; autograd finds it where no formula does."""
    if slope is None:
        return with_gradient(act, z)
    a = act(z)
    return a, slope(z, a)


Evaluate = Callable[[MADE, Tensor], Tensor]
"""Outputs of a MADE for what it sees of the events."""

_EPSILON = 1e-5  # added to variances


class BatchNormalization(nn.Module):
    r"""Moments that standardise what passes between two layers of a flow.

    While training they are those of the batch, and the running moments move towards them,
    :math:`m \leftarrow (1-\alpha)\, m + \alpha\, m_{batch}`; otherwise they are the running ones.
    A batch of a single event has no variance: it takes the running moments too.

    Args:
        n_features: Number of dimensions.
        alpha: Weight of a batch in the running moments, above 0 and up to 1.
    """

    def __init__(self, n_features: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("variance", torch.ones(n_features))

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        r"""Find the moments.

        Args:
            u: Dimensions, shape ``(..., n_features)``.

        Returns:
            Mean and :math:`\log(1/\sqrt{variance + 10^{-5}})`, shape ``(n_features,)`` each.
        """
        mean, variance = self.mean, self.variance
        rows = u.reshape(-1, u.shape[-1])
        if self.training and len(rows) > 1:
            # of all thetas together: their means differ by what the flow has to learn
            variance, mean = torch.var_mean(rows, dim=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.alpha)
                self.variance.lerp_(variance, self.alpha)
        return mean, -torch.log(variance + _EPSILON) / 2.0


class ConditionalFlow(ConditionalNetwork):
    r"""Log density of x given theta, as a chain of autoregressive layers.

    .. math::

        \log p(x|\theta) = -\frac{u^2}{2} - \frac{d}{2} \log 2\pi + \sum_k \sum_i \frac{a_{ki}}{2},
        \qquad u = u_K, \quad u_k = e^{a_k/2} (u_{k-1} - \mu_k), \quad u_0 = x

    where :math:`\mu_k` and :math:`a_k` come from a `MADE` of theta and :math:`u_{k-1}`. The MADEs
    take the dimensions forwards and backwards by turns. With several components, the last one
    gives a mixture of normal distributions for each :math:`u_{K-1,i}` instead. With batch
    normalization every Gaussian layer is followed by one.

    Args:
        n_parameters: Number of parameters theta.
        n_features: Number d of dimensions of x.
        n_hidden: Units of each hidden layer in each MADE.
        n_components: Number of components in the last MADE.
        n_mades: Number of MADEs.
        activation: Name of the activation function.
        batch_norm: Weight of a batch in the running moments; None for no batch normalization.
        generator: Source of the initial parameters, None for one with a fixed seed.
    """

    def __init__(
        self,
        n_parameters: int,
        n_features: int,
        n_hidden: Sequence[int],
        *,
        n_components: int = 1,
        n_mades: int = 5,
        activation: str = "tanh",
        batch_norm: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0) if generator is None else generator
        self._n_gaussian = n_gaussian = n_mades if n_components == 1 else n_mades - 1
        self.mades = nn.ModuleList(
            MADE(
                n_parameters,
                n_features,
                n_hidden,
                2 if k < n_gaussian else 3 * n_components,
                activation,
                is_reversed=k % 2 == 1,  # the dimension that sees no other one now sees all next
                generator=source,
            )
            for k in range(n_mades)
        )
        alphas = [] if batch_norm is None else [batch_norm] * n_gaussian
        self.normalizations = nn.ModuleList(BatchNormalization(n_features, a) for a in alphas)
        self._n_components = n_components
        self._log_normalization = n_features * LOG_NORMALIZATION

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        return self._log_density(x, lambda made, u: made(theta, u))

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        return self._log_density(x.unsqueeze(0), lambda made, u: made.combinations(theta, u))

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the score, by the chain rule written out.

        The moments of batch normalization count as constants: the score of an event does not
        depend on which others are in its batch.
        """
        pullbacks: list[Pullback] = []

        def evaluate(made: MADE, u: Tensor) -> Tensor:
            outputs, pullback = made.with_pullback(theta, u)
            pullbacks.append(pullback)
            return outputs

        u, log_scale, layers = self._transform(x, evaluate)
        if self._n_components == 1:
            log_p, gradient, score = u.square() / -2.0, -u, torch.zeros_like(theta)
        else:
            outputs = evaluate(self._made(-1), u)
            log_p, by_outputs, by_u = mixture_gradient(outputs, u, self._n_components)
            score, of_u = pullbacks.pop()(by_outputs)
            gradient = by_u + of_u
        for layer, pull_back in zip(reversed(layers), reversed(pullbacks), strict=True):
            # a product over layers of factors up to e^7 each: an outlier must not make it infinite
            gradient = bounded(gradient if layer.stretch is None else gradient * layer.stretch)
            by_outputs, by_u = standardize_gradient(gradient, layer.u, layer.log_scale)
            of_theta, of_u = pull_back(by_outputs)
            score, gradient = score + of_theta, by_u + of_u
        return (log_p + log_scale).sum(dim=-1) + self._log_normalization, score

    def _log_density(self, x: Tensor, evaluate: Evaluate) -> Tensor:
        u, log_scale, _ = self._transform(x, evaluate)
        if self._n_components == 1:
            log_p = torch.addcmul(log_scale, u, u, value=-0.5)
        else:
            log_p = log_scale + mixture(evaluate(self._made(-1), u), u, self._n_components)
        return log_p.sum(dim=-1) + self._log_normalization

    def _transform(self, x: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor, list[_Layer]]:
        """Pass events through the Gaussian layers.

        Returns:
            Transformed events, the logarithms of how much each dimension was stretched, and the
            layers.
        """
        u, total, layers = bounded(x), x.new_zeros(()), []
        for k in range(self._n_gaussian):
            u, log_scale = standardize(evaluate(self._made(k), u), u)
            layer, total = _Layer(u, log_scale, None), total + log_scale
            if self.normalizations:
                mean, log_stretch = self.normalizations[k](u)
                layer = layer._replace(stretch=torch.exp(log_stretch))
                u, total = (u - mean) * layer.stretch, total + log_stretch
            layers.append(layer)
        return u, total, layers

    def _made(self, index: int) -> MADE:
        return cast("MADE", self.mades[index])


class _Layer(NamedTuple):
    """What a Gaussian layer did to events."""

    u: Tensor  # before batch normalization
    log_scale: Tensor
    stretch: Tensor | None  # by batch normalization
