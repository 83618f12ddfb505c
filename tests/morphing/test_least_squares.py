"""Least squares with more benchmarks than components: laws, toys and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from madminer.errors import (
    DataError,
    MorphingError,
    NotAvailableError,
    OptionError,
    ShapeError,
)
from madminer.morphing import (
    fit_components,
    least_squares_matrix,
    monomials,
    morphing_components,
    morphing_matrix,
)
from madminer.typing import FloatArray

COMPONENTS = morphing_components([2, 2], 2)
RNG = np.random.default_rng(1)
BASIS = RNG.uniform(-1.0, 1.0, size=(9, 2)) * [1.0, 1e3]
TRUTH = np.array([1.0, 2e-4, 3e-6, 0.5, 1e-3, 0.7])
VALUES = monomials(BASIS, COMPONENTS) @ TRUTH
UNCERTAINTIES = RNG.uniform(0.01, 0.2, size=9)
THETAS = RNG.uniform(-1.0, 1.0, size=(20, 2)) * [1.0, 1e3]


def covariance_matrix(seed: int = 2, n: int = 9) -> FloatArray:
    root = np.random.default_rng(seed).normal(size=(n, n))
    return 0.01 * (root @ root.T + 0.1 * np.eye(n))


COVARIANCE = covariance_matrix()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 5), st.integers(0, 1000))
def test_every_left_inverse_morphs_exactly(p: int, power: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    components = morphing_components([power] * p, power)
    n = len(components) + more
    basis = rng.normal(size=(n, p))
    for errors in (
        {},
        {"uncertainties": rng.uniform(0.1, 1.0, size=n)},
        {"covariance": covariance_matrix(seed, n)},
    ):
        matrix = least_squares_matrix(basis, components, **errors)
        assert matrix.shape == (len(components), n)
        factors = monomials(basis, components)
        rounding = np.abs(matrix) @ np.abs(factors)
        deviation = np.abs(matrix @ factors - np.eye(len(components)))
        assert np.all(deviation <= 1e-8 * rounding)


def test_matrix_is_the_textbook_formula() -> None:
    factors = monomials(BASIS * [1.0, 1e-3], COMPONENTS)
    inverse = np.linalg.inv(COVARIANCE)
    expected = np.linalg.inv(factors.T @ inverse @ factors) @ factors.T @ inverse
    matrix = least_squares_matrix(BASIS * [1.0, 1e-3], COMPONENTS, covariance=COVARIANCE)
    np.testing.assert_allclose(matrix, expected, rtol=1e-8, atol=1e-10)


def test_uncertainties_are_a_diagonal_covariance() -> None:
    np.testing.assert_allclose(
        least_squares_matrix(BASIS, COMPONENTS, uncertainties=UNCERTAINTIES),
        least_squares_matrix(BASIS, COMPONENTS, covariance=np.diag(UNCERTAINTIES**2)),
        rtol=1e-9,
        atol=1e-14,
    )


def test_equal_errors_of_any_size_are_no_errors() -> None:
    np.testing.assert_allclose(
        least_squares_matrix(BASIS, COMPONENTS, uncertainties=np.full(9, 1e-7)),
        least_squares_matrix(BASIS, COMPONENTS),
        rtol=1e-9,
        atol=1e-14,
    )


def test_as_many_benchmarks_as_components_leave_no_choice() -> None:
    np.testing.assert_allclose(
        least_squares_matrix(BASIS[:6], COMPONENTS, covariance=COVARIANCE[:6, :6]),
        morphing_matrix(BASIS[:6], COMPONENTS),
        rtol=1e-7,
        atol=1e-12,
    )


def test_fit_of_a_polynomial_is_exact() -> None:
    for errors in ({}, {"uncertainties": UNCERTAINTIES}, {"covariance": COVARIANCE}):
        fit = fit_components(BASIS, COMPONENTS, VALUES, **errors)  # type: ignore[arg-type]
        np.testing.assert_allclose(fit.coefficients, TRUTH, rtol=1e-8)
        np.testing.assert_allclose(fit.predict(THETAS), monomials(THETAS, COMPONENTS) @ TRUTH)
        assert fit.n_degrees_of_freedom == 3


def test_fit_agrees_with_curve_fitting_of_scipy() -> None:
    from scipy.optimize import curve_fit

    components, basis = np.array([[0], [1], [2]]), np.linspace(-1.0, 1.0, 7)
    values = 1.0 + basis + np.random.default_rng(3).normal(size=7)
    errors = np.linspace(0.5, 2.0, 7)
    best, covariance = curve_fit(
        lambda x, a, b, c: a + b * x + c * x**2, basis, values, sigma=errors, absolute_sigma=True
    )
    fit = fit_components(basis[:, np.newaxis], components, values, uncertainties=errors)
    np.testing.assert_allclose(fit.coefficients, best, rtol=1e-5)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-5, atol=1e-7)
    best, covariance = curve_fit(lambda x, a, b, c: a + b * x + c * x**2, basis, values)
    fit = fit_components(basis[:, np.newaxis], components, values)
    np.testing.assert_allclose(fit.coefficients, best, rtol=1e-5)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["uncertainties", "covariance"])
def test_toys(kind: str) -> None:
    """Unbiased, covariance as stated, chi squared with its distribution."""
    n_toys = 20_000
    covariance = np.diag(UNCERTAINTIES**2) if kind == "uncertainties" else COVARIANCE
    errors: dict[str, Any] = {kind: UNCERTAINTIES if kind == "uncertainties" else COVARIANCE}
    toys = np.random.default_rng(4).multivariate_normal(VALUES, covariance, size=n_toys)
    fit = fit_components(BASIS, COMPONENTS, toys, **errors)
    assert fit.covariance is not None
    assert fit.chi2 is not None
    stated = fit.covariance[0]
    sizes = np.sqrt(np.diagonal(stated))
    pulls = (fit.coefficients.mean(axis=0) - TRUTH) / sizes * np.sqrt(n_toys)
    assert np.abs(pulls).max() < 4.0
    seen = np.cov(fit.coefficients.T)
    np.testing.assert_allclose(
        seen / np.outer(sizes, sizes), stated / np.outer(sizes, sizes), atol=0.04
    )
    assert stats.kstest(fit.chi2, stats.chi2(3).cdf).pvalue > 0.01
    np.testing.assert_allclose(fit.p_value, stats.chi2(3).sf(fit.chi2))
    spread = np.std(fit.predict(THETAS), axis=0)
    np.testing.assert_allclose(spread, fit.standard_errors(THETAS)[0], rtol=0.03)


def test_toys_with_errors_from_residuals() -> None:
    n_toys = 20_000
    toys = np.random.default_rng(5).normal(VALUES, 0.1, size=(n_toys, 9))
    fit = fit_components(BASIS, COMPONENTS, toys)
    assert fit.chi2 is None
    assert fit.covariance is not None
    np.testing.assert_allclose(
        np.mean(fit.covariance, axis=0),
        fit_components(BASIS, COMPONENTS, VALUES, uncertainties=np.full(9, 0.1)).covariance,
        rtol=0.05,
    )
    pulls = (fit.predict(THETAS[:1]) - monomials(THETAS[:1], COMPONENTS) @ TRUTH)[:, 0]
    pulls = pulls / fit.standard_errors(THETAS[:1])[:, 0]
    assert stats.kstest(pulls, stats.t(3).cdf).pvalue > 0.01
    with pytest.raises(NotAvailableError, match="needs uncertainties"):
        _ = fit.p_value


def test_least_squares_have_the_smallest_errors() -> None:
    """The theorem of Gauss, Markov and Aitken, against other left inverses."""
    factors = monomials(THETAS, COMPONENTS)
    best = fit_components(BASIS, COMPONENTS, VALUES, covariance=COVARIANCE).standard_errors(THETAS)
    for matrix in (
        least_squares_matrix(BASIS, COMPONENTS),
        np.hstack([morphing_matrix(BASIS[:6], COMPONENTS), np.zeros((6, 3))]),
    ):
        weights = factors @ matrix
        others = np.sqrt(np.einsum("tb,bd,td->t", weights, COVARIANCE, weights))
        assert np.all(best <= others * (1 + 1e-9))


def test_leading_axes_may_have_errors_of_their_own() -> None:
    values = np.stack([VALUES, 2.0 * VALUES + UNCERTAINTIES])
    errors = np.stack([UNCERTAINTIES, np.full(9, 0.3)])
    fit = fit_components(BASIS, COMPONENTS, values, uncertainties=errors)
    for i in range(2):
        single = fit_components(BASIS, COMPONENTS, values[i], uncertainties=errors[i])
        np.testing.assert_allclose(fit.coefficients[i], single.coefficients, rtol=1e-7)
        np.testing.assert_allclose(
            fit.standard_errors(THETAS)[i], single.standard_errors(THETAS), rtol=1e-7
        )
        assert fit.chi2 is not None
        assert fit.chi2[i] == pytest.approx(single.chi2, abs=1e-9)


def test_weights_of_events() -> None:
    """Per-event polynomials with rounded weights: residuals tell how much is lost."""
    coefficients = np.random.default_rng(6).uniform(0.5, 1.0, size=(500, 6)) * TRUTH
    weights = coefficients @ monomials(BASIS, COMPONENTS).T
    fit = fit_components(BASIS, COMPONENTS, np.round(weights, 6))
    np.testing.assert_allclose(fit.predict(BASIS), weights, atol=3e-6)
    assert fit.standard_errors(BASIS).shape == (500, 9)
    assert np.median(fit.standard_errors(BASIS)) < 1e-6


def test_nothing_is_known_about_errors_without_any() -> None:
    fit = fit_components(BASIS[:6], COMPONENTS, VALUES[:6])
    np.testing.assert_allclose(fit.coefficients, TRUTH, rtol=1e-7)
    assert fit.covariance is None
    with pytest.raises(NotAvailableError, match="nothing is known about errors"):
        fit.standard_errors(THETAS)
    fit = fit_components(BASIS[:6], COMPONENTS, VALUES[:6], uncertainties=UNCERTAINTIES[:6])
    np.testing.assert_allclose(fit.standard_errors(BASIS[:6]), UNCERTAINTIES[:6], rtol=1e-6)
    with pytest.raises(NotAvailableError, match="more benchmarks than"):
        _ = fit.p_value


@pytest.mark.parametrize(
    ("errors", "error", "message"),
    [
        ({"uncertainties": np.zeros(9)}, DataError, "positive and finite, got 0.0"),
        ({"uncertainties": np.full(9, np.nan)}, DataError, "positive and finite"),
        ({"uncertainties": np.ones(8)}, ShapeError, "each of 9 benchmarks"),
        ({"covariance": np.eye(8)}, ShapeError, r"shape \(9, 9\)"),
        ({"covariance": np.ones((9, 9))}, DataError, "positive definite"),
        ({"covariance": -np.eye(9)}, DataError, "positive definite"),
        ({"covariance": np.triu(np.ones((9, 9))) + 9 * np.eye(9)}, DataError, "symmetric"),
        ({"covariance": np.full((9, 9), np.inf)}, DataError, "finite"),
        ({"covariance": np.eye(9), "uncertainties": np.ones(9)}, OptionError, "not as both"),
    ],
)
def test_bad_errors_are_refused(
    errors: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_components(BASIS, COMPONENTS, VALUES, **errors)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ShapeError, match="each of 9 benchmarks"):
        fit_components(BASIS, COMPONENTS, VALUES[:6])
    with pytest.raises(DataError, match="must be finite"):
        fit_components(BASIS, COMPONENTS, np.full(9, np.nan))
    with pytest.raises(MorphingError, match="at least as many benchmarks, got 3"):
        fit_components(BASIS[:3], COMPONENTS, VALUES[:3])
    with pytest.raises(MorphingError, match="are not determined"):
        fit_components(np.zeros((9, 2)), COMPONENTS, VALUES)
