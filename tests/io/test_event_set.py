"""Several event files as one: which files, in which order, and what is read."""

from __future__ import annotations

import pickle
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from madminer.errors import (
    DataError,
    FileChangedError,
    MissingFileError,
    OptionError,
    SetupError,
)
from madminer.io import EventFile, Events, EventSummary, event_set, write_events
from madminer.io.event_set import EventSet, Interleaving, open_events
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark, MorphingSetup
from madminer.typing import IntArray

SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={name: Benchmark(name, {"a": float(i)}) for i, name in enumerate(["sm", "w"])},
    observables={"number": "n", "met": "met.pt"},
)
SIZES = [2_300, 7, 1_500]


def make_file(path: Path, n: int, file: int = 0, **options: Any) -> Path:
    """Events whose first observable is their number, beginning with a million for each file."""
    numbers = 1e6 * file + np.arange(n)
    x = np.stack([numbers, 2.0 * numbers], axis=1)
    weights = np.stack([numbers + 1.0, -numbers], axis=1)
    setup, summary = options.get("setup", SETUP), options.get("summary")
    sampled = np.arange(n) % 3 - 1 if options.get("sampled", True) else None
    write_events(path, setup, Events(x, weights, sampled), summary)
    return path


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [make_file(tmp_path / f"e_{i}.h5", n, i) for i, n in enumerate(SIZES)]


def expected_order(sizes: list[int]) -> list[tuple[int, int]]:
    """The slow twin: the thousandths of all files, one behind the other."""
    return [
        (file, row)
        for part in range(1000)
        for file, n in enumerate(sizes)
        for row in range(part * n // 1000, (part + 1) * n // 1000)
    ]


def places_of(order: Interleaving, positions: IntArray) -> list[tuple[int, int]]:
    """File and row at each position."""
    found = np.full((len(positions), 2), -1)
    for file, rows, stretches in order.split(positions):
        places = np.concatenate([np.arange(len(positions))[at] for at in stretches])
        assert np.all(found[places] == -1)
        found[places] = np.stack([np.full(len(places), file), rows], axis=1)
    return [(file, row) for file, row in found.tolist()]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2_500), min_size=1, max_size=5).filter(any), st.data())
def test_order_is_that_of_thousandths(sizes: list[int], data: st.DataObject) -> None:
    order, expected = Interleaving(sizes), expected_order(sizes)
    assert places_of(order, np.arange(len(expected))) == expected
    numbers = st.integers(0, len(expected) - 1)
    some = np.array(sorted(data.draw(st.lists(numbers, min_size=1))))  # repeated ones, too
    assert places_of(order, some) == [expected[number] for number in some]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 5_000), min_size=1, max_size=5),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_any_stretch_has_the_same_fraction_of_every_file(
    sizes: list[int], first: float, second: float
) -> None:
    n = sum(sizes)
    start, stop = round(n * min(first, second)), round(n * max(first, second))
    assume(start < stop)
    parts = Interleaving(sizes).split(np.arange(start, stop))
    found = {file: len(rows) for file, rows, _ in parts}
    for file, size in enumerate(sizes):
        share = size * (stop - start) / n
        # at either end at most one thousandth, and a rounded event of each file
        assert abs(found.get(file, 0) - share) <= 2 * (size / 1000 + len(sizes) + 1)


def test_one_file_keeps_its_order() -> None:
    ((_, rows, _),) = Interleaving([3_217]).split(np.arange(3_217))
    np.testing.assert_array_equal(rows, np.arange(3_217))


