r"""Autoregressive flows: densities of x given theta.

References:
    Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*,
    arXiv:1705.07057.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.densities import (
    LOG_NORMALIZATION,
    bounded,
    mixture,
    mixture_gradient,
    standardize,
    standardize_gradient,
)
from madminer.nn.made import MADE, Pullback

__all__ = ["BatchNormalization", "ConditionalFlow"]

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
                is_reversed=k % 2 == 1,
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
