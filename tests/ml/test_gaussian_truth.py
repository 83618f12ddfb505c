"""Every method recovers the closed form of the Gaussian simulator in conftest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
)

SETTINGS: dict[str, Any] = {
    "n_epochs": 10,
    "batch_size": 256,
    "initial_lr": 0.01,
    "scheduler": "cosine",
    "seed": 1,
    "verbose": "none",
}
X = np.linspace(-4.0, 4.0, 41)[:, np.newaxis]
THETAS = np.linspace(-0.9, 0.9, 7)[:, np.newaxis]

# Largest accepted root mean square of log r_hat - log r and of the score's error, where log r has
# an rms of 0.3 and the score one of 0.5; CARL learns from labels only and is noisier.
TOLERANCES = {
    "alice": (0.05, 0.2),
    "alices": (0.03, 0.06),
    "carl": (0.15, 0.45),
    "cascal": (0.06, 0.06),
    "rascal": (0.04, 0.06),
    "rolr": (0.06, 0.25),
}


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("method", TOLERANCES)
def test_ratio_methods(method: str, make_toy: Any) -> None:
    toy = make_toy(1)
    estimator = ParameterizedRatioEstimator(n_hidden=(20, 20))
    estimator.train(method, **toy.ratio_sample(12_000, seed=0), alpha=5.0, **SETTINGS)
    log_r, score = estimator.evaluate_log_likelihood_ratio(X, THETAS, evaluate_score=True)
    true_score = np.stack([toy.score(X, theta) for theta in THETAS])
    assert score is not None
    assert rms(log_r - toy.log_ratio(X, THETAS)) < TOLERANCES[method][0]
    assert rms(score - true_score) < TOLERANCES[method][1]


# Antisymmetry halves what must be learned; log r has an rms of 0.3 here too.
DOUBLE_TOLERANCES = {
    "alice": (0.04, 0.12),
    "alices": (0.02, 0.04),
    "carl": (0.15, 0.45),
    "cascal": (0.02, 0.04),
    "rascal": (0.03, 0.05),
    "rolr": (0.05, 0.15),
}


@pytest.mark.parametrize("method", DOUBLE_TOLERANCES)
def test_double_ratio_methods(method: str, make_toy: Any) -> None:
    toy = make_toy(1)
    estimator = DoubleParameterizedRatioEstimator(n_hidden=(20, 20))
    estimator.train(method, **toy.double_ratio_sample(12_000, seed=0), alpha=5.0, **SETTINGS)
    theta0, theta1 = np.random.default_rng(2).uniform(-0.9, 0.9, size=(2, 20, 1))
    log_r, score0, score1 = estimator.evaluate_log_likelihood_ratio(
        X, theta0, theta1, evaluate_score=True
    )
    assert score0 is not None
    assert score1 is not None
    truth = toy.log_ratio(X, theta0) - toy.log_ratio(X, theta1)
    assert rms(log_r - truth) < DOUBLE_TOLERANCES[method][0]
    for score, thetas in ((score0, theta0), (score1, theta1)):
        true_score = np.stack([toy.score(X, theta) for theta in thetas])
        assert rms(score - true_score) < DOUBLE_TOLERANCES[method][1]


def test_sally(make_toy: Any) -> None:
    toy = make_toy(1)
    estimator = ScoreEstimator(n_hidden=(20,))
    history = estimator.train("sally", **toy.score_sample(12_000, seed=0), **SETTINGS)
    assert rms(estimator.evaluate_score(X) - toy.score(X, np.zeros(1))) < 0.03
    # The joint score scatters around the score by E[Var(z|x)] / 4^2 = (4/5) / 16.
    assert history.validation_losses[history.best_epoch] == pytest.approx(0.05, rel=0.1)
    x = toy.score_sample(20_000, seed=1)["x"]
    information = estimator.calculate_fisher_information(x, n_events=10)
    assert information[0, 0] == pytest.approx(10 / 5, rel=0.05)


def test_alices_beats_carl_at_equal_data(make_toy: Any) -> None:
    toy = make_toy(2)
    sample = toy.ratio_sample(6_000, seed=3)
    rng = np.random.default_rng(4)
    x, thetas = rng.normal(scale=np.sqrt(5.0), size=(500, 2)), rng.uniform(-1, 1, size=(10, 2))
    errors = {}
    for method in ("carl", "alices"):
        estimator = ParameterizedRatioEstimator(n_hidden=(20, 20))
        estimator.train(method, **sample, alpha=5.0, **SETTINGS)
        log_r, _ = estimator.evaluate_log_likelihood_ratio(x, thetas)
        errors[method] = rms(log_r - toy.log_ratio(x, thetas))
    assert errors["alices"] < errors["carl"] / 2


def test_signed_weights_remove_a_contamination(make_toy: Any) -> None:
    """Events of weight -1 cancel what is drawn too often: SALLY finds the score without it."""
    toy, rng = make_toy(1), np.random.default_rng(5)
    sample = toy.score_sample(12_000, seed=6)
    z = rng.normal(3.0, 1.0, size=(8_000, 1))
    wrong = {"x": rng.normal(z, 1.0), "t_xz": 5.0 + 0.0 * z}
    x, t_xz = (np.concatenate((sample[name], wrong[name])) for name in ("x", "t_xz"))
    half = np.tile([1.0, -1.0], 4_000)  # an independent half of the contamination each
    weight = np.concatenate((np.ones(12_000), half))
    errors = {}
    for name, sample_weight in {"weighted": weight, "ignored": None}.items():
        estimator = ScoreEstimator(n_hidden=(20,))
        estimator.train("sally", x, t_xz, sample_weight=sample_weight, **SETTINGS)
        errors[name] = rms(estimator.evaluate_score(X) - toy.score(X, np.zeros(1)))
    assert errors["weighted"] < 0.2
    assert errors["ignored"] > 1.0


@pytest.mark.parametrize("method", ["alices", "carl"])
def test_shuffled_labels_give_ratios_near_one(method: str, make_toy: Any) -> None:
    estimator = ParameterizedRatioEstimator(n_hidden=(20, 20))
    sample = make_toy(1).ratio_sample(6_000, seed=7)
    estimator.train(method, **sample, shuffle_labels=True, **SETTINGS)
    log_r, _ = estimator.evaluate_log_likelihood_ratio(X[10:31], THETAS)
    assert rms(log_r) < 0.1


def test_shuffled_labels_give_scores_near_zero(make_toy: Any) -> None:
    estimator = ScoreEstimator(n_hidden=(20,))
    estimator.train(
        "sally", **make_toy(1).score_sample(6_000, seed=8), shuffle_labels=True, **SETTINGS
    )
    assert rms(estimator.evaluate_score(X[10:31])) < 0.1


def test_scores_have_user_units(make_toy: Any) -> None:
    """In units of theta that are 100 times smaller, scores are 100 times smaller."""
    sample = make_toy(1).ratio_sample(2_000, seed=9)
    scaled = {**sample, "theta": 100.0 * sample["theta"], "t_xz": sample["t_xz"] / 100.0}
    scores = []
    for data, unit in ((sample, 1.0), (scaled, 100.0)):
        estimator = ParameterizedRatioEstimator(n_hidden=(10,))
        estimator.train("alices", **data, n_epochs=2, seed=1, dtype="float64")
        scores.append(unit * estimator.evaluate_score(X, unit * 0.3 * np.ones(1)))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
