"""From a Les Houches event file to an event file: weights, seeds, processes, refusals."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from madminer.delphes import DelphesReader
from madminer.errors import (
    FileFormatError,
    MissingWeightsError,
    OptionError,
    OutputError,
    SetupError,
)
from madminer.io import EventFile
from madminer.io.lhe import read_lhe
from madminer.lhe import LHEReader

pytest.importorskip("pythia8mc", reason="needs the extra shower")
pytest.importorskip("fastjet", reason="needs the extra shower")

from madminer.shower import Detector, ShowerReader, pythia, shower_reader

SETTINGS = {"PartonLevel:MPI": False}
DEFINITIONS = {
    "n_a": "len(a)",
    "n_j": "len(j)",
    "pt_j1": "j[0].pt",
    "m_aa": "(a[0] + a[1]).m",
    "met": "met.pt",
}


@contextmanager
def excerpt() -> Iterator[None]:
    """The header still announces all 10,000 events."""
    with pytest.warns(UserWarning, match="scaled to the cross section"):
        yield


def reader_of(setup_file: Path, sample: Path, **options: object) -> ShowerReader:
    reader = ShowerReader(setup_file)
    options = {"settings": SETTINGS, **options} if options.get("shower", True) else options
    reader.add_sample(sample, "sm", **options)  # type: ignore[arg-type]
    for name, definition in DEFINITIONS.items():
        reader.add_observable(name, definition, default=-1.0)
    return reader


def analysed(setup_file: Path, sample: Path, seed: int = 1, **options: object) -> ShowerReader:
    reader = reader_of(setup_file, sample, **options)
    with excerpt():
        reader.analyse_samples(seed=seed)
    return reader


def number_of_photons(leptons: object, photons: list, jets: object, met: object) -> int:
    return len(photons)


def test_weights_are_those_of_the_file(setup_file: Path, sample: Path) -> None:
    reader = analysed(setup_file, sample)
    _, events = read_lhe(sample)
    scale = 5.8236058e-3 / events.xwgtup.sum()
    np.testing.assert_allclose(reader.weights["sm"], scale * events.xwgtup, rtol=1e-6)
    for name, weights in events.weights.items():
        np.testing.assert_allclose(reader.weights[name], scale * weights, rtol=1e-6)


def test_weights_agree_with_those_of_the_parton_level(setup_file: Path, sample: Path) -> None:
    ours = analysed(setup_file, sample)
    partons = LHEReader(setup_file)
    partons.add_sample(sample, "sm")
    partons.add_observable("n", "len(p)")
    with excerpt():
        partons.analyse_samples()
    for name, weights in partons.weights.items():
        np.testing.assert_array_equal(ours.weights[name], weights)


def test_observables_make_sense(setup_file: Path, sample: Path) -> None:
    found = analysed(setup_file, sample).observations
    m_aa = found["m_aa"][found["n_a"] == 2]
    assert len(m_aa) > 15
    assert np.median(np.abs(m_aa - 125.0)) < 0.5
    assert np.mean(found["n_j"] >= 2) > 0.8
    assert found["met"].mean() < 15.0  # nothing but neutrinos of hadrons and the forward region


def test_detector_changes_objects(setup_file: Path, sample: Path) -> None:
    perfect = analysed(setup_file, sample)
    reader = reader_of(setup_file, sample)
    reader.set_detector("atlas")
    with excerpt():
        reader.analyse_samples(seed=1)
    assert reader.detector.name == "ATLAS-like"
    assert reader.observations["n_a"].sum() < perfect.observations["n_a"].sum()
    assert reader.observations["met"].mean() > perfect.observations["met"].mean()


def test_seeds(setup_file: Path, sample: Path) -> None:
    first, again, other = (
        analysed(setup_file, sample, seed).observations["pt_j1"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.9


def test_samples_have_seeds_of_their_own(setup_file: Path, sample: Path) -> None:
    reader = reader_of(setup_file, sample)
    reader.add_sample(sample, "sm", settings=SETTINGS)
    with excerpt():
        reader.analyse_samples(seed=1)
    first, second = np.split(reader.observations["pt_j1"], 2)
    assert np.mean(first != second) > 0.9


def test_processes_give_the_same_events(
    setup_file: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lhe_blocks = pythia.lhe_blocks
    monkeypatch.setattr(shower_reader, "lhe_blocks", lambda file: lhe_blocks(file, 10))  # three
    alone = analysed(setup_file, sample)
    reader = reader_of(setup_file, sample)
    with excerpt():
        reader.analyse_samples(n_processes=2, seed=1)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, excerpt():
        other = reader_of(setup_file, sample)
        other.analyse_samples(executor=pool, seed=1)
    for name in DEFINITIONS:
        np.testing.assert_array_equal(reader.observations[name], alone.observations[name])
        np.testing.assert_array_equal(other.observations[name], alone.observations[name])


def test_dropped_events_take_their_weights_along(
    setup_file: Path, sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head, *events = sample.read_text().split("<event>")
    events[4] = events[4].replace(" 501", " 777", 1)
    sample.write_text("<event>".join([head, *events]))
    with caplog.at_level(logging.WARNING, "madminer"):
        reader = analysed(setup_file, sample)
    assert "Pythia failed for 1 of 30 events" in caplog.text
    assert "[4]" in caplog.text
    _, whole = read_lhe(sample)
    kept = np.delete(np.arange(30), 4)
    scale = 5.8236058e-3 / whole.xwgtup.sum()
    np.testing.assert_allclose(reader.weights["w"], scale * whole.weights["w"][kept], rtol=1e-6)


def test_event_file(setup_file: Path, sample: Path, tmp_path: Path) -> None:
    reader = analysed(setup_file, sample)
    reader.save(tmp_path / "events.h5", shuffle=False)
    file = EventFile(tmp_path / "events.h5")
    assert list(file.setup.observables) == list(DEFINITIONS)
    np.testing.assert_array_equal(file.read().x[:, 2], reader.observations["pt_j1"])


def test_all_particles_and_leptons(setup_file: Path, sample: Path) -> None:
    reader = ShowerReader(setup_file)
    reader.add_sample(sample, "sm", settings=SETTINGS)
    reader.add_observable("energy", "sum([q.e for q in p])")
    reader.add_observable("charge", "sum([q.charge for q in p])")
    reader.add_observable("n_l", "len(l) - len(e) - len(mu)")
    reader.add_observable("e_all", "all.pt")
    with excerpt():
        reader.analyse_samples(seed=1)
    np.testing.assert_allclose(reader.observations["energy"], 13_000.0, rtol=1e-6)
    np.testing.assert_array_equal(reader.observations["charge"], 2.0)
    np.testing.assert_array_equal(reader.observations["n_l"], 0.0)


def test_functions_cuts_and_efficiencies(setup_file: Path, sample: Path) -> None:
    reader = reader_of(setup_file, sample)
    reader.add_observable_from_function("n_photons", number_of_photons)
    reader.add_cut("n_a >= 1")
    reader.add_efficiency("0.5")
    with excerpt():
        reader.analyse_samples(seed=1)
    np.testing.assert_array_equal(reader.observations["n_photons"], reader.observations["n_a"])
    assert reader.cut_flow is not None
    before, after = reader.cut_flow.cross_section[-2:]
    assert after == pytest.approx(0.5 * before)


def test_signal_that_is_declared_as_background_is_said(
    setup_file: Path, sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for is_background in (False, True):
        analysed(setup_file, sample, shower=False, is_background=is_background)
        assert ("looks like signal" in caplog.text) == is_background


def test_partons_without_a_shower(setup_file: Path, sample: Path) -> None:
    """In a perfect detector they have the momenta of the event file."""
    reader = analysed(setup_file, sample, shower=False)
    partons = LHEReader(setup_file)
    partons.add_sample(sample, "sm")
    for name in ("n_a", "n_j", "pt_j1", "m_aa"):
        partons.add_observable(name, DEFINITIONS[name], default=-1.0)
    with excerpt():
        partons.analyse_samples()
    is_whole = reader.observations["n_j"] == partons.observations["n_j"]
    assert np.mean(is_whole) > 0.5
    for name in ("pt_j1", "m_aa"):
        both = is_whole & (reader.observations["n_a"] == 2)
        ours, theirs = reader.observations[name][both], partons.observations[name][both]
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_hepmc_file_serves_as_input_of_delphes(
    setup_file: Path, sample: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyhepmc", reason="needs the extra shower")
    target = tmp_path / "events.hepmc.gz"
    analysed(setup_file, sample, hepmc_filename=target)
    assert gzip.decompress(target.read_bytes()).startswith(b"HepMC")
    reader = DelphesReader(setup_file)
    reader.add_sample(target, "sm", weights="hepmc")
    assert len(reader.samples) == 1


def test_truncated_file_is_found_before_the_shower(setup_file: Path, sample: Path) -> None:
    reader = reader_of(setup_file, sample)
    text = sample.read_bytes()
    sample.write_bytes(text[: len(text) - 500])
    with pytest.raises(FileFormatError, match="truncated"):
        reader.analyse_samples()


def test_missing_weights(setup_file: Path, sample: Path) -> None:
    reader = reader_of(setup_file, sample)
    sample.write_text(re.sub(r"<wgt id='w'>.*</wgt>\n", "", sample.read_text()))
    with pytest.raises(MissingWeightsError, match="'w'"):
        reader.analyse_samples()


def test_save_refuses_a_detector_set_afterwards(
    setup_file: Path, sample: Path, tmp_path: Path
) -> None:
    reader = analysed(setup_file, sample)
    reader.set_detector(Detector(name="another"))
    with pytest.raises(SetupError, match="detector declared after"):
        reader.save(tmp_path / "events.h5")


def test_refusals(setup_file: Path, sample: Path) -> None:
    reader = reader_of(setup_file, sample)
    with pytest.raises(OptionError, match="need shower=True"):
        reader.add_sample(sample, "sm", shower=False, settings=SETTINGS)
    with pytest.raises(OptionError, match="matching or merging"):
        reader.add_sample(sample, "sm", settings={"JetMatching:merge": True})
    with pytest.raises(OptionError, match="n_processes must be"):
        reader.analyse_samples(n_processes=0)
    with pytest.raises(OptionError, match="executor must be"):
        reader.analyse_samples(executor=2)  # type: ignore[arg-type]
    with pytest.raises(OutputError):
        reader.add_sample(sample, "sm", hepmc_filename=sample)
