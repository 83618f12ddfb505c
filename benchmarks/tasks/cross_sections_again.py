"""Cross sections at many parameter points, after others from the same file.

Arguments: event file, number of parameter points.
"""

from __future__ import annotations

import sys

import numpy as np
from stopwatch import Stopwatch

from madminer import sampling
from madminer.sampling import SampleAugmenter


def main(events: str, n_thetas: int) -> None:
    """Time only the second call."""
    thetas = np.random.default_rng(1).normal(0.0, 0.5, size=(2, n_thetas, 2))
    sampler = SampleAugmenter(events)
    sampler.cross_sections(sampling.morphing_points(thetas[0]))
    with Stopwatch() as watch:
        _, cross_sections, _ = sampler.cross_sections(sampling.morphing_points(thetas[1]))
    watch.report(cross_sections)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
