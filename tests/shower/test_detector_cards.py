"""Cards of detectors: what they may hold, and what is refused."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from madminer.errors import FileFormatError, MissingFileError, OptionError
from madminer.shower import Detector, load_detector
from madminer.shower.detector import EfficiencyTable, ObjectResponse, Tag, Tagging, Width

GOOD = """
name: mine
jet_radius: 0.5
photons:
  pt_min: 20.0
  eta_max: 2.5
  resolution:
    - {eta: [0.0, 2.5], stochastic: 0.1, constant: 0.007}
  efficiency:
    - {eta: [0.0, 2.5], value: 0.9}
b_tagging:
  tags: {b: {offset: 0.7}, others: {offset: 0.01}}
"""


def test_card_gives_what_it_says(tmp_path: Path) -> None:
    card = tmp_path / "mine.yaml"
    card.write_text(GOOD)
    expected = Detector(
        name="mine",
        jet_radius=0.5,
        photons=ObjectResponse(
            pt_min=20.0,
            eta_max=2.5,
            resolution=(Width(eta=(0.0, 2.5), stochastic=0.1, constant=0.007),),
            efficiency=(EfficiencyTable(eta=(0.0, 2.5), value=0.9),),
        ),
        b_tagging=Tagging(tags={5: Tag(offset=0.7), 0: Tag(offset=0.01)}),
    )
    assert load_detector(card) == expected


def test_names_and_detectors() -> None:
    assert load_detector(None) == Detector()
    assert load_detector("atlas").name == "ATLAS-like"
    assert load_detector("cms").name == "CMS-like"
    mine = Detector(name="mine")
    assert load_detector(mine) is mine


@pytest.mark.parametrize("name", ["atlas", "cms"])
def test_every_number_of_the_cards_names_its_source(name: str) -> None:
    """In a comment on its line, or at the key that it stands below."""
    text = (resources.files("madminer.shower") / "cards" / f"{name}.yaml").read_text()
    sources = ("Delphes", "arXiv:", "JINST", "as electrons", "the radius of the jets")
    above: dict[int, str] = {}  # by indentation
    for line in text.splitlines():
        content = line.partition("#")[0]
        if not content.strip():
            continue
        indent = len(content) - len(content.lstrip())
        above = {**{k: v for k, v in above.items() if k < indent}, indent: line}
        if re.search(r"[1-9]", content):
            assert any(source in " ".join(above.values()) for source in sources), line


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("jet_radius", "radius", "keys of the card must be some of"),
        ("pt_min", "pt", "keys of photons must be some of"),
        ("stochastic: 0.1", "stochastic: -0.1", "photons: resolution.*stochastic must be"),
        ("constant", "const", "keys of photons: resolution"),
        ("value: 0.9", "value: 90", "efficiency: value must be"),
        ("[0.0, 2.5], value", "[2.5, 0.0], value", "efficiency: eta must be"),
        ("{eta: [0.0, 2.5], value: 0.9}", "{eta: [0.0, 2.5]}", "value"),
        ("others:", "light:", "flavours of b_tagging must be some of"),
        ("{b: {offset: 0.7}", "{b: 0.7", "b must be a list of keys and values"),
        ("jet_radius: 0.5", "jet_radius: wide", "jet_radius must be a number"),
        ("name: mine", "name: mine\nname: yours", "stands twice"),
        ("eta_max: 2.5", "eta_max: 3.0", "without gaps"),
    ],
)
def test_bad_cards_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    card = tmp_path / "bad.yaml"
    card.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(OptionError, match=message) as caught:
        load_detector(card)
    assert "bad.yaml" in str(caught.value)


def test_unknown_detector() -> None:
    with pytest.raises(MissingFileError, match=r"\['atlas', 'cms'\]"):
        load_detector("alice")


def test_no_yaml(tmp_path: Path) -> None:
    card = tmp_path / "bad.yaml"
    card.write_text("photons: [1, 2")
    with pytest.raises(FileFormatError, match="no YAML file"):
        load_detector(card)


def test_empty_card(tmp_path: Path) -> None:
    card = tmp_path / "bad.yaml"
    card.write_text("")
    with pytest.raises(FileFormatError, match="entries with names"):
        load_detector(card)
