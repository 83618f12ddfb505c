"""Weights of HepMC files of both versions."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import FileFormatError, MissingFileError, NoEventsError
from madminer.io import hepmc
from madminer.io.hepmc import hepmc_version, read_hepmc_weights, read_weight_names

DATA = Path(__file__).resolve().parents[1] / "data"
EXCERPT = DATA / "sig_py8_50_weights.hepmc3.gz"
BEGIN_3 = "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n"
END_3 = "HepMC::Asciiv3-END_EVENT_LISTING\n\n"
BEGIN_2 = "\nHepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\n"
END_2 = "HepMC::IO_GenEvent-END_EVENT_LISTING\n"


def version_3(
    names: str, rows: list[list[float]], numbers: list[int] | None = None, sigma: float = 2.5
) -> str:
    text = BEGIN_3 + (f"W {names}\n" if names else "")
    for i, row in enumerate(rows):
        number = i if numbers is None else numbers[i]
        text += f"E {number} 1 2\nU GEV MM\nW {' '.join(map(repr, row))}\n"
        text += f"A 0 GenCrossSection {sigma + i} 0.1 -1 -1\nA 0 alphaQCD 0.1\n"
        text += "P 1 0 2212 0 0 1 1 0 4\nV -1 0 [1]\nP 2 -1 22 0 0 1 1 0 1\n"
    return text + END_3


def version_2(names: str, rows: list[list[float]], n_random: int = 0) -> str:
    text = BEGIN_2
    for i, row in enumerate(rows):
        random = " ".join(["77"] * n_random)
        text += f"E {i + 1} -1 91.2 0.1 0.0078 9999 1 1 1 2 {n_random} {random} {len(row)} "
        text += " ".join(map(repr, row)) + f"\nN {len(row)} {names}\nU GEV MM\nC {3.5 + i} 0.1\n"
        text += "V -1 0 0 0 0 0 0 1 0\nP 1 22 0 0 1 1 0 1 0 0 0 0\n"
    return text + END_2


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "events.hepmc").write_text(text)
    return tmp_path / "events.hepmc"


def test_real_events() -> None:
    weights = read_hepmc_weights(EXCERPT)
    assert weights.names == (
        *("Weight", "w", "neg_w", "ww", "neg_ww"),
        *("morphing_basis_vector_5", "test_1", "test_2"),
    )
    assert weights.numbers.tolist() == list(range(50))
    assert weights.cross_section == pytest.approx(5.823606e-3)
    lines = gzip.decompress(EXCERPT.read_bytes()).decode().splitlines()
    rows = [line.split()[1:] for line in lines if line.startswith("W ")][1:]
    np.testing.assert_array_equal(weights.matrix, np.array(rows, dtype=float))


def test_both_versions_agree(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).lognormal(size=(7, 3)).tolist()
    third = read_hepmc_weights(written(tmp_path, version_3(r"Weight\|w\|a b", rows)))
    for n_random in (0, 2):
        text = version_2('"Weight" "w" "a b"', rows, n_random)
        second = read_hepmc_weights(written(tmp_path, text))
        assert hepmc_version(tmp_path / "events.hepmc") == 2
        np.testing.assert_array_equal(second.matrix, rows)
        assert second.names == third.names == ("Weight", "w", "a b")
        assert second.numbers.tolist() == list(range(1, 8))
        assert second.cross_section == 9.5
    np.testing.assert_array_equal(third.matrix, rows)
    assert third.cross_section == 8.5


def test_pieces_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).lognormal(size=(40, 2)).tolist()
    numbers = list(range(5, 125, 3))
    text = version_3(r"Weight\|w", rows, numbers)
    path = tmp_path / "events.hepmc.bz2"
    path.write_bytes(bz2.compress(text.encode()))
    for size in (1000, 1 << 24):
        monkeypatch.setattr(hepmc, "_PIECE", size)
        found = read_hepmc_weights(path)
        np.testing.assert_array_equal(found.matrix, rows)
        assert found.numbers.tolist() == numbers
        assert found.names == ("Weight", "w")


def test_names_with_blanks_and_line_breaks(tmp_path: Path) -> None:
    names = read_weight_names(
        written(tmp_path, version_2('"Weight" "id=w\n" "muR=2 muF=2"', [[1.0] * 3]))
    )
    assert names == ("Weight", "id=w\n", "muR=2 muF=2")
    path = written(tmp_path, version_3(r"Weight\|w\|\|ww\\x", [[1.0, 2.0, 3.0]]))
    assert read_weight_names(path) == ("Weight", "w", "", "ww\\x")
    with pytest.raises(FileFormatError, match=r"4 names .* to 3 weights.*line breaks"):
        read_hepmc_weights(path)


def test_no_names(tmp_path: Path) -> None:
    assert read_hepmc_weights(written(tmp_path, version_3("", [[1.0, 2.0]]))).names == ()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FileFormatError, "is no HepMC file"),
        ("<LesHouchesEvents>", FileFormatError, "a Les Houches event file"),
        (version_3("w", [[1.0]])[: -len(END_3)], FileFormatError, "truncated"),
        (BEGIN_3 + END_3, NoEventsError, "no events"),
        (version_3("", [[1.0], [1.0, 2.0]]), FileFormatError, "as many as the others"),
        (version_3("", [[1.0], [1.0, 2.0, 3.0]]), FileFormatError, "as many as the others"),
        (version_2('"w"', [[1.0], [1.0, 2.0]]), FileFormatError, "as many as the others"),
        (version_3("w", [[1.0]]).replace("W 1.0", "W x"), FileFormatError, "are no numbers"),
        (version_3("w", [[1.0]]).replace("W 1.0\n", ""), FileFormatError, "needs weights"),
        (version_3("w", [[1.0]]).replace("E 0", "E zero"), FileFormatError, "without a number"),
        (version_3("w", [[1.0]]) * 2, FileFormatError, "needs weights"),
    ],
)
def test_refusals(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_hepmc_weights(written(tmp_path, text))


def test_damaged_compression(tmp_path: Path) -> None:
    (tmp_path / "cut.hepmc.gz").write_bytes(EXCERPT.read_bytes()[:3000])
    with pytest.raises(FileFormatError, match="truncated"):
        read_hepmc_weights(tmp_path / "cut.hepmc.gz")
    with pytest.raises(MissingFileError):
        read_hepmc_weights(tmp_path / "none.hepmc")
