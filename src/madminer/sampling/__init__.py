"""Training and test samples, augmented with joint likelihood ratios and joint scores."""

from __future__ import annotations

from madminer.sampling.combine import combine_and_shuffle
from madminer.sampling.parameters import (
    benchmark,
    benchmarks,
    iid_nuisance_parameters,
    morphing_point,
    morphing_points,
    nominal_nuisance_parameters,
    random_morphing_points,
)
from madminer.sampling.sampleaugmenter import SampleAugmenter

__all__ = [
    "SampleAugmenter",
    "benchmark",
    "benchmarks",
    "combine_and_shuffle",
    "iid_nuisance_parameters",
    "morphing_point",
    "morphing_points",
    "nominal_nuisance_parameters",
    "random_morphing_points",
]
