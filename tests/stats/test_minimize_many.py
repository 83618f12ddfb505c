"""Joint minimisation: known minima, forbidden regions, problems without a minimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.stats.minimize import Expansion, minimize_many


def residual_expansion(residuals: np.ndarray, jacobian: np.ndarray) -> Expansion:
    """Half the sum of squares of residuals ``(n, r)`` with the curvature of Gauss and Newton."""
    return Expansion(
        0.5 * np.sum(residuals**2, axis=1),
        np.einsum("nrm,nr->nm", jacobian, residuals),
        np.einsum("nri,nrj->nij", jacobian, jacobian),
    )


def rosenbrock(points: np.ndarray, _: np.ndarray) -> Expansion:
    x, y = points.T
    residuals = np.stack([1.0 - x, 10.0 * (y - x**2)], axis=1)
    zero = np.zeros_like(x)
    rows = [[zero - 1.0, zero], [-20.0 * x, zero + 10.0]]
    return residual_expansion(residuals, np.moveaxis(np.array(rows), 2, 0))


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5))
def test_quadratic_functions(seed: int, n: int, m: int) -> None:
    """Each problem has a minimum of its own, and is told its number."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, m, m)) + 2.0 * np.eye(m)
    curvature = np.einsum("nik,njk->nij", roots, roots)
    target = rng.normal(scale=10.0, size=(n, m))

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        step = points - target[which]
        gradient = np.einsum("nij,nj->ni", curvature[which], step)
        value = 3.0 + 0.5 * np.einsum("ni,ni->n", step, gradient)
        return Expansion(value, gradient, curvature[which])

    start = rng.normal(size=(n, m))
    before = start.copy()
    minima = minimize_many(objective, start, tolerance=1e-12)
    assert minima.has_converged.all()
    rise = 0.5 * np.einsum(
        "ni,nij,nj->n", minima.points - target, curvature, minima.points - target
    )
    assert np.all(rise < 1e-10)
    np.testing.assert_allclose(minima.value, 3.0, atol=1e-10)
    np.testing.assert_array_equal(start, before)


def test_the_distance_is_what_is_left() -> None:
    """Without a step it is half of g H^-1 g: for a parabola, the height above its minimum."""

    def objective(points: np.ndarray, _: np.ndarray) -> Expansion:
        return Expansion(
            2.0 * (points[:, 0] - 1.0) ** 2, 4.0 * (points - 1.0), np.full((len(points), 1, 1), 4.0)
        )

    minima = minimize_many(objective, np.array([[0.0], [1.0], [3.0]]), max_steps=0)
    np.testing.assert_allclose(minima.distance, [2.0, 0.0, 8.0], rtol=1e-6)
    np.testing.assert_array_equal(minima.has_converged, [False, True, False])
    np.testing.assert_array_equal(minima.points, [[0.0], [1.0], [3.0]])


def test_curved_valleys() -> None:
    start = np.random.default_rng(1).uniform(-3.0, 3.0, (200, 2))
    minima = minimize_many(rosenbrock, start)
    assert minima.has_converged.all()
    np.testing.assert_allclose(minima.points, 1.0, atol=1e-2)
    assert np.all(minima.value < 1e-6)
    np.testing.assert_allclose(minima.value, rosenbrock(minima.points, np.empty(0)).value)


@pytest.mark.parametrize("forbidden", [np.inf, np.nan])
def test_forbidden_regions(forbidden: float) -> None:
    """n log-likelihoods of Poisson means m > 0: full steps would leave the region."""
    n = np.array([0.5, 3.0, 1000.0, 2.0])

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        mean = points[:, 0]
        inside = np.where(mean > 0.0, mean, 1.0)
        value = np.where(mean > 0.0, inside - n[which] * np.log(inside), forbidden)
        return Expansion(
            value, (1.0 - n[which] / inside)[:, None], (n[which] / inside**2)[:, None, None]
        )

    minima = minimize_many(objective, np.array([[40.0], [900.0], [5000.0], [1e-3]]))
    assert minima.has_converged.all()
    np.testing.assert_allclose(minima.points[:, 0], n, rtol=2e-3)
    assert np.all(np.isfinite(minima.value))


def test_problems_without_minimum_are_marked() -> None:
    """A slope without end, a start that is not allowed, and a parabola that is not disturbed."""

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        x = points[:, 0]
        parabola = which == 2
        value = np.where(parabola, 0.5 * (x - 7.0) ** 2, np.where(which == 1, np.nan, -x))
        slope = np.where(parabola, x - 7.0, -1.0)
        return Expansion(value, slope[:, None], np.ones((len(x), 1, 1)))

    minima = minimize_many(objective, np.zeros((3, 1)), max_steps=40)
    np.testing.assert_array_equal(minima.has_converged, [False, False, True])
    assert minima.points[2, 0] == pytest.approx(7.0, abs=1e-3)
    assert np.all(np.isfinite(minima.points))


def test_stationary_points_without_curvature_are_marked() -> None:
    """At its maximum a function of a square, whose approximate curvature vanishes, has no slope."""

    def objective(points: np.ndarray, _: np.ndarray) -> Expansion:
        residual = 4.0 - points**2
        return residual_expansion(residual, -2.0 * points[:, :, np.newaxis])

    minima = minimize_many(objective, np.array([[0.0], [0.01], [1.0], [-3.0]]))
    np.testing.assert_array_equal(minima.has_converged, [False, True, True, True])
    np.testing.assert_allclose(np.abs(minima.points[1:, 0]), 2.0, atol=1e-4)


@pytest.mark.parametrize("largest", [0.5, [0.5, 0.125]])
def test_largest_steps(largest: float | list[float]) -> None:
    visited = []

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        visited.append(points.copy())
        step = points - 3.0
        return Expansion(
            np.sum(step**2, axis=1), 2.0 * step, np.tile(2.0 * np.eye(2), (len(points), 1, 1))
        )

    minima = minimize_many(objective, np.zeros((1, 2)), largest_step=np.array(largest))
    moves = np.abs(np.diff(np.concatenate(visited), axis=0))
    assert np.all(moves <= np.array(largest) + 1e-12)
    assert np.all(moves.max(axis=0) > 0.9 * np.array(largest))
    np.testing.assert_allclose(minima.points, 3.0, atol=1e-3)
    few = minimize_many(objective, np.zeros((1, 2)), largest_step=0.5, max_steps=2)
    assert not few.has_converged.any()
    np.testing.assert_allclose(few.points, 1.0)


def test_expansions_add_and_lose_parameters() -> None:
    rng = np.random.default_rng(2)
    one, two = (
        Expansion(rng.normal(size=3), rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 4)))
        for _ in range(2)
    )
    total = one + two
    np.testing.assert_array_equal(total.value, one.value + two.value)
    np.testing.assert_array_equal(total.curvature, one.curvature + two.curvature)
    kept = total.at(np.array([3, 1]))
    np.testing.assert_array_equal(kept.gradient, total.gradient[:, [3, 1]])
    assert kept.curvature[2, 0, 1] == total.curvature[2, 3, 1]
    assert kept.value is total.value
