r"""Terms for the distribution of events in limits, and what errors log r has from them.

**Errors of log r from finite simulation and from training.**

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

from dataclasses import dataclass

import numpy as np

from madminer.analysis.weights import ParameterPoints
from madminer.likelihood.base import EventPool
from madminer.likelihood.histograms import Binning, DensityHistogram
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import (
    BinnedShape,
    LearnedShape,
    RateTerm,
    Term,
    binned_densities,
    first_dataset,
    nominal_points,
)
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray

Errors = FloatArray | None
"""Standard deviations of log r at n points, shape ``(n,)``; None where they are not known."""


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Observed or expected events.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        weights: Weights, which add up to their number, shape ``(n,)``.
        pool: The same events with their weights at the benchmarks; None if they are observed.
    """

    x: FloatArray
    weights: FloatArray
    pool: EventPool | None = None

    @property
    def n_events(self) -> float:
        """Number of events, not necessarily whole."""
        return float(self.weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Terms for the distribution of events, and what is known of their errors.

    Args:
        setup: Setup of the analysis.
        terms: The terms.
    """

    setup: AnalysisSetup
    terms: tuple[Term, ...]

    def points(self, params: FloatArray) -> ParameterPoints:
        """Points in theta and nu."""
        return Channel(self.setup, (), np.zeros(1)).points(params)

    @property
    def datasets(self) -> IntArray | None:
        """Number of the data set of each point, where bins depend on theta."""
        return None

    def offset(self, likelihood: Likelihood, n: int) -> FloatArray:  # noqa: ARG002
        """What is added to the log likelihood of the terms at n points."""
        return np.zeros(n)

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """Standard deviations of log r, shape ``(n,)``; None where they are not known."""
        return None

    def data_errors(self, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """Those from finite expected data, where `log_r_errors` are without; None elsewhere."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class RateShape(Shape):
    """No distribution: only the number of events counts.

    Args:
        setup: Setup of the analysis.
        terms: None.
        products: Sums of products of the weights of all events, shape ``(b, b)``.
    """

    products: FloatArray

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        if rate is None:
            return None
        one_bin = BinnedShape(rate.total, rate.n_observed[np.newaxis], np.ones((1, 1)))
        products = self.products[np.newaxis]
        return binned_log_r_errors(one_bin, products, rate, self.points(params), best)


@dataclass(frozen=True, slots=True, eq=False)
class TruthShape(Shape):
    """Events whose latent variables are known.

    Args:
        setup: Setup of the analysis.
        terms: The response to nuisance parameters.
        at_nominal: Log likelihood of the events at each point with nuisance parameters at zero.
    """

    at_nominal: FloatArray

    def offset(self, likelihood: Likelihood, n: int) -> FloatArray:  # noqa: ARG002
        """See `Shape`."""
        return self.at_nominal


@dataclass(frozen=True, slots=True, eq=False)
class NetworkShape(Shape):
    """A network, and the learned response to nuisance parameters.

    Args:
        setup: Setup of the analysis.
        terms: Both.
        learned: The network.
    """

    learned: LearnedShape

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """Of an ensemble those of the mean of its members; None for one network."""
        term, points = self.learned, self.points(params)
        if len(term.density.members) == 1:
            return None
        positions, members = term.density.positions(points), len(term.density.members)
        sums = np.zeros((members, len(positions)))
        for events in term.blocks(members * len(positions)):
            values = term.density.member_values(term.x[events], positions)
            finite = np.isfinite(values).all(axis=(0, 1))
            sums += values[:, :, finite] @ term.weights[events][finite]
        log_r = sums - sums[:, [best]]
        errors: FloatArray = log_r.std(axis=0, ddof=1) / np.sqrt(members)
        return errors

    def data_errors(self, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        term, points = self.learned, self.points(params)
        positions = term.density.positions(points)
        sums, products, squares = np.zeros((3, len(positions)))
        for events in term.blocks(len(positions)):
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


@dataclass(frozen=True, slots=True, eq=False)
class HistogramShape(Shape):
    """Histograms on a grid.

    Args:
        setup: Setup of the analysis.
        terms: The term of the likelihood; if bins depend on theta, each point is a data set.
        term: The same.
        binnings: Bins common to all points, or those of each.
        statistics: What is histogrammed of the data at each point, zero for events that do not
            count, shape ``(n_thetas, n, n_statistics)``; without events if bins depend on theta
            and the data are not to be returned.
        weights: Weights of the data, zero for events that do not count, shape ``(n,)``.
        theta_reference: Point whose density is divided out, None if the statistic is the same
            everywhere.
        products: Sums of products of weights in common bins, shape ``(K, b, b)``; None if bins
            depend on theta or hold events drawn at random.
        variance: Sums of the squared weights of expected data in common bins, shape ``(b,)``; None
            if bins depend on theta, or the data are observed.
    """

    term: BinnedShape
    binnings: list[Binning]
    statistics: FloatArray
    weights: FloatArray
    theta_reference: FloatArray | None
    products: FloatArray | None = None
    variance: FloatArray | None = None

    @property
    def datasets(self) -> IntArray | None:
        """See `Shape`."""
        n = len(self.term.counts)
        return np.arange(n) if n > 1 else None

    def offset(self, likelihood: Likelihood, n: int) -> FloatArray:
        """Minus the log densities at the reference point, zero where none is divided out."""
        if self.theta_reference is None:
            return np.zeros(n)
        params = np.zeros((n, likelihood.n_params))
        params[:, : self.setup.n_parameters] = self.theta_reference
        return likelihood.parts(params, self.datasets)["shape"]

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        if self.products is None:
            return None
        points = self.points(params)
        errors = binned_log_r_errors(self.term, self.products, rate, points, best)
        if self.variance is None:
            return errors
        return np.hypot(errors, binned_data_errors(self.term, self.variance, points, best))

    def histograms(self, params: FloatArray) -> list[DensityHistogram]:
        """Histograms at points."""
        n, term = len(params), self.term
        which = np.arange(n) if len(term.counts) > 1 else np.zeros(n, dtype=np.int64)
        sigma, _ = term.bins.expand(self.points(params), which)
        volumes = term.volumes if len(term.volumes) == 1 else term.volumes[which]
        binnings = self.binnings if len(self.binnings) > 1 else self.binnings * n
        return [
            DensityHistogram(one.edges, density[: one.n_bins].reshape(one.shape))
            for density, one in zip(binned_densities(sigma, volumes), binnings, strict=False)
        ]

    def shown_data(self, n_points: int, n_events: int) -> tuple[FloatArray, FloatArray]:
        """Statistics of the first events of the data at the first points, and their weights."""
        return self.statistics[:n_points, :n_events], self.weights[:n_events]


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
