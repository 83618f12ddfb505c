"""From text to a syntax tree by Python's own parser, within limits of size; and texts of refusals.

Nothing is executed here or later; the tree is only read. A refusal shows the expression with a
caret under the fault, what is known, and what was meant.
"""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections.abc import Iterable
from typing import Final

from madminer.errors import ExpressionError
from madminer.text import printable

_LONGEST: Final = 5000
"""Largest number of characters of an expression."""

_DEEPEST: Final = 80
"""Largest number of operations inside each other: far from Python's own limit of recursion."""

_LOGIC: Final = {"&&": "and", "||": "or", "!": "not"}
_LOGIC_SIGN: Final = re.compile(r"&&|\|\||!(?!=)")
"""Logic as C++ and ROOT write it, and as Python does."""

_MARGIN: Final = "    "
_LONGEST_LINE: Final = 100

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


def parse(text: str) -> ast.expr:
    """Parse an expression.

    Args:
        text: Expression in Python syntax, without spaces at its ends.

    Returns:
        Its syntax tree.

    Raises:
        ExpressionError: If the text is empty, too long, nested too deeply or no expression.
    """
    if not text:
        raise ExpressionError("An expression must not be empty.")
    if len(text) > _LONGEST:
        raise ExpressionError(
            f"An expression may have up to {_LONGEST} characters, got {len(text)}: split it into "
            f"several observables or write a function."
        )
    root: ast.expr | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarnings about odd but valid number literals
            root = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        if sign := _LOGIC_SIGN.search(text):
            before = text[: sign.start()].split("\n")
            reason = f"write {_LOGIC[sign[0]]!r} for {sign[0]!r}; logic is 'and', 'or' and 'not'."
            place = len(before), len(before[-1]), len(sign[0])
        else:
            # Python gives column 0 for a fault at the end of the text.
            reason = f"{error.msg}."
            place = error.lineno or 1, error.offset - 1 if error.offset else len(text), 1
        raise _refuse_at(text, *place, reason) from None
    except ValueError:
        reason = "null characters or numbers with thousands of digits."
        raise _refuse_at(text, 1, 0, 1, reason) from None
    except (MemoryError, RecursionError):
        pass  # too deep for Python
    if root is None or _depth(root) > _DEEPEST:
        reason = f"more than {_DEEPEST} operations inside each other"
        raise _refuse_at(text, 1, 0, 1, f"{reason}; split it into several observables.")
    return root


def _depth(root: ast.AST) -> int:
    """Length of the longest branch, without recursion."""
    deepest, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return deepest


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
    return _refuse_at(text, line, begin, max(end - begin, 1), reason)


def _refuse_at(text: str, line: int, column: int, width: int, reason: str) -> ExpressionError:
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


def _row(text: str, line: int) -> str:
    rows = text.splitlines() or [""]
    return rows[min(max(line, 1), len(rows)) - 1]


def _column(row: str, byte_offset: int) -> int:
    """Python counts columns in bytes of UTF-8; we count characters."""
    return len(row.encode("utf-8")[:byte_offset].decode("utf-8", errors="ignore"))


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
    return f"{hint}Known: {', '.join(choices) or 'nothing'}."


def forbidden(syntax: ast.AST) -> str:
    """Why a piece of syntax is refused, and what to write instead."""
    remedy = _FORBIDDEN.get(type(syntax), "it has no place in an expression")
    return f"{type(syntax).__name__} is not allowed: {remedy}."
