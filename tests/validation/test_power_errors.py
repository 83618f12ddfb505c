"""Errors of the power claimed count what fluctuates: events, and the norm of their ratios."""

from __future__ import annotations

import numpy as np
import pytest

from madminer import strict
from madminer.validation.ratios import RatioEvidence, classifier_check, ratio_checks

THETA, HIDDEN = 0.3, 0.1
N = 2_000


def evidence(rng: np.random.Generator, is_own_norm: bool) -> RatioEvidence:
    """Events at 0 of a Gaussian with mean theta and a latent variable that nobody sees."""
    x, z = rng.normal(size=(2, N))
    log_r = x * THETA - 0.5 * THETA**2
    joint = np.exp(log_r + z * HIDDEN - 0.5 * HIDDEN**2)
    if is_own_norm:  # as of weights, whose cross sections are sums over the same events
        joint /= joint.mean()
    weights = np.full(N, 1.0 / N)
    return RatioEvidence(
        x[:, np.newaxis], log_r[np.newaxis], joint[np.newaxis], weights, ["x"], ["theta"]
    )


@pytest.mark.parametrize("is_own_norm", [True, False])
@pytest.mark.parametrize("name", ["power claimed", "power and truth"])
def test_stated_errors_are_the_scatter(name: str, is_own_norm: bool) -> None:
    rng = np.random.default_rng(8)
    found = []
    for _ in range(200):
        checks = {check.name: check for check in ratio_checks(evidence(rng, is_own_norm), None)}
        found.append((checks[name].value, checks[name].error))
    values, errors = np.array(found).T
    expected = {"power claimed": 0.0, "power and truth": -0.1}[name]  # a tenth of it is in z
    assert values.mean() == pytest.approx(expected, abs=4.0 * values.std() / np.sqrt(200) + 0.01)
    assert values.std() / errors.mean() == pytest.approx(1.0, abs=0.2)


def test_a_classifier_that_learns_nothing_is_no_weakness() -> None:
    with strict():
        check = classifier_check(evidence(np.random.default_rng(2), True), 0)
    assert check.passed
