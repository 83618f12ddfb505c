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
        x, _, _, y, r_xz, *_ = sampler.sample_train_ratio(
            theta0=sampling.random_morphing_points(n_thetas, priors),
            theta1=sampling.benchmark("sm"),
            n_samples=n_samples,
        )
    from_sm = np.ravel(y) > 0.5
    classifier = r_xz / (1.0 + r_xz)  # bounded, so its means are stable
    watch.report([len(x), classifier[from_sm].mean(), classifier[~from_sm].mean()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
