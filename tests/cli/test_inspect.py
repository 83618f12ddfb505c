"""``madminer inspect``: what it shows, and the exit status that scripts rely on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from madminer.cli.main import app, main
from madminer.io import EventFile, write_events, write_setup


def inspect(*arguments: object, width: int = 80) -> Result:
    environment = {"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)}
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], env=environment)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_event_file_of_madminer_0_9(shared: Path, width: int) -> None:
    result = inspect(shared / "reference" / "public.h5", width=width)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(len(line) for line in lines) <= width
    if width >= 80:
        (row,) = (
            line for line in lines if line.startswith("morphing_basis_vector_3  ") and "%" in line
        )
        assert row.split()[1:] == ["0.007714", "±", "1.25", "%", "6,417", "0", "2,680"]
        (row,) = (line for line in lines if line.startswith("background"))
        assert row.split() == ["background", "4,000"]
        (row,) = (line for line in lines if line.startswith("njets  ") and "2.008" in line)
        assert row.split() == ["njets", "0", "2.008", "9", "0"]
    for word in ("Parameters (2)", "Nuisance parameters", "Checks", "condition number"):
        assert word in result.output


def test_no_events(toy_event_file: Callable[..., Path]) -> None:
    result = inspect(toy_event_file(), "--no-events")
    assert result.exit_code == 0
    assert "Parameters (2)" in result.output
    assert "1,000 events" in result.output
    assert "Checks" not in result.output


def test_setup_file(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    write_setup(tmp_path / "setup.h5", EventFile(toy_event_file()).setup)
    result = inspect(tmp_path / "setup.h5")
    assert result.exit_code == 0
    assert "setup.h5, setup" in result.output.replace("\n", "")
    assert "holds a setup only" in result.output


def test_problems_give_exit_status_1(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file(negative_share=0.1))
    events = file.read()
    events.x[:5, 1] = np.nan
    write_events(tmp_path / "a.h5", file.setup, events, file.summary)
    result = inspect(tmp_path / "a.h5")
    assert result.exit_code == 1
    text = " ".join(result.output.split())
    assert "problem Observables are undefined (not-a-number) in some events: k1 (5 of" in text
    assert "when the events are read" in text
    assert text.index("problem") < text.index("The layout is of format 1")


def test_names_are_shown_as_they_are(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    names = {f"[bold]{name}[/]": "_" for name in file.setup.observables}
    setup = replace(file.setup, observables=names)
    write_events(tmp_path / "a[red].h5", setup, file.read(), file.summary)
    result = inspect(tmp_path / "a[red].h5")
    assert "a[red].h5" in result.output.replace("\n", "")
    assert "[bold]k3[/]" in result.output


def test_layouts_that_cannot_be_read(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    write_events(tmp_path / "a.h5", file.setup, file.read(), file.summary)
    with h5py.File(tmp_path / "a.h5", "a") as hdf5:
        del hdf5["samples/weights"]
        hdf5["samples/weights"] = np.ones((1000, 2))
    result = inspect(tmp_path / "a.h5")
    assert result.exit_code == 1
    assert "2 weights for each event, but 6 benchmarks" in " ".join(result.output.split())


def test_errors_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (None, "text"):
        if content is not None:
            (tmp_path / "a.h5").write_text(content)
        monkeypatch.setattr(sys, "argv", ["madminer", "inspect", str(tmp_path / "a.h5")])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 1
        message = capsys.readouterr().err
        assert ("FileFormatError" if content else "MissingFileError") in message
        assert "Traceback" not in message
