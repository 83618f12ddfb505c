r"""Figures of what systematic uncertainties do to an observable: its rate and its shape.

Behind them are histograms at random values of nuisance parameters ("toys"), made in one pass over
the events,

.. math::

    h_k(\theta, \nu) = \sum_{i \in k} w_i(\theta)\, f_i(\nu), \qquad \nu_j \sim N(0, 1)

The weights :math:`w_i` form a sparse matrix of bins and events, the factors :math:`f_i` a dense one
of events and toys; their product is the histograms of all toys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.sparse import csr_array

from madminer.analysis import DataAnalyzer
from madminer.analysis.response import EventResponse
from madminer.analysis.weights import ParameterPoints, ThetaTable
from madminer.checks import random_generator
from madminer.errors import NoEventsError, SetupError, UnknownNameError
from madminer.plotting.options import check_options
from madminer.plotting.style import COLORS, draw_band, per_item, plain, plot_style
from madminer.typing import BoolArray, FloatArray, IntArray, Seed, StrPath, ThetaLike

BAND_68 = (0.16, 0.84)
"""Quantiles of toys between which a band of 68 % lies."""

BAND_95 = (0.025, 0.975)
"""The same for 95 %."""

FACTOR_RANGE = (0.01, 100.0)
"""Range of the factors on single events, so that extrapolations of a few do not fill a bin."""

_N_FACTORS = 500_000  # held at once; more do not fit into caches
_RATIO_RANGE = (0.8, 1.2)
_SMALLEST_REACH = 0.01


@check_options
@plot_style
def plot_uncertainty(
    filename: StrPath,
    theta: ThetaLike,
    observable: str,
    obs_label: str,
    obs_range: tuple[float, float],
    n_bins: int = 50,
    systematics: Sequence[str] | None = None,
    n_events: int | None = None,
    n_toys: int = 100,
    linecolor: str = "black",
    bandcolor1: str = "#CC002E",
    bandcolor2: str = "orange",
    ratio_range: tuple[float, float] = _RATIO_RANGE,
    *,
    seed: Seed = None,
) -> Figure:
    """One observable with bands of 68 % and 95 % from systematic uncertainties.

    Nuisance parameters are drawn from N(0, 1); the bands lie between quantiles of the histograms.

    Args:
        filename: Event file with nuisance parameters.
        theta: Name or index of a benchmark, or position.
        observable: Name of the observable.
        obs_label: Its label.
        obs_range: Lowest and highest value shown.
        n_bins: Number of bins.
        systematics: Names of the systematics that are varied together; None for all.
        n_events: Number of events to draw at random, scaled to the full cross section; None for
            all.
        n_toys: Number of draws of the nuisance parameters.
        linecolor: Colour of the histogram at nominal nuisance parameters.
        bandcolor1: Colour of the band of 68 %.
        bandcolor2: Colour of the band of 95 %.
        ratio_range: Vertical range of the lower panels. If it is not given, it is as wide as the
            bands, at least 1 % to both sides.
        seed: Source of randomness.

    Returns:
        The figure: pb per bin on the left, unit area on the right, ratios to the nominal histogram
        below.

    Raises:
        UnknownNameError: If there is no such observable, benchmark or systematic.
        SetupError: If the file has no nuisance parameters.
        NoEventsError: If no cross section lies in the range.
        OptionError: If a range or number is not valid.
    """
    analyzer, edges = _open(filename, observable), np.linspace(*obs_range, n_bins + 1)
    combined = np.any(list(_masks(analyzer, systematics).values()), axis=0)
    nominal, (toys,) = _histograms(
        analyzer, theta, observable, edges, [combined], n_toys, n_events, seed
    )
    bands = [
        _Band("68 %", toys, BAND_68, bandcolor1, 1.0),
        _Band("95 %", toys, BAND_95, bandcolor2, 1.0),
    ]
    return _draw(nominal, bands, edges, obs_label, linecolor, ratio_range)


@check_options
@plot_style
def plot_systematics(
    filename: StrPath,
    theta: ThetaLike,
    observable: str,
    obs_label: str,
    obs_range: tuple[float, float],
    n_bins: int = 50,
    n_events: int | None = None,
    n_toys: int = 100,
    linecolor: str = "black",
    bandcolors: str | Sequence[str] | None = None,
    band_alpha: float = 0.2,
    ratio_range: tuple[float, float] = _RATIO_RANGE,
    *,
    seed: Seed = None,
) -> Figure:
    """One observable with a band of 68 % from each systematic uncertainty, and from all of them.

    Args:
        filename: Event file with nuisance parameters.
        theta: Name or index of a benchmark, or position.
        observable: Name of the observable.
        obs_label: Its label.
        obs_range: Lowest and highest value shown.
        n_bins: Number of bins.
        n_events: Number of events to draw at random, scaled to the full cross section; None for
            all.
        n_toys: Number of draws of the nuisance parameters.
        linecolor: Colour of the histogram at nominal nuisance parameters.
        bandcolors: Colours of the systematics and, last, of all combined, repeated in turn if
            there are fewer; or one for all. None: distinct colours, and grey for all combined.
        band_alpha: Opacity of the bands.
        ratio_range: Vertical range of the lower panels. If it is not given, it is as wide as the
            bands, at least 1 % to both sides.
        seed: Source of randomness.

    Returns:
        The figure: pb per bin on the left, unit area on the right, ratios to the nominal histogram
        below.

    Raises:
        UnknownNameError: If there is no such observable or benchmark.
        SetupError: If the file has no nuisance parameters.
        NoEventsError: If no cross section lies in the range.
        OptionError: If a range or number is not valid.
    """
    analyzer, edges = _open(filename, observable), np.linspace(*obs_range, n_bins + 1)
    by_name = _masks(analyzer, None)
    names, masks = [*map(plain, by_name), "combined"], list(by_name.values())
    masks.append(np.any(masks, axis=0))
    nominal, toys = _histograms(analyzer, theta, observable, edges, masks, n_toys, n_events, seed)
    if bandcolors:
        given = [bandcolors] if isinstance(bandcolors, str) else bandcolors
        colors = per_item("bandcolors", None, given, len(names))
    else:  # the last is that of all combined
        colors = [*per_item("bandcolors", None, COLORS[:-1], len(names) - 1), COLORS[-1]]
    bands = [
        _Band(name, toys_of, BAND_68, color, band_alpha, is_outlined=True)
        for name, toys_of, color in zip(names, toys, colors, strict=True)
    ]
    return _draw(nominal, bands, edges, obs_label, linecolor, ratio_range)


def toy_nus(n_toys: int, n_nuisance_parameters: int, seed: Seed = None) -> FloatArray:
    """Draw v nuisance parameters from their constraint N(0, 1), shape ``(n_toys, v)``.

    Examples:
        >>> toy_nus(3, 2, seed=1).shape
        (3, 2)
    """
    return random_generator(seed).standard_normal((n_toys, n_nuisance_parameters))


def toy_batch_size(n_nus: int) -> int:
    """Number of events whose factors at all toys are held at once."""
    return max(_N_FACTORS // n_nus, 1000)


def toy_histograms(
    analyzer: DataAnalyzer,
    batches: Iterable[tuple[FloatArray, FloatArray]],
    thetas: Sequence[ThetaLike],
    nus: FloatArray,
    columns: Sequence[int],
    edges: Sequence[FloatArray],
) -> FloatArray:
    """Histograms of observables (columns of x) at every pair of theta and nu.

    Args:
        analyzer: Analysis with nuisance parameters.
        batches: Observables and weights at all benchmarks, as from `DataAnalyzer.event_loader`;
            `toy_batch_size` says how many events in each fit.
        thetas: Names or indices of benchmarks, or positions.
        nus: Nuisance parameters, shape ``(n_nus, v)``.
        columns: Column of each observable.
        edges: Bin edges of each observable, all of the same shape ``(n_bins + 1,)``.

    Returns:
        Sums of weights in pb, shape ``(n_thetas, n_columns, n_nus, n_bins)``.
    """
    points = [
        ParameterPoints(
            ThetaTable(analyzer.setup, [theta]), np.zeros(len(nus), dtype=np.int64), nus
        )
        for theta in thetas
    ]
    sums = np.zeros((len(thetas), len(columns), len(nus), len(edges[0]) - 1))
    reported: set[str] = set()
    for x, weights in batches:
        response = EventResponse.of(analyzer.response, weights)
        response.report(reported)
        bins = [_bins(x[:, column], edge) for column, edge in zip(columns, edges, strict=True)]
        factors: FloatArray | None = None
        for point, of_theta in zip(points, sums, strict=True):
            if factors is None or analyzer.response.varying:
                logs = response.log_factors(point)
                factors = np.exp(np.clip(logs.T, *np.log(FACTOR_RANGE)))
            at_theta = weights @ point.table.coefficients[0]
            for of_column, bin_ in zip(of_theta, bins, strict=True):
                of_column += _binned(at_theta, bin_, factors, of_column.shape[1]).T
    return sums


def unit_area(histograms: FloatArray, edges: FloatArray) -> FloatArray:
    """Histograms divided by their area, shape ``(..., n_bins)``.

    Examples:
        >>> unit_area(np.array([1.0, 3.0]), np.array([0.0, 0.5, 1.0]))
        array([0.5, 1.5])
    """
    area = np.sum(histograms * np.diff(edges), axis=-1, keepdims=True)
    result: FloatArray = histograms / area
    return result


def ratios(histograms: FloatArray, nominal: FloatArray) -> FloatArray:
    """Histograms relative to a nominal one, NaN where that is zero: figures then have gaps."""
    gaps = np.full(np.broadcast_shapes(histograms.shape, nominal.shape), np.nan)
    result: FloatArray = np.divide(histograms, nominal, out=gaps, where=nominal != 0.0)
    return result


def _bins(values: FloatArray, edges: FloatArray) -> IntArray:
    """Bin of each value as in `numpy.histogram`, -1 or n_bins outside."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins[values == edges[-1]] = len(edges) - 2
    return bins


