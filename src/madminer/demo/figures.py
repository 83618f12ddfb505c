"""Figures of the report that no other package draws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from madminer.demo.closure import ScoreComparison
from madminer.demo.coverage import Coverage
from madminer.fisherinformation import InformationRanking
from madminer.limits import LimitGrid
from madminer.nn.history import TrainingHistory
from madminer.plotting import plot_information_ranking, plot_pvalue_limits
from madminer.plotting.fisherinformation import plot_fisher_information_contours_2d
from madminer.plotting.style import COLORS, figure_grid, legend_above, plain, plot_style
from madminer.stats import contour_level, p_values_from_q, weighted_quantiles
from madminer.typing import FloatArray

MAP_BINS = (24, 20)
MIN_EVENTS = 3
"""Bins with fewer events stay empty."""

RANGE_QUANTILES = (0.001, 0.996)
"""Quantiles of the observables between which a score map reaches."""

LONGEST_LINE = 44
"""Characters in a line of a heading."""

COLOUR_QUANTILE = 0.95
"""Colours of a score map saturate at this quantile of its absolute values."""


@plot_style
def plot_score_maps(
    comparison: ScoreComparison,
    columns: tuple[int, int],
    labels: tuple[str, str],
    parameter_labels: Sequence[str],
) -> Figure:
    """Average of the score over the plane of two observables: network above, exact below.

    Args:
        comparison: Scores of the events.
        columns: The two observables, as columns of x.
        labels: Their axis labels.
        parameter_labels: One label a theory parameter.

    Returns:
        The figure, with a column for each parameter.
    """
    n_parameters = len(parameter_labels)
    figure, axes = plt.subplots(
        2,
        n_parameters,
        figsize=(4.6 * n_parameters, 7.0),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    coordinates = comparison.x[:, list(columns)]
    ranges = [weighted_quantiles(x, RANGE_QUANTILES, comparison.weights) for x in coordinates.T]
    edges = [np.linspace(low, high, n + 1) for (low, high), n in zip(ranges, MAP_BINS, strict=True)]
    rows = {"SALLY": comparison.estimated, "exact, averaged": comparison.exact}
    for column, parameter in enumerate(parameter_labels):
        maps = [
            _weighted_means(coordinates, scores[:, column], comparison.weights, edges)
            for scores in rows.values()
        ]
        limit = float(np.nanquantile(np.abs(maps[0]), COLOUR_QUANTILE))
        for ax, name, values in zip(axes[:, column], rows, maps, strict=True):
            mesh = ax.pcolormesh(*edges, values.T, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set(title=f"{name}: {parameter}", xlim=ranges[0], ylim=ranges[1])
            ax.grid(visible=False)
        figure.colorbar(
            mesh, ax=axes[:, column], label=f"score along {parameter}", extend="both", aspect=40
        )
    for ax in axes[-1]:
        ax.set_xlabel(labels[0])
    for ax in axes[:, 0]:
        ax.set_ylabel(labels[1])
    return figure


@plot_style
def plot_score_closure(
    comparisons: Mapping[str, ScoreComparison], parameter_labels: Sequence[str]
) -> Figure:
    """Estimated against exact scores, event by event.

    Args:
        comparisons: Scores by the name of what the network sees; a row of panels each.
        parameter_labels: One label a theory parameter; a column of panels each.

    Returns:
        The figure.
    """
    shape = (len(comparisons), len(parameter_labels))
    figure, axes = plt.subplots(
        *shape, figsize=(4.2 * shape[1], 4.0 * shape[0]), squeeze=False, layout="constrained"
    )
    for row, (name, comparison) in zip(axes, comparisons.items(), strict=True):
        for column, (ax, label) in enumerate(zip(row, parameter_labels, strict=True)):
            exact, estimated = comparison.exact[:, column], comparison.estimated[:, column]
            limit = float(np.quantile(np.abs(exact), 0.99))
            ax.hist2d(
                exact,
                estimated,
                bins=80,
                range=[[-limit, limit], [-limit, limit]],
                weights=comparison.weights,
                cmap="Blues",
                norm="log",
                rasterized=True,
            )
            ax.plot([-limit, limit], [-limit, limit], color="0.3", linewidth=1.0, linestyle=":")
            ax.set(
                title=f"{name}: {label}",
                xlabel="exact score",
                ylabel="SALLY's score",
                aspect="equal",
            )
            ax.text(
                0.05,
                0.93,
                f"correlation {comparison.correlations[column]:.4f}",
                transform=ax.transAxes,
                va="top",
            )
            ax.grid(visible=False)
    return figure


@plot_style
def plot_training(histories: Mapping[str, TrainingHistory]) -> Figure:
    """Losses over the epochs, a panel for each network.

    Args:
        histories: Training histories by name.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        1, len(histories), figsize=(3.6 * len(histories), 3.0), squeeze=False, layout="constrained"
    )
    for ax, (name, history) in zip(axes[0], histories.items(), strict=True):
        train, validation = history
        epochs = np.arange(1, len(train) + 1)
        ax.plot(epochs, train, label="training")
        ax.plot(epochs, _numbers(validation), label="validation")
        ax.axvline(history.best_epoch + 1, color="0.6", linewidth=0.8, linestyle=":")
        ax.set(title=name, xlabel="epoch", ylabel="loss")
    axes[0, -1].legend()
    return figure


