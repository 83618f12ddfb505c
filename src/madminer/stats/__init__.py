"""Statistics: histograms, quantiles, information algebra, constraints, Wilks, Poisson."""

from __future__ import annotations

from madminer.stats.grids import ranges_below, regular_grid
from madminer.stats.histogram import (
    BinnedMoments,
    as_edges,
    bin_indices,
    binned_moments,
    weighted_quantiles,
)
from madminer.stats.information import (
    cell_information,
    cell_information_covariance,
    event_information,
    event_information_covariance,
    kinematic_information,
    profile_matrix,
    profiled,
    score_moment,
)
from madminer.stats.wilks import (
    constraint_information,
    constraint_score,
    contour_level,
    log_constraint,
    log_poisson,
    log_ratio_to_best,
    p_values_from_log_r,
    p_values_from_q,
)

__all__ = [
    "BinnedMoments",
    "as_edges",
    "bin_indices",
    "binned_moments",
    "cell_information",
    "cell_information_covariance",
    "constraint_information",
    "constraint_score",
    "contour_level",
    "event_information",
    "event_information_covariance",
    "kinematic_information",
    "log_constraint",
    "log_poisson",
    "log_ratio_to_best",
    "p_values_from_log_r",
    "p_values_from_q",
    "profile_matrix",
    "profiled",
    "ranges_below",
    "regular_grid",
    "score_moment",
    "weighted_quantiles",
]
