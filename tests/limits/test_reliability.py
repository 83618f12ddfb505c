"""Limits say when they are not worth much, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import madminer
from madminer import Ensemble
from madminer.errors import EvidenceError
from madminer.io import EventFile, Events, write_events
from madminer.limits import AsymptoticLimits, expected_limit_grid, limit_grid
from madminer.limits.grid import LimitGrid
from madminer.limits.reliability import report_few_data, report_off_grid, report_untested
from madminer.ml import ParameterizedRatioEstimator
from madminer.ml.validated import UndecidedValidation
from madminer.stats import regular_grid

MakeFile = Callable[..., Path]
MakeRatio = Callable[..., ParameterizedRatioEstimator]

ORIGIN = np.zeros(2)
L = 400.0


def parabola(n: int = 21, width: float = 1.0, n_parameters: int = 2) -> LimitGrid:
    """-2 log r = |theta|^2 / width^2: excluded at 95 % beyond 2.45 widths in two parameters."""
    thetas = regular_grid([(-4.0, 4.0)] * n_parameters, n)
    log_r = -0.5 * np.sum(thetas**2, axis=1) / width**2
    return limit_grid(thetas, log_r, np.zeros(len(thetas)), 100.0)


def box(half: float, n_parameters: int = 2) -> np.ndarray:
    """Corners of a square around zero."""
    return half * regular_grid([(-1.0, 1.0)] * n_parameters, 2)


@pytest.mark.parametrize(
    ("half", "warns"),
    [(3.0, False), (2.4, False), (2.1, False), (1.9, True), (0.5, True)],
)
def test_validated_points_must_reach_what_is_excluded(
    half: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The last points within are at 2.4, the first outside at (2.4, 0.8); the margin is 20 %."""
    report_untested(parabola(), box(half))
    assert bool(caplog.messages) == warns
    if warns:
        assert (
            f"tested only from theta = ({-half:g}, {-half:g}) to ({half:g}, {half:g})"
            in caplog.text
        )
        assert "validate(estimator, events, theta=[(-2.4, -0.8), " in caplog.text


def test_what_was_never_validated_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    report_untested(parabola(), None)
    (message,) = caplog.messages
    assert "was never tested" in message
    assert "theta of its section validation" in message
    assert "madminer.validation.validate(estimator, events, theta=[" in message
    assert "toy experiments, which need no calibration" in message
    caplog.clear()
    report_untested(parabola(), np.empty((0, 2)))
    (message,) = caplog.messages
    assert "failed its validation" in message


def test_what_was_undecided_is_not_called_untested(caplog: pytest.LogCaptureFixture) -> None:
    undecided = UndecidedValidation(box(1.5), 5)
    report_untested(parabola(), None, undecided)
    (message,) = caplog.messages
    assert "was never tested" not in message
    assert "from theta = (-1.5, -1.5) to (1.5, 1.5) had too few test events to decide" in message
    assert "(5 checks undecided)" in message
    assert "Simulate more events" in message
    caplog.clear()
    report_untested(parabola(), box(0.5), undecided)  # at other points it was found calibrated
    (message,) = caplog.messages
    assert "was tested only from theta = (-0.5, -0.5) to (0.5, 0.5)" in message
    assert "(5 checks undecided)" in message
    caplog.clear()
    report_untested(parabola(), box(3.0), undecided)
    assert not caplog.messages


def test_networks_hand_over_what_was_undecided(
    latent_event_file: MakeFile, exact_ratio: MakeRatio, caplog: pytest.LogCaptureFixture
) -> None:
    path, thetas = latent_event_file(2, 4_000), regular_grid([(-0.9, 0.9)] * 2, 7)
    estimator = exact_ratio()
    estimator.validated_thetas = None
    estimator.undecided_validation = UndecidedValidation(thetas, 1)
    expected_limit_grid(path, estimator, ORIGIN, thetas, L)
    assert "(1 check undecided)" in caplog.text


