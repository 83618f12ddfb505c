from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest

from madminer.errors import DataError
from madminer.ml import (
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.ml.doubts import doubts

QUICK: dict[str, Any] = {"n_epochs": 1, "verbose": "none", "seed": 1}


def ratio_sample(n: int = 3000, share: float = 0.5) -> dict[str, np.ndarray]:
    """p(x|theta) = N(theta, 1), the reference is 0."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(-1.0, 1.0, n)
    y = rng.permutation(np.arange(n) < share * n).astype(float)
    x = rng.normal(np.where(y == 0.0, theta, 0.0))
    return {"x": x, "y": y, "theta": theta, "r_xz": np.exp(theta * x - theta**2 / 2.0)}


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


def test_weights_that_balance_the_classes_are_no_doubt() -> None:
    sample = ratio_sample(share=0.25)
    weight = np.where(sample["y"] == 1.0, 3.0, 1.0)
    assert doubts("parameterized_ratio", "carl", {**sample, "sample_weight": weight}) == []


@pytest.mark.parametrize(("unit", "warns"), [(1.0, False), (1e-3, True), (1e3, True)])
def test_scores_in_strange_units(
    unit: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    x = np.random.default_rng(1).normal(size=(500, 2))
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        ScoreEstimator().train("sally", x, x * [1.0, unit], **QUICK)
    assert ("learns numbers of order one" in caplog.text) == warns


def test_parameters_in_strange_units(caplog: pytest.LogCaptureFixture) -> None:
    sample = ratio_sample(500)
    with caplog.at_level(logging.WARNING, logger="madminer.ml"):
        QuadraticMorphingAwareRatioEstimator().train("alice", **sample, **QUICK)
        assert not caplog.text
        sample["theta"] *= 100.0
        QuadraticMorphingAwareRatioEstimator().train("alice", **sample, **QUICK)
    assert "The parameters reach 1e+02" in caplog.text
