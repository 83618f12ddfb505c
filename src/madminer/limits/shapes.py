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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.checks import random_generator, refusal
from madminer.errors import OptionError, ShapeError
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
from madminer.likelihood.pool import EventPool
from madminer.likelihood.terms import BinnedShape
from madminer.likelihood.yields import DrawnCells, MorphedCells, Yields, varied_weights
from madminer.limits.options import LimitMode, LimitOptions, Postprocessing
from madminer.models import AnalysisSetup
from madminer.progress import track
from madminer.typing import BoolArray, FloatArray, IntArray

SMALLEST_STEP = 1e-6
"""Distance from the reference point below which there is no direction."""


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
class HistogramShape:
    """Histograms on a grid.

    Args:
        term: The term of the likelihood; if bins depend on theta, each point is a data set.
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


def histogram_shape(
    mode: LimitMode,
    setup: AnalysisSetup,
    thetas: FloatArray,
    grid: slice,
    data: DataSet,
    pool: EventPool,
    options: LimitOptions,
) -> HistogramShape:
    """Histograms of all modes.

    Args:
        mode: "histo", "sally", "adaptive-sally" or "sallino".
        setup: Setup of the analysis.
        thetas: Parameter points, shape ``(n, p)``.
        grid: Those whose mean weights make adaptive bins.
        data: Observed or expected events.
        pool: Simulated events.
        options: Options of the limits.

    Raises:
        OptionError: If options do not fit to the mode or to each other.
        DataError: If no event has finite statistics.
    """
    rng = random_generator(options.seed)
    reference = (
        setup.theta(options.thetaref)
        if options.thetaref is not None
        else (np.zeros(setup.n_parameters))
    )
    base = _base_statistic(mode, setup, options, reference)
    statistic = _Statistic(_rotation(mode), options.postprocessing, reference)
    if options.weighted_histo:
        pool = pool.thinned(options.n_histo_toys, rng, "n_histo_toys")
    simulated = base(pool.x)
    observed = base(data.x) if len(data.x) else np.empty((0, simulated.shape[1]))
    kept = statistic.finite(simulated, thetas, "simulated events")
    seen = statistic.finite(observed, thetas, "data events")
    simulated, weights = simulated[kept], pool.weights[kept]
    counted = np.where(seen, data.weights, 0.0)
    is_shown = bool(options.return_observed or options.return_asimov)
    varied = varied_weights(setup, weights)
    builder = _Histograms(mode, setup, thetas, thetas[grid], weights, varied, options)
    n_statistics = statistic.at(simulated[:1], thetas[0]).shape[1]
    if statistic.turn is None and builder.has_common_bins(n_statistics):
        values, of_data = (statistic.at(part, thetas[0]) for part in (simulated, observed[seen]))
        binning = builder.binning(values, None)
        term = BinnedShape(
            builder.yields([builder.cells(binning, values)], rng),
            binning.counts(of_data, counted[seen])[np.newaxis],
            binning.volumes[np.newaxis],
        )
        products = binning.weight_products(values, weights) if options.weighted_histo else None
        variance = None if data.pool is None else binning.counts(of_data, counted[seen] ** 2)
        shown = np.broadcast_to(_spread(of_data, seen), (len(thetas), len(seen), of_data.shape[1]))
        return HistogramShape(term, [binning], shown, counted, None, products, variance)
    rows = []
    for i, theta in enumerate(track(thetas, "Histograms")):
        values, of_data = (statistic.at(part, theta) for part in (simulated, observed[seen]))
        binning = builder.binning(values, i)
        rows.append(
            (
                binning,
                builder.cells(binning, values),
                binning.counts(of_data, counted[seen]),
                _spread(of_data, seen) if is_shown else of_data[:0],
            )
        )
    binnings = [row[0] for row in rows]
    largest = max(binning.n_bins for binning in binnings)
    term = BinnedShape(
        builder.yields([row[1] for row in rows], rng),
        np.stack([_padded(row[2], largest) for row in rows]),
        np.stack([_padded(binning.volumes, largest, 1.0) for binning in binnings]),
    )
    shown = np.stack([row[3] for row in rows])
    at_reference = None if statistic.turn is None else reference
    return HistogramShape(term, binnings, shown, counted, at_reference)


@dataclass(frozen=True, slots=True, eq=False)
class _Statistic:
    """What is histogrammed at each point, made of what is the same everywhere."""

    turn: Callable[[FloatArray, FloatArray], FloatArray] | None
    process: Postprocessing | None
    reference: FloatArray

    def at(self, values: FloatArray, theta: FloatArray) -> FloatArray:
        """The statistics at a point, shape ``(n, n_statistics)``."""
        turned = values if self.turn is None else self.turn(values, theta - self.reference)
        return _processed(self.process, turned)

    def finite(self, values: FloatArray, thetas: FloatArray, what: str) -> BoolArray:
        """Events whose statistics are numbers at all points, shape ``(n,)``."""
        is_finite: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
        changes = () if self.process is None else thetas if self.turn is not None else thetas[:1]
        for theta in changes:
            is_finite[is_finite] = np.isfinite(self.at(values[is_finite], theta)).all(axis=1)
        return finite_rows(np.where(is_finite, 0.0, np.nan)[:, np.newaxis], what)


@dataclass(frozen=True, eq=False)
class _SameDraws:
    """Cells drawn at random, the same at each call: histograms shown are those that are used."""

    cells: Yields
    n_events: int
    seed: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.cells.n_cells

    def expand(self, points: ParameterPoints, datasets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross sections at random, see `Yields`; the first of more points are the same."""
        rng = np.random.default_rng(self.seed)
        return DrawnCells(self.cells, self.n_events, rng).expand(points, datasets)


