"""Columns with the weights of events at the benchmarks of a setup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from madminer.errors import MissingWeightsError, UnknownNameError
from madminer.io.event_columns import (
    Columns,
    fields_of,
    number_column,
    number_table,
    require_finite,
    stacked_columns,
)
from madminer.io.weight_polynomials import PolynomialColumns
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class WeightColumns:
    """Columns with the weights of events at the benchmarks of a setup.

    Args:
        setup: The setup.
        weights: Column with a record {benchmark: weight}, or with lists in the order of the
            benchmarks; or {benchmark: column}.
        polynomial: Instead, for the physical benchmarks, columns with coefficients or derivatives.
        is_background: Whether a column with one weight serves for all benchmarks.

    Raises:
        MissingWeightsError: If a benchmark has no column.
        UnknownNameError: If columns are given for benchmarks that need none.
    """

    setup: AnalysisSetup
    weights: str | Mapping[str, str]
    polynomial: PolynomialColumns | None = None
    is_background: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):
            self._check_names(self.weights)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks whose weights are read as weights."""
        names = list(self.setup.benchmarks)
        return names if self.polynomial is None else names[len(self.setup.physical_benchmarks) :]

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        names = [] if self.polynomial is None else self.polynomial.columns
        if self.benchmarks:
            weights = self.weights
            names = [*names, *([weights] if isinstance(weights, str) else weights.values())]
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
        if self.polynomial is None:
            return self._read_weights(columns)
        physical = self.polynomial.read(columns)
        return np.hstack([physical, self._read_weights(columns)]) if self.benchmarks else physical

    def _read_weights(self, columns: Columns) -> FloatArray:
        names = self.benchmarks
        if not isinstance(self.weights, str):
            pairs = [(name, columns[self.weights[name]]) for name in names]
            return require_finite(stacked_columns("Weights", pairs), names)
        what, column = f"The column {self.weights!r}", columns[self.weights]
        fields = fields_of(column, what)
        if fields:
            self._check_names(fields)
            pairs = [(name, fields[name]) for name in names]
            return require_finite(stacked_columns(what, pairs), names)
        if column.ndim == 1 and (self.is_background or len(names) == 1):
            weight = require_finite(number_column(column, what)[:, np.newaxis], [self.weights])
            return np.repeat(weight, len(names), axis=1)
        return require_finite(number_table(column, what, names), names)

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
