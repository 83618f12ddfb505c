"""The code in README and documentation runs as part of the tests, page by page.

What a block of Python prints stands below it in a block of ``output``, up to the last digits of
numbers; ``make pages`` writes these blocks, and the figures that pages save and show.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import redirect_stdout
from decimal import Decimal
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "madminer"
os.environ.setdefault("MADMINER_PROGRESS", "0")
os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # no dates in figures
os.environ["COLUMNS"] = "95"  # width of tables that rich prints

collect_ignore = ["docs/conf.py"]  # needs what builds the documentation

N_EVENTS = 4_000
PARTS = ("tutorials", "how-to", "explanation")  # folders of pages
WRITE = os.environ.get("MADMINER_WRITE_PAGES") == "1"
OUTPUT = re.compile(r"\n\n```output\n(?P<text>.*?)\n?```", re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


@cache
def demo_files() -> Path:
    """What the pages find in ``demo``: setup, generated events, events at detector level."""
    from madminer.demo.events import prepare_events
    from madminer.demo.settings import DemoSettings

    folder = Path(tempfile.mkdtemp(prefix="madminer-docs-")) / "demo"
    folder.mkdir()
    prepare_events(DemoSettings(out=folder, n_events=N_EVENTS))
    return folder


def enter_page(namespace: dict[str, Any]) -> None:
    """Give each page a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="madminer-page-"))
    shutil.copytree(demo_files(), folder / "demo")
    namespace["__previous__"] = Path.cwd()
    namespace["__outputs__"] = {}
    os.chdir(folder)


def leave_page(namespace: dict[str, Any]) -> None:
    """Go back and clean up; write what was printed and drawn into the page, if asked."""
    folder = Path.cwd()
    plt.close("all")  # of some ten pages in one process
    os.chdir(namespace["__previous__"])
    for page, outputs in namespace["__outputs__"].items():
        write_page(page, outputs, folder)
    shutil.rmtree(folder)


def run_block(example: Example) -> str | None:
    """Run a block of Python and compare what it prints with the output below it."""
    with redirect_stdout(StringIO()) as printed:
        PythonEvaluator()(example)
    text = "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").splitlines())
    shown = OUTPUT.match(example.document.text, example.end)
    if WRITE:
        end = shown.end() if shown else example.end
        outputs = example.namespace["__outputs__"].setdefault(Path(example.path), [])
        outputs.append((example.end, end, f"\n\n```output\n{text}\n```" if text else ""))
    elif not is_same(shown["text"] if shown else "", text):
        return f"The output below this block is another one, run `make pages`. It is now:\n{text}"
    return None


def is_same(shown: str, printed: str) -> bool:
    """Whether two texts agree but for spaces and small differences of numbers.

    Trainings differ in digits between processors: by 5 %, or 2 in the last digit that is shown.
    """
    words = [re.sub(r"\s", "", NUMBER.sub("#", text)) for text in (shown, printed)]
    if words[0] != words[1]:
        return False
    pairs = zip(NUMBER.findall(shown), map(float, NUMBER.findall(printed)), strict=True)
    return all(
        abs(float(text) - value) <= 0.05 * abs(value) + 2.01 * 10.0 ** Decimal(text).as_tuple()[2]
        for text, value in pairs
    )


def write_page(page: Path, outputs: list[tuple[int, int, str]], folder: Path) -> None:
    """Put outputs below their blocks, and figures of the page beside those of the others."""
    text = page.read_text(encoding="utf-8")
    for figures, name in set(re.findall(r"\]\(((?:\.\./)?figures)/([\w.-]+)\)", text)):
        if (folder / name).exists():
            shutil.copyfile(folder / name, page.parent / figures / name)
    for start, end, output in reversed(outputs):
        text = text[:start] + output + text[end:]
    page.write_text(text, encoding="utf-8")


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("python", run_block)],
    patterns=["README.md", "docs/*.md", *(f"docs/{part}/*.md" for part in PARTS)],
    setup=enter_page,
    teardown=leave_page,
).pytest()
