r"""Intervals of single parameters from log likelihood ratios on a grid.

The region of a confidence level holds all parameters together. Projected on one of them, the
others free, it is

.. math:: q_i(\theta_i) = \min_{\theta_j, j \neq i} -2 \log r(\theta) \leq c_m(\mathrm{CL})

with the quantile c of the chi-squared distribution with m degrees of freedom. For m = 1 this is
the interval of the parameter alone (profile likelihood); for m parameters it is the shadow of the
joint region, and wider: a factor 1.5 at 68 % and 1.25 at 95 % in two parameters.

In the Gaussian limit :math:`\sqrt{q_i}` is linear in the parameter on either side of the best fit;
ends between points of the grid are found by linear interpolation of it.

References:
    Wilks, 1938; Particle Data Group, *Review of Particle Physics*, statistics.
"""

from __future__ import annotations

import math

import numpy as np

from madminer.errors import OptionError
from madminer.stats import contour_level, ranges_below
from madminer.typing import FloatArray

_FAR = 100.0  # times the critical value: from there on values need not be told apart
_MOST_DECIMALS = 6


def is_full_grid(theta_grid: FloatArray) -> bool:
    """Whether points are all combinations of the values of each parameter.

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.

    Examples:
        >>> is_full_grid(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        False
    """
    return math.prod(len(np.unique(values)) for values in theta_grid.T) == len(theta_grid)


def projected_intervals(
    theta_grid: FloatArray, log_r: FloatArray, confidence_level: float, dof: int | None = None
) -> list[FloatArray]:
    """Values of each parameter that are not excluded, the other parameters free.

    Args:
        theta_grid: Parameter points of a full grid, shape ``(n, p)``.
        log_r: Log likelihood ratios to the best point (log r, not -2 log r), shape ``(n,)``.
        confidence_level: Probability inside, between 0 and 1.
        dof: Degrees of freedom m; None for p, all parameters together; 1 for each alone.

    Returns:
        For each parameter the ends of its intervals, shape ``(k, 2)``. An end of the grid is an
        end of an interval where the region reaches it.

    Raises:
        OptionError: If the points are no full grid, or the level or `dof` are not valid.

    Examples:
        A Gaussian measurement of 0.02 with the standard deviation 0.1:

        >>> theta = np.linspace(-0.48, 0.52, 11)[:, np.newaxis]
        >>> log_r = -0.5 * ((theta[:, 0] - 0.02) / 0.1) ** 2
        >>> projected_intervals(theta, log_r, 0.6827)[0].round(3)
        array([[-0.08,  0.12]])
    """
    if not is_full_grid(theta_grid):
        raise OptionError(
            "Intervals of single parameters need limits on a full grid (grid_ranges), in which "
            f"every value of a parameter meets every value of the others; got {len(theta_grid)} "
            "other points."
        )
    degrees = theta_grid.shape[1] if dof is None else dof
    critical = math.sqrt(contour_level(confidence_level, degrees))
    distances = np.minimum(np.sqrt(np.maximum(-2.0 * log_r, 0.0)), _FAR * critical)
    intervals = []
    for column in theta_grid.T:
        values, which = np.unique(column, return_inverse=True)
        nearest = np.full(len(values), np.inf)
        np.minimum.at(nearest, which, distances)
        intervals.append(ranges_below(values, nearest - critical))
    return intervals


def interval_texts(
    theta_grid: FloatArray, log_r: FloatArray, confidence_level: float, dof: int | None = None
) -> list[str]:
    """The same in words, with the digits that the spacing of the grid allows.

    Args:
        theta_grid: Parameter points of a full grid, shape ``(n, p)``.
        log_r: Log likelihood ratios to the best point (log r, not -2 log r), shape ``(n,)``.
        confidence_level: Probability inside.
        dof: Degrees of freedom m.

    Returns:
        One text for each parameter: "above", "below" and "all of the grid" where the region
        reaches the ends of the grid, beyond which there may be more.

    Examples:
        >>> theta = np.linspace(-0.5, 0.5, 11)[:, np.newaxis]
        >>> interval_texts(theta, -0.5 * (theta[:, 0] / 0.1) ** 2, 0.95)
        ['-0.20 to 0.20']
        >>> interval_texts(theta, -0.5 * ((theta[:, 0] - 0.4) / 0.1) ** 2, 0.95)
        ['above 0.20']
    """
    found = projected_intervals(theta_grid, log_r, confidence_level, dof)
    return [
        _text(intervals, np.unique(column))
        for intervals, column in zip(found, theta_grid.T, strict=True)
    ]


def region_words(n_parameters: int, dof: int | None = None) -> str:
    """What the intervals are.

    Examples:
        >>> region_words(1), region_words(2), region_words(2, dof=1)
        ('interval', 'region, projected', 'interval')
    """
    return "interval" if (n_parameters if dof is None else dof) == 1 else "region, projected"


def _text(intervals: FloatArray, values: FloatArray) -> str:
    """The intervals on a grid of some values."""
    first, last = values[0], values[-1]
    step = (last - first) / max(len(values) - 1, 1)
    texts = []
    for low, high in intervals:
        ends = _rounded(low, step), _rounded(high, step)
        if low == first and high == last:
            texts.append("all of the grid")
        elif low == first:
            texts.append(f"below {ends[1]}")
        else:
            texts.append(f"above {ends[0]}" if high == last else f"{ends[0]} to {ends[1]}")
    return ", ".join(texts) or "none"


def _rounded(value: float, step: float) -> str:
    """A number to the first decimal place that is a fifth of the spacing or less."""
    places = _MOST_DECIMALS if step <= 0.0 else math.ceil(-math.log10(step / 5.0) - 1e-9)
    decimals = max(0, places)
    if decimals > _MOST_DECIMALS or abs(value) >= 1e6:
        return f"{value:.4g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
