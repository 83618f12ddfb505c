from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.analysis.partitions import partition_range
from madminer.errors import OptionError

fractions = st.floats(0.0, 0.5, allow_nan=False)


@given(n=st.integers(1, 100_000), test=fractions, validation=fractions)
def test_partitions_are_disjoint_and_complete(n: int, test: float, validation: float) -> None:
    covered = 0
    for partition in ("train", "validation", "test"):
        try:
            start, stop, factor = partition_range(n, partition, test, validation)
        except OptionError:  # an empty one is refused
            continue
        assert start == covered
        assert factor == pytest.approx(n / (stop - start))
        covered = stop
    assert covered == n


def test_borders_are_rounded() -> None:
    assert partition_range(20_000, "train")[:2] == (0, 12_000)
    assert partition_range(20_000, "validation")[:2] == (12_000, 16_000)
    assert partition_range(20_000, "test") == (16_000, 20_000, 5.0)
    assert partition_range(7, "all") == (0, 7, 1.0)


def test_none_means_no_such_part() -> None:
    assert partition_range(10, "train", None, None) == (0, 10, 1.0)
    with pytest.raises(OptionError, match=r"'test' of 10 events is empty"):
        partition_range(10, "test", None, 0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, "training"), "partition must be one of"),
        ((10, "train", -0.1, 0.2), "test_split must be a number from 0 to 1"),
        ((10, "train", 0.2, float("nan")), "validation_split must be a number from 0 to 1"),
        ((10, "train", 0.6, 0.6), "at most 1"),
        ((0, "all"), "is empty"),
    ],
)
def test_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        partition_range(*arguments)  # type: ignore[arg-type]
