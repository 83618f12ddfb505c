r"""Figures of likelihoods: :math:`q = -2 \log r` along one parameter and in pairs of parameters.

Regions of confidence level c in m parameters end where q is the c-quantile of :math:`\chi^2_m`
(`madminer.stats.contour_level`) or, without asymptotics, a critical value from toy experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from madminer.checks import interval, real_array, sequence
from madminer.deprecation import warn
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import (
    check_options,
    finite,
    increasing,
    legend_on,
    not_negative,
    one_or_list,
    panel_on,
    regular_axes,
    texts,
)
from madminer.plotting.style import COLORS, LINESTYLES, LineStyle, plot_style
from madminer.stats import contour_level, ranges_below
from madminer.typing import FloatArray

_Q_LABEL = r"$-2 \log r$"
_GREY = "#777777"
_DARK = "#333333"
_ROUNDING = 1e-6
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
    ylabel: str = _Q_LABEL,
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
    curves = _q_curves(q, len(x))
    lines = _lines(texts(labels, "labels", _numbered(curves)))
    stars = np.empty(0) if best is None else finite(np.ravel(best), "best", len(curves))
    if np.any((stars < x[0]) | (stars > x[-1])):
        raise DataError(f"best must lie between {x[0]:g} and {x[-1]:g}, got {stars.tolist()}.")
    ends = _bands(bands, len(curves), len(x))
    figure, panel = panel_on(ax, (5.4, 4.2))
    for line, curve, band in zip(lines, curves, ends, strict=True):
        _draw_curve(panel, x, curve, line)
        if band is not None:
            panel.fill_between(x, *band, color=line.get_color(), alpha=0.2, linewidth=0.0)
    for line, curve, star in zip(lines, curves, stars, strict=False):
        _draw_star(panel, star, np.interp(star, x, curve), line, clipped=False)
    if asymptotic:
        _draw_levels(panel, levels)
    top = _top(curves, [contour_level(level, dof=1) for level in levels])
    panel.set(xlabel=xlabel, ylabel=ylabel, xlim=x[[0, -1]], ylim=(0.0, top))
    if len(lines) > 1 or labels is not None:
        legend_on(ax, panel, lines)
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
    seen = [] if observed is None else _q_curves(finite(observed, "observed", shape[1]), shape[1])
    figure, panel = panel_on(ax, (5.6, 4.4))
    lines = _lines([_percent(level) for level in levels], ("-", "-.", ":"))
    for line, curve, width, limit in zip(lines, curves, widths, limits, strict=True):
        color = line.get_color()
        _draw_curve(panel, x, curve, line)
        panel.axhline(limit, color=color, linestyle="--", linewidth=1.0)
        if errors is not None:
            panel.fill_between(x, curve - width, curve + width, color=color, alpha=0.25, lw=0.0)
        for q in seen:
            _draw_intervals(panel, x, q, curve, line)
    handles = [*lines, Line2D([], [], color=_GREY, ls="--", lw=1.0, label="asymptotic")]
    for q in seen:
        handles += panel.plot(x, q, color="black", linewidth=2.0, label="observed", zorder=3)
    top = _top(seen, [*limits, *(curves + widths).max(axis=1)])
    panel.set(xlabel=xlabel, ylabel=_Q_LABEL, xlim=x[[0, -1]], ylim=(0.0, top))
    legend_on(ax, panel, handles)
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
    curves = _q_curves(q, len(points))
    lines = _lines(texts(labels, "labels", _numbered(curves)))
    stars = points[np.argmin(curves, axis=1)]
    if best is not None:
        stars = finite(np.atleast_2d(real_array(best, "best")), "best", len(curves), p)
    marks = None if truth is None else finite(truth, "truth", p)
    spans = [(float(axis[0]), float(axis[-1])) for axis in axes]
    shown = spans if ranges is None else sequence(ranges, "ranges", interval)
    if len(shown) != p:
        raise OptionError(f"ranges must be a list of {p} pairs, got {len(shown)}.")

    top = _top(curves, [contour_level(level, dof=1) for level in levels])
    figure, panels = _corner(symbols, shown, top)
    for curve, line, star in zip(curves, lines, stars, strict=True):
        cube = np.minimum(curve, _LARGEST).reshape([len(axis) for axis in axes])
        for (i, j), panel in panels.items():
            profile = cube.min(axis=tuple({*range(p)} - {i, j}))
            if i == j:
                _draw_curve(panel, axes[i], profile, line)
            else:
                _draw_contours(panel, (axes[i], axes[j]), profile, levels, line)
                _draw_star(panel, star[i], star[j], line)
    for (i, j), panel in panels.items():
        if i == j:
            _draw_thresholds(panel, levels)
        if marks is not None:
            _draw_truth(panel, marks[i], None if i == j else marks[j])
    handles = [*(lines if len(lines) > 1 or labels is not None else []), *_level_lines(levels)]
    handles.append(Line2D([], [], color=_GREY, marker="*", ms=10, ls="none", label="best fit"))
    if marks is not None:
        handles.append(Line2D([], [], color=_DARK, ls=":", label="truth"))
    figure.legend(handles=handles, loc="upper right")
    return figure


def _q_curves(q: object, n: int) -> list[FloatArray]:
    """One or several arrays of -2 log r, of shape ``(n,)``, without rounding below zero."""
    arrays = [real_array(values, "q") for values in one_or_list(q, 1)]
    shapes = [array.shape for array in arrays]
    if shapes != [(n,)] * len(shapes):
        raise ShapeError(f"q must be arrays of shape ({n},), got shapes {shapes}.")
    if not all(np.all(array >= -_ROUNDING) for array in arrays):
        raise DataError(
            "q must be -2 log r relative to the best point: not negative and not NaN, got "
            f"{min(float(np.min(array)) for array in arrays):g}. Subtract the smallest value."
        )
    return [np.maximum(array, 0.0) for array in arrays]


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


def _percent(level: float) -> str:
    return f"{100.0 * level:.4g} % CL"


def _lines(labels: Sequence[str], linestyles: Sequence[LineStyle] = LINESTYLES) -> list[Line2D]:
    """How to draw each curve: by colour and by line style, for prints in grey."""
    return [
        Line2D(
            [],
            [],
            color=COLORS[i % len(COLORS)],
            linestyle=linestyles[i % len(linestyles)],
            label=label,
        )
        for i, label in enumerate(labels)
    ]


def _level_lines(levels: Sequence[float]) -> list[Line2D]:
    """Lines for the levels, the first one the widest."""
    return [
        Line2D([], [], color=_GREY, linewidth=max(2.0 - i, 0.5), label=_percent(level))
        for i, level in enumerate(levels)
    ]


def _top(curves: Sequence[FloatArray], levels: Sequence[float]) -> float:
    """Upper end of an axis of q: all levels, and no more of high curves than is of interest."""
    highest = max(levels)
    reach = max((float(q.max()) for q in curves), default=0.0)
    return max(1.2 * highest, min(2.0 * highest, 1.05 * reach))


def _draw_curve(panel: Axes, x: FloatArray, y: FloatArray, line: Line2D) -> None:
    panel.plot(x, y, color=line.get_color(), linestyle=line.get_linestyle())


def _draw_star(panel: Axes, x: float, y: float, line: Line2D, *, clipped: bool = True) -> None:
    panel.plot(
        x,
        y,
        marker="*",
        markersize=11,
        color=line.get_color(),
        markeredgecolor=_DARK,
        markeredgewidth=0.6,
        linestyle="none",
        zorder=5,
        clip_on=clipped,
    )


def _draw_levels(panel: Axes, levels: Sequence[float]) -> None:
    """Horizontal lines at quantiles of chi-squared, their confidence levels at the right."""
    for level in levels:
        height = contour_level(level, dof=1)
        panel.axhline(height, color=_GREY, linewidth=1.0, linestyle=(0, (1, 2)))
        panel.annotate(
            f"{100.0 * level:.4g} %",
            (1.0, height),
            xycoords=panel.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize="small",
            color=_DARK,
        )


def _draw_intervals(
    panel: Axes, x: FloatArray, q: FloatArray, critical: FloatArray, line: Line2D
) -> None:
    """Shade where q is not above its critical value, and mark the ends."""
    for low, high in ranges_below(x, q - critical):
        panel.axvspan(low, high, color=line.get_color(), alpha=0.12, linewidth=0.0)
        for end in (low, high):
            panel.axvline(end, color=line.get_color(), linestyle=line.get_linestyle(), lw=0.8)


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
            panel.set(ylabel=_Q_LABEL, ylim=(0.0, top))
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
    # The root of q is close to linear in theta, so that it can be interpolated on a coarse grid.
    distance = np.sqrt(q.T)
    for level, of_level in zip(levels, _level_lines(levels), strict=True):
        threshold = np.sqrt(contour_level(level, dof=2))
        if not distance.min() < threshold < distance.max():
            warn(
                f"The contour at {_percent(level)} of {line.get_label()} lies outside the grid; "
                "choose a wider or finer one.",
                RuntimeWarning,
            )
            continue
        panel.contour(
            *axes,
            distance,
            levels=[threshold],
            colors=[line.get_color()],
            linestyles=[line.get_linestyle()],
            linewidths=[of_level.get_linewidth()],
        )


def _draw_thresholds(panel: Axes, levels: Sequence[float]) -> None:
    for level, line in zip(levels, _level_lines(levels), strict=True):
        width = line.get_linewidth()
        panel.axhline(contour_level(level, dof=1), color="#BBBBBB", linewidth=width, zorder=1)


def _draw_truth(panel: Axes, x: float, y: float | None) -> None:
    panel.axvline(x, color=_DARK, linestyle=":", linewidth=1.0)
    if y is not None:
        panel.axhline(y, color=_DARK, linestyle=":", linewidth=1.0)
