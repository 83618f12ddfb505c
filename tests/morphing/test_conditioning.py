"""Singular morphing bases, and what is said about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from madminer.errors import MorphingError
from madminer.morphing import least_squares_matrix, monomials, morphing_components, morphing_matrix
from madminer.morphing.basis import _costs, condition_numbers

COMPONENTS = morphing_components([2, 2], 2)
GOOD = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.2], [0.1, 1.0], [0.2, -1.0], [0.7, 0.8]])


def test_condition_number_ignores_units() -> None:
    factors = monomials(GOOD, COMPONENTS)
    expected = condition_numbers(factors)
    np.testing.assert_allclose(
        condition_numbers(monomials(GOOD * [1e6, 1e-6], COMPONENTS)), expected, rtol=1e-6
    )
    np.testing.assert_allclose(expected, np.linalg.cond(factors / np.abs(factors).max(axis=0)))


def test_singular_bases_have_no_finite_condition_number() -> None:
    assert condition_numbers(np.zeros((2, 2))) == np.inf
    assert np.isfinite(condition_numbers(monomials(GOOD, COMPONENTS)))


def message_of(basis: Any, components: Any = COMPONENTS, **options: Any) -> str:
    with pytest.raises(MorphingError) as caught:
        morphing_matrix(basis, components, **options)
    return str(caught.value)


def test_equal_benchmarks_are_named() -> None:
    basis = GOOD.copy()
    basis[4] = basis[1]
    message = message_of(basis)
    assert "depend on each other: number 1 at [1.0, 0.0], number 4 at [1.0, 0.0];" in message
    assert "number 2" not in message


def test_too_many_benchmarks_on_a_line_are_named() -> None:
    basis = GOOD.copy()
    basis[2] = [-1.0, 0.0]
    basis[5] = [0.3, 0.0]
    message = message_of(basis, names=["sm", "a", "b", "c", "d", "e"])
    named = "sm at [0.0, 0.0], a at [1.0, 0.0], b at [-1.0, 0.0], e at [0.3, 0.0];"
    assert named in message
    assert "c at" not in message


def test_undetermined_components_are_named() -> None:
    """With the second parameter at 0 or 1 only, its square is the same as itself."""
    basis = GOOD.copy()
    basis[:, 1] = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert "the powers [[0, 1], [0, 2]] are not determined" in message_of(basis)
    with pytest.raises(MorphingError, match=r"the powers \[\[0, 1\], \[0, 2\]\] are not") as caught:
        least_squares_matrix(np.vstack([basis, basis + np.array([0.3, 0.0])]), COMPONENTS)
    assert "depend on each other" not in str(caught.value)


def test_the_singular_one_of_several_bases_is_named() -> None:
    second = GOOD.copy()
    second[5] = second[3]
    message = message_of(np.vstack([GOOD, second]), n_bases=2)
    assert "number 9 at [0.1, 1.0], number 11 at [0.1, 1.0];" in message


def test_all_is_zero() -> None:
    assert "the powers [[1]] are not determined" in message_of([[0.0]], np.array([[1]]))


def test_singular_proposals_are_skipped() -> None:
    bases = np.stack([GOOD, np.zeros_like(GOOD), GOOD * 2.0])
    costs = _costs(bases, COMPONENTS, GOOD)
    np.testing.assert_array_equal(np.isfinite(costs), [True, False, True])
