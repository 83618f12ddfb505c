"""Fisher information and expected limits of the demonstration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.demo.events import DemoEvents
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import (
    FisherInformation,
    InformationRanking,
    expected_limits,
    rank_observables,
)
from madminer.limits import AsymptoticLimits, LimitGrid, limit_grid
from madminer.limits.options import LimitKeywords
from madminer.ml import ParameterizedRatioEstimator
from madminer.typing import FloatArray

LADDER = ("rate", "histogram", "sally", "truth")
"""What is drawn, from little to all that can be known."""

ANALYSES = ("rate", "histogram", "alices", "truth")
"""What limits are set with, from little to all that can be known."""

BINS_1D = 12
BINS_2D = (6, 6)
GRID_STANDARD_DEVIATIONS = 4.0
"""The grid of parameter points reaches this many expected standard deviations from the centre."""


@dataclass(frozen=True, slots=True, eq=False)
class Informations:
    """Fisher information at the reference point, each of shape ``(n_parameters, n_parameters)``.

    Nuisance parameters are known to be zero.

    Args:
        ranking: Histograms of one or two detector-level observables, the rate, and the truth of
            the events that pass the selection, by the information that they keep.
        sally: From all detector-level observables.
        sally_parton: From the complete parton-level observables.
        truth: From the weights of the parton-level events: nothing can be better.
        truth_covariance: Its statistical covariance, shape ``(p, p, p, p)``.
    """

    ranking: InformationRanking
    sally: FloatArray
    sally_parton: FloatArray
    truth: FloatArray
    truth_covariance: FloatArray

    @property
    def rate(self) -> FloatArray:
        """From the number of events after the selection."""
        return self.ranking["rate"].information

    @property
    def histogram(self) -> FloatArray:
        """From the best histogram of one or two observables."""
        return self.ranking.best.information

    @property
    def truth_selected(self) -> FloatArray:
        """From the weights of the events that pass the selection."""
        return self.ranking.reference.information

    @property
    def best_observables(self) -> list[str]:
        """The observables of the best histogram."""
        return self.ranking.best.label.split(" × ")

    @property
    def best_bins(self) -> list[int]:
        """The numbers of their bins, of equal content at the reference point."""
        return [BINS_1D] if len(self.best_observables) == 1 else list(BINS_2D)

    @property
    def covariances(self) -> dict[str, FloatArray | None]:
        """Statistical covariances by name; a single network does not tell its own uncertainty."""
        return {
            "rate": self.ranking["rate"].covariance,
            "histogram": self.ranking.best.covariance,
            "truth": self.truth_covariance,
            "truth_selected": self.ranking.reference.covariance,
        }

    @property
    def labels(self) -> dict[str, str]:
        """What each of them is called, by name."""
        return {
            "rate": "rate",
            "histogram": f"best histogram: {self.ranking.best.label}",
            "sally": "SALLY, detector level",
            "truth": "parton-level truth",
            "sally_parton": "SALLY, parton level",
            "truth_selected": "truth of the selected events",
        }


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Expected p-values on a common grid, by the names in `ANALYSES`.

    Args:
        ranges: Range of each parameter.
        resolution: Points along each parameter.
        nominal: Nuisance parameters are known to be zero.
        profiled: Nuisance parameters are profiled.
    """

    ranges: list[tuple[float, float]]
    resolution: int
    nominal: Mapping[str, LimitGrid]
    profiled: Mapping[str, LimitGrid]

    @property
    def theta_grid(self) -> FloatArray:
        """The points of the grid, shape ``(resolution**2, 2)``."""
        return self.nominal["truth"].theta_grid

    def area(self, grid: LimitGrid, level: float) -> float:
        """Area of the plane of parameters where a p-value is not below a level."""
        whole = np.prod([high - low for low, high in self.ranges])
        return float(np.mean(grid.p_values >= level) * whole)


def compute_informations(
    events: DemoEvents, sally_parton: Path, sally_detector: Path, luminosity: float
) -> Informations:
    """Compute the information of everything that the demonstration compares."""
    parton = FisherInformation(events.parton_file)
    detector = FisherInformation(events.detector_file)
    theta = events.theta_reference
    truth, covariance = parton.truth_information(theta, luminosity)
    return Informations(
        ranking=rank_observables(detector, theta, luminosity, bins=BINS_1D, bins_2d=BINS_2D),
        sally=detector.full_information(theta, str(sally_detector), luminosity=luminosity)[0],
        sally_parton=parton.full_information(theta, str(sally_parton), luminosity=luminosity)[0],
        truth=truth,
        truth_covariance=covariance,
    )


def compute_limits(
    events: DemoEvents,
    alices: ParameterizedRatioEstimator,
    informations: Informations,
    settings: DemoSettings,
) -> Limits:
    """Expected limits if the reference is true, nuisance parameters known and profiled.

    The events have nuisance parameters; ALICES knows theta alone. The informations name the best
    histogram, and tell how far limits reach.
    """
    ranges = grid_ranges(informations.sally, events.theta_reference)
    options: LimitKeywords = {
        "grid_ranges": ranges,
        "grid_resolutions": settings.grid_resolution,
        "luminosity": settings.luminosity,
        "return_histos": False,
        "seed": settings.seed,
    }
    nominal, profiled = (
        _limits_by_analysis(events, informations, options, with_nuisances)
        for with_nuisances in (False, True)
    )
    of_network: LimitKeywords = {**options, "model_file": alices}
    detector = AsymptoticLimits(events.detector_file)  # without nuisance parameters
    learned = detector.expected_limits("ml", events.theta_reference, **of_network)
    return Limits(
        ranges,
        settings.grid_resolution,
        nominal | {"alices": learned},
        profiled | {"alices": with_rate_of(learned, profiled["rate"])},
    )


def with_rate_of(kinematics: LimitGrid, rate: LimitGrid) -> LimitGrid:
    """Limits from the kinematics of events and, with nuisance parameters, their number.

    Uncertainties of the normalisation change no distribution: the profiled likelihood is the
    product of that of the kinematics (of limits without nuisance parameters), which need not be
    calculated again, and that of the rate of the same events at the same points.
    """
    return limit_grid(
        kinematics.theta_grid,
        kinematics.llr_kin,
        rate.log_p_rate,
        rate.n_observed,
        kinematics.dof,
        nus=rate.nus,
        log_constraint=rate.log_constraint,
    )


def grid_ranges(information: FloatArray, centre: FloatArray) -> list[tuple[float, float]]:
    """Range of each parameter that contains the expected contours."""
    widths = GRID_STANDARD_DEVIATIONS * expected_limits(information).profiled
    return [(float(c - w), float(c + w)) for c, w in zip(centre, widths, strict=True)]


def _limits_by_analysis(
    events: DemoEvents,
    informations: Informations,
    options: LimitKeywords,
    with_nuisances: bool,
) -> dict[str, LimitGrid]:
    """Limits of everything that is not learned."""
    detector, parton = (
        AsymptoticLimits(path, include_nuisance_parameters=with_nuisances)
        for path in (events.detector_file, events.parton_file)
    )
    theta = events.theta_reference
    of_histogram: LimitKeywords = {
        **options,
        "hist_vars": informations.best_observables,
        "hist_bins": informations.best_bins,
        "test_split": None,  # as for its information, all events: few ones would shift the best fit
    }
    return {
        "rate": detector.expected_limits("rate", theta, **options),
        "histogram": detector.expected_limits("histo", theta, **of_histogram),
        "truth": parton.expected_limits("truth", theta, **options),
    }
