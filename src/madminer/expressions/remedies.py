"""Reasons of refusals: what is forbidden or does not fit, and what to write instead."""

from __future__ import annotations

import ast
from typing import Final

from madminer.expressions.overloads import Overload
from madminer.expressions.vocabulary import Kind

__all__ = ["forbidden", "mismatch", "wrong_number"]

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


def mismatch(source: str, kind: Kind, kinds: frozenset[Kind], role: str) -> str:
    """Why something of a kind cannot stand where other kinds are expected.

    Examples:
        >>> mismatch("j[0]", Kind.PARTICLE, frozenset({Kind.NUMBER}), "the result")
        'the result must be a number, but this is a particle; use one of its attributes,
        such as j[0].pt.'
    """
    expected = " or ".join(f"a {kind}" for kind in sorted(kinds))
    remedy = _REMEDIES[kind].format(source=source)
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
