"""Neural density estimation: normalisation, truth, scores and ratios in units of the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal, norm

from madminer.errors import FileFormatError, NotTrainedError, OptionError, ShapeError, TrainingError
from madminer.ml import LikelihoodEstimator, load_estimator

SETTINGS: dict[str, Any] = {
    "n_epochs": 10,
    "batch_size": 256,
    "initial_lr": 0.01,
    "scheduler": "cosine",
    "seed": 1,
    "verbose": "none",
}
QUICK: dict[str, Any] = {**SETTINGS, "n_epochs": 1, "batch_size": 64}
THETAS = np.linspace(-0.9, 0.9, 7)[:, np.newaxis]
X = np.linspace(-4.0, 4.0, 41)[:, np.newaxis]


def toy_sample(n: int, seed: int, n_parameters: int = 1) -> dict[str, np.ndarray]:
    """The simulator of conftest at thetas uniform in [-1, 1]: x ~ N(theta, sqrt 5)."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1.0, 1.0, size=(n, n_parameters))
    z = rng.normal(theta, 2.0)
    return {"x": rng.normal(z, 1.0), "theta": theta, "t_xz": (z - theta) / 4.0}


def covariance(theta: np.ndarray) -> np.ndarray:
    correlation = 0.6 * theta[1]
    widths = np.array([np.exp(theta[0] / 2.0), 20.0])
    return np.outer(widths, widths) * np.array([[1.0, correlation], [correlation, 1.0]])


