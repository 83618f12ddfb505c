"""The README says what is true; its code runs with that of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import madminer

README = (Path(__file__).parents[1] / "README.md").read_text()
NUMBERS = {"Ten": 10, "Eleven": 11, "Twelve": 12, "Thirteen": 13}


def test_the_lines_are_as_many_as_it_says() -> None:
    found = re.search(r"## (\w+) lines\n\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    lines = [line for line in found.group(2).splitlines() if line.strip()]
    assert len(lines) == NUMBERS[found.group(1)]


def test_the_names_exist() -> None:
    table = README[README.index("| step |") : README.index("Event files of MadMiner")]
    names = set(re.findall(r"`([A-Z]\w+)`", table)) - {"FILE"}
    assert {"MadMiner", "LHEReader", "FisherInformation"} <= names
    assert names <= set(madminer.__all__)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (Path(__file__).parents[1] / link).exists(), link
