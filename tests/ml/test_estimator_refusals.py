from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import DataError, FileFormatError, MissingFileError, OptionError, ShapeError
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator, load_estimator

X = np.random.default_rng(1).normal(size=(20, 3))


@pytest.fixture
def sample(make_toy: Callable[[int], Any]) -> dict[str, Any]:
    data: dict[str, Any] = make_toy(1).ratio_sample(40, seed=3)
    return data


@pytest.fixture(scope="module")
def score() -> ScoreEstimator:
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", X, X[:, :2], n_epochs=1, seed=1)
    return estimator


def test_log_ratios_are_refused(sample: dict[str, Any]) -> None:
    estimator = ParameterizedRatioEstimator(n_hidden=(4,))
    log_r = np.log(sample["r_xz"])
    n_bad = np.count_nonzero(log_r <= 0.0)
    message = rf"r_xz must be positive \({n_bad} of 40 are not\); did you pass log r\?"
    with pytest.raises(DataError, match=message):
        estimator.train("alice", **{**sample, "r_xz": log_r}, n_epochs=1, seed=1)
    signs = np.where(log_r > np.quantile(log_r, 0.2), 1.0, -0.5)
    estimator.train("alice", **{**sample, "r_xz": signs}, sample_weight=signs, n_epochs=1, seed=1)


def test_a_ratio_may_vanish_for_events_of_the_denominator(sample: dict[str, Any]) -> None:
    estimator = ParameterizedRatioEstimator(n_hidden=(4,))
    ratios = np.where(sample["y"] == 1, 0.0, sample["r_xz"])
    estimator.train("alice", **{**sample, "r_xz": ratios}, n_epochs=1, seed=1)
    ratios = np.where(sample["y"] == 0, 0.0, sample["r_xz"])
    with pytest.raises(DataError, match="r_xz must be positive"):
        estimator.train("alice", **{**sample, "r_xz": ratios}, n_epochs=1, seed=1)


def test_labels_of_one_class_are_refused(sample: dict[str, Any]) -> None:
    estimator = ParameterizedRatioEstimator()
    with pytest.raises(DataError, match=r"y must contain both 0 .* got 1 for all 40 events"):
        estimator.train("carl", **{**sample, "y": np.ones(40)}, n_epochs=1, seed=1)
    with pytest.raises(DataError, match="40 other values in 40"):
        estimator.train("carl", **{**sample, "y": np.full(40, 0.5)}, n_epochs=1, seed=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("x_stds", 0.0), ("x_stds", np.nan), ("x_stds", -1.0), ("x_means", np.nan)],
)
def test_unusable_scalings_are_refused(
    score: ScoreEstimator, tmp_path: Path, name: str, value: float
) -> None:
    score.save(tmp_path / "model")
    path = tmp_path / f"model_{name}.npy"
    values = np.load(path)
    values[1] = value
    np.save(path, values)
    settings = tmp_path / "model_settings.json"
    content = json.loads(settings.read_text())
    del content["format_version"], content["files"]  # as in files of MadMiner 0.9
    settings.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=rf"model_{name}.npy must hold .* 1 of 3 are not"):
        load_estimator(tmp_path / "model")


@pytest.mark.parametrize("name", ["state_dict.pl", "x_means.npy", "x_stds.npy"])
def test_missing_files_are_named(score: ScoreEstimator, tmp_path: Path, name: str) -> None:
    score.save(tmp_path / "model")
    (tmp_path / f"model_{name}").unlink()
    with pytest.raises(MissingFileError, match=rf"model_{name} is missing"):
        load_estimator(tmp_path / "model")


def test_paths_with_suffix(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    for suffix in ("_settings.json", "_state_dict.pl", "_x_means.npy"):
        with pytest.raises(MissingFileError, match=r"without suffix: '.*model'"):
            load_estimator(tmp_path / f"model{suffix}")
    with pytest.raises(MissingFileError, match=r"nowhere_settings.json does not exist"):
        load_estimator(tmp_path / "nowhere")


def test_options(score: ScoreEstimator) -> None:
    with pytest.raises(OptionError, match=r"Give \(50,\) for one layer"):
        ScoreEstimator(n_hidden=50)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"n_events must be .* got -5"):
        score.calculate_fisher_information(X, n_events=-5)
    with pytest.raises(OptionError, match="device 'nonsense' cannot be used here"):
        ScoreEstimator().train("sally", X, X, device="nonsense")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics processor")
def test_a_missing_graphics_processor_is_refused() -> None:
    with pytest.raises(OptionError, match="device 'cuda' cannot be used here"):
        ScoreEstimator().train("sally", X, X, device="cuda")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": [True, False]}, r"features\[0\] must be a whole number from 0, got True"),
        ({"features": "01"}, "features must be a list, got '01'"),
        ({"features": [1.7]}, r"features\[0\] must be a whole number"),
        ({"features": 0}, "features must be a list, got 0"),
        ({"n_hidden": (5.5,)}, r"n_hidden\[0\] must be a whole number"),
        ({"n_hidden": None}, "n_hidden must be a list, got None"),
        ({"dropout_prob": "a"}, "dropout_prob must be a number from 0 to below 1"),
    ],
)
def test_settings_of_other_types_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ScoreEstimator(**settings)


@pytest.mark.parametrize("name", ["scale_inputs", "shuffle_labels", "memmap", "early_stopping"])
def test_switches_are_true_or_false(name: str) -> None:
    options: dict[str, Any] = {name: "no"}
    with pytest.raises(OptionError, match=f"{name} must be True or False, got 'no'"):
        ScoreEstimator().train("sally", X, X, **options)


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(DataError, match="x must not be a masked array"):
        ScoreEstimator().train("sally", np.ma.masked_greater(X, 1.0), X)


def test_samples_without_events_are_called_so(score: ScoreEstimator) -> None:
    with pytest.raises(ShapeError, match=r"x has no events: its shape is \(0, 3\)"):
        score.evaluate_score(np.empty((0, 3)))


def test_numbers_beyond_the_precision_are_refused(score: ScoreEstimator) -> None:
    with pytest.raises(DataError, match=r"too far .* for torch.float32 numbers"):
        score.evaluate_score(np.full((1, 3), 1e300))


def test_information_that_is_none_is_refused(score: ScoreEstimator) -> None:
    for information in ([[1.0, 5.0], [0.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]):
        with pytest.raises(DataError, match=r"not symmetric|not finite"):
            score.set_nuisance(np.array(information), [0])
