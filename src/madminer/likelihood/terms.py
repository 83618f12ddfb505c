r"""What a likelihood is made of: the number of events, and their distribution.

Every term gives :math:`-\log L` (not :math:`-2 \log L`) with its gradient by theta and nu and a
positive semidefinite approximation of the second derivatives: the information that the term expects
or, for networks, that of the observed scores. It holds D data sets, usually one; toy experiments
are many.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from madminer.analysis.weights import ParameterPoints
from madminer.blocks import row_blocks
from madminer.errors import DataError
from madminer.evidence import report_weakness
from madminer.likelihood.yields import Yields
from madminer.stats import log_poisson
from madminer.stats.minimize import Expansion
from madminer.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from madminer.likelihood.learned import LearnedDensity

logger = logging.getLogger(__name__)

SMALLEST_MEAN = 1e-5
"""Expected number of events where the cross section is negative."""

MOST_LOST = 0.5
"""Share of the events without a finite likelihood beyond which nothing can be said."""

SMALLEST_SHARE = 1e-12
"""Share of the events that every bin has at least, so that no logarithm is infinite."""

Respond = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Observables ``(n, n_observables)`` to coefficients a and b of their response, ``(n, v)``."""

_CELLS = 1 << 21  # values of a network that are held at once


class Term(ABC):
    """A summand of minus the log likelihood."""

    name: ClassVar[str]
    """What it describes, "rate" or "shape"."""

    @property
    def depends_on_nu(self) -> bool:
        """Whether nuisance parameters change it."""
        return True

    @abstractmethod
    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:
        """Minus the log likelihood of data sets at points.

        Args:
            points: n parameter points.
            datasets: Number of the data set of each, shape ``(n,)``.

        Returns:
            Values ``(n,)``, gradients ``(n, p + v)`` and curvatures ``(n, p + v, p + v)``.
        """

    def values(self, points: ParameterPoints, datasets: IntArray) -> FloatArray:
        """The values alone, shape ``(n,)``."""
        return self.expand(points, datasets).value

    @abstractmethod
    def scan(self, points: ParameterPoints) -> FloatArray:
        """Values of all D data sets at all points, shape ``(D, n)``."""


@dataclass(frozen=True, slots=True, eq=False)
class RateTerm(Term):
    r"""Number of events: :math:`-\log \mathrm{Pois}(N | L \sigma(\theta, \nu))`, N real.

    Args:
        total: The cross section, one cell.
        luminosity: Integrated luminosity in pb^-1.
        n_observed: Numbers of events, shape ``(D,)``.
        is_reporting: Whether negative cross sections are reported; toy experiments are silent.
    """

    total: Yields
    luminosity: float
    n_observed: FloatArray
    is_reporting: bool = True

    name: ClassVar[str] = "rate"

    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:
        """See `Term`."""
        sigma, gradient = self.total.expand(points, datasets)
        mean, slope = self.luminosity * sigma[:, 0], self.luminosity * gradient[:, 0]
        is_negative = sigma[:, 0] < 0.0
        if is_negative.any() and self.is_reporting:
            report_weakness(
                logger,
                "The cross section is negative at %d of %d parameter points, where %g events are "
                "expected instead: too few events were generated for theta so far away.",
                is_negative.sum(),
                len(mean),
                SMALLEST_MEAN,
            )
        mean = np.where(is_negative, SMALLEST_MEAN, mean)
        slope = np.where(is_negative[:, np.newaxis], 0.0, slope)
        n = _of(self.n_observed, datasets)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gradient = (1.0 - n / mean)[:, np.newaxis] * slope
            # the larger of observed and expected information: then no step goes too far
            curvature = _outer(slope) * (np.maximum(n, mean) / mean**2)[:, np.newaxis, np.newaxis]
        return Expansion(-log_poisson(n, mean), gradient, curvature)

    def scan(self, points: ParameterPoints) -> FloatArray:
        """See `Term`."""
        sigma, _ = self.total.expand(points, first_dataset(points))
        mean = np.where(sigma[:, 0] < 0.0, SMALLEST_MEAN, self.luminosity * sigma[:, 0])
        return -log_poisson(self.n_observed[:, np.newaxis], mean)


