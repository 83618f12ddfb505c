r"""Joint likelihood ratio and joint score: what a simulator knows about each of its events.

.. math::

    r(x, z | \theta_0, \theta_1) = \frac{w(\theta_0) / \sigma(\theta_0)}
                                        {w(\theta_1) / \sigma(\theta_1)}, \qquad
    t(x, z | \theta) = \nabla_\theta \log \frac{w(\theta)}{\sigma(\theta)}
                     = \frac{\nabla w}{w} - \frac{\nabla \sigma}{\sigma}

References:
    Brehmer et al., *Constraining Effective Field Theories with Machine Learning*,
    arXiv:1805.00013, Eqs. (9) and (10).
"""

from __future__ import annotations

import numpy as np

from madminer.errors import DataError
from madminer.typing import FloatArray

__all__ = ["joint_ratio", "joint_score"]


def joint_ratio(
    weights0: FloatArray, weights1: FloatArray, xsecs0: FloatArray, xsecs1: FloatArray
) -> FloatArray:
    """Joint likelihood ratio of each event.

    Args:
        weights0: Weights at the point of the numerator, shape ``(n,)``.
        weights1: Weights at the point of the denominator, shape ``(n,)``.
        xsecs0: Cross sections at the numerator, shape ``(n,)``.
        xsecs1: Cross sections at the denominator, shape ``(n,)``.

    Returns:
        Ratios, shape ``(n,)``.

    Raises:
        DataError: If a weight in the denominator is zero.

    Examples:
        >>> joint_ratio(np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([1.0]))
        array([0.5])
    """
    _require_support(weights1, "joint likelihood ratio")
    ratio: FloatArray = (weights0 / xsecs0) / (weights1 / xsecs1)
    return ratio


def joint_score(
    weights: FloatArray, gradients: FloatArray, xsecs: FloatArray, xsec_gradients: FloatArray
) -> FloatArray:
    """Joint score of each event.

    Args:
        weights: Weights, shape ``(n,)``.
        gradients: Gradients of the weights, shape ``(n, n_parameters)``.
        xsecs: Cross sections, shape ``(n,)``.
        xsec_gradients: Gradients of the cross sections, shape ``(n, n_parameters)``.

    Returns:
        Scores, shape ``(n, n_parameters)``.

    Raises:
        DataError: If a weight is zero.
    """
    _require_support(weights, "joint score")
    score: FloatArray = gradients / weights[:, np.newaxis] - xsec_gradients / xsecs[:, np.newaxis]
    return score


def _require_support(weights: FloatArray, quantity: str) -> None:
    n_zero = np.count_nonzero(weights == 0.0)
    if n_zero:
        raise DataError(
            f"The {quantity} needs weights other than zero, but {n_zero} of {len(weights)} drawn "
            f"events have weight zero at the parameter point. Choose points at which all events "
            f"are possible."
        )
