"""Figures of distances and shares: geodesics, rankings of observables and nuisance parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from madminer.checks import positive
from madminer.deprecation import warn
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import (
    check_options,
    finite,
    legend_on,
    not_negative,
    numbers,
    panel_on,
    regular_axes,
    texts,
)
from madminer.plotting.style import COLORS, LINESTYLES, legend_above, plot_style
from madminer.typing import FloatArray

_DARK = "#333333"
_GREY = "#999999"


@check_options
@plot_style
def plot_geodesics(
    trajectories: Sequence[ArrayLike],
    contours: Sequence[ArrayLike] | None = None,
    *,
    theta0: ArrayLike,
    grid: ArrayLike | None = None,
    distances: ArrayLike | None = None,
    levels: Sequence[float] = (1.0, 2.0),
    xlabel: str = r"$\theta_0$",
    ylabel: str = r"$\theta_1$",
    ax: Axes | None = None,
) -> Figure:
    r"""Geodesics of two parameters from one point, and contours of the distance along them.

    The distance :math:`d = \int \sqrt{\dot\theta^T I(\theta)\, \dot\theta}\, dt` counts standard
    deviations: to first order :math:`d^2` is the expected :math:`-2 \log r`.

    Args:
        trajectories: Points along each geodesic, shape ``(n_points, 2)`` each.
        contours: Curves to compare with, shape ``(n_points, 2)`` each, such as ellipses
            :math:`\Delta\theta^T I(\theta_0)\, \Delta\theta = d^2` of the local distance; None for
            none.
        theta0: Point at which the geodesics start, shape ``(2,)``.
        grid: Points of a regular grid, the second parameter running fastest, shape ``(n, 2)``; None
            for no contours of the distance.
        distances: Distance d of the points of `grid` from `theta0`, shape ``(n,)``; not a number
            where it is not known.
        levels: Distances of the contours.
        xlabel: Label of the first parameter, with its unit.
        ylabel: Label of the second parameter, with its unit.
        ax: Axes to draw on; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If an array does not have two parameters, or `distances` do not fit the grid.
        DataError: If a point is not finite, or no distance is known.
        OptionError: If only one of `grid` and `distances` is given.

    References:
        Brehmer, Cranmer, Kling, Plehn, arXiv:1612.05261, Sec. II.

    Examples:
        >>> radius = np.linspace(0.0, 2.0, 21)
        >>> lines = [np.outer(radius, [np.cos(a), np.sin(a)]) for a in (0.0, 1.0, 2.0)]
        >>> figure = plot_geodesics(lines, theta0=[0.0, 0.0], xlabel="$c_W$", ylabel="$c_B$")
        >>> figure.axes[0].get_xlabel()
        '$c_W$'
    """
    lines = [finite(line, "trajectories", None, 2) for line in trajectories]
    others = [finite(curve, "contours", None, 2) for curve in contours or ()]
    start = finite(theta0, "theta0", 2)
    if (grid is None) != (distances is None):
        raise OptionError("grid and distances must be given together, or none of them.")
    figure, panel = panel_on(ax, (5.4, 4.8))
    handles = [Line2D([], [], color=_GREY, linewidth=0.8, label="geodesics")]
    for line in lines:
        panel.plot(*line.T, color=_GREY, linewidth=0.8)
    if grid is not None:
        axes, entries = regular_axes(grid, "grid"), _level_lines(levels)
        _draw_distances(panel, axes, _as_map(distances, axes), levels, entries)
        handles += entries
    for curve in others:
        panel.plot(*curve.T, color="black", linestyle=":", linewidth=1.2)
    if others:
        handles.append(Line2D([], [], color="black", linestyle=":", lw=1.2, label="local"))
    panel.plot(*start, marker="*", markersize=11, color="black", linestyle="none", zorder=5)
    panel.set(xlabel=xlabel, ylabel=ylabel)
    panel.locator_params(axis="x", nbins=6)
    legend_on(ax, panel, handles, n_cols=4)
    return figure


@check_options
@plot_style
def plot_information_ranking(
    labels: Sequence[str],
    shares: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    n_shown: int = 15,
    xlabel: str = "share of the full information",
    ax: Axes | None = None,
) -> Figure:
    """Bars of how much each observable (or set of them) tells, the best one at the top.

    Args:
        labels: Names of k observables.
        shares: What each tells, such as its share of the full information, shape ``(k,)``.
        errors: Standard deviations, shape ``(k,)``; None for none.
        n_shown: Largest number of bars; the figure says if there are more.
        xlabel: Label of the shares, with their unit.
        ax: Axes to draw on; None for a new figure.

    Returns:
        The figure.

    Raises:
        ShapeError: If `labels`, `shares` and `errors` differ in length.
        DataError: If a number is not finite or an error negative.

    Examples:
        >>> figure = plot_information_ranking(["pt_j1", "delta_phi_jj"], [0.2, 0.7], [0.02, 0.01])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['delta_phi_jj', 'pt_j1']
    """
    names = texts(labels, "labels", [""] * len(labels))
    values = finite(shares, "shares", len(names))
    widths = None if errors is None else not_negative(errors, "errors", len(names))
    order = np.argsort(-values, kind="stable")[:n_shown]
    figure, panel = panel_on(ax, (5.4, _height(len(order))))
    rows = np.arange(len(order))
    panel.barh(rows, values[order], height=0.7, color=COLORS[0])
    if widths is not None:
        panel.errorbar(
            values[order], rows, xerr=widths[order], color=_DARK, linestyle="none", capsize=2.0
        )
    _name_rows(panel, [names[i] for i in order], len(names))
    panel.set_xlabel(xlabel)
    if panel.dataLim.x0 >= 0.0:
        panel.set_xlim(left=0.0)
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
    figure, (left, right) = _two_panels(ax, _height(len(order)))
    _draw_pulls(left, centres[order], widths[order])
    _draw_shifts(right, shifts[order])
    for panel, n_all in ((left, k), (right, len(order))):
        _name_rows(panel, [names[i] for i in order], n_all)
    right.tick_params(axis="y", labelleft=False)
    left.set_title("" if estimate is None else _result(parameter, estimate, unit))
    left.set_xlabel(r"pull $(\hat\nu - \nu_0) / \sigma$")
    right.set_xlabel(f"impact on {parameter}" + (f" [{unit}]" if unit else ""))
    return figure


def _as_map(distances: object, axes: Sequence[FloatArray]) -> FloatArray:
    values, shape = numbers(distances, "distances"), tuple(len(axis) for axis in axes)
    if len(shape) != 2 or values.shape != (math.prod(shape),):
        raise ShapeError(
            "distances must have a value for each point of a grid of two parameters, got shape "
            f"{values.shape} for {' x '.join(map(str, shape))} points."
        )
    if not np.any(np.isfinite(values)):
        raise DataError("distances must hold finite values, but none is.")
    return values.reshape(shape)


def _level_lines(levels: Sequence[float]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=COLORS[i % len(COLORS)],
            linestyle=LINESTYLES[i % len(LINESTYLES)],
            linewidth=2.0,
            label=f"$d = {level:g}$",
        )
        for i, level in enumerate(levels)
    ]


def _draw_distances(
    panel: Axes,
    axes: Sequence[FloatArray],
    distances: FloatArray,
    levels: Sequence[float],
    lines: Sequence[Line2D],
) -> None:
    known = np.ma.masked_invalid(distances.T)
    for level, line in zip(levels, lines, strict=True):
        if not known.min() < level < known.max():
            warn(
                f"The contour at distance {level:g} lies outside the grid, whose distances are "
                f"{known.min():.3g} to {known.max():.3g}; choose other levels or another grid.",
                RuntimeWarning,
            )
            continue
        panel.contour(
            *axes,
            known,
            levels=[level],
            colors=[line.get_color()],
            linestyles=[line.get_linestyle()],
            linewidths=[line.get_linewidth()],
        )


def _height(n_rows: int) -> float:
    """Height of a figure of rows, in inches."""
    return 1.1 + 0.26 * n_rows


def _name_rows(panel: Axes, names: Sequence[str], n_all: int) -> None:
    """Names at the rows, the first one at the top, and how many there are in all."""
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.tick_params(axis="y", which="both", length=0)
    panel.grid(visible=False, axis="y")
    if len(names) < n_all:
        panel.set_title(f"{len(names)} of {n_all} shown", loc="right", fontsize="small")


def _two_panels(ax: Sequence[Axes] | None, height: float) -> tuple[Figure, Sequence[Axes]]:
    if ax is not None:
        figure, _ = panel_on(ax[0], (1.0, 1.0))
        return figure, ax
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(7.6, height + 0.3))
    return figure, list(panels)


def _draw_pulls(panel: Axes, pulls: FloatArray, errors: FloatArray) -> None:
    panel.axvspan(-1.0, 1.0, color="#E4E4E4", linewidth=0.0)
    panel.axvline(0.0, color=_GREY, linewidth=0.8)
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
    up = Patch(color=COLORS[5], label=r"$\hat\nu + \hat\sigma$")
    down = Patch(fc="none", ec=COLORS[0], hatch="////", label=r"$\hat\nu - \hat\sigma$")
    panel.barh(rows, shifts[:, 0], height=0.7, color=up.get_facecolor())
    panel.barh(
        rows,
        shifts[:, 1],
        height=0.7,
        facecolor="none",
        edgecolor=down.get_edgecolor(),
        hatch=down.get_hatch(),
    )
    panel.axvline(0.0, color=_DARK, linewidth=0.8)
    reach = 1.1 * float(np.max(np.abs(shifts)))
    panel.set_xlim(-reach, reach)
    legend_above(panel, [up, down])


def _result(parameter: str, estimate: tuple[float, float], unit: str | None) -> str:
    """The fitted value, its error with two digits."""
    value, error = finite(estimate, "estimate", 2)
    positive(error, "The error in estimate")
    digits = max(0, 1 - math.floor(math.log10(error)))
    result = f"{parameter} = {value:.{digits}f} $\\pm$ {error:.{digits}f}"
    return f"{result} {unit}" if unit else result