def _binned(weights: FloatArray, bins: IntArray, factors: FloatArray, n_bins: int) -> FloatArray:
    """Sums of weights times each column of factors, shape ``(n_bins, n_nus)``."""
    inside = np.flatnonzero((bins >= 0) & (bins < n_bins))
    matrix = csr_array((weights[inside], (bins[inside], inside)), shape=(n_bins, len(weights)))
    result: FloatArray = matrix @ factors
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """Range between two quantiles of toys, and how it is drawn."""

    label: str
    toys: FloatArray
    quantiles: tuple[float, float]
    color: str
    alpha: float
    is_outlined: bool = False

    def ends(self, values: FloatArray) -> FloatArray:
        """The quantiles of values of the toys, shape ``(2, n_bins)``."""
        ends: FloatArray = np.quantile(values, self.quantiles, axis=0)
        return ends


def _open(filename: StrPath, observable: str) -> DataAnalyzer:
    """The events of a file that has this observable, and nuisance parameters."""
    analyzer = DataAnalyzer(filename)
    names = list(analyzer.observables)
    if observable not in names:
        raise UnknownNameError(f"There is no observable {observable!r}; the file has {names}.")
    if not analyzer.nuisance_parameters:
        raise SetupError(
            f"{filename} has no nuisance parameters, so there are no systematic uncertainties "
            "to show; give systematics to MadMiner.add_systematics and to the samples."
        )
    return analyzer


