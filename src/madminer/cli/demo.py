"""``madminer demo``: the whole chain, from events to exclusion contours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for events, models, arrays and the report.")],
    events: Annotated[
        int | None, typer.Option(help="Number of events to generate.", show_default="200000")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="The same seed gives the same report.")
    ] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer events and epochs: under a minute.")
    ] = False,
    lhe: Annotated[
        Path | None,
        typer.Option(help="Events from a file (LHE, with weights at the setup's benchmarks)."),
    ] = None,
    setup: Annotated[
        Path | None, typer.Option(help="With --lhe: the setup file of the analysis.")
    ] = None,
    sampled_from: Annotated[
        str | None,
        typer.Option(help="With --lhe: the benchmark the events were generated at (the first)."),
    ] = None,
) -> None:
    """Simulate, read, sample, learn, infer, and write report.html.

    Exits with an error if a closure test fails: then the numbers must not be trusted.
    """
    # imported here: networks and figures would slow down the other commands
    from madminer.demo import DemoSettings, run_demo

    run_demo(
        DemoSettings.choose(
            out=out,
            n_events=events,
            seed=seed,
            quick=quick,
            lhe=lhe,
            setup=setup,
            sampled_from=sampled_from,
        )
    )
