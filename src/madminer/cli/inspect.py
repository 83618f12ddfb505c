"""``madminer inspect``: what a file is; of setup and event files, what is in them and wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from madminer.text import one_line, printable

if TYPE_CHECKING:
    from madminer.io.event_file_checks import EventFileReport, Finding
    from madminer.io.event_statistics import BenchmarkStatistics, EventStatistics

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Setup or event file, also of MadMiner 0.9; LHE, HepMC, ROOT or npy file, model or "
        "folder.",
    ),
]
NoEvents = Annotated[
    bool, typer.Option("--no-events", help="Of an event file, show the setup only.")
]


def inspect(file: File, no_events: NoEvents = False) -> None:
    """Say what a file is and check its events.

    Of a setup or event file, show the setup and the events, and what to do about them. The exit
    status is 1 if there are problems that make results wrong or stop them.
    """
    # imported here: they would slow down the other commands
    from madminer.cli.kinds import describe, is_hdf5
    from madminer.io.event_file_checks import Level, check_event_file
    from madminer.io.hdf5 import WEIGHTS, open_hdf5
    from madminer.io.setup_file import read_setup
    from madminer.models.tables import setup_tables

    console = Console()
    if not is_hdf5(file):
        console.print(Text(printable(f"{file}: {describe(file)}")), soft_wrap=True)
        return
    setup = read_setup(file)
    with open_hdf5(file) as hdf5:
        n_events = int(hdf5[WEIGHTS].shape[0]) if WEIGHTS in hdf5 else None
    console.print(_headline(file, n_events))
    console.print(setup_tables(setup))
    if n_events is None:
        console.print("There are no events in this file: it holds a setup only.", highlight=False)
    elif not no_events:
        report = check_event_file(file)
        for part in _parts(report):
            console.print(part)
        if report.level is Level.PROBLEM:
            raise typer.Exit(1)


def _headline(file: Path, n_events: int | None) -> RenderableType:
    kind = "setup" if n_events is None else f"{n_events:,} events"
    return Padding(
        Text.assemble((one_line(file), "bold"), f", {kind}", overflow="fold"), (0, 0, 1, 0)
    )


def _parts(report: EventFileReport) -> Iterator[RenderableType]:
    if report.statistics is not None:
        yield Padding(_benchmarks(report.statistics), (0, 0, 1, 0))
        if len(report.statistics.origins) > 1:
            yield Padding(_origins(report.statistics), (0, 0, 1, 0))
        if report.statistics.observables:
            yield Padding(_observables(report.statistics), (0, 0, 1, 0))
    yield _findings(report)


def _benchmarks(events: EventStatistics) -> Table:
    heads = ("cross section (pb)", "effective", "negative", "generated")
    table = _table(f"Weights of {events.n_events:,} events", "benchmark", heads)
    for b in events.benchmarks:
        table.add_row(
            Text(one_line(b.name)),
            f"{b.xsec:#.4g} ± {_relative(b)}",
            f"{b.n_effective:,.0f}",
            _percent(b.negative_share),
            "" if b.n_generated is None else f"{b.n_generated:,}",
        )
    return table


def _origins(events: EventStatistics) -> Table:
    """What was generated where, and what it is worth at the reference benchmark."""
    names = [b.name for b in events.benchmarks if not b.is_nuisance]
    at = names.index(events.reference)
    title = f"Events by origin, at {one_line(events.reference)}"
    table = _table(title, "generated at", ("events", "effective", "cross section"))
    for o in events.origins:
        numbers = (f"{o.n_events:,}", f"{o.n_effective[at]:,.0f}", _percent(o.shares[at]))
        table.add_row(Text(one_line(o.name)), *numbers)
    return table


def _observables(events: EventStatistics) -> Table:
    table = _table("Observables", "name", ("min", "mean", "max", "undefined"))
    for o in events.observables:
        n_undefined = o.n_nan + o.n_infinite
        numbers = (f"{number:.4g}" for number in (o.minimum, o.mean, o.maximum))
        undefined = Text(f"{n_undefined:,}", style="bold red" if n_undefined else "")
        table.add_row(Text(one_line(o.name)), *numbers, undefined)
    return table


def _table(title: str, first: str, heads: tuple[str, ...]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    table.add_column(first, overflow="fold", min_width=8)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _findings(report: EventFileReport) -> Table:
    from madminer.io.event_file_checks import Level

    table = Table.grid(padding=(0, 2, 0, 0))
    table.title, table.title_justify, table.title_style = "Checks", "left", "bold"
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    styles = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
    for level in reversed(Level):
        for finding in report.of_level(level):
            table.add_row(Text(finding.level, style=styles[level]), _finding(finding))
    return table


def _finding(finding: Finding) -> Text:
    text = Text(printable(finding.text))
    if finding.remedy:
        text.append(f" {printable(finding.remedy)}", style="bold")
    return text


def _relative(b: BenchmarkStatistics) -> str:
    return f"{100.0 * b.xsec_uncertainty / abs(b.xsec):.2f} %" if b.xsec else "0"


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share else "0"
