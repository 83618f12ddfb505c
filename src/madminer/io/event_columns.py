"""Columns of numbers from whatever holds them, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import awkward as ak
import numpy as np

from madminer.errors import DataError, ShapeError, UnknownNameError
from madminer.expressions.columns import Lists
from madminer.io.events import describe_not_finite
from madminer.typing import FloatArray, IntArray

Columns: TypeAlias = Mapping[str, ak.Array]
"""Columns of some events by name, shape ``(n,)`` each."""

_SHOWN = 30  # names in a message; trees have thousands


def columns_of(source: ak.Array | Mapping[str, object]) -> dict[str, ak.Array]:
    """Take a source of events apart into columns.

    Args:
        source: Awkward array of records, or arrays by name.

    Returns:
        Columns of the same length by name; fields of records are ``column.field``.

    Raises:
        ShapeError: If lengths differ.
        DataError: If the source has no names, or a column is no array.
    """
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
    """Take a column as an awkward array.

    Args:
        name: Its name, for messages.
        values: Array, list, or lists of different lengths; one entry for each event.

    Returns:
        The column, shape ``(n_events,)``.

    Raises:
        DataError: If it is a single value.

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
    """Refuse names of columns that do not exist.

    Raises:
        UnknownNameError: If a column does not exist.
    """
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


def fields_of(column: ak.Array, what: str) -> dict[str, ak.Array]:
    """Take a column of records apart.

    Args:
        column: Column of records, shape ``(n,)``.
        what: What the column is, for messages.

    Returns:
        The fields by name; empty if these are no records.

    Raises:
        DataError: If records are missing (None).
    """
    _refuse_missing(column, what)
    return {name: column[name] for name in column.fields}


def with_fields(columns: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    """Columns, and the fields of those that are records, as ``column.field``."""
    fields = {
        f"{name}.{field}": column[field]
        for name, column in columns.items()
        for field in column.fields
    }
    return {**fields, **columns}


def number_column(column: ak.Array, what: str) -> FloatArray:
    """Take one real number for each event.

    Args:
        column: Column of any kind, shape ``(n,)``.
        what: What the column is, for messages.

    Returns:
        The numbers, shape ``(n,)``; they may be not-a-number.

    Raises:
        DataError: If an entry is a list, a text, missing (None) or no real number.
    """
    _refuse_missing(column, what)
    if column.ndim > 1 or column.fields:
        raise DataError(
            f"{what} must be one number for each event, got {_kind(column)}. Choose one entry of "
            f"each list, as in 'jet_pt[0] if len(jet_pt) > 0 else 0.0', or take sum(jet_pt) or "
            f"max(jet_pt)."
        )
    return _real(column, what)


def list_column(column: ak.Array, what: str) -> Lists:
    """Take a list of real numbers for each event.

    Args:
        column: Column of lists, shape ``(n, var)``.
        what: What the column is, for messages.

    Returns:
        The lists as expressions take them.

    Raises:
        DataError: If an entry is no list, or holds a text, None or no real number.
    """
    _refuse_missing(column, what)
    if column.ndim != 2 or column.fields:
        raise DataError(
            f"{what} must be a list of numbers for each event, got {_kind(column)}. Use it without "
            f"[...], len, sum, min, max or a loop."
        )
    flat = ak.flatten(column)
    _refuse_missing(flat, what)
    counts = np.asarray(ak.to_numpy(ak.num(column), allow_missing=False), dtype=np.int64)
    return Lists.from_counts(_real(flat, what), counts)


def number_table(column: ak.Array, what: str, names: Sequence[str]) -> FloatArray:
    """Take several real numbers for each event.

    Args:
        column: Column of lists, shape ``(n, len(names))``.
        what: What the column is, for messages.
        names: What each number belongs to.

    Returns:
        The numbers, shape ``(n, len(names))``.

    Raises:
        DataError: If an entry is no list, or holds a text, None or no real number.
        ShapeError: If lists are of another length.
    """
    _refuse_missing(column, what)
    if column.ndim != 2 or column.fields:
        raise DataError(
            f"{what} must be {len(names)} numbers for each event ({list(names)}), got "
            f"{_kind(column)}."
        )
    lengths = np.unique(ak.to_numpy(ak.num(column))) if len(column) else np.array([len(names)])
    if lengths.tolist() != [len(names)]:
        raise ShapeError(
            f"{what} must be {len(names)} numbers for each event, in the order {list(names)}; got "
            f"events with {' and '.join(str(n) for n in lengths[:5])}."
        )
    flat = ak.flatten(column)
    _refuse_missing(flat, what)
    return _real(flat, what).reshape(len(column), len(names))


def sampling_column(column: ak.Array, what: str, physical: Sequence[str]) -> IntArray:
    """Take the sampling benchmark of each event, given as index or name.

    Args:
        column: Indices, negative for background, or names, shape ``(n,)``.
        what: What the column is, for messages.
        physical: Names of the physical benchmarks.

    Returns:
        Indices, shape ``(n,)``.

    Raises:
        UnknownNameError: If there is no such benchmark.
        DataError: If an entry is neither a whole number nor a text.
    """
    _refuse_missing(column, what)
    if _holds_texts(column):
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


def _refuse_missing(column: ak.Array, what: str) -> None:
    n_missing = int(ak.sum(ak.is_none(column))) if column.layout.is_option else 0
    if n_missing:
        raise DataError(
            f"{what} is missing (None) in {n_missing} of {len(column)} events. Remove these "
            f"events, or fill the column, for example with ak.fill_none(column, numpy.nan) where "
            f"an observable is undefined."
        )


def _holds_texts(column: ak.Array) -> bool:
    return "string" in str(ak.type(column)) and column.ndim == 1


def _kind(column: ak.Array) -> str:
    return f"entries of type {column.type.content}"


def stacked_columns(what: str, columns: Sequence[tuple[str, ak.Array]]) -> FloatArray:
    """Take one real number for each event and column.

    Args:
        what: What the columns are, for messages.
        columns: Names and columns, shape ``(n,)`` each.

    Returns:
        The numbers, shape ``(n, n_columns)``.

    Raises:
        DataError: If an entry is a list, a text, missing (None) or no real number.
    """
    numbers = [number_column(column, f"{what}, entry {name!r},") for name, column in columns]
    return np.stack(numbers, axis=1)


def require_finite(table: FloatArray, names: Sequence[str]) -> FloatArray:
    """Refuse weights that are not finite.

    Args:
        table: Weights, shape ``(n, n_columns)``.
        names: What each column is, for messages.

    Returns:
        The weights.

    Raises:
        DataError: If a weight is not finite.
    """
    is_finite = np.isfinite(table).all(axis=1)
    if not is_finite.all():
        raise DataError(
            f"Weights must be finite; these are not in some of {len(table)} events: "
            f"{describe_not_finite(table, names)}. The first is event {np.argmin(is_finite)}. "
            f"Remove these events or repeat their reweighting."
        )
    return table
