"""Fisher information of the events with their latent variables.

Arguments: event file.
"""

from __future__ import annotations

import sys

import numpy as np
from stopwatch import Stopwatch

from madminer.fisherinformation import FisherInformation


def main(events: str) -> None:
    """Time everything from the event file on disk to the matrix and its covariance."""
    with Stopwatch() as watch:
        fisher = FisherInformation(events)
        information, _ = fisher.truth_information(theta=np.zeros(2), luminosity=300_000.0)
    watch.report(information)


if __name__ == "__main__":
    main(sys.argv[1])
