r"""Shares of information: what a histogram keeps of a reference, and the error of that.

With the information :math:`I` on p parameters after all others are profiled,

.. math:: s = \left( \frac{\det I}{\det I^\mathrm{ref}} \right)^{1/p}, \qquad
          d \log\det I = \mathrm{tr}(I^{-1} A\, dI^\mathrm{all}\, A^T)

where A profiles the information on all parameters. See `madminer.fisherinformation.ranking`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, ShapeError
from madminer.evidence import report_weakness
from madminer.fisherinformation.bins import (
    FEW_EVENTS,
    Axis,
    Batches,
    cell_edges,
    cell_moments,
    quantile_sample,
)
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.options import EventFunction, InformationOptions
from madminer.fisherinformation.response import cell_response, cells_information
from madminer.fisherinformation.summary import (
    BLIND,
    expected_limits,
    inverse_information,
)
from madminer.stats import BinnedMoments, constraint_information
from madminer.stats.information import (
    as_covariance,
    as_information,
    transform_information,
    unit_scales,
)
from madminer.typing import FloatArray, ThetaLike

logger = logging.getLogger(__name__)

Reference = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Information, shape ``(m, m)``, or a pair of it and its covariance."""

_BUDGET = 2**26  # values of observables held in memory for their quantiles


@dataclass(frozen=True, slots=True, eq=False)
class RankedInformation:
    r"""Information of one histogram, and how much of the reference it is.

    Args:
        label: The observable or expression, ``"a × b"`` for two, ``"rate"``, and ``"truth"`` or
            ``"reference"``.
        n_observables: Number of observables in the histogram, 0 for the rate; None for the
            reference.
        information: Information on all m parameters, theta then nu, without constraints on nu,
            shape ``(m, m)``.
        covariance: Its statistical covariance, shape ``(m, m, m, m)``; None if it is not known.
        merit: Figure of merit :math:`(\det I)^{1/p}` of the p ranked parameters, others profiled:
            the squared inverse of a standard deviation, averaged geometrically over directions.
        share: Figure of merit in units of that of the reference.
        share_error: Statistical error of the share; zero for the reference itself, and where the
            share is zero.
        standard_deviations: Of the ranked parameters, all others free, shape ``(p,)``; infinite
            where the information is blind.
    """

    label: str
    n_observables: int | None
    information: FloatArray
    covariance: FloatArray | None
    merit: float
    share: float
    share_error: float
    standard_deviations: FloatArray


