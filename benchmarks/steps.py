"""Steps of training on one core, beside the loop in eager PyTorch that one would write by hand.

    python benchmarks/steps.py            # two minutes
    python benchmarks/steps.py --check    # exit status 1 if a target is missed

Networks of 100 and 100 units, batches of 128 events, fused AMSGrad, 12 observables, 2 parameters.
Both train in the same process by turns, an epoch each, so that what else the machine does meets
both; the ratio is the median over all turns.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "tasks"))  # scripts, not a package
from gpu import BATCH, N_EVENTS, N_OBSERVABLES, N_PARAMETERS, make_ratio, make_sample, make_score
from train_loop import alices_loss, make_network, sally_loss, train

COLUMNS = {"sally": ("x", "t_xz"), "alices": ("x", "theta", "y", "r_xz", "t_xz")}
TARGETS = {"sally": 2.5, "alices": 2.0}
N_STEPS = math.ceil(N_EVENTS / BATCH)
N_TURNS = 15


def plain(method: str, sample: dict[str, Any]) -> Callable[[], float]:
    """Gives seconds of an epoch of the plain loop."""
    columns = [torch.as_tensor(sample[name]).float() for name in COLUMNS[method]]
    is_score = method == "sally"
    n_inputs = N_OBSERVABLES + (0 if is_score else N_PARAMETERS)
    network = make_network(n_inputs, N_PARAMETERS if is_score else 1)
    loss = sally_loss if is_score else alices_loss

    def run() -> float:
        start = time.perf_counter()
        train(network, loss, columns, [column[:1] for column in columns], 1)
        return time.perf_counter() - start

    return run


def ours(method: str, sample: dict[str, Any]) -> Callable[[], float]:
    """Gives seconds of an epoch of an estimator, from the scaled data on."""
    estimator = make_score() if method == "sally" else make_ratio()

    def run() -> float:
        history = estimator.train(
            method, **sample, n_epochs=1, batch_size=BATCH, validation_split=None, verbose="none"
        )
        return history.seconds

    return run


def main() -> int:
    """Measure both methods, print a row for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="exit status 1 if a target is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("madminer").setLevel(logging.ERROR)  # trainings are too short on purpose
    reached = True
    print(f"{'ms a step':9} {'loop':>14} {'ours':>14} {'ratio':>6} target   (minimum / median)")
    for method, target in TARGETS.items():
        sample = make_sample(method)
        runs = plain(method, sample), ours(method, sample)
        turns = np.array([[run() for run in runs] for _ in range(N_TURNS + 1)])[1:]  # warmed up
        steps = 1e3 * turns / N_STEPS
        ratio = float(np.median(steps[:, 0] / steps[:, 1]))
        loop, own = (f"{column.min():.3f} / {np.median(column):.3f}" for column in steps.T)
        print(f"{method:9} {loop:>14} {own:>14} {ratio:6.2f} {target:6.1f}")
        reached = reached and ratio >= target
    return int(arguments.check and not reached)


if __name__ == "__main__":
    sys.exit(main())
