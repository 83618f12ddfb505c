r"""Closure: what has to come out if every step of the chain is right, and is known in this one.

**Scores.** The joint score of an event is known from its weights. In the channel "tutorial" of the
embedded process the parton-level observables determine the latent variables, so that the joint
score is the score of the observables, and the estimated one must agree with it event by event, and
with it the Fisher information. `madminer.validation` tests what holds of all networks.

**Coverage.** Does the asymptotic region contain the truth as often as it claims? Toy experiments at
the reference point are drawn from the histogram of the best observables, with their own auxiliary
measurements of the nuisance parameters. The share of them in which

.. math:: q = -2 \log \frac{\max_\nu L(\theta_\mathrm{ref}, \nu)}
          {\max_{\theta, \nu} L(\theta, \nu)}

lies below a quantile of the chi-squared distribution is the probability that the region of that
confidence level contains the reference.

References:
    Wilks, 1938; Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations, Limits
from madminer.demo.learning import TrainedRatio, TrainedScore
from madminer.demo.settings import DemoSettings
from madminer.evidence import ValidationCheck, Verdict
from madminer.fisherinformation import expected_limits
from madminer.likelihood import HistoLikelihood
from madminer.likelihood.toys import Region, draw_toys, statistics_at
from madminer.sampling import SampleAugmenter
from madminer.stats import contour_level
from madminer.typing import FloatArray
from madminer.validation import Validation, validate

REACH = 2.5
"""Standard deviations from the reference at which ratios are tested: the borders of limits."""

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
        exact, estimated = (s - self.weights @ s for s in (self.exact, self.estimated))
        norm = np.sqrt((self.weights @ exact**2) * (self.weights @ estimated**2))
        result: FloatArray = (self.weights @ (exact * estimated)) / norm
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Test statistics of toy experiments at the true parameter point.

    Args:
        statistics: q of the experiments, -2 log r, shape ``(n_toys,)``.
        n_parameters: Number of theory parameters, the degrees of freedom that Wilks expects.
        confidence_level: Confidence level of the region.

    Examples:
        >>> coverage = Coverage(np.array([0.5, 1.0, 2.0, 4.0]), 2)
        >>> coverage.n_inside, coverage.share, round(coverage.error, 3)
        (3, 0.75, 0.233)
    """

    statistics: FloatArray
    n_parameters: int
    confidence_level: float = 0.68

    @property
    def n_toys(self) -> int:
        """Number of experiments."""
        return len(self.statistics)

    @property
    def critical_value(self) -> float:
        """Asymptotic quantile of q."""
        return contour_level(self.confidence_level, self.n_parameters)

    @property
    def n_inside(self) -> int:
        """Number of experiments whose region contains the truth."""
        return int(np.count_nonzero(self.statistics <= self.critical_value))

    @property
    def share(self) -> float:
        """Share of them."""
        return self.n_inside / self.n_toys

    @property
    def error(self) -> float:
        """Binomial standard deviation of the share, if the region covers as it should."""
        c = self.confidence_level
        return math.sqrt(c * (1.0 - c) / self.n_toys)


def validate_networks(
    events: DemoEvents,
    sally_parton: TrainedScore,
    sally_detector: TrainedScore,
    alices: TrainedRatio,
    informations: Informations,
) -> dict[str, Validation]:
    """Validate each network with the test events; ALICES where limits will be set.

    The file of ALICES then says where it was validated.
    """
    theta = points_at_borders(events.theta_reference, informations.sally)
    validations = {
        "SALLY, parton level": validate(sally_parton.estimator, events.parton_file),
        "SALLY, detector level": validate(sally_detector.estimator, events.detector_file),
        "ALICES, detector level": validate(
            alices.estimator, events.detector_file, events.reference, theta
        ),
    }
    alices.estimator.save(alices.model_file)
    return validations


def points_at_borders(reference: FloatArray, information: FloatArray) -> FloatArray:
    """Points at some standard deviations from the reference along each of p parameters, (2 p, p).

    Examples:
        >>> points_at_borders(np.array([1.0]), np.array([[4.0]]))
        array([[-0.25],
               [ 2.25]])
    """
    steps = np.diag(REACH * expected_limits(information).profiled)
    points: FloatArray = reference + np.concatenate([-steps, steps])
    return points


