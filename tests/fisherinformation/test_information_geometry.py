"""Geodesics of metrics with known distances, and refusals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from madminer.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    OptionError,
    SetupError,
    ShapeError,
)
from madminer.fisherinformation import FisherInformation
from madminer.fisherinformation.geometry import InformationGeometry
from madminer.fisherinformation.metrics import (
    CENTRAL,
    FORWARD,
    MatrixFormula,
    Metric,
    function_metric,
    grid_metric,
)
from madminer.io import EventFile
from madminer.stats import regular_grid

SQUARE = [(-1.0, 1.0), (-1.0, 1.0)]
WIDTH = "np.diag([1, 2]) / theta[1]**2"  # mean and width of a Gaussian
EXAMPLE = "np.array([[1 + 0.25*theta[0], 1], [1, 2]])"


def geometry_of(formula: str, dimension: int = 2) -> InformationGeometry:
    geometry = InformationGeometry()
    geometry.information_from_formula(formula, dimension)
    return geometry


def gaussian_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of Gaussians by mean and width: the hyperbolic plane."""
    (mu1, s1), (mu2, s2) = np.transpose(a), np.transpose(b)
    ratio = ((mu1 - mu2) ** 2 / 2 + (s1 - s2) ** 2) / (2 * s1 * s2)
    return np.sqrt(2) * np.arccosh(1 + ratio)


def cartesian(polar: np.ndarray) -> np.ndarray:
    r, phi = np.transpose(polar)
    return np.stack([r * np.cos(phi), r * np.sin(phi)], axis=-1)


# --- trajectories with known lengths


@pytest.mark.parametrize("method", ["steps", "adaptive"])
def test_flat_metric_has_straight_lines(method: str) -> None:
    information = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    geometry = geometry_of(f"np.array({information.tolist()})", 3)
    theta0, direction = np.array([0.1, 0.0, -0.2]), np.array([1.0, 2.0, -2.0])
    limits = [(-1.0, 1.0)] * 3
    thetas, d = geometry.find_trajectory(theta0, direction, limits, 0.1, method=method)
    step = thetas - theta0
    np.testing.assert_allclose(np.cross(step, direction), 0.0, atol=1e-12)
    np.testing.assert_allclose(d, np.sqrt(np.einsum("ni,ij,nj->n", step, information, step)))
    np.testing.assert_allclose(np.linalg.norm(np.diff(thetas[:-1], axis=0), axis=1), 0.1)


@pytest.mark.parametrize(("method", "error"), [("steps", 0.02), ("adaptive", 1e-7)])
@pytest.mark.parametrize("direction", [1.0, -3.0])
def test_root_of_a_poisson_mean(method: str, error: float, direction: float) -> None:
    geometry = geometry_of("np.array([[1 / theta[0]]])", 1)
    thetas, d = geometry.find_trajectory([1.0], [direction], [(0.3, 4.0)], 0.05, method=method)
    np.testing.assert_allclose(d, 2 * np.abs(np.sqrt(thetas[:, 0]) - 1), atol=error)
    assert np.all(np.diff(d) > 0)


@pytest.mark.parametrize("direction", [[1.0, 0.5], [-1.0, 0.0], [0.0, 1.0], [0.3, -1.0]])
def test_gaussians_form_the_hyperbolic_plane(direction: list[float]) -> None:
    geometry, theta0, limits = geometry_of(WIDTH), np.array([0.0, 1.0]), [(-2.0, 2.0), (0.4, 3.0)]
    thetas, d = geometry.find_trajectory(theta0, direction, limits, 0.1, method="adaptive")
    assert len(d) > 5
    np.testing.assert_allclose(d, gaussian_distance(thetas, theta0), atol=1e-6)
    errors = []
    for stepsize in (0.04, 0.02, 0.01):
        thetas, d = geometry.find_trajectory(theta0, direction, limits, stepsize)
        errors.append(np.max(np.abs(d - gaussian_distance(thetas, theta0))))
    assert errors[0] < 0.04
    assert errors[2] < 0.6 * errors[1] < 0.5 * errors[0] or errors[0] < 1e-3


