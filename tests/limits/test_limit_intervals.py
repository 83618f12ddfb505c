"""Intervals between grid points: closed forms of Gaussian likelihoods, and their words."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.limits import limit_grid, regular_grid
from madminer.limits.grid import interval_texts, projected_intervals, region_words
from madminer.stats import contour_level

COVARIANCE = np.array([[0.04, 0.018], [0.018, 0.0225]])


def gaussian(thetas: np.ndarray, mean: tuple[float, ...] = (0.0, 0.0)) -> np.ndarray:
    delta = thetas - mean
    return -0.5 * np.einsum("ni,ij,nj->n", delta, np.linalg.inv(COVARIANCE), delta)


@pytest.mark.parametrize("level", [0.68, 0.95])
@pytest.mark.parametrize("n", [11, 23])
def test_one_parameter_is_exact_on_any_grid(level: float, n: int) -> None:
    """The square root of q is linear on either side of the best point."""
    theta = regular_grid([(-1.0, 1.0)], n)
    width = 0.15 * np.sqrt(contour_level(level, 1))
    (found,) = projected_intervals(theta, -0.5 * (theta[:, 0] / 0.15) ** 2, level)
    np.testing.assert_allclose(found, [[-width, width]], rtol=1e-12)


@pytest.mark.parametrize("dof", [1, 2])
def test_projection_of_an_ellipse(dof: int) -> None:
    """The shadow of q <= c along a parameter ends at sqrt(c) profiled standard deviations."""
    thetas = regular_grid([(-1.0, 1.0)] * 2, 401)
    found = projected_intervals(thetas, gaussian(thetas), 0.68, dof)
    widths = np.sqrt(contour_level(0.68, dof) * np.diagonal(COVARIANCE))
    np.testing.assert_allclose(np.concatenate(found), [[-w, w] for w in widths], rtol=2e-3)


def test_regions_apart_are_told_apart() -> None:
    theta = regular_grid([(-1.0, 1.0)], 81)
    log_r = -0.5 * ((np.abs(theta[:, 0]) - 0.5) / 0.05) ** 2
    (found,) = projected_intervals(theta, log_r, 0.68)
    half = 0.05 * np.sqrt(contour_level(0.68, 1))
    expected = [[-0.5 - half, -0.5 + half], [0.5 - half, 0.5 + half]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert interval_texts(theta, log_r, 0.68) == ["-0.550 to -0.450, 0.450 to 0.550"]


def test_impossible_points_end_an_interval() -> None:
    theta = regular_grid([(0.0, 3.0)], 4)
    (found,) = projected_intervals(theta, np.array([0.0, -0.1, -np.inf, -np.inf]), 0.95)
    assert found[0, 0] == 0.0
    assert 1.0 < found[0, 1] < 1.1


@pytest.mark.parametrize(
    ("mean", "texts"),
    [
        (0.0, "-0.20 to 0.20"),
        (0.95, "above 0.75"),
        (-0.95, "below -0.75"),
    ],
)
def test_words(mean: float, texts: str) -> None:
    theta = regular_grid([(-1.0, 1.0)], 41)
    assert interval_texts(theta, -0.5 * ((theta[:, 0] - mean) / 0.1) ** 2, 0.95) == [texts]


def test_words_of_everything_and_of_tiny_and_large_parameters() -> None:
    theta = regular_grid([(-1.0, 1.0)], 5)
    assert interval_texts(theta, np.zeros(5), 0.95) == ["all of the grid"]
    for scale, text in ((1e-9, "-1.96e-09 to 1.96e-09"), (1e9, "-1.96e+09 to 1.96e+09")):
        theta = scale * regular_grid([(-5.0, 5.0)], 41)
        assert interval_texts(theta, -0.5 * (theta[:, 0] / scale) ** 2, 0.95) == [text]


def test_points_that_are_no_grid_have_no_projection() -> None:
    points = np.array([[0.0, 0.0], [0.1, 0.3], [0.2, 0.1]])
    with pytest.raises(OptionError, match="need limits on a full grid"):
        projected_intervals(points, np.zeros(3), 0.68)


def test_limits_know_their_intervals() -> None:
    thetas = regular_grid([(-1.0, 1.0)] * 2, 41)
    grid = limit_grid(thetas, gaussian(thetas, (0.1, -0.1)), np.zeros(len(thetas)), 20.0)
    joint, alone = grid.intervals(0.95), grid.intervals(0.95, dof=1)
    for wide, narrow in zip(joint, alone, strict=True):
        ratio = np.ptp(wide) / np.ptp(narrow)
        assert ratio == pytest.approx(np.sqrt(5.991 / 3.841), rel=0.02)
    for wrong in (1.0, 0.0):
        with pytest.raises(OptionError, match="confidence_level"):
            grid.intervals(wrong)
    with pytest.raises(OptionError, match="dof"):
        grid.intervals(0.95, dof=0)
    assert region_words(2) == "region, projected"