def compare_scores(event_file: Path, reference: str, trained: TrainedScore) -> ScoreComparison:
    """Evaluate a score estimator on the test events of a file and compute the exact scores."""
    test = SampleAugmenter(event_file).weighted_local(reference, partition="test")
    return ScoreComparison(
        test.x, test.probabilities, test.t_xz, trained.estimator.evaluate_score(test.x)
    )


def toy_coverage(
    events: DemoEvents, informations: Informations, limits: Limits, settings: DemoSettings
) -> Coverage:
    """Draw toy experiments of the best histogram at the reference point and fit each of them.

    The events have nuisance parameters; the grid of the limits holds the first points of the fits.
    """
    theta = events.theta_reference
    analysis = HistoLikelihood(events.detector_file, include_nuisance_parameters=True)
    likelihood = analysis.create_expected_negative_log_likelihood(
        theta,
        None,
        observables=informations.best_observables,
        hist_bins=informations.best_bins,
        luminosity=settings.luminosity,
        mode="histo",
    )
    truth = np.concatenate([theta, np.zeros(len(likelihood.nuisance_parameters))])
    toys = draw_toys(likelihood, truth, settings.n_toys, settings.seed)
    statistics = statistics_at(toys, theta, Region.of(limits.theta_grid))
    return Coverage(statistics, len(theta))


def closure_of_chain(
    events: DemoEvents,
    parton_scores: ScoreComparison,
    informations: Informations,
    coverage: Coverage,
    settings: DemoSettings,
) -> Validation:
    """What is known beyond the networks; the exact score only where the observables tell it."""
    analyzer = DataAnalyzer(events.parton_file)
    checks = [*check_morphing(analyzer), check_coverage(coverage)]
    if events.measurement.is_complete:
        checks = [
            check_information(
                informations.sally_parton,
                informations.truth,
                max_error=settings.max_information_error,
            ),
            check_score_correlations(
                parton_scores,
                list(events.setup.parameters),
                minimum=settings.min_score_correlation,
            ),
            *checks,
        ]
    n_effective = 1.0 / float(np.sum(parton_scores.weights**2))
    name = f"{analyzer.n_samples:,} events, {settings.n_toys} toys"
    return Validation("The chain", name, n_effective, tuple(checks))


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


def check_morphing(analyzer: DataAnalyzer) -> list[ValidationCheck]:
    """Compare morphed cross sections with those of benchmarks outside the basis, if there are."""
    setup = analyzer.setup
    names = list(setup.physical_benchmarks)
    if setup.morphing is None or len(names) <= setup.morphing.n_basis:
        return []
    outside = slice(setup.morphing.n_basis, len(names))
    exact = analyzer.xsecs()[0][outside]
    deviations = analyzer.xsecs(list(setup.benchmark_thetas[outside]))[0] / exact - 1.0
    worst = int(np.argmax(np.abs(deviations)))
    check = ValidationCheck(
        name="morphing",
        quantity=f"relative deviation of the morphed cross section at {names[outside][worst]}",
        value=float(deviations[worst]),
        error=0.0,
        requirement=f"0 within {MORPHING_TOLERANCE:g}",
        reason="Where the weights of events are known they must be those that morphing gives.",
        verdict=_verdict(bool(np.abs(deviations[worst]) < MORPHING_TOLERANCE)),
        remedy="Raise max_overall_power of the morphing, or check the parameters of the cards.",
        values=tuple((n, float(d), 0.0) for n, d in zip(names[outside], deviations, strict=True)),
    )
    return [check]


def check_coverage(coverage: Coverage) -> ValidationCheck:
    """Compare how often the asymptotic region contains the truth with what it claims."""
    level = coverage.confidence_level
    deviation = abs(coverage.share - level)
    return ValidationCheck(
        name="coverage",
        quantity=f"share of {coverage.n_toys} toy experiments whose region contains the truth",
        value=coverage.share,
        error=coverage.error,
        requirement=f"{level:.2f} within {MAX_BINOMIAL_ERRORS:.0f} standard errors",
        reason=f"A region of {100 * level:.0f} % contains the truth in so many experiments.",
        verdict=_verdict(deviation <= MAX_BINOMIAL_ERRORS * coverage.error),
        remedy="Do not use asymptotic p-values here: take those of toy experiments (toy_limits).",
    )


def _verdict(is_met: bool) -> Verdict:
    return "passed" if is_met else "failed"
