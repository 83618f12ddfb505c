r"""Weighted histograms: sums and second moments of several weight columns per bin.

Whatever is linear in the event weights :math:`w_{eb}` of the benchmarks :math:`b` is known at
every parameter point once its sums are known; with the sums of products

.. math:: S_{kb} = \sum_{e \in k} w_{eb}, \qquad V_{kbc} = \sum_{e \in k} w_{eb} w_{ec}

so is its statistical covariance, because the number of events in a bin is Poisson distributed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import real_array
from madminer.errors import DataError, OptionError, ShapeError
from madminer.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BinnedMoments:
    """Sums of weights and of their products in each bin; two of them add up.

    Args:
        counts: Number of events, shape ``(n_bins,)``.
        sums: Sums of the weights, shape ``(n_bins, n_columns)``.
        products: Sums of products of two weights of one event, shape
            ``(n_bins, n_columns, n_columns)``: the covariance of `sums`.
    """

    counts: IntArray
    sums: FloatArray
    products: FloatArray

    def __add__(self, other: BinnedMoments) -> BinnedMoments:
        return BinnedMoments(
            self.counts + other.counts, self.sums + other.sums, self.products + other.products
        )


def as_edges(edges: ArrayLike) -> FloatArray:
    """Check bin edges.

    Args:
        edges: Finite and strictly increasing, shape ``(n_edges,)``.

    Returns:
        The edges as an array of floats, shape ``(n_edges,)``.

    Raises:
        OptionError: If they are not finite and strictly increasing.
    """
    array = real_array(edges, "Bin edges", error=OptionError)
    if array.ndim != 1 or not np.all(np.isfinite(array)) or np.any(np.diff(array) <= 0.0):
        raise OptionError(
            "Bin edges must be a list of finite, strictly increasing numbers, "
            f"got {array.tolist()}."
        )
    return array


def bin_indices(values: ArrayLike, edges: ArrayLike) -> IntArray:
    """Bin of each value; bin 0 lies below the first edge, the last one above the last edge.

    A value on an edge belongs to the bin below.

    Args:
        values: Values, shape ``(n,)``.
        edges: Edges, finite and strictly increasing, shape ``(n_edges,)``.

    Returns:
        Numbers from 0 to `n_edges`, shape ``(n,)``.

    Raises:
        DataError: If a value is not a number.
        OptionError: If the edges do not increase.

    Examples:
        >>> bin_indices([-1.0, 0.0, 0.5, 1.0, 7.0], [0.0, 1.0])
        array([0, 0, 1, 1, 2])
    """
    points = np.asarray(values, dtype=np.float64)
    n_undefined = int(np.count_nonzero(np.isnan(points)))
    if n_undefined:
        raise DataError(
            f"{n_undefined} of {points.size} values are not a number and fit no bin; cut these "
            "events away or give the observable a default."
        )
    return np.searchsorted(as_edges(edges), points, side="left")


def binned_moments(weights: FloatArray, bins: IntArray, n_bins: int) -> BinnedMoments:
    """Sums of weights and of their products in each bin.

    Args:
        weights: Weights of each event, shape ``(n, n_columns)``.
        bins: Bin of each event, from 0 to ``n_bins - 1``, shape ``(n,)``.
        n_bins: Number of bins.

    Returns:
        The moments of all bins; empty bins are zero.

    Raises:
        ShapeError: If the numbers of events differ or a bin lies outside.

    Examples:
        >>> moments = binned_moments(np.array([[1.0], [2.0], [3.0]]), np.array([1, 0, 1]), 3)
        >>> moments.sums[:, 0], moments.products[:, 0, 0]
        (array([2., 4., 0.]), array([ 4., 10.,  0.]))
    """
    if weights.ndim != 2 or bins.shape != weights.shape[:1]:
        raise ShapeError(
            f"Expected weights (n, n_columns) and bins (n,), got {weights.shape} and {bins.shape}."
        )
    if bins.size and not 0 <= int(bins.min()) <= int(bins.max()) < n_bins:
        raise ShapeError(
            f"Bins must lie between 0 and {n_bins - 1}, got {bins.min()} to {bins.max()}."
        )
    n_columns = weights.shape[1]
    sums = np.zeros((n_bins, n_columns))
    products = np.zeros((n_bins, n_columns, n_columns))
    # Small integers sort by radix, and sorted events turn all sums into matrix products.
    order = np.argsort(bins.astype(np.min_scalar_type(n_bins)), kind="stable")
    ordered = np.asarray(weights, dtype=np.float64)[order]
    counts = np.bincount(bins, minlength=n_bins)
    ends = np.cumsum(counts)
    starts = ends - counts
    for k in np.flatnonzero(counts):
        block = ordered[starts[k] : ends[k]]
        sums[k] = np.einsum("eb->b", block)  # four times as fast as sum
        products[k] = block.T @ block
    return BinnedMoments(counts, sums, products)


def weighted_quantiles(
    values: ArrayLike,
    quantiles: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    stretch: bool = False,
) -> FloatArray:
    r"""Quantiles of weighted values, interpolated linearly.

    The sorted values :math:`x_{(i)}` sit at the centred cumulative weights

    .. math:: q_i = \frac{c_i}{\sum_j w_j}, \qquad c_i = \sum_{j \le i} w_j - \tfrac12 w_i

    and quantiles beyond the first and last are the smallest and largest value. For equal weights
    this is the method "hazen" of :func:`numpy.quantile`, stretched it is "linear".

    Args:
        values: Values, shape ``(n,)``.
        quantiles: Probabilities between 0 and 1, shape ``(m,)``.
        weights: Weights of the values, shape ``(n,)``; None for equal ones. Negative weights are
            allowed as long as the total is positive: the cumulative weights are then made
            monotonic.
        stretch: Whether to stretch the :math:`q_i` to [0, 1]: :math:`(c_i - c_1) / (c_n - c_1)`.

    Returns:
        Quantiles, shape ``(m,)``.

    Raises:
        ShapeError: If there are no values, or the shapes differ.
        OptionError: If a probability is outside [0, 1].
        DataError: If values or weights are not finite, or the total weight is not positive.

    Examples:
        >>> weighted_quantiles([3.0, 1.0, 2.0], [0.0, 0.5, 1.0])
        array([1., 2., 3.])
        >>> weighted_quantiles([1.0, 2.0, 3.0], [0.5], weights=[1.0, 2.0, 1.0])
        array([2.])
    """
    x = real_array(values, "values")
    w = np.ones_like(x) if weights is None else real_array(weights, "weights")
    q = real_array(quantiles, "quantiles")
    if x.ndim != 1 or x.size == 0 or w.shape != x.shape:
        raise ShapeError(
            "Quantiles need values (n,) with n > 0 and weights of the same shape, "
            f"got {x.shape} and {w.shape}."
        )
    if not np.all((q >= 0.0) & (q <= 1.0)):
        raise OptionError(f"Quantiles must lie between 0 and 1, got {q.tolist()}.")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(w)) and w.sum() > 0.0):
        raise DataError("Quantiles need finite values and weights with a positive total.")
    order = np.argsort(x)
    x, w = x[order], w[order]
    centred = np.maximum.accumulate(np.cumsum(w) - 0.5 * w)
    low, span = (centred[0], centred[-1] - centred[0]) if stretch else (0.0, w.sum())
    if span <= 0.0:  # all weight on one value
        return np.full(q.shape, x[np.argmax(w)])
    result: FloatArray = np.interp(q, (centred - low) / span, x)
    return result