def test_lines_in_polar_coordinates_stay_lines() -> None:
    geometry, theta0 = geometry_of("np.diag([1, theta[0]**2])"), np.array([2.0, 0.0])
    thetas, d = geometry.find_trajectory(
        theta0, [-0.5, 0.5], [(0.2, 5.0), (-3.0, 3.0)], 0.1, method="adaptive"
    )
    step = cartesian(thetas) - cartesian(theta0)
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), d, atol=1e-6)
    tangent = np.array([-0.5, 1.0]) / np.hypot(0.5, 1.0)  # dx, dy of dr = -0.5, dphi = 0.5 at r = 2
    np.testing.assert_allclose(step, d[:, np.newaxis] * tangent, atol=1e-6)
    assert np.min(thetas[:, 0]) < 1.9 < thetas[-1, 0]  # comes closer to the origin and goes away


def test_great_circles_come_back() -> None:
    geometry = geometry_of("np.diag([1, np.sin(theta[0])**2])")
    thetas, d = geometry.find_trajectory(
        [np.pi / 2, 0.0], [0.6, 0.8], [(0.0, np.pi), (-0.1, 7.0)], 0.05, method="adaptive"
    )
    full_turn = np.flatnonzero(thetas[:, 1] < 2 * np.pi)[-1]
    assert d[full_turn] == pytest.approx(2 * np.pi, abs=0.1)
    x = np.sin(thetas[:, 0]) * np.cos(thetas[:, 1])
    np.testing.assert_allclose(x, np.cos(d), atol=1e-6)  # the angle to the first point


def test_distances_do_not_depend_on_units() -> None:
    plain = geometry_of(WIDTH).find_trajectory(
        [0.0, 1.0], [1.0, 1.0], [(-2.0, 2.0), (0.5, 2.0)], 0.1, method="adaptive"
    )
    unit = 1e-3  # parameters in thousandths
    geometry = geometry_of(f"np.diag([1, 2]) / (theta[1] * {unit})**2 * {unit}**2")
    small = geometry.find_trajectory(
        *([0.0, 1.0 / unit], [1.0, 1.0], [(-2.0 / unit, 2.0 / unit), (0.5 / unit, 2.0 / unit)]),
        stepsize=0.1 / unit,
        method="adaptive",
    )
    np.testing.assert_allclose(plain[0], unit * small[0], atol=1e-9)
    np.testing.assert_allclose(plain[1], small[1], atol=1e-9)


# --- ends of trajectories


def test_point_that_leaves_the_limits_is_kept() -> None:
    geometry = geometry_of(EXAMPLE)
    thetas, _ = geometry.find_trajectory([0.0, 0.0], [1.0, 0.3], SQUARE, 0.3)
    inside = np.all(np.abs(thetas) <= 1.0, axis=1)
    assert inside[:-1].all()
    assert not inside[-1]
    thetas, _ = geometry.find_trajectory([0.0, 0.0], [1.0, 0.3], SQUARE, 0.3, method="adaptive")
    assert np.max(np.abs(thetas[-1])) == pytest.approx(1.0, abs=1e-9)


def test_default_step_is_one() -> None:
    thetas, _ = geometry_of("np.eye(2)").find_trajectory([0.0, 0.0], [0.0, 5.0], [(-3.0, 3.0)] * 2)
    np.testing.assert_allclose(thetas[:, 1], [0.0, 1.0, 2.0, 3.0, 4.0])


def test_steps_end_after_200_and_turn_by_a_twentieth() -> None:
    wide = [(-1e3, 1e3)] * 2
    thetas, d = geometry_of("np.eye(2)").find_trajectory([0.0, 0.0], [1.0, 0.0], wide, 0.1)
    assert len(thetas) == len(d) == 201
    thetas, _ = geometry_of(WIDTH).find_trajectory([0.0, 1.0], [1.0, 0.0], wide, 10.0)
    # theta'' = (0, -1/2) at the start, to the accuracy of the differences
    np.testing.assert_allclose(thetas[1], [0.1, 1.0], rtol=1e-2)


@pytest.mark.parametrize("method", ["steps", "adaptive"])
def test_trajectory_ends_with_the_information(method: str) -> None:
    geometry = geometry_of("np.eye(2) * np.sqrt(0.5 - theta[0])")
    thetas, d = geometry.find_trajectory([0.0, 0.0], [1.0, 0.0], SQUARE, 0.02, method=method)
    assert len(thetas) > 5
    assert np.all(np.isfinite(thetas))
    assert np.all(np.isfinite(d))
    assert 0.4 < thetas[-1, 0] < 0.53