def correlated_log_density(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    mean = np.array([theta[0], 300.0])
    return np.asarray(multivariate_normal(mean, covariance(theta)).logpdf(x))


def correlated_sample(n: int, seed: int) -> dict[str, np.ndarray]:
    """Two observables of different sizes whose mean, width and correlation depend on theta."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1.0, 1.0, size=(n, 2))
    roots = np.stack([np.linalg.cholesky(covariance(point)) for point in theta])
    mean = np.stack([theta[:, 0], np.full(n, 300.0)], axis=1)
    return {"x": mean + (roots @ rng.normal(size=(n, 2, 1)))[..., 0], "theta": theta}


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def correlated() -> LikelihoodEstimator:
    estimator = LikelihoodEstimator(n_mades=2, n_hidden=(20,))
    estimator.train("nde", **correlated_sample(12_000, seed=1), **SETTINGS)
    return estimator


@pytest.mark.parametrize(
    ("method", "tolerances"), [("nde", (0.1, 0.22)), ("scandal", (0.05, 0.05))]
)
@pytest.mark.parametrize("settings", [{}, {"n_components": 2, "batch_norm": 0.1}], ids=str)
def test_toy_is_recovered(
    method: str,
    tolerances: tuple[float, float],
    settings: dict[str, Any],
    make_toy: Callable[[int], Any],
) -> None:
    sample = toy_sample(9_000, seed=0)
    if method == "nde":
        del sample["t_xz"]
    estimator = LikelihoodEstimator(n_mades=2, n_hidden=(20,), **settings)
    estimator.train(method, **sample, alpha=5.0, **SETTINGS)
    log_p, score = estimator.evaluate_log_likelihood(X, THETAS, evaluate_score=True)
    toy = make_toy(1)
    assert score is not None
    assert rms(log_p - norm(THETAS, np.sqrt(5.0)).logpdf(X.T)) < tolerances[0]
    assert rms(score - np.stack([toy.score(X, theta) for theta in THETAS])) < tolerances[1]
    log_r, _, _ = estimator.evaluate_log_likelihood_ratio(X, THETAS, [[0.0]], True)
    assert rms(log_r - toy.log_ratio(X, THETAS)) < tolerances[0]


def test_correlated_density_is_recovered(correlated: LikelihoodEstimator) -> None:
    sample = correlated_sample(1_000, seed=3)
    pairs = list(zip(sample["x"], sample["theta"], strict=True))
    truth = np.array([correlated_log_density(x, theta) for x, theta in pairs])
    log_p, _ = correlated.evaluate_log_likelihood(**sample, test_all_combinations=False)
    assert rms(log_p - truth) < 0.15
    assert abs(np.mean(truth - log_p)) < 0.02  # the Kullback-Leibler divergence
    reference = np.zeros((1, 2))
    log_r, _, _ = correlated.evaluate_log_likelihood_ratio(
        sample["x"], sample["theta"], reference, False
    )
    true_log_r = truth - correlated_log_density(sample["x"], reference[0])
    assert rms(log_r - true_log_r) < 0.25
    assert rms(true_log_r) > 1.0


def test_two_peaks_need_a_mixture() -> None:
    rng = np.random.default_rng(4)
    theta = rng.uniform(-1.0, 1.0, size=8_000)
    x = theta + rng.normal(np.where(rng.random(8_000) < 0.5, -4.0, 4.0), 0.5)
    losses = []
    for n_components in (1, 3):
        estimator = LikelihoodEstimator(n_components=n_components, n_mades=1, n_hidden=(20,))
        losses.append(estimator.train("nde", x, theta, **SETTINGS).validation_losses[-1])
    # the scaled observable; the entropy of a peak, and one bit for the choice
    best = norm(0.0, 0.5).entropy() + np.log(2.0) - np.log(x.std())
    assert losses[1] is not None
    assert losses[1] < best + 0.05
    assert losses[0] is not None
    assert losses[0] > best + 0.3


@pytest.mark.parametrize("method", ["nde", "scandal"])
@pytest.mark.parametrize("settings", [{}, {"n_components": 3, "batch_norm": 0.1}], ids=str)
def test_density_integrates_to_one_in_units_of_the_user(
    method: str, settings: dict[str, Any]
) -> None:
    sample = toy_sample(600, seed=5, n_parameters=2)
    if method == "nde":
        del sample["t_xz"]
    sample["x"] = np.array([50.0, 0.2]) * sample["x"] + np.array([300.0, 0.0])
    for features in ([0, 1], [1]):
        estimator = LikelihoodEstimator(features, n_mades=2, n_hidden=(8,), **settings)
        estimator.train(method, **sample, **QUICK)
        axes = [np.linspace(-1700.0, 2300.0, 301), np.linspace(-8.0, 8.0, 301)]
        axes = [axes[i] for i in features]
        x = np.full((301 ** len(features), 2), 7.0)
        x[:, features] = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(len(x), -1)
        log_p, _ = estimator.evaluate_log_likelihood(x, [[0.3, -0.8]])
        density = np.exp(log_p).reshape([301] * len(features))
        for axis in reversed(axes):
            density = trapezoid(density, axis, axis=-1)
        assert density == pytest.approx(1.0, abs=2e-3)


def test_scores_are_gradients_in_units_of_the_user() -> None:
    sample = toy_sample(500, seed=6, n_parameters=2)
    sample["theta"], sample["t_xz"] = 100.0 * sample["theta"], sample["t_xz"] / 100.0
    estimator = LikelihoodEstimator(n_mades=2, n_hidden=(8,), n_components=2)
    estimator.train("scandal", **sample, **QUICK, dtype="float64")
    x, thetas = sample["x"][:20], sample["theta"][:20]
    log_p, score = estimator.evaluate_log_likelihood(x, thetas, False, evaluate_score=True)
    assert score is not None
    for i, step in enumerate(0.01 * np.eye(2)):
        up, down = (estimator.evaluate(x, thetas + s * step, False)[0] for s in (1, -1))
        np.testing.assert_allclose(score[:, i], (up - down) / 0.02, rtol=1e-5, atol=1e-9)
    grid = estimator.evaluate_log_likelihood(x, thetas, evaluate_score=True)
    assert grid[1] is not None
    np.testing.assert_allclose(np.diagonal(grid[0]), log_p)
    np.testing.assert_allclose(grid[1][np.arange(20), np.arange(20)], score)
    assert estimator.evaluate(x, thetas)[1] is None


def test_ratios_are_differences(correlated: LikelihoodEstimator) -> None:
    x = correlated_sample(6, seed=7)["x"]
    theta0 = np.array([[0.1, 0.2], [-0.3, 0.5], [0.6, -0.6]])
    theta1 = np.array([[0.0, 0.0], [0.4, 0.4]])
    log_p0, scores0 = correlated.evaluate_log_likelihood(x, theta0, evaluate_score=True)
    log_p1, scores1 = correlated.evaluate_log_likelihood(x, theta1, evaluate_score=True)
    assert scores0 is not None
    assert scores1 is not None
    rows = [0, 1, 0]  # the shorter list starts again at its end
    log_r, t0, t1 = correlated.evaluate_log_likelihood_ratio(x, theta0, theta1, True, True)
    np.testing.assert_array_equal(log_r, log_p0 - log_p1[rows])
    np.testing.assert_array_equal(t0, scores0)
    np.testing.assert_array_equal(t1, scores1[rows])
    swapped, t1, t0 = correlated.evaluate_log_likelihood_ratio(x, theta1, theta0)
    np.testing.assert_allclose(swapped, -log_r, atol=1e-5)
    assert t0 is None
    assert t1 is None
    log_r, t0, t1 = correlated.evaluate_log_likelihood_ratio(
        x, np.tile(theta0, (2, 1)), theta1[:1], False, True
    )
    pairs = [0, 1, 2, 0, 1, 2], range(6)
    np.testing.assert_allclose(log_r, log_p0[pairs] - log_p1[0], atol=1e-5)
    np.testing.assert_allclose(t0, scores0[pairs], atol=1e-5)
    np.testing.assert_allclose(t1, scores1[0], atol=1e-5)
    with pytest.raises(ShapeError, match="one for each of the 6 observations; got 2"):
        correlated.evaluate_log_likelihood_ratio(x, theta0[:1], theta1, False)


def test_signed_weights_remove_a_contamination() -> None:
    """Events of weight -1 cancel those of weight 1 that are not of the toy."""
    sample, rng = toy_sample(8_000, seed=8), np.random.default_rng(9)
    theta = rng.uniform(-1.0, 1.0, size=(4_000, 1))
    x = np.concatenate((sample["x"], rng.normal(3.0, 1.0, size=(4_000, 1))))
    thetas = np.concatenate((sample["theta"], theta))
    weight = np.concatenate((np.ones(8_000), np.tile([1.0, -1.0], 2_000)))
    truth = norm(THETAS, np.sqrt(5.0)).logpdf(X.T)
    errors = {}
    for name, sample_weight in {"weighted": weight, "ignored": None}.items():
        estimator = LikelihoodEstimator(n_mades=2, n_hidden=(10,))
        estimator.train("nde", x, thetas, sample_weight=sample_weight, **SETTINGS)
        errors[name] = rms(estimator.evaluate_log_likelihood(X, THETAS)[0] - truth)
    assert errors["weighted"] < 0.15
    assert errors["ignored"] > 0.4


def test_shuffled_labels_teach_no_score() -> None:
    sample = toy_sample(2_000, seed=10)
    scores = []
    for shuffle_labels in (False, True):
        estimator = LikelihoodEstimator(n_mades=1, n_hidden=(10,))
        estimator.train("scandal", **sample, alpha=1e3, shuffle_labels=shuffle_labels, **SETTINGS)
        scores.append(estimator.evaluate_log_likelihood(X, THETAS, evaluate_score=True)[1])
    assert rms(scores[0]) > 0.4
    assert rms(scores[1]) < 0.1


def test_scandal_needs_joint_scores() -> None:
    sample = toy_sample(100, seed=11)
    with pytest.raises(TrainingError, match="'scandal' needs t_xz, which was not given"):
        LikelihoodEstimator().train("scandal", sample["x"], sample["theta"])
    with pytest.raises(OptionError, match="method must be one of 'nde', 'scandal', got 'alice'"):
        LikelihoodEstimator().train("alice", sample["x"], sample["theta"])


def test_settings_and_running_moments_are_saved(tmp_path: Path) -> None:
    sample = toy_sample(300, seed=12, n_parameters=2)
    estimator = LikelihoodEstimator([1, 0], 2, 3, (5,), "lrelu", 0.2)
    estimator.train("scandal", **sample, **QUICK)
    expected = estimator.evaluate(sample["x"], sample["theta"], False, True)
    estimator.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert isinstance(loaded, LikelihoodEstimator)
    assert (loaded.n_components, loaded.n_mades, loaded.batch_norm) == (2, 3, 0.2)
    assert (loaded.features, loaded.n_hidden, loaded.activation) == ([1, 0], (5,), "lrelu")
    np.testing.assert_equal(loaded.evaluate(sample["x"], sample["theta"], False, True), expected)


def test_files_of_the_old_program_are_refused(tmp_path: Path) -> None:
    estimator = LikelihoodEstimator(n_mades=1, n_hidden=(4,))
    sample = toy_sample(100, seed=13)
    estimator.train("nde", sample["x"], sample["theta"], **QUICK)
    estimator.save(tmp_path / "model")
    settings = tmp_path / "model_settings.json"
    settings.write_text(settings.read_text().replace('"format_version": 2', '"format_version": 0'))
    with pytest.raises(FileFormatError, match="Train the estimator again"):
        load_estimator(tmp_path / "model")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number from 1, got 0"),
        ({"n_mades": 2.5}, "n_mades must be a whole number from 1, got 2.5"),
        ({"n_mades": True}, "n_mades must be a whole number from 1, got True"),
        ({"batch_norm": 0.0}, "batch_norm must be a number above 0 to 1, got 0.0"),
        ({"batch_norm": 1.5}, "batch_norm must be a number above 0 to 1, got 1.5"),
        ({"batch_norm": True}, "batch_norm must be a number above 0 to 1, got True"),
        ({"n_hidden": (0,)}, r"n_hidden\[0\] must be a whole number from 1, got 0"),
        ({"activation": "nonsense"}, "activation must be one of"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LikelihoodEstimator(**settings)


def test_what_it_does_not_know(correlated: LikelihoodEstimator) -> None:
    with pytest.raises(NotImplementedError, match="with evaluate_score=True"):
        correlated.evaluate_score(X, [[0.0, 0.0]])
    with pytest.raises(NotImplementedError, match="no Fisher information"):
        correlated.calculate_fisher_information(X)
    with pytest.raises(NotTrainedError, match="call train or load first"):
        LikelihoodEstimator().evaluate_log_likelihood_ratio(X, [[0.0]], [[1.0]], True)
