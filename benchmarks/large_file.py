"""Time and memory of writing, shuffling and sampling an event file of ten million events.

    python benchmarks/large_file.py                       # 1,000,000 and 10,000,000 events
    python benchmarks/large_file.py --events 100000 1000000 --thetas 1000

Each step runs in a process of its own with one thread. Its clock starts behind the imports; its
memory is the largest resident size of the process, imports and mapped files included, and beside
it that of the pages which belong to no file. Exit status 1 if a step takes more than ``--limit``
or a sample from the last file more than twice the time of one from the first. The files are
removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import numpy as np
from inputs import BENCHMARKS, COMPONENTS, CROSS_SECTION, N_LATENT, N_OBSERVABLES, SYNTHETIC_THETAS
from memory import PeakMemory, resident_bytes

from madminer import sampling
from madminer.io import Events, EventSummary, EventWriter
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark, MorphingSetup
from madminer.sampling import SampleAugmenter, combine_and_shuffle
from madminer.typing import FloatArray

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
CHUNK = 100_000
PRIORS = [("gaussian", 0.0, 0.5), ("gaussian", 0.0, 0.5)]
LARGEST_SLOWDOWN = 2.0
MB, GB = 1e6, 1e9


class Outcome(TypedDict):
    """What a step reports."""

    seconds: float
    cpu_seconds: float
    resident_MB: float
    anonymous_MB: float
    before_MB: float
    note: str


def make_setup() -> AnalysisSetup:
    """Two parameters, six benchmarks with morphing, twelve observables."""
    monomials = np.prod(SYNTHETIC_THETAS[:, np.newaxis, :] ** COMPONENTS, axis=-1)
    return AnalysisSetup(
        parameters={f"c{i}": AnalysisParameter(f"c{i}", "dim6", i) for i in range(2)},
        benchmarks={
            name: Benchmark(name, {"c0": float(theta[0]), "c1": float(theta[1])})
            for name, theta in zip(BENCHMARKS, SYNTHETIC_THETAS, strict=True)
        },
        morphing=MorphingSetup(COMPONENTS, np.linalg.inv(monomials)),
        observables={f"x{i}": "_" for i in range(N_OBSERVABLES)},
    )


def weights_at_benchmarks(latent: FloatArray) -> FloatArray:
    r"""Squared amplitudes :math:`[1 + \theta \cdot u(z)]^2 + [\theta \cdot v(z)]^2`."""
    u, v = np.tanh(latent[:, :2] - 0.2), 0.5 * np.tanh(latent[:, 2:])
    weights: FloatArray = (1.0 + u @ SYNTHETIC_THETAS.T) ** 2 + (v @ SYNTHETIC_THETAS.T) ** 2
    return weights


def unweighted(rng: np.random.Generator, n: int, benchmark: int) -> tuple[FloatArray, FloatArray]:
    """Latent variables of events generated at a benchmark, and their weights at all of them."""
    reach = np.abs(SYNTHETIC_THETAS[benchmark]).sum()
    largest = (1.0 + reach) ** 2 + (0.5 * reach) ** 2
    found: list[FloatArray] = []  # latent variables and weights, side by side
    while sum(map(len, found)) < n:
        latent = rng.normal(size=(CHUNK, N_LATENT))
        weights = weights_at_benchmarks(latent)
        is_kept = rng.random(CHUNK) * largest < weights[:, benchmark]
        found.append(np.hstack([latent, weights])[is_kept])
    kept = np.concatenate(found)[:n]
    return kept[:, :N_LATENT], kept[:, N_LATENT:]


def generate(n_events: int, seed: int) -> Iterator[Events]:
    """A seventh of the events at each benchmark and as background, one sort behind the other."""
    rng = np.random.default_rng(seed)
    sums = weights_at_benchmarks(rng.normal(size=(CHUNK, N_LATENT))).mean(axis=0)
    smearing = rng.normal(size=(N_LATENT, N_OBSERVABLES))
    edges = np.linspace(0, n_events, len(BENCHMARKS) + 2, dtype=int)
    for benchmark, (first, last) in enumerate(pairwise(edges), start=-1):
        for start in range(first, last, CHUNK):
            n = min(CHUNK, last - start)
            latent: FloatArray = rng.normal(size=(n, N_LATENT))
            ratios: FloatArray = np.ones((n, len(BENCHMARKS)))
            if benchmark >= 0:
                latent, weights = unweighted(rng, n, benchmark)
                ratios = sums[benchmark] * weights / weights[:, benchmark, np.newaxis]
            x = latent @ smearing + rng.normal(0.0, 0.3, size=(n, N_OBSERVABLES))
            yield Events(x, CROSS_SECTION / (last - first) * ratios, np.full(n, benchmark))


def write(path: Path, n_events: int) -> str:
    """Generate events and write them in chunks."""
    n_background, *n_signal = np.diff(np.linspace(0, n_events, len(BENCHMARKS) + 2, dtype=int))
    seconds = 0.0
    with EventWriter(path, make_setup(), n_events=n_events) as writer:
        for events in generate(n_events, seed=1):
            start = time.perf_counter()
            writer.append(events)
            seconds += time.perf_counter() - start
        writer.set_summary(EventSummary(np.array(n_signal), int(n_background)))
    return f"{path.stat().st_size / GB:.2f} GB; {seconds:.2f} s without generating"


def shuffle(path: Path, memory_limit: float) -> str:
    """Shuffle a file in its place."""
    combine_and_shuffle([path], path, seed=2, memory_limit=memory_limit)
    return f"memory_limit={memory_limit:g}"


def sample(path: Path, n_samples: int, n_thetas: int) -> str:
    """Draw a training sample for ratio estimators."""
    x, _, _, y, r_xz, *_ = SampleAugmenter(path).sample_train_ratio(
        theta0=sampling.random_morphing_points(n_thetas, PRIORS),
        theta1=sampling.benchmark("sm"),
        n_samples=n_samples,
        seed=3,
    )
    classifier = (r_xz / (1.0 + r_xz))[y > 0.5].mean()  # bounded, so its mean is stable
    return f"{len(x)} samples at {n_thetas} points; mean of r / (1 + r) {classifier:.4f}"


def report(work: Callable[[], str]) -> None:
    """Do the work of this process and print what it took."""
    before = resident_bytes()
    memory = PeakMemory()
    memory.start()
    seconds, cpu = time.perf_counter(), time.process_time()
    note = work()
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    memory.stop()
    outcome: Outcome = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "resident_MB": resident_bytes() / MB,
        "anonymous_MB": memory.anonymous / MB,
        "before_MB": before / MB,
        "note": note,
    }
    print(json.dumps(outcome))


def run_step(*arguments: object) -> Outcome:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", *map(str, arguments)]
    environment = {**os.environ, **ONE_THREAD, "MADMINER_PROGRESS": "0"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    outcome: Outcome = json.loads(done.stdout.splitlines()[-1])
    return outcome


def measure(folder: Path, n_events: int, arguments: argparse.Namespace) -> dict[str, Outcome]:
    """All steps for one file; sampling is repeated and the fastest run counts."""
    path = folder / "events.h5"
    outcomes = {
        "write": run_step("write", path, n_events),
        "shuffle": run_step("shuffle", path, arguments.memory_limit),
    }
    runs = [
        run_step("sample", path, arguments.samples, arguments.thetas)
        for _ in range(arguments.repetitions)
    ]
    outcomes["sample"] = min(runs, key=lambda run: run["seconds"])
    outcomes["sample"]["resident_MB"] = max(run["resident_MB"] for run in runs)
    outcomes["sample"]["anonymous_MB"] = max(run["anonymous_MB"] for run in runs)
    path.unlink()
    return outcomes


def print_table(results: dict[int, dict[str, Outcome]]) -> None:
    """One row for each step and size."""
    print("| events | step | s | CPU s | peak, MB | of it anonymous, MB | |")
    print("|---|---|---|---|---|---|---|")
    for n_events, outcomes in results.items():
        for step, found in outcomes.items():
            print(
                f"| {n_events:,} | {step} | {found['seconds']:.3g} | {found['cpu_seconds']:.3g} | "
                f"{found['resident_MB']:.0f} | {found['anonymous_MB']:.0f} | {found['note']} |"
            )


@contextmanager
def temporary_folder(inside: Path | None) -> Iterator[Path]:
    """A folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="large-file-", dir=inside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--thetas", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=3, help="of the sampling")
    parser.add_argument("--memory-limit", type=float, default=5e8, help="of the shuffling, bytes")
    parser.add_argument("--limit", type=float, default=1.5, help="largest peak in GB")
    parser.add_argument("--folder", type=Path, help="where the files go for a while")
    parser.add_argument("--output", type=Path, default=ROOT / ".bench" / "large_file.json")
    arguments = parser.parse_args()
    results: dict[int, dict[str, Outcome]] = {}
    with temporary_folder(arguments.folder) as folder:
        for n_events in arguments.events:
            results[n_events] = measure(folder, n_events, arguments)
    print_table(results)
    seconds = [results[n]["sample"]["seconds"] for n in arguments.events]
    print(f"time per sample: {seconds[-1] / seconds[0]:.2f} times that of the first file")
    peak = max(step["resident_MB"] for steps in results.values() for step in steps.values())
    print(f"largest peak: {peak * MB / GB:.2f} GB")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")
    too_slow = seconds[-1] > LARGEST_SLOWDOWN * seconds[0]
    return int(too_slow or peak * MB > arguments.limit * GB)


def step(name: str, path: Path, *numbers: str) -> None:
    """What a process that `run_step` starts does."""
    steps: dict[str, Callable[[], str]] = {
        "write": lambda: write(path, int(numbers[0])),
        "shuffle": lambda: shuffle(path, float(numbers[0])),
        "sample": lambda: sample(path, int(numbers[0]), int(numbers[1])),
    }
    report(steps[name])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        sys.exit(main())
