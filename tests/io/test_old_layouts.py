"""Files of MadMiner 0.2 to 0.8, and files that do not know where their events were generated."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.io import EventFile, check_event_file
from madminer.io.setup_file import read_setup
from madminer.models.setup import setup_differences
from madminer.sampling import SampleAugmenter, benchmark, combine_and_shuffle

Make = Callable[..., Path]


def make_old(path: Path, new: Path, *, missing: tuple[str, ...] = ()) -> Path:
    """The file with the names that datasets had in 0.8, and without what came later."""
    shutil.copy(new, path)
    with h5py.File(path, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        file.move("parameters/val_ranges", "parameters/ranges")
        file.move("sample_summary/signal_events", "sample_summary/signal_events_per_benchmark")
        for name in missing:
            del file[name]
    return path


@pytest.mark.parametrize(
    "missing",
    [
        (),
        ("sample_summary", "samples/sampling_benchmarks"),
        ("parameters/transforms", "benchmarks/is_nuisance", "benchmarks/is_reference"),
        ("sample_summary/background_events",),
    ],
)
def test_old_files_are_read(toy_event_file: Make, tmp_path: Path, missing: tuple[str, ...]) -> None:
    new = EventFile(toy_event_file(300))
    old = EventFile(make_old(tmp_path / "old.h5", new.path, missing=missing))
    assert old.version == 0
    assert setup_differences(new.setup, old.setup) == []
    assert {name: p.val_range for name, p in old.setup.parameters.items()} == {
        name: p.val_range for name, p in new.setup.parameters.items()
    }
    np.testing.assert_array_equal(old.read().weights, new.read().weights)
    knows = "sample_summary" not in missing
    assert old.has_sampling_benchmarks == knows
    assert (old.summary is not None) == knows
    if knows and new.summary is not None and old.summary is not None:
        np.testing.assert_array_equal(old.summary.signal_events, new.summary.signal_events)


def test_old_transforms_and_nuisance_parameters(toy_event_file: Make, tmp_path: Path) -> None:
    path = make_old(tmp_path / "old.h5", toy_event_file(10))
    with h5py.File(path, "r+") as file:
        file["parameters/transforms"][...] = b""
        file["nuisance_parameters/names"] = np.array([b"scale", b"pdf"])
        file["nuisance_parameters/benchmark_positive"] = np.array([b"w1", b"w3"])
        file["nuisance_parameters/benchmark_negative"] = np.array([b"w2", b""])
    setup = read_setup(path)
    assert [p.transform for p in setup.parameters.values()] == [None, None]
    assert [p.benchmark_neg for p in setup.nuisance_parameters.values()] == ["w2", None]
    assert [p.systematic for p in setup.nuisance_parameters.values()] == ["scale", "pdf"]


@pytest.fixture
def unknown(toy_event_file: Make, tmp_path: Path) -> Path:
    """A file that MadMiner 0.9.6 writes when a script fills its reader by hand."""
    path = tmp_path / "unknown.h5"
    shutil.copy(toy_event_file(400), path)
    with h5py.File(path, "r+") as file:
        for name in ("samples/sampling_benchmarks", "sample_summary/signal_events"):
            del file[name]
            file[name] = np.empty(0)
    return path


def test_without_counts_all_events_are_alike(
    unknown: Path, toy_event_file: Make, caplog: pytest.LogCaptureFixture
) -> None:
    file = EventFile(unknown)
    assert file.summary is None
    assert not file.has_sampling_benchmarks
    analyzer = DataAnalyzer(unknown)
    weights = EventFile(toy_event_file(400)).read_weights()
    np.testing.assert_allclose(analyzer.xsecs()[0], weights.sum(axis=0))
    assert not caplog.records
    with caplog.at_level(logging.INFO, "madminer"):
        np.testing.assert_allclose(analyzer.xsecs(generated_close_to="sm")[0], weights.sum(axis=0))
        analyzer.xsecs(generated_close_to="w1")
    told = [r for r in caplog.records if "not known where" in r.message]
    assert [r.levelname for r in told] == ["WARNING"]  # once
    caplog.clear()
    with caplog.at_level(logging.INFO, "madminer"):
        sample = SampleAugmenter(unknown).sample_train_plain(benchmark("sm"), 50, seed=1)
    assert len(sample.x) == 50
    assert [r.levelname for r in caplog.records if "not known where" in r.message] == ["INFO"]


def test_what_needs_counts_says_so(unknown: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert any("not known where" in f.text for f in check_event_file(unknown).of_level("warning"))
    with caplog.at_level(logging.INFO, "madminer"):
        combine_and_shuffle([unknown], unknown.with_name("shuffled.h5"), seed=1)
    assert "header has no numbers of generated events" in caplog.text
    assert EventFile(unknown.with_name("shuffled.h5")).summary is None
