r"""Quantiles of weighted samples."""

from __future__ import annotations

import numpy as np

from madminer.checks import real_array
from madminer.errors import DataError, OptionError, ShapeError
from madminer.typing import ArrayLike, FloatArray

__all__ = ["weighted_quantiles"]


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
