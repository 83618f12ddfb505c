"""The samplers against exact probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from madminer.errors import NegativeWeightError, NoEventsError
from madminer.morphing.weights import monomials
from madminer.sampling.draws import (
    Targets,
    acceptances,
    draw_directly,
    draw_events,
    draw_from_envelope,
    point_weights,
)
from madminer.sampling.table import RunningSums, WeightTable

COMPONENTS = np.array([[0], [1], [2]])
MATRIX = np.linalg.inv(monomials(np.array([[-1.0], [0.0], [1.0]]), COMPONENTS))
FACTORS = np.array([0.3, 0.0, 0.7, 1.0])
THETAS = np.array([[-0.8], [0.0], [0.3], [1.7], [6.0]])


def make_table(n_events: int, negative_share: float = 0.0, seed: int = 1) -> WeightTable:
    """Weights (1 + s theta)^2 with random s at three benchmarks, in four groups."""
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0.3, 0.5, n_events)
    heights = rng.exponential(1.0, n_events)
    heights[rng.random(n_events) < negative_share] *= -1.0
    weights = heights[:, np.newaxis] * (1.0 + slopes[:, np.newaxis] * [-1.0, 0.0, 1.0]) ** 2
    return in_table(weights, rng.integers(0, 4, n_events), 4)


def in_table(weights: np.ndarray, groups: np.ndarray, n_groups: int) -> WeightTable:
    order = np.argsort(groups, kind="stable")
    edges = np.append(0, np.cumsum(np.bincount(groups, minlength=n_groups)))
    return WeightTable(rows=1000 + order, edges=edges, weights=weights[order])


def targets(thetas: np.ndarray = THETAS) -> Targets:
    coefficients = monomials(thetas, COMPONENTS) @ MATRIX
    return Targets(coefficients, np.tile(FACTORS, (len(thetas), 1)))


def exact_weights(table: WeightTable, target: Targets, point: int) -> np.ndarray:
    """Slow twin: the weight of every event."""
    return np.array(
        [
            target.factors[point, group] * sum(target.coefficients[point] * weights)
            for group, weights in zip(table.groups, table.weights, strict=True)
        ]
    )


def p_value(events: np.ndarray, probabilities: np.ndarray) -> float:
    """Chi-squared test of frequencies; rare events share a bin."""
    expected = len(events) * probabilities
    observed = np.bincount(events, minlength=len(probabilities))
    assert np.all(observed[probabilities == 0.0] == 0)
    rare = expected < 10.0
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    use = expected > 0.0
    statistic = np.sum((observed[use] - expected[use]) ** 2 / expected[use])
    return float(chi2.sf(statistic, use.sum() - 1))


@pytest.mark.parametrize("negative_share", [0.0, 0.2])
@pytest.mark.parametrize("route", ["direct", "envelope"])
@pytest.mark.parametrize("forced", [False, True])
def test_frequencies_equal_probabilities(route: str, negative_share: float, forced: bool) -> None:
    table, target, count = make_table(300, negative_share), targets(), 30_000
    absolute = np.abs([exact_weights(table, target, i) for i in range(len(target))])
    limits = np.sort(absolute, axis=1)[:, -21:-19].mean(axis=1) if forced else None
    rng = np.random.default_rng(7)
    if route == "direct":
        rows = zip(target.coefficients, target.factors, strict=True)
        drawn = [
            draw_directly(
                np.abs(point_weights(table, c, f)),
                count,
                None if limits is None else limits[i],
                rng,
            )
            for i, (c, f) in enumerate(rows)
        ]
    else:
        counts = np.full(len(target), count)
        events, missing = draw_from_envelope(table, replace(target, limits=limits), counts, rng)
        assert not missing.any()
        drawn = list(events.reshape(len(target), count))
    if limits is not None:
        absolute[absolute > limits[:, np.newaxis]] = 0.0
    for events, weights in zip(drawn, absolute, strict=True):
        assert p_value(events, weights / weights.sum()) > 1e-3


@pytest.mark.parametrize("n_events", [200, 20_000])
def test_the_cheaper_route_follows_the_same_distribution(n_events: int) -> None:
    """The whole way, with uneven and interleaved numbers of samples."""
    table, target = make_table(n_events), targets()
    points = np.random.default_rng(3).permutation(
        np.repeat(np.arange(len(target)), [20_000, 0, 1, 30_000, 500])
    )
    draws = draw_events(table, target, points, np.random.default_rng(4))
    for point in (0, 3, 4):
        weights = exact_weights(table, target, point)
        events = draws.events[points == point]
        if n_events == 200:
            assert p_value(events, weights / weights.sum()) > 1e-3
        mean = np.sum(weights * table.weights[:, 0]) / weights.sum()
        found = table.weights[events, 0]
        assert found.mean() == pytest.approx(mean, abs=5 * found.std() / np.sqrt(len(events)))


def test_seed_repeats_draws() -> None:
    table, points = make_table(2000), np.repeat(np.arange(len(THETAS)), 50)
    first, again, other = (
        draw_events(table, targets(), points, np.random.default_rng(seed)).events
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_signs_undo_the_absolute_value() -> None:
    table, target = make_table(500, negative_share=0.2), targets(np.array([[0.3]]))
    n = 100_000
    draws = draw_events(table, target, np.zeros(n, dtype=np.int64), np.random.default_rng(5))
    weights = exact_weights(table, target, 0)
    np.testing.assert_array_equal(draws.is_negative, weights[draws.events] < 0.0)
    expected = np.abs(weights)[weights < 0].sum() / np.abs(weights).sum()
    assert draws.is_negative.mean() == pytest.approx(expected, abs=0.01)
    signs = np.where(draws.is_negative, -1.0, 1.0)
    quantity = table.weights[:, 2] / table.weights[:, 1]
    signed_mean = np.sum(signs * quantity[draws.events]) / signs.sum()
    assert signed_mean == pytest.approx(np.sum(weights * quantity) / weights.sum(), rel=0.02)


@pytest.mark.parametrize("negative_share", [0.0, 0.2])
@pytest.mark.parametrize("n_points", [3, 40])
def test_effective_number_of_events(negative_share: float, n_points: int) -> None:
    table = make_table(3000, negative_share)
    target = targets(np.random.default_rng(2).uniform(-2.0, 2.0, (n_points, 1)))
    points = np.repeat(np.arange(n_points), 5)
    draws = draw_events(table, target, points, np.random.default_rng(1))
    for i in range(n_points):
        absolute = np.abs(exact_weights(table, target, i))
        assert draws.n_effective[i] == pytest.approx(absolute.sum() / absolute.max(), rel=1e-8)


@pytest.mark.parametrize("n_points", [3, 40])
def test_forced_effective_number_of_events(n_points: int) -> None:
    table = make_table(3000)
    target = targets(np.random.default_rng(2).uniform(-2.0, 2.0, (n_points, 1)))
    points = np.repeat(np.arange(n_points), 200)
    draws = draw_events(table, target, points, np.random.default_rng(1), n_eff_forced=400.0)
    for i in range(n_points):
        weights = exact_weights(table, target, i)
        kept = np.where(weights > weights.sum() / 400.0, 0.0, weights)
        assert draws.n_effective[i] == pytest.approx(kept.sum() / kept.max(), rel=1e-8)
        assert np.all(kept[draws.events[points == i]] > 0.0)


def test_effective_number_at_many_points_is_a_sharp_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all events are looked at, those that were drawn tell nearly the same."""
    table = make_table(3000)
    target = targets(np.random.default_rng(2).uniform(-2.0, 2.0, (40, 1)))
    points = np.repeat(np.arange(40), 2000)
    exact = draw_events(table, target, points, np.random.default_rng(1))
    monkeypatch.setattr("madminer.sampling.draws._SCANNED", 0)
    bound = draw_events(table, target, points, np.random.default_rng(1))
    np.testing.assert_array_equal(bound.events, exact.events)
    assert np.all(bound.n_effective >= exact.n_effective * (1.0 - 1e-9))
    np.testing.assert_allclose(bound.n_effective, exact.n_effective, rtol=0.3)
    assert bound.n_effective.min() == pytest.approx(exact.n_effective.min(), rel=0.02)


