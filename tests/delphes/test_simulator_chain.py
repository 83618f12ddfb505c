"""The real Delphes, whose folder the environment variable DELPHES_DIR names, after our shower.

The last test begins with the real MadGraph, as `tests/madgraph/test_real_madgraph.py` says.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import DelphesReader, LHEReader, MadMiner
from madminer.errors import SimulatorError
from madminer.io import EventFile
from madminer.io.lhe import read_lhe
from madminer.madgraph import Product
from madminer.reading.reader import EventReader
from madminer.shower import ShowerReader

from .conftest import THETAS

DELPHES, MADGRAPH = os.environ.get("DELPHES_DIR"), os.environ.get("MADGRAPH_DIR")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DELPHES is None, reason="needs Delphes: set DELPHES_DIR to its folder"),
    pytest.mark.filterwarnings("ignore:.*has weights that sum to"),  # thirty of ten thousand events
]

N_EVENTS = 30
SOURCES = ("lhe", "hepmc", "delphes")
SYSTEMATICS = ["lumi", "scales"]


@pytest.fixture
def card() -> Path:
    return Path(str(DELPHES)) / "cards" / "delphes_card_ATLAS.tcl"


@pytest.fixture
def shower(setup_file: Path, lhe_syst: Path, tmp_path: Path) -> ShowerReader:
    """Thirty events of MadGraph with weights and systematics, showered by Pythia."""
    reader = ShowerReader(setup_file)
    reader.add_sample(
        *(lhe_syst, "w", False, 1.0, SYSTEMATICS), hepmc_filename=tmp_path / "my events.hepmc.gz"
    )
    observe(reader, truth=True)
    reader.analyse_samples(seed=1)
    return reader


def observe(reader: EventReader, *, truth: bool = False) -> None:
    """What a detector sees, or the stable particles before it."""
    expressions = {"n_a": "len(a)", "pt_j1": "j[0].pt", "met": "met.pt"}
    if truth:
        expressions = {
            "n_p": "len(p)",
            "pt": "sum(x.pt for x in p)",
            "n_charged": "sum(x.charge != 0 for x in p)",
        }
    for name, expression in expressions.items():
        reader.add_observable(name, expression, default=0.0)


def test_events_and_weights_are_kept(
    shower: ShowerReader, setup_file: Path, lhe_syst: Path, card: Path, tmp_path: Path
) -> None:
    hepmc, log = tmp_path / "my events.hepmc.gz", tmp_path / "my logs" / "delphes.log"
    readers = {source: DelphesReader(setup_file) for source in SOURCES}
    for source, reader in readers.items():
        reader.add_sample(
            *(hepmc, "w", False, tmp_path / "my events_delphes.root", lhe_syst),
            weights=source,
            systematics=SYSTEMATICS,
        )
        observe(reader)
        reader.run_delphes(str(DELPHES), card, log_file=log)
        reader.analyse_delphes_samples()
    cross_section = read_lhe(lhe_syst)[0].cross_section
    for source in SOURCES:
        weights = readers[source].weights
        assert list(weights) == list(shower.weights)
        assert len(weights) == len(THETAS) + 3  # lumi has one nuisance benchmark, scales two
        assert weights["w"].sum() == pytest.approx(cross_section)
        for name, column in weights.items():
            np.testing.assert_allclose(column, shower.weights[name], rtol=1e-6)
        for name, column in readers[source].observations.items():
            np.testing.assert_array_equal(column, readers["lhe"].observations[name])


def test_particles_before_the_detector_are_those_of_the_shower(
    shower: ShowerReader, setup_file: Path, lhe_syst: Path, card: Path, tmp_path: Path
) -> None:
    """From Pythia in memory, and through HepMC and the branch Particle of Delphes."""
    reader = DelphesReader(setup_file)
    reader.add_sample(tmp_path / "my events.hepmc.gz", "w", lhe_filename=lhe_syst)
    observe(reader, truth=True)
    reader.run_delphes(str(DELPHES), card, log_file=tmp_path / "log")
    reader.analyse_delphes_samples(generator_truth=True)
    for name, column in shower.observations.items():
        np.testing.assert_allclose(reader.observations[name], column, rtol=1e-5)


@pytest.mark.usefixtures("shower")
def test_failures_are_named(setup_file: Path, lhe_syst: Path, card: Path, tmp_path: Path) -> None:
    reader = DelphesReader(setup_file)
    reader.add_sample(tmp_path / "my events.hepmc.gz", "w", lhe_filename=lhe_syst)
    wrong = tmp_path / "wrong.tcl"
    wrong.write_text(
        card.read_text().replace("module ParticlePropagator", "module NoSuchModule", 1)
    )
    with pytest.raises(SimulatorError, match=r"(?s)exit code 1.*NoSuchModule"):
        reader.run_delphes(str(DELPHES), wrong, log_file=tmp_path / "log")
    with pytest.raises(SimulatorError, match=r"was ended after 0\.05 s"):
        reader.run_delphes(str(DELPHES), card, log_file=tmp_path / "log", timeout=0.05)
    assert not list(tmp_path.glob("*.root"))
    assert not list(tmp_path.glob(".*.tmp"))


# From cards to an event file

POINTS = {"sm": (0.0, 0.0), "w": (3.0, 0.1), "ww": (0.3, 3.0)}
SIGNAL = "import model EWdim6\ngenerate u d > u d h QED=3 QCD=0 NP=2, h > a a HIW=1 NP=0\n"
BACKGROUND = "import model EWdim6\ngenerate u u~ > a a NP=0\n"
RUN_CARD = """\
  200 = nevents
  1 = lpp1
  1 = lpp2
  6500.0 = ebeam1
  6500.0 = ebeam2
  nn23lo1 = pdlabel
  sum = event_norm
  20.0 = ptj
  20.0 = pta
  5.0 = etaj
  2.5 = etaa
