"""Figures of Fisher information: contours, eigenvalues, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from madminer.errors import OptionError, ShapeError
from madminer.plotting.style import COLORS, LINESTYLES, figure_grid, per_item, plot_style
from madminer.stats.matrices import as_covariance, as_information
from madminer.typing import ArrayLike, FloatArray

__all__ = ["plot_fisher_information_contours_2d"]

T = TypeVar("T")


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
    linestyles: str | Sequence[str] | None = None,
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
        OptionError: If a list has the wrong length, or a range, distance or resolution is not
            positive.

    References:
        Brehmer, Cranmer, Kling, Plehn, arXiv:1612.05261, Sec. II.
    """
    matrices = [_two_by_two(matrix) for matrix in fisher_information_matrices]
    n = len(matrices)
    covariances = _optional("fisher_information_covariances", fisher_information_covariances, n)
    centres = [_centre(c) for c in _optional("reference_thetas", reference_thetas, n)]
    names = _optional("labels", labels, n)
    texts = _optional("inline_labels", inline_labels, n)
    line_colors = per_item("colors", colors, COLORS, n)
    styles = per_item("linestyles", linestyles, LINESTYLES if n > 1 else ("-",), n)
    widths = per_item("linewidths", linewidths, (), n)
    opacities = per_item("alphas", alphas, (), n)
    band_opacities = per_item("alphas_uncertainties", alphas_uncertainties, (), n)
    x, y = _axis("xrange", xrange, resolution), _axis("yrange", yrange, resolution)
    if not contour_distance > 0.0:
        raise OptionError(f"contour_distance must be positive, got {contour_distance}.")
    threshold = contour_distance**2
    grid = np.stack(np.meshgrid(x, y), axis=-1)

    figure, panel = (None, ax) if ax is not None else _single_panel()
    for i, matrix in enumerate(matrices):
        step = grid - centres[i]
        squared = np.einsum("...i,ij,...j", step, matrix, step)
        covariance = covariances[i]
        if covariance is not None:
            error = _standard_deviation(step, as_covariance(covariance, 2))
            panel.contourf(
                x,
                y,
                np.abs(squared - threshold) - sigma_uncertainties * error,
                levels=[-np.inf, 0.0],
                colors=[line_colors[i]],
                alpha=band_opacities[i],
            )
        lines = panel.contour(
            x,
            y,
            squared,
            levels=[threshold],
            colors=[line_colors[i]],
            linestyles=[styles[i]],
            linewidths=[widths[i]],
            alpha=opacities[i],
        )
        text = texts[i]
        if text is not None:
            panel.clabel(lines, fmt={threshold: text}, inline=True, inline_spacing=8)
    _mark_centres(panel, centres)
    panel.set(xlabel=xlabel, ylabel=ylabel, xlim=xrange, ylim=yrange)
    handles = [
        Line2D([], [], color=c, linestyle=s, linewidth=w, alpha=a, label=name)
        for name, c, s, w, a in zip(
            names, line_colors, styles, widths, opacities, strict=True
        )
        if name is not None
    ]
    if handles:
        panel.legend(handles=handles)
    return panel if figure is None else figure


def _standard_deviation(step: FloatArray, covariance: FloatArray) -> FloatArray:
    variance = np.einsum(
        "...i,...j,ijkl,...k,...l", step, step, covariance, step, step, optimize=True
    )
    return np.sqrt(np.maximum(variance, 0.0))


def _mark_centres(panel: Axes, centres: Sequence[FloatArray]) -> None:
    for centre in {tuple(centre.tolist()) for centre in centres}:
        panel.plot(*centre, marker="+", color="#333333", markersize=7, linestyle="none", zorder=1)


def _single_panel() -> tuple[Figure, Axes]:
    figure, axes = figure_grid(1, panel_size=(5.0, 4.6))
    return figure, axes[0]


def _optional(name: str, given: Sequence[T | None] | None, n: int) -> list[T | None]:
    values: list[T | None] = [None] * n if given is None else list(given)
    if len(values) != n:
        raise OptionError(f"{name} must have one entry for each of {n} matrices, got {len(values)}.")
    return values


def _two_by_two(matrix: ArrayLike) -> FloatArray:
    information = as_information(matrix)
    if information.shape != (2, 2):
        raise ShapeError(
            f"Contours need matrices of shape (2, 2), got {information.shape}; use "
            "project_information or profile_information first."
        )
    return information


def _centre(centre: ArrayLike | None) -> FloatArray:
    point: FloatArray = np.zeros(2) if centre is None else np.asarray(centre, dtype=np.float64)
    if point.shape != (2,) or not np.all(np.isfinite(point)):
        raise ShapeError(f"A reference theta must be finite with shape (2,), got {centre}.")
    return point


def _axis(name: str, limits: tuple[float, float], resolution: int) -> FloatArray:
    low, high = limits
    if not (np.isfinite(low) and np.isfinite(high) and low < high) or resolution < 2:
        raise OptionError(
            f"{name} must be finite and increasing and resolution at least 2, got {limits} and "
            f"{resolution}."
        )
    return np.linspace(low, high, resolution)
