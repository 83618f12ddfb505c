"""All parameters of a network as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FlatParameters"]


class FlatParameters:
    """The trainable parameters and their gradients laid out in one vector each.

    The network's parameters become views of the vector, so that the optimiser, gradient
    clipping, copies and restoring are single operations instead of one per layer.

    Args:
        network: Network whose parameters are laid out; `release` undoes it.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._buffers = list(network.buffers())
        self.vector = nn.Parameter(
            torch.cat([p.detach().reshape(-1) for p in self._parameters]).clone()
        )
        self.gradient = torch.zeros_like(self.vector)
        self.vector.grad = self.gradient
        position = 0
        for parameter in self._parameters:
            end = position + parameter.numel()
            parameter.data = self.vector.data[position:end].view_as(parameter)
            parameter.grad = self.gradient[position:end].view_as(parameter)
            position = end

    def copy(self) -> tuple[Tensor, list[Tensor]]:
        """Copy the present parameters and buffers."""
        return self.vector.detach().clone(), [buffer.clone() for buffer in self._buffers]

    def restore(self, copied: tuple[Tensor, list[Tensor]]) -> None:
        """Set parameters and buffers to those copied before."""
        vector, buffers = copied
        self.vector.data.copy_(vector)
        for buffer, value in zip(self._buffers, buffers, strict=True):
            buffer.copy_(value)

    def are_finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return bool(self.vector.isfinite().all())

    def release(self) -> None:
        """Give every parameter memory of its own again, without gradient."""
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None
