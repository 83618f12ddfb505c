"""Figures of observables: their distributions at several parameter points."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.weights import ThetaTable
from madminer.deprecation import warn
from madminer.errors import NoEventsError, OptionError, UnknownNameError
from madminer.plotting.histograms import plot_histograms as plot_histograms
from madminer.plotting.options import check_options
from madminer.plotting.style import (
    LineStyle,
    draw_band,
    figure_grid,
    line_styles,
    lines_of,
    look,
    per_item,
    plain,
    plot_style,
)
from madminer.plotting.uncertainties import (
    BAND_68,
    ratios,
    toy_batch_size,
    toy_histograms,
    toy_nus,
    unit_area,
)
from madminer.stats import weighted_quantiles
from madminer.typing import FloatArray, Seed, StrPath, ThetaLike

_GREY = "#C8C8C8"

_ENERGIES = {"e", "E", "energy", "t", "et", "Et", "mt", "Mt", "m", "M", "mass"}
_MOMENTA = {"p", "pt", "px", "py", "pz", "x", "y", "z", "mag", "rho"}
_GEV = frozenset(_ENERGIES | _MOMENTA)
_RADIANS = frozenset({"phi", "theta", "deltaphi", "deltaangle", "acos", "asin", "atan", "atan2"})
_SAME = frozenset({"abs", "min", "max", "sum", "float"})
_LONGEST = 300
"""Longer definitions have no unit here: the analysis follows their nesting."""

Weighted = tuple[FloatArray, FloatArray]
"""Observables ``(n, n_observables)`` and weights."""


class _Default(str):
    """A default that can be told from the same text given by the user."""

    __slots__ = ()


_NUISANCE_IF_ANY = _Default("nuisance")


@check_options
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
    split_background: bool = False,
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
        observable_labels: Axis labels; None for the names, with the unit (GeV, rad) where the
            definition of the observable tells it.
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
        split_background: Whether lines and bands show the signal only, and a grey area the
            background; otherwise they show the sum.

    Returns:
        The figure.

    Raises:
        UnknownNameError: If there is no such observable or benchmark.
        OptionError: If an option is unknown or a list has the wrong length.
        MorphingError: If weights are not known at a point.
        NoEventsError: If there is no background to split.
    """
    n_drawn = 0 if draw_nuisance_toys is None else draw_nuisance_toys
    if split_background and n_events is not None:
        raise OptionError("split_background needs all events; leave n_events at None.")
    varies = uncertainties == "nuisance" or n_drawn > 0
    is_asked_for = uncertainties == "nuisance" and not isinstance(uncertainties, _Default)
    analyzer = DataAnalyzer(filename, include_nuisance_parameters=varies)
    if varies and not analyzer.nuisance_parameters:
        varies = False
        if is_asked_for or n_drawn > 0:
            warn(
                f"No bands from nuisance parameters are drawn: {filename} has none. Use "
                "uncertainties='none' or 'statistical'.",
            )
    columns = _columns(analyzer, observables)
    points = list(
        analyzer.setup.physical_benchmarks if parameter_points is None else parameter_points
    )
    if not points:
        raise OptionError("parameter_points must name at least one point, got none.")
    defaults = [axis_label(name, text) for name, text in analyzer.setup.observables.items()]
    labels = per_item(
        "observable_labels", observable_labels, [defaults[i] for i in columns], len(columns)
    )
    sample = _signal if split_background else partial(_sample, n_events=n_events, seed=seed)
    close = sample_only_from_closest_benchmark
    n = len(points)
    names = per_item("line_labels", line_labels, [_name(analyzer, p) for p in points], n)
    lines = lines_of(names, colors, linestyles, linewidths, styles=line_styles(n))
    curves = [
        _Curve(
            *sample(analyzer, point, close),
            line,
            Line2D([], [], **look(line) | {"linewidth": width, "alpha": toy_alpha, "zorder": 1.5}),
        )
        for point, line, width in zip(
            points, lines, per_item("toy_linewidths", toy_linewidths, (), n), strict=True
        )
    ]
    background = _background(analyzer, points[0]) if split_background else None
    shown = curves if background is None else [*curves, background]
    edges = [_edges(shown, column, n_bins, quantiles_for_range) for column in columns]
    variations: FloatArray = np.empty((len(points), len(columns), 0, n_bins))
    if varies:
        nus = _nus(analyzer, nuisance_parameters, max(n_toys, n_drawn), seed)
        size = toy_batch_size(len(nus))
        batches = (
            _batches(analyzer, size, of_signal=True)
            if split_background
            else analyzer.event_loader(batch_size=size)
        )
        histograms = toy_histograms(analyzer, batches, points, nus, columns, edges)
        if normalize:
            shapes = [unit_area(histograms[:, k], edge) for k, edge in enumerate(edges)]
            histograms = np.stack(shapes, axis=1)
        variations = ratios(histograms[:, :, 1:], histograms[:, :, :1])
    figure, panels = figure_grid(len(columns), n_cols)
    for k, panel in enumerate(panels):
        if background is not None:
            contents, _ = _histogram(background, columns[k], edges[k], normalize)
            panel.stairs(contents, edges[k], fill=True, color=_GREY)
        for curve, variation in zip(curves, variations[:, k], strict=True):
            contents, errors = _histogram(curve, columns[k], edges[k], normalize)
            toys = contents * variation
            panel.stairs(contents, edges[k], baseline=None, **look(curve.line))
            ends: FloatArray | Sequence[FloatArray] = ()
            if uncertainties == "statistical":
                ends = contents - errors, contents + errors
            elif len(toys) > 0 and uncertainties == "nuisance":
                ends = np.quantile(toys, BAND_68, axis=0)
            if len(ends) > 0 and alpha > 0.0:
                draw_band(panel, edges[k], ends, curve.line.get_color(), alpha)
            for toy in toys[:n_drawn]:
                panel.stairs(toy, edges[k], baseline=None, **look(curve.toy_line))
        unit = "normalized" if normalize else r"$\Delta\sigma$ per bin [pb]"
        panel.set(xlabel=labels[k], ylabel=unit, xlim=(edges[k][0], edges[k][-1]))
        panel.set_yscale("log" if log else "linear")
        if not log and panel.dataLim.y0 >= 0.0:
            panel.set_ylim(bottom=0.0)
    handles: list[Artist] = [curve.line for curve in curves]
    if background is not None:
        handles.append(Patch(color=_GREY, label="background"))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 2 * min(len(panels), n_cols)),
    )
    return figure


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """Weighted events at one parameter point and how to draw them."""

    x: FloatArray
    weights: FloatArray
    line: Line2D
    toy_line: Line2D


