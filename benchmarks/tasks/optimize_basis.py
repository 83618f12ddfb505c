"""Choice of morphing bases.

Arguments: number of parameters, largest overall power, number of bases, number of trials, seeds
separated by commas, optimizer. Prints the benchmarks of all bases.
"""

from __future__ import annotations

import inspect
import logging
import sys
import warnings

import numpy as np
from stopwatch import Stopwatch

from madminer.utils.morphing import PhysicsMorpher


def main(n_parameters: int, power: int, n_bases: int, n_trials: int, seed: int, kind: str) -> list:
    """Choose a basis with parameters between -1 and 1; MadMiner 0.9 knows global seeds only."""
    morpher = PhysicsMorpher(
        parameter_max_power=[power] * n_parameters, parameter_range=[(-1.0, 1.0)] * n_parameters
    )
    morpher.find_components(max_overall_power=power)
    keywords = {"n_bases": n_bases, "n_trials": n_trials, "n_test_thetas": 100}
    if "seed" in inspect.signature(morpher.optimize_basis).parameters:
        keywords.update(seed=seed, optimizer=kind)
    np.random.seed(seed)  # noqa: NPY002
    return np.asarray(morpher.optimize_basis(**keywords)).tolist()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    numbers, optimizer = [int(text) for text in sys.argv[1:5]], sys.argv[6]
    with Stopwatch() as watch:
        chosen = [main(*numbers, int(seed), optimizer) for seed in sys.argv[5].split(",")]
    watch.report(chosen)
