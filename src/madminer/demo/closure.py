r"""Closure tests: what has to come out if every step of the chain is right.

The joint score of an event is known from its weights. On observables that determine the latent
variables, the estimated score must agree with it, and with it the Fisher information. Whatever the
observables,

.. math::

    \mathrm{E}[t(x|\theta) \,|\, \theta] = 0, \qquad
    \mathrm{E}[r(x|\theta_0, \theta_1) \,|\, \theta_1] = 1 .

References:
    Brehmer et al., *A Guide to Constraining Effective Field Theories with Machine Learning*,
    arXiv:1805.00020, Sec. V.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.coverage import Coverage
from madminer.demo.learning import TrainedRatio, TrainedScore
from madminer.report import Check
from madminer.sampling import SampleAugmenter
from madminer.sampling.weighted import WeightedSample
from madminer.typing import FloatArray, ThetaLike

__all__ = [
    "ScoreComparison",
    "check_coverage",
    "check_information",
    "check_mean_ratios",
    "check_mean_scores",
    "check_morphing",
    "check_score_correlations",
    "compare_scores",
]

MAX_STANDARD_ERRORS = 4.0
"""A mean is compatible with its expectation within this many standard errors."""

MAX_BINOMIAL_ERRORS = 3.0
"""The coverage of toy experiments is right within this many binomial standard errors."""

MORPHING_TOLERANCE = 1e-3
"""Largest relative deviation of a morphed cross section where the weights are known as well."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreComparison:
    """Estimated and exact scores on the test events of a file.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        weights: Probabilities at the reference point, sum one, shape ``(n,)``.
        exact: Joint scores from the weights of the events, shape ``(n, n_parameters)``.
        estimated: Scores from the network, shape ``(n, n_parameters)``.
        n_effective_train: Effective number of events that the network was trained on.
    """

    x: FloatArray
    weights: FloatArray
    exact: FloatArray
    estimated: FloatArray
    n_effective_train: float

    @property
    def correlations(self) -> FloatArray:
        """Weighted correlation of estimated and exact scores, shape ``(n_parameters,)``."""
        means = [self.weights @ scores for scores in (self.exact, self.estimated)]
        exact, estimated = self.exact - means[0], self.estimated - means[1]
        norm = np.sqrt((self.weights @ exact**2) * (self.weights @ estimated**2))
        result: FloatArray = (self.weights @ (exact * estimated)) / norm
        return result


def compare_scores(event_file: Path, reference: str, trained: TrainedScore) -> ScoreComparison:
    """Evaluate a score estimator on the test events of a file and compute the exact scores."""
    test = SampleAugmenter(event_file).weighted_local(reference, partition="test")
    return ScoreComparison(
        test.x,
        test.probabilities,
        test.t_xz,
        trained.estimator.evaluate_score(test.x),
        trained.n_effective,
    )


def check_information(estimated: FloatArray, truth: FloatArray, *, max_error: float) -> Check:
    """Compare Fisher information of a network on complete observables with the truth."""
    error = float(np.abs(estimated - truth).max() / np.trace(truth))
    return Check(
        "Information of SALLY, complete observables",
        f"{100 * error:.1f} %",
        "0 %",
        f"{100 * max_error:.0f} % of the trace",
        passed=error <= max_error,
    )


def check_score_correlations(
    comparison: ScoreComparison, parameters: Sequence[str], *, minimum: float
) -> list[Check]:
    """Compare scores event by event."""
    return [
        Check(
            f"Score correlation, complete observables, {name}",
            f"{correlation:.4f}",
            "1",
            f"above {minimum:.2f}",
            passed=bool(correlation > minimum),
        )
        for name, correlation in zip(parameters, comparison.correlations, strict=True)
    ]


