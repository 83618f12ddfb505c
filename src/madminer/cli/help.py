"""The help of the commands: which belong together, and texts that keep their lines."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

from typer.core import TyperGroup

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


def keep_lines(text: str) -> str:
    r"""Mark lists of what a command reads and writes, examples and status: ``\b`` keeps lines.

    Args:
        text: The docstring of a command.

    Examples:
        >>> keep_lines("Set limits.\n\nExample  madminer limits wbf.yaml")
        'Set limits.\n\n\x08\nExample  madminer limits wbf.yaml'
    """
    return _LIST.sub("\n\n\b\n", cleandoc(text))


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
