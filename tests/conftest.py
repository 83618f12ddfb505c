"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with reference numbers and simulator samples, beside a checkout of the project."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MADMINER_SHARED", default))
    if not (folder / "reference").is_dir():
        pytest.skip(f"needs the reference data in {folder} (set MADMINER_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADMINER_PROGRESS", "0")
