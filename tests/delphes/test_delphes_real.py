"""Whole files of real programs: cross sections, counts, and observables by independent routes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from madminer import DelphesReader, LHEReader
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import read_lhe

from .conftest import THETAS

FILES = {
    "delphes_atlas_sig_3k.root": ("sig_mg357_vbf_haa_rw.lhe.gz", "sm", 3000, 8),
    "delphes_tutorialcard_sigw_syst_1k.root": ("sig_mg357_vbf_haa_w_syst_rw.lhe.gz", "w", 1000, 19),
}
CROSS_SECTIONS = {"sm": (5.8236e-3, 1.55e-5), "w": (8.7478e-3, 1.99e-5)}  # pb, of the README


@pytest.fixture
def samples(shared: Path) -> Path:
    folder = shared / "samples"
    if not folder.is_dir():
        pytest.skip(f"needs the samples in {folder}")
    return folder


@pytest.fixture
def read(setup_file: Path, samples: Path) -> Callable[..., DelphesReader]:
    """Reads a file with every event, the weights from one source."""

    def read(name: str, source: str, **options: Any) -> DelphesReader:
        lhe, benchmark, _, _ = FILES[name]
        reader = DelphesReader(setup_file)
        reader.add_sample(
            *(None, benchmark, False, samples / name, samples / lhe), weights=source, **options
        )
        reader.add_observable("pt_j1", "j[0].pt", default=0.0)
        reader.add_observable("pt_a1", "a[0].pt", default=0.0)
        reader.add_observable("eta_a1", "a[0].eta", default=99.0)
        reader.add_observable("phi_a1", "a[0].phi", default=99.0)
        reader.add_observable("m_aa", "(a[0] + a[1]).m", default=0.0)
        reader.add_observable("n_b", "sum(1 for jet in j if jet.b_tag)")
        reader.add_observable("met", "met.pt")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*holds the first .* of the 10000 events.*")
            reader.analyse_delphes_samples()
        return reader

    return read


@pytest.mark.parametrize("name", FILES)
def test_cross_sections_and_counts(read: Callable[..., DelphesReader], name: str) -> None:
    _, benchmark, n_events, _ = FILES[name]
    expected, error = CROSS_SECTIONS[benchmark]
    systematics = ["lumi"] if benchmark == "sm" else ["lumi", "scales"]
    readers = [read(name, source, systematics=systematics) for source in ("lhe", "delphes")]
    for reader in readers:
        assert len(reader.observations["met"]) == n_events
        assert reader.signal_events_per_benchmark is not None
        assert reader.signal_events_per_benchmark.sum() == n_events
        assert reader.weights[benchmark].sum() == pytest.approx(expected, abs=error)
    for benchmark_name, column in readers[0].weights.items():
        np.testing.assert_allclose(column, readers[1].weights[benchmark_name], rtol=1e-6)
    for observable, column in readers[0].observations.items():
        np.testing.assert_array_equal(column, readers[1].observations[observable])


@pytest.mark.parametrize("name", FILES)
def test_weights_of_delphes_are_those_of_the_lhe_file(samples: Path, name: str) -> None:
    lhe, _, n_events, n_weights = FILES[name]
    _, events = read_lhe(samples / lhe, with_history=False)
    with uproot.open(samples / name) as file:
        found = np.array(file["Delphes"]["Weight.Weight"].array().tolist())
    assert found.shape == (n_events, n_weights)
    expected = np.column_stack([events.xwgtup, events.weights.matrix])[:n_events]
    np.testing.assert_allclose(found / found[:, :1], expected / expected[:, :1], rtol=1e-6)


def test_weights_of_hepmc_are_those_of_the_lhe_file(samples: Path) -> None:
    weights = read_hepmc_weights(samples / "sig_py8_50.hepmc3.gz")
    _, events = read_lhe(samples / "sig_mg357_vbf_haa_rw.lhe.gz", with_history=False)
    assert weights.names[1:] == events.weights.names
    np.testing.assert_allclose(weights.matrix[:, 0], events.xwgtup[:50])
    np.testing.assert_allclose(weights.matrix[:, 1:], events.weights.matrix[:50])
    assert weights.cross_section == pytest.approx(*CROSS_SECTIONS["sm"])


@pytest.mark.parametrize("name", FILES)
def test_files_of_each_other_are_refused(setup_file: Path, samples: Path, name: str) -> None:
    (other, benchmark, _, _) = next(FILES[key] for key in FILES if key != name)
    reader = DelphesReader(setup_file)
    reader.add_sample(None, benchmark, False, samples / name, samples / other)
    reader.add_observable("met", "met.pt")
    with pytest.raises(ValueError, match="neither numbers nor weights tell"):
        reader.analyse_delphes_samples()


@pytest.mark.parametrize("name", FILES)
def test_photons_are_those_of_the_partons(
    read: Callable[..., DelphesReader], setup_file: Path, samples: Path, name: str
) -> None:
    """The leading photon of the detector against the photons of the same event before it."""
    lhe, benchmark, n_events, _ = FILES[name]
    parton = LHEReader(setup_file)
    parton.add_sample(samples / lhe, benchmark)
    for k in (0, 1):
        for quantity in ("pt", "eta", "phi"):
            parton.add_observable(f"{quantity}_{k}", f"a[{k}].{quantity}")
    parton.analyse_samples()
    detector = read(name, "lhe").observations
    seen = detector["pt_a1"] > 0.0

    def distances(rows: np.ndarray) -> np.ndarray:
        """To both photons of the partons of these events."""
        found = []
        for k in (0, 1):
            delta_phi = np.abs(detector["phi_a1"] - parton.observations[f"phi_{k}"][rows])
            delta_phi = np.minimum(delta_phi, 2.0 * np.pi - delta_phi)
            found.append(
                np.hypot(detector["eta_a1"] - parton.observations[f"eta_{k}"][rows], delta_phi)
            )
        return np.array(found)[:, seen]

    rows = np.arange(n_events)
    near = distances(rows).min(axis=0) < 0.3  # the shower gives the Higgs boson a recoil
    out_of_step = distances(rows + 1).min(axis=0) < 0.3
    assert np.mean(seen) > 0.7
    assert np.mean(near) > 0.95
    assert np.mean(out_of_step) < 0.1
    pt = np.array([parton.observations[f"pt_{k}"][rows][seen] for k in (0, 1)])
    nearest = distances(rows).argmin(axis=0)
    ratio = detector["pt_a1"][seen] / pt[nearest, np.arange(len(nearest))]
    assert np.median(ratio[near]) == pytest.approx(1.0, abs=0.02)
    m_aa = detector["m_aa"][detector["m_aa"] > 0.0]
    assert np.median(m_aa) == pytest.approx(125.0, abs=1.0)


def test_jets_of_the_generator_contain_the_photons(setup_file: Path, samples: Path) -> None:
    """GenJet, truth in the file, holds every photon of the partons above its threshold."""
    name = "delphes_atlas_sig_3k.root"
    _, events = read_lhe(samples / FILES[name][0], with_history=False)
    with uproot.open(samples / name) as file:
        jets = file["Delphes"].arrays([f"GenJet.{q}" for q in ("PT", "Eta", "Phi")], library="np")
    ends = events.offsets
    matched, ratios = 0, []
    n_photons = 0
    for i in range(500):
        part = slice(ends[i], ends[i + 1])
        for k in np.flatnonzero((events.pdgid[part] == 22) & (events.status[part] == 1)):
            px, py, pz = (getattr(events, q)[part][k] for q in ("px", "py", "pz"))
            pt = math.hypot(px, py)
            if pt < 40.0 or abs(eta := math.asinh(pz / pt)) > 2.0:
                continue
            n_photons += 1
            delta_phi = np.abs(jets["GenJet.Phi"][i] - math.atan2(py, px))
            delta_phi = np.minimum(delta_phi, 2.0 * np.pi - delta_phi)
            distance = np.hypot(jets["GenJet.Eta"][i] - eta, delta_phi)
            if len(distance) and distance.min() < 0.3:
                matched += 1
                ratios.append(jets["GenJet.PT"][i][np.argmin(distance)] / pt)
    assert n_photons > 300
    assert matched / n_photons > 0.98
    assert 1.0 < np.median(ratios) < 1.2  # and the underlying event


@pytest.mark.parametrize("name", FILES)
def test_cut_flow_against_a_loop(
    read: Callable[..., DelphesReader], samples: Path, name: str
) -> None:
    """Counts that a loop over uproot's arrays gives."""
    reader = read(name, "delphes")
    reader.add_cut("m_aa > 122.0")
    reader.add_cut("m_aa < 128.0")
    reader.add_cut("pt_j1 > 30.0")
    reader.analyse_delphes_samples()
    with uproot.open(samples / name) as file:
        names = ("Photon.PT", "Photon.Eta", "Photon.Phi", "Jet.PT", "Jet.BTag")
        rows = file["Delphes"].arrays(names, library="np")
    counts = np.zeros(4, dtype=int)
    for pt, eta, phi, jets, _ in zip(*(rows[n] for n in names), strict=True):
        counts[0] += 1
        if len(pt) < 2:
            continue
        pt, eta, phi = (np.asarray(q, dtype=float) for q in (pt, eta, phi))
        m = math.sqrt(
            2.0 * pt[0] * pt[1] * (math.cosh(eta[0] - eta[1]) - math.cos(phi[0] - phi[1]))
        )
        counts[1:] += [
            m > 122.0,
            122.0 < m < 128.0,
            122.0 < m < 128.0 and max(jets, default=0) > 30,
        ]
    assert reader.cut_flow is not None
    assert reader.cut_flow.n_events.tolist() == [counts[0], counts[0], *counts[1:]]
    n_b = [np.count_nonzero(tags) for tags in rows["Jet.BTag"]]
    assert read(name, "delphes").observations["n_b"].tolist() == n_b


def test_every_benchmark_has_weights(read: Callable[..., DelphesReader]) -> None:
    reader = read("delphes_atlas_sig_3k.root", "lhe")
    assert list(reader.weights) == list(THETAS)
    assert all(np.all(column > 0.0) for column in reader.weights.values())
