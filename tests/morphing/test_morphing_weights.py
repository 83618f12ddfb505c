"""Laws of morphing weights, for random numbers of parameters and powers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import ShapeError
from madminer.morphing import (
    monomial_gradients,
    monomials,
    morphing_components,
    morphing_matrix,
    morphing_weight_gradients,
    morphing_weights,
    optimize_basis,
)
from madminer.typing import FloatArray, IntArray

Problem = tuple[IntArray, FloatArray, FloatArray, np.random.Generator]


@st.composite
def problems(draw: Any) -> Problem:
    """Components, basis and matrix of a random morphing problem, and random numbers."""
    n_parameters = draw(st.integers(1, 3))
    max_powers = draw(st.lists(st.integers(1, 4), min_size=n_parameters, max_size=n_parameters))
    components = morphing_components(max_powers, draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    basis = optimize_basis(components, [(-1.0, 1.5)] * n_parameters, n_trials=10, seed=rng)
    return components, basis, morphing_matrix(basis, components), rng


def slow_weights(theta: Any, components: IntArray, matrix: FloatArray) -> Any:
    """The definition, with loops; takes complex theta."""
    weights = [0.0] * matrix.shape[1]
    for c, powers in enumerate(components):
        monomial = 1.0
        for value, power in zip(theta, powers, strict=True):
            monomial = monomial * value ** int(power)
        for b in range(matrix.shape[1]):
            weights[b] = weights[b] + matrix[c, b] * monomial
    return np.array(weights)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_weights_sum_to_one(problem: Problem) -> None:
    components, _, matrix, rng = problem
    thetas = rng.uniform(-1.0, 1.5, size=(20, components.shape[1]))
    weights = morphing_weights(thetas, components, matrix)
    scale = np.abs(weights).sum(axis=-1)
    np.testing.assert_array_less(np.abs(weights.sum(axis=-1) - 1.0), 1e-9 * scale)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_benchmarks_reproduce_themselves(problem: Problem) -> None:
    components, basis, matrix, _ = problem
    weights = morphing_weights(basis, components, matrix)
    np.testing.assert_allclose(weights, np.eye(len(basis)), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_every_polynomial_is_morphed_exactly(problem: Problem) -> None:
    components, basis, matrix, rng = problem
    coefficients = rng.normal(size=len(components))
    thetas = rng.uniform(-1.0, 1.5, size=(20, components.shape[1]))
    at_basis = monomials(basis, components) @ coefficients
    weights = morphing_weights(thetas, components, matrix)
    expected = monomials(thetas, components) @ coefficients
    error = np.abs(weights @ at_basis - expected)
    np.testing.assert_array_less(error, 1e-8 * (np.abs(weights) @ np.abs(at_basis)) + 1e-10)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_fast_formulae_agree_with_slow_ones(problem: Problem) -> None:
    components, _, matrix, rng = problem
    theta = rng.uniform(-1.0, 1.5, size=components.shape[1])
    weights = morphing_weights(theta, components, matrix)
    np.testing.assert_allclose(
        weights, slow_weights(theta, components, matrix), rtol=1e-9, atol=1e-9
    )
    step = 1e-30  # derivatives along the imaginary axis have no rounding error
    gradients = morphing_weight_gradients(theta, components, matrix)
    for i in range(components.shape[1]):
        shifted = theta.astype(complex)
        shifted[i] += 1j * step
        expected = np.imag(slow_weights(shifted, components, matrix)) / step
        np.testing.assert_allclose(gradients[i], expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_gradients_agree_with_finite_differences(problem: Problem) -> None:
    components, _, _, rng = problem
    theta, step = rng.uniform(-1.0, 1.5, size=components.shape[1]), 1e-6
    gradients = monomial_gradients(theta, components)
    for i, shift in enumerate(step * np.eye(len(theta))):
        change = monomials(theta + shift, components) - monomials(theta - shift, components)
        np.testing.assert_allclose(gradients[i], change / (2 * step), rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(problems())
def test_gradients_agree_with_autograd(problem: Problem) -> None:
    components, _, matrix, rng = problem
    theta = torch.tensor(rng.uniform(-1.0, 1.5, size=components.shape[1]), requires_grad=True)

    def weights(point: torch.Tensor) -> torch.Tensor:
        return torch.prod(point ** torch.tensor(components), dim=-1) @ torch.tensor(matrix)

    expected = torch.autograd.functional.jacobian(weights, theta).T  # (b, p) to (p, b)
    gradients = morphing_weight_gradients(theta.detach().numpy(), components, matrix)
    np.testing.assert_allclose(gradients, expected, rtol=1e-9, atol=1e-9)


def test_gradients_at_zero_are_finite() -> None:
    components = morphing_components([2, 2], 2)
    gradients = monomial_gradients([0.0, 0.0], components)
    np.testing.assert_array_equal(gradients, [[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]])


def test_leading_axes_are_kept() -> None:
    components = morphing_components([2, 2], 2)
    thetas = np.zeros((4, 3, 2))
    assert monomials(thetas, components).shape == (4, 3, 6)
    assert monomial_gradients(thetas, components).shape == (4, 3, 2, 6)


@pytest.mark.parametrize("theta", [1.0, [1.0], [[1.0, 2.0, 3.0]]])
def test_wrong_number_of_parameters_is_refused(theta: Any) -> None:
    with pytest.raises(ShapeError, match="must have 2 parameters"):
        monomials(theta, morphing_components([2, 2], 2))
