from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    MissingFileError,
    OptionError,
    ShapeError,
)
from madminer.io import sample_files as files
from madminer.io.sample_files import (
    ARRAYS,
    array_name,
    check_destination,
    load_sample,
    one_sample,
    save_arrays,
)
from madminer.sampling.options import SamplingOptions

X = np.arange(6.0).reshape(3, 2)
SAMPLE = {
    "x": X.astype(np.float32),
    "theta0": X + 10.0,
    "theta1": X + 20.0,
    "y": X[:, :1],
    "r_xz": X[:, 1:],
    "t_xz": None,
    "t_xz0": X + 30.0,
    "w": np.ones((3, 1)),
}
GIVEN = {name: values for name, values in SAMPLE.items() if values is not None}


def save_parquet(folder: Path, sample: dict, **names: list[str]) -> Path:
    save_arrays(folder, "train", sample, file_format="parquet", **names)
    return folder / "train.parquet"


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(actual) == list(expected)
    for name, values in expected.items():
        assert actual[name].dtype == values.dtype
        np.testing.assert_array_equal(actual[name], values)


def test_folder_and_filename_belong_together(tmp_path: Path) -> None:
    check_destination(None, None)
    check_destination(tmp_path, "train")
    with pytest.raises(OptionError, match="Give both, or neither"):
        check_destination(tmp_path, None)
    with pytest.raises(OptionError, match="filename='train'"):
        save_arrays(None, "train", SAMPLE)
    with pytest.raises(OptionError, match="must be one of npy, parquet; got 'csv'"):
        check_destination(None, None, "csv")
    save_arrays(None, None, SAMPLE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_processes", [-1, 0, "2"])
def test_wrong_numbers_of_processes_are_refused(n_processes: Any) -> None:
    with pytest.raises(OptionError, match="n_processes must be a whole number from 1"):
        SamplingOptions(n_processes=n_processes)


def test_npy_files_hold_one_array_each(tmp_path: Path) -> None:
    save_arrays(tmp_path / "new", "train", SAMPLE)
    found = {path.name: np.load(path) for path in (tmp_path / "new").iterdir()}
    assert set(found) == {f"{name}_train.npy" for name in GIVEN}
    assert_same({name: found[f"{name}_train.npy"] for name in GIVEN}, GIVEN)


def test_npy_files_of_an_earlier_sample_do_not_stay(tmp_path: Path) -> None:
    save_arrays(tmp_path, "train", SAMPLE)
    save_arrays(tmp_path, "test", SAMPLE)
    save_arrays(tmp_path, "train", {**SAMPLE, "w": None})
    assert not (tmp_path / "w_train.npy").exists()
    assert (tmp_path / "w_test.npy").exists()


def test_marks_are_invisible_to_numpy(tmp_path: Path) -> None:
    arrays = {"x": np.asfortranarray(X), "theta": X[:0], "w": np.arange(3, dtype=np.float32)}
    save_arrays(tmp_path, "train", arrays)
    for name, values in arrays.items():
        path = tmp_path / f"{name}_train.npy"
        assert path.read_bytes()[-40:-24] == b"MadMiner sample "
        assert array_name(path) == name
        with path.open("rb") as file:
            loaded = [np.load(path), np.load(path, allow_pickle=False), np.load(file)]
        if values.size:
            loaded.append(np.load(path, mmap_mode="r"))
        for array in loaded:
            assert array.dtype == values.dtype
            np.testing.assert_array_equal(array, values)
    np.save(tmp_path / "x_train.npy", X)
    assert array_name(tmp_path / "x_train.npy") is None
    assert array_name(tmp_path / "none.npy") is None
    with pytest.raises(OptionError, match=r"The arrays of a sample are x, theta, .*; got 'z'"):
        save_arrays(tmp_path, "train", {"z": X})


def test_files_of_two_samples_are_refused(tmp_path: Path) -> None:
    for name in ("train", "test"):
        save_arrays(tmp_path, name, {"x": X, "y": X})
    np.save(tmp_path / "w.npy", X)

    def check(**names: object) -> None:
        with one_sample({name: tmp_path / str(file) for name, file in names.items()}):
            pass

    check(x="x_train.npy", y="y_train.npy", w="w.npy", z="missing.npy")
    with one_sample({"x": X, "y": str(tmp_path / "y_test.npy"), "n": 1, "w": None}):
        pass
    with pytest.raises(FileFormatError, match=r"x_train\.npy and .*y_test.npy belong to different"):
        check(x="x_train.npy", w="w.npy", y="y_test.npy")


def test_files_that_are_replaced_while_they_are_read_are_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path, "train", {"x": X, "y": X})
    paths = {name: tmp_path / f"{name}_train.npy" for name in ("x", "y")}

    def read() -> None:
        with one_sample(paths):
            save_arrays(tmp_path, "train", {"x": X, "y": X})

    with pytest.raises(FileFormatError, match="were replaced while they were read"):
        read()


