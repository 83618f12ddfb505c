from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    OptionError,
    ShapeError,
    TrainingError,
)
from madminer.io.sample_files import ARRAYS, save_arrays
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    inputs,
)
from madminer.ml.inputs import load_array, load_columns, load_thetas, load_vector, pick_device
from madminer.ml.training import split_rows


def test_kinds_of_data(tmp_path: Path) -> None:
    expected = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.save(tmp_path / "a.npy", expected)
    for data in (
        expected,
        expected.tolist(),
        torch.as_tensor(expected).requires_grad_(),
        expected.astype(int),
        tmp_path / "a.npy",
        str(tmp_path / "a.npy"),
    ):
        np.testing.assert_array_equal(load_array(data, "x"), expected)


def test_points_are_neither_benchmarks_nor_infinite() -> None:
    x = np.random.default_rng(1).normal(size=(50, 2))
    for theta in ("sm", "theta_ref"):
        with pytest.raises(MissingFileError, match=rf"no file {theta} .* know no benchmarks: give"):
            load_thetas(theta, 2)
        with pytest.raises(MissingFileError, match="know no benchmarks"):
            ScoreEstimator().train("sally", x, x, theta_ref=theta)
    for point in ([np.nan, 0.0], [[0.0, np.inf]]):
        with pytest.raises(DataError, match=r"contains 1 values .* finite values of the param"):
            load_thetas(point, 2)
        with pytest.raises(DataError, match=r"theta_ref contains 1 values"):
            ScoreEstimator().train("sally", x, x, theta_ref=point)


def test_shapes() -> None:
    assert load_columns([1.0, 2.0], "x").shape == (2, 1)
    assert load_vector([[1.0], [2.0]], "y").shape == (2,)
    assert load_thetas([1.0, 2.0], 2).shape == (1, 2)
    assert load_thetas([1.0, 2.0], 1).shape == (2, 1)
    assert load_thetas(0.5, 1).shape == (1, 1)
    with pytest.raises(ShapeError, match=r"y must have shape \(n,\) or \(n, 1\), got \(2, 2\)"):
        load_vector(np.zeros((2, 2)), "y")
    with pytest.raises(ShapeError, match="x has no events"):
        load_columns(np.zeros((0, 2)), "x")
    with pytest.raises(ShapeError, match="x must have shape"):
        load_columns(np.zeros((2, 0)), "x")
    with pytest.raises(ShapeError, match="rows of different lengths"):
        load_array([[1.0], [1.0, 2.0]], "x")
    with pytest.raises(ShapeError, match=r"must have 3 parameters .* shape \(2,\)"):
        load_thetas([1.0, 2.0], 3)


