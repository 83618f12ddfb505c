"""Event files: round trips, pieces, chosen rows, and what is refused."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import (
    DataError,
    FileChangedError,
    FileFormatError,
    MissingFileError,
    MissingWeightsError,
    OptionError,
    OutputError,
    ShapeError,
)
from madminer.io import (
    EventFile,
    Events,
    EventSummary,
    EventWriter,
    read_setup,
    write_events,
    write_setup,
)
from madminer.io.hdf5 import FORMAT_VERSION, create_hdf5
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark

SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={name: Benchmark(name, {"a": float(i)}) for i, name in enumerate(["sm", "w"])},
    observables={"pt": "j[0].pt", "met": "met.pt", "phi": "j[0].phi"},
)


def make_events(n: int, *, seed: int = 0, sampled: bool = True) -> Events:
    rng = np.random.default_rng(seed)
    indices = rng.integers(-1, 2, size=n) if sampled else None
    return Events(rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), indices)


def make_file(path: Path, n: int = 50, **options: Any) -> tuple[EventFile, Events]:
    events = make_events(n, **options)
    write_events(path, SETUP, events, None)
    return EventFile(path), events


def assert_same(first: Events, second: Events) -> None:
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert (first.sampling_benchmarks is None) == (second.sampling_benchmarks is None)
    if first.sampling_benchmarks is not None and second.sampling_benchmarks is not None:
        np.testing.assert_array_equal(first.sampling_benchmarks, second.sampling_benchmarks)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 200), st.booleans(), st.integers(1, 70), st.booleans())
def test_round_trip(n: int, sampled: bool, piece: int, announced: bool) -> None:
    events = make_events(n, sampled=sampled)
    summary = EventSummary(np.array([n, 2]), 7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.h5"
        with EventWriter(path, SETUP, n_events=n if announced else None) as writer:
            for i in range(0, n, piece):
                stop = slice(i, i + piece)
                indices = events.sampling_benchmarks
                writer.append(
                    Events(
                        events.x[stop],
                        events.weights[stop],
                        None if indices is None else indices[stop],
                    )
                )
            writer.set_summary(summary)
        file = EventFile(path)
        assert len(file) == n
        if n:
            assert file.has_sampling_benchmarks == sampled
            assert_same(file.read(), events)
        assert file.summary is not None
        np.testing.assert_array_equal(file.summary.signal_events, [n, 2])
        assert file.summary.background_events == 7
        pieces = list(file.iterate(batch_size=piece))
        assert sum(len(batch) for batch in pieces) == n
        assert [len(batch) for batch in pieces[:-1]] == [piece] * (len(pieces) - 1)


def test_file_of_madminer_0_9(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "public.json").read_text())
    file = EventFile(shared / "reference" / "public.h5")
    assert (file.n_events, file.n_observables, file.n_benchmarks) == (20_000, 4, 9)
    assert file.n_events == reference["n_events"]
    assert file.summary is not None
    assert file.summary.background_events == 4_000
    assert file.summary.signal_events.sum() == 16_000
    sampled = file.read_sampling_benchmarks()
    assert sampled is not None
    counted = EventSummary.count(sampled, 6)
    np.testing.assert_array_equal(counted.signal_events, file.summary.signal_events)
    assert repr(file).endswith("20000 events, 4 observables, 9 benchmarks)")


@pytest.mark.parametrize("name", ["public.h5", "public_nosyst.h5"])
def test_layout_is_that_of_madminer_0_9(shared: Path, tmp_path: Path, name: str) -> None:
    original = EventFile(shared / "reference" / name)
    write_events(tmp_path / name, original.setup, original.read(), original.summary)
    with h5py.File(original.path) as theirs, h5py.File(tmp_path / name) as ours:
        assert set(theirs) == set(ours)
        for group in theirs:
            assert set(theirs[group]) == set(ours[group])
            for dataset in theirs[group]:
                expected, got = theirs[group][dataset], ours[group][dataset]
                assert (got.shape, got.dtype, got.chunks) == (expected.shape, expected.dtype, None)
                np.testing.assert_array_equal(got[()], expected[()])


def test_ranges(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5")
    np.testing.assert_array_equal(file.read(10, 20).x, events.x[10:20])
    np.testing.assert_array_equal(file.read_weights(45), events.weights[45:])
    assert len(file.read(50)) == 0
    assert len(list(file.iterate(3, 10, None))) == 1
    for start, stop in [(-1, 5), (5, 4), (0, 51), (51, None)]:
        with pytest.raises(OptionError, match="0 <= start <= stop <= 50"):
            file.read(start, stop)
    with pytest.raises(OptionError, match="batch_size must be at least 1"):
        file.iterate(batch_size=0)


def test_memory_of_batches(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5", 20_000)
    tracemalloc.start()
    try:
        batches = [len(batch) for batch in file.iterate(memory_limit=2e5)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5e5  # with HDF5 and the setup
    assert sum(batches) == 20_000
    assert set(batches[:-1]) == {int(2e5 // (17 * 6))}
    first = next(file.iterate(5, 9, batch_size=1, memory_limit=1e6))
    np.testing.assert_array_equal(first.x, events.x[5:9])
    for limit in (0.0, 101, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="at least the 102 that reading an event"):
            file.iterate(memory_limit=limit)


def test_rows_and_take(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5")
    indices = np.array([49, 0, 7, 7, 30])
    np.testing.assert_array_equal(file.rows(indices), events.x[indices])
    taken = file.take(indices)
    np.testing.assert_array_equal(taken.weights, events.weights[indices])
    assert events.sampling_benchmarks is not None
    np.testing.assert_array_equal(taken.sampling_benchmarks, events.sampling_benchmarks[indices])
    assert file.rows(np.array([], dtype=int)).shape == (0, 3)
    with pytest.raises(OptionError, match="events 0 to 49, but events -1 to 50"):
        file.rows(np.array([50, -1]))


def test_file_without_sampling_benchmarks(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5", sampled=False)
    assert not file.has_sampling_benchmarks
    assert file.read_sampling_benchmarks() is None
    assert file.take(np.array([3])).sampling_benchmarks is None
    assert_same(file.read(), events)
    with h5py.File(file.path) as stored:
        assert stored["samples/sampling_benchmarks"].shape == (0,)


def test_undefined_observables_are_counted_and_named(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5")
    events.x[[3, 5], 1] = np.nan
    events.x[7, 2] = np.inf
    write_events(file.path, SETUP, events, None)
    file = EventFile(file.path)
    for read in (file.read, lambda: file.rows(np.arange(50)), lambda: list(file.iterate())):
        with pytest.raises(DataError, match=r"met \(2\), phi \(1\)\. Give these observables"):
            read()
    assert np.isnan(file.read(allow_nan=True).x).sum() == 2
    assert len(file.read(10)) == 40
    assert file.read_weights().shape == (50, 2)


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    file, events = make_file(tmp_path / "events.h5")
    before = file.path.read_bytes()
    events.weights[4, 1] = np.nan
    with pytest.raises(DataError, match=r"of 50 events: w \(1\)"):
        write_events(file.path, SETUP, events, None)
    assert file.path.read_bytes() == before
    with h5py.File(file.path, "a") as stored:
        stored["samples/weights"][4, 1] = np.inf
    file = EventFile(file.path)
    with pytest.raises(DataError, match=r"Weights in .*: w \(1\)"):
        file.read_weights()
    with pytest.raises(DataError, match=r"Weights in .*: w \(1\)"):
        file.read(allow_nan=True)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, SETUP)
    with pytest.raises(MissingWeightsError, match=r"no event weights.*LHEReader"):
        EventFile(path)
    with pytest.raises(MissingFileError, match="There is no file"):
        EventFile(tmp_path / "nothing.h5")


@pytest.mark.parametrize(
    ("name", "shape", "error", "message"),
    [
        ("weights", (50, 3), MissingWeightsError, "3 weights for each event, but 2 benchmarks"),
        ("observations", (49, 3), FileFormatError, r"\(50, 3\).*got \(49, 3\)"),
        ("observations", (50, 2), FileFormatError, r"'phi'\]; got \(50, 2\)"),
        ("observations", None, FileFormatError, "got None"),
        ("sampling_benchmarks", (10,), FileFormatError, "of all 50 events or of none"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, shape: Any, error: type[Exception], message: str
) -> None:
    file, _ = make_file(tmp_path / "events.h5")
    with h5py.File(file.path, "a") as stored:
        del stored[f"samples/{name}"]
        if shape is not None:
            stored[f"samples/{name}"] = np.zeros(shape, dtype=np.int64)
    with pytest.raises(error, match=message):
        EventFile(file.path)


def test_wrong_summary_and_unknown_sampling_benchmarks_are_refused(tmp_path: Path) -> None:
    file, _ = make_file(tmp_path / "events.h5")
    with h5py.File(file.path, "a") as stored:
        stored["samples/sampling_benchmarks"][3] = 2
    with pytest.raises(FileFormatError, match="generated at benchmark 2, but only 2"):
        EventFile(file.path).read()
    with h5py.File(file.path, "a") as stored:
        stored["sample_summary/signal_events"] = [1, 2, 3]
        stored["sample_summary/background_events"] = 0
    with pytest.raises(FileFormatError, match="each of 2 physical benchmarks"):
        EventFile(file.path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    file, _ = make_file(tmp_path / "events.h5")
    file.path.write_bytes(file.path.read_bytes()[:3000])
    with pytest.raises(FileFormatError, match=r"events\.h5 cannot be read.*truncated"):
        EventFile(file.path)
    with pytest.raises(FileChangedError, match="written to while it was in use"):
        file.read()


@pytest.mark.parametrize("reader", [EventFile, read_setup])
def test_files_of_a_newer_format_are_refused(tmp_path: Path, reader: Any) -> None:
    file, _ = make_file(tmp_path / "events.h5")
    for version in (FORMAT_VERSION + 1, np.uint8(200)):
        with h5py.File(file.path, "a") as stored:
            stored.attrs["madminer_format"] = version
        with pytest.raises(FileFormatError, match=rf"version {version}, .*newer MadMiner.*upgrade"):
            reader(file.path)
    for nonsense in ("new", -1, 1.5, np.zeros(2)):
        with h5py.File(file.path, "a") as stored:
            stored.attrs["madminer_format"] = nonsense
        with pytest.raises(FileFormatError, match="must have a version number"):
            reader(file.path)
    with h5py.File(file.path, "a") as stored:
        del stored.attrs["madminer_format"]  # as in files of MadMiner 0.9
    reader(file.path)
    assert EventFile(file.path).version == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file, events = make_file(tmp_path / "events.h5")

    def write() -> None:
        with EventWriter(file.path, SETUP) as writer:
            writer.append(make_events(10, seed=1))
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == [file.path]
    assert_same(file.read(), events)


@pytest.mark.parametrize("n_events", [None, 50])
def test_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_events: int | None
) -> None:
    file, events = make_file(tmp_path / "events.h5")

    def flush(_: h5py.File) -> None:
        raise RuntimeError("Unable to flush file (errno = 28)")  # as on a disk that is full then

    monkeypatch.setattr(h5py.File, "flush", flush)
    with (
        pytest.raises(OutputError, match=r"the end of a file in .*28"),
        EventWriter(file.path, SETUP, n_events=n_events) as writer,
    ):
        writer.append(make_events(50, seed=1))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [file.path]
    assert_same(file.read(), events)


def test_files_in_the_making_are_emptied_after_an_error(tmp_path: Path) -> None:
    """On a full disk HDF5 cannot close a file otherwise, and crashes at the end of the process."""
    sizes: list[int] = []

    def fill() -> None:
        with create_hdf5(tmp_path / "file.h5") as file:
            file["numbers"] = np.arange(100_000.0)
            sizes.append((tmp_path / "file.h5").stat().st_size)
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert sizes[0] > 800_000
    assert (tmp_path / "file.h5").stat().st_blocks * 512 < 100_000


def test_wrong_pieces_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"

    def write(*pieces: Events, n_events: int | None = None) -> None:
        with EventWriter(path, SETUP, n_events=n_events) as writer:
            for piece in pieces:
                writer.append(piece)

    with pytest.raises(ShapeError, match=r"\(3, 2\) columns; got \(2, 2\)"):
        write(Events(np.zeros((5, 2)), np.zeros((5, 2))))
    with pytest.raises(ShapeError, match="10 events were announced, got at least 15"):
        write(make_events(5), make_events(10), n_events=10)
    with pytest.raises(ShapeError, match="10 events were announced, got 5"):
        write(make_events(5), n_events=10)
    with pytest.raises(DataError, match="all pieces of an event file have sampling benchmarks"):
        write(make_events(5), make_events(5, sampled=False))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="inside its with statement"):
        EventWriter(path, SETUP).append(make_events(5))


def test_events_are_written_at_any_place_and_read_back(tmp_path: Path) -> None:
    events = make_events(30)
    with EventWriter(tmp_path / "events.h5", SETUP, n_events=30) as writer:
        with pytest.raises(OptionError, match="0 to 1 were asked for, of 0 that are written"):
            writer.read_back(0, 1)
        writer.write_at(20, events.select(slice(20, 30)))
        writer.write_at(0, make_events(20, seed=1))
        writer.write_at(0, events.select(slice(0, 20)))
        assert_same(writer.read_back(5, 25), events.select(slice(5, 25)))
        for start, error in [(-1, OptionError), (25, ShapeError)]:
            with pytest.raises(error, match=r"from 0 on|30 events were announced, got at least 35"):
                writer.write_at(start, make_events(10))
    assert_same(EventFile(tmp_path / "events.h5").read(), events)
    with (
        pytest.raises(OptionError, match="an announced number"),
        EventWriter(tmp_path / "events.h5", SETUP) as writer,
    ):
        writer.write_at(0, events)


def test_selected_and_assigned_events() -> None:
    events = make_events(10)
    rows = np.array([9, 0, 0])
    assert events.sampling_benchmarks is not None
    expected = Events(events.x[rows], events.weights[rows], events.sampling_benchmarks[rows])
    assert_same(events.select(rows), expected)
    space = events.empty_like(4)
    space.assign(0, events.select(slice(6, 10)))
    assert_same(space, events.select(np.arange(6, 10)))
    assert make_events(3, sampled=False).empty_like(2).sampling_benchmarks is None


def test_arrays_of_different_events_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\), \(5, 2\) and None"):
        Events(np.zeros((4, 3)), np.zeros((5, 2)))
    with pytest.raises(ShapeError, match="Events need observables"):
        Events(np.zeros(4), np.zeros((4, 2)))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        Events(np.zeros((4, 3)), np.zeros((4, 2)), np.zeros(3, dtype=int))
