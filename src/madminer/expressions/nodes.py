"""The compiled form of an expression: a tree of frozen nodes.

Each node knows its kind and its *depth*: -1 for constants, 0 for what depends on the event only,
k for what depends on the variable of the k-th nested comprehension. A node is evaluated once for
the rows of its own depth. Equal nodes mean the same value, so that values can be shared. The *size*
of a node is the number of nodes in it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias


class Kind(StrEnum):
    """What an expression, or a part of it, stands for in one event."""

    NUMBER = "number"
    PARTICLE = "particle"
    NUMBERS = "list of numbers"
    PARTICLES = "list of particles"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names known to an expression.

    A name may stand in more than one set (an observable called ``met`` beside the particle
    ``met``); the context decides then, in doubt for the number.

    Args:
        numbers: Names of numbers, one per event.
        particles: Names of particles, one per event, such as ``met``.
        collections: Names of lists of particles, such as ``j``.
        observables: Names of observables that cannot be used here; they are refused with the
            reason.

    Examples:
        >>> vocabulary = Vocabulary(numbers=frozenset({"n"}), collections=frozenset({"j"}))
        >>> vocabulary.kinds("j")
        (<Kind.PARTICLES: 'list of particles'>,)
    """

    numbers: frozenset[str] = frozenset()
    particles: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    observables: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All names."""
        return self.numbers | self.particles | self.collections

    def kinds(self, name: str) -> tuple[Kind, ...]:
        """What a name can stand for, the preferred meaning first; empty for unknown names."""
        sets = {
            Kind.NUMBER: self.numbers,
            Kind.PARTICLE: self.particles,
            Kind.PARTICLES: self.collections,
        }
        return tuple(kind for kind, names in sets.items() if name in names)

    def spelling(self, identifier: str) -> str:
        """The name meant by an identifier, which Python brings to Unicode's NFKC form."""
        if identifier in self.names:
            return identifier
        forms = {unicodedata.normalize("NFKC", name): name for name in self.names}
        return forms.get(identifier, identifier)


LIST_SIGN: Final = "[...]"
SLICE_SIGN: Final = "[first:last]"
"""Operations that make lists."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A fixed number."""

    value: float

    kind: Kind = field(default=Kind.NUMBER, init=False)
    depth: int = field(default=-1, init=False)
    size: int = field(default=1, init=False)
    free: frozenset[int] = field(default=frozenset(), init=False)
    names: frozenset[str] = field(default=frozenset(), init=False)


@dataclass(frozen=True, slots=True)
class Name:
    """Something that an event has."""

    name: str
    kind: Kind

    depth: int = field(default=0, init=False)
    size: int = field(default=1, init=False)
    free: frozenset[int] = field(default=frozenset(), init=False)

    @property
    def names(self) -> frozenset[str]:
        """The name itself."""
        return frozenset({self.name})


