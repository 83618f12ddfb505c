"""Expressions over the columns of a table of events, such as ``Jet_pt[0]`` or ``genWeight * w[2]``.

The grammar is that of `madminer.expressions`; columns stand in place of particles. A column with
lists is a list of numbers there, any other one a number. Names may have dots, such as ``Jet.pt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import awkward as ak

from madminer.checks import refusal
from madminer.errors import ExpressionError, OptionError
from madminer.expressions import CompiledExpression, EventNamespace, Vocabulary, compile_expression
from madminer.expressions.columns import Value
from madminer.expressions.nodes import Kind
from madminer.io.event_columns import Columns, list_column, number_column, require_columns

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_DOT = "\N{MIDDLE DOT}"  # in place of dots in names: Python takes it for a letter
_CLOSE = 5  # names that a message proposes for one that is unknown


class ColumnExpressions:
    """Columns of a table, and expressions over them, compiled once for all pieces of the table.

    Args:
        terms: Names of columns, or expressions.
        available: Names of all columns of the table.

    Attributes:
        columns: Names of the columns that must be read.

    Raises:
        UnknownNameError: If a term is a name, but of no column.
        ExpressionError: If a term is no expression over the columns.
        OptionError: If a term is no text, or all are constants.

    Examples:
        >>> terms = ColumnExpressions(["met", "sum(jet_pt)"], ["met", "jet_pt", "jet_eta"])
        >>> terms.columns
        ['met', 'jet_pt']
        >>> table = {"met": ak.Array([5.0, 9.0]), "jet_pt": ak.Array([[30.0, 20.0], []])}
        >>> terms.read(table)["sum(jet_pt)"].tolist()
        [50.0, 0.0]
    """

    def __init__(self, terms: Iterable[str], available: Sequence[str]) -> None:
        known = frozenset(available)
        wanted = list(dict.fromkeys(terms))
        for term in wanted:
            if not isinstance(term, str):
                raise refusal("A column", "a name, or an expression over columns", term)
        names = [term for term in wanted if term in known or _NAME.fullmatch(term)]
        require_columns(names, available)
        self._compiled = {
            term: _compiled(term, known, available) for term in wanted if term not in names
        }
        used = {_dotted(name) for compiled in self._compiled.values() for name in compiled.names}
        self.columns = list(dict.fromkeys([*names, *sorted(used)]))
        if not self.columns:
            raise OptionError(
                f"Nothing of the events is used: {wanted} are constants. Name columns, such as "
                f"{available[0]!r}."
            )

    def read(self, columns: Columns) -> dict[str, ak.Array]:
        """Evaluate the expressions for some events.

        Args:
            columns: The columns by name, shape ``(n,)`` each.

        Returns:
            The same, with the values of each expression, shape ``(n,)``, by its text;
            not-a-number where it is undefined.

        Raises:
            DataError: If a column holds no real numbers, lists where the expression takes a
                number, or the other way round.
        """
        if not self._compiled:
            return dict(columns)
        events = _Events(columns)
        values = {term: compiled.evaluate(events) for term, compiled in self._compiled.items()}
        return {**columns, **{term: ak.Array(value.values) for term, value in values.items()}}


def _compiled(term: str, known: frozenset[str], available: Sequence[str]) -> CompiledExpression:
    """Compile with the columns that the text may mean; trees have thousands of others."""
    words = set(_NAME.findall(term))
    close = {c for word in words - known for c in get_close_matches(word, available, _CLOSE)}
    names = frozenset(_as_identifier(name) for name in (words & known) | close)
    text = _NAME.sub(lambda found: _as_identifier(found.group()), term)
    try:
        return compile_expression(text, _ColumnNames(columns=names))
    except ExpressionError as error:
        raise ExpressionError(_dotted(str(error))) from None


def _as_identifier(name: str) -> str:
    return name.replace(".", _DOT)


def _dotted(text: str) -> str:
    return text.replace(_DOT, ".")


@dataclass(frozen=True, slots=True)
class _ColumnNames(Vocabulary):
    """Names of columns, each of which may hold numbers or lists: the context decides."""

    columns: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        return self.columns

    def kinds(self, name: str) -> tuple[Kind, ...]:
        return (Kind.NUMBER, Kind.NUMBERS) if name in self.columns else ()


class _Events(EventNamespace):
    """The columns of some events."""

    __slots__ = ("_read", "_table")

    def __init__(self, table: Columns) -> None:
        super().__init__(len(next(iter(table.values()))), {})
        self._table = table
        self._read: dict[tuple[str, Kind], Value] = {}

    def value(self, name: str, kind: Kind) -> Value:
        if (name, kind) not in self._read:
            take = number_column if kind is Kind.NUMBER else list_column
            column = _dotted(name)
            self._read[name, kind] = take(self._table[column], f"The column {column!r}")
        return self._read[name, kind]
