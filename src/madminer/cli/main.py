"""The command ``madminer``."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from madminer.cli import demo, inspect, simulate
from madminer.errors import MadMinerError

__all__ = ["app", "main"]

app = typer.Typer(
    name="madminer",
    help="From matrix-element weights to the strongest limits on new physics they allow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(simulate.app, name="simulate")
app.command(name="demo")(demo.demo)
app.command(name="inspect")(inspect.inspect)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log of each step.")] = False,
) -> None:
    if show_version:
        typer.echo(f"madminer {version('madminer')}")
        raise typer.Exit
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )


def main() -> None:
    """Run the command; an expected error becomes one message and exit status 1."""
    try:
        app()
    except MadMinerError as error:
        console = Console(stderr=True)
        console.print(f"[bold red]{type(error).__name__}[/]", highlight=False, end=": ")
        console.print(str(error), markup=False, highlight=False)
        sys.exit(1)
