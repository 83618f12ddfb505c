"""Rows of datasets in every layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.io.rows import gather_rows

LAYOUTS: dict[str, dict[str, Any]] = {
    "one piece": {},
    "chunks": {"chunks": (7, 3)},
    "compressed": {"chunks": (100, 3), "compression": "gzip"},
    "growing": {"maxshape": (None, 3)},
    "other byte order": {"dtype": ">f8"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_wanted", [0, 1, 5000])
def test_rows_in_any_order_of_any_layout(tmp_path: Path, layout: str, n_wanted: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(1000, 3))
    wanted = rng.integers(0, 1000, n_wanted)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["before"] = np.arange(5, dtype=np.int8)  # so that rows begin anywhere
        file.create_dataset("rows", data=values, **LAYOUTS[layout])
    with h5py.File(tmp_path / "rows.h5", "r") as file:
        rows = gather_rows(file["rows"], wanted)
    np.testing.assert_array_equal(rows, values[wanted])


def test_rows_behind_a_user_block(tmp_path: Path) -> None:
    values = np.arange(30.0).reshape(10, 3)
    with h5py.File(tmp_path / "rows.h5", "w", userblock_size=512) as file:
        file["rows"] = values
    with h5py.File(tmp_path / "rows.h5", "r") as file:
        rows = gather_rows(file["rows"], np.array([9, 0, 9]))
    np.testing.assert_array_equal(rows, values[[9, 0, 9]])


def test_rows_of_an_empty_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["rows"] = np.empty((0, 3))
    with h5py.File(tmp_path / "rows.h5", "r") as file:
        assert gather_rows(file["rows"], np.empty(0, dtype=np.int64)).shape == (0, 3)
