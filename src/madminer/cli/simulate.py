"""``madminer simulate``: events of the embedded processes as LHE files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from madminer.cli.terminal import has_verbosity, is_quiet
from madminer.io.atomic import prepare_target, refuse_same_file
from madminer.text import one_line

if TYPE_CHECKING:  # the generator would slow down the other commands
    from madminer.simulate import PartonEvents, Process

_FEWEST = 10
"""Effective events below which a statistical error means nothing."""

app = typer.Typer(
    help="Generate events of an embedded process, as MadGraph would.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Out = Annotated[
    Path, typer.Option(metavar="FILE", help="The LHE file; compressed if it ends with .gz.")
]
Events = Annotated[int, typer.Option(metavar="N", min=1, help="Number of unweighted events.")]
RandomSeed = Annotated[
    int, typer.Option(metavar="N", min=0, help="The same seed gives the same file.")
]
Energy = Annotated[
    float, typer.Option(metavar="E", help="Energy of the beams in their centre of mass, GeV.")
]
Setup = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with parameters and benchmarks.",
        show_default="built-in benchmarks, written beside the events",
    ),
]
SampledFrom = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Benchmark whose weight stands in the event line.",
        show_default="the first",
    ),
]


@app.command()
@has_verbosity
def wbf(
    out: Out,
    events: Events = 50_000,
    seed: RandomSeed = 1,
    channel: Annotated[
        Literal["tutorial", "ww", "zz", "pp"],
        typer.Option(help="tutorial (u d, through W), ww, zz, or pp (both, all flavours)."),
    ] = "tutorial",
    energy: Energy = 13_000.0,
    branching_ratio: Annotated[
        float,
        typer.Option(
            metavar="BR", help="Of the Higgs to two photons; 1 for the cross section of q q H."
        ),
    ] = 2.27e-3,
    setup: Setup = None,
    sampled_from: SampledFrom = None,
) -> None:
    """Higgs in weak-boson fusion, decaying to two photons, with CWL2 and CPWL2.

    Writes   the events; without --setup their setup too, as wbf.setup.h5
    Example  madminer simulate wbf --out wbf.lhe.gz --events 100000
    """
    from madminer.simulate import WeakBosonFusion

    process = WeakBosonFusion(channel=channel, energy=energy, branching_ratio=branching_ratio)
    _run(process, out, events, seed, setup, sampled_from)


@app.command()
@has_verbosity
def drell_yan(
    out: Out,
    events: Events = 50_000,
    seed: RandomSeed = 1,
    energy: Energy = 13_000.0,
    mass_min: Annotated[
        float, typer.Option(metavar="M", help="Smallest mass of the pair, GeV.")
    ] = 500.0,
    mass_max: Annotated[
        float, typer.Option(metavar="M", help="Largest mass of the pair, GeV.")
    ] = 10_000.0,
    setup: Setup = None,
    sampled_from: SampledFrom = None,
) -> None:
    """Pairs of muons from photon and Z, with the four-fermion operators clq1 and clq3.

    Writes   the events; without --setup their setup too, as muons.setup.h5
    Example  madminer simulate drell-yan --out muons.lhe.gz --mass-min 800
    """
    from madminer.simulate import DrellYan

    process = DrellYan(energy=energy, mass_min=mass_min, mass_max=mass_max)
    _run(process, out, events, seed, setup, sampled_from)


def _run(
    process: Process,
    out: Path,
    n_events: int,
    seed: int,
    setup: Path | None,
    sampled_from: str | None,
) -> None:
    from madminer.io.setup_file import read_setup, write_setup
    from madminer.simulate import simulate, write_parton_events

    refuse_same_file(out, setup, "setup")
    prepare_target(out)
    analysis = process.default_setup() if setup is None else read_setup(setup)
    sampled = next(iter(analysis.physical_benchmarks), "") if sampled_from is None else sampled_from
    analysis.benchmark_index(sampled)
    events = simulate(process, n_events, analysis, seed=seed)
    if setup is None:
        setup = setup_beside(out)
        write_setup(setup, analysis)
    write_parton_events(out, events, sampled_from=sampled)
    if not is_quiet():
        console = Console()
        table = _table(events, out)
        wide = console.options.update(width=1000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
        console.print(table)  # names are never cut
        text = f"They belong to the setup {setup} and are sampled from the benchmark {sampled!r}."
        console.print(Text(one_line(text)), soft_wrap=True)


def setup_beside(out: Path) -> Path:
    """Where the setup of a file of events goes: ``x.lhe.gz`` has ``x.setup.h5``.

    Examples:
        >>> setup_beside(Path("events.lhe.gz")).name
        'events.setup.h5'
    """
    return out.with_name(f"{out.name.removesuffix('.gz').removesuffix('.lhe')}.setup.h5")


def _table(events: PartonEvents, out: Path) -> Table:
    table = Table(title=Text(f"{events.n_events:,} events in {one_line(out)}"))
    table.add_column("benchmark", no_wrap=True)
    for name in events.parameters:
        table.add_column(Text(one_line(name)), justify="right", no_wrap=True)
    table.add_column("cross section (pb)", justify="right", no_wrap=True)
    table.add_column("effective events", justify="right", no_wrap=True)
    for name, benchmark in events.setup.physical_benchmarks.items():
        theta = [benchmark.values[parameter] for parameter in events.parameters]
        value, error = events.cross_section(theta)
        size = events.effective_size(theta)
        table.add_row(
            Text(one_line(name)),
            *(f"{number:g}" for number in theta),
            f"{value:.4e} ± {error:.1e}" if size >= _FEWEST else f"{value:.4e}",
            f"{size:,.0f}",
        )
    return table
