"""Shuffling: keys, buckets, and the uniformity of the order."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from madminer.errors import OptionError
from madminer.io import EventFile, Events, EventWriter
from madminer.io.shuffle import RandomKeys, key_order, write_shuffled
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.typing import IntArray

SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={"sm": Benchmark("sm", {"a": 0.0})},
    observables={"number": "n"},
)


class Numbered:
    """Events that know their number: in the observable, the weight and the sampling benchmark."""

    def __init__(self, start: int, stop: int) -> None:
        self.numbers = np.arange(start, stop)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self) -> Events:
        column = self.numbers[:, np.newaxis].astype(float)
        return Events(column, 2.0 * column, -1 - self.numbers)


def shuffled(path: Path, n: int, size: int, *, seed: int, max_events: int) -> IntArray:
    """Numbers of the events in their new order, once it is clear that rows stay together."""
    sources = [Numbered(start, min(start + size, n)) for start in range(0, n, size)]
    with EventWriter(path, SETUP, n_events=n) as writer:
        write_shuffled(writer, sources, seed=seed, max_events=max_events)
    events = EventFile(path).read()
    numbers: IntArray = events.x[:, 0].astype(int)
    np.testing.assert_array_equal(events.weights[:, 0], 2 * numbers)
    np.testing.assert_array_equal(events.sampling_benchmarks, -1 - numbers)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(n))
    return numbers


def p_value(counts: IntArray, expected: float, freedom: int | None = None) -> float:
    """Probability of a larger chi-square of equally probable counts."""
    square = float(np.sum((counts - expected) ** 2) / expected)
    return float(chi2.sf(square, counts.size - 1 if freedom is None else freedom))


@pytest.mark.parametrize("n_different", [1, 3, 2**63])
def test_all_orders_are_equally_probable(n_different: int) -> None:
    rng = np.random.default_rng(1)
    orders = Counter(
        tuple(key_order(rng.integers(n_different, size=4, dtype=np.uint64), rng).tolist())
        for _ in range(12_000)
    )
    counts = np.array([orders[order] for order in permutations(range(4))])
    assert p_value(counts, 500.0) > 1e-3


def test_keys_are_sorted_and_ties_in_random_order() -> None:
    rng = np.random.default_rng(2)
    keys = rng.integers(50, size=1_000, dtype=np.uint64)
    first, second = key_order(keys, rng), key_order(keys, rng)
    np.testing.assert_array_equal(keys[first], np.sort(keys))
    np.testing.assert_array_equal(keys[second], np.sort(keys))
    assert not np.array_equal(first, second)


def test_keys_do_not_depend_on_the_pieces() -> None:
    keys = RandomKeys(3)
    whole = np.concatenate(list(keys.draw([1_000])))
    np.testing.assert_array_equal(np.concatenate(list(keys.draw([1, 0, 700, 299]))), whole)
    assert not np.array_equal(np.concatenate(list(RandomKeys(4).draw([1_000]))), whole)
    with pytest.raises(OptionError, match="seed must be None, a whole number from 0"):
        RandomKeys(-1)


def test_order_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    whole = shuffled(path, 2_000, 2_000, seed=5, max_events=2_000)
    for size, max_events in [(300, 2_000), (2_000, 500), (77, 500), (700, 60)]:
        np.testing.assert_array_equal(
            shuffled(path, 2_000, size, seed=5, max_events=max_events), whole
        )
    assert not np.array_equal(shuffled(path, 2_000, 300, seed=6, max_events=500), whole)


def test_every_place_is_equally_probable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many seeds, with several buckets: where an event goes, and who follows whom."""
    monkeypatch.setattr("madminer.io.atomic.flush_to_disk", lambda _: None)  # takes most time
    n, n_groups, n_seeds = 240, 24, 60
    group = np.arange(n) * n_groups // n
    places = np.zeros((n_groups, n_groups), dtype=int)
    follows = np.zeros((n_groups, n_groups), dtype=int)
    positions: list[IntArray] = []
    for seed in range(n_seeds):
        order = shuffled(tmp_path / "events.h5", n, 70, seed=seed, max_events=80)
        np.add.at(places, (group[order], group), 1)
        np.add.at(follows, (group[order[:-1]], group[order[1:]]), 1)
        positions.append(np.flatnonzero(np.isin(order, [0, 69, 70, 239])))
    assert 1e-3 < p_value(places, n_seeds * n / n_groups**2, (n_groups - 1) ** 2) < 1.0 - 1e-3
    assert p_value(follows, n_seeds * (n - 1) / n_groups**2) > 1e-3
    counts = np.bincount(group[np.concatenate(positions)], minlength=n_groups)
    assert p_value(counts, 4 * n_seeds / n_groups) > 1e-3


def test_no_events_and_too_little_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    with (
        pytest.raises(OptionError, match="At least one source"),
        EventWriter(path, SETUP, n_events=0) as writer,
    ):
        write_shuffled(writer, [], seed=0, max_events=10)
    with (
        pytest.raises(OptionError, match=r"10000 events .* with 1 in memory.* 5 times as much"),
        EventWriter(path, SETUP, n_events=0) as writer,
    ):
        write_shuffled(writer, [Numbered(0, 10_000)], seed=0, max_events=1)
