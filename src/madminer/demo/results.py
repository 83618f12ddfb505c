"""What one run of the demonstration computes, as a value and as a file of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.demo.closure import ScoreComparison
from madminer.demo.coverage import Coverage
from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations, Limits
from madminer.demo.learning import TrainedRatio, TrainedScore
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import InformationRanking
from madminer.io.atomic import atomic_path
from madminer.limits import LimitGrid
from madminer.validation import Validation, ValidationCheck


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """Everything that one run of the chain computes.

    Args:
        settings: Sizes and places.
        events: Setup and event files.
        varied_events: The same events with nuisance parameters.
        sally_parton: Score estimator on unsmeared observables.
        sally_detector: Score estimator on detector-level observables.
        alices: Ratio estimator on detector-level observables.
        parton_scores: Estimated and exact scores of the test events, unsmeared.
        detector_scores: The same at detector level.
        informations: Fisher information of each approach.
        limits: Expected p-values.
        coverage: Test statistics of toy experiments.
        validations: What test events say about each network, and about the chain, by name.
        report: The page.
    """

    settings: DemoSettings
    events: DemoEvents
    varied_events: DemoEvents
    sally_parton: TrainedScore
    sally_detector: TrainedScore
    alices: TrainedRatio
    parton_scores: ScoreComparison
    detector_scores: ScoreComparison
    informations: Informations
    limits: Limits
    coverage: Coverage
    validations: Mapping[str, Validation]
    report: Path

    @property
    def checks(self) -> tuple[ValidationCheck, ...]:
        """All checks."""
        return tuple(check for validation in self.validations.values() for check in validation)


def write_results(path: Path, result: DemoResult) -> None:
    """Write the numbers behind the report as JSON.

    Information matrices are for the luminosity in the file; log ratios are natural logarithms (log
    r, not -2 log r) to the best grid point; test statistics of toy experiments are -2 log r.
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
        "theta_grid": result.limits.theta_grid.tolist(),
        "ranking": _ranking(informations.ranking),
        "limits": {name: _grid(grid) for name, grid in result.limits.nominal.items()},
        "nuisance_parameters": result.varied_events.norm_uncertainties,
        "limits_profiled": {name: _grid(grid) for name, grid in result.limits.profiled.items()},
        "coverage": _coverage(result.coverage),
        "validation": {name: found.to_dict() for name, found in result.validations.items()},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _ranking(ranking: InformationRanking) -> list[dict[str, object]]:
    return [
        {
            "label": entry.label,
            "share": entry.share,
            "share_error": entry.share_error,
            # JSON has no infinity
            "standard_deviations": [
                value if np.isfinite(value) else None
                for value in entry.standard_deviations.tolist()
            ],
        }
        for entry in ranking.entries
    ]


def _grid(limits: LimitGrid) -> dict[str, object]:
    return {
        "log_r": limits.log_r.tolist(),
        "p_values": limits.p_values.tolist(),
        "nus": limits.nus.tolist(),
    }


def _coverage(coverage: Coverage) -> dict[str, object]:
    return {
        "confidence_level": coverage.confidence_level,
        "critical_value": coverage.critical_value,
        "n_toys": coverage.n_toys,
        "n_expected": coverage.confidence_level * coverage.n_toys,
        "n_inside": coverage.n_inside,
        "share": coverage.share,
        "error": coverage.error,
        "statistics": coverage.statistics.tolist(),
    }
