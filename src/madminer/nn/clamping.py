"""Gradients of ratios that stay of reasonable size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["calmed", "clamp"]


def clamp(value: Tensor, low: float, high: float, *, recover: bool) -> Tensor:
    """Clamp values; the gradient outside is zero, or leads back inside.

    Args:
        value: What is clamped.
        low: Lower end.
        high: Upper end.
        recover: Whether gradients pass outside where descending along them leads back inside.

    Returns:
        Clamped values.

    Examples:
        >>> value = torch.tensor([-2.0, 0.0, 2.0], requires_grad=True)
        >>> clamp(value, -1.0, 1.0, recover=True).sum().backward()
        >>> value.grad
        tensor([0., 1., 1.])
    """
    if recover:
        clamped: Tensor = _RecoveringClamp.apply(value, low, high)  # type: ignore[no-untyped-call]
        return clamped
    return value.clamp(low, high)


class _RecoveringClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.range = low, high
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (value,), (gradient,) = ctx.saved_tensors, gradients
        low, high = ctx.range
        leads_away = ((value < low) & (gradient > 0)) | ((value > high) & (gradient < 0))
        return gradient.masked_fill(leads_away, 0.0), None, None


def calmed(score: Tensor, value: Tensor) -> Tensor:
    r"""The same scores with smaller gradients where the ratio is small.

    Scores have the ratio in their denominator, and a single event whose numerator happens to vanish
    during training would undo all that was learned. Their gradients are multiplied by
    :math:`\min(1, (2 \hat r)^2)`: the squared error weights such events less. Weights that depend
    on theta and x only do not change what minimises it, the mean score at given theta and x.
    """
    weight = (2.0 * value.detach()).exp().mul(4.0).clamp_max(1.0)
    return torch.lerp(score.detach(), score, weight[:, None].expand_as(score))