def plot_information(
    informations: Mapping[str, FloatArray],
    centre: FloatArray,
    parameter_labels: tuple[str, str],
    ranges: Sequence[tuple[float, float]],
    title: str = "",
) -> Figure:
    """Regions of 68 % confidence of two parameters, from several Fisher informations.

    Regions that do not end within the figure are left out.

    Args:
        informations: Matrices by label, each of shape ``(2, 2)``.
        centre: The parameter point, shape ``(2,)``.
        parameter_labels: Axis labels.
        ranges: Ranges of the parameters.
        title: Process and luminosity.

    Returns:
        The figure.
    """
    corners = np.array([(x, y) for x in ranges[0] for y in ranges[1]]) - centre
    level = contour_level(0.68, 2)
    inside = {
        label: matrix
        for label, matrix in informations.items()
        if np.einsum("ci,ij,cj->c", corners, matrix, corners).max() > level
    }
    drawn = plot_fisher_information_contours_2d(
        list(inside.values()),
        reference_thetas=[centre] * len(inside),
        contour_distance=math.sqrt(level),
        labels=list(inside),
        xlabel=parameter_labels[0],
        ylabel=parameter_labels[1],
        xrange=ranges[0],
        yrange=ranges[1],
    )
    region = rf"68 % confidence: $-2\,\log\,r$ = {level:.2f}"
    figure = cast("Figure", drawn)
    figure.set_size_inches(5.0, 6.0)  # room for the legend
    return with_heading(figure, f"{title}\n{region}")


@plot_style
def plot_nuisance_limits(
    limits: Mapping[str, tuple[LimitGrid, LimitGrid]],
    ranges: Sequence[tuple[float, float]],
    resolution: int,
    parameter_labels: tuple[str, str],
    levels: Sequence[float],
) -> Figure:
    """Contours of p-values with nuisance parameters known and profiled, a panel an analysis.

    Args:
        limits: Limits without and with nuisance parameters, by the name of the analysis.
        ranges: Ranges of the two parameters.
        resolution: Points of the grid along each.
        parameter_labels: Axis labels.
        levels: p-values on the contours.

    Returns:
        The figure.
    """
    figure, panels = figure_grid(len(limits), panel_size=(3.5, 3.3))
    handles: list[Artist] = []
    for panel, (title, grids) in zip(panels, limits.items(), strict=True):
        plot_pvalue_limits(
            [grid.p_values for grid in grids],
            [grid.i_best for grid in grids],
            ["normalisation known", "normalisation profiled"],
            ranges,
            resolution,
            levels,
            xlabel=parameter_labels[0],
            ylabel=parameter_labels[1],
            ax=panel,
        )
        legend = panel.get_legend()
        if legend is not None:  # one for all panels, where it hides no curve
            handles = [handle for handle in legend.legend_handles if handle]
            legend.remove()
        panel.set_title(title)
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


