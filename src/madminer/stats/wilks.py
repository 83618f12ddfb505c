r"""Asymptotic p-values: the chi-squared distribution of the log likelihood ratio.

**Constraints on nuisance parameters: what is known of them before the measurement.**

Each is a standard normal, as nu counts standard deviations of its systematic uncertainty:

.. math::

    \log p(\nu) = -\tfrac12 \sum_j \left(\nu_j^2 + \log 2 \pi\right), \qquad
    \frac{\partial \log p}{\partial \nu_j} = -\nu_j, \qquad I_{jk} = \delta_{jk}

References:
    Wilks, *The large-sample distribution of the likelihood ratio*, 1938;
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, Sec. 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import number, real_array, whole
from madminer.errors import DataError
from madminer.typing import FloatArray

_ROUNDING = 1e-6


def log_poisson(n_observed: ArrayLike, n_expected: ArrayLike) -> FloatArray:
    r"""Logarithm of the Poisson probability, continued to real event numbers.

    .. math:: \log \mathrm{Pois}(n | \lambda) = n \log \lambda - \lambda - \log \Gamma(n + 1)

    Args:
        n_observed: Observed numbers n, not negative and not necessarily whole; any shape.
        n_expected: Expected numbers lambda, not negative; any shape.

    Returns:
        Log probabilities, shape of the broadcast arguments; minus infinity where nothing is
        expected and something observed.

    Raises:
        DataError: If a number is negative or not a number.

    Examples:
        >>> float(np.exp(log_poisson(2, 3.0)).round(6))  # 3^2 e^-3 / 2!
        0.224042
    """
    n = real_array(n_observed, "n_observed", error=DataError)
    mean = real_array(n_expected, "n_expected", error=DataError)
    if not (np.all(n >= 0.0) and np.all(mean >= 0.0)):
        raise DataError(
            "Event numbers must not be negative, got observed numbers down to "
            f"{np.min(n)} and expected ones down to {np.min(mean)}. A negative expectation means "
            "that the cross section at this theta is negative: too few events for the morphing."
        )
    from scipy.special import gammaln, xlogy  # takes a fifth of a second, as below

    result: FloatArray = xlogy(n, mean) - mean - gammaln(n + 1.0)
    return result


def log_constraint(nu: ArrayLike) -> FloatArray:
    """Logarithm of the density of the constraints, to be added to a log likelihood.

    Args:
        nu: Nuisance parameters, shape ``(..., v)``.

    Returns:
        Logarithms, shape ``(...)``.

    Examples:
        >>> difference = log_constraint([1.0, -2.0]) - log_constraint([0.0, 0.0])
        >>> float(-2.0 * difference)  # as two measurements one and two standard deviations off
        5.0
    """
    values = np.asarray(nu, dtype=np.float64)
    logs: FloatArray = -0.5 * np.sum(values**2 + np.log(2.0 * np.pi), axis=-1)
    return logs


def constraint_score(nu: ArrayLike) -> FloatArray:
    """Derivatives of `log_constraint`, to be added to a score: ``(..., v)`` to ``(..., v)``."""
    return -np.asarray(nu, dtype=np.float64)


def constraint_information(n_parameters: int, n_nuisance_parameters: int) -> FloatArray:
    """Fisher information of the constraints, to be added to that of the events.

    Args:
        n_parameters: Number p of theory parameters, which have no constraints.
        n_nuisance_parameters: Number v of nuisance parameters.

    Returns:
        Diagonal matrix, shape ``(p + v, p + v)``.

    Examples:
        >>> constraint_information(1, 1)
        array([[0., 0.],
               [0., 1.]])
    """
    return np.diag([0.0] * n_parameters + [1.0] * n_nuisance_parameters)


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
    from scipy.special import chdtrc

    result: FloatArray = np.asarray(chdtrc(float(whole(dof, "dof", 1)), values), dtype=np.float64)
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
    from scipy.special import chdtri

    return float(chdtri(float(whole(dof, "dof", 1)), 1.0 - level))
