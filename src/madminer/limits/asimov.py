"""Asimov data: the events of a file with the weights of an assumed truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.analysis.coefficients import weight_coefficients
from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.checks import flag, positive
from madminer.errors import NoEventsError
from madminer.stats import log_poisson
from madminer.typing import FloatArray, ThetaLike

__all__ = ["AsimovSample", "asimov_sample", "log_rate_probability"]


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
