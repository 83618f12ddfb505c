from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import DataError, OptionError, ShapeError
from madminer.fisherinformation import profile_information
from madminer.stats import (
    cell_information,
    cell_information_covariance,
    event_information,
    event_information_covariance,
    profile_matrix,
    profiled,
)
from madminer.stats.information import (
    as_components,
    as_covariance,
    as_information,
    as_semidefinite,
    transform_covariance,
)

seeds = st.integers(0, 2**32 - 1)
L = 3.0


def random_cells(
    seed: int, n: int = 5, m: int = 3, b: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of weights of cells, and the linear forms of their rates and gradients."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 2.0, (n, b)), rng.uniform(0.1, 1.0, b), rng.normal(size=(m, b))


@given(seeds)
def test_cells_equal_plain_loops(seed: int) -> None:
    sums, W, D = random_cells(seed)
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(5, 4, 4))
    V = half @ np.swapaxes(half, 1, 2)
    sigma, gradient = sums @ W, sums @ D.T
    information, covariance = np.zeros((3, 3)), np.zeros((3, 3, 3, 3))
    for k in range(5):
        J = np.zeros((3, 3, 4))
        for i in range(3):
            for j in range(3):
                information[i, j] += L * gradient[k, i] * gradient[k, j] / sigma[k]
                J[i, j] = L * (
                    (D[i] * gradient[k, j] + D[j] * gradient[k, i]) / sigma[k]
                    - W * gradient[k, i] * gradient[k, j] / sigma[k] ** 2
                )
        covariance += np.einsum("ijb,bc,klc->ijkl", J, V[k], J)
    np.testing.assert_allclose(cell_information(sigma, gradient, L).sum(axis=0), information)
    result = cell_information_covariance(sigma, gradient, W, D, V, L)
    np.testing.assert_allclose(result, covariance, rtol=1e-9, atol=1e-9)


@given(seeds)
def test_jacobian_is_the_numerical_derivative(seed: int) -> None:
    sums, W, D = random_cells(seed, n=1)
    V = np.zeros((1, 4, 4))
    V[0, 2, 2] = 1.0  # only the weight of column 2 varies, by one: Cov = (dI / dw_2)^2
    covariance = cell_information_covariance(sums @ W, sums @ D.T, W, D, V, L)
    step = np.array([0.0, 0.0, 1e-6, 0.0])
    up, down = (cell_information((sums + s) @ W, (sums + s) @ D.T, L)[0] for s in (step, -step))
    slope = (up - down) / 2e-6
    np.testing.assert_allclose(
        covariance, np.einsum("ij,kl->ijkl", slope, slope), rtol=1e-5, atol=1e-6
    )


@given(seeds)
def test_events_are_cells_of_their_own(seed: int) -> None:
    sums, W, D = random_cells(seed, n=20)
    sigma, gradient = sums @ W, sums @ D.T
    V = sums[:, :, np.newaxis] * sums[:, np.newaxis, :]
    np.testing.assert_allclose(
        event_information(sigma, gradient, L), cell_information(sigma, gradient, L).sum(axis=0)
    )
    np.testing.assert_allclose(
        event_information_covariance(sigma, gradient, L),
        cell_information_covariance(sigma, gradient, W, D, V, L),
        rtol=1e-9,
        atol=1e-9,
    )


@given(seeds)
def test_merging_cells_loses_information(seed: int) -> None:
    sums, W, D = random_cells(seed, n=8)
    fine = cell_information(sums @ W, sums @ D.T, L).sum(axis=0)
    merged = sums.reshape(4, 2, -1).sum(axis=1)
    coarse = cell_information(merged @ W, merged @ D.T, L).sum(axis=0)
    assert np.linalg.eigvalsh(fine - coarse).min() > -1e-9 * np.trace(fine)


def test_covariance_agrees_with_poisson_toys() -> None:
    rng = np.random.default_rng(11)
    weights, W, D = random_cells(4, n=4000)
    D = D + 2.0  # gradients far from zero, where first order suffices
    cells = rng.integers(0, 4, 4000)

    def moments(factors: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.bincount(cells, weights[:, b] * factors, minlength=4) for b in range(4)], axis=1
        )

    one = np.ones(4000)
    sums = moments(one)
    V = np.stack([weights[cells == k].T @ weights[cells == k] for k in range(4)])
    expected = cell_information_covariance(sums @ W, sums @ D.T, W, D, V, L)
    toys = []
    for _ in range(1500):
        toy = moments(rng.poisson(1.0, 4000))
        toys.append(cell_information(toy @ W, toy @ D.T, L).sum(axis=0).ravel())
    spread = np.cov(np.array(toys), rowvar=False).reshape(3, 3, 3, 3)
    scale = np.sqrt(np.einsum("ijij->ij", expected))
    difference = (spread - expected) / np.einsum("ij,kl->ijkl", scale, scale)
    assert np.abs(difference).max() < 0.15  # toys know variances to sqrt(2 / 1500) = 3.7 %


