"""Text that comes from files or the command line, shown as text and never as a command."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["one_line", "printable", "shortened"]

_SHOWN = 8


def printable(text: object) -> str:
    r"""Show control characters (escapes of terminals, writing directions) by their numbers.

    Line ends and tabs stay.

    Args:
        text: What is to be shown.

    Returns:
        Text that moves no cursor and changes no colour.

    Examples:
        >>> print(printable("pt\x1b[2J"))
        pt\x1b[2J
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def one_line(text: object) -> str:
    r"""The same on one line.

    Examples:
        >>> one_line("a\n  b")
        'a b'
    """
    return " ".join(printable(text).split())


def shortened(names: Sequence[str]) -> str:
    """Join names, of many only the first.

    Examples:
        >>> shortened([f"b{i}" for i in range(30)])
        'b0, b1, b2, b3, b4, b5, b6, b7 and 22 more'
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(one_line(name) for name in names[:_SHOWN]) + more
