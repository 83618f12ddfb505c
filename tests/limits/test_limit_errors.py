"""What finite simulation does to limits: errors of log r, and limits that exclude their truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.stats import chi2

from madminer.io import EventFile
from madminer.limits import AsymptoticLimits, expected_limit_grid
from madminer.ml import ParameterizedRatioEstimator
from madminer.stats import regular_grid

MakeFile = Callable[..., Path]
MakeRatio = Callable[..., ParameterizedRatioEstimator]

ORIGIN = np.zeros(2)
GRID = regular_grid([(-0.4, 0.4)] * 2, 3)
L = 80.0


@pytest.mark.parametrize("mode", ["ml", "histo"])
def test_error_of_expected_data_is_that_of_resampled_events(
    mode: Any, latent_event_file: MakeFile, exact_ratio: MakeRatio
) -> None:
    """Each event of the test half comes a Poisson number of times; their number stays."""
    path, rng = latent_event_file(2, 1_000, seed=11), np.random.default_rng(4)
    given: dict[str, Any] = {"thetas_eval": GRID, "luminosity": L, "include_xsec": False}
    given |= {"test_split": 0.5, "widen": False}
    given |= {"hist_vars": ["x0"], "hist_bins": [-9.0, -1.0, 0.0, 1.0, 9.0]}
    given |= {"model_file": exact_ratio(), "extra_variance": True} if mode == "ml" else {}
    grid = AsymptoticLimits(path).expected_limits(mode, ORIGIN, **given)
    assert grid.log_r_errors is not None
    errors = grid.log_r_errors
    if mode == "histo":  # without the error of the templates, as of observed data
        data = EventFile(path).read(500, 1_000).x
        seen = AsymptoticLimits(path).observed_limits(
            mode, data, n_observed=grid.n_observed, **given
        )
        assert seen.log_r_errors is not None
        assert seen.i_best == grid.i_best
        errors = np.sqrt(errors**2 - seen.log_r_errors**2)
    with h5py.File(path) as file:
        weights = file["samples/weights"][:]
    values = np.empty((100, len(GRID)))
    for i in range(len(values)):
        factors = np.concatenate([np.ones(500), rng.poisson(1.0, 500)])
        with h5py.File(path, "r+") as file:
            file["samples/weights"][:] = weights * factors[:, np.newaxis]
        one = AsymptoticLimits(path).expected_limits(mode, ORIGIN, **given)
        values[i] = one.llr_kin * grid.n_observed / one.n_observed
    spread = np.std(values - values[:, [grid.i_best]], axis=0)
    np.testing.assert_allclose(errors, spread, rtol=0.2, atol=1e-12)


def test_error_of_the_rate_is_that_of_resampled_events(latent_event_file: MakeFile) -> None:
    """To first order: at (0, 0.4), as far from zero as the best point, only a rest is left."""
    path, rng = latent_event_file(2, 4_000, seed=11), np.random.default_rng(4)
    given: dict[str, Any] = {"thetas_eval": GRID, "luminosity": L, "n_observed": 90.0}
    x = EventFile(path).read(0, 90).x
    grid = AsymptoticLimits(path).observed_limits("rate", x, **given)
    with h5py.File(path) as file:
        weights = file["samples/weights"][:]
    values = np.empty((200, len(GRID)))
    for i in range(len(values)):
        with h5py.File(path, "r+") as file:
            file["samples/weights"][:] = weights * rng.poisson(1.0, (4_000, 1))
        one = AsymptoticLimits(path).observed_limits("rate", x, **given)
        values[i] = one.log_p_rate
    spread = np.std(values - values[:, [grid.i_best]], axis=0)
    np.testing.assert_allclose(grid.log_r_errors, spread, rtol=0.2, atol=0.03)


@pytest.mark.parametrize("dof", [None, 1])
def test_limits_that_exclude_their_truth_are_widened(
    dof: int | None,
    latent_event_file: MakeFile,
    exact_ratio: MakeRatio,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The truth then has the probability of chi^2 = dof; everything else follows in proportion."""
    limits = AsymptoticLimits(latent_event_file(2, 4_000))
    given: dict[str, Any] = {"thetas_eval": regular_grid([(-0.9, 0.9)] * 2, 7), "dof": dof}
    given |= {"model_file": exact_ratio(shift=0.3), "luminosity": 400.0, "include_xsec": False}
    raw = limits.expected_limits("ml", ORIGIN, widen=False, **given)
    assert raw.scale_factor == 1.0
    assert "These limits must not be used" in caplog.text
    caplog.clear()
    wide = limits.expected_limits("ml", ORIGIN, **given)
    at_truth = int(np.flatnonzero(~np.any(np.round(raw.theta_grid, 9), axis=1))[0])
    q, m = -2.0 * raw.log_r, dof or 2
    assert q[at_truth] > 3.0 * m
    np.testing.assert_allclose(wide.scale_factor**2, q[at_truth] / m)
    np.testing.assert_allclose(wide.p_values, chi2.sf(q / wide.scale_factor**2, m))
    np.testing.assert_allclose(wide.p_values[at_truth], chi2.sf(m, m))
    assert f"widened by a factor {wide.scale_factor:.3g}" in caplog.text
    assert f"widened by {wide.scale_factor:.3g}" in repr(wide)


def test_limits_that_hold_their_truth_stay(
    latent_event_file: MakeFile, exact_ratio: MakeRatio
) -> None:
    path, thetas = latent_event_file(2, 4_000), regular_grid([(-0.9, 0.9)] * 2, 7)
    grid = expected_limit_grid(path, exact_ratio(), ORIGIN, thetas, 400.0)
    assert grid.scale_factor == 1.0
    assert grid.p_values[grid.i_best] == 1.0
    assert "widened" not in repr(grid)


@pytest.mark.parametrize("mode", ["rate", "histo", "ml"])
def test_limits_of_few_simulated_events_are_uncertain(
    mode: Any,
    latent_event_file: MakeFile,
    exact_ratio: MakeRatio,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hundred thousand events expected, of which a few hundred were simulated."""
    given: dict[str, Any] = {"thetas_eval": regular_grid([(-0.9, 0.9)] * 2, 21)}
    given |= {"hist_vars": ["z0"], "hist_bins": 4, "model_file": exact_ratio(), "test_split": 0.5}
    few = AsymptoticLimits(latent_event_file(2, 400, seed=3))
    few.expected_limits(mode, ORIGIN, luminosity=1e5, **given)
    assert "from the finite number of simulated events: other events would give" in caplog.text
    caplog.clear()
    few.expected_limits(mode, ORIGIN, luminosity=1e5, extra_variance=True, **given)
    assert "from the finite number" not in caplog.text
    many = AsymptoticLimits(latent_event_file(2, 20_000, seed=3))
    many.expected_limits(mode, ORIGIN, luminosity=100.0, **given)
    assert "from the finite number" not in caplog.text
