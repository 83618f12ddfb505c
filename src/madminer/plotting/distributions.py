"""Figures of observables: their distributions at several parameter points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.deprecation import missing_attribute
from madminer.errors import OptionError, UnavailableNameError, UnknownNameError
from madminer.plotting.nuisance_toys import (
    BAND_68,
    ratios,
    toy_batch_size,
    toy_histograms,
    toy_nus,
    unit_area,
)
from madminer.plotting.style import (
    COLORS,
    LineStyle,
    figure_grid,
    line_styles,
    per_item,
    plot_style,
)
from madminer.stats import weighted_quantiles
from madminer.typing import FloatArray, Seed, StrPath, ThetaLike

__all__ = ["plot_distributions"]


class _Default(str):
    """A default that can be told from the same text given by the user."""

    __slots__ = ()


_NUISANCE_IF_ANY = _Default("nuisance")


@plot_style
def plot_distributions(
    filename: StrPath,
    observables: Sequence[str] | None = None,
    parameter_points: Sequence[ThetaLike] | None = None,
    uncertainties: str = _NUISANCE_IF_ANY,
    nuisance_parameters: Sequence[int] | None = None,
    draw_nuisance_toys: int | None = None,
    normalize: bool = False,
    log: bool = False,
    observable_labels: Sequence[str] | None = None,
    n_bins: int = 50,
    line_labels: Sequence[str] | None = None,
    colors: str | Sequence[str] | None = None,
    linestyles: LineStyle | Sequence[LineStyle] | None = None,
    linewidths: float | Sequence[float] = 1.5,
    toy_linewidths: float | Sequence[float] = 0.5,
    alpha: float = 0.15,
    toy_alpha: float = 0.75,
    n_events: int | None = None,
    n_toys: int = 100,
    n_cols: int = 3,
    quantiles_for_range: tuple[float, float] = (0.025, 0.975),
    sample_only_from_closest_benchmark: bool = True,
    *,
    seed: Seed = None,
) -> Figure:
    """Distributions of observables at several parameter points, a panel for each observable.

    Args:
        filename: Event file.
        observables: Names of observables; None for all.
        parameter_points: Names or indices of benchmarks, or arrays; None for all physical
            benchmarks.
        uncertainties: ``"nuisance"`` draws bands between the 16 and 84 % quantiles of histograms at
            nuisance parameters from N(0, 1), relative to their histogram at zero, from all events;
            factors on events are clipped to [0.01, 100]. By default, no bands if the file has no
            nuisance parameters. ``"statistical"``: bands from the number of events, ``"none"``: no
            bands.
        nuisance_parameters: Indices of the nuisance parameters that vary; None for all.
        draw_nuisance_toys: Number of histograms at random nuisance parameters that are drawn as
            thin lines; None for none.
        normalize: Whether histograms have unit area; otherwise they show pb per bin.
        log: Whether the vertical axis is logarithmic.
        observable_labels: Axis labels; None for the names.
        n_bins: Number of bins.
        line_labels: Legend entries; None for names of benchmarks or values of parameters.
        colors: Colour of each point, or one for all.
        linestyles: Line style of each point, or one for all.
        linewidths: Line width of each point, or one for all.
        toy_linewidths: Line width of the thin lines of each point, or one for all.
        alpha: Opacity of the bands.
        toy_alpha: Opacity of the thin lines.
        n_events: Number of events to draw at random; None for all. The histograms are scaled to
            the full cross section.
        n_toys: Number of draws of the nuisance parameters behind the bands.
        n_cols: Largest number of panels in a row.
        quantiles_for_range: Quantiles, over all points, that span the horizontal axis; it is
            widened by 10 % within the range of the data.
        sample_only_from_closest_benchmark: Whether each point is drawn from the events of its
            closest benchmark (and background) only.
        seed: Source of randomness for `n_events` and nuisance parameters.

    Returns:
        The figure.

    Raises:
        UnknownNameError: If there is no such observable or benchmark.
        OptionError: If an option is unknown or a list has the wrong length.
        MorphingError: If weights are not known at a point.
    """
    if uncertainties not in {"none", "statistical", "nuisance"}:
        raise OptionError(
            f"uncertainties must be 'none', 'statistical' or 'nuisance', got {uncertainties!r}."
        )
    n_drawn = _n_drawn(draw_nuisance_toys)
    varies = uncertainties == "nuisance" or n_drawn > 0
    is_asked_for = uncertainties == "nuisance" and not isinstance(uncertainties, _Default)
    analyzer = DataAnalyzer(filename, include_nuisance_parameters=varies)
    if varies and not analyzer.nuisance_parameters:
        varies = False
        if is_asked_for or n_drawn > 0:
            warnings.warn(
                f"No bands from nuisance parameters are drawn: {filename} has none. Use "
                "uncertainties='none' or 'statistical'.",
                UserWarning,
                stacklevel=3,
            )
    columns = _columns(analyzer, observables)
    points = list(
        analyzer.setup.physical_benchmarks if parameter_points is None else parameter_points
    )
    names = list(analyzer.observables)
    labels = per_item(
        "observable_labels", observable_labels, [names[i] for i in columns], len(columns)
    )
    curves = [
        _Curve(
            *_weighted_sample(analyzer, point, n_events, sample_only_from_closest_benchmark, seed),
            Line2D([], [], color=color, ls=style, lw=width, label=label, zorder=2),
            Line2D([], [], color=color, ls=style, lw=toy_width, alpha=toy_alpha, zorder=1.5),
        )
        for point, label, color, style, width, toy_width in zip(
            points,
            per_item("line_labels", line_labels, [_name(analyzer, p) for p in points], len(points)),
            per_item("colors", colors, COLORS, len(points)),
            per_item("linestyles", linestyles, line_styles(len(points)), len(points)),
            per_item("linewidths", linewidths, (), len(points)),
            per_item("toy_linewidths", toy_linewidths, (), len(points)),
            strict=True,
        )
    ]
    edges = [
        _edges([(c.x[:, column], c.weights) for c in curves], n_bins, quantiles_for_range)
        for column in columns
    ]
    variations: FloatArray = np.empty((len(points), len(columns), 0, n_bins))
    if varies:
        nus = _nus(analyzer, nuisance_parameters, max(n_toys, n_drawn), seed)
        variations = _variations(analyzer, points, nus, columns, edges, normalize)
    figure, panels = figure_grid(len(columns), n_cols)
    for k, panel in enumerate(panels):
        for curve, variation in zip(curves, variations[:, k], strict=True):
            contents, errors = _histogram(curve, columns[k], edges[k], normalize)
            _draw_steps(panel, contents, edges[k], curve.line)
            toys = contents * variation
            if uncertainties == "statistical":
                band = contents - errors, contents + errors
                _draw_band(panel, *band, edges[k], curve.line, alpha)
            elif len(toys) > 0 and uncertainties == "nuisance":
                low, high = np.quantile(toys, BAND_68, axis=0)
                _draw_band(panel, low, high, edges[k], curve.line, alpha)
            for toy in toys[:n_drawn]:
                _draw_steps(panel, toy, edges[k], curve.toy_line)
        unit = "normalized" if normalize else r"$\Delta\sigma$ per bin [pb]"
        panel.set(xlabel=labels[k], ylabel=unit, xlim=(edges[k][0], edges[k][-1]))
        panel.set_yscale("log" if log else "linear")
        if not log and panel.dataLim.y0 >= 0.0:
            panel.set_ylim(bottom=0.0)
    figure.legend(
        handles=[curve.line for curve in curves],
        loc="outside upper center",
        ncols=min(len(curves), 2 * min(len(panels), n_cols)),
    )
    return figure


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """Weighted events at one parameter point and how to draw them."""

    x: FloatArray
    weights: FloatArray
    line: Line2D
    toy_line: Line2D


def _weighted_sample(
    analyzer: DataAnalyzer, theta: ThetaLike, n_events: int | None, close: bool, seed: Seed
) -> tuple[FloatArray, FloatArray]:
    close_to = theta if close else None
    x, weights = analyzer.weighted_events(
        theta, generated_close_to=close_to, n_draws=n_events, seed=seed
    )
    if n_events is not None:
        sigma = float(analyzer.xsecs([theta], generated_close_to=close_to)[0][0])
        weights = weights * (sigma / weights.sum())
    return x, weights


def _columns(analyzer: DataAnalyzer, observables: Sequence[str] | None) -> list[int]:
    names = list(analyzer.observables)
    wanted = names if observables is None else list(observables)
    if isinstance(observables, str):
        raise OptionError(f"observables must be a list of names; give [{observables!r}].")
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise UnknownNameError(f"There are no observables {unknown}; the file has {names}.")
    return [names.index(name) for name in wanted]


def _name(analyzer: DataAnalyzer, theta: ThetaLike) -> str:
    if isinstance(theta, str):
        return theta
    if isinstance(theta, int | np.integer):
        return list(analyzer.setup.physical_benchmarks)[int(theta)]
    return r"$\theta$ = (" + ", ".join(f"{value:.3g}" for value in np.asarray(theta)) + ")"


def _edges(
    samples: Sequence[tuple[FloatArray, FloatArray]], n_bins: int, quantiles: tuple[float, float]
) -> FloatArray:
    if n_bins < 1:
        raise OptionError(f"n_bins must be positive, got {n_bins}.")
    ends = np.array([weighted_quantiles(x, quantiles, np.abs(w)) for x, w in samples])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    margin = 0.1 * (high - low)
    low = max(low - margin, min(float(x.min()) for x, _ in samples))
    high = min(high + margin, max(float(x.max()) for x, _ in samples))
    if not low < high:  # one value only
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, n_bins + 1)


def _n_drawn(draw_nuisance_toys: int | None) -> int:
    n_drawn = 0 if draw_nuisance_toys is None else draw_nuisance_toys
    if n_drawn < 0:
        raise OptionError(f"draw_nuisance_toys must be None, zero or positive, got {n_drawn}.")
    return n_drawn


def _nus(
    analyzer: DataAnalyzer, nuisance_parameters: Sequence[int] | None, n_toys: int, seed: Seed
) -> FloatArray:
    """Nominal nuisance parameters, then toys in which only some vary, shape ``(1 + n_toys, v)``."""
    v = analyzer.n_nuisance_parameters
    varied = list(range(v)) if nuisance_parameters is None else list(nuisance_parameters)
    if any(index not in range(v) for index in varied):
        raise OptionError(
            f"nuisance_parameters must be indices from 0 to {v - 1}, of "
            f"{list(analyzer.nuisance_parameters)}; got {varied}."
        )
    toys = toy_nus(n_toys, v, seed)
    return np.concatenate([np.zeros((1, v)), toys * np.isin(np.arange(v), varied)])


def _variations(
    analyzer: DataAnalyzer,
    points: Sequence[ThetaLike],
    nus: FloatArray,
    columns: Sequence[int],
    edges: Sequence[FloatArray],
    normalize: bool,
) -> FloatArray:
    """Histograms of toys relative to the first, ``(n_points, n_columns, n_toys, n_bins)``."""
    batches = analyzer.event_loader(batch_size=toy_batch_size(len(nus)))
    histograms = toy_histograms(analyzer, batches, points, nus, columns, edges)
    if normalize:
        by_column = [unit_area(histograms[:, k], edges[k]) for k in range(len(columns))]
        histograms = np.stack(by_column, axis=1)
    return ratios(histograms[:, :, 1:], histograms[:, :, :1])


def _histogram(
    curve: _Curve, column: int, edges: FloatArray, normalize: bool
) -> tuple[FloatArray, FloatArray]:
    """Contents and statistical errors of bins."""
    values = curve.x[:, column]
    contents, _ = np.histogram(values, edges, weights=curve.weights)
    errors = np.sqrt(np.histogram(values, edges, weights=curve.weights**2)[0])
    area = float(np.sum(contents * np.diff(edges))) if normalize else 1.0
    return contents / area, errors / area


def _draw_steps(panel: Axes, contents: FloatArray, edges: FloatArray, line: Line2D) -> None:
    panel.stairs(
        contents,
        edges,
        baseline=None,
        color=line.get_color(),
        linestyle=line.get_linestyle(),
        linewidth=line.get_linewidth(),
        alpha=line.get_alpha(),
        zorder=line.get_zorder(),
    )


def _draw_band(
    panel: Axes, low: FloatArray, high: FloatArray, edges: FloatArray, line: Line2D, alpha: float
) -> None:
    if alpha > 0.0:
        panel.stairs(
            high, edges, baseline=low, fill=True, color=line.get_color(), alpha=alpha, linewidth=0.0
        )


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name):
        raise missing_attribute(__name__, name, UnavailableNameError)
