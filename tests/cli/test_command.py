from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madminer.cli.main import app, main


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("madminer 1.0")


def test_help_names_the_commands() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert "demo" in output
    assert "simulate" in output


def test_expected_errors_become_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["madminer", "demo", "--out", str(tmp_path), "--events", "10"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert "OptionError: The demonstration needs at least 1000 events" in message
    assert "Traceback" not in message


def test_module_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "madminer", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("madminer 1.0")


def test_importing_the_package_is_instant() -> None:
    code = "import sys, madminer; print(*(name in sys.modules for name in ('torch', 'matplotlib')))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]
