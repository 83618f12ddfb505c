"""Scripts and submissions do what a call does; existing events get further weights."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from madminer import MadMiner
from madminer.errors import (
    MissingFileError,
    OptionError,
    SimulatorError,
)
from madminer.io.lhe import read_lhe

if TYPE_CHECKING:
    from conftest import Bench


# Scripts


def bash(script: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(script), *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("blanks", [False, True])
def test_scripts_do_what_a_call_does(
    make_bench: Callable[..., Bench], miner: MadMiner, blanks: bool
) -> None:
    bench = make_bench(blanks=blanks)
    arguments = bench.arguments(run_card_files=[bench.run_card], sample_benchmarks=["sm", "w"])
    assert miner.run_multiple(**arguments, only_prepare_script=True) is None
    assert bench.events == []
    script = bench.process / "madminer" / "run.sh"
    assert os.access(script, os.X_OK)
    done = bash(script)
    assert done.returncode == 0, done.stderr
    results = miner.plan_runs(**arguments).check()
    assert [p.benchmark for p in results.products] == ["sm", "w"]
    assert bench.events == ["run_01", "run_02"]
    assert "finished already" in bash(script).stdout


def test_scripts_make_the_process_where_it_is_missing(bench: Bench, miner: MadMiner) -> None:
    plan = miner.plan_runs(**bench.arguments(sample_benchmarks=["w"]))
    script = plan.write_scripts()
    elsewhere = bench.folder / "elsewhere"
    bench.process.rename(elsewhere)
    script = elsewhere / script.relative_to(bench.process)
    logs = bench.folder / "other logs"
    assert bash(script, bench.mg, elsewhere, logs, MADMINER_COPY="1").returncode == 0
    assert (elsewhere / "Events" / "run_01").is_dir()
    assert sorted(path.name for path in logs.iterdir()) == ["generate.log", "run_0.log"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("f2py", "no weights at w"),
        ("ignored_card", "no weights at w"),
        ("zero", "made no events"),
    ],
)
def test_scripts_notice_failures(bench: Bench, miner: MadMiner, behaviour: str, words: str) -> None:
    bench.behave(behaviour)
    script = miner.plan_runs(**bench.arguments(sample_benchmarks=["sm"])).write_scripts()
    done = bash(script)
    assert done.returncode == 1
    assert words in done.stderr
    with pytest.raises(SimulatorError, match="run_01 has no events"):
        miner.plan_runs(**bench.arguments(sample_benchmarks=["sm"])).check()


def test_submissions(bench: Bench, miner: MadMiner, points: dict[str, tuple[float, float]]) -> None:
    plan = miner.plan_runs(**bench.arguments(n_cores=4))
    slurm = plan.write_slurm(time="1-00:00:00", options=("--partition=long",))
    text = slurm.read_text()
    for line in ("--array=0-3", "--cpus-per-task=4", "--time=1-00:00:00", "--partition=long"):
        assert f"#SBATCH {line}\n" in text
    assert bash(plan.own_directory / "scripts" / "generate.sh").returncode == 0
    for task in range(4):
        assert bash(slurm, SLURM_ARRAY_TASK_ID=str(task)).returncode == 0
    assert [p.benchmark for p in plan.check().products] == list(points)
    condor = plan.write_htcondor(options=("+JobFlavour = tomorrow",)).read_text()
    assert "queue 4" in condor
    assert "request_cpus = 4\n" in condor
    assert "+JobFlavour = tomorrow\n" in condor


# Reweighting


def test_an_existing_sample_gets_weights(
    bench: Bench, miner: MadMiner, points: dict[str, tuple[float, float]]
) -> None:
    miner.run(**bench.arguments(run_card_file=bench.run_card, is_background=True))
    arguments = (bench.process, "run_01", bench.template, "sm")
    results = miner.reweight_existing_sample(*arguments, log_directory=bench.logs)
    _, events = read_lhe(results.event_files[0])
    for name in set(points) - {"sm"}:
        np.testing.assert_allclose(events.weights[name], bench.truth(20, points[name]), rtol=1e-6)
    assert bench.events == ["run_01"]
    assert (bench.logs / "reweight.log").is_file()


def test_a_failed_reweighting_leaves_the_file(bench: Bench, miner: MadMiner) -> None:
    (file,) = miner.run(**bench.arguments(run_card_file=bench.run_card)).event_files
    before = file.read_bytes()
    bench.behave("f2py_madevent")
    with pytest.raises(SimulatorError, match=r"lacks weights for the benchmarks \['ww'\]"):
        miner.reweight_existing_sample(
            bench.process, "run_01", bench.template, "sm", ["ww"], log_directory=bench.logs
        )
    assert file.read_bytes() == before


def test_reweighting_by_script(bench: Bench, miner: MadMiner) -> None:
    (file,) = miner.run(**bench.arguments(is_background=True)).event_files
    arguments = (bench.process, "run_01", bench.template, "sm", ["w"])
    assert miner.reweight_existing_sample(*arguments, True, bench.logs) is None
    script = bench.process / "madminer" / "scripts" / "run_reweight.sh"
    assert bash(script).returncode == 0
    assert set(read_lhe(file)[1].weights) == {"w"}


def test_what_cannot_be_reweighted_is_refused(bench: Bench, miner: MadMiner) -> None:
    with pytest.raises(MissingFileError, match="no process"):
        miner.reweight_existing_sample(bench.process, "run_01", bench.template, "sm")
    miner.run(**bench.arguments(is_background=True))
    with pytest.raises(MissingFileError, match=r"runs there are \['run_01'\]"):
        miner.reweight_existing_sample(bench.process, "run_02", bench.template, "sm")
    with pytest.raises(OptionError, match="MadSpin"):
        miner.reweight_existing_sample(bench.process, "run_01_decayed_1", bench.template, "sm")
    with pytest.raises(OptionError, match="other than sample_benchmark"):
        miner.reweight_existing_sample(bench.process, "run_01", bench.template, "sm", ["sm"])
    with pytest.raises(SimulatorError, match="for the benchmark 'w' dim6 2 must be"):
        miner.reweight_existing_sample(
            bench.process, "run_01", bench.template, "w", log_directory=bench.logs
        )
