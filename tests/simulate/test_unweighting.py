"""Unweighting keeps expectations, also with weights above the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import NoEventsError
from madminer.simulate.generate import accept, reference_weight

weights = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=50).filter(lambda w: max(w) > 0)


@given(weights, st.floats(0.0, 0.5))
def test_reference_leaves_the_given_excess(values: list[float], share: float) -> None:
    array = np.array(values)
    reference = reference_weight(array, overweight_share=share)
    excess = np.maximum(array - reference, 0.0).sum()
    assert excess == pytest.approx(share * array.sum(), rel=1e-9, abs=1e-9)


def test_expectations_survive() -> None:
    rng = np.random.default_rng(1)
    x = rng.random(400_000)
    heights = x**3
    reference = 0.5  # well below the largest weight: many overweight events
    indices, remaining = accept(heights, reference, rng)
    assert np.count_nonzero(remaining > 1.0) > 1_000
    assert remaining.min() == 1.0
    mean = np.average(x[indices], weights=remaining)
    assert mean == pytest.approx(0.8, abs=2e-3)  # int x^4 / int x^3
    # the accepted weight is the total in units of the reference
    assert remaining.sum() == pytest.approx(heights.sum() / reference, rel=5e-3)


def test_no_positive_weight() -> None:
    with pytest.raises(NoEventsError, match="loosen the generator cuts"):
        reference_weight(np.zeros(10))
    with pytest.raises(NoEventsError, match="positive weight"):
        reference_weight(np.zeros(0))
