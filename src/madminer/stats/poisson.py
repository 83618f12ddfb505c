r"""Poisson probabilities of real event numbers, as Asimov data have."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from madminer.checks import real_array
from madminer.errors import DataError
from madminer.typing import ArrayLike, FloatArray

__all__ = ["log_poisson"]


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
    result: FloatArray = xlogy(n, mean) - mean - gammaln(n + 1.0)
    return result
