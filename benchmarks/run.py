"""Measure this package beside MadMiner 0.9.6: ``make bench``, or ``run.py --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from comparisons import Task, tasks
from inputs import write_events, write_setup
from peer import VERSION, install_peer
from table import Result, markdown
from training_sample import write_training_samples

ROOT = Path(__file__).resolve().parents[1]
TASKS = Path(__file__).with_name("tasks")
SAMPLE = ROOT.parent / "shared" / "samples" / "sig_mg357_vbf_haa_rw.lhe.gz"
EXCERPT = ROOT / "tests" / "data" / "mg357_first500.lhe.gz"

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
QUIET = {"MADMINER_PROGRESS": "0", "PYTHONWARNINGS": "ignore"}


class Outcome(TypedDict):
    """What a task prints, see ``tasks/stopwatch.py``."""

    seconds: float
    cpu_seconds: float
    memory_MB: float
    numbers: list[float]


def run_once(python: Path, script: str, arguments: Sequence[str]) -> Outcome:
    """One run of a task in a process of its own."""
    command = [str(python), str(TASKS / f"{script}.py"), *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, **ONE_THREAD, **QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise SystemExit(f"{' '.join(command)} failed: {' '.join(last)}")
    outcome: Outcome = json.loads(done.stdout.strip().splitlines()[-1])
    return outcome


def compare(task: Task, peer: Path, ours: Path, repetitions: int) -> tuple[Result, list[object]]:
    """Run both sides in turn, so that both see the same load of the machine."""
    sides = {"ours": (ours, task.script, task.ours or task.arguments)}
    if not task.alone:
        other = ours if task.against_ourselves else peer
        sides = {"peer": (other, task.script, task.arguments), **sides}
    seconds: dict[str, list[float]] = {"peer": [], "ours": []}
    numbers: dict[str, np.ndarray] = {}
    memory: dict[str, float] = {}
    raw: list[object] = []
    for _ in range(repetitions):
        for side, (python, script, arguments) in sides.items():
            outcome = run_once(python, script, arguments)
            raw.append({"side": side, **outcome})
            seconds[side].append(outcome["seconds"])
            numbers[side] = np.asarray(outcome["numbers"])
            memory[side] = max(memory.get(side, 0.0), outcome["memory_MB"])
    theirs = numbers.get("peer", numbers["ours"])
    result = Result(
        title=task.title,
        peer=tuple(seconds["peer"]),
        ours=tuple(seconds["ours"]),
        target=task.target,
        most_seconds=task.most_seconds,
        most_memory=task.most_memory,
        memory=memory["ours"],
        disagreement=float(np.max(np.abs(numbers["ours"] / theirs - 1.0))),
        tolerance=task.tolerance,
        n_steps=task.n_steps,
    )
    return result, raw


def default_sample(folder: Path, *, quick: bool) -> Path:
    """The MadGraph sample beside the checkout, its excerpt, or events of the own generator."""
    if quick:
        return EXCERPT
    return SAMPLE if SAMPLE.exists() else folder / "wbf_10000.lhe.gz"


def prepare(folder: Path, chosen: Sequence[str], lhe: Path) -> None:
    """Write the inputs that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    write_setup(folder / "setup.h5")
    if not lhe.exists() and lhe.parent == folder:
        generator = [str(Path(sys.executable).with_name("madminer")), "simulate", "wbf"]
        subprocess.run([*generator, "--out", str(lhe), "--events", "10000"], check=True)
    if not (folder / "training" / "truth.json").exists():
        write_training_samples(folder / "training")
    files = {"events_200k.h5": (200_000, 0)}
    if "ratio_2M" in chosen:
        files["events_2M.h5"] = 2_000_000, 0
    if {"profiled_histo", "profiled_ml", "toys_profiled"} & set(chosen):
        files["events_200k_5nu.h5"] = 200_000, 5
    for name, (n_events, n_nuisances) in files.items():
        if not (folder / name).exists():
            unfinished = folder / f"{name}.part"
            write_events(unfinished, n_events, n_nuisances=n_nuisances)
            unfinished.rename(folder / name)
    if {"limits_sally", "limits_ml"} & set(chosen):
        train_networks(folder / "events_200k.h5", folder / "networks")
    if "profiled_ml" in chosen:
        train_networks(folder / "events_200k_5nu.h5", folder / "networks_5nu")


def train_networks(events: Path, folder: Path) -> None:
    """Train the networks of the limits unless they are there, in a process of its own."""
    if folder.exists():
        return
    unfinished = folder.with_suffix(".part")
    command = [sys.executable, str(TASKS / "limits_networks.py"), str(events), str(unfinished)]
    subprocess.run(command, env={**os.environ, **ONE_THREAD, **QUIET}, check=True)
    unfinished.rename(folder)


def machine() -> dict[str, object]:
    """Where it was measured."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, one run each, in about two minutes"
    )
    parser.add_argument("--only", nargs="+", metavar="TASK", help="tasks by name")
    parser.add_argument("--repetitions", type=int, help="runs of each side, instead of 2 to 5")
    parser.add_argument(
        "--lhe", type=Path, help="LHE file with the benchmarks of inputs.py, gz or plain"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="where all is kept")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install the peer, make the inputs, measure, print the table, write ``results.json``."""
    options = parse(arguments)
    data = options.folder / "data"
    lhe = options.lhe or default_sample(data, quick=options.quick)
    available = tasks(data, lhe, quick=options.quick)
    unknown = set(options.only or ()) - set(available)
    if unknown:
        raise SystemExit(f"There are no tasks {sorted(unknown)}; the tasks are {list(available)}.")
    chosen = options.only or list(available)
    if options.lhe and not options.lhe.exists():
        raise SystemExit(f"There is no file {options.lhe}.")
    peer, ours = install_peer(options.folder / "peer"), Path(sys.executable)
    prepare(data, chosen, lhe)
    results, raw = [], {}
    for name in chosen:
        task = available[name]
        repetitions = options.repetitions or (1 if options.quick else task.repetitions)
        print(f"{name}: {repetitions} x ...", end=" ", flush=True)
        result, raw[name] = compare(task, peer, ours, repetitions)
        results.append(result)
        print(result.summary, flush=True)
    print(f"\nSeconds are minimum / median, one thread each, beside MadMiner {VERSION}.\n")
    print(markdown(results))
    record = {
        "machine": machine(),
        "results": {name: result.as_dict() for name, result in zip(chosen, results, strict=True)},
        "runs": raw,
    }
    (options.folder / "results.json").write_text(json.dumps(record, indent=1))
    return int(options.check and not all(result.passed for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