def check_mean_scores(
    comparison: ScoreComparison, parameters: Sequence[str], level: str
) -> list[Check]:
    """E[t] = 0 at the reference point, within the statistics of training and test events."""
    checks = []
    mean = comparison.weights @ comparison.estimated
    variance = comparison.weights @ (comparison.estimated - mean) ** 2
    n_effective = 1.0 / np.sum(comparison.weights**2)
    errors = np.sqrt(variance * (1.0 / n_effective + 1.0 / comparison.n_effective_train))
    for name, value, error in zip(parameters, mean, errors, strict=True):
        checks.append(
            Check(
                f"E[t] of SALLY, {level}, {name}",
                f"{value:+.4f} ± {error:.4f}",
                "0",
                f"{MAX_STANDARD_ERRORS:.0f} standard errors",
                passed=bool(abs(value) <= MAX_STANDARD_ERRORS * error),
            )
        )
    return checks


def check_mean_ratios(
    event_file: Path,
    reference: str,
    trained: TrainedRatio,
    thetas: Mapping[str, FloatArray],
) -> list[Check]:
    """E[r] = 1 under the denominator hypothesis, at several numerators.

    The standard error is that of the exact ratio of the same events, so that a network cannot
    excuse itself by a large spread.
    """
    sampler = SampleAugmenter(event_file)
    test = _all_test_events(sampler, reference)
    log_r, _ = trained.estimator.evaluate_log_likelihood_ratio(
        test.x, np.stack(list(thetas.values())), test_all_combinations=True
    )
    statistics = 1.0 / test.n_effective + 1.0 / trained.n_effective
    checks = []
    for (label, theta), ratios in zip(thetas.items(), np.exp(log_r), strict=True):
        exact = _all_test_events(sampler, theta).probabilities / test.probabilities
        error = np.sqrt(test.probabilities @ (exact - 1.0) ** 2 * statistics)
        mean = float(test.probabilities @ ratios)
        checks.append(
            Check(
                f"E[r] of ALICES at {label}",
                f"{mean:.4f} ± {error:.4f}",
                "1",
                f"{MAX_STANDARD_ERRORS:.0f} standard errors",
                passed=bool(abs(mean - 1.0) <= MAX_STANDARD_ERRORS * error),
            )
        )
    return checks


def check_coverage(coverage: Coverage) -> Check:
    """Compare how often the asymptotic region contains the truth with what it claims."""
    level, n = coverage.confidence_level, coverage.n_toys
    deviation = abs(coverage.share - level)
    return Check(
        f"Coverage of the {100 * level:.0f} % region, best histogram, nuisance profiled, {n} toys",
        f"{coverage.share:.3f} ± {coverage.error:.3f} ({coverage.n_inside} toys)",
        f"{level:.2f} ({level * n:.0f} toys)",
        f"{MAX_BINOMIAL_ERRORS:.0f} standard errors",
        passed=bool(deviation <= MAX_BINOMIAL_ERRORS * coverage.error),
    )


def check_morphing(event_file: Path) -> list[Check]:
    """Compare morphed cross sections with those of benchmarks outside the basis."""
    analyzer = DataAnalyzer(event_file)
    morphing = analyzer.setup.morphing
    names = list(analyzer.setup.physical_benchmarks)
    if morphing is None:
        return []
    exact = analyzer.xsecs()[0]
    checks = []
    for index, name in enumerate(names[morphing.n_basis :], start=morphing.n_basis):
        morphed = analyzer.xsecs([analyzer.setup.benchmark_thetas[index]])[0][0]
        deviation = abs(morphed / exact[index] - 1.0)
        checks.append(
            Check(
                f"Morphed cross section at {name}",
                f"{morphed:.5e} pb",
                f"{exact[index]:.5e} pb",
                f"relative {MORPHING_TOLERANCE:g}",
                passed=bool(deviation < MORPHING_TOLERANCE),
            )
        )
    return checks


def _all_test_events(sampler: SampleAugmenter, theta: ThetaLike) -> WeightedSample:
    return sampler.weighted_local(theta, partition="test", sample_only_from_closest_benchmark=False)
