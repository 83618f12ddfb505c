"""From text to a syntax tree: Python's own parser, within limits of size.

Nothing is executed here or later; the tree is only read.
"""

from __future__ import annotations

import ast
import warnings
from typing import Final

from madminer.errors import ExpressionError
from madminer.expressions.refusal import refuse_at

__all__ = ["parse"]

_LONGEST: Final = 5000
"""Largest number of characters of an expression."""

_DEEPEST: Final = 80
"""Largest number of operations inside each other: far from Python's own limit of recursion."""


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
    root = _parse(text)
    if _depth(root) > _DEEPEST:
        raise _too_deep(text)
    return root


def _parse(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarnings about odd but valid number literals
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        # Python gives column 0 for a fault at the end of the text.
        column = error.offset - 1 if error.offset else len(text)
        raise refuse_at(text, error.lineno or 1, column, 1, f"{error.msg}.") from None
    except (MemoryError, RecursionError):
        raise _too_deep(text) from None
    except ValueError:
        reason = "null characters or numbers with thousands of digits."
        raise refuse_at(text, 1, 0, 1, reason) from None


def _depth(root: ast.AST) -> int:
    """Length of the longest branch, without recursion."""
    deepest, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return deepest


def _too_deep(text: str) -> ExpressionError:
    reason = f"more than {_DEEPEST} operations inside each other; split it into several"
    return refuse_at(text, 1, 0, 1, f"{reason} observables.")
