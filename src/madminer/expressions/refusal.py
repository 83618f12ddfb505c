"""Texts of refusals: the expression, a caret under the fault, what is known, what was meant."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Final

from madminer.errors import ExpressionError
from madminer.expressions.nodes import Kind, Overload
from madminer.text import printable

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


_REMEDIES: Final = {
    Kind.NUMBER: "a number has neither properties nor elements",
    Kind.PARTICLE: "use one of its attributes, such as {source}.pt",
    Kind.PARTICLES: "pick one particle, such as {source}[0].pt, or use len({source})",
    Kind.NUMBERS: "pick one, or use len, sum, min, max, any or all",
}

_FORBIDDEN: Final[dict[type[ast.AST], str]] = {
    ast.BitAnd: "write 'and'",
    ast.BitOr: "write 'or'",
    ast.BitXor: "write '!='",
    ast.Invert: "write 'not'",
    ast.Is: "write '=='",
    ast.IsNot: "write '!='",
    ast.NamedExpr: "give the number a name of its own, as another observable",
    ast.JoinedStr: "there are no strings in expressions",
    ast.Lambda: "write a function and add it as an observable",
    ast.Starred: "give the arguments one by one",
    ast.SetComp: "write a list, [... for ... in ...]",
    ast.DictComp: "write a list, [... for ... in ...]",
}


_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.List, ast.Constant)
"""What binds as strongly as the attribute or index that follows it."""


def mismatch(source: str, kind: Kind, kinds: frozenset[Kind], role: str) -> str:
    """Why something of a kind cannot stand where other kinds are expected.

    Examples:
        >>> mismatch("j[0]", Kind.PARTICLE, frozenset({Kind.NUMBER}), "the result")
        'the result must be a number, but this is a particle; use one of its attributes,
        such as j[0].pt.'
    """
    expected = " or ".join(f"a {kind}" for kind in sorted(kinds))
    is_atom = isinstance(ast.parse(f"({source}\n)", mode="eval").body, _ATOMS)
    remedy = _REMEDIES[kind].format(source=source if is_atom else f"({source})")
    return f"{role} must be {expected}, but this is a {kind}; {remedy}."


def wrong_number(label: str, overloads: tuple[Overload, ...], n_given: int) -> str:
    """Why that many arguments do not fit."""
    hidden = int(label.startswith("."))  # the particle of a method is not counted by users
    numbers = sorted({len(overload.arguments) - hidden for overload in overloads})
    expected = " or ".join(str(number) for number in numbers)
    more = " or more" if any(overload.is_variadic for overload in overloads) else ""
    noun = "argument" if expected == "1" and not more else "arguments"
    return f"{label!r} takes {expected}{more} {noun}, got {n_given - hidden}."


def forbidden(syntax: ast.AST) -> str:
    """Why a piece of syntax is refused, and what to write instead."""
    remedy = _FORBIDDEN.get(type(syntax), "it has no place in an expression")
    return f"{type(syntax).__name__} is not allowed: {remedy}."
