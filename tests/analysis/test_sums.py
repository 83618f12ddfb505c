from __future__ import annotations

import numpy as np
import pytest

from madminer.analysis.sums import accumulate_sums, cross_sections
from madminer.errors import NoEventsError


def test_sums_do_not_depend_on_batches() -> None:
    rng = np.random.default_rng(1)
    weights, groups = rng.normal(size=(20_000, 3)), rng.integers(0, 4, 20_000)
    whole = accumulate_sums([(weights, groups)], 4, 3)
    parts = accumulate_sums(
        [(weights[i : i + 777], groups[i : i + 777]) for i in range(0, 20_000, 777)], 4, 3
    )
    np.testing.assert_allclose(whole.sums, parts.sums, rtol=1e-10)
    np.testing.assert_allclose(whole.products, parts.products, rtol=1e-10)
    np.testing.assert_array_equal(whole.counts, np.bincount(groups))
    twin = [[weights[groups == g, b].sum() for b in range(3)] for g in range(4)]
    np.testing.assert_allclose(whole.sums, twin, rtol=1e-10)


def test_cross_sections_equal_the_sums_over_events() -> None:
    rng = np.random.default_rng(2)
    weights, groups = rng.normal(1.0, 0.5, (500, 3)), rng.integers(0, 3, 500)
    coefficients, factors = rng.normal(size=(7, 3)), np.array([0.3, 0.7, 1.0])
    xsecs, uncertainties = cross_sections(
        accumulate_sums([(weights, groups)], 3, 3), coefficients, factors
    )
    for i, row in enumerate(coefficients):
        event_weights = factors[groups] * (weights @ row)
        assert xsecs[i] == pytest.approx(event_weights.sum())
        assert uncertainties[i] == pytest.approx(np.sqrt(np.sum(event_weights**2)))


def test_no_events_are_refused() -> None:
    sums = accumulate_sums([(np.ones((2, 1)), np.array([0, 0]))], 2, 1)
    with pytest.raises(NoEventsError, match="no events"):
        cross_sections(sums, np.ones((1, 1)), np.array([0.0, 1.0]))
