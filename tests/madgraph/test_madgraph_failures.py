"""MadGraph ends with status 0 whatever happens: each failure that was seen has a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from madminer import MadMiner
from madminer.errors import (
    SimulatorError,
)
from madminer.io.lhe import read_lhe
from madminer.madgraph import Run
from madminer.madgraph.log import cause_of_failure, cross_sections_in_log, stage

if TYPE_CHECKING:
    from conftest import Bench


# Failures of MadGraph, whose exit status is always 0

FAILURES = {
    "no_model": "does not find the model",
    "bad_model": "cannot read the model",
    "other_model": "The model of the process .* has no entry for dim6 2, dim6 5",
    "gfortran": "could not compile the process",
    "f2py": "reweighting could not be compiled",
    "zero": "No event passes the cuts",
    "disk_full": "The disk is full",
    "already_running": "Another MadGraph runs",
    "ignored_card": "for the benchmark 'w' dim6 2 must be 33.04, but in MadGraph it is 0",
    "one_ignored": "for the benchmark 'w' dim6 2 must be 33.04, but in MadGraph it is 0",
    "no_reweight_card": r"lacks weights for the benchmarks \['w', 'neg_w', 'ww'\]; it has",
    "blind": "does not depend on the parameters",
    "nan": "not finite|NaN|nan",
    "truncated": "cannot be read",
    "some_without": "cannot be read: .*weights",
    "wrong_cross_section": "its header says",
}


@pytest.mark.parametrize("behaviour", FAILURES)
def test_failures_are_named(bench: Bench, miner: MadMiner, behaviour: str) -> None:
    bench.behave(behaviour)
    with pytest.raises(SimulatorError, match=FAILURES[behaviour]) as caught:
        miner.run(**bench.arguments(run_card_file=bench.run_card))
    if behaviour != "other_model":
        assert "The end of the log" in str(caught.value)
    assert not [name for name in bench.events if not name.endswith("_unchecked")]


def test_a_stale_parameter_card_is_noticed(bench: Bench, miner: MadMiner) -> None:
    bench.behave("stale_card")
    with pytest.raises(SimulatorError, match=r"for the benchmark 'w' dim6 2 must be 33\.04"):
        miner.run(**bench.arguments(run_card_file=bench.run_card, sample_benchmark="w"))


def test_missing_variations_are_noticed(bench: Bench, miner: MadMiner) -> None:
    miner.add_systematics("scale", "scales")
    bench.behave("no_lhapdf")
    with pytest.raises(SimulatorError, match=r"no scale or PDF variations[\s\S]*LHAPDF"):
        miner.run(**bench.arguments(run_card_file=bench.run_card))


def test_missing_shower_is_noticed(bench: Bench, miner: MadMiner) -> None:
    bench.behave("no_pythia")
    with pytest.raises(SimulatorError, match="MadGraph has no Pythia 8"):
        miner.run(**bench.arguments(run_card_file=bench.run_card, pythia8_card_file=bench.run_card))


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("pythia_dies", r"truncated[\s\S]*Pythia stopped with an error"),
        ("pythia_refuses", r"did not start: .*NoSuch:setting=on.*Correct the card"),
    ],
)
def test_failures_of_the_shower(bench: Bench, miner: MadMiner, behaviour: str, words: str) -> None:
    bench.behave(behaviour)
    arguments = bench.arguments(run_card_file=bench.run_card, pythia8_card_file=bench.run_card)
    with pytest.raises(SimulatorError, match=words):
        miner.run(**arguments, quiet_timeout=60.0)
    assert bench.events == ["run_01_unchecked"]


def test_fewer_showered_events_are_said(
    bench: Bench, miner: MadMiner, caplog: pytest.LogCaptureFixture
) -> None:
    bench.behave("pythia_few")
    arguments = bench.arguments(run_card_file=bench.run_card, pythia8_card_file=bench.run_card)
    (product,) = miner.run(**arguments).products
    assert product.n_events == 20
    assert "holds 5 of 20 events: matching drops some" in caplog.text


def test_fewer_events_are_said(
    bench: Bench, miner: MadMiner, caplog: pytest.LogCaptureFixture
) -> None:
    bench.behave("half_counted")
    (product,) = miner.run(**bench.arguments(run_card_file=bench.run_card)).products
    assert product.n_events == 10
    assert "holds 10 events, but 20 were asked for" in caplog.text


@pytest.mark.parametrize("blanks", [False, True])
def test_several_at_once_with_a_failure(
    make_bench: Callable[..., Bench], miner: MadMiner, blanks: bool
) -> None:
    bench = make_bench(blanks=blanks)
    bench.behave("one_ignored")  # only the run at w itself does not need the weights at w
    plan = miner.plan_runs(**bench.arguments(run_card_files=[bench.run_card]))
    with ThreadPoolExecutor(4) as executor, pytest.raises(SimulatorError, match="'w'"):
        plan.execute(executor)
    assert "run_02" in bench.events
    bench.behave("good")
    assert len(plan.execute(resume=True).products) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [({"timeout": 1.0}, "timeout = 1 s"), ({"quiet_timeout": 1.0}, "quiet_timeout = 1 s")],
)
def test_hanging_is_ended_with_all_children(
    bench: Bench, miner: MadMiner, options: dict[str, float], words: str
) -> None:
    bench.behave("hang")
    with pytest.raises(SimulatorError, match=words):
        miner.run(**bench.arguments(run_card_file=bench.run_card, **options))
    assert_all_ended(bench.mg / "pids")


def assert_all_ended(file: Path) -> None:
    numbers = [int(number) for number in file.read_text().split()]
    assert len(numbers) == 3
    end = time.monotonic() + 5.0
    while any(is_alive(number) for number in numbers):
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.05)


def is_alive(number: int) -> bool:
    """Whether a process runs; dead ones that nobody waited for do not count."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{number}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from madminer import MadMiner
    if __name__ == "__main__":
        miner = MadMiner()
        miner.add_parameter("dim6", 2, "CWL2")
        for i, name in enumerate(("sm", "w")):
            miner.add_benchmark({{"CWL2": float(i)}}, name)
        plan = miner.plan_runs({mg!r}, {proc!r}, {param!r}, run_card_files=[{run!r}],
            mg_process_directory={process!r}, log_directory={logs!r})
        if {at_once}:
            with ThreadPoolExecutor(1) as executor:
                plan.execute(executor)
        else:
            plan.execute()
