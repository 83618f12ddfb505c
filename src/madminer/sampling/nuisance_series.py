r"""Series: sums over events at very many values of the nuisance parameters.

Events of one class have responses within a box of centre :math:`\bar c` and half-widths h, so that
with :math:`z = (\nu, \nu^2)` and :math:`d_i = c_i - \bar c`

.. math::

    \sum_i w_{ib} f_i(\nu) = e^{\bar c \cdot z} \sum_{\alpha} \frac{(h z)^\alpha}{\alpha!}
        \sum_i w_{ib} \Bigl(\frac{d_i}{h}\Bigr)^\alpha, \qquad |d_i \cdot z| \le U = h \cdot |z|

The sums over events are moments, calculated once for all nu. The series is cut where its remainder,
at most :math:`e^{2U} U^K / K!` for powers below K, is rounding. A response that is the same for all
events, as that to a norm systematic, needs no terms at all. Where a class is so wide or so small
that a pass over its events at each nu is cheaper, there is no series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import factorial

from madminer.analysis.response import event_responses
from madminer.sampling.table import ResponseBounds, WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = ["ClassSeries", "class_series"]

_REMAINDER = 1e-11
_MAX_DEGREE = 30
_MAX_TERMS = 10_000
_NUMBERS = 1 << 20  # powers of events calculated at once

# Times in ns for one event: each nu in a pass, each term of the series and each of its weights.
_NU_COST, _TERM_COST, _MOMENT_COST = 8.0, 2.0, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class _Powers:
    """Multi-indices of a series, by rising degree.

    Args:
        exponents: Powers, shape ``(n_terms, n_variables)``.
        parents: Term of one power less that each is made of, shape ``(n_terms,)``.
        variables: Variable that it is multiplied with, shape ``(n_terms,)``.
        edges: First term of each degree, and the number of terms, shape ``(degree + 2,)``.
    """

    exponents: IntArray
    parents: IntArray
    variables: IntArray
    edges: IntArray

    @classmethod
    def up_to(cls, degree: int, n_variables: int) -> _Powers:
        exponents, parents, variables, edges = [(0,) * n_variables], [0], [0], [0, 1]
        for _ in range(degree if n_variables else 0):
            for term in range(edges[-2], edges[-1]):
                last = max((k for k, power in enumerate(exponents[term]) if power), default=0)
                for k in range(last, n_variables):
                    raised = list(exponents[term])
                    raised[k] += 1
                    exponents.append(tuple(raised))
                    parents.append(term)
                    variables.append(k)
            edges.append(len(exponents))
        shape = (len(exponents), n_variables)
        return cls(
            np.array(exponents, dtype=np.int64).reshape(shape),
            np.array(parents),
            np.array(variables),
            np.array(edges),
        )

    def of(self, values: FloatArray) -> FloatArray:
        """Products of powers: ``(n_variables, n)`` to ``(n_terms, n)``."""
        products = np.empty((len(self.exponents), values.shape[1]))
        products[0] = 1.0
        for low, high in zip(self.edges[1:-1], self.edges[2:], strict=True):
            some = slice(low, high)
            products[some] = products[self.parents[some]] * values[self.variables[some]]
        return products

    def lowered(self, variable: int) -> tuple[IntArray, IntArray]:
        """Terms that contain a variable, and those with one power of it less."""
        index = {tuple(row): i for i, row in enumerate(self.exponents.tolist())}
        terms = np.flatnonzero(self.exponents[:, variable])
        rows = self.exponents[terms]
        rows[:, variable] -= 1
        return terms, np.array([index[tuple(row)] for row in rows.tolist()], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ClassSeries:
    """Series of one class of events.

    Args:
        linear: Linear coefficients at the centre of the class, shape ``(v,)``.
        quadratic: Quadratic coefficients there, shape ``(v,)``.
        variables: Which of nu and nu^2 the terms contain, shape ``(n_variables,)``.
        widths: Half-widths of the class in these, shape ``(n_variables,)``.
        powers: Terms of the series.
        moments: Sums over the events, divided by the factorials, shape
            ``(n_terms, n_benchmarks)``.
    """

    linear: FloatArray
    quadratic: FloatArray
    variables: IntArray
    widths: FloatArray
    powers: _Powers
    moments: FloatArray

    def sums(self, nus: FloatArray) -> FloatArray:
        """Sums of the weights, ``(K, v)`` to ``(K, n_benchmarks)``."""
        total: FloatArray = self.powers.of(self._scaled(nus)).T @ self.moments
        return self._factors(nus) * total

    def slopes(self, nus: FloatArray) -> FloatArray:
        """Derivatives of the sums by nu, ``(K, v)`` to ``(K, v, n_benchmarks)``."""
        n_nus, v = nus.shape
        products, sums = self.powers.of(self._scaled(nus)), self.sums(nus)
        slopes = (self.linear + 2.0 * self.quadratic * nus)[:, :, np.newaxis] * sums[:, np.newaxis]
        for k, (variable, width) in enumerate(zip(self.variables, self.widths, strict=True)):
            terms, lower = self.powers.lowered(k)
            raised = self.powers.exponents[terms, k][:, np.newaxis] * self.moments[terms]
            j, is_square = variable % v, variable >= v
            inner = 2.0 * nus[:, j] if is_square else np.ones(n_nus)
            found = products[lower].T @ raised
            slopes[:, j] += self._factors(nus) * (width * inner)[:, np.newaxis] * found
        return slopes

    def _scaled(self, nus: FloatArray) -> FloatArray:
        return (np.hstack([nus, nus**2])[:, self.variables] * self.widths).T

    def _factors(self, nus: FloatArray) -> FloatArray:
        factors: FloatArray = np.exp(nus @ self.linear + nus**2 @ self.quadratic)[:, np.newaxis]
        return factors


def class_series(table: WeightTable, nus: FloatArray) -> list[ClassSeries | None]:
    """Find the series of the classes of a table.

    Args:
        table: Table with `refined` groups.
        nus: All values of the nuisance parameters that will be needed, shape ``(K, v)``.

    Returns:
        The series of each group; None where a pass over its events is cheaper.
    """
    if table.bounds is None or table.model.varying:
        return [None] * table.n_groups
    return [_series(table, table.bounds, group, nus) for group in range(table.n_groups)]


def _series(
    table: WeightTable, bounds: ResponseBounds, group: int, nus: FloatArray
) -> ClassSeries | None:
    events = slice(table.edges[group], table.edges[group + 1])
    linear, linear_width = _middle(bounds.low[group], bounds.high[group])
    quadratic, quadratic_width = _middle(bounds.quadratic_low[group], bounds.quadratic_high[group])
    widths = np.append(linear_width, quadratic_width)
    variables = np.flatnonzero(widths > 0.0)
    largest = float((np.hstack([np.abs(nus), nus**2]) @ widths).max())
    degree = _degree(largest) if len(variables) else 0
    n_terms = math.comb(len(variables) + degree, degree)
    pass_cost = _NU_COST * len(nus)
    cost = (_TERM_COST + _MOMENT_COST * table.weights.shape[1]) * n_terms
    if degree > _MAX_DEGREE or n_terms > _MAX_TERMS or cost > pass_cost:
        return None
    powers = _Powers.up_to(degree, len(variables))
    moments = np.zeros((len(powers.exponents), table.weights.shape[1]))
    step = max(_NUMBERS // len(moments), 1)
    for start in range(events.start, events.stop, step):
        weights = table.weights[start : min(start + step, events.stop)]
        responses = event_responses(table.model, weights)
        deviations = np.hstack([responses.a - linear, responses.b - quadratic])[:, variables]
        moments += powers.of((deviations / widths[variables]).T) @ weights
    moments /= factorial(powers.exponents).prod(axis=1, keepdims=True)
    return ClassSeries(linear, quadratic, variables, widths[variables], powers, moments)


def _middle(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centres and half-widths of ranges; widths that are rounding are zero."""
    middle, width = 0.5 * (low + high), 0.5 * (high - low)
    return middle, np.where(width > 1e-13, width, 0.0)


def _degree(largest: float) -> int:
    """Smallest degree with which sums and their derivatives have a remainder of rounding."""
    degree, remainder = 0, math.exp(2.0 * min(largest, 100.0))
    while remainder > _REMAINDER and degree <= _MAX_DEGREE:
        degree += 1
        remainder *= largest / degree
    return degree