@dataclass(frozen=True, slots=True, eq=False)
class BinnedShape(Term):
    r"""Distribution of events over bins: :math:`-\sum_k N_k \log (q_k / V_k)`.

    Args:
        bins: Cross sections :math:`\sigma_k`; :math:`q_k` is the share of a bin.
        counts: Observed numbers of events, or sums of their weights, shape ``(D, K)``.
        volumes: Volumes of the bins, by which shares become densities, shape ``(D, K)`` or
            ``(1, K)``.
    """

    bins: Yields
    counts: FloatArray
    volumes: FloatArray

    name: ClassVar[str] = "shape"

    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:
        """See `Term`."""
        sigma, gradient = self.bins.expand(points, datasets)
        counts = _of(self.counts, datasets)
        densities = binned_densities(sigma, _of(self.volumes, datasets))
        is_positive = sigma > 0.0
        content = np.where(is_positive, sigma, 0.0)
        slope = np.where(is_positive[..., np.newaxis], gradient, 0.0)
        sums = content.sum(axis=1)[:, np.newaxis]
        total = np.where(sums > 0.0, sums, 1.0)  # without any content densities are uniform
        share = content / total
        # derivative of log(share + epsilon), which a bin without events does not have
        slope_of_share = (
            slope / total[..., np.newaxis]
            - share[..., np.newaxis] * (slope.sum(axis=1) / total)[:, np.newaxis]
        )
        slope_of_log = slope_of_share / (share + SMALLEST_SHARE)[..., np.newaxis]
        value = -np.einsum("nk,nk->n", counts, np.log(densities))
        expected = counts.sum(axis=1)[:, np.newaxis] * share
        curvature = np.einsum("nk,nki,nkj->nij", expected, slope_of_log, slope_of_log)
        return Expansion(value, -np.einsum("nk,nki->ni", counts, slope_of_log), curvature)

    def scan(self, points: ParameterPoints) -> FloatArray:
        """See `Term`; all data sets must have the same bins."""
        sigma, _ = self.bins.expand(points, first_dataset(points))
        values: FloatArray = -self.counts @ np.log(binned_densities(sigma, self.volumes)).T
        return values