@pytest.mark.parametrize("block", [100, 1 << 20])
@pytest.mark.parametrize("most_open", [0, 200])
def test_events_are_those_of_the_files(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, block: int, most_open: int
) -> None:
    monkeypatch.setattr(event_set, "BLOCK", block)
    monkeypatch.setattr(event_set, "MOST_OPEN", most_open)
    events = open_events(
        {str(path): factor for path, factor in zip(paths, (2, 0.5, 1), strict=True)}
    )
    parts = [EventFile(path).read() for path in paths]
    x = np.array([parts[file].x[row] for file, row in expected_order(SIZES)])
    weights = np.array(
        [(2, 0.5, 1)[file] * parts[file].weights[row] for file, row in expected_order(SIZES)]
    )
    n = sum(SIZES)
    chosen = np.random.default_rng(1).integers(0, n, 5_000)
    np.testing.assert_array_equal(events.read().x, x)
    np.testing.assert_array_equal(events.read_weights(17, 2_900), weights[17:2_900])
    np.testing.assert_array_equal(events.rows(chosen), x[chosen])
    np.testing.assert_array_equal(events.weights(chosen), weights[chosen])
    np.testing.assert_array_equal(events.weights(np.sort(chosen)), weights[np.sort(chosen)])
    sampled = [row % 3 - 1 for _, row in expected_order(SIZES)]
    np.testing.assert_array_equal(events.read_sampling_benchmarks(), sampled)
    batches = [batch.x for batch in events.iterate(5, n, 999)]
    np.testing.assert_array_equal(np.concatenate(batches), x[5:])
    assert len(events.take(np.empty(0, dtype=np.int64))) == 0


def test_ranges_end_with_the_last_file(paths: list[Path]) -> None:
    events = open_events(paths)
    with pytest.raises(OptionError, match=rf"3 files from .*e_0.* has {sum(SIZES)}"):
        events.read(0, sum(SIZES) + 1)
    with pytest.raises(OptionError, match="events -1 to 4 were asked for"):
        events.rows(np.array([4, -1]))


def test_memory_is_that_of_a_batch(tmp_path: Path) -> None:
    files = [make_file(tmp_path / f"{i}.h5", 100_000, i) for i in range(4)]
    events = open_events(files)
    tracemalloc.start()
    for _ in events.iterate(batch_size=1_000):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6  # all events: 16 MB


def test_patterns_are_sorted_by_numbers(tmp_path: Path) -> None:
    for i in (10, 9, 1):
        make_file(tmp_path / f"e_{i}.h5", 3, i)
    make_file(tmp_path / ".e_2.h5", 3)  # hidden: being written, for example
    events = open_events(tmp_path / "e_*.h5")
    assert isinstance(events, EventSet)
    assert [file.path.name for file in events.files] == ["e_1.h5", "e_9.h5", "e_10.h5"]
    both = open_events([str(tmp_path / "e_10.h5"), str(tmp_path / "e_?.h5")])
    assert isinstance(both, EventSet)
    assert [file.path.name for file in both.files] == ["e_10.h5", "e_1.h5", "e_9.h5"]


