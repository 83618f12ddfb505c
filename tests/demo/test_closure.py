"""Each closure test passes on exact input and fails on a planted bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from madminer.demo.closure import (
    ScoreComparison,
    check_information,
    check_mean_scores,
    check_score_correlations,
)

N = 20_000


@pytest.fixture
def exact() -> ScoreComparison:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(N, 2))
    weights = rng.uniform(0.5, 1.5, size=N)
    weights /= weights.sum()
    scores -= weights @ scores
    return ScoreComparison(np.zeros((N, 1)), weights, scores, scores, n_effective_train=N)


def test_exact_scores_close(exact: ScoreComparison) -> None:
    checks = check_score_correlations(exact, ["a", "b"], minimum=0.99)
    checks += check_mean_scores(exact, ["a", "b"], "parton level")
    assert [check.passed for check in checks] == [True] * 4


def test_shifted_scores_fail(exact: ScoreComparison) -> None:
    # standard error: 1/sqrt(N) from the test, as much from the training: 0.01
    shifted = replace(exact, estimated=exact.estimated + np.array([0.06, 0.0]))
    first, second = check_mean_scores(shifted, ["a", "b"], "parton level")
    assert not first.passed
    assert second.passed


def test_noisy_scores_fail(exact: ScoreComparison) -> None:
    noise = np.random.default_rng(4).normal(scale=0.3, size=exact.estimated.shape)
    noisy = replace(exact, estimated=exact.estimated + noise)
    correlations = noisy.correlations
    np.testing.assert_allclose(correlations, 1.0 / np.sqrt(1.09), atol=0.005)
    checks = check_score_correlations(noisy, ["a", "b"], minimum=0.99)
    assert not any(check.passed for check in checks)


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
    assert check_information(scale * truth, truth, max_error=0.05).passed is passed


def test_wrong_off_diagonal_fails() -> None:
    truth = np.diag([4.0, 2.0])
    wrong = truth + np.array([[0.0, 0.4], [0.4, 0.0]])
    assert not check_information(wrong, truth, max_error=0.05).passed
