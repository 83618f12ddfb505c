r"""Expected cross sections of the cells of a histogram, at any theta and nu, with gradients.

A cell k is a bin, or all events. With the sums :math:`S_{kb}` of the event weights at the
benchmarks b,

.. math::

    \sigma_k(\theta, \nu) = \sum_b W_b(\theta)\, S_{kb}(\nu)

and the response to nuisance parameters is either that of the cell, as templates at
:math:`\nu = 0, \pm 1` give it (`MorphedCells`), or that of each event (`EventCells`). The former
costs nothing per event, the latter is exact between and beyond these values too.

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 2 (morphing); Brehmer et al.,
    *MadMiner*, arXiv:1907.10621, Sec. 2 (nuisance parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.sums import accumulate_nuisance_sums, distinct_points
from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.errors import DataError, ShapeError
from madminer.models import AnalysisSetup
from madminer.morphing.nuisance import MAX_RESPONSE
from madminer.typing import FloatArray, IntArray

LARGEST_LOG = 600.0
"""Logarithm of the largest response that numbers can hold."""


class Yields(Protocol):
    """Cross sections of K cells."""

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
    r"""Cells whose response to nuisance parameters is that of their sums at :math:`\nu = 0, \pm 1`.

    .. math::

        \sigma_k(\theta, \nu) = \sigma_k(\theta) \exp \sum_j (a_{kj} \nu_j + b_{kj} \nu_j^2), \qquad
        a_{kj} = \tfrac12 \log \frac{\sigma_{kj}^+}{\sigma_{kj}^-}, \quad
        b_{kj} = \tfrac12 \log \frac{\sigma_{kj}^+ \sigma_{kj}^-}{\sigma_k^2}

    where :math:`\sigma_{kj}^\pm(\theta)` is morphed from the varied sums at the benchmarks, hence
    exact at each theta; or, where only sums of weights are known, is :math:`\sigma_k(\theta)` times
    the response at the reference benchmark. Undefined responses, of cells that are not positive at
    theta, count as none.

    Args:
        setup: Setup of the analysis.
        sums: Sums of the weights at all benchmarks in pb, shape ``(n_datasets, K, b)``, or
            ``(1, K, b)`` if all data sets have the same cells.
        varied: Sums of the weights at the physical benchmarks at nu = +1 and at -1 of each nuisance
            parameter, shape ``(2, n_datasets, v, K, n_physical)``; None for the response of the
            reference benchmark.
    """

    setup: AnalysisSetup
    sums: FloatArray
    varied: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or self.sums.shape[2] != len(self.setup.benchmarks):
            raise ShapeError(
                f"Sums must have shape (n_datasets, n_cells, {len(self.setup.benchmarks)}), got "
                f"{self.sums.shape}."
            )
        if self.varied is None:
            # all benchmarks respond as those at the reference do
            n_datasets, n_cells, b = self.sums.shape
            varied = varied_weights(self.setup, self.sums.reshape(-1, b))
            columns = varied.reshape(n_datasets, n_cells, -1)
            object.__setattr__(self, "varied", _by_side(self.setup, columns))

    @classmethod
    def of_events(
        cls,
        setup: AnalysisSetup,
        weights: FloatArray,
        cells: IntArray,
        n_cells: int,
        varied: FloatArray | None = None,
    ) -> MorphedCells:
        """Cells of events with weights ``(n, b)`` at all benchmarks, the cell of each ``(n,)``.

        `varied` are their `varied_weights`, if known.
        """
        from scipy.sparse import csr_array  # takes a tenth of a second

        n = len(weights)
        columns = np.hstack([weights, varied_weights(setup, weights) if varied is None else varied])
        membership = csr_array((np.ones(n), (cells, np.arange(n))), shape=(n_cells, n))
        sums = np.asarray(membership @ columns)[np.newaxis]
        b = weights.shape[1]
        return cls(setup, sums[..., :b], _by_side(setup, sums[..., b:]))

    @classmethod
    def joined(cls, parts: Sequence[MorphedCells]) -> MorphedCells:
        """Cells of several data sets; where some have fewer, empty ones are added."""
        largest = max(part.n_cells for part in parts)

        def padded(values: FloatArray) -> FloatArray:
            missing = [(0, 0)] * values.ndim
            missing[-2] = (0, largest - values.shape[-2])
            return np.pad(values, missing)

        varied = [padded(part.varied) for part in parts if part.varied is not None]
        sums = np.concatenate([padded(part.sums) for part in parts])
        return cls(parts[0].setup, sums, np.concatenate(varied, axis=1))

    @property
    def n_cells(self) -> int:
        """Number K of cells."""
        return int(self.sums.shape[1])

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections and gradients, see `Yields`."""
        p, v = self.setup.n_parameters, points.nus.shape[1]
        which = np.zeros(len(points), dtype=np.int64) if len(self.sums) == 1 else datasets
        n_physical = len(self.setup.physical_benchmarks)
        known = points.has_gradients
        forms = points.coefficients[:, np.newaxis, :n_physical]
        if known:  # one more form for each theta: the gradient
            forms = np.concatenate([forms, points.gradients[..., :n_physical]], axis=1)
        nominal = _contracted(forms, self.sums[..., :n_physical], which)
        logs, slopes = _logarithm(nominal)
        log_factor, by_theta = np.zeros_like(logs), slopes
        by_nu = np.zeros((*logs.shape, v))
        up, down = np.empty((2, 0)) if self.varied is None else self.varied
        for j, nu in enumerate(points.nus.T[:, :, np.newaxis]):
            above, slope_above = _logarithm(_contracted(forms, up[:, j], which))
            below, slope_below = _logarithm(_contracted(forms, down[:, j], which))
            a, b = 0.5 * (above - below), 0.5 * (above + below) - logs
            defined = np.isfinite(a) & np.isfinite(b)
            a = np.clip(np.where(defined, a, 0.0), -MAX_RESPONSE, MAX_RESPONSE)
            b = np.clip(np.where(defined, b, 0.0), -MAX_RESPONSE, MAX_RESPONSE)
            free = (defined & (np.abs(a) < MAX_RESPONSE) & (np.abs(b) < MAX_RESPONSE))[..., None]
            log_factor += a * nu + b * nu**2
            by_nu[..., j] = a + 2.0 * b * nu
            step = 0.5 * (slope_above - slope_below) * nu[..., None]
            step = step + (0.5 * (slope_above + slope_below) - slopes) * nu[..., None] ** 2
            by_theta = by_theta + np.where(free, step, 0.0)
        _check_size(log_factor, points)
        sigma = nominal[:, 0] * np.exp(log_factor)
        gradients = np.full((*sigma.shape, p + v), np.nan)
        if known:
            direct = np.moveaxis(nominal[:, 1:], 1, 2) * np.exp(log_factor)[..., np.newaxis]
            is_positive = (nominal[:, 0] > 0.0)[..., np.newaxis]
            gradients[..., :p] = np.where(is_positive, sigma[..., np.newaxis] * by_theta, direct)
        gradients[..., p:] = sigma[..., np.newaxis] * by_nu
        return sigma, gradients


