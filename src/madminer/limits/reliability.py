"""What shows that limits may be wrong: each warning says how much, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.evidence import report_weakness
from madminer.limits.grid import LimitGrid, parameters_at_border, shown_point
from madminer.stats import p_values_from_log_r
from madminer.typing import FloatArray, IntArray

__all__ = [
    "first_excluded",
    "report_border",
    "report_few_data",
    "report_few_events",
    "report_truth",
    "report_uncertain",
    "report_untested",
]

logger = logging.getLogger(__name__)

CONFIDENCE_LEVEL = 0.68
"""The assumed truth must lie within the limits expected from it at this confidence level."""

EXCLUSION_LEVEL = 0.95
"""Confidence level of exclusions that need an estimator whose calibration was tested."""

FEW_EVENTS = 100.0
"""Effective number of events below which limits are reported as uncertain."""

UNCERTAIN = 0.5
"""Relative error of log r where exclusions begin, above which limits are reported as uncertain."""

REACH = 0.1
"""Share of the width of the validated region by which limits may reach beyond it, on each side."""


def report_few_events(analyzer: DataAnalyzer, thetas: FloatArray) -> None:
    """Warn of grid points that hardly any simulated event describes."""
    sigma, error = analyzer.xsecs(list(thetas))
    with np.errstate(divide="ignore", invalid="ignore"):
        n_effective = np.where(sigma > 0.0, (sigma / error) ** 2, 0.0)
    worst = int(np.argmin(n_effective))
    if n_effective.max() < FEW_EVENTS:
        report_weakness(
            logger,
            "The simulated events are worth at most %.3g unweighted ones at any point of the grid: "
            "a few of large weight decide, of signal or background. Simulate more of these.",
            n_effective.max(),
        )
    elif n_effective[worst] < FEW_EVENTS:
        report_weakness(
            logger,
            "At the grid point theta = %s the simulated events are worth %.3g unweighted ones: "
            "the grid reaches beyond what was simulated, and limits there are not reliable. Use a "
            "smaller grid, or events from benchmarks nearer to it.",
            shown_point(thetas[worst]),
            n_effective[worst],
        )


def report_few_data(probabilities: FloatArray, n_needed: float = FEW_EVENTS) -> None:
    """Warn of Asimov data that are no average over what can be observed.

    Args:
        probabilities: Probabilities of the events that stand for the data, sum one, shape ``(n,)``.
        n_needed: Effective number of events below which they are too few.
    """
    n_effective = 1.0 / float(np.sum(probabilities**2))
    if n_effective < n_needed:
        report_weakness(
            logger,
            "The expected data are %d simulated events, worth only %.3g unweighted ones: a few "
            "events decide on the limits. Use more events, a larger test_split, "
            "or sample_only_from_closest_benchmark=False.",
            len(probabilities),
            n_effective,
        )


def report_truth(grid: LimitGrid, truth: FloatArray, log_r: float) -> None:
    """Warn of an assumed truth that the limits expected from it exclude.

    Args:
        grid: The limits, widened or not.
        truth: The assumed truth, shape ``(p,)``.
        log_r: Its log likelihood ratio to the best point, before limits were widened.
    """
    p_value = float(p_values_from_log_r([log_r], grid.dof)[0])
    if p_value < 1.0 - CONFIDENCE_LEVEL:
        done = (
            f"Limits are therefore widened by a factor {grid.scale_factor:.3g}: they say what this "
            f"simulation and estimator can tell, not what the data could, and are not to be "
            f"compared with others."
            if grid.scale_factor > 1.0
            else "These limits must not be used."
        )
        report_weakness(
            logger,
            "The assumed truth theta = %s is excluded by the limits expected from it, with p = "
            "%.2g where it should be 1; the best fit is %s. %s An estimator is biased, bins differ "
            "from point to point (fix_adaptive_binning), or the events are few: train it longer or "
            "on more samples, use common bins, or more test events.",
            shown_point(truth),
            p_value,
            shown_point(grid.best_theta),
            done,
        )


def report_border(grid: LimitGrid, names: Sequence[str]) -> None:
    """Warn of a best fit at the border of the grid."""
    at_border = parameters_at_border(grid)
    if at_border:
        report_weakness(
            logger,
            "The best fit theta = %s lies at the border of the grid in %s: the likelihood may be "
            "larger outside, so that p-values are too large. Widen the grid, unless the parameter "
            "ends there.",
            shown_point(grid.best_theta),
            ", ".join(names[i] for i in at_border),
        )


def first_excluded(grid: LimitGrid) -> int | None:
    """Index of the point where exclusions begin, None if nothing is excluded."""
    excluded = grid.p_values < 1.0 - EXCLUSION_LEVEL
    return int(np.argmax(np.where(excluded, grid.p_values, -1.0))) if excluded.any() else None


def report_uncertain(grid: LimitGrid, error: float) -> None:
    """Warn of limits that depend on the simulated events at hand.

    Args:
        grid: The limits.
        error: Standard deviation of log r at the first point that is excluded.
    """
    first = first_excluded(grid)
    if first is None:
        return
    log_r = float(grid.log_r[first])
    if error / grid.scale_factor**2 > UNCERTAIN * -log_r:
        report_weakness(
            logger,
            "Where exclusions at %g %% begin, at theta = %s, log r = %.3g has an error of %.3g "
            "from the finite number of simulated events: other events would give other limits. "
            "Simulate more events, take fewer bins, or add this error to the variance of the test "
            "statistic with extra_variance=True.",
            100.0 * EXCLUSION_LEVEL,
            shown_point(grid.theta_grid[first]),
            log_r,
            error / grid.scale_factor**2,
        )


def report_untested(grid: LimitGrid, validated: FloatArray | None) -> None:
    """Warn of exclusions by an estimator whose calibration was not tested where they begin.

    Args:
        grid: Limits from the likelihood that an estimator gives.
        validated: Parameter points at which it was validated, shape ``(n, p)`` or, with nuisance
            parameters, ``(n, p + v)``; none if it failed, None if it never was.
    """
    points = _region(grid)
    if not len(points):
        return
    ends = points[_extremes(points)]
    remedy = (
        f"Run madminer.validation.validate(estimator, events, theta=[{_listed(ends)}]) before you "
        f"trust them, or take p-values from toy experiments, which need no calibration."
    )
    if validated is None:
        report_weakness(
            logger,
            "The limits exclude parameter points at %g %%, but whether the likelihood ratios of "
            "the estimator are calibrated was never tested. %s",
            100.0 * EXCLUSION_LEVEL,
            remedy,
        )
        return
    if not len(validated):
        report_weakness(
            logger,
            "The limits exclude parameter points at %g %%, but the estimator failed its "
            "validation. Train it longer or with more events, calibrate it (CalibratedRatio), or "
            "take p-values from toy experiments, which need no calibration.",
            100.0 * EXCLUSION_LEVEL,
        )
        return
    known = np.asarray(validated, dtype=np.float64)[:, : points.shape[1]]
    low, high = known.min(axis=0), known.max(axis=0)
    reach = REACH * (high - low)
    if np.any((points < low - reach) | (points > high + reach)):
        report_weakness(
            logger,
            "The limits exclude parameter points at %g %%, but the calibration of the estimator "
            "was tested only from theta = %s to %s, and the border of what is excluded lies "
            "beyond. %s",
            100.0 * EXCLUSION_LEVEL,
            shown_point(low),
            shown_point(high),
            remedy,
        )


def _region(grid: LimitGrid) -> FloatArray:
    """Points that are not excluded and the first that is: they hold the border; none without."""
    first = first_excluded(grid)
    if first is None:
        return grid.theta_grid[:0]
    chosen = grid.p_values >= 1.0 - EXCLUSION_LEVEL
    chosen[first] = True
    region: FloatArray = grid.theta_grid[chosen]
    return region


def _extremes(points: FloatArray) -> IntArray:
    """Points with the smallest or largest value of a parameter."""
    return np.unique(np.concatenate([points.argmin(axis=0), points.argmax(axis=0)]))


def _listed(points: FloatArray) -> str:
    return ", ".join(f"{shown_point(point)}" for point in points)