def _signal(analyzer: DataAnalyzer, theta: ThetaLike, close: bool) -> Weighted:
    """Signal events with their weights at theta."""
    batches = _batches(analyzer, None, of_signal=True, close_to=theta if close else None)
    return _at(analyzer, theta, batches)


def _background(analyzer: DataAnalyzer, theta: ThetaLike) -> _Curve:
    """Background events, which do not depend on theta."""
    x, weights = _at(analyzer, theta, _batches(analyzer, None, of_signal=False))
    if not len(x):
        raise NoEventsError(
            "The file has no background events to split; leave split_background at False, or give "
            "is_background to the reader's samples."
        )
    return _Curve(x, weights, Line2D([], []), Line2D([], []))


def _at(analyzer: DataAnalyzer, theta: ThetaLike, batches: Iterator[Weighted]) -> Weighted:
    x, weights = next(batches)
    return x, weights @ ThetaTable(analyzer.setup, [theta]).coefficients[0]


def _batches(
    analyzer: DataAnalyzer,
    size: int | None,
    *,
    of_signal: bool,
    close_to: ThetaLike | None = None,
) -> Iterator[Weighted]:
    """Events of signal or background, with their weights at all benchmarks."""
    loader = analyzer.event_loader(
        batch_size=size, generated_close_to=close_to, return_sampling_ids=True
    )
    for x, weights, sampled in loader:
        if sampled is None:
            raise NoEventsError("The file does not tell its background events from the signal.")
        wanted = (sampled >= 0) == of_signal
        yield x[wanted], weights[wanted]


