"""Texts of refusals: the expression, a caret under the fault, what is known, what was meant."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from madminer.errors import ExpressionError
from madminer.text import printable

__all__ = ["known", "refuse", "refuse_at"]

_MARGIN = "    "
_LONGEST_LINE = 100


def refuse(text: str, node: ast.AST, reason: str) -> ExpressionError:
    """The error for a part of an expression.

    Args:
        text: The whole expression.
        node: The part that is refused, as parsed from `text`.
        reason: What was expected, what came and what to do.

    Returns:
        The error, to be raised by the caller.
    """
    line = getattr(node, "lineno", 1)
    row = _row(text, line)
    begin = _column(row, getattr(node, "col_offset", 0))
    end = _column(row, getattr(node, "end_col_offset", 0) or 0)
    if getattr(node, "end_lineno", line) != line:
        end = len(row)
    return refuse_at(text, line, begin, max(end - begin, 1), reason)


def refuse_at(text: str, line: int, column: int, width: int, reason: str) -> ExpressionError:
    """The error for a place in an expression; lines count from 1, columns from 0."""
    row = _row(text, line)
    first = max(0, min(column - _LONGEST_LINE // 2, len(row) - _LONGEST_LINE))
    shown = row[first : first + _LONGEST_LINE]
    offset = min(max(column - first, 0), len(shown))
    carets = "^" * max(1, min(width, len(shown) - offset))
    line_shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return ExpressionError(
        f"The expression is refused: {printable(reason)}\n"
        f"{_MARGIN}{line_shown}\n{_MARGIN}{' ' * offset}{carets}"
    )


def known(name: str, names: Iterable[str]) -> str:
    """What is known, and what may have been meant.

    Examples:
        >>> known("ptt", ["phi", "pt"])
        "did you mean 'pt'? Known: phi, pt."
    """
    choices = sorted(names, key=lambda choice: (choice.lower(), choice))
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    hint = f"did you mean {lowered[close[0]]!r}? " if close else ""
    listing = ", ".join(choices) if choices else "nothing"
    return f"{hint}Known: {listing}."


def _row(text: str, line: int) -> str:
    rows = text.splitlines() or [""]
    return rows[min(max(line, 1), len(rows)) - 1]


def _column(row: str, byte_offset: int) -> int:
    """Python counts columns in bytes of UTF-8; we count characters."""
    return len(row.encode("utf-8")[:byte_offset].decode("utf-8", errors="ignore"))
