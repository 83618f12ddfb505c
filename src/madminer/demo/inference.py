"""Fisher information and expected limits of the demonstration."""

from __future__ import annotations

from collections.abc import Mapping
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
from madminer.limits.expected import log_rate_probability
from madminer.ml import ParameterizedRatioEstimator
from madminer.typing import FloatArray

__all__ = [
    "LADDER",
    "Informations",
    "Limits",
    "compute_informations",
    "compute_limits",
    "grid_ranges",
    "standard_deviations",
]

LADDER = ("rate", "histogram", "sally", "truth")
"""What is drawn, from little to all that can be known."""

_BLIND = 1e9

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
        covariances: Statistical covariance of each of them by name, shape ``(p, p, p, p)``; none of
            networks, whose own uncertainty only an ensemble would tell.
    """

    rate: FloatArray
    histogram: FloatArray
    histogram_name: str
    sally: FloatArray
    sally_parton: FloatArray
    truth: FloatArray
    truth_selected: FloatArray
    covariances: Mapping[str, FloatArray]

    @property
    def labels(self) -> dict[str, str]:
        """What each of them is called, by name."""
        return {
            "rate": "rate",
            "histogram": f"best histogram: {self.histogram_name}",
            "sally": "SALLY, detector level",
            "truth": "parton-level truth",
            "sally_parton": "SALLY, parton level",
            "truth_selected": "truth of the selected events",
        }


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
    results = {
        "rate": detector.rate_information(theta, luminosity),
        "histogram": histogram,
        "truth": parton.truth_information(theta, luminosity),
        "truth_selected": detector.truth_information(theta, luminosity),
    }
    return Informations(
        **{key: information for key, (information, _) in results.items()},
        sally=detector.full_information(theta, str(sally_detector), luminosity=luminosity)[0],
        sally_parton=parton.full_information(theta, str(sally_parton), luminosity=luminosity)[0],
        histogram_name=name,
        covariances={key: covariance for key, (_, covariance) in results.items()},
    )


def standard_deviations(
    information: FloatArray, covariance: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    r"""Smallest standard deviations of parameters that an information allows, others profiled.

    .. math::

        \sigma_i^2 = (I^{-1})_{ii}, \qquad
        \mathrm{var}(\sigma_i^2) = \sum_{klmn} I^{-1}_{ik} I^{-1}_{il} I^{-1}_{im} I^{-1}_{in}
        \mathrm{cov}_{klmn}

    Args:
        information: Fisher information, shape ``(p, p)``.
        covariance: Its statistical covariance, shape ``(p, p, p, p)``; None if it is not known.

    Returns:
        Standard deviations, shape ``(p,)``, infinite where the information is blind to a
        direction; and their statistical errors, shape ``(p,)``, zero where they are not known.
    """
    n = len(information)
    if np.linalg.cond(information) > _BLIND:
        return np.full(n, np.inf), np.zeros(n)
    inverse = np.linalg.inv(information)
    widths: FloatArray = np.sqrt(np.diag(inverse))
    if covariance is None:
        return widths, np.zeros(n)
    pairs = np.einsum("ik,il->ikl", inverse, inverse).reshape(n, n * n)
    variances = np.einsum("ia,ab,ib->i", pairs, covariance.reshape(n * n, n * n), pairs)
    errors: FloatArray = np.sqrt(np.maximum(variances, 0.0)) / (2.0 * widths)
    return widths, errors


def _best_histogram(
    fisher: FisherInformation, theta: FloatArray, luminosity: float
) -> tuple[str, tuple[FloatArray, FloatArray]]:
    """The histogram with the largest determinant of its information."""
    names = list(fisher.observables)
    candidates = {
        name: fisher.histo_information(theta, luminosity, name, BINS_1D) for name in names
    }
    leading = sorted(names, key=lambda name: -np.linalg.det(candidates[name][0]))[:3]
    for first, second in combinations(leading, 2):
        candidates[f"{first} × {second}"] = fisher.histo_information_2d(
            theta, luminosity, first, BINS_2D[0], second, BINS_2D[1]
        )
    best = max(candidates, key=lambda name: float(np.linalg.det(candidates[name][0])))
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
