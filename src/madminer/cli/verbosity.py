"""How much a command says: ``--verbose`` and ``--quiet``, wherever they stand."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from madminer.cli.help import keep_lines
from madminer.errors import OptionError
from madminer.text import printable

logger = logging.getLogger("madminer")

Verbose = Annotated[bool, typer.Option("--verbose", help="Show the log of each step.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="No progress, no warnings: results and errors only.")
]


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
