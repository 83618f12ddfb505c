"""Files with one thing wrong inside: they are read, or refused by name, never with a raw error."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import FileChangedError, FileFormatError, MadMinerError, OptionError
from madminer.io import EventFile, check_event_file, export_parquet, import_events, write_events
from madminer.io.parquet import setup_from_json, setup_to_json
from madminer.io.setup_file import read_setup, write_setup
from madminer.models import (
    AnalysisSetup,
    Benchmark,
    FiniteDiffBenchmark,
    FiniteDifferences,
    NuisanceParameter,
    Systematic,
    SystematicType,
)
from madminer.sampling import SampleAugmenter

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def whole(toy_event_file: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An event file with all that an event file can have."""
    file = EventFile(toy_event_file(60))
    events, setup = file.read(), file.setup
    nuisance = NuisanceParameter("nu", "pdf", "nu_plus", benchmarks_pos={"sm": "nu_plus"})
    zeros = dict.fromkeys(setup.parameters, 0.0)
    setup = replace(
        setup,
        benchmarks={**setup.benchmarks, "nu_plus": Benchmark("nu_plus", zeros, is_nuisance=True)},
        finite_differences=FiniteDifferences(
            {"sm": FiniteDiffBenchmark("sm", {"a": "w1", "b": "w2"})}, 0.01
        ),
        systematics={"pdf": Systematic("pdf", SystematicType.PDF, "CT14")},
        nuisance_parameters={"nu": nuisance},
        observables={**dict(list(setup.observables.items())[:-1]), "long": "pt[0] + " * 50 + "1"},
    )
    weights = np.hstack([events.weights, 1.1 * events.weights[:, :1]])
    path = tmp_path_factory.mktemp("whole") / "events.h5"
    write_events(path, setup, replace(events, weights=weights), file.summary)
    return path


def names_in(path: Path) -> list[str]:
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None
        )
    return names


