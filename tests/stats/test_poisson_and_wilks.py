from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from madminer.errors import DataError, OptionError
from madminer.stats import (
    contour_level,
    log_poisson,
    log_ratio_to_best,
    p_values_from_log_r,
    p_values_from_q,
)


@given(st.integers(0, 10_000), st.floats(1e-3, 1e4))
def test_whole_numbers_are_those_of_scipy(n: int, mean: float) -> None:
    assert log_poisson(n, mean) == pytest.approx(stats.poisson.logpmf(n, mean), rel=1e-9, abs=1e-9)


@given(st.floats(0.01, 1e4))
def test_real_numbers_have_their_maximum_where_expected(n: float) -> None:
    means = n * np.array([0.9, 1.0, 1.1])
    assert np.argmax(log_poisson(n, means)) == 1


def test_nothing_expected() -> None:
    assert log_poisson(0.0, 0.0) == 0.0
    assert log_poisson(0.5, 0.0) == -np.inf
    with pytest.raises(DataError, match="must not be negative"):
        log_poisson(1.0, -0.1)


@given(st.floats(0.0, 50.0))
def test_known_tails(q: float) -> None:
    assert p_values_from_q(q, 2) == pytest.approx(np.exp(-q / 2))
    assert p_values_from_log_r(-q / 2, 1) == pytest.approx(2 * stats.norm.sf(np.sqrt(q)))


def test_contour_level_inverts_the_p_value() -> None:
    assert p_values_from_q(contour_level(0.95, 3), 3) == pytest.approx(0.05)
    assert np.sqrt(contour_level(0.68, 2)) == pytest.approx(1.5096, abs=1e-4)


def test_p_values_are_uniform_if_log_r_is_chi_squared() -> None:
    x = np.random.default_rng(5).normal(size=(20_000, 3))
    p = p_values_from_log_r(-0.5 * np.sum(x**2, axis=1), 3)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_refused() -> None:
    with pytest.raises(DataError, match="not -2 log r"):
        p_values_from_log_r([-1.0, 3.0], 1)
    with pytest.raises(DataError, match="must not be positive"):
        p_values_from_log_r([np.nan], 1)
    with pytest.raises(DataError, match="must not be negative"):
        p_values_from_q(-1.0, 1)
    for dof in (0, 1.5, True):
        with pytest.raises(OptionError, match="dof must be a whole number from 1"):
            p_values_from_q(1.0, dof)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="confidence_level must be a number above 0 to below 1"):
        contour_level(68.0, 2)
    with pytest.raises(DataError, match="without NaN"):
        log_ratio_to_best([0.0, np.nan])
    with pytest.raises(DataError, match="vanishes at every point"):
        log_ratio_to_best([-np.inf, -np.inf])
