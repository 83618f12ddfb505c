"""Calibration curves against slow twins and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from madminer.errors import (
    DataError,
    NegativeWeightError,
    NoEventsError,
    OptionError,
    ShapeError,
)
from madminer.ml.calibration_curves import (
    LEAST_EVENTS,
    CalibrationCurve,
    ThetaSpline,
    calibration_curve,
)


def sample(n: int = 4000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """True log r of events at theta1, and joint ratios of mean r around it."""
    rng = np.random.default_rng(seed)
    log_r = rng.normal(-0.125, 0.5, size=n)
    return log_r, np.exp(log_r) * rng.gamma(4.0, 0.25, size=n)


def twin(
    s: np.ndarray, r: np.ndarray, r_cal: np.ndarray, n_bins: int
) -> list[tuple[float, float, float]]:
    """Points of the curve before it is normalised: equal bins of equal weights, one by one."""
    points = []
    for part in np.array_split(np.argsort(s), n_bins):
        mean = r[part].mean()
        points.append(
            (
                np.log(np.exp(s[part]).mean()),
                np.log(mean),
                np.sqrt(np.sum((r[part] - r_cal[part]) ** 2)) / np.sum(r[part]),
            )
        )
    return points


def test_points_are_those_of_a_slow_twin() -> None:
    log_r, joint = sample()
    curve = calibration_curve(1.3 * log_r, joint, np.ones(len(joint)), n_bins=8)
    knots, means, errors = np.transpose(twin(1.3 * log_r, joint, np.exp(curve(1.3 * log_r)), 8))
    np.testing.assert_allclose(curve.log_r_hat, knots, rtol=1e-12)
    np.testing.assert_allclose(np.diff(curve.log_r), np.diff(means), rtol=1e-10)
    np.testing.assert_allclose(curve.errors, errors, rtol=1e-12)
    np.testing.assert_allclose(curve.n_effective, 500.0)


@pytest.mark.parametrize("method", ["binned", "isotonic"])
def test_the_mean_of_the_calibrated_ratio_is_one(method: str) -> None:
    log_r, joint = sample()
    weights = np.random.default_rng(2).uniform(0.5, 1.5, size=len(joint))
    curve = calibration_curve(2.0 * log_r + 1.0, joint, weights, method=method)
    mean = np.average(np.exp(curve(2.0 * log_r + 1.0)), weights=weights)
    assert mean == pytest.approx(1.0, abs=1e-13)


def test_calibrated_ratios_stay_exactly_where_there_are_no_latent_variables() -> None:
    log_r, _ = sample()
    log_r -= np.log(np.exp(log_r).mean())
    curve = calibration_curve(log_r, np.exp(log_r), np.ones(len(log_r)), n_bins=3)
    np.testing.assert_allclose(curve(log_r), log_r, atol=1e-12)


def test_pulls_of_the_points_have_unit_width() -> None:
    """The errors are right: the true curve of a stretched log r is a straight line."""
    pulls = []
    for seed in range(60):
        log_r, joint = sample(seed=seed)
        curve = calibration_curve(1.3 * log_r, joint, np.ones(len(joint)))
        shift = np.log(np.mean(joint) / np.mean(np.exp(log_r)))  # both means are one in truth
        pulls.append((curve.log_r + shift - curve.log_r_hat / 1.3) / curve.errors)
    assert abs(np.mean(pulls)) < 0.15
    assert 0.85 < np.std(pulls) < 1.15


def test_curves_are_continuous_with_straight_ends() -> None:
    curve = CalibrationCurve([-1.0, 0.5, 2.0], [-2.0, 0.0, 1.0], [0.1] * 3, [100.0] * 3)
    np.testing.assert_allclose(curve(curve.log_r_hat), curve.log_r, atol=1e-15)
    around = curve(np.array([-1.0, 0.5, 2.0]) + np.array([[-1e-9], [1e-9]]))
    np.testing.assert_allclose(around[0], around[1], atol=1e-8)
    np.testing.assert_allclose(np.diff(curve(np.array([-9.0, -8.0, -1.0]))), [4 / 3, 28 / 3])
    np.testing.assert_allclose(np.diff(curve(np.array([2.0, 5.0]))), [2.0])


def test_isotonic_curves_never_fall() -> None:
    log_r, joint = sample(2000)
    binned = calibration_curve(log_r, joint, np.ones(len(joint)), n_bins=40)
    isotonic = calibration_curve(log_r, joint, np.ones(len(joint)), method="isotonic")
    assert np.any(binned.slopes < 0.0)
    assert np.all(isotonic.slopes >= 0.0)
    assert len(isotonic.log_r) > 5


def test_a_statistic_without_information_gives_one() -> None:
    log_r, joint = sample()
    noise = np.random.default_rng(5).normal(size=len(joint))
    curve = calibration_curve(noise, joint, np.ones(len(joint)), n_bins=10)
    assert np.all(np.abs(curve.log_r) < 4.0 * curve.errors)
    constant = calibration_curve(0.0 * log_r, joint, np.ones(len(joint)))
    np.testing.assert_allclose(constant(np.array([-3.0, 0.0, 3.0])), 0.0, atol=1e-15)


def test_bins_with_few_events_are_merged() -> None:
    log_r, joint = sample(1000)
    curve = calibration_curve(log_r, joint, np.ones(1000), n_bins=100)
    assert 10 <= len(curve.log_r) <= 1000 / LEAST_EVENTS
    assert np.all(curve.n_effective >= LEAST_EVENTS)
    # ratios of a few events dominate: effective numbers at theta count, too
    heavy = np.where(np.arange(1000) % 10 == 0, 5.0, 0.1)
    assert len(calibration_curve(log_r, heavy, np.ones(1000), 100).log_r) < len(curve.log_r) // 2


def test_weights_count_like_events() -> None:
    log_r, joint = sample(3000)
    once = calibration_curve(2.0 * log_r, joint, np.ones(3000), n_bins=6)
    split = np.repeat(np.arange(3000), 2)
    signed = np.tile([1.5, -0.5], 3000)
    found = calibration_curve(2.0 * log_r[split], joint[split], signed, n_bins=6)
    np.testing.assert_allclose(found.log_r_hat, once.log_r_hat, atol=1e-12)
    np.testing.assert_allclose(found.log_r, once.log_r, atol=1e-12)
    np.testing.assert_allclose(found.n_effective, once.n_effective / 2.5)
    with_zeros = calibration_curve(
        np.append(2.0 * log_r, 99.0), np.append(joint, 1.0), np.append(np.ones(3000), 0.0), n_bins=6
    )
    np.testing.assert_array_equal(with_zeros.log_r, once.log_r)


def test_ratios_far_from_one_do_not_overflow() -> None:
    log_r, joint = sample()
    curve = calibration_curve(3000.0 * log_r, joint, np.ones(len(joint)))
    values = curve(3000.0 * log_r)
    assert np.all(np.isfinite(values))
    assert np.corrcoef(values, log_r)[0, 1] > 0.9


def test_refusals_of_curves() -> None:
    log_r, joint = sample(300)
    ones = np.ones(300)
    for n_bins in (1, 2.5, "all"):
        with pytest.raises(OptionError, match="n_bins must be a whole number from 2"):
            calibration_curve(log_r, joint, ones, n_bins=n_bins)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="'binned', 'isotonic'"):
        calibration_curve(log_r, joint, ones, method="spline")
    with pytest.raises(NoEventsError, match=r"two bins of 50 .* all 80 events .* Use more events"):
        calibration_curve(log_r[:80], joint[:80], ones[:80])
    with pytest.raises(NegativeWeightError, match=r"30 of 300 are. Use method='binned'"):
        calibration_curve(log_r, joint, np.where(np.arange(300) < 30, -0.1, 1.0), method="isotonic")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"log_r": [0.0]}, ShapeError),
        ({"log_r_hat": [[0.0, 1.0]]}, ShapeError),
        ({"log_r_hat": [1.0, 0.0]}, DataError),
        ({"log_r": [0.0, np.nan]}, DataError),
        ({"errors": [-0.1, 0.1]}, DataError),
        ({"n_effective": ["a", "b"]}, ShapeError),
    ],
)
def test_damaged_curves_are_refused(change: dict[str, object], error: type[Exception]) -> None:
    good = {"log_r_hat": [0.0, 1.0], "log_r": [0.0, 1.0], "errors": [0.1] * 2}
    with pytest.raises(error):
        CalibrationCurve(**{**good, "n_effective": [9.0, 9.0], **change})  # type: ignore[arg-type]


# Interpolation in theta

LINE = np.array([[-2.0], [-0.5], [0.0], [1.0], [3.0]])
PLANE = np.random.default_rng(3).uniform(-1.0, 1.0, size=(9, 2))


def test_one_parameter_has_the_natural_cubic_spline() -> None:
    at = np.linspace(-2.0, 3.0, 41)
    expected = CubicSpline(LINE[:, 0], np.eye(5), bc_type="natural")
    spline = ThetaSpline.through(LINE)
    np.testing.assert_allclose(spline(torch.as_tensor(at[:, None])), expected(at), atol=1e-12)
    np.testing.assert_allclose(
        spline.gradients(torch.as_tensor(at[:, None]))[..., 0], expected(at, 1), atol=1e-12
    )


@pytest.mark.parametrize("points", [LINE, PLANE, PLANE[:1], PLANE[:3]])
def test_coefficients_are_one_at_their_own_point_and_add_up_to_one(points: np.ndarray) -> None:
    spline = ThetaSpline.through(points)
    own = spline(torch.as_tensor(points)).numpy()
    np.testing.assert_allclose(own, np.eye(len(points)), atol=1e-11)
    elsewhere = torch.as_tensor(points + 0.37)
    np.testing.assert_allclose(spline(elsewhere).sum(-1), 1.0, atol=1e-11)
    if len(points) > points.shape[1]:  # linear functions are interpolated exactly
        np.testing.assert_allclose(spline(elsewhere).numpy() @ points, elsewhere, atol=1e-10)
    step, gradients = 1e-6, spline.gradients(elsewhere)
    for i in range(points.shape[1]):
        shift = torch.zeros(points.shape[1], dtype=torch.float64)
        shift[i] = step
        numeric = (spline(elsewhere + shift) - spline(elsewhere - shift)) / (2.0 * step)
        np.testing.assert_allclose(gradients[..., i], numeric, atol=1e-7)


def test_units_of_the_parameters_do_not_matter() -> None:
    units = np.array([1e-3, 50.0])
    at = torch.as_tensor(PLANE.mean(axis=0))
    scaled = ThetaSpline.through(PLANE * units)(at * torch.as_tensor(units))
    np.testing.assert_allclose(scaled, ThetaSpline.through(PLANE)(at), atol=1e-10)


def test_points_on_a_line_are_interpolated_along_it() -> None:
    line = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0]])
    spline = ThetaSpline.through(line)
    across = torch.tensor([[0.5, 1.0], [0.5, 7.0]])
    np.testing.assert_allclose(spline(across)[0], spline(across)[1])
    expected = ThetaSpline.through(line[:, :1])(across[:, :1])
    np.testing.assert_allclose(spline(across), expected, atol=1e-12)


def test_repeated_points_are_refused() -> None:
    with pytest.raises(OptionError, match="different points"):
        ThetaSpline.through(np.array([[0.0], [1.0], [0.0]]))
