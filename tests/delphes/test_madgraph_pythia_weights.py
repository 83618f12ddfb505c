"""Weights of MadGraph's own interface to Pythia 8, as it writes them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer import DelphesReader, MadMiner
from madminer.delphes.column_names import named_columns
from madminer.errors import DataError
from madminer.io.hepmc import HepMCWeights, read_hepmc_weights
from madminer.io.lhe import read_lhe

from .conftest import DATA, Branches, selected, with_leaf

HEPMC = DATA / "sig_mg357_py8311_syst_10_weights.hepmc2.gz"
LHE = DATA / "sig_mg357_py8311_syst_10.lhe.gz"
N_SHOWERED = 200
POINTS = {
    "sm": (0.0, 0.0),
    "w": (15.2, 0.1),
    "neg_w": (-15.4, 0.2),
    "ww": (0.3, 15.1),
    "neg_ww": (0.4, -15.3),
    "morphing_basis_vector_5": (-17.37747, 18.57846),
}


@pytest.fixture
def setup_of_run(tmp_path: Path) -> Path:
    """The setup that the run was made with."""
    miner = MadMiner()
    for lha_id, name in ((2, "CWL2"), (5, "CPWL2")):
        miner.add_parameter("dim6", lha_id, name, param_card_transform="16.52*theta")
    for name, theta in POINTS.items():
        miner.add_benchmark(dict(zip(("CWL2", "CPWL2"), theta, strict=True)), name)
    miner.add_systematics("scale", "scales", scale="mu")
    miner.save(tmp_path / "run.h5")
    return tmp_path / "run.h5"


@pytest.fixture
def hepmc() -> HepMCWeights:
    return read_hepmc_weights(HEPMC)


@pytest.fixture
def to_delphes(
    branches: Branches, write: Callable[..., Path], hepmc: HepMCWeights
) -> Callable[..., Path]:
    """Writes ten events with all weights in the order of the HepMC file, as Delphes keeps them."""

    def to_delphes(matrix: np.ndarray) -> Path:
        values = matrix.astype(np.float32)
        ten = with_leaf(selected(branches, slice(0, 10)), "Weight.Weight", values)
        sections = np.full((10, 1), hepmc.cross_section, dtype=np.float32)
        return write(with_leaf(ten, "Event.CrossSection", sections))

    return to_delphes


@pytest.fixture
def delphes(to_delphes: Callable[..., Path], hepmc: HepMCWeights) -> Path:
    return to_delphes(hepmc.matrix)


def test_weights_are_those_before_the_shower(hepmc: HepMCWeights) -> None:
    """Names are sorted by alphabet, so that the nominal weight is the last of 34."""
    columns = named_columns(hepmc.names)
    assert columns.nominal == 33
    nominal, others = columns.split(hepmc.matrix)
    events = read_lhe(LHE)[1]
    assert events.n_events == len(nominal) == 10
    assert len(events.weights) == len(POINTS) - 1 + 11
    np.testing.assert_allclose(nominal, events.xwgtup / N_SHOWERED, rtol=1e-12)
    for name, column in events.weights.items():
        np.testing.assert_allclose(others[name], column / N_SHOWERED, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:.*holds 10 events, but its header announces 200")
def test_every_source_gives_the_same(setup_of_run: Path, delphes: Path) -> None:
    found = {}
    for source in ("hepmc", "delphes", "lhe"):
        reader = DelphesReader(setup_of_run)
        reader.add_sample(HEPMC, "sm", False, delphes, LHE, 1.0, source, ["scales"])
        reader.add_observable("n_a", "len(a)")
        reader.analyse_delphes_samples()
        assert len(reader.weights) == len(POINTS) + 2
        found[source] = reader.weights
    events = read_lhe(LHE)[1]
    for name, column in found["hepmc"].items():
        np.testing.assert_allclose(found["delphes"][name], column, rtol=1e-6)
        ratios = found["lhe"][name] / found["lhe"]["sm"]
        np.testing.assert_allclose(column / found["hepmc"]["sm"], ratios, rtol=1e-9)
    np.testing.assert_allclose(found["hepmc"]["w"], events.weights["w"] / N_SHOWERED, rtol=1e-9)


def test_background_has_the_nominal_weight(setup_of_run: Path, delphes: Path) -> None:
    """And not that of the column that comes first, which is another parameter point here."""
    reader = DelphesReader(setup_of_run)
    reader.add_sample(HEPMC, "sm", True, delphes, weights="hepmc")
    reader.add_observable("n_a", "len(a)")
    reader.analyse_delphes_samples()
    expected = read_lhe(LHE)[1].xwgtup / N_SHOWERED
    np.testing.assert_allclose(reader.weights["w"], expected, rtol=1e-9)


def test_vetoes_of_the_interface_hold_at_every_point(hepmc: HepMCWeights) -> None:
    """Matching sets the weight of the interface to zero, and not those that Pythia adds."""
    columns = named_columns(hepmc.names)
    before = columns.split(hepmc.matrix)[1].matrix
    vetoed = np.arange(10) % 3 == 0
    matrix = hepmc.matrix.copy()
    matrix[vetoed, columns.nominal] = 0.0
    nominal, others = columns.split(matrix)
    assert np.array_equal(nominal == 0.0, vetoed)
    assert np.all(others["w"][vetoed] == 0.0)
    np.testing.assert_array_equal(others.matrix[~vetoed], before[~vetoed])


@pytest.mark.filterwarnings("ignore:.*holds 10 events, but its header announces 200")
def test_vetoed_events_have_no_share_of_the_cross_section(
    setup_of_run: Path, to_delphes: Callable[..., Path], hepmc: HepMCWeights
) -> None:
    """The interface counts them in the cross section of the HepMC file, and LHE files do not know.

    Seen with u u~ > z, z g, 300 events matched at 15 GeV: MadGraph says 230.009 pb, and all three
    sources give that; the HepMC file says 387.655 pb, the cross section before matching.
    """
    matrix = hepmc.matrix.copy()
    vetoed = np.arange(10) % 3 == 0
    of_interface = [k for k, name in enumerate(hepmc.names) if "_MERGING=" in name]
    matrix[np.ix_(vetoed, of_interface)] = 0.0
    text = gzip.decompress(HEPMC.read_bytes()).decode()
    lines = iter(matrix.tolist())
    changed = re.sub(
        r"(?m)^(E .* 34) .*$", lambda m: " ".join([m[1], *map(repr, next(lines))]), text
    )
    (setup_of_run.parent / "vetoed.hepmc").write_text(changed)
    delphes = to_delphes(matrix)
    expected = read_lhe(LHE)[1].xwgtup / N_SHOWERED * ~vetoed
    for source in ("hepmc", "delphes", "lhe"):
        reader = DelphesReader(setup_of_run)
        reader.add_sample(
            setup_of_run.parent / "vetoed.hepmc", "sm", False, delphes, LHE, weights=source
        )
        reader.add_observable("n_a", "len(a)")
        reader.analyse_delphes_samples()
        scale = N_SHOWERED / 10 if source == "lhe" else 1.0  # its header knows of two hundred
        np.testing.assert_allclose(reader.weights["sm"], scale * expected, rtol=1e-6)
        assert np.array_equal(reader.weights["w"] == 0.0, vetoed)
    reader = DelphesReader(setup_of_run)
    reader.add_sample(None, "sm", False, delphes, LHE)
    reader.add_observable("n_a", "len(a)")
    with pytest.raises(DataError, match=r"some weights that are zero.*Give hepmc_filename"):
        reader.analyse_delphes_samples()


def test_weights_of_the_interface_come_before_those_of_pythia() -> None:
    names = ["AUX_w", "AUX_ww", "Weight", "Weight_MERGING=0.000", "id=w_MERGING=0.000"]
    columns = named_columns(names)
    assert columns.names == ("Weight", "w", "ww")
    nominal, others = columns.split(
        np.array([[6.0, 8.0, 2.0, 1.0, 3.5], [6.0, 8.0, 0.0, 1.0, 4.0]])
    )
    assert nominal.tolist() == [1.0, 1.0]
    assert others["w"].tolist() == [3.5, 4.0]
    assert others["ww"].tolist() == [4.0, 0.0]  # nothing can be said without Pythia's own weight


def test_older_versions_without_weights_of_pythia() -> None:
    columns = named_columns(
        ["Weight_MERGING=15.000", "Weight_MERGING=22.500", "id=w_MERGING=15.000"]
    )
    assert columns.names == ("Weight_MERGING=22.500", "w")
    assert columns.nominal == columns.of_pythia == 0
    assert not np.any(columns.is_of_pythia)
