"""Contours of constant distance in an information metric, drawn on axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from madminer.deprecation import warn
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class InformationContour:
    """Contour of constant distance in the metric of one information, and how to draw it.

    Args:
        information: Fisher information, shape ``(2, 2)``.
        covariance: Its covariance, shape ``(2, 2, 2, 2)``; None for no band.
        centre: Point from which distances count, shape ``(2,)``.
        text: Text on the contour; None for none.
        line: Colour, style, width, opacity and label of the contour.
        band_opacity: Opacity of the band.
    """

    information: FloatArray
    covariance: FloatArray | None
    centre: FloatArray
    text: str | None
    line: Line2D
    band_opacity: float


def draw_contour(
    panel: Axes,
    x: FloatArray,
    y: FloatArray,
    contour: InformationContour,
    threshold: float,
    n_sigma: float,
) -> None:
    """Draw the points at one squared distance, and the band of its uncertainty.

    Args:
        panel: Where to draw.
        x: Grid of the first parameter, shape ``(n_x,)``.
        y: Grid of the second parameter, shape ``(n_y,)``.
        contour: What to draw.
        threshold: Squared distance of the contour.
        n_sigma: Half width of the band in standard deviations of the squared distance.
    """
    step = np.stack(np.meshgrid(x, y), axis=-1) - contour.centre
    squared = np.einsum("...i,ij,...j", step, contour.information, step)
    color = contour.line.get_color()
    if contour.covariance is not None:
        excess = np.abs(squared - threshold) - n_sigma * _deviation(step, contour.covariance)
        if excess.min() < 0.0:
            panel.contourf(
                x, y, excess, levels=[-np.inf, 0.0], colors=[color], alpha=contour.band_opacity
            )
    if not squared.min() < threshold < squared.max():
        warn(
            f"The contour of {contour.line.get_label() or 'a matrix'} lies outside the figure; "
            "choose another xrange and yrange.",
            RuntimeWarning,
        )
        return
    lines = panel.contour(
        x,
        y,
        squared,
        levels=[threshold],
        colors=[color],
        linestyles=[contour.line.get_linestyle()],
        linewidths=[contour.line.get_linewidth()],
        alpha=contour.line.get_alpha(),
    )
    if contour.text is not None:
        vertices = np.concatenate(lines.allsegs[0])
        panel.clabel(
            lines,
            fmt={threshold: contour.text},
            inline_spacing=8,
            manual=[_innermost(vertices, x, y)],
        )


def _innermost(vertices: FloatArray, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Vertex farthest from the frame, where a label is not cut off."""
    low, high = np.array([x[0], y[0]]), np.array([x[-1], y[-1]])
    margins = np.minimum(vertices - low, high - vertices) / (high - low)
    best = vertices[np.argmax(margins.min(axis=1))]
    return float(best[0]), float(best[1])


def _deviation(step: FloatArray, covariance: FloatArray) -> FloatArray:
    """Standard deviation of the squared distance, from all four indices of the covariance."""
    pairs = (step[..., :, np.newaxis] * step[..., np.newaxis, :]).reshape(*step.shape[:-1], 4)
    variance = np.sum(pairs @ covariance.reshape(4, 4) * pairs, axis=-1)
    deviation: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return deviation
