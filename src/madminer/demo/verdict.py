"""Whether the numbers of the demonstration can be trusted: its networks, and the chain itself."""

from __future__ import annotations

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.closure import (
    ScoreComparison,
    check_coverage,
    check_information,
    check_morphing,
    check_score_correlations,
)
from madminer.demo.coverage import Coverage
from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations
from madminer.demo.learning import TrainedRatio, TrainedScore
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import expected_limits
from madminer.typing import FloatArray
from madminer.validation import Validation, ValidationCheck, validate

REACH = 2.5
"""Standard deviations from the reference at which ratios are tested: the borders of limits."""


def validate_networks(
    events: DemoEvents,
    sally_parton: TrainedScore,
    sally_detector: TrainedScore,
    alices: TrainedRatio,
    informations: Informations,
) -> dict[str, Validation]:
    """Validate each network with the test events; ALICES where limits will be set.

    Args:
        events: Setup and event files.
        sally_parton: Score estimator on unsmeared observables.
        sally_detector: Score estimator on detector-level observables.
        alices: Ratio estimator; its file then says where it was validated.
        informations: They tell how far limits reach.

    Returns:
        The validations by the name of the network.
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
    """Some standard deviations from the reference along each parameter, to both sides.

    Args:
        reference: The reference point, shape ``(p,)``.
        information: Fisher information there, shape ``(p, p)``.

    Returns:
        Points, shape ``(2 p, p)``.

    Examples:
        >>> points_at_borders(np.array([1.0]), np.array([[4.0]]))
        array([[-0.25],
               [ 2.25]])
    """
    steps = np.diag(REACH * expected_limits(information).profiled)
    points: FloatArray = reference + np.concatenate([-steps, steps])
    return points


def closure_of_chain(
    events: DemoEvents,
    parton_scores: ScoreComparison,
    informations: Informations,
    coverage: Coverage,
    settings: DemoSettings,
) -> Validation:
    """What is known beyond the networks; the exact score only where the observables tell it."""
    checks: list[ValidationCheck] = []
    if events.measurement.is_complete:
        checks += [
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
        ]
    checks += [*check_morphing(events.parton_file), check_coverage(coverage)]
    n_effective = 1.0 / float(np.sum(parton_scores.weights**2))
    name = f"{DataAnalyzer(events.parton_file).n_samples:,} events, {settings.n_toys} toys"
    return Validation("The chain", name, n_effective, tuple(checks))
