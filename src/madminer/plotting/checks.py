"""Figures of checks: calibration curves, residuals, and what was claimed beside what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from madminer.checks import refusal, sequence
from madminer.errors import OptionError
from madminer.evidence import Graph, Series, ValidationCheck, Verdict
from madminer.plotting.style import COLORS, figure_grid, lines_of, look, plain, plot_style

_VERDICT_COLORS: dict[Verdict, str] = {
    "passed": "#1b7340",
    "failed": "#b3261e",
    "undecided": "#8a5a00",
}
_MARKERS = ("o", "s", "^", "D", "v")
_LONG_NAMES = 36  # characters of all categories that fit below a panel
_LONG_LINE = 40  # characters of two labels that fit beside each other
_LINE_HEIGHT = 0.065  # of a line of the legend, share of the panel


@plot_style
def plot_checks(checks: Sequence[ValidationCheck], n_cols: int = 3) -> Figure:
    r"""Draw the graph of every check that has one, a panel each, titled with the verdict.

    Curves have the standard errors of their points, and a dashed line where a perfect estimator
    lies; bars stand beside each other by category.

    Args:
        checks: The checks, as of a `madminer.validation.Validation`.
        n_cols: Largest number of panels in a row.

    Returns:
        The figure.

    Raises:
        OptionError: If these are no checks, none has a graph, or `n_cols` is not positive.

    Examples:
        >>> points = Series("c", np.array([-1.0, 1.0]), np.array([-1.1, 0.9]), np.array([0.1, 0.1]))
        >>> graph = Graph("estimated score", "joint score", (points,), "diagonal")
        >>> check = ValidationCheck(
        ...     "calibration curve", "", 0.1, 0.1, "0", "", "passed", "", graph=graph)
        >>> plot_checks([check]).axes[0].get_title("left")
        'calibration curve\n✓ passed: 0.10 ± 0.10'
    """
    given = sequence(checks, "checks", _check)
    drawn = [(check, check.graph) for check in given if check.graph is not None]
    if not drawn:
        raise OptionError("None of the checks has a graph: there is nothing to draw.")
    figure, panels = figure_grid(len(drawn), n_cols, panel_size=(4.3, 3.9))
    for panel, (check, graph) in zip(panels, drawn, strict=True):
        draw_series = _draw_bars if graph.categories else _draw_curves
        draw_series(panel, graph.series)
        _draw_expected(panel, graph)
        panel.set(xlabel=plain(graph.x_label), ylabel=plain(graph.y_label))
        if graph.categories:
            _name_categories(panel, graph.categories)
        _add_legend(panel, graph.series)
        panel.set_title(
            f"{plain(check.name)}\n{check.mark} {check.word}: {check.measured}",
            color=_VERDICT_COLORS[check.verdict],
        )
    return figure


def _check(value: object, name: str) -> ValidationCheck:
    if not isinstance(value, ValidationCheck):
        raise refusal(name, "a check of a validation", value)
    return value


def _add_legend(panel: Axes, series: Sequence[Series]) -> None:
    """A legend inside the panel, in a row of its own above the curves."""
    lengths, half = [len(curve.label) for curve in series], -(-len(series) // 2)
    fits = max(lengths[:half]) + max(lengths[half:], default=0) <= _LONG_LINE
    share = _LINE_HEIGHT * (half if fits else len(series))
    low, high = panel.get_ylim()
    panel.set_ylim(low, low + (high - low) / (1.0 - share))
    legend = panel.legend(
        loc="upper left", ncols=2 if fits else 1, fontsize=7.5, columnspacing=1.0, handlelength=1.8
    )
    legend.set_in_layout(False)  # long labels must not make the panel smaller


def _draw_curves(panel: Axes, series: Sequence[Series]) -> None:
    lines = lines_of([plain(curve.label) for curve in series], linewidths=1.0)
    for i, (curve, line) in enumerate(zip(series, lines, strict=True)):
        panel.errorbar(
            curve.x,
            curve.y,
            curve.errors,
            label=line.get_label(),
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=4.0,
            capsize=2.0,
            **look(line),
        )


def _draw_bars(panel: Axes, series: Sequence[Series]) -> None:
    width = 0.8 / len(series)
    for i, bars in enumerate(series):
        panel.bar(
            bars.x + (i + 0.5) * width - 0.4,
            bars.y,
            width,
            yerr=bars.errors,
            label=plain(bars.label),
            color=COLORS[i % len(COLORS)],
            error_kw={"ecolor": "#333333", "elinewidth": 1.0, "capsize": 2.0},
        )


def _draw_expected(panel: Axes, graph: Graph) -> None:
    like: dict[str, Any] = {"color": "#555555", "ls": "--", "lw": 1.0, "zorder": 1}
    if graph.expected == "diagonal":
        values = np.concatenate([curve.x for curve in graph.series])
        ends = [np.nanmin(values), np.nanmax(values)]
        panel.plot(ends, ends, **like)
    elif graph.expected is not None:
        panel.axhline(graph.expected, **like)


def _name_categories(panel: Axes, categories: Sequence[str]) -> None:
    names = [plain(name).replace(", ", "\n") for name in categories]
    panel.set_xticks(range(len(names)), names)
    if sum(map(len, categories)) > _LONG_NAMES:
        plt.setp(panel.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor", size=7.5)
    panel.tick_params(axis="x", which="both", length=0)
    panel.grid(visible=False, axis="x")
