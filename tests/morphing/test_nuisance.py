from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import SetupError, ShapeError
from madminer.models import NuisanceParameter
from madminer.morphing.nuisance import nuisance_response
from madminer.utils.morphing import NuisanceMorpher

PARAMETERS = {
    "both": NuisanceParameter("both", "scale", "b_up", "b_down"),
    "up": NuisanceParameter("up", "norm", "u_up"),
    "down": NuisanceParameter("down", "pdf", None, "d_down"),
}
NAMES = ["sm", "w", "b_up", "b_down", "u_up", "d_down"]


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 2.0, (40, len(NAMES)))


@pytest.fixture
def morpher() -> NuisanceMorpher:
    return NuisanceMorpher(PARAMETERS, NAMES, "sm")


def test_variations_are_met_exactly(morpher: NuisanceMorpher, weights: np.ndarray) -> None:
    for nu, column in [
        ([1, 0, 0], "b_up"),
        ([-1, 0, 0], "b_down"),
        ([0, 1, 0], "u_up"),
        ([0, 0, -1], "d_down"),
        ([0, 0, 0], "sm"),
    ]:
        factors = morpher.calculate_nuisance_factors(nu, weights)
        np.testing.assert_allclose(factors * weights[:, 0], weights[:, NAMES.index(column)])


def test_coefficients_are_those_of_the_definition(
    morpher: NuisanceMorpher, weights: np.ndarray
) -> None:
    a, b = morpher.calculate_a(weights), morpher.calculate_b(weights)
    sm, _, up, down, one, other = np.log(weights).T
    np.testing.assert_allclose(a, [(up - down) / 2, one - sm, sm - other])
    np.testing.assert_allclose(b, [(up + down) / 2 - sm, 0.0 * sm, 0.0 * sm], atol=1e-15)


@settings(max_examples=25, derandomize=True)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_gradients_are_numerical_derivatives(nu: list[float]) -> None:
    weights = np.random.default_rng(2).uniform(0.5, 2.0, (5, len(NAMES)))
    morpher, step = NuisanceMorpher(PARAMETERS, NAMES, "sm"), 1e-6
    gradients = morpher.calculate_nuisance_factor_gradients(nu, weights)
    logarithmic = morpher.calculate_log_nuisance_factor_gradients(nu, weights)
    factors = morpher.calculate_nuisance_factors(nu, weights)
    for j, shift in enumerate(step * np.eye(3)):
        raised = morpher.calculate_nuisance_factors(nu + shift, weights)
        lowered = morpher.calculate_nuisance_factors(nu - shift, weights)
        slope = (raised - lowered) / (2 * step)
        np.testing.assert_allclose(gradients[j], slope, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(logarithmic[j], slope / factors, rtol=1e-6, atol=1e-8)


def test_norm_systematics_are_powers() -> None:
    morpher = NuisanceMorpher({"lumi": PARAMETERS["up"]}, ["sm", "u_up"], "sm")
    weights = np.array([[2.0, 2.2], [-1.0, -1.1]])
    np.testing.assert_allclose(morpher.calculate_nuisance_factors([-2.5], weights), 1.1**-2.5)
    np.testing.assert_array_equal(morpher.calculate_nuisance_factors(None, weights), 1.0)


def test_undefined_and_clipped_responses_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    morpher = NuisanceMorpher({"lumi": PARAMETERS["up"]}, ["sm", "u_up"], "sm")
    weights = np.array([[1.0, -1.0], [0.0, 1.0], [1.0, 1e9], [1.0, 1.1]])
    with caplog.at_level(logging.WARNING):
        a = morpher.calculate_a(weights)
    np.testing.assert_allclose(a, [[0.0, 0.0, 10.0, np.log(1.1)]])
    assert "among 4 events, 2 have weights that are zero or change sign" in caplog.text
    assert "1 vary by more" in caplog.text


def test_weights_of_any_size_have_a_response() -> None:
    """Products of tiny weights must not underflow to an undefined response."""
    tiny = np.array([1e-200])
    response = nuisance_response(1.1 * tiny, 0.9 * tiny, tiny)
    np.testing.assert_allclose(response.a, 0.5 * np.log(1.1 / 0.9))
    np.testing.assert_allclose(response.b, 0.5 * np.log(1.1 * 0.9))


def test_bad_input_is_refused(morpher: NuisanceMorpher, weights: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"shape \(n, 6\)"):
        morpher.calculate_a(weights[:, :4])
    with pytest.raises(ShapeError, match=r"nu must be finite with the shape \(3,\)"):
        morpher.calculate_nuisance_factors([1.0], weights)
    with pytest.raises(ShapeError, match="nu must be finite"):
        morpher.calculate_nuisance_factors([1.0, np.nan, 0.0], weights)
    with pytest.raises(SetupError, match=r"needs weights at nu = \+1 or -1"):
        NuisanceMorpher({"x": NuisanceParameter("x", "norm")}, NAMES, "sm")
    with pytest.raises(SetupError, match="b_up"):
        NuisanceMorpher(PARAMETERS, NAMES[:2], "sm")
    with pytest.raises(SetupError, match="needs a name"):
        NuisanceParameter("", "norm")
    with pytest.raises(SetupError, match="got neither"):
        nuisance_response(None, None, np.ones(2))
