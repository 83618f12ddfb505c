"""Models that MadMiner 0.9.6 trained and saved, see ``tests/data/make_models_096.py``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from madminer import ml
from madminer.ml import load_estimator

MODELS = Path(__file__).parents[1] / "data" / "models_096"

# Networks are evaluated in single precision, with other orders of summation than in 0.9.6.
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


@pytest.fixture(scope="module")
def expected() -> Mapping[str, np.ndarray]:
    with np.load(MODELS / "expected.npz") as file:
        return dict(file)


def test_score_of_two_features(expected: Mapping[str, np.ndarray]) -> None:
    estimator = load_estimator(MODELS / "score")
    assert isinstance(estimator, ml.ScoreEstimator)
    assert (estimator.features, estimator.n_hidden) == ([0, 2], (5, 4))
    np.testing.assert_allclose(estimator.evaluate_score(expected["x"]), expected["score"], **CLOSE)


@pytest.mark.parametrize("mode", ["keep", "profile", "project"])
def test_scores_with_nuisance_parameters(expected: Mapping[str, np.ndarray], mode: str) -> None:
    scores = load_estimator(MODELS / "nuisance").evaluate_score(expected["x"], nuisance_mode=mode)
    np.testing.assert_allclose(scores, expected[f"nuisance_{mode}"], **CLOSE)


def test_ratio_in_all_combinations(expected: Mapping[str, np.ndarray]) -> None:
    estimator = load_estimator(MODELS / "ratio")
    assert isinstance(estimator, ml.ParameterizedRatioEstimator)
    log_r, score = estimator.evaluate_log_likelihood_ratio(expected["x"], expected["theta"])
    np.testing.assert_allclose(log_r, expected["ratio"], **CLOSE)
    assert score is None


def test_ratio_and_score_in_pairs(expected: Mapping[str, np.ndarray]) -> None:
    log_r, score = load_estimator(MODELS / "ratio").evaluate_log_likelihood_ratio(
        expected["x"],
        expected["theta_of_event"],
        test_all_combinations=False,
        evaluate_score=True,
    )
    np.testing.assert_allclose(log_r, expected["ratio_pairs"], **CLOSE)
    np.testing.assert_allclose(score, expected["ratio_scores"], **CLOSE)


def test_double_ratio_whose_sigmoid_was_relu(expected: Mapping[str, np.ndarray]) -> None:
    estimator = load_estimator(MODELS / "double")
    assert isinstance(estimator, ml.DoubleParameterizedRatioEstimator)
    assert estimator.activation == "relu"
    x, theta0, theta1 = (expected[name] for name in ("x", "theta0", "theta1"))
    log_r = estimator.evaluate_log_likelihood_ratio(x, theta0, theta1)[0]
    np.testing.assert_allclose(log_r, expected["double"], **CLOSE)
    swapped = estimator.evaluate_log_likelihood_ratio(x, theta1, theta0)[0]
    np.testing.assert_allclose(swapped, -expected["double"], **CLOSE)


def test_ensemble(expected: Mapping[str, np.ndarray]) -> None:
    ensemble = load_estimator(MODELS / "ensemble")
    assert isinstance(ensemble, ml.Ensemble)
    x, members = expected["x"], expected["ensemble_members"]
    assert len(ensemble.estimators) == len(members)
    for estimator, scores in zip(ensemble.estimators, members, strict=True):
        np.testing.assert_allclose(estimator.evaluate_score(x), scores, **CLOSE)
    mean, _ = ensemble.evaluate_score(x=x)
    np.testing.assert_allclose(mean, expected["ensemble"], **CLOSE)
