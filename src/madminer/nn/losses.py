r"""Loss functions of the inference methods, each a mean over events.

Conventions: :math:`r = p(x,z|\theta_0) / p(x,z|\theta_1)`; networks give :math:`\log \hat r`;
an event with label y = 0 was drawn from the numerator :math:`\theta_0`, one with y = 1 from the
denominator :math:`\theta_1`; :math:`s = 1/(1+r)` is the probability of y = 1. Sums over events
run over both labels, so a term that needs one label only is about half the mean over that class.

Every function takes `sample_weight`, shape ``(n,)``: signed weights :math:`w_e` that multiply each
event's contribution. They should have mean one over the whole sample, so that a loss with weights
has the same size as one without.

References:
    Brehmer et al., arXiv:1805.00020 (ROLR, CARL, RASCAL, CASCAL, SALLY);
    Brehmer et al., arXiv:1805.12244 (SCANDAL); Stoye et al., arXiv:1808.00973 (ALICE, ALICES).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

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