"""


@pytest.fixture
def miner() -> MadMiner:
    miner = MadMiner()
    for lha_id, name in ((2, "CWL2"), (5, "CPWL2")):
        miner.add_parameter("dim6", lha_id, name, param_card_transform="16.52*theta")
    for name, theta in POINTS.items():
        miner.add_benchmark(dict(zip(("CWL2", "CPWL2"), theta, strict=True)), name)
    miner.add_systematics("norm", "lumi", norm_variation=1.05)
    return miner


def generate(miner: MadMiner, folder: Path, process: str, *, is_background: bool) -> Product:
    """Events at the Standard Model; MadGraph itself makes the template of the parameter card."""
    folder.mkdir()
    files = {name: folder / f"{name} card.dat" for name in ("process", "run", "empty")}
    texts = {"process": process, "run": RUN_CARD, "empty": "Block dim6\n  2 0.0\n  5 0.0\n"}
    for name, file in files.items():
        file.write_text(texts[name])
    arguments: dict[str, Any] = {
        "mg_directory": MADGRAPH,
        "proc_card_file": files["process"],
        "mg_process_directory": folder / "the process",
        "run_card_file": files["run"],
        "is_background": is_background,
        "log_directory": folder / "logs",
        "python_executable": os.environ.get("MADGRAPH_PYTHON"),
        "n_cores": 1,
        "timeout": 1800.0,
    }
    miner.run(param_card_template_file=files["empty"], only_prepare_script=True, **arguments)
    template = folder / "the process" / "Cards" / "param_card_default.dat"
    results = miner.run(param_card_template_file=template, **arguments)
    assert results is not None
    return results.products[0]


@pytest.mark.skipif(MADGRAPH is None, reason="needs MadGraph: set MADGRAPH_DIR to its folder")
def test_from_cards_to_an_event_file(miner: MadMiner, card: Path, tmp_path: Path) -> None:
    setup = tmp_path / "my setup.h5"
    miner.save(setup)
    samples = [
        generate(miner, tmp_path / "signal", SIGNAL, is_background=False),
        generate(miner, tmp_path / "background", BACKGROUND, is_background=True),
    ]
    readers = [LHEReader(setup), ShowerReader(setup), DelphesReader(setup)]
    lhe, shower, delphes = readers
    for number, sample in enumerate(samples):
        usual = (sample.event_file, "sm", sample.is_background, 1.0, ["lumi"])
        hepmc = tmp_path / f"showered {number}.hepmc"
        lhe.add_sample(*usual)
        shower.add_sample(*usual, hepmc_filename=hepmc)
    for reader in (lhe, shower):
        observe(reader)
        reader.analyse_samples(seed=1)
    for number, sample in enumerate(samples):
        delphes.add_sample(
            *(tmp_path / f"showered {number}.hepmc", "sm", sample.is_background),
            lhe_filename=sample.event_file,
            systematics=["lumi"],
        )
    observe(delphes)
    delphes.run_delphes(str(DELPHES), card, log_file=tmp_path / "delphes.log")
    delphes.analyse_delphes_samples()
    for reader in readers:
        reader.save(tmp_path / "events.h5", seed=1)
        assert EventFile(tmp_path / "events.h5").n_events == 400
        for name in POINTS:
            expected = samples[0].cross_sections[name] + samples[1].cross_section
            assert reader.weights[name].sum() == pytest.approx(expected, rel=1e-5)
        lumi = [name for name in reader.weights if name.startswith("lumi")]
        assert len(lumi) == 1
        np.testing.assert_allclose(reader.weights[lumi[0]], 1.05 * reader.weights["sm"])
