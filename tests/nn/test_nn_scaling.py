from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from madminer.errors import ShapeError
from madminer.nn import data as mapped
from madminer.nn.scaling import Standardization, fit_standardization, identity_standardization


@given(arrays(np.float64, (12, 3), elements=st.floats(-1e3, 1e3)))
def test_standardised_columns_have_mean_zero_and_unit_variance(x: np.ndarray) -> None:
    scaling = fit_standardization(x)
    scaled = scaling.transform(x)
    np.testing.assert_allclose(scaling.means, x.mean(axis=0), atol=1e-9)
    spread = np.ptp(x, axis=0)
    for i in np.flatnonzero(spread > 1e-3):
        assert scaled[:, i].mean() == pytest.approx(0.0, abs=1e-6)
        assert scaled[:, i].std() == pytest.approx(1.0)
    assert np.all(scaling.stds[spread == 0] == 1.0)


def test_chunks_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(5.0, 2.0, size=(100, 2))
    rows = np.arange(0, 100, 3)
    monkeypatch.setattr(mapped, "_CHUNK_BYTES", 7 * 2 * 8)
    scaling = fit_standardization(x, rows)
    np.testing.assert_allclose(scaling.means, x[rows].mean(axis=0))
    np.testing.assert_allclose(scaling.stds, x[rows].std(axis=0))
    both = np.concatenate([x[rows], 3.0 * x[rows]])
    scaling = fit_standardization([x, 3.0 * x], rows)
    np.testing.assert_allclose(scaling.means, both.mean(axis=0))
    np.testing.assert_allclose(scaling.stds, both.std(axis=0))


def test_spread_far_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    x = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    monkeypatch.setattr(mapped, "_CHUNK_BYTES", 8 * 9)
    assert fit_standardization(x).stds[0] == pytest.approx(x.std(), rel=1e-6)


def test_constant_column_that_is_no_binary_fraction() -> None:
    scaling = fit_standardization(np.full((10, 1), 0.1))
    assert scaling.stds[0] == 1.0


def test_argument_is_not_changed() -> None:
    x = np.random.default_rng(0).normal(size=(10, 2))
    copy = x.copy()
    fit_standardization(x).transform(x)
    np.testing.assert_array_equal(x, copy)


def test_identity_and_selection() -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(identity_standardization(3).transform(x), x)
    scaling = Standardization(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert scaling.select([2, 0]).means.tolist() == [3.0, 1.0]
    assert scaling.select(None) is scaling


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="of one shape"):
        Standardization(np.zeros(2), np.ones(3))
