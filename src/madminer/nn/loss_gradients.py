r"""Gradients of the losses by the predictions, written out.

Per event e of n, with weight :math:`w_e` (one without weights), factor :math:`\alpha` of the term
and p components of a score:

=======================  ======================================================================
loss                     :math:`\partial(\alpha L)/\partial` prediction
=======================  ======================================================================
cross entropy            :math:`\frac{\alpha w}{n} [\sigma(\ell) - (1 - y)]\;
                         \Theta(|\log \hat r| \le 100)`
augmented cross entropy  the same with :math:`s = 1/(1+r)` in the place of y
ratio error              :math:`\frac{2\alpha w}{n}\, \varsigma\, e\, (e - r^\varsigma)\;
                         \Theta(|\log \hat r| \le 10)`
score errors             :math:`\frac{2\alpha w m}{n p} (\hat t - t)`
=======================  ======================================================================

Here :math:`\ell` is :math:`\log \hat r` clipped as in `madminer.nn.losses`,
:math:`\sigma(\ell) = 1/(1+e^{-\ell})`, :math:`\varsigma = 2y - 1`, :math:`e = e^{\varsigma\ell}`,
and the mask m is 1 for all events, 1 - y at the numerator and y at the denominator. A squared error
is half the product of its deviation with its gradient, summed.

All tensors have the networks that are trained together as their first axis; one network is the
case of length one. Nothing is allocated after a gradient was prepared, and nothing depends on
values in Python, so that the operations can be recorded and repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from madminer.nn import losses

LossGradient = Callable[[], None]
"""Calculates a term of the loss and its gradient from the present contents of its tensors."""


@dataclass(frozen=True, slots=True, eq=False)
class TermTensors:
    """Where a term of the loss finds its arguments and leaves its results.

    Args:
        prediction: Prediction, shape ``(n_networks, n)`` or ``(n_networks, n, n_parameters)``.
        gradient: Gradient of the term by the prediction, of its shape; overwritten.
        columns: Data columns, shapes ``(n_networks, n, ...)``.
        weight: Weights of the events, shape ``(n_networks, n)``; None for one each.
        total: Loss, shape ``(n_networks,)``, to which the term is added.
        factor: What multiplies the term.
    """

    prediction: Tensor
    gradient: Tensor
    columns: tuple[Tensor, ...]
    weight: Tensor | None
    total: Tensor
    factor: float

    @property
    def n_values(self) -> int:
        """Number of predictions of one network, over which the loss is a mean."""
        return self.prediction[0].numel()


def _cross_entropy(term: TermTensors) -> LossGradient:
    (y,) = term.columns
    one = _number(1.0, y)
    return _entropy(term, lambda label: torch.sub(one, y, out=label))


def _augmented_cross_entropy(term: TermTensors) -> LossGradient:
    (r_xz,) = term.columns
    one = _number(1.0, r_xz)

    def find(label: Tensor) -> None:
        torch.add(r_xz, one, out=label).reciprocal_()
        torch.sub(one, label, out=label)

    return _entropy(term, find)


def _entropy(term: TermTensors, find_label: Callable[[Tensor], object]) -> LossGradient:
    """Cross entropy with the label 1 - y or 1 - s, which `find_label` writes into a tensor."""
    label, logit, value = (torch.empty_like(term.prediction) for _ in range(3))
    zero, weight = _number(0.0, value), term.weight
    factor, largest = term.factor / term.n_values, losses.LARGEST_LOG
    scale = _number(factor, value)
    add = _adding(term.total, value, torch.ones_like(value) if weight is None else weight, factor)

    def run() -> None:
        find_label(label)
        torch.clamp(term.prediction, -largest, largest, out=logit)
        torch.logaddexp(logit, zero, out=value).addcmul_(label, logit, value=-1.0)
        add()
        torch.eq(logit, term.prediction, out=value)  # zero where it was clipped
        torch.sigmoid(logit, out=logit).sub_(label)
        torch.mul(logit, value, out=term.gradient).mul_(scale)
        if weight is not None:
            term.gradient.mul_(weight)

    return run


def _ratio_error(term: TermTensors) -> LossGradient:
    y, r_xz = term.columns
    sign, truth, estimate, deviation, inside = (torch.empty_like(term.prediction) for _ in range(5))
    one, two = _number(1.0, y), _number(2.0, y)
    largest = losses.LARGEST_LOG_RATIO
    limits = math.exp(-largest), math.exp(largest)
    add_square = _square(term, deviation)

    def run() -> None:
        torch.mul(y, two, out=sign).sub_(one)
        torch.abs(r_xz, out=truth).clamp_(*limits).pow_(sign).copysign_(r_xz)
        torch.clamp(term.prediction, -largest, largest, out=estimate)
        torch.eq(estimate, term.prediction, out=inside)  # zero where it was clipped
        estimate.mul_(sign).exp_()
        torch.sub(estimate, truth, out=deviation)
        add_square()
        term.gradient.mul_(estimate).mul_(sign).mul_(inside)

    return run


def _score_error(term: TermTensors) -> LossGradient:
    return _error(term, term.columns[0], None)


def _denominator_score_error(term: TermTensors) -> LossGradient:
    y, t_xz = term.columns
    return _error(term, t_xz, y)


def _numerator_score_error(term: TermTensors) -> LossGradient:
    y, t_xz = term.columns
    mask, one = torch.empty_like(y), _number(1.0, y)
    run_error = _error(term, t_xz, mask)

    def run() -> None:
        torch.sub(one, y, out=mask)
        run_error()

    return run


def _error(term: TermTensors, t_xz: Tensor, mask: Tensor | None) -> LossGradient:
    deviation = torch.empty_like(term.prediction)
    add_square = _square(term, deviation, mask)

    def run() -> None:
        torch.sub(term.prediction, t_xz, out=deviation)
        add_square()

    return run


def _square(term: TermTensors, deviation: Tensor, mask: Tensor | None = None) -> LossGradient:
    """Add a mean square and write its gradient by the deviation; a mask multiplies events."""
    scale = _number(2.0 * term.factor / term.n_values, deviation)
    shape = (*deviation.shape[:2], *(1 for _ in deviation.shape[2:]))
    factors = [values.view(shape) for values in (mask, term.weight) if values is not None]
    add = _adding(term.total, deviation, term.gradient, 0.5)

    def run() -> None:
        torch.mul(deviation, scale, out=term.gradient)
        for values in factors:
            term.gradient.mul_(values)
        add()

    return run


def _adding(total: Tensor, left: Tensor, right: Tensor, factor: float) -> LossGradient:
    """Add the sums of products over all but the first axis to `total`."""
    n_networks = len(total)
    place = total.view(n_networks, 1, 1)
    row, column = left.view(n_networks, 1, -1), right.view(n_networks, -1, 1)

    def run() -> None:
        torch.baddbmm(place, row, column, alpha=factor, out=place)

    return run


def _number(value: float, like: Tensor) -> Tensor:
    """A number as a tensor: one of Python would be converted in every use."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


LOSS_GRADIENTS: Mapping[Callable[..., Tensor], Callable[[TermTensors], LossGradient]] = {
    losses.augmented_cross_entropy: _augmented_cross_entropy,
    losses.cross_entropy: _cross_entropy,
    losses.denominator_score_error: _denominator_score_error,
    losses.numerator_score_error: _numerator_score_error,
    losses.ratio_error: _ratio_error,
    losses.score_error: _score_error,
}
"""What prepares the gradient of each loss of `madminer.nn.losses` of dense networks."""
