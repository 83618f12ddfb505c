"""Steps of training and evaluations on a graphics processor.

    python benchmarks/gpu.py            # a few minutes
    python benchmarks/gpu.py --check    # exit status 1 if a target is missed

Prints the card and the versions, then milliseconds a step at batches of 128 events and the default
settings, alone (beside one core of the CPU, and where ``device=None`` trains) and for 100 stacked
networks; the same with data that are streamed from the memory of the host; and the time of
100 x 1e6 log ratios beside one core. Where there is no graphics processor it says so and ends with
status 0.

A step is what more epochs cost, divided by their steps: recording the CUDA graphs is in both
trainings whose difference is taken. No events are validated.
"""

from __future__ import annotations

import argparse
import logging
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from madminer import __version__
from madminer.ml import Ensemble, LikelihoodEstimator, ParameterizedRatioEstimator, ScoreEstimator
from madminer.ml.base import Estimator

N_EVENTS, BATCH, N_OBSERVABLES, N_PARAMETERS = 56_250, 128, 12, 2
N_STEPS = math.ceil(N_EVENTS / BATCH)
MORE_EPOCHS = 4
N_THETAS, N_EVALUATED = 100, 1_000_000
LAYERS = (100, 100)
N_STREAMED, FREE_BYTES = 4_000_000, 400 << 20  # data and their order take 384 MB


@dataclass(frozen=True)
class Row:
    """A training that is measured.

    Args:
        name: What is printed.
        make: Makes an estimator.
        method: How it is trained.
        target: Milliseconds that a step may take.
        n_networks: Number of networks that train together.
    """

    name: str
    make: Callable[[], Estimator]
    method: str
    target: float
    n_networks: int = 1


def make_score() -> Estimator:
    """A network of SALLY."""
    return ScoreEstimator(n_hidden=LAYERS)


def make_ratio() -> Estimator:
    """A network of ALICES."""
    return ParameterizedRatioEstimator(n_hidden=LAYERS)


ROWS = (
    Row("SALLY", make_score, "sally", 0.25),
    Row("ALICES", make_ratio, "alices", 0.35),
    Row("NDE", LikelihoodEstimator, "nde", 0.6),
    Row("100 SALLY", make_score, "sally", 0.5, 100),
    Row("100 ALICES", make_ratio, "alices", 1.0, 100),
)


def make_sample(method: str, n: int = N_EVENTS) -> dict[str, Any]:
    """Events of x ~ N(theta, 1) in the first two observables, with exact scores and ratios."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, n)
    theta = rng.uniform(-1.0, 1.0, (n, N_PARAMETERS))
    x = rng.normal(size=(n, N_OBSERVABLES))
    if method == "sally":
        return {"x": x, "t_xz": x[:, :N_PARAMETERS]}
    if method == "nde":
        x[:, :N_PARAMETERS] += theta
        return {"x": x, "theta": theta}
    x[:, :N_PARAMETERS] += np.where(y[:, None] == 0, theta, 0.0)
    latent = x[:, :N_PARAMETERS]
    r_xz = np.exp(np.sum(latent * theta - theta**2 / 2.0, axis=1))
    return {"x": x, "y": y, "theta": theta, "r_xz": r_xz, "t_xz": latent - theta}


def seconds(row: Row, device: str | None, n_epochs: int, n_events: int = N_EVENTS) -> float:
    """Duration of a training."""
    ensemble = Ensemble([row.make() for _ in range(row.n_networks)])
    options: dict[str, Any] = {
        "n_epochs": n_epochs,
        "batch_size": BATCH,
        "validation_split": None,
        "verbose": "none",
        "device": device,
    }
    histories = ensemble.train_all(
        method=row.method, **make_sample(row.method, n_events), **options, seed=1, stacked=None
    )
    return max(history.seconds for history in histories)


def milliseconds(row: Row, device: str | None) -> float:
    """Time of a step of all networks."""
    seconds(row, device, 1)  # kernels are loaded
    more = seconds(row, device, 1 + MORE_EPOCHS) - seconds(row, device, 1)
    return 1e3 * more / (MORE_EPOCHS * N_STEPS)


def evaluation_seconds(device: str, n_events: int) -> float:
    """Time of log r of 100 parameter points for some events."""
    sample = make_sample("alices", 2000)
    estimator = make_ratio()
    estimator.train("alices", **sample, n_epochs=1, verbose="none", seed=1, device=device)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n_events, N_OBSERVABLES))
    theta = rng.uniform(-1.0, 1.0, (N_THETAS, N_PARAMETERS))
    estimator.evaluate_log_likelihood_ratio(x[:1000], theta)
    start = time.perf_counter()
    estimator.evaluate_log_likelihood_ratio(x, theta)
    return time.perf_counter() - start


def measure(device: str) -> bool:
    """Print all rows; gives whether all targets were reached."""
    reached = True
    print(f"{'ms a step':12} {'GPU':>8} {'target':>8} {'CPU':>8} {'default':>8}")
    for row in ROWS:
        value = milliseconds(row, device)
        reached = reached and value <= row.target
        others = [milliseconds(row, where) for where in ("cpu", None) if row.n_networks == 1]
        beside = "".join(f" {other:8.3f}" for other in others)
        print(f"{row.name:12} {value:8.3f} {row.target:8.2f}{beside}", flush=True)
    with without_memory():
        first, both = (seconds(ROWS[0], device, n, N_STREAMED) for n in (1, 2))
    print(f"{'streamed':12} {1e3 * (both - first) * BATCH / N_STREAMED:8.3f}", flush=True)
    on_cpu = 10.0 * evaluation_seconds("cpu", N_EVALUATED // 10)
    on_gpu = evaluation_seconds(device, N_EVALUATED)
    ratio = on_cpu / on_gpu
    print(f"log r, {N_THETAS} x {N_EVALUATED:.0e}: {on_gpu:.2f} s, {ratio:.1f} x one core (20)")
    return reached and ratio >= 20.0


@contextmanager
def without_memory() -> Iterator[None]:
    """Leave too little memory for the data, and enough for the steps."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    kept = torch.empty(free - FREE_BYTES, dtype=torch.uint8, device="cuda")
    yield
    del kept
    torch.cuda.empty_cache()


def main() -> int:
    """Say what is measured on, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="exit status 1 if a target is missed")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no graphics processor that CUDA can use here; nothing was measured.")
        return 0
    torch.set_num_threads(1)
    logging.getLogger("madminer").setLevel(logging.ERROR)  # trainings are too short on purpose
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {platform.platform()}")
    print(f"MadMiner {__version__}, torch {torch.__version__}, NumPy {np.__version__}")
    reached = measure("cuda")
    return int(arguments.check and not reached)


if __name__ == "__main__":
    sys.exit(main())
