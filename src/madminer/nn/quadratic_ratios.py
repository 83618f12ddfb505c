"""Network of a likelihood ratio that is exactly quadratic in one parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from madminer.nn.clamping import calmed
from madminer.nn.conditional import ConditionalNetwork, row_blocks
from madminer.nn.parallel_networks import ParallelMLPs

__all__ = ["QuadraticRatioNetwork"]

_SMALLEST_RATIO = 1e-9
_THETAS, _EVENTS = 64, 4096  # of a block on a grid: a megabyte


class QuadraticRatioNetwork(ConditionalNetwork):
    r"""Log likelihood ratio to theta = 0 in one parameter that enters the amplitude linearly.

    .. math::

        \hat r(x|\theta) = \frac{(1 + \theta A(x))^2 + (\theta B(x))^2}
            {(1 + \theta a)^2 + (\theta b)^2}, \qquad
        \log \hat f = \log(\hat r + 10^{-9})

    A and B are networks, a and b numbers that start at one: :math:`(a, b)` is the mean of what
    :math:`(A, B)` are, up to their squares. The numerator is never negative.

    Args:
        n_features: Number of features.
        n_hidden: Units of each hidden layer of both networks.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        generator: Source of the initial parameters; None for one with a fixed seed.
    """

    def __init__(
        self,
        n_features: int,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.networks = ParallelMLPs(
            2, n_features, n_hidden, activation, dropout_prob, generator, start=1.0
        )
        self.coefficients = nn.Parameter(torch.ones(2))

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        return self._log_ratio(theta[:, 0], *self.networks(x).T)

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the score, written out."""
        value, score = self._log_ratio_and_score(theta[:, 0], *self.networks(x).T)
        return value, calmed(score[:, None], value) if self.training else score[:, None]

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        return self._log_ratio(theta, *self.networks(x).T)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            for thetas, events, of_x in self._blocks(theta, x):
                result[thetas, events] = self._log_ratio(theta[thetas], *of_x)
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((len(theta), len(x), 1))
        with torch.no_grad():
            for thetas, events, of_x in self._blocks(theta, x):
                value, score = self._log_ratio_and_score(theta[thetas], *of_x)
                result[thetas, events], scores[thetas, events, 0] = value, score
        return result, scores

    def _blocks(self, theta: Tensor, x: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Blocks of combinations, and A and B of their events."""
        for events in row_blocks(len(x), _EVENTS):
            of_x = self.networks(x[events]).T
            for thetas in row_blocks(len(theta), _THETAS):
                yield thetas, events, of_x

    def _log_ratio(self, theta: Tensor, a_x: Tensor, b_x: Tensor) -> Tensor:
        below = _squares(theta, *self.coefficients)
        return (
            _squares(theta, a_x, b_x) / below.clamp_min(_SMALLEST_RATIO) + _SMALLEST_RATIO
        ).log()

    def _log_ratio_and_score(
        self, theta: Tensor, a_x: Tensor, b_x: Tensor
    ) -> tuple[Tensor, Tensor]:
        a, b = self.coefficients
        above, below = _squares(theta, a_x, b_x), _squares(theta, a, b)
        is_free = (below >= _SMALLEST_RATIO).to(below.dtype)
        below = below.clamp_min(_SMALLEST_RATIO)
        ratio = above / below
        # (u/v)' / (u/v + e) = (u' - u/v v') / (u + e v)
        slope = _half_slope(theta, a_x, b_x) - ratio * _half_slope(theta, a, b) * is_free
        score = 2.0 * slope / (above + _SMALLEST_RATIO * below)
        return (ratio + _SMALLEST_RATIO).log(), score


def _squares(theta: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (1.0 + theta * a).square() + (theta * b).square()


def _half_slope(theta: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Half of the derivative of `_squares` by theta."""
    return a + theta * (a.square() + b.square())
