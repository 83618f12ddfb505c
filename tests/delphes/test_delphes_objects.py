"""Objects of Delphes against twins that read the file event by event."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector

from madminer import DelphesReader
from madminer.delphes.objects import Acceptance, DelphesObjects, merged
from madminer.errors import DataError, ExpressionError, FileFormatError, OptionError
from madminer.io.root_files import DelphesFile

from .conftest import EXCERPT, Branches, with_leaf

MASSES = {"Electron": 0.000511, "Muon": 0.105, "Photon": 0.0}


def twin_events(path: Path) -> list[dict[str, list[Any]]]:
    """Four-vectors of each event, spelled out."""
    with uproot.open(path) as file:
        tree = file["Delphes"]
        names = ("Electron", "Muon", "Photon", "Jet", "GenJet")
        columns = {
            n: tree.arrays([f"{n}.{leaf}" for leaf in ("PT", "Eta", "Phi")], library="np")
            for n in names
        }
        masses = {n: tree[f"{n}.Mass"].array(library="np") for n in ("Jet", "GenJet")}
        n_events = tree.num_entries
    events = []
    for i in range(n_events):
        event = {}
        for name in names:
            leaves = (columns[name][f"{name}.{leaf}"][i] for leaf in ("PT", "Eta", "Phi"))
            rows = zip(*leaves, strict=True)
            event[name] = [
                vector.obj(
                    pt=float(pt),
                    eta=float(eta),
                    phi=float(phi),
                    mass=float(masses[name][i][k]) if name in masses else MASSES[name],
                )
                for k, (pt, eta, phi) in enumerate(rows)
            ]
        events.append(event)
    return events


@pytest.fixture
def particles(branches: Branches) -> Branches:
    """The same events with a few generator particles: rows of code, status, pile-up, charge, E."""
    rows = [
        (11, 1, 0, -1, 30.0),
        (-13, 1, 0, 1, 50.0),
        (22, 1, 0, 0, 20.0),
        (22, 1, 1, 0, 99.0),  # pile-up
        (22, 2, 0, 0, 98.0),  # decayed
        (12, 1, 0, 0, 40.0),
        (-11, 1, 0, 1, 10.0),
    ]
    code, status, pile_up, charge, energy = np.array(rows).T
    columns = {
        "PID": code,
        "Status": status,
        "IsPU": pile_up,
        "Charge": charge,
        "E": energy,
        "Px": 0.6 * energy,
        "Py": np.zeros(7),
        "Pz": 0.8 * energy,
        "Mass": np.zeros(7),
    }
    n_events = len(branches["Jet"])
    is_whole = {"PID", "Status", "IsPU", "Charge"}
    tiled = {
        name: ak.Array(
            [np.asarray(v, dtype=np.int32 if name in is_whole else np.float32)] * n_events
        )
        for name, v in columns.items()
    }
    return {**branches, "Particle": ak.zip(tiled)}


def test_objects_agree_with_an_event_loop() -> None:
    with DelphesFile(EXCERPT) as file:
        objects = DelphesObjects(file, slice(0, file.n_events), Acceptance())
        visible, met = objects["visible"], objects["met"]
        for i, event in enumerate(twin_events(EXCERPT)):
            for symbol, name in (("e", "Electron"), ("mu", "Muon"), ("a", "Photon"), ("j", "Jet")):
                expected = sorted(event[name], key=lambda p: -p.pt)
                for quantity in ("pt", "eta", "phi", "E"):
                    ours = getattr(objects[symbol][i], quantity).tolist()
                    assert ours == pytest.approx([getattr(p, quantity) for p in expected])
            leptons = sorted(event["Electron"] + event["Muon"], key=lambda p: -p.pt)
            assert objects["l"][i].pt.tolist() == pytest.approx([p.pt for p in leptons])
            everything = [p for n in ("Electron", "Muon", "Photon", "Jet") for p in event[n]]
            assert visible[i].px == pytest.approx(sum(p.px for p in everything))
            assert pytest.approx(sum(p.E for p in everything)) == visible[i].E
            assert objects["all"][i].px == pytest.approx(visible[i].px + met[i].px)
    assert np.all(np.asarray(met.eta) == 0.0)
    assert np.all(np.abs(np.asarray(met.m)) < 1e-4)


def test_masses_codes_charges_and_tags(branches: Branches, write: Callable[..., Path]) -> None:
    n_events = len(branches["Jet"])
    leptons = ak.Array([[{"PT": 20.0, "Eta": 1.0, "Phi": 0.1, "Charge": 1}]] * n_events)
    muons = ak.Array([[{"PT": 30.0, "Eta": -1.0, "Phi": 0.2, "Charge": -1}]] * n_events)
    tags = {"BTag": np.int32(2), "TauTag": np.int32(1)}
    for leaf, value in tags.items():
        branches = with_leaf(
            branches, f"Jet.{leaf}", ak.values_astype(branches["Jet"]["PT"] * 0 + value, np.uint32)
        )
    path = write({**branches, "Electron": leptons, "Muon": muons})
    with DelphesFile(path) as file:
        objects = DelphesObjects(file, slice(0, n_events), Acceptance())
        assert ak.all(objects["l"].pdgid == [[13, -11]])
        assert ak.all(objects["l"].charge == [[-1.0, 1.0]])
        np.testing.assert_allclose(ak.flatten(objects["mu"].m), 0.105, rtol=1e-6)
        np.testing.assert_allclose(ak.flatten(objects["e"].m), 0.000511, rtol=1e-3)
        assert ak.all(objects["j"].pdgid == 9)
        assert ak.all(objects["j"].b_tag)  # any working point of the card
        assert ak.all(objects["j"].tau_tag)
        assert not ak.any(objects["j"].t_tag)


def test_acceptance_includes_its_limits(branches: Branches, write: Callable[..., Path]) -> None:
    jet = {"Mass": 0.0, "BTag": 0, "TauTag": 0, "Charge": 0, "Phi": 0.0}
    momenta = [(20.0, 2.5), (19.999, 0.0), (50.0, -2.5), (50.0, 2.501), (60.0, 0.0)]
    jets = ak.Array([[{**jet, "PT": pt, "Eta": eta} for pt, eta in momenta]] * 60)
    acceptance = Acceptance({"j": 20.0}, {"j": 2.5})
    with DelphesFile(write({**branches, "Jet": jets})) as file:
        objects = DelphesObjects(file, slice(0, 60), acceptance)
        assert objects["j"].pt[0].tolist() == pytest.approx([60.0, 50.0, 20.0])
        seen = DelphesObjects(file, slice(0, 60), Acceptance(dict.fromkeys(("e", "mu", "j"), 1e9)))[
            "visible"
        ]
        photons = DelphesObjects(file, slice(0, 60), Acceptance())["a"]
        np.testing.assert_allclose(np.asarray(seen.px), ak.sum(photons.px, axis=1), atol=1e-6)


def test_chunks_do_not_matter(branches: Branches, write: Callable[..., Path]) -> None:
    path = write(branches, n_baskets=3)
    with DelphesFile(path) as file:
        assert file.n_events == 180
        whole = DelphesObjects(file, slice(0, 180), Acceptance())["j"].pt
        for size in (7, 60, 100, 1000):
            chunks = list(file.chunks(size))
            assert [r.start for r in chunks[1:]] == [r.stop for r in chunks[:-1]]
            assert (chunks[0].start, chunks[-1].stop) == (0, 180)
            parts = [DelphesObjects(file, rows, Acceptance())["j"].pt for rows in chunks]
            assert ak.all(ak.concatenate(parts) == whole)


def test_lists_are_sorted(branches: Branches, write: Callable[..., Path]) -> None:
    path = write({**branches, "Jet": branches["Jet"][:, ::-1]})  # softest first
    with DelphesFile(path) as file, DelphesFile(EXCERPT) as original:
        rows = slice(0, 60)
        sorted_again = DelphesObjects(file, rows, Acceptance())["j"].pt
        assert ak.all(sorted_again == DelphesObjects(original, rows, Acceptance())["j"].pt)


def test_generator_truth(particles: Branches, write: Callable[..., Path]) -> None:
    with DelphesFile(write(particles)) as file:
        rows = slice(0, 60)
        truth = DelphesObjects(file, rows, Acceptance(eta_max={"a": 0.5}), truth=True)
        assert truth["e"].pt[0].tolist() == pytest.approx([18.0, 6.0])
        assert truth["e"].charge[0].tolist() == [-1.0, 1.0]
        assert truth["mu"].pdgid[0].tolist() == [-13]
        assert truth["l"].pt[0].tolist() == pytest.approx([30.0, 18.0, 6.0])
        assert truth["a"][0].pt.tolist() == []  # eta = arsinh(4/3) = 1.1
        assert truth["p"].pdgid[0].tolist() == [11, -13, 22, 12, -11]
        jets, met = (
            file.columns("GenJet", ["PT"], rows),
            file.one_per_event("GenMissingET", "MET", rows),
        )
        assert ak.num(truth["j"]).tolist() == jets[0].tolist()
        np.testing.assert_allclose(np.asarray(truth["met"].pt), met, rtol=1e-6)
        assert DelphesObjects(file, rows, Acceptance(), truth=True)["a"].pt[0].tolist() == [
            pytest.approx(12.0)
        ]


def test_truth_needs_particles() -> None:
    with DelphesFile(EXCERPT) as file:
        objects = DelphesObjects(file, slice(0, 60), Acceptance(), truth=True)
        with pytest.raises(FileFormatError, match=r"no 'Particle', but \['Event'.*TreeWriter"):
            objects["e"]
        assert math.isfinite(float(objects["j"].pt[0, 0]))  # jets of the generator are there


def test_tracks_only_if_asked_for(branches: Branches, write: Callable[..., Path]) -> None:
    track = {"PT": 3.0, "Eta": 0.5, "Phi": 1.0, "Charge": -1}
    path = write({**branches, "Track": ak.Array([[track, {**track, "PT": 4.0}]] * 60)})
    with DelphesFile(path) as file:
        tracks = DelphesObjects(file, slice(0, 60), Acceptance())["tracks"]
        assert tracks.pt[0].tolist() == [4.0, 3.0]
        assert tracks.charge[0].tolist() == [-1.0, -1.0]
        np.testing.assert_allclose(ak.flatten(tracks.m), 0.13957, rtol=1e-3)


def test_momenta_that_are_not_finite(branches: Branches, write: Callable[..., Path]) -> None:
    values = ak.values_astype(branches["Jet"]["PT"] * np.nan, np.float32)
    with (
        DelphesFile(write(with_leaf(branches, "Jet.PT", values))) as file,
        pytest.raises(DataError, match=r"values of Jet\.PT are not finite"),
    ):
        DelphesObjects(file, slice(0, 60), Acceptance())["j"]


def test_merged_keeps_events_apart() -> None:
    with DelphesFile(EXCERPT) as file:
        objects = DelphesObjects(file, slice(0, 60), Acceptance())
        photons, jets = objects._particles("a"), objects._particles("j")
        both = merged(photons, jets)
        assert both.counts.tolist() == (photons.counts + jets.counts).tolist()
        first = both.pdgid[: both.counts[0]].tolist()
        assert first == [22] * int(photons.counts[0]) + [9] * int(jets.counts[0])


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "20"])
def test_acceptance_is_checked(reader: DelphesReader, value: Any) -> None:
    with pytest.raises(OptionError, match="pt_min_j must be a number from 0"):
        reader.set_acceptance(pt_min_j=value)


def test_vocabulary(reader: DelphesReader) -> None:
    for name in ("e", "mu", "l", "a", "j", "tracks", "p"):
        reader.add_observable(f"n_{name}s", f"len({name})")
    for name in ("met", "visible", "all"):
        reader.add_observable(f"pt_{name}", f"{name}.pt")
    for name in ("v", "tau", "p_truth", "scale"):
        with pytest.raises(ExpressionError, match=name):
            reader.add_observable("x", f"len({name})")
