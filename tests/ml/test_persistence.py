from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.ml import (
    Ensemble,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.persistence import write_model

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
    common = ["settings.json", "state_dict.pl", "state_dict.pt", "x_means.npy", "x_stds.npy"]
    expected = [f"{model}_{name}" for model in ("ratio", "score") for name in common]
    expected += ["ratio_theta_means.npy", "ratio_theta_stds.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    stored = json.loads((tmp_path / "ratio_settings.json").read_text())
    files = stored.pop("files")
    assert files == {
        suffix: hashlib.sha256((tmp_path / f"ratio{suffix}").read_bytes()).hexdigest()
        for suffix in files
    }
    assert {"ratio_settings.json", *(f"ratio{suffix}" for suffix in files)} == {
        path.name for path in tmp_path.glob("ratio_*")
    }
    assert stored == {
        "format_version": 2,
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
    change_settings(folder / "model", **settings)


def change_settings(name: Path, **changed: Any) -> None:
    """Change settings, and leave out what MadMiner 0.9 did not write."""
    path = Path(f"{name}_settings.json")
    written = json.loads(path.read_text())
    for key in ("format_version", "files"):
        written.pop(key, None)
    path.write_text(json.dumps({**written, **changed}))


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
    change_settings(tmp_path / "model")
    means = (tmp_path / "model_x_means.npy").read_bytes()
    np.save(tmp_path / "model_x_means.npy", np.array([Path()]), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"x_means.npy is damaged or of another kind"):
        load_estimator(tmp_path / "model")
    (tmp_path / "model_x_means.npy").write_bytes(means)
    load_estimator(tmp_path / "model")
    (tmp_path / "model_state_dict.pl").write_bytes(pickle.dumps(Path(), protocol=2))
    with pytest.raises(FileFormatError, match=r"state_dict\.pl is damaged or of another kind"):
        load_estimator(tmp_path / "model")


def test_wrong_types_and_versions_are_refused(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    with pytest.raises(FileFormatError, match=r"of type 'score', .*Use madminer.ml.load_estimator"):
        ParameterizedRatioEstimator().load(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    settings = json.loads(path.read_text())
    for changed, message in [
        ({"format_version": 99}, "format version 99, but this program reads up to 2"),
        ({"files": {"_x_means.npy": "0" * 64}}, "_x_means.npy is missing, or is not the file"),
        ({"files": {"../x": "0" * 64}}, "SHA-256 digests by the names of files"),
        ({"files": 1}, "SHA-256 digests by the names of files"),
        ({"estimator_type": "typo"}, "unknown estimator type 'typo'"),
        ({"n_hidden": [50]}, "a network of 250 numbers or more, but 26 of them"),
        ({"n_hidden": [3]}, "size mismatch"),
        ({"n_hidden": None}, "n_hidden must be a list"),
    ]:
        path.write_text(json.dumps({**settings, **changed}))
        with pytest.raises(FileFormatError, match=message):
            load_estimator(tmp_path / "model")
    path.write_text("[]")
    with pytest.raises(FileFormatError, match="must hold values by name, not a list"):
        load_estimator(tmp_path / "model")
    with pytest.raises(MissingFileError, match="There is no estimator"):
        load_estimator(tmp_path / "nowhere")


def test_a_failed_save_leaves_the_old_model(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    with pytest.raises(OutputError, match="Cannot write"):
        score.save(tmp_path / "model_settings.json" / "model")
    load_estimator(tmp_path / "model")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # load of torch 2.11
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
        with pytest.raises(FileFormatError, match=f"old{suffix} is missing, or is not the file"):
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
    with pytest.raises(MissingFileError, match=r"theta_means\.npy is missing"):
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
        {"n_observables": 2.0},
        {"n_observables": True},
        {"n_hidden": "foo"},
        {"n_hidden": [30_000, 30_000]},
        {"n_hidden": [1] * 1_000_000},
        {"n_parameters": -1},
        {"n_parameters": 10**9},
        {"n_parameters": 10**400},
        {"features": [3]},
        {"features": {}},
        {"dropout_prob": "foo"},
        {"dropout_prob": float("nan")},
        {"activation": []},
        {"nuisance_mode_default": "profile"},
        {"theta_ref": [1.0]},
        {"theta_ref": [float("inf"), 0.0]},
        {"estimator_type": []},
        {"estimator_type": "\x1b[2J" * 1000},
    ],
    ids=lambda damage: str(damage)[:40],
)
def test_edited_settings_are_refused(damage: dict[str, object], tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    estimator.save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    before = vars(estimator).copy()
    with pytest.raises(FileFormatError) as info:
        load_estimator(tmp_path / "model")
    assert "\x1b" not in str(info.value)
    assert len(str(info.value)) < 700
    with pytest.raises(FileFormatError):
        estimator.load(tmp_path / "model")
    assert vars(estimator) == before


@pytest.mark.parametrize(
    "damage",
    [
        {"n_mades": 10**6},
        {"n_mades": 10**9},
        {"n_components": 10**6},
        {"n_hidden": [30_000, 30_000]},
        {"n_parameters": 10**6},
        {"batch_norm": 2.0},
    ],
    ids=str,
)
def test_sizes_of_flows_are_compared_before_they_are_made(
    damage: dict[str, object], tmp_path: Path
) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = LikelihoodEstimator(n_mades=2, n_hidden=(5,), n_components=3)
    estimator.train("nde", x, x, n_epochs=1, verbose="none", seed=1)
    estimator.save(tmp_path / "model")
    np.testing.assert_array_equal(
        load_estimator(tmp_path / "model").evaluate(x, x)[0], estimator.evaluate(x, x)[0]
    )
    path = tmp_path / "model_settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "model")


ZEROS, LARGE = torch.zeros(4), torch.zeros(10**4)


@pytest.mark.parametrize(
    "state",
    [
        [ZEROS],
        {"layers.0.weight": 1.0},
        {1: ZEROS},
        {"layers.0.weight": torch.zeros(1).as_strided((10**6, 10**6), (0, 0))},
        {f"layers.{i}.weight": torch.zeros(10**4)[:] for i in range(3)}
        | {"a": ZEROS[:0].expand(0)},
        {"layers.0.weight": torch.zeros(2, device="meta")},
        {"layers.0.weight": torch.zeros(10**6, 10**6, layout=torch.sparse_coo)},
        {"layers.0.weight": torch.zeros(4, 2, dtype=torch.complex64)},
        {"layers.0.weight": torch.zeros(4, 2, dtype=torch.float16)},
        {},
    ],
)
def test_strange_states_are_refused(state: object, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    estimator.save(tmp_path / "model")
    change_settings(tmp_path / "model")
    torch.save(state, tmp_path / "model_state_dict.pl")
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "model")


@pytest.mark.parametrize("kind", ["state", "x_means", "x_stds"])
def test_numbers_that_are_not_finite_are_refused(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(100, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, x, n_epochs=1, verbose="none", seed=1)
    model = estimator.stored()
    if kind == "state":
        model.state["layers.0.bias"][2] = np.nan
    else:
        model.arrays[kind][1] = np.inf
    write_model(tmp_path / "model", model)
    with pytest.raises(FileFormatError, match="must hold finite"):
        load_estimator(tmp_path / "model")


def test_compressed_states_are_refused(score: ScoreEstimator, tmp_path: Path) -> None:
    score.save(tmp_path / "model")
    change_settings(tmp_path / "model")
    path = tmp_path / "model_state_dict.pl"
    stored = path.read_bytes()
    with (
        zipfile.ZipFile(io.BytesIO(stored)) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(100_000))
    with pytest.raises(FileFormatError, match="it is compressed"):
        load_estimator(tmp_path / "model")


def test_a_model_that_is_read_while_its_old_files_are_replaced(
    score: ScoreEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of 0.9 has no digests, so that its settings are read once more at the end."""
    other = ScoreEstimator(n_hidden=(4,))
    other.train("sally", X, X[:, :2], n_epochs=1, verbose="none", seed=2)
    score.save(tmp_path / "model")
    change_settings(tmp_path / "model")
    read, calls = Path.read_bytes, []

    def replace_and_read(path: Path) -> bytes:
        calls.append(path)
        if len(calls) == 4:
            monkeypatch.setattr(Path, "read_bytes", read)
            other.save(tmp_path / "model")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replace_and_read)
    np.testing.assert_array_equal(
        load_estimator(tmp_path / "model").evaluate_score(X), other.evaluate_score(X)
    )


def test_names_of_layers_for_the_first_release(
    ratio: ParameterizedRatioEstimator, score: ScoreEstimator, tmp_path: Path
) -> None:
    # the names that 0.9.6 asked for when it loaded these files
    ratio.save(tmp_path / "ratio")
    score.save(tmp_path / "score")
    layers = [f"{i}.{part}" for i in range(3) for part in ("weight", "bias")]
    state = torch.load(tmp_path / "ratio_state_dict.pt", weights_only=True)
    assert sorted(state) == sorted(f"{a}.{b}" for a in ("layers", "append") for b in layers)
    state = torch.load(tmp_path / "score_state_dict.pt", weights_only=True)
    assert sorted(state) == sorted(f"layers.{layer}" for layer in layers[:4])
