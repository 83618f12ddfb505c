from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.ml import Ensemble, ParameterizedRatioEstimator, ScoreEstimator, load_estimator

X = np.random.default_rng(1).normal(size=(20, 3))


@pytest.fixture(scope="module")
def ratio() -> ParameterizedRatioEstimator:
    rng = np.random.default_rng(0)
    estimator = ParameterizedRatioEstimator(features=[0, 2], n_hidden=(4, 3), dropout_prob=0.1)
    estimator.train(
        "carl",
        rng.normal(size=(50, 3)),
        rng.integers(0, 2, size=50),
        rng.normal(size=(50, 2)),
        n_epochs=1,
        seed=1,
    )
    return estimator


@pytest.fixture(scope="module")
def score() -> ScoreEstimator:
    rng = np.random.default_rng(0)
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), n_epochs=1, seed=1)
    return estimator


def test_files_and_settings(
    ratio: ParameterizedRatioEstimator, score: ScoreEstimator, tmp_path: Path
) -> None:
    ratio.save(tmp_path / "ratio")
    score.save(tmp_path / "score")
    common = ["settings.json", "state_dict.pl", "x_means.npy", "x_stds.npy"]
    expected = [f"{model}_{name}" for model in ("ratio", "score") for name in common]
    expected += ["ratio_theta_means.npy", "ratio_theta_stds.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    stored = json.loads((tmp_path / "ratio_settings.json").read_text())
    assert len(stored.pop("digest")) == 32
    assert stored == {
        "format_version": 1,
        "estimator_type": "parameterized_ratio",
        "n_observables": 2,
        "n_parameters": 2,
        "features": [0, 2],
        "n_hidden": [4, 3],
        "activation": "tanh",
        "dropout_prob": 0.1,
    }
    settings = json.loads((tmp_path / "score_settings.json").read_text())
    assert (settings["estimator_type"], settings["nuisance_mode_default"]) == ("score", "keep")
    state = torch.load(tmp_path / "ratio_state_dict.pl", weights_only=True)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "layers.0.weight": (4, 4),
        "layers.0.bias": (4,),
        "layers.1.weight": (3, 4),
        "layers.1.bias": (3,),
        "layers.2.weight": (1, 3),
        "layers.2.bias": (1,),
    }


def test_overwriting_removes_files_of_the_older_model(
    ratio: ParameterizedRatioEstimator, score: ScoreEstimator, tmp_path: Path
) -> None:
    ratio.save(tmp_path / "model")
    score.save(tmp_path / "model")
    assert not (tmp_path / "model_theta_means.npy").exists()
    np.testing.assert_array_equal(load_estimator(tmp_path / "model").evaluate(X), score.evaluate(X))


def as_old_model(folder: Path, **settings: Any) -> None:
    """Turn the files of ``model`` into the form that MadMiner 0.9 wrote."""
    (folder / "model_state_dict.pl").rename(folder / "model_state_dict.pt")
    path = folder / "model_settings.json"
    written = json.loads(path.read_text())
    del written["format_version"]
    path.write_text(json.dumps({**written, **settings}))


