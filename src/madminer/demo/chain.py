"""The whole chain, step by step, and what one run of it computes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from madminer.demo.closure import (
    Coverage,
    ScoreComparison,
    closure_of_chain,
    compare_scores,
    toy_coverage,
    validate_networks,
)
from madminer.demo.events import DemoEvents, prepare_events, vary_events
from madminer.demo.inference import (
    ANALYSES,
    Informations,
    Limits,
    compute_informations,
    compute_limits,
)
from madminer.demo.learning import TrainedRatio, TrainedScore, train_ratio, train_score
from madminer.demo.page import make_page
from madminer.demo.settings import DemoSettings
from madminer.errors import ClosureError, OutputError
from madminer.evidence import ValidationCheck
from madminer.io.atomic import atomic_path
from madminer.limits import LimitGrid
from madminer.report import write_page
from madminer.text import one_line, tables_rich
from madminer.validation import Validation
from madminer.validation.result import counted


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

    @property
    def analyses(self) -> dict[str, str]:
        """What limits are set with, and what it is called."""
        labels = {"alices": "ALICES, detector level", **self.informations.labels}
        return {name: labels[name] for name in ANALYSES}


def run_demo(settings: DemoSettings, console: Console | None = None) -> DemoResult:
    """Simulate, read, sample, learn, infer and report.

    Args:
        settings: Sizes and places.
        console: Where progress and summary are shown, None for the terminal.

    Returns:
        The results; the same are in the folder `settings.out`, with a report to read.

    Raises:
        ClosureError: If a check of a network or of the chain fails; the report is written
            nevertheless and says so. Checks for which there are not enough events are no error.
        OutputError: If the output folder cannot be written.
    """
    console = console or Console()
    began = time.perf_counter()
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the output folder {settings.out}: {error}. Choose another --out."
        ) from error

    with _step(console, "Simulate and read events"):
        events = prepare_events(settings)
    with _step(console, "Train SALLY on parton-level observables"):
        sally_parton = train_score(events.parton_file, events.reference, "parton", settings)
    with _step(console, "Train SALLY on detector-level observables"):
        sally_detector = train_score(events.detector_file, events.reference, "detector", settings)
    with _step(console, "Train ALICES on detector-level observables"):
        alices = train_ratio(events, settings)
    with _step(console, "Compute Fisher information"):
        informations = compute_informations(
            events, sally_parton.model_file, sally_detector.model_file, settings.luminosity
        )
    with _step(console, "Validate the networks"):  # before limits, which ask for it
        validations = validate_networks(events, sally_parton, sally_detector, alices, informations)
    with _step(console, "Read events with an uncertain normalisation"):
        varied = vary_events(events, settings)
    with _step(console, "Compute expected limits"):
        limits = compute_limits(varied, alices.estimator, informations, settings)
    with _step(console, "Draw toy experiments"):
        coverage = toy_coverage(varied, informations, limits, settings)
    with _step(console, "Test closure"):
        parton_scores = compare_scores(events.parton_file, events.reference, sally_parton)
        detector_scores = compare_scores(events.detector_file, events.reference, sally_detector)
        closure = closure_of_chain(events, parton_scores, informations, coverage, settings)
    result = DemoResult(
        settings=settings,
        events=events,
        varied_events=varied,
        sally_parton=sally_parton,
        sally_detector=sally_detector,
        alices=alices,
        parton_scores=parton_scores,
        detector_scores=detector_scores,
        informations=informations,
        limits=limits,
        coverage=coverage,
        validations={**validations, "the chain": closure},
        report=settings.out / "report.html",
    )
    with _step(console, "Write the report"):
        _write_results(settings.out / "results.json", result)
        write_page(result.report, make_page(result, began))
    _summarise(console, result)
    return result


@contextmanager
def _step(console: Console, description: str) -> Iterator[None]:
    began = time.perf_counter()
    console.print(f"[cyan]›[/] {description} ...", highlight=False)
    yield
    console.print(
        f"[green]✓[/] {description} [dim]{time.perf_counter() - began:.1f} s[/]", highlight=False
    )


def _summarise(console: Console, result: DemoResult) -> None:
    """Show all checks; some that cannot tell with few events are no error, and are named."""
    for name, validation in result.validations.items():
        table = replace(validation.table, title=f"{name}: {counted(validation)}")
        console.print(tables_rich([table]))
    console.print(Text(f"Report: {one_line(result.report)}"), soft_wrap=True)
    failed, undecided = (
        [
            f"{check.name} ({name})"
            for name, validation in result.validations.items()
            for check in getattr(validation, verdict)
        ]
        for verdict in ("failed", "undecided")
    )
    if undecided:
        console.print(f"Not enough events to tell: {', '.join(undecided)}.", soft_wrap=True)
    if failed:
        raise ClosureError(
            f"{len(failed)} of {len(result.checks)} checks failed: {'; '.join(failed)}. Do not "
            f"trust these results; try more events (--events) and look at {result.report}."
        )


def _write_results(path: Path, result: DemoResult) -> None:
    """Write the numbers behind the report as JSON.

    Information matrices are for the luminosity in the file; log ratios are natural logarithms (log
    r, not -2 log r) to the best grid point; test statistics of toy experiments are -2 log r.
    """
    informations, limits, coverage = result.informations, result.limits, result.coverage
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
        "ranges": limits.ranges,
        "theta_grid": limits.theta_grid.tolist(),
        "ranking": [
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
            for entry in informations.ranking.entries
        ],
        "limits": {name: _grid(grid) for name, grid in limits.nominal.items()},
        "nuisance_parameters": result.varied_events.norm_uncertainties,
        "limits_profiled": {name: _grid(grid) for name, grid in limits.profiled.items()},
        "coverage": {
            "confidence_level": coverage.confidence_level,
            "critical_value": coverage.critical_value,
            "n_toys": coverage.n_toys,
            "n_expected": coverage.confidence_level * coverage.n_toys,
            "n_inside": coverage.n_inside,
            "share": coverage.share,
            "error": coverage.error,
            "statistics": coverage.statistics.tolist(),
        },
        "validation": {name: found.to_dict() for name, found in result.validations.items()},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _grid(limits: LimitGrid) -> dict[str, object]:
    return {name: getattr(limits, name).tolist() for name in ("log_r", "p_values", "nus")}
