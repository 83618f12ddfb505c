"""Many histograms filled in the same pass over the events of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add

import numpy as np

from madminer.errors import DataError
from madminer.fisherinformation.bins import Axis, cell_edges, cell_moments, quantile_sample
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.options import InformationOptions
from madminer.fisherinformation.response import cell_response, cells_information
from madminer.fisherinformation.selection import EventFunction
from madminer.stats import BinnedMoments
from madminer.typing import FloatArray, ThetaLike

_BUDGET = 2**26  # values of observables held in memory for their quantiles


@dataclass(frozen=True, slots=True, eq=False)
class FilledHistogram:
    """Sums over the events of each cell.

    Args:
        moments: Moments of the b columns to which the cells respond.
        mixed: Sums of the products of each of these columns with the part of the event in the
            reference, shape ``(n_cells, b)``.
    """

    moments: BinnedMoments
    mixed: FloatArray


class HistogramScan:
    """Passes over the selected events of a file, each of them for many histograms.

    Args:
        fisher: The event file.
        theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
        luminosity: Integrated luminosity in pb^-1.
        options: Cuts, efficiencies, and how events and bins respond to nuisance parameters.

    Raises:
        ExpressionError: If a cut or an efficiency is refused.
        MorphingError: If weights and derivatives are not known at theta.
    """

    def __init__(
        self,
        fisher: FisherInformation,
        theta: ThetaLike,
        luminosity: float,
        options: InformationOptions,
    ) -> None:
        self.fisher = fisher
        self.luminosity = luminosity
        self.response = cell_response(fisher.setup, theta, options.include_nuisance_parameters)
        # Templates need the sums of all weights, anything else those of sigma and its gradient.
        templates = options.nuisance_response == "cells" and self.response.nuisances is not None
        self.cells = self.response if templates else self.response.summed()
        self._theta = theta
        self._options = options
        self._selection = options.selection(list(fisher.observables))
        n = options.n_events_dynamic_binning
        self._end = None if n is None else min(n, fisher.n_samples)

    def truth(self) -> tuple[FloatArray, FloatArray]:
        """Information of the fully observed events, and its covariance."""
        return self.fisher.truth_information(
            self._theta,
            self.luminosity,
            cuts=self._options.cuts,
            efficiency_functions=self._options.efficiency_functions,
            include_nuisance_parameters=self._options.include_nuisance_parameters,
        )

    def axes(
        self, functions: Mapping[str, EventFunction], numbers: Sequence[int]
    ) -> dict[str, list[Axis]]:
        """Axes with cells of equal content.

        Args:
            functions: Observables by label.
            numbers: Numbers of cells.

        Returns:
            For each observable one axis for each number of cells.

        Raises:
            NoEventsError: If no event is left.
            DataError: If an observable is undefined for an event.
        """
        labels, step = list(functions), max(1, _BUDGET // self.fisher.n_samples)
        result: dict[str, list[Axis]] = {}
        for start in range(0, len(labels), step):
            some = labels[start : start + step]
            events = self.fisher._events(self._selection, 0, self._end)
            stacked = _stacked([functions[label] for label in some])
            values, weights = quantile_sample(events, stacked, self.response)
            for label, column in zip(some, values.T, strict=True):
                _check_defined(label, column)
                edges = _equal_edges(column, weights, numbers)
                result[label] = [(functions[label], cells) for cells in edges]
        return result

    def filled(
        self, histograms: Sequence[Sequence[Axis]], slope: FloatArray
    ) -> list[FilledHistogram]:
        """Fill histograms in one pass.

        Args:
            histograms: Axes of each of them.
            slope: Derivative of the log determinant of the reference in its information, shape
                ``(m, m)``; zero if the reference is not the truth of these events.

        Returns:
            The filled histograms.

        Raises:
            NoEventsError: If no event is left.
        """
        totals: list[BinnedMoments] = []
        for batch in self._columns(slope):
            parts = [cell_moments([batch], axes) for axes in histograms]
            totals = list(map(add, totals, parts)) if totals else parts
        return [_without_last(total) for total in totals]

    def information(self, moments: BinnedMoments) -> tuple[FloatArray, FloatArray]:
        """Information of a filled histogram, and its covariance.

        Raises:
            NoEventsError: If all weights are zero.
        """
        if self.cells is self.response:
            self.fisher._report_slopes(self.response, moments.sums, "bins")
        return cells_information(moments, self.cells, self.luminosity)

    def _columns(self, slope: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Observables and columns of events, the last one their part in the reference."""
        for x, weights in self.fisher._reported_events(self._selection, self.response):
            if len(x):
                linear = self.response.event_columns(weights)
                part = self.luminosity * _part_in_log_det(linear, slope)
                own = weights if self.cells is self.response else linear
                yield x, np.column_stack([own, part])


def _part_in_log_det(columns: FloatArray, slope: FloatArray) -> FloatArray:
    """Part of each event in the log determinant of the truth, to first order, shape ``(n,)``."""
    sigma, gradient = columns[:, 0], columns[:, 1:]
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
    part: FloatArray = inverse * np.einsum("ni,ij,nj->n", gradient, slope, gradient, optimize=True)
    return part


def _without_last(extended: BinnedMoments) -> FilledHistogram:
    """Take the part in the reference out of the columns."""
    sums, products = extended.sums[:, :-1], extended.products[:, :-1, :-1]
    return FilledHistogram(
        BinnedMoments(extended.counts, sums, products), extended.products[:, :-1, -1]
    )


def _stacked(functions: Sequence[EventFunction]) -> EventFunction:
    return lambda x: np.column_stack([function(x) for function in functions])


def _equal_edges(
    values: FloatArray, weights: FloatArray, numbers: Sequence[int]
) -> list[FloatArray]:
    return [cell_edges(n, None, lambda: (values, weights)) for n in numbers]


def _check_defined(label: str, values: FloatArray) -> None:
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            f"{label} is not a finite number for {n_bad} of {len(values)} events. Cut these events "
            "away, give the observable a default, or leave it out of observables."
        )
