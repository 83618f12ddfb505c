"""What one run of the demonstration computes, as a value and as a file of numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from madminer.demo.closure import ScoreComparison
from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations, Limits
from madminer.demo.learning import TrainedRatio, TrainedScore
from madminer.demo.settings import DemoSettings
from madminer.io.atomic import atomic_path
from madminer.limits import LimitGrid
from madminer.report import Check

__all__ = ["DemoResult", "write_results"]


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """Everything that one run of the chain computes.

    Args:
        settings: Sizes and places.
        events: Setup and event files.
        sally_parton: Score estimator on unsmeared observables.
        sally_detector: Score estimator on detector-level observables.
        alices: Ratio estimator on detector-level observables.
        parton_scores: Estimated and exact scores of the test events, unsmeared.
        detector_scores: The same at detector level.
        informations: Fisher information of each approach.
        limits: Expected p-values.
        checks: Closure tests.
        report: The page.
    """

    settings: DemoSettings
    events: DemoEvents
    sally_parton: TrainedScore
    sally_detector: TrainedScore
    alices: TrainedRatio
    parton_scores: ScoreComparison
    detector_scores: ScoreComparison
    informations: Informations
    limits: Limits
    checks: tuple[Check, ...]
    report: Path


def write_results(path: Path, result: DemoResult) -> None:
    """Write the numbers behind the report as JSON.

    Information matrices are for the luminosity in the file; log ratios are natural logarithms (log
    r, not -2 log r) to the best grid point.
    """
    informations = result.informations
    content = {
        "luminosity_inverse_pb": result.settings.luminosity,
        "process": result.events.process,
        "seed": result.settings.seed,
        "parameters": list(result.events.setup.parameters),
        "theta_reference": result.events.theta_reference.tolist(),
        "fisher_information": {
            key: getattr(informations, key).tolist() for key in informations.labels
        },
        "labels": informations.labels,
        "ranges": result.limits.ranges,
        "theta_grid": result.limits.truth.theta_grid.tolist(),
        "limits": {
            "rate": _grid(result.limits.rate),
            "alices": _grid(result.limits.alices),
            "truth": _grid(result.limits.truth),
        },
        "closure": [asdict(check) for check in result.checks],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _grid(limits: LimitGrid) -> dict[str, list[float]]:
    return {
        "log_r": np.asarray(limits.log_r).tolist(),
        "p_values": np.asarray(limits.p_values).tolist(),
    }
