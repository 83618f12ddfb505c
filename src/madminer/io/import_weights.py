"""Where imported events have their weights: columns of weights, or of polynomial coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np

from madminer.errors import (
    DataError,
    MissingWeightsError,
    MorphingError,
    ShapeError,
    UnknownNameError,
)
from madminer.io.event_columns import fields_of, number_column, number_table
from madminer.io.events import describe_not_finite
from madminer.models import AnalysisSetup, MorphingSetup
from madminer.morphing.components import benchmark_weights_from_coefficients
from madminer.typing import FloatArray

__all__ = ["WeightColumns"]

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
