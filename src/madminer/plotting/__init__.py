"""Figures: distributions, morphing bases, information, likelihoods, limits, systematics, checks."""

from __future__ import annotations

from madminer.plotting.checks import plot_checks
from madminer.plotting.distributions import plot_distributions
from madminer.plotting.fisherinformation import (
    plot_distribution_of_information,
    plot_fisher_information_contours_2d,
    plot_fisherinfo_barplot,
    plot_geodesics,
    plot_information_ranking,
)
from madminer.plotting.histograms import plot_histograms
from madminer.plotting.likelihoods import plot_corner, plot_impacts, plot_profile
from madminer.plotting.limits import plot_confidence_belt, plot_pvalue_limits
from madminer.plotting.morphing import (
    plot_1d_morphing_basis,
    plot_2d_morphing_basis,
    plot_nd_morphing_basis_scatter,
    plot_nd_morphing_basis_slices,
)
from madminer.plotting.uncertainties import plot_systematics, plot_uncertainty

__all__ = [
    "plot_1d_morphing_basis",
    "plot_2d_morphing_basis",
    "plot_checks",
    "plot_confidence_belt",
    "plot_corner",
    "plot_distribution_of_information",
    "plot_distributions",
    "plot_fisher_information_contours_2d",
    "plot_fisherinfo_barplot",
    "plot_geodesics",
    "plot_histograms",
    "plot_impacts",
    "plot_information_ranking",
    "plot_nd_morphing_basis_scatter",
    "plot_nd_morphing_basis_slices",
    "plot_profile",
    "plot_pvalue_limits",
    "plot_systematics",
    "plot_uncertainty",
]
