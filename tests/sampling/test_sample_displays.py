"""Samples show their arrays in notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from madminer.sampling import SampleAugmenter


@pytest.fixture(scope="module")
def augmenter(toy_event_file: Callable[..., Path]) -> SampleAugmenter:
    return SampleAugmenter(toy_event_file(2000))


def test_samples_show_shapes_ranges_and_meanings(augmenter: SampleAugmenter) -> None:
    local = augmenter.sample_train_local("sm", 500, seed=1)
    assert [row[0] for row in local.table.rows] == ["x", "theta", "t_xz"]
    assert local.table.rows[1][1:] == ("(500, 2)", "0 to 0", "parameter points")
    assert "LocalSample: 500 events, n_eff " in local._repr_html_()
    ratio = augmenter.sample_train_ratio("sm", "w1", 100, seed=1)
    assert {row[0]: row[3] for row in ratio.table.rows}["r_xz"] == "joint likelihood ratios"
    x, theta, _, _ = local  # still the documented tuple
    assert (len(x), len(theta)) == (500, 500)


def test_weighted_samples_show_what_they_are_worth(augmenter: SampleAugmenter) -> None:
    sample = augmenter.weighted_local("sm")
    assert f"worth {sample.n_effective:,.0f} unweighted ones" in sample._repr_html_()
    assert repr(sample).startswith("WeightedSample(x (")
    assert [row[0] for row in sample.table.rows] == ["x", "t_xz", "w"]
