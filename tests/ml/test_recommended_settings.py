"""Settings that depend on method and size of the sample; what is given wins."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    LikelihoodEstimator,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.ml.methods import FAMILIES
from madminer.ml.options import TrainingOptions, recommended_settings, training_options

ESTIMATORS = (
    DoubleParameterizedRatioEstimator,
    LikelihoodEstimator,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
METHODS = sorted({method for family in FAMILIES.values() for method in family.methods})
CHOSEN = ("n_epochs", "batch_size", "initial_lr", "final_lr", "scheduler")
X = np.random.default_rng(1).normal(size=(640, 2))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_is_the_last_keyword_and_changes_no_default(estimator: type) -> None:
    parameters = inspect.signature(estimator.train).parameters  # type: ignore[attr-defined]
    last = list(parameters.values())[-1]
    assert (last.name, last.kind, last.default) == ("settings", last.KEYWORD_ONLY, "default")
    documented = (50, 128, 0.001, 0.0001, "exponential")
    assert tuple(parameters[name].default for name in CHOSEN) == documented
    assert "settings: Values of" in (estimator.train.__doc__ or "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "n_events", "n_epochs", "batch_size", "initial_lr"),
    [
        ("sally", 75_000, 25, 512, 0.005),
        ("alices", 75_000, 16, 512, 0.01),
        ("alice", 75_000, 8, 512, 0.01),
        ("nde", 75_000, 10, 512, 0.01),
        ("sallino", 10_000, 25, 128, 0.005),
        ("carl", 10_000, 11, 128, 0.01),  # 800 steps of 128 events
        ("scandal", 10_000_000, 10, 512, 0.01),
        ("rolr", 1_500, 35, 64, 0.01),
        ("alice", 1, 50, 64, 0.01),
    ],
)
def test_by_method_and_size(
    method: str, n_events: int, n_epochs: int, batch_size: int, initial_lr: float
) -> None:
    found = recommended_settings(method, n_events)
    assert found == {
        "n_epochs": n_epochs,
        "batch_size": batch_size,
        "initial_lr": initial_lr,
        "final_lr": 0.0001,
        "scheduler": "one-cycle",
    }


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_valid_settings(method: str) -> None:
    """Larger samples have neither more epochs nor smaller batches."""
    sizes = [1, 10, 100, 1_000, 10_000, 100_000, 10**8]
    options = [TrainingOptions(**recommended_settings(method, n)) for n in sizes]
    epochs, batches = zip(*((o.n_epochs, o.batch_size) for o in options), strict=True)
    assert list(epochs) == sorted(epochs, reverse=True)
    assert list(batches) == sorted(batches)


def test_what_is_given_wins_even_if_it_is_the_default() -> None:
    everything: dict[str, Any] = {
        "n_epochs": 50,
        "batch_size": 128,
        "initial_lr": 0.001,
        "final_lr": 0.0001,
        "scheduler": "exponential",
    }
    recommended = recommended_settings("sally", len(X))
    for name, value in everything.items():
        options = training_options("sally", X, {"settings": "recommended", name: value})  # type: ignore[misc]
        expected = {**recommended, name: value}
        assert {chosen: getattr(options, chosen) for chosen in CHOSEN} == expected
    given = training_options("sally", X, {"settings": "recommended", "alpha": 3.0, "seed": 7})
    assert (given.alpha, given.seed, given.optimizer) == (3.0, 7, "amsgrad")


def test_default_settings_are_those_of_the_documented_interface() -> None:
    for options in (
        training_options("sally", X, {}),
        training_options("sally", X, {"settings": "default"}),
    ):
        found = tuple(getattr(options, name) for name in CHOSEN)
        assert found == (50, 128, 0.001, 0.0001, "exponential")


def test_the_sample_can_be_anything_that_train_takes(tmp_path: Path) -> None:
    large = np.zeros((10_000, 2))
    np.save(tmp_path / "x.npy", large)
    for x in (large, large.tolist(), str(tmp_path / "x.npy"), tmp_path / "x.npy", large[:, 0]):
        assert training_options("sally", x, {"settings": "recommended"}).batch_size == 128
    limited = training_options("sally", large, {"settings": "recommended", "limit_samplesize": 50})
    assert limited.batch_size == 64


def test_others_are_refused() -> None:
    with pytest.raises(OptionError, match="settings must be one of 'default', 'recommended', got"):
        ScoreEstimator().train("sally", X, X, settings="best")
    with pytest.raises(OptionError, match="n_epochs"):
        ScoreEstimator().train("sally", X, X, settings="recommended", n_epochs=0)


def test_estimators_and_ensembles_train_with_them() -> None:
    history = ScoreEstimator(n_hidden=(5,)).train(
        "sally", X, X, settings="recommended", seed=1, verbose="none"
    )
    recommended = recommended_settings("sally", len(X))
    assert history.n_epochs == recommended["n_epochs"] == 50
    same = ScoreEstimator(n_hidden=(5,)).train("sally", X, X, seed=1, verbose="none", **recommended)
    assert same.validation_losses == history.validation_losses
    ensemble = Ensemble([ScoreEstimator(n_hidden=(5,)) for _ in range(2)])
    settings: dict[str, Any] = {"settings": "recommended", "n_epochs": [2, 3], "verbose": "none"}
    losses = ensemble.train_all(method="sally", x=X, t_xz=X, seed=1, **settings)
    assert [len(train) for train, _ in losses] == [2, 3]


def test_they_learn_more_in_fewer_epochs() -> None:
    """A score that is not linear, seen with noise; errors are those of the exact score."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4_000, 3))
    exact = (x[:, 0] * x[:, 1])[:, np.newaxis]
    t_xz = exact + rng.normal(scale=0.3, size=exact.shape)
    errors, n_epochs = [], []
    for settings in ("default", "recommended"):
        estimator = ScoreEstimator()
        history = estimator.train("sally", x, t_xz, settings=settings, seed=1, verbose="none")
        errors.append(float(np.mean((estimator.evaluate_score(x) - exact) ** 2)))
        n_epochs.append(history.n_epochs)
    assert errors[1] < 0.5 * errors[0]
    assert n_epochs[1] < n_epochs[0]
