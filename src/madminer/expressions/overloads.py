"""Meanings of operators, functions and methods, told apart by the kinds of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from madminer.expressions.nodes import Node
from madminer.expressions.vocabulary import Kind

__all__ = ["Overload", "choose"]


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
