"""Training and test samples, augmented with joint likelihood ratios and joint scores."""

from __future__ import annotations

from madminer.sampling.combine import combine_and_shuffle
from madminer.sampling.first_release import (
    constant_benchmark_theta,
    constant_morphing_theta,
    multiple_benchmark_thetas,
    multiple_morphing_thetas,
    random_morphing_thetas,
)
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
    "constant_benchmark_theta",
    "constant_morphing_theta",
    "iid_nuisance_parameters",
    "morphing_point",
    "morphing_points",
    "multiple_benchmark_thetas",
    "multiple_morphing_thetas",
    "nominal_nuisance_parameters",
    "random_morphing_points",
    "random_morphing_thetas",
]