class HistogramShares:
    """Many histograms filled in the same pass over the events of a file, beside a reference.

    Args:
        fisher: The event file.
        theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
        luminosity: Integrated luminosity in pb^-1.
        options: Cuts, efficiencies, and how events and bins respond to nuisance parameters.
        kept: The ranked parameters.
        reference: Information, or a pair of it and its covariance; None for the truth.

    Attributes:
        reference: The reference as an entry of the ranking.

    Raises:
        ExpressionError: If a cut or an efficiency is refused.
        MorphingError: If weights and derivatives are not known at theta.
        ShapeError: If the reference is of another number of parameters.
        DataError: If it is blind to a direction of the ranked parameters.
    """

    def __init__(
        self,
        fisher: FisherInformation,
        theta: ThetaLike,
        luminosity: float,
        options: InformationOptions,
        kept: list[int],
        reference: Reference | None,
    ) -> None:
        self._fisher, self._luminosity, self._kept = fisher, luminosity, kept
        self._response = cell_response(fisher.setup, theta, options.include_nuisance_parameters)
        # templates need the sums of all weights, anything else those of sigma and its gradient
        templates = options.nuisance_response == "cells" and self._response.nuisances is not None
        self._cells = self._response if templates else self._response.summed()
        self._selection = options.selection(fisher.observables)
        n = options.n_events_dynamic_binning
        self._end = None if n is None else min(n, fisher.n_samples)
        p, m = fisher.n_parameters, self._response.n_parameters
        self._constraint = constraint_information(p, m - p)
        information, covariance = (
            fisher.truth_information(
                theta,
                luminosity,
                cuts=options.cuts,
                efficiency_functions=options.efficiency_functions,
                include_nuisance_parameters=options.include_nuisance_parameters,
            )
            if reference is None
            else _given(reference, m)
        )
        self._volume = _volume(information + self._constraint, kept)
        if self._volume.log_det == -math.inf:
            raise DataError(
                f"The reference is blind to a direction of the ranked parameters {kept}, so that "
                "there is nothing to share. Rank fewer of them, or give another reference."
            )
        self.reference = RankedInformation(
            "truth" if reference is None else "reference",
            None,
            information,
            covariance,
            self._volume.merit,
            1.0,
            0.0,
            self._volume.widths,
        )
        # only the truth comes from the same events as the histograms, and fluctuates with them
        self._slope = self._volume.slope if reference is None else np.zeros((m, m))

    def axes(
        self, functions: Mapping[str, EventFunction], numbers: Sequence[int]
    ) -> dict[str, list[Axis]]:
        """Axes with cells of equal content: for each observable one for each number of cells.

        Raises:
            NoEventsError: If no event is left.
            DataError: If an observable is undefined for an event.
        """
        labels, step = list(functions), max(1, _BUDGET // self._fisher.n_samples)
        result: dict[str, list[Axis]] = {}
        for start in range(0, len(labels), step):
            some = labels[start : start + step]
            events = self._fisher._events(self._selection, 0, self._end)
            stacked = _stacked([functions[label] for label in some])
            values, weights = quantile_sample(events, stacked, self._response)
            for label, column in zip(some, values.T, strict=True):
                edges = _equal_edges(_checked(label, column), weights, numbers)
                result[label] = [(functions[label], cells) for cells in edges]
        return result

    def entries(self, histograms: Mapping[str, Sequence[Axis]]) -> list[RankedInformation]:
        """Information and share of histograms, by label, which are filled in one pass.

        Raises:
            NoEventsError: If no event is left, or all weights are zero.
        """
        totals: list[BinnedMoments] = []
        for batch in self._columns():
            parts = [cell_moments([batch], axes) for axes in histograms.values()]
            totals = list(map(add, totals, parts)) if totals else parts
        entries, sparse = [], []
        for (label, axes), total in zip(histograms.items(), totals, strict=True):
            # the last column is the part of each event in the reference
            moments = BinnedMoments(total.counts, total.sums[:, :-1], total.products[:, :-1, :-1])
            mixed = total.products[:, :-1, -1]
            entries.append(self._entry(label, len(axes), moments, mixed))
            if np.mean(self._cells.effective_events(moments)[0]) < FEW_EVENTS:
                sparse.append(label)
        if sparse:
            report_weakness(
                logger,
                "The bins of %s hold fewer than %g effective events on average: such histograms "
                "approach the truth at event level, and their information is too large. Use fewer "
                "bins or more events.",
                ", ".join(sparse),
                FEW_EVENTS,
            )
        return entries

    def _columns(self) -> Batches:
        """Observables and columns of events, the last one their part in the log determinant."""
        for x, weights in self._fisher._reported_events(self._selection, self._response):
            if len(x):
                linear = self._response.event_columns(weights)
                sigma, g = linear[:, 0], linear[:, 1:]
                squares = np.einsum("ni,ij,nj->n", g, self._slope, g, optimize=True)
                part = np.divide(squares, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
                own = weights if self._cells is self._response else linear
                yield x, np.column_stack([own, self._luminosity * part])

    def _entry(
        self, label: str, n_observables: int, moments: BinnedMoments, mixed: FloatArray
    ) -> RankedInformation:
        """Share of a filled histogram, with the products `mixed` of columns and the reference."""
        if self._cells is self._response:
            self._fisher._report_slopes(self._response, moments.sums, "bins")
        information, covariance = cells_information(moments, self._cells, self._luminosity)
        volume = _volume(information + self._constraint, self._kept)
        p = len(self._kept)
        share = math.exp((volume.log_det - self._volume.log_det) / p)
        variance = volume.variance(covariance) + self._volume.variance(self.reference.covariance)
        variance -= 2.0 * self._common_variance(moments.sums, mixed, volume.slope)
        error = share * math.sqrt(max(variance, 0.0)) / p
        return RankedInformation(
            label, n_observables, information, covariance, volume.merit, share, error, volume.widths
        )

    def _common_variance(self, sums: FloatArray, mixed: FloatArray, slope: FloatArray) -> float:
        r"""Covariance of the log determinants of a histogram and of the truth.

        .. math::

            \sum_k D_{kb} \sum_{e \in k} w_{eb} s_e, \qquad
            D_{kb} = L \left[ 2\, t^T B\, G_b - t^T B\, t\; W_b \right]_k, \qquad t = g / \sigma

        with the slope B, the derivatives G and W of g and sigma, and the part s of each event.
        """
        score = self._cells.scores(sums)
        jacobian = 2.0 * np.einsum("ni,nib->nb", score @ slope, self._cells.gradient_jacobian(sums))
        squares = np.einsum("ni,ij,nj->n", score, slope, score)
        jacobian -= squares[:, np.newaxis] * self._cells.weights
        return self._luminosity * float(np.sum(jacobian * mixed))


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    """Log determinant of the information on p parameters, the others profiled.

    Args:
        log_det: The logarithm, minus infinity if a direction is blind.
        slope: Its derivative in the information on all parameters, shape ``(m, m)``; zero if blind.
        widths: Standard deviations of the parameters, shape ``(p,)``.
    """

    log_det: float
    slope: FloatArray
    widths: FloatArray

    @property
    def merit(self) -> float:
        return math.exp(self.log_det / len(self.widths))

    def variance(self, covariance: FloatArray | None) -> float:
        """Variance of the logarithm, from the covariance of the information."""
        if covariance is None:
            return 0.0
        return float(np.einsum("ij,ijkl,kl", self.slope, covariance, self.slope))


def _volume(information: FloatArray, kept: Sequence[int]) -> _Volume:
    widths = expected_limits(information).profiled[kept]
    matrix = _profiling(information, kept)
    profiled = transform_information(information, matrix)
    scale = unit_scales(information)[kept]  # of what there was before others took their part
    values = np.linalg.eigvalsh(profiled * np.outer(scale, scale))
    if values[0] <= BLIND:
        return _Volume(-math.inf, np.zeros_like(information), widths)
    log_det = float(np.log(values).sum() - 2.0 * np.log(scale).sum())
    slope = transform_information(np.linalg.inv(profiled), matrix.T)
    return _Volume(log_det, slope, widths)


def _profiling(information: FloatArray, kept: Sequence[int]) -> FloatArray:
    """As `profile_matrix`, but directions of the others without information may stay free.

    They are not correlated with anything, as the information is positive semidefinite.
    """
    n = len(information)
    others = [i for i in range(n) if i not in kept]
    matrix = np.eye(n)[kept]
    if others:
        inverse, _ = inverse_information(information[np.ix_(others, others)])
        matrix[:, others] = -information[np.ix_(kept, others)] @ inverse
    return matrix


def _given(reference: Reference, m: int) -> tuple[FloatArray, FloatArray | None]:
    """Information of the user, and its covariance if there is one."""
    covariance = None
    if isinstance(reference, tuple) and len(reference) == 2 and np.ndim(reference[1]) == 4:
        information = as_information(reference[0])
        covariance = as_covariance(reference[1], len(information))
    else:
        information = as_information(cast("ArrayLike", reference))
    if len(information) != m:
        raise ShapeError(
            f"The reference must have shape ({m}, {m}), as the histograms, got "
            f"{information.shape}. With include_nuisance_parameters=False only the theory "
            "parameters count."
        )
    return information, covariance


def _stacked(functions: Sequence[EventFunction]) -> EventFunction:
    return lambda x: np.column_stack([function(x) for function in functions])


def _equal_edges(
    values: FloatArray, weights: FloatArray, numbers: Sequence[int]
) -> list[FloatArray]:
    return [cell_edges(n, None, lambda: (values, weights)) for n in numbers]


def _checked(label: str, values: FloatArray) -> FloatArray:
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            f"{label} is not a finite number for {n_bad} of {len(values)} events. Cut these events "
            "away, give the observable a default, or leave it out of observables."
        )
    return values
