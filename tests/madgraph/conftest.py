"""A stand-in for MadGraph, and what a user gives to the driver."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import MadMiner

EXCERPT = Path(__file__).parents[1] / "data" / "sig_mg357_vbf_haa_rw_30.lhe.gz"

TEMPLATE = """\
Block dim6 Q= 91.2 # energy
    2 0.000000e+00 # CWL2
    5 0.000000e+00 # CPWL2
Block mass
    2 0.000000e+00 # not that of block dim6
   25 1.250000e+02 # MH
DECAY 25 4.070000e-03 # WH
"""

POINTS = {"sm": (0.0, 0.0), "w": (2.0, 0.1), "neg_w": (-3.0, 0.2), "ww": (0.3, 2.5)}


class Bench:
    """A stand-in, cards, and the arguments of a call.

    The paths have blanks where `blanks` is true.
    """

    def __init__(self, folder: Path, *, blanks: bool = False) -> None:
        blank = " " if blanks else "_"
        self.folder = folder
        self.mg = folder / f"mad{blank}graph"
        (self.mg / "bin").mkdir(parents=True)
        program = self.mg / "bin" / "mg5_aMC"
        shutil.copy(Path(__file__).with_name("stand_in.py"), program)
        program.chmod(0o755)
        (self.mg / "VERSION").write_text("version = 3.5.7\n")
        (self.mg / "models").mkdir()
        shutil.copy(EXCERPT, self.mg / "excerpt.lhe.gz")
        cards = folder / f"the{blank}cards"
        cards.mkdir()
        self.process_card = cards / "proc.dat"
        self.process_card.write_text("import model EWdim6\ngenerate u d > u d h NP=2\n")
        self.template = cards / "param.dat"
        self.template.write_text(TEMPLATE)
        self.run_card = cards / "run.dat"
        self.run_card.write_text("  20 = nevents ! number\n  0 = iseed ! seed\n  True = use_syst\n")
        self.process = folder / f"my{blank}process"
        self.logs = folder / f"the{blank}logs"

    def behave(self, behaviour: str) -> None:
        (self.mg / "behaviour").write_text(behaviour)

    def arguments(self, **others: Any) -> dict[str, Any]:
        return {
            "mg_directory": self.mg,
            "proc_card_file": self.process_card,
            "param_card_template_file": self.template,
            "mg_process_directory": self.process,
            "log_directory": self.logs,
            "python_executable": sys.executable,
            **others,
        }

    @staticmethod
    def truth(n_events: int, theta: tuple[float, float]) -> np.ndarray:
        """The weights that the stand-in gives, in pb, as a closed form."""
        i = np.arange(n_events)
        a, b = (0.1652 * value for value in theta)
        return 2.0 * ((1.0 + a * (0.3 + 0.1 * (i % 5))) ** 2 + (b * (0.5 - 0.1 * (i % 3))) ** 2)

    @property
    def events(self) -> list[str]:
        """Names of the folders of runs."""
        folder = self.process / "Events"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(*, blanks: bool) -> Bench:
        return Bench(tmp_path, blanks=blanks)

    return make


@pytest.fixture
def points() -> dict[str, tuple[float, float]]:
    return POINTS


@pytest.fixture
def miner() -> MadMiner:
    miner = MadMiner()
    for lha_id, name in ((2, "CWL2"), (5, "CPWL2")):
        miner.add_parameter("dim6", lha_id, name, param_card_transform="16.52*theta")
    for name, theta in POINTS.items():
        miner.add_benchmark(dict(zip(("CWL2", "CPWL2"), theta, strict=True)), name)
    return miner
