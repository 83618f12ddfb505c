"""Evaluate a ratio estimator for all combinations of parameter points and events.

Arguments: folder of the training sample, number of parameter points, number of events.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from stopwatch import Stopwatch
from training import columns, make_estimator, seeding


def main(folder: str, n_thetas: int, n_events: int) -> None:
    """Time the evaluation alone; one short epoch makes the network."""
    estimator = make_estimator("alices")
    estimator.train(
        "alices",
        n_epochs=1,
        batch_size=1024,
        initial_lr=0.01,
        validation_split=None,
        verbose="none",
        n_workers=0,
        **seeding(estimator.train, 1),
        **columns(folder, "alices"),
    )
    x = np.load(Path(folder) / "ratio_x_val.npy")[:n_events]
    theta = np.load(Path(folder) / "ratio_theta_val.npy")[:n_thetas]
    with Stopwatch() as watch:
        log_r, _ = estimator.evaluate_log_likelihood_ratio(x, theta, test_all_combinations=True)
    watch.report([log_r.std()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
