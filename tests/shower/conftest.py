"""Small files of parton-level events: real ones with weights, and pairs of one kind of particle."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEHeader, write_lhe
from madminer.io.setup_file import write_setup
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark

LHE = Path(__file__).resolve().parents[1] / "data" / "sig_mg357_vbf_haa_rw_30.lhe.gz"
THETAS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
    "test_1": (1.5, 1.0),
    "test_2": (-1.0, 2.0),
}
ENERGY = 250.0  # of each particle of a pair, in GeV


@pytest.fixture
def setup_file(tmp_path: Path) -> Path:
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    benchmarks = {
        name: Benchmark.from_params(name, parameters, theta) for name, theta in THETAS.items()
    }
    write_setup(tmp_path / "setup.h5", AnalysisSetup(parameters, benchmarks))
    return tmp_path / "setup.h5"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Thirty events of Higgs production with decay into photons, with seven further weights."""
    file = tmp_path / "signal.lhe"
    file.write_bytes(gzip.decompress(LHE.read_bytes()))
    return file


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[[int, int], Path]:
    """Makes a file of events u ubar > f fbar at random angles, of a code and a number of events."""

    def write(code: int, n_events: int) -> Path:
        rng = np.random.default_rng(code)
        cosine = rng.uniform(-0.8, 0.8, n_events)
        phi = rng.uniform(-np.pi, np.pi, n_events)
        mass = {5: 4.8, 15: 1.777}.get(code, 0.0)
        p = np.sqrt(ENERGY**2 - mass**2)
        sine = np.sqrt(1.0 - cosine**2)
        zero, one = np.zeros(n_events), np.ones(n_events)
        x, y, z = p * sine * np.cos(phi), p * sine * np.sin(phi), p * cosine
        line = 502 if code < 6 else 0
        column = lambda *parts: np.column_stack(parts).ravel()  # noqa: E731
        file = tmp_path / f"pairs_{code}.lhe"
        events = LHEEvents(
            n_particles=np.full(n_events, 4),
            pdgid=np.tile([2, -2, code, -code], n_events),
            status=np.tile([-1, -1, 1, 1], n_events),
            px=column(zero, zero, x, -x),
            py=column(zero, zero, y, -y),
            pz=column(ENERGY * one, -ENERGY * one, z, -z),
            e=np.full(4 * n_events, ENERGY),
            m=np.tile([0.0, 0.0, mass, mass], n_events),
            spin=np.full(4 * n_events, 9.0),
            xwgtup=np.ones(n_events),
            scale=np.full(n_events, 2.0 * ENERGY),
            alpha_qed=np.full(n_events, 0.0075),
            alpha_qcd=np.full(n_events, 0.118),
            weights=Weights((), np.empty((n_events, 0))),
            mothers=np.tile([[0, 0], [0, 0], [1, 2], [1, 2]], (n_events, 1)),
            colours=np.tile([[501, 0], [0, 501], [line, 0], [0, line]], (n_events, 1)),
        )
        header = LHEHeader(
            beams=(2212, 2212), energies=(6500.0, 6500.0), idwtup=-4, cross_section=1.0
        )
        write_lhe(file, events, header)
        return file

    return write
