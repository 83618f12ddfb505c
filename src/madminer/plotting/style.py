"""One look for all figures, and what several of them draw.

A decorator puts the look on: matplotlib's own settings are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from madminer.checks import positive, whole
from madminer.deprecation import warn
from madminer.errors import OptionError
from madminer.text import one_line
from madminer.typing import FloatArray

P = ParamSpec("P")
T = TypeVar("T")

COLORS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE", "#777777")
"""Colours that colour-blind readers can tell apart (Paul Tol, "bright")."""

LineStyle = Literal["-", "--", "-.", ":"]
"""Line styles by their symbols."""

LINESTYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
"""Line styles in the order of use, so that figures survive printing in grey."""

DARK = "#333333"
"""Colour of frames and marks."""

GREY = COLORS[-1]
"""Colour of lines that belong to no curve."""

Q_LABEL = r"$-2 \log r$"
"""Label of an axis of q."""

SEQUENTIAL = "viridis"
"""Colour map of quantities without a centre."""

_LONG_LABEL = 28

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": DARK,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,  # inches: labels keep clear of the panel beside
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.alpha": 0.5,
    "grid.color": "#D5D5D5",
    "grid.linewidth": 0.6,
    "image.cmap": SEQUENTIAL,
    "legend.fontsize": 9,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "mathtext.fontset": "dejavusans",
    "savefig.dpi": 200,
    "xtick.direction": "in",
    "xtick.major.pad": 6.0,
    "xtick.minor.visible": True,
    "xtick.top": True,
    "ytick.direction": "in",
    "ytick.major.pad": 5.0,
    "ytick.minor.visible": True,
    "ytick.right": True,
}


def plot_style(plot: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws, so that it draws in the style of this package.

    Examples:
        >>> @plot_style
        ... def grid_is_shown() -> bool:
        ...     return mpl.rcParams["axes.grid"]
        >>> grid_is_shown()
        True
    """

    @wraps(plot)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(_STYLE):  # type: ignore[arg-type] # stubs list every key
            return plot(*args, **kwargs)

    return styled


def figure_grid(
    n_panels: int, n_cols: int = 3, panel_size: tuple[float, float] = (4.2, 3.6)
) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels in rows, of a width and height in inches; return it and its panels.

    `n_cols` is the largest number in a row; places without a panel stay empty.
    """
    columns = min(whole(n_panels, "n_panels", 1), whole(n_cols, "n_cols", 1))
    rows = -(-n_panels // columns)
    width, height = (positive(size, "panel_size") for size in panel_size)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False
    )
    panels: list[Axes] = list(axes.flat)
    for unused in panels[n_panels:]:
        unused.remove()
    return figure, panels[:n_panels]


def legend_above(panel: Axes, handles: Sequence[Artist], n_cols: int = 2) -> None:
    """Draw a legend above a panel, where it hides no curve; in one column if labels are long."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    panel.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.01),
        borderaxespad=0.0,
        ncols=n_cols if longest <= _LONG_LABEL else 1,
    )


