from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import madminer
from madminer.cli.main import app, main
from madminer.cli.terminal import GROUPS
from madminer.core import MadMiner
from madminer.errors import EvidenceError
from madminer.io.setup_file import write_setup
from madminer.lhe import LHEReader
from madminer.simulate.setups import drell_yan_setup


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("madminer 1.0")


def test_help_names_the_commands() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert "demo" in output
    assert "simulate" in output


@pytest.mark.parametrize(
    ("words", "n", "expected"),
    [
        ("madminer in", 1, ["init", "inspect"]),
        ("madminer simulate wbf --ch", 3, ["--channel"]),
        ("madminer simulate wbf --channel t", 4, ["tutorial"]),
    ],
)
def test_shells_complete_commands_options_and_values(
    words: str, n: int, expected: list[str]
) -> None:
    """As the script does that ``--install-completion`` writes for bash."""
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(n), "_MADMINER_COMPLETE": "complete_bash"}
    result = CliRunner().invoke(app, [], env=variables, prog_name="madminer")
    assert result.output.split() == expected


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
    assert message.count("\n") == 1


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "madminer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["frob"], 2, "No such command 'frob'"),
        (["demo"], 2, "Missing option '--out'"),
        (["demo", "--out", "x", "--seed", "-1"], 2, "Invalid value for '--seed'"),
        (["simulate", "wbf", "--out", "x", "--events", "0"], 2, "Invalid value for '--events'"),
        (["simulate", "wbf", "--out", "x", "--channel", "tt"], 2, "'tt' is not one of"),
        (["inspect", "a\x1b[2Jb"], 1, r"no file or folder a\x1b[2Jb"),
        (["--quiet", "inspect", "x", "--verbose"], 1, "no file or folder x"),
        (["inspect", "x", "--verbose", "--quiet"], 1, "not both"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_faults_are_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a\nb")

    monkeypatch.setattr("madminer.cli.main.app", fail)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("KeyError: 'a")
    assert message.count("\n") == 1


def test_options_stand_where_people_put_them(tmp_path: Path) -> None:
    out = tmp_path / "x.lhe"
    simulate = ["simulate", "drell-yan", "--events", "20", "--out", out]
    assert "benchmark" in run(*simulate).stdout
    for arguments in (["--quiet", *simulate], [*simulate, "--quiet"]):
        result = run(*arguments)
        assert result.returncode == 0
        assert result.stdout == result.stderr == ""
    for arguments in (["inspect", "--verbose", out], ["inspect", out, "--verbose"]):
        assert "Les Houches events of MadMiner" in run(*arguments).stdout


def test_events_have_the_setup_that_fits_them(tmp_path: Path) -> None:
    out = tmp_path / "x.lhe.gz"
    assert run("simulate", "drell-yan", "--events", 50, "--out", out).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.lhe.gz", "x.setup.h5"}
    reader = LHEReader(tmp_path / "x.setup.h5")
    reader.add_sample(out, sampled_from_benchmark="sm")
    reader.add_observable("m", "(mu[0] + mu[1]).m", required=True)
    reader.analyse_samples()
    assert set(reader.weights) == set(drell_yan_setup().benchmarks)
    refused = run("simulate", "drell-yan", "--sampled-from", "smm", "--out", tmp_path / "y.lhe")
    assert "smm" in refused.stderr
    assert not (tmp_path / "y.setup.h5").exists()


def test_few_events_have_no_errors_and_terminals_any_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for n_events, has_errors in ((1, False), (200, True)):
        result = run("simulate", "drell-yan", "--events", n_events, "--out", tmp_path / "x.lhe")
        assert result.returncode == 0
        assert ("? " in result.stdout) == has_errors


def test_simulated_events_replace_no_setup(tmp_path: Path) -> None:
    setup = tmp_path / "setup.h5"
    write_setup(setup, drell_yan_setup())
    before = setup.read_bytes()
    for out, message in ((setup, "is the setup itself"), ("", "it is a folder")):
        refused = run("simulate", "drell-yan", "--setup", setup, "--out", out)
        assert refused.returncode == 1
        assert refused.stderr.startswith("OutputError: ")
        assert message in refused.stderr
    assert setup.read_bytes() == before


def test_every_command_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(get_command(app).commands)  # type: ignore[attr-defined]
    output = CliRunner().invoke(app, ["-h"]).output
    assert output == CliRunner().invoke(app, ["--help"]).output
    for title in GROUPS:
        assert f"{title}:" in output


STAGES = ("setup", "read", "sample", "train", "fisher", "limits", "report")


@pytest.mark.parametrize("stage", STAGES)
def test_stages_say_what_they_read_write_and_return(stage: str) -> None:
    lines = CliRunner().invoke(app, [stage, "-h"]).output.splitlines()
    for word in ("Reads", "Writes", f"Example  madminer {stage} wbf.yaml", "Status   0 if"):
        assert any(line.startswith(f"  {word}") for line in lines), word
    assert max(map(len, lines)) <= 80


def test_each_fault_has_a_line_and_commands_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EvidenceError("not validated.\n- mean\x1b[2J score\n- residuals\x0b")

    monkeypatch.setattr("madminer.cli.main.app", fail)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    expected = ["EvidenceError: not validated.", r"- mean\x1b[2J score", r"- residuals\x0b"]
    assert capsys.readouterr().err.splitlines() == expected


@pytest.mark.parametrize("command", [[], ["demo"], ["inspect"], ["simulate", "wbf"], ["validate"]])
def test_help_tells_flags_from_values(command: list[str]) -> None:
    output = CliRunner().invoke(app, [*command, "--help"]).output
    assert "--quiet    " in output
    assert "<bool>" not in output


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
