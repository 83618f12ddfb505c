"""From means to verdicts: the rule, its false alarms, and errors where few events count."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.validation.judgement import (
    FALSE_ALARMS,
    FEWEST_EVENTS,
    Requirement,
    judge,
    mean_and_error,
    means_in_bins,
    quantile_bins,
    residual_check,
)

NEAR = Requirement("near", "1 within 0.1", "so", "mend", expected=1.0, tolerance=0.1)
NOT_ABOVE = Requirement("not above", "at most 0.1", "so", "mend", tolerance=0.1, side=1)
NOT_BELOW = Requirement("not below", "at least 5", "so", "mend", expected=5.0, side=-1)


@pytest.mark.parametrize(
    ("requirement", "values", "errors", "verdict"),
    [
        (NEAR, [1.05], [0.02], "passed"),
        (NEAR, [1.05], [0.2], "undecided"),  # a value of 1.3 would not have been seen
        (NEAR, [1.2], [0.02], "failed"),
        (NEAR, [0.8], [0.02], "failed"),
        (NEAR, [1.2], [0.09], "passed"),  # further away than allowed, but not significantly
        (NEAR, [1.2], [0.0], "failed"),
        (NEAR, [1.0, 1.0, 0.5], [0.01, 0.01, 0.02], "failed"),
        (NEAR, [np.nan], [0.01], "undecided"),
        (NEAR, [1.0, np.nan], [0.01, np.inf], "undecided"),  # half of the values are not known
        (NEAR, [1.0, 1.0, np.nan], [0.01, 0.01, np.inf], "passed"),
        (NOT_ABOVE, [-3.0], [0.05], "passed"),
        (NOT_ABOVE, [-3.0], [0.5], "passed"),  # better than required by more than the errors
        (NOT_ABOVE, [0.0], [0.5], "undecided"),
        (NOT_ABOVE, [0.4], [0.05], "failed"),
        (NOT_BELOW, [6.0], [0.0], "passed"),
        (NOT_BELOW, [4.0], [0.0], "failed"),
    ],
)
def test_verdicts(
    requirement: Requirement, values: list[float], errors: list[float], verdict: str
) -> None:
    labels = [f"v{i}" for i in range(len(values))]
    check = judge(requirement, labels, np.array(values), np.array(errors))
    assert check.verdict == verdict
    assert (check.name, check.reason, check.remedy) == (requirement.name, "so", "mend")


def test_the_worst_value_is_shown() -> None:
    values, errors = np.array([1.1, 0.4, 1.3]), np.array([0.01, 0.5, 0.02])
    check = judge(NEAR, ["a", "b", "c"], values, errors, quantity="slope of")
    assert (check.quantity, check.value, check.error) == ("slope of c", 1.3, 0.02)
    assert check.values == (("a", 1.1, 0.01), ("b", 0.4, 0.5), ("c", 1.3, 0.02))


@pytest.mark.parametrize("side", [0, 1, -1])
@pytest.mark.parametrize("n_values", [1, 20])
def test_false_alarms_are_as_rare_as_stated(side: int, n_values: int) -> None:
    """At the edge of what is allowed a check of one side fails with the stated probability."""
    rng = np.random.default_rng(1)
    requirement = Requirement("r", "", "", "", tolerance=0.0, side=side)
    n, errors = 3_000, rng.uniform(0.5, 2.0, n_values)
    draws = rng.normal(size=(n, n_values)) * errors
    labels = [""] * n_values
    failed = sum(judge(requirement, labels, v, errors).verdict == "failed" for v in draws)
    expected = FALSE_ALARMS * n
    assert abs(failed - expected) < 3.5 * np.sqrt(expected)


def test_a_tolerance_makes_false_alarms_rarer_and_hides_nothing() -> None:
    rng = np.random.default_rng(2)
    errors = np.full(20, 0.05)
    draws = 1.0 + 0.05 * rng.normal(size=(2_000, 20))
    assert not any(judge(NEAR, [""] * 20, v, errors).verdict == "failed" for v in draws)
    draws[:, 7] += NEAR.tolerance + 6.0 * 0.05
    assert all(
        judge(NEAR, list("abcdefghijklmnopqrst"), v, errors).quantity == "h"
        for v in draws
        if judge(NEAR, [""] * 20, v, errors).verdict == "failed"
    )
    failed = sum(judge(NEAR, [""] * 20, v, errors).verdict == "failed" for v in draws)
    assert failed > 0.98 * len(draws)


def test_mean_and_error_against_sums_written_out() -> None:
    rng = np.random.default_rng(3)
    values, weights = rng.normal(size=(50, 2)), rng.uniform(-0.1, 1.0, 50)
    mean, error = mean_and_error(values, weights)
    without = [np.delete(np.arange(50), i) for i in range(50)]
    total = weights.sum()
    for j in (0, 1):
        expected = sum(w * v for w, v in zip(weights, values[:, j], strict=True)) / total
        assert mean[j] == pytest.approx(expected)
        moved = [(weights[k] @ values[k, j]) / weights[k].sum() - expected for k in without]
        squares = np.square(moved)  # the jackknife
        n_relevant = squares.sum() ** 2 / np.sum(squares**2)
        expected_error = np.sqrt(squares.sum()) * (1.0 + 0.5 / n_relevant)
        assert error[j] == pytest.approx(expected_error)
        single = mean_and_error(values[:, j], weights)
        np.testing.assert_allclose(single, (mean[j], error[j]))


@pytest.mark.parametrize("spread", [0.0, 1.0, 1.6, 2.0])
def test_errors_cover_with_few_large_weights(spread: float) -> None:
    """68 % within 3 points, down to 150 effective events of 3000."""
    rng = np.random.default_rng(4)
    n = 3_000 if spread else 200
    hits = []
    for _ in range(1_000):
        weights = rng.lognormal(0.0, spread, n)
        mean, error = mean_and_error(rng.normal(size=n) ** 2, weights)
        hits.append(abs(mean - 1.0) < error)
    assert abs(np.mean(hits) - 0.6827) < 0.03 + 2.0 * np.sqrt(0.68 * 0.32 / len(hits))


def test_one_event_is_all_of_the_weight() -> None:
    mean, error = mean_and_error(np.array([3.0]), np.array([2.0]))
    assert (mean, error) == (3.0, 0.0)


def test_means_in_bins_are_those_of_their_events() -> None:
    rng = np.random.default_rng(5)
    values, weights = rng.normal(size=(500, 2)), rng.exponential(size=500)
    bins = quantile_bins(values[:, 0], weights, 4)
    means, errors = means_in_bins(values, weights, bins)
    for b in range(4):
        mean, error = mean_and_error(values[bins == b], weights[bins == b])
        np.testing.assert_allclose(means[b], mean)
        np.testing.assert_allclose(errors[b], error)
    np.testing.assert_allclose(np.bincount(bins, weights) / weights.sum(), 0.25, atol=0.02)


def test_bins_of_few_events_are_unknown() -> None:
    n = int(2 * FEWEST_EVENTS)
    bins = (np.arange(n + 3) >= n).astype(int)
    means, errors = means_in_bins(np.ones((n + 3, 1)), np.ones(n + 3), bins)
    assert means[0, 0] == pytest.approx(1.0)
    assert errors[0, 0] < 1e-12
    assert np.isnan(means[1, 0])
    assert np.isnan(errors[1, 0])


def test_discrete_values_have_fewer_bins() -> None:
    values = np.repeat([0.0, 1.0, 2.0], [70, 20, 10])
    bins = quantile_bins(values, np.ones(100), 10)
    assert len(set(bins.tolist())) == 3
    assert all(len(set(bins[values == v])) == 1 for v in (0.0, 1.0, 2.0))


def test_residuals_name_the_observable_and_show_it() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(20_000, 2))
    residuals = np.column_stack([rng.normal(size=20_000), np.where(x[:, 1] > 1.3, 2.0, 0.0)])
    requirement = Requirement("residuals", "", "", "", tolerance=0.2)
    check = residual_check(requirement, x, residuals, np.ones(20_000), ["pt", "eta"], ["a", "b"])
    assert check.verdict == "failed"
    assert check.quantity.startswith("residual of b at eta = 1.7")
    assert check.graph is not None
    assert check.graph.x_label == "eta"
    assert [series.label for series in check.graph.series] == ["a", "b"]
    assert len(check.values) == 2 * 10 * 2
