"""Where a network trains if nobody says where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import OptionError
from madminer.ml import Ensemble, LikelihoodEstimator, ScoreEstimator
from madminer.ml.inputs import pick_training_device

BATCH = 128
SALLY = 12 * 100 + 100 * 100 + 100 * 2 + 202  # weights of 12-100-100-2
QUICK: dict[str, Any] = {"n_epochs": 1, "batch_size": 32, "verbose": "none", "seed": 1}


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.delenv("MADMINER_DEVICE")


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize(
    ("n_events", "n_weights", "n_networks", "is_recorded", "expected"),
    [
        (BATCH, SALLY, 1, True, "cuda"),  # the default settings, as one graph
        (BATCH, SALLY, 1, False, "cpu"),  # and launched one by one
        (BATCH, 1500, 1, True, "cpu"),
        (BATCH, 1500, 100, True, "cuda"),
        (8192, SALLY, 1, False, "cuda"),
    ],
)
def test_the_rule(
    n_events: int, n_weights: int, n_networks: int, is_recorded: bool, expected: str
) -> None:
    work = n_events * n_weights * n_networks
    assert pick_training_device(None, work, is_recorded=is_recorded).type == expected


@pytest.mark.usefixtures("with_gpu")
def test_what_was_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_training_device("cpu", 1e12, is_recorded=True).type == "cpu"
    monkeypatch.setenv("MADMINER_DEVICE", "cpu")
    assert pick_training_device(None, 1e12, is_recorded=True).type == "cpu"
    with pytest.raises(OptionError, match="cannot be used here"):
        pick_training_device("meta", 1.0, is_recorded=True)


def test_without_a_gpu_it_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("MADMINER_DEVICE")
    assert pick_training_device(None, 1e12, is_recorded=True).type == "cpu"


def test_trainings_ask_with_their_batch_weights_and_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, float, bool]] = []

    def pick(device: object, work: float, *, is_recorded: bool) -> torch.device:
        asked.append((device, work, is_recorded))
        return torch.device("cpu")

    monkeypatch.setattr("madminer.ml.base.pick_training_device", pick)
    rng = np.random.default_rng(1)
    x, scores = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
    n_weights = 3 * 5 + 5 + 5 * 2 + 2
    ScoreEstimator(n_hidden=(5,)).train("sally", x, scores, **QUICK)
    large = {**QUICK, "batch_size": 1000}  # of 75 events to train on
    ScoreEstimator(n_hidden=(5,)).train("sally", x, scores, **large, device="cpu")
    Ensemble(3, n_hidden=(5,)).train_all("sally", x, scores, **QUICK, stacked=True)
    ScoreEstimator(n_hidden=(5,), dropout_prob=0.1).train("sally", x, scores, **QUICK)
    LikelihoodEstimator(n_hidden=(5,)).train("nde", x, scores, **QUICK)
    assert asked[:2] == [(None, 32 * n_weights, True), ("cpu", 75 * n_weights, True)]
    assert asked[2:5] == [(None, 3 * 32 * n_weights, True)] * 3
    assert [is_recorded for _, _, is_recorded in asked[5:]] == [False, True]
