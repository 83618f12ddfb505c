"""The whole chain, step by step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from madminer.demo.closure import compare_scores
from madminer.demo.coverage import toy_coverage
from madminer.demo.events import prepare_events, vary_events
from madminer.demo.inference import compute_informations, compute_limits
from madminer.demo.learning import train_ratio, train_score
from madminer.demo.page import make_page
from madminer.demo.results import DemoResult, write_results
from madminer.demo.settings import DemoSettings
from madminer.demo.verdict import closure_of_chain, validate_networks
from madminer.errors import ClosureError, OutputError
from madminer.report import write_page
from madminer.text import one_line, tables_rich
from madminer.validation.result import counted


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
    _make_folder(settings.out)

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
        write_results(settings.out / "results.json", result)
        write_page(result.report, make_page(result, began))
    _summarise(console, result)
    return result


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the output folder {folder}: {error}. Choose another --out."
        ) from error


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
