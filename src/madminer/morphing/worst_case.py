"""Worst case of a morphing basis: where in the parameter range its weights are largest."""

from __future__ import annotations

import numpy as np

from madminer.morphing.weights import morphing_weight_gradients, morphing_weights
from madminer.typing import ArrayLike, FloatArray, IntArray, Seed

__all__ = ["largest_squared_weights"]

N_POINTS = 1000
N_STARTS = 5


def largest_squared_weights(
    components: IntArray, matrix: FloatArray, ranges: ArrayLike, *, seed: Seed = 0
) -> tuple[float, FloatArray]:
    r"""Find the maximum of :math:`\sum_b W_b(\theta)^2` over the parameter ranges.

    The best of random points and corners are starts of L-BFGS-B of SciPy.

    Args:
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.
        ranges: Lower and upper end of each parameter, shape ``(n_parameters, 2)``.
        seed: Source of randomness.

    Returns:
        The maximum; and the point, shape ``(n_parameters,)``.

    Examples:
        >>> components = np.array([[0], [1], [2]])
        >>> matrix = np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.5], [0.5, -1.0, 0.5]])  # -1, 0, 1
        >>> largest_squared_weights(components, matrix, [(-1.0, 2.0)])
        (19.0, array([2.]))
    """
    from scipy.optimize import minimize  # takes half a second, which few programs need

    low, high = np.asarray(ranges, dtype=np.float64).T
    rng = np.random.default_rng(seed)
    size = (N_POINTS, len(low))
    positions = np.concatenate([rng.uniform(size=size), rng.integers(0, 2, size=size)])

    def place(position: FloatArray) -> FloatArray:
        inside: FloatArray = np.clip(low + (high - low) * position, low, high)
        return inside

    def objective(position: FloatArray) -> tuple[float, FloatArray]:
        weights = morphing_weights(place(position), components, matrix)
        gradients = morphing_weight_gradients(place(position), components, matrix)
        size = 1.0 + float(weights @ weights)
        return -float(np.log(size)), -2.0 * (high - low) * (gradients @ weights) / size

    sums = np.sum(morphing_weights(place(positions), components, matrix) ** 2, axis=-1)
    starts = positions[np.argsort(sums)[::-1][:N_STARTS]]
    bounds = [(0.0, 1.0)] * len(low)
    ends = [minimize(objective, start, jac=True, bounds=bounds).x for start in starts]
    points = place(np.concatenate([starts, ends]))
    sums = np.sum(morphing_weights(points, components, matrix) ** 2, axis=-1)
    best = int(np.argmax(sums))
    return float(sums[best]), points[best]
