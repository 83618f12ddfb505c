"""Files of Delphes and of Les Houches events that belong together, from excerpts of real ones."""

from __future__ import annotations

import gzip
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest

from madminer import DelphesReader
from madminer.io.setup_file import write_setup
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    Systematic,
    SystematicScale,
    SystematicType,
)

DATA = Path(__file__).resolve().parents[1] / "data"
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
EXCERPT = DATA / "delphes_atlas_sig_60.root"
EXCERPT_SYST = DATA / "delphes_tutorialcard_sigw_syst_30.root"
LHE_SYST = DATA / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz"
HEPMC = DATA / "sig_py8_50_weights.hepmc3.gz"

Branches = dict[str, Any]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_excerpts = _load("make_delphes_excerpts")
write_tree: Callable[..., None] = _excerpts.write_tree


@pytest.fixture
def setup_file(tmp_path: Path) -> Path:
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    benchmarks = {
        name: Benchmark.from_params(name, parameters, theta) for name, theta in THETAS.items()
    }
    scale = SystematicScale.MU
    systematics = {
        "lumi": Systematic("lumi", SystematicType.NORM, 1.1),
        "scales": Systematic("scales", SystematicType.SCALE, "0.5,1.0,2.0", scale),
    }
    write_setup(
        tmp_path / "setup.h5", AnalysisSetup(parameters, benchmarks, systematics=systematics)
    )
    return tmp_path / "setup.h5"


@pytest.fixture
def reader(setup_file: Path) -> DelphesReader:
    """With three observables and no sample."""
    reader = DelphesReader(setup_file)
    reader.add_observable("pt_j1", "j[0].pt", default=0.0)
    reader.add_observable("n_a", "len(a)")
    reader.add_observable("met", "met.pt")
    return reader


@pytest.fixture
def branches() -> Branches:
    """Sixty events, to be changed and written."""
    return dict(_excerpts.read_branches(EXCERPT))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of Delphes."""

    def write(branches: Branches, name: str = "delphes.root", n_baskets: int = 1) -> Path:
        write_tree(tmp_path / name, branches, n_baskets)
        return tmp_path / name

    return write


@pytest.fixture
def lhe(tmp_path: Path) -> Callable[..., Path]:
    """Writes the parton-level events that the sixty come from, or some of them."""
    text = gzip.decompress((DATA / "mg357_first500.lhe.gz").read_bytes()).decode()
    header, *events = re.split(r"(?=<event>)", text.replace("</LesHouchesEvents>", ""))

    def write(
        rows: Any = slice(0, 60), edit: Callable[[str], str] = str, name: str = "events.lhe"
    ) -> Path:
        chosen = np.array(events)[rows].tolist()
        head = re.sub(r"(Number of Events\s*:\s*)500", rf"\g<1>{len(chosen)}", header)
        head = re.sub(r"\b500(\s*= nevents)", rf"{len(chosen)}\g<1>", head)
        whole = edit(head + "".join(chosen) + "</LesHouchesEvents>\n")
        (tmp_path / name).write_text(whole)
        return tmp_path / name

    return write


@pytest.fixture
def lhe_syst(tmp_path: Path) -> Path:
    """Thirty events with systematics, whose header announces thirty."""
    text = gzip.decompress(LHE_SYST.read_bytes()).decode()
    text = re.sub(r"(Number of Events\s*:\s*)10000", r"\g<1>30", text)
    (tmp_path / "syst.lhe").write_text(text)
    return tmp_path / "syst.lhe"


def with_leaf(branches: Branches, name: str, values: Any) -> Branches:
    """The same events with other values of a quantity, shape (n_events, n)."""
    branch, leaf = name.split(".")
    kept = {field: branches[branch][field] for field in ak.fields(branches[branch])}
    lists = ak.from_regular(ak.Array(values), axis=1)
    return {**branches, branch: ak.zip({**kept, leaf: lists})}


def selected(branches: Branches, rows: Any) -> Branches:
    """Some of the events."""
    return {name: array[rows] for name, array in branches.items()}