@dataclass(frozen=True, slots=True, eq=False)
class _Histograms:
    """How the bins at each point are made and filled."""

    mode: LimitMode
    setup: AnalysisSetup
    thetas: FloatArray
    grid: FloatArray
    weights: FloatArray
    varied: FloatArray
    options: LimitOptions

    @property
    def fixing(self) -> str | None:
        """Where the weights of adaptive bins are taken; None for each point its own."""
        given = self.options.fix_adaptive_binning
        if not isinstance(given, str):
            return None
        kind = given.removeprefix("auto-")
        return kind if kind == given or self.mode in {"histo", "sally"} else None

    def has_common_bins(self, n_statistics: int) -> bool:
        """Whether statistics that are the same everywhere have the same bins everywhere."""
        return (
            self.fixing is not None
            or numbers_of_bins(self._bins(n_statistics), n_statistics) is None
        )

    def _bins(self, n_statistics: int) -> HistBins | None:
        """Numbers of bins or edges, with the defaults of the mode."""
        bins = self.options.hist_bins
        if bins is None and self.mode == "adaptive-sally" and n_statistics > 1:
            return [15, 5] if n_statistics == 2 else [12] + [5] * (n_statistics - 1)
        return bins

    def binning(self, values: FloatArray, i: int | None) -> Binning:
        """Bins of statistics ``(n, n_statistics)`` at a point of the grid, or at all."""
        n = values.shape[1]
        bins = self._bins(n)
        numbers = numbers_of_bins(bins, n)
        if numbers is None:
            return fixed_binning(bins or 1, n)
        few = self.options.n_binning_toys or len(values)
        weights = self._binning_weights(i)
        return adaptive_binning(values[:few], weights[:few], numbers)

    def _binning_weights(self, i: int | None) -> FloatArray:
        if self.fixing == "center":
            thetas = 0.5 * (self.grid.min(axis=0) + self.grid.max(axis=0))[np.newaxis]
        elif self.fixing == "grid" or i is None:
            thetas = self.grid
        else:
            thetas = self.thetas[i : i + 1]
        coefficients = parameter_points(self.setup, thetas, None).coefficients.mean(axis=0)
        weights: FloatArray = self.weights @ coefficients
        return weights

    def cells(self, binning: Binning, values: FloatArray) -> MorphedCells:
        """Cross sections of bins filled with statistics ``(n, n_statistics)``."""
        return MorphedCells.of_events(
            self.setup, self.weights, binning.cells(values), binning.n_bins, self.varied
        )

    def yields(self, parts: Sequence[MorphedCells], rng: np.random.Generator) -> Yields:
        """Cross sections of the bins, drawn at random if histograms are not weighted."""
        cells = MorphedCells.joined(parts)
        if self.options.weighted_histo:
            return cells
        n_events = self.options.n_histo_toys or len(self.weights)
        return _SameDraws(cells, n_events, int(rng.integers(2**63)))


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
    if mode == "adaptive-sally" and components is not None:
        _check_directions(components, setup)
    return score_statistic(options.model_file, setup, components, reference)  # type: ignore[arg-type] # checked there


def _check_directions(components: Sequence[int], setup: AnalysisSetup) -> None:
    """Only a score of all theory parameters has a direction; a single component needs none."""
    if np.size(components) not in {1, setup.n_parameters}:
        raise refusal(
            "score_components",
            f"a single component or {setup.n_parameters}, one for each theory parameter, in mode "
            "'adaptive-sally'",
            components,
        )


def _rotation(mode: LimitMode) -> Callable[[FloatArray, FloatArray], FloatArray] | None:
    return {"sallino": _along, "adaptive-sally": _turned}.get(mode)


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


def _processed(
    function: Callable[[FloatArray], FloatArray] | None, values: FloatArray
) -> FloatArray:
    if function is None:
        return values
    found = np.asarray(function(values), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(values):
        raise ShapeError(
            f"postprocessing must turn {values.shape} into (n, n_statistics) with as many events, "
            f"got {found.shape}."
        )
    return found


def _spread(values: FloatArray, rows: BoolArray) -> FloatArray:
    """Values in some rows, zeros in the others."""
    spread = np.zeros((len(rows), values.shape[1]))
    spread[rows] = values
    return spread


def _padded(values: FloatArray, n: int, fill: float = 0.0) -> FloatArray:
    """Values of bins with empty bins added."""
    missing = [(0, n - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing, constant_values=fill)
