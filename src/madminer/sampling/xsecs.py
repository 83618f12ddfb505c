r"""Cross sections of the events in a table, and their gradients, at many parameter points.

**Fits: sums over events at very many values of the nuisance parameters.** A pass over the events
gives their sums :math:`S_{gb}(\nu)` at one nu. The logarithms of the sums are smooth functions: the
cumulants of the responses, of which the first two dominate. For many nu, they are calculated
exactly at some of them, the most extreme ones included, and polynomials

.. math:: \log \frac{S_{gb}(\nu)}{S_{gb}(\nu_0)} = \sum_\alpha c_{gb\alpha}
    \prod_j T_{\alpha_j}(\nu_j), \qquad \sum_j \alpha_j \le K

of Chebyshev polynomials are fitted to them. The fit is used only if it agrees with exact sums and
derivatives at other points, again with extreme ones, to a relative 1e-6 and 1e-5; typical
deviations are orders of magnitude smaller. Otherwise the sums are calculated at every nu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from madminer.analysis.sums import NuisanceSums, distinct_points, xsec_gradients
from madminer.analysis.weights import ParameterPoints
from madminer.progress import track
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

_AT_ONCE = 256  # values of nu in one pass over the events
_MANY = 4  # passes from which on a progress bar is shown

SUM_TOLERANCE = 1e-6
"""Largest relative deviation of a sum at the points that check a fit."""

SLOPE_TOLERANCE = 1e-5
"""Largest deviation of the derivative of its logarithm there."""

_MAX_TERMS = 800
_MAX_DEGREE = 12
_POINTS_PER_TERM = 2.0
_N_CHECKS = 100
_LARGEST_LOG = 600.0
_GAIN = 4  # fewer passes than without a fit, for it to be tried


def xsecs_and_gradients(
    table: WeightTable,
    points: ParameterPoints,
    factors: FloatArray,
    *,
    by_theta: bool = False,
    by_nu: bool = False,
) -> tuple[FloatArray, FloatArray | None]:
    """Sum up the weights of events at parameter points.

    At nominal nuisance parameters the sums over the table serve all points; each other nu costs a
    pass over it, unless there are so many that a fit does.

    Args:
        table: Weights of the events.
        points: Parameter points.
        factors: Factors of the groups of the file at each point, shape ``(n, n_file_groups)``.
        by_theta: Whether gradients are wanted.
        by_nu: Whether they have components for nuisance parameters.

    Returns:
        Cross sections in pb, shape ``(n,)``, and gradients, shape ``(n, p)`` or ``(n, p + v)``;
        None where not wanted.
    """
    if points.is_nominal and not by_nu:
        sums = factors @ table.file_sums
        nominal: FloatArray = np.einsum("nb,nb->n", points.coefficients, sums)
        return nominal, np.einsum("npb,nb->np", points.gradients, sums) if by_theta else None
    distinct, which = distinct_points(table.model, points)
    with_slopes = by_theta or by_nu
    fit = fit_nuisance_sums(table, points.take(distinct), with_slopes=with_slopes)
    source = table if fit is None else fit
    order = np.argsort(which, kind="stable")
    xsecs = np.empty(len(points))
    n_gradients = points.setup.n_parameters + (len(table.model.columns) if by_nu else 0)
    gradients = np.empty((len(points), n_gradients)) if by_theta else None
    starts = range(0, len(distinct), _AT_ONCE)
    for start in track(starts, "Integrating") if len(starts) >= _MANY else starts:
        some = points.take(distinct[start : start + _AT_ONCE])
        low, high = np.searchsorted(which[order], [start, start + len(some)])
        mine = order[low:high]
        found = source.nuisance_sums(some, with_slopes=with_slopes)
        part, at = points.take(mine), which[mine] - start
        first = np.einsum("ng,ngb->nb", factors[mine], found.first[at])
        xsecs[mine] = np.einsum("nb,nb->n", part.coefficients[:, : first.shape[1]], first)
        if gradients is not None:
            gradients[mine] = xsec_gradients(found, at, part, factors[mine], by_nu=by_nu)
    return xsecs, gradients


@dataclass(frozen=True, slots=True, eq=False)
class NuisanceFit:
    """Polynomials in nu for the logarithms of the sums of each group and benchmark.

    Args:
        exponents: Degrees of the terms, shape ``(n_terms, v)``.
        low: Smallest nu, shape ``(v,)``.
        high: Largest nu, shape ``(v,)``.
        coefficients: Coefficients, shape ``(n_terms, n_groups, n_physical)``.
        scale: Sums at which the logarithm is zero, with their signs, zero where there are no
            events, shape ``(n_groups, n_physical)``.
        n_events: Number of events of each group, shape ``(n_groups,)``.
    """

    exponents: IntArray
    low: FloatArray
    high: FloatArray
    coefficients: FloatArray
    scale: FloatArray
    n_events: IntArray

    def nuisance_sums(self, points: ParameterPoints, *, with_slopes: bool) -> NuisanceSums:
        """Sums at parameter points, as those of a `WeightTable`."""
        values, slopes = _polynomials(points.nus, self.low, self.high, int(self.exponents.max()))
        terms = _products(values, self.exponents)
        logs = np.tensordot(terms, self.coefficients, axes=1)
        first = self.scale * np.exp(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))
        if not with_slopes:
            return NuisanceSums(self.n_events, first, None, None)
        p, v = points.setup.n_parameters, len(self.low)
        gradients = np.zeros((len(points), len(self.scale), p + v, self.scale.shape[1]))
        for j in range(v):
            replaced = [*values[:j], slopes[j], *values[j + 1 :]]
            steps = _products(replaced, self.exponents) / (0.5 * (self.high[j] - self.low[j]))
            gradients[:, :, p + j] = first * np.tensordot(steps, self.coefficients, axes=1)
        return NuisanceSums(self.n_events, first, None, gradients)


def fit_nuisance_sums(
    table: WeightTable, points: ParameterPoints, *, with_slopes: bool
) -> NuisanceFit | None:
    """Fit the sums at many nu; None where that is not worth its passes, or not exact enough."""
    nus = points.nus
    degree = _degree(nus.shape[1], len(nus))
    low, high = nus.min(axis=0), nus.max(axis=0)
    if table.model.varying or degree < 1 or not np.all(high > low):
        return None
    exponents = _exponents(nus.shape[1], degree)
    chosen, checks = _choose(nus, math.ceil(_POINTS_PER_TERM * len(exponents)))
    exact = table.nuisance_sums(points.take(chosen), with_slopes=False)
    is_filled = np.all(exact.first != 0.0, axis=0)
    scale = np.where(is_filled, exact.first[0], 0.0)
    ratios = np.where(is_filled, exact.first, 1.0) / np.where(is_filled, scale, 1.0)
    if np.any(exact.first[:, ~is_filled]) or not np.all(ratios > 0.0):
        return None  # sums that change their sign have no logarithm
    values, _ = _polynomials(nus[chosen], low, high, degree)
    design, logs = _products(values, exponents), np.log(ratios)
    coefficients, *_ = np.linalg.lstsq(design, logs.reshape(len(logs), -1), rcond=None)
    shape = (len(exponents), *scale.shape)
    fit = NuisanceFit(exponents, low, high, coefficients.reshape(shape), scale, exact.n_events)
    return fit if _agrees(fit, table, points.take(checks), with_slopes=with_slopes) else None


def _agrees(
    fit: NuisanceFit, table: WeightTable, points: ParameterPoints, *, with_slopes: bool
) -> bool:
    exact = table.nuisance_sums(points, with_slopes=with_slopes)
    found = fit.nuisance_sums(points, with_slopes=with_slopes)
    size = np.where(exact.first != 0.0, np.abs(exact.first), 1.0)
    if not np.all(np.abs(found.first - exact.first) <= SUM_TOLERANCE * size):
        return False
    if found.slopes is None or exact.slopes is None:
        return True
    deviations = np.abs(found.slopes - exact.slopes) / size[:, :, np.newaxis]
    return bool(np.all(deviations <= SLOPE_TOLERANCE))


def _degree(n_nuisances: int, n_points: int) -> int:
    """Largest degree that is worth its passes; 0 if none is."""
    n_terms = min(_MAX_TERMS, (n_points / _GAIN - _N_CHECKS) / _POINTS_PER_TERM)
    degrees = [d for d in range(_MAX_DEGREE + 1) if math.comb(n_nuisances + d, d) <= n_terms]
    return max(degrees, default=0)


def _choose(nus: FloatArray, number: int) -> tuple[IntArray, IntArray]:
    """Points to fit and points to check, both with extreme ones and otherwise spread out."""
    distance = np.sum(((nus - nus.mean(axis=0)) / nus.std(axis=0)) ** 2, axis=1)
    order = np.argsort(-distance, kind="stable")
    ends = np.concatenate([nus.argmin(axis=0), nus.argmax(axis=0), order[: number // 2 : 2]])
    extreme = np.unique(ends)
    rest = np.setdiff1d(order, extreme, assume_unique=True)
    checked = rest[:: max(len(rest) // _N_CHECKS, 1)]  # the first of them is extreme too
    left = np.setdiff1d(rest, checked, assume_unique=True)
    n_missing = max(number - len(extreme), 0)
    inner = left[np.linspace(0, len(left) - 1, n_missing).astype(np.int64)]
    return np.concatenate([extreme, inner]), checked


def _exponents(n_variables: int, degree: int) -> IntArray:
    """All multi-indices with a sum of at most `degree`, shape ``(n_terms, n_variables)``."""
    rows: list[tuple[int, ...]] = [()]
    for _ in range(n_variables):
        rows = [(*row, k) for row in rows for k in range(degree - sum(row) + 1)]
    return np.array(rows)


def _polynomials(
    nus: FloatArray, low: FloatArray, high: FloatArray, degree: int
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Chebyshev polynomials and their derivatives, for each variable ``(n, degree + 1)``."""
    scaled: FloatArray = (2.0 * nus - low - high) / (high - low)
    values, slopes = [], []
    lowering = np.polynomial.chebyshev.chebder(np.eye(degree + 1))  # (degree, degree + 1)
    for column in scaled.T:
        value = np.polynomial.chebyshev.chebvander(column, degree)
        values.append(value)
        slopes.append(value[:, : len(lowering)] @ lowering)
    return values, slopes


def _products(factors: list[FloatArray], exponents: IntArray) -> FloatArray:
    """One factor of each variable: ``(n, n_terms)``."""
    product = factors[0][:, exponents[:, 0]]
    for factor, powers in zip(factors[1:], exponents.T[1:], strict=True):
        product *= factor[:, powers]
    return product
