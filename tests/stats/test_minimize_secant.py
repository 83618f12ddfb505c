"""Joint minimisation with curvatures that are wrong: steps learn from the gradients they see."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.stats.minimize import Expansion, minimize_many


@pytest.mark.parametrize("factor", [1.0, 1.8, 3.0, 8.0])
def test_curvatures_that_are_too_small(factor: float) -> None:
    """A parabola whose curvature is said to be too small in one of two correlated directions.

    With more than half of the curvature missing, plain steps lead ever farther across the minimum.
    """
    rng = np.random.default_rng(3)
    n = 200
    angles = rng.uniform(0.0, np.pi, n)
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-axes[:, 1], axes[:, 0]], axis=1)
    steep, flat = (axis[:, :, np.newaxis] * axis[:, np.newaxis, :] for axis in (axes, across))
    true, assumed = 5.0 * steep + flat, 5.0 / factor * steep + flat
    target, n_calls = rng.normal(size=(n, 2)), 0

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        nonlocal n_calls
        n_calls += 1
        step = points - target[which]
        gradient = np.einsum("nij,nj->ni", true[which], step)
        return Expansion(0.5 * np.sum(step * gradient, axis=1), gradient, assumed[which])

    minima = minimize_many(objective, np.zeros((n, 2)))
    assert minima.has_converged.all()
    np.testing.assert_allclose(minima.points, target, atol=2e-3)
    assert n_calls < 40


def test_squares_at_their_origin() -> None:
    """Fewer events than expected, whose number grows with the square of a parameter: mu = 9 + x^2.

    The information that is expected, 4 x^2 / mu, vanishes at the minimum x = 0; the curvature of
    the likelihood does not.
    """
    observed = np.array([2.0, 4.0, 6.0, 8.0])

    def objective(points: np.ndarray, which: np.ndarray) -> Expansion:
        x, n = points[:, 0], observed[which]
        mean = 9.0 + x**2
        slope = 2.0 * x[:, np.newaxis]
        information = slope[:, :, np.newaxis] ** 2 / mean[:, np.newaxis, np.newaxis]
        return Expansion(
            mean - n * np.log(mean), (1.0 - n / mean)[:, np.newaxis] * slope, information
        )

    minima = minimize_many(objective, np.full((4, 1), 1.5))
    np.testing.assert_allclose(minima.value, 9.0 - observed * np.log(9.0), atol=1e-5)