def test_sums_of_a_table_equal_those_of_its_events() -> None:
    table = make_table(5001, negative_share=0.2)
    assert table.is_signed
    for group in range(4):
        rows = table.weights[table.edges[group] : table.edges[group + 1]]
        np.testing.assert_allclose(table.sums[group], rows.sum(axis=0))
        np.testing.assert_allclose(table.absolute_sums[group], np.abs(rows).sum(axis=0))


def test_acceptance_is_one_at_a_benchmark() -> None:
    accepted = acceptances(make_table(100).sums, np.eye(3), np.tile(FACTORS, (3, 1)))
    np.testing.assert_allclose(accepted, 1.0)


def test_hopeless_envelopes_are_given_up() -> None:
    """Where weights cancel almost fully, the direct route takes over."""
    weights = np.tile([[1.0, 1.0 + 1e-9]], (50, 1))
    table = in_table(weights, np.zeros(50, dtype=np.int64), 1)
    target = Targets(np.array([[-1.0, 1.0]]), np.ones((1, 1)))
    rng = np.random.default_rng(1)
    _, missing = draw_from_envelope(table, target, np.array([5]), rng)
    assert missing[0] > 0
    points = np.zeros(500, dtype=np.int64)
    draws = draw_events(table, target, points, np.random.default_rng(1))
    assert np.bincount(draws.events, minlength=50).min() > 0


def test_impossible_draws_are_refused() -> None:
    table, rng = make_table(100), np.random.default_rng(1)
    points = np.zeros(3, dtype=np.int64)
    with pytest.raises(NoEventsError, match="no events to draw from"):
        draw_events(table, Targets(np.eye(3), np.zeros((3, 4))), points, rng)
    with pytest.raises(NegativeWeightError, match="must be positive"):
        draw_events(table, Targets(-np.eye(3), np.ones((3, 4))), points, rng)
    with pytest.raises(NoEventsError, match="lower n_eff_forced"):
        draw_events(table, targets(), points, rng, n_eff_forced=1e9)


def test_point_weights_are_those_of_the_slow_twin() -> None:
    table, target = make_table(100), targets()
    found = point_weights(table, target.coefficients[3], target.factors[3])
    np.testing.assert_allclose(found, exact_weights(table, target, 3))


@pytest.mark.parametrize("n_events", [1, 7, 8, 100, 1003])
def test_running_sums_find_what_a_full_running_sum_finds(n_events: int) -> None:
    rng = np.random.default_rng(n_events)
    weights = rng.exponential(1.0, (n_events, 3)) * (rng.random((n_events, 3)) < 0.8)
    weights[0] = 1.0
    full, running = np.cumsum(weights, axis=0), RunningSums(weights)
    events = np.arange(n_events + 1)
    before = np.concatenate([np.zeros((1, 3)), full])
    np.testing.assert_allclose(running.before(events), before, rtol=1e-12)
    columns = rng.integers(0, 3, 5000)
    values = rng.random(5000) * full[-1, columns]
    expected = [
        np.searchsorted(full[:, column], value, side="right")
        for column, value in zip(columns, values, strict=True)
    ]
    np.testing.assert_array_equal(running.find(values, columns), expected)
