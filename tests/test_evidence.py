"""Strict mode: warnings that a result may be wrong are errors."""

from __future__ import annotations

import contextvars
import logging
import pickle
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import madminer
from madminer.cli.main import app, main
from madminer.errors import EvidenceError, MadMinerError, OptionError
from madminer.evidence import is_strict, report_weakness, strict

logger = logging.getLogger("madminer.test")
SOURCE = Path(madminer.__file__).parent


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MADMINER_STRICT", raising=False)


def separately(function: Callable[[], None]) -> None:
    """Call it where what it chooses has no effect on other tests."""
    contextvars.copy_context().run(function)


def test_a_weakness_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    report_weakness(logger, "Only %d events, 5 %% of %s. Use more.", 9, "them")
    report_weakness(logger, "100 % sure")
    assert caplog.messages == ["Only 9 events, 5 % of them. Use more.", "100 % sure"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.name for record in caplog.records} == {"madminer.test"}
    assert {record.pathname for record in caplog.records} == {__file__}  # not that of the reporter


def test_a_weakness_is_an_error_in_strict_mode(caplog: pytest.LogCaptureFixture) -> None:
    with strict(), pytest.raises(EvidenceError) as error:
        report_weakness(logger, "Only %d events, 5 %% of %s. Use more.", 9, "them")
    assert str(error.value).startswith("Only 9 events, 5 % of them. Use more. This warning is")
    assert isinstance(error.value, MadMinerError)
    assert isinstance(error.value, RuntimeError)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # noqa: S301
    with strict(), pytest.raises(EvidenceError, match="100 % sure"):
        report_weakness(logger, "100 % sure")
    assert not caplog.records


def test_contexts_nest() -> None:
    assert not is_strict()
    with strict():
        assert is_strict()
        with strict(False):
            assert not is_strict()
            with strict():
                assert is_strict()
            assert not is_strict()
        with pytest.raises(EvidenceError), strict():
            report_weakness(logger, "bad")
        assert is_strict()
    assert not is_strict()


def test_a_plain_call_holds_from_then_on() -> None:
    def switch() -> None:
        madminer.strict()
        assert is_strict()
        with strict(False):
            assert not is_strict()
        assert is_strict()
        madminer.strict(False)
        assert not is_strict()

    separately(switch)
    assert not is_strict()


def test_threads_do_not_disturb_each_other() -> None:
    inside, outside = threading.Event(), threading.Event()
    found: dict[str, bool] = {}

    def strictly() -> None:
        with strict():
            inside.set()
            outside.wait(10.0)
            found["strict"] = is_strict()

    def loosely() -> None:
        inside.wait(10.0)
        found["loose"] = is_strict()
        outside.set()

    threads = [threading.Thread(target=target) for target in (strictly, loosely)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"strict": True, "loose": False}


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("", False)])
def test_environment(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADMINER_STRICT", value)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(is_strict()))
    thread.start()
    thread.join()
    assert [is_strict(), *found] == [expected, expected]
    with strict(False):
        assert not is_strict()
    with strict():
        assert is_strict()


def test_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(OptionError, match="on must be True or False, got 'off'"):
        strict("off")  # type: ignore[arg-type]
    assert not is_strict()


def test_strict_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def weak() -> None:
        report_weakness(logger, "Only %d events.", 9)

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    app.command(name="weak")(weak)
    assert CliRunner().invoke(app, ["weak"]).exit_code == 0
    result = CliRunner().invoke(app, ["--strict", "weak"])
    assert isinstance(result.exception, EvidenceError)
    assert not is_strict()
    monkeypatch.setattr(sys, "argv", ["madminer", "--strict", "weak"])
    monkeypatch.setattr("madminer.cli.main.log_to_terminal", lambda: None)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("EvidenceError: Only 9 events. This warning is an")


NOTICES = {
    "sampling/messages.py": [
        "events above 1 / n_eff_forced are left out, as was asked for",
        "negative weights are drawn with signs, which the sample holds",
        "few events of a benchmark, from which nothing was drawn yet",
    ]
}
"""Warnings that do not say that a number is wrong, and why."""


@pytest.mark.parametrize(
    "package", ["fisherinformation", "limits", "likelihood", "morphing", "sampling"]
)
def test_all_warnings_about_results_can_be_errors(package: str) -> None:
    for file in (SOURCE / package).glob("*.py"):
        logged = re.findall(r"logger\.(?:warning|log)\(", file.read_text())
        assert len(logged) == len(NOTICES.get(f"{package}/{file.name}", [])), file
