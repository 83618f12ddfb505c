r"""Network of a likelihood ratio that is exact in theta: the polynomials of a morphing setup.

A network finds functions of x only; how the ratio depends on theta is a law of physics and is not
learned. On a grid, the functions are therefore evaluated once per event, for all thetas together.

References:
    Brehmer et al., *A guide to constraining effective field theories with machine learning*,
    arXiv:1805.00020, Sec. III; Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from madminer.nn.clamping import calmed, clamp
from madminer.nn.conditional import ConditionalNetwork, row_blocks
from madminer.nn.morphing_weights import MorphingWeights
from madminer.nn.parallel_networks import ParallelMLPs
from madminer.typing import FloatArray, IntArray

__all__ = ["MorphingRatioNetwork"]

_LARGEST_LOG = 5.0  # logarithms lie within plus and minus this
_RANGE = (math.exp(-_LARGEST_LOG), math.exp(_LARGEST_LOG))
_THETAS, _EVENTS = 64, 4096  # of a block on a grid: a megabyte


class MorphingRatioNetwork(ConditionalNetwork):
    r"""Log likelihood ratio to a fixed reference as a sum over the points of a morphing basis.

    .. math::

        \hat r(x|\theta) = \frac{\sum_b W_b(\theta)\, e^{f_b(x)}}{\sum_b W_b(\theta)\, e^{g_b}},
        \qquad f_b(x) \approx \log \frac{\sigma_b\, p(x|\theta_b)}{p(x|\theta_1)} + c, \qquad
        g_b \approx \log \sigma_b + c

    The morphing weights :math:`W_b` are known polynomials. Each basis point has a network
    :math:`f_b` of its own and a number :math:`g_b`; the constant c, which includes
    :math:`\sigma_1`, drops out. The networks share no layers and are evaluated as batched
    matrix products. One network with many outputs would be faster by a factor of a few for many
    basis points, but was not more accurate, and where it differed, less.

    At first all f and g are zero, so the ratio is one everywhere. f, g and the logarithms of
    numerator, denominator and ratio are clamped to within :math:`\pm 5`; sums that are not
    positive count as :math:`e^{-5}`. Hence values are always finite, and scores are zero where the
    ratio is clamped. In training mode gradients by the parameters pass a clamp if a step along
    them leads back inside, so that no event is lost for good; and gradients of scores are damped
    where the ratio is below one half, see `_calmed`.

    Args:
        components: Powers of the morphing components, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.
        n_features: Number of features.
        n_hidden: Units of each hidden layer of every network.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        generator: Source of the initial parameters; None for one with a fixed seed.
    """

    def __init__(
        self,
        components: IntArray,
        matrix: FloatArray,
        n_features: int,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.morphing = MorphingWeights(components, matrix)
        n_basis = self.morphing.n_basis
        self.networks = ParallelMLPs(
            n_basis, n_features, n_hidden, activation, dropout_prob, generator
        )
        self.log_sigma = nn.Parameter(torch.zeros(n_basis))

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        weights = self.morphing.weights(theta)
        return self._log_ratio((weights * self._of_x(x)).sum(-1), weights @ self._of_reference())

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the score, from the gradients of the morphing weights."""
        weights = self.morphing.weights_and_gradients(theta)
        above = (weights * self._of_x(x)[:, None]).sum(-1)
        below = weights @ self._of_reference()
        score = self._slope(above[:, :1], above[:, 1:]) - self._slope(below[:, :1], below[:, 1:])
        value = self._log_ratio(above[:, 0], below[:, 0])
        score = score * self._is_free(above[:, 0], below[:, 0])[:, None]
        return value, calmed(score, value) if self.training else score

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        weights = self.morphing.weights(theta)
        below = weights @ self._of_reference()
        return self._log_ratio(weights @ self._of_x(x).T, below[:, None])

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            weights = self.morphing.weights(theta)
            below = weights @ self._of_reference()
            for events in row_blocks(len(x), _EVENTS):
                of_x = self._of_x(x[events]).T
                for thetas in row_blocks(len(theta), _THETAS):
                    above = weights[thetas] @ of_x
                    result[thetas, events] = self._log_ratio(above, below[thetas, None])
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        n = theta.shape[1]
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((len(theta), len(x), n))
        with torch.no_grad():
            weights = self.morphing.weights_and_gradients(theta)
            below = weights @ self._of_reference()
            of_below = self._slope(below[:, :1], below[:, 1:])
            for events in row_blocks(len(x), _EVENTS):
                of_x = self._of_x(x[events]).T
                for thetas in row_blocks(len(theta), _THETAS):
                    above, total = weights[thetas, 0] @ of_x, below[thetas, :1]
                    result[thetas, events] = self._log_ratio(above, total)
                    is_free = self._is_free(above, total)
                    for i in range(n):
                        slope = self._slope(above, weights[thetas, 1 + i] @ of_x)
                        slope.sub_(of_below[thetas, i, None])
                        scores[thetas, events, i] = slope.mul_(is_free)
        return result, scores

    def _of_x(self, x: Tensor) -> Tensor:
        """Densities at the basis points, shape (n, n_basis)."""
        return self._clamp_log(self.networks(x)).exp()

    def _of_reference(self) -> Tensor:
        """Cross sections of the basis points, shape (n_basis,)."""
        return self._clamp_log(self.log_sigma).exp()

    def _log_ratio(self, above: Tensor, below: Tensor) -> Tensor:
        return self._clamp_log(self._log(above) - self._log(below))

    def _log(self, value: Tensor) -> Tensor:
        """Clamped logarithm of a sum, which is negative where its terms do not belong together."""
        return clamp(value, *_RANGE, recover=self.training).log()

    def _clamp_log(self, value: Tensor) -> Tensor:
        return clamp(value, -_LARGEST_LOG, _LARGEST_LOG, recover=self.training)

    @staticmethod
    def _slope(value: Tensor, gradient: Tensor) -> Tensor:
        """Gradient of the clamped logarithm."""
        low, high = _RANGE
        return torch.where((value >= low) & (value <= high), gradient / value.clamp(low, high), 0.0)

    @staticmethod
    def _is_free(above: Tensor, below: Tensor) -> Tensor:
        """Whether the ratio is not clamped."""
        low, high = _RANGE
        ratio = above.clamp(low, high) / below.clamp(low, high)
        return ((ratio >= low) & (ratio <= high)).to(above.dtype)
