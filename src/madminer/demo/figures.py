"""The figures of the report."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from madminer.demo.inference import ANALYSES, LADDER
from madminer.fisherinformation import InformationRanking
from madminer.plotting import (
    plot_distributions,
    plot_fisher_information_contours_2d,
    plot_information_ranking,
    plot_pvalue_limits,
)
from madminer.plotting.style import COLORS, figure_grid, legend_above, plain, plot_style
from madminer.report import Picture, draw
from madminer.stats import contour_level, p_values_from_q, weighted_quantiles
from madminer.typing import FloatArray

if TYPE_CHECKING:
    from madminer.demo.chain import DemoResult

LEVELS = (0.32, 0.05)
"""p-values on the contours of limits; the first is that of all figures."""

N_RANKED = 15
"""Largest number of histograms that a ranking shows."""

_MAP_BINS = (24, 20)
_MIN_EVENTS = 3  # bins with fewer events stay empty
_RANGE_QUANTILES = (0.001, 0.996)  # of the observables, between which a score map reaches
_COLOUR_QUANTILE = 0.95  # of its absolute values, at which colours saturate
_LONGEST_LINE = 44  # characters in a line of a heading


def draw_figures(result: DemoResult) -> dict[str, Picture]:
    """All figures but those of the validations, by their names in the template."""
    return {
        "distributions": draw(
            _plot_distributions(result), "Distributions of the observables", encoding="svg"
        ),
        "score_maps": draw(
            _plot_score_maps(result),
            "Average scores over two observables, estimated above and exact below",
        ),
        "training": draw(
            _plot_training(result), "Losses over the epochs of each network", encoding="svg"
        ),
        "contours": draw(
            plot_information(
                {
                    plain(result.informations.labels[key]): getattr(result.informations, key)
                    for key in LADDER
                },
                result.events.theta_reference,
                _symbols(result),
                result.limits.ranges,
                _heading(result),
            ),
            "Expected regions of 68 % confidence, nested",
            encoding="svg",
        ),
        "ranking_bars": draw(
            plot_ranking(result.informations.ranking, N_RANKED, _symbols_without_units(result)),
            "Share of the information that each histogram keeps",
            encoding="svg",
        ),
        "limits": draw(_plot_limits(result), "Expected p-values in the plane"),
        "nuisance_limits": draw(
            _plot_nuisance_limits(result),
            "Contours with the normalisation known and profiled",
            encoding="svg",
        ),
        "coverage": draw(
            _plot_coverage(result),
            "Distribution functions of the test statistic, of toys and of chi-squared",
            encoding="svg",
        ),
        "scores": draw(
            _plot_score_closure(result), "Estimated against exact scores, event by event"
        ),
    }


def draw_validations(result: DemoResult) -> dict[str, Picture]:
    """Calibration curves, residuals and bounds of each network, where there are some."""
    return {
        name: draw(
            validation.figure(),
            f"Calibration curves, residuals and bounds of {name}",
            encoding="svg",
        )
        for name, validation in result.validations.items()
        if any(check.graph for check in validation)
    }


def plot_information(
    informations: Mapping[str, FloatArray],
    centre: FloatArray,
    parameter_labels: Sequence[str],
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
    figure = cast("Figure", drawn)
    figure.set_size_inches(5.0, 6.0)  # room for the legend
    region = rf"68 % confidence: $-2\,\log\,r$ = {level:.2f}"
    return _with_heading(figure, f"{title}\n{region}")


@plot_style
def plot_ranking(ranking: InformationRanking, n_shown: int, symbols: Mapping[str, str]) -> Figure:
    """Bars of the shares of information that histograms keep, `symbols` for their observables."""
    histograms = [entry for entry in ranking.entries if entry.n_observables is not None]
    _, (panel,) = figure_grid(1, panel_size=(4.3, 0.6 + 0.3 * min(len(histograms), n_shown)))
    return plot_information_ranking(
        [
            " × ".join(symbols.get(name, plain(name)) for name in entry.label.split(" × "))
            for entry in histograms
        ],
        [100.0 * entry.share for entry in histograms],
        [100.0 * entry.share_error for entry in histograms],
        n_shown=n_shown,
        xlabel=f"share of the {plain(ranking.reference.label)} [%]",
        ax=panel,
    )


def heading(process: str, luminosity: float) -> str:
    r"""Process and luminosity (in pb^-1) in a few short lines.

    Examples:
        >>> print(heading("p p > mu+ mu-, 13 TeV", 3000.0))
        p p > mu+ mu-, 13 TeV
        $L$ = 3 fb$^{-1}$
    """
    lines = textwrap.wrap(plain(process), _LONGEST_LINE)
    return "\n".join([*lines, f"$L$ = {luminosity / 1000.0:g} fb$^{{-1}}$"])


def _heading(result: DemoResult) -> str:
    return heading(result.events.process, result.settings.luminosity)


def _with_heading(figure: Figure, title: str) -> Figure:
    """Write a heading above the legend of a figure, or of its first panel."""
    legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    if legend is not None:
        legend.set_title(title)
        legend.set_alignment("left")
    return figure


def _symbols(result: DemoResult) -> list[str]:
    """What the parameters are called in figures."""
    return [plain(name) for name in result.events.setup.parameters]


def _symbols_without_units(result: DemoResult) -> dict[str, str]:
    """What observables are called in figures, by name."""
    measurement = result.events.measurement
    labels = (label.partition(" [")[0] for label in measurement.labels())
    return dict(zip(measurement.detector, labels, strict=True))


def _plot_distributions(result: DemoResult) -> Figure:
    """Observables at the reference, and half way to the farthest benchmark of each parameter."""
    events = result.events
    shifts = np.diag(0.5 * events.theta_scales)
    points = [events.theta_reference, *(events.theta_reference + shifts)]
    figure = plot_distributions(
        events.detector_file,
        parameter_points=points,
        line_labels=[_point(result, theta) for theta in points],
        observable_labels=events.measurement.labels(),
        uncertainties="none",
        n_bins=30,
        n_cols=3,
        normalize=True,
    )
    return _with_heading(figure, _heading(result))


def _point(result: DemoResult, theta: FloatArray) -> str:
    """The parameters that are not those of the reference."""
    changed = [
        f"{name} = {value:g}"
        for name, value, old in zip(
            _symbols(result), theta, result.events.theta_reference, strict=True
        )
        if value != old
    ]
    return ", ".join(changed) or plain(result.events.reference)


@plot_style
def _plot_score_maps(result: DemoResult) -> Figure:
    """Average score over the plane of two observables: network above, exact below."""
    measurement, scores, symbols = (
        result.events.measurement,
        result.detector_scores,
        _symbols(result),
    )
    columns = [list(measurement.detector).index(name) for name in measurement.plane]
    figure, axes = plt.subplots(
        2,
        len(symbols),
        figsize=(4.6 * len(symbols), 7.0),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    coordinates = scores.x[:, columns]
    ranges = [weighted_quantiles(x, _RANGE_QUANTILES, scores.weights) for x in coordinates.T]
    edges = [
        np.linspace(low, high, n + 1) for (low, high), n in zip(ranges, _MAP_BINS, strict=True)
    ]
    rows = {"SALLY": scores.estimated, "exact, averaged": scores.exact}
    for column, parameter in enumerate(symbols):
        maps = [
            _weighted_means(coordinates, values[:, column], scores.weights, edges)
            for values in rows.values()
        ]
        limit = float(np.nanquantile(np.abs(maps[0]), _COLOUR_QUANTILE))
        for ax, name, means in zip(axes[:, column], rows, maps, strict=True):
            mesh = ax.pcolormesh(*edges, means.T, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set(title=f"{name}: {parameter}", xlim=ranges[0], ylim=ranges[1])
            ax.grid(visible=False)
        figure.colorbar(
            mesh, ax=axes[:, column], label=f"score along {parameter}", extend="both", aspect=40
        )
    first, second = (measurement.labels()[column] for column in columns)
    for ax in axes[-1]:
        ax.set_xlabel(first)
    for ax in axes[:, 0]:
        ax.set_ylabel(second)
    return figure


def _weighted_means(
    coordinates: FloatArray, values: FloatArray, weights: FloatArray, edges: Sequence[FloatArray]
) -> FloatArray:
    counts, sums, norms = (
        np.histogramdd(coordinates, list(edges), weights=column)[0]
        for column in (None, weights * values, weights)
    )
    means: FloatArray = np.full(counts.shape, np.nan)
    np.divide(sums, norms, out=means, where=counts >= _MIN_EVENTS)
    return means


@plot_style
def _plot_training(result: DemoResult) -> Figure:
    """Losses over the epochs, a panel for each network."""
    histories = {
        "SALLY, parton level": result.sally_parton.history,
        "SALLY, detector level": result.sally_detector.history,
        "ALICES, detector level": result.alices.history,
    }
    figure, axes = plt.subplots(1, 3, figsize=(3.6 * 3, 3.0), layout="constrained")
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        train, validation = history
        epochs = np.arange(1, len(train) + 1)
        ax.plot(epochs, train, label="training")
        ax.plot(epochs, np.array(validation, dtype=np.float64), label="validation")
        ax.axvline(history.best_epoch + 1, color="0.6", linewidth=0.8, linestyle=":")
        ax.set(title=name, xlabel="epoch", ylabel="loss")
    axes[-1].legend()
    return figure


def _plot_limits(result: DemoResult) -> Figure:
    """Learned and exact p-values in colours, and the region of SALLY's information."""
    limits, (xlabel, ylabel) = result.limits, _symbols(result)
    grids = {result.analyses[name]: limits.nominal[name] for name in ("alices", "truth")}
    figure = plot_pvalue_limits(
        {label: grid.p_values for label, grid in grids.items()},
        {label: grid.i_best for label, grid in grids.items()},
        None,
        grid_ranges=limits.ranges,
        grid_resolutions=limits.resolution,
        levels=list(LEVELS),
        single_plot=False,
        xlabel=xlabel,
        ylabel=ylabel,
    )
    plot_fisher_information_contours_2d(
        [result.informations.sally],
        reference_thetas=[result.events.theta_reference],
        contour_distance=math.sqrt(contour_level(1.0 - LEVELS[0], 2)),
        xlabel=xlabel,
        ylabel=ylabel,
        xrange=limits.ranges[0],
        yrange=limits.ranges[1],
        colors="0.4",
        linestyles=":",
        ax=figure.axes[0],
    )
    return _with_heading(figure, _heading(result))


