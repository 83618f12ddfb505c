"""Regular grids of parameter points, and what lies between their points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from madminer.checks import interval, refusal, sequence, whole
from madminer.typing import FloatArray

_MOST_POINTS = 100_000_000


def regular_grid(
    grid_ranges: Sequence[tuple[float, float]], grid_resolutions: int | Sequence[int]
) -> FloatArray:
    """Regular grid of parameter points, the last parameter running fastest.

    Args:
        grid_ranges: Range of each of p parameters, ends included.
        grid_resolutions: Number of points along each parameter, or one for all.

    Returns:
        Parameter points, shape ``(n, p)``.

    Raises:
        OptionError: If there is no range, one is not finite and increasing, or the numbers do not
            fit.

    Examples:
        >>> regular_grid([(0.0, 1.0), (2.0, 3.0)], [2, 2])
        array([[0., 2.],
               [0., 3.],
               [1., 2.],
               [1., 3.]])
    """
    ranges = sequence(grid_ranges, "grid_ranges", interval)
    expected = f"a positive whole number, or one for each of {len(ranges)} ranges"
    if isinstance(grid_resolutions, int | np.integer):
        numbers = [whole(grid_resolutions, "grid_resolutions", 1)] * len(ranges)
    elif np.isscalar(grid_resolutions) or grid_resolutions is None:
        raise refusal("grid_resolutions", expected, grid_resolutions)
    else:
        numbers = sequence(grid_resolutions, "grid_resolutions", _positive_whole)
    if not ranges or len(numbers) != len(ranges):
        raise refusal("grid_resolutions", expected, grid_resolutions)
    whole(math.prod(numbers), "The number of grid points", 1, _MOST_POINTS)
    axes = [np.linspace(low, high, n) for (low, high), n in zip(ranges, numbers, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return grid.reshape(-1, len(ranges))


def ranges_below(x: FloatArray, excess: FloatArray) -> FloatArray:
    """Ranges in which a function is not positive, by linear interpolation.

    Args:
        x: Increasing positions, shape ``(n,)``.
        excess: The finite values of the function there, shape ``(n,)``.

    Returns:
        Both ends of each range, shape ``(m, 2)``; a range ends with the first or last position
        where the function is not positive there.

    Examples:
        >>> ranges_below(np.array([0.0, 1.0, 2.0, 3.0]), np.array([-1.0, 1.0, 3.0, -1.0]))
        array([[0.  , 0.5 ],
               [2.75, 3.  ]])
    """
    inside = excess <= 0.0
    k = np.flatnonzero(inside[1:] != inside[:-1])
    zeros = x[k] + (x[k + 1] - x[k]) * excess[k] / (excess[k] - excess[k + 1])
    ends = np.concatenate([x[:1][inside[:1]], zeros, x[-1:][inside[-1:]]])
    return ends.reshape(-1, 2)


def _positive_whole(value: object, name: str) -> int:
    return whole(value, name, 1)
