r"""Figures of likelihoods: :math:`q = -2 \log r` along parameters and pairs of them, and impacts.

Regions of confidence level c in m parameters end where q is the c-quantile of :math:`\chi^2_m`
(`madminer.stats.contour_level`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from madminer.checks import interval, positive, real_array, sequence
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import (
    check_options,
    finite,
    increasing,
    not_negative,
    q_curves,
    regular_axes,
    texts,
)
from madminer.plotting.style import (
    COLORS,
    DARK,
    GREY,
    Q_LABEL,
    draw_level,
    draw_star,
    legend_above,
    legend_on,
    lines_of,
    look,
    name_rows,
    panel_on,
    percent,
    plot_style,
    top_of_q,
)
from madminer.stats import contour_level
from madminer.text import with_error
from madminer.typing import FloatArray

_LARGEST = 1e6
"""What stands for an infinite q, between which and its neighbours contours are interpolated."""


@check_options
@plot_style
def plot_profile(
    values: ArrayLike,
    q: ArrayLike | Sequence[ArrayLike],
    labels: Sequence[str] | None = None,
    *,
    best: float | Sequence[float] | None = None,
    levels: Sequence[float] = (0.68, 0.95),
    bands: Sequence[ArrayLike] | Sequence[Sequence[ArrayLike] | None] | None = None,
    xlabel: str = r"$\theta$",
    ylabel: str = Q_LABEL,
    asymptotic: bool = True,
    ax: Axes | None = None,
) -> Figure:
    r"""Likelihood ratio along one parameter, :math:`q = -2 \log r`, for one or several analyses.

    Args:
        values: Values of the parameter, increasing, shape ``(n,)``.
        q: :math:`-2 \log r` relative to the best point, so not negative, shape ``(n,)``; or a list
            of several. Infinite where the likelihood vanishes.
        labels: Legend entries; None to number several curves.
        best: Best value of the parameter, marked with a star, or one for each curve; None for no
            mark.
        levels: Confidence levels of the horizontal lines, which are quantiles of :math:`\chi^2`
            with one degree of freedom.
        bands: Lower and upper end of the uncertainty of q, a pair of arrays of shape ``(n,)``; of
            several curves a list of pairs, in which None stands for no band.
        xlabel: Label of the parameter, with its unit.
        ylabel: Label of q.
        asymptotic: Whether to draw the horizontal lines.
        ax: Axes to draw on; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If a curve or band does not have the shape of `values`.
        DataError: If q is negative or not a number, or a band has its lower end above its upper
            one.
        OptionError: If `values` do not increase or a list has the wrong length.

    Examples:
        >>> theta = np.linspace(-1.0, 1.0, 41)
        >>> figure = plot_profile(theta, [4.0 * theta**2, 9.0 * theta**2], ["rate", "full"])
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['rate', 'full']
    """
    x = increasing(values, "values")
    curves = q_curves(q, len(x))
    lines = lines_of(texts(labels, "labels", _numbered(curves)))
    stars = np.empty(0) if best is None else finite(np.ravel(best), "best", len(curves))
    if np.any((stars < x[0]) | (stars > x[-1])):
        raise DataError(f"best must lie between {x[0]:g} and {x[-1]:g}, got {stars.tolist()}.")
    ends = _bands(bands, len(curves), len(x))
    figure, panel = panel_on(ax, (5.4, 4.2))
    for line, curve, band in zip(lines, curves, ends, strict=True):
        panel.plot(x, curve, **look(line))
        if band is not None:
            panel.fill_between(x, *band, color=line.get_color(), alpha=0.2, linewidth=0.0)
    for line, curve, star in zip(lines, curves, stars, strict=False):
        draw_star(panel, star, np.interp(star, x, curve), line.get_color(), clip_on=False)
    if asymptotic:
        _draw_levels(panel, levels)
    top = top_of_q(curves, [contour_level(level, dof=1) for level in levels])
    panel.set(xlabel=xlabel, ylabel=ylabel, xlim=x[[0, -1]], ylim=(0.0, top))
    if len(lines) > 1 or labels is not None:
        legend_on(ax, panel, lines)
    return figure


@check_options
@plot_style
def plot_corner(
    theta_grid: ArrayLike,
    q: ArrayLike | Sequence[ArrayLike],
    parameters: Sequence[str],
    *,
    levels: Sequence[float] = (0.68, 0.95),
    best: ArrayLike | None = None,
    ranges: Sequence[tuple[float, float]] | None = None,
    labels: Sequence[str] | None = None,
    truth: ArrayLike | None = None,
) -> Figure:
    r"""Profile likelihoods of all parameters and of all their pairs, from one grid.

    In each panel :math:`q = -2 \log r` is minimised over the grid along all parameters not shown.
    Contours of pairs lie at quantiles of :math:`\chi^2` with two degrees of freedom, lines of
    single parameters (on the diagonal) at those with one.

    Args:
        theta_grid: Points of a regular grid of p parameters, as from
            `madminer.limits.regular_grid`, the last one running fastest, shape ``(n, p)``.
        q: :math:`-2 \log r` relative to the best point, so not negative, shape ``(n,)``; or a list
            of several analyses. Infinite where the likelihood vanishes.
        parameters: Name of each parameter, with its unit.
        levels: Confidence levels.
        best: Best point, marked with a star, shape ``(p,)``, or of each of several analyses, shape
            ``(n_analyses, p)``; None for that of the grid.
        ranges: Range shown of each parameter; None for those of the grid.
        labels: Legend entries; None to number several analyses.
        truth: Point marked by dotted lines, shape ``(p,)``; None for none.

    Returns:
        The figure: p times p panels, of which those above the diagonal are empty.

    Raises:
        ShapeError: If the grid is not regular or has one parameter only, or an array does not fit.
        DataError: If q is negative or not a number.
        OptionError: If a list has the wrong length or there is no level.

    Examples:
        >>> from madminer.limits import regular_grid
        >>> grid = regular_grid([(-1.0, 1.0)] * 3, 9)
        >>> figure = plot_corner(grid, np.sum(9.0 * grid**2, axis=1), ["a", "b", "c"])
        >>> len(figure.axes)
        6
    """
    axes = regular_axes(theta_grid, "theta_grid")
    p, points = len(axes), np.asarray(theta_grid, dtype=np.float64)
    if p < 2:
        raise ShapeError("theta_grid has one parameter only; draw it with plot_profile.")
    symbols = texts(parameters, "parameters", [""] * p)
    curves = q_curves(q, len(points))
    lines = lines_of(texts(labels, "labels", _numbered(curves)))
    stars = points[np.argmin(curves, axis=1)]
    if best is not None:
        stars = finite(np.atleast_2d(real_array(best, "best")), "best", len(curves), p)
    marks = None if truth is None else finite(truth, "truth", p)
    spans = [(float(axis[0]), float(axis[-1])) for axis in axes]
    shown = spans if ranges is None else sequence(ranges, "ranges", interval)
    if len(shown) != p:
        raise OptionError(f"ranges must be a list of {p} pairs, got {len(shown)}.")

    top = top_of_q(curves, [contour_level(level, dof=1) for level in levels])
    figure, panels = _corner(symbols, shown, top)
    for curve, line, star in zip(curves, lines, stars, strict=True):
        cube = np.minimum(curve, _LARGEST).reshape([len(axis) for axis in axes])
        for (i, j), panel in panels.items():
            profile = cube.min(axis=tuple({*range(p)} - {i, j}))
            if i == j:
                panel.plot(axes[i], profile, **look(line))
            else:
                _draw_contours(panel, (axes[i], axes[j]), profile, levels, line)
                draw_star(panel, star[i], star[j], line.get_color())
    for (i, j), panel in panels.items():
        if i == j:
            for level, line in zip(levels, _level_lines(levels), strict=True):
                height, width = contour_level(level, dof=1), line.get_linewidth()
                panel.axhline(height, color="#BBBBBB", linewidth=width, zorder=1)
        if marks is not None:
            panel.axvline(marks[i], color=DARK, linestyle=":", linewidth=1.0)
        if marks is not None and i != j:
            panel.axhline(marks[j], color=DARK, linestyle=":", linewidth=1.0)
    handles = [*(lines if len(lines) > 1 or labels is not None else []), *_level_lines(levels)]
    handles.append(Line2D([], [], color=GREY, marker="*", ms=10, ls="none", label="best fit"))
    if marks is not None:
        handles.append(Line2D([], [], color=DARK, ls=":", label="truth"))
    figure.legend(handles=handles, loc="upper right")
    return figure


@check_options
@plot_style
def plot_impacts(
    names: Sequence[str],
    pulls: ArrayLike,
    pull_errors: ArrayLike,
    impacts: ArrayLike,
    parameter: str = r"$\theta$",
    *,
    unit: str | None = None,
    n_shown: int = 20,
    estimate: tuple[float, float] | None = None,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    r"""Nuisance parameters ranked by their impact on a parameter, with their pulls.

    On the left the pulls :math:`(\hat\nu - \nu_0) / \sigma` with their errors after the fit, in
    units of the standard deviation before it, shaded; an error below one means that the data
    constrain the nuisance parameter. On the right the shifts of the parameter.

    Args:
        names: Names of k nuisance parameters.
        pulls: Pulls, shape ``(k,)``.
        pull_errors: Standard deviations after the fit over those before it, shape ``(k,)``.
        impacts: Shifts of the fitted parameter where a nuisance parameter is fixed one standard
            deviation (after the fit) above and below its fitted value, shape ``(k, 2)``.
        parameter: Symbol of the parameter.
        unit: Its unit; None for none.
        n_shown: Largest number of rows, those of the largest impacts; the figure says if there are
            more.
        estimate: Fitted value and standard deviation of the parameter, for the title; None for
            none.
        ax: Two axes side by side to draw on; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If the arrays do not fit `names`.
        DataError: If a number is not finite or an error negative.
        OptionError: If `estimate` is not a value and a positive error.

    Examples:
        >>> impacts = [[0.1, -0.1], [0.3, -0.2]]
        >>> figure = plot_impacts(
        ...     ["jes", "pdf"], [0.2, -0.1], [0.9, 1.0], impacts, "$m_t$", unit="GeV"
        ... )
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['pdf', 'jes']
    """
    k = len(names)
    centres, shifts = finite(pulls, "pulls", k), finite(impacts, "impacts", k, 2)
    widths = not_negative(pull_errors, "pull_errors", k)
    order = np.argsort(-np.abs(shifts).max(axis=1), kind="stable")[:n_shown]
    if ax is None:
        size = 7.6, 1.4 + 0.26 * len(order)
        figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=size)
    else:
        left, right = ax
        figure, _ = panel_on(left, (1.0, 1.0))
    _draw_pulls(left, centres[order], widths[order])
    _draw_shifts(right, shifts[order])
    for panel, n_all in ((left, k), (right, len(order))):
        name_rows(panel, [names[i] for i in order], n_all)
    right.tick_params(axis="y", labelleft=False)
    left.set_title("" if estimate is None else _result(parameter, estimate, unit))
    left.set_xlabel(r"pull $(\hat\nu - \nu_0) / \sigma$")
    right.set_xlabel(f"impact on {parameter}" + (f" [{unit}]" if unit else ""))
    return figure


def _bands(bands: Sequence[Any] | None, n_curves: int, n: int) -> list[FloatArray | None]:
    """Lower and upper ends of each curve, shape ``(2, n)``, or None."""
    if bands is None:
        return [None] * n_curves
    pairs = [bands] if n_curves == 1 and len(bands) == 2 else list(bands)
    if len(pairs) != n_curves:
        raise OptionError(
            f"bands must have a pair for each of {n_curves} curves, got {len(pairs)}."
        )
    ends = [None if pair is None else finite(pair, "bands", 2, n) for pair in pairs]
    if any(band is not None and np.any(band[0] > band[1]) for band in ends):
        raise DataError(
            "bands must be pairs (lower, upper), but a lower end is above its upper one."
        )
    return ends


def _numbered(curves: Sequence[FloatArray]) -> list[str]:
    return [f"analysis {i}" for i in range(len(curves))]


def _level_lines(levels: Sequence[float]) -> list[Line2D]:
    """Lines for the levels, the first one the widest."""
    return [
        Line2D([], [], color=GREY, linewidth=max(2.0 - i, 0.5), label=percent(level))
        for i, level in enumerate(levels)
    ]


def _draw_levels(panel: Axes, levels: Sequence[float]) -> None:
    """Horizontal lines at quantiles of chi-squared, their confidence levels at the right."""
    for level in levels:
        height = contour_level(level, dof=1)
        panel.axhline(height, color=GREY, linewidth=1.0, linestyle=(0, (1, 2)))
        panel.annotate(
            f"{100.0 * level:.4g} %",
            (1.0, height),
            xycoords=panel.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize="small",
            color=DARK,
        )


def _corner(
    symbols: Sequence[str], ranges: Sequence[tuple[float, float]], top: float
) -> tuple[Figure, dict[tuple[int, int], Axes]]:
    """Labelled panels by column and row, on and below the diagonal."""
    p = len(symbols)
    figure, axes = plt.subplots(p, p, figsize=(2.3 * p + 0.5,) * 2, squeeze=False)
    panels: dict[tuple[int, int], Axes] = {}
    for (j, i), panel in np.ndenumerate(axes):
        if i > j:
            panel.remove()
            continue
        panels[i, j] = panel
        panel.locator_params(nbins=4)
        panel.set_xlim(ranges[i])
        if i == j:  # its scale is another one than that of its row
            panel.set(ylabel=Q_LABEL, ylim=(0.0, top))
            panel.yaxis.set_label_position("right")
            panel.tick_params(axis="y", labelleft=False, labelright=True)
        else:
            panel.set(ylim=ranges[j], ylabel=symbols[j] if i == 0 else "")
            panel.tick_params(axis="y", labelleft=i == 0)
        panel.set_xlabel(symbols[i] if j == p - 1 else "")
        panel.tick_params(axis="x", labelbottom=j == p - 1)
    return figure, panels


def _draw_contours(
    panel: Axes,
    axes: tuple[FloatArray, FloatArray],
    q: FloatArray,
    levels: Sequence[float],
    line: Line2D,
) -> None:
    # the root of q is close to linear in theta, so that it can be interpolated on a coarse grid
    distance = np.sqrt(q.T)
    for level, of_level in zip(levels, _level_lines(levels), strict=True):
        like = Line2D([], [], **look(line) | {"linewidth": of_level.get_linewidth()})
        outside = (
            f"The contour at {percent(level)} of {line.get_label()} lies outside the grid; choose "
            "a wider or finer one."
        )
        draw_level(panel, axes, distance, np.sqrt(contour_level(level, dof=2)), like, outside)


def _draw_pulls(panel: Axes, pulls: FloatArray, errors: FloatArray) -> None:
    panel.axvspan(-1.0, 1.0, color="#E4E4E4", linewidth=0.0)
    panel.axvline(0.0, color="#999999", linewidth=0.8)
    panel.errorbar(
        pulls,
        np.arange(len(pulls)),
        xerr=errors,
        color="black",
        marker="o",
        markersize=4.0,
        linestyle="none",
        elinewidth=1.2,
    )
    reach = 1.1 * max(1.5, float(np.max(np.abs(pulls) + errors)))
    panel.set_xlim(-reach, reach)


def _draw_shifts(panel: Axes, shifts: FloatArray) -> None:
    """Shifts upward filled and downward hatched, so that both show where they overlap."""
    rows = np.arange(len(shifts))
    up: dict[str, Any] = {"color": COLORS[5]}
    down: dict[str, Any] = {"fc": "none", "ec": COLORS[0], "hatch": "////"}
    for sizes, bars in zip(shifts.T, (up, down), strict=True):
        panel.barh(rows, sizes, height=0.7, **bars)
    panel.axvline(0.0, color=DARK, linewidth=0.8)
    reach = 1.1 * float(np.max(np.abs(shifts)))
    panel.set_xlim(-reach, reach)
    handles = [
        Patch(label=r"$\hat\nu + \hat\sigma$", **up),
        Patch(label=r"$\hat\nu - \hat\sigma$", **down),
    ]
    legend_above(panel, handles)


def _result(parameter: str, estimate: tuple[float, float], unit: str | None) -> str:
    """The fitted value with its error, for a title."""
    value, error = finite(estimate, "estimate", 2)
    positive(error, "The error in estimate")
    shown = with_error(value, error).replace("±", r"$\pm$")
    return f"{parameter} = {shown}" + (f" {unit}" if unit else "")