def test_velocity_is_reset_to_one() -> None:
    geometry = geometry_of("np.array([[1 / theta[0]]])", 1)  # theta'' = 1 / (2 theta)
    thetas, _ = geometry.find_trajectory([1.0], [1.0], [(0.3, 4.0)], 0.05)
    np.testing.assert_allclose(np.diff(thetas[:, 0]), 0.05)


def test_trajectory_without_any_step() -> None:
    geometry = InformationGeometry()

    def information(theta: np.ndarray) -> np.ndarray:
        """Known at the points of a lattice only, as those of the derivatives at theta0."""
        is_known = np.all(np.abs(theta / 1e-3 - np.round(theta / 1e-3)) < 1e-9)
        return np.eye(2) if is_known else np.full((2, 2), np.nan)

    geometry.information_from_function(information, 2)
    thetas, d = geometry.find_trajectory([0.0, 0.0], [1.0, 0.3], SQUARE, 0.3, method="adaptive")
    np.testing.assert_array_equal(thetas, [[0.0, 0.0]])
    np.testing.assert_array_equal(d, [0.0])


def test_trajectory_from_the_limits() -> None:
    geometry, theta0 = geometry_of("np.eye(2)"), [1.0, 0.0]
    inwards = geometry.find_trajectory(theta0, [-1.0, 0.0], SQUARE, 0.5, method="adaptive")
    np.testing.assert_allclose(inwards[1], [0.0, 0.5, 1.0, 1.5, 2.0])
    outwards = geometry.find_trajectory(theta0, [1.0, 0.0], SQUARE, 0.5, method="adaptive")
    np.testing.assert_allclose(outwards[0], [theta0])


# --- contours


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize(("method", "error"), [("steps", 0.06), ("adaptive", 5e-3)])
def test_contours_of_the_hyperbolic_plane(is_even: bool, method: str, error: float) -> None:
    theta0, ranges = np.array([0.0, 1.0]), [(-1.0, 1.0), (0.5, 2.0)]
    grid, p_values, d = geometry_of(WIDTH).distance_contours(
        theta0, ranges, [7, 9], continous_sampling=is_even, method=method, seed=1
    )
    np.testing.assert_array_equal(grid, [*product(np.linspace(-1, 1, 7), np.linspace(0.5, 2, 9))])
    assert p_values.shape == d.shape == (63,)
    reached = np.isfinite(d)
    assert reached.sum() >= (63 if is_even else 59)
    np.testing.assert_array_equal(np.isnan(p_values), ~reached)
    np.testing.assert_allclose(d[reached], gaussian_distance(grid, theta0)[reached], atol=error)
    np.testing.assert_allclose(p_values[reached], chi2.sf(d[reached] ** 2, 2))


def test_contours_in_polar_coordinates_are_circles() -> None:
    geometry, theta0 = geometry_of("np.diag([1, theta[0]**2])"), np.array([2.0, 0.0])
    grid, _, d = geometry.distance_contours(
        theta0, [(1.5, 2.5), (-0.3, 0.3)], 9, continous_sampling=True, method="adaptive"
    )
    expected = np.linalg.norm(cartesian(grid) - cartesian(theta0), axis=1)
    np.testing.assert_allclose(d, expected, atol=2e-3)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("method", ["steps", "adaptive"])
def test_flat_contours_are_exact_in_any_dimension(dimension: int, method: str) -> None:
    geometry = geometry_of(f"4 * np.eye({dimension})", dimension)
    grid, p_values, d = geometry.distance_contours(
        np.zeros(dimension), [(-1.0, 1.0)] * dimension, 3, method=method, seed=0, stepsize=0.2
    )
    assert grid.shape == (3**dimension, dimension)
    reached = np.isfinite(d)
    assert reached[np.count_nonzero(grid, axis=1) <= 1].all()
    np.testing.assert_allclose(d[reached], 2 * np.linalg.norm(grid[reached], axis=1), atol=1e-7)
    np.testing.assert_allclose(p_values[reached], chi2.sf(d[reached] ** 2, dimension), rtol=1e-6)


def test_ranges_of_different_units() -> None:
    geometry = geometry_of("np.diag([1, 1e-6])")
    ranges = [(-1.0, 1.0), (-1000.0, 1000.0)]
    grid, _, d = geometry.distance_contours(
        [0.0, 0.0], ranges, 5, continous_sampling=True, method="adaptive"
    )
    np.testing.assert_allclose(d, np.linalg.norm(grid / [1.0, 1000.0], axis=1), atol=1e-7)


