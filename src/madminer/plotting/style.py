"""One look for all figures, put on by a decorator: matplotlib's own settings are not changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from madminer.checks import positive, whole
from madminer.errors import OptionError
from madminer.text import one_line

P = ParamSpec("P")
T = TypeVar("T")

COLORS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE", "#777777")
"""Colours that colour-blind readers can tell apart (Paul Tol, "bright")."""

LineStyle = Literal["-", "--", "-.", ":"]
"""Line styles by their symbols."""

LINESTYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
"""Line styles in the order of use, so that figures survive printing in grey."""

SEQUENTIAL = "viridis"
"""Colour map of quantities without a centre."""

_LONG_LABEL = 28

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#333333",
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
    """Make a figure with panels in rows; places without a panel stay empty.

    Args:
        n_panels: Number of panels.
        n_cols: Largest number of panels in a row.
        panel_size: Width and height of a panel in inches.

    Returns:
        The figure and its `n_panels` axes.

    Raises:
        OptionError: If a number is not positive.
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
    """Draw a legend above a panel, where it hides no curve.

    Args:
        panel: The panel.
        handles: Entries with their labels.
        n_cols: Number of columns; one if labels are long.
    """
    longest = max(len(str(handle.get_label())) for handle in handles)
    panel.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.01),
        borderaxespad=0.0,
        ncols=n_cols if longest <= _LONG_LABEL else 1,
    )


def plain(text: str) -> str:
    r"""Text that comes from a file, as matplotlib shows it: without mathtext and controls.

    Examples:
        >>> print(plain("cost$^2$"))
        cost\$^2\$
    """
    return one_line(text).replace("$", r"\$")


def line_styles(n: int) -> list[LineStyle]:
    """Line styles of n curves: solid until the colours are used up, then dashed and so on."""
    return [LINESTYLES[(i // len(COLORS)) % len(LINESTYLES)] for i in range(n)]


def per_item(name: str, given: T | Sequence[T] | None, defaults: Sequence[T], n: int) -> list[T]:
    """One value for each of n curves, from one value, a list of n, or defaults in turn.

    Args:
        name: Name of the option, for the message.
        given: What the user gave.
        defaults: Values repeated in turn if nothing was given.
        n: Number of curves.

    Returns:
        List of `n` values.

    Raises:
        OptionError: If a list has another length.

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
