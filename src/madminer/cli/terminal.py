"""What commands have in common: their help, how much they say, and where the log goes."""

from __future__ import annotations

import inspect
import logging
import os
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from madminer.errors import OptionError
from madminer.text import printable

logger = logging.getLogger("madminer")

_LIST = re.compile(r"\n\n(?=(?:Reads|Writes|Example|Status)  )")

GROUPS: dict[str, tuple[str, ...]] = {
    "Begin": ("demo", "init", "simulate"),
    "An analysis from one file": ("run", "schema"),
    "Its stages, each with those that it needs": (
        "setup",
        "read",
        "sample",
        "train",
        "fisher",
        "limits",
        "report",
    ),
    "Files and models": ("inspect", "combine", "validate", "evaluate"),
}
"""Commands by the title above them."""

EXIT_STATUS = (
    "0 if it is done; 1 after an error; 2 if the command line is wrong; 130 if interrupted."
)
"""What the status of every command means, if its help says nothing else."""

Verbose = Annotated[bool, typer.Option("--verbose", help="Show the log of each step.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="No progress, no warnings: results and errors only.")
]


class GroupedCommands(TyperGroup):
    """Lists commands in groups, each with its whole first sentence."""

    def list_commands(self, _: Any) -> list[str]:
        """Names in the order of the groups."""
        return [name for names in GROUPS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups."""
        for title, names in GROUPS.items():
            commands = {name: self.get_command(ctx, name) for name in names}
            rows = [(n, c.get_short_help_str(limit=200)) for n, c in commands.items() if c]
            with formatter.section(title):
                formatter.write_dl(rows)
        with formatter.section("Exit status"):
            formatter.write_text(EXIT_STATUS)


def keep_lines(text: str) -> str:
    r"""Mark lists of what a command reads and writes, examples and status: ``\b`` keeps lines.

    Args:
        text: The docstring of a command.

    Examples:
        >>> keep_lines("Set limits.\n\nExample  madminer limits wbf.yaml")
        'Set limits.\n\n\x08\nExample  madminer limits wbf.yaml'
    """
    return _LIST.sub("\n\n\b\n", inspect.cleandoc(text))


def has_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--verbose`` and ``--quiet`` to a command, and keep lines of its help."""

    @wraps(command)
    def run(*args: Any, verbose: bool, quiet: bool, **options: Any) -> None:
        set_verbosity(verbose, quiet)
        command(*args, **options)

    run.__doc__ = keep_lines(command.__doc__ or "")
    signature = inspect.signature(command, eval_str=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("verbose", Verbose), ("quiet", Quiet))
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *flags]
    )
    return run


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Set the level of the log, and silence the progress bars.

    Raises:
        OptionError: If both are asked for.
    """
    if verbose and quiet:
        raise OptionError("Give --verbose or --quiet, not both.")
    if verbose:
        logger.setLevel(logging.INFO)
    if quiet:
        logger.setLevel(logging.ERROR)
        os.environ["MADMINER_PROGRESS"] = "0"  # of processes that train networks too


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return not logger.isEnabledFor(logging.WARNING)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_terminal() -> None:
    """Send log and warnings to standard error, each as text."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    warnings.showwarning = lambda message, *_, **__: logger.warning("%s", message)
