"""Bad input is refused before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from madminer import MadMiner
from madminer.errors import (
    MadMinerError,
    MissingFileError,
    OptionError,
    OutputError,
    SetupError,
    SimulatorError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from conftest import Bench


# Bad input


def test_madgraph_is_missing(bench: Bench, miner: MadMiner) -> None:
    arguments = bench.arguments(run_card_file=bench.run_card, mg_directory=bench.folder)
    with pytest.raises(MissingFileError, match="bin/mg5_aMC is missing"):
        miner.run(**arguments)


def test_madgraph_is_not_executable(bench: Bench, miner: MadMiner) -> None:
    (bench.mg / "bin" / "mg5_aMC").chmod(0o644)
    with pytest.raises(SimulatorError, match="chmod"):
        miner.run(**bench.arguments(run_card_file=bench.run_card))


def test_python_is_missing(bench: Bench, miner: MadMiner) -> None:
    arguments = bench.arguments(run_card_file=bench.run_card, python_executable="/no/python")
    with pytest.raises(SimulatorError, match="cannot be started"):
        miner.run(**arguments)


def test_another_madgraph_runs(bench: Bench, miner: MadMiner) -> None:
    bench.process.mkdir()
    (bench.process / "RunWeb").write_text(str(os.getpid()))
    with pytest.raises(SimulatorError, match="Another MadGraph"):
        miner.run(**bench.arguments(run_card_file=bench.run_card))


@pytest.mark.parametrize(
    ("theta", "is_refused"),
    [((0.0, 3.0), True), ((0.0, 3.003), False), ((1.0, 3.0), False), ((0.0, -3.0), False)],
)
def test_weights_that_the_shower_calls_the_same(
    bench: Bench, theta: tuple[float, float], is_refused: bool
) -> None:
    """MadGraph 3.5.7 was seen to announce six weights and to write five, for w and ww as here."""
    miner = MadMiner()
    for lha_id, name in ((2, "CWL2"), (5, "CPWL2")):
        miner.add_parameter("dim6", lha_id, name, param_card_transform="16.52*theta")
    for name, point in {"sm": (0.0, 0.0), "w": (3.0, 0.0), "ww": theta}.items():
        miner.add_benchmark(dict(zip(("CWL2", "CPWL2"), point, strict=True)), name)
    arguments = bench.arguments(run_card_files=[bench.run_card], sample_benchmarks=["sm"])
    assert len(miner.plan_runs(**arguments).runs) == 1  # without a shower
    if is_refused:
        with pytest.raises(OptionError, match="the weights at 'w' and 'ww' the same"):
            miner.plan_runs(**arguments, pythia8_card_file=bench.run_card)
    else:
        miner.plan_runs(**arguments, pythia8_card_file=bench.run_card)


REFUSED = {
    "benchmark": ({"sample_benchmark": "nosuch"}, UnknownNameError, "no benchmark"),
    "systematics": ({"systematics": ["nosuch"]}, UnknownNameError, "nosuch"),
    "order": ({"order": "NNLO"}, OptionError, "one of 'LO', 'NLO'"),
    "nlo": ({"order": "NLO"}, OptionError, r"has no \[...\]"),
    "cores": ({"n_cores": 0}, OptionError, "n_cores"),
    "timeout": ({"timeout": -1.0}, OptionError, "timeout"),
    "seed": ({"seed": 0}, OptionError, "seed"),
    "executor": ({"executor": 4}, OptionError, "executor"),
    "card": ({"run_card_file": "nosuch.dat"}, MissingFileError, "nosuch.dat"),
    "blank": ({"temp_directory": "a b"}, OutputError, "blanks"),
    "both": ({"is_background": "yes"}, OptionError, "is_background"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments(bench: Bench, miner: MadMiner, case: str) -> None:
    options, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        miner.run(**bench.arguments(**options))
    assert not bench.process.exists()


def test_template_without_the_parameter(bench: Bench, miner: MadMiner) -> None:
    bench.template.write_text("Block dim6\n  2 0.0\n")
    with pytest.raises(SetupError, match="no entry for dim6 5"):
        miner.run(**bench.arguments())


def test_next_to_leading_order_needs_stored_weights(bench: Bench, miner: MadMiner) -> None:
    bench.process_card.write_text("generate p p > t t~ [QCD]\n")
    arguments = bench.arguments(run_card_files=[bench.run_card])
    with pytest.raises(OptionError, match="asks for corrections"):
        miner.plan_runs(**arguments)
    with pytest.raises(OptionError, match="store_rwgt_info"):
        miner.plan_runs(**arguments, order="NLO")
    assert len(miner.plan_runs(**arguments, order="NLO", is_background=True).runs) == 4
    bench.run_card.write_text("  20 = nevents\n  True = store_rwgt_info\n")
    plan = miner.plan_runs(**arguments, order="NLO")
    assert "order=NLO\n" in plan.commands(plan.runs[0], bench.process)


def test_a_setup_without_benchmarks(bench: Bench) -> None:
    with pytest.raises(MadMinerError, match="add_benchmark"):
        MadMiner().run(**bench.arguments())
