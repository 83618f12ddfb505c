"""Tables of what an expression may do: operators, functions, attributes and methods.

Whatever does not stand here is refused when an expression is compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from madminer.expressions import kernels
from madminer.expressions.nodes import LIST_SIGN, SLICE_SIGN, Kind, Overload

_NUMBER, _PARTICLE = Kind.NUMBER, Kind.PARTICLE
_NUMBERS, _PARTICLES = Kind.NUMBERS, Kind.PARTICLES


Overloads = tuple[Overload, ...]


def _of(function: Callable[..., Any], *kinds: Kind, to: Kind = _NUMBER) -> Overloads:
    return (Overload(function, kinds, to),)


def _of_one(function: Callable[..., Any]) -> Overloads:
    return _of(function, _NUMBER)


def _of_two(function: Callable[..., Any]) -> Overloads:
    return _of(function, _NUMBER, _NUMBER)


def _of_pair(function: Callable[..., Any], to: Kind = _NUMBER) -> Overloads:
    return _of(function, _PARTICLE, _PARTICLE, to=to)


def _sum(function: np.ufunc) -> Overloads:
    return _of_two(function) + _of_pair(partial(kernels.combine, function), _PARTICLE)


def _where_finite(function: Callable[..., Any]) -> Overloads:
    return _of_one(partial(kernels.where_finite, function))


def _comparison(function: np.ufunc) -> Overloads:
    return _of_two(partial(kernels.compare, function))


def _extreme(function: np.ufunc) -> Overloads:
    several = partial(kernels.extreme_of, function)
    return (
        Overload(partial(kernels.extreme, function), (_NUMBERS,)),
        Overload(several, (_NUMBER, _NUMBER), is_variadic=True),
    )


def _of_lists(function: Callable[..., Any], *kinds: Kind, to: tuple[Kind, Kind]) -> Overloads:
    """For lists of particles and of numbers, which must be lists: generators have no elements."""
    pairs = zip((_PARTICLES, _NUMBERS), to, strict=True)
    return tuple(Overload(function, (of, *kinds), result, is_lazy=False) for of, result in pairs)


CONSTANTS: Final = {"pi": np.pi}
"""Names with a fixed value, unless the vocabulary has them."""

OPERATORS: Final[dict[type[ast.AST], tuple[str, Overloads]]] = {
    ast.Add: ("+", _sum(np.add)),
    ast.Sub: ("-", _sum(np.subtract)),
    ast.Mult: ("*", _of_two(np.multiply)),
    ast.Div: ("/", _of_two(partial(kernels.divide, np.divide))),
    ast.FloorDiv: ("//", _of_two(partial(kernels.divide, np.floor_divide))),
    ast.Mod: ("%", _of_two(partial(kernels.divide, np.mod))),
    ast.Pow: ("**", _of_two(kernels.power)),
    ast.UAdd: ("unary +", _of_one(kernels.same)),
    ast.USub: ("unary -", _of_one(np.negative)),
    ast.Not: ("not", _of_one(kernels.negation)),
    ast.And: ("and", (Overload(kernels.conjunction, (_NUMBER,), is_variadic=True),)),
    ast.Or: ("or", (Overload(kernels.disjunction, (_NUMBER,), is_variadic=True),)),
    ast.IfExp: (
        "if ... else",
        _of(kernels.choose, _NUMBER, _NUMBER, _NUMBER)
        + _of(kernels.choose_particle, _NUMBER, _PARTICLE, _PARTICLE, to=_PARTICLE),
    ),
    ast.List: (LIST_SIGN, (Overload(kernels.list_of, (_NUMBER,), _NUMBERS, is_variadic=True),)),
    ast.Subscript: (
        "[index]",
        _of_lists(kernels.item, _NUMBER, to=(_PARTICLE, _NUMBER)),
    ),
    ast.Slice: (
        SLICE_SIGN,
        _of_lists(kernels.section, _NUMBER, _NUMBER, to=(_PARTICLES, _NUMBERS)),
    ),
}
"""Operators by the class of their syntax node: the sign, and what it does."""

COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, Overloads]]] = {
    ast.Lt: ("<", _comparison(np.less)),
    ast.LtE: ("<=", _comparison(np.less_equal)),
    ast.Gt: (">", _comparison(np.greater)),
    ast.GtE: (">=", _comparison(np.greater_equal)),
    ast.Eq: ("==", _comparison(np.equal)),
    ast.NotEq: ("!=", _comparison(np.not_equal)),
    ast.In: ("in", _of(kernels.contains, _NUMBER, _NUMBERS)),
    ast.NotIn: ("not in", _of(kernels.lacks, _NUMBER, _NUMBERS)),
}
"""Comparisons by the class of their syntax node."""

FUNCTIONS: Final[dict[str, Overloads]] = {
    "abs": _of_one(np.abs),
    "acos": _where_finite(np.arccos),
    "all": _of(kernels.every, _NUMBERS),
    "any": _of(kernels.some, _NUMBERS),
    "asin": _where_finite(np.arcsin),
    "atan": _of_one(np.arctan),
    "atan2": _of_two(np.arctan2),
    "bool": _of_one(kernels.number_of_bool),
    "ceil": _where_finite(np.ceil),
    "cos": _where_finite(np.cos),
    "cosh": _where_finite(np.cosh),
    "exp": _where_finite(np.exp),
    "float": _of_one(kernels.same),
    "floor": _where_finite(np.floor),
    "int": _where_finite(np.trunc),
    "len": _of_lists(kernels.length, to=(_NUMBER, _NUMBER)),
    "log": _of_one(kernels.logarithm) + _of_two(kernels.logarithm),
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "pow": _of_two(kernels.power),
    "round": _of_one(kernels.round_to) + _of_two(kernels.round_to),
    "sin": _where_finite(np.sin),
    "sinh": _where_finite(np.sinh),
    "sqrt": _where_finite(np.sqrt),
    "sum": _of(kernels.total, _NUMBERS) + _of(kernels.total_momentum, _PARTICLES, to=_PARTICLE),
    "tan": _where_finite(np.tan),
    "tanh": _of_one(np.tanh),
}
"""Functions by name."""

RESERVED_NAMES: Final = frozenset({*FUNCTIONS, *CONSTANTS})
"""Names that keep their meaning in every expression."""

METHODS: Final[dict[str, Overloads]] = {
    "boost": _of_pair(kernels.boost_along, _PARTICLE)
    + _of(kernels.boost, _PARTICLE, _NUMBER, _NUMBER, _NUMBER, to=_PARTICLE),
    "boostCM_of": _of_pair(kernels.boost_into, _PARTICLE),
    "boostCM_of_p4": _of_pair(kernels.boost_into, _PARTICLE),
    "boostX": _of(partial(kernels.boost_axis, 0), _PARTICLE, _NUMBER, to=_PARTICLE),
    "boostY": _of(partial(kernels.boost_axis, 1), _PARTICLE, _NUMBER, to=_PARTICLE),
    "boostZ": _of(partial(kernels.boost_axis, 2), _PARTICLE, _NUMBER, to=_PARTICLE),
    "boost_p4": _of_pair(kernels.boost_along, _PARTICLE),
    "deltaR": _of_pair(kernels.delta_r),
    "deltaeta": _of_pair(kernels.delta_eta),
    "deltaphi": _of_pair(kernels.delta_phi),
    **{name: _of_pair(partial(kernels.vector_method, name)) for name in kernels.PAIR_QUANTITIES},
    **{name: _of(partial(kernels.vector_method, name), _PARTICLE) for name in kernels.VERDICTS},
}
"""Methods of particles by name."""

_SPELLINGS: Final = """
px x | py y | pz z | E e energy t | E2 e2 energy2 t2
pt rho | pt2 rho2 | p mag | p2 mag2
m M mass tau | m2 M2 mass2 tau2
et Et transverse_energy | et2 Et2 transverse_energy2
mt Mt transverse_mass | mt2 Mt2 transverse_mass2
eta pseudorapidity | phi | rapidity | theta | costheta | cottheta | beta | gamma
charge | pdgid pdg_id | spin | b_tag | tau_tag | t_tag
"""

ATTRIBUTES: Final[dict[str, str]] = {
    name: spellings.split()[0]
    for spellings in _SPELLINGS.strip().replace("\n", "|").split("|")
    for name in spellings.split()
}
"""Attributes of particles: name in expressions, name of the column; those of *vector*, and more."""
