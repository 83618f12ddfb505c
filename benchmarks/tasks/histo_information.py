"""Fisher information of a histogram of one observable.

Arguments: event file, number of bins, "fixed" or "dynamic" binning.
"""

from __future__ import annotations

import sys

import numpy as np
from stopwatch import Stopwatch

from madminer.fisherinformation import FisherInformation


def main(events: str, bins: int, binning: str) -> None:
    """Time everything from the event file on disk to the matrix and its covariance."""
    with Stopwatch() as watch:
        fisher = FisherInformation(events)
        information, _ = fisher.histo_information(
            theta=np.zeros(2),
            luminosity=300_000.0,
            observable="x0",
            bins=bins,
            histrange=(-5.0, 5.0) if binning == "fixed" else None,
        )
    watch.report(information)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
