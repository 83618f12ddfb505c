r"""Cross section and gradient of cells as functions of their benchmark weights.

At a parameter point both are linear in the benchmark sums :math:`w_b` of a cell, apart from the
nuisance slopes:

.. math::

    \sigma = \sum_b W_b w_b, \qquad
    g = \left( \sum_b D_{ib} w_b,\; \sigma\, a_j \right)

**Response of a cell's rate to nuisance parameters at nu = 0.**

.. math:: \frac{\partial \log \sigma}{\partial \nu_j} = a_j, \qquad
          a_j = \tfrac12 \log \frac{w_+}{w_-}
          \;\text{ or, with one variation, }\; \log \frac{w_+}{w_0},\; -\log \frac{w_-}{w_0}

with the cell's summed weights at nu_j = +1, -1 and at the reference benchmark; where the response
depends on theta, with those at theta.

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madminer.analysis.response import response_model, varied_coefficients
from madminer.analysis.weights import gradient_coefficients, weight_coefficients
from madminer.checks import real_array, shown
from madminer.errors import NoEventsError, SetupError, ShapeError
from madminer.evidence import report_weakness
from madminer.models import AnalysisSetup
from madminer.morphing.nuisance import MAX_RESPONSE
from madminer.stats.histogram import BinnedMoments
from madminer.stats.information import (
    cell_information,
    cell_information_covariance,
    event_information,
    event_information_covariance,
)
from madminer.typing import BoolArray, FloatArray, ThetaLike

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class NuisanceForms:
    """The linear forms of the weights whose ratio measures each nuisance parameter.

    Args:
        tops: Coefficients of the weights above the fraction, shape ``(k, b)``.
        bottoms: Coefficients of those below it, shape ``(k, b)``.
        factors: 1/2 where both variations exist, else 1, shape ``(k,)``.
    """

    tops: FloatArray
    bottoms: FloatArray
    factors: FloatArray

    def __len__(self) -> int:
        return len(self.factors)


def nuisance_forms(setup: AnalysisSetup, coefficients: FloatArray) -> NuisanceForms:
    """Find the linear forms of the nuisance parameters of a setup.

    Args:
        setup: Setup of the analysis.
        coefficients: Coefficients of the weights at theta, shape ``(b,)``.

    Returns:
        The forms.

    Raises:
        SetupError: If a nuisance parameter has no variation, or one without weights.
        MorphingError: If a response depends on theta, but is not known there.
    """
    model = response_model(setup)
    columns = np.eye(len(setup.benchmarks))
    varying = {variation.parameter: variation for variation in model.varying}
    tops, bottoms, factors = [], [], []
    for j, found in enumerate(model.columns):
        if j in varying:
            sides = varied_coefficients(varying[j], coefficients, setup)
            up, down, reference = *sides, coefficients
        else:
            up = None if found.positive is None else columns[found.positive]
            down = None if found.negative is None else columns[found.negative]
            reference = columns[found.reference]
        tops.append(reference if up is None else up)
        bottoms.append(reference if down is None else down)
        factors.append(1.0 if up is None or down is None else 0.5)
    return NuisanceForms(np.array(tops), np.array(bottoms), np.array(factors))


def nuisance_slopes(sums: FloatArray, forms: NuisanceForms) -> FloatArray:
    """Slopes a of log sigma, clipped to +-10; zero where the logarithm is undefined.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        forms: What to compare.

    Returns:
        Slopes, shape ``(n_cells, k)``.
    """
    slopes, _ = _raw_slopes(sums, forms)
    return np.clip(slopes, -MAX_RESPONSE, MAX_RESPONSE)


def nuisance_slope_jacobian(sums: FloatArray, forms: NuisanceForms) -> FloatArray:
    """Derivatives of the slopes in the summed weights, zero where slopes are clipped.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        forms: What to compare.

    Returns:
        Derivatives, shape ``(n_cells, k, b)``.
    """
    slopes, defined = _raw_slopes(sums, forms)
    free = defined & (np.abs(slopes) < MAX_RESPONSE)
    above, below = (
        np.divide(forms.factors, sums @ side.T, out=np.zeros_like(slopes), where=free)
        for side in (forms.tops, forms.bottoms)
    )
    return above[:, :, np.newaxis] * forms.tops - below[:, :, np.newaxis] * forms.bottoms


def report_slopes(
    names: Iterable[str], sums: FloatArray, forms: NuisanceForms, what: str, reported: set[str]
) -> None:
    """Warn of nuisance parameters whose slope is undefined or clipped somewhere.

    Args:
        names: Names of the nuisance parameters.
        sums: Weights of each cell or event at all benchmarks, shape ``(n, b)``.
        forms: What to compare.
        what: What the rows are, ``"bins"`` or ``"events"``.
        reported: What is not to be reported again; added to.
    """
    filled = sums[np.any(sums != 0.0, axis=1)]
    slopes, defined = _raw_slopes(filled, forms)
    n_undefined = np.count_nonzero(~defined, axis=0)
    n_clipped = np.count_nonzero(np.abs(slopes) > MAX_RESPONSE, axis=0)
    for name, undefined, clipped in zip(names, n_undefined, n_clipped, strict=True):
        if (undefined or clipped) and f"{name} in {what}" not in reported:
            reported.add(f"{name} in {what}")
            report_weakness(
                logger,
                "Nuisance parameter %s: of %s %s, %s have weights that are zero or change sign and "
                "get no response, and %s vary by more than a factor exp(10) and are clipped to "
                "it. Check these variations.",
                name,
                len(filled),
                what,
                undefined,
                clipped,
            )


def _raw_slopes(sums: FloatArray, forms: NuisanceForms) -> tuple[FloatArray, BoolArray]:
    """Slopes before clipping, and where the logarithm is defined."""
    top, bottom = sums @ forms.tops.T, sums @ forms.bottoms.T
    defined: BoolArray = np.sign(top) * np.sign(bottom) > 0.0  # both of one sign, none zero
    ratio = np.divide(top, bottom, out=np.ones_like(top), where=defined)
    return forms.factors * np.log(ratio), defined


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

    def effective_events(self, moments: BinnedMoments) -> tuple[FloatArray, float]:
        r"""Effective numbers :math:`(\sum w)^2 / \sum w^2` of events: in each cell, and in all.

        Args:
            moments: Sums over the events of each cell.

        Returns:
            Numbers of the cells that have any events, shape ``(n,)``, and of all cells together.
        """
        variance = np.einsum("nbc,b,c->n", moments.products, self.weights, self.weights)
        sigma, filled = self.sigma(moments.sums), variance > 0.0
        numbers: FloatArray = sigma[filled] ** 2 / variance[filled]
        return numbers, float(sigma.sum() ** 2 / variance.sum()) if filled.any() else 0.0

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


def rate_score(moments: BinnedMoments, response: CellResponse) -> FloatArray:
    r"""Score of the total rate, :math:`\nabla \log \sigma`.

    Args:
        moments: Sums over all events as one cell.
        response: Cross section and gradient at the parameter point.

    Returns:
        The score, shape ``(m,)``.
    """
    score: FloatArray = response.gradient(moments.sums)[0] / response.sigma(moments.sums)[0]
    return score


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


def model_point(setup: AnalysisSetup, theta: ThetaLike, n_parameters: int | None) -> FloatArray:
    """Parameter point of an estimator, nuisance parameters at zero.

    Args:
        setup: Setup of the analysis with p theory and k nuisance parameters.
        theta: Name or index of a benchmark, or an array, shape ``(p,)``, or ``(p + k,)`` with
            zeros for the nuisance parameters.
        n_parameters: Number of parameters of the estimator.

    Returns:
        The point, shape ``(p,)`` or ``(p + k,)`` as the estimator needs it.

    Raises:
        SetupError: If the estimator has neither p nor p + k parameters.
        ShapeError: If theta has the wrong shape, or nuisance parameters other than zero.
        UnknownNameError: If there is no such benchmark.
    """
    p, k = setup.n_parameters, setup.n_nuisance_parameters
    if n_parameters not in {p, p + k}:
        raise SetupError(
            f"The estimator has {n_parameters} parameters, but the file has {p} theory parameters "
            f"and {k} nuisance parameters; train it on samples of this file."
        )
    if isinstance(theta, str | int | np.integer):
        theory = setup.theta(theta)
    else:
        point = real_array(theta, "theta")
        if point.shape not in {(p,), (p + k,)} or np.any(point[p:] != 0.0):
            raise ShapeError(
                f"theta must have shape ({p},), or ({p + k},) with zeros for the nuisance "
                f"parameters; got {shown(theta)}."
            )
        theory = setup.theta(point[:p])
    return np.append(theory, np.zeros(n_parameters - p))
