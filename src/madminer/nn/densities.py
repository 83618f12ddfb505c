r"""Densities of a dimension given the outputs of a masked network, with their derivatives.

Each takes a location :math:`\mu` and a log precision a from the network and standardises

.. math:: u = e^{a/2} (x - \mu), \qquad \log p(x) = \tfrac12 (a - u^2 - \log 2\pi)

Two limits keep everything finite for outliers and badly trained networks. The log precision
bends smoothly, :math:`a = 14 \tanh(\hat a / 14)` with the output :math:`\hat a` of the network, so
that a layer stretches or shrinks by at most :math:`e^7`. What is passed on ends at
:math:`|u| = 10^9`, where no event of a sensible model lies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "LOG_NORMALIZATION",
    "bounded",
    "mixture",
    "mixture_gradient",
    "standardize",
    "standardize_gradient",
]

LOG_NORMALIZATION = -math.log(2.0 * math.pi) / 2.0
"""What the logarithm of a normal density in one dimension has besides :math:`a/2 - u^2/2`."""

_LARGEST = 1e9
_LARGEST_LOG_SCALE = 7.0


def bounded(values: Tensor) -> Tensor:
    """End values at plus and minus a billion."""
    return values.clamp(-_LARGEST, _LARGEST)


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
    share = torch.exp(log_p - total.unsqueeze(-2))
    weight = _split(outputs, n_components)[0].softmax(dim=-2)
    by_x = -share * u * torch.exp(log_scale)
    by_a = share * (1.0 - u.square()) * _slope(log_scale)
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
    return 0.5 - log_scale.square() * (0.5 / _LARGEST_LOG_SCALE**2)
