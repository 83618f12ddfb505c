r"""Histograms at random values of nuisance parameters ("toys"), in one pass over the events.

.. math::

    h_k(\theta, \nu) = \sum_{i \in k} w_i(\theta)\, f_i(\nu), \qquad \nu_j \sim N(0, 1)

The weights :math:`w_i` form a sparse matrix of bins and events, the factors :math:`f_i` a dense one
of events and toys; their product is the histograms of all toys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array

from madminer.analysis import DataAnalyzer
from madminer.analysis.response import EventResponse
from madminer.analysis.weights import ParameterPoints, ThetaTable
from madminer.checks import random_generator, whole
from madminer.typing import FloatArray, IntArray, Seed, ThetaLike

BAND_68 = (0.16, 0.84)
"""Quantiles of toys between which a band of 68 % lies."""

BAND_95 = (0.025, 0.975)
"""The same for 95 %."""

FACTOR_RANGE = (0.01, 100.0)
"""Range of the factors on single events, so that extrapolations of a few do not fill a bin."""

_N_FACTORS = 500_000  # held at once; more do not fit into caches


def toy_nus(n_toys: int, n_nuisance_parameters: int, seed: Seed = None) -> FloatArray:
    """Draw nuisance parameters from their constraint, the standard normal distribution.

    Args:
        n_toys: Number of toys.
        n_nuisance_parameters: Their number v.
        seed: Source of randomness.

    Returns:
        Values, shape ``(n_toys, v)``.

    Raises:
        OptionError: If there are no toys.

    Examples:
        >>> toy_nus(3, 2, seed=1).shape
        (3, 2)
    """
    shape = whole(n_toys, "n_toys", 1), n_nuisance_parameters
    return random_generator(seed).standard_normal(shape)


def toy_batch_size(n_nus: int) -> int:
    """Number of events whose factors at all toys are held at once."""
    return max(_N_FACTORS // n_nus, 1000)


def toy_histograms(
    analyzer: DataAnalyzer,
    batches: Iterable[tuple[FloatArray, FloatArray]],
    thetas: Sequence[ThetaLike],
    nus: FloatArray,
    columns: Sequence[int],
    edges: Sequence[FloatArray],
) -> FloatArray:
    """Histograms of observables at every pair of theta and nu.

    Args:
        analyzer: Analysis with nuisance parameters.
        batches: Observables and weights at all benchmarks, as from `DataAnalyzer.event_loader`;
            `toy_batch_size` says how many events in each fit.
        thetas: Names or indices of benchmarks, or positions.
        nus: Nuisance parameters, shape ``(n_nus, v)``.
        columns: Column of each observable.
        edges: Bin edges of each observable, all of the same shape ``(n_bins + 1,)``.

    Returns:
        Sums of weights in pb, shape ``(n_thetas, n_columns, n_nus, n_bins)``. Factors on events
        are clipped to `FACTOR_RANGE`.

    Raises:
        MorphingError: If weights are not known at a theta.
    """
    points = [_points(analyzer, theta, nus) for theta in thetas]
    sums = np.zeros((len(thetas), len(columns), len(nus), len(edges[0]) - 1))
    reported: set[str] = set()
    for x, weights in batches:
        response = EventResponse.of(analyzer.response, weights)
        response.report(reported)
        bins = [_bins(x[:, column], edge) for column, edge in zip(columns, edges, strict=True)]
        factors: FloatArray | None = None
        for point, of_theta in zip(points, sums, strict=True):
            if factors is None or analyzer.response.varying:
                logs = response.log_factors(point)
                factors = np.exp(np.clip(logs.T, *np.log(FACTOR_RANGE)))
            at_theta = weights @ point.table.coefficients[0]
            for of_column, bin_ in zip(of_theta, bins, strict=True):
                of_column += _binned(at_theta, bin_, factors, of_column.shape[1]).T
    return sums


def unit_area(histograms: FloatArray, edges: FloatArray) -> FloatArray:
    """Histograms divided by their area, shape ``(..., n_bins)``.

    Examples:
        >>> unit_area(np.array([1.0, 3.0]), np.array([0.0, 0.5, 1.0]))
        array([0.5, 1.5])
    """
    area = np.sum(histograms * np.diff(edges), axis=-1, keepdims=True)
    result: FloatArray = histograms / area
    return result


def ratios(histograms: FloatArray, nominal: FloatArray) -> FloatArray:
    """Histograms relative to a nominal one, not a number where that is zero.

    Args:
        histograms: Contents of bins, shape ``(..., n_bins)``.
        nominal: Nominal contents, shape ``(..., n_bins)``.

    Returns:
        Ratios, shape ``(..., n_bins)``. Figures have gaps where a ratio is not a number.
    """
    gaps = np.full(np.broadcast_shapes(histograms.shape, nominal.shape), np.nan)
    result: FloatArray = np.divide(histograms, nominal, out=gaps, where=nominal != 0.0)
    return result


def _points(analyzer: DataAnalyzer, theta: ThetaLike, nus: FloatArray) -> ParameterPoints:
    return ParameterPoints(
        ThetaTable(analyzer.setup, [theta]), np.zeros(len(nus), dtype=np.int64), nus
    )


def _bins(values: FloatArray, edges: FloatArray) -> IntArray:
    """Bin of each value as in `numpy.histogram`, -1 or n_bins outside."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins[values == edges[-1]] = len(edges) - 2
    return bins


def _binned(weights: FloatArray, bins: IntArray, factors: FloatArray, n_bins: int) -> FloatArray:
    """Sums of weights times each column of factors, shape ``(n_bins, n_nus)``."""
    inside = np.flatnonzero((bins >= 0) & (bins < n_bins))
    matrix = csr_array((weights[inside], (bins[inside], inside)), shape=(n_bins, len(weights)))
    result: FloatArray = matrix @ factors
    return result
