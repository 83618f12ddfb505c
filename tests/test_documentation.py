"""The documentation is complete: every documented module has a page, every error a remedy."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from madminer.errors import MadMinerError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PARTS = ("tutorials", "how-to", "explanation")
PAGES = sorted(DOCS.glob("*.md")) + [
    page for part in PARTS for page in sorted((DOCS / part).glob("*.md"))
]
if not PAGES:
    pytest.skip("needs docs/, which installed packages do not have", allow_module_level=True)

REFERENCE = re.findall(r"^   (madminer\.[\w.]+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
DOCUMENTED = json.loads((Path(__file__).parent / "data" / "public_interface.json").read_text())


def test_reference_has_every_documented_name() -> None:
    assert len(set(REFERENCE)) == len(REFERENCE)
    for module, names in DOCUMENTED.items():
        for name in {name.partition(".")[0] for name in names}:
            home = getattr(importlib.import_module(module), name).__module__
            assert {module, home} & set(REFERENCE), f"{module}.{name}"


@pytest.mark.parametrize("module", REFERENCE)
def test_modules_of_the_reference_introduce_themselves(module: str) -> None:
    assert importlib.import_module(module).__doc__


for _name in REFERENCE:  # some modules have errors of their own
    importlib.import_module(_name)


def _kinds(error: type[Exception]) -> set[str]:
    below = [kind for kind in error.__subclasses__() if kind.__module__.startswith("madminer.")]
    return {error.__name__}.union(*map(_kinds, below))


@pytest.mark.parametrize("name", sorted(_kinds(MadMinerError)))
def test_every_error_has_cause_and_remedy(name: str) -> None:
    row = re.search(
        rf"^\| `{name}`[^|]*\|(.+)\|(.+)\|$", (DOCS / "errors.md").read_text(), re.MULTILINE
    )
    assert row, f"{name} is not on the page of errors"
    assert all(cell.strip() for cell in row.groups())


def test_every_page_is_in_the_index() -> None:
    listed = {"index"}
    for folder in ("", *PARTS):
        contents = (DOCS / folder / "index.md").read_text().split()
        listed |= {f"{folder}/{name}".strip("/") for name in contents}
    assert {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES} <= listed


SCRIPTS = {
    "information.png": "examples/information_figure.py",
    "convergence-sally.svg": "benchmarks/convergence.py",
    "convergence-alices.svg": "benchmarks/convergence.py",
    "detector-comparison.png": "benchmarks/detector_comparison.py",
    "estimators-compared.svg": "benchmarks/estimators.py",
}


def test_figures_are_shown_and_made_by_code() -> None:
    made = {name for name, script in SCRIPTS.items() if (ROOT / script).exists()}
    shown = set()
    for page in [*PAGES, ROOT / "README.md", *ROOT.glob("*/README.md")]:
        text = page.read_text()
        shown |= set(re.findall(r"figures/([\w.-]+\.(?:svg|png))", text))
        made |= set(re.findall(r'savefig\("([\w.-]+)"', text))
    assert shown == {path.name for path in (DOCS / "figures").iterdir()}
    assert shown <= made
