"""``madminer demo``: the whole chain, from events to exclusion contours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from madminer.cli.terminal import is_quiet


def demo(
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for events, models, arrays and the report."),
    ],
    events: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of events to generate; with --lhe, how many of the file's are used.",
            show_default="200000, or 40000 with --quick; all of a file",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="The same seed gives the same report.")
    ] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer events: about a minute.")] = False,
    lhe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="LHE file with weights at the benchmarks of --setup, instead of generating "
            "events. Jets, photons and charged leptons that are in every event are measured.",
        ),
    ] = None,
    setup: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --lhe: setup of two parameters with morphing, for its events.",
        ),
    ] = None,
    sampled_from: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --lhe: the benchmark that the events were generated at.",
            show_default="the first",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Benchmark around which scores, information and limits are computed.",
            show_default="the first",
        ),
    ] = None,
) -> None:
    """Simulate, read, sample, learn, infer, and write report.html.

    Writes   setup, events, models, results.json and report.html
    Example  madminer demo --out demo
    Status   0 if it is done; 1 after an error, or if a check of a network or of
             the chain failed: then the numbers must not be trusted. Checks for
             which there are not enough events, as with --quick, are no error.
    """
    # imported here: networks and figures would slow down the other commands
    from madminer.demo import DemoSettings, run_demo

    settings = DemoSettings.choose(
        out=out,
        n_events=events,
        seed=seed,
        quick=quick,
        lhe=lhe,
        setup=setup,
        sampled_from=sampled_from,
        reference=reference,
    )
    run_demo(settings, Console(quiet=is_quiet()))
