"""Toy experiments of a histogram at one parameter point: drawing them, and the test statistics.

Arguments: event file, number of experiments, number of bins, whether nuisance parameters are
profiled (0 or 1).
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.sparse
import scipy.special  # noqa: F401 (both are imported on first use, which is not to be timed)
from stopwatch import Stopwatch

from madminer.likelihood import HistoLikelihood
from madminer.likelihood.toys import Region, draw_toys, statistics_at
from madminer.limits import regular_grid

LUMINOSITY = 300.0  # pb^-1: about 240 events


def main(events: str, n_toys: int, n_bins: int, nuisances: bool) -> None:
    """Time the experiments and their fits alone: the model is made once for all points."""
    histo = HistoLikelihood(events, include_nuisance_parameters=nuisances)
    truth = np.zeros(2)
    likelihood = histo.create_expected_negative_log_likelihood(
        truth,
        None,
        observables=["x0"],
        luminosity=LUMINOSITY,
        mode="histo",
        hist_bins=[n_bins],
        test_split=None,
    )
    ranges = [(-0.9, 0.9)] * 2
    region = Region.of(regular_grid(ranges, 15), ranges)
    params = np.zeros(likelihood.n_params)
    with Stopwatch() as watch:
        toys = draw_toys(likelihood, params, n_toys, seed=1)
        q = statistics_at(toys, truth, region)
    watch.report(np.quantile(q, [0.5, 0.68, 0.95]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
