"""Figures of observables: their distributions at several parameter points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.errors import OptionError, UnknownNameError
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
    toy_linewidths: float | Sequence[float] = 0.5,  # noqa: ARG001 - drawn with nuisance toys
    alpha: float = 0.15,
    toy_alpha: float = 0.75,  # noqa: ARG001 - drawn with nuisance toys
    n_events: int | None = None,
    n_toys: int = 100,  # noqa: ARG001 - drawn with nuisance toys
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
        uncertainties: ``"statistical"`` draws bands from the number of events, ``"none"`` draws
            none. ``"nuisance"``, bands from nuisance parameters, is not drawn so far: it warns
            where it is given, and the default draws none.
        nuisance_parameters: For bands from nuisance parameters.
        draw_nuisance_toys: For bands from nuisance parameters.
        normalize: Whether histograms have unit area; otherwise they show pb per bin.
        log: Whether the vertical axis is logarithmic.
        observable_labels: Axis labels; None for the names.
        n_bins: Number of bins.
        line_labels: Legend entries; None for names of benchmarks or values of parameters.
        colors: Colour of each point, or one for all.
        linestyles: Line style of each point, or one for all.
        linewidths: Line width of each point, or one for all.
        toy_linewidths: For bands from nuisance parameters.
        alpha: Opacity of the bands.
        toy_alpha: For bands from nuisance parameters.
        n_events: Number of events to draw at random; None for all. The histograms are scaled to
            the full cross section.
        n_toys: For bands from nuisance parameters.
        n_cols: Largest number of panels in a row.
        quantiles_for_range: Quantiles, over all points, that span the horizontal axis; it is
            widened by 10 % within the range of the data.
        sample_only_from_closest_benchmark: Whether each point is drawn from the events of its
            closest benchmark (and background) only.
        seed: Source of randomness for `n_events`.

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
    wants_nuisances = uncertainties == "nuisance" and not isinstance(uncertainties, _Default)
    if wants_nuisances or nuisance_parameters or draw_nuisance_toys:
        warnings.warn(
            "No bands from nuisance parameters are drawn: the file has none, or this version does "
            "not draw them. Use uncertainties='none' or 'statistical'.",
            UserWarning,
            stacklevel=3,
        )
    analyzer = DataAnalyzer(filename, include_nuisance_parameters=False)
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
            Line2D([], [], color=color, linestyle=style, linewidth=width, label=label),
        )
        for point, label, color, style, width in zip(
            points,
            per_item("line_labels", line_labels, [_name(analyzer, p) for p in points], len(points)),
            per_item("colors", colors, COLORS, len(points)),
            per_item("linestyles", linestyles, line_styles(len(points)), len(points)),
            per_item("linewidths", linewidths, (), len(points)),
            strict=True,
        )
    ]
    figure, panels = figure_grid(len(columns), n_cols)
    for panel, column, label in zip(panels, columns, labels, strict=True):
        edges = _edges([(c.x[:, column], c.weights) for c in curves], n_bins, quantiles_for_range)
        for curve in curves:
            _draw_curve(
                panel,
                curve,
                column,
                edges,
                normalize,
                alpha if uncertainties == "statistical" else 0.0,
            )
        unit = "normalized" if normalize else r"$\Delta\sigma$ per bin [pb]"
        panel.set(xlabel=label, ylabel=unit, xlim=(edges[0], edges[-1]))
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


def _draw_curve(
    panel: Axes, curve: _Curve, column: int, edges: FloatArray, normalize: bool, alpha: float
) -> None:
    values = curve.x[:, column]
    contents, _ = np.histogram(values, edges, weights=curve.weights)
    errors = np.sqrt(np.histogram(values, edges, weights=curve.weights**2)[0])
    if normalize:
        area = float(np.sum(contents * np.diff(edges)))
        contents, errors = contents / area, errors / area
    panel.stairs(
        contents,
        edges,
        baseline=None,
        color=curve.line.get_color(),
        linestyle=curve.line.get_linestyle(),
        linewidth=curve.line.get_linewidth(),
    )
    if alpha > 0.0:
        panel.stairs(
            contents + errors,
            edges,
            baseline=contents - errors,
            fill=True,
            color=curve.line.get_color(),
            alpha=alpha,
        )
