from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import madminer
from madminer.cli.main import app, main
from madminer.core import MadMiner


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


def test_the_table_of_cross_sections_is_complete(tmp_path: Path) -> None:
    setup, name = tmp_path / "setup.h5", "benchmark_" + 70 * "a"
    miner = MadMiner()
    miner.add_parameter("fourfermion", 1, "clq1")
    miner.add_parameter("fourfermion", 3, "clq3")
    miner.add_benchmark({"clq1": 0.0, "clq3": 0.0}, name)
    miner.set_morphing(max_overall_power=2, seed=1)
    miner.save(setup)
    arguments = ["simulate", "drell-yan", "--events", "50", "--setup", str(setup)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "x.lhe")])
    assert "cross section (pb)" in result.output
    assert name in result.output
    (tmp_path / "plain").touch()
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "plain" / "x.lhe")])
    assert "plain is a file, not a folder" in str(result.exception)


def test_version_of_the_package() -> None:
    assert madminer.__version__ == version("madminer")
