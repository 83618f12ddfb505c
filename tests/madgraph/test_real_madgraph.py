"""The real MadGraph, whose folder the environment variable MADGRAPH_DIR names.

It needs gfortran, the model EWdim6, and in its Python (MADGRAPH_PYTHON, else python3) the packages
six and numpy. Where it has its interface to Pythia 8, that is tested, too, with Delphes behind it
where DELPHES_DIR names its folder.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import DelphesReader, LHEReader, MadMiner
from madminer.delphes.column_names import named_columns
from madminer.errors import SimulatorError
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import read_lhe

MADGRAPH = os.environ.get("MADGRAPH_DIR")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MADGRAPH is None, reason="needs MadGraph: set MADGRAPH_DIR to its folder"),
]

N_EVENTS = 1000
PROCESS = "import model EWdim6\ngenerate u d > u d h QED=3 QCD=0 NP=2\n"
POINTS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-2.0, 0.2),
    "ww": (0.3, 3.0),
    "neg_ww": (0.4, -3.0),
}
"""Closer to each other than those of the tutorial, so that few events are enough."""

# Without the largest momenta, where few events get weights so large that no error shows them.
RUN_CARD = f"""\
  tag_1 = run_tag
  {N_EVENTS} = nevents
  0 = iseed
  1 = lpp1
  1 = lpp2
  6500.0 = ebeam1
  6500.0 = ebeam2
  nn23lo1 = pdlabel
  average = event_norm
  20.0 = ptj
  200.0 = ptjmax
  5.0 = etaj
  0.4 = drjj
