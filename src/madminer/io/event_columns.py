"""Columns of numbers from whatever holds them: observables, and weights or their coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from madminer.errors import (
    DataError,
    MissingWeightsError,
    MorphingError,
    ShapeError,
    UnknownNameError,
)
from madminer.io.events import describe_not_finite
from madminer.models import AnalysisSetup, MorphingSetup
from madminer.morphing.components import benchmark_weights_from_coefficients
from madminer.typing import FloatArray, IntArray

__all__ = [
    "WeightColumns",
    "columns_of",
    "fields_of",
    "number_column",
    "number_table",
    "require_columns",
    "sampling_column",
    "with_fields",
]


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
        columns = {str(name): _as_awkward(name, values) for name, values in source.items()}
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


def _as_awkward(name: object, values: Any) -> ak.Array:
    if isinstance(values, ak.Array):
        return values
    try:
        array = values if np.ma.isMaskedArray(values) else np.asarray(values)
    except ValueError:  # lists of different lengths
        return ak.Array(list(values))
    if array.ndim == 0:
        raise DataError(f"The column {name!r} must have one entry for each event, got {values!r}.")
    return ak.Array(array.tolist() if array.dtype.kind in "OSU" else array)


def require_columns(names: Iterable[str], available: Iterable[str]) -> None:
    """Refuse names of columns that do not exist.

    Raises:
        UnknownNameError: If a column does not exist.
    """
    found = list(available)
    missing = [name for name in names if name not in found]
    if missing:
        raise UnknownNameError(
            f"There are no columns {missing}; the columns are {found}. Correct the names, or give "
            f"them as {{name in the setup: name of the column}}."
        )


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
            f"each list, for example with ak.firsts or array[:, 0]."
        )
    return _real(column, what)


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


Columns = Mapping[str, ak.Array]


@dataclass(frozen=True, slots=True, eq=False)
class WeightColumns:
    """Columns with the weights of events at the benchmarks of a setup.

    Args:
        setup: The setup.
        weights: Column with a record {benchmark: weight}, or with lists in the order of the
            benchmarks; or {benchmark: column}.
        coefficients: Instead, for the physical benchmarks: column with lists of coefficients in
            the order of the morphing components, or one column for each component.
        is_background: Whether a column with one weight serves for all benchmarks.

    Raises:
        MorphingError: If coefficients are given and the setup has no morphing.
        MissingWeightsError: If a benchmark has no column.
        UnknownNameError: If columns are given for benchmarks that need none.
        ShapeError: If there is not one column of coefficients for each component.
    """

    setup: AnalysisSetup
    weights: str | Mapping[str, str]
    coefficients: str | Sequence[str] | None = None
    is_background: bool = False

    def __post_init__(self) -> None:
        if self.coefficients is not None:
            n_components = self._morphing().n_components
            n_given = len(self.coefficients)
            if not isinstance(self.coefficients, str) and n_given != n_components:
                raise ShapeError(
                    f"Coefficients need one column for each of {n_components} components, got "
                    f"{n_given}: {list(self.coefficients)}."
                )
        if isinstance(self.weights, Mapping):
            self._check_names(self.weights)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks whose weights are read as weights."""
        names = list(self.setup.benchmarks)
        return names if self.coefficients is None else names[len(self.setup.physical_benchmarks) :]

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        names: list[str] = []
        if self.coefficients is not None:
            names += _listed(self.coefficients)
        if self.benchmarks:
            weights = self.weights
            names += [weights] if isinstance(weights, str) else weights.values()
        return names

    def read(self, columns: Columns) -> FloatArray:
        """Take the weights of some events.

        Args:
            columns: The columns by name, shape ``(n,)`` each.

        Returns:
            Weights in pb, shape ``(n, n_benchmarks)``.

        Raises:
            MissingWeightsError: If a benchmark has no weights.
            UnknownNameError: If there are weights of other benchmarks.
            DataError: If a column is missing in some events (None), holds no real numbers, or a
                weight is not finite.
            ShapeError: If lists have the wrong length.
        """
        if self.coefficients is None:
            return self._read_weights(columns)
        physical = self._read_coefficients(columns, self.coefficients)
        return np.hstack([physical, self._read_weights(columns)]) if self.benchmarks else physical

    def _read_weights(self, columns: Columns) -> FloatArray:
        names = self.benchmarks
        if not isinstance(self.weights, str):
            pairs = [(name, columns[self.weights[name]]) for name in names]
            return _finite(_stacked("Weights", pairs), names)
        what, column = f"The column {self.weights!r}", columns[self.weights]
        fields = fields_of(column, what)
        if fields:
            self._check_names(fields)
            return _finite(_stacked(what, [(name, fields[name]) for name in names]), names)
        if column.ndim == 1 and (self.is_background or len(names) == 1):
            weight = _finite(number_column(column, what)[:, np.newaxis], [self.weights])
            return np.repeat(weight, len(names), axis=1)
        return _finite(number_table(column, what, names), names)

    def _read_coefficients(self, columns: Columns, given: str | Sequence[str]) -> FloatArray:
        morphing = self._morphing()
        powers = [str(tuple(row)) for row in morphing.components.tolist()]
        if isinstance(given, str):
            table = number_table(columns[given], f"The column {given!r}", powers)
            _finite(table, [f"{given}{power}" for power in powers])
        else:
            table = _stacked("Coefficients", [(name, columns[name]) for name in given])
            _finite(table, given)
        thetas = self.setup.benchmark_thetas
        return benchmark_weights_from_coefficients(table, morphing.components, thetas)

    def _morphing(self) -> MorphingSetup:
        if self.setup.morphing is None:
            raise MorphingError(
                "Coefficients belong to the components of morphing, but the setup has none. Call "
                "set_morphing and save the setup, or give weights at the benchmarks."
            )
        return self.setup.morphing

    def _check_names(self, given: Mapping[str, object]) -> None:
        missing = [name for name in self.benchmarks if name not in given]
        if missing:
            raise MissingWeightsError(
                f"There are no weights for the benchmarks {missing}, only for {list(given)}. Add "
                f"them, or name the columns with weights={{benchmark: column}}."
            )
        unknown = [name for name in given if name not in self.benchmarks]
        if unknown:
            raise UnknownNameError(
                f"There are weights for {unknown}, but the benchmarks that need weights are "
                f"{self.benchmarks}. Choose the columns with weights={{benchmark: column}}, or "
                f"name the variations of nuisance parameters with nuisance_parameters=[...]."
            )


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _stacked(what: str, columns: Sequence[tuple[str, ak.Array]]) -> FloatArray:
    numbers = [number_column(column, f"{what}, entry {name!r},") for name, column in columns]
    return np.stack(numbers, axis=1)


def _finite(table: FloatArray, names: Sequence[str]) -> FloatArray:
    is_finite = np.isfinite(table).all(axis=1)
    if not is_finite.all():
        raise DataError(
            f"Weights must be finite; these are not in some of {len(table)} events: "
            f"{describe_not_finite(table, names)}. The first is event {np.argmin(is_finite)}. "
            f"Remove these events or repeat their reweighting."
        )
    return table
