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
from typing import Self

import numpy as np

from madminer.analysis.response import response_model, varied_coefficients
from madminer.analysis.weights import ThetaTable
from madminer.errors import NoEventsError
from madminer.evidence import report_weakness
from madminer.models import AnalysisSetup
from madminer.morphing.nuisance import MAX_RESPONSE
from madminer.stats import cell_information, cell_information_covariance
from madminer.stats.histogram import BinnedMoments
from madminer.typing import BoolArray, FloatArray, ThetaLike

logger = logging.getLogger(__name__)

_ROUNDING = 1e-6  # of the response: files in single precision; its square is what sums resolve


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

    @classmethod
    def of(cls, setup: AnalysisSetup, coefficients: FloatArray) -> Self:
        """The forms of a setup, with the coefficients ``(b,)`` of the weights at theta.

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
        return cls(np.array(tops), np.array(bottoms), np.array(factors))

    def __len__(self) -> int:
        return len(self.factors)

    def slopes(self, sums: FloatArray) -> FloatArray:
        """Slopes a of log sigma, from the sums of weights in cells: ``(n, b)`` to ``(n, k)``.

        They are clipped to +-10, and zero where the logarithm is undefined.
        """
        return np.clip(self._unclipped(sums)[0], -MAX_RESPONSE, MAX_RESPONSE)

    def jacobian(self, sums: FloatArray) -> FloatArray:
        """Derivatives of the slopes in the sums ``(n, k, b)``, zero where slopes are clipped."""
        slopes, defined = self._unclipped(sums)
        free = defined & (np.abs(slopes) < MAX_RESPONSE)
        above, below = (
            np.divide(self.factors, sums @ side.T, out=np.zeros_like(slopes), where=free)
            for side in (self.tops, self.bottoms)
        )
        return above[:, :, np.newaxis] * self.tops - below[:, :, np.newaxis] * self.bottoms

    def report(self, names: Iterable[str], sums: FloatArray, what: str, reported: set[str]) -> None:
        """Warn of nuisance parameters whose slope is undefined or clipped somewhere.

        Args:
            names: Names of the nuisance parameters.
            sums: Weights of each cell or event at all benchmarks, shape ``(n, b)``.
            what: What the rows are, ``"bins"`` or ``"events"``.
            reported: What is not to be reported again; added to.
        """
        filled = sums[np.any(sums != 0.0, axis=1)]
        slopes, defined = self._unclipped(filled)
        n_undefined = np.count_nonzero(~defined, axis=0)
        n_clipped = np.count_nonzero(np.abs(slopes) > MAX_RESPONSE, axis=0)
        for name, undefined, clipped in zip(names, n_undefined, n_clipped, strict=True):
            if (undefined or clipped) and f"{name} in {what}" not in reported:
                reported.add(f"{name} in {what}")
                report_weakness(
                    logger,
                    "Nuisance parameter %s: of %s %s, %s have weights that are zero or change sign "
                    "and get no response, and %s vary by more than a factor exp(10) and are "
                    "clipped to it. Check these variations.",
                    name,
                    len(filled),
                    what,
                    undefined,
                    clipped,
                )

    def _unclipped(self, sums: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Slopes before clipping, and where the logarithm is defined."""
        top, bottom = sums @ self.tops.T, sums @ self.bottoms.T
        defined: BoolArray = np.sign(top) * np.sign(bottom) > 0.0  # both of one sign, none zero
        ratio = np.divide(top, bottom, out=np.ones_like(top), where=defined)
        return self.factors * np.log(ratio), defined


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
        return np.hstack([in_theta, self.sigma(sums)[:, np.newaxis] * self.nuisances.slopes(sums)])

    def scores(self, sums: FloatArray) -> FloatArray:
        """Gradients of log sigma ``(n, p + k)``, zero where sigma is."""
        gradient, sigma = self.gradient(sums), self.sigma(sums)[:, np.newaxis]
        return np.divide(gradient, sigma, out=np.zeros_like(gradient), where=sigma != 0.0)

    def gradient_jacobian(self, sums: FloatArray) -> FloatArray:
        """Derivatives of the gradients in the sums: ``(n, b)`` to ``(n, p + k, b)``."""
        in_theta = np.broadcast_to(self.gradients, (len(sums), *self.gradients.shape))
        if self.nuisances is None:
            return in_theta
        slopes = self.nuisances.slopes(sums)[:, :, np.newaxis]
        in_nu = self.sigma(sums)[:, np.newaxis, np.newaxis] * self.nuisances.jacobian(sums)
        return np.concatenate([in_theta, in_nu + slopes * self.weights], axis=1)

    def event_columns(self, weights: FloatArray) -> FloatArray:
        """Cross sections and gradients of events ``(n, 1 + p + k)``, whose sums `summed` takes."""
        return np.column_stack([self.sigma(weights), self.gradient(weights)])

    def summed(self) -> CellResponse:
        """Response of cells to the sums of the `event_columns` of their events."""
        unit = np.eye(1 + self.n_parameters)
        return CellResponse(unit[0], unit[1:])

    def effective_events(self, moments: BinnedMoments) -> tuple[FloatArray, float]:
        r"""Effective numbers :math:`(\sum w)^2 / \sum w^2` of events.

        Returns:
            Numbers of the cells that have any events, shape ``(n,)``, and of all cells together.
        """
        variance = np.einsum("nbc,b,c->n", moments.products, self.weights, self.weights)
        sigma, filled = self.sigma(moments.sums), variance > 0.0
        numbers: FloatArray = sigma[filled] ** 2 / variance[filled]
        return numbers, float(sigma.sum() ** 2 / variance.sum()) if filled.any() else 0.0

    def vanishing_scores(self, moments: BinnedMoments) -> BoolArray:
        r"""Parameters that change how many events there are, but not how they are distributed.

        The joint score of such a parameter is the same number for every event, which is its mean
        and drops out of the score of the density,

        .. math:: t_{ei} = \frac{g_{ei}}{w_e} - \frac{\sum g_i}{\sum w} = 0,

        so that it has no information in the kinematics, whatever a network says: the luminosity, a
        signal strength without background. It is found in the sums over all events, where two
        linear forms of the weights are proportional in every event: g and w, or, as
        :math:`g = w\, a`, those above and below the fraction of a nuisance parameter:

        .. math:: \sum_e (u_e - c\, v_e)^2 = 0, \qquad c = \frac{\sum_e u_e}{\sum_e v_e}.

        Args:
            moments: Sums over all events as one cell, of their weights and of products of two.

        Returns:
            Whether the score vanishes, for each of the m parameters, shape ``(m,)``.

        Examples:
            The second parameter is a factor on all events:

            >>> from madminer.stats import binned_moments
            >>> w, g = np.array([1.0, 2.0, 1.0]), np.array([[0.3, 0.1], [0.1, 0.2], [0.2, 0.1]])
            >>> columns = np.column_stack([w, g])
            >>> moments = binned_moments(columns, np.zeros(3, dtype=int), 1)
            >>> CellResponse(np.eye(3)[0], np.eye(3)[1:]).vanishing_scores(moments)
            array([False,  True])
        """
        u, v = self.gradients, np.broadcast_to(self.weights, self.gradients.shape)
        if (forms := self.nuisances) is not None:
            u, v = np.vstack([u, forms.tops]), np.vstack([v, forms.bottoms])

        def squares(form: FloatArray) -> FloatArray:
            total: FloatArray = np.einsum("ib,bc,ic->i", form, moments.products[0], form)
            return total

        above, below = u @ moments.sums[0], v @ moments.sums[0]
        c = np.divide(above, below, out=np.zeros(len(u)), where=below != 0.0)[:, np.newaxis]
        vanish: BoolArray = squares(u - c * v) <= _ROUNDING**2 * (squares(u) + squares(c * v))
        return vanish


