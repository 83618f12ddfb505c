"""Joining and shuffling event files."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    NoEventsError,
    OptionError,
    OutputError,
    SetupError,
)
from madminer.io import EventFile, Events, EventSummary, EventWriter, write_events
from madminer.io.opened import OpenedFile
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.sampling import combine
from madminer.sampling.combine import combine_and_shuffle
from madminer.typing import FloatArray

SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={name: Benchmark(name, {"a": float(i)}) for i, name in enumerate(["sm", "w"])},
    observables={"number": "n", "met": "met.pt"},
)


def make_file(
    path: Path,
    n: int,
    first: int = 0,
    *,
    setup: AnalysisSetup = SETUP,
    sampled: bool = True,
    summary: EventSummary | None = None,
) -> Path:
    """Events whose first observable numbers them and whose other columns follow from it."""
    numbers = np.arange(first, first + n, dtype=float)
    x = np.stack([numbers, np.where(numbers % 10 == 3, np.nan, 2 * numbers)], axis=1)
    weights = np.stack([numbers + 1, -numbers], axis=1)
    indices = (numbers % 3).astype(int) - 1 if sampled else None
    write_events(path, setup, Events(x, weights, indices), summary)
    return path


def sorted_events(path: Path) -> tuple[FloatArray, Events]:
    """Order of the events in the file, and the events in their original order."""
    events = EventFile(path).read(allow_nan=True)
    order = np.argsort(events.x[:, 0])
    indices = events.sampling_benchmarks
    return events.x[:, 0], Events(
        events.x[order], events.weights[order], None if indices is None else indices[order]
    )


@pytest.mark.parametrize("memory_limit", [3e3, 5e8])
def test_events_are_a_permutation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_limit: float
) -> None:
    monkeypatch.setattr(combine, "SMALLEST_MEMORY", 1e3)
    monkeypatch.setattr(combine, "WRITTEN_BYTES", 1)
    inputs = [make_file(tmp_path / "a.h5", 50), make_file(tmp_path / "b.h5", 31, 50)]
    out = tmp_path / "out.h5"
    combine_and_shuffle(inputs, out, k_factors=[2, 0.5], seed=1, memory_limit=memory_limit)
    order, events = sorted_events(tmp_path / "out.h5")
    numbers = np.arange(81.0)
    assert not np.array_equal(order, numbers)
    np.testing.assert_array_equal(events.x[:, 0], numbers)
    np.testing.assert_array_equal(np.isnan(events.x[:, 1]), numbers % 10 == 3)
    factor = np.where(numbers < 50, 2.0, 0.5)
    np.testing.assert_array_equal(events.weights[:, 0], factor * (numbers + 1))
    np.testing.assert_array_equal(events.weights[:, 1], -factor * numbers)
    np.testing.assert_array_equal(events.sampling_benchmarks, numbers % 3 - 1)


def test_result_does_not_depend_on_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combine, "SMALLEST_MEMORY", 1e3)
    monkeypatch.setattr(combine, "WRITTEN_BYTES", 1)
    inputs = [make_file(tmp_path / "a.h5", 500), make_file(tmp_path / "b.h5", 300, 500)]
    combine_and_shuffle(inputs, tmp_path / "large.h5", seed=2)
    combine_and_shuffle(inputs, tmp_path / "small.h5", seed=2, memory_limit=5e3)
    combine_and_shuffle(inputs, tmp_path / "other.h5", seed=3)
    large, small, other = (
        sorted_events(tmp_path / f"{name}.h5")[0] for name in ("large", "small", "other")
    )
    np.testing.assert_array_equal(large, small)
    assert not np.array_equal(large, other)


def test_little_memory_is_raised_so_that_pieces_stay_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combine, "SMALLEST_MEMORY", 1e3)
    monkeypatch.setattr(combine, "WRITTEN_BYTES", 2**10)
    path, n_written = make_file(tmp_path / "a.h5", 20_000), []
    write_at = EventWriter.write_at

    def write(self: EventWriter, start: int, events: Events) -> None:
        n_written.append(len(events))
        write_at(self, start, events)

    monkeypatch.setattr(EventWriter, "write_at", write)
    combine_and_shuffle([path], tmp_path / "out.h5", seed=4, memory_limit=1e3)
    assert sum(n_written) == 2 * 20_000  # into buckets, and in order
    assert 40 * np.mean(n_written) > 2**9
    assert 20 < len(n_written) < 3_000
    np.testing.assert_array_equal(sorted_events(tmp_path / "out.h5")[1].x[:, 0], np.arange(2e4))


def test_many_files_are_not_open_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combine, "MOST_OPEN", 3)
    inputs = [make_file(tmp_path / f"{i}.h5", 10, 10 * i) for i in range(7)]
    n_open: list[int] = []
    read_at = OpenedFile.read_at

    def read(self: OpenedFile, offset: int, into: FloatArray) -> None:
        n_open.append(len(list(Path("/proc/self/fd").iterdir())))
        read_at(self, offset, into)

    if Path("/proc/self/fd").is_dir():
        monkeypatch.setattr(OpenedFile, "read_at", read)
    combine_and_shuffle(inputs, tmp_path / "out.h5", seed=1)
    assert not n_open or max(n_open) <= min(n_open) + 3
    np.testing.assert_array_equal(sorted_events(tmp_path / "out.h5")[1].x[:, 0], np.arange(70))


def test_memory_is_that_of_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combine, "WRITTEN_BYTES", 1)
    path = make_file(tmp_path / "a.h5", 60_000)  # 2.4 MB
    tracemalloc.start()
    try:
        combine_and_shuffle([path], tmp_path / "out.h5", seed=4, memory_limit=1e6)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.1e6
    np.testing.assert_array_equal(sorted_events(tmp_path / "out.h5")[1].x[:, 0], np.arange(6e4))


@pytest.mark.parametrize("memory_limit", [0.0, -1.0, 999_999, float("nan"), float("inf")])
def test_nonsense_as_memory_is_refused(tmp_path: Path, memory_limit: float) -> None:
    path = make_file(tmp_path / "a.h5", 5)
    with pytest.raises(OptionError, match=r"memory_limit .* at least 1e\+06"):
        combine_and_shuffle([path], path, memory_limit=memory_limit)


def test_lack_of_space_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_file(tmp_path / "a.h5", 1_000)
    usage = SimpleNamespace(free=10_000)
    monkeypatch.setattr("madminer.io.atomic.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"it takes 4.8e-05 GB, and .* has space for 1e-05 GB"):
        combine_and_shuffle([path], tmp_path / "new" / "out.h5")
    assert list(tmp_path.iterdir()) == [path]


KILLS = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np
from madminer.io import EventFile, EventWriter
from madminer.sampling import combine

source, old, target = map(Path, sys.argv[1:])
combine.SMALLEST_MEMORY = 1e3
combine.WRITTEN_BYTES = 1
calls = 0


def fragile(function, last):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call


def shuffle(last, note):
    EventWriter.write_at = fragile(EventWriter.write_at, last)
    os.fsync = fragile(os.fsync, last)
    Path.replace = fragile(Path.replace, last)
    combine.combine_and_shuffle([source], target, seed=1, memory_limit=1e5)
    note.write_text(str(calls))
    os._exit(0)


def outcome(last=None, seconds=None):
    shutil.copy(old, target)
    child = os.fork()
    if child == 0:
        shuffle(last, old.with_name("calls"))
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    ended = os.WIFEXITED(os.waitpid(child, 0)[1])
    numbers = np.sort(EventFile(target).read(allow_nan=True).x[:, 0])
    result = {20: "old", 3000: "new"}[len(numbers)]
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert not (ended and result == "old")
    for left in target.parent.iterdir():
        assert left == target or left.match(".target.*.tmp.h5"), left
        if left != target:
            left.unlink()
    return result


random.seed(1)
start = time.monotonic()
assert outcome() == "new"
whole = time.monotonic() - start
n_calls = int(old.with_name("calls").read_text())
assert n_calls > 50
chosen = [1, 2, n_calls // 3, *range(n_calls - 3, n_calls + 2)]  # the last three: see io.atomic
assert [outcome(last=last) for last in chosen] == ["old"] * 6 + ["new"] * 2
for _ in range(6):
    outcome(seconds=random.uniform(0, whole))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="copies and kills a process")
def test_killed_processes_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Killed before each call that writes, in both passes and at the end, and at random moments."""
    source = make_file(tmp_path / "source.h5", 3_000)
    old = make_file(tmp_path / "old.h5", 20)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", KILLS, *map(str, (source, old, tmp_path / "out/target.h5"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_new_places_do_not_depend_on_old_ones(tmp_path: Path) -> None:
    inputs = [make_file(tmp_path / "a.h5", 8_000), make_file(tmp_path / "b.h5", 2_000, 8_000)]
    combine_and_shuffle(inputs, tmp_path / "out.h5", seed=4)
    order, _ = sorted_events(tmp_path / "out.h5")
    correlation = np.corrcoef(order, np.arange(10_000))[0, 1]
    assert abs(correlation) < 4.0 / np.sqrt(10_000)
    from_second = np.add.reduceat(order >= 8_000, np.arange(0, 10_000, 1_000))
    assert np.sum((from_second - 200.0) ** 2 / 160.0) < 27.9  # 0.1 % for nine degrees of freedom