def test_empty_cells_give_nothing() -> None:
    sigma, gradient = np.array([0.0, 1.0]), np.array([[0.0], [2.0]])
    assert event_information(sigma, gradient, 1.0) == pytest.approx(4.0)
    V = np.zeros((2, 1, 1))
    covariance = cell_information_covariance(sigma, gradient, np.ones(1), np.ones((1, 1)), V, 1.0)
    assert covariance == pytest.approx(0.0)


@given(seeds)
def test_profiling_is_the_inverse_of_a_block_of_the_inverse(seed: int) -> None:
    half = np.random.default_rng(seed).normal(size=(5, 9))
    information = half @ half.T
    kept = [3, 0]
    block = np.linalg.inv(information)[np.ix_(kept, kept)]
    np.testing.assert_allclose(profiled(information, kept), np.linalg.inv(block), rtol=1e-6)
    assert profile_matrix(information, range(5)) == pytest.approx(np.eye(5))


@given(seeds)
def test_covariance_of_profiled_is_linear_propagation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    half, change = rng.normal(size=(4, 12)), rng.normal(size=(4, 4))
    information, change = half @ half.T, change + change.T
    covariance = np.einsum("ij,kl->ijkl", change, change)  # one random number times `change`
    result = transform_covariance(covariance, profile_matrix(information, [0, 2]))
    eps = 1e-6
    slope = (
        profiled(information + eps * change, [0, 2]) - profiled(information - eps * change, [0, 2])
    ) / (2 * eps)
    expected = np.einsum("ij,kl->ijkl", slope, slope)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_refused() -> None:
    with pytest.raises(ShapeError, match="cross sections"):
        cell_information(np.ones(3), np.ones((2, 2)), 1.0)
    with pytest.raises(ShapeError, match="products"):
        cell_information_covariance(
            np.ones(2), np.ones((2, 1)), np.ones(3), np.ones((1, 3)), np.ones((2, 2, 2)), 1.0
        )
    with pytest.raises(DataError, match=r"profiled parameters \[1, 2\] is singular"):
        profiled(np.diag([1.0, 1.0, 0.0]), [0])
    with pytest.raises(DataError, match="singular"):
        profiled(np.array([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]]), [0])
    with pytest.raises(ShapeError, match=r"shape \(n, n\)"):
        as_information(np.ones((2, 3)))
    with pytest.raises(DataError, match="not symmetric"):
        as_information([[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(DataError, match="not finite"):
        as_information([[np.nan]])
    with pytest.raises(ShapeError, match="covariance"):
        as_covariance(np.ones((2, 2)), 2)
    for indefinite in (
        [[1.0, 2.0], [2.0, 1.0]],
        [[1.0, 0.0], [0.0, -1e-9]],
        [[1.0, 1.0], [1.0, 0]],
    ):
        with pytest.raises(DataError, match="not positive semidefinite"):
            as_semidefinite(indefinite)
        with pytest.raises(DataError, match="not positive semidefinite"):
            profile_information(indefinite, [0])
    mask: tuple[Any, ...] = ([True, False], np.array([False, True]), [0.7], ["a", "b"], 0)
    for components in ([], [0, 0], [2], [-1], *mask):
        with pytest.raises(OptionError, match=r"from 0 to 1|must be a list"):
            as_components(components, 2)


@given(st.integers(0, 1000))
def test_sums_of_products_of_scores_are_semidefinite(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(int(rng.integers(1, 6)), 4)) * [1e-8, 1.0, 1e5, 0.0]
    as_semidefinite(scores.T @ scores)


def test_tiny_units_do_not_make_a_block_singular() -> None:
    information = np.array([[1.0, 1e-9, 0.0], [1e-9, 1e-16, 0.0], [0.0, 0.0, 1e6]])
    assert profiled(information, [0]) == pytest.approx(0.99)