@dataclass(frozen=True, slots=True)
class Variable:
    """The loop variable of a comprehension at a level of nesting, counted from 1."""

    level: int
    kind: Kind

    size: int = field(default=1, init=False)
    names: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def depth(self) -> int:
        """Its level."""
        return self.level

    @property
    def free(self) -> frozenset[int]:
        """Its level."""
        return frozenset({self.level})


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of the values of other nodes, row by row.

    Args:
        operation: Name that tells this operation from others on the same kinds of arguments.
        kernel: Function of columns.
        arguments: Nodes whose values it takes.
        kind: Kind of the result.
    """

    operation: str
    kernel: Callable[..., Any] = field(compare=False)
    arguments: tuple[Node, ...]
    kind: Kind

    depth: int = field(init=False, compare=False)
    size: int = field(init=False, compare=False)
    free: frozenset[int] = field(init=False, compare=False)
    names: frozenset[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _summarise(self, self.arguments, bound=frozenset())


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A list built by a loop over another one, ``[element for ... in iterable if condition]``.

    Args:
        iterable: Node of a list.
        element: Node evaluated for each element.
        condition: Node that keeps the elements for which it is true; None keeps all.
        level: Level of the loop variable.
        is_lazy: Whether it is a generator: an undefined element counts only if it is read.
    """

    iterable: Node
    element: Node
    condition: Node | None
    level: int
    is_lazy: bool

    kind: Kind = field(init=False)
    depth: int = field(init=False, compare=False)
    size: int = field(init=False, compare=False)
    free: frozenset[int] = field(init=False, compare=False)
    names: frozenset[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        is_number = self.element.kind is Kind.NUMBER
        object.__setattr__(self, "kind", Kind.NUMBERS if is_number else Kind.PARTICLES)
        conditions = () if self.condition is None else (self.condition,)
        children = (self.iterable, self.element, *conditions)
        _summarise(self, children, bound=frozenset({self.level}))
        object.__setattr__(self, "depth", max(self.depth, 0))


def steps(node: Node) -> int:
    """Number of values that are computed in an event, if all its lists have one element.

    Loops over lists that are written out in the expression count each of their elements.
    """
    match node:
        case Apply():
            return 1 + sum(steps(argument) for argument in node.arguments)
        case Comprehension():
            body = steps(node.element) + (steps(node.condition) if node.condition else 0)
            return steps(node.iterable) + _written_length(node.iterable) * body
        case _:
            return 1


def _written_length(node: Node) -> int:
    """Number of elements of a list that is written out; 1 for lists that the events have."""
    match node:
        case Comprehension():
            return _written_length(node.iterable)
        case Apply(operation=operation, arguments=arguments) if operation == LIST_SIGN:
            return len(arguments)
        case Apply(operation=operation, arguments=arguments) if operation == SLICE_SIGN:
            return _written_length(arguments[0])
        case _:
            return 1


Node: TypeAlias = Constant | Name | Variable | Apply | Comprehension
"""Any part of a compiled expression."""


def _summarise(
    node: Apply | Comprehension, children: tuple[Node, ...], bound: frozenset[int]
) -> None:
    """Set what follows from the children: size, free variables, depth, names."""
    free = frozenset[int]().union(*(child.free for child in children)) - bound
    names = frozenset[str]().union(*(child.names for child in children))
    depth = max(free, default=max(min(child.depth, 0) for child in children))
    object.__setattr__(node, "size", 1 + sum(child.size for child in children))
    object.__setattr__(node, "free", free)
    object.__setattr__(node, "names", names)
    object.__setattr__(node, "depth", depth)


@dataclass(frozen=True, slots=True)
class Overload:
    """One meaning of an operator, function or method.

    Args:
        kernel: Function of columns, row by row in meaning.
        arguments: Kinds of the arguments; of a method, the particle first.
        result: Kind of the result.
        is_variadic: Whether more arguments of the last kind may follow.
        is_lazy: Whether a generator serves as list (`len` needs a list).
    """

    kernel: Callable[..., Any]
    arguments: tuple[Kind, ...]
    result: Kind = Kind.NUMBER
    is_variadic: bool = False
    is_lazy: bool = True

    def accepts(self, n_arguments: int) -> bool:
        """Whether that many arguments fit."""
        n_expected = len(self.arguments)
        return n_arguments == n_expected or (self.is_variadic and n_arguments > n_expected)

    def kind(self, position: int) -> Kind:
        """Kind of the argument at a position."""
        return self.arguments[min(position, len(self.arguments) - 1)]


def choose(overload: Overload, nodes: list[tuple[Node, ...]]) -> list[Node] | None:
    """Pick for each argument its first meaning of the right kind.

    Args:
        overload: Meaning of an operator, function or method.
        nodes: For each argument the nodes that it can stand for.

    Returns:
        One node per argument; None if one of them has no meaning of the right kind.
    """
    chosen = []
    for position, meanings in enumerate(nodes):
        fitting = [node for node in meanings if node.kind is overload.kind(position)]
        if not fitting:
            return None
        chosen.append(fitting[0])
    return chosen
