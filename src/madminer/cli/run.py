"""``madminer run`` and its stages: an analysis from one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from madminer.cli.verbosity import is_quiet
from madminer.errors import OptionError
from madminer.io.atomic import atomic_path
from madminer.text import one_line

if TYPE_CHECKING:  # networks would slow down the other commands
    from madminer.workflow import Plan

__all__ = ["STAGES", "init", "run", "run_analysis", "schema", "stage_command"]

STAGES = {
    "setup": "Write the setup: parameters, benchmarks, morphing, systematics.",
    "read": "Read events: observables, cuts, efficiencies, weights.",
    "sample": "Draw the samples that networks are trained with.",
    "train": "Train the networks; or, with --many, those of a list of trainings.",
    "fisher": "Calculate the expected Fisher information.",
    "limits": "Set limits.",
    "report": "Write the report.",
}
"""Commands of single stages, and what they do."""

File = Annotated[Path, typer.Argument(metavar="ANALYSIS.yaml", help="The analysis file.")]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Stages at once, in processes.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Instead, a Dask scheduler, such as tcp://node1:8786."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would run, and why.")]
Json = Annotated[bool, typer.Option("--json", help="Show the plan as JSON.")]


def run(
    file: File,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Only this stage and what it needs.")
    ] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run an analysis from setup to report.

    Stages whose section, files and seed have not changed are not run again; a run that was killed
    goes on where it was. The file is checked whole before anything runs. Ends with status 1 if an
    estimator is not validated, unless the file says must_pass: false.
    """
    run_analysis(file, until, None, workers, scheduler, dry_run, as_json)


def stage_command(stage: str) -> Callable[..., None]:
    """Command of one stage."""

    def command(
        file: File,
        name: Annotated[
            str | None, typer.Option(help="Which one of this kind; all if it is not given.")
        ] = None,
        workers: Workers = 1,
        scheduler: Scheduler = None,
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        run_analysis(file, stage, name, workers, scheduler, dry_run, as_json)

    command.__doc__ = f"""{STAGES[stage]}

    This stage of an analysis file, and before it the stages that it needs if they are not up to
    date.
    """
    return command


def schema(
    out: Annotated[Path | None, typer.Option(help="File to write; else it is printed.")] = None,
) -> None:
    """Write the form of analysis files as JSON schema, which editors check and complete with."""
    from madminer.workflow import json_schema

    text = json.dumps(json_schema(), indent=1)
    if out is None:
        typer.echo(text)
        return
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def init(
    out: Annotated[Path, typer.Argument(metavar="ANALYSIS.yaml", help="File to write.")],
    template: Annotated[
        Literal["wbf", "toy", "madgraph", "delphes"] | None,
        typer.Option(help="What to begin with; you are asked if it is not given."),
    ] = None,
) -> None:
    """Write an analysis file to begin with.

    wbf and toy run as they are, with the embedded generator; madgraph and delphes need the places
    of your programs and files.
    """
    if out.exists():
        raise OptionError(f"{out} exists. Choose another name, or remove it.")
    if template is None:
        question = "Events of the embedded generator (wbf, toy), of MadGraph, or of Delphes?"
        template = typer.prompt(question, default="wbf")
    folder = resources.files("madminer.workflow") / "templates"
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    if template not in names:
        raise OptionError(f"There is no template {template!r}; there are {', '.join(names)}.")
    text = (folder / f"{template}.yaml").read_text("utf-8")
    with atomic_path(out) as temporary:
        temporary.write_text(text.replace(f"{template}.yaml", out.name), encoding="utf-8")
    if not is_quiet():
        typer.echo(f"Wrote {out}. Look at it, then: madminer run {out}")


def run_analysis(
    file: Path,
    until: str | None,
    name: str | None,
    workers: int,
    scheduler: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a part of an analysis, or show what would run.

    Args:
        file: The analysis file.
        until: Kind of the last stage; None for all.
        name: Which one of this kind; None for all.
        workers: Number of processes.
        scheduler: Address of a Dask scheduler, None for processes.
        dry_run: Whether to show the plan only.
        as_json: Whether to show it as JSON.
    """
    # imported here: networks would slow down the other commands
    from madminer.workflow import load_analysis, plan_analysis

    plan = plan_analysis(load_analysis(file))
    if until is not None:
        plan = plan.until(until, name)
    console = Console(quiet=is_quiet())
    if as_json:
        typer.echo(
            json.dumps([dict(zip(plan.table.columns, row, strict=True)) for row in plan.table.rows])
        )
    if dry_run:
        if not as_json:
            console.print(plan)
        return
    _execute(plan, workers, scheduler, console)
    console.print(Text(f"Results: {one_line(plan.places.folder)}"), soft_wrap=True)


def _execute(plan: Plan, workers: int, scheduler: str | None, console: Console) -> None:
    def show(label: str, seconds: float | None) -> None:
        begins = f"[cyan]›[/] {label} ..."
        console.print(begins if seconds is None else f"[green]✓[/] {label} [dim]{seconds:.1f} s[/]")

    keywords: dict[str, Any] = {"show": show}
    if scheduler is None:
        plan.run(n_processes=workers, **keywords)
        return
    from madminer.campaign.dask_package import dask_executor

    with dask_executor(scheduler) as executor:
        plan.run(executor=executor, **keywords)
