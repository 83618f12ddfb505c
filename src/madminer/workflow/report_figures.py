"""Figures of the report of an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from madminer.errors import DataError
from madminer.fisherinformation import expected_limits
from madminer.plotting import plot_fisher_information_contours_2d, plot_pvalue_limits
from madminer.plotting.style import plain, plot_style
from madminer.stats import profiled, ranges_below
from madminer.typing import FloatArray

_SMALLEST = 1e-4  # p-value that is shown
_GREY, _ALPHA = "0.5", 0.13  # of what is excluded; each level adds a shade
_BLIND = 1e-8  # ratio of eigenvalues below which an ellipse is a pair of lines


@plot_style
def loss_figure(
    losses: Sequence[Sequence[float]], validation_losses: Sequence[Sequence[float | None]]
) -> Figure:
    """Losses by epoch, a curve for each network; None where there was no validation."""
    figure, axes = plt.subplots(figsize=(5.0, 3.2))
    kinds = (("training", "-", "C0", losses), ("validation", "--", "C1", validation_losses))
    for name, style, color, curves in kinds:
        for i, curve in enumerate(curves):
            values = np.array(curve, dtype=np.float64)  # None becomes NaN
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, style, color=color, label=None if i else name)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)
    return figure


def ellipses_figure(matrices: Mapping[str, FloatArray], names: Sequence[str]) -> Figure | None:
    """Contours of one standard deviation in two theory parameters, the others profiled.

    Args:
        matrices: Information of each analysis by its label, with that of the constraints, shape
            ``(2, 2)`` or, with nuisance parameters, ``(2 + v, 2 + v)``.
        names: Names of the two.

    Returns:
        The figure, without contours that are much larger than the smallest one; None if no
        analysis measures both.
    """
    found = {label: _on_theta(matrix) for label, matrix in matrices.items()}
    regular = {label: matrix for label, matrix in found.items() if matrix is not None}
    if not regular:
        return None
    widths = [float(expected_limits(matrix).profiled.max()) for matrix in regular.values()]
    reach = min(2.0 * max(widths), 6.0 * min(widths))  # the best ones stay visible
    corners = reach * np.array([[1.0, 1.0], [1.0, -1.0]])
    shown = {
        label: matrix
        for label, matrix in regular.items()
        if np.einsum("ci,ij,cj->c", corners, matrix, corners).max() > 1.0  # else it is outside
    }
    figure, axes = plt.subplots(figsize=(5.0, 4.5))
    plot_fisher_information_contours_2d(
        list(shown.values()),
        xlabel=plain(names[0]),
        ylabel=plain(names[1]),
        xrange=(-reach, reach),
        yrange=(-reach, reach),
        labels=[plain(label) for label in shown],
        ax=axes,
    )
    return figure


def _on_theta(matrix: FloatArray) -> FloatArray | None:
    """Information on the first two parameters; None where it has no ellipse."""
    try:
        found = profiled(matrix, range(2))
    except DataError:  # nothing is known of a nuisance parameter
        return None
    values = np.linalg.eigvalsh(found)  # guaranteed ones can be negative, all can be blind
    return found if values[0] > _BLIND * values[-1] else None


@plot_style
def curve_figure(
    theta: FloatArray, p_values: FloatArray, name: str, levels: Sequence[float]
) -> Figure:
    """p-values of one parameter; shaded is what is excluded.

    Args:
        theta: Values, increasing, shape ``(n,)``.
        p_values: Shape ``(n,)``.
        name: Name of the parameter.
        levels: Confidence levels, which are marked.
    """
    shown = np.maximum(p_values, _SMALLEST)
    figure, axes = plt.subplots(figsize=(5.0, 3.6))
    axes.semilogy(theta, shown)
    for level in levels:
        axes.axhline(1.0 - level, color=_GREY, linestyle=":")
        for low, high in ranges_below(theta, np.log(shown / (1.0 - level))):
            axes.axvspan(low, high, color=_GREY, alpha=_ALPHA, linewidth=0.0)
    axes.set(xlabel=plain(name), ylabel="p-value", xlim=(theta[0], theta[-1]))
    return figure


def map_figure(
    p_values: FloatArray,
    label: str,
    names: Sequence[str],
    ranges: Sequence[Sequence[float]],
    resolutions: int | Sequence[int],
    levels: Sequence[float],
) -> Figure:
    """Contours of p-values in two parameters; shaded is what is excluded.

    Args:
        p_values: On the flattened grid, shape ``(n_0 n_1,)``.
        label: Name of the limits.
        names: Names of the parameters.
        ranges: Range of each parameter.
        resolutions: Number of values of each, or one for both.
        levels: Confidence levels of the contours.
    """
    numbers = [resolutions] * 2 if isinstance(resolutions, int) else list(resolutions)
    ends = [(low, high) for low, high in ranges]
    figure = plot_pvalue_limits(
        [p_values],
        [int(np.argmax(p_values))],
        [plain(label)],
        ends,
        numbers,
        levels=[1.0 - level for level in levels],
        xlabel=plain(names[0]),
        ylabel=plain(names[1]),
    )
    x, y = (np.linspace(*pair, n) for pair, n in zip(ends, numbers, strict=True))
    log_p = np.log(np.maximum(p_values, _SMALLEST)).reshape(numbers).T
    for edge in np.log(1.0 - np.asarray(levels)):
        if log_p.min() < edge:
            figure.axes[0].contourf(x, y, log_p, [-np.inf, edge], colors=[_GREY], alpha=_ALPHA)
    return figure