def test_old_models_load(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    as_old_model(tmp_path)
    np.testing.assert_array_equal(load_estimator(tmp_path / "model").evaluate(X), score.evaluate(X))


def test_sigmoid_of_old_models_is_relu(tmp_path: Path) -> None:
    estimator = ScoreEstimator(n_hidden=(4,), activation="relu")
    estimator.train("sally", X, X, n_epochs=1, seed=1)
    estimator.save(tmp_path / "model")
    as_old_model(tmp_path, activation="sigmoid")
    np.testing.assert_array_equal(
        load_estimator(tmp_path / "model").evaluate(X), estimator.evaluate(X)
    )


def test_pickled_objects_are_refused(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    (tmp_path / "model_state_dict.pl").write_bytes(pickle.dumps(Path(), protocol=2))
    with pytest.raises(FileFormatError, match="holds more than the parameters of a network"):
        load_estimator(tmp_path / "model")
    np.save(tmp_path / "model_x_means.npy", np.array([Path()]), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"x_means.npy is not a complete npy file"):
        load_estimator(tmp_path / "model")


def test_wrong_types_and_versions_are_refused(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    with pytest.raises(FileFormatError, match=r"of type 'score', .*Use madminer.ml.load_estimator"):
        ParameterizedRatioEstimator().load(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    settings = json.loads(path.read_text())
    for changed, message in [
        ({"format_version": 99}, "format version 99, but this program reads up to 1"),
        ({"estimator_type": "typo"}, "unknown estimator type 'typo'"),
        ({"n_hidden": [5]}, "do not fit together"),
        ({"n_hidden": None}, "do not fit together"),
    ]:
        path.write_text(json.dumps({**settings, **changed}))
        with pytest.raises(FileFormatError, match=message):
            load_estimator(tmp_path / "model")
    path.write_text("[]")
    with pytest.raises(FileFormatError, match="must hold settings by name"):
        load_estimator(tmp_path / "model")
    with pytest.raises(MissingFileError, match="There is no estimator"):
        load_estimator(tmp_path / "nowhere")


def test_a_failed_save_leaves_the_old_model(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    with pytest.raises(OutputError, match="Cannot write"):
        score.save(tmp_path / "model_settings.json" / "model")
    load_estimator(tmp_path / "model")


@pytest.mark.slow
def test_exported_models_agree(
    ratio: ParameterizedRatioEstimator, score: ScoreEstimator, tmp_path: Path
) -> None:
    theta = np.random.default_rng(2).normal(size=(20, 2))
    ratio.save(tmp_path / "ratio", save_model=True)
    score.save(tmp_path / "score", save_model=True)
    x, thetas = torch.as_tensor(X).float(), torch.as_tensor(theta).float()
    program = torch.export.load(tmp_path / "ratio_model.pt").module()
    np.testing.assert_allclose(
        program(thetas, x).detach().numpy(), ratio.evaluate(X, theta, False)[0], atol=1e-5
    )
    program = torch.export.load(tmp_path / "score_model.pt").module()
    np.testing.assert_allclose(program(x).detach().numpy(), score.evaluate(X), atol=1e-5)


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    """As a process leaves them that was killed while it saved over an older model."""
    x = np.random.default_rng(1).normal(size=(100, 2))
    for name, seed in (("old", 1), ("new", 2)):
        estimator = ScoreEstimator(n_hidden=(4,))
        estimator.train("sally", seed * x, x, n_epochs=1, verbose="none", seed=seed)
        estimator.save(tmp_path / name)
    for suffix in ("_state_dict.pl", "_x_means.npy", "_x_stds.npy"):
        kept = (tmp_path / f"old{suffix}").read_bytes()
        (tmp_path / f"old{suffix}").write_bytes((tmp_path / f"new{suffix}").read_bytes())
        with pytest.raises(FileFormatError, match="belong to different models"):
            load_estimator(tmp_path / "old")
        (tmp_path / f"old{suffix}").write_bytes(kept)
    load_estimator(tmp_path / "old")


def test_a_missing_scaling_is_not_taken_for_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, theta, y = rng.normal(size=100), rng.normal(size=100), np.arange(100) % 2
    estimator = ParameterizedRatioEstimator(n_hidden=(4,))
    estimator.train("carl", x, y, theta, n_epochs=1, verbose="none", seed=1)
    estimator.save(tmp_path / "model")
    (tmp_path / "model_theta_means.npy").unlink()
    with pytest.raises(FileFormatError, match="or one is missing"):
        load_estimator(tmp_path / "model")


def test_programs_of_an_older_model_are_removed(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    (tmp_path / "model_model.pt").write_bytes(b"older")
    estimator.save(tmp_path / "model")
    assert not (tmp_path / "model_model.pt").exists()


def test_names_that_belong_to_others_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    Ensemble([estimator]).save(tmp_path / "model")
    with pytest.raises(OutputError, match="is the folder of an ensemble"):
        estimator.save(tmp_path / "model")
    with pytest.raises(OutputError, match="is empty; give a path"):
        estimator.save("")


@pytest.mark.parametrize(
    "damage",
    [
        {"format_version": "1"},
        {"n_observables": "foo"},
        {"n_hidden": "foo"},
        {"n_parameters": -1},
        {"features": [3]},
        {"dropout_prob": "foo"},
    ],
)
def test_edited_settings_are_refused(damage: dict[str, object], tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    estimator.save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "model")
