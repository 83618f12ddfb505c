"""Figures of limits: p-values on grids of two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from madminer.checks import interval, number, sequence, whole
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import check_options, legend_on, numbers, panel_on
from madminer.plotting.style import (
    COLORS,
    LINESTYLES,
    SEQUENTIAL,
    figure_grid,
    plot_style,
)
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
    mesh = None
    if show_index is not None:
        mesh = _colours(first, axes, maps[show_index], norm)
    for i, single in enumerate(maps):
        color = COLORS[i % len(COLORS)]
        _shade(first, axes, bands[i], sorted_levels, color)
        _contours(first, axes, single, sorted_levels, color, halo=mesh is not None)
        _star(first, axes, best[i], color)
    handles = _legend_entries(names, sorted_levels)
    legend_on(ax, first, handles, n_cols=2 if len(handles) <= 6 else 3)
    for i, panel in enumerate(panels[1:]):
        mesh = _colours(panel, axes, maps[i], norm)
        _shade(panel, axes, bands[i], sorted_levels, "white")
        _contours(panel, axes, maps[i], sorted_levels, "white")
        _star(panel, axes, best[i], "white")
        panel.set_title(names[i])
    for panel in panels:
        panel.set(xlabel=xlabel, ylabel=ylabel, xlim=axes[0][[0, -1]], ylim=axes[1][[0, -1]])
        panel.locator_params(axis="x", nbins=6)
    if mesh is not None:
        figure.colorbar(mesh, ax=panels, label="$p$-value", extend="min", pad=0.02)
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


def _shade(
    panel: Axes,
    axes: tuple[FloatArray, FloatArray],
    band: FloatArray | None,
    levels: Sequence[float],
    color: str,
) -> None:
    """Fill the points at which a level lies between the lower and the upper p-value."""
    if band is None:
        return
    lower, upper = np.log(np.maximum(band, _SMALLEST))
    for level in np.log(levels):
        excess = np.maximum(lower - level, level - upper).T
        if excess.min() < 0.0:
            panel.contourf(*axes, excess, levels=[-np.inf, 0.0], colors=[color], alpha=0.25)


def _contours(
    panel: Axes,
    axes: tuple[FloatArray, FloatArray],
    p_values: FloatArray,
    levels: Sequence[float],
    color: str,
    halo: bool = False,
) -> None:
    # log p is close to quadratic in theta, so that it is smooth between the grid points
    log_p = np.log(np.maximum(p_values.T, _SMALLEST))
    for i, level in enumerate(np.log(levels)):
        if log_p.min() < level < log_p.max():
            lines = panel.contour(
                axes[0],
                axes[1],
                log_p,
                levels=[level],
                colors=[color],
                linestyles=[LINESTYLES[i % len(LINESTYLES)]],
            )
            if halo:
                lines.set_path_effects([withStroke(linewidth=3.0, foreground="white", alpha=0.8)])


def _colours(
    panel: Axes, axes: tuple[FloatArray, FloatArray], p_values: FloatArray, norm: LogNorm
) -> QuadMesh:
    panel.grid(visible=False)
    panel.set_axisbelow(False)  # ticks in front of the colours
    return panel.pcolormesh(
        axes[0],
        axes[1],
        np.maximum(p_values.T, _SMALLEST),
        norm=norm,
        cmap=SEQUENTIAL,
        shading="gouraud",
        rasterized=True,
    )


def _star(panel: Axes, axes: tuple[FloatArray, FloatArray], index: int, color: str) -> None:
    size = (len(axes[0]), len(axes[1]))
    if not 0 <= index < size[0] * size[1]:
        raise OptionError(f"A best-fit index must point into the grid of {size}, got {index}.")
    i, j = np.unravel_index(index, size)
    panel.plot(
        axes[0][i],
        axes[1][j],
        marker="*",
        markersize=11,
        color=color,
        markeredgecolor="#333333",
        markeredgewidth=0.6,
        linestyle="none",
        zorder=5,
    )


def _legend_entries(names: Sequence[str], levels: Sequence[float]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=COLORS[i % len(COLORS)], label=name) for i, name in enumerate(names)
    ]
    for i, level in enumerate(levels):
        style = LINESTYLES[i % len(LINESTYLES)]
        handles.append(
            Line2D(
                [], [], color="#777777", linestyle=style, label=f"{100.0 * (1.0 - level):.4g} % CL"
            )
        )
    return handles
