r"""Closure: what has to come out if every step of the chain is right, and is known in this one.

The joint score of an event is known from its weights. In the channel "tutorial" of the embedded
process the parton-level observables determine the latent variables, so that the joint score is the
score of the observables, and the estimated one must agree with it event by event, and with it the
Fisher information. `madminer.validation` tests what holds of all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.coverage import Coverage
from madminer.demo.learning import TrainedScore
from madminer.evidence import ValidationCheck, Verdict
from madminer.sampling import SampleAugmenter
from madminer.typing import FloatArray

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
    """

    x: FloatArray
    weights: FloatArray
    exact: FloatArray
    estimated: FloatArray

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
        test.x, test.probabilities, test.t_xz, trained.estimator.evaluate_score(test.x)
    )


def check_information(
    estimated: FloatArray, truth: FloatArray, *, max_error: float
) -> ValidationCheck:
    """Compare Fisher information of a network on complete observables with the truth."""
    deviations = (estimated - truth) / np.trace(truth)
    worst = np.unravel_index(np.argmax(np.abs(deviations)), deviations.shape)
    value = float(deviations[worst])
    return ValidationCheck(
        name="information of complete observables",
        quantity=f"SALLY less truth, element {worst[0] + 1}{worst[1] + 1}, share of the trace",
        value=value,
        error=0.0,
        requirement=f"0 within {100 * max_error:.0f} %",
        reason="Complete observables know all that the latent variables know.",
        verdict=_verdict(abs(value) <= max_error),
        remedy="Train SALLY longer, or on more events.",
    )


def check_score_correlations(
    comparison: ScoreComparison, parameters: Sequence[str], *, minimum: float
) -> ValidationCheck:
    """Compare scores of complete observables event by event."""
    correlations = comparison.correlations
    worst = int(np.argmin(correlations))
    return ValidationCheck(
        name="score of complete observables",
        quantity=f"correlation with the exact score of {parameters[worst]}",
        value=float(correlations[worst]),
        error=0.0,
        requirement=f"above {minimum:.2f}",
        reason="Complete observables determine the joint score of an event: nothing is averaged.",
        verdict=_verdict(bool(correlations[worst] > minimum)),
        remedy="Train SALLY longer, or on more events.",
        values=tuple((n, float(c), 0.0) for n, c in zip(parameters, correlations, strict=True)),
    )


def check_coverage(coverage: Coverage) -> ValidationCheck:
    """Compare how often the asymptotic region contains the truth with what it claims."""
    level, n = coverage.confidence_level, coverage.n_toys
    deviation = abs(coverage.share - level)
    return ValidationCheck(
        name="coverage",
        quantity=f"share of {n} toy experiments whose region contains the truth",
        value=coverage.share,
        error=coverage.error,
        requirement=f"{level:.2f} within {MAX_BINOMIAL_ERRORS:.0f} standard errors",
        reason=f"A region of {100 * level:.0f} % contains the truth in so many experiments.",
        verdict=_verdict(deviation <= MAX_BINOMIAL_ERRORS * coverage.error),
        remedy="Do not use asymptotic p-values here: take those of toy experiments (toy_limits).",
    )


def check_morphing(event_file: Path) -> list[ValidationCheck]:
    """Compare morphed cross sections with those of benchmarks outside the basis."""
    analyzer = DataAnalyzer(event_file)
    morphing = analyzer.setup.morphing
    names = list(analyzer.setup.physical_benchmarks)
    if morphing is None or len(names) <= morphing.n_basis:
        return []
    outside = slice(morphing.n_basis, None)
    exact = analyzer.xsecs()[0][: len(names)][outside]
    morphed = analyzer.xsecs(list(analyzer.setup.benchmark_thetas[: len(names)][outside]))[0]
    return [_morphing_check(names[outside], morphed / exact - 1.0)]


def _morphing_check(names: Sequence[str], deviations: FloatArray) -> ValidationCheck:
    worst = int(np.argmax(np.abs(deviations)))
    return ValidationCheck(
        name="morphing",
        quantity=f"relative deviation of the morphed cross section at {names[worst]}",
        value=float(deviations[worst]),
        error=0.0,
        requirement=f"0 within {MORPHING_TOLERANCE:g}",
        reason="Where the weights of events are known they must be those that morphing gives.",
        verdict=_verdict(bool(np.abs(deviations[worst]) < MORPHING_TOLERANCE)),
        remedy="Raise max_overall_power of the morphing, or check the parameters of the cards.",
        values=tuple((n, float(d), 0.0) for n, d in zip(names, deviations, strict=True)),
    )


def _verdict(is_met: bool) -> Verdict:
    return "passed" if is_met else "failed"
