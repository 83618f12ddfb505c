"""``madminer run`` and its stages: an analysis from one file; ``madminer train``, and its scans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from madminer.checks import one_of
from madminer.cli.terminal import is_quiet
from madminer.errors import OptionError
from madminer.io.atomic import atomic_path
from madminer.text import one_line

STAGES = {
    "setup": """Write the setup: parameters, benchmarks, morphing, systematics.

It starts from a file, a process of the embedded generator, or nothing.

Reads    section setup, and the file that it names
Writes   setup.h5""",
    "read": """Read events: observables, cuts, efficiencies, weights.

LHE, HepMC or ROOT files of Delphes become one event file; event files are taken as they are.

Reads    section events, setup.h5, event files
Writes   events.h5, events.json""",
    "sample": """Draw the samples that networks are trained with.

Observables with the joint likelihood ratio and score at the points of each sample.

Reads    section samples, events.h5
Writes   samples/*.npy""",
    "fisher": """Calculate the expected Fisher information, and its errors.

At one parameter point, of the truth, the rate, histograms and score estimators.

Reads    section information, events.h5, models/
Writes   information.json""",
    "limits": """Set expected or observed limits: p-values on a grid of parameters.

From the rate, histograms, scores, likelihood ratios or the truth, nuisance parameters profiled if
the file says so.

Reads    section limits, events.h5, models/, observed events
Writes   limits/*.json""",
    "report": """Write the report: limits, information, validation, events, on one page.

The page needs no other file but the pages of the validations.

Reads    section report, all results
Writes   report.html""",
}
"""Commands of single stages, and their help; ``train`` is a command of its own."""

_OF_EACH_STAGE = """, in the folder of the results
Example  madminer {stage} wbf.yaml
Status   0 if it is done; 1 after an error, or if an estimator is not
         validated

What it needs is run before it."""

_WIDEST = 240  # characters of a warning; the report has all of it

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
    goes on where it was. The file is checked whole before anything runs.

    Reads    the analysis file, and the files that it names
    Writes   the folder of the results: report.html, and what is behind it
    Example  madminer run wbf.yaml --workers 2
    Status   0 if it is done; 1 after an error, or if an estimator is not
             validated, unless the file says must_pass: false
    """
    _run_analysis(file, until, None, workers, scheduler, dry_run, as_json)


def stage_command(stage: str) -> Callable[..., None]:
    """Command of one stage."""

    def command(
        file: File,
        name: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Which one of this kind; all if it is not given."),
        ] = None,
        workers: Workers = 1,
        scheduler: Scheduler = None,
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        _run_analysis(file, stage, name, workers, scheduler, dry_run, as_json)

    command.__doc__ = STAGES[stage] + _OF_EACH_STAGE.format(stage=stage)
    return command


def schema(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; else it is printed.")
    ] = None,
) -> None:
    """Write the form of analysis files as JSON schema, which editors check and complete with.

    Example  madminer schema --out analysis.schema.json
    """
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
    of your programs and files. A file that exists is not replaced.

    Example  madminer init wbf.yaml --template wbf
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


def _run_analysis(
    file: Path,
    until: str | None,
    name: str | None,
    workers: int,
    scheduler: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run an analysis up to one kind of stage, or the stage of this name; or show the plan."""
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

    def show(label: str, seconds: float | None) -> None:
        begins = f"[cyan]›[/] {label} ..."
        console.print(begins if seconds is None else f"[green]✓[/] {label} [dim]{seconds:.1f} s[/]")

    with _where(workers, scheduler) as where:
        plan.run(show=show, **where)
    for label, texts in plan.warnings.items():
        for text in texts:
            shown = shorten(one_line(text), _WIDEST, placeholder=" …")
            console.print(Text.assemble(("! ", "yellow"), f"{label}: {shown}"), soft_wrap=True)
    console.print(Text(f"Results: {one_line(plan.places.folder)}"), soft_wrap=True)


@contextmanager
def _where(workers: int, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """Where pieces of work run, in processes or on machines of Dask: keywords of ``run``."""
    if scheduler is None:
        yield {"n_processes": workers}
        return
    from madminer.executors import dask_executor

    with dask_executor(scheduler) as executor:
        yield {"executor": executor}


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
        _run_analysis(file, "train", name, workers, scheduler, dry_run, as_json=False)
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
    else:
        with _where(workers, scheduler) as where:
            result = campaign.run(**where)
    Console(quiet=is_quiet()).print(result)
    if result.failed:
        raise typer.Exit(1)
