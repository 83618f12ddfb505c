"""Train an ensemble of score estimators with SALLY, two hidden layers of 100 units each.

Arguments: folder of the training sample, number of epochs, number of members.
"""

from __future__ import annotations

import os
import sys
from inspect import signature

import numpy as np
from stopwatch import Stopwatch
from training import columns, import_optimizers, make_estimator, seeding

from madminer.ml import Ensemble


def main(folder: str, n_epochs: int, n_members: int) -> None:
    """Time everything from the files on disk to the trained networks."""
    ensemble = Ensemble([make_estimator("sally") for _ in range(n_members)])
    options = {**seeding(ensemble.train_all, 1), **columns(folder, "sally")}
    if "n_processes" in signature(ensemble.train_all).parameters:
        options["n_processes"] = os.cpu_count()
    import_optimizers()
    with Stopwatch() as watch:
        results = ensemble.train_all(
            method="sally",
            n_epochs=n_epochs,
            validation_split=None,
            verbose="none",
            n_workers=0,
            **options,
        )
    watch.report([np.mean([losses[-1] for _, losses in results])])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