@pytest.mark.parametrize("method", ["steps", "adaptive"])
def test_trajectories_together_are_those_one_by_one(method: str) -> None:
    geometry, theta0, ranges = geometry_of(EXAMPLE), [0.1, -0.2], SQUARE
    *_, (points, lengths) = geometry.distance_contours(
        theta0, ranges, 2, None, 8, True, True, method=method
    )
    padded, angles = [(-1.2, 1.2)] * 2, np.arange(8) * np.pi / 4
    alone = [
        geometry.find_trajectory(theta0, [np.cos(a), np.sin(a)], padded, 0.1, method=method)
        for a in angles
    ]
    np.testing.assert_allclose(points, np.concatenate([thetas for thetas, _ in alone]), atol=1e-12)
    np.testing.assert_allclose(lengths, np.concatenate([d for _, d in alone]), atol=1e-12)


def test_seed_and_number_of_trajectories() -> None:
    geometry = geometry_of(EXAMPLE)

    def starts(**options: int) -> np.ndarray:
        *_, (points, d) = geometry.distance_contours(
            [0.0, 0.0], SQUARE, 2, return_trajectories=True, **options
        )
        return points[np.flatnonzero(d == 0.0) + 1]

    np.testing.assert_array_equal(starts(seed=3), starts(seed=3))
    assert len(starts(seed=3)) == 40
    assert len(starts(seed=3, ntrajectories=7)) == 7
    assert not np.allclose(starts(seed=3), starts(seed=4))


def test_points_without_trajectories_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    geometry = geometry_of("np.eye(2)")
    _, p_values, d = geometry.distance_contours([0.0, 0.0], SQUARE, 5, ntrajectories=3, seed=0)
    n_missing = np.count_nonzero(np.isnan(d))
    assert 0 < n_missing < 25
    assert np.count_nonzero(np.isnan(p_values)) == n_missing
    assert f"{n_missing} of 25 grid points have no distance" in caplog.text


def test_defaults_are_the_documented_ones() -> None:
    parameters = inspect.signature(InformationGeometry.distance_contours).parameters
    assert [*parameters][1:8] == [
        *("theta0", "grid_ranges", "grid_resolutions", "stepsize", "ntrajectories"),
        *("continous_sampling", "return_trajectories"),
    ]
    assert [parameters[name].default for name in [*parameters][4:9]] == [
        *(None, None, False, False, "steps")
    ]


# --- acceleration


