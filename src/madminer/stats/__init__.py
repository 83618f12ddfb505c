"""Statistics: histograms, quantiles, information algebra, constraints, Wilks, Poisson."""

from __future__ import annotations

from madminer.stats.constraints import (
    constraint_information,
    constraint_score,
    log_constraint,
)
from madminer.stats.histogram import BinnedMoments, as_edges, bin_indices, binned_moments
from madminer.stats.information import (
    cell_information,
    cell_information_covariance,
    event_information,
    event_information_covariance,
)
from madminer.stats.matrices import profile_matrix, profiled
from madminer.stats.poisson import log_poisson
from madminer.stats.quantiles import weighted_quantiles
from madminer.stats.wilks import (
    contour_level,
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
    "log_constraint",
    "log_poisson",
    "log_ratio_to_best",
    "p_values_from_log_r",
    "p_values_from_q",
    "profile_matrix",
    "profiled",
    "weighted_quantiles",
]
