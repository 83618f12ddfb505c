"""What sampling tells in the log: what is in the file, and what is drawn from it."""

from __future__ import annotations

import logging
import reprlib

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.analysis.dataanalyzer import ORIGINS_UNKNOWN
from madminer.errors import NegativeWeightError
from madminer.evidence import report_weakness
from madminer.sampling.augment import DrawnSample
from madminer.sampling.draws import point_weights
from madminer.sampling.options import SamplingOptions
from madminer.sampling.parameters import Points, ThetaSpecification
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

logger = logging.getLogger("madminer.sampling")

UNBALANCED = 20.0
"""Ratio of the numbers of events generated at two benchmarks that is a warning."""

FEW_EFFECTIVE = 100.0
"""Effective number of events below which there is a warning."""

LARGE_UNCERTAINTY = 0.1
"""Relative uncertainty of the cross section at a point from which on there is a warning."""

NEGATIVE_SHARE_THAT_WARNS = 0.01
"""From this share of negative events on, their number is a warning, below a message."""

_EVENTS_LOOKED_AT = 20_000

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def report_contents(analyzer: DataAnalyzer) -> None:
    """Log what an event file holds."""
    n_nuisances, morphing = analyzer.n_nuisance_parameters, analyzer.morphing_components
    lines = (
        f"Loading data from {analyzer.madminer_filename}",
        f"Found {analyzer.n_parameters} parameters",
        f"Found {n_nuisances} nuisance parameters"
        if n_nuisances
        else "Did not find nuisance parameters",
        f"Found {analyzer.n_benchmarks} benchmarks, of which {analyzer.n_benchmarks_phys} physical",
        f"Found {analyzer.n_observables} observables",
        f"Found {analyzer.n_samples} events",
        "Did not find a morphing setup"
        if morphing is None
        else f"Found morphing setup with {len(morphing)} components",
        *([] if analyzer.event_file.has_sampling_benchmarks else [ORIGINS_UNKNOWN]),
    )
    for line in lines:
        logger.info(line)
    _report_balance(analyzer)


def report_extraction(text: str, *points: ThetaSpecification) -> None:
    """Log which sample is drawn from where: a ``%s`` for each point, long lists abbreviated."""
    logger.info(text, *(_short.repr(point) for point in points))


def report_negative_weights(table: WeightTable, policy: str) -> None:
    """Refuse negative weights, or say how many are dropped."""
    if policy == "sign" or not table.is_signed:
        return
    share = 100.0 * table.n_negative / len(table)
    if policy == "refuse":
        raise NegativeWeightError(
            f"{table.n_negative} of {len(table)} events ({share:.3g}%) have negative weights, and "
            f"negative_weights='refuse' does not allow any. Use 'sign' to draw them by |w| and "
            f"train with their signs."
        )
    report_weakness(
        logger,
        "%s of %s events (%.3g%%) have negative weights and are never drawn: the samples do not "
        "follow the distribution of the process. negative_weights='sign' keeps them.",
        table.n_negative,
        len(table),
        share,
    )


def report_few_weighted(n_events: int, n_effective: float) -> None:
    """Warn of weighted events of which a few decide."""
    if n_effective < FEW_EFFECTIVE:
        report_weakness(
            logger,
            "The %d events are worth only %.1f unweighted ones: a few of large weight decide what "
            "is learned from them. Simulate more, at benchmarks and of backgrounds whose weights "
            "are the largest.",
            n_events,
            n_effective,
        )


def report_reliability(sample: DrawnSample, points: Points) -> None:
    """Warn of few effective events and of points far from those that were generated."""
    worst = int(np.argmin(sample.n_effective))
    if (n_effective := float(sample.n_effective[worst])) < FEW_EFFECTIVE:
        report_weakness(
            logger,
            "The samples have only %.1f effective events at a parameter point: a few events of "
            "large weight are drawn again and again. Use more events, points closer to the "
            "benchmarks they were generated at, or sample_only_from_closest_benchmark=False.",
            n_effective,
        )
    farthest = int(np.argmax(np.sum(points.coefficients**2, axis=1)))
    uncertainty = _relative_uncertainty(sample, points, farthest)
    extrapolates = np.abs(points.coefficients[farthest]).max() > 1.0 + 1e-9
    if extrapolates and uncertainty > LARGE_UNCERTAINTY:
        report_weakness(
            logger,
            "At theta = %s the morphing weights are as large as %.3g, so that the cross section is "
            "known to %.0f%% only: the point lies far from the events and benchmarks. Generate "
            "events closer to it, choose a better basis with set_morphing, or narrow the prior.",
            points.positions[farthest].tolist(),
            np.abs(points.coefficients[farthest]).max(),
            100.0 * uncertainty,
        )


def report_draws(
    n_eff: float, w: FloatArray, options: SamplingOptions, *, log_message: bool = True
) -> None:
    """Log the effective number of samples, the negative events and what was left out."""
    if log_message:
        logger.info("Effective number of samples: %.1f", n_eff)
    if options.n_eff_forced is not None:
        logger.warning(
            "Events with a probability above 1 / %g are never drawn: the samples do not follow "
            "the full distribution, while joint ratios and scores do.",
            options.n_eff_forced,
        )
    n_negative = int(np.count_nonzero(w < 0.0))
    if n_negative:
        share = n_negative / len(w)
        level = logging.WARNING if share > NEGATIVE_SHARE_THAT_WARNS else logging.INFO
        logger.log(
            level,
            "%s of %s drawn events (%.3g%%) have negative weights and are drawn by their absolute "
            "value; weight the samples by their signs, the attribute w of the result and the "
            "saved file w_*.npy.",
            n_negative,
            len(w),
            100.0 * share,
        )


def _relative_uncertainty(sample: DrawnSample, points: Points, point: int) -> float:
    """Statistical uncertainty of the cross section at a point, from some of the events."""
    table, step = sample.table, len(sample.table) // _EVENTS_LOOKED_AT + 1
    some = WeightTable(
        rows=table.rows[::step],
        edges=np.searchsorted(np.arange(0, len(table), step), table.edges),
        weights=table.weights[::step],
    )
    factors = sample.factors[point]
    of_groups = table.spread(factors[np.newaxis])[0]
    weights = point_weights(some, points.coefficients[point], of_groups)
    total = float(points.coefficients[point] @ (factors @ table.file_sums))
    return float(np.sqrt(step * np.sum(weights**2)) / total)


def _report_balance(analyzer: DataAnalyzer) -> None:
    counts: IntArray = np.asarray(analyzer.n_events_generated_per_benchmark)
    names = list(analyzer.setup.physical_benchmarks)
    generated = np.flatnonzero(counts)
    if len(generated) and counts.max() > UNBALANCED * counts[generated].min():
        few = generated[np.argmin(counts[generated])]
        many = int(np.argmax(counts))
        logger.warning(
            "Only %s events were generated at %s, but %s at %s: points closest to %s are drawn "
            "from those few. Generate more there, or use sample_only_from_closest_benchmark=False.",
            counts[few],
            names[few],
            counts[many],
            names[many],
            names[few],
        )
