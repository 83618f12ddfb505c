"""Event files that are replaced, written to or cut short while they are in use."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import FileChangedError, FileFormatError, MissingFileError
from madminer.io import EventFile, export_parquet
from madminer.io.opened import OpenedFile
from madminer.io.parquet import ParquetFile
from madminer.sampling import SampleAugmenter, benchmark, combine_and_shuffle

Make = Callable[..., Path]


@pytest.fixture
def files(toy_event_file: Make, tmp_path: Path) -> tuple[Path, Path]:
    """The file in use, and another one of the same size."""
    used, other = tmp_path / "used.h5", tmp_path / "other.h5"
    shutil.copy(toy_event_file(2_000, seed=1), used)
    shutil.copy(toy_event_file(2_000, seed=2), other)
    assert used.stat().st_size == other.stat().st_size
    return used, other


def rewrite(used: Path, other: Path) -> None:
    shutil.copyfile(other, used)


def cut(used: Path, _: Path) -> None:
    os.truncate(used, used.stat().st_size // 2)


def change_one_weight(used: Path, _: Path) -> None:
    with h5py.File(used, "r+") as file:
        file["samples/weights"][3, 1] *= 2.0


READS: dict[str, Callable[[EventFile], object]] = {
    "read": lambda file: file.read(),
    "weights": lambda file: file.read_weights(3, 9),
    "sampling benchmarks": lambda file: file.read_sampling_benchmarks(),
    "rows": lambda file: file.rows(np.array([1999, 3])),
    "many rows": lambda file: file.rows(np.arange(1999, -1, -1)),
    "take": lambda file: file.take(np.array([7])),
}


@pytest.mark.parametrize("change", [rewrite, cut, change_one_weight])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("chunks", [False, True])
def test_no_value_of_a_changed_file_is_handed_out(
    files: tuple[Path, Path], change: Callable[[Path, Path], None], read: str, chunks: bool
) -> None:
    if chunks:
        for path in files:
            in_chunks(path)
    file = EventFile(files[0])
    READS[read](file)
    change(*files)
    for _ in range(2):
        with pytest.raises(FileChangedError, match="written to while it was in use"):
            READS[read](file)


@pytest.mark.parametrize("chunks", [False, True])
def test_replaced_and_removed_files_are_read_on(files: tuple[Path, Path], chunks: bool) -> None:
    used, other = files
    if chunks:
        in_chunks(used)
    file, augmenter = EventFile(used), SampleAugmenter(used)
    events = file.read()
    other.replace(used)
    np.testing.assert_array_equal(file.rows(np.array([5, 1])), events.x[[5, 1]])
    sample = augmenter.sample_train_local(benchmark("sm"), 500, seed=1, double_precision=True)
    score = sample.x[:, [3, 1]] / sample.x[:, :1]  # of the same events, see the fixture, up to
    np.testing.assert_allclose(np.ptp(sample.t_xz - score, axis=0), 0.0, atol=1e-12)  # sigma's
    assert np.isin(sample.x[:, 0], events.x[:, 0]).all()
    used.unlink()
    np.testing.assert_array_equal(file.read().weights, events.weights)


def test_analyses_refuse_changed_files(files: tuple[Path, Path]) -> None:
    augmenter, analyzer = SampleAugmenter(files[0]), DataAnalyzer(files[0])
    augmenter.sample_train_local(benchmark("sm"), 500, seed=1)
    rewrite(*files)
    with pytest.raises(FileChangedError):
        augmenter.sample_train_local(benchmark("sm"), 500, seed=1)
    with pytest.raises(FileChangedError):
        analyzer.xsecs(["sm"])


@pytest.mark.parametrize("change", [rewrite, cut])
@pytest.mark.parametrize("when", [1, 3, 12])
def test_shuffling_refuses_sources_that_change(
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, Path], None],
    when: int,
) -> None:
    used, other = files
    output, calls = used.with_name("output.h5"), []
    read_at = OpenedFile.read_at

    def read(self: OpenedFile, offset: int, into: np.ndarray) -> None:
        calls.append(offset)
        if len(calls) == when:
            change(used, other)
        read_at(self, offset, into)

    monkeypatch.setattr(OpenedFile, "read_at", read)
    with pytest.raises(FileFormatError):
        combine_and_shuffle([used], output, seed=1)
    assert not output.exists()


def test_objects_in_other_processes_read_the_same_file_or_none(files: tuple[Path, Path]) -> None:
    used, other = files
    file = EventFile(used)
    twin = pickle.loads(pickle.dumps(file))  # noqa: S301  # as multiprocessing does
    for same in (twin, copy.copy(file), copy.deepcopy(file)):
        np.testing.assert_array_equal(same.read().x, file.read().x)
    text = pickle.dumps(file)
    other.replace(used)
    assert len(file.read()) == len(twin.read()) == 2_000  # opened before
    with pytest.raises(FileChangedError, match=r"was replaced.*Make the object"):
        pickle.loads(text).read()  # noqa: S301
    used.unlink()
    with pytest.raises(MissingFileError):
        pickle.loads(text).read()  # noqa: S301


def test_closed_files_open_again_if_they_are_the_same(files: tuple[Path, Path]) -> None:
    used, other = files
    file = EventFile(used)
    events = file.read()
    file.close()
    file.close()
    np.testing.assert_array_equal(file.read().x, events.x)
    file.close()
    other.replace(used)
    with pytest.raises(FileChangedError, match="was replaced"):
        file.read()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_many_files_are_open_and_closed_with_their_objects(files: tuple[Path, Path]) -> None:
    def n_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()
    before = n_open()
    many = [EventFile(files[i % 2]) for i in range(100)]
    assert n_open() == before + 100
    for path in files:  # neither kept from being replaced nor from being opened by others
        in_chunks(path)
        with h5py.File(path, "r+") as file:
            file.attrs["note"] = 1
    del many
    gc.collect()
    assert n_open() == before


def test_files_behind_each_other_in_one_tick_of_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    for number in range(20):
        path.write_bytes(bytes([number]) * 64)
        opened = OpenedFile(path)
        path.write_bytes(bytes([255]) * 64)
        with pytest.raises(FileChangedError):
            opened.read(8)


def test_parquet_files_that_change_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "events.parquet"
    export_parquet(files[0], path, batch_size=100)
    table = ParquetFile(path)
    pieces = table.iterate(table.columns[:1], 100)
    next(pieces)
    os.utime(path, ns=(0, 0))
    with pytest.raises(FileChangedError):
        list(pieces)


def in_chunks(path: Path) -> None:
    """Store the events as other tools do; the file is replaced."""
    new = path.with_name("chunks.h5")
    with h5py.File(path) as old, h5py.File(new, "w") as file:
        for name in old:
            old.copy(name, file)
        for name in ("observations", "weights", "sampling_benchmarks"):
            values = file[f"samples/{name}"][()]
            del file[f"samples/{name}"]
            file.create_dataset(f"samples/{name}", data=values, chunks=(64, *values.shape[1:]))
    new.replace(path)