def _histograms(
    analyzer: DataAnalyzer,
    theta: ThetaLike,
    observable: str,
    edges: FloatArray,
    masks: Sequence[BoolArray],
    n_toys: int,
    n_events: int | None,
    seed: Seed,
) -> tuple[FloatArray, FloatArray]:
    """Nominal histogram and those of toys: ``(n_bins,)``, ``(n_masks, n_toys, n_bins)``.

    Masks say which nuisance parameters vary; all have the same toys.
    """
    rng = random_generator(seed)
    toys = toy_nus(n_toys, analyzer.n_nuisance_parameters, rng)
    nus = np.concatenate([np.zeros((1, toys.shape[1])), *(toys * mask for mask in masks)])
    size, scale = toy_batch_size(len(nus)), 1.0
    batches: Iterator[tuple[FloatArray, FloatArray]]
    if n_events is None:
        batches = analyzer.event_loader(batch_size=size)
    else:  # scaled to the full cross section
        x, weights = analyzer.weighted_events(n_draws=n_events, seed=rng)
        drawn = np.sum(weights @ ThetaTable(analyzer.setup, [theta]).coefficients[0])
        scale = float(analyzer.xsecs([theta])[0][0]) / float(drawn)
        batches = ((x[i : i + size], weights[i : i + size]) for i in range(0, len(x), size))
    column = list(analyzer.observables).index(observable)
    sums = scale * toy_histograms(analyzer, batches, [theta], nus, [column], [edges])[0, 0]
    if not sums[0].sum() > 0.0:
        raise NoEventsError(
            f"The cross section between {edges[0]:g} and {edges[-1]:g} is {sums[0].sum():g} pb; "
            "choose obs_range inside the range of the observable."
        )
    return sums[0], sums[1:].reshape(len(masks), n_toys, -1)


