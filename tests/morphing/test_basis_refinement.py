"""The proper optimiser of a morphing basis, and its worst case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import OptionError
from madminer.models import AnalysisParameter, Benchmark
from madminer.morphing import (
    PhysicsMorpher,
    largest_squared_weights,
    monomials,
    morphing_components,
    morphing_matrix,
    optimize_basis,
)
from madminer.morphing.basis import _repulsion, mean_squared_weights, refine_basis, squared_weights
from madminer.typing import FloatArray, IntArray

COMPONENTS = morphing_components([2, 2], 2)
RANGES = np.array([(-20.0, 20.0), (-1e-3, 3e-3)])
FIXED = [[0.0, 0.0], [15.2, 1e-4]]


def mean_at(thetas: FloatArray, basis: FloatArray, components: IntArray, n_bases: int = 1) -> float:
    matrix = morphing_matrix(basis, components, n_bases)
    return float(squared_weights(thetas, components, matrix).mean())


def first_test_thetas(ranges: FloatArray, n: int, seed: int) -> FloatArray:
    """The test points that `optimize_basis` draws first of all."""
    low, high = ranges.T
    return np.random.default_rng(seed).uniform(low, high, size=(n, len(ranges)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 100))
def test_scipy_is_never_worse_than_the_same_draws(p: int, power: int, n: int, seed: int) -> None:
    components = morphing_components([power] * p, power)
    ranges = np.array([(-1.0, 2.0), (-3e4, 1e4), (1.0, 1.5)])[:p]
    fixed = ranges.mean(axis=1)[np.newaxis]
    options: dict[str, Any] = {"n_bases": n, "n_trials": 10, "n_test_thetas": 20, "seed": seed}
    bases = [
        optimize_basis(components, ranges, fixed, optimizer=optimizer, **options)
        for optimizer in ("random", "scipy")
    ]
    thetas = first_test_thetas(ranges, 20, seed)
    random, scipy = (mean_at(thetas, basis, components, n) for basis in bases)
    assert scipy <= random * (1 + 1e-12)
    np.testing.assert_array_equal(bases[1][0], fixed[0])
    assert np.all((bases[1] >= ranges[:, 0]) & (bases[1] <= ranges[:, 1]))


def test_scipy_finds_the_known_optimum_of_a_line() -> None:
    """Without a constant, w = a theta: W = theta / theta_b is least for theta_b at the end."""
    basis = optimize_basis(np.array([[1]]), [(0.0, 3.0)], seed=1, optimizer="scipy")
    np.testing.assert_allclose(basis, [[3.0]])


def test_test_points_without_weights_are_no_problem() -> None:
    basis = optimize_basis(
        np.array([[0, 1], [1, 1]]), [(-1.0, 1.0), (1.0, 1.0)], seed=1, optimizer="scipy"
    )
    assert np.isfinite(basis).all()
    thetas = np.zeros((5, 1))
    start = np.array([[0.5]])
    end = refine_basis(start, 0, np.array([[1]]), np.array([[-1.0, 1.0]]), thetas, start[:0])
    assert np.isfinite(end).all()


def test_scipy_is_much_better_in_the_mean_and_in_the_worst_case() -> None:
    bases = {
        optimizer: optimize_basis(COMPONENTS, RANGES, FIXED, seed=2, optimizer=optimizer)
        for optimizer in ("random", "scipy")
    }
    thetas = first_test_thetas(RANGES, 2000, seed=3)
    means = {key: mean_at(thetas, basis, COMPONENTS) for key, basis in bases.items()}
    worst = {
        key: largest_squared_weights(COMPONENTS, morphing_matrix(basis, COMPONENTS), RANGES)[0]
        for key, basis in bases.items()
    }
    assert means["scipy"] < 0.8 * means["random"]
    assert worst["scipy"] < 0.8 * worst["random"]


def test_same_seed_gives_the_same_refined_basis() -> None:
    first = optimize_basis(COMPONENTS, RANGES, seed=4, optimizer="scipy")
    np.testing.assert_array_equal(
        first, optimize_basis(COMPONENTS, RANGES, seed=4, optimizer="scipy")
    )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_several_bases_do_not_repeat_benchmarks(p: int) -> None:
    """Each alone would end in the same optimum, and the average of equal bases is no gain."""
    components = morphing_components([2] * p, 2)
    basis = optimize_basis(
        components, [(-1.0, 1.0)] * p, n_bases=2, n_trials=50, seed=1, optimizer="scipy"
    )
    first, second = np.split(basis, 2)
    assert np.linalg.norm(first[:, np.newaxis] - second, axis=-1).min() > 0.05


def test_repulsion_has_the_right_gradient() -> None:
    rng = np.random.default_rng(2)
    positions, obstacles, step = rng.uniform(size=(3, 2)), rng.uniform(size=(40, 2)), 1e-6
    gradient = _repulsion(positions, obstacles)[1]
    for index in np.ndindex(3, 2):
        shift = np.zeros((3, 2))
        shift[index] = step
        change = _repulsion(positions + shift, obstacles)[0]
        change -= _repulsion(positions - shift, obstacles)[0]
        assert gradient[index] == pytest.approx(change / (2 * step), abs=1e-6)


def test_benchmarks_outside_the_ranges_stay() -> None:
    fixed = [[0.0, 0.0], [300.0, 0.5]]
    basis = optimize_basis(COMPONENTS, RANGES, fixed, seed=5, n_trials=5, optimizer="scipy")
    np.testing.assert_array_equal(basis[:2], fixed)


def test_a_range_without_width_is_kept() -> None:
    components = morphing_components([2, 0], 2)
    basis = optimize_basis(components, [(-1.0, 1.0), (5.0, 5.0)], seed=6, optimizer="scipy")
    np.testing.assert_array_equal(basis[:, 1], 5.0)


def test_mean_and_gradient_agree_with_the_definition() -> None:
    rng = np.random.default_rng(7)
    components = morphing_components([3, 2], 3)
    basis = rng.uniform(-1.0, 1.0, size=(len(components), 2))
    thetas = rng.uniform(-1.0, 1.0, size=(50, 2))
    values = monomials(thetas, components)
    products = values.T @ values / len(thetas)
    mean, gradient = mean_squared_weights(basis, components, products)
    assert mean == pytest.approx(mean_at(thetas, basis, components), rel=1e-8)
    step = 1e-6
    for index in np.ndindex(*basis.shape):
        shift = np.zeros_like(basis)
        shift[index] = step
        change = mean_at(thetas, basis + shift, components) - mean_at(
            thetas, basis - shift, components
        )
        expected = change / (2 * step)
        scale = np.abs(gradient).max()
        assert gradient[index] == pytest.approx(expected, rel=1e-4, abs=1e-6 * scale)


def test_refinement_leaves_singular_starts_where_they_are() -> None:
    basis = np.zeros((6, 2))
    thetas = first_test_thetas(RANGES, 20, seed=8)
    np.testing.assert_array_equal(
        refine_basis(basis, 0, COMPONENTS, RANGES, thetas, basis[:0]), basis
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 100))
def test_worst_case_is_above_all_points_of_a_grid(p: int, power: int, seed: int) -> None:
    components = morphing_components([power] * p, power)
    ranges = np.array([(-1.0, 1.0), (0.0, 3.0), (-2.0, 0.5)])[:p]
    basis = optimize_basis(components, ranges, n_trials=5, seed=seed)
    matrix = morphing_matrix(basis, components)
    worst, theta = largest_squared_weights(components, matrix, ranges)
    axes = np.meshgrid(*(np.linspace(low, high, 21) for low, high in ranges))
    grid = np.stack([axis.ravel() for axis in axes], axis=-1)
    assert worst >= squared_weights(grid, components, matrix).max() * (1 - 1e-9)
    assert worst == pytest.approx(squared_weights(theta[np.newaxis], components, matrix)[0])
    assert np.all((theta >= ranges[:, 0]) & (theta <= ranges[:, 1]))


def test_worst_case_of_a_morpher_is_inside_its_range() -> None:
    """Inside too: W_b of the basis -1, 0, 1 is one there, and dips between."""
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(-1.0, 1.0)])
    morpher.find_components(2)
    morpher.set_basis(basis_numpy=[[-1.0], [0.0], [1.0]])
    worst, theta = morpher.worst_case()
    assert worst == pytest.approx(1.0)
    assert min(abs(theta[0] - b) for b in (-1.0, 0.0, 1.0)) < 1e-6


def test_morpher_hands_the_optimizer_on() -> None:
    parameters = {name: AnalysisParameter(name, "dim6", i) for i, name in enumerate(("a", "b"))}
    morpher = PhysicsMorpher(parameters)
    morpher.find_components(2)
    sm = {"sm": Benchmark("sm", {"a": 0.0, "b": 0.0})}
    scores = []
    for optimizer in ("random", "scipy"):
        basis = morpher.optimize_basis(
            benchmarks_from_madminer=sm,
            seed=9,
            optimizer=optimizer,  # type: ignore[arg-type]
        )
        assert isinstance(basis, dict)
        assert basis["sm"] == {"a": 0.0, "b": 0.0}
        scores.append(morpher.evaluate_morphing(seed=10))
    assert scores[1] > scores[0]


def test_unknown_optimizers_are_refused() -> None:
    with pytest.raises(OptionError, match="'random' or 'scipy', got 'annealing'"):
        optimize_basis(COMPONENTS, RANGES, optimizer="annealing")  # type: ignore[arg-type]
