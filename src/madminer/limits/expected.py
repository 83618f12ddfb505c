r"""Expected limits on a grid: from a trained ratio estimator, and the exact ones to compare with.

For Asimov events x_i with probabilities w_i at the assumed truth, N = L sigma(theta_true) of them,

.. math:: \mathrm{llr}_\mathrm{kin}(\theta) = N \sum_i w_i \log \hat r(x_i | \theta)

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 4; Cowan, Cranmer, Gross, Vitells,
    arXiv:1007.1727 (Asimov data).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.weights import weight_coefficients
from madminer.checks import flag, positive, real_array, shown
from madminer.errors import DataError, NoEventsError, OptionError, ShapeError
from madminer.limits.grid import LimitGrid, limit_grid, parameters_at_border, shown_point
from madminer.ml import Ensemble, Estimator, ParameterizedRatioEstimator, load_estimator
from madminer.stats import log_poisson, p_values_from_log_r
from madminer.typing import ArrayLike, FloatArray, StrPath, ThetaLike

__all__ = [
    "AsimovSample",
    "asimov_sample",
    "expected_limit_grid",
    "log_rate_probability",
    "mean_log_ratio",
    "truth_limit_grid",
]

logger = logging.getLogger(__name__)

CONFIDENCE_LEVEL = 0.68
"""The assumed truth must lie within the limits expected from it at this confidence level."""

_BUDGET = 2**22  # log ratios held at once

LogRatios = Callable[[slice], FloatArray]
"""Log ratios of a slice of events at all grid points, shape ``(n_thetas, n_events)``."""


@dataclass(frozen=True, slots=True, eq=False)
class AsimovSample:
    """Weighted events that stand for the expected data.

    Args:
        x: Observables, shape ``(m, n_observables)``.
        benchmark_weights: Weights at all benchmarks in pb, shape ``(m, b)``.
        probabilities: Weights at the assumed truth, normalised to one, shape ``(m,)``.
    """

    x: FloatArray
    benchmark_weights: FloatArray
    probabilities: FloatArray


def asimov_sample(
    analyzer: DataAnalyzer,
    theta_true: ThetaLike,
    test_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
) -> AsimovSample:
    """Take the last events of a file as expected data.

    Args:
        analyzer: The events.
        theta_true: Assumed true parameter point.
        test_split: Fraction of the file, at its end; None for all events.
        sample_only_from_closest_benchmark: Whether to use only events generated at the benchmark
            closest to `theta_true`, and background.

    Returns:
        The sample.

    Raises:
        NoEventsError: If no events remain or their weights do not add up to a positive number.
    """
    partition = "all" if test_split is None else "test"
    start, stop, _ = partition_range(analyzer.n_samples, partition, test_split, 0.0)
    flag(sample_only_from_closest_benchmark, "sample_only_from_closest_benchmark")
    close_to = theta_true if sample_only_from_closest_benchmark else None
    x, weights = analyzer.weighted_events(
        start_event=start, end_event=stop, generated_close_to=close_to
    )
    at_truth = weights @ weight_coefficients(analyzer.setup, [theta_true], weights.shape[1])[0]
    total = float(at_truth.sum())
    if not total > 0.0:
        raise NoEventsError(
            f"The weights of {len(x)} Asimov events at theta = {theta_true} add up to {total}; "
            "use more events or a theta closer to those generated."
        )
    return AsimovSample(x, weights, at_truth / total)


def log_rate_probability(
    analyzer: DataAnalyzer,
    theta_grid: FloatArray,
    n_observed: float,
    luminosity: float,
    include_xsec: bool = True,
) -> FloatArray:
    r"""Log Poisson probability of the number of events, :math:`\log \mathrm{Pois}(n | L \sigma)`.

    Args:
        analyzer: Events from which the cross sections follow.
        theta_grid: Parameter points, shape ``(n, p)``.
        n_observed: Observed number of events, not necessarily whole.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec: Whether the rate counts at all; zeros otherwise.

    Returns:
        Log probabilities, shape ``(n,)``.

    Raises:
        OptionError: If the luminosity is not positive.
        DataError: If a cross section is negative.
    """
    luminosity = positive(luminosity, "luminosity")
    if not flag(include_xsec, "include_xsec"):
        return np.zeros(len(theta_grid))
    sigma, _ = analyzer.xsecs(list(theta_grid))
    return log_poisson(n_observed, luminosity * sigma)


def expected_limit_grid(
    analyzer: DataAnalyzer | StrPath,
    estimator: ParameterizedRatioEstimator | Ensemble | StrPath,
    theta_true: ThetaLike,
    theta_grid: ArrayLike,
    luminosity: float = 300000.0,
    *,
    include_xsec: bool = True,
    test_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
    dof: int | None = None,
) -> LimitGrid:
    """Expected log likelihood ratios and p-values from a trained ratio estimator.

    Args:
        analyzer: Events, or their file; test events with weights at `theta_true` are the data.
        estimator: Trained single ratio estimator, an ensemble of them, whose mean log ratio is
            taken, or the file or folder of either.
        theta_true: Assumed true parameter point.
        theta_grid: Parameter points to test, shape ``(n, p)``, as from `regular_grid`.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec: Whether the number of events counts.
        test_split: Fraction of the file, at its end, that serves as data; None for all events.
        sample_only_from_closest_benchmark: Whether the data are only events generated at the
            benchmark closest to `theta_true`, and background.
        dof: Degrees of freedom of the p-values; None for the number of parameters.

    Returns:
        The result on the grid.

    Raises:
        ShapeError: If the grid has the wrong shape.
        OptionError: If the estimator is of another type or an option is not valid.
        MissingFileError: If there is no such estimator.
        DataError: If log ratios are not finite for most of the events, or a cross section is
            negative.
    """
    analyzer = _events(analyzer)
    thetas = _with_truth(analyzer, theta_grid, theta_true)
    model = _ratio_model(estimator)
    data = asimov_sample(analyzer, theta_true, test_split, sample_only_from_closest_benchmark)

    def log_ratios(events: slice) -> FloatArray:
        log_r, _ = model.evaluate_log_likelihood_ratio(
            x=data.x[events], theta=thetas, test_all_combinations=True, evaluate_score=False
        )
        return np.asarray(log_r, dtype=np.float64)

    return _limits(analyzer, data, log_ratios, thetas, luminosity, include_xsec, dof)


def truth_limit_grid(
    analyzer: DataAnalyzer | StrPath,
    theta_true: ThetaLike,
    theta_grid: ArrayLike,
    luminosity: float = 300000.0,
    *,
    include_xsec: bool = True,
    test_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
    dof: int | None = None,
) -> LimitGrid:
    r"""Expected limits if every event were known with its latent variables.

    .. math::

        \mathrm{llr}_\mathrm{kin}(\theta) = N \sum_i w_i
        \log \frac{w_i(\theta) / \sigma(\theta)}{w_i(\theta_\mathrm{true}) /
        \sigma(\theta_\mathrm{true})}

    with the weights of the events themselves: no analysis of them can be more sensitive.

    Args:
        analyzer: Events, or their file; test events with weights at `theta_true` are the data.
        theta_true: Assumed true parameter point.
        theta_grid: Parameter points to test, shape ``(n, p)``, as from `regular_grid`.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec: Whether the number of events counts.
        test_split: Fraction of the file, at its end, that serves as data; None for all events.
        sample_only_from_closest_benchmark: Whether the data are only events generated at the
            benchmark closest to `theta_true`, and background.
        dof: Degrees of freedom of the p-values; None for the number of parameters.

    Returns:
        The result on the grid.

    Raises:
        ShapeError: If the grid has the wrong shape.
        DataError: If weights are not positive for most of the events, or a cross section is
            negative.
    """
    analyzer = _events(analyzer)
    thetas = _with_truth(analyzer, theta_grid, theta_true)
    data = asimov_sample(analyzer, theta_true, test_split, sample_only_from_closest_benchmark)
    n_columns = data.benchmark_weights.shape[1]
    coefficients = weight_coefficients(analyzer.setup, list(thetas), n_columns)
    at_truth = (
        data.benchmark_weights @ weight_coefficients(analyzer.setup, [theta_true], n_columns)[0]
    )
    sums = coefficients @ data.benchmark_weights.sum(axis=0)  # normalise on the same events
    log_norm = np.log(np.maximum(sums / at_truth.sum(), 0.0), where=sums > 0.0, out=_nan(sums))

    def log_ratios(events: slice) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = coefficients @ data.benchmark_weights[events].T / at_truth[events]
            return np.asarray(np.log(ratio) - log_norm[:, np.newaxis], dtype=np.float64)

    return _limits(analyzer, data, log_ratios, thetas, luminosity, include_xsec, dof)


def mean_log_ratio(
    log_ratios: LogRatios, probabilities: FloatArray, n_thetas: int
) -> tuple[FloatArray, float]:
    r"""Expectation :math:`\sum_i w_i \log r(x_i|\theta)`, in bounded memory.

    An event whose log ratio is not finite at any of the grid points counts nowhere, so that all
    points are compared on the same events.

    Args:
        log_ratios: Log ratios of a slice of events, shape ``(n_thetas, n_events)``.
        probabilities: Weights w of the events, shape ``(m,)``.
        n_thetas: Number of grid points.

    Returns:
        Expectation at each point, shape ``(n_thetas,)``, and the probability that was left out.
    """
    total, left_out = np.zeros(n_thetas), 0.0
    for events in _batches(len(probabilities), max(1, _BUDGET // max(n_thetas, 1))):
        values, weights = log_ratios(events), probabilities[events]
        used = np.isfinite(values).all(axis=0)
        if not used.all():
            left_out += float(np.abs(weights[~used]).sum())
            values, weights = values[:, used], weights[used]
        total += values @ weights
    return total, left_out


def _limits(
    analyzer: DataAnalyzer,
    data: AsimovSample,
    log_ratios: LogRatios,
    thetas: FloatArray,
    luminosity: float,
    include_xsec: bool,
    dof: int | None,
) -> LimitGrid:
    """Limits on a grid that ends with the assumed truth, which is no point of the result."""
    luminosity = positive(luminosity, "luminosity")
    n_expected = luminosity * float(analyzer.xsecs([thetas[-1]])[0][0])
    log_p_rate = log_rate_probability(analyzer, thetas, n_expected, luminosity, include_xsec)
    mean, left_out = mean_log_ratio(log_ratios, data.probabilities, len(thetas))
    if left_out > 0.5:
        raise DataError(
            f"The log ratio is not finite for {100 * left_out:.3g} % of the expected events; "
            "choose a smaller grid, or check estimator and weights."
        )
    if left_out > 0.0:
        logger.warning(
            "%.3g %% of the expected events have no finite log ratio at some grid point and are "
            "left out.",
            100 * left_out,
        )
    log_likelihood = n_expected * mean
    grid = limit_grid(thetas[:-1], log_likelihood[:-1], log_p_rate[:-1], n_expected, dof)
    log_r_true = float(log_likelihood[-1] + log_p_rate[-1]) - float(
        grid.llr_kin[grid.i_best] + grid.log_p_rate[grid.i_best]
    )
    _report(grid, thetas[-1], min(log_r_true, 0.0), list(analyzer.parameters))
    return grid


def _report(grid: LimitGrid, theta_true: FloatArray, log_r_true: float, names: list[str]) -> None:
    """Warn of limits that cannot be right."""
    p_value = float(p_values_from_log_r([log_r_true], grid.dof)[0])
    if p_value < 1.0 - CONFIDENCE_LEVEL:
        logger.warning(
            "The assumed truth theta = %s is excluded by the limits expected from it, with p = "
            "%.2g where it should be 1; the best fit is %s. The estimator is biased or the events "
            "are few: train it longer or on more samples, or use more test events.",
            shown_point(theta_true),
            p_value,
            shown_point(grid.best_theta),
        )
    at_border = parameters_at_border(grid)
    if at_border:
        logger.warning(
            "The best fit theta = %s lies at the border of the grid in %s: the likelihood may be "
            "larger outside, so that p-values are too large. Widen the grid, unless the parameter "
            "ends there.",
            shown_point(grid.best_theta),
            ", ".join(names[i] for i in at_border),
        )


def _ratio_model(
    estimator: Estimator | Ensemble | StrPath,
) -> ParameterizedRatioEstimator | Ensemble:
    """Load an estimator of the ratio where a path is given, and check its type."""
    model = load_estimator(estimator) if isinstance(estimator, str | os.PathLike) else estimator
    members = model.estimators if isinstance(model, Ensemble) else [model]
    if isinstance(model, Ensemble | ParameterizedRatioEstimator) and all(
        isinstance(member, ParameterizedRatioEstimator) for member in members
    ):
        return model
    raise OptionError(
        "Log ratios need a single ratio estimator or an ensemble of them, got "
        f"{' and '.join(sorted({type(member).__name__ for member in members}))}."
    )


def _events(analyzer: DataAnalyzer | StrPath) -> DataAnalyzer:
    """The events of a file where its path is given."""
    return analyzer if isinstance(analyzer, DataAnalyzer) else DataAnalyzer(analyzer)


def _with_truth(analyzer: DataAnalyzer, theta_grid: ArrayLike, theta_true: ThetaLike) -> FloatArray:
    """The grid, followed by the assumed truth, shape ``(n + 1, p)``."""
    thetas = real_array(theta_grid, "theta_grid")
    p = analyzer.n_parameters
    if thetas.ndim != 2 or thetas.shape[1] != p or not len(thetas):
        raise ShapeError(
            f"The grid must have shape (n, {p}), as from regular_grid; got {shown(theta_grid)}."
        )
    if not np.all(np.isfinite(thetas)):
        raise ShapeError("The grid must be finite, but holds values that are not.")
    return np.vstack([thetas, analyzer.setup.theta(theta_true)])


def _batches(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _nan(like: FloatArray) -> FloatArray:
    return np.full(like.shape, np.nan)