def cell_response(
    setup: AnalysisSetup, theta: ThetaLike, include_nuisance_parameters: bool = True
) -> CellResponse:
    """Cross section and gradient at a parameter point, from all weight columns.

    Args:
        setup: Setup of the analysis.
        theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
        include_nuisance_parameters: Whether to include the nuisance parameters of the setup.

    Raises:
        UnknownNameError: If there is no such benchmark.
        ShapeError: If theta has the wrong shape.
        MorphingError: If weights and derivatives are not known at theta.
    """
    table = ThetaTable(setup, [theta])
    use_nuisances = include_nuisance_parameters and setup.n_nuisance_parameters > 0
    weights, gradients = table.coefficients[0], table.gradients[0]
    nuisances = NuisanceForms.of(setup, weights) if use_nuisances else None
    return CellResponse(weights, gradients, nuisances)


def cells_information(
    moments: BinnedMoments, response: CellResponse, luminosity: float
) -> tuple[FloatArray, FloatArray]:
    """Information ``(m, m)`` of the rates in all cells, and its covariance ``(m, m, m, m)``.

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


def check_some_weight(sigma: FloatArray) -> None:
    """Check that there is something to expect at the parameter point.

    Raises:
        NoEventsError: If the cross sections of all cells or events are zero.
    """
    if not np.any(sigma):
        raise NoEventsError(
            "The weights of the events at theta add up to 0 in every bin, so that no events are "
            "expected. Check the weights of the file, efficiencies and theta."
        )