@plot_style
def plot_ranking(ranking: InformationRanking, n_shown: int, symbols: Mapping[str, str]) -> Figure:
    """Bars of the shares of information that histograms and the rate keep.

    Args:
        ranking: The ranking.
        n_shown: Largest number of bars.
        symbols: What observables are called in figures, by name.

    Returns:
        The figure.
    """
    histograms = [entry for entry in ranking.entries if entry.n_observables is not None]
    _, (panel,) = figure_grid(1, panel_size=(4.3, 0.6 + 0.3 * min(len(histograms), n_shown)))
    return plot_information_ranking(
        [_symbol(entry.label, symbols) for entry in histograms],
        [100.0 * entry.share for entry in histograms],
        [100.0 * entry.share_error for entry in histograms],
        n_shown=n_shown,
        xlabel=f"share of the {plain(ranking.reference.label)} [%]",
        ax=panel,
    )


def _symbol(label: str, symbols: Mapping[str, str]) -> str:
    """The observables of a histogram as figures call them."""
    return " × ".join(symbols.get(name, plain(name)) for name in label.split(" × "))


@plot_style
def plot_coverage(coverage: Coverage) -> Figure:
    """Distribution function of the test statistic of toy experiments, and that of Wilks.

    Args:
        coverage: The experiments.

    Returns:
        The figure.
    """
    figure, (panel,) = figure_grid(1, panel_size=(4.6, 3.6))
    q = np.linspace(0.0, float(np.quantile(coverage.statistics, 0.99)), 200)
    expected = 1.0 - p_values_from_q(q, coverage.n_parameters)
    error = np.sqrt(expected * (1.0 - expected) / coverage.n_toys)
    line = panel.plot(q, expected, color=COLORS[0], label=r"$\chi^2$, Wilks")
    panel.fill_between(q, expected - error, expected + error, color=COLORS[0], alpha=0.2, lw=0.0)
    found = np.mean(coverage.statistics[:, np.newaxis] <= q, axis=0)
    line += panel.step(q, found, color=COLORS[1], where="post", label="toy experiments")
    panel.axvline(coverage.critical_value, color="0.4", linewidth=0.8, linestyle=":")
    panel.axhline(coverage.confidence_level, color="0.4", linewidth=0.8, linestyle=":")
    panel.set(xlabel=r"$-2\,\log\,r$", ylabel="share below", xlim=(0.0, q[-1]), ylim=(0.0, 1.0))
    legend_above(panel, line)
    return figure


def heading(process: str, luminosity: float) -> str:
    r"""Process and luminosity in a few short lines.

    Args:
        process: The process, text without mathtext.
        luminosity: In pb^-1.

    Examples:
        >>> print(heading("p p > mu+ mu-, 13 TeV", 3000.0))
        p p > mu+ mu-, 13 TeV
        $L$ = 3 fb$^{-1}$
    """
    lines = textwrap.wrap(plain(process), LONGEST_LINE)
    return "\n".join([*lines, f"$L$ = {luminosity / 1000.0:g} fb$^{{-1}}$"])


def with_heading(figure: Figure, title: str) -> Figure:
    """Write a heading above the legend of a figure, or of its first panel."""
    legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    if legend is not None:
        legend.set_title(title)
        legend.set_alignment("left")
    return figure


def _weighted_means(
    coordinates: FloatArray, values: FloatArray, weights: FloatArray, edges: Sequence[FloatArray]
) -> FloatArray:
    counts, sums, norms = (
        np.histogramdd(coordinates, list(edges), weights=column)[0]
        for column in (None, weights * values, weights)
    )
    means: FloatArray = np.full(counts.shape, np.nan)
    np.divide(sums, norms, out=means, where=counts >= MIN_EVENTS)
    return means


def _numbers(losses: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if loss is None else loss for loss in losses], dtype=np.float64)