def test_a_sample_that_is_killed_at_any_step_is_refused_or_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: tmp_path / f"{name}_train.npy" for name in ("x", "y", "w")}

    class Killed(BaseException):
        pass

    n_refused, replace = 0, Path.replace
    for n_steps in range(3):
        save_arrays(tmp_path, "train", {"x": X, "y": X, "w": X})
        steps = iter(range(n_steps))

        def step(path: Path, target: Path, steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Killed
            replace(path, target)

        monkeypatch.setattr(Path, "replace", step)
        with pytest.raises(Killed):
            save_arrays(tmp_path, "train", {"x": X + 1, "y": X + 1, "w": X + 1})
        monkeypatch.setattr(Path, "replace", replace)
        try:
            with one_sample(paths):
                loaded = [np.load(path) for path in paths.values()]
        except FileFormatError:
            n_refused += 1
        else:
            assert len({array.tobytes() for array in loaded}) == 1
    assert n_refused == 2


@pytest.mark.parametrize("file_format", ["npy", "parquet"])
def test_an_error_leaves_the_old_files(tmp_path: Path, file_format: str) -> None:
    save_arrays(tmp_path, "train", GIVEN, file_format=file_format)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Broken:
        dtype, ndim, shape = np.dtype(float), 2, (3, 2)

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: object) -> np.ndarray:
            raise InterruptedError

        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        save_arrays(tmp_path, "train", {"x": X + 1.0, "t_xz": Broken()}, file_format=file_format)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("names", [{}, {"observables": ["met", "pt_j1"], "parameters": ["a", "b"]}])
def test_parquet_keeps_all_arrays(tmp_path: Path, names: dict[str, list[str]]) -> None:
    assert_same(load_sample(save_parquet(tmp_path, SAMPLE, **names)), GIVEN)
    everything = {name: np.full((2, 2), float(i)) for i, name in enumerate(ARRAYS)}
    assert_same(load_sample(save_parquet(tmp_path, everything, **names)), everything)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    values=drawn_arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(0, 20), st.integers(1, 4)),
    ),
    named=st.booleans(),
)
def test_parquet_keeps_every_bit(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, named: bool
) -> None:
    observables = [f"x_{i}" for i in range(values.shape[1])] if named else None
    folder = tmp_path_factory.mktemp("bits")
    save_arrays(folder, "train", {"x": values}, file_format="parquet", observables=observables)
    read = load_sample(folder / "train.parquet")["x"]
    assert read.dtype == values.dtype
    assert read.shape == values.shape
    assert read.tobytes() == values.tobytes()


def test_parquet_is_written_and_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_ROWS", 7)
    sample = {"x": np.random.default_rng(1).normal(size=(100, 3)), "y": np.ones((100, 1))}
    path = save_parquet(tmp_path, sample)
    assert pq.ParquetFile(path).num_row_groups == 15
    assert_same(load_sample(path), sample)


def test_columns_of_parquet_are_named_by_observables_and_parameters(tmp_path: Path) -> None:
    path = save_parquet(tmp_path, SAMPLE, observables=["met", "y"], parameters=["a", "b", "nu"])
    table = pq.read_table(path)
    names = "x_met x_y theta0_a theta0_b theta1_a theta1_b y r_xz t_xz0_a t_xz0_b w"
    assert " ".join(table.column_names) == names
    assert str(table.schema.field("x_met").type) == "float"
    assert str(table.schema.field("theta0_a").type) == "double"
    array = ak.from_parquet(path)
    assert array["x_y"].to_list() == [1.0, 3.0, 5.0]
    path = save_parquet(tmp_path, SAMPLE)
    assert pq.read_table(path).column_names[:2] == ["x_0", "x_1"]


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"one row for each sample, got .*'y': 2"):
        save_parquet(tmp_path, {"x": X, "y": X[:2, :1]})
    with pytest.raises(ShapeError, match=r"x must have shape \(n_samples, n_columns\), got \(3,\)"):
        save_parquet(tmp_path, {"x": X[:, 0]})
    with pytest.raises(OptionError, match=r"The arrays of a sample are x, theta, .*; got 'z'"):
        save_parquet(tmp_path, {"z": X})
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ShapeError, match="2 columns of x need as many different names"):
            save_parquet(tmp_path, {"x": X}, observables=names)
    with pytest.raises(ShapeError, match="2 columns of theta0 need"):
        save_parquet(tmp_path, {"theta0": X}, parameters=["a"])
    with pytest.raises(ShapeError, match=r"got \{\}"):
        save_parquet(tmp_path, {"x": None})
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no file .*none\.parquet with a sample"):
        load_sample(tmp_path / "none.parquet")
    np.save(tmp_path / "x_train.npy", X)
    with pytest.raises(FileFormatError, match=r"npy files are loaded with numpy\.load"):
        load_sample(tmp_path / "x_train.npy")
    path = save_parquet(tmp_path, SAMPLE)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="cannot be read as a parquet file"):
        load_sample(path)
    for name, values, message in (
        ("cut", [1.0, 2.0], "column 'cut' of type double, which belongs to no array"),
        ("x_0", ["a", "b"], "column 'x_0' of type string"),
    ):
        pq.write_table(pa.table({name: values}), path)
        with pytest.raises(FileFormatError, match=message):
            load_sample(path)
    pq.write_table(pa.table({}), path)
    with pytest.raises(FileFormatError, match="has no columns"):
        load_sample(path)
    pq.write_table(pa.table({"x_0": [1.0, None]}), path)
    with pytest.raises(DataError, match=r"Column x_0 of .* lacks 1 values"):
        load_sample(path)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = r'pip install "madminer\[parquet\]"'
    with pytest.raises(MissingDependencyError, match=message):
        check_destination(tmp_path, "train", "parquet")
    with pytest.raises(MissingDependencyError, match=message):
        load_sample(tmp_path / "train.parquet")
    save_arrays(tmp_path, "train", SAMPLE)


@pytest.mark.parametrize(
    ("folder", "filename"), [(5, "train"), ("data", 5), ("data", "a" * 300), ("a\0", "train")]
)
def test_destinations_that_are_no_paths_are_refused(folder: Any, filename: Any) -> None:
    with pytest.raises(OptionError, match="must be a path"):
        check_destination(folder, filename)
