"""Draw training samples for score estimators at one parameter point.

Arguments: event file, number of samples.
"""

from __future__ import annotations

import sys

from stopwatch import Stopwatch

from madminer import sampling
from madminer.sampling import SampleAugmenter


def main(events: str, n_samples: int) -> None:
    """Time everything from the event file on disk to the arrays."""
    with Stopwatch() as watch:
        sampler = SampleAugmenter(events)
        x, _, t_xz, _ = sampler.sample_train_local(
            theta=sampling.benchmark("sm"), n_samples=n_samples
        )
    watch.report([len(x), *x.std(axis=0), *t_xz.std(axis=0)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
