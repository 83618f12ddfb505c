"""The command ``madminer``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from madminer.cli import demo, inspect, simulate, tools
from madminer.cli import run as analysis
from madminer.cli.terminal import (
    GroupedCommands,
    Quiet,
    Verbose,
    has_verbosity,
    log_to_terminal,
    logger,
    set_verbosity,
)
from madminer.errors import EvidenceError, MadMinerError, OptionError
from madminer.evidence import strict
from madminer.text import one_line

# typer may carry a click of its own: this is the base of the errors of the one that it uses
_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="madminer",
    cls=GroupedCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From matrix-element weights to the strongest limits on new physics they allow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(simulate.app, name="simulate")
for command in (
    demo.demo,
    analysis.init,
    analysis.run,
    analysis.schema,
    analysis.train,
    inspect.inspect,
    tools.combine,
    tools.validate,
    tools.evaluate,
):
    app.command(name=command.__name__)(has_verbosity(command))
for stage in analysis.STAGES:
    app.command(name=stage)(has_verbosity(analysis.stage_command(stage)))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"madminer {version('madminer')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    show_version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version",
            help="Print the version and stop.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    is_strict: Annotated[
        bool, typer.Option("--strict", help="Stop where a result may be wrong, instead of warning.")
    ] = False,
) -> None:
    set_verbosity(verbose, quiet)
    if is_strict:
        context.with_resource(strict())


def main() -> None:
    """Run the command; an error becomes a message on standard error and an exit status.

    The message is one line; of an analysis file and of a validation one for each fault.

    The status is 0; 1 after an error, or if a problem was found; 2 if the command line is wrong; 3
    if a validation had not enough events to tell; 130 after an interruption.
    """
    log_to_terminal()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # of any encoding
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:]
    if not arguments or arguments == ["simulate"]:
        arguments.append("--help")
    try:
        status = app(arguments, standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _stop("Interrupted.", status=130)
    except _CommandLineError as error:
        text = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        _stop(f"{text}{'' if text.endswith('?') else '.'} See --help.", status=2)
    except (EvidenceError, OptionError) as error:  # one line for each check or entry
        _stop(*f"{type(error).__name__}: {error}".split("\n"), status=1)
    except (MadMinerError, OSError) as error:
        _stop(f"{type(error).__name__}: {error}", status=1)
    except Exception as error:  # noqa: BLE001 # no command ends in a traceback
        logger.info("Where it happened:", exc_info=error)
        _stop(
            f"{type(error).__name__}: {error}. This is unexpected, a fault of the program; "
            "--verbose shows its place.",
            status=1,
        )
    sys.exit(status if isinstance(status, int) else 0)


def _stop(*lines: str, status: int) -> NoReturn:
    for line in lines:
        typer.echo(one_line(line), err=True)
    sys.exit(status)
