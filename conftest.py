"""The code in README and documentation runs as part of the tests, page by page."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

mpl.use("Agg")
os.environ.setdefault("MADMINER_PROGRESS", "0")

N_EVENTS = 4_000


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
    os.chdir(folder)


def leave_page(namespace: dict[str, Any]) -> None:
    """Go back and clean up."""
    folder = Path.cwd()
    os.chdir(namespace["__previous__"])
    shutil.rmtree(folder)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    setup=enter_page,
    teardown=leave_page,
).pytest()
