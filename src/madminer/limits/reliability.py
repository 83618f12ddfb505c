"""What shows that limits may be wrong: each warning says how much, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.evidence import report_weakness
from madminer.likelihood.base import report_extrapolation
from madminer.likelihood.model import Likelihood
from madminer.limits.grid import LimitGrid, is_full_grid, shown_point
from madminer.ml.validated import UndecidedValidation
from madminer.stats import p_values_from_log_r
from madminer.typing import FloatArray

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

FEW_COUNTS = 5.0
"""Events below which asymptotic intervals cover visibly less than they claim, see docs/coverage."""

_FINE = 10  # values of a parameter on a grid that is meant to show a region
_FEWEST_VALUES = 3  # of them that a region must hold to have a shape

_ROUNDING = 1e-9


def report_beyond_range(likelihood: Likelihood, thetas: FloatArray, what: str) -> None:
    """Warn of theory parameters ``(n, p)`` where some channel of a likelihood is extrapolated."""
    names = list(likelihood.parameters)
    for channel in likelihood.channels:
        columns = [names.index(name) for name in channel.setup.parameters]
        report_extrapolation(channel.setup, thetas[:, columns], what)


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

    They are events with `probabilities` of sum one, too few below an effective number `n_needed`.
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

    `log_r` is its log likelihood ratio to the best point, before limits were widened.
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


def report_off_grid(thetas: FloatArray, truth: FloatArray, names: Sequence[str]) -> None:
    """Warn of an assumed truth ``(p,)`` that the points of the grid ``(n, p)`` do not surround."""
    low, high = thetas.min(axis=0), thetas.max(axis=0)
    slack = _ROUNDING * np.maximum(high - low, np.abs(truth))
    is_outside = (truth < low - slack) | (truth > high + slack)
    ends = [
        f"{name} = {truth[i]:.4g} (grid {low[i]:.4g} to {high[i]:.4g})"
        for i, name in enumerate(names)
        if is_outside[i]
    ]
    if ends:
        report_weakness(
            logger,
            "The assumed truth is not on the grid, %s: the best fit is the best point of the grid, "
            "so that p-values, relative to it, are too large. Choose a grid around the truth.",
            " and ".join(ends),
        )


def report_coarse(grid: LimitGrid, names: Sequence[str]) -> None:
    """Warn of limits that are narrower than a grid can show."""
    if not is_full_grid(grid.theta_grid):
        return
    allowed = grid.theta_grid[grid.p_values >= 1.0 - EXCLUSION_LEVEL]
    texts = []
    for i, name in enumerate(names):
        n, n_allowed = (len(np.unique(points[:, i])) for points in (grid.theta_grid, allowed))
        if n >= _FINE and n_allowed < _FEWEST_VALUES:
            texts.append(f"{n_allowed} of {n} values of {name}")
    if texts:
        report_weakness(
            logger,
            "At %g %% the limits leave %s: they are narrower than the grid can show, and the best "
            "fit lies between its points. Take a narrower grid around it, or a finer one.",
            100.0 * EXCLUSION_LEVEL,
            " and ".join(texts),
        )


def report_few_counts(n_events: float) -> None:
    """Warn where there are too few events for asymptotic p-values."""
    if n_events < FEW_COUNTS:
        report_weakness(
            logger,
            "With %.3g events p-values from the asymptotic distribution (Wilks) need not hold; "
            "check the luminosity, which is in pb^-1, or take them from toy experiments "
            "(toy_limits).",
            n_events,
        )


def report_border(grid: LimitGrid, names: Sequence[str]) -> None:
    """Warn of a best fit at the border of the grid; with fewer than three values there is none."""
    at_border = [
        name
        for name, values in zip(names, grid.theta_grid.T, strict=True)
        if len(np.unique(values)) > 2 and values[grid.i_best] in (values.min(), values.max())
    ]
    if at_border:
        report_weakness(
            logger,
            "The best fit theta = %s lies at the border of the grid in %s: the likelihood may be "
            "larger outside, so that p-values are too large. Widen the grid, unless the parameter "
            "ends there.",
            shown_point(grid.best_theta),
            ", ".join(at_border),
        )


def first_excluded(grid: LimitGrid) -> int | None:
    """Index of the point where exclusions begin, None if nothing is excluded."""
    excluded = grid.p_values < 1.0 - EXCLUSION_LEVEL
    return int(np.argmax(np.where(excluded, grid.p_values, -1.0))) if excluded.any() else None


def report_uncertain(grid: LimitGrid, error: float) -> None:
    """Warn of limits that depend on the simulated events at hand.

    `error` is the standard deviation of log r at the first point that is excluded.
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


