"""Tables of what an expression may do: operators, functions, attributes and methods.

Whatever does not stand here is refused when an expression is compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from madminer.expressions import arithmetic, lists, momenta
from madminer.expressions.arithmetic import Comparison, Partial
from madminer.expressions.nodes import LIST_SIGN, SLICE_SIGN, Kind, Overload

_NUMBER, _PARTICLE = Kind.NUMBER, Kind.PARTICLE
_NUMBERS, _PARTICLES = Kind.NUMBERS, Kind.PARTICLES


Overloads = tuple[Overload, ...]


def _of_one(function: Callable[..., Any]) -> Overloads:
    return (Overload(function, (_NUMBER,)),)


def _of_two(function: Callable[..., Any]) -> Overloads:
    return (Overload(function, (_NUMBER, _NUMBER)),)


def _of_one_or_two(function: Callable[..., Any]) -> Overloads:
    return _of_one(function) + _of_two(function)


def _of_particles(function: Callable[..., Any], result: Kind = _NUMBER) -> Overloads:
    return (Overload(function, (_PARTICLE, _PARTICLE), result),)


def _of_particle(function: Callable[..., Any]) -> Overloads:
    return (Overload(function, (_PARTICLE,)),)


def _extreme(of_list: Callable[..., Any], of_numbers: Callable[..., Any]) -> Overloads:
    several = Overload(of_numbers, (_NUMBER, _NUMBER), is_variadic=True)
    return (Overload(of_list, (_NUMBERS,)), several)


CONSTANTS: Final = {"pi": np.pi}
"""Names with a fixed value, unless the vocabulary has them."""

OPERATORS: Final[dict[type[ast.AST], tuple[str, Overloads]]] = {
    ast.Add: ("+", _of_two(np.add) + _of_particles(momenta.add, _PARTICLE)),
    ast.Sub: ("-", _of_two(np.subtract) + _of_particles(momenta.subtract, _PARTICLE)),
    ast.Mult: ("*", _of_two(np.multiply)),
    ast.Div: ("/", _of_two(arithmetic.divide)),
    ast.FloorDiv: ("//", _of_two(arithmetic.divide_floor)),
    ast.Mod: ("%", _of_two(arithmetic.modulo)),
    ast.Pow: ("**", _of_two(arithmetic.power)),
    ast.UAdd: ("unary +", _of_one(arithmetic.same)),
    ast.USub: ("unary -", _of_one(np.negative)),
    ast.Not: ("not", _of_one(arithmetic.negation)),
    ast.And: ("and", (Overload(arithmetic.conjunction, (_NUMBER,), is_variadic=True),)),
    ast.Or: ("or", (Overload(arithmetic.disjunction, (_NUMBER,), is_variadic=True),)),
    ast.IfExp: (
        "if ... else",
        (
            Overload(arithmetic.choose, (_NUMBER, _NUMBER, _NUMBER)),
            Overload(momenta.choose, (_NUMBER, _PARTICLE, _PARTICLE), _PARTICLE),
        ),
    ),
    ast.List: (LIST_SIGN, (Overload(lists.list_of, (_NUMBER,), _NUMBERS, is_variadic=True),)),
    ast.Subscript: (
        "[index]",
        (
            Overload(lists.item, (_PARTICLES, _NUMBER), _PARTICLE, is_lazy=False),
            Overload(lists.item, (_NUMBERS, _NUMBER), _NUMBER, is_lazy=False),
        ),
    ),
    ast.Slice: (
        SLICE_SIGN,
        (
            Overload(lists.section, (_PARTICLES, _NUMBER, _NUMBER), _PARTICLES, is_lazy=False),
            Overload(lists.section, (_NUMBERS, _NUMBER, _NUMBER), _NUMBERS, is_lazy=False),
        ),
    ),
}
"""Operators by the class of their syntax node: the sign, and what it does."""

COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, Overloads]]] = {
    ast.Lt: ("<", _of_two(Comparison(np.less))),
    ast.LtE: ("<=", _of_two(Comparison(np.less_equal))),
    ast.Gt: (">", _of_two(Comparison(np.greater))),
    ast.GtE: (">=", _of_two(Comparison(np.greater_equal))),
    ast.Eq: ("==", _of_two(Comparison(np.equal))),
    ast.NotEq: ("!=", _of_two(Comparison(np.not_equal))),
    ast.In: ("in", (Overload(lists.contains, (_NUMBER, _NUMBERS)),)),
    ast.NotIn: ("not in", (Overload(lists.lacks, (_NUMBER, _NUMBERS)),)),
}
"""Comparisons by the class of their syntax node."""

FUNCTIONS: Final[dict[str, Overloads]] = {
    "abs": _of_one(np.abs),
    "acos": _of_one(Partial(np.arccos)),
    "all": (Overload(lists.every, (_NUMBERS,)),),
    "any": (Overload(lists.some, (_NUMBERS,)),),
    "asin": _of_one(Partial(np.arcsin)),
    "atan": _of_one(np.arctan),
    "atan2": _of_two(np.arctan2),
    "bool": _of_one(arithmetic.number_of_bool),
    "ceil": _of_one(Partial(np.ceil)),
    "cos": _of_one(Partial(np.cos)),
    "cosh": _of_one(Partial(np.cosh)),
    "exp": _of_one(Partial(np.exp)),
    "float": _of_one(arithmetic.same),
    "floor": _of_one(Partial(np.floor)),
    "int": _of_one(Partial(np.trunc)),
    "len": (
        Overload(lists.length, (_PARTICLES,), is_lazy=False),
        Overload(lists.length, (_NUMBERS,), is_lazy=False),
    ),
    "log": _of_one_or_two(arithmetic.logarithm),
    "max": _extreme(lists.maximum, arithmetic.largest),
    "min": _extreme(lists.minimum, arithmetic.smallest),
    "pow": _of_two(arithmetic.power),
    "round": _of_one_or_two(arithmetic.round_to),
    "sin": _of_one(Partial(np.sin)),
    "sinh": _of_one(Partial(np.sinh)),
    "sqrt": _of_one(Partial(np.sqrt)),
    "sum": (
        Overload(lists.total, (_NUMBERS,)),
        Overload(lists.total_momentum, (_PARTICLES,), _PARTICLE),
    ),
    "tan": _of_one(Partial(np.tan)),
    "tanh": _of_one(np.tanh),
}
"""Functions by name."""

RESERVED_NAMES: Final = frozenset({*FUNCTIONS, *CONSTANTS})
"""Names that keep their meaning in every expression."""

METHODS: Final[dict[str, Overloads]] = {
    "boost": (
        Overload(momenta.boost_along, (_PARTICLE, _PARTICLE), _PARTICLE),
        Overload(momenta.boost, (_PARTICLE, _NUMBER, _NUMBER, _NUMBER), _PARTICLE),
    ),
    "boostCM_of": _of_particles(momenta.boost_into, _PARTICLE),
    "boostCM_of_p4": _of_particles(momenta.boost_into, _PARTICLE),
    "boostX": (Overload(momenta.boost_x, (_PARTICLE, _NUMBER), _PARTICLE),),
    "boostY": (Overload(momenta.boost_y, (_PARTICLE, _NUMBER), _PARTICLE),),
    "boostZ": (Overload(momenta.boost_z, (_PARTICLE, _NUMBER), _PARTICLE),),
    "boost_p4": _of_particles(momenta.boost_along, _PARTICLE),
    "deltaR": _of_particles(momenta.delta_r),
    "deltaeta": _of_particles(momenta.delta_eta),
    "deltaphi": _of_particles(momenta.delta_phi),
    **{name: _of_particles(momenta.VectorMethod(name)) for name in momenta.PAIR_QUANTITIES},
    **{name: _of_particle(momenta.VectorMethod(name)) for name in momenta.VERDICTS},
}
"""Methods of particles by name."""

_SPELLINGS: Final = (
    "px x",
    "py y",
    "pz z",
    "E e energy t",
    "E2 e2 energy2 t2",
    "pt rho",
    "pt2 rho2",
    "p mag",
    "p2 mag2",
    "m M mass tau",
    "m2 M2 mass2 tau2",
    "et Et transverse_energy",
    "et2 Et2 transverse_energy2",
    "mt Mt transverse_mass",
    "mt2 Mt2 transverse_mass2",
    "eta pseudorapidity",
    "phi",
    "rapidity",
    "theta",
    "costheta",
    "cottheta",
    "beta",
    "gamma",
    "charge",
    "pdgid pdg_id",
    "spin",
    "b_tag",
    "tau_tag",
    "t_tag",
)

ATTRIBUTES: Final[dict[str, str]] = {
    name: spellings.split()[0] for spellings in _SPELLINGS for name in spellings.split()
}
"""Attributes of particles: name in expressions, name of the column; those of *vector*, and more."""
