"""Local polynomials: exact for parabolas, errors as those of repeated noise."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.stats.grids import fewest_points, local_polynomial


def grid(n: int, p: int) -> np.ndarray:
    """Points of a regular grid with -1 and 1 at the ends, shape ``(n^p, p)``."""
    axes = np.meshgrid(*[np.linspace(-1.0, 1.0, n)] * p, indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, p)


def parabola(x: np.ndarray, degree: int, seed: int) -> np.ndarray:
    """A random polynomial of a degree up to 2."""
    rng = np.random.default_rng(seed)
    p = x.shape[1]
    constant, slope, curvature = rng.normal(), rng.normal(size=p), rng.normal(size=(p, p))
    values = np.full(len(x), constant)
    if degree > 0:
        values = values + x @ slope
    if degree > 1:
        values = values + np.einsum("ni,nj,ij->n", x, x, curvature)
    return values


@pytest.mark.parametrize(("p", "terms"), [(1, 3), (2, 6), (3, 10), (4, 15)])
def test_number_of_coefficients(p: int, terms: int) -> None:
    """1 + p + p (p + 1) / 2."""
    assert fewest_points(p) == terms == 1 + p + p * (p + 1) // 2


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_polynomials_up_to_degree_two_are_exact(p: int, degree: int, scale: float) -> None:
    """At any point between the known ones, whatever the errors and the units."""
    rng = np.random.default_rng(p + degree)
    x, at = grid(7, p), rng.uniform(-1.0, 1.0, (20, p))
    errors = rng.uniform(0.1, 2.0, len(x))
    units = scale ** np.arange(1.0, p + 1.0)
    found, _ = local_polynomial(x * units, parabola(x, degree, 3), errors, at * units)
    np.testing.assert_allclose(found, parabola(at, degree, 3), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_extrapolation(p: int) -> None:
    """Beyond corners of three dimensions the nearest points determine lines, not parabolas."""
    rng = np.random.default_rng(8)
    x, at = grid(7, p), rng.uniform(-1.5, 1.5, (40, p))
    for degree in range(3 if p < 3 else 2):
        found, _ = local_polynomial(x, parabola(x, degree, 3), np.ones(len(x)), at)
        np.testing.assert_allclose(found, parabola(at, degree, 3), rtol=1e-7, atol=1e-7)


def test_points_that_do_not_determine_a_parabola() -> None:
    """On a circle 1 = x^2 + y^2: constants and lines are followed nevertheless."""
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    x, at = np.column_stack([np.cos(angles), np.sin(angles)]), np.array([[0.0, 0.0], [0.5, 2.0]])
    for degree in (0, 1):
        found, _ = local_polynomial(x, parabola(x, degree, 3), np.ones(24), at)
        np.testing.assert_allclose(found, parabola(at, degree, 3))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_fewer_points_than_coefficients(n: int) -> None:
    """Constants are followed with any number of points, lines in the plane with three."""
    x, at = np.random.default_rng(9).uniform(-1.0, 1.0, (2, n, 2))
    for degree in (0, 1) if n > 2 else (0,):
        found, _ = local_polynomial(x, parabola(x, degree, 3), np.ones(n), at)
        np.testing.assert_allclose(found, parabola(at, degree, 3), rtol=1e-6, atol=1e-6)


def test_other_functions_are_followed() -> None:
    """The bandwidth is that of the neighbours: more points, less bias."""
    at = np.linspace(-0.9, 0.9, 50)[:, np.newaxis]
    deviation = []
    for n in (21, 81):
        x = grid(n, 1)
        found, _ = local_polynomial(x, np.sin(3.0 * x[:, 0]), np.ones(n), at)
        deviation.append(np.abs(found - np.sin(3.0 * at[:, 0])).max())
    assert deviation[0] < 0.03
    assert deviation[1] < deviation[0] / 20.0  # by the third power of the bandwidth


@pytest.mark.parametrize("p", [1, 2])
def test_errors_are_those_of_repeated_noise(p: int) -> None:
    rng = np.random.default_rng(4)
    x, at = grid(9, p), rng.uniform(-1.0, 1.0, (6, p))
    errors = rng.uniform(0.5, 2.0, len(x))
    n = 600
    found, claimed = np.array(
        [local_polynomial(x, rng.normal(0.0, errors), errors, at) for _ in range(n)]
    ).transpose(1, 0, 2)
    assert np.all(np.ptp(claimed, axis=0) < 1e-12)  # they do not depend on the values
    np.testing.assert_allclose(found.std(axis=0), claimed[0], rtol=4.0 / np.sqrt(2.0 * n))
    assert np.all(np.abs(found.mean(axis=0)) < 4.0 * claimed[0] / np.sqrt(n))


def test_smoothing_reduces_errors_within_the_points() -> None:
    """In units of the values, whatever these are."""
    x = grid(41, 1)
    _, errors = local_polynomial(x, x[:, 0], np.full(41, 0.3), x)
    assert np.all(errors[3:-3] < 0.25)
    _, outside = local_polynomial(x, x[:, 0], np.full(41, 0.3), np.array([[1.5]]))
    assert outside[0] > 3.0 * errors[-1]  # extrapolation


def test_twin_by_least_squares() -> None:
    """A weighted fit with the kernel of Cleveland to the nearest points, by hand."""
    rng = np.random.default_rng(5)
    x, errors = np.sort(rng.uniform(0.0, 5.0, 30)), rng.uniform(0.5, 2.0, 30)
    values = rng.normal(np.sin(x), errors)
    for at in (0.3, 2.2, 4.9):
        found, error = local_polynomial(x[:, np.newaxis], values, errors, np.array([[at]]))
        near = np.argsort(np.abs(x - at))[:8]
        reach = np.abs(x - at)[near].max() * 1.001
        weights = (1.0 - (np.abs(x[near] - at) / reach) ** 3) ** 3 / errors[near] ** 2
        matrix = np.vander(x[near] - at, 3, increasing=True)
        normal = np.linalg.inv(matrix.T @ (weights[:, np.newaxis] * matrix))
        linear = (normal @ (matrix.T * weights))[0]
        assert found[0] == pytest.approx(linear @ values[near], rel=1e-9)
        assert error[0] == pytest.approx(np.sqrt(linear**2 @ errors[near] ** 2), rel=1e-9)


def test_precise_values_count_more() -> None:
    """A value with a hundredth of the error pulls the curve to itself."""
    x = grid(11, 1)
    values, errors = np.zeros(11), np.ones(11)
    values[5], errors[5] = 1.0, 0.01
    found, error = local_polynomial(x, values, errors, x[5:6])
    assert found[0] == pytest.approx(1.0, abs=1e-3)
    assert error[0] == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("p", [1, 2])
def test_fewest_points_are_interpolated(p: int) -> None:
    """As many points as coefficients: the one parabola through them."""
    rng = np.random.default_rng(6)
    n = fewest_points(p)
    x, at = rng.uniform(-1.0, 1.0, (n, p)), rng.uniform(-1.0, 1.0, (5, p))
    found, _ = local_polynomial(x, parabola(x, 2, 7), np.ones(n), at)
    np.testing.assert_allclose(found, parabola(at, 2, 7), rtol=1e-6, atol=1e-6)
    values = rng.normal(size=n)
    through, _ = local_polynomial(x, values, np.ones(n), x)
    np.testing.assert_allclose(through, values, atol=1e-6)


def test_a_single_point() -> None:
    found, error = local_polynomial(np.zeros((1, 1)), np.array([3.0]), np.ones(1), np.zeros((1, 1)))
    assert found[0] == pytest.approx(3.0)
    assert error[0] == pytest.approx(1.0)


def test_points_along_a_line_in_two_dimensions() -> None:
    """A second coordinate that does not vary determines nothing, and needs nothing."""
    x = np.column_stack([np.linspace(-1.0, 1.0, 15), np.full(15, 2.0)])
    found, _ = local_polynomial(x, 3.0 * x[:, 0] ** 2, np.ones(15), np.array([[0.25, 2.0]]))
    assert found[0] == pytest.approx(0.1875)


def test_values_without_errors() -> None:
    """Zero errors are no infinite weights."""
    x = grid(9, 1)
    found, error = local_polynomial(x, x[:, 0] ** 2, np.zeros(9), np.array([[0.1]]))
    assert found[0] == pytest.approx(0.01)
    assert error[0] == 0.0 or error[0] < 1e-9
