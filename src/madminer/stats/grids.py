"""Grids of parameter points, what lies between them, and smoothing of values at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from madminer.checks import interval, refusal, sequence, whole
from madminer.typing import FloatArray

_MOST_POINTS = 100_000_000
_NEIGHBOURS = 2.5  # points under the kernel for each coefficient of the polynomial
_DEPENDENT = 1e-6  # singular value of unit vectors below which they depend on each other linearly


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
        numbers = sequence(
            grid_resolutions, "grid_resolutions", lambda value, name: whole(value, name, 1)
        )
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


def fewest_points(n_dimensions: int) -> int:
    """Coefficients of a quadratic polynomial: fewer points determine none."""
    return (n_dimensions + 1) * (n_dimensions + 2) // 2


def local_polynomial(
    x: FloatArray, values: FloatArray, errors: FloatArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""Fit a quadratic polynomial to the neighbours of each point, weighted by distance.

    Weights are :math:`(1 - d^3)^3 / \sigma^2` with the distance d in units of that of the farthest
    neighbour (Cleveland, *J. Am. Stat. Assoc.* 74 (1979) 829), coordinates in units of their
    spread. Terms that the neighbours do not determine are left out, quadratic ones first.

    Args:
        x: Where values are known, shape ``(n, p)``.
        values: Values, shape ``(n,)``.
        errors: Their standard deviations, shape ``(n,)``.
        at: Where values are wanted, shape ``(m, p)``.

    Returns:
        Values and standard deviations, shape ``(m,)`` each.

    Examples:
        >>> x = np.linspace(-1.0, 1.0, 21)[:, np.newaxis]
        >>> smooth, _ = local_polynomial(x, 3.0 * x[:, 0] ** 2, np.ones(21), np.array([[0.25]]))
        >>> smooth.round(6)
        array([0.1875])
    """
    scale = np.ptp(x, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    known, wanted = x / scale, at / scale
    n_neighbours = min(len(x), int(np.ceil(_NEIGHBOURS * fewest_points(x.shape[1]))))
    sigma = np.maximum(errors, 1e-12 + 1e-3 * np.median(errors))
    results = np.empty((2, len(at)))
    for i, point in enumerate(wanted):
        distance = np.linalg.norm(known - point, axis=1)
        near = np.argsort(distance, kind="stable")[:n_neighbours]
        reach = 1.001 * distance[near[-1]]
        kernel = (1.0 - (distance[near] / reach) ** 3) ** 3 if reach > 0.0 else np.ones(len(near))
        terms = _determined(_monomials(known[near] - point))
        weight = kernel / sigma[near] ** 2
        # the value at the point is the constant term, a linear combination of the neighbours
        combination = np.linalg.pinv(terms * np.sqrt(weight)[:, np.newaxis])[0] * np.sqrt(weight)
        results[:, i] = combination @ values[near], np.linalg.norm(combination * sigma[near])
    return results[0], results[1]


def _monomials(steps: FloatArray) -> FloatArray:
    """Constant, linear and quadratic terms, shape ``(n, n_terms)``."""
    columns = [np.ones(len(steps)), *steps.T]
    pairs = combinations_with_replacement(range(steps.shape[1]), 2)
    columns += [steps[:, i] * steps[:, j] for i, j in pairs]
    return np.stack(columns, axis=1)


def _determined(terms: FloatArray) -> FloatArray:
    """Columns that do not depend linearly on those before them, shape ``(n, n_kept)``."""
    lengths = np.linalg.norm(terms, axis=0)
    unit = terms / np.where(lengths > 0.0, lengths, 1.0)
    if _rank(unit) == terms.shape[1]:
        return terms
    kept: list[int] = []
    for column in range(terms.shape[1]):
        if _rank(unit[:, [*kept, column]]) > len(kept):
            kept.append(column)
    return terms[:, kept]


def _rank(columns: FloatArray) -> int:
    return int(np.linalg.matrix_rank(columns, tol=_DEPENDENT))
