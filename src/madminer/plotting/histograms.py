"""Figures of histograms that exist already, with observed events on top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from madminer.checks import real_array, refusal, sequence
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import check_options, finite, increasing, one_or_list, texts
from madminer.plotting.style import (
    SEQUENTIAL,
    LineStyle,
    draw_colours,
    figure_grid,
    legend_above,
    lines_of,
    look,
    plot_style,
)
from madminer.typing import FloatArray

_DENSITY = "density"

_SMALLEST_SHARE = 1e-6
"""Densities below this share of the largest one are not shown on a logarithmic axis."""


@runtime_checkable
class DensityHistogram(Protocol):
    """A histogram with a density in its bins, as this package makes them."""

    @property
    def edges(self) -> Sequence[ArrayLike]:
        """Bin edges along each axis."""

    @property
    def histo(self) -> ArrayLike:
        """Density, shape ``(n_bins,)`` or ``(n_0, n_1)``."""


@runtime_checkable
class UHIHistogram(Protocol):
    """A histogram with contents of its bins, as boost-histogram and hist make them."""

    @property
    def axes(self) -> Sequence[Any]:
        """Axes, each with its `edges`."""

    def values(self) -> ArrayLike:
        """Contents without underflow and overflow."""


Histogram = DensityHistogram | UHIHistogram


@dataclass(frozen=True, slots=True, eq=False)
class _Density:
    edges: list[FloatArray]
    density: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Observed events, shape ``(n, n_axes)``, and their weights."""

    x: FloatArray
    weights: FloatArray


@check_options
@plot_style
def plot_histograms(
    histos: Histogram | Sequence[Histogram],
    observed: ArrayLike | Sequence[ArrayLike] | None = None,
    observed_weights: ArrayLike | Sequence[ArrayLike] | None = None,
    xrange: tuple[float, float] | None = None,
    yrange: tuple[float, float] | None = None,
    zrange: tuple[float, float] | None = None,
    log: bool = False,
    histo_labels: Sequence[str] | None = None,
    observed_label: str = "Data",
    xlabel: str | None = None,
    ylabel: str | None = None,
    zlabel: str | None = None,
    colors: str | Sequence[str] | None = None,
    linestyles: LineStyle | Sequence[LineStyle] | None = None,
    linewidths: float | Sequence[float] = 1.5,
    markercolor: str = "black",
    markersize: float = 20.0,
    cmap: str | Colormap = SEQUENTIAL,
    n_cols: int = 2,
) -> Figure:
    r"""Histograms and observed events: of one variable overlaid, of two in a panel each.

    In one variable, observed events appear as points with error bars, the density of unit area

    .. math:: \frac{\sum_{i \in k} w_i}{\Delta_k \sum_i w_i} \pm
              \frac{\sqrt{\sum_{i \in k} w_i^2}}{\Delta_k \sum_i w_i}

    in the bins (of width :math:`\Delta_k`) of the first histogram. Events outside of the bins do
    not count; the figure says how many there are. Empty bins have no point.

    Args:
        histos: One or several, all with one axis or all with two. Either with `edges` (a list with
            the array of edges of each axis) and `histo` (density, shape ``(n_bins,)`` or
            ``(n_0, n_1)``), or histograms of boost-histogram and hist, whose contents are divided
            by their sum and by the sizes of the bins.
        observed: Observed events, shape ``(n,)``, or a list of which the first counts. With two
            axes: shape ``(n, 2)``, or one for each panel. None for none.
        observed_weights: Their weights, shape ``(n,)``, or a list likewise; None for equal ones.
        xrange: Range of the horizontal axis; None for that of the bins.
        yrange: Range of the vertical axis; None for all densities, or that of the bins.
        zrange: Range of the colours of histograms with two axes; None for all densities.
        log: Whether the axis of the density (with two axes: the colours) is logarithmic. Without a
            range, it spans six orders of magnitude at most.
        histo_labels: Legend entries or, with two axes, titles; None to number them.
        observed_label: Legend entry of the observed events.
        xlabel: Label of the variable; None for :math:`x`, or :math:`x_0`.
        ylabel: Label of the density, or of the second variable; None for "density", or
            :math:`x_1`.
        zlabel: Label of the colours; None for "density".
        colors: Colour of each histogram with one axis, or one for all; None for the package's.
        linestyles: Line style of each, or one for all; None for all styles in turn.
        linewidths: Line width of each, or one for all.
        markercolor: Colour of the observed events.
        markersize: Area of their markers in square points. With two axes it is that of an average
            weight, and areas are proportional to weights; hollow ones have negative weights.
        cmap: Colour map of histograms with two axes.
        n_cols: Largest number of panels in a row.

    Returns:
        The figure.

    Raises:
        ShapeError: If edges, densities, events or weights do not fit each other.
        DataError: If values are not finite, or contents or weights do not add up to more than
            zero.
        OptionError: If something is no histogram, a list has the wrong length, or a logarithmic
            axis would hold no density.

    Examples:
        >>> from types import SimpleNamespace
        >>> triangle = SimpleNamespace(edges=[[0.0, 1.0, 2.0]], histo=[0.25, 0.75])
        >>> figure = plot_histograms(triangle, [0.5, 1.2, 1.7], xlabel="$m_{jj}$ [TeV]")
        >>> figure.axes[0].get_xlabel()
        '$m_{jj}$ [TeV]'
    """
    given = list(histos) if isinstance(histos, list | tuple) else [histos]
    densities = [_as_density(histogram, f"histos[{i}]") for i, histogram in enumerate(given)]
    n, n_axes = len(densities), _number_of_axes(densities)
    names = texts(histo_labels, "histo_labels", [f"histogram {i}" for i in range(n)])
    samples = _samples(observed, observed_weights, n_axes, n)
    points = Line2D([], [], color=markercolor, marker="o", ls="none", label=observed_label)
    points.set_markersize(math.sqrt(markersize))
    if n_axes == 1:
        lines = lines_of(names, colors, linestyles, linewidths)
        figure, panels = figure_grid(1, panel_size=(5.4, 4.2))
        for density, line in zip(densities, lines, strict=True):
            panels[0].stairs(density.density, density.edges[0], baseline=None, **look(line))
        for sample in samples:
            _draw_points(panels[0], densities[0].edges[0], sample, points)
            _note_outside(panels[0], densities[0].edges, sample)
        legend_above(panels[0], [*lines, *([points] if samples else [])])
        _set_density_axis(panels[0], densities, yrange, log)
    else:
        titles = [""] if n == 1 and histo_labels is None else names
        figure, panels = figure_grid(n, n_cols, panel_size=(4.6, 3.8))
        norm = (LogNorm if log else Normalize)(*_density_range(densities, zrange, log))
        for panel, density, title in zip(panels, densities, titles, strict=True):
            mesh = draw_colours(panel, density.edges, density.density, norm=norm, cmap=cmap)
            panel.set_title(title)
            panel.set_ylim(yrange or _span(density.edges[1]))
        figure.colorbar(mesh, ax=panels, label=zlabel or _DENSITY, pad=0.02)
        _draw_markers(panels, densities, samples, points)
        if samples:
            figure.legend(handles=[points], loc="outside upper right")
    defaults = ("$x$", _DENSITY) if n_axes == 1 else ("$x_0$", "$x_1$")
    for panel, density in zip(panels, densities, strict=False):
        panel.set(xlabel=xlabel or defaults[0], ylabel=ylabel or defaults[1])
        panel.set_xlim(xrange or _span(density.edges[0]))
    return figure


