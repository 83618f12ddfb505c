"""What AsymptoticLimits refuses by name, and what it warns of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    ExpressionError,
    MadMinerError,
    MissingFileError,
    NoEventsError,
    OptionError,
    SetupError,
    ShapeError,
)
from madminer.io import EventFile, Events, write_events
from madminer.limits import AsymptoticLimits, regular_grid
from madminer.ml import Ensemble, ParameterizedRatioEstimator, ScoreEstimator

L = 50.0
ORIGIN = [0.0, 0.0]
GRID = regular_grid([(-0.4, 0.4)] * 2, 3)
MakeFile = Callable[..., Path]


@pytest.fixture(scope="module")
def limits(latent_event_file: MakeFile) -> AsymptoticLimits:
    return AsymptoticLimits(latent_event_file())


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(40, 3))


HISTO = {"hist_vars": ["x0"], "thetas_eval": GRID}
REFUSED: list[tuple[str, dict[str, Any], type[MadMinerError], str]] = [
    ("other", {}, OptionError, "mode must be one of 'rate', 'histo'.*got 'other'"),
    ("truth", {"thetas_eval": GRID}, OptionError, "Latent variables of observed events"),
    ("rate", {"thetas_eval": GRID, "include_xsec": False}, OptionError, "leaves nothing"),
    ("rate", {}, OptionError, "give grid_ranges, or points as thetas_eval"),
    ("rate", {"grid_ranges": [(-1.0, 1.0)]}, ShapeError, "a range for each parameter"),
    ("rate", {"grid_ranges": [(-1.0, 1.0)] * 3}, ShapeError, r"shape \(n, 2\)"),
    ("rate", {"grid_ranges": [(1.0, -1.0)] * 2}, OptionError, "grid_ranges"),
    ("rate", {"thetas_eval": [[0.0, np.nan]]}, ShapeError, "must be finite"),
    ("rate", {"thetas_eval": [0.0, 1.0]}, ShapeError, r"shape \(n, 2\)"),
    ("rate", {"thetas_eval": GRID, "luminosity": -1.0}, OptionError, "luminosity must be"),
    ("rate", {"thetas_eval": GRID, "n_observed": -1.0}, OptionError, "n_observed must be"),
    ("rate", {"thetas_eval": GRID, "dof": 0}, OptionError, "dof must be"),
    (
        "histo",
        {
            "thetas_eval": GRID,
            "hist_vars": ["x0"],
            "fix_adaptive_binning": False,
            "extra_variance": True,
        },
        OptionError,
        "extra_variance needs",
    ),
    ("ml", {"thetas_eval": GRID}, OptionError, "Mode 'ml' needs model_file"),
    ("ml", {"thetas_eval": GRID, "model_file": "no/such"}, MissingFileError, "no/such"),
    ("sally", {"thetas_eval": GRID}, OptionError, "Mode 'sally' needs model_file"),
    ("sallino", {"thetas_eval": GRID}, OptionError, "Mode 'sallino' needs model_file"),
    ("histo", {"thetas_eval": GRID}, OptionError, "needs hist_vars, or model_file for scores"),
    ("histo", HISTO | {"hist_vars": ["pt"]}, ExpressionError, "unknown name 'pt'"),
    ("histo", HISTO | {"hist_vars": []}, OptionError, "at least one observable"),
    ("histo", HISTO | {"hist_bins": [3, 3]}, OptionError, "hist_bins|Bin edges"),
    ("histo", HISTO | {"hist_bins": 0}, OptionError, "hist_bins"),
    ("histo", HISTO | {"thetaref": [0.0]}, ShapeError, "theta must be finite with shape"),
    ("histo", HISTO | {"fix_adaptive_binning": "edges"}, OptionError, "fix_adaptive_binning must"),
    ("histo", HISTO | {"fix_adaptive_binning": np.ones(2)}, OptionError, "fix_adaptive_binning"),
    ("histo", HISTO | {"return_observed": 2.5}, OptionError, "return_observed must be a whole"),
    ("histo", HISTO | {"return_observed": "all"}, OptionError, "return_observed must be a whole"),
    ("histo", HISTO | {"return_observed": -1}, OptionError, "return_observed must be a whole"),
    ("histo", HISTO | {"n_histo_toys": 0}, OptionError, "n_histo_toys must be"),
    ("histo", HISTO | {"postprocessing": 3}, OptionError, "postprocessing must be a function"),
    (
        "histo",
        HISTO | {"postprocessing": lambda s: s[:, 0]},
        ShapeError,
        "postprocessing must turn .* into",
    ),
    (
        "histo",
        HISTO | {"postprocessing": lambda s: s * np.nan},
        DataError,
        "None of the simulated events has a finite value",
    ),
    ("histo", HISTO | {"postprocessing": lambda s: 0.0 * s}, DataError, "makes no histogram"),
    ("histo", HISTO | {"test_split": 1.0}, OptionError, "'train' of 600 events is empty"),
]


@pytest.mark.parametrize(("mode", "options", "error", "match"), REFUSED)
def test_refused_by_name(
    limits: AsymptoticLimits,
    x: np.ndarray,
    mode: str,
    options: dict[str, Any],
    error: type[MadMinerError],
    match: str,
) -> None:
    with pytest.raises(error, match=match):
        limits.observed_limits(mode, x, **options)  # type: ignore[arg-type]


def test_unknown_arguments_are_no_options(limits: AsymptoticLimits, x: np.ndarray) -> None:
    for call, data, wrong in (
        (limits.observed_limits, x, "return_asimov"),
        (limits.observed_limits, x, "n_asimov"),
        (limits.expected_limits, ORIGIN, "n_observed"),
        (limits.expected_limits, ORIGIN, "luminosty"),
    ):
        with pytest.raises(TypeError, match=wrong):
            call("rate", data, thetas_eval=GRID, **{wrong: 1})  # type: ignore[arg-type,operator]


def test_observed_events(limits: AsymptoticLimits) -> None:
    for events, error, match in (
        (np.zeros((5, 2)), ShapeError, r"x_observed must have shape \(n, 3\)"),
        (np.zeros(3), ShapeError, r"x_observed must have shape \(n, 3\)"),
        (None, ShapeError, "x_observed must be an array of numbers"),
        (np.full((5, 3), np.nan), DataError, "NaN in 5 of 5 events"),
    ):
        with pytest.raises(error, match=match):
            limits.observed_limits("rate", events, thetas_eval=GRID)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="n_observed is 5, but x_observed has no events"):
        limits.observed_limits("rate", np.empty((0, 3)), n_observed=5.0, thetas_eval=GRID)


def test_estimators(
    limits: AsymptoticLimits,
    x: np.ndarray,
    exact_score: Callable[..., ScoreEstimator],
    exact_ratio: Callable[..., ParameterizedRatioEstimator],
    latent_event_file: MakeFile,
) -> None:
    wrong_width = exact_ratio()
    wrong_width.n_observables = 4
    for mode, model, options, error, match in (
        ("ml", exact_score(ORIGIN), {}, OptionError, "Scores are histogrammed"),
        ("ml", Ensemble([exact_score(ORIGIN)]), {}, OptionError, "Scores are histogrammed"),
        ("ml", Ensemble([]), {}, MadMinerError, "no estimators"),
        ("ml", exact_ratio(3), {}, SetupError, "3 parameters, but the setup has 2"),
        ("ml", wrong_width, {}, SetupError, "4 observables, but the events have 3"),
        ("ml", 3, {}, OptionError, "model_file must be"),
        ("sally", exact_score([0.0]), {}, OptionError, r"components of the 1 of the score"),
        (
            "sally",
            exact_score(ORIGIN),
            {"score_components": [0, 2]},
            OptionError,
            r"score_components\[1\] .* must be a whole number from 0 to 1, got 2",
        ),
        (
            "adaptive-sally",
            exact_score(ORIGIN),
            {"score_components": [0, 1, 0]},
            OptionError,
            "score_components must be a single component or 2",
        ),
    ):
        with pytest.raises(error, match=match):
            limits.observed_limits(mode, x, model_file=model, thetas_eval=GRID, **options)  # type: ignore[arg-type]
    other = AsymptoticLimits(latent_event_file(1, 100))
    with pytest.raises(SetupError, match="2 parameters, but the setup has 1"):
        other.observed_limits("ml", x[:, :2], model_file=exact_ratio(), thetas_eval=[[0.0]])


def test_without_a_file(x: np.ndarray) -> None:
    with pytest.raises(OptionError, match=r"AsymptoticLimits\(filename\)"):
        AsymptoticLimits().observed_limits("rate", x, thetas_eval=GRID)
    with pytest.raises(OptionError, match="dof is needed"):
        AsymptoticLimits().asymptotic_p_value([-1.0])
    with pytest.raises(DataError, match="must not be positive"):
        AsymptoticLimits().asymptotic_p_value([1.0], 1)
    with pytest.raises(OptionError, match="include_nuisance_parameters must be"):
        AsymptoticLimits(None, "yes")  # type: ignore[arg-type]


def test_no_events_are_left(limits: AsymptoticLimits, toy_event_file: MakeFile) -> None:
    for split in (0.0, 1e-4):
        with pytest.raises(OptionError, match="'test' of 600 events is empty"):
            limits.expected_limits("rate", ORIGIN, test_split=split, thetas_eval=GRID)
    file = EventFile(toy_event_file(100))
    events = file.read()
    assert events.sampling_benchmarks is not None
    order = np.argsort(events.sampling_benchmarks == 0, kind="stable")  # these come last
    path = file.path.with_name("sorted.h5")
    ordered = Events(
        events.x[order], events.weights[order], np.maximum(events.sampling_benchmarks[order], 0)
    )
    write_events(path, file.setup, ordered, file.summary)
    with pytest.raises(NoEventsError, match="was generated close to theta"):
        AsymptoticLimits(path).expected_limits(
            "rate", "w3", test_split=0.1, thetas_eval=[[0.0, 0.0]]
        )


def test_negative_cross_sections(
    toy_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    negative = AsymptoticLimits(toy_event_file(200, negative_share=1.0))
    with pytest.raises(NoEventsError, match="add up to -"):
        negative.expected_limits("rate", ORIGIN, thetas_eval=GRID)
    negative.observed_limits("rate", np.ones((3, 6)), thetas_eval=GRID)
    assert "cross section is negative at 9 of 9 parameter points" in caplog.text
    file = EventFile(toy_event_file(100))
    events = file.read()
    signs = np.where(np.arange(100) < 70, -1.0, 20.0)[:, np.newaxis]  # only the rest is positive
    changed = Events(events.x * signs, events.weights * signs, events.sampling_benchmarks)
    write_events(tmp_path / "changed.h5", file.setup, changed, file.summary)
    with pytest.raises(NoEventsError, match="add up to -"):
        AsymptoticLimits(tmp_path / "changed.h5").expected_limits(
            "rate",
            ORIGIN,
            test_split=None,
            n_asimov=20,
            thetas_eval=GRID,
            sample_only_from_closest_benchmark=False,
        )


def test_grid_beyond_the_simulation_is_reported(
    limits: AsymptoticLimits, toy_event_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    limits.expected_limits("rate", ORIGIN, thetas_eval=GRID)
    assert not caplog.text
    far = [*GRID.tolist(), [0.0, 30.0]]
    AsymptoticLimits(toy_event_file(200)).expected_limits("rate", ORIGIN, thetas_eval=far)
    sigma, error = AsymptoticLimits(toy_event_file(200)).xsecs([[0.0, 30.0]])
    assert f"theta = (0, 30) the simulated events are worth {(sigma[0] / error[0]) ** 2:.3g}" in (
        caplog.text
    )


def test_best_fit_at_the_border_of_the_grid(
    limits: AsymptoticLimits, x: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    inside = {"grid_ranges": [(-0.4, 0.4)] * 2, "grid_resolutions": 5, "luminosity": 40.0}
    limits.observed_limits("rate", x, **inside)  # 40 events at sigma = 1 pb and 40 pb^-1
    assert not caplog.text
    limits.observed_limits("rate", x, **inside | {"grid_ranges": [(-0.4, 0.4), (0.1, 0.4)]})  # type: ignore[arg-type]
    assert "lies at the border of the grid in b" in caplog.text


def test_excluded_truth_of_asimov_data(
    limits: AsymptoticLimits,
    exact_ratio: Callable[..., ParameterizedRatioEstimator],
    caplog: pytest.LogCaptureFixture,
) -> None:
    grid = regular_grid([(-0.6, 0.6)] * 2, 5)
    limits.expected_limits("ml", ORIGIN, model_file=exact_ratio(), thetas_eval=grid, luminosity=L)
    assert not caplog.text
    biased = exact_ratio(shift=0.3)
    limits.expected_limits(
        "ml", ORIGIN, model_file=biased, thetas_eval=grid, luminosity=10 * L, include_xsec=False
    )
    assert "truth theta = (0, 0) is excluded by the limits expected from it" in caplog.text
    assert "the best fit is (0.3, 0)" in caplog.text