"""


@pytest.fixture(scope="module")
def miner() -> MadMiner:
    miner = MadMiner()
    for lha_id, name in ((2, "CWL2"), (5, "CPWL2")):
        miner.add_parameter(
            "dim6", lha_id, name, param_card_transform="16.52*theta", parameter_range=(-4.0, 4.0)
        )
    for name, theta in POINTS.items():
        miner.add_benchmark(dict(zip(("CWL2", "CPWL2"), theta, strict=True)), name)
    miner.set_morphing(max_overall_power=2, seed=1)
    return miner


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("madgraph")
    (folder / "proc.dat").write_text(PROCESS)
    (folder / "run.dat").write_text(RUN_CARD)
    (folder / "param.dat").write_text(default_card(folder))
    return {
        "mg_directory": MADGRAPH,
        "proc_card_file": folder / "proc.dat",
        "param_card_template_file": folder / "param.dat",
        "run_card_files": [folder / "run.dat"],
        "mg_process_directory": folder / "signal",
        "log_directory": folder / "logs",
        "python_executable": os.environ.get("MADGRAPH_PYTHON"),
        "seed": 1,
        "n_cores": 1,
        "timeout": 1800.0,
    }


def default_card(folder: Path) -> str:
    """The parameter card of the model, as a first process of it has it."""
    (folder / "empty.dat").write_text("Block dim6\n  2 0.0\n  5 0.0\n")
    miner = MadMiner()
    miner.add_parameter("dim6", 2)
    miner.add_benchmark({"parameter_0": 0.0}, "sm")
    miner.run(
        MADGRAPH,
        folder / "proc.dat",
        folder / "empty.dat",
        mg_process_directory=folder / "first",
        log_directory=folder / "first_logs",
        python_executable=os.environ.get("MADGRAPH_PYTHON"),
        only_prepare_script=True,
    )
    return (folder / "first" / "Cards" / "param_card_default.dat").read_text()


@pytest.fixture(scope="module")
def results(miner: MadMiner, arguments: dict[str, Any]) -> Any:
    return miner.run_multiple(**arguments)


def test_six_benchmarks_agree(miner: MadMiner, results: Any) -> None:
    """Cross sections of events generated at a benchmark, and of those reweighted to it."""
    assert [p.benchmark for p in results.products] == list(miner.benchmarks)
    generated = {p.benchmark: (p.cross_section, p.cross_section_error) for p in results.products}
    pulls = []
    for product in results.products:
        assert product.n_events == N_EVENTS
        _, events = read_lhe(product.event_file)
        for name in set(generated) - {product.benchmark}:
            weights = events.weights[name]
            error = np.hypot(weights.std() / np.sqrt(len(weights)), generated[name][1])
            pulls.append((weights.mean() - generated[name][0]) / error)
    assert len(pulls) == 30
    assert np.max(np.abs(pulls)) < 5.0


def test_the_reader_reads_them(miner: MadMiner, results: Any, tmp_path: Path) -> None:
    miner.save(tmp_path / "setup.h5")
    for product in results.products:
        reader = LHEReader(tmp_path / "setup.h5")
        reader.add_sample(product.event_file, product.benchmark)
        reader.add_observable("pt_j1", "j[0].pt")
        reader.analyse_samples()
        for name, section in product.cross_sections.items():
            assert reader.weights[name].sum() == pytest.approx(section, rel=1e-5)


def test_samples_of_different_seeds_differ(results: Any) -> None:
    momenta = [read_lhe(file)[1].px[:50] for file in results.event_files]
    assert len({tuple(px) for px in momenta}) == len(momenta)


def test_resume_does_nothing_again(
    miner: MadMiner, arguments: dict[str, Any], results: Any
) -> None:
    times = [file.stat().st_mtime_ns for file in results.event_files]
    again = miner.run_multiple(**arguments, resume=True)
    assert again == results
    assert [file.stat().st_mtime_ns for file in again.event_files] == times


def test_an_existing_sample_is_reweighted(
    miner: MadMiner, arguments: dict[str, Any], results: Any, tmp_path: Path
) -> None:
    other = MadMiner()
    other.set_parameters(miner.parameters)
    other.add_benchmark(miner.benchmarks["sm"].values, "sm")
    other.add_benchmark({"CWL2": 1.0, "CPWL2": -1.0}, "new")
    before = read_lhe(results.event_files[0])[1]
    product = other.reweight_existing_sample(
        arguments["mg_process_directory"],
        "run_01",
        arguments["param_card_template_file"],
        "sm",
        log_directory=tmp_path,
        python_executable=arguments["python_executable"],
    ).products[0]
    after = read_lhe(product.event_file)[1]
    assert np.array_equal(before.px, after.px)
    np.testing.assert_allclose(before.weights["w"], after.weights["w"])
    basis = [name for name in miner.benchmarks if name != "sm"]
    columns = np.column_stack([before.xwgtup, *(before.weights[name] for name in basis)])
    morphing = miner.morpher.calculate_morphing_weights(np.array([1.0, -1.0]))
    np.testing.assert_allclose(after.weights["new"], columns @ morphing, rtol=1e-3)


def test_several_at_once_below_a_blank(
    miner: MadMiner, arguments: dict[str, Any], tmp_path: Path
) -> None:
    arguments = arguments | {
        "mg_process_directory": tmp_path / "my signal",
        "log_directory": tmp_path / "the logs",
        "sample_benchmarks": ["sm", "w"],
    }
    with ThreadPoolExecutor(2) as executor:
        results = miner.run_multiple(**arguments, executor=executor)
    assert [product.n_events for product in results.products] == [N_EVENTS, N_EVENTS]


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ("import model NoSuchModel\ngenerate u d > u d h\n", "does not find the model"),
        ("import model EWdim6\ngenerate u d > u nosuch h\n", "model does not know"),
        ("import model sm\ngenerate u d > u d h QCD=0\n", "has no entry for dim6 2, dim6 5"),
        (PROCESS.replace("NP=2", "NP=0"), "ignored|does not depend on the parameters"),
    ],
)
def test_failures_are_named(
    miner: MadMiner, arguments: dict[str, Any], tmp_path: Path, process: str, words: str
) -> None:
    (tmp_path / "proc.dat").write_text(process)
    arguments = arguments | {
        "proc_card_file": tmp_path / "proc.dat",
        "mg_process_directory": tmp_path / "signal",
        "log_directory": tmp_path / "logs",
        "sample_benchmarks": ["sm"],
    }
    with pytest.raises(SimulatorError, match=words):
        miner.run_multiple(**arguments)


# Its interface to Pythia 8


def has_pythia() -> bool:
    """Whether MadGraph knows of the interface, at the place that it is told or the usual one."""
    home = Path(str(MADGRAPH))
    file = home / "input" / "mg5_configuration.txt"
    text = file.read_text() if file.is_file() else ""
    found = re.search(r"(?m)^\s*mg5amc_py8_interface_path\s*=\s*([^#\s]+)", text)
    folder = Path(found[1] if found else "HEPTools/MG5aMC_PY8_interface")
    return (home / folder / "MG5aMC_PY8_interface").is_file()


needs_pythia = pytest.mark.skipif(
    not has_pythia(), reason="needs MadGraph with its command install mg5amc_py8_interface"
)


@pytest.fixture(scope="module")
def showered(
    miner: MadMiner, arguments: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Two hundred events at two benchmarks; each half is showered on a core of its own."""
    folder = tmp_path_factory.mktemp("showered")
    (folder / "run.dat").write_text(RUN_CARD.replace(f"{N_EVENTS} = nevents", "200 = nevents"))
    (folder / "pythia.dat").write_text("HEPMCoutput:file = hepmc.gz\nPartonLevel:MPI = off\n")
    others = {
        "run_card_files": [folder / "run.dat"],
        "pythia8_card_file": folder / "pythia.dat",
        "mg_process_directory": folder / "signal",
        "log_directory": folder / "logs",
        "sample_benchmarks": ["sm", "w"],
        "n_cores": 2,
    }
    return miner.run_multiple(**arguments | others)


