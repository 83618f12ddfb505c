r"""Weights of events that come as a polynomial in theta: by its coefficients or its derivatives.

With the powers :math:`k_{ci}` of the morphing components,

.. math::

    w(\theta) = \sum_c a_c \prod_i \theta_i^{k_{ci}}, \qquad
    \partial^d w(\theta_0) = \sum_c a_c \prod_i \frac{k_{ci}!}{(k_{ci} - d_i)!}\,
    \theta_{0i}^{k_{ci} - d_i},

so that as many derivatives as components give the coefficients, and these the weights at all
benchmarks, without an approximation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import perm

from madminer.checks import refusal
from madminer.errors import MorphingError, OptionError, ShapeError, UnknownNameError
from madminer.io.event_columns import (
    Columns,
    closest,
    number_table,
    require_finite,
    stacked_columns,
)
from madminer.models import AnalysisSetup, MorphingSetup
from madminer.morphing.weights import monomials
from madminer.typing import FloatArray, IntArray

Coefficients: TypeAlias = str | Sequence[str] | Mapping[int | tuple[int, ...], str]
"""Column with lists, columns in the order of the components, or {powers: column}."""

Derivatives: TypeAlias = Mapping[str | tuple[str, ...], str]
"""{parameters by which is derived: column}; of none, ``()``, the weight itself."""


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
        """Take the weights of some events.

        Args:
            columns: The columns by name, shape ``(n,)`` each.

        Returns:
            Weights at the physical benchmarks in pb, shape ``(n, n_benchmarks)``.

        Raises:
            DataError: If a number is missing (None), no real number or not finite.
            ShapeError: If lists have the wrong length.
        """
        if isinstance(self.given, str):
            table = number_table(columns[self.given], f"The column {self.given!r}", self.labels)
            names = [f"{self.given}{label}" for label in self.labels]
        else:
            names = list(self.given)
            table = stacked_columns(self.what, [(name, columns[name]) for name in names])
        weights: FloatArray = require_finite(table, names) @ self.matrix
        return weights


def coefficient_columns(setup: AnalysisSetup, coefficients: Coefficients) -> PolynomialColumns:
    """Columns with the coefficient of each component.

    Args:
        setup: Setup with morphing.
        coefficients: Column with lists in the order of the components, one column for each, or
            {powers of the parameters: column}.

    Returns:
        The columns.

    Raises:
        MorphingError: If the setup has no morphing.
        ShapeError: If there is not one column for each component.
        UnknownNameError: If there is no such component.
        OptionError: If it is something else.
    """
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


def derivative_columns(
    setup: AnalysisSetup, derivatives: Derivatives, benchmark: str | int
) -> PolynomialColumns:
    """Columns with derivatives of the weight at a benchmark.

    Args:
        setup: Setup with morphing.
        derivatives: {parameters by which is derived: column}: ``()`` is the weight, ``"c"`` its
            first and ``("c", "c")`` its second derivative.
        benchmark: Name or index of the benchmark.

    Returns:
        The columns.

    Raises:
        MorphingError: If the setup has no morphing, or the derivatives do not determine its
            components.
        UnknownNameError: If there is no such parameter or benchmark.
        OptionError: If two of them are the same, or it is no dictionary.
    """
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
