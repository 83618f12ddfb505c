"""Files of Delphes: what is no such file is refused by name."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from madminer.errors import (
    FileChangedError,
    FileFormatError,
    MissingDependencyError,
    MissingFileError,
    NoEventsError,
)
from madminer.io.root_files import DelphesFile

DATA = Path(__file__).resolve().parents[1] / "data"
EXCERPT = DATA / "delphes_atlas_sig_60.root"


def test_what_a_file_says() -> None:
    with DelphesFile(EXCERPT) as file:
        assert file.n_events == 60
        assert file.n_weights == 8
        assert file.numbers.tolist() == list(range(60))
        assert file.cross_section == pytest.approx(5.823606e-3, rel=1e-6)
        assert "Jet.PT" in file
        assert "Track.PT" not in file
        with uproot.open(EXCERPT) as twin:
            expected = twin["Delphes"]["Jet.PT"].array(entry_start=10, entry_stop=20)
        counts, columns = file.columns("Jet", ["PT", "Eta"], slice(10, 20))
    assert counts.tolist() == [len(event) for event in expected]
    np.testing.assert_array_equal(columns["PT"], np.concatenate([list(e) for e in expected]))
    assert columns["Eta"].shape == columns["PT"].shape


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        DelphesFile(tmp_path / "none.root")


@pytest.mark.parametrize("content", [b"", b"root", b"<LesHouchesEvents>", b"root" + bytes(500)])
def test_no_root_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.root").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"file\.root"):
        DelphesFile(tmp_path / "file.root")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, share: float) -> None:
    whole = EXCERPT.read_bytes()
    (tmp_path / "cut.root").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileFormatError, match=r"cut\.root.*(truncated|damaged)"):
        DelphesFile(tmp_path / "cut.root")


def test_damaged_data(tmp_path: Path) -> None:
    """Whatever byte is wrong: an error of ours, or the same structure."""
    whole, rng = EXCERPT.read_bytes(), np.random.default_rng(5)
    n_refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        start = int(rng.integers(100, len(whole) - 64))
        damaged[start : start + 64] = rng.bytes(64)
        (tmp_path / "damaged.root").write_bytes(damaged)
        try:
            with DelphesFile(tmp_path / "damaged.root") as file:
                for branch, leaf in (("Jet", "PT"), ("Photon", "Phi"), ("Jet", "Mass")):
                    file.columns(branch, [leaf], slice(0, file.n_events))
        except (FileFormatError, ValueError) as error:
            assert type(error).__module__ == "madminer.errors"  # noqa: PT017
            n_refused += 1
    assert n_refused > 0


def test_other_trees(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as file:
        file["Events"] = {"x": np.zeros(3)}
    with pytest.raises(FileFormatError, match=r"no tree 'Delphes', but \['Events'\].*not an"):
        DelphesFile(tmp_path / "other.root")


def test_no_events(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mktree("Delphes", {"x": np.float64})
    with pytest.raises(NoEventsError, match="holds no events"):
        DelphesFile(tmp_path / "empty.root")


def test_tree_of_something_else(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "flat.root") as file:
        file["Delphes"] = {"Jet.PT": np.zeros(3), "x": np.zeros(3)}
    with DelphesFile(tmp_path / "flat.root") as opened:
        with pytest.raises(FileFormatError, match=r"no 'Photon', but \['Jet'\]"):
            opened.columns("Photon", ["PT"], slice(0, 3))
        with pytest.raises(FileFormatError, match="cannot be read as a ROOT file of Delphes"):
            opened.columns("Jet", ["PT"], slice(0, 3))  # no lists
    with (
        DelphesFile(EXCERPT) as opened,
        pytest.raises(FileFormatError, match=r"no column 'Jet\.Tau'"),
    ):
        opened.columns("Jet", ["PT", "Tau"], slice(0, 3))


def test_a_file_that_changes(tmp_path: Path) -> None:
    path = Path(shutil.copy(EXCERPT, tmp_path / "changing.root"))
    with DelphesFile(path) as file:
        with path.open("ab") as stream:
            stream.write(b"more")
        with pytest.raises(FileChangedError, match="was written to while it was in use"):
            file.columns("Jet", ["PT"], slice(0, 60))


def test_without_uproot(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "uproot":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(MissingDependencyError, match=r"pip install \"madminer\[delphes\]\""):
        DelphesFile(EXCERPT)
