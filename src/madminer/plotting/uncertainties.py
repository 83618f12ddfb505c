"""Figures of what systematic uncertainties do to an observable: its rate and its shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from madminer.analysis import DataAnalyzer
from madminer.analysis.weights import ThetaTable
from madminer.checks import random_generator
from madminer.errors import NoEventsError, SetupError, UnknownNameError
from madminer.plotting.nuisance_toys import (
    BAND_68,
    BAND_95,
    ratios,
    toy_batch_size,
    toy_histograms,
    toy_nus,
    unit_area,
)
from madminer.plotting.options import check_options
from madminer.plotting.style import COLORS, per_item, plain, plot_style
from madminer.typing import BoolArray, FloatArray, Seed, StrPath, ThetaLike

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
    sample = _Sample.open(filename, theta, observable, obs_range, n_bins)
    masks = list(_masks(sample.analyzer, systematics).values())
    nominal, (toys,) = sample.histograms([np.any(masks, axis=0)], n_toys, n_events, seed)
    bands = [
        _Band("68 %", toys, BAND_68, bandcolor1, 1.0),
        _Band("95 %", toys, BAND_95, bandcolor2, 1.0),
    ]
    return _draw(nominal, bands, sample.edges, obs_label, linecolor, ratio_range)


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
    sample = _Sample.open(filename, theta, observable, obs_range, n_bins)
    by_name = _masks(sample.analyzer, None)
    names, masks = [*map(plain, by_name), "combined"], list(by_name.values())
    masks.append(np.any(masks, axis=0))
    nominal, toys = sample.histograms(masks, n_toys, n_events, seed)
    colors = _band_colors(bandcolors, len(names))
    bands = [
        _Band(name, toys_of, BAND_68, color, band_alpha, is_outlined=True)
        for name, toys_of, color in zip(names, toys, colors, strict=True)
    ]
    return _draw(nominal, bands, sample.edges, obs_label, linecolor, ratio_range)


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """Range between two quantiles of toys, and how it is drawn."""

    label: str
    toys: FloatArray
    quantiles: tuple[float, float]
    color: str
    alpha: float
    is_outlined: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """The events of one figure."""

    analyzer: DataAnalyzer
    theta: ThetaLike
    column: int
    edges: FloatArray

    @classmethod
    def open(
        cls,
        filename: StrPath,
        theta: ThetaLike,
        observable: str,
        obs_range: tuple[float, float],
        n_bins: int,
    ) -> _Sample:
        """Check what both figures show."""
        edges = np.linspace(*obs_range, n_bins + 1)
        analyzer = DataAnalyzer(filename)
        names = list(analyzer.observables)
        if observable not in names:
            raise UnknownNameError(f"There is no observable {observable!r}; the file has {names}.")
        if not analyzer.nuisance_parameters:
            raise SetupError(
                f"{filename} has no nuisance parameters, so there are no systematic uncertainties "
                "to show; give systematics to MadMiner.add_systematics and to the samples."
            )
        return cls(analyzer, theta, names.index(observable), edges)

    def histograms(
        self, masks: Sequence[BoolArray], n_toys: int, n_events: int | None, seed: Seed
    ) -> tuple[FloatArray, FloatArray]:
        """Nominal histogram and those of toys: ``(n_bins,)``, ``(n_masks, n_toys, n_bins)``.

        Masks say which nuisance parameters vary; all have the same toys.
        """
        rng = random_generator(seed)
        toys = toy_nus(n_toys, self.analyzer.n_nuisance_parameters, rng)
        nus = np.concatenate([np.zeros((1, toys.shape[1])), *(toys * mask for mask in masks)])
        batches, scale = self._batches(toy_batch_size(len(nus)), n_events, rng)
        arguments = [self.theta], nus, [self.column], [self.edges]
        sums = scale * toy_histograms(self.analyzer, batches, *arguments)[0, 0]
        if not sums[0].sum() > 0.0:
            raise NoEventsError(
                f"The cross section between {self.edges[0]:g} and {self.edges[-1]:g} is "
                f"{sums[0].sum():g} pb; choose obs_range inside the range of the observable."
            )
        return sums[0], sums[1:].reshape(len(masks), n_toys, -1)

    def _batches(
        self, batch_size: int, n_events: int | None, rng: np.random.Generator
    ) -> tuple[Iterator[tuple[FloatArray, FloatArray]], float]:
        """Events, and the factor that scales them to the full cross section."""
        if n_events is None:
            return self.analyzer.event_loader(batch_size=batch_size), 1.0
        x, weights = self.analyzer.weighted_events(n_draws=n_events, seed=rng)
        drawn = float(
            np.sum(weights @ ThetaTable(self.analyzer.setup, [self.theta]).coefficients[0])
        )
        starts = range(0, len(x), batch_size)
        batches = ((x[i : i + batch_size], weights[i : i + batch_size]) for i in starts)
        return batches, float(self.analyzer.xsecs([self.theta])[0][0]) / drawn


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


def _band_colors(given: str | Sequence[str] | None, n: int) -> list[str]:
    """Colours of n bands, the last of which is that of all systematics combined."""
    if not given:
        return [*per_item("bandcolors", None, COLORS[:-1], n - 1), COLORS[-1]]
    return per_item("bandcolors", None, [given] if isinstance(given, str) else given, n)


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
            _draw_band(top, band, toys, edges)
            relative = ratios(toys, line)
            ends.append(_draw_band(bottom, band, relative, edges, outlined=band.is_outlined))
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


def _draw_band(
    panel: Axes, band: _Band, values: FloatArray, edges: FloatArray, *, outlined: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Draw a band; its ends are returned, shape ``(n_bins,)`` each."""
    low, high = np.quantile(values, band.quantiles, axis=0)
    panel.stairs(
        high, edges, baseline=low, fill=True, color=band.color, alpha=band.alpha, linewidth=0.0
    )
    if outlined:
        for end in (low, high):
            panel.stairs(end, edges, baseline=None, color=band.color, linewidth=1.0, zorder=2)
    return low, high


def _range_of(ends: FloatArray) -> tuple[float, float]:
    """Range around one that shows the ends of bands, but not those of a few wild bins."""
    deviations = np.abs(ends[np.isfinite(ends)] - 1.0)
    reach = 1.15 * float(np.quantile(deviations, 0.98)) if deviations.size else 0.0
    reach = max(reach, _SMALLEST_REACH)
    return 1.0 - reach, 1.0 + reach