def slow_acceleration(metric: Metric, theta: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """The Christoffel symbols as they are written, with central differences."""
    p, h = len(theta), 1e-5
    shifted = [
        [metric.information((theta + s * h * np.eye(p)[k])[np.newaxis])[0] for s in (1, -1)]
        for k in range(p)
    ]
    derivative = [(up - down) / (2 * h) for up, down in shifted]
    inverse = np.linalg.inv(metric.information(theta[np.newaxis])[0])
    result = np.zeros(p)
    for i, j, k, m in np.ndindex(p, p, p, p):
        bracket = derivative[j][m, k] + derivative[k][m, j] - derivative[m][j, k]
        result[i] -= 0.5 * inverse[i, m] * bracket * velocity[j] * velocity[k]
    return result


def test_acceleration_is_that_of_the_christoffel_symbols() -> None:
    formula = (
        "np.eye(3) * (2 + np.sin(theta[0] * theta[1])) + np.outer(theta, theta) * np.exp(theta[2])"
    )
    metric, rng = Metric(3, MatrixFormula(formula, 3)), np.random.default_rng(5)
    thetas, velocities = rng.normal(size=(2, 6, 3))
    expected = np.array(
        [slow_acceleration(metric, *pair) for pair in zip(thetas, velocities, strict=True)]
    )
    fine = metric.acceleration(thetas, velocities, np.full(3, 1e-3), CENTRAL)[0]
    np.testing.assert_allclose(fine, expected, rtol=1e-6, atol=1e-7)
    coarse = metric.acceleration(thetas, velocities, np.full(3, 1e-3), FORWARD)[0]
    np.testing.assert_allclose(coarse, expected, rtol=0.1, atol=0.05)
    assert np.max(np.abs(coarse - expected)) > 1e-5


# --- formulas


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (EXAMPLE, lambda t: [[1 + 0.25 * t[0], 1], [1, 2]]),
        ("[[-theta[0]**2, 0], [0, 2**-1]]", lambda t: [[-(t[0] ** 2), 0], [0, 0.5]]),
        ("np.diag([1, theta[1]]) / 2", lambda t: [[0.5, 0], [0, t[1] / 2]]),
        ("np.eye(2) + np.outer(theta, [1, 2])", lambda t: np.eye(2) + np.outer(t, [1, 2])),
        ("numpy.array(((np.pi, 0), (0, +3)))", lambda _t: [[np.pi, 0], [0, 3]]),
        ("np.exp(-theta[0]) * np.array([[1, 2], [2, 3]]) - 1", lambda t: np.exp(-t[0])
         * np.array([[1, 2], [2, 3]]) - 1),
        ("np.array([[np.arctan2(theta[0], 2), 1], [1, np.hypot(theta[0], theta[1])]])",
         lambda t: [[np.arctan2(t[0], 2), 1], [1, np.hypot(*t)]]),
        ("  np.array([theta, theta])  ", lambda t: [t, t]),
    ],
)  # fmt: skip
def test_formula_is_what_it_says(
    formula: str, expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    thetas = np.random.default_rng(2).normal(size=(5, 2))
    matrices = MatrixFormula(formula, 2)(thetas)
    assert matrices.shape == (5, 2, 2)
    np.testing.assert_allclose(matrices, np.array([expected(theta) for theta in thetas]))


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "1",
        "theta",
        "np.array([1, 2])",
        "np.array([[1, 2]])",
        "np.array([[1, 2], [3]])",
        "np.array([[1, 0], [0, theta[2]]])",
        "np.array([[1, 0], [0, theta[-1]]])",
        "np.array([[1, 0], [0, theta[True]]])",
        "np.array([[1, 0], [0, theta[0:1]]])",
        "np.array([[1, 0], [0, phi]])",
        "np.array([[1, 0], [0, sqrt(2)]])",
        "np.array([[1, 0], [0, np.sqrt(1, 2)]])",
        "np.array([[1, 0], [0, np.foo(1)]])",
        "np.array([[1, 0], [0, 1j]])",
        "np.array([[1, 0], [0, 'a']])",
        "np.array([[1, 0], [0, True]])",
        "np.array([[1, 0], [0, 1 if theta[0] > 0 else 2]])",
        "np.array([[1, 0], [0, 2 // 1]])",
        "np.array([[1, 0], [0, 1]], dtype=float)",
        "np.array([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])",
        "np.array([[x for x in theta], [0, 1]])",
        "np.load('file.npy')",
        "np.eye(1000000000)",
        "np.diag(np.eye(2))",
        "np.outer(1, 2)",
        "__import__('os').system('true')",
        "np.linalg.inv(np.eye(2))",
        "(lambda: np.eye(2))()",
        "theta.T",
        f"np.eye(2) * 1{'0' * 400}",
        "(" * 70 + "np.eye(2)" + ")" * 70 + "+" + "-" * 100 + "1",
        "np.eye(2)" + " + np.eye(2)" * 1000,
        "np.eye(2",
    ],
)
def test_everything_else_in_a_formula_is_refused(formula: str) -> None:
    with pytest.raises(ExpressionError):
        InformationGeometry().information_from_formula(formula, 2)


def test_refusal_shows_the_place() -> None:
    with pytest.raises(ExpressionError, match=r"did you mean 'sqrt'(.|\n)*\^"):
        InformationGeometry().information_from_formula("np.eye(2) * np.sqrtt(theta[0])", 2)
    with pytest.raises(ExpressionError, match="got int"):
        InformationGeometry().information_from_formula(1, 2)  # type: ignore[arg-type]


# --- functions


@pytest.mark.parametrize("method", ["steps", "adaptive"])
def test_function_is_as_good_as_the_formula(method: str) -> None:
    expected = geometry_of(WIDTH).find_trajectory(
        [0.0, 1.0], [1.0, -0.2], [(-2.0, 2.0), (0.5, 2.0)], 0.2, method=method
    )
    one, many = InformationGeometry(), InformationGeometry()
    one.information_from_function(lambda theta: np.diag([1.0, 2.0]) / theta[1] ** 2, 2)
    many.information_from_function(
        lambda thetas: np.diag([1.0, 2.0]) / thetas[:, 1, np.newaxis, np.newaxis] ** 2,
        2,
        vectorized=True,
    )
    for geometry in (one, many):
        result = geometry.find_trajectory(
            [0.0, 1.0], [1.0, -0.2], [(-2.0, 2.0), (0.5, 2.0)], 0.2, method=method
        )
        np.testing.assert_allclose(result[0], expected[0])
        np.testing.assert_allclose(result[1], expected[1])