def test_output_may_be_an_input(tmp_path: Path) -> None:
    inputs = [make_file(tmp_path / "a.h5", 20), make_file(tmp_path / "b.h5", 10, 20)]
    combine_and_shuffle(inputs, inputs[0], seed=5)
    np.testing.assert_array_equal(sorted_events(inputs[0])[1].x[:, 0], np.arange(30.0))


def test_one_factor_for_all_files(tmp_path: Path) -> None:
    inputs = [make_file(tmp_path / "a.h5", 5), make_file(tmp_path / "b.h5", 5, 5)]
    combine_and_shuffle(inputs, tmp_path / "out.h5", k_factors=3, seed=6)
    np.testing.assert_array_equal(
        sorted_events(tmp_path / "out.h5")[1].weights[:, 0], 3 * np.arange(1.0, 11.0)
    )


def test_numbers_of_events_are_recounted_or_added(tmp_path: Path) -> None:
    given = EventSummary(np.array([100, 7]), 5)
    inputs = [
        make_file(tmp_path / "a.h5", 6, summary=given),
        make_file(tmp_path / "b.h5", 3, 6, summary=given),
    ]
    combine_and_shuffle(inputs, tmp_path / "out.h5", seed=7)
    recounted = EventFile(tmp_path / "out.h5").summary
    assert recounted is not None
    assert (recounted.signal_events.tolist(), recounted.background_events) == ([3, 3], 3)
    combine_and_shuffle(inputs, tmp_path / "out.h5", recalculate_header=False, seed=7)
    added = EventFile(tmp_path / "out.h5").summary
    assert added is not None
    assert (added.signal_events.tolist(), added.background_events) == ([200, 14], 10)


