from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from madminer.stats import constraint_information, constraint_score, log_constraint

NU = np.random.default_rng(1).normal(0.0, 2.0, (5, 3))


def test_constraints_are_standard_normals() -> None:
    np.testing.assert_allclose(log_constraint(NU), norm.logpdf(NU).sum(axis=1))
    assert log_constraint(NU[0]) == pytest.approx(norm.logpdf(NU[0]).sum())


def test_scores_and_information_are_derivatives() -> None:
    step = 1e-4 * np.eye(3)
    for nu in NU:
        slopes = [(log_constraint(nu + s) - log_constraint(nu - s)) / 2e-4 for s in step]
        np.testing.assert_allclose(constraint_score(nu), slopes, rtol=1e-6)
        curvature = [(constraint_score(nu + s) - constraint_score(nu - s)) / 2e-4 for s in step]
        np.testing.assert_allclose(
            constraint_information(2, 3)[2:, 2:], -np.array(curvature), atol=1e-9
        )
    assert not constraint_information(2, 3)[:2].any()
    np.testing.assert_array_equal(constraint_information(2, 0), np.zeros((2, 2)))


def test_information_is_the_covariance_of_the_score() -> None:
    draws = np.random.default_rng(2).normal(size=(200_000, 2))
    scores = constraint_score(draws)
    np.testing.assert_allclose(scores.T @ scores / len(draws), np.eye(2), atol=0.02)
