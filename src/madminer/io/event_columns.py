"""Columns of numbers from whatever holds them, checked, and expressions over columns.

The grammar of expressions such as ``Jet_pt[0]`` or ``genWeight * w[2]`` is that of
`madminer.expressions`; columns stand in place of particles. A column with lists is a list of
numbers there, any other one a number. Names may have dots, such as ``Jet.pt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

import awkward as ak
import numpy as np

from madminer.checks import refusal
from madminer.errors import DataError, ExpressionError, OptionError, ShapeError, UnknownNameError
from madminer.expressions import CompiledExpression, EventNamespace, Vocabulary, compile_expression
from madminer.expressions.columns import Lists, Value
from madminer.expressions.nodes import Kind
from madminer.io.events import require_finite
from madminer.typing import FloatArray, IntArray

Columns: TypeAlias = Mapping[str, ak.Array]
"""Columns of some events by name, shape ``(n,)`` each."""

_SHOWN = 30  # names in a message; trees have thousands
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_DOT = "\N{MIDDLE DOT}"  # in place of dots in names: Python takes it for a letter
_CLOSE = 5  # names that a message proposes for one that is unknown


def columns_of(source: ak.Array | Mapping[str, object]) -> dict[str, ak.Array]:
    """Take records, or arrays by name, apart into columns of the same length by name."""
    if isinstance(source, Mapping):
        columns = {str(name): as_awkward(name, values) for name, values in source.items()}
    else:
        columns = {name: source[name] for name in source.fields}
    if not columns:
        raise DataError(
            "Events must be an awkward array of records, or a dictionary of arrays, with one field "
            "for each observable; got none."
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(
            f"All columns must have one entry for each event, got the lengths {lengths}."
        )
    return with_fields(columns)


def as_awkward(name: object, values: Any) -> ak.Array:
    """Take an array, a list, or lists of different lengths as a column.

    Examples:
        >>> as_awkward("jet_pt", [[31.0, 20.0], []]).tolist()
        [[31.0, 20.0], []]
    """
    if isinstance(values, ak.Array):
        return values
    try:
        array = values if np.ma.isMaskedArray(values) else np.asarray(values)
    except ValueError:  # lists of different lengths
        return ak.Array(list(values))
    if array.ndim == 0:
        raise DataError(f"The column {name!r} must have one entry for each event, got {values!r}.")
    if array.dtype.kind in "OSU":
        return ak.Array(array.tolist())
    return ak.Array(array.astype(array.dtype.newbyteorder("="), copy=False))


def require_columns(names: Iterable[str], available: Iterable[str]) -> None:
    """Refuse names of columns that do not exist."""
    found = list(available)
    known = set(found)
    missing = [name for name in names if name not in known]
    if missing:
        raise UnknownNameError(
            f"There are no columns {missing}; the columns are {closest(missing[0], found)}. "
            f"Correct the names, or give them as {{name in the setup: name of the column}}."
        )


def closest(name: str, names: Sequence[str]) -> str:
    """The names that there are, those first that may have been meant.

    Examples:
        >>> closest("Jet_Pt", ["met", "Jet_pt"])
        "['met', 'Jet_pt'] (did you mean 'Jet_pt'?)"
    """
    lowered = {choice.lower(): choice for choice in names}
    meant = [lowered[close] for close in get_close_matches(name.lower(), lowered, 1)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    hint = f" (did you mean {meant[0]!r}?)" if meant else ""
    return f"{list(names[:_SHOWN])}{more}{hint}"


def with_fields(columns: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    """Columns, and the fields of those that are records, as ``column.field``."""
    fields = {
        f"{name}.{field}": column[field]
        for name, column in columns.items()
        for field in column.fields
    }
    return {**fields, **columns}


def number_column(column: ak.Array, what: str) -> FloatArray:
    """Take one real number for each event, perhaps not-a-number; shape ``(n,)``.

    `what` the column is stands in messages, here and below.
    """
    refuse_missing(column, what)
    if column.ndim > 1 or column.fields:
        raise DataError(
            f"{what} must be one number for each event, got {_kind(column)}. Choose one entry of "
            f"each list, as in 'jet_pt[0] if len(jet_pt) > 0 else 0.0', or take sum(jet_pt) or "
            f"max(jet_pt)."
        )
    return _real(column, what)


def list_column(column: ak.Array, what: str) -> Lists:
    """Take a list of real numbers for each event, as expressions take them."""
    remedy = "Use it without [...], len, sum, min, max or a loop."
    values, counts = _flattened(column, what, "a list of numbers for each event", remedy)
    return Lists.from_counts(values, counts)


def number_table(column: ak.Array, what: str, names: Sequence[str]) -> FloatArray:
    """Take a list of as many real numbers as names for each event; shape ``(n, len(names))``."""
    n = len(names)
    values, counts = _flattened(column, what, f"{n} numbers for each event ({list(names)})")
    if np.any(counts != n):
        lengths = np.unique(counts)[:5].tolist()
        raise ShapeError(
            f"{what} must be {n} numbers for each event, in the order {list(names)}; got events "
            f"with {' and '.join(map(str, lengths))}."
        )
    return values.reshape(-1, n)


def _flattened(
    column: ak.Array, what: str, wanted: str, remedy: str = ""
) -> tuple[FloatArray, IntArray]:
    """Real numbers of all lists one after the other, and how many each event has."""
    refuse_missing(column, what)
    if column.ndim != 2 or column.fields:
        raise DataError(f"{what} must be {wanted}, got {_kind(column)}. {remedy}".rstrip())
    flat = ak.flatten(column)
    refuse_missing(flat, what)
    counts = np.asarray(ak.to_numpy(ak.num(column), allow_missing=False), dtype=np.int64)
    return _real(flat, what), counts


def sampling_column(column: ak.Array, what: str, physical: Sequence[str]) -> IntArray:
    """Take the index of the sampling benchmark of each event, given as index or name.

    It is negative for background; shape ``(n,)``.
    """
    refuse_missing(column, what)
    if column.ndim == 1 and "string" in str(ak.type(column)):
        return _indices(np.asarray(ak.to_list(column), dtype=str), what, physical)
    numbers = number_column(column, what)
    if np.any(numbers % 1 != 0):
        raise DataError(
            f"{what} must be the name or the index of a benchmark for each event, got numbers "
            f"that are not whole."
        )
    indices: IntArray = numbers.astype(np.int64)
    if indices.size and indices.max() >= len(physical):
        raise UnknownNameError(
            f"{what} must be below {len(physical)}, the number of physical benchmarks "
            f"{list(physical)}, or negative for background; got {indices.max()}."
        )
    return indices


def _indices(texts: Any, what: str, physical: Sequence[str]) -> IntArray:
    names, positions = np.unique(texts, return_inverse=True)
    known = {**{name: i for i, name in enumerate(physical)}, "background": -1}
    unknown = [str(name) for name in names if name not in known]
    if unknown:
        raise UnknownNameError(
            f"{what} must name one of the physical benchmarks {list(physical)}, or 'background'; "
            f"got {unknown}."
        )
    found: IntArray = np.array([known[str(name)] for name in names], dtype=np.int64)[positions]
    return found


def _real(column: ak.Array, what: str) -> FloatArray:
    if len(column) == 0:
        return np.empty(0)
    try:
        numbers = np.asarray(ak.to_numpy(column, allow_missing=False))
    except (ValueError, TypeError) as error:
        raise DataError(f"{what} must be real numbers, got {_kind(column)}.") from error
    if numbers.dtype.kind not in "biuf":
        raise DataError(f"{what} must be real numbers, got {_kind(column)}.")
    return numbers.astype(np.float64)


def refuse_missing(column: ak.Array, what: str) -> None:
    """Refuse a column that is missing (None) in some events."""
    n_missing = int(ak.sum(ak.is_none(column))) if column.layout.is_option else 0
    if n_missing:
        raise DataError(
            f"{what} is missing (None) in {n_missing} of {len(column)} events. Remove these "
            f"events, or fill the column, for example with ak.fill_none(column, numpy.nan) where "
            f"an observable is undefined."
        )


def _kind(column: ak.Array) -> str:
    return f"entries of type {column.type.content}"


def stacked_weights(what: str, names: Sequence[str], columns: Iterable[ak.Array]) -> FloatArray:
    """One finite number for each event and column, shape ``(n, n_columns)``."""
    pairs = zip(names, columns, strict=True)
    numbers = [number_column(values, f"{what}, entry {name!r},") for name, values in pairs]
    return require_finite(np.stack(numbers, axis=1), names, "Weights")


class ColumnExpressions:
    """Columns of a table, and expressions over them, compiled once for all pieces of the table.

    Args:
        terms: Names of columns, or expressions.
        available: Names of all columns of the table.

    Attributes:
        columns: Names of the columns that must be read.

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
        """Add the values of each expression by its text; not-a-number where it is undefined."""
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
