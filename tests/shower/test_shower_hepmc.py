"""HepMC files of showered events, read back by pyhepmc and by our own reader of weights."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from madminer.io.hepmc import read_hepmc_weights, require_complete
from madminer.io.lhe import read_lhe

pytest.importorskip("pythia8mc", reason="needs the extra shower")
pytest.importorskip("fastjet", reason="needs the extra shower")
pytest.importorskip("pyhepmc", reason="needs the extra shower")

import pyhepmc

from madminer.shower import ShowerReader


def showered(setup_file: Path, sample: Path, target: Path) -> Path:
    reader = ShowerReader(setup_file)
    settings = {"PartonLevel:MPI": False}
    reader.add_sample(sample, "sm", settings=settings, hepmc_filename=target)
    reader.add_observable("n_a", "len(a)")
    with pytest.warns(UserWarning, match="scaled to the cross section"):
        reader.analyse_samples(seed=1)
    return target


@pytest.fixture
def file(setup_file: Path, sample: Path, tmp_path: Path) -> Path:
    return showered(setup_file, sample, tmp_path / "events.hepmc")


def test_weights_by_name_and_value(file: Path, sample: Path) -> None:
    require_complete(file)
    _, events = read_lhe(sample)
    weights = read_hepmc_weights(file)
    assert weights.names == ("Weight", *events.weights.names)
    np.testing.assert_array_equal(weights.numbers, np.arange(30))
    np.testing.assert_allclose(weights.matrix[:, 0], events.xwgtup, rtol=1e-12)
    np.testing.assert_allclose(weights.matrix[:, 1:], events.weights.matrix, rtol=1e-12)
    assert weights.cross_section == pytest.approx(5.8236e-3, rel=1e-4)


def test_events_are_whole_and_in_topological_order(file: Path) -> None:
    n_events = 0
    with pyhepmc.open(file) as content:
        for event in content:
            n_events += 1
            final = [p.momentum for p in event.particles if p.status == 1]
            assert sum(p.e for p in final) == pytest.approx(13_000.0, rel=1e-6)
            assert sum(p.px for p in final) == pytest.approx(0.0, abs=1e-3)
            assert [p.pid for p in event.beams] == [2212, 2212]
            assert all(m.id < p.id for p in event.particles for m in p.parents)
            assert all((p.end_vertex is None) == (p.status == 1) for p in event.particles)
    assert n_events == 30


def test_momentum_is_conserved_in_decays(file: Path) -> None:
    with pyhepmc.open(file) as content:
        for event in content:
            for vertex in event.vertices:
                if [p.status for p in vertex.particles_in] == [2]:
                    incoming = vertex.particles_in[0].momentum
                    outgoing = sum(p.momentum.e for p in vertex.particles_out)
                    assert outgoing == pytest.approx(incoming.e, rel=1e-4)


def test_equal_seeds_give_equal_files(setup_file: Path, sample: Path, tmp_path: Path) -> None:
    plain = showered(setup_file, sample, tmp_path / "first.hepmc")
    packed = showered(setup_file, sample, tmp_path / "second.hepmc.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