def varied_weights(setup: AnalysisSetup, weights: FloatArray) -> FloatArray:
    """Weights of events at the physical benchmarks at nu = +1, then -1, of each nuisance parameter.

    From weights ``(n, b)`` at all benchmarks, shape ``(n, 2 v n_physical)``.
    """
    v, physical = setup.n_nuisance_parameters, list(setup.physical_benchmarks)
    if not v:
        return np.empty((len(weights), 0))
    response = EventResponse.of(response_model(setup), weights)
    parts = []
    for nu in np.vstack([np.eye(v), -np.eye(v)]):
        points = parameter_points(setup, physical, [nu] * len(physical))
        at_points = points if response.model.varying else points.take(np.zeros(1, dtype=np.int64))
        parts.append(weights[:, : len(physical)] * response.factors(at_points).T)
    return np.hstack(parts)


def _by_side(setup: AnalysisSetup, varied: FloatArray) -> FloatArray:
    """Sums of `varied_weights`, ``(D, K, 2 v n_physical)``, as ``(2, D, v, K, n_physical)``."""
    shape = 2, setup.n_nuisance_parameters, len(setup.physical_benchmarks)
    return np.moveaxis(varied.reshape(*varied.shape[:2], *shape), (2, 3), (0, 2))


def _contracted(forms: FloatArray, sums: FloatArray, which: IntArray) -> FloatArray:
    """Linear forms ``(n, f, b)`` of the sums ``(D, K, b)`` of their data sets, ``(n, f, K)``."""
    if len(sums) == 1:
        shared: FloatArray = forms @ sums[0].T
        return shared
    own: FloatArray = np.matmul(forms, np.swapaxes(sums[which], 1, 2))
    return own


def _logarithm(forms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logarithm of the first form ``(n, K)``, and its gradient ``(n, K, p)`` from the others.

    NaN and zero where the form is not positive.
    """
    value = forms[:, 0]
    is_positive = value > 0.0
    safe = np.where(is_positive, value, 1.0)
    gradient = np.moveaxis(forms[:, 1:], 1, 2) / safe[..., np.newaxis]
    logs: FloatArray = np.where(is_positive, np.log(safe), np.nan)
    return logs, np.where(is_positive[..., np.newaxis], gradient, 0.0)


def _check_size(log_factor: FloatArray, points: ParameterPoints) -> None:
    if not np.max(log_factor, initial=0.0) < LARGEST_LOG:
        raise DataError(
            f"Cross sections grow beyond all numbers at nuisance parameters as large as "
            f"{np.abs(points.nus).max():.3g}. They are in units of standard deviations: stay "
            "within a few of them."
        )


class EventCells:
    """Cells whose response to nuisance parameters is that of each of their events.

    Args:
        setup: Setup of the analysis.
        weights: Weights of events at all benchmarks in pb, shape ``(n, b)``.
        cells: Cell of each event, shape ``(n,)``.
        n_cells: Number K of cells.
        response: Response of the events to nuisance parameters; None for that of their weights.
    """

    def __init__(
        self,
        setup: AnalysisSetup,
        weights: FloatArray,
        cells: IntArray,
        n_cells: int,
        response: EventResponse | None = None,
    ) -> None:
        order = np.argsort(cells, kind="stable")
        self.setup = setup
        self.n_cells = n_cells
        self._cells = cells[order]
        known = EventResponse.of(response_model(setup), weights) if response is None else response
        self._model = known.model
        self._response = known.take(order)

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
            self.n_cells,
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
    """Cells filled with a finite number of unweighted events, drawn at each call.

    Drawing events in proportion to their weights and filling a histogram is drawing the contents
    of its bins from a multinomial distribution.

    Args:
        cells: The cells that events are drawn from.
        n_events: Number of events.
        source: Source of randomness; a seed gives the same draws at each call, so that histograms
            that are shown are those that were used.
    """

    cells: Yields
    n_events: int
    source: np.random.Generator | int

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections at random; their gradients are unknown, hence NaN."""
        sigma, gradients = self.cells.expand(points, datasets)
        total = sigma.sum(axis=1, keepdims=True)
        positive = np.maximum(sigma, 0.0)
        sums = positive.sum(axis=1, keepdims=True)
        shares = positive / np.where(sums > 0.0, sums, 1.0)
        drawn = np.random.default_rng(self.source).multinomial(self.n_events, shares)
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