def test_large_files_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros((10, 2)))
    assert not isinstance(load_columns(tmp_path / "a.npy", "x", memmap=True), np.memmap)
    monkeypatch.setattr(inputs, "_MEMMAP_BYTES", 100)
    assert isinstance(load_columns(tmp_path / "a.npy", "x", memmap=True), np.memmap)
    assert not isinstance(load_columns(tmp_path / "a.npy", "x"), np.memmap)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"There is no file .*nowhere.npy for x"):
        load_array(tmp_path / "nowhere.npy", "x")
    np.save(tmp_path / "a.npy", np.zeros(100))
    content = (tmp_path / "a.npy").read_bytes()
    for damage in (content[:200], b"", b"text"):
        (tmp_path / "a.npy").write_bytes(damage)
        with pytest.raises(FileFormatError, match=r"a\.npy for x is damaged or of another kind"):
            load_array(tmp_path / "a.npy", "x")
    np.save(tmp_path / "b.npy", np.array([Path()]), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"b\.npy for x is damaged or of another kind"):
        load_array(tmp_path / "b.npy", "x")
    np.savez(tmp_path / "c.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(FileFormatError, match="holds several arrays"):
        load_array(tmp_path / "c.npz", "x")


@pytest.mark.parametrize("data", [["a", "b"], [1j], [None]])
def test_no_real_numbers(data: list[object]) -> None:
    with pytest.raises(DataError, match="x must hold real numbers"):
        load_array(data, "x")  # type: ignore[arg-type]


def test_split() -> None:
    rows, validation = split_rows(100, 0.3, np.random.default_rng(0))
    assert len(validation) == 30
    assert sorted([*rows, *validation]) == list(range(100))
    again, _ = split_rows(100, 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(rows, again)
    assert len(split_rows(10, None, np.random.default_rng(0))[1]) == 0
    with pytest.raises(TrainingError, match=r"cannot be split with validation_split=0.1"):
        split_rows(3, 0.1, np.random.default_rng(0))


def test_pairs_of_two_samples_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, theta, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 1)), np.arange(50) % 2
    single = ParameterizedRatioEstimator(n_hidden=(3,))
    single.train("carl", x, y, theta, n_epochs=1, verbose="none", seed=1)
    double = DoubleParameterizedRatioEstimator(n_hidden=(3,))
    double.train("carl", x, y, theta, theta + 1.0, n_epochs=1, verbose="none", seed=1)
    for name in ("a", "b"):
        save_arrays(tmp_path, name, {"x": x, "theta": theta})
    paths = {name: tmp_path / f"{name}.npy" for name in ("x_a", "theta_a", "theta_b")}
    for estimator, n in ((single, 1), (double, 2)):
        for pairs in (True, False):
            estimator.evaluate(paths["x_a"], *[paths["theta_a"]] * n, test_all_combinations=pairs)
        estimator.evaluate(paths["x_a"], *[paths["theta_b"]] * n)
        with pytest.raises(FileFormatError, match="belong to different samples"):
            estimator.evaluate(paths["x_a"], *[paths["theta_b"]] * n, test_all_combinations=False)


ACCEPTED = {
    "x": "x",
    "x_val": "x",
    "unweighted_x_sample_file": "x",
    "theta": "theta theta0 theta1",
    "theta0": "theta theta0",
    "theta1_val": "theta theta1",
    "theta_ref": "theta theta0 theta1",
    "y": "y",
    "r_xz_val": "r_xz",
    "t_xz": "t_xz t_xz0 t_xz1",
    "t_xz1": "t_xz t_xz1",
    "sample_weight": "w",
    "weights": " ".join(ARRAYS),
}


def test_an_array_of_a_sample_is_not_taken_for_another(tmp_path: Path) -> None:
    save_arrays(tmp_path, "a", {name: np.ones((2, 1)) for name in ARRAYS})
    for argument, names in ACCEPTED.items():
        for name in ARRAYS:
            path = tmp_path / f"{name}_a.npy"
            if name in names.split():
                load_array(path, argument)
                continue
            with pytest.raises(FileFormatError, match=f"saved as {name} of a sample, but "):
                load_array(path, argument)
            np.save(tmp_path / "b.npy", np.load(path))  # has no mark
            load_array(tmp_path / "b.npy", argument)


def test_swapped_files_of_a_sample_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(50, 2))
    save_arrays(tmp_path, "a", {"x": x, "t_xz": x})
    paths = [tmp_path / "t_xz_a.npy", tmp_path / "x_a.npy"]
    with pytest.raises(FileFormatError, match=r"t_xz_a\.npy was saved as t_xz .* but x needs"):
        ScoreEstimator(n_hidden=(3,)).train("sally", *paths, n_epochs=1, verbose="none")
    ScoreEstimator(n_hidden=(3,)).train("sally", *paths[::-1], n_epochs=1, verbose="none", seed=1)


def test_the_environment_names_the_default_device(monkeypatch: pytest.MonkeyPatch) -> None:
    best = "cuda" if torch.cuda.is_available() else "cpu"
    for value, expected in (("cpu", "cpu"), ("", best)):
        monkeypatch.setenv("MADMINER_DEVICE", value)
        assert pick_device(None).type == expected
    monkeypatch.setenv("MADMINER_DEVICE", "nonsense")
    assert pick_device("cpu").type == "cpu"
    for device in (None, "meta", "nonsense", 1.5, [1]):
        with pytest.raises(OptionError, match="cannot be used here"):
            pick_device(device)  # type: ignore[arg-type]
