r"""Activation functions by name, with their slopes, and what networks draw while they train.

Where a step of training is written out (`madminer.nn.gradients`), the values z of a layer are
replaced by :math:`a(z)`, and both derivatives are found from a alone:

===========  ==================  =====================================
activation   slope a'            relative curvature :math:`a''/a'`
===========  ==================  =====================================
tanh         1 - a^2             -2 a
sigmoid      a (1 - a)           1 - 2 a
softplus     1 - exp(-a)         1 - a'
log_sigmoid  1 - exp(a)          a' - 1
elu          1 + min(a, 0)       1 for a < 0, else 0
selu         as elu, see below   1 for a < 0, else 0
relu, lrelu  1 for a > 0,        0
             else 0 or 0.01
===========  ==================  =====================================

With its scale :math:`\lambda` and :math:`\alpha`, selu has the slope :math:`\lambda` for a > 0,
else :math:`a + \lambda\alpha`.

Dropout and randomised activations draw from the generator of the training run, which the run makes
known with `drawing_from` to its own thread only: the global state of torch is not touched, and
trainings in several threads draw as if each were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from madminer import checks

Slope = Callable[[Tensor, Tensor], Tensor]

# Klambauer et al., arXiv:1706.02515, Eq. (2)
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


_LOWER, _UPPER = 1.0 / 8.0, 1.0 / 3.0  # slopes of randomised units, as in torch
_source: ContextVar[torch.Generator | None] = ContextVar("source", default=None)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let networks draw from a generator on their device inside this context, in this thread.

    Without it they draw from torch's global generator, as other networks do.
    """
    token = _source.set(generator)
    try:
        yield
    finally:
        _source.reset(token)


def dropout(values: Tensor, probability: float) -> Tensor:
    """Set values to zero with probability p < 1, and divide the others by :math:`1 - p`.

    References:
        Srivastava et al., *Dropout*, JMLR 15 (2014) 1929.
    """
    kept = torch.empty_like(values, requires_grad=False)
    kept.bernoulli_(1.0 - probability, generator=_source.get()).div_(1.0 - probability)
    return values * kept


class RandomizedReLU(nn.Module):
    r"""Leaky rectified units whose slope is random while training.

    .. math:: a(z) = \max(z, 0) + s \min(z, 0), \qquad s \sim U(1/8, 1/3)

    Outside of training s is the mean of the two ends.

    References:
        Xu et al., arXiv:1505.00853.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate, any shape."""
        if not self.training:
            return nn.functional.leaky_relu(z, (_LOWER + _UPPER) / 2.0)
        slopes = torch.empty_like(z, requires_grad=False)
        slopes.uniform_(_LOWER, _UPPER, generator=_source.get())
        return torch.where(z < 0.0, slopes * z, z)


def draws(network: nn.Module) -> bool:
    """Whether a network draws random numbers while it trains."""
    return any(
        isinstance(module, RandomizedReLU) or getattr(module, "dropout_prob", 0.0) > 0.0
        for module in network.modules()
    )


