from __future__ import annotations

import numpy as np
import pytest

from madminer.analysis.partitions import (
    closest_benchmarks,
    closest_factors,
    group_indices,
    share_factors,
)
from madminer.errors import NoEventsError

BENCHMARKS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_any_negative_index_is_background() -> None:
    np.testing.assert_array_equal(group_indices(np.array([-1, 2, -7, 0]), 4, 3), [3, 2, 3, 0])


def test_events_of_unknown_origin_are_never_rescaled() -> None:
    groups = group_indices(None, 5, 3)
    np.testing.assert_array_equal(share_factors(np.zeros(3, dtype=np.int64))[groups], np.ones(5))


def test_first_of_equally_close_benchmarks_is_taken() -> None:
    thetas = np.array([[0.5, 0.0], [0.0, 0.9], [0.5, 0.5]])
    closest = closest_benchmarks(thetas, BENCHMARKS, np.array([5, 5, 5]))
    np.testing.assert_array_equal(closest, [0, 2, 0])


def test_benchmarks_without_events_are_passed_over() -> None:
    closest = closest_benchmarks(np.array([[0.0, 0.0]]), BENCHMARKS, np.array([0, 5, 5]))
    np.testing.assert_array_equal(closest_factors(closest, 3), [[0.0, 1.0, 0.0, 1.0]])


def test_no_events_at_all_is_refused() -> None:
    with pytest.raises(NoEventsError, match="No events were generated at a benchmark"):
        closest_benchmarks(np.array([[0.0, 0.0]]), BENCHMARKS, np.zeros(3, dtype=np.int64))