def _as_density(histogram: object, name: str) -> _Density:
    """Edges and density of a histogram of either kind."""
    given: object
    if isinstance(histogram, DensityHistogram):
        given, values = histogram.edges, histogram.histo
    elif isinstance(histogram, UHIHistogram) and callable(histogram.values):
        given = [getattr(axis, "edges", None) for axis in histogram.axes]
        values = histogram.values()
    else:
        expected = "a histogram with edges and histo, or with axes and values()"
        raise refusal(name, expected, histogram)
    edges = sequence(given, f"The edges of {name}", increasing)
    contents = finite(values, f"The bins of {name}", *(len(axis) - 1 for axis in edges))
    if isinstance(histogram, DensityHistogram):
        return _Density(edges, contents)
    if getattr(histogram, "kind", "COUNT") != "COUNT" or not contents.sum() > 0.0:
        raise DataError(f"{name} must count events, with a sum of contents above zero.")
    volumes = reduce(np.multiply.outer, [np.diff(axis) for axis in edges])
    return _Density(edges, contents / (contents.sum() * volumes))


def _number_of_axes(densities: Sequence[_Density]) -> int:
    numbers = [len(density.edges) for density in densities]
    if set(numbers) not in ({1}, {2}):
        raise ShapeError(
            "histos must be one histogram or more, all with one axis or all with two, got "
            f"{numbers} axes."
        )
    return numbers[0]


