"""Figures of limits: p-values on grids of two parameters, confidence belts of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from madminer.checks import interval, number, sequence, whole
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import (
    check_options,
    finite,
    increasing,
    not_negative,
    numbers,
    q_curves,
)
from madminer.plotting.style import (
    GREY,
    LINESTYLES,
    Q_LABEL,
    SEQUENTIAL,
    LineStyle,
    draw_colours,
    draw_level,
    draw_star,
    figure_grid,
    legend_on,
    lines_of,
    look,
    panel_on,
    percent,
    plot_style,
    shade_below_zero,
    top_of_q,
)
from madminer.stats import contour_level, ranges_below
from madminer.typing import FloatArray

_SMALLEST = 1e-300


@check_options
@plot_style
def plot_pvalue_limits(
    p_values: Sequence[ArrayLike] | Mapping[str, ArrayLike],
    best_fits: Sequence[int] | Mapping[str, int],
    labels: Sequence[str] | None,
    grid_ranges: Sequence[tuple[float, float]],
    grid_resolutions: int | Sequence[int],
    levels: Sequence[float] = (0.32,),
    single_plot: bool = True,
    show_index: int | None = None,
    xlabel: str = r"$\theta_0$",
    ylabel: str = r"$\theta_1$",
    p_val_min: float = 0.001,
    p_val_max: float = 1,
    *,
    p_value_bands: Sequence[Sequence[ArrayLike] | None] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Contours of p-values on grids of two parameters, for one or several analyses.

    Args:
        p_values: p-values of each analysis on the flattened grid, the second parameter running
            fastest, shape ``(n_0 n_1,)``; a list, or a dictionary by label.
        best_fits: Index of the best grid point of each analysis; list or dictionary likewise.
        labels: Legend entries; None for the keys of dictionaries.
        grid_ranges: Ranges of the two parameters.
        grid_resolutions: Numbers n_0, n_1 of grid points, or one for both.
        levels: p-values of the contours: 0.32 encloses 68 %.
        single_plot: Whether to draw only the panel with all analyses; otherwise one panel for each
            with its p-values in colours follows.
        show_index: Analysis whose p-values are shown in colours in the first panel; None for none.
        xlabel: Label of the first parameter.
        ylabel: Label of the second parameter.
        p_val_min: Lower end of the (logarithmic) colours.
        p_val_max: Upper end of the colours.
        p_value_bands: Lower and upper end of the uncertainty of the p-values of each analysis, a
            pair of arrays as in `p_values`; None in this list, or None at all, for no band. Shaded
            is where a level lies between the two, that is between their contours.
        ax: Axes for the panel with all analyses; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If p-values do not fit the grid.
        DataError: If p-values are outside [0, 1], or a band has its lower end above its upper one.
        OptionError: If lists differ in length, an index or range is not valid, or one panel for
            each analysis is asked for on given axes.
    """
    if ax is not None and not single_plot:
        raise OptionError("single_plot must be True where ax is given, which is one panel.")
    names, values, best = _analyses(p_values, best_fits, labels)
    axes = _grid_axes(grid_ranges, grid_resolutions)
    maps = [_as_map(p, axes) for p in values]
    bands = _bands(p_value_bands, axes, len(maps))
    if show_index is not None:
        whole(show_index, "show_index", -len(maps), len(maps) - 1)
    norm = LogNorm(p_val_min, number(p_val_max, "p_val_max", above=p_val_min))
    sorted_levels = sorted(set(levels), reverse=True)

    if single_plot:
        figure, first = panel_on(ax, (5.4, 4.6))
        panels = [first]
    else:
        figure, panels = figure_grid(1 + len(maps), panel_size=(4.6, 3.9))
        first = panels[0]
    show = partial(_show, axes=axes, levels=sorted_levels)
    colours = partial(draw_colours, axes=axes, norm=norm, cmap=SEQUENTIAL, shading="gouraud")
    mesh = None
    if show_index is not None:
        mesh = colours(first, values=np.maximum(maps[show_index], _SMALLEST))
    lines = lines_of(names, styles=("-",))
    for line, single, band, index in zip(lines, maps, bands, best, strict=True):
        show(first, single, band, index, color=line.get_color(), halo=mesh is not None)
    styles = [
        Line2D([], [], color=GREY, ls=_style(i), label=percent(1.0 - level))
        for i, level in enumerate(sorted_levels)
    ]
    n_entries = len(lines) + len(styles)
    legend_on(ax, first, [*lines, *styles], n_cols=2 if n_entries <= 6 else 3)
    for panel, name, single, band, index in zip(
        panels[1:], names, maps, bands, best, strict=not single_plot
    ):
        mesh = colours(panel, values=np.maximum(single, _SMALLEST))
        show(panel, single, band, index, color="white")
        panel.set_title(name)
    for panel in panels:
        panel.set(xlabel=xlabel, ylabel=ylabel, xlim=axes[0][[0, -1]], ylim=axes[1][[0, -1]])
        panel.locator_params(axis="x", nbins=6)
    if mesh is not None:
        figure.colorbar(mesh, ax=panels, label="$p$-value", extend="min", pad=0.02)
    return figure


