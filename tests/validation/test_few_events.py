"""Validations that cannot tell say so: nothing to compare with, few events, heavy events."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import EvidenceError, OptionError
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.validation import ValidationEvents, validate


@pytest.fixture(scope="module")
def score():
    x = np.random.default_rng(1).normal(size=(5_000, 1))
    estimator = ScoreEstimator(n_hidden=(10,))
    estimator.train("sally", x, x, n_epochs=20, batch_size=64, theta_ref=[0.0], seed=1)
    return estimator


@pytest.fixture(scope="module")
def ratio():
    rng = np.random.default_rng(2)
    x = np.vstack([rng.normal(0.5, 1.0, (2_000, 1)), rng.normal(size=(2_000, 1))])
    estimator = ParameterizedRatioEstimator(n_hidden=(10,))
    y = np.repeat([0.0, 1.0], 2_000)
    theta = rng.uniform(0.3, 0.7, (4_000, 1))
    estimator.train("carl", x, y, theta, n_epochs=3, seed=1)
    return estimator


@pytest.mark.parametrize("t_xz", [None, "zero"])
def test_a_score_without_joint_scores_is_not_validated(score, t_xz):
    x = np.random.default_rng(3).normal(size=(2_000, 1))
    t = None if t_xz is None else np.zeros_like(x)
    result = validate(score, ValidationEvents(x, np.zeros(1), t_xz=t))
    assert not result.passed
    assert result["joint scores"].verdict == "undecided"
    with pytest.raises(EvidenceError, match="joint scores"):
        result.require()


def test_a_ratio_without_points_is_not_validated(ratio):
    x = np.random.default_rng(4).normal(size=(2_000, 1))
    result = validate(ratio, ValidationEvents(x, np.zeros(1), t_xz=x), classifier=False)
    assert result["joint ratios"].verdict == "undecided"
    assert not result.passed


@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_few_events_fail_no_good_network(score, n):
    for seed in range(10):
        x = np.random.default_rng([5, seed]).normal(size=(n, 1))
        result = validate(score, ValidationEvents(x, np.zeros(1), t_xz=x))
        assert not result.failed, (seed, str(result))
        assert not result.passed


def test_a_few_heavy_events_beside_many_light_ones(score):
    """Bins in which by chance there is no heavy event have errors that are far too small."""
    for seed in range(10):
        rng = np.random.default_rng([6, seed])
        heavy = rng.normal(size=(8, 1))
        x = np.vstack([rng.normal(size=(1_400, 1)), heavy])
        # heavy events are background, which pulls the mean joint score of x
        t = np.vstack([x[:1_400] + 0.7, heavy - 0.9])
        weights = np.concatenate([np.ones(1_400), np.full(8, 136.0)])
        result = validate(score, ValidationEvents(x, np.zeros(1), weights, t_xz=t))
        assert result.n_effective < 50.0
        assert not result.failed
        assert not result.passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": None}, "reference must be"),
        ({"train": np.zeros((3, 1))}, "train must be"),
        ({"observables": ("a", "a")}, "different names"),
        ({"theta": np.zeros((1, 1)), "r_xz": np.ones((1, 9))}, "must differ from the reference"),
    ],
)
def test_events_that_cannot_be_used_are_refused(change, message):
    x = np.zeros((9, 2))
    given = {"x": x, "reference": np.zeros(1), **change}
    with pytest.raises(OptionError, match=message):
        ValidationEvents(**given)
