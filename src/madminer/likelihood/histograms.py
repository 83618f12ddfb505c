r"""Histograms of the statistics of events: what is binned, edges, volumes, densities."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import boost_histogram as bh
import numpy as np

from madminer.checks import real_array, refusal, sequence, whole
from madminer.errors import DataError, OptionError
from madminer.evidence import report_weakness
from madminer.fisherinformation.options import event_function
from madminer.fisherinformation.score_information import (
    EstimatedScores,
    ScoreModel,
    load_score_model,
)
from madminer.models import AnalysisSetup
from madminer.stats import as_edges, bin_indices, binned_moments, weighted_quantiles
from madminer.typing import BoolArray, FloatArray, IntArray, StrPath

logger = logging.getLogger(__name__)

HistBins = int | Sequence[int | Sequence[float] | FloatArray]
"""Number of bins, or for each statistic a number or edges."""

Statistic = Callable[[FloatArray], FloatArray]
"""What is histogrammed: observables ``(n, n_observables)`` to statistics ``(n, n_statistics)``."""

LOWEST_QUANTILE = 0.001
"""Share of the events outside the edges on either side."""

MOST_BINS = 10_000_000
"""More bins than that cannot be filled with events, but fill the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Binning:
    """Bins of a histogram of one or more statistics; the outermost hold what is outside.

    Args:
        edges: Edges of each statistic, shape ``(n_bins + 1,)``.
    """

    edges: tuple[FloatArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of each statistic."""
        return tuple(len(edges) - 1 for edges in self.edges)

    @property
    def n_bins(self) -> int:
        """Number of all bins."""
        return math.prod(self.shape)

    @property
    def volumes(self) -> FloatArray:
        """Volumes of the bins, the outermost counted at most twice as wide as the next."""
        volumes: FloatArray = np.ones(())
        for edges in self.edges:
            volumes = np.multiply.outer(volumes, _widths(edges))
        return volumes.reshape(-1)

    def cells(self, values: FloatArray) -> IntArray:
        """Bin of each event, ``(n, n_statistics)`` to ``(n,)``, the last statistic fastest."""
        cells: IntArray = np.zeros(len(values), dtype=np.int64)
        for column, edges in zip(values.T, self.edges, strict=True):
            n = len(edges) - 1
            cells = cells * n + np.clip(bin_indices(column, edges) - 1, 0, n - 1)
        return cells

    def counts(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """Sums of weights in the bins, shape ``(n_bins,)``."""
        return np.asarray(np.bincount(self.cells(values), weights, minlength=self.n_bins), float)

    def weight_products(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """Sums of products of two weights of an event, ``(n, b)`` to ``(n_bins, b, b)``."""
        return binned_moments(weights, self.cells(values), self.n_bins).products


@dataclass(frozen=True, slots=True, eq=False)
class DensityHistogram:
    """A normalised histogram; a plottable object of the unified histogram interface (UHI).

    Args:
        edges: Edges of each statistic.
        histo: Density in the bins, one axis a statistic.
    """

    edges: tuple[FloatArray, ...]
    histo: FloatArray

    kind = "COUNT"

    @property
    def axes(self) -> tuple[bh.axis.Variable, ...]:
        """Axes, as those of boost-histogram."""
        return tuple(bh.axis.Variable(edges) for edges in self.edges)

    def values(self, flow: bool = False) -> FloatArray:  # noqa: ARG002 (outer bins hold the rest)
        """Share of the events in each bin; they add up to one."""
        shares: FloatArray = self.histo * Binning(self.edges).volumes.reshape(self.histo.shape)
        return shares

    def variances(self, flow: bool = False) -> None:  # noqa: ARG002
        """Unknown."""
        return

    def counts(self, flow: bool = False) -> None:  # noqa: ARG002
        """Unknown."""
        return


def statistics(
    observables: Sequence[str] | None,
    score_components: Sequence[int] | None,
    model: ScoreModel | StrPath | None,
    setup: AnalysisSetup,
) -> Statistic | None:
    """What is histogrammed: observables, then components of the score; None for neither.

    Args:
        observables: Names or expressions; None for none.
        score_components: Indices of the components; None for none.
        model: Score estimator or an ensemble of them, or their file or folder, for the score.
        setup: Setup of the analysis.

    Raises:
        OptionError: If components lack their model, or do not exist.
        ExpressionError: If an expression is refused, as with an unknown observable.
    """
    parts = []
    if observables is not None:
        parts.append(observable_statistic(observables, setup))
    if score_components is not None:
        if model is None:
            raise OptionError("score_components needs model_file, the estimator of the score.")
        parts.append(score_statistic(model, setup, score_components))
    return (lambda x: np.hstack([part(x) for part in parts])) if parts else None


def observable_statistic(observables: Sequence[str], setup: AnalysisSetup) -> Statistic:
    """Observables or expressions in them."""
    known = list(setup.observables)
    functions = sequence(
        observables, "observables", lambda given, name: event_function(given, known, name)
    )
    if not functions:
        raise refusal("observables", "at least one observable", observables)
    return lambda x: np.stack([function(x) for function in functions], axis=1)


def score_statistic(
    model: ScoreModel | StrPath,
    setup: AnalysisSetup,
    components: Sequence[int] | None = None,
    theta: FloatArray | None = None,
) -> Statistic:
    """Components of an estimated score.

    Args:
        model: Score estimator or an ensemble of them, or their file or folder.
        setup: Setup of the analysis.
        components: Indices; None for those of the theory parameters.
        theta: Point of the score, for ratio estimators; None for zero.

    Raises:
        OptionError: If a component does not exist.
    """
    estimator = load_score_model(model)
    n_parameters = estimator.n_parameters or setup.n_parameters
    names = f"components of the {n_parameters} of the score"

    def component(value: object, name: str) -> int:
        return whole(value, f"{name} ({names})", 0, n_parameters - 1)

    chosen = range(setup.n_parameters) if components is None else components
    kept = sequence(chosen, "score_components", component)
    if not kept:
        raise refusal("score_components", "at least one component", components)
    at = np.zeros(n_parameters)
    if theta is not None:
        at[: len(theta)] = theta
    scores = EstimatedScores(estimator, at)
    return lambda x: scores(x)[:, kept]


def finite_rows(values: FloatArray, what: str) -> BoolArray:
    """Events whose statistics are all numbers, shape ``(n,)``; others are reported.

    Raises:
        DataError: If there is none.
    """
    kept: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
    n_lost = int(np.count_nonzero(~kept))
    if n_lost and n_lost == len(values):
        raise DataError(f"None of the {what} has a finite value of what is histogrammed.")
    if n_lost:
        report_weakness(
            logger,
            "%d of %d %s have no finite value of what is histogrammed and do not count.",
            n_lost,
            len(values),
            what,
        )
    return kept


def numbers_of_bins(bins: HistBins | None, n_statistics: int) -> list[int] | None:
    """Numbers of bins of each statistic, None if edges are given instead.

    By default 25 bins of one statistic, 8 each of two, 5 each of more.

    Raises:
        OptionError: If there is not one number for each statistic.
    """
    if bins is None:
        bins = {1: 25, 2: 8}.get(n_statistics, 5)
    if isinstance(bins, int | np.integer):
        bins = [int(bins)] * n_statistics
    elements = sequence(bins, "hist_bins", lambda value, _: value)
    is_flat = n_statistics == 1 and len(elements) > 1 and all(map(np.isscalar, elements))
    if is_flat or not all(isinstance(value, int | np.integer) for value in elements):
        return None
    numbers = [whole(value, f"hist_bins[{i}]", 1, MOST_BINS) for i, value in enumerate(elements)]
    _check_number(numbers, n_statistics)
    whole(math.prod(numbers), "The number of bins", 1, MOST_BINS)
    return numbers


def fixed_binning(bins: HistBins, n_statistics: int) -> Binning:
    """Bins with given edges of each statistic, or of the only one.

    Raises:
        OptionError: If the edges are not valid or there are not those of each statistic.
    """
    elements = sequence(bins, "hist_bins", lambda value, _: value)
    if n_statistics == 1 and elements and np.isscalar(elements[0]):
        elements = [bins]
    if any(isinstance(edges, int | np.integer) for edges in elements):
        raise refusal("hist_bins", "either numbers of bins or edges for all statistics", bins)
    _check_number(elements, n_statistics)
    edges = tuple(as_edges(real_array(given, "hist_bins", error=OptionError)) for given in elements)
    if any(len(given) < 2 for given in edges):
        raise refusal("hist_bins", "at least two edges of each statistic", bins)
    binning = Binning(edges)
    whole(binning.n_bins, "The number of bins", 1, MOST_BINS)
    return binning


def adaptive_binning(values: FloatArray, weights: FloatArray, numbers: Sequence[int]) -> Binning:
    """Bins of each statistic with equal contents, from 0.1 % to 99.9 % of the events.

    Args:
        values: Statistics, shape ``(n, n_statistics)``.
        weights: Weights of the events, shape ``(n,)``.
        numbers: Number of bins of each statistic; fewer if values are repeated.

    Raises:
        DataError: If a statistic has a single value, or weights do not add up to a positive number.
    """
    edges = []
    for column, n in zip(values.T, numbers, strict=True):
        probabilities = np.linspace(LOWEST_QUANTILE, 1.0 - LOWEST_QUANTILE, n + 1)
        found = np.unique(weighted_quantiles(column, probabilities, weights, stretch=True))
        if len(found) < 2:
            raise DataError(
                f"A statistic is {found[0]:.4g} for nearly all events, which makes no histogram; "
                "choose another observable, or give edges as hist_bins."
            )
        edges.append(found)
    return Binning(tuple(edges))


def _check_number(given: Sequence[object], n_statistics: int) -> None:
    if len(given) != n_statistics:
        raise OptionError(
            f"hist_bins must have one entry for each of {n_statistics} statistics, got "
            f"{len(given)}."
        )


def _widths(edges: FloatArray) -> FloatArray:
    """Widths of the bins of one statistic, the outer ones limited."""
    widths = np.diff(edges)
    if len(widths) > 1:
        inner = widths.copy()
        widths[0], widths[-1] = min(inner[0], 2.0 * inner[1]), min(inner[-1], 2.0 * inner[-2])
    return widths