def _sample(
    analyzer: DataAnalyzer, theta: ThetaLike, close: bool, n_events: int | None, seed: Seed
) -> Weighted:
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
    if isinstance(theta, str | int | np.integer):
        names = list(analyzer.setup.physical_benchmarks)
        return plain(names[analyzer.setup.benchmark_index(theta)])
    return r"$\theta$ = (" + ", ".join(f"{value:.3g}" for value in np.asarray(theta)) + ")"


def _edges(
    curves: Sequence[_Curve], column: int, n_bins: int, quantiles: tuple[float, float]
) -> FloatArray:
    """Bins between quantiles of an observable, 10 % wider within the range of the data."""
    samples = [curve.x[:, column] for curve in curves]
    ends = [
        weighted_quantiles(x, quantiles, np.abs(curve.weights))
        for x, curve in zip(samples, curves, strict=True)
    ]
    low, high = float(np.min(ends)), float(np.max(ends))
    margin = 0.1 * (high - low)
    low = max(low - margin, min(float(x.min()) for x in samples))
    high = min(high + margin, max(float(x.max()) for x in samples))
    if not low < high:  # one value only
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, n_bins + 1)


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


def _histogram(
    curve: _Curve, column: int, edges: FloatArray, normalize: bool
) -> tuple[FloatArray, FloatArray]:
    """Contents and statistical errors of bins, in pb or of unit area."""
    values = curve.x[:, column]
    contents, _ = np.histogram(values, edges, weights=curve.weights)
    errors = np.sqrt(np.histogram(values, edges, weights=curve.weights**2)[0])
    area = float(np.sum(contents * np.diff(edges))) if normalize else 1.0
    return contents / area, errors / area


def axis_label(name: str, definition: str) -> str:
    """Name of an observable, as text, with its unit where the definition tells it.

    Examples:
        >>> axis_label("pt_j1", "j[0].pt")
        'pt_j1 [GeV]'
        >>> axis_label("delta_eta", "abs(j[0].eta - j[1].eta)")
        'delta_eta'
    """
    symbol = unit(definition)
    return f"{plain(name)} [{symbol}]" if symbol else plain(name)


def unit(definition: str) -> str | None:
    """Unit of an observable: GeV, rad, empty without unit, None where it is not known.

    Args:
        definition: Expression, as readers of events take it.

    Examples:
        >>> unit("j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))")
        'rad'
        >>> unit("log(j[0].pt)")
        ''
    """
    if len(definition) > _LONGEST:
        return None
    try:
        return _unit(ast.parse(definition.strip(), mode="eval").body)
    except (SyntaxError, ValueError):  # made by a function, or of another program
        return None


def _unit(node: ast.expr) -> str | None:
    match node:
        case ast.Attribute(attr=name):
            return _of_name(name)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _SAME:
            return _unit(first)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return _of_name(name)
        case ast.UnaryOp(operand=operand) | ast.IfExp(body=operand):
            return _unit(operand)
        case ast.BinOp(left=left, op=operation, right=right):
            return _of_operation(_unit(left), operation, _unit(right))
        case ast.Constant() | ast.Compare() | ast.BoolOp():
            return ""
        case _:
            return None


def _of_name(name: str) -> str:
    return "GeV" if name in _GEV else "rad" if name in _RADIANS else ""


def _of_operation(left: str | None, operation: ast.operator, right: str | None) -> str | None:
    match operation:
        case ast.Add() | ast.Sub() | ast.Mod():
            return left or right
        case ast.Mult() if not (left and right):
            return left if right == "" else right if left == "" else None
        case ast.Div() if right == "" or left == right:
            return left if right == "" else ""
        case _:
            return "" if left == right == "" else None