"""


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_caller_leaves_no_process_and_no_half_events(
    bench: Bench, miner: MadMiner, number: signal.Signals, at_once: bool
) -> None:
    bench.behave("hang")
    script = bench.folder / "script.py"
    script.write_text(
        textwrap.dedent(SCRIPT).format(
            tests=str(Path(__file__).parent),
            mg=str(bench.mg),
            proc=str(bench.process_card),
            param=str(bench.template),
            run=str(bench.run_card),
            process=str(bench.process),
            logs=str(bench.logs),
            at_once=at_once,
        )
    )
    caller = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE)
    end = time.monotonic() + 60.0
    while not (bench.mg / "pids").exists():
        assert caller.poll() is None, caller.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    caller.send_signal(number)
    caller.communicate(timeout=30)
    assert caller.returncode != 0
    assert_all_ended(bench.mg / "pids")
    assert not [name for name in bench.events if not name.endswith("_unchecked")]


# What the real program wrote


def test_logs_of_failures_of_the_real_program(shared: Path) -> None:
    logs = shared / "samples" / "madgraph-behaviour"
    expected = {
        "B": "reweighting could not be compiled",
        "C": "reweighting could not be compiled",
        "D": "could not compile the process",
        "E": "does not find the model",
        "F": "a particle that the model does not know",
        "H": "without a standard input",
        "H3": "does not find the process folder",
        "I": "No event passes the cuts",
        "J": "did not understand an answer",
        "N2": "Another MadGraph runs",
        "SP": "cut a path",
        "badblock": "ignored lines of the reweight card",
        "badcmd": "did not understand a line",
        "noexist": "ignored lines of the reweight card",
    }
    for name, words in expected.items():
        text = (logs / f"{name}.log").read_text(errors="replace")
        assert words in (cause_of_failure(text) or ""), name
    for words, remedy in {
        "InvalidParamCard : parameter yukawa: 4 is not at zero": "EWdim6-full",
        "AttributeError : 'int' object has no attribute 'decode'": "numpy 1.23",  # MadGraph 3.4.2
    }.items():
        assert remedy in (cause_of_failure(f"interrupted with error:\n{words}") or "")
    assert cause_of_failure((logs / "L.log").read_text(errors="replace")) is None


def test_cross_sections_of_the_real_program(shared: Path) -> None:
    text = (shared / "samples" / "madgraph-behaviour" / "same.log").read_text(errors="replace")
    nominal, reweighted = cross_sections_in_log(text)
    assert nominal == 0.1625
    assert reweighted["sm"] == pytest.approx(0.1625467)
    assert set(reweighted) == {"sm", "p"}


def test_stages() -> None:
    assert stage("INFO:  Idle: 3,  Running: 2,  Completed: -1 ") == "2 running, 3 waiting"
    assert stage("\x1b[1;31mlaunch --rwgt_name=w\x1b[0m") == "reweighting to w"
    assert stage("anything") is None


def test_run_names() -> None:
    names = [Run(i, "sm", {}, {}, seed=1).name for i in (0, 8, 9, 99)]
    assert names == ["run_01", "run_09", "run_10", "run_100"]


def test_the_stand_in_gives_what_the_excerpt_has(bench: Bench, miner: MadMiner) -> None:
    """The momenta are those of the real program, so that readers see real events."""
    (file,) = miner.run(**bench.arguments(run_card_file=bench.run_card)).event_files
    _, events = read_lhe(file)
    _, real = read_lhe(bench.mg / "excerpt.lhe.gz")
    n_particles = int(events.n_particles.sum())
    for name in ("pdgid", "px", "py", "pz", "e"):
        assert np.array_equal(getattr(events, name), getattr(real, name)[:n_particles])
