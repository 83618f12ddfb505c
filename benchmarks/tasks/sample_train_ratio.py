"""Draw training samples for ratio estimators at many random parameter points.

Arguments: event file, number of samples, number of parameter points.
"""

from __future__ import annotations

import sys

import numpy as np
from stopwatch import Stopwatch

from madminer import sampling
from madminer.sampling import SampleAugmenter


def main(events: str, n_samples: int, n_thetas: int) -> None:
    """Time everything from the event file on disk to the arrays."""
    with Stopwatch() as watch:
        sampler = SampleAugmenter(events)
        priors = [("gaussian", 0.0, 0.5), ("gaussian", 0.0, 0.5)]
        x, _, _, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
            theta0=sampling.random_morphing_points(n_thetas, priors),
            theta1=sampling.benchmark("sm"),
            n_samples=n_samples,
        )
    at_sm = np.ravel(y) > 0.5  # 0.9.6 also calls them those of the denominator
    inverse_mean = np.mean(1.0 / r_xz[~at_sm])
    watch.report([len(x), at_sm.mean(), np.mean(r_xz[at_sm]), inverse_mean, t_xz.std()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
