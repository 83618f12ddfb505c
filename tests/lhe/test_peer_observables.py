"""Observables and weights of real events, event by event, beside those of MadMiner 0.9.6."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.lhe import LHEReader
from madminer.typing import FloatArray

DATA = Path(__file__).resolve().parents[1] / "data"
UNDEFINED = -999.0

#: Spacelike sums and massless balances keep fewer digits of the momenta in the file.
TOLERANCES = {"met": {"rtol": 0.0, "atol": 1e-6}, "e_a1_boosted": {"rtol": 1e-6, "atol": 0.0}}
TOLERANCE = {"rtol": 1e-7, "atol": 1e-9}

#: 0.9.6 gives phi of single particles in [0, 2 pi), ours is in (-pi, pi].
ANGLES = {"phi_j1", "phi_j2", "phi_a1", "phi_a2", "phi_aa", "phi_a1_atan2"}

THETAS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
}


class Peer(NamedTuple):
    """What MadMiner 0.9.6 computed for the first 500 events."""

    definitions: dict[str, str]
    observations: dict[str, FloatArray]
    weights: dict[str, FloatArray]


def _load_peer() -> Peer:
    with np.load(DATA / "peer_lhe_observables.npz") as file:
        names = file["names"].tolist()
        return Peer(
            definitions=dict(zip(names, file["definitions"].tolist(), strict=True)),
            observations=dict(zip(names, file["observations"].T, strict=True)),
            weights=dict(zip(file["benchmarks"].tolist(), file["weights"].T, strict=True)),
        )


PEER = _load_peer()


def _read(lhe: Path, folder: Path) -> LHEReader:
    miner = MadMiner()
    miner.add_parameter("SMEFT", 7, "cHW", parameter_range=(-5.0, 5.0))
    miner.add_parameter("SMEFTcpv", 4, "cHWtil", parameter_range=(-5.0, 5.0))
    for name, theta in THETAS.items():
        miner.add_benchmark(dict(zip(("cHW", "cHWtil"), theta, strict=True)), name)
    miner.set_morphing(max_overall_power=2)
    miner.save(folder / "setup.h5")
    reader = LHEReader(folder / "setup.h5")
    reader.add_sample(lhe, sampled_from_benchmark="sm")
    for name, definition in PEER.definitions.items():
        reader.add_observable(name, definition, default=UNDEFINED)
    reader.analyse_samples()
    return reader


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> LHEReader:
    return _read(DATA / "mg357_first500.lhe.gz", tmp_path_factory.mktemp("excerpt"))


@pytest.fixture(scope="module")
def sample(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> LHEReader:
    lhe = shared / "samples" / "sig_mg357_vbf_haa_rw.lhe.gz"
    return _read(lhe, tmp_path_factory.mktemp("sample"))


def _assert_as_peer(name: str, ours: FloatArray) -> None:
    peer = PEER.observations[name]
    if name in ANGLES:
        assert np.all((ours > -np.pi) & (ours <= np.pi))
        turns = np.round((peer - ours) / (2.0 * np.pi))
        peer = peer - 2.0 * np.pi * turns
    np.testing.assert_allclose(ours, peer, **TOLERANCES.get(name, TOLERANCE), err_msg=name)


@pytest.mark.parametrize("name", PEER.definitions)
def test_observables_of_the_excerpt_are_those_of_the_peer(name: str, excerpt: LHEReader) -> None:
    _assert_as_peer(name, np.asarray(excerpt.observations[name]))


def test_weights_of_the_excerpt_are_those_of_the_peer(excerpt: LHEReader) -> None:
    assert list(excerpt.weights) == list(PEER.weights)
    for name, weights in PEER.weights.items():
        np.testing.assert_allclose(excerpt.weights[name], weights, rtol=1e-12, err_msg=name)


def test_first_events_of_the_whole_sample_are_those_of_the_peer(sample: LHEReader) -> None:
    for name in PEER.definitions:
        assert len(sample.observations[name]) == 10_000
        _assert_as_peer(name, np.asarray(sample.observations[name])[:500])


def test_weights_of_the_whole_sample_sum_to_its_cross_sections(sample: LHEReader) -> None:
    """The weight of each event is its cross section in pb over the number of events."""
    for name, weights in PEER.weights.items():
        first = np.asarray(sample.weights[name])[:500]
        np.testing.assert_allclose(first, weights * 500 / 10_000, rtol=1e-12, err_msg=name)
    assert np.sum(sample.weights["sm"]) == pytest.approx(5.8236058e-3, rel=1e-7)
    by_benchmark: Mapping[str, float] = {
        name: float(np.sum(weights)) for name, weights in sample.weights.items()
    }
    for name, cross_section in PEER_CROSS_SECTIONS.items():
        assert by_benchmark[name] == pytest.approx(cross_section, rel=1e-12)


#: Sums over all 10,000 events that the peer reads from the whole sample, in pb.
PEER_CROSS_SECTIONS = {
    "sm": 0.005823605800000002,
    "w": 0.008649445838745091,
    "neg_w": 0.01188180070940054,
    "ww": 0.009727965450214551,
    "neg_ww": 0.009974679307895898,
    "morphing_basis_vector_5": 0.01139639047560992,
}