def test_one_file_is_a_file(tmp_path: Path) -> None:
    path = make_file(tmp_path / "e[1].h5", 3)  # its name, not a pattern
    for source in (path, str(path), [path], str(tmp_path / "e*.h5")):
        assert isinstance(open_events(source), EventFile)
    np.testing.assert_array_equal(
        open_events({str(path): 3.0}).read_weights(), 3.0 * EventFile(path).read_weights()
    )


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ([], OptionError, "filename must be a path, a pattern or a list of at least one file"),
        ({}, OptionError, "at least one file"),
        (3, OptionError, "filename must be a path, a pattern or a list of them, got 3"),
        (["e_0.h5", 3], OptionError, r"filename\[1\] must be a path, got 3"),
        (["e_0.h5", "none.h5"], MissingFileError, "There is no file .*none.h5"),
        ("none_*.h5", MissingFileError, r"No file matches the pattern none_\*.h5"),
        (["e_0.h5", "none_*.h5"], MissingFileError, "No file matches the pattern"),
        (["e_0.h5", "e_1.h5", "./e_0.h5"], OptionError, "not count the same events twice.*e_0.h5"),
        (["e_*.h5", "e_1.h5"], OptionError, r"twice, but \['[^']*e_1.h5'\]"),
        (["link.h5", "e_1.h5"], OptionError, r"twice, but \['[^']*e_1.h5'\]"),
        ({"e_0.h5": 0.0}, OptionError, "k-factor of 'e_0.h5' must be a positive number, got 0"),
    ],
)
def test_refused_sources(
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    source: Any,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(paths[0].parent)
    Path("link.h5").symlink_to(paths[1])
    with pytest.raises(error, match=message):
        open_events(source)


OTHERS: dict[str, tuple[AnalysisSetup, str]] = {
    "parameters": (
        replace(SETUP, parameters={"a": AnalysisParameter("a", "dim6", 2)}),
        "parameters: ",
    ),
    "benchmarks": (
        replace(SETUP, benchmarks={n: Benchmark(n, {"a": float(n == "w")}) for n in ("w", "sm")}),
        r"benchmarks: \['sm', 'w'\] and \['w', 'sm'\]",
    ),
    "observables": (
        replace(SETUP, observables={"number": "n", "met": "met.phi"}),
        "observables: 'met.pt' and 'met.phi'",
    ),
    "morphing": (
        replace(SETUP, morphing=MorphingSetup(np.array([[0], [1]]), np.array([[1, 0], [-1, 1]]))),
        "morphing: none and 2 components",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_setups_that_differ_are_named(paths: list[Path], what: str) -> None:
    setup, difference = OTHERS[what]
    make_file(paths[2], 9, setup=setup)
    with pytest.raises(SetupError, match=rf"e_0.h5 and .*e_2.h5 have different.*{difference}"):
        open_events(paths)


def test_origins_are_known_of_all_files_or_of_none(tmp_path: Path, paths: list[Path]) -> None:
    unknown = [make_file(tmp_path / f"u_{i}.h5", 5, sampled=False) for i in range(2)]
    with pytest.raises(DataError, match=r"e_0.h5 and .*u_1.h5 only one knows"):
        open_events([*paths, unknown[1]])
    events = open_events(unknown)
    assert events.read().sampling_benchmarks is None
    assert events.generated().signal_events.tolist() == [0, 0]


def test_generated_events_are_added_up_whether_stated_or_counted(tmp_path: Path) -> None:
    stated = make_file(tmp_path / "s.h5", 3, summary=EventSummary(np.array([40, 2]), 7))
    zeros = make_file(tmp_path / "z.h5", 6, summary=EventSummary(np.array([0, 0]), 0))
    counted = make_file(tmp_path / "c.h5", 5)
    found = open_events([stated, zeros, counted]).generated()
    assert found.signal_events.tolist() == [40 + 2 + 2, 2 + 2 + 1]
    assert found.background_events == 7 + 2 + 2


def test_changed_files_are_refused_by_name(paths: list[Path]) -> None:
    events = open_events(paths)
    make_other = make_file(paths[1].with_name("other.h5"), SIZES[1], 5)
    events.read()
    shutil.copyfile(make_other, paths[1])
    with pytest.raises(FileChangedError, match=r"e_1.h5 was written to"):
        events.read()


@pytest.mark.parametrize("most_open", [0, 200])
def test_replaced_files_are_read_on_while_they_are_open(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, most_open: int
) -> None:
    monkeypatch.setattr(event_set, "MOST_OPEN", most_open)
    events = open_events(paths)
    before = events.read().x
    make_file(paths[1], SIZES[1], 5)  # as all that MadMiner writes: beside it, then renamed
    if most_open:
        np.testing.assert_array_equal(events.read().x, before)
    else:
        with pytest.raises(FileChangedError, match=r"e_1.h5 has changed, or was replaced"):
            events.read()


def test_copies_read_the_same(paths: list[Path]) -> None:
    events = open_events(paths)
    copy = pickle.loads(pickle.dumps(events))  # noqa: S301 (as processes exchange them)
    np.testing.assert_array_equal(copy.read().x, events.read().x)
    make_file(paths[2], SIZES[2], 5)
    with pytest.raises(FileChangedError, match=r"e_2.h5 has changed"):
        pickle.loads(pickle.dumps(events)).read()  # noqa: S301


def test_undefined_observables_are_refused_with_their_file(paths: list[Path]) -> None:
    write_events(
        paths[1],
        SETUP,
        Events(np.full((3, 2), np.nan), np.ones((3, 2)), np.zeros(3, dtype=int)),
        None,
    )
    events = open_events(paths)
    with pytest.raises(DataError, match=r"Observables in .*e_1.h5 are not finite"):
        events.read()
    assert np.isnan(events.read(allow_nan=True).x).sum() == 6