def _samples(observed: object, weights: object, n_axes: int, n: int) -> list[_Sample]:
    """Observed events of the first histogram, or of each of n panels; none if none were given."""
    if observed is None:
        return []
    is_matrix = isinstance(observed, np.ndarray) and observed.ndim == 2  # a sample, not a list
    arrays = [observed] if is_matrix else one_or_list(observed, n_axes)
    given: list[object] = [None] if weights is None else one_or_list(weights, 1)
    if n_axes == 1:  # the first of a list counts
        return [_sample(arrays[0], given[0], n_axes)]
    pairs = zip(
        _for_each_panel(arrays, "observed", n),
        _for_each_panel(given, "observed_weights", n),
        strict=True,
    )
    return [_sample(x, w, n_axes) for x, w in pairs]


def _for_each_panel(values: list[object], name: str, n: int) -> list[object]:
    if len(values) not in (1, n):
        raise OptionError(f"{name} must be one array or a list of {n}, got {len(values)}.")
    return values * n if len(values) == 1 else values


def _sample(observed: object, weights: object, n_axes: int) -> _Sample:
    x = real_array(observed, "observed")
    x = finite(x[:, np.newaxis] if (n_axes, x.ndim) == (1, 1) else x, "observed", None, n_axes)
    w = np.ones(len(x)) if weights is None else finite(weights, "observed_weights", len(x))
    if not w.sum() > 0.0:
        raise DataError("observed must hold events whose weights add up to more than zero.")
    return _Sample(x, w)


def _draw_points(panel: Axes, edges: FloatArray, sample: _Sample, points: Line2D) -> None:
    """Density of observed events with its statistical error, as points in bins that have any."""
    x, w = sample.x[:, 0], sample.weights
    counts, sums, squares = (np.histogram(x, edges, weights=w**power)[0] for power in (0, 1, 2))
    if not sums.sum() > 0.0:
        raise DataError("The observed events lie outside of the bins of the first histogram.")
    scale = sums.sum() * np.diff(edges)
    filled = counts > 0
    panel.errorbar(
        ((edges[:-1] + edges[1:]) / 2.0)[filled],
        (sums / scale)[filled],
        (np.sqrt(squares) / scale)[filled],
        color=points.get_color(),
        marker=points.get_marker(),
        markersize=points.get_markersize(),
        linestyle="none",
        elinewidth=1.0,
        zorder=3,
    )


def _note_outside(panel: Axes, edges: Sequence[FloatArray], sample: _Sample) -> None:
    """Say how many events have no place in the bins."""
    low, high = np.array([_span(axis) for axis in edges]).T
    n_outside = int(np.count_nonzero(np.any((sample.x < low) | (sample.x > high), axis=1)))
    if n_outside:
        text = f"{n_outside} of {len(sample.x)} events outside"
        panel.set_title(text, loc="right", fontsize="small")


def _set_density_axis(
    panel: Axes, densities: Sequence[_Density], yrange: tuple[float, float] | None, log: bool
) -> None:
    panel.set_yscale("log" if log else "linear")
    if yrange is not None or log:
        low, high = _density_range(densities, yrange, log)
        panel.set_ylim(low, high if yrange is not None else None)
    elif panel.dataLim.y0 >= 0.0:
        panel.set_ylim(bottom=0.0)


def _density_range(
    densities: Sequence[_Density], given: tuple[float, float] | None, log: bool
) -> tuple[float, float]:
    """The range that was given, or that of the densities, without zero on a logarithmic axis."""
    values = np.concatenate([histogram.density.ravel() for histogram in densities])
    low, high = given or (min(0.0, float(values.min())), float(values.max()))
    if log and given is None and high > 0.0:
        low = max(float(values[values > 0.0].min()) / 2.0, _SMALLEST_SHARE * high)
    if log and low <= 0.0:
        raise OptionError("log needs densities above zero, and a range of them above zero.")
    return low, high


def _draw_markers(
    panels: Sequence[Axes],
    densities: Sequence[_Density],
    samples: Sequence[_Sample],
    points: Line2D,
) -> None:
    """Observed events of two variables, in areas proportional to their weights."""
    for panel, histogram, sample in zip(panels, densities, samples, strict=False):
        sizes = np.abs(sample.weights)
        areas = points.get_markersize() ** 2 * sizes / sizes.mean()
        color, hollow = points.get_color(), sample.weights < 0.0
        for mask, fill, edge in ((~hollow, color, "white"), (hollow, "none", color)):
            x, y = sample.x[mask].T
            panel.scatter(x, y, s=areas[mask], facecolors=fill, edgecolors=edge, linewidths=0.6)
        _note_outside(panel, histogram.edges, sample)


def _span(edges: FloatArray) -> tuple[float, float]:
    return float(edges[0]), float(edges[-1])
