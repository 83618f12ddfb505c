from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import DataError, OptionError, ShapeError
from madminer.stats import weighted_quantiles

values = st.lists(st.floats(-100, 100), min_size=2, max_size=40)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=5)


@given(values, probabilities, st.floats(0.1, 10))
def test_equal_weights_are_those_of_numpy(x: list[float], q: list[float], weight: float) -> None:
    w = np.full(len(x), weight)
    plain = weighted_quantiles(x, q, w)
    np.testing.assert_allclose(plain, np.quantile(x, q, method="hazen"), atol=1e-9)
    stretched = weighted_quantiles(x, q, w, stretch=True)
    np.testing.assert_allclose(stretched, np.quantile(x, q), atol=1e-9)


@given(values, probabilities, st.integers(0, 2**32 - 1))
def test_quantiles_are_monotonic_and_inside(x: list[float], q: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).exponential(size=len(x))
    result = weighted_quantiles(x, np.sort(q), weights)
    assert np.all(np.diff(result) >= 0.0)
    assert min(x) <= result[0] <= result[-1] <= max(x)


def test_weights_count() -> None:
    rng = np.random.default_rng(3)
    x, counts = rng.normal(size=500), rng.integers(1, 5, 500)
    many = weighted_quantiles(np.repeat(x, counts), [0.1, 0.5, 0.9])
    assert weighted_quantiles(x, [0.1, 0.5, 0.9], counts) == pytest.approx(many, abs=0.01)


def test_one_value_and_negative_weights() -> None:
    np.testing.assert_array_equal(weighted_quantiles([3.0], [0.0, 0.3], [2.0]), [3.0, 3.0])
    np.testing.assert_array_equal(weighted_quantiles([3.0], [0.3], stretch=True), [3.0])
    signed = weighted_quantiles([1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0], [1.0, -0.5, 1.0, 1.0])
    assert np.all(np.diff(signed) >= 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], [0.5]), ShapeError, "n > 0"),
        (([1.0, 2.0], [0.5], [1.0]), ShapeError, "same shape"),
        (([1.0], [1.5]), OptionError, "between 0 and 1"),
        (([np.nan], [0.5]), DataError, "finite"),
        (([1.0, 2.0], [0.5], [1.0, -1.0]), DataError, "positive total"),
    ],
)
def test_refused(arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        weighted_quantiles(*arguments)  # type: ignore[arg-type]