def test_counts_of_an_event_file(gaussian_event_file: Callable[..., Path]) -> None:
    """Poisson counts n are at Euclidean distances in 2 sqrt(n), whatever the parameters."""
    fisher, luminosity = FisherInformation(gaussian_event_file(2000)), 100.0
    z = EventFile(fisher.madminer_filename).read().x[:, :2]

    def information(theta: np.ndarray) -> np.ndarray:
        return fisher.histo_information(theta, luminosity, "z0", [0.0])[0]

    def roots(thetas: np.ndarray) -> np.ndarray:
        events = luminosity * (1.0 + thetas @ z.T) ** 2 / len(z)
        bins = np.stack([z[:, 0] <= 0.0, z[:, 0] > 0.0], axis=1)
        return 2.0 * np.sqrt(events @ bins)

    geometry = InformationGeometry()
    geometry.information_from_function(information, 2)
    theta0 = np.array([0.4, 0.7])
    thetas, d = geometry.find_trajectory(
        theta0, [1.0, 0.5], [(0.2, 0.6), (0.4, 1.0)], 0.05, method="adaptive", rtol=1e-7
    )
    assert len(d) > 4
    step = roots(thetas) - roots(theta0[np.newaxis])
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), d, rtol=1e-5, atol=1e-6)


# --- grids


def width_grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    thetas = regular_grid([(-2.5, 2.5), (0.4, 3.0)], n)
    return thetas, np.diag([1.0, 2.0]) / thetas[:, 1, np.newaxis, np.newaxis] ** 2


@pytest.mark.parametrize("inverse", ["exact", "interpolate"])
@pytest.mark.parametrize(("option", "error"), [("smooth", 3e-4), ("linear", 3e-3)])
def test_grid_converges_to_the_formula(option: str, inverse: str, error: float) -> None:
    theta0, errors = np.array([0.0, 1.0]), []
    for n in (11, 41):
        geometry = InformationGeometry()
        geometry.information_from_grid(*width_grid(n), option, inverse)
        thetas, d = geometry.find_trajectory(
            theta0, [1.0, 0.5], [(-1.5, 1.5), (0.6, 2.0)], 0.1, method="adaptive", rtol=1e-6
        )
        errors.append(np.max(np.abs(d - gaussian_distance(thetas, theta0))))
    assert errors[1] < error
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize(
    ("option", "dimension"),  # smooth in three dimensions is refused, as another test has it
    [("smooth", 1), ("smooth", 2), ("linear", 1), ("linear", 2), ("linear", 3)],
)
def test_values_on_the_grid_are_kept(option: str, dimension: int) -> None:
    thetas = regular_grid([(0.0, 1.0)] * dimension, 4)
    thetas = np.random.default_rng(0).permutation(thetas)
    matrices = np.eye(dimension) + np.einsum("ni,nj->nij", thetas, thetas) ** 2
    for inverse in ("exact", "interpolate"):
        metric = grid_metric(thetas, matrices, option, inverse)
        informations = metric.information(thetas)
        np.testing.assert_allclose(informations, matrices, atol=1e-12)
        inverses = metric.inverse(thetas, informations)
        np.testing.assert_allclose(inverses, np.linalg.inv(matrices), atol=1e-12)
        assert np.isnan(metric.information(np.full((1, dimension), 1.1))).all()
    between = np.full((1, dimension), 1 / 6)
    inverted_between = np.linalg.inv(metric.information(between))
    assert not np.allclose(metric.inverse(between, matrices[:1]), inverted_between, atol=1e-9)


def test_grid_from_files(tmp_path: Path) -> None:
    thetas, matrices = width_grid(9)
    np.save(tmp_path / "grid.npy", thetas)
    np.save(tmp_path / "information.npy", matrices)
    from_files, from_arrays = InformationGeometry(), InformationGeometry()
    from_files.information_from_grid(tmp_path / "grid.npy", str(tmp_path / "information.npy"))
    from_arrays.information_from_grid(thetas.tolist(), matrices)
    arguments = [0.0, 1.0], [1.0, 0.0], [(-1.0, 1.0), (0.5, 2.0)], 0.1
    expected = from_arrays.find_trajectory(*arguments)
    np.testing.assert_array_equal(from_files.find_trajectory(*arguments)[0], expected[0])


