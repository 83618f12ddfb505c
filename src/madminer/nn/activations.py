r"""Activation functions by name, with their slopes.

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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from madminer import checks
from madminer.nn.randomness import RandomizedReLU

Slope = Callable[[Tensor, Tensor], Tensor]

# Klambauer et al., arXiv:1706.02515, Eq. (2)
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


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
