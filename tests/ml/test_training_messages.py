"""One message for a training that went wrong, and its remedy helps."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import madminer
from madminer.errors import EvidenceError
from madminer.ml import (
    Ensemble,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.nn import TrainingHistory

QUIET: dict[str, Any] = {"verbose": "none", "seed": 1}
RECOMMENDED: dict[str, Any] = {**QUIET, "settings": "recommended"}


def ratio_sample(n: int = 4000, share: float = 0.5, size: float = 1.0) -> dict[str, np.ndarray]:
    """p(x|theta) = N(theta, 1), the reference is 0; log r = theta x - theta^2 / 2."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(-1.0, 1.0, n)
    y = rng.permutation(np.arange(n) < share * n).astype(float)
    x = rng.normal(np.where(y == 0.0, theta, 0.0))
    r_xz = np.exp(theta * x - theta**2 / 2.0)
    return {"x": x, "y": y, "theta": size * theta, "r_xz": r_xz}


def score_sample(n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """A score of two components that is not linear in three observables, with noise."""
    x = np.random.default_rng(1).normal(size=(n, 3))
    noise = np.random.default_rng(2).normal(scale=0.5, size=(n, 2))
    return x, np.column_stack([x[:, 0] * x[:, 1], np.abs(x[:, 2]) - 0.8]) + noise


def kept(history: TrainingHistory) -> float:
    loss = history.validation_losses[history.best_epoch]
    assert loss is not None
    return loss


def message(caplog: pytest.LogCaptureFixture) -> str:
    """The only one."""
    (text,) = caplog.messages
    caplog.clear()
    return text


@pytest.fixture(autouse=True)
def _warnings_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def test_too_few_epochs(caplog: pytest.LogCaptureFixture) -> None:
    x, t_xz = score_sample()
    short = ScoreEstimator().train("sally", x, t_xz, n_epochs=4, **QUIET)
    assert short.best_epoch == 3
    assert "still falling when the training ended after epoch 4" in message(caplog)
    recommended = ScoreEstimator().train("sally", x, t_xz, **RECOMMENDED)
    longer = ScoreEstimator().train("sally", x, t_xz, n_epochs=8, **QUIET)
    noise, everything = 0.25, float(np.mean(np.var(t_xz, axis=0)))
    learned = [(everything - kept(h)) / (everything - noise) for h in (short, longer, recommended)]
    assert learned[0] < learned[1] < 0.6  # better, not enough, and said again
    assert learned[2] > 0.8
    assert "after epoch 8" in message(caplog)


def test_a_network_that_learned_nothing(caplog: pytest.LogCaptureFixture) -> None:
    x, t_xz = score_sample(600)
    ScoreEstimator().train("sally", x, t_xz, n_epochs=1, initial_lr=1e-5, final_lr=1e-5, **QUIET)
    assert "which the mean score for every event would have: nothing was learned" in message(caplog)
    recommended = ScoreEstimator().train("sally", x, t_xz, **RECOMMENDED)
    assert "nothing was learned" not in caplog.text
    assert kept(recommended) < 0.8 * np.mean(np.var(t_xz, axis=0))


def test_a_training_that_diverged(caplog: pytest.LogCaptureFixture) -> None:
    sample, explosive = ratio_sample(), {"initial_lr": 1.0, "final_lr": 1.0}
    estimator = ParameterizedRatioEstimator(n_hidden=(50, 50))
    diverged = estimator.train("rolr", **sample, **QUIET, **explosive, n_epochs=5)
    assert "is far above" in message(caplog)
    recommended = ParameterizedRatioEstimator(n_hidden=(50, 50)).train(
        "rolr", **sample, **RECOMMENDED
    )
    assert not caplog.messages
    y, r_xz = sample["y"], sample["r_xz"]
    trivial = float(np.mean(np.where(y == 1.0, r_xz - 1.0, 1.0 / r_xz - 1.0) ** 2))
    assert kept(recommended) < 0.5 * trivial < trivial < kept(diverged)


@pytest.mark.parametrize("sizes", [(1.0, 1e-3), (1e-3, 1e-3), (30.0, 30.0)])
def test_scores_of_odd_sizes(sizes: tuple[float, float], caplog: pytest.LogCaptureFixture) -> None:
    """What scaling leaves unlearned of each component, as a part of its variance."""
    x, t_xz = score_sample()
    lost = []
    for keywords in ({}, {"scale_scores": True}):
        estimator = ScoreEstimator()
        estimator.train("sally", x, t_xz * sizes, **RECOMMENDED, **keywords)
        expected = np.column_stack([x[:, 0] * x[:, 1], np.abs(x[:, 2]) - 0.8])
        errors = np.mean((estimator.evaluate_score(x) / sizes - expected) ** 2, axis=0)
        lost.append(float(np.max(errors / np.var(expected, axis=0))))
        if not keywords:
            assert message(caplog).endswith("Train with scale_scores=True.")
    assert not caplog.messages
    assert lost[1] < 0.5 * lost[0]
    assert lost[1] < 0.3


def test_unbalanced_classes(caplog: pytest.LogCaptureFixture) -> None:
    sample = ratio_sample(8000, share=0.25)
    weight = np.where(sample["y"] == 1.0, 3.0, 1.0)
    log_r = np.log(sample.pop("r_xz"))
    biases = []
    for keywords in ({}, {"sample_weight": weight}):
        estimator = ParameterizedRatioEstimator()
        estimator.train("carl", **sample, **RECOMMENDED, **keywords)
        found, _ = estimator.evaluate_log_likelihood_ratio(
            sample["x"], sample["theta"], test_all_combinations=False
        )
        biases.append(float(np.mean(found - log_r)))
        if not keywords:
            assert "Balance the sample, or give the rarer class a higher" in message(caplog)
    assert "Balance" not in caplog.text
    assert biases[0] == pytest.approx(np.log(3.0), abs=0.2)
    assert biases[1] == pytest.approx(0.0, abs=0.2)


def test_parameters_in_strange_units(caplog: pytest.LogCaptureFixture) -> None:
    losses = []
    for size in (100.0, 1.0):
        estimator = QuadraticMorphingAwareRatioEstimator()
        losses.append(kept(estimator.train("alice", **ratio_sample(size=size), **RECOMMENDED)))
        if size == 100.0:
            assert message(caplog).endswith("Choose other units.")
    assert not caplog.messages
    assert losses[1] < np.log(2.0) - 0.02
    assert losses[1] < losses[0] - 0.02


def test_no_second_message_after_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """One epoch of scores in strange units has two causes and the first remedy."""
    x, t_xz = score_sample()
    ScoreEstimator().train("sally", x, 1e3 * t_xz, n_epochs=1, **QUIET)
    assert message(caplog).endswith("Train with scale_scores=True.")


def test_good_trainings_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    x, t_xz = score_sample()
    sample = ratio_sample()
    ScoreEstimator().train("sally", x, t_xz, **RECOMMENDED)
    ParameterizedRatioEstimator().train("alice", **sample, **RECOMMENDED)
    at_theta = sample["y"] == 0.0
    density = sample["x"][at_theta], sample["theta"][at_theta]
    LikelihoodEstimator(n_mades=2).train("nde", *density, **RECOMMENDED)
    ScoreEstimator().train("sally", x, t_xz, shuffle_labels=True, **RECOMMENDED)  # nothing to learn
    Ensemble([ScoreEstimator(), ScoreEstimator()]).train_all(
        method="sally", x=x, t_xz=t_xz, settings="recommended", verbose="none", seed=1
    )
    assert not caplog.messages


def test_strict_trainings_stop_and_keep_their_network() -> None:
    x, t_xz = score_sample(600)
    estimator = ScoreEstimator()
    with madminer.strict(), pytest.raises(EvidenceError, match="Train with settings="):
        estimator.train("sally", x, t_xz, n_epochs=1, **QUIET)
    assert estimator.is_trained
    untrained = ScoreEstimator()
    with madminer.strict(), pytest.raises(EvidenceError, match="scale_scores=True"):
        untrained.train("sally", x, 1e3 * t_xz, n_epochs=1, **QUIET)
    assert not untrained.is_trained  # said before the training