@plot_style
def _plot_nuisance_limits(result: DemoResult) -> Figure:
    """Contours of p-values with nuisance parameters known and profiled, a panel an analysis."""
    limits, (xlabel, ylabel) = result.limits, _symbols(result)
    names = [name for name in ANALYSES if name != "rate"]  # which excludes hardly anything here
    figure, panels = figure_grid(len(names), panel_size=(3.5, 3.3))
    handles: list[Artist] = []
    for panel, name in zip(panels, names, strict=True):
        grids = limits.nominal[name], limits.profiled[name]
        plot_pvalue_limits(
            [grid.p_values for grid in grids],
            [grid.i_best for grid in grids],
            ["normalisation known", "normalisation profiled"],
            limits.ranges,
            limits.resolution,
            LEVELS,
            xlabel=xlabel,
            ylabel=ylabel,
            ax=panel,
        )
        legend = panel.get_legend()
        if legend is not None:  # one for all panels, where it hides no curve
            handles = [handle for handle in legend.legend_handles if handle]
            legend.remove()
        panel.set_title(plain(result.analyses[name]))
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


@plot_style
def _plot_coverage(result: DemoResult) -> Figure:
    """Distribution function of the test statistic of toy experiments, and that of Wilks."""
    coverage = result.coverage
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


@plot_style
def _plot_score_closure(result: DemoResult) -> Figure:
    """Estimated against exact scores: a row for what the network sees, a column a parameter."""
    comparisons = {"detector level": result.detector_scores}
    if result.events.measurement.is_complete:
        comparisons = {"complete observables": result.parton_scores, **comparisons}
    symbols = _symbols(result)
    shape = (len(comparisons), len(symbols))
    figure, axes = plt.subplots(
        *shape, figsize=(4.2 * shape[1], 4.0 * shape[0]), squeeze=False, layout="constrained"
    )
    for (row, column), ax in np.ndenumerate(axes):
        name, comparison = list(comparisons.items())[row]
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
            title=f"{name}: {symbols[column]}",
            xlabel="exact score",
            ylabel="SALLY's score",
            aspect="equal",
        )
        correlation = f"correlation {comparison.correlations[column]:.4f}"
        ax.text(0.05, 0.93, correlation, transform=ax.transAxes, va="top")
        ax.grid(visible=False)
    return figure
