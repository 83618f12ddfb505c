from __future__ import annotations

import logging
import sys
from types import ModuleType

import numpy as np
import pytest

from madminer.ml import ScoreEstimator
from madminer.progress import silence_progress

X = np.random.default_rng(1).normal(size=(60, 2))


def train(verbose: str = "few") -> None:
    ScoreEstimator(n_hidden=(4,)).train("sally", X, X, n_epochs=3, verbose=verbose)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADMINER_PROGRESS", "1")
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))


@pytest.mark.usefixtures("notebook")
def test_training_shows_a_bar_that_stays(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    shown = capsys.readouterr().err
    assert "Training: 100%" in shown
    assert "3/3" in shown
    assert "loss " in shown
    assert "validation " in shown
    assert shown.endswith("\n")


@pytest.mark.usefixtures("notebook")
def test_bars_are_silenced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train("none")
    with silence_progress():
        train()
    monkeypatch.setenv("MADMINER_PROGRESS", "0")
    train()
    assert capsys.readouterr().err == ""


def test_files_get_lines_instead(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MADMINER_PROGRESS", "1")
    with caplog.at_level(logging.INFO, "madminer"):
        train()
    assert capsys.readouterr().err == ""
    assert caplog.messages[-1].startswith("3 epochs in ")
