"""Each closure test passes on exact input and fails on a planted bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from madminer.demo.closure import (
    REACH,
    Coverage,
    ScoreComparison,
    check_coverage,
    check_information,
    check_score_correlations,
    points_at_borders,
)
from madminer.stats import contour_level

N = 20_000


@pytest.fixture
def exact() -> ScoreComparison:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(N, 2))
    weights = rng.uniform(0.5, 1.5, size=N)
    weights /= weights.sum()
    scores -= weights @ scores
    return ScoreComparison(np.zeros((N, 1)), weights, scores, scores)


def test_exact_scores_close(exact: ScoreComparison) -> None:
    assert check_score_correlations(exact, ["a", "b"], minimum=0.99).passed


def test_noisy_scores_fail(exact: ScoreComparison) -> None:
    noise = np.random.default_rng(4).normal(scale=0.3, size=exact.estimated.shape)
    noisy = replace(exact, estimated=exact.estimated + noise * np.array([0.0, 1.0]))
    correlations = noisy.correlations
    np.testing.assert_allclose(correlations, [1.0, 1.0 / np.sqrt(1.09)], atol=0.005)
    check = check_score_correlations(noisy, ["a", "b"], minimum=0.99)
    assert check.verdict == "failed"
    assert check.quantity == "correlation with the exact score of b"
    assert check.value == correlations[1]


def test_correlation_is_weighted(exact: ScoreComparison) -> None:
    slow = [
        np.cov(
            exact.exact[:, i], exact.exact[:, i] * 2 + exact.exact[:, 1 - i], aweights=exact.weights
        )
        for i in (0, 1)
    ]
    mixed = replace(exact, estimated=exact.exact * 2 + exact.exact[:, ::-1])
    expected = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in slow]
    np.testing.assert_allclose(mixed.correlations, expected, rtol=1e-9)


@pytest.mark.parametrize(("scale", "passed"), [(1.0, True), (1.04, True), (0.8, False)])
def test_information_is_compared_relative_to_the_trace(scale: float, passed: bool) -> None:
    truth = np.array([[4.0, 1.0], [1.0, 2.0]])
    check = check_information(scale * truth, truth, max_error=0.05)
    assert check.passed is passed
    assert check.value == pytest.approx((scale - 1.0) * 4.0 / 6.0)


def test_wrong_off_diagonal_fails() -> None:
    truth = np.diag([4.0, 2.0])
    wrong = truth + np.array([[0.0, 0.4], [0.4, 0.0]])
    check = check_information(wrong, truth, max_error=0.05)
    assert check.verdict == "failed"
    assert "element 12" in check.quantity


@pytest.mark.parametrize(
    ("dof", "scale", "passed"), [(2, 1.0, True), (2, 2.0, False), (2, 0.5, False), (4, 1.0, False)]
)
def test_coverage_of_chi_squared_passes(dof: int, scale: float, passed: bool) -> None:
    q = scale * np.random.default_rng(5).chisquare(dof, size=1000)
    assert check_coverage(Coverage(q, 2)).passed is passed


@pytest.mark.parametrize(("n_inside", "passed"), [(117, True), (116, False), (155, True)])
def test_coverage_within_three_binomial_errors(n_inside: int, passed: bool) -> None:
    """136 of 200 are expected, with a standard deviation of 6.6."""
    level = contour_level(0.68, 2)
    coverage = Coverage(np.repeat([level - 0.01, level + 0.01], [n_inside, 200 - n_inside]), 2)
    check = check_coverage(coverage)
    assert coverage.error == pytest.approx(6.597 / 200, rel=1e-3)
    assert check.passed is passed
    assert check.measured == f"{n_inside / 200:.3f} ± 0.033"
    assert check.requirement == "0.68 within 3 standard errors"


def test_ratios_are_tested_at_the_borders_of_limits() -> None:
    information = np.array([[4.0, 1.0], [1.0, 2.0]])
    points = points_at_borders(np.array([1.0, -1.0]), information)
    widths = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(points.mean(axis=0), [1.0, -1.0])
    np.testing.assert_allclose(np.ptp(points, axis=0), 2.0 * REACH * widths)
    assert np.count_nonzero(points - [1.0, -1.0]) == 4
