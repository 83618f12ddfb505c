"""Rows of datasets in every layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.io import hdf5 as rows_module
from madminer.io.hdf5 import gather_rows, read_rows
from madminer.io.opened import OpenedFile

LAYOUTS: dict[str, dict[str, Any]] = {
    "one piece": {},
    "chunks": {"chunks": (7, 3)},
    "compressed": {"chunks": (10, 3), "compression": "gzip"},
    "growing": {"maxshape": (None, 3)},
    "other byte order": {"dtype": ">f8"},
}


@contextmanager
def opened(path: Path) -> Iterator[tuple[h5py.Dataset, OpenedFile]]:
    """The dataset "rows" of a file."""
    source = OpenedFile(path)
    with source, h5py.File(source, "r") as file:
        yield file["rows"], source


@pytest.mark.parametrize(("block", "dense"), [(1, 1), (24 * 50, 24), (24 * 50, 1200), (2**22, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_wanted", [0, 1, 5000])
def test_rows_in_any_order_of_any_layout(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    n_wanted: int,
    block: int,
    dense: int,
) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", block)
    monkeypatch.setattr(rows_module, "READ_BYTES", dense)
    monkeypatch.setattr(rows_module, "CHUNKED_BLOCK_ROWS", max(block // 24, 1))
    monkeypatch.setattr(rows_module, "GAP_ROWS", 3)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(1000, 3))
    wanted = rng.integers(0, 1000, n_wanted)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["before"] = np.arange(5, dtype=np.int8)  # so that rows begin anywhere
        file.create_dataset("rows", data=values, **LAYOUTS[layout])
    with opened(tmp_path / "rows.h5") as (rows, source):
        for order in (wanted, np.sort(wanted)):
            np.testing.assert_array_equal(gather_rows(rows, order, source), values[order])
        np.testing.assert_array_equal(read_rows(rows, 17, 830, source), values[17:830])
        assert read_rows(rows, 17, 17, source).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1000,), (1000, 1), (1000, 2, 3)])
@pytest.mark.parametrize("dtype", ["i8", "f4", "u1"])
def test_rows_of_any_shape_and_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: str
) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 1000)
    rng = np.random.default_rng(2)
    values = rng.integers(100, size=shape).astype(dtype)
    wanted = rng.integers(1000, size=300)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["rows"] = values
    with opened(tmp_path / "rows.h5") as (dataset, source):
        rows = gather_rows(dataset, wanted, source)
    assert rows.dtype == values.dtype
    np.testing.assert_array_equal(rows, values[wanted])


RESIDENT = """
import resource, sys
import h5py
import numpy as np
from madminer.io import hdf5 as rows
from madminer.io import opened

source = opened.OpenedFile(sys.argv[1])
with h5py.File(source, "r") as file:
    wanted = np.random.default_rng(3).integers(len(file["rows"]), size=100_000)
    rows.gather_rows(file["rows"], wanted[:1], source)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = rows.gather_rows(file["rows"], wanted, source)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
    assert np.array_equal(found[:, 0], wanted)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory in kilobytes")
def test_memory_is_that_of_the_result(tmp_path: Path) -> None:
    n_rows = 2_000_000
    with h5py.File(tmp_path / "rows.h5", "w") as file:  # 128 MB
        rows = file.create_dataset("rows", shape=(n_rows, 8), dtype="f8")
        for start in range(0, n_rows, 100_000):
            numbers = np.arange(start, start + 100_000, dtype=float)
            rows[start : start + 100_000] = np.repeat(numbers[:, np.newaxis], 8, axis=1)
    command = [sys.executable, "-c", RESIDENT, str(tmp_path / "rows.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32e6


def test_rows_behind_a_user_block(tmp_path: Path) -> None:
    values = np.arange(30.0).reshape(10, 3)
    with h5py.File(tmp_path / "rows.h5", "w", userblock_size=512) as file:
        file["rows"] = values
    with opened(tmp_path / "rows.h5") as (dataset, source):
        rows = gather_rows(dataset, np.array([9, 0, 9]), source)
    np.testing.assert_array_equal(rows, values[[9, 0, 9]])


def test_rows_of_an_empty_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["rows"] = np.empty((0, 3))
    with opened(tmp_path / "rows.h5") as (rows, source):
        assert gather_rows(rows, np.empty(0, dtype=np.int64), source).shape == (0, 3)