def test_contours_on_a_grid_end_at_its_border() -> None:
    geometry = InformationGeometry()
    geometry.information_from_grid(*width_grid(21))
    grid, _, d = geometry.distance_contours(
        *([0.0, 1.5], [(-3.0, 3.0), (0.3, 3.5)], 9, 0.2, 30, True),
        method="adaptive",
        rtol=1e-4,
    )
    reached = np.isfinite(d)
    deep = (np.abs(grid[:, 0]) <= 1.5) & (np.abs(grid[:, 1] - 1.5) < 0.9)
    outside = (np.abs(grid[:, 0]) > 2.51) | (grid[:, 1] < 0.39) | (grid[:, 1] > 3.01)
    assert reached[deep].all()
    assert not reached[outside].any()
    expected = gaussian_distance(grid[deep], np.array([0.0, 1.5]))
    np.testing.assert_allclose(d[deep], expected, atol=0.02)


THETAS, MATRICES = width_grid(4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((THETAS, MATRICES, "smoth"), OptionError, "option must be one of 'smooth', 'linear'"),
        ((THETAS, MATRICES, "linear", "none"), OptionError, "inverse must be one of"),
        ((THETAS, MATRICES[1:]), ShapeError, r"\(16, 2, 2\)"),
        ((THETAS[:, :1], MATRICES), ShapeError, "fisherinformation_grid must have shape"),
        ((np.where(THETAS[3] == THETAS, np.nan, THETAS), MATRICES), DataError, "theta_grid"),
        ((THETAS, np.where(MATRICES == 0, np.inf, MATRICES)), DataError, "not finite"),
        ((THETAS, MATRICES + np.triu(np.ones((2, 2)), 1)), DataError, "not symmetric"),
        ((THETAS, 0 * MATRICES, "smooth", "interpolate"), DataError, "no inverse at theta"),
        ((np.concatenate([THETAS, THETAS]), np.tile(MATRICES, (2, 1, 1))), DataError, "twice"),
        ((THETAS[:2], MATRICES[:2]), DataError, "at least 3 points"),
        ((THETAS[:4], MATRICES[:4]), DataError, r"not\s+all in one"),
        ((np.eye(4)[:, :3], np.tile(np.eye(3), (4, 1, 1))), OptionError, "take option='linear'"),
        (([0.0], [[[1.0]]]), DataError, "at least 2 points"),
        (("nowhere.npy", MATRICES), FileNotFoundError, "nowhere"),
    ],
)
def test_refused_grids(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        InformationGeometry().information_from_grid(*arguments)


def test_refused_file(tmp_path: Path) -> None:
    (tmp_path / "grid.npy").write_text("no array")
    with pytest.raises(FileFormatError):
        InformationGeometry().information_from_grid(tmp_path / "grid.npy", MATRICES)


# --- refusals


def test_information_must_be_set_first() -> None:
    with pytest.raises(SetupError, match="information_from_formula"):
        InformationGeometry().find_trajectory([0.0], [1.0], [(-1.0, 1.0)])
    with pytest.raises(SetupError, match="information_from_formula"):
        InformationGeometry().distance_contours([0.0], [(-1.0, 1.0)], 3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"theta0": [0.0]}, ShapeError, r"theta0 must have shape \(2,\)"),
        ({"theta0": [0.0, np.nan]}, DataError, "theta0 must be finite"),
        ({"theta0": "sm"}, ShapeError, "theta0 must be an array of numbers"),
        ({"theta0": [0.0, 1.5]}, OptionError, "outside the limits"),
        ({"dtheta0": [0.0, 0.0]}, OptionError, "dtheta0 must not be zero"),
        ({"dtheta0": [1.0]}, ShapeError, "dtheta0 must have shape"),
        ({"limits": SQUARE[:1]}, ShapeError, "range for each of 2 parameters, got 1"),
        ({"limits": [(1.0, -1.0), (-1.0, 1.0)]}, OptionError, r"limits\[0\] must be"),
        ({"limits": 1.0}, OptionError, "limits must be a list"),
        ({"stepsize": 0.0}, OptionError, "stepsize must be a positive number"),
        ({"method": "euler"}, OptionError, "method must be one of"),
        ({"rtol": 0.0}, OptionError, "rtol must be"),
    ],
)
def test_refused_trajectories(options: dict, error: type[Exception], message: str) -> None:
    arguments = {"theta0": [0.0, 0.0], "dtheta0": [1.0, 0.0], "limits": SQUARE} | options
    with pytest.raises(error, match=message):
        geometry_of(EXAMPLE).find_trajectory(**arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"theta0": [3.0, 0.0]}, OptionError, "outside the limits"),
        ({"grid_ranges": SQUARE[:1]}, ShapeError, "got 1"),
        ({"grid_ranges": []}, ShapeError, "range for each of 2 parameters, got 0"),
        ({"grid_resolutions": [3]}, OptionError, "one for each of 2 ranges"),
        ({"grid_resolutions": 0}, OptionError, "grid_resolutions"),
        ({"grid_resolutions": 2.5}, OptionError, "grid_resolutions"),
        ({"grid_resolutions": 10**6}, OptionError, "number of grid points"),
        ({"stepsize": -1.0}, OptionError, "stepsize"),
        ({"ntrajectories": 0}, OptionError, "ntrajectories"),
        ({"ntrajectories": 2}, OptionError, "ntrajectories must be a whole number from 3"),
        ({"continous_sampling": "yes"}, OptionError, "continous_sampling"),
        ({"return_trajectories": "yes"}, OptionError, "return_trajectories"),
        ({"method": "euler"}, OptionError, "method must be one of"),
        ({"seed": -1}, OptionError, "seed"),
    ],
)
def test_refused_contours(options: dict, error: type[Exception], message: str) -> None:
    arguments = {"theta0": [0.0, 0.0], "grid_ranges": SQUARE, "grid_resolutions": 3} | options
    with pytest.raises(error, match=message):
        geometry_of(EXAMPLE).distance_contours(**arguments)


