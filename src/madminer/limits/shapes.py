r"""Terms of limits for the distribution of events: histograms at every point, networks, truth.

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
from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.checks import random_generator, refusal
from madminer.errors import OptionError, ShapeError
from madminer.likelihood.base import EventPool
from madminer.likelihood.histograms import (
    Binning,
    DensityHistogram,
    HistBins,
    Statistic,
    adaptive_binning,
    finite_rows,
    fixed_binning,
    numbers_of_bins,
    observable_statistic,
    score_statistic,
)
from madminer.likelihood.learned import learned_density, report_fixed_shape, response_term
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import (
    BinnedShape,
    LearnedShape,
    RateTerm,
    Term,
    binned_densities,
)
from madminer.likelihood.yields import DrawnCells, MorphedCells, varied_weights
from madminer.limits.log_r_errors import (
    binned_data_errors,
    binned_log_r_errors,
    ensemble_log_r_errors,
    learned_data_errors,
    rate_log_r_errors,
)
from madminer.limits.options import LimitMode, LimitOptions, Postprocessing
from madminer.limits.truth import truth_terms
from madminer.models import AnalysisSetup
from madminer.progress import track
from madminer.typing import BoolArray, FloatArray, IntArray

SMALLEST_STEP = 1e-6
"""Distance from the reference point below which there is no direction."""

Turn = Callable[[FloatArray, FloatArray], FloatArray]
"""Scores ``(n, m)`` and the step from the reference point to theta, to statistics of theta."""

Errors = FloatArray | None
"""Standard deviations of log r at n points, shape ``(n,)``; None where they are not known."""


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Observed or expected events.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        weights: Weights, which add up to their number, shape ``(n,)``.
        pool: The same events with their weights at the benchmarks; None if they are observed.
    """

    x: FloatArray
    weights: FloatArray
    pool: EventPool | None = None

    @property
    def n_events(self) -> float:
        """Number of events, not necessarily whole."""
        return float(self.weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Terms for the distribution of events, none or exact ones, and what is known of their errors.

    Args:
        setup: Setup of the analysis.
        terms: The terms.
    """

    setup: AnalysisSetup
    terms: tuple[Term, ...]

    def points(self, params: FloatArray) -> ParameterPoints:
        """Points in theta and nu."""
        return Channel(self.setup, (), np.zeros(1)).points(params)

    @property
    def datasets(self) -> IntArray | None:
        """Number of the data set of each point, where bins depend on theta."""
        return None

    def reference(self, likelihood: Likelihood, n: int) -> FloatArray:  # noqa: ARG002
        """Minus the log densities at the reference point, zero where none is divided out."""
        return np.zeros(n)

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """Standard deviations of log r, shape ``(n,)``; None where they are not known."""
        return None

    def data_errors(self, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """Those from finite expected data, where `log_r_errors` are without; None elsewhere."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class RateShape(Shape):
    """No distribution: only the number of events counts.

    Args:
        setup: Setup of the analysis.
        terms: None.
        products: Sums of products of the weights of all events, shape ``(b, b)``.
    """

    products: FloatArray

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        if rate is None:
            return None
        return rate_log_r_errors(rate, self.products, self.points(params), best)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkShape(Shape):
    """A network, and the learned response to nuisance parameters.

    Args:
        setup: Setup of the analysis.
        terms: Both.
        learned: The network.
    """

    learned: LearnedShape

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:  # noqa: ARG002
        """See `Shape`."""
        if len(self.learned.density.members) == 1:
            return None
        return ensemble_log_r_errors(self.learned, self.points(params), best)

    def data_errors(self, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        return learned_data_errors(self.learned, self.points(params), best)


@dataclass(frozen=True, slots=True, eq=False)
class HistogramShape(Shape):
    """Histograms on a grid.

    Args:
        setup: Setup of the analysis.
        terms: The term of the likelihood; if bins depend on theta, each point is a data set.
        term: The same.
        binnings: Bins common to all points, or those of each.
        statistics: What is histogrammed of the data at each point, zero for events that do not
            count, shape ``(n_thetas, n, n_statistics)``; without events if bins depend on theta
            and the data are not to be returned.
        weights: Weights of the data, zero for events that do not count, shape ``(n,)``.
        theta_reference: Point whose density is divided out, None if the statistic is the same
            everywhere.
        products: Sums of products of weights in common bins, shape ``(K, b, b)``; None if bins
            depend on theta or hold events drawn at random.
        variance: Sums of the squared weights of expected data in common bins, shape ``(b,)``; None
            if bins depend on theta, or the data are observed.
    """

    term: BinnedShape
    binnings: list[Binning]
    statistics: FloatArray
    weights: FloatArray
    theta_reference: FloatArray | None
    products: FloatArray | None = None
    variance: FloatArray | None = None

    @property
    def datasets(self) -> IntArray | None:
        """See `Shape`."""
        n = len(self.term.counts)
        return np.arange(n) if n > 1 else None

    def reference(self, likelihood: Likelihood, n: int) -> FloatArray:
        """See `Shape`."""
        if self.theta_reference is None:
            return np.zeros(n)
        params = np.zeros((n, likelihood.n_params))
        params[:, : self.setup.n_parameters] = self.theta_reference
        return likelihood.parts(params, self.datasets)["shape"]

    def log_r_errors(self, rate: RateTerm | None, params: FloatArray, best: int) -> Errors:
        """See `Shape`."""
        if self.products is None:
            return None
        points = self.points(params)
        errors = binned_log_r_errors(self.term, self.products, rate, points, best)
        if self.variance is None:
            return errors
        return np.hypot(errors, binned_data_errors(self.term, self.variance, points, best))

    def histograms(self, params: FloatArray) -> list[DensityHistogram]:
        """Histograms at points."""
        n, term = len(params), self.term
        which = np.arange(n) if len(term.counts) > 1 else np.zeros(n, dtype=np.int64)
        sigma, _ = term.bins.expand(self.points(params), which)
        volumes = term.volumes if len(term.volumes) == 1 else term.volumes[which]
        binnings = self.binnings if len(self.binnings) > 1 else self.binnings * n
        return [
            DensityHistogram(one.edges, density[: one.n_bins].reshape(one.shape))
            for density, one in zip(binned_densities(sigma, volumes), binnings, strict=False)
        ]

    def shown_data(self, n_points: int, n_events: int) -> tuple[FloatArray, FloatArray]:
        """Statistics of the first events of the data at the first points, and their weights."""
        return self.statistics[:n_points, :n_events], self.weights[:n_events]


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
        return Shape(setup, tuple(truth_terms(data.pool, data.weights)))
    if mode == "ml":
        return _network_shape(analyzer, data, options)
    if not options.weighted_histo and setup.n_nuisance_parameters:
        raise OptionError(
            "Nuisance parameters cannot be profiled with histograms that are drawn at random; use "
            "weighted_histo=True."
        )
    pool = EventPool.of(analyzer, "train", options.test_split)
    return histogram_shape(mode, points, grid, data, pool, options)


def _network_shape(analyzer: DataAnalyzer, data: DataSet, options: LimitOptions) -> NetworkShape:
    if options.model_file is None:
        raise OptionError("Mode 'ml' needs model_file, the estimator of a ratio or a likelihood.")
    density = learned_density(options.model_file, analyzer.setup)
    if density.knows_nu:  # else rounding hides where the likelihood of many events is largest
        density = density.in_double_precision()
    learned = LearnedShape(density, data.x, data.weights, np.array([0, len(data.x)]))
    terms: list[Term] = [learned]
    if options.response is None:
        report_fixed_shape(analyzer, density, data.n_events)
    else:
        pool = EventPool.of(analyzer)
        terms.append(response_term(options.response, density, data.x, data.weights, pool))
    return NetworkShape(analyzer.setup, tuple(terms), learned)


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
    return HistogramShape(
        setup,
        (term,),
        term,
        binnings,
        np.broadcast_to(statistics, (len(thetas), *statistics.shape[1:])),
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
