r"""Loss functions of the inference methods, each a mean over events.

Conventions: :math:`r = p(x,z|\theta_0) / p(x,z|\theta_1)`; networks give :math:`\log \hat r`;
an event with label y = 0 was drawn from the numerator :math:`\theta_0`, one with y = 1 from the
denominator :math:`\theta_1`; :math:`s = 1/(1+r)` is the probability of y = 1. Sums over events
run over both labels, so a term that needs one label only is about half the mean over that class.

Every function takes `sample_weight`, shape ``(n,)``: signed weights :math:`w_e` that multiply each
event's contribution. They should have mean one over the whole sample, so that a loss with weights
has the same size as one without.

**Gradients by the predictions**, written out for `madminer.nn.gradients`. Per event e of n, with
weight :math:`w_e` (one without weights), factor :math:`\alpha` of the term and p components of a
score:

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

Here :math:`\ell` is :math:`\log \hat r` clipped as in the loss,
:math:`\sigma(\ell) = 1/(1+e^{-\ell})`, :math:`\varsigma = 2y - 1`, :math:`e = e^{\varsigma\ell}`,
and the mask m is 1 for all events, 1 - y at the numerator and y at the denominator. A squared error
is half the product of its deviation with its gradient, summed.

References:
    Brehmer et al., arXiv:1805.00020 (ROLR, CARL, RASCAL, CASCAL, SALLY);
    Brehmer et al., arXiv:1805.12244 (SCANDAL); Stoye et al., arXiv:1808.00973 (ALICE, ALICES).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from madminer.nn.activations import number_like
from madminer.nn.data import Batch

# Each logarithm in a cross entropy is at least minus this: an event that is put into the wrong
# class with certainty costs 100, not infinitely much.
LARGEST_LOG = 100.0
# Ratios in squared errors lie within exp of plus or minus this: an event with r = e^10 already
# counts e^20 times one with r = 1, and larger ones would be all that is learned.
LARGEST_LOG_RATIO = 10.0


def cross_entropy(log_r_hat: Tensor, y: Tensor, *, sample_weight: Tensor | None = None) -> Tensor:
    r"""Cross entropy of the classifier :math:`\hat s = 1/(1+\hat r)`.

    .. math:: L = -\langle y \log \hat s + (1-y) \log(1-\hat s) \rangle

    Computed from the logit :math:`\log \hat r` of the label 0; each logarithm is at least -100.

    Args:
        log_r_hat: Estimated log ratios, shape ``(n,)``.
        y: Labels, or probabilities of the label 1, shape ``(n,)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar.

    References:
        Cranmer, Pavez and Louppe, arXiv:1506.02169; Brehmer et al., arXiv:1805.00020.
    """
    # log r = log((1 - s)/s) is the logit of the label 0, as the numerator has y = 0: hence 1 - y
    logit = log_r_hat.clamp(-LARGEST_LOG, LARGEST_LOG)
    return functional.binary_cross_entropy_with_logits(logit, 1.0 - y, weight=sample_weight)


def augmented_cross_entropy(
    log_r_hat: Tensor, r_xz: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Cross entropy with the label replaced by its probability given the latent variables.

    .. math::

        L = -\langle s \log \hat s + (1-s) \log(1-\hat s) \rangle,
        \qquad s(x,z) = \frac{1}{1 + r(x,z)}

    Args:
        log_r_hat: Estimated log ratios, shape ``(n,)``.
        r_xz: Joint ratios, shape ``(n,)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar.

    References:
        Stoye et al., arXiv:1808.00973.
    """
    # E[y|x,z] = s(x,z): the mean over labels is done exactly, so the minimum is that of the cross
    # entropy and only the noise of drawing labels is gone
    return cross_entropy(log_r_hat, 1.0 / (1.0 + r_xz), sample_weight=sample_weight)


