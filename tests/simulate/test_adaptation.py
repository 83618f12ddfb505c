"""The adaptive grid: a map with the right Jacobian that follows the integrand."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.simulate.vegas import AdaptiveGrid, adapt_grid
from madminer.typing import FloatArray


def peaked(points: FloatArray) -> FloatArray:
    """Normalised to one on the cube: product of x^(-1/2) / 2 and a narrow Lorentzian."""
    x, y = points
    width = 0.02
    norm = np.arctan(0.7 / width) + np.arctan(0.3 / width)
    return 0.5 / np.sqrt(x) * width / (width**2 + (y - 0.3) ** 2) / norm


def test_uniform_grid_is_the_identity() -> None:
    uniform = np.random.default_rng(1).random((3, 100))
    points, jacobian = AdaptiveGrid.uniform(3, 8).map(uniform)
    np.testing.assert_allclose(points, uniform)
    np.testing.assert_allclose(jacobian, 1.0)


def test_map_stays_in_the_cube_and_has_unit_mean_jacobian() -> None:
    rng = np.random.default_rng(2)
    grid = adapt_grid(peaked, 2, rng, n_points=2_000)
    assert np.all(np.diff(grid.edges, axis=1) > 0.0)
    points, jacobian = grid.map(rng.random((2, 100_000)))
    assert 0.0 <= points.min() <= points.max() <= 1.0
    assert jacobian.mean() == pytest.approx(1.0, abs=5.0 * jacobian.std() / 300.0)


def test_integral_is_right_and_its_variance_falls() -> None:
    rng = np.random.default_rng(3)
    uniform = rng.random((2, 50_000))
    flat = peaked(uniform)
    points, jacobian = adapt_grid(peaked, 2, rng).map(uniform)
    adapted = peaked(points) * jacobian
    assert adapted.mean() == pytest.approx(1.0, abs=4.0 * adapted.std() / 223.0)
    assert adapted.std() < 0.2 * flat.std()


def test_integrand_without_support_leaves_the_grid() -> None:
    grid = AdaptiveGrid.uniform(2)
    refined = grid.refine(np.random.default_rng(4).random((2, 100)), np.zeros(100))
    np.testing.assert_array_equal(refined.edges, grid.edges)
