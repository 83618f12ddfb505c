"""Figures of Fisher information: regions, geodesics, eigenvalues, distributions, rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from madminer.checks import refusal
from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting.options import (
    check_options,
    finite,
    not_negative,
    numbers,
    regular_axes,
    texts,
)
from madminer.plotting.style import (
    COLORS,
    DARK,
    LineStyle,
    draw_level,
    legend_above,
    legend_on,
    line_styles,
    lines_of,
    look,
    name_rows,
    panel_on,
    per_item,
    plot_style,
    shade_below_zero,
)
from madminer.stats import as_edges
from madminer.stats.information import as_components, as_covariance, as_information
from madminer.typing import FloatArray

T = TypeVar("T")

_ROUNDING = 1e-9
"""Largest negative eigenvalue, relative to the positive one, that counts as zero."""


@check_options
@plot_style
def plot_fisher_information_contours_2d(
    fisher_information_matrices: Sequence[ArrayLike],
    fisher_information_covariances: Sequence[ArrayLike | None] | None = None,
    reference_thetas: Sequence[ArrayLike | None] | None = None,
    contour_distance: float = 1.0,
    xlabel: str = r"$\theta_0$",
    ylabel: str = r"$\theta_1$",
    xrange: tuple[float, float] = (-1.0, 1.0),
    yrange: tuple[float, float] = (-1.0, 1.0),
    labels: Sequence[str | None] | None = None,
    inline_labels: Sequence[str | None] | None = None,
    resolution: int = 500,
    colors: str | Sequence[str] | None = None,
    linestyles: LineStyle | Sequence[LineStyle] | None = None,
    linewidths: float | Sequence[float] = 1.5,
    alphas: float | Sequence[float] = 1.0,
    alphas_uncertainties: float | Sequence[float] = 0.25,
    sigma_uncertainties: float = 1,
    ax: Axes | None = None,
) -> Figure | Axes:
    r"""Contours of constant distance in the local information metric of two parameters.

    .. math:: d^2 = \sum_{ij} (\theta_i - \theta_{0i})\, I_{ij}\, (\theta_j - \theta_{0j})
              = d_\mathrm{contour}^2

    To first order :math:`d^2` is the expected :math:`-2 \log r`, so that :math:`d = 1.509` holds
    68 % (two parameters). Bands cover
    :math:`|d^2 - d_\mathrm{contour}^2| < n_\sigma\, \mathrm{std}(d^2)` with the variance
    :math:`\mathrm{Cov}_{ijkl}\, \delta_i \delta_j \delta_k \delta_l`.

    Args:
        fisher_information_matrices: n matrices, each of shape ``(2, 2)``.
        fisher_information_covariances: Covariance of each, shape ``(2, 2, 2, 2)``, or None for no
            band.
        reference_thetas: Centre of each, shape ``(2,)``; None for the origin.
        contour_distance: Distance d of the contours from the centre.
        xlabel: Label of the first parameter.
        ylabel: Label of the second parameter.
        xrange: Range of the first parameter.
        yrange: Range of the second parameter.
        labels: Legend entries; None for no entry.
        inline_labels: Texts on the contours; None for none.
        resolution: Grid points along each axis.
        colors: Colour of each, or one for all; None for the package's.
        linestyles: Line style of each, or one for all.
        linewidths: Line width of each, or one for all.
        alphas: Opacity of the lines, or one for all.
        alphas_uncertainties: Opacity of the bands, or one for all.
        sigma_uncertainties: Half width of the bands in standard deviations.
        ax: Axes to draw on; None for a new figure.

    Returns:
        The figure, or `ax` if it was given.

    Raises:
        ShapeError: If matrices are not (2, 2), or covariances or centres do not fit.
        DataError: If a matrix is not positive definite; it may be zero in one direction.
        OptionError: If there is no matrix, a list has the wrong length, or a range, distance or
            resolution is not positive.

    References:
        Brehmer, Cranmer, Kling, Plehn, arXiv:1612.05261, Sec. II.
    """
    matrices = [_two_by_two(matrix) for matrix in fisher_information_matrices]
    n = len(matrices)
    if not n:
        raise refusal("fisher_information_matrices", "one matrix or more", matrices)
    given = _one_each("fisher_information_covariances", fisher_information_covariances, n)
    covariances = [None if c is None else as_covariance(c, 2) for c in given]
    centres = [_centre(c) for c in _one_each("reference_thetas", reference_thetas, n)]
    names = _one_each("labels", labels, n)
    texts_on = _one_each("inline_labels", inline_labels, n)
    band_alphas = per_item("alphas_uncertainties", alphas_uncertainties, (), n)
    legend = [name or "" for name in names]
    lines = lines_of(legend, colors, linestyles, linewidths, styles=line_styles(n))
    for line, alpha in zip(lines, per_item("alphas", alphas, (), n), strict=True):
        line.set_alpha(alpha)
    axes = np.linspace(*xrange, resolution), np.linspace(*yrange, resolution)
    figure, panel = panel_on(ax, (5.0, 4.6))
    threshold = contour_distance**2
    for i, (information, line) in enumerate(zip(matrices, lines, strict=True)):
        step = np.stack(np.meshgrid(*axes), axis=-1) - centres[i]
        squared = np.einsum("...i,ij,...j", step, information, step)
        covariance = covariances[i]
        if covariance is not None:
            band = sigma_uncertainties * _deviation(step, covariance)
            excess = np.abs(squared - threshold) - band
            shade_below_zero(panel, axes, excess, line.get_color(), band_alphas[i])
        outside = (
            f"The contour of {names[i] or 'a matrix'} lies outside the figure; choose another "
            "xrange and yrange."
        )
        contour = draw_level(panel, axes, squared, threshold, line, outside)
        if contour is not None and texts_on[i] is not None:
            place = _innermost(np.concatenate(contour.allsegs[0]), axes)
            panel.clabel(
                contour, fmt={threshold: str(texts_on[i])}, inline_spacing=8, manual=[place]
            )
    for centre in {tuple(centre.tolist()) for centre in centres}:
        panel.plot(*centre, marker="+", color=DARK, markersize=7, linestyle="none", zorder=1)
    panel.set(xlabel=xlabel, ylabel=ylabel, xlim=xrange, ylim=yrange)
    handles = [line for line, name in zip(lines, names, strict=True) if name]
    if handles:
        legend_on(ax, panel, handles)
    return figure if ax is None else ax


def _one_each(name: str, given: Sequence[T] | None, n: int) -> Sequence[T | None]:
    values: Sequence[T | None] = [None] * n if given is None else given
    if len(values) != n:
        raise OptionError(
            f"{name} must have one entry for each of {n} matrices, got {len(values)}."
        )
    return values


def _two_by_two(matrix: ArrayLike) -> FloatArray:
    information = as_information(matrix)
    if information.shape != (2, 2):
        raise ShapeError(
            f"Contours need matrices of shape (2, 2), got {information.shape}; use "
            "project_information or profile_information first."
        )
    eigenvalues = np.linalg.eigvalsh(information)
    if eigenvalues[1] <= 0.0 or eigenvalues[0] < -_ROUNDING * eigenvalues[1]:
        raise DataError(
            "An information must be positive definite (or zero in one direction), but this matrix "
            f"is not positive definite: its eigenvalues are {eigenvalues.tolist()}. Check its sign "
            "and the number of events."
        )
    return information


def _centre(centre: ArrayLike | None) -> FloatArray:
    point: FloatArray = np.zeros(2) if centre is None else np.asarray(centre, dtype=np.float64)
    if point.shape != (2,) or not np.all(np.isfinite(point)):
        raise ShapeError(f"A reference theta must be finite with shape (2,), got {centre!r}.")
    return point


def _innermost(vertices: FloatArray, axes: Sequence[FloatArray]) -> tuple[float, float]:
    """Vertex farthest from the frame, where a label is not cut off."""
    low, high = np.array([(axis[0], axis[-1]) for axis in axes]).T
    margins = np.minimum(vertices - low, high - vertices) / (high - low)
    best = vertices[np.argmax(margins.min(axis=1))]
    return float(best[0]), float(best[1])


def _deviation(step: FloatArray, covariance: FloatArray) -> FloatArray:
    """Standard deviation of the squared distance, from all four indices of the covariance."""
    pairs = (step[..., :, np.newaxis] * step[..., np.newaxis, :]).reshape(*step.shape[:-1], 4)
    variance = np.sum(pairs @ covariance.reshape(4, 4) * pairs, axis=-1)
    deviation: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return deviation


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
    handles = [Line2D([], [], color="#999999", linewidth=0.8, label="geodesics")]
    for line in lines:
        panel.plot(*line.T, **look(handles[0]))
    if grid is not None:
        axes = regular_axes(grid, "grid")
        entries = lines_of([f"$d = {level:g}$" for level in levels], linewidths=2.0)
        known = np.ma.masked_invalid(_as_map(distances, axes).T)
        for level, entry in zip(levels, entries, strict=True):
            outside = (
                f"The contour at distance {level:g} lies outside the grid, whose distances are "
                f"{known.min():.3g} to {known.max():.3g}; choose other levels or another grid."
            )
            draw_level(panel, axes, known, level, entry, outside)
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


@check_options
@plot_style
def plot_fisherinfo_barplot(
    fisher_information_matrices: Sequence[ArrayLike],
    labels: Sequence[str],
    determinant_indices: Sequence[int] | None = None,
    eigenvalue_colors: Sequence[str] | None = None,
    bar_colors: str | Sequence[str] | None = None,
    *,
    parameter_labels: Sequence[str] | None = None,
) -> Figure:
    r"""Eigenvalues and determinants of Fisher informations, side by side.

    Above, each eigenvalue is a line, split into colours by the squared components of its
    eigenvector: how much each parameter takes part. Below, the overall sensitivity
    :math:`(\det I)^{1/n}`.

    Args:
        fisher_information_matrices: Matrices, each of shape ``(n, n)``.
        labels: Name of each.
        determinant_indices: Parameters whose submatrix gives the determinant; None for all.
        eigenvalue_colors: Colour of each parameter.
        bar_colors: Colour of the bar of each matrix, or one for all.
        parameter_labels: Name of each parameter in the legend; None: :math:`\theta_0` and so on.

    Returns:
        The figure.

    Raises:
        ShapeError: If the matrices differ in shape.
        OptionError: If a list has the wrong length, or an index does not exist.
    """
    matrices = [as_information(matrix) for matrix in fisher_information_matrices]
    if not matrices or len({matrix.shape for matrix in matrices}) != 1:
        raise ShapeError(
            "The bar plot compares at least one matrix, all of one shape, got "
            f"{[matrix.shape for matrix in matrices]}."
        )
    if len(labels or ()) != len(matrices):
        raise OptionError(f"labels must name {len(matrices)} matrices, got {labels}.")
    n = len(matrices[0])
    kept = as_components(range(n) if determinant_indices is None else determinant_indices, n)
    parameter_colors = per_item("eigenvalue_colors", eigenvalue_colors, COLORS, n)
    fills = per_item("bar_colors", bar_colors, COLORS[-1:], len(matrices))
    symbols = [rf"$\theta_{{{i}}}$" for i in range(n)]
    names = symbols if parameter_labels is None else list(parameter_labels)
    if len(names) != n:
        raise OptionError(f"parameter_labels must name {n} parameters, got {len(names)}.")

    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(1.6 + 1.1 * len(matrices), 5.6), height_ratios=(3, 2)
    )
    for i, matrix in enumerate(matrices):
        _draw_eigenvalues(above, i, matrix, parameter_colors)
    bars = [_mean_eigenvalue(matrix[np.ix_(kept, kept)]) for matrix in matrices]
    below.bar(range(len(matrices)), bars, width=0.7, color=fills)
    above.set(yscale="log", ylabel="eigenvalues")
    legend_above(
        above,
        [
            Line2D([], [], color=color, linewidth=3, label=name)
            for color, name in zip(parameter_colors, names, strict=True)
        ],
        n_cols=min(n, 4),
    )
    below.set(
        ylabel=rf"$(\det I)^{{1/{len(kept)}}}$", xlim=(-0.6, len(matrices) - 0.4), ylim=(0, None)
    )
    is_long = sum(map(len, labels)) > 12 * len(labels) or len(labels) > 3
    below.set_xticks(range(len(matrices)), labels)
    if is_long:  # slanted texts end below their bars
        plt.setp(below.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
    for panel in (above, below):
        panel.tick_params(axis="x", which="both", length=0)
        panel.grid(visible=False, axis="x")
    return figure


@check_options
@plot_style
def plot_distribution_of_information(
    xbins: ArrayLike,
    xsecs: ArrayLike,
    fisher_information_matrices: ArrayLike,
    fisher_information_matrices_aux: ArrayLike | None = None,
    xlabel: str | None = None,
    xmin: float | None = None,
    xmax: float | None = None,
    log_xsec: bool = False,
    norm_xsec: bool = True,
    epsilon: float = 1.0e-9,
    figsize: tuple[float, float] = (5.4, 4.5),
    fontsize: float | None = None,
) -> Figure:
    r"""Cross section and information over an observable.

    Args:
        xbins: Edges, shape ``(n + 1,)``, as from ``FisherInformation.histogram_of_information``.
        xsecs: Cross sections in pb, shape ``(n + 2,)``, underflow first and overflow last; the
            two count for the normalisation only.
        fisher_information_matrices: Information in each slice, shape ``(n + 2, m, m)``; shown is
            :math:`(\det I)^{1/m}`.
        fisher_information_matrices_aux: Others to compare with, dashed; None for none.
        xlabel: Label of the observable.
        xmin: Left end of the axis; None for the first edge.
        xmax: Right end of the axis; None for the last edge.
        log_xsec: Whether the axis of the cross section is logarithmic.
        norm_xsec: Whether cross sections are divided by their total.
        epsilon: Smallest value shown on a logarithmic axis, as a fraction of the total.
        figsize: Width and height in inches.
        fontsize: Font size of the labels; None for that of the style.

    Returns:
        The figure.

    Raises:
        ShapeError: If the numbers of edges, cross sections and matrices do not fit.
    """
    edges = as_edges(xbins)
    sigma = np.asarray(xsecs, dtype=np.float64)
    matrices = _slice_matrices(fisher_information_matrices, len(edges) + 1)
    if sigma.shape != (len(edges) + 1,):
        raise ShapeError(
            f"{len(edges)} edges need {len(edges) + 1} cross sections with underflow and "
            f"overflow, got {sigma.shape}."
        )
    shown = (sigma / sigma.sum() if norm_xsec else sigma)[1:-1]
    if log_xsec:
        shown = np.maximum(shown, epsilon * np.abs(shown).sum())

    figure, left = plt.subplots(figsize=figsize)
    right = left.twinx()
    left.stairs(shown, edges, fill=True, color="#BBBBBB", alpha=0.6)
    curves = {"-": matrices}
    if fisher_information_matrices_aux is not None:
        curves["--"] = _slice_matrices(fisher_information_matrices_aux, len(edges) + 1)
    for style, slices in curves.items():
        values = [_mean_eigenvalue(matrix) for matrix in slices[1:-1]]
        right.stairs(values, edges, baseline=None, color=COLORS[1], linestyle=style, linewidth=1.5)
    left.set(
        yscale="log" if log_xsec else "linear",
        xlim=(
            edges[0] if xmin is None else float(xmin),
            edges[-1] if xmax is None else float(xmax),
        ),
    )
    left.set_xlabel(xlabel or "", fontsize=fontsize)
    left.set_ylabel(
        r"$\Delta\sigma / \sigma$ per bin" if norm_xsec else r"$\Delta\sigma$ per bin [pb]",
        fontsize=fontsize,
    )
    right.set_ylabel(
        rf"$(\det I)^{{1/{matrices.shape[1]}}}$ per bin", color=COLORS[1], fontsize=fontsize
    )
    right.tick_params(axis="y", which="both", colors=COLORS[1])
    right.set_ylim(bottom=0.0)
    right.grid(visible=False)
    left.tick_params(axis="y", which="both", right=False)
    return figure


def _draw_eigenvalues(
    panel: Axes, position: float, matrix: FloatArray, colors: Sequence[str]
) -> None:
    values, vectors = np.linalg.eigh(matrix)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-9 * values[-1]:  # a blind direction has no place on a logarithmic axis
            ends = position - 0.35 + 0.7 * np.append(0.0, np.cumsum(vector**2))
            for left, right, color in zip(ends[:-1], ends[1:], colors, strict=True):
                panel.plot(
                    [left, right], [value, value], color=color, linewidth=3, solid_capstyle="butt"
                )


def _mean_eigenvalue(matrix: FloatArray) -> float:
    """Geometric mean of the eigenvalues; zero if the matrix is singular or not positive."""
    return float(np.maximum(np.linalg.det(matrix), 0.0) ** (1.0 / len(matrix)))


def _slice_matrices(matrices: ArrayLike, n: int) -> FloatArray:
    array: FloatArray = np.asarray(matrices, dtype=np.float64)
    if array.ndim != 3 or array.shape[0] != n or array.shape[1] != array.shape[2]:
        raise ShapeError(
            f"Expected {n} information matrices with underflow and overflow, shape ({n}, m, m), "
            f"got {array.shape}."
        )
    return array


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
    figure, panel = panel_on(ax, (5.4, 1.1 + 0.26 * len(order)))
    rows = np.arange(len(order))
    panel.barh(rows, values[order], height=0.7, color=COLORS[0])
    if widths is not None:
        panel.errorbar(
            values[order], rows, xerr=widths[order], color=DARK, linestyle="none", capsize=2.0
        )
    name_rows(panel, [names[i] for i in order], len(names))
    panel.set_xlabel(xlabel)
    if panel.dataLim.x0 >= 0.0:
        panel.set_xlim(left=0.0)
    return figure
