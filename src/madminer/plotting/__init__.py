"""Figures: distributions, morphing bases, Fisher information, limits, systematics."""

from __future__ import annotations

from madminer.plotting.distributions import plot_distributions
from madminer.plotting.fisherinformation import (
    plot_distribution_of_information,
    plot_fisher_information_contours_2d,
    plot_fisherinfo_barplot,
)
from madminer.plotting.limits import plot_pvalue_limits
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
    "plot_distribution_of_information",
    "plot_distributions",
    "plot_fisher_information_contours_2d",
    "plot_fisherinfo_barplot",
    "plot_nd_morphing_basis_scatter",
    "plot_nd_morphing_basis_slices",
    "plot_pvalue_limits",
    "plot_systematics",
    "plot_uncertainty",
]
