r"""Expected cross sections of the cells of a histogram, at any theta and nu, with gradients.

A cell k is a bin, or all events. With the sums :math:`S_{kb}` of the event weights at the
benchmarks b,

.. math::

    \sigma_k(\theta, \nu) = \sum_b W_b(\theta)\, S_{kb}(\nu)

and the response to nuisance parameters is either that of the cell, as templates at
:math:`\nu = 0, \pm 1` give it (`MorphedCells`), or that of each event (`EventCells`). The former
costs nothing per event, the latter is exact where the response varies within a cell.

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 2 (morphing); Brehmer et al.,
    *MadMiner*, arXiv:1907.10621, Sec. 2 (nuisance parameters).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from madminer.analysis.response import EventResponse, every_pair, one_each, response_model
from madminer.analysis.sums import accumulate_nuisance_sums, distinct_points
from madminer.analysis.weights import ParameterPoints
from madminer.errors import ShapeError
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray

__all__ = ["DrawnCells", "EventCells", "MorphedCells", "Yields"]


class Yields(Protocol):
    """Cross sections of cells.

    Attributes:
        n_cells: Number of cells.
    """

    @property
    def n_cells(self) -> int:
        """Number K of cells."""
        ...

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections and gradients.

        Args:
            points: Parameter points.
            datasets: Number of the data set of each point, where each has cells of its own.

        Returns:
            Cross sections in pb, shape ``(n, K)``, and their gradients by theta and nu, shape
            ``(n, K, p + v)``; those by theta are NaN where they are not known.
        """
        ...


@dataclass(frozen=True, eq=False)
class MorphedCells:
    """Cells whose response to nuisance parameters is that of their summed weights.

    Args:
        setup: Setup of the analysis.
        sums: Sums of the weights at all benchmarks in pb, shape ``(n_datasets, K, b)``, or
            ``(1, K, b)`` if all data sets have the same cells.
    """

    setup: AnalysisSetup
    sums: FloatArray
    _response: EventResponse = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or self.sums.shape[2] != len(self.setup.benchmarks):
            raise ShapeError(
                f"Sums must have shape (n_datasets, n_cells, {len(self.setup.benchmarks)}), got "
                f"{self.sums.shape}."
            )
        rows = self.sums.reshape(-1, self.sums.shape[2])
        response = EventResponse.of(response_model(self.setup), rows)
        object.__setattr__(self, "_response", response)

    @property
    def n_cells(self) -> int:
        """Number K of cells."""
        return int(self.sums.shape[1])

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections and gradients, see `Yields`."""
        n, cells, p = len(points), self.n_cells, self.setup.n_parameters
        if len(self.sums) == 1:
            form, each, response = every_pair, points, self._response
        else:  # every point has rows of its own
            form, each = one_each, points.take(np.repeat(np.arange(n), cells))
            rows = datasets[:, np.newaxis] * cells + np.arange(cells)
            response = self._response.take(rows.reshape(-1))
        nominal = form(each.coefficients, response.weights).reshape(n, cells)
        factors = response.factors(each, form).reshape(n, cells)
        gradients = np.zeros((n, cells, p + points.nus.shape[1]))
        sums = self.sums if len(self.sums) == 1 else self.sums[datasets]
        gradients[..., :p] = _by_theta(points, sums) * factors[..., np.newaxis]
        sigma = nominal * factors
        for j, slope in enumerate(response.slopes(each, form)):
            if slope is not None:
                gradients[..., j] += sigma * slope.reshape(n, cells)
        return sigma, gradients


class EventCells:
    """Cells whose response to nuisance parameters is that of each of their events.

    Args:
        setup: Setup of the analysis.
        weights: Weights of events at all benchmarks in pb, shape ``(n, b)``.
        cells: Cell of each event, shape ``(n,)``.
        n_cells: Number K of cells.
    """

    def __init__(
        self, setup: AnalysisSetup, weights: FloatArray, cells: IntArray, n_cells: int
    ) -> None:
        order = np.argsort(cells, kind="stable")
        self.setup = setup
        self._n_cells = n_cells
        self._cells = cells[order]
        self._model = response_model(setup)
        self._response = EventResponse.of(self._model, weights[order])

    @property
    def n_cells(self) -> int:
        """Number K of cells."""
        return self._n_cells

    def expand(
        self,
        points: ParameterPoints,
        datasets: IntArray,  # noqa: ARG002 (all data sets have the same cells)
    ) -> tuple[FloatArray, FloatArray]:
        """Cross sections and gradients, see `Yields`."""
        distinct, which = distinct_points(self._model, points)
        sums = accumulate_nuisance_sums(
            [(self._response, self._cells)],
            self._model,
            points.take(distinct),
            self._n_cells,
            with_slopes=points.has_gradients or not self._model.varying,
        )
        first = sums.first[which]
        coefficients = points.coefficients[:, : first.shape[-1]]
        sigma = np.einsum("nb,nkb->nk", coefficients, first)
        p = self.setup.n_parameters
        gradients = np.zeros((*sigma.shape, p + points.nus.shape[1]))
        gradients[..., :p] = _by_theta(points, first)
        if sums.slopes is not None:
            gradients += np.einsum("nkjb,nb->nkj", sums.slopes[which], coefficients)
        return sigma, gradients


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """Cells filled with a finite number of unweighted events, drawn again at each call.

    Drawing events in proportion to their weights and filling a histogram is drawing the contents
    of its bins from a multinomial distribution.

    Args:
        cells: The cells that events are drawn from.
        n_events: Number of events.
        rng: Source of randomness.
    """

    cells: Yields
    n_events: int
    rng: np.random.Generator

    @property
    def n_cells(self) -> int:
        """Number K of cells."""
        return self.cells.n_cells

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections at random; their gradients are unknown, hence NaN."""
        sigma, gradients = self.cells.expand(points, datasets)
        total = sigma.sum(axis=1, keepdims=True)
        positive = np.maximum(sigma, 0.0)
        sums = positive.sum(axis=1, keepdims=True)
        shares = positive / np.where(sums > 0.0, sums, 1.0)
        drawn = self.rng.multinomial(self.n_events, shares)
        return total * drawn / self.n_events, np.full_like(gradients, np.nan)


def _by_theta(points: ParameterPoints, sums: FloatArray) -> FloatArray:
    """Gradients by theta at nu = 0, shape ``(n, K, p)``; sums ``(n or 1, K, b)``."""
    if not points.has_gradients:
        return np.full((len(points), sums.shape[1], points.setup.n_parameters), np.nan)
    slopes = points.gradients[..., : sums.shape[2]]
    if len(sums) == 1:
        gradients: FloatArray = np.moveaxis(slopes @ sums[0].T, 1, 2)
        return gradients
    by_theta: FloatArray = np.einsum("npb,nkb->nkp", slopes, sums)
    return by_theta