@check_options
@plot_style
def plot_confidence_belt(
    theta: ArrayLike,
    critical: ArrayLike,
    *,
    errors: ArrayLike | None = None,
    levels: Sequence[float] = (0.68, 0.95),
    asymptotic: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    xlabel: str = r"$\theta$",
    ax: Axes | None = None,
) -> Figure:
    r"""Critical values of :math:`q = -2 \log r` along one parameter, and confidence intervals.

    The parameter is excluded where the observed q exceeds the critical value, that is the quantile
    of q in toy experiments at this parameter (the construction of Neyman; with the likelihood ratio
    as ordering, of Feldman and Cousins). What is not excluded is shaded, its ends interpolated
    linearly; an interval that reaches an end of `theta` may continue beyond.

    Args:
        theta: Values of the parameter, increasing, shape ``(n,)``.
        critical: Critical value of q for each confidence level, shape ``(n_levels, n)``.
        errors: Their standard deviations, of the same shape; None for no bands.
        levels: Confidence levels, n_levels of them.
        asymptotic: Asymptotic critical value for each level, shape ``(n_levels,)``; None for the
            quantiles of :math:`\chi^2` with one degree of freedom.
        observed: Observed q at each value of `theta`, shape ``(n,)``; None for none.
        xlabel: Label of the parameter, with its unit.
        ax: Axes to draw on; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If an array does not fit `theta` and `levels`.
        DataError: If a number is not finite, or an error or an observed q is negative.
        OptionError: If `theta` does not increase, or there is no level.

    References:
        Feldman and Cousins, arXiv:physics/9711021.

    Examples:
        >>> theta = np.linspace(0.0, 3.0, 31)
        >>> figure = plot_confidence_belt(
        ...     theta, [1.0 - 0.5 * np.exp(-theta)], levels=[0.68], observed=(theta - 1.0) ** 2
        ... )
        >>> figure.axes[0].get_ylabel()
        '$-2 \\log r$'
    """
    x = increasing(theta, "theta")
    shape = len(levels), len(x)
    curves = finite(critical, "critical", *shape)
    widths = np.zeros(shape) if errors is None else not_negative(errors, "errors", *shape)
    limits = finite(
        [contour_level(level, dof=1) for level in levels] if asymptotic is None else asymptotic,
        "asymptotic",
        len(levels),
    )
    seen = [] if observed is None else q_curves(finite(observed, "observed", shape[1]), shape[1])
    figure, panel = panel_on(ax, (5.6, 4.4))
    lines = lines_of([percent(level) for level in levels], styles=("-", "-.", ":"))
    for line, curve, width, limit in zip(lines, curves, widths, limits, strict=True):
        color = line.get_color()
        panel.plot(x, curve, **look(line))
        panel.axhline(limit, color=color, linestyle="--", linewidth=1.0)
        if errors is not None:
            panel.fill_between(x, curve - width, curve + width, color=color, alpha=0.25, lw=0.0)
        for q in seen:  # shaded where it is not above its critical value
            for low, high in ranges_below(x, q - curve):
                panel.axvspan(low, high, color=color, alpha=0.12, linewidth=0.0)
                for end in (low, high):
                    panel.axvline(end, color=color, linestyle=line.get_linestyle(), lw=0.8)
    handles = [*lines, Line2D([], [], color=GREY, ls="--", lw=1.0, label="asymptotic")]
    for q in seen:
        handles += panel.plot(x, q, color="black", linewidth=2.0, label="observed", zorder=3)
    top = top_of_q(seen, [*limits, *(curves + widths).max(axis=1)])
    panel.set(xlabel=xlabel, ylabel=Q_LABEL, xlim=x[[0, -1]], ylim=(0.0, top))
    legend_on(ax, panel, handles)
    return figure