def _masks(analyzer: DataAnalyzer, wanted: str | Sequence[str] | None) -> dict[str, BoolArray]:
    """Which nuisance parameters belong to each systematic, shape ``(v,)``."""
    owners = np.array([nu.systematic for nu in analyzer.nuisance_parameters.values()])
    known = list(dict.fromkeys(owners.tolist()))
    names = known if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UnknownNameError(
            f"There are no systematics {unknown or names} with nuisance parameters; the file has "
            f"{known}."
        )
    return {name: owners == name for name in names}


def _draw(
    nominal: FloatArray,
    bands: Sequence[_Band],
    edges: FloatArray,
    label: str,
    linecolor: str,
    ratio_range: tuple[float, float],
) -> Figure:
    """Rate on the left, shape on the right, ratios below; the first bands lie on top."""
    figure, panels = plt.subplots(
        2, 2, sharex=True, figsize=(9.0, 5.6), height_ratios=(5, 2), squeeze=False
    )
    units = r"$\Delta\sigma$ per bin [pb]", "normalized"
    for (top, bottom), unit, is_shape in zip(panels.T, units, (False, True), strict=True):
        line = unit_area(nominal, edges) if is_shape else nominal
        ends = []
        for band in reversed(bands):
            toys = unit_area(band.toys, edges) if is_shape else band.toys
            draw_band(top, edges, band.ends(toys), band.color, band.alpha)
            ends.append(band.ends(ratios(toys, line)))
            draw_band(bottom, edges, ends[-1], band.color, band.alpha)
            for end in ends[-1] if band.is_outlined else ():
                bottom.stairs(end, edges, baseline=None, color=band.color, linewidth=1.0, zorder=2)
        top.stairs(line, edges, baseline=None, color=linecolor, linewidth=1.5, zorder=3)
        bottom.axhline(1.0, color=linecolor, linewidth=1.5, zorder=3)
        top.set(ylabel=unit, xlim=(edges[0], edges[-1]))
        if np.all(line >= 0.0):
            top.set_ylim(bottom=0.0)
        shown = _range_of(np.array(ends)) if ratio_range is _RATIO_RANGE else ratio_range
        bottom.set(xlabel=label, ylabel="ratio", ylim=shown)
    figure.align_ylabels(panels)
    handles = [
        Line2D([], [], color=linecolor, linewidth=1.5, label="nominal"),
        *(
            Patch(
                facecolor=(band.color, band.alpha),
                edgecolor=band.color if band.is_outlined else "none",
                label=band.label,
            )
            for band in bands
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
    return figure


def _range_of(ends: FloatArray) -> tuple[float, float]:
    """Range around one that shows the ends of bands, but not those of a few wild bins."""
    deviations = np.abs(ends[np.isfinite(ends)] - 1.0)
    reach = 1.15 * float(np.quantile(deviations, 0.98)) if deviations.size else 0.0
    reach = max(reach, _SMALLEST_REACH)
    return 1.0 - reach, 1.0 + reach