@needs_pythia
def test_showered_events_keep_their_weights(miner: MadMiner, showered: Any) -> None:
    for product in showered.products:
        found = read_hepmc_weights(product.hepmc_file)
        nominal, others = named_columns(found.names).split(found.matrix)
        assert found.cross_section == pytest.approx(product.cross_section, rel=1e-3)
        events = read_lhe(product.event_file)[1]
        assert len(nominal) == events.n_events == 200
        np.testing.assert_allclose(nominal / nominal.mean(), events.xwgtup / events.xwgtup.mean())
        for name in set(miner.benchmarks) - {product.benchmark}:
            np.testing.assert_allclose(
                others[name] / nominal, events.weights[name] / events.xwgtup, rtol=1e-6
            )


@needs_pythia
@pytest.mark.skipif("DELPHES_DIR" not in os.environ, reason="needs Delphes: set DELPHES_DIR")
def test_delphes_reads_showered_events(miner: MadMiner, showered: Any, tmp_path: Path) -> None:
    delphes = Path(os.environ["DELPHES_DIR"])
    miner.save(tmp_path / "setup.h5")
    before = LHEReader(tmp_path / "setup.h5")
    before.add_observable("n", "len(j)")
    for product in showered.products:
        before.add_sample(product.event_file, product.benchmark)
    before.analyse_samples()
    for source in ("lhe", "hepmc", "delphes"):
        reader = DelphesReader(tmp_path / "setup.h5")
        reader.add_observable("n", "len(j)")
        for product in showered.products:
            files = {
                "delphes_filename": product.hepmc_file.with_name(
                    "tag_1_pythia8_events_delphes.root"
                ),
                "lhe_filename": product.event_file if source == "lhe" else None,
            }
            reader.add_sample(product.hepmc_file, product.benchmark, **files, weights=source)
        reader.run_delphes(
            delphes, delphes / "cards" / "delphes_card_ATLAS.tcl", log_file=tmp_path / "log"
        )
        reader.analyse_delphes_samples()
        for name, column in before.weights.items():
            np.testing.assert_allclose(reader.weights[name], column, rtol=1e-6)
