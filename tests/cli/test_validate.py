"""``madminer validate``: what it prints and writes, and the exit statuses that scripts rely on."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from madminer.cli.main import app, main
from madminer.demo.events import prepare_events
from madminer.demo.settings import DemoSettings
from madminer.ml import ScoreEstimator
from madminer.sampling import SampleAugmenter


def validate(*arguments: object) -> Result:
    environment = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    return CliRunner().invoke(app, ["validate", *map(str, arguments)], env=environment)


@dataclass(frozen=True)
class Files:
    """An event file and models of its scores."""

    events: Path
    good: Path
    lazy: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    out = tmp_path_factory.mktemp("validate")
    events = prepare_events(DemoSettings(out=out, n_events=20_000)).parton_file
    train = SampleAugmenter(events).weighted_local("sm")
    for name, n_epochs, rate in (("good", 25, 1e-2), ("lazy", 1, 1e-6)):
        sally = ScoreEstimator(n_hidden=(40, 40), activation="elu")
        sally.train(
            "sally",
            train.x,
            train.t_xz,
            sample_weight=train.w,
            theta_ref=train.theta,
            n_epochs=n_epochs,
            initial_lr=rate,
            final_lr=0.1 * rate,
            scheduler="one-cycle",
            seed=1,
            verbose="none",
        )
        sally.save(out / name)
    return Files(events, out / "good", out / "lazy")


def test_a_good_model(files: Files, tmp_path: Path) -> None:
    html, written = tmp_path / "new" / "a.html", tmp_path / "a.json"
    result = validate(files.good, files.events, "--html", html, "--json", written)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "all 12 checks passed, with" in text
    assert "Fisher information at CWL2 = 0, CPWL2 = 0 can be used" in text
    assert max(map(len, result.output.splitlines())) <= 80
    assert json.loads(written.read_text())["passed"] is True
    assert "✓ all 12 checks passed" in html.read_text()
    assert f"validate(&#39;{files.good}&#39;" in html.read_text()


def test_a_model_that_learned_nothing(files: Files) -> None:
    result = validate(files.lazy, files.events)
    assert result.exit_code == 1
    text = " ".join(result.output.split())
    assert "information learned FAILED" in text
    assert "Do not quote information" in text


def test_undecided_has_a_status_of_its_own(files: Files, tmp_path: Path) -> None:
    few = prepare_events(DemoSettings(out=tmp_path, n_events=4_000, seed=5)).parton_file
    result = validate(files.good, few)
    assert result.exit_code == 3, result.output
    text = " ".join(result.output.split())
    assert "effective events undecided" in text
    assert "No check failed for certain, but the estimator is not validated" in text


def test_points_are_names_or_numbers(files: Files) -> None:
    assert validate(files.good, files.events, "--reference", "sm").exit_code == 0
    assert validate(files.good, files.events, "--reference", "0,-0").exit_code == 0
    moved = validate(files.good, files.events, "--reference", "-0.2,0.1")
    assert moved.exit_code == 1
    assert "reference point" in moved.output.partition("Mend this")[2]
    other = validate(files.good, files.events, "--partition", "train")
    assert "train events of" in " ".join(other.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{good}", "{events}", "--reference", "a"], "UnknownNameError: There is no benchmark 'a'"),
        (["{good}", "{events}", "--partition", "a"], "OptionError: partition must be one of"),
        (["{good}", "{events}", "--json", "{events}"], "is the event file itself"),
        (["{good}", "{events}", "--html", "."], "OutputError: Cannot write"),
        (["{good}", "nothing.h5"], "MissingFileError: "),
        (["nothing", "{events}"], "MissingFileError: There is no estimator nothing"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    message: str,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [text.format(good=files.good, events=files.events) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["madminer", "validate", *filled])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_help_teaches() -> None:
    text = " ".join(validate("--help").output.split())
    for words in ("Status 0 if all checks passed", "3 if none failed", "--reference sm"):
        assert words in text
    assert "<bool>" not in text
