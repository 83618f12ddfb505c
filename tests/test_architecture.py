"""The page on the architecture names what is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
WAYS = {
    title: re.findall(r"^\d+\. `(\S+)`$", text, re.MULTILINE)
    for title, text in re.findall(
        r"\*\*(The way of [^*]+)\*\*(.*?)(?=\n\*\*|\n## )", PAGE, re.DOTALL
    )
}
NAMES = sorted(set(re.findall(r"`(madminer\.[\w.]+)`", PAGE)))


def find(name: str) -> object:
    """A module, or what stands in one; private names too."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            target: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            target = getattr(target, part)
        return target
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_names_exist(name: str) -> None:
    find(name)


def test_ways_are_short() -> None:
    """Half of the functions and files that each had when the house was reviewed."""
    assert len(WAYS) == 3
    for names in WAYS.values():
        modules = {getattr(find(name), "__module__", None) for name in names}
        assert 5 <= len(names) <= 9
        assert len(modules) <= 7
