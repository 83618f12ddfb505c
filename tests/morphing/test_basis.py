"""Morphing matrices and the choice of a basis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import MorphingError, OptionError, ShapeError
from madminer.morphing import (
    monomials,
    morphing_components,
    morphing_matrix,
    morphing_weights,
    optimize_basis,
)
from madminer.morphing.basis import squared_weights
from madminer.morphing.least_squares import least_squares_matrix

COMPONENTS = morphing_components([2, 2], 2)
RANGES = [(-20.0, 20.0), (-1.0, 3.0)]
FIXED = [[0.0, 0.0], [15.2, 0.1], [-15.4, 0.2]]


def test_matrix_and_components_of_madminer_0_9(shared: Path) -> None:
    # public.json was computed by MadMiner (repository head of June 2024)
    reference = json.loads((shared / "reference" / "public.json").read_text())
    basis = list(reference["benchmarks"].values())[:6]
    np.testing.assert_array_equal(COMPONENTS, reference["morphing_components"])
    np.testing.assert_allclose(
        morphing_matrix(basis, COMPONENTS), reference["morphing_matrix"], rtol=1e-6, atol=1e-14
    )


def test_average_of_bases_is_the_average_of_their_weights() -> None:
    basis = optimize_basis(COMPONENTS, RANGES, n_bases=2, n_trials=10, seed=1)
    joined = morphing_weights([3.0, 1.0], COMPONENTS, morphing_matrix(basis, COMPONENTS, 2))
    separate = [
        morphing_weights([3.0, 1.0], COMPONENTS, morphing_matrix(half, COMPONENTS))
        for half in (basis[:6], basis[6:])
    ]
    np.testing.assert_allclose(joined, np.concatenate(separate) / 2, rtol=1e-10)


def test_units_of_parameters_do_not_matter() -> None:
    basis = np.random.default_rng(2).uniform(-1.0, 1.0, size=(15, 2))
    components = morphing_components([4, 4], 4)
    matrix = morphing_matrix(basis * [1e-4, 1e5], components)  # plain inverses lose all digits
    np.testing.assert_allclose(
        morphing_weights([0.5e-4, 0.5e5], components, matrix),
        morphing_weights([0.5, 0.5], components, morphing_matrix(basis, components)),
        rtol=1e-6,
    )


def test_pseudo_inverse_is_the_inverse_for_equal_numbers() -> None:
    basis = optimize_basis(COMPONENTS, RANGES, seed=3)
    np.testing.assert_allclose(
        least_squares_matrix(basis, COMPONENTS), morphing_matrix(basis, COMPONENTS), atol=1e-9
    )


def test_pseudo_inverse_morphs_exactly_with_weights_of_least_norm() -> None:
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(9, 2))
    matrix = least_squares_matrix(basis, COMPONENTS)
    np.testing.assert_allclose(matrix @ monomials(basis, COMPONENTS), np.eye(6), atol=1e-10)
    other = np.hstack([morphing_matrix(basis[:6], COMPONENTS), np.zeros((6, 3))])
    thetas = rng.normal(size=(50, 2))
    best = squared_weights(thetas, COMPONENTS, matrix)
    assert np.all(best <= squared_weights(thetas, COMPONENTS, other) + 1e-9)


@pytest.mark.parametrize(
    "basis",
    [
        [[0.0, 0.0]] * 6,
        [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0]],
        [[0, 0], [1, 0], [0, 1], [1, 1], [1, 1 + 1e-14], [2, 0]],
    ],
)
def test_singular_basis_is_refused(basis: list[list[float]]) -> None:
    with pytest.raises(MorphingError, match=r"condition number is .*move or remove one"):
        morphing_matrix(basis, COMPONENTS)
    with pytest.raises(MorphingError, match="condition number is"):
        least_squares_matrix(basis, COMPONENTS)
    with pytest.raises(MorphingError, match="condition number is"):
        optimize_basis(COMPONENTS, RANGES, basis)


def test_wrong_number_of_benchmarks_is_refused() -> None:
    with pytest.raises(MorphingError, match="needs 6 benchmarks in the basis, got 3"):
        morphing_matrix(FIXED, COMPONENTS)
    with pytest.raises(MorphingError, match="at least as many benchmarks, got 3"):
        least_squares_matrix(FIXED, COMPONENTS)


def test_basis_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(n, 2\)"):
        morphing_matrix([[0.0], [1.0]], COMPONENTS)
    with pytest.raises(ShapeError, match="finite"):
        morphing_matrix([[np.nan, 0.0]] * 6, COMPONENTS)


def test_optimised_basis_keeps_benchmarks_and_ranges() -> None:
    basis = optimize_basis(COMPONENTS, RANGES, FIXED, seed=5)
    assert basis.shape == (6, 2)
    np.testing.assert_array_equal(basis[:3], FIXED)
    low, high = np.transpose(RANGES)
    assert np.all((basis[3:] >= low) & (basis[3:] <= high))


def test_same_seed_gives_the_same_basis() -> None:
    first = optimize_basis(COMPONENTS, RANGES, FIXED, seed=6)
    np.testing.assert_array_equal(first, optimize_basis(COMPONENTS, RANGES, FIXED, seed=6))
    assert not np.array_equal(first, optimize_basis(COMPONENTS, RANGES, FIXED, seed=7))


def test_best_of_all_draws_is_chosen() -> None:
    """The batched choice against a loop over the same random numbers."""
    n_trials, n_test = 120, 30
    rng = np.random.default_rng(8)
    low, high = np.transpose(RANGES)
    test_thetas = rng.uniform(low, high, size=(n_test, 2))
    draws = rng.uniform(low, high, size=(n_trials, 3, 2))
    bases = [np.concatenate([FIXED, draw]) for draw in draws]
    costs = [
        squared_weights(test_thetas, COMPONENTS, morphing_matrix(b, COMPONENTS)).mean()
        for b in bases
    ]
    chosen = optimize_basis(
        COMPONENTS, RANGES, FIXED, n_trials=n_trials, n_test_thetas=n_test, seed=8
    )
    np.testing.assert_array_equal(chosen, bases[int(np.argmin(costs))])


def test_each_of_several_bases_is_its_own_best_draw() -> None:
    """No combination of the draws of two bases is better than the one that is chosen."""
    n_trials, n_test = 6, 30
    rng = np.random.default_rng(14)
    low, high = np.transpose(RANGES)
    test_thetas = rng.uniform(low, high, size=(n_test, 2))
    draws = rng.uniform(low, high, size=(n_trials, 9, 2))  # 3 and 6 benchmarks
    costs = {
        (i, k): squared_weights(
            test_thetas,
            COMPONENTS,
            morphing_matrix(np.concatenate([FIXED, draws[i, :3], draws[k, 3:]]), COMPONENTS, 2),
        ).mean()
        for i in range(n_trials)
        for k in range(n_trials)
    }
    i, k = min(costs, key=lambda pair: float(costs[pair]))
    chosen = optimize_basis(
        COMPONENTS, RANGES, FIXED, n_bases=2, n_trials=n_trials, n_test_thetas=n_test, seed=14
    )
    np.testing.assert_array_equal(chosen, np.concatenate([FIXED, draws[i, :3], draws[k, 3:]]))


def test_more_given_benchmarks_than_one_basis_has() -> None:
    first = optimize_basis(COMPONENTS, RANGES, seed=15)
    given = np.concatenate([first, FIXED])
    for optimizer in ("random", "scipy"):
        basis = optimize_basis(
            COMPONENTS,
            RANGES,
            given,
            n_bases=2,
            seed=16,
            optimizer=optimizer,  # type: ignore[arg-type]
        )
        np.testing.assert_array_equal(basis[:9], given)
        assert basis.shape == (12, 2)


def test_more_trials_give_smaller_weights() -> None:
    def mean_size(n_trials: int) -> float:
        basis = optimize_basis(COMPONENTS, RANGES, n_trials=n_trials, seed=9)
        thetas = np.random.default_rng(10).uniform(*np.transpose(RANGES), size=(1000, 2))
        return float(squared_weights(thetas, COMPONENTS, morphing_matrix(basis, COMPONENTS)).mean())

    assert mean_size(200) < mean_size(1)


def test_complete_basis_is_returned_as_it_is() -> None:
    basis = optimize_basis(COMPONENTS, RANGES, seed=11)
    np.testing.assert_array_equal(optimize_basis(COMPONENTS, RANGES, basis, seed=12), basis)


def test_too_many_benchmarks_are_refused() -> None:
    with pytest.raises(MorphingError, match="6 benchmarks, but 9 are given"):
        optimize_basis(COMPONENTS, RANGES, FIXED * 3)


def test_dependent_benchmarks_are_refused() -> None:
    with pytest.raises(MorphingError, match="All of 20 drawn bases are singular together with"):
        optimize_basis(COMPONENTS, RANGES, [[1.0, 1.0]] * 2, n_trials=20, seed=13)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(OptionError, match="must be at least 1"):
        optimize_basis(COMPONENTS, RANGES, n_trials=0)