@dataclass(frozen=True, slots=True)
class InPlace:
    """An activation with its derivatives, without new memory and without autograd.

    Args:
        apply: Replaces z by a(z).
        slope: Writes a'(z), found from a, into its second argument.
        bend: Adds q a''/a' to its first argument, given q, a and a', which it may overwrite; None
            where the curvature is zero.
    """

    apply: Callable[[Tensor], object]
    slope: Callable[[Tensor, Tensor], object]
    bend: Callable[[Tensor, Tensor, Tensor, Tensor], object] | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation function and what backpropagation by hand needs of it.

    Args:
        module: Makes the layer.
        slope: Derivative :math:`a'(z)` as a function of z and :math:`a(z)`; None where it is
            random or has parameters of its own, so that autograd must find it.
        in_place: What a step without autograd needs; None where there is no slope.
    """

    module: Callable[[], nn.Module]
    slope: Slope | None = None
    in_place: InPlace | None = None


def number_like(value: float, like: Tensor) -> Tensor:
    """A number as a tensor, made once: a number of Python costs a conversion in every use."""
    return _number(value, like.dtype, like.device)


@cache
def _number(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=dtype, device=device)


def activation(name: str) -> Activation:
    """Look up an activation function.

    Raises:
        OptionError: If there is none of this name.
    """
    return ACTIVATIONS[checks.one_of(name, "activation", ACTIVATIONS)]


def _tanh(_: Tensor, a: Tensor) -> Tensor:
    return torch.addcmul(a.new_ones(()), a, a, value=-1.0)  # 1 - a^2 in one operation


def _sigmoid(_: Tensor, a: Tensor) -> Tensor:
    return a * (1.0 - a)


def _relu(z: Tensor, _: Tensor) -> Tensor:
    return (z > 0).to(z.dtype)


def _leaky_relu(z: Tensor, _: Tensor) -> Tensor:
    return torch.where(z > 0, 1.0, 0.01).to(z.dtype)


def _elu(z: Tensor, _: Tensor) -> Tensor:
    return torch.exp(z.clamp(max=0.0))


def _selu(z: Tensor, _: Tensor) -> Tensor:
    below = _SELU_SCALE * _SELU_ALPHA * torch.exp(z.clamp(max=0))
    return torch.where(z > 0, torch.full_like(z, _SELU_SCALE), below)


def _softplus(z: Tensor, _: Tensor) -> Tensor:
    return torch.sigmoid(z)


def _log_sigmoid(z: Tensor, _: Tensor) -> Tensor:
    return torch.sigmoid(-z)


def _log_sigmoid_in_place(z: Tensor) -> None:
    _softplus_in_place(z.neg_())
    z.neg_()


def _leaky_relu_in_place(z: Tensor) -> None:
    nn.functional.leaky_relu_(z, 0.01)


def _tanh_slope(a: Tensor, out: Tensor) -> None:
    torch.addcmul(number_like(1.0, a), a, a, value=-1.0, out=out)


def _sigmoid_slope(a: Tensor, out: Tensor) -> None:
    torch.addcmul(a, a, a, value=-1.0, out=out)


def _relu_slope(a: Tensor, out: Tensor) -> None:
    torch.gt(a, number_like(0.0, a), out=out)


def _leaky_relu_slope(a: Tensor, out: Tensor) -> None:
    torch.gt(a, number_like(0.0, a), out=out)
    out.mul_(number_like(0.99, a)).add_(number_like(0.01, a))


def _elu_slope(a: Tensor, out: Tensor) -> None:
    torch.clamp(a, max=0.0, out=out).add_(number_like(1.0, a))


def _selu_slope(a: Tensor, out: Tensor) -> None:
    highest = _SELU_SCALE * _SELU_ALPHA  # from below; above zero it is the scale
    torch.clamp(a, max=0.0, out=out).add_(number_like(highest, a)).neg_()
    torch.threshold_(out, -highest, -_SELU_SCALE).neg_()


def _softplus_in_place(z: Tensor) -> None:
    torch.logaddexp(z, number_like(0.0, z), out=z)


def _softplus_slope(a: Tensor, out: Tensor) -> None:
    torch.neg(a, out=out).expm1_().neg_()


def _log_sigmoid_slope(a: Tensor, out: Tensor) -> None:
    torch.expm1(a, out=out).neg_()


def _tanh_bend(total: Tensor, q: Tensor, a: Tensor, _: Tensor) -> None:
    total.addcmul_(q, a, value=-2.0)


def _sigmoid_bend(total: Tensor, q: Tensor, a: Tensor, _: Tensor) -> None:
    total.add_(q).addcmul_(q, a, value=-2.0)


def _softplus_bend(total: Tensor, q: Tensor, _: Tensor, slope: Tensor) -> None:
    total.add_(q).addcmul_(q, slope, value=-1.0)


def _log_sigmoid_bend(total: Tensor, q: Tensor, _: Tensor, slope: Tensor) -> None:
    total.sub_(q).addcmul_(q, slope)


def _elu_bend(total: Tensor, q: Tensor, a: Tensor, slope: Tensor) -> None:
    total.addcmul_(q, torch.lt(a, number_like(0.0, a), out=slope))


ACTIVATIONS: dict[str, Activation] = {
    "elu": Activation(nn.ELU, _elu, InPlace(nn.functional.elu_, _elu_slope, _elu_bend)),
    "log_sigmoid": Activation(
        nn.LogSigmoid,
        _log_sigmoid,
        InPlace(_log_sigmoid_in_place, _log_sigmoid_slope, _log_sigmoid_bend),
    ),
    "lrelu": Activation(
        nn.LeakyReLU, _leaky_relu, InPlace(_leaky_relu_in_place, _leaky_relu_slope)
    ),
    "prelu": Activation(nn.PReLU),
    "relu": Activation(nn.ReLU, _relu, InPlace(torch.relu_, _relu_slope)),
    "rrelu": Activation(RandomizedReLU),
    "selu": Activation(nn.SELU, _selu, InPlace(torch.selu_, _selu_slope, _elu_bend)),
    "sigmoid": Activation(
        nn.Sigmoid, _sigmoid, InPlace(torch.sigmoid_, _sigmoid_slope, _sigmoid_bend)
    ),
    "softplus": Activation(
        nn.Softplus, _softplus, InPlace(_softplus_in_place, _softplus_slope, _softplus_bend)
    ),
    "tanh": Activation(nn.Tanh, _tanh, InPlace(torch.tanh_, _tanh_slope, _tanh_bend)),
}
"""Activation functions by the names that estimators accept."""
