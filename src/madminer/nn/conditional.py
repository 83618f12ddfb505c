r"""What networks of theta and x have in common: a log ratio or a log density and its score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from madminer.blocks import CACHED_ROWS, LAUNCHED_ROWS, row_blocks


class ConditionalNetwork(nn.Module, ABC):
    r"""A network that estimates :math:`\log f(x|\theta)`.

    Here f is a likelihood ratio to a reference or a likelihood. Only `log_f` must be written; a
    network that knows a faster way overrides the other methods.
    """

    @abstractmethod
    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        r"""Evaluate events at a parameter point each.

        Args:
            theta: Parameters, shape ``(n, n_parameters)``.
            x: Features, shape ``(n, n_features)``.

        Returns:
            :math:`\log f(x_i|\theta_i)`, differentiable, shape ``(n,)``.
        """

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Evaluate with the score :math:`t = \nabla_\theta \log f(x|\theta)`.

        Args:
            theta: Parameters, shape ``(n, n_parameters)``.
            x: Features, shape ``(n, n_features)``.

        Returns:
            Values, shape ``(n,)``, and scores, shape ``(n, n_parameters)``; both differentiable
            where gradients are enabled.
        """
        return with_gradient(lambda point: self.log_f(point, x), theta)

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients.

        Args:
            theta: Parameters, shape ``(n_thetas, n_parameters)``.
            x: Features, shape ``(n_x, n_features)``.

        Returns:
            Values, differentiable in theta and x, shape ``(n_thetas, n_x)``.
        """
        thetas, events = _combine(theta, x)
        return self.log_f(thetas, events).reshape(len(theta), len(x))

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory.

        Args:
            theta: Parameters, shape ``(n_thetas, n_parameters)``.
            x: Features, shape ``(n_x, n_features)``.

        Returns:
            Values without gradients, shape ``(n_thetas, n_x)``.
        """
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            for thetas, events in combination_blocks(len(theta), len(x), x.device):
                result[thetas, events] = self.log_f_combinations(theta[thetas], x[events])
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory.

        Args:
            theta: Parameters, shape ``(n_thetas, n_parameters)``.
            x: Features, shape ``(n_x, n_features)``.

        Returns:
            Values, shape ``(n_thetas, n_x)``, and scores, shape ``(n_thetas, n_x, n_parameters)``,
            both without gradients.
        """
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((*result.shape, theta.shape[1]))
        with torch.no_grad():
            for thetas, events in combination_blocks(len(theta), len(x), x.device):
                values, gradients = self.log_f_and_score(*_combine(theta[thetas], x[events]))
                block = result[thetas, events].shape
                result[thetas, events] = values.reshape(block)
                scores[thetas, events] = gradients.reshape(*block, theta.shape[1])
        return result, scores


def with_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Values of a function of rows, and the gradient of each by its row, found by autograd.

    Both are differentiable where gradients are enabled, and plain numbers elsewhere.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        at = at if at.requires_grad else at.detach().requires_grad_()
        values = function(at)
        ones = torch.ones_like(values)
        (gradient,) = torch.autograd.grad(values, at, ones, create_graph=differentiable)
    return (values, gradient) if differentiable else (values.detach(), gradient)


def combination_blocks(
    n_thetas: int, n_x: int, device: torch.device
) -> Iterator[tuple[slice, slice]]:
    """Cut all combinations into blocks of thetas and events of the right size for a device.

    Examples:
        >>> list(combination_blocks(2, 5000, torch.device("cpu")))[0]
        (slice(0, 1, None), slice(0, 4096, None))
    """
    n_rows = LAUNCHED_ROWS if device.type == "cuda" else CACHED_ROWS
    for events in row_blocks(n_x, n_rows):
        for thetas in row_blocks(n_thetas, max(1, n_rows // (events.stop - events.start))):
            yield thetas, events


def _combine(theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Every theta with every event, as rows."""
    return theta.repeat_interleave(len(x), dim=0), x.repeat(len(theta), 1)
