"""Networks of likelihood ratios that are exact in theta: the polynomials of a morphing setup.

A network finds functions of x only; how the ratio depends on theta is a law of physics and is not
learned. On a grid, the functions are therefore evaluated once per event, for all thetas together.

References:
    Brehmer et al., *A guide to constraining effective field theories with machine learning*,
    arXiv:1805.00020, Sec. III; Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from madminer.blocks import CACHED_ROWS, row_blocks
from madminer.nn.activations import activation as find_activation
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.networks import after_first_layer
from madminer.typing import FloatArray, IntArray


def clamp(value: Tensor, low: float, high: float, *, recover: bool) -> Tensor:
    """Clamp values; the gradient outside is zero, or leads back inside.

    With `recover` gradients pass outside where descending along them leads back inside.

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
        # descent moves against the gradient: a positive one below the range leads further below
        leads_away = ((value < low) & (gradient > 0)) | ((value > high) & (gradient < 0))
        return gradient.masked_fill(leads_away, 0.0), None, None


def damped_score(score: Tensor, value: Tensor) -> Tensor:
    r"""The same scores with smaller gradients where the ratio is small.

    Scores have the ratio in their denominator, and a single event whose numerator happens to vanish
    during training would undo all that was learned. Their gradients are multiplied by
    :math:`\min(1, (2 \hat r)^2)`: the squared error weights such events less. Weights that depend
    on theta and x only do not change what minimises it, the mean score at given theta and x.
    """
    # min(1, (2 r)^2), a constant for the optimiser; lerp scales the gradient and leaves the value
    weight = (2.0 * value.detach()).exp().mul(4.0).clamp_max(1.0)
    return torch.lerp(score.detach(), score, weight[:, None].expand_as(score))


_LARGEST_WEIGHT = 1e30  # of a morphing weight: sums of such still fit into single precision


class ParallelMLPs(nn.Module):
    r"""Dense networks of equal shape and separate parameters, evaluated together.

    The parameters are called ``layers.<l>.weight``, of shape ``(n_networks, n_out, n_in)``, and
    ``layers.<l>.bias``. Parameters of activations are shared.

    Args:
        n_networks: Number of networks.
        n_inputs: Number of inputs, the same for all networks.
        n_hidden: Units of each hidden layer; empty for linear functions.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        generator: Source of the initial parameters, uniform within :math:`\pm 1/\sqrt{n_{in}}`;
            None for one with a fixed seed.
        start: What every network gives at first: the last layer starts with this bias and without
            weights.
    """

    def __init__(
        self,
        n_networks: int,
        n_inputs: int,
        n_hidden: Sequence[int],
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        generator: torch.Generator | None = None,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0) if generator is None else generator
        widths = (n_inputs, *n_hidden, 1)
        self.layers = nn.ModuleList(_Linear(n_networks, m, n, source) for m, n in pairwise(widths))
        self.activations = nn.ModuleList(find_activation(activation).module() for _ in n_hidden)
        self.dropout_prob = dropout_prob
        last = cast("_Linear", self.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, start)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate all networks, shape ``(n, n_inputs)`` to ``(n, n_networks)``."""
        first = cast("_Linear", self.layers[0])
        z = first(x.expand(len(first.weight), -1, -1))
        dropout_prob = self.dropout_prob if self.training else 0.0
        z = after_first_layer(z, self.activations, self.layers[1:], dropout_prob)
        return z.squeeze(-1).T


class _Linear(nn.Module):
    """A layer of several networks, shape (n_networks, n, n_in) to (n_networks, n, n_out)."""

    def __init__(
        self, n_networks: int, n_inputs: int, n_outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_inputs)

        def draw(*shape: int) -> nn.Parameter:
            values = torch.empty(shape, device=generator.device)
            return nn.Parameter(values.uniform_(-bound, bound, generator=generator))

        self.weight = draw(n_networks, n_outputs, n_inputs)
        self.bias = draw(n_networks, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], inputs, self.weight.transpose(1, 2))


class MorphingWeights:
    r"""Morphing weights and their gradients as tensors, see `madminer.morphing.morphing_weights`.

    .. math:: W_b(\theta) = \sum_c \prod_i \theta_i^{k_{ci}} M_{cb}, \qquad
        \frac{\partial W_b}{\partial \theta_i} = \sum_c k_{ci}\, \theta_i^{k_{ci} - 1}
        \prod_{j \neq i} \theta_j^{k_{cj}} M_{cb}

    Calculated in double precision: powers of parameters in small units underflow in single
    precision, and weights are differences of large terms.

    Args:
        components: Powers :math:`k_{ci}`, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.
    """

    def __init__(self, components: IntArray, matrix: FloatArray) -> None:
        self._powers = torch.as_tensor(components, dtype=torch.int64)
        self._exponents = torch.arange(int(components.max(initial=0)) + 1, dtype=torch.float64)
        self._matrix = torch.as_tensor(matrix, dtype=torch.float64)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self._powers.shape[1]

    @property
    def n_basis(self) -> int:
        """Number of basis points."""
        return self._matrix.shape[1]

    def weights(self, theta: Tensor) -> Tensor:
        """Weights, differentiable, shape ``(n, n_parameters)`` to ``(n, n_basis)``."""
        self._move(theta.device)
        factors = self._of_powers(self._powers_of(theta))
        return self._combine(reduce(torch.mul, factors), theta)

    def weights_and_gradients(self, theta: Tensor) -> Tensor:
        """Weights and below them derivatives by each parameter, shape ``(n, 1 + p, n_basis)``."""
        self._move(theta.device)
        powers = self._powers_of(theta)
        # theta^(k-1) in the place of theta^k; for k = 0 a zero, as 0 * theta^-1 is not at theta = 0
        lowered = torch.nn.functional.pad(powers[..., :-1], (1, 0))
        factors = self._of_powers(powers)
        slopes = self._of_powers(self._exponents * lowered)
        rows = [reduce(torch.mul, factors)]
        for i, slope in enumerate(slopes):
            rows.append(reduce(torch.mul, (*factors[:i], slope, *factors[i + 1 :])))
        return self._combine(torch.stack(rows, dim=1), theta)

    def _move(self, device: torch.device) -> None:
        """Bring all to a device; not with the network, which would change the precision."""
        if self._matrix.device != device:
            self._powers = self._powers.to(device)
            self._exponents = self._exponents.to(device)
            self._matrix = self._matrix.to(device)

    def _powers_of(self, theta: Tensor) -> Tensor:
        """Powers from zero of each parameter, shape (n, n_parameters, n_powers)."""
        return theta.to(torch.float64)[..., None] ** self._exponents

    def _of_powers(self, powers: Tensor) -> list[Tensor]:
        """The factor that each parameter contributes to the components, (n, n_components) each."""
        return [powers[:, i, self._powers[:, i]] for i in range(self.n_parameters)]

    def _combine(self, monomials: Tensor, theta: Tensor) -> Tensor:
        weights = monomials @ self._matrix
        return weights.clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT).to(theta.dtype)


def _blocks(
    theta: Tensor, x: Tensor, find: Callable[[Tensor], Tensor]
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks of combinations, and what is found of their events, shape ``(n_found, n_x)``."""
    for events in row_blocks(len(x), CACHED_ROWS):
        of_x = find(x[events]).T
        for thetas in row_blocks(len(theta), _THETAS):
            yield thetas, events, of_x


