"""``madminer train``: the networks of an analysis, or many from a list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from madminer.checks import one_of
from madminer.cli.run import run_analysis
from madminer.cli.verbosity import is_quiet


def train(
    file: Annotated[
        Path | None, typer.Argument(metavar="ANALYSIS.yaml", help="The analysis file.")
    ] = None,
    specification: Annotated[
        Path | None,
        typer.Option("--many", metavar="SPEC.yaml", help="Instead, a list of trainings."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --many: the models and their states."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which estimator, or training of the list; else all."),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings at once.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Instead, a Dask scheduler, as tcp://node1:8786."),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="With --many: only show where every training stands.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would run, and why.")
    ] = False,
) -> None:
    """Train the networks of an analysis file; or, with --many, those of a list of trainings.

    What is trained is not trained again; a training that was killed goes on from its last
    checkpoint. With --many, a failing training does not end the others.

    Reads    sections estimators and validation, samples/*.npy; with --many the
             files that the list names
    Writes   models/ in the folder of the results; with --many the folder --out
    Example  madminer train wbf.yaml --name sally
             madminer train --many scan.yaml --out models/scan --workers 8
    Status   0 if it is done; 1 after an error, or if a training failed
    """
    if (file is None) == (specification is None):
        raise typer.BadParameter("Give an analysis file, or --many with a list of trainings.")
    if file is not None:
        run_analysis(file, "train", name, workers, scheduler, dry_run, as_json=False)
        return
    if out is None:
        raise typer.BadParameter("--many needs --out, the folder of the models.")
    # imported here: networks would slow down the other commands
    from madminer.campaign import Campaign, load_trainings

    trainings = load_trainings(specification or "")
    if name is not None:
        one_of(name, "--name", [training.name for training in trainings])
        trainings = [training for training in trainings if training.name == name]
    if status:
        Campaign(out)  # a folder without a campaign is a mistake
    campaign = Campaign(out, trainings)
    if status or dry_run:
        result = campaign.status()
    elif scheduler is not None:
        from madminer.executors import dask_executor

        with dask_executor(scheduler) as executor:
            result = campaign.run(executor=executor)
    else:
        result = campaign.run(n_processes=workers)
    Console(quiet=is_quiet()).print(result)
    if result.failed:
        raise typer.Exit(1)
