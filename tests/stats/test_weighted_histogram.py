from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import DataError, OptionError, ShapeError
from madminer.stats import as_edges, bin_indices, binned_moments


@given(st.integers(0, 200), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_moments_equal_plain_loops(n: int, n_bins: int, n_columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, bins = rng.normal(size=(n, n_columns)), rng.integers(0, n_bins, n)
    moments = binned_moments(weights, bins, n_bins)
    sums, products = np.zeros((n_bins, n_columns)), np.zeros((n_bins, n_columns, n_columns))
    for w, k in zip(weights, bins, strict=True):
        sums[k] += w
        products[k] += np.outer(w, w)
    np.testing.assert_allclose(moments.sums, sums, atol=1e-12)
    np.testing.assert_allclose(moments.products, products, atol=1e-12)


def test_moments_of_parts_add_up() -> None:
    rng = np.random.default_rng(1)
    weights, bins = rng.normal(size=(1000, 3)), rng.integers(0, 300, 1000)
    whole = binned_moments(weights, bins, 300)
    parts = binned_moments(weights[:400], bins[:400], 300) + binned_moments(
        weights[400:], bins[400:], 300
    )
    np.testing.assert_allclose(whole.sums, parts.sums, atol=1e-12)
    np.testing.assert_allclose(whole.products, parts.products, atol=1e-12)


@given(st.lists(st.floats(-10, 10), max_size=50))
def test_bins_follow_their_definition(values: list[float]) -> None:
    edges = np.array([-5.0, 0.0, 0.5, 7.0])
    expected = [int(np.sum(value > edges)) for value in values]
    np.testing.assert_array_equal(bin_indices(values, edges), expected)


def test_infinite_values_fall_into_the_open_bins() -> None:
    np.testing.assert_array_equal(bin_indices([-np.inf, np.inf], [0.0, 1.0]), [0, 2])


def test_refused() -> None:
    with pytest.raises(DataError, match="2 of 3 values are not a number"):
        bin_indices([np.nan, 1.0, np.nan], [0.0])
    for edges in ([1.0, 1.0], [2.0, 1.0], [0.0, np.inf], [[0.0, 1.0]]):
        with pytest.raises(OptionError, match="strictly increasing"):
            as_edges(edges)
    with pytest.raises(ShapeError, match="Expected weights"):
        binned_moments(np.ones(3), np.zeros(3, dtype=int), 1)
    with pytest.raises(ShapeError, match="between 0 and 1, got 0 to 2"):
        binned_moments(np.ones((2, 1)), np.array([0, 2]), 2)
