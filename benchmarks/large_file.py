"""Time and memory of writing, shuffling and sampling an event file of ten million events.

    python benchmarks/large_file.py                       # 1,000,000 and 10,000,000 events
    python benchmarks/large_file.py --events 100000 1000000 --thetas 1000
    python benchmarks/large_file.py --events 10000000 --files 10      # takes 16 GB of disk

With ``--files`` as many files of the last size are written, and sampled as one data set, with no
merged copy; a SALLY is trained from them by streaming. Its memory has a limit of its own.

Each step runs in a process of its own with one thread. Its clock starts behind the imports; its
memory is the largest resident size of the process, imports and mapped files included, and beside
it that of the pages which belong to no file. Exit status 1 if a step takes more than ``--limit``
or a sample from the last file, or from all files as one, more than twice the time of one from the
first. The files are removed at the end.
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
from typing import Literal, TypedDict

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
WEIGHTS_IN_MEMORY = 1e9  # bytes; more of them lie in a temporary file
MB, GB = 1e6, 1e9


class Outcome(TypedDict):
    """What a step reports."""

    seconds: float
    cpu_seconds: float
    resident_MB: float
    anonymous_MB: float
    before_MB: float
    note: str


Results = dict[str, dict[str, Outcome]]
"""Outcomes of the steps, by what they work on."""


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


def write(path: Path, n_events: int, seed: int) -> str:
    """Generate events and write them in chunks."""
    n_background, *n_signal = np.diff(np.linspace(0, n_events, len(BENCHMARKS) + 2, dtype=int))
    seconds = 0.0
    with EventWriter(path, make_setup(), n_events=n_events) as writer:
        for events in generate(n_events, seed):
            start = time.perf_counter()
            writer.append(events)
            seconds += time.perf_counter() - start
        writer.set_summary(EventSummary(np.array(n_signal), int(n_background)))
    return f"{path.stat().st_size / GB:.2f} GB; {seconds:.2f} s without generating"


def shuffle(path: Path, memory_limit: float) -> str:
    """Shuffle a file in its place."""
    combine_and_shuffle([path], path, seed=2, memory_limit=memory_limit)
    return f"memory_limit={memory_limit:g}"


def open_source(source: str) -> SampleAugmenter:
    """Open a file, or all files of a pattern, each of which holds the whole process."""
    n_files = len(list(Path(source).parent.glob(Path(source).name)))
    return SampleAugmenter({source: 1.0 / n_files}, memory_limit=WEIGHTS_IN_MEMORY)


def sample(source: str, n_samples: int, n_thetas: int) -> str:
    """Draw a training sample for ratio estimators."""
    x, _, _, y, r_xz, *_ = open_source(source).sample_train_ratio(
        theta0=sampling.random_morphing_points(n_thetas, PRIORS),
        theta1=sampling.benchmark("sm"),
        n_samples=n_samples,
        seed=3,
    )
    classifier = (r_xz / (1.0 + r_xz))[y > 0.5].mean()  # bounded, so its mean is stable
    return f"{len(x)} samples at {n_thetas} points; mean of r / (1 + r) {classifier:.4f}"


def train(source: str, n_samples: int) -> str:
    """Train a network on the joint score, each batch drawn when it is needed."""
    import torch  # which takes 100 MB

    from madminer.sampling.stream import SampleStream

    stream = SampleStream(
        open_source(source).sample_train_local,
        theta=sampling.benchmark("sm"),
        n_samples=n_samples,
        batch_size=1024,
        seed=4,
    )
    layers = torch.nn.Linear(N_OBSERVABLES, 100), torch.nn.Tanh(), torch.nn.Linear(100, 2)
    network = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for batch in stream:
        loss = torch.mean(batch["w"] * (network(batch["x"]) - batch["t_xz"]) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tenth = -(-len(losses) // 10)
    first, last = np.mean(losses[:tenth]), np.mean(losses[-tenth:])
    return f"{stream.n_rows} samples; loss {first:.3f} in the first tenth, {last:.3f} in the last"


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


def measure(path: Path, n_events: int, arguments: argparse.Namespace) -> dict[str, Outcome]:
    """All steps for one file."""
    return {**write_shuffled(path, n_events, 1, arguments), "sample": sampled(path, arguments)}


def write_shuffled(
    path: Path, n_events: int, seed: int, arguments: argparse.Namespace
) -> dict[str, Outcome]:
    """A file with its events in random order."""
    return {
        "write": run_step("write", path, n_events, seed),
        "shuffle": run_step("shuffle", path, arguments.memory_limit),
    }


def sampled(source: Path, arguments: argparse.Namespace) -> Outcome:
    """Sampling is repeated and the fastest run counts, with the largest memory of all."""
    runs = [
        run_step("sample", source, arguments.samples, arguments.thetas)
        for _ in range(arguments.repetitions)
    ]
    fastest = min(runs, key=lambda run: run["seconds"])
    fastest["resident_MB"] = max(run["resident_MB"] for run in runs)
    fastest["anonymous_MB"] = max(run["anonymous_MB"] for run in runs)
    return fastest


def measure_set(folder: Path, n_events: int, arguments: argparse.Namespace) -> dict[str, Outcome]:
    """Steps for many files as one; the first file is there."""
    for number in range(2, arguments.files + 1):
        write_shuffled(folder / f"events_{number}.h5", n_events, number, arguments)
    files = folder / "events_*.h5"
    return {
        "sample": sampled(files, arguments),
        "train": run_step("train", files, arguments.samples),
    }


def print_table(results: Results) -> None:
    """One row for each step and size."""
    print("| events | step | s | CPU s | peak, MB | of it anonymous, MB | |")
    print("|---|---|---|---|---|---|---|")
    for what, outcomes in results.items():
        for step, found in outcomes.items():
            print(
                f"| {what} | {step} | {found['seconds']:.3g} | {found['cpu_seconds']:.3g} | "
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
    parser.add_argument("--limit", type=float, default=1.5, help="largest peak of a file in GB")
    parser.add_argument("--files", type=int, default=1, help="number of files sampled as one")
    parser.add_argument("--set-limit", type=float, default=4.0, help="largest peak of them in GB")
    parser.add_argument("--folder", type=Path, help="where the files go for a while")
    parser.add_argument("--output", type=Path, default=ROOT / ".bench" / "large_file.json")
    arguments = parser.parse_args()
    files, together = {}, {}
    with temporary_folder(arguments.folder) as folder:
        path = folder / "events_1.h5"  # overwritten by the next one
        for n_events in arguments.events:
            files[f"{n_events:,}"] = measure(path, n_events, arguments)
        if arguments.files > 1:
            name = f"{arguments.files} files of {n_events:,}"
            together[name] = measure_set(folder, n_events, arguments)
    print_table(files | together)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(files | together, indent=1), encoding="utf-8")
    is_fast = print_slowdown(files | together)
    is_small = [
        print_peak(files, "resident_MB", arguments.limit),
        print_peak(together, "anonymous_MB", arguments.set_limit),
    ]
    return int(not (is_fast and all(is_small)))


def print_slowdown(results: Results) -> bool:
    """How much longer the samples of the last row take than those of the first."""
    seconds = [outcomes["sample"]["seconds"] for outcomes in results.values()]
    print(f"time per sample: {seconds[-1] / seconds[0]:.2f} times that of the first file")
    return seconds[-1] <= LARGEST_SLOWDOWN * seconds[0]


def print_peak(
    results: Results, kind: Literal["resident_MB", "anonymous_MB"], limit: float
) -> bool:
    """The largest memory of the steps; where weights lie in a file, this does not count."""
    steps = [step for outcomes in results.values() for step in outcomes.values()]
    peak = max((step[kind] * MB / GB for step in steps), default=0.0)
    print(f"largest peak ({kind}) of {', '.join(results) or 'no set'}: {peak:.2f} GB")
    return peak <= limit


def step(name: str, path: Path, *numbers: str) -> None:
    """What a process that `run_step` starts does."""
    steps: dict[str, Callable[[], str]] = {
        "write": lambda: write(path, int(numbers[0]), int(numbers[1])),
        "shuffle": lambda: shuffle(path, float(numbers[0])),
        "sample": lambda: sample(str(path), int(numbers[0]), int(numbers[1])),
        "train": lambda: train(str(path), int(numbers[0])),
    }
    report(steps[name])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        sys.exit(main())
