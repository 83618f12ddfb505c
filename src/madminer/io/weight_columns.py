r"""Columns with the weights of events: at the benchmarks, or as a polynomial in theta.

A polynomial comes by its coefficients or its derivatives. With the powers :math:`k_{ci}` of the
morphing components,

.. math::

    w(\theta) = \sum_c a_c \prod_i \theta_i^{k_{ci}}, \qquad
    \partial^d w(\theta_0) = \sum_c a_c \prod_i \frac{k_{ci}!}{(k_{ci} - d_i)!}\,
    \theta_{0i}^{k_{ci} - d_i},

so that as many derivatives as components give the coefficients, and these the weights at all
benchmarks, without an approximation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import perm

from madminer.checks import refusal
from madminer.errors import (
    MissingWeightsError,
    MorphingError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from madminer.io.event_columns import (
    Columns,
    closest,
    number_column,
    number_table,
    refuse_missing,
    stacked_weights,
)
from madminer.io.events import require_finite
from madminer.models import AnalysisSetup, MorphingSetup
from madminer.morphing.weights import monomials
from madminer.typing import FloatArray, IntArray

Coefficients: TypeAlias = str | Sequence[str] | Mapping[int | tuple[int, ...], str]
"""Column with lists, columns in the order of the components, or {powers: column}."""

Derivatives: TypeAlias = Mapping[str | tuple[str, ...], str]
"""{parameters by which is derived: column}; of none, ``()``, the weight itself."""


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
        """Take the weights of some events in pb, shape ``(n, n_benchmarks)``."""
        if self.polynomial is None:
            return self._read_weights(columns)
        physical = self.polynomial.read(columns)
        return np.hstack([physical, self._read_weights(columns)]) if self.benchmarks else physical

    def _read_weights(self, columns: Columns) -> FloatArray:
        names = self.benchmarks
        if not isinstance(self.weights, str):
            return stacked_weights("Weights", names, [columns[self.weights[n]] for n in names])
        what, column = f"The column {self.weights!r}", columns[self.weights]
        refuse_missing(column, what)
        if column.fields:
            self._check_names(column.fields)
            return stacked_weights(what, names, [column[name] for name in names])
        if column.ndim == 1 and (self.is_background or len(names) == 1):
            weight = number_column(column, what)[:, np.newaxis]
            require_finite(weight, [self.weights], "Weights")
            return np.repeat(weight, len(names), axis=1)
        return require_finite(number_table(column, what, names), names, "Weights")

    def _check_names(self, given: Collection[str]) -> None:
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


@dataclass(frozen=True, slots=True, eq=False)
class PolynomialColumns:
    """Columns with the polynomial of each event.

    Args:
        what: What they hold, for messages.
        given: Column with lists, or one column for each number.
        labels: What each number belongs to, shape ``(n_components,)``.
        matrix: Turns them into weights at the physical benchmarks, shape ``(n_components,
            n_benchmarks)``.
    """

    what: str
    given: str | Sequence[str]
    labels: Sequence[str]
    matrix: FloatArray

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [self.given] if isinstance(self.given, str) else list(self.given)

    def read(self, columns: Columns) -> FloatArray:
        """Take the weights of some events at the physical benchmarks in pb."""
        if isinstance(self.given, str):
            table = number_table(columns[self.given], f"The column {self.given!r}", self.labels)
            names = [f"{self.given}{label}" for label in self.labels]
            require_finite(table, names, "Weights")
        else:
            table = stacked_weights(self.what, self.given, [columns[name] for name in self.given])
        weights: FloatArray = table @ self.matrix
        return weights


def polynomial_columns(
    setup: AnalysisSetup,
    coefficients: Coefficients | None,
    derivatives: Derivatives | None,
    derivatives_at: str | int | None,
) -> PolynomialColumns | None:
    """Columns with coefficients or derivatives of the weight, None where neither is given."""
    if coefficients is not None and derivatives is not None:
        raise OptionError("Give either coefficients or derivatives of the weights, not both.")
    if (derivatives is None) != (derivatives_at is None):
        raise OptionError(
            f"derivatives and derivatives_at go together: the columns, and the benchmark at which "
            f"they are the derivatives; got {derivatives!r:.200} and {derivatives_at!r}."
        )
    if coefficients is not None:
        return _coefficient_columns(setup, coefficients)
    if derivatives is None or derivatives_at is None:
        return None
    return _derivative_columns(setup, derivatives, derivatives_at)


def _coefficient_columns(setup: AnalysisSetup, coefficients: Coefficients) -> PolynomialColumns:
    """Columns with the coefficient of each component of the morphing."""
    morphing = _morphing(setup, "Coefficients belong to the components of morphing")
    labels = [str(tuple(row)) for row in morphing.components.tolist()]
    given: str | list[str]
    if isinstance(coefficients, str):
        given = coefficients
    elif isinstance(coefficients, Mapping):
        given = _by_powers(coefficients, labels)
    elif isinstance(coefficients, Sequence):
        given = list(coefficients)
    else:
        raise refusal("coefficients", "a column, columns, or {powers: column}", coefficients)
    if not isinstance(given, str) and len(given) != len(labels):
        raise ShapeError(
            f"Coefficients need one column for each of {len(labels)} components, got "
            f"{len(given)}: {given}. The powers of the components are {', '.join(labels)}."
        )
    at_benchmarks = monomials(setup.benchmark_thetas, morphing.components).T
    return PolynomialColumns("Coefficients", given, labels, at_benchmarks)


def _derivative_columns(
    setup: AnalysisSetup, derivatives: Derivatives, benchmark: str | int
) -> PolynomialColumns:
    """Columns with derivatives of the weight at a benchmark, which determine all components."""
    if not isinstance(derivatives, Mapping):
        raise refusal("derivatives", "{parameters: column}", derivatives)
    morphing = _morphing(setup, "Derivatives give the components of morphing")
    orders = _orders(derivatives, list(setup.parameters))
    theta = setup.benchmark_thetas[setup.benchmark_index(benchmark)]
    matrix = derivatives_of_monomials(theta, morphing.components, orders)
    n_components = morphing.n_components
    if len(orders) != n_components or np.linalg.matrix_rank(matrix) < n_components:
        raise _undetermined(list(setup.parameters), morphing.components, orders)
    at_benchmarks = monomials(setup.benchmark_thetas, morphing.components).T
    to_weights = np.linalg.solve(matrix.T, at_benchmarks)
    labels = [str(key) for key in derivatives]
    return PolynomialColumns("Derivatives", list(derivatives.values()), labels, to_weights)


def derivatives_of_monomials(
    theta: FloatArray, components: IntArray, orders: IntArray
) -> FloatArray:
    r"""Derivatives :math:`\partial^d \prod_i \theta_i^{k_{ci}}`.

    Args:
        theta: Parameter point, shape ``(n_parameters,)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        orders: How often is derived by each parameter, shape ``(n_derivatives, n_parameters)``.

    Returns:
        Derivatives, shape ``(n_derivatives, n_components)``.

    Examples:
        >>> derivatives_of_monomials(np.array([3.0]), np.array([[0], [1], [2]]), np.array([[1]]))
        array([[0., 1., 6.]])
    """
    left = components - orders[:, np.newaxis, :]
    factors = perm(components, orders[:, np.newaxis, :])  # k! / (k - d)!, zero for k < d
    product: FloatArray = np.prod(factors * theta ** np.maximum(left, 0), axis=-1)
    return product


def _morphing(setup: AnalysisSetup, why: str) -> MorphingSetup:
    if setup.morphing is None:
        raise MorphingError(
            f"{why}, but the setup has none. Call set_morphing and save the setup, or give weights "
            f"at the benchmarks."
        )
    return setup.morphing


def _by_powers(coefficients: Mapping[int | tuple[int, ...], str], labels: list[str]) -> list[str]:
    """The columns in the order of the components."""
    given = {
        str(tuple(map(int, key)) if isinstance(key, tuple) else (key,)): column
        for key, column in coefficients.items()
    }
    unknown = [powers for powers in given if powers not in labels]
    if unknown:
        raise UnknownNameError(
            f"There are no components with the powers {', '.join(unknown)}; the components are "
            f"{', '.join(labels)}, one power for each parameter of the setup."
        )
    missing = [powers for powers in labels if powers not in given]
    if missing:
        raise ShapeError(
            f"Coefficients need one column for each of {len(labels)} components, but those with "
            f"the powers {', '.join(missing)} have none. Of one that vanishes, give '0'."
        )
    return [given[powers] for powers in labels]


def _orders(derivatives: Derivatives, parameters: list[str]) -> IntArray:
    """How often each parameter is derived by, shape ``(n_derivatives, n_parameters)``."""
    rows = []
    for key in derivatives:
        counts = Counter((key,) if isinstance(key, str) else tuple(key))
        unknown = [name for name in counts if name not in parameters]
        if unknown:
            raise UnknownNameError(
                f"There is no parameter {unknown[0]!r} to derive by; there are "
                f"{closest(unknown[0], parameters)}."
            )
        rows.append([counts[name] for name in parameters])
    if len({tuple(row) for row in rows}) < len(rows):
        raise OptionError(
            f"Derivatives must differ, and do not depend on the order of parameters, got "
            f"{list(derivatives)}. Leave out what is twice there."
        )
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(parameters))


def _undetermined(parameters: list[str], components: IntArray, orders: IntArray) -> MorphingError:
    def keys(rows: list[list[int]]) -> str:
        repeated = [
            tuple(p for p, n in zip(parameters, row, strict=True) for _ in range(n)) for row in rows
        ]
        return ", ".join(map(str, repeated)) or "none"

    wanted, given = components.tolist(), orders.tolist()
    return MorphingError(
        f"The weight is a polynomial with {len(wanted)} components, which takes as many "
        f"derivatives; missing are those by {keys([row for row in wanted if row not in given])}, "
        f"not needed those by {keys([row for row in given if row not in wanted])}. Give these, or "
        f"call set_morphing with a lower max_overall_power."
    )