def test_files_without_sampling_benchmarks(tmp_path: Path) -> None:
    given = EventSummary(np.array([4, 1]), 0)
    inputs = [
        make_file(tmp_path / f"{i}.h5", 5, 5 * i, sampled=False, summary=given) for i in (0, 1)
    ]
    combine_and_shuffle(inputs, tmp_path / "out.h5", seed=8)
    file = EventFile(tmp_path / "out.h5")
    assert not file.has_sampling_benchmarks
    assert file.summary is not None
    assert file.summary.signal_events.tolist() == [8, 2]


def test_file_of_madminer_0_9(shared: Path, tmp_path: Path) -> None:
    path = shared / "reference" / "public.h5"
    combine_and_shuffle([path], tmp_path / "out.h5", seed=9)
    before, after = EventFile(path), EventFile(tmp_path / "out.h5")
    np.testing.assert_allclose(after.read_weights().sum(0), before.read_weights().sum(0))
    assert before.summary is not None
    assert after.summary is not None
    np.testing.assert_array_equal(before.summary.signal_events, after.summary.signal_events)


def test_different_setups_are_refused(tmp_path: Path) -> None:
    first = make_file(tmp_path / "a.h5", 5)
    moved = {**SETUP.benchmarks, "w": Benchmark("w", {"a": 2.0})}
    other = make_file(tmp_path / "b.h5", 5, setup=replace(SETUP, benchmarks=moved))
    with pytest.raises(SetupError, match=r"differ in benchmarks: .*1\.0.*2\.0"):
        combine_and_shuffle([first, other], tmp_path / "out.h5")
    renamed = replace(SETUP, observables={"number": "n", "pt": "j[0].pt"})
    other = make_file(tmp_path / "b.h5", 5, setup=renamed)
    with pytest.raises(SetupError, match=r"observables: \['number', 'met'\] and"):
        combine_and_shuffle([first, other], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    first = make_file(tmp_path / "a.h5", 5)
    out = tmp_path / "out.h5"
    with pytest.raises(OptionError, match="A list of at least one event file"):
        combine_and_shuffle([], out)
    with pytest.raises(OptionError, match="A list of at least one event file"):
        combine_and_shuffle(str(first), out)
    for k_factors in ([1.0, 2.0], 0.0, -1.0, float("nan"), [float("inf")]):
        with pytest.raises(OptionError, match="one for each of 1 files"):
            combine_and_shuffle([first], out, k_factors=k_factors)
    with pytest.raises(MissingFileError, match="There is no file"):
        combine_and_shuffle([first, tmp_path / "nothing.h5"], out)
    unsampled = make_file(tmp_path / "b.h5", 5, sampled=False)
    with pytest.raises(DataError, match="only one knows at which benchmarks"):
        combine_and_shuffle([first, unsampled], out)
    with pytest.raises(NoEventsError, match="There are no events"):
        combine_and_shuffle([make_file(tmp_path / "c.h5", 0)], out)
    assert not out.exists()


def test_damaged_input_leaves_the_old_output(tmp_path: Path) -> None:
    good, bad = make_file(tmp_path / "a.h5", 5), make_file(tmp_path / "b.h5", 5)
    out = make_file(tmp_path / "out.h5", 3)
    before = out.read_bytes()
    bad.write_bytes(bad.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="truncated"):
        combine_and_shuffle([good, bad], out)
    assert out.read_bytes() == before


def test_a_file_given_twice_is_refused(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(100)
    with pytest.raises(OptionError, match="must not be counted twice"):
        combine_and_shuffle([path, str(path)], tmp_path / "out.h5")
    with pytest.raises(OptionError, match="k_factors must be"):
        combine_and_shuffle([path], tmp_path / "out.h5", k_factors="2")  # type: ignore[arg-type]
