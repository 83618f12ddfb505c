r"""Asymptotic p-values: the chi-squared distribution of the log likelihood ratio.

References:
    Wilks, *The large-sample distribution of the likelihood ratio*, 1938;
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, Sec. 3.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from madminer.checks import number, real_array, whole
from madminer.errors import DataError
from madminer.typing import ArrayLike, FloatArray

__all__ = ["contour_level", "log_ratio_to_best", "p_values_from_log_r", "p_values_from_q"]

_ROUNDING = 1e-6


def log_ratio_to_best(log_likelihood: ArrayLike) -> tuple[FloatArray, int]:
    r"""Log likelihood ratio to the best point, :math:`\log r = \log L - \max \log L`.

    Args:
        log_likelihood: Log likelihoods up to a constant, shape ``(n,)``.

    Returns:
        log r, not positive, shape ``(n,)``, and the index of the best point.

    Raises:
        DataError: If a value is not a number or none is finite.

    Examples:
        >>> log_ratio_to_best([-3.0, -1.0, -2.0])
        (array([-2.,  0., -1.]), 1)
    """
    values = real_array(log_likelihood, "log_likelihood", error=DataError)
    if values.ndim != 1 or values.size == 0 or np.any(np.isnan(values) | (values == np.inf)):
        raise DataError("Log likelihoods must be a list of numbers below infinity without NaN.")
    best = int(np.argmax(values))
    if not np.isfinite(values[best]):
        raise DataError("The likelihood vanishes at every point; widen the grid.")
    return values - values[best], best


def p_values_from_log_r(log_r: ArrayLike, dof: int) -> FloatArray:
    r"""Asymptotic p-values of log likelihood ratios, :math:`p = F_{>}^{\chi^2}(-2 \log r)`.

    Args:
        log_r: log r (not -2 log r) relative to the best point, hence not positive; any shape.
        dof: Number of degrees of freedom: that of the tested parameters.

    Returns:
        p-values, shape of `log_r`.

    Raises:
        DataError: If a value is positive or not a number.
        OptionError: If `dof` is not a positive whole number.

    Examples:
        >>> p_values_from_log_r([0.0, -0.5, -2.0], dof=1).round(4)
        array([1.    , 0.3173, 0.0455])
    """
    values = real_array(log_r, "log_r", error=DataError)
    if not np.all(values <= _ROUNDING * max(1.0, float(np.max(np.abs(values), initial=0.0)))):
        raise DataError(
            "log r relative to the best point must not be positive; got values up to "
            f"{np.max(values)}. Subtract the maximum first, and give log r, not -2 log r."
        )
    return p_values_from_q(np.maximum(-2.0 * values, 0.0), dof)


def p_values_from_q(q: ArrayLike, dof: int) -> FloatArray:
    r"""Asymptotic p-values of :math:`q = -2 \log r` or of squared distances.

    Args:
        q: Test statistic, not negative; any shape.
        dof: Number of degrees of freedom.

    Returns:
        p-values, shape of `q`.

    Raises:
        DataError: If a value is negative or not a number.
        OptionError: If `dof` is not a positive whole number.
    """
    values = real_array(q, "q", error=DataError)
    if not np.all(values >= 0.0):
        raise DataError(f"q = -2 log r must not be negative, got {np.min(values)}.")
    result: FloatArray = np.asarray(chi2.sf(values, float(whole(dof, "dof", 1))), dtype=np.float64)
    return result


def contour_level(confidence_level: float, dof: int) -> float:
    r"""Value of :math:`q = -2 \log r` (or squared distance) on a contour.

    The convention of every figure and number of this package: a region of confidence level c in
    m parameters ends where q is the c-quantile of :math:`\chi^2_m`, with the same numbers for a
    likelihood ratio and for the distance :math:`q = \Delta\theta^T I\, \Delta\theta` of a Fisher
    information, of which it is the limit. Distance one, q = 1, holds 68 % in one parameter, but
    39 % in two; 68 % in two is at distance 1.51.

    Args:
        confidence_level: Probability inside the contour, between 0 and 1.
        dof: Number of degrees of freedom: that of the parameters shown.

    Returns:
        The quantile of chi-squared; its root is the distance, for example as the
        `contour_distance` of `plot_fisher_information_contours_2d`.

    Raises:
        OptionError: If an argument lies outside its range.

    Examples:
        >>> round(contour_level(0.68, dof=2), 3)
        2.279
    """
    level = number(confidence_level, "confidence_level", above=0.0, below=1.0)
    return float(chi2.ppf(level, float(whole(dof, "dof", 1))))