def test_trajectories_must_span_a_volume() -> None:
    geometry = InformationGeometry()
    geometry.information_from_function(
        lambda theta: np.eye(2) if np.all(theta == 0.0) else np.full((2, 2), np.nan), 2
    )
    for method in ("steps", "adaptive"):
        with pytest.raises(DataError, match="more trajectories"):
            geometry.distance_contours([0.0, 0.0], SQUARE, 3, method=method, seed=0)


def test_even_directions_need_a_plane() -> None:
    with pytest.raises(OptionError, match="two parameters, got 3"):
        geometry_of("np.eye(3)", 3).distance_contours(
            [0.0] * 3, [(-1.0, 1.0)] * 3, 3, continous_sampling=True
        )


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("np.array([[1, 1], [1, 1]])", "not positive definite"),
        ("np.diag([1, -1])", "not positive definite"),
        ("np.diag([1, 0])", "not positive definite"),
        ("np.array([[1, 1], [0, 1]])", "not symmetric"),
        ("np.eye(2) / theta[0]", "not finite"),
    ],
)
def test_theta0_needs_a_metric(formula: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        geometry_of(formula).find_trajectory([0.0, 0.0], [1.0, 0.0], SQUARE)
    with pytest.raises(DataError, match=message):
        geometry_of(formula).distance_contours([0.0, 0.0], SQUARE, 3)


def test_theta0_outside_the_grid() -> None:
    geometry = InformationGeometry()
    geometry.information_from_grid(*width_grid(5))
    with pytest.raises(DataError, match=r"theta0 = \[4. 1.\].*not finite"):
        geometry.find_trajectory([4.0, 1.0], [1.0, 0.0], [(-5.0, 5.0), (0.5, 2.0)])


def test_refused_functions() -> None:
    with pytest.raises(OptionError, match="function must be"):
        InformationGeometry().information_from_function(np.eye(2), 2)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="dimension"):
        InformationGeometry().information_from_function(np.diag, 0)
    with pytest.raises(OptionError, match="vectorized"):
        InformationGeometry().information_from_function(np.diag, 2, vectorized="no")  # type: ignore[arg-type]
    metric = function_metric(lambda _theta: np.eye(3), 2, vectorized=False)
    with pytest.raises(ShapeError, match=r"got \(3, 3\): check dimension=2"):
        metric.information(np.zeros((4, 2)))
    metric = function_metric(lambda _theta: np.eye(2), 2, vectorized=True)
    with pytest.raises(ShapeError, match=r"shape \(4, 2, 2\)"):
        metric.information(np.zeros((4, 2)))
