"""Which closure tests one run of the demonstration has to pass."""

from __future__ import annotations

from madminer.demo.closure import (
    ScoreComparison,
    check_coverage,
    check_information,
    check_mean_ratios,
    check_mean_scores,
    check_morphing,
    check_score_correlations,
)
from madminer.demo.coverage import Coverage
from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations
from madminer.demo.learning import TrainedRatio
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import expected_limits
from madminer.report import Check
from madminer.typing import FloatArray

__all__ = ["closure_checks"]


def closure_checks(
    events: DemoEvents,
    parton_scores: ScoreComparison,
    detector_scores: ScoreComparison,
    informations: Informations,
    alices: TrainedRatio,
    coverage: Coverage,
    settings: DemoSettings,
) -> list[Check]:
    """All closure tests; those of the exact score only where the observables determine it."""
    parameters = list(events.setup.parameters)
    checks: list[Check] = []
    if events.measurement.is_complete:
        checks.append(
            check_information(
                informations.sally_parton,
                informations.truth,
                max_error=settings.max_information_error,
            )
        )
        checks += check_score_correlations(
            parton_scores, parameters, minimum=settings.min_score_correlation
        )
    checks += check_mean_scores(parton_scores, parameters, "parton level")
    checks += check_mean_scores(detector_scores, parameters, "detector level")
    checks += check_mean_ratios(
        events.detector_file, events.reference, alices, _numerators(events, informations.sally)
    )
    checks += check_morphing(events.parton_file)
    checks.append(check_coverage(coverage))
    return checks


def _numerators(events: DemoEvents, information: FloatArray) -> dict[str, FloatArray]:
    """Two standard deviations from the reference along each parameter, to both sides."""
    widths = 2.0 * expected_limits(information).profiled
    points = {}
    for i, (name, width) in enumerate(zip(events.setup.parameters, widths, strict=True)):
        for sign in (-1.0, 1.0):
            theta = events.theta_reference.copy()
            theta[i] += sign * width
            points[f"{name} = {theta[i]:.3g}"] = theta
    return points