@pytest.mark.parametrize("truth", [[0.9, -0.9], [0.0, 0.0], [0.9 + 1e-12, 0.0]])
def test_a_truth_on_the_grid_is_nothing_to_report(
    truth: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    report_off_grid(regular_grid([(-0.9, 0.9)] * 2, 5), np.array(truth), ["a", "b"])
    assert not caplog.messages


def test_a_truth_off_the_grid_is_reported(
    latent_event_file: MakeFile, exact_ratio: MakeRatio, caplog: pytest.LogCaptureFixture
) -> None:
    """The best fit can only be the nearest point of the grid."""
    path, thetas = latent_event_file(2, 4_000), regular_grid([(-0.3, 0.3)] * 2, 7)
    grid = expected_limit_grid(path, exact_ratio(), [0.6, 0.0], thetas, L)
    assert grid.best_theta[0] == 0.3
    assert "not on the grid, a = 0.6 (grid -0.3 to 0.3):" in caplog.text
    assert "outside the range" not in caplog.text  # benchmarks are at -1 and 1
    caplog.clear()
    expected_limit_grid(path, exact_ratio(), [0.3, 0.0], thetas, L)
    assert "not on the grid" not in caplog.text


def test_nothing_excluded_needs_no_validation(caplog: pytest.LogCaptureFixture) -> None:
    report_untested(parabola(width=10.0), None)
    assert not caplog.messages


def test_a_grid_coarser_than_the_limits(caplog: pytest.LogCaptureFixture) -> None:
    """All but the best point are excluded: the nearest others have to be reached."""
    report_untested(parabola(9, width=0.1), box(1.0))
    assert not caplog.messages
    report_untested(parabola(9, width=0.1), box(0.5))
    assert len(caplog.messages) == 1


def test_one_side_is_not_both(caplog: pytest.LogCaptureFixture) -> None:
    """In one parameter: validated above zero alone; further columns are nuisance parameters."""
    one = parabola(41, n_parameters=1)
    report_untested(one, np.array([[-2.0, 9.0], [2.0, -9.0]]))
    assert not caplog.messages
    report_untested(one, np.array([[0.0, 9.0], [2.0, -9.0]]))
    assert "theta = (0) to (2)" in caplog.text


def test_limits_of_networks(
    latent_event_file: MakeFile, exact_ratio: MakeRatio, caplog: pytest.LogCaptureFixture
) -> None:
    path, thetas = latent_event_file(2, 4_000), regular_grid([(-0.9, 0.9)] * 2, 7)
    untested, tested = exact_ratio(), exact_ratio()
    untested.validated_thetas = None
    for estimator, warns in (
        (tested, False),
        (untested, True),
        (Ensemble([tested]), True),  # the mean of an ensemble is another estimator
    ):
        caplog.clear()
        expected_limit_grid(path, estimator, ORIGIN, thetas, L)
        assert len(caplog.messages) == warns
    ensemble: Any = Ensemble([untested])
    ensemble.validated_thetas = thetas
    caplog.clear()
    expected_limit_grid(path, ensemble, ORIGIN, thetas, L)
    x = EventFile(path).read(0, 400).x
    AsymptoticLimits(path).observed_limits("ml", x, model_file=tested, thetas_eval=thetas)
    assert not caplog.messages
    AsymptoticLimits(path).observed_limits("ml", x, model_file=untested, thetas_eval=thetas)
    assert "was never tested" in caplog.text


def test_strict_limits(latent_event_file: MakeFile, exact_ratio: MakeRatio) -> None:
    path, thetas = latent_event_file(2, 4_000), regular_grid([(-0.9, 0.9)] * 2, 7)
    untested = exact_ratio()
    untested.validated_thetas = None
    with madminer.strict():
        expected_limit_grid(path, exact_ratio(), ORIGIN, thetas, L)
        with pytest.raises(EvidenceError, match="was never tested"):
            expected_limit_grid(path, untested, ORIGIN, thetas, L)
        biased = exact_ratio(shift=0.3)
        with pytest.raises(EvidenceError, match="truth theta = "):
            expected_limit_grid(path, biased, ORIGIN, thetas, L, include_xsec=False)


@pytest.mark.parametrize("mode", ["ml", "sally", "adaptive-sally", "sallino", "histo", "truth"])
def test_few_effective_events_are_said_in_every_mode(
    mode: Any,
    latent_event_file: MakeFile,
    exact_ratio: MakeRatio,
    exact_score: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At theta = (0, 30) of 4,000 events weights are 900 z_1^2, at zero all are one."""
    limits = AsymptoticLimits(latent_event_file(2, 250, seed=7))
    model = exact_ratio() if mode == "ml" else exact_score(ORIGIN)
    given = {"hist_vars": ["z0"]} if mode == "histo" else {"model_file": model}
    given |= {"luminosity": 40.0, "test_split": 0.5}
    grid = regular_grid([(-0.4, 0.4)] * 2, 3)
    limits.expected_limits(mode, ORIGIN, thetas_eval=grid, **given)  # type: ignore[arg-type]
    assert "worth" not in caplog.text
    far = [*grid.tolist(), [0.0, 30.0]]
    limits.expected_limits(mode, ORIGIN, thetas_eval=far, **given)  # type: ignore[arg-type]
    sigma, error = limits.xsecs([[0.0, 30.0]])
    n_effective = (sigma[0] / error[0]) ** 2
    assert 80.0 < n_effective < 100.0  # E[z^2]^2 / E[z^4] = 1/3 of 250
    assert f"theta = (0, 30) the simulated events are worth {n_effective:.3g}" in caplog.text


def test_few_effective_data(
    latent_event_file: MakeFile,
    exact_ratio: MakeRatio,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """1000 events, of which two in the test partition carry a hundred times the weight."""
    file = EventFile(latent_event_file(2, 1_000))
    events = file.read()
    factors = np.where(np.isin(np.arange(1_000), [900, 950]), 100.0, 1.0)
    path = tmp_path / "few.h5"
    heavy = Events(events.x, events.weights * factors[:, np.newaxis], events.sampling_benchmarks)
    write_events(path, file.setup, heavy, file.summary)
    grid: dict[str, Any] = {"thetas_eval": regular_grid([(-0.1, 0.1)] * 2, 3), "luminosity": 4.0}
    limits = AsymptoticLimits(path)
    limits.expected_limits("ml", ORIGIN, model_file=exact_ratio(), **grid)
    n_effective = (198.0 + 200.0) ** 2 / (198.0 + 2e4)
    assert f"200 simulated events, worth only {n_effective:.3g} unweighted ones" in caplog.text
    caplog.clear()
    limits.expected_limits("rate", ORIGIN, **grid)  # only their number counts
    assert "expected data" not in caplog.text
    report_few_data(np.full(101, 1.0 / 101.0))
    assert "expected data" not in caplog.text


def test_limits_that_a_grid_cannot_show(
    latent_event_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    limits = AsymptoticLimits(latent_event_file(2, 4_000))
    wide = {
        "grid_ranges": [(-9.0, 9.0), (-0.9, 0.9)],
        "grid_resolutions": 21,
        "luminosity": L / 50.0,
    }
    limits.expected_limits("truth", ORIGIN, **wide)
    assert "the limits leave 1 of 21 values of a: they are narrower" in caplog.text
    caplog.clear()
    limits.expected_limits("truth", ORIGIN, **{**wide, "grid_ranges": [(-0.9, 0.9)] * 2})
    assert "narrower" not in caplog.text


def test_few_counts_have_no_asymptotic_p_values(
    latent_event_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    limits = AsymptoticLimits(latent_event_file(2, 4_000))
    thetas = regular_grid([(-0.3, 0.3)] * 2, 3)
    n_events = limits.expected_limits("rate", ORIGIN, thetas_eval=thetas, luminosity=L).n_observed
    assert "Wilks" not in caplog.text
    few = {"thetas_eval": thetas, "luminosity": 2.0 * L / n_events}
    limits.expected_limits("rate", ORIGIN, **few)
    assert "With 2 events p-values from the asymptotic distribution" in caplog.text