def panel_on(ax: Axes | None, panel_size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The axes that a user gave and their figure, or those of a new figure."""
    if ax is None:
        figure, panels = figure_grid(1, panel_size=panel_size)
        return figure, panels[0]
    owner = ax.figure
    return (owner if isinstance(owner, Figure) else owner.figure), ax


def legend_on(ax: Axes | None, panel: Axes, handles: Sequence[Artist], n_cols: int = 2) -> None:
    """Draw a legend above the panel of a new figure, but inside of axes that a user gave."""
    if ax is None:
        legend_above(panel, handles, n_cols)
    else:
        panel.legend(handles=handles)


def line_styles(n: int) -> list[LineStyle]:
    """Line styles of n curves: solid until the colours are used up, then dashed and so on."""
    return [LINESTYLES[(i // len(COLORS)) % len(LINESTYLES)] for i in range(n)]


def per_item(name: str, given: T | Sequence[T] | None, defaults: Sequence[T], n: int) -> list[T]:
    """One value for each of n curves: of the option that was given, one or a list, or defaults.

    Examples:
        >>> per_item("colors", None, ["black", "red"], 3)
        ['black', 'red', 'black']
        >>> per_item("linewidths", 2.0, [], 2)
        [2.0, 2.0]
    """
    if given is None:
        return [defaults[i % len(defaults)] for i in range(n)]
    if isinstance(given, str) or not isinstance(given, Sequence):
        return [given] * n
    if len(given) != n:
        raise OptionError(f"{name} must be one value or a list of {n}, got {len(given)}.")
    return list(given)


def plain(text: str) -> str:
    r"""Text that comes from a file, as matplotlib shows it: without mathtext and controls.

    Examples:
        >>> print(plain("cost$^2$"))
        cost\$^2\$
    """
    return one_line(text).replace("$", r"\$")


def name_rows(panel: Axes, names: Sequence[str], n_all: int) -> None:
    """Names at the rows, the first one at the top, and how many there are in all."""
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.tick_params(axis="y", which="both", length=0)
    panel.grid(visible=False, axis="y")
    if len(names) < n_all:
        panel.set_title(f"{len(names)} of {n_all} shown", loc="right", fontsize="small")


def percent(level: float) -> str:
    """A confidence level in a legend."""
    return f"{100.0 * level:.4g} % CL"


def top_of_q(curves: Sequence[FloatArray], levels: Sequence[float]) -> float:
    """Upper end of an axis of q: all levels, and no more of high curves than is of interest."""
    highest = max(levels)
    reach = max((float(q.max()) for q in curves), default=0.0)
    return max(1.2 * highest, min(2.0 * highest, 1.05 * reach))


def lines_of(
    labels: Sequence[str],
    colors: str | Sequence[str] | None = None,
    linestyles: LineStyle | Sequence[LineStyle] | None = None,
    linewidths: float | Sequence[float] | None = None,
    *,
    styles: Sequence[LineStyle] = LINESTYLES,
) -> list[Line2D]:
    """Lines for a legend, as they were asked for: one value for each, or one for all.

    By default curves are told apart by colour and by style, for prints in grey.
    """
    n, usual = len(labels), mpl.rcParams["lines.linewidth"]
    return [
        Line2D([], [], color=color, linestyle=style, linewidth=width, label=label)
        for label, color, style, width in zip(
            labels,
            per_item("colors", colors, COLORS, n),
            per_item("linestyles", linestyles, styles, n),
            per_item("linewidths", linewidths, [usual], n),
            strict=True,
        )
    ]


def look(line: Line2D) -> dict[str, Any]:
    """What makes a curve look like a line of the legend."""
    names = ("color", "linestyle", "linewidth", "alpha", "zorder")
    return {name: getattr(line, f"get_{name}")() for name in names}


def draw_level(
    panel: Axes,
    axes: Sequence[FloatArray],
    values: FloatArray,
    level: float,
    line: Line2D,
    outside: str | None = None,
) -> QuadContourSet | None:
    """Draw the contour of a function on a grid, shape ``(n_y, n_x)``, at one level, like a line.

    Where there is none, warn that it lies outside, if there is a text for that.
    """
    if not values.min() < level < values.max():
        if outside is not None:
            warn(outside, RuntimeWarning)
        return None
    return panel.contour(
        *axes,
        values,
        levels=[level],
        colors=[line.get_color()],
        linestyles=[line.get_linestyle()],
        linewidths=[line.get_linewidth()],
        alpha=line.get_alpha(),
    )


def shade_below_zero(
    panel: Axes, axes: Sequence[FloatArray], values: FloatArray, color: Any, alpha: float
) -> None:
    """Shade where a function on a grid, shape ``(n_y, n_x)``, is negative."""
    if values.min() < 0.0:
        panel.contourf(*axes, values, levels=[-np.inf, 0.0], colors=[color], alpha=alpha)


def draw_colours(
    panel: Axes, axes: Sequence[FloatArray], values: FloatArray, **options: Any
) -> QuadMesh:
    """Show a function on a grid, shape ``(n_x, n_y)``, by colours, ticks in front of them."""
    panel.grid(visible=False)
    panel.set_axisbelow(False)
    return panel.pcolormesh(*axes, values.T, rasterized=True, **options)


def draw_band(
    panel: Axes,
    edges: FloatArray,
    ends: FloatArray | Sequence[FloatArray],
    color: Any,
    alpha: float,
) -> None:
    """Fill the bins of a histogram between a lower and an upper end."""
    low, high = ends
    panel.stairs(high, edges, baseline=low, fill=True, color=color, alpha=alpha, linewidth=0.0)


def draw_star(panel: Axes, x: float, y: float, color: Any, *, clip_on: bool = True) -> None:
    """Mark the best point."""
    panel.plot(
        x,
        y,
        marker="*",
        markersize=11,
        color=color,
        markeredgecolor=DARK,
        markeredgewidth=0.6,
        linestyle="none",
        zorder=5,
        clip_on=clip_on,
    )
