r"""Likelihood of events whose latent variables are known: the best that any analysis can do.

.. math::

    -\sum_i w_i \log \frac{w_i(\theta, \nu) / \sigma(\theta, \nu)}
    {w_i(\theta_\mathrm{true}) / \sigma(\theta_\mathrm{true})}

with the weights of the events themselves, normalised to the same events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import ParameterPoints
from madminer.blocks import row_blocks
from madminer.errors import DataError, NotAvailableError
from madminer.likelihood.base import EventPool
from madminer.likelihood.terms import ResponseShape, Term
from madminer.likelihood.yields import EventCells
from madminer.stats.minimize import Expansion
from madminer.typing import FloatArray, IntArray

_CELLS = 1 << 21  # weights of pairs of point and event that are held at once

_MOST_LOST = 0.5  # of the probability of the events, beyond which nothing can be said


@dataclass(frozen=True, slots=True, eq=False)
class TruthShape(Term):
    """Exact densities of events in all that was generated, at nu = 0.

    Args:
        event_weights: Weights of the events at all benchmarks in pb, shape ``(n, b)``.
        weights: Weights that count the events, proportional to those at the truth, shape ``(n,)``.
    """

    event_weights: FloatArray
    weights: FloatArray

    name: ClassVar[str] = "shape"

    @property
    def depends_on_nu(self) -> bool:
        """Nuisance parameters have a term of their own."""
        return False

    def expand(self, points: ParameterPoints, datasets: IntArray) -> Expansion:  # noqa: ARG002
        """See `Term`."""
        n, p = len(points), points.setup.n_parameters
        value, gradient = np.zeros(n), np.zeros((n, p))
        curvature = np.zeros((n, p, p))
        sums = self.event_weights.sum(axis=0)
        total, by_total = points.coefficients @ sums, points.gradients @ sums
        for events in row_blocks(len(self.weights), max(1, _CELLS // (n * (p + 1)))):
            rows, w = self.event_weights[events], self.weights[events]
            at_point = points.coefficients @ rows.T
            log_f = self._log_ratio(at_point, total, events)
            with np.errstate(divide="ignore", invalid="ignore"):
                score = np.einsum("npb,eb->nep", points.gradients, rows) / at_point[..., np.newaxis]
            score = score - (by_total / total[:, np.newaxis])[:, np.newaxis]
            used = np.isfinite(log_f).all(axis=0)
            value -= log_f[:, used] @ w[used]
            gradient -= np.einsum("nep,e->np", score[:, used], w[used])
            curvature += np.einsum("nep,neq,e->npq", score[:, used], score[:, used], w[used])
        return _with_nuisances(Expansion(value, gradient, curvature), points.nus.shape[1])

    def scan(self, points: ParameterPoints) -> FloatArray:
        """See `Term`."""
        return self.values(points, np.zeros(len(points), dtype=np.int64))[np.newaxis]

    def values(self, points: ParameterPoints, datasets: IntArray) -> FloatArray:  # noqa: ARG002
        """The values alone, shape ``(n,)``.

        Raises:
            DataError: If most events have a weight that is not positive at some point.
        """
        value, lost = np.zeros(len(points)), 0.0
        total = points.coefficients @ self.event_weights.sum(axis=0)
        for events in row_blocks(len(self.weights), max(1, _CELLS // len(points))):
            w = self.weights[events]
            at_point = points.coefficients @ self.event_weights[events].T
            log_f = self._log_ratio(at_point, total, events)
            used = np.isfinite(log_f).all(axis=0)
            lost += float(np.abs(w[~used]).sum())
            value -= log_f[:, used] @ w[used]
        share = lost / float(np.abs(self.weights).sum())
        if share > _MOST_LOST:
            raise DataError(
                f"The log ratio is not finite for {100 * share:.3g} % of the expected events: "
                "their weights are not positive at some grid points. Choose a smaller grid."
            )
        return value

    def _log_ratio(self, at_point: FloatArray, total: FloatArray, events: slice) -> FloatArray:
        """Log ratios of densities to those at the truth, whose weights count the events."""
        at_truth = self.weights[events] / self.weights.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio: FloatArray = np.log(at_point / total[:, np.newaxis] / at_truth)
        return log_ratio


def truth_terms(pool: EventPool, weights: FloatArray) -> list[Term]:
    """The terms of events that are known completely.

    Args:
        pool: The events.
        weights: Weights that count them, shape ``(n,)``.

    Raises:
        NotAvailableError: If the response to nuisance parameters depends on theta.
    """
    terms: list[Term] = [TruthShape(pool.weights, weights)]
    if not pool.setup.n_nuisance_parameters:
        return terms
    model = response_model(pool.setup)
    if model.varying:
        raise NotAvailableError(
            "The truth is known only where the response to nuisance parameters does not depend on "
            "theta; use include_nuisance_parameters=False, or a histogram."
        )
    response = EventResponse.of(model, pool.weights)
    cells = EventCells(pool.setup, pool.weights, np.zeros(len(pool), dtype=np.int64), 1)
    terms.append(ResponseShape.of(cells, response.a, response.b, weights))
    return terms


def _with_nuisances(expansion: Expansion, n: int) -> Expansion:
    """The same as a function of nuisance parameters on which it does not depend."""
    return Expansion(
        expansion.value,
        np.pad(expansion.gradient, ((0, 0), (0, n))),
        np.pad(expansion.curvature, ((0, 0), (0, n), (0, n))),
    )
