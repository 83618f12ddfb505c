"""Coefficients of the components as another form of weights: round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import ShapeError
from madminer.morphing import (
    benchmark_weights_from_coefficients,
    coefficients_from_benchmark_weights,
    fit_components,
    least_squares_matrix,
    monomials,
    morphing_components,
    morphing_matrix,
    morphing_weights,
)

COMPONENTS = morphing_components([2, 2], 2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 4), st.integers(0, 1000))
def test_round_trips(p: int, power: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    components = morphing_components([power] * p, power)
    thetas = rng.normal(size=(len(components) + more, p))
    matrix = least_squares_matrix(thetas, components)
    coefficients = rng.normal(size=(7, len(components)))
    weights = benchmark_weights_from_coefficients(coefficients, components, thetas)
    scale = np.abs(weights) @ np.abs(matrix).T
    back = coefficients_from_benchmark_weights(weights, matrix)
    assert np.all(np.abs(back - coefficients) <= 1e-9 * scale)
    again = benchmark_weights_from_coefficients(back, components, thetas)
    scale = scale @ np.abs(monomials(thetas, components)).T
    assert np.all(np.abs(again - weights) <= 1e-9 * scale)


def test_weights_are_the_polynomial() -> None:
    rng = np.random.default_rng(1)
    coefficients, thetas = rng.normal(size=(3, 6)), rng.normal(size=(8, 2))
    weights = benchmark_weights_from_coefficients(coefficients, COMPONENTS, thetas)
    for i, row in enumerate(coefficients):
        for b, (x, y) in enumerate(thetas):
            terms = (1.0, y, y**2, x, x * y, x**2)
            expected = sum(a * term for a, term in zip(row, terms, strict=True))
            assert weights[i, b] == pytest.approx(expected)


def test_they_agree_with_morphing_and_with_the_fit() -> None:
    rng = np.random.default_rng(2)
    basis, thetas = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    weights = rng.uniform(size=(5, 6))
    matrix = morphing_matrix(basis, COMPONENTS)
    coefficients = coefficients_from_benchmark_weights(weights, matrix)
    np.testing.assert_allclose(
        benchmark_weights_from_coefficients(coefficients, COMPONENTS, thetas),
        weights @ morphing_weights(thetas, COMPONENTS, matrix).T,
        rtol=1e-8,
        atol=1e-8,
    )
    fit = fit_components(basis, COMPONENTS, weights)
    np.testing.assert_allclose(coefficients, fit.coefficients, rtol=1e-7, atol=1e-9)


def test_single_events_are_taken() -> None:
    weights = benchmark_weights_from_coefficients(np.ones(6), COMPONENTS, [[1.0, 1.0]])
    np.testing.assert_array_equal(weights, [6.0])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"each of 6 components in their last axis; .*\(2, 5\)"):
        benchmark_weights_from_coefficients(np.ones((2, 5)), COMPONENTS, [[0.0, 0.0]])
    with pytest.raises(ShapeError, match="must have 2 parameters"):
        benchmark_weights_from_coefficients(np.ones((2, 6)), COMPONENTS, [[0.0]])
    with pytest.raises(ShapeError, match="each of 7 benchmarks of the basis"):
        coefficients_from_benchmark_weights(np.ones((2, 6)), np.ones((6, 7)))
    with pytest.raises(ShapeError, match="each of 6 benchmarks"):
        coefficients_from_benchmark_weights(1.0, np.eye(6))
