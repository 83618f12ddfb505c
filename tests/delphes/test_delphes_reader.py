"""The reader of Delphes: observables, cuts, functions, samples, deletion, saving."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from madminer import DelphesReader
from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    NoEventsError,
    OptionError,
    OutputError,
    SetupError,
    UnknownNameError,
)
from madminer.io import EventFile
from madminer.io.root_files import DelphesFile

from .conftest import EXCERPT, EXCERPT_SYST, HEPMC, Branches, with_leaf

DELTA_PHI = "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))"


def add_excerpt(reader: DelphesReader, **options: Any) -> None:
    reader.add_sample(None, "sm", delphes_filename=EXCERPT, **{"is_background": True, **options})


@pytest.fixture
def background(reader: DelphesReader) -> DelphesReader:
    """With sixty events, whose weights are no matter here."""
    add_excerpt(reader, weights="delphes")
    return reader


def columns(path: Path, branch: str, leaf: str) -> list[list[float]]:
    with DelphesFile(path) as file:
        counts, found = file.columns(branch, [leaf], slice(0, file.n_events))
    return ak.unflatten(found[leaf], counts).tolist()


def test_observables_defaults_and_required(background: DelphesReader) -> None:
    background.add_observable("pt_a1", "a[0].pt", required=True, default=5.0)
    background.add_observable("pt_j4", "j[3].pt", default=-1.0)
    background.add_observable("delta_phi", DELTA_PHI)
    background.analyse_delphes_samples()
    pt_a, pt_j = columns(EXCERPT, "Photon", "PT"), columns(EXCERPT, "Jet", "PT")
    kept = [i for i in range(60) if pt_a[i]]  # required: whatever the default
    assert 0 < len(kept) < 60
    found = background.observations
    assert found["pt_a1"] == pytest.approx([max(pt_a[i]) for i in kept])
    expected = [sorted(pt_j[i])[-4] if len(pt_j[i]) > 3 else -1.0 for i in kept]
    assert found["pt_j4"] == pytest.approx(expected)
    undefined = [len(pt_j[i]) < 2 for i in kept]
    assert np.isnan(found["delta_phi"]).tolist() == undefined
    assert background.cut_flow is not None
    assert background.cut_flow.n_events.tolist() == [60, len(kept)]


def test_undefined_without_default_is_reported(
    background: DelphesReader, caplog: pytest.LogCaptureFixture
) -> None:
    background.add_observable("pt_j5", "j[4].pt")
    background.analyse_delphes_samples()
    assert "pt_j5 is undefined in" in caplog.text


def test_cuts_see_observables(background: DelphesReader) -> None:
    background.add_cut("pt_j1 > 60.0")
    background.add_cut("len(a) >= 1")
    background.add_cut("j[2].pt > 30.0", required=True)  # passes where there is no third jet
    background.analyse_delphes_samples()
    pt_a, pt_j = columns(EXCERPT, "Photon", "PT"), columns(EXCERPT, "Jet", "PT")
    expected = [
        max(jets)
        for jets, photons in zip(pt_j, pt_a, strict=True)
        if max(jets, default=0.0) > 60.0 and photons and (len(jets) < 3 or sorted(jets)[-3] > 30.0)
    ]
    assert background.observations["pt_j1"] == pytest.approx(expected)


def test_acceptance_comes_first(background: DelphesReader) -> None:
    background.set_acceptance(pt_min_j=60.0, eta_max_j=2.0, pt_min_a=40.0)
    background.analyse_delphes_samples()
    pt, eta = columns(EXCERPT, "Jet", "PT"), columns(EXCERPT, "Jet", "Eta")
    expected = [
        max((p for p, y in zip(*event, strict=True) if p >= 60.0 and abs(y) <= 2.0), default=0.0)
        for event in zip(pt, eta, strict=True)
    ]
    assert background.observations["pt_j1"] == pytest.approx(expected)
    photons = columns(EXCERPT, "Photon", "PT")
    expected_numbers = [sum(p >= 40.0 for p in event) for event in photons]
    assert background.observations["n_a"].tolist() == expected_numbers
    background.set_acceptance()
    with pytest.raises(SetupError, match="acceptance declared after"):
        background.save("unused.h5")


def test_default_observables(setup_file: Path) -> None:
    reader = DelphesReader(setup_file)
    add_excerpt(reader, weights="delphes")
    reader.add_default_observables()
    reader.analyse_delphes_samples()
    assert len(reader.observations) == 2 + 2 + 3 + 2 * 5 + 2 * 4 + 2 * 4
    assert not any(np.isnan(column).any() for column in reader.observations.values())
    pt = columns(EXCERPT, "Jet", "PT")
    assert reader.observations["n_js"].tolist() == [len(event) for event in pt]


# Functions


def sum_of_four(leptons: list[Any], photons: list[Any], jets: list[Any], met: Any) -> float:
    if len(jets) < 2:
        raise RuntimeError
    return float(jets[0].pt + jets[1].pt + 10.0 * len(photons) + len(leptons) + met.pt)


def sum_of_five(particles: list[Any], *others: Any) -> float:
    return 1e6 * len(particles) + sum_of_four(*others)


def columnar(leptons: Any, photons: Any, jets: Any, met: Any) -> Any:
    two = ak.pad_none(jets.pt, 2)
    return two[:, 0] + two[:, 1] + 10.0 * ak.num(photons) + ak.num(leptons) + met.pt


def test_functions_of_four_and_five(
    background: DelphesReader, caplog: pytest.LogCaptureFixture
) -> None:
    def five(particles: Any, leptons: Any, photons: Any, jets: Any, met: Any) -> float:
        return sum_of_five(particles, leptons, photons, jets, met)

    background.add_observable_from_function("four", sum_of_four)
    background.add_observable_from_function("five", five)
    background.add_observable_from_function("fast", columnar, columnar=True)
    with caplog.at_level(logging.WARNING):
        background.analyse_delphes_samples()
    found = background.observations
    np.testing.assert_allclose(found["five"], found["four"], rtol=1e-12)
    np.testing.assert_allclose(found["fast"], found["four"], rtol=1e-12)
    assert 0 < np.count_nonzero(np.isnan(found["four"])) < 60
    assert "functions of five arguments get no generator particles" in caplog.text


def test_function_of_another_form(reader: DelphesReader) -> None:
    with pytest.raises(
        SetupError,
        match=r"must take the four arguments \(leptons, photons, jets, met\) or five arguments",
    ):
        reader.add_observable_from_function("x", lambda jets: len(jets))


# Samples


def test_samples_add_up_and_run_anywhere(setup_file: Path, lhe: Callable[..., Path]) -> None:
    def make() -> DelphesReader:
        reader = DelphesReader(setup_file)
        reader.add_observable("met", "met.pt")
        reader.add_observable("leading", "j[0].pt", default=0.0)
        reader.add_cut("met > 10.0")
        reader.add_sample(
            None, "sm", delphes_filename=EXCERPT, lhe_filename=lhe(), systematics=["lumi"]
        )
        reader.add_sample(*(None, "w", True, EXCERPT_SYST), k_factor=3.0, weights="delphes")
        return reader

    plain = make()
    plain.analyse_delphes_samples()
    for executor in (ThreadPoolExecutor(2), ProcessPoolExecutor(1, get_context("forkserver"))):
        other = make()
        with executor:
            other.analyse_delphes_samples(executor=executor)
        for name, column in plain.observations.items():
            np.testing.assert_array_equal(column, other.observations[name])
        for name, column in plain.weights.items():
            np.testing.assert_array_equal(column, other.weights[name])
    ids = np.asarray(plain.events_sampling_benchmark_ids)
    assert plain.background_events == np.count_nonzero(ids < 0)
    assert plain.background_events is not None
    assert 0 < plain.background_events <= 30
    assert plain.signal_events_per_benchmark is not None
    assert plain.signal_events_per_benchmark[0] == np.count_nonzero(ids == 0)
    varied = plain.weights["lumi_nuisance_param_0_benchmark_0"]
    assert varied[ids == 0] == pytest.approx(1.1 * plain.weights["sm"][ids == 0])
    np.testing.assert_array_equal(varied[ids < 0], plain.weights["sm"][ids < 0])
    with pytest.raises(OptionError, match="executor must be a"):
        make().analyse_delphes_samples(executor=3)  # type: ignore[arg-type]


def test_save_and_read_again(background: DelphesReader, tmp_path: Path) -> None:
    background.analyse_delphes_samples(reference_benchmark="w")
    background.save(tmp_path / "events.h5", shuffle=False)
    file = EventFile(tmp_path / "events.h5")
    events = file.read()
    np.testing.assert_array_equal(events.x[:, 0], background.observations["pt_j1"])
    assert file.setup.observables == {"pt_j1": "j[0].pt", "n_a": "len(a)", "met": "met.pt"}
    assert file.summary is not None
    assert file.summary.background_events == 60


def test_output_is_no_input(background: DelphesReader) -> None:
    background.analyse_delphes_samples()
    with pytest.raises(OutputError, match="is the sample itself"):
        background.save(EXCERPT)


def test_files_are_deleted_only_after_success(reader: DelphesReader, tmp_path: Path) -> None:
    copies = [Path(shutil.copy(EXCERPT, tmp_path / name)) for name in ("a.root", "b.root")]
    for copy in copies:
        reader.add_sample(None, "sm", True, copy, weights="delphes", k_factor=0.5)
    reader.add_cut("met > 1e9")
    with pytest.raises(NoEventsError, match="No event passes the selection"):
        reader.analyse_delphes_samples(delete_delphes_files=True)
    assert all(copy.is_file() for copy in copies)
    reader.reset_cuts()
    copies[1].write_bytes(copies[1].read_bytes()[:30_000])
    with pytest.raises(FileFormatError, match=r"b\.root is truncated: \d+ bytes are missing"):
        reader.analyse_delphes_samples(delete_delphes_files=True)
    assert all(copy.is_file() for copy in copies)
    shutil.copy(EXCERPT, copies[1])
    reader.analyse_delphes_samples(delete_delphes_files=True)
    assert not any(copy.exists() for copy in copies)
    assert len(reader.observations["met"]) == 120
    reader.save(tmp_path / "events.h5")
    with pytest.raises(MissingFileError, match="Call run_delphes first"):
        reader.analyse_delphes_samples()


def test_no_jets_in_any_event(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write({**branches, "Jet": branches["Jet"][:, :0]})
    reader.add_sample(None, "sm", True, path, weights="delphes")
    reader.analyse_delphes_samples()
    assert np.all(reader.observations["pt_j1"] == 0.0)
    reader.add_observable("phi_j1", "j[0].phi")
    reader.analyse_delphes_samples()
    with pytest.raises(DataError, match=r"\['phi_j1'\] are undefined .* in every event"):
        reader.save(tmp_path / "events.h5")
    reader.add_observable("eta_j1", "j[0].eta", required=True)
    with pytest.raises(NoEventsError, match=r"required observables +0"):
        reader.analyse_delphes_samples()


def test_generator_truth(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path]
) -> None:
    reader.add_sample(None, "sm", True, EXCERPT, weights="delphes")
    reader.reset_observables()
    reader.add_observable("pt_j1", "j[0].pt", default=0.0)
    reader.add_observable("met", "met.pt")
    reader.analyse_delphes_samples(generator_truth=True)
    pt = columns(EXCERPT, "GenJet", "PT")
    assert reader.observations["pt_j1"] == pytest.approx([max(p, default=0.0) for p in pt])
    met = np.ravel(columns(EXCERPT, "GenMissingET", "MET"))
    np.testing.assert_allclose(reader.observations["met"], met, rtol=1e-6)
    reader.add_observable("n_e", "len(e)")
    with pytest.raises(FileFormatError, match="no 'Particle'"):
        reader.analyse_delphes_samples(generator_truth=True)
    reader.add_observable("n_p", "len(p)")
    with pytest.raises(OptionError, match="generator_truth=True"):
        reader.analyse_delphes_samples()


def test_efficiencies_of_all_particles_need_the_generator(reader: DelphesReader) -> None:
    reader.add_sample(None, "sm", True, EXCERPT, weights="delphes")
    reader.add_efficiency("1.0 / (1 + len(p))")
    with pytest.raises(OptionError, match="generator_truth=True"):
        reader.analyse_delphes_samples()


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"delphes_filename": "no.root"}, MissingFileError, "no HepMC file to run it on"),
        ({"hepmc_filename": "no.hepmc"}, MissingFileError, "no event file no.hepmc"),
        ({"lhe_filename": "no.lhe"}, MissingFileError, "no event file no.lhe"),
        ({"lhe_filename": None}, OptionError, "give lhe_filename"),
        ({"weights": "hepmc"}, OptionError, "needs hepmc_filename"),
        ({"weights": "root"}, OptionError, "weights must be one of 'lhe', 'hepmc', 'delphes'"),
        ({"sampled_from_benchmark": "no"}, UnknownNameError, "no"),
        ({"k_factor": 0.0}, OptionError, "k_factor"),
        ({"is_background": "no"}, OptionError, "is_background"),
        ({"systematics": "jes"}, SetupError, "no systematic uncertainty 'jes'"),
        ({"delphes_filename": 3}, OptionError, "delphes_filename must be a path"),
    ],
)
def test_samples_are_checked_when_added(
    reader: DelphesReader,
    lhe: Callable[..., Path],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    usual: dict[str, Any] = {
        "hepmc_filename": None,
        "sampled_from_benchmark": "sm",
        "delphes_filename": EXCERPT,
        "lhe_filename": lhe(),
    }
    if "hepmc_filename" in options:
        usual["delphes_filename"] = None
    with pytest.raises(error, match=message):
        reader.add_sample(**{**usual, **options})
    assert not reader.samples


def test_hepmc_file_may_be_gone(reader: DelphesReader, lhe: Callable[..., Path]) -> None:
    reader.add_sample("gone.hepmc", "sm", delphes_filename=EXCERPT, lhe_filename=lhe())
    reader.analyse_delphes_samples()
    assert len(reader.observations["met"]) == 60


def test_analysis_before_run(reader: DelphesReader, lhe: Callable[..., Path]) -> None:
    reader.add_sample(HEPMC, "sm", lhe_filename=lhe())
    with pytest.raises(MissingFileError, match=r"no file of Delphes yet for .*Call run_delphes"):
        reader.analyse_delphes_samples()


def test_nothing_declared(setup_file: Path) -> None:
    reader = DelphesReader(setup_file)
    with pytest.raises(SetupError, match="no observables"):
        reader.analyse_delphes_samples()
    reader.add_observable("met", "met.pt")
    with pytest.raises(NoEventsError, match="no samples"):
        reader.analyse_delphes_samples()


def test_event_weights_of_one_event_that_is_zero(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    values = np.array(branches["Weight"]["Weight"].tolist(), dtype=np.float32)
    values[3, 0] = 0.0
    path = write(with_leaf(branches, "Weight.Weight", values))
    reader.add_sample(None, "sm", False, path, lhe(), weights="delphes")
    with pytest.raises(DataError, match="1 events have the nominal weight 0"):
        reader.analyse_delphes_samples()