def ratio_error(
    log_r_hat: Tensor, y: Tensor, r_xz: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Squared error of the ratio under the denominator, of its inverse under the numerator.

    .. math::

        L = \left\langle y\, (\hat r - r)^2
            + (1-y) \left(\frac1{\hat r} - \frac1r\right)^2 \right\rangle

    Logarithms of the magnitude of r and of :math:`\hat r` are clipped to [-10, 10].

    Args:
        log_r_hat: Estimated log ratios, shape ``(n,)``.
        y: Labels, shape ``(n,)``.
        r_xz: Joint ratios, shape ``(n,)``; negative ones, of signed samples, keep their sign.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar.

    References:
        Brehmer et al., arXiv:1805.00020.
    """
    # A square is minimised by the mean, and E[r(x,z)|x] is r(x) only over z drawn at theta1; events
    # of the numerator learn 1/r, whose mean over z drawn at theta0 is 1/r(x)
    sign = 2.0 * y - 1.0  # exponent +1 under the denominator, -1 under the numerator
    largest = math.exp(LARGEST_LOG_RATIO)
    truth = torch.copysign(r_xz.abs().clamp(1.0 / largest, largest), r_xz)
    estimate = torch.exp(sign * log_r_hat.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))
    return _mean((estimate - torch.where(y > 0.5, truth, 1.0 / truth)).square(), sample_weight)


def numerator_score_error(
    t_hat: Tensor, y: Tensor, t_xz: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Squared error of the score, over events from the numerator.

    .. math:: L = \langle (1-y) \, |\hat t - t(x,z|\theta_0)|^2 / p \rangle

    Args:
        t_hat: Gradient of the estimated log ratio by theta0, shape ``(n, n_parameters)``.
        y: Labels, shape ``(n,)``.
        t_xz: Joint scores at theta0, shape ``(n, n_parameters)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar; p is the number of parameters.

    References:
        Brehmer et al., arXiv:1805.00020.
    """
    # E[t(x,z|theta0)|x] is the score t(x|theta0) only where z was drawn at theta0: where y = 0
    return _masked_error(1.0 - y, t_hat, t_xz, sample_weight)


def denominator_score_error(
    t_hat: Tensor, y: Tensor, t_xz: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Squared error of the score, over events from the denominator.

    .. math:: L = \langle y \, |\hat t - t(x,z|\theta_1)|^2 / p \rangle

    Args:
        t_hat: Minus the gradient of the estimated log ratio by theta1, shape
            ``(n, n_parameters)``.
        y: Labels, shape ``(n,)``.
        t_xz: Joint scores at theta1, shape ``(n, n_parameters)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar; p is the number of parameters.

    References:
        Brehmer et al., arXiv:1805.00020.
    """
    # as above: the joint score at theta1 has the right mean over z drawn at theta1 only
    return _masked_error(y, t_hat, t_xz, sample_weight)


def score_error(t_hat: Tensor, t_xz: Tensor, *, sample_weight: Tensor | None = None) -> Tensor:
    r"""Squared error of the score, over all events.

    .. math:: L = \langle |\hat t - t(x,z|\theta)|^2 / p \rangle

    Args:
        t_hat: Estimated scores, shape ``(n, n_parameters)``.
        t_xz: Joint scores, shape ``(n, n_parameters)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar; p is the number of parameters.

    References:
        Brehmer et al., arXiv:1805.00020 (SALLY); arXiv:1805.12244 (SCANDAL).
    """
    if sample_weight is None:
        return functional.mse_loss(t_hat, t_xz)
    return _masked_error(torch.ones_like(sample_weight), t_hat, t_xz, sample_weight)


def negative_log_likelihood(log_p_hat: Tensor, *, sample_weight: Tensor | None = None) -> Tensor:
    r"""Negative mean log likelihood of a density estimator.

    .. math:: L = -\langle \log \hat p(x|\theta) \rangle

    Args:
        log_p_hat: Estimated log densities, shape ``(n,)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        The loss, a scalar.

    References:
        Papamakarios, Pavlakou and Murray, arXiv:1705.07057; Brehmer et al., arXiv:1805.12244.
    """
    return -_mean(log_p_hat, sample_weight)


def _masked_error(mask: Tensor, t_hat: Tensor, t_xz: Tensor, weight: Tensor | None) -> Tensor:
    # The mean runs over all events: dividing by those of one label would let its share in a batch,
    # which is random, weight the term against the others.
    column = mask.unsqueeze(-1)  # zeros and ones: equal to its square
    if weight is None:
        return functional.mse_loss(column * t_hat, column * t_xz)
    return (column * weight.unsqueeze(-1) * (t_hat - t_xz).square()).mean()


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (weight * values).mean()


# Gradients. All tensors have the networks that are trained together as their first axis. Nothing is
# allocated after a gradient was prepared, and nothing depends on values in Python, so that the
# operations can be recorded and repeated.

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
    one = number_like(1.0, y)
    return _entropy(term, lambda label: torch.sub(one, y, out=label))


def _augmented_cross_entropy(term: TermTensors) -> LossGradient:
    (r_xz,) = term.columns
    one = number_like(1.0, r_xz)

    def find(label: Tensor) -> None:
        torch.add(r_xz, one, out=label).reciprocal_()
        torch.sub(one, label, out=label)

    return _entropy(term, find)


def _entropy(term: TermTensors, find_label: Callable[[Tensor], object]) -> LossGradient:
    """Cross entropy with the label 1 - y or 1 - s, which `find_label` writes into a tensor."""
    label, logit, value = (torch.empty_like(term.prediction) for _ in range(3))
    zero, weight, factor = number_like(0.0, value), term.weight, term.factor / term.n_values
    scale = torch.tensor(factor, dtype=value.dtype, device=value.device)
    add = _adding(term.total, value, torch.ones_like(value) if weight is None else weight, factor)

    def run() -> None:
        find_label(label)
        torch.clamp(term.prediction, -LARGEST_LOG, LARGEST_LOG, out=logit)
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
    one, two = number_like(1.0, y), number_like(2.0, y)
    limits = math.exp(-LARGEST_LOG_RATIO), math.exp(LARGEST_LOG_RATIO)
    add_square = _square(term, deviation)

    def run() -> None:
        torch.mul(y, two, out=sign).sub_(one)
        torch.abs(r_xz, out=truth).clamp_(*limits).pow_(sign).copysign_(r_xz)
        torch.clamp(term.prediction, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO, out=estimate)
        torch.eq(estimate, term.prediction, out=inside)  # zero where it was clipped
        estimate.mul_(sign).exp_()
        torch.sub(estimate, truth, out=deviation)
        add_square()
        term.gradient.mul_(estimate).mul_(sign).mul_(inside)

    return run


def _score_error(term: TermTensors, mask: Tensor | None = None) -> LossGradient:
    deviation, t_xz = torch.empty_like(term.prediction), term.columns[-1]
    add_square = _square(term, deviation, mask)

    def run() -> None:
        torch.sub(term.prediction, t_xz, out=deviation)
        add_square()

    return run


def _denominator_score_error(term: TermTensors) -> LossGradient:
    return _score_error(term, mask=term.columns[0])


def _numerator_score_error(term: TermTensors) -> LossGradient:
    y = term.columns[0]
    mask, one = torch.empty_like(y), number_like(1.0, y)
    run_error = _score_error(term, mask)

    def run() -> None:
        torch.sub(one, y, out=mask)
        run_error()

    return run


def _square(term: TermTensors, deviation: Tensor, mask: Tensor | None = None) -> LossGradient:
    """Add a mean square and write its gradient by the deviation; a mask multiplies events."""
    factor = 2.0 * term.factor / term.n_values
    scale = torch.tensor(factor, dtype=deviation.dtype, device=deviation.device)
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


LOSS_GRADIENTS: Mapping[Callable[..., Tensor], Callable[[TermTensors], LossGradient]] = {
    augmented_cross_entropy: _augmented_cross_entropy,
    cross_entropy: _cross_entropy,
    denominator_score_error: _denominator_score_error,
    numerator_score_error: _numerator_score_error,
    ratio_error: _ratio_error,
    score_error: _score_error,
}
"""What prepares the gradient of each loss of dense networks."""


# Sums of losses


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a loss.

    Args:
        function: A loss of this module, of a prediction and data columns.
        prediction: Name of the prediction that it judges.
        columns: Names of the data columns that it takes after the prediction.
        factor: What multiplies it.
    """

    function: Callable[..., Tensor]
    prediction: str
    columns: tuple[str, ...]
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class TotalLoss:
    r"""The loss :math:`\sum_k \alpha_k L_k` of a batch, differentiable by autograd.

    Because its terms are known, `madminer.nn.gradients` can also write out its gradient.

    Args:
        terms: Terms, at least one.
        predict: Predictions by name, as a function of a batch. Of a dense network they are
            "t_hat" (its outputs, scores), or "log_r_hat", "t_hat0" and "t_hat1" (log ratio and
            scores at the numerator and the denominator).
    """

    terms: tuple[Term, ...]
    predict: Callable[[Batch], Mapping[str, Tensor]]

    def __call__(self, batch: Batch) -> Tensor:
        """Evaluate; a column ``sample_weight`` weights the events."""
        predictions, weight = self.predict(batch), batch.get("sample_weight")
        first, *others = (
            term.function(
                predictions[term.prediction],
                *(batch[name] for name in term.columns),
                sample_weight=weight,
            )
            for term in self.terms
        )
        total: Tensor = first * self.terms[0].factor
        for value, term in zip(others, self.terms[1:], strict=True):
            total = torch.add(total, value, alpha=term.factor)
        return total