def changed(values: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Other values than those of a dataset."""
    n = max(len(values) if values.ndim else 1, 1)
    yield "one row less", values[:-1] if values.ndim else values.reshape(1)
    yield "another axis", values[..., np.newaxis]
    yield "no axis", np.float64(rng.normal())
    yield "empty", np.empty(0)
    yield "null", h5py.Empty("f8")
    for special in (np.nan, np.inf, -1.0, 1e300, 2.0**62, 0.5):
        yield f"{special}", np.full(values.shape, special)
    yield "complex", np.ones(values.shape, dtype=complex)
    yield "truth values", np.ones(values.shape, dtype=bool)
    yield "unsigned", np.full(values.shape, 2**64 - 1, dtype=np.uint64)
    yield "compound", np.zeros(values.shape, dtype=[("a", "f8"), ("b", "i4")])
    yield "bytes", np.full(values.shape, b"\xff\xfe\x00x", dtype="S8")
    yield "long", np.full(values.shape, b"n" * 300, dtype="S300")
    yield "nothing", np.full(values.shape, b"", dtype="S4")
    yield "same", np.full(values.shape, b"sm", dtype="S4")
    yield "opaque", np.full(values.shape, b"abc", dtype=np.dtype("V3"))
    texts = np.array([f"text {i}" for i in range(n)], dtype=object)
    yield "texts", (texts, h5py.string_dtype())
    arrays = np.empty(n, dtype=h5py.vlen_dtype(np.int32))
    for i in range(n):
        arrays[i] = np.arange(3, dtype=np.int32)
    yield "arrays", (arrays, arrays.dtype)
    references = np.array([h5py.Reference()] * n, dtype=h5py.ref_dtype)
    yield "references", (references, references.dtype)


def replacements(name: str) -> Iterator[tuple[str, Callable[[h5py.File], None]]]:
    """Something other than a dataset in the place of one."""
    group, _, last = name.rpartition("/")

    def link(target: h5py.SoftLink | h5py.ExternalLink) -> Callable[[h5py.File], None]:
        def make(file: h5py.File) -> None:
            file[name] = target

        return make

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape=(10,), dtype="f8")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(10,))
        file.create_virtual_dataset(name, layout)

    def outside(file: h5py.File) -> None:
        file.create_dataset(name, (10,), "f8", external=[("/etc/hostname", 0, 80)])

    def sparse(file: h5py.File) -> None:
        file.create_dataset(name, (10**9, 7), "f8", chunks=(1000, 7))

    def cycle(file: h5py.File) -> None:
        file[name] = file[group]

    def never_written(file: h5py.File) -> None:
        file.create_dataset(name, (60, 7), "f8")

    yield "dropped", lambda _: None
    yield "group", lambda file: file.create_group(name).attrs.update(x=1)
    yield "type", lambda file: file.__setitem__(name, np.dtype("f8"))
    yield "soft link", link(h5py.SoftLink("/parameters/names"))
    yield "link to nothing", link(h5py.SoftLink("/nothing"))
    yield "link to itself", link(h5py.SoftLink(f"/{name}"))
    yield "external link", link(h5py.ExternalLink("/etc/hostname", "/x"))
    yield "virtual", virtual
    yield "outside", outside
    yield "sparse", sparse
    yield "cycle", cycle
    yield "never written", never_written
    yield "group dropped", lambda file: file.__delitem__(group)
    yield (
        f"group of {last} is a dataset",
        lambda file: (
            file.__delitem__(group),
            file.__setitem__(group, np.zeros(3)),
        )[1],
    )


def read_all(path: Path, *, with_samples: bool = True) -> None:
    """Read a file in all ways; only errors of MadMiner may come."""
    os.utime(path, (0, 0))  # files that were just written are waited for
    reads: tuple[Callable[[], object], ...] = (
        lambda: read_setup(path),
        lambda: EventFile(path).take(np.array([3, 1])),
        lambda: check_event_file(path),
        lambda: DataAnalyzer(path).xsecs(),
        lambda: SampleAugmenter(path).sample_train_plain("sm", 5, double_precision=True, seed=1),
    )
    try:
        for read in reads if with_samples else reads[:2]:
            read()
    except FileChangedError:
        raise AssertionError("the file has not changed") from None
    except MadMinerError as error:
        assert str(error), "an error says something"  # noqa: PT017


def damage(path: Path, whole: Path, names: list[str]) -> int:
    """Damage datasets in each way and read the file; returns the number of ways."""
    rng = np.random.default_rng(1)
    n_ways = 0
    for name in names:
        with h5py.File(whole) as file:
            values = file[name][()]
        ways: list[Any] = [
            *((way, (values, None)) for way, values in changed(np.asarray(values), rng)),
            *replacements(name),
        ]
        for way, new in ways:
            shutil.copy(whole, path)
            with h5py.File(path, "r+") as file:
                del file[name]
                if callable(new):
                    new(file)
                else:
                    data, dtype = new[0] if isinstance(new[0], tuple) else (new[0], None)
                    file.create_dataset(name, data=data, dtype=dtype)
            n_ways += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    read_all(path, with_samples=name.startswith("samples"))
            except BaseException as error:
                error.add_note(f"{name}: {way}")
                raise
    return n_ways


@pytest.mark.parametrize(
    "group",
    [
        "benchmarks",
        "finite_differences",
        "madminer",
        "morphing",
        "nuisance_parameters",
        "observables",
        "parameters",
        "sample_summary",
        "samples",
        "systematics",
    ],
)
def test_damaged_datasets_are_read_or_refused(tmp_path: Path, whole: Path, group: str) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(whole, path)
    read_all(path)
    names = [name for name in names_in(whole) if name.startswith(f"{group}/")]
    assert damage(path, whole, names) > 30


def test_damaged_bytes_are_read_or_refused(tmp_path: Path, whole: Path) -> None:
    """Single bytes of the structure of the file; what HDF5 itself cannot bear is left out."""
    rng = np.random.default_rng(2)
    content = whole.read_bytes()
    for n_bytes in (0, 7, 8, 100, 511, len(content) // 2, len(content) - 1):
        path = tmp_path / f"cut_{n_bytes}.h5"
        path.write_bytes(content[:n_bytes])
        with pytest.raises(FileFormatError, match="cannot be read as an HDF5 file"):
            EventFile(path)
    for i in range(20):
        damaged = bytearray(content)
        damaged[rng.integers(8, 96)] ^= 1 << rng.integers(8)
        path = tmp_path / f"damaged_{i}.h5"
        path.write_bytes(bytes(damaged))
        read_all(path)


@pytest.mark.parametrize("name", ["samples/weights", "samples/observations", "parameters/names"])
def test_far_more_values_than_bytes_are_refused(tmp_path: Path, whole: Path, name: str) -> None:
    path = tmp_path / "bomb.h5"
    shutil.copy(whole, path)
    with h5py.File(path, "r+") as file:
        dtype = file[name].dtype
        shape = (10**9, *file[name].shape[1:])
        del file[name]
        dataset = file.create_dataset(name, shape, dtype, chunks=(1000, *shape[1:]), compression=9)
        dataset[:10] = np.zeros(10, dtype)[:, *[np.newaxis] * (len(shape) - 1)]
    with pytest.raises(FileFormatError, match=r"announces .* bytes of .*compressed more than 100"):
        EventFile(path)


def test_one_long_text_many_times_is_refused(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "bomb.h5"
    shutil.copy(whole, path)
    with h5py.File(path, "r+") as file:
        del file["parameters/names"]
        names = file.create_dataset("parameters/names", (50_000,), h5py.string_dtype())
        names[0] = "n" * 100_000
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        offset = file["parameters/names"].id.get_offset()
    content[offset : offset + 16 * 50_000] = content[offset : offset + 16] * 50_000
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"announces .* bytes of 'parameters/names'"):
        read_setup(path)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, AnalysisSetup(observables={"met": "met.pt"}))
    with h5py.File(path, "r+") as file:
        del file["observables/names"]
        file["observables/names"] = np.array(["Größe".encode("latin-1")])
    with pytest.raises(FileFormatError, match=r"holds text as 'observables/names'.*UTF-8"):
        read_setup(path)


def test_damaged_json_is_read_or_refused(whole: Path) -> None:
    rng = np.random.default_rng(3)
    text = setup_to_json(read_setup(whole))
    others: list[Any] = [None, True, -1, 0.5, 1e300, 10**400, "x", [], [[]], {}, {"a": 1}, [1, "x"]]

    def damaged(plain: Any) -> Any:
        if rng.random() < 0.08 or not isinstance(plain, dict | list) or not plain:
            return others[rng.integers(len(others))]
        where = rng.choice(list(plain)) if isinstance(plain, dict) else rng.integers(len(plain))
        copy = plain.copy()
        copy[where] = damaged(copy[where])
        return copy

    for _ in range(2_000):
        try:
            setup_from_json(json.dumps(damaged(json.loads(text))))
        except MadMinerError as error:
            assert str(error)  # noqa: PT017
    for nonsense in ("", "[" * 100_000, '{"morphing": {"components": [[NaN]]}}', "\ud800", "1e999"):
        with pytest.raises(FileFormatError):
            setup_from_json(nonsense)


def test_damaged_parquet_files_are_read_or_refused(tmp_path: Path, whole: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    export_parquet(whole, path)
    rng = np.random.default_rng(4)
    content = path.read_bytes()

    def refused(damaged: bytes) -> bool:
        path.write_bytes(damaged)
        os.utime(path, (0, 0))
        try:
            import_events(path, tmp_path / "again.h5")
        except MadMinerError as error:
            return bool(str(error))
        return False

    assert not refused(content)
    for n_bytes in (0, 3, 100, len(content) // 2, len(content) - 1):
        assert refused(content[:n_bytes])
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        refused(bytes(damaged))
    path.write_bytes(content)
    table = pq.read_table(path)
    notes = json.loads(table.schema.metadata[b"madminer"])
    for key in notes:
        others: list[Any] = [None, -1, 1e300, "x", [], {}, [1, 2]]
        for other in others:
            text = json.dumps({**notes, key: other}).encode()
            pq.write_table(table.replace_schema_metadata({b"madminer": text}), path)
            refused(path.read_bytes())
    for text in (b"\xff\xfe", b"{", b"[1]", b"{}"):
        pq.write_table(table.replace_schema_metadata({b"madminer": text}), path)
        assert refused(path.read_bytes())


def test_files_that_may_not_be_read(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        EventFile(tmp_path)
    with pytest.raises(OptionError, match="names of at most 255 bytes"):
        EventFile(tmp_path / ("long" * 1_000))
    path = tmp_path / "secret.h5"
    shutil.copy(whole, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("may read all files")
    with pytest.raises(FileFormatError, match="Permission denied"):
        EventFile(path)