# Logarithms lie within plus and minus this. Morphing weights are of both signs, so a numerator may
# vanish while the f_b do not fit together yet; at r = e^5 one event in 150 is of the other class.
_LARGEST_LOG = 5.0
_RANGE = (math.exp(-_LARGEST_LOG), math.exp(_LARGEST_LOG))
_THETAS = 64  # of a block of events on a grid: a megabyte


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
    where the ratio is below one half, see `damped_score`.

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
        # dsigma(theta) over sigma(theta): cross sections are such sums, densities are not
        return self._log_ratio((weights * self._of_x(x)).sum(-1), weights @ self._of_reference())

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the score, from the gradients of the morphing weights."""
        weights = self.morphing.weights_and_gradients(theta)
        above = (weights * self._of_x(x)[:, None]).sum(-1)
        below = weights @ self._of_reference()
        score = self._slope(above[:, :1], above[:, 1:]) - self._slope(below[:, :1], below[:, 1:])
        value = self._log_ratio(above[:, 0], below[:, 0])
        score = score * self._is_free(above[:, 0], below[:, 0])[:, None]
        return value, damped_score(score, value) if self.training else score

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
            for thetas, events, of_x in _blocks(theta, x, self._of_x):
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
            for thetas, events, of_x in _blocks(theta, x, self._of_x):
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


_SMALLEST_RATIO = 1e-9  # a squared amplitude vanishes at its zeros, its logarithm must not diverge


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
        return value, damped_score(score[:, None], value) if self.training else score[:, None]

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        return self._log_ratio(theta, *self.networks(x).T)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            for thetas, events, of_x in _blocks(theta, x, self.networks):
                result[thetas, events] = self._log_ratio(theta[thetas], *of_x)
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((len(theta), len(x), 1))
        with torch.no_grad():
            for thetas, events, of_x in _blocks(theta, x, self.networks):
                value, score = self._log_ratio_and_score(theta[thetas], *of_x)
                result[thetas, events], scores[thetas, events, 0] = value, score
        return result, scores

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
