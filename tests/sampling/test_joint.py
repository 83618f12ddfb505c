from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import DataError
from madminer.sampling.augment import joint_ratio, joint_score


def test_score_is_the_derivative_of_the_log_ratio() -> None:
    """At w(theta) = (1 + s theta)^2 and the cross section that belongs to it."""
    slopes, theta, step = np.array([0.2, -0.4, 1.1]), 0.3, 1e-5

    def weights(t: float) -> np.ndarray:
        return (1.0 + slopes * t) ** 2

    def xsecs(t: float) -> np.ndarray:
        return np.full(3, weights(t).sum())

    ratio = joint_ratio(
        weights(theta + step), weights(theta - step), xsecs(theta + step), xsecs(theta - step)
    )
    gradient = 2.0 * slopes * (1.0 + slopes * theta)
    score = joint_score(
        weights(theta), gradient[:, np.newaxis], xsecs(theta), np.full((3, 1), gradient.sum())
    )
    np.testing.assert_allclose(score[:, 0], np.log(ratio) / (2.0 * step), rtol=1e-6)
    # The expectation of the score vanishes.
    assert np.sum(weights(theta) * score[:, 0]) == pytest.approx(0.0, abs=1e-12)


def test_common_factors_cancel() -> None:
    w, s = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_allclose(joint_ratio(w, w, s, s), 1.0)
    np.testing.assert_allclose(joint_ratio(5.0 * w, 5.0 * s, s, w), joint_ratio(w, s, s, w))


def test_events_outside_the_support_are_refused() -> None:
    one, none = np.ones(2), np.array([1.0, 0.0])
    with pytest.raises(DataError, match=r"joint likelihood ratio needs weights.* 1 of 2"):
        joint_ratio(one, none, one, one)
    with pytest.raises(DataError, match="joint score needs weights"):
        joint_score(none, one[:, np.newaxis], one, one[:, np.newaxis])
