r"""Asymptotic p-values: the chi-squared distribution of the log likelihood ratio.

References:
    Wilks, *The large-sample distribution of the likelihood ratio*, 1938;
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, Sec. 3.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from madminer.errors import DataError, OptionError
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
    values = np.asarray(log_likelihood, dtype=np.float64)
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
    values = np.asarray(log_r, dtype=np.float64)
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
    values = np.asarray(q, dtype=np.float64)
    if not np.all(values >= 0.0):
        raise DataError(f"q = -2 log r must not be negative, got {np.min(values)}.")
    result: FloatArray = np.asarray(chi2.sf(values, _degrees(dof)), dtype=np.float64)
    return result


def contour_level(confidence_level: float, dof: int) -> float:
    r"""Value of :math:`q = -2 \log r` (or squared distance) on a contour.

    Args:
        confidence_level: Probability inside the contour, between 0 and 1.
        dof: Number of degrees of freedom.

    Returns:
        The quantile of chi-squared.

    Raises:
        OptionError: If an argument lies outside its range.

    Examples:
        >>> round(contour_level(0.68, dof=2), 3)
        2.279
    """
    if not 0.0 < confidence_level < 1.0:
        raise OptionError(f"A confidence level lies between 0 and 1, got {confidence_level}.")
    return float(chi2.ppf(confidence_level, _degrees(dof)))


def _degrees(dof: int) -> int:
    if isinstance(dof, bool) or int(dof) != dof or dof < 1:
        raise OptionError(f"dof must be a positive whole number, got {dof}.")
    return int(dof)
