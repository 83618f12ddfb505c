from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import DataError
from madminer.ml import (
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.ml.inputs import data_warning
from madminer.ml.methods import find_method, trivial_answer
from madminer.nn import TrainingSettings
from madminer.nn.scaling import score_sizes

QUICK: dict[str, Any] = {"n_epochs": 1, "verbose": "none", "seed": 1}


def ratio_sample(n: int = 3000, share: float = 0.5) -> dict[str, np.ndarray]:
    """p(x|theta) = N(theta, 1), the reference is 0."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(-1.0, 1.0, n)
    y = rng.permutation(np.arange(n) < share * n).astype(float)
    x = rng.normal(np.where(y == 0.0, theta, 0.0))
    return {"x": x, "y": y, "theta": theta, "r_xz": np.exp(theta * x - theta**2 / 2.0)}


def told(caplog: pytest.LogCaptureFixture) -> str:
    """What was said before the trainings, which are too short and say so, too."""
    return "\n".join(r.getMessage() for r in caplog.records if r.name == "madminer.ml")


def test_ratios_upside_down_are_refused() -> None:
    sample = ratio_sample()
    ParameterizedRatioEstimator().train("alice", **sample, **QUICK)
    with pytest.raises(DataError, match="it is upside down, or y is"):
        ParameterizedRatioEstimator().train("alice", **{**sample, "y": 1.0 - sample["y"]}, **QUICK)
    external = {f"{name}_val": values for name, values in sample.items()}
    external["r_xz_val"] = 1.0 / sample["r_xz"]
    with pytest.raises(DataError, match="r_xz_val must be"):
        ParameterizedRatioEstimator().train("alice", **sample, **external, **QUICK)


@pytest.mark.parametrize(("method", "warns"), [("carl", True), ("alice", False)])
def test_unbalanced_classes(method: str, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        ParameterizedRatioEstimator().train(method, **ratio_sample(share=0.25), **QUICK)
    assert ("25 % of the sample (by weight) has y = 1" in caplog.text) == warns
    assert (f"off by {math.log(3.0):+.1f}" in caplog.text) == warns


def test_weights_that_balance_the_classes_need_no_warning() -> None:
    sample = ratio_sample(share=0.25)
    weight = np.where(sample["y"] == 1.0, 3.0, 1.0)
    weighted = {**sample, "sample_weight": weight}
    assert data_warning("parameterized_ratio", "carl", weighted, TrainingSettings(), 3000) == ""


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ([1.0, 1.0], None),
        ([1.0, 0.1], None),
        ([3.0, 1.0], None),
        ([1.0, 0.0], None),
        ([1.0, 1e-13], None),  # rounding
        ([1.0, 1e-3], "small beside others hardly count"),
        ([1e-3, 1e-3], "begin far above such small numbers"),
        ([20.0, 20.0], "move by about"),
    ],
)
def test_scores_in_strange_units(
    sizes: list[float], reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    x = np.random.default_rng(1).normal(size=(500, 2))
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        ScoreEstimator().train("sally", x, x * sizes, **QUICK)
        assert bool(told(caplog)) == (reason is not None)
        if reason is not None:
            assert reason in told(caplog)
            assert "Train with scale_scores=True." in told(caplog)
        caplog.clear()
        ScoreEstimator().train("sally", x, x * sizes, **QUICK, scale_scores=True)
    assert not told(caplog)


def test_sizes_of_scores_are_those_of_the_weighted_sample(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Events far from the reference have large scores and small weights."""
    x = np.random.default_rng(1).normal(size=(500, 1))
    x[::2] *= 50.0
    weight = np.where(np.arange(500) % 2, 1.0, 1e-6)
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        ScoreEstimator().train("sally", x, x, **QUICK, sample_weight=weight)
    assert not told(caplog)
    signed = np.where(np.arange(500) % 4, weight, -weight)
    np.testing.assert_allclose(score_sizes(x, signed), score_sizes(x, weight))
    np.testing.assert_allclose(score_sizes(x, weight)[0], x[1::2].std(), rtol=0.01)


def test_large_scores_are_learned_by_longer_trainings() -> None:
    x = np.random.default_rng(1).normal(size=(500, 1))
    settings = TrainingSettings(n_epochs=50, batch_size=10, initial_lr=0.01, final_lr=0.01)
    assert data_warning("score", "sally", {"x": x, "t_xz": 20.0 * x}, settings, 500) == ""
    shorter = replace(settings, n_epochs=10)
    warning = data_warning("score", "sally", {"x": x, "t_xz": 20.0 * x}, shorter, 500)
    assert "sizes 18, but the weights of the network move by about 5 in all" in warning


def test_parameters_in_strange_units(caplog: pytest.LogCaptureFixture) -> None:
    sample = ratio_sample(500)
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        QuadraticMorphingAwareRatioEstimator().train("alice", **sample, **QUICK)
        assert not told(caplog)
        sample["theta"] *= 100.0
        QuadraticMorphingAwareRatioEstimator().train("alice", **sample, **QUICK)
    assert "The parameters reach 1e+02" in caplog.text


# What a training that learned nothing would have


def test_losses_of_trivial_answers() -> None:
    sample, rng = ratio_sample(4000), np.random.default_rng(2)
    x, scores = rng.normal(2.0, 3.0, (4000, 2)), rng.normal(5.0, [1.0, 2.0], (4000, 2))
    y, r = sample["y"], sample["r_xz"]
    batch = {
        name: torch.as_tensor(values)
        for name, values in {
            "y": y,
            "r_xz": r,
            "x": x,
            "t_xz": scores,
            "t_xz0": scores,
            "t_xz1": scores,
        }.items()
    }
    entropy = np.sum(np.log(2.0 * np.pi * np.e * x.var(axis=0))) / 2.0
    variance = np.mean(scores.var(axis=0))
    numerator, denominator = (np.mean(w[:, None] * scores**2) for w in (1.0 - y, y))
    for family, method, expected in (
        ("parameterized_ratio", "carl", math.log(2.0)),
        ("parameterized_ratio", "alice", math.log(2.0)),
        ("parameterized_ratio", "rolr", np.mean(np.where(y == 1, r - 1.0, 1.0 / r - 1.0) ** 2)),
        ("parameterized_ratio", "cascal", math.log(2.0) + 3.0 * numerator),
        ("double_parameterized_ratio", "alices", math.log(2.0) + 3.0 * (numerator + denominator)),
        ("score", "sally", variance),
        ("likelihood", "nde", entropy),
        ("likelihood", "scandal", entropy + 3.0 * variance),
    ):
        answer = trivial_answer(family, find_method(family, method), 3.0)
        assert answer.loss(batch).item() == pytest.approx(expected), method
        twice = {name: torch.cat((values, values + 10.0)) for name, values in batch.items()}
        weight = torch.cat((torch.full((4000,), 2.0), torch.zeros(4000))).double()
        weighted = answer.loss({**twice, "sample_weight": weight}).item()
        assert weighted == pytest.approx(expected), method


def test_a_training_that_diverged_names_both_losses(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    theta, y = rng.uniform(-1.0, 1.0, (1200, 1)), np.arange(1200) % 2
    x = rng.normal(np.where(y == 0, theta[:, 0], 0.0))
    r_xz = np.exp(x * theta[:, 0] - theta[:, 0] ** 2 / 2.0)
    sample = {"x": x, "y": y, "theta": theta, "r_xz": r_xz}
    settings: dict[str, Any] = {"n_epochs": 5, "batch_size": 64, "seed": 1, "verbose": "none"}
    estimator = ParameterizedRatioEstimator(n_hidden=(50, 50))
    with caplog.at_level(logging.WARNING):
        history = estimator.train("rolr", **sample, **settings, initial_lr=1.0, final_lr=1.0)
    (message,) = caplog.messages
    assert f"{history.validation_losses[history.best_epoch]:.5g}, is far above" in message
    assert "which r = 1 for every event would have" in message
    caplog.clear()
    settings = {"settings": "recommended", "seed": 1, "verbose": "none"}
    with caplog.at_level(logging.WARNING):
        ParameterizedRatioEstimator(n_hidden=(50, 50)).train("rolr", **sample, **settings)
        ScoreEstimator().train("sally", x, x, **settings)
        LikelihoodEstimator().train("nde", x, theta, **settings)
    assert not caplog.messages


@pytest.mark.parametrize(("n_distinct", "warns"), [(200, True), (1_000, False)])
def test_copies_in_the_validation_events(
    n_distinct: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand draws of 200 events; of discrete observables the joint score tells them apart."""
    rng = np.random.default_rng(1)
    chosen = rng.permutation(np.arange(1_000) % n_distinct)
    x, t_xz = rng.integers(5, size=(1_000, 1)).astype(float), rng.normal(size=(1_000, 1))
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.train("sally", x[chosen], t_xz[chosen], **QUICK)
    assert ("% of the events for validation are among those" in told(caplog)) == warns
    caplog.clear()
    estimator.train("sally", x, t_xz, x_val=x[:9], t_xz_val=t_xz[:9], **QUICK)
    assert "among those for training" not in told(caplog)
