r"""Cross section and gradient of cells as functions of their benchmark weights.

At a parameter point both are linear in the benchmark sums :math:`w_b` of a cell, apart from the
nuisance slopes:

.. math::

    \sigma = \sum_b W_b w_b, \qquad
    g = \left( \sum_b D_{ib} w_b,\; \sigma\, a_j \right)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.analysis.coefficients import gradient_coefficients, weight_coefficients
from madminer.errors import NoEventsError
from madminer.fisherinformation.nuisances import (
    NuisanceForms,
    nuisance_forms,
    nuisance_slope_jacobian,
    nuisance_slopes,
)
from madminer.models import AnalysisSetup
from madminer.stats.histogram import BinnedMoments
from madminer.stats.information import (
    cell_information,
    cell_information_covariance,
    event_information,
    event_information_covariance,
)
from madminer.typing import FloatArray, ThetaLike

__all__ = [
    "CellResponse",
    "cell_response",
    "cells_information",
    "check_some_weight",
    "events_information",
]


@dataclass(frozen=True, slots=True, eq=False)
class CellResponse:
    """Linear map from benchmark weights to cross section and gradient at one theta.

    Args:
        weights: Morphing weights W of all weight columns, shape ``(b,)``.
        gradients: Their derivatives D, shape ``(p, b)``.
        nuisances: Forms of the k nuisance parameters, None to leave them out.
    """

    weights: FloatArray
    gradients: FloatArray
    nuisances: NuisanceForms | None = None

    @property
    def n_parameters(self) -> int:
        """Number p of theory parameters plus number k of nuisance parameters."""
        return len(self.gradients) + (0 if self.nuisances is None else len(self.nuisances))

    def sigma(self, sums: FloatArray) -> FloatArray:
        """Cross sections of the cells: ``(n, b)`` to ``(n,)``."""
        result: FloatArray = sums @ self.weights
        return result

    def gradient(self, sums: FloatArray) -> FloatArray:
        """Gradients of the cells in theta and nu: ``(n, b)`` to ``(n, p + k)``."""
        in_theta: FloatArray = sums @ self.gradients.T
        if self.nuisances is None:
            return in_theta
        slopes = nuisance_slopes(sums, self.nuisances)
        return np.hstack([in_theta, self.sigma(sums)[:, np.newaxis] * slopes])

    def event_columns(self, weights: FloatArray) -> FloatArray:
        """Cross sections and gradients of events, whose sums `summed` takes.

        Args:
            weights: Benchmark weights of the events, shape ``(n, b)``.

        Returns:
            Columns, shape ``(n, 1 + p + k)``.
        """
        return np.column_stack([self.sigma(weights), self.gradient(weights)])

    def summed(self) -> CellResponse:
        """Response of cells to the sums of the `event_columns` of their events."""
        unit = np.eye(1 + self.n_parameters)
        return CellResponse(unit[0], unit[1:])

    def effective_events(self, moments: BinnedMoments) -> FloatArray:
        r"""Effective numbers :math:`(\sum w)^2 / \sum w^2` of events in the cells that have any."""
        variance = np.einsum("nbc,b,c->n", moments.products, self.weights, self.weights)
        filled = variance > 0.0
        numbers: FloatArray = self.sigma(moments.sums)[filled] ** 2 / variance[filled]
        return numbers

    def gradient_jacobian(self, sums: FloatArray) -> FloatArray:
        """Derivatives of the gradients in the sums: ``(n, b)`` to ``(n, p + k, b)``."""
        in_theta = np.broadcast_to(self.gradients, (len(sums), *self.gradients.shape))
        if self.nuisances is None:
            return in_theta
        slopes = nuisance_slopes(sums, self.nuisances)[:, :, np.newaxis]
        in_nu = self.sigma(sums)[:, np.newaxis, np.newaxis] * nuisance_slope_jacobian(
            sums, self.nuisances
        )
        return np.concatenate([in_theta, in_nu + slopes * self.weights], axis=1)


def cell_response(
    setup: AnalysisSetup, theta: ThetaLike, include_nuisance_parameters: bool = True
) -> CellResponse:
    """Cross section and gradient at a parameter point, from all weight columns.

    Args:
        setup: Setup of the analysis.
        theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
        include_nuisance_parameters: Whether to include the nuisance parameters of the setup.

    Returns:
        The response.

    Raises:
        UnknownNameError: If there is no such benchmark.
        ShapeError: If theta has the wrong shape.
        MorphingError: If weights and derivatives are not known at theta.
    """
    n_columns = len(setup.benchmarks)
    use_nuisances = include_nuisance_parameters and setup.n_nuisance_parameters > 0
    weights = weight_coefficients(setup, [theta], n_columns)[0]
    return CellResponse(
        weights,
        gradient_coefficients(setup, [theta], n_columns)[0],
        nuisance_forms(setup, weights) if use_nuisances else None,
    )


def cells_information(
    moments: BinnedMoments, response: CellResponse, luminosity: float
) -> tuple[FloatArray, FloatArray]:
    """Information of the rates in all cells, and its covariance.

    Args:
        moments: Sums over the events of each cell.
        response: Cross section and gradient at the parameter point.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

    Raises:
        NoEventsError: If all cross sections are zero.
    """
    sigma, gradient = response.sigma(moments.sums), response.gradient(moments.sums)
    check_some_weight(sigma)
    covariance = cell_information_covariance(
        sigma,
        gradient,
        response.weights,
        response.gradient_jacobian(moments.sums),
        moments.products,
        luminosity,
    )
    information: FloatArray = cell_information(sigma, gradient, luminosity).sum(axis=0)
    return information, covariance


def events_information(
    weights: FloatArray, response: CellResponse, luminosity: float
) -> tuple[FloatArray, FloatArray]:
    """Information of events that are cells of their own, and its covariance.

    Args:
        weights: Benchmark weights of the events, shape ``(n, b)``.
        response: Cross section and gradient at the parameter point.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.
    """
    sigma, gradient = response.sigma(weights), response.gradient(weights)
    return (
        event_information(sigma, gradient, luminosity),
        event_information_covariance(sigma, gradient, luminosity),
    )


def check_some_weight(sigma: FloatArray) -> None:
    """Check that there is something to expect at the parameter point.

    Args:
        sigma: Cross sections of cells or events, any shape.

    Raises:
        NoEventsError: If all of them are zero.
    """
    if not np.any(sigma):
        raise NoEventsError(
            "The weights of the events at theta add up to 0 in every bin, so that no events are "
            "expected. Check the weights of the file, efficiencies and theta."
        )
