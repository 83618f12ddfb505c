"""Memory and time of a training on a file larger than the memory it may take.

    python benchmarks/memmap_training.py                  # 4 GB of observables, one epoch
    python benchmarks/memmap_training.py --events 1000000

A sample with known score is written to npy files, in pieces; SALLY trains on them with
``memmap=True`` for one epoch, on one thread. The script prints times and the peak memory of the
process: all resident pages (files included, as the system counts them), and its own ones alone.
Exit status 1 if a peak lies above ``--limit``. The files are removed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import PeakMemory, resident_bytes

from madminer.ml import ScoreEstimator

N_OBSERVABLES, N_PARAMETERS = 40, 2
N_EVENTS = 25_000_000
CHUNK = 250_000
GB = 1e9


def write_sample(folder: Path, n_events: int) -> None:
    """Write x ~ N(z, 1) with z ~ N(theta, 1) in two dimensions and noise in the others.

    The score at theta = 0 is z; its expectation given x is x/2.
    """
    rng = np.random.default_rng(1)
    shape = (n_events, N_OBSERVABLES)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, shape)
    t_xz = np.lib.format.open_memmap(
        folder / "t_xz.npy", "w+", np.float32, (n_events, N_PARAMETERS)
    )
    for start in range(0, n_events, CHUNK):
        n = min(CHUNK, n_events - start)
        z = rng.standard_normal((n, N_PARAMETERS), dtype=np.float32)
        noise = rng.standard_normal((n, N_OBSERVABLES), dtype=np.float32)
        noise[:, :N_PARAMETERS] += z
        x[start : start + n] = noise
        t_xz[start : start + n] = z
    x.flush()
    t_xz.flush()


def train(folder: Path, batch_size: int) -> tuple[ScoreEstimator, float]:
    """Train one epoch, with a checkpoint, and give the validation loss."""
    estimator = ScoreEstimator(n_hidden=(100, 100))
    history = estimator.train(
        "sally",
        folder / "x.npy",
        folder / "t_xz.npy",
        n_epochs=1,
        batch_size=batch_size,
        memmap=True,
        seed=1,
        checkpoint=folder / "checkpoint.pt",
    )
    return estimator, history.validation_losses[0] or 0.0


def main() -> int:
    """Write, train, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=N_EVENTS)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--limit", type=float, default=1.5, help="largest peak in GB")
    parser.add_argument("--folder", type=Path, help="where the files go for a while")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="memmap-training-", dir=arguments.folder))
    try:
        start = time.perf_counter()
        # in a process of its own, that its memory does not count
        context = torch.multiprocessing.get_context("spawn")
        writer = context.Process(target=write_sample, args=(folder, arguments.events))
        writer.start()
        writer.join()
        size = (folder / "x.npy").stat().st_size
        print(f"x: {size / GB:.2f} GB, written in {time.perf_counter() - start:.0f} s")
        before = resident_bytes()
        memory = PeakMemory()
        memory.start()
        start, cpu = time.perf_counter(), time.process_time()
        estimator, loss = train(folder, arguments.batch_size)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory.stop()
    finally:
        shutil.rmtree(folder)
    x = np.zeros((1, N_OBSERVABLES))
    x[0, 0] = 1.0
    score = estimator.evaluate_score(x)[0, 0]
    peak = resident_bytes()
    print(f"one epoch and its preparation: {seconds:.0f} s, {cpu:.0f} s of them computing")
    print(f"validation loss {loss:.4f} (least possible 0.5), score at x_0 = 1: {score:.3f} (0.5)")
    print(f"peak memory: {peak / GB:.2f} GB resident, {memory.anonymous / GB:.2f} GB anonymous")
    print(f"before the training: {before / GB:.2f} GB resident")
    return int(max(peak, memory.anonymous) > arguments.limit * GB)


if __name__ == "__main__":
    sys.exit(main())
