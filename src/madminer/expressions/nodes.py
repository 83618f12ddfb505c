"""The compiled form of an expression: a tree of frozen nodes.

Each node knows its kind and its *depth*: -1 for constants, 0 for what depends on the event only,
k for what depends on the variable of the k-th nested comprehension. A node is evaluated once for
the rows of its own depth. Equal nodes mean the same value, so that values can be shared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias


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

    kind: ClassVar[Kind] = Kind.NUMBER
    depth: ClassVar[int] = -1
    free: ClassVar[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Name:
    """Something that an event has."""

    name: str
    kind: Kind

    depth: ClassVar[int] = 0
    free: ClassVar[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Variable:
    """The loop variable of a comprehension at a level of nesting, counted from 1."""

    depth: int
    kind: Kind

    @property
    def free(self) -> frozenset[int]:
        """Its level."""
        return frozenset({self.depth})


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
    free: frozenset[int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        free = frozenset[int]().union(*(argument.free for argument in self.arguments))
        lowest = max(min(argument.depth, 0) for argument in self.arguments)
        object.__setattr__(self, "free", free)
        object.__setattr__(self, "depth", max(free, default=lowest))


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

    depth: int = field(init=False, compare=False)
    free: frozenset[int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        free = frozenset[int]().union(*(child.free for child in children(self))) - {self.level}
        object.__setattr__(self, "free", free)
        object.__setattr__(self, "depth", max(free, default=0))

    @property
    def kind(self) -> Kind:
        """Kind of the list."""
        return Kind.NUMBERS if self.element.kind is Kind.NUMBER else Kind.PARTICLES


Node: TypeAlias = Constant | Name | Variable | Apply | Comprehension
"""Any part of a compiled expression."""


def children(node: Node) -> tuple[Node, ...]:
    """The nodes that a node is made of."""
    match node:
        case Apply():
            return node.arguments
        case Comprehension():
            conditions = () if node.condition is None else (node.condition,)
            return node.iterable, node.element, *conditions
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and all nodes in it."""
    yield node
    for child in children(node):
        yield from walk(child)


def steps(node: Node) -> int:
    """Number of values that are computed in an event, if all its lists have one element.

    Loops over lists that are written out in the expression count each of their elements.
    """
    match node:
        case Apply():
            return 1 + sum(map(steps, node.arguments))
        case Comprehension():
            iterable, *body = children(node)
            return steps(iterable) + _written_length(iterable) * sum(map(steps, body))
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
