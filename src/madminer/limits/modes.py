r"""Modes of limits: histograms at every point, networks, truth.

The statistics of the modes, with the estimated score t at the reference point and
:math:`d = \theta - \theta_\mathrm{ref}`:

- "histo": observables; "sally": components of t: the same at every point;
- "sallino": :math:`h = t \cdot d / |d|`, one number that depends on the direction;
- "adaptive-sally": :math:`(t \cdot d,\; t_1 d_0 - t_0 d_1) / |d|` in two parameters,
  :math:`(t \cdot d / |d|,\; t)` in more.

Densities of a statistic that depends on theta can be compared only with those of the same
statistic: where it does, the density at the reference point is divided out.

References:
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020, Sec. 3 (SALLY, SALLINO);
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import parameter_points
from madminer.blocks import row_blocks
from madminer.checks import random_generator, refusal
from madminer.errors import DataError, NotAvailableError, OptionError, ShapeError
from madminer.likelihood.base import EventPool
from madminer.likelihood.histograms import (
    Binning,
    HistBins,
    Statistic,
    adaptive_binning,
    finite_rows,
    fixed_binning,
    numbers_of_bins,
    observable_statistic,
    score_statistic,
)
from madminer.likelihood.learned import learned_density, network_terms
from madminer.likelihood.terms import (
    MOST_LOST,
    BinnedShape,
    LearnedShape,
    ResponseShape,
)
from madminer.likelihood.yields import DrawnCells, EventCells, MorphedCells, varied_weights
from madminer.limits.options import LimitMode, LimitOptions, Postprocessing
from madminer.limits.shapes import (
    DataSet,
    HistogramShape,
    NetworkShape,
    RateShape,
    Shape,
    TruthShape,
)
from madminer.models import AnalysisSetup
from madminer.progress import track
from madminer.typing import BoolArray, FloatArray

SMALLEST_STEP = 1e-6
"""Distance from the reference point below which there is no direction."""

_CELLS = 1 << 21  # weights of pairs of point and event that are held at once

Turn = Callable[[FloatArray, FloatArray], FloatArray]
"""Scores ``(n, m)`` and the step from the reference point to theta, to statistics of theta."""


def shape_of(
    analyzer: DataAnalyzer,
    mode: LimitMode,
    data: DataSet,
    points: FloatArray,
    grid: slice,
    options: LimitOptions,
) -> Shape:
    """The terms of a mode; `grid` are the points that adaptive bins are made for.

    Raises:
        OptionError: If options do not fit to the mode or to each other.
        DataError: If no event has finite statistics.
    """
    setup = analyzer.setup
    if mode == "rate":
        return RateShape(setup, (), analyzer.summed_weights()[1])
    if mode == "truth":
        if data.pool is None:
            raise OptionError("Latent variables of observed events are not known: another mode.")
        return _truth_shape(data.pool, data.weights, points)
    if mode == "ml":
        return _network_shape(analyzer, data, options)
    if not options.weighted_histo and setup.n_nuisance_parameters:
        raise OptionError(
            "Nuisance parameters cannot be profiled with histograms that are drawn at random; use "
            "weighted_histo=True."
        )
    pool = EventPool.of(analyzer, "train", options.test_split)
    return histogram_shape(mode, points, grid, data, pool, options)


def _truth_shape(pool: EventPool, weights: FloatArray, thetas: FloatArray) -> TruthShape:
    r"""Likelihood of events in all that was generated: the best that any analysis can do.

    .. math::

        \sum_i w_i \log \frac{w_i(\theta, \nu) / \sigma(\theta, \nu)}
        {w_i(\theta_\mathrm{true}) / \sigma(\theta_\mathrm{true})}

    with the weights of the events themselves, normalised to the same events. The weights that count
    the events are proportional to those at the truth.

    Raises:
        DataError: If most events have a weight that is not positive at some point.
        NotAvailableError: If the response to nuisance parameters depends on theta.
    """
    setup, model = pool.setup, response_model(pool.setup)
    if model.varying:
        raise NotAvailableError(
            "The truth is known only where the response to nuisance parameters does not depend on "
            "theta; use include_nuisance_parameters=False, or a histogram."
        )
    coefficients = parameter_points(setup, thetas, None).coefficients
    total = coefficients @ pool.weights.sum(axis=0)
    value, lost = np.zeros(len(thetas)), 0.0
    for events in row_blocks(len(weights), max(1, _CELLS // len(thetas))):
        w = weights[events]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = coefficients @ pool.weights[events].T / total[:, np.newaxis]
            log_r = np.log(ratio / (w / weights.sum()))
        used = np.isfinite(log_r).all(axis=0)
        lost += float(np.abs(w[~used]).sum())
        value += log_r[:, used] @ w[used]
    share = lost / float(np.abs(weights).sum())
    if share > MOST_LOST:
        raise DataError(
            f"The log ratio is not finite for {100 * share:.3g} % of the expected events: "
            "their weights are not positive at some grid points. Choose a smaller grid."
        )
    if not setup.n_nuisance_parameters:
        return TruthShape(setup, (), value)
    response = EventResponse.of(model, pool.weights)
    cells = EventCells(setup, pool.weights, np.zeros(len(pool), dtype=np.int64), 1)
    term = ResponseShape.of(cells, response.a, response.b, weights)
    return TruthShape(setup, (term,), value)


def _network_shape(analyzer: DataAnalyzer, data: DataSet, options: LimitOptions) -> NetworkShape:
    if options.model_file is None:
        raise OptionError("Mode 'ml' needs model_file, the estimator of a ratio or a likelihood.")
    density = learned_density(options.model_file, analyzer.setup)
    if density.knows_nu:  # else rounding hides where the likelihood of many events is largest
        density = density.in_double_precision()
    learned = LearnedShape(density, data.x, data.weights, np.array([0, len(data.x)]))
    terms = network_terms(analyzer, learned, options.response)
    return NetworkShape(analyzer.setup, terms, learned)


def histogram_shape(
    mode: LimitMode,
    thetas: FloatArray,
    grid: slice,
    data: DataSet,
    pool: EventPool,
    options: LimitOptions,
) -> HistogramShape:
    """Histograms of the modes "histo", "sally", "adaptive-sally" and "sallino" at all points.

    `grid` are the points whose mean weights make adaptive bins; `pool` are the simulated events.
    """
    rng, setup = random_generator(options.seed), pool.setup
    given = options.thetaref
    reference = np.zeros(setup.n_parameters) if given is None else setup.theta(given)
    base = _base_statistic(mode, setup, options, reference)
    turns: dict[str, Turn] = {"sallino": _along, "adaptive-sally": _turned}
    statistic = _Statistic(turns.get(mode), options.postprocessing, reference)
    if options.weighted_histo:
        pool = pool.thinned(options.n_histo_toys, rng, "n_histo_toys")
    simulated = base(pool.x)
    observed = base(data.x) if len(data.x) else np.empty((0, simulated.shape[1]))
    kept = statistic.finite(simulated, thetas, "simulated events")
    seen = statistic.finite(observed, thetas, "data events")
    simulated, weights = simulated[kept], pool.weights[kept]
    observed, counted = observed[seen], np.where(seen, data.weights, 0.0)
    varied = varied_weights(setup, weights)
    bins = _Bins(mode, setup, thetas, thetas[grid], weights, options)
    n_statistics = statistic.at(simulated[:1], thetas[0]).shape[1]
    is_common = statistic.turn is None and bins.are_common(n_statistics)
    is_shown = is_common or bool(options.return_observed or options.return_asimov)
    products = variance = None
    binnings, cells, counts, shown = [], [], [], []
    for i, theta in enumerate(thetas[:1] if is_common else track(thetas, "Histograms")):
        values, of_data = (statistic.at(part, theta) for part in (simulated, observed))
        binning = bins.binning(values, None if is_common else i)
        found = binning.cells(values)
        cells.append(MorphedCells.of_events(setup, weights, found, binning.n_bins, varied))
        counts.append(binning.counts(of_data, counted[seen]))
        shown.append(_spread(of_data, seen) if is_shown else of_data[:0])
        binnings.append(binning)
        if is_common and options.weighted_histo:
            products = binning.weight_products(values, weights)
        if is_common and data.pool is not None:
            variance = binning.counts(of_data, counted[seen] ** 2)
    joined: MorphedCells | DrawnCells = MorphedCells.joined(cells)
    largest = max(binning.n_bins for binning in binnings)
    if not options.weighted_histo:
        n_events = options.n_histo_toys or len(weights)
        joined = DrawnCells(joined, n_events, int(rng.integers(2**63)))
    term = BinnedShape(
        joined,
        np.stack([_padded(row, largest) for row in counts]),
        np.stack([_padded(binning.volumes, largest, 1.0) for binning in binnings]),
    )
    statistics = np.stack(shown)
    if is_common:
        statistics = np.broadcast_to(statistics, (len(thetas), *statistics.shape[1:]))
    return HistogramShape(
        setup,
        (term,),
        term,
        binnings,
        statistics,
        counted,
        None if statistic.turn is None else reference,
        products,
        variance,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Statistic:
    """What is histogrammed at each point, made of what is the same everywhere."""

    turn: Turn | None
    process: Postprocessing | None
    reference: FloatArray

    def at(self, values: FloatArray, theta: FloatArray) -> FloatArray:
        """The statistics at a point, shape ``(n, n_statistics)``."""
        turned = values if self.turn is None else self.turn(values, theta - self.reference)
        if self.process is None:
            return turned
        found = np.asarray(self.process(turned), dtype=np.float64)
        if found.ndim != 2 or len(found) != len(turned):
            raise ShapeError(
                f"postprocessing must turn {turned.shape} into (n, n_statistics) with as many "
                f"events, got {found.shape}."
            )
        return found

    def finite(self, values: FloatArray, thetas: FloatArray, what: str) -> BoolArray:
        """Events whose statistics are numbers at all points, shape ``(n,)``."""
        is_finite: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
        changes = () if self.process is None else thetas if self.turn is not None else thetas[:1]
        for theta in changes:
            is_finite[is_finite] = np.isfinite(self.at(values[is_finite], theta)).all(axis=1)
        return finite_rows(np.where(is_finite, 0.0, np.nan)[:, np.newaxis], what)


@dataclass(frozen=True, slots=True, eq=False)
class _Bins:
    """How the bins at each point are made."""

    mode: LimitMode
    setup: AnalysisSetup
    thetas: FloatArray
    grid: FloatArray
    weights: FloatArray
    options: LimitOptions

    @property
    def fixing(self) -> str | None:
        """Where the weights of adaptive bins are taken; None for each point its own."""
        given = self.options.fix_adaptive_binning
        if not isinstance(given, str):
            return None
        kind = given.removeprefix("auto-")
        return kind if kind == given or self.mode in {"histo", "sally"} else None

    def are_common(self, n_statistics: int) -> bool:
        """Whether statistics that are the same everywhere have the same bins everywhere."""
        bins = self._given(n_statistics)
        return self.fixing is not None or numbers_of_bins(bins, n_statistics) is None

    def _given(self, n_statistics: int) -> HistBins | None:
        """Numbers of bins or edges, with the defaults of the mode."""
        bins = self.options.hist_bins
        if bins is None and self.mode == "adaptive-sally" and n_statistics > 1:
            return [15, 5] if n_statistics == 2 else [12] + [5] * (n_statistics - 1)
        return bins

    def binning(self, values: FloatArray, i: int | None) -> Binning:
        """Bins of statistics ``(n, n_statistics)`` at a point of the grid, or at all."""
        n = values.shape[1]
        bins = self._given(n)
        numbers = numbers_of_bins(bins, n)
        if numbers is None:
            return fixed_binning(bins or 1, n)
        if self.fixing == "center":
            thetas = 0.5 * (self.grid.min(axis=0) + self.grid.max(axis=0))[np.newaxis]
        elif self.fixing == "grid" or i is None:
            thetas = self.grid
        else:
            thetas = self.thetas[i : i + 1]
        weights = self.weights @ parameter_points(self.setup, thetas, None).coefficients.mean(
            axis=0
        )
        few = self.options.n_binning_toys or len(values)
        return adaptive_binning(values[:few], weights[:few], numbers)


def _base_statistic(
    mode: LimitMode, setup: AnalysisSetup, options: LimitOptions, reference: FloatArray
) -> Statistic:
    """What is histogrammed, before it is turned into the direction of theta."""
    if mode == "histo" and options.hist_vars is not None:
        return observable_statistic(options.hist_vars, setup)
    if options.model_file is None:
        needed = "hist_vars, or model_file for scores" if mode == "histo" else "model_file"
        raise OptionError(f"Mode {mode!r} needs {needed}; got None.")
    components = None if mode == "sallino" else options.score_components
    p = setup.n_parameters
    # only a score of all theory parameters has a direction; a single component needs none
    if mode == "adaptive-sally" and components is not None and np.size(components) not in {1, p}:
        raise refusal(
            "score_components",
            f"a single component or {p}, one for each theory parameter, in mode 'adaptive-sally'",
            components,
        )
    return score_statistic(options.model_file, setup, components, reference)  # type: ignore[arg-type] # checked there


def _along(score: FloatArray, step: FloatArray) -> FloatArray:
    """Score along the direction from the reference point, shape ``(n, 1)``."""
    length = float(np.linalg.norm(step))
    if length < SMALLEST_STEP:
        return score[:, :1]
    along: FloatArray = (score @ (step / length))[:, np.newaxis]
    return along


def _turned(score: FloatArray, step: FloatArray) -> FloatArray:
    """Score along and across the direction from the reference point."""
    length = float(np.linalg.norm(step))
    if length < SMALLEST_STEP or score.shape[1] == 1:
        return score if score.shape[1] < 3 else np.hstack([score[:, :1], score])
    if score.shape[1] == 2:
        across = (score[:, 1] * step[0] - score[:, 0] * step[1]) / length
        return np.stack([score @ (step / length), across], axis=1)
    return np.hstack([_along(score, step), score])


def _spread(values: FloatArray, rows: BoolArray) -> FloatArray:
    """Values in some rows, zeros in the others."""
    spread = np.zeros((len(rows), values.shape[1]))
    spread[rows] = values
    return spread


def _padded(values: FloatArray, n: int, fill: float = 0.0) -> FloatArray:
    """Values of bins with empty bins added."""
    missing = [(0, n - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing, constant_values=fill)
