r"""Uncertainty of log likelihood ratios from finite simulation and from training.

The sums :math:`S_{kb}` of the weights in the bins of a histogram have the covariance
:math:`V_{kbc}`, as numbers of events are Poisson distributed. With the derivatives

.. math::

    G_{kb}(\theta) = \frac{\partial}{\partial S_{kb}}
    \left[ \log L(\theta) - \log L(\theta_\mathrm{best}) \right], \qquad
    \mathrm{var}(\log r) = \sum_{kbc} G_{kb} V_{kbc} G_{kc}

to first order: that of the treatment of Barlow and Beeston. Nuisance parameters are at their best
values, so that their own shift does not count (envelope theorem). Expected data are simulated
events, too: with the weights :math:`w_i` that add up to their number N, and :math:`g_i` the
contribution of an event to log r,

.. math::

    \mathrm{var}(\log r) = \sum_i w_i^2 (g_i - \bar g)^2, \qquad
    \bar g = \frac{1}{N} \sum_i w_i g_i .

This counts twice what templates and data share if they are the same events. Of an ensemble of
networks it is the error of the mean of its members, which holds random differences of training.
What all members share, as the finite simulation, is not covered: where they were trained on
bootstraps of the events it is their spread that holds it, which is larger than this error by the
root of their number.

References:
    Barlow and Beeston, *Fitting using finite Monte Carlo samples*, Comput. Phys. Commun. 77 (1993)
    219; Conway, arXiv:1103.0354; ensembles: arXiv:2506.00113.
"""

from __future__ import annotations

import numpy as np

from madminer.analysis.weights import ParameterPoints
from madminer.blocks import row_blocks
from madminer.likelihood.terms import (
    BinnedShape,
    LearnedShape,
    RateTerm,
    binned_densities,
    first_dataset,
    nominal_points,
)
from madminer.typing import FloatArray

_CELLS = 1 << 21  # values of networks that are held at once


def binned_log_r_errors(
    term: BinnedShape,
    products: FloatArray,
    rate: RateTerm | None,
    points: ParameterPoints,
    best: int,
) -> FloatArray:
    """Standard deviations of log r from the finite number of events in histograms.

    Args:
        term: Histograms with common bins.
        products: Sums of products of weights in the bins, shape ``(K, b, b)``.
        rate: The rate, whose cross section is the sum over the bins; None if it does not count.
        points: Points with their best nuisance parameters.
        best: Index of the best point.

    Returns:
        Standard deviations, shape ``(n,)``, zero at the best point.
    """
    sigma, _ = term.bins.expand(points, first_dataset(points))
    content = np.maximum(sigma, 0.0)
    total = content.sum(axis=1, keepdims=True)
    total[total == 0.0] = np.inf  # without content nothing varies
    counts = term.counts[0]
    inverse = np.divide(1.0, content, out=np.zeros_like(content), where=content > 0.0)
    by_sigma = counts * inverse - counts.sum() / total
    if rate is not None:
        by_sigma = by_sigma + rate.n_observed[0] / total - rate.luminosity
    # sigma_k = sum_b W_b S_kb f_k: the response f_k moves each weight alike
    coefficients = points.coefficients[:, np.newaxis, :]
    nominal = term.bins.expand(nominal_points(points), first_dataset(points))[0]
    factors = np.divide(sigma, nominal, out=np.ones_like(sigma), where=nominal != 0.0)
    slopes = (by_sigma * factors)[..., np.newaxis] * coefficients
    difference = slopes - slopes[best]
    variance = np.einsum("nkb,kbc,nkc->n", difference, products, difference, optimize=True)
    errors: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return errors


def rate_log_r_errors(
    rate: RateTerm, products: FloatArray, points: ParameterPoints, best: int
) -> FloatArray:
    """The same where only the number of events counts.

    `products` are the sums of products of the weights of all events, shape ``(b, b)``.
    """
    one_bin = BinnedShape(rate.total, rate.n_observed[np.newaxis], np.ones((1, 1)))
    return binned_log_r_errors(one_bin, products[np.newaxis], rate, points, best)


def binned_data_errors(
    term: BinnedShape, variance: FloatArray, points: ParameterPoints, best: int
) -> FloatArray:
    """Standard deviations of log r from the finite number of events that are expected data.

    `variance` are the sums of the squared weights of the data in the common bins, shape ``(K,)``.
    """
    sigma, _ = term.bins.expand(points, first_dataset(points))
    log_f = np.log(binned_densities(sigma, term.volumes))
    contribution = log_f - log_f[best]
    mean = contribution @ term.counts[0] / term.counts[0].sum()
    errors: FloatArray = np.sqrt((contribution - mean[:, np.newaxis]) ** 2 @ variance)
    return errors


def learned_data_errors(term: LearnedShape, points: ParameterPoints, best: int) -> FloatArray:
    """The same where a network gives the likelihood of each event."""
    positions = term.density.positions(points)
    sums, products, squares = np.zeros((3, len(positions)))
    for events in row_blocks(len(term.x), max(1, _CELLS // len(positions))):
        log_f, _ = term.density.combinations(term.x[events], positions)
        contribution = np.nan_to_num(log_f - log_f[best], nan=0.0, posinf=0.0, neginf=0.0)
        w = term.weights[events]
        sums += contribution @ w
        products += contribution @ w**2
        squares += contribution**2 @ w**2
    mean = sums / term.weights.sum()
    variance = squares - 2.0 * mean * products + mean**2 * float(term.weights @ term.weights)
    errors: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return errors


def ensemble_log_r_errors(term: LearnedShape, points: ParameterPoints, best: int) -> FloatArray:
    """Standard deviations of the mean log r of an ensemble."""
    positions, members = term.density.positions(points), len(term.density.members)
    sums = np.zeros((members, len(positions)))
    for events in row_blocks(len(term.x), max(1, _CELLS // (members * len(positions)))):
        values = term.density.member_values(term.x[events], positions)
        finite = np.isfinite(values).all(axis=(0, 1))
        sums += values[:, :, finite] @ term.weights[events][finite]
    log_r = sums - sums[:, [best]]
    errors: FloatArray = log_r.std(axis=0, ddof=1) / np.sqrt(members)
    return errors
