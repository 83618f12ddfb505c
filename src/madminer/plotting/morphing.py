r"""Plots of a morphing basis: its weights and where they are large.

The size of the morphing weights at a parameter point, :math:`\sqrt{\sum_b W_b(\theta)^2}`, is the
factor by which statistical errors of the benchmarks grow there. Around one is good; where it is
large, benchmarks cancel and other ones should be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from madminer.checks import positive, random_generator
from madminer.errors import MorphingError, OptionError
from madminer.morphing import PhysicsMorpher
from madminer.plotting.options import check_options
from madminer.plotting.style import SEQUENTIAL, plain
from madminer.typing import FloatArray, Seed

_SIZE_LABEL = r"Size of the morphing weights $\sqrt{\Sigma_b W_b^2}$"
_PANEL_INCHES = 2.4
_MESH: dict[str, Any] = {"shading": "gouraud", "rasterized": True}


@check_options
def plot_1d_morphing_basis(
    morpher: PhysicsMorpher,
    xlabel: str = r"$\theta$",
    xrange: tuple[float, float] = (-1.0, 1.0),
    resolution: int = 100,
) -> Figure:
    """Plot the weight of each benchmark, and their size, over one parameter.

    Args:
        morpher: Morpher with one parameter and a basis.
        xlabel: Label of the parameter.
        xrange: Its range.
        resolution: Number of points.

    Returns:
        The figure: weights above, their size below, benchmarks as dots and dotted lines.

    Raises:
        MorphingError: If the morpher has no basis.
        OptionError: If it has another number of parameters, or a range is empty.
    """
    basis, _, _ = _content(morpher, n_parameters=1)
    thetas = np.linspace(*xrange, resolution)[:, np.newaxis]
    weights = morpher.calculate_morphing_weights(thetas)
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(6.0, 5.6), height_ratios=(3, 2), layout="constrained"
    )
    n_bases = morpher.n_benchmarks / morpher.n_components
    colors = plt.get_cmap(SEQUENTIAL)(np.linspace(0.0, 0.9, len(basis)))
    for b, color in enumerate(colors):
        top.plot(thetas[:, 0], weights[:, b], color=color, label=f"{b}", linewidth=1.5)
        top.plot(basis[b, 0], 1.0 / n_bases, "o", color=color, markersize=5)
        for axes in (top, bottom):
            axes.axvline(basis[b, 0], color=color, linestyle=":", linewidth=1.0, zorder=0)
    top.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
    top.set_ylabel(r"Morphing weight $W_b$")
    figure.legend(title="Benchmark", loc="outside upper center", ncols=10, frameon=False)
    bottom.semilogy(thetas[:, 0], np.sqrt(np.sum(weights**2, axis=-1)), color="black")
    bottom.set(xlabel=xlabel, xlim=xrange, ylabel=r"Size $\sqrt{\Sigma_b W_b^2}$")
    _label_decades(bottom)
    return figure


@check_options
def plot_2d_morphing_basis(
    morpher: PhysicsMorpher,
    xlabel: str = r"$\theta_0$",
    ylabel: str = r"$\theta_1$",
    xrange: tuple[float, float] = (-1.0, 1.0),
    yrange: tuple[float, float] = (-1.0, 1.0),
    crange: tuple[float, float] = (1.0, 100.0),
    resolution: int = 100,
) -> Figure:
    """Map the size of the morphing weights over two parameters.

    Args:
        morpher: Morpher with two parameters and a basis.
        xlabel: Label of the first parameter.
        ylabel: Label of the second parameter.
        xrange: Range of the first parameter.
        yrange: Range of the second parameter.
        crange: Sizes at the ends of the colour bar, which is logarithmic.
        resolution: Number of points along each axis.

    Returns:
        The figure, with the benchmarks of the basis as numbered dots.

    Raises:
        MorphingError: If the morpher has no basis.
        OptionError: If it has another number of parameters, or a range is empty.
    """
    basis, _, _ = _content(morpher, n_parameters=2)
    x, y = np.linspace(*xrange, resolution), np.linspace(*yrange, resolution)
    sizes = _sizes(morpher, np.stack(np.meshgrid(x, y), axis=-1))
    figure, axes = plt.subplots(figsize=(6.2, 5.0), layout="constrained")
    mesh = axes.pcolormesh(x, y, sizes, norm=_norm(crange), cmap=SEQUENTIAL, **_MESH)
    levels = [level for level in (2, 5, 10, 20, 50) if crange[0] < level < crange[1]]
    contours = axes.contour(x, y, sizes, levels=levels, colors="white", linewidths=0.7)
    axes.clabel(contours, fmt="%g", fontsize=8)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=xrange, ylim=yrange)
    _draw_basis(axes, basis, numbered=True)
    _draw_color_bar(figure, mesh, axes)
    return figure


@check_options
def plot_nd_morphing_basis_scatter(
    morpher: PhysicsMorpher,
    crange: tuple[float, float] = (1.0, 100.0),
    n_test_thetas: int = 1000,
    *,
    seed: Seed = None,
    parameter_labels: Sequence[str] | None = None,
) -> Figure:
    """Show the size of the morphing weights at random points, projected on pairs of parameters.

    Args:
        morpher: Morpher with two or more parameters and a basis.
        crange: Sizes at the ends of the colour bar, which is logarithmic.
        n_test_thetas: Number of points, uniform in the ranges of the parameters.
        seed: Source of randomness.
        parameter_labels: Label of each parameter; None for the names.

    Returns:
        The figure, a panel for each pair of parameters, with the benchmarks as dots.

    Raises:
        MorphingError: If the morpher has no basis.
        OptionError: If it has only one parameter, or a range is empty.
    """
    basis, ranges, names = _content(morpher)
    low, high = ranges.T
    points = random_generator(seed).uniform(low, high, size=(n_test_thetas, len(ranges)))
    sizes = _sizes(morpher, points)
    order = np.argsort(sizes)  # large ones on top
    figure, panels = _corner(_labels(names, parameter_labels))
    for (i, j), axes in panels.items():
        mesh = axes.scatter(
            points[order, i],
            points[order, j],
            c=sizes[order],
            s=9,
            norm=_norm(crange),
            cmap=SEQUENTIAL,
            linewidths=0,
            rasterized=True,
        )
        _draw_basis(axes, basis[:, (i, j)])
        axes.set(xlim=ranges[i], ylim=ranges[j])
    _draw_color_bar(figure, mesh, list(panels.values()))
    return figure


@check_options
def plot_nd_morphing_basis_slices(
    morpher: PhysicsMorpher,
    crange: tuple[float, float] = (1.0, 100.0),
    resolution: int = 50,
    *,
    parameter_labels: Sequence[str] | None = None,
) -> Figure:
    """Map the size of the morphing weights in planes of two parameters.

    The other parameters are zero, or in the middle of their range where it does not hold zero.

    Args:
        morpher: Morpher with two or more parameters and a basis.
        crange: Sizes at the ends of the colour bar, which is logarithmic.
        resolution: Number of points along each axis.
        parameter_labels: Label of each parameter; None for the names.

    Returns:
        The figure, a panel for each pair of parameters; dots are the benchmarks, projected.

    Raises:
        MorphingError: If the morpher has no basis.
        OptionError: If it has only one parameter, or a range is empty.
    """
    basis, ranges, names = _content(morpher)
    low, high = ranges.T
    center = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
    figure, panels = _corner(_labels(names, parameter_labels))
    for (i, j), axes in panels.items():
        x, y = (np.linspace(low[k], high[k], resolution) for k in (i, j))
        thetas = np.tile(center, (resolution, resolution, 1))
        thetas[..., i], thetas[..., j] = np.meshgrid(x, y)
        sizes = _sizes(morpher, thetas)
        mesh = axes.pcolormesh(x, y, sizes, norm=_norm(crange), cmap=SEQUENTIAL, **_MESH)
        _draw_basis(axes, basis[:, (i, j)])
        axes.set(xlim=ranges[i], ylim=ranges[j])
    _draw_color_bar(figure, mesh, list(panels.values()))
    return figure


def _content(
    morpher: PhysicsMorpher, n_parameters: int | None = None
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Basis, ranges and names of the parameters, once it is clear that they can be drawn."""
    if morpher.basis is None:
        raise MorphingError("The morpher has no basis to plot. Call set_basis or optimize_basis.")
    found = morpher.basis.shape[1]
    if found != n_parameters and (n_parameters is not None or found < 2):
        raise OptionError(
            f"This plot is for {n_parameters or 'two or more'} parameters, but the morpher has "
            f"{found}. There are plot_1d_morphing_basis, plot_2d_morphing_basis and, for more, "
            f"plot_nd_morphing_basis_scatter and plot_nd_morphing_basis_slices."
        )
    return morpher.basis, morpher.parameter_range, morpher.parameter_names