def _analyses(
    p_values: Sequence[ArrayLike] | Mapping[str, ArrayLike],
    best_fits: Sequence[int] | Mapping[str, int],
    labels: Sequence[str] | None,
) -> tuple[list[str], list[ArrayLike], list[int]]:
    if isinstance(p_values, Mapping):
        keys = list(p_values)
        values = [p_values[key] for key in keys]
    else:
        keys = [f"analysis {i}" for i in range(len(p_values))]
        values = list(p_values)
    if isinstance(best_fits, Mapping) and set(best_fits) != set(keys):
        raise OptionError(f"best_fits must have the keys {keys}, got {list(best_fits)}.")
    best = [best_fits[key] for key in keys] if isinstance(best_fits, Mapping) else list(best_fits)
    names = keys if labels is None else list(labels)
    if not values or not len(values) == len(best) == len(names):
        raise OptionError(
            "p_values, best_fits and labels must have one entry for each analysis, got "
            f"{len(values)}, {len(best)} and {len(names)}."
        )
    return names, values, best


def _grid_axes(
    grid_ranges: Sequence[tuple[float, float]], grid_resolutions: int | Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    ranges = sequence(grid_ranges, "grid_ranges", interval)
    if isinstance(grid_resolutions, int | np.integer):
        grid_resolutions = [grid_resolutions] * 2
    if not len(ranges) == len(grid_resolutions) == 2:
        raise OptionError(
            f"The grid needs the ranges and resolutions of two parameters, got {len(ranges)} and "
            f"{len(grid_resolutions)}."
        )
    first, second = (
        np.linspace(*ends, n) for ends, n in zip(ranges, grid_resolutions, strict=True)
    )
    return first, second


def _as_map(p_values: ArrayLike, axes: tuple[FloatArray, FloatArray]) -> FloatArray:
    values = numbers(p_values, "p_values")
    shape = (len(axes[0]), len(axes[1]))
    if values.size != shape[0] * shape[1]:
        raise ShapeError(
            f"A grid of {shape[0]} x {shape[1]} points needs {shape[0] * shape[1]} p-values, got "
            f"{values.size}; give the grid_resolutions that they were calculated with."
        )
    if not np.all((values >= 0.0) & (values <= 1.0)):
        raise DataError("p-values must lie between 0 and 1.")
    return values.reshape(shape)


def _bands(
    given: Sequence[Sequence[ArrayLike] | None] | None, axes: tuple[FloatArray, FloatArray], n: int
) -> list[FloatArray | None]:
    """Lower and upper p-values of each analysis, shape ``(2, n_0, n_1)``, or None."""
    bands: list[FloatArray | None] = []
    for pair in [None] * n if given is None else given:
        if pair is not None and len(pair) != 2:
            raise OptionError(f"p_value_bands must hold pairs (lower, upper), got {len(pair)}.")
        bands.append(None if pair is None else np.stack([_as_map(end, axes) for end in pair]))
    if len(bands) != n:
        raise OptionError(f"p_value_bands must have one entry for each of {n} analyses.")
    if any(band is not None and np.any(band[0] > band[1]) for band in bands):
        raise DataError("p_value_bands must be (lower, upper), but a lower one is above its upper.")
    return bands


def _show(
    panel: Axes,
    p_values: FloatArray,
    band: FloatArray | None,
    best: int,
    *,
    axes: tuple[FloatArray, FloatArray],
    levels: Sequence[float],
    color: Any,
    halo: bool = False,
) -> None:
    """Draw the contours of an analysis, the band between those of its ends, and its best fit."""
    # log p is close to quadratic in theta, so that it is smooth between the grid points
    log_p = np.log(np.maximum(p_values.T, _SMALLEST))
    for i, level in enumerate(np.log(levels)):
        if band is not None:
            lower, upper = np.log(np.maximum(band, _SMALLEST))
            shade_below_zero(panel, axes, np.maximum(lower - level, level - upper).T, color, 0.25)
        line = Line2D([], [], color=color, linestyle=_style(i))
        contour = draw_level(panel, axes, log_p, level, line)
        if contour is not None and halo:
            contour.set_path_effects([withStroke(linewidth=3.0, foreground="white", alpha=0.8)])
    if not 0 <= best < p_values.size:
        raise OptionError(
            f"A best-fit index must point into the grid of {p_values.shape}, got {best}."
        )
    row, column = np.unravel_index(best, p_values.shape)
    draw_star(panel, axes[0][row], axes[1][column], color)


def _style(i: int) -> LineStyle:
    """Line style of a level."""
    return LINESTYLES[i % len(LINESTYLES)]
