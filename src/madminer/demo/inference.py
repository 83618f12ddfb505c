"""Fisher information and expected limits of the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.events import DemoEvents
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import FisherInformation
from madminer.limits import (
    LimitGrid,
    expected_limit_grid,
    limit_grid,
    regular_grid,
    truth_limit_grid,
)
from madminer.limits.asimov import log_rate_probability
from madminer.ml import ParameterizedRatioEstimator
from madminer.typing import FloatArray

__all__ = ["Informations", "Limits", "compute_informations", "compute_limits", "grid_ranges"]

BINS_1D = 12
BINS_2D = (6, 6)
GRID_STANDARD_DEVIATIONS = 4.0
"""The grid of parameter points reaches this many expected standard deviations from the centre."""


@dataclass(frozen=True, slots=True, eq=False)
class Informations:
    """Fisher information at the reference point, each of shape ``(n_parameters, n_parameters)``.

    Args:
        rate: From the number of events after the selection.
        histogram: From the best histogram of one or two observables.
        histogram_name: The observables of that histogram.
        sally: From all detector-level observables.
        sally_parton: From the complete parton-level observables.
        truth: From the weights of the parton-level events: nothing can be better.
        truth_selected: The same, of the events that pass the selection.
    """

    rate: FloatArray
    histogram: FloatArray
    histogram_name: str
    sally: FloatArray
    sally_parton: FloatArray
    truth: FloatArray
    truth_selected: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Expected p-values on a common grid.

    Args:
        ranges: Range of each parameter.
        resolution: Points along each parameter.
        rate: From the number of selected events alone.
        alices: From the estimated likelihood ratio, kinematics and rate.
        truth: From the exact likelihood ratios of the parton-level events, and the rate.
    """

    ranges: list[tuple[float, float]]
    resolution: int
    rate: LimitGrid
    alices: LimitGrid
    truth: LimitGrid


def compute_informations(
    events: DemoEvents, sally_parton: Path, sally_detector: Path, luminosity: float
) -> Informations:
    """Compute the information of everything that the demonstration compares."""
    parton = FisherInformation(events.parton_file)
    detector = FisherInformation(events.detector_file)
    theta = events.theta_reference
    name, histogram = _best_histogram(detector, theta, luminosity)
    return Informations(
        rate=detector.rate_information(theta, luminosity)[0],
        histogram=histogram,
        histogram_name=name,
        sally=detector.full_information(theta, str(sally_detector), luminosity=luminosity)[0],
        sally_parton=parton.full_information(theta, str(sally_parton), luminosity=luminosity)[0],
        truth=parton.truth_information(theta, luminosity)[0],
        truth_selected=detector.truth_information(theta, luminosity)[0],
    )


def _best_histogram(
    fisher: FisherInformation, theta: FloatArray, luminosity: float
) -> tuple[str, FloatArray]:
    """The histogram with the largest determinant of its information."""
    names = list(fisher.observables)
    candidates = {
        name: fisher.histo_information(theta, luminosity, name, BINS_1D)[0] for name in names
    }
    leading = sorted(names, key=lambda name: -np.linalg.det(candidates[name]))[:3]
    for first, second in combinations(leading, 2):
        candidates[f"{first} × {second}"] = fisher.histo_information_2d(
            theta, luminosity, first, BINS_2D[0], second, BINS_2D[1]
        )[0]
    best = max(candidates, key=lambda name: float(np.linalg.det(candidates[name])))
    return best, candidates[best]


def compute_limits(
    events: DemoEvents,
    alices: ParameterizedRatioEstimator,
    information: FloatArray,
    settings: DemoSettings,
) -> Limits:
    """Expected limits if the reference is true: from the network, and from the exact ratios."""
    detector, parton = DataAnalyzer(events.detector_file), DataAnalyzer(events.parton_file)
    truth, luminosity = events.theta_reference, settings.luminosity
    ranges = grid_ranges(information, truth)
    grid = regular_grid(ranges, settings.grid_resolution)
    return Limits(
        ranges=ranges,
        resolution=settings.grid_resolution,
        rate=_rate_only(detector, truth, grid, luminosity),
        alices=expected_limit_grid(detector, alices, truth, grid, luminosity),
        truth=truth_limit_grid(parton, truth, grid, luminosity),
    )


def grid_ranges(information: FloatArray, centre: FloatArray) -> list[tuple[float, float]]:
    """Range of each parameter that contains the expected contours."""
    widths = GRID_STANDARD_DEVIATIONS * np.sqrt(np.diag(np.linalg.inv(information)))
    return [(float(c - w), float(c + w)) for c, w in zip(centre, widths, strict=True)]


def _rate_only(
    analyzer: DataAnalyzer, truth: FloatArray, grid: FloatArray, luminosity: float
) -> LimitGrid:
    n_expected = luminosity * float(analyzer.xsecs([truth])[0][0])
    log_p_rate = log_rate_probability(analyzer, grid, n_expected, luminosity)
    return limit_grid(grid, np.zeros(len(grid)), log_p_rate, n_expected)
