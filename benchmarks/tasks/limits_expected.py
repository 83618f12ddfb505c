"""Expected limits on a grid of 25 x 25 points.

Arguments: event file, mode ("histo", "sally" or "ml"), file of the network ("none" for "histo"),
number of points along each parameter, whether nuisance parameters are profiled (0 or 1).
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.sparse
import scipy.special  # noqa: F401 (both are imported on first use, which is not to be timed)
from limits_repair import accept_normed
from stopwatch import Stopwatch

from madminer.limits import AsymptoticLimits

LUMINOSITY = 300.0  # pb^-1: about 240 events


def main(events: str, mode: str, network: str, resolution: int, nuisances: bool) -> None:
    """Time everything from the files on disk to the p-values."""
    accept_normed()
    statistic = {"hist_vars": ["x0", "x1"]} if mode == "histo" else {"model_file": network}
    with Stopwatch() as watch:
        limits = AsymptoticLimits(events, include_nuisance_parameters=nuisances)
        _, p_values, _, llr_kin, *_ = limits.expected_limits(
            mode=mode,
            theta_true=np.zeros(2),
            grid_ranges=[(-0.5, 0.5)] * 2,
            grid_resolutions=[resolution] * 2,
            luminosity=LUMINOSITY,
            n_histo_toys=None,  # all events: the result is not random
            n_binning_toys=None,
            **statistic,
        )
    watch.report([np.mean(p_values), np.std(llr_kin)])


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5] == "1")