def _sizes(morpher: PhysicsMorpher, thetas: FloatArray) -> FloatArray:
    sizes: FloatArray = np.linalg.norm(morpher.calculate_morphing_weights(thetas), axis=-1)
    return sizes


def _norm(crange: tuple[float, float]) -> LogNorm:
    return LogNorm(positive(crange[0], "crange[0]"), crange[1], clip=True)


def _labels(names: list[str], given: Sequence[str] | None) -> list[str]:
    labels = [plain(name) for name in names] if given is None else list(given)
    if len(labels) != len(names):
        raise OptionError(
            f"parameter_labels must name the {len(names)} parameters {names}, got {labels}."
        )
    return labels


def _corner(names: list[str]) -> tuple[Figure, dict[tuple[int, int], Axes]]:
    """Panels for all pairs i < j of parameters: i along x, j along y."""
    n = len(names) - 1
    side = _PANEL_INCHES * n + 0.6
    figure, grid = plt.subplots(
        n,
        n,
        sharex="col",
        sharey="row",
        squeeze=False,
        figsize=(max(side + 1.0, 5.0), max(side, 4.0)),
        layout="constrained",
    )
    for axes in grid.flat:
        axes.set_visible(False)
    panels = {(i, j): grid[j - 1, i] for i, j in combinations(range(n + 1), 2)}
    for (i, j), axes in panels.items():
        axes.set_visible(True)
        # no ticks in the corners, where those of neighbours would meet
        axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
        axes.yaxis.set_major_locator(MaxNLocator(4, prune="both"))
        if j == n:
            axes.set_xlabel(names[i])
        if i == 0:
            axes.set_ylabel(names[j])
    return figure, panels


def _draw_basis(axes: Axes, basis: FloatArray, *, numbered: bool = False) -> None:
    axes.plot(*basis.T, "o", color="#CC002E", markeredgecolor="white", markersize=6, zorder=3)
    for b, (x, y) in enumerate(basis if numbered else ()):
        is_left = x < np.mean(axes.get_xlim())
        axes.annotate(
            str(b),
            (x, y),
            xytext=(6 if is_left else -6, 0),
            textcoords="offset points",
            horizontalalignment="left" if is_left else "right",
            verticalalignment="center",
            color="#CC002E",
            fontweight="bold",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            annotation_clip=True,
        )


def _draw_color_bar(figure: Figure, mesh: Any, axes: Any) -> None:
    bar = figure.colorbar(mesh, ax=axes, label=_SIZE_LABEL, extend="max", fraction=0.05, pad=0.02)
    _label_decades(bar.ax)


def _label_decades(panel: Axes) -> None:
    """Plain numbers on a logarithmic axis: powers of ten, and 2 and 5 times as much."""
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    )
