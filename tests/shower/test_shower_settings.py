"""Settings of Pythia: dictionaries, cards, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from madminer.errors import DataError, MissingDependencyError, MissingFileError, OptionError
from madminer.io.lhe import LHEHeader

pytest.importorskip("pythia8mc", reason="needs the extra shower")

from madminer.shower.pythia import shower_package
from madminer.shower.pythia_settings import check_needs_no_matching, check_settings


def test_none_means_defaults() -> None:
    assert check_settings(None) == ()


def test_card_and_dictionary_agree(tmp_path: Path) -> None:
    card = tmp_path / "pythia.cmnd"
    card.write_text("! a comment\nPartonLevel:MPI = off ! no MPI\n\n111:mayDecay = on\n# more\n")
    assert check_settings(card) == check_settings({"PartonLevel:MPI": False})


@pytest.mark.parametrize(
    "name",
    ["Merging:doKTMerging", "JetMatching:merge", "POWHEG:veto", "merging:nJetMax"],
)
def test_matching_and_merging_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="matching or merging"):
        check_settings({name: "on"})


@pytest.mark.parametrize("name", ["Beams:LHEF", "Random:seed", "Main:numberOfEvents"])
def test_what_is_decided_here_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="is made here"):
        check_settings({name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PartonLevel:MPX", False),
        ("nonsense", 1),
        ("PartonLevel:MPI", "perhaps"),  # Pythia would take it for off
        ("TimeShower:alphaSvalue", 0.9),  # and this for 0.25, the end of the range
        ("TimeShower:alphaSvalue", "large"),
        ("Tune:pp", 1.5),
    ],
)
def test_pythia_must_know_them(name: str, value: object) -> None:
    with pytest.raises(OptionError, match="Pythia does not know"):
        check_settings({name: value})  # type: ignore[dict-item]


def test_values_must_be_simple() -> None:
    with pytest.raises(OptionError, match="True, False, a number or a text"):
        check_settings({"PartonLevel:MPI": None})  # type: ignore[dict-item]


def test_missing_card() -> None:
    with pytest.raises(MissingFileError, match="no card of Pythia"):
        check_settings("nowhere.cmnd")


def test_card_with_a_line_of_another_form(tmp_path: Path) -> None:
    card = tmp_path / "pythia.cmnd"
    card.write_text("PartonLevel\n")
    with pytest.raises(OptionError, match="'name = value'"):
        check_settings(card)


@pytest.mark.parametrize(("name", "value"), [("ickkw", "1"), ("xqcut", "20.0")])
def test_events_made_for_matching_are_refused(name: str, value: str) -> None:
    header = LHEHeader(run_card=f" {value} = {name} ! comment\n")
    with pytest.raises(DataError, match=f"{name} = {value}"):
        check_needs_no_matching(header, Path("events.lhe"))


def test_other_events_pass() -> None:
    header = LHEHeader(run_card=" 0 = ickkw\n 0.0 = xqcut\n -1.0 = ktdurham\n")
    check_needs_no_matching(header, Path("events.lhe"))


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastjet", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "madminer\[shower\]"'):
        shower_package("fastjet")
