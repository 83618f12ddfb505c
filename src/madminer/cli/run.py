"""``madminer run`` and its stages: an analysis from one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from textwrap import shorten, wrap
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


@dataclass(frozen=True, slots=True)
class _StageHelp:
    """What the help of a stage says.

    Args:
        does: What it does, a sentence.
        more: What else is to be known, a sentence or two.
        reads: Sections of the analysis file, and what earlier stages wrote.
        writes: Files in the folder of the results.
    """

    does: str
    more: str
    reads: str
    writes: str


STAGES = {
    "setup": _StageHelp(
        "Write the setup: parameters, benchmarks, morphing, systematics.",
        "It starts from a file, a process of the embedded generator, or nothing.",
        "section setup, and the file that it names",
        "setup.h5",
    ),
    "read": _StageHelp(
        "Read events: observables, cuts, efficiencies, weights.",
        "LHE, HepMC or ROOT files of Delphes become one event file; event files are taken as "
        "they are.",
        "section events, setup.h5, event files",
        "events.h5, events.json",
    ),
    "sample": _StageHelp(
        "Draw the samples that networks are trained with.",
        "Observables with the joint likelihood ratio and score at the points of each sample.",
        "section samples, events.h5",
        "samples/*.npy",
    ),
    "fisher": _StageHelp(
        "Calculate the expected Fisher information, and its errors.",
        "At one parameter point, of the truth, the rate, histograms and score estimators.",
        "section information, events.h5, models/",
        "information.json",
    ),
    "limits": _StageHelp(
        "Set expected or observed limits: p-values on a grid of parameters.",
        "From the rate, histograms, scores, likelihood ratios or the truth, nuisance parameters "
        "profiled if the file says so.",
        "section limits, events.h5, models/, observed events",
        "limits/*.json",
    ),
    "report": _StageHelp(
        "Write the report: limits, information, validation, events, on one page.",
        "The page needs no other file but the pages of the validations.",
        "section report, all results",
        "report.html",
    ),
}
"""Commands of single stages, and what their help says; ``train`` is a command of its own."""

STATUS = "0 if it is done; 1 after an error, or if an estimator is not validated"
"""Exit status of commands that run stages."""

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
    run_analysis(file, until, None, workers, scheduler, dry_run, as_json)


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
        run_analysis(file, stage, name, workers, scheduler, dry_run, as_json)

    command.__doc__ = _stage_help(stage)
    return command


def _stage_help(stage: str) -> str:
    """What a stage does, from what, to what."""
    about = STAGES[stage]
    lines = {
        "Reads": about.reads,
        "Writes": f"{about.writes}, in the folder of the results",
        "Example": f"madminer {stage} wbf.yaml",
        "Status": STATUS,
    }
    shown = [
        line
        for name, text in lines.items()
        for line in wrap(text, 74, initial_indent=f"{name:<9}", subsequent_indent=9 * " ")
    ]
    return "\n\n".join(
        (about.does, about.more, "\n".join(shown), "What it needs is run before it.")
    )


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
    for label, texts in plan.warnings.items():
        for text in texts:
            shown = shorten(one_line(text), _WIDEST, placeholder=" …")
            console.print(Text.assemble(("! ", "yellow"), f"{label}: {shown}"), soft_wrap=True)
    console.print(Text(f"Results: {one_line(plan.places.folder)}"), soft_wrap=True)


def _execute(plan: Plan, workers: int, scheduler: str | None, console: Console) -> None:
    def show(label: str, seconds: float | None) -> None:
        begins = f"[cyan]›[/] {label} ..."
        console.print(begins if seconds is None else f"[green]✓[/] {label} [dim]{seconds:.1f} s[/]")

    keywords: dict[str, Any] = {"show": show}
    if scheduler is None:
        plan.run(n_processes=workers, **keywords)
        return
    from madminer.executors import dask_executor

    with dask_executor(scheduler) as executor:
        plan.run(executor=executor, **keywords)