@dataclass(frozen=True, slots=True, eq=False)
class LearnedShape(Term):
    r"""Distribution of events from a network: :math:`-\sum_i w_i \log \hat f(x_i|\theta, \nu)`.

    A ratio stands for the density: its reference does not depend on the parameters.

    Args:
        density: The estimator.
        x: Observables of all data sets, one after the other, shape ``(n_events, n_observables)``.
        weights: Weights of the events, which add up to their number, shape ``(n_events,)``.
        starts: First event of each data set, and the end of the last, shape ``(D + 1,)``.
    """

    density: LearnedDensity
    x: FloatArray
    weights: FloatArray
    starts: IntArray

    name: ClassVar[str] = "shape"

    @property
    def depends_on_nu(self) -> bool:
        """Whether the network knows the nuisance parameters."""
        return self.density.knows_nu

    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:
        """See `Term`."""
        positions = self.density.positions(points)
        m = points.setup.n_parameters + points.nus.shape[1]
        if len(self.starts) == 2:
            value, gradient, curvature = self._every_event(positions)
        else:
            value, gradient, curvature = self._own_events(positions, datasets)
        known = positions.shape[1]
        all_gradients, all_curvatures = np.zeros((len(points), m)), np.zeros((len(points), m, m))
        all_gradients[:, :known] = gradient
        all_curvatures[:, :known, :known] = curvature
        return Expansion(value, all_gradients, all_curvatures)

    def values(self, points: ParameterPoints, datasets: IntArray) -> FloatArray:
        """The values alone, without the cost of scores, shape ``(n,)``."""
        if len(self.starts) > 2:
            return self.expand(points, datasets).value
        positions = self.density.positions(points)
        value, lost = np.zeros(len(positions)), 0.0
        for events in self.blocks(len(positions)):
            log_f, _ = self.density.combinations(self.x[events], positions)
            w = self.weights[events]
            lost += float(np.abs(w[~np.isfinite(log_f).all(axis=0)]).sum())
            value -= _counting(log_f)[0] @ w
        if lost > MOST_LOST * float(np.abs(self.weights).sum()):
            raise DataError(
                "The estimator gives no finite likelihood for most of the events at some parameter "
                "point: choose a smaller grid, or check the estimator."
            )
        return value

    def scan(self, points: ParameterPoints) -> FloatArray:
        """See `Term`."""
        positions, n = self.density.positions(points), len(self.starts) - 1
        owner = np.repeat(np.arange(n), np.diff(self.starts))
        total = np.zeros((n, len(positions)))
        for events in self.blocks(len(positions)):
            log_f = _counting(self.density.combinations(self.x[events], positions)[0])[0]
            total -= _sums((log_f * self.weights[events]).T, owner[events], n)
        return total

    def blocks(self, n_points: int) -> list[slice]:
        """Events whose values at so many points are held at once."""
        return list(row_blocks(len(self.x), max(1, _CELLS // max(n_points, 1))))

    def _every_event(self, positions: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """All points with all events of the only data set."""
        n, m = positions.shape
        value, gradient, curvature = np.zeros(n), np.zeros((n, m)), np.zeros((n, m, m))
        for events in self.blocks(n * (m + 1)):
            log_f, score = self.density.combinations(self.x[events], positions, with_score=True)
            log_f, score = _counting(log_f, score)
            w = self.weights[events]
            value -= log_f @ w
            gradient -= np.einsum("nei,e->ni", score, w)
            curvature += np.einsum("nei,nej,e->nij", score, score, np.abs(w), optimize=True)
        return value, gradient, curvature

    def _own_events(
        self, positions: FloatArray, datasets: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Every point with the events of its data set."""
        n, m = positions.shape
        lengths = np.diff(self.starts)[datasets]
        owner = np.repeat(np.arange(n), lengths)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = np.repeat(self.starts[datasets], lengths) + np.arange(len(owner)) - first
        if not len(owner):
            return np.zeros(n), np.zeros((n, m)), np.zeros((n, m, m))
        log_f, score = self.density.pairs(self.x[events], positions[owner])
        log_f, score = _counting(log_f, score)
        w = self.weights[events]
        outer = _outer(score) * np.abs(w)[:, np.newaxis, np.newaxis]
        return (
            -_sums((w * log_f)[:, np.newaxis], owner, n)[:, 0],
            -_sums(score * w[:, np.newaxis], owner, n),
            _sums(outer.reshape(len(owner), -1), owner, n).reshape(n, m, m),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ResponseShape(Term):
    r"""Change of a distribution by nuisance parameters, from the learned response of each event.

    .. math::

        -\sum_i w_i \log \frac{p(x_i|\theta, \nu)}{p(x_i|\theta, 0)}
        = -\sum_j (A_j \nu_j + B_j \nu_j^2)
        + N \log \frac{\sigma(\theta, \nu)}{\sigma(\theta, 0)}, \qquad
        A_j = \sum_i w_i\, a_j(x_i), \quad B_j = \sum_i w_i\, b_j(x_i)

    Added to a term that knows theta alone. The sums over events are calculated once, so that
    profiling costs nothing per event.

    Args:
        total: The cross section, one cell.
        linear: Sums A, shape ``(D, v)``.
        quadratic: Sums B, shape ``(D, v)``.
        spread: Sums of :math:`w\, (a - \bar a)(a - \bar a)^T`, shape ``(D, v, v)``.
        n_observed: Numbers of events, shape ``(D,)``.
        respond: Gives a and b of events from their observables, for other data.
    """

    total: Yields
    linear: FloatArray
    quadratic: FloatArray
    spread: FloatArray
    n_observed: FloatArray
    respond: Respond | None = None

    @classmethod
    def of(
        cls,
        total: Yields,
        a: FloatArray,
        b: FloatArray,
        weights: FloatArray,
        starts: IntArray | None = None,
        respond: Respond | None = None,
    ) -> ResponseShape:
        """The term of events with coefficients a and b ``(n, v)`` and weights ``(n,)``.

        `starts` is the first event of each data set, and the end of the last; None for one set.
        """
        ends = np.array([0, len(weights)]) if starts is None else starts
        n, owner = len(ends) - 1, np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        w = weights[:, np.newaxis]
        number = _sums(w, owner, n)
        linear, quadratic = _sums(w * a, owner, n), _sums(w * b, owner, n)
        mean = np.divide(linear, number, out=np.zeros_like(linear), where=number != 0.0)
        steps = _outer(a - mean[owner]) * np.abs(weights)[:, np.newaxis, np.newaxis]
        v = a.shape[1]
        spread = _sums(steps.reshape(len(a), v * v), owner, n).reshape(n, v, v)
        return cls(total, linear, quadratic, spread, number[:, 0], respond)

    name: ClassVar[str] = "shape"

    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:
        """See `Term`."""
        sigma, slope = self.total.expand(points, datasets)
        sigma_0, slope_0 = self.total.expand(nominal_points(points), datasets)
        p = points.setup.n_parameters
        n, nus = _of(self.n_observed, datasets), points.nus
        a, b = _of(self.linear, datasets), _of(self.quadratic, datasets)
        with np.errstate(divide="ignore", invalid="ignore"):  # no step goes where sigma vanishes
            by_log, change = slope[:, 0] / sigma, np.log(sigma / sigma_0)[:, 0]
            by_log[:, :p] -= (slope_0[:, 0] / sigma_0)[:, :p]
        gradient = n[:, np.newaxis] * by_log
        gradient[:, p:] -= a + 2.0 * b * nus
        curvature = np.zeros((len(n), *gradient.shape[1:] * 2))
        curvature[:, p:, p:] = _of(self.spread, datasets)
        value = n * change - np.sum(a * nus + b * nus**2, axis=1)
        return Expansion(value, gradient, curvature)

    def scan(self, points: ParameterPoints) -> FloatArray:
        """See `Term`."""
        at = points, nominal_points(points)
        sigma, sigma_0 = (self.total.expand(one, first_dataset(one))[0][:, 0] for one in at)
        change = self.linear @ points.nus.T + self.quadratic @ (points.nus**2).T
        values: FloatArray = self.n_observed[:, np.newaxis] * np.log(sigma / sigma_0) - change
        return values


def binned_densities(sigma: FloatArray, volumes: FloatArray) -> FloatArray:
    r"""Densities of histograms with cross sections ``(n, K)``, of which negative ones are zero.

    .. math:: \frac{q_k + \epsilon}{(1 + K \epsilon) V_k}, \qquad
              q_k = \frac{\sigma_k}{\sum_l \sigma_l}, \qquad \epsilon = 10^{-12}
    """
    content = np.maximum(sigma, 0.0)
    total = content.sum(axis=1, keepdims=True)
    shares = content / np.where(total > 0.0, total, 1.0) + SMALLEST_SHARE
    densities: FloatArray = shares / shares.sum(axis=1, keepdims=True) / volumes
    return densities


def first_dataset(points: ParameterPoints) -> IntArray:
    """The first data set for all points."""
    return np.zeros(len(points), dtype=np.int64)


def nominal_points(points: ParameterPoints) -> ParameterPoints:
    """The same points in theta, with nuisance parameters at zero."""
    return ParameterPoints(points.table, points.which, np.zeros_like(points.nus))


def _of(values: FloatArray, datasets: IntArray) -> FloatArray:
    """Values of data sets; a single one serves all points."""
    if len(values) == 1:
        return np.broadcast_to(values, (len(datasets), *values.shape[1:]))
    return values[datasets]


def _outer(vectors: FloatArray) -> FloatArray:
    """Products ``(n, m, m)`` of the components of vectors ``(n, m)``."""
    products: FloatArray = vectors[:, :, np.newaxis] * vectors[:, np.newaxis, :]
    return products


def _sums(rows: FloatArray, owner: IntArray, n: int) -> FloatArray:
    """Sums of the rows of each owner, shape ``(n, m)``."""
    sums = np.stack([np.bincount(owner, c, minlength=n) for c in rows.T], axis=1)
    return sums.astype(np.float64)  # sums of no rows at all are whole numbers


def _counting(log_f: FloatArray, score: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Events whose value is not finite at any of the points count nowhere."""
    scores = np.empty((*log_f.shape, 0)) if score is None else score
    is_finite = np.isfinite(log_f) & np.isfinite(scores).all(axis=-1)
    used = np.asarray(is_finite.all(axis=0) if log_f.ndim == 2 else is_finite)
    if used.all():
        return log_f, scores
    report_weakness(
        logger,
        "%d of %d events have no finite likelihood at some parameter point and do not count.",
        np.count_nonzero(~used),
        used.size,
    )
    return np.where(used, log_f, 0.0), np.where(used[..., np.newaxis], scores, 0.0)
