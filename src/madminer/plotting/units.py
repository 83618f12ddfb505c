"""Units of observables, from their definitions, for the labels of axes."""

from __future__ import annotations

import ast

from madminer.plotting.style import plain

_ENERGIES = {"e", "E", "energy", "t", "et", "Et", "mt", "Mt", "m", "M", "mass"}
_MOMENTA = {"p", "pt", "px", "py", "pz", "x", "y", "z", "mag", "rho"}
_GEV = frozenset(_ENERGIES | _MOMENTA)
_RADIANS = frozenset({"phi", "theta", "deltaphi", "deltaangle", "acos", "asin", "atan", "atan2"})
_SAME = frozenset({"abs", "min", "max", "sum", "float"})
_LONGEST = 300
"""Longer definitions have no unit here: the analysis follows their nesting."""


def axis_label(name: str, definition: str) -> str:
    """Name of an observable, as text, with its unit where the definition tells it.

    Examples:
        >>> axis_label("pt_j1", "j[0].pt")
        'pt_j1 [GeV]'
        >>> axis_label("delta_eta", "abs(j[0].eta - j[1].eta)")
        'delta_eta'
    """
    symbol = unit(definition)
    return f"{plain(name)} [{symbol}]" if symbol else plain(name)


def unit(definition: str) -> str | None:
    """Unit of an observable: GeV, rad, empty without unit, None where it is not known.

    Args:
        definition: Expression, as readers of events take it.

    Examples:
        >>> unit("j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))")
        'rad'
        >>> unit("log(j[0].pt)")
        ''
    """
    if len(definition) > _LONGEST:
        return None
    try:
        return _unit(ast.parse(definition.strip(), mode="eval").body)
    except (SyntaxError, ValueError):  # made by a function, or of another program
        return None


def _unit(node: ast.expr) -> str | None:
    match node:
        case ast.Attribute(attr=name):
            return _of_name(name)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _SAME:
            return _unit(first)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return _of_name(name)
        case ast.UnaryOp(operand=operand) | ast.IfExp(body=operand):
            return _unit(operand)
        case ast.BinOp(left=left, op=operation, right=right):
            return _of_operation(_unit(left), operation, _unit(right))
        case ast.Constant() | ast.Compare() | ast.BoolOp():
            return ""
        case _:
            return None


def _of_name(name: str) -> str:
    return "GeV" if name in _GEV else "rad" if name in _RADIANS else ""


def _of_operation(left: str | None, operation: ast.operator, right: str | None) -> str | None:
    match operation:
        case ast.Add() | ast.Sub() | ast.Mod():
            return left or right
        case ast.Mult() if not (left and right):
            return left if right == "" else right if left == "" else None
        case ast.Div() if right == "" or left == right:
            return left if right == "" else ""
        case _:
            return "" if left == right == "" else None