def report_untested(
    grid: LimitGrid, validated: FloatArray | None, undecided: UndecidedValidation | None = None
) -> None:
    """Warn of exclusions by an estimator whose calibration was not tested where they begin.

    Args:
        grid: Limits from the likelihood that an estimator gives.
        validated: Parameter points at which it was validated, shape ``(n, p)`` or, with nuisance
            parameters, ``(n, p + v)``; none if it failed, None if it never was.
        undecided: A validation whose events were too few to tell; None without.
    """
    first, p = first_excluded(grid), grid.theta_grid.shape[1]
    if first is None:
        return
    # the border lies between the points that are not excluded and the first that is
    holds_border = grid.p_values >= 1.0 - EXCLUSION_LEVEL
    holds_border[first] = True
    points = grid.theta_grid[holds_border]
    if _is_tested(points, validated):
        return
    extremes = np.unique(np.concatenate([points.argmin(axis=0), points.argmax(axis=0)]))
    ends = ", ".join(map(shown_point, points[extremes]))
    state = _state(validated, undecided, p)
    if undecided is not None:
        n = undecided.n_checks
        state += (
            f" A validation {_span(undecided.thetas, p)} had too few test events to decide ({n} "
            f"{'check' if n == 1 else 'checks'} undecided)."
        )
    report_weakness(
        logger,
        "The limits exclude parameter points at %g %%, but %s %s",
        100.0 * EXCLUSION_LEVEL,
        state,
        _remedy(validated, undecided, ends),
    )


def _is_tested(points: FloatArray, validated: FloatArray | None) -> bool:
    """Whether validated points surround all others, or nearly."""
    if validated is None or not len(validated):
        return False
    known = np.asarray(validated, dtype=np.float64)[:, : points.shape[1]]
    low, high = known.min(axis=0), known.max(axis=0)
    reach = REACH * (high - low)
    return bool(np.all((points >= low - reach) & (points <= high + reach)))


def _state(validated: FloatArray | None, undecided: UndecidedValidation | None, p: int) -> str:
    """What is known of the calibration of an estimator."""
    if validated is None:
        what = "whether the likelihood ratios of the estimator are calibrated"
        return f"{what} was never tested." if undecided is None else f"{what} is not known."
    if not len(validated):
        return "the estimator failed its validation."
    return (
        f"the calibration of the estimator was tested only {_span(validated, p)}, and the border "
        f"of what is excluded lies beyond."
    )


def _remedy(validated: FloatArray | None, undecided: UndecidedValidation | None, ends: str) -> str:
    toys = "p-values from toy experiments, which need no calibration"
    if validated is not None and not len(validated):
        return (
            f"Train it longer or with more events, calibrate it (CalibratedRatio), or take {toys}."
        )
    if undecided is not None:
        return (
            f"Simulate more events, or keep more of them for tests (test_split), and validate "
            f"again at theta=[{ends}]; or take {toys}, or a histogram of a few bins."
        )
    return (
        f"Run madminer.validation.validate(estimator, events, theta=[{ends}]), in an analysis file "
        f"with these points as theta of its section validation, before you trust them; or take "
        f"{toys}."
    )


def _span(thetas: FloatArray, p: int) -> str:
    """The ends of points in the theory parameters."""
    known = np.asarray(thetas, dtype=np.float64)[:, :p]
    return f"from theta = {shown_point(known.min(axis=0))} to {shown_point(known.max(axis=0))}"
