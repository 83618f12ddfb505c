r"""Many small minimisations at once: a damped Newton method, vectorised over the problems.

Profile likelihoods on a grid and toy experiments are thousands of independent fits with few
parameters. All take their steps together:

.. math:: \Delta = -(H + \lambda\, \mathrm{diag} H)^{-1} g

with the gradient g, a positive semidefinite approximation H of the second derivatives, and a
damping :math:`\lambda` that each problem adapts (Levenberg and Marquardt). Along the last step H is
corrected by the change of the gradient that was seen (Broyden, Fletcher, Goldfarb and Shanno). A
problem has converged when the decrease that the quadratic approximation still promises,
:math:`\tfrac12 g^T H^{-1} g`, is small: the measure that MINUIT calls the estimated distance to the
minimum.

References:
    Marquardt, *An algorithm for least-squares estimation of nonlinear parameters*, 1963;
    Nocedal and Wright, *Numerical Optimization*, Sec. 6.1;
    James and Roos, *Minuit*, Comput. Phys. Commun. 10 (1975) 343.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from madminer.typing import BoolArray, FloatArray, IntArray

_LARGEST_DAMPING = 1e12
_SMALLEST_DAMPING = 1e-9
_SMALLEST_SECANT = 1.5  # of the assumed curvature: with less, steps lead to the minimum as they are
_LARGEST_SECANT = 10.0  # of the assumed curvature, where a step led too far
_ROUNDING = 1e-7  # of values that come from networks in single precision


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """Functions at points, with derivatives; two of them add up.

    Args:
        value: Values, shape ``(n,)``.
        gradient: Gradients, shape ``(n, m)``.
        curvature: Second derivatives, or a positive semidefinite approximation, shape
            ``(n, m, m)``.
    """

    value: FloatArray
    gradient: FloatArray
    curvature: FloatArray

    def __add__(self, other: Expansion) -> Expansion:
        return Expansion(
            self.value + other.value,
            self.gradient + other.gradient,
            self.curvature + other.curvature,
        )

    def at(self, components: IntArray) -> Expansion:
        """The same as functions of some of the parameters, shape ``(c,)``."""
        return Expansion(
            self.value,
            self.gradient[:, components],
            self.curvature[:, components[:, np.newaxis], components],
        )


Objective = Callable[[FloatArray, IntArray], Expansion]
"""Expansion at points ``(n, m)`` of the problems with numbers ``(n,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Minima:
    """Where functions are smallest.

    Args:
        points: Positions, shape ``(n, m)``.
        value: Values there, shape ``(n,)``.
        distance: Estimated decrease that is left, shape ``(n,)``.
        has_converged: Whether that is below the tolerance, shape ``(n,)``. Where the curvature
            vanishes nothing tells a minimum from a maximum: such points do not count.
    """

    points: FloatArray
    value: FloatArray
    distance: FloatArray
    has_converged: BoolArray


def minimize_many(
    objective: Objective,
    start: FloatArray,
    *,
    tolerance: float = 1e-7,
    max_steps: int = 100,
    largest_step: float | FloatArray = np.inf,
) -> Minima:
    """Minimise many functions at once.

    Args:
        objective: Gives the expansion of some of the functions, the number of each told, at a
            point of each. A value that is not finite marks a point that is not allowed; the first
            ones must be.
        start: First points, shape ``(n, m)``.
        tolerance: Estimated distance to the minimum at which a problem has converged.
        max_steps: Largest number of steps.
        largest_step: Bound on the steps of all parameters, or of each, shape ``(m,)``.

    Returns:
        The minima; problems that did not converge are marked.

    Examples:
        >>> target = np.array([[1.0], [3.0]])
        >>> def parabola(x, which):
        ...     step = x - target[which]
        ...     return Expansion((step**2).sum(axis=1), 2 * step, np.full((len(x), 1, 1), 2.0))
        >>> minimize_many(parabola, np.zeros((2, 1))).points.round(6)
        array([[1.],
               [3.]])
    """
    points = np.array(start, dtype=np.float64)
    n = len(points)
    everyone = np.arange(n)
    now = objective(points, everyone)
    value, gradient, curvature = now.value.copy(), now.gradient.copy(), now.curvature.copy()
    damping, distance = np.full(n, 1e-3), _distance(now)
    open_ = distance > tolerance
    for _ in range(max_steps):
        active = np.flatnonzero(open_)
        if not active.size:
            break
        step = _step(gradient[active], curvature[active], damping[active])
        step = np.clip(step, -largest_step, largest_step)
        trial = points[active] + step
        found = objective(trial, active)
        change, left = found.value - value[active], _distance(found)
        equal = change <= _ROUNDING * (1.0 + np.abs(value[active]))
        better = (change < 0.0) | (equal & (left < distance[active]))
        nearby = np.where(np.isfinite(found.value), _LARGEST_SECANT, 0.0)
        curvature[active] = _with_secant(
            np.where(better[:, np.newaxis, np.newaxis], found.curvature, curvature[active]),
            step,
            found.gradient - gradient[active],
            np.where(better, np.inf, nearby),
        )
        won, lost = active[better], active[~better]
        points[won], value[won] = trial[better], found.value[better]
        gradient[won], distance[won] = found.gradient[better], left[better]
        damping[won] = np.maximum(damping[won] / 10.0, _SMALLEST_DAMPING)
        damping[lost] *= 10.0
        open_[active] = (distance[active] > tolerance) & (damping[active] < _LARGEST_DAMPING)
    has_scale = np.all(np.einsum("nii->ni", curvature) > 0.0, axis=1)
    return Minima(points, value, distance, (distance <= tolerance) & has_scale)


def _step(gradient: FloatArray, curvature: FloatArray, damping: FloatArray) -> FloatArray:
    """Damped Newton steps, shape ``(n, m)``."""
    solution = np.linalg.solve(_damped(curvature, damping), gradient[..., np.newaxis])
    step: FloatArray = -solution[..., 0]
    return step


def _with_secant(
    curvature: FloatArray, step: FloatArray, change: FloatArray, largest: FloatArray
) -> FloatArray:
    r"""Curvatures that explain how the last steps changed the gradients, shape ``(n, m, m)``.

    .. math:: H' = H - \frac{H s s^T H}{s^T H s} + \frac{y y^T}{s^T y}, \qquad H' s = y

    with the step s and the change y of the gradient. The approximation H may be far too small: the
    information that a model expects vanishes where only squares of parameters count. Steps would
    lead back and forth across the minimum.

    Args:
        curvature: Approximations H, shape ``(n, m, m)``.
        step: The steps, shape ``(n, m)``.
        change: Changes of the gradients, shape ``(n, m)``.
        largest: Ratio of seen to assumed curvature beyond which the function is none that a
            parabola describes, shape ``(n,)``.
    """
    along = np.einsum("nij,nj->ni", curvature, step)
    with np.errstate(over="ignore", invalid="ignore"):  # of steps to points that are not allowed
        assumed, seen = np.sum(step * along, axis=1), np.sum(step * change, axis=1)
        ratio = np.divide(seen, assumed, out=np.zeros_like(seen), where=assumed > 0.0)
    use = (ratio > _SMALLEST_SECANT) & (ratio < largest)
    corrected = curvature.copy()
    corrected[use] -= _squared(along[use], assumed[use])
    corrected[use] += _squared(change[use], seen[use])
    return corrected


def _squared(vectors: FloatArray, divisors: FloatArray) -> FloatArray:
    """Products ``(n, m, m)`` of the components of vectors ``(n, m)`` over divisors ``(n,)``."""
    scaled = vectors / divisors[:, np.newaxis]
    products: FloatArray = vectors[:, :, np.newaxis] * scaled[:, np.newaxis, :]
    return products


def _distance(expansion: Expansion) -> FloatArray:
    """Estimated distance to the minimum, shape ``(n,)``."""
    tiny = np.full(len(expansion.value), _SMALLEST_DAMPING)
    step = _step(expansion.gradient, expansion.curvature, tiny)
    distance: FloatArray = -0.5 * np.einsum("ni,ni->n", expansion.gradient, step)
    return distance


def _damped(curvature: FloatArray, damping: FloatArray) -> FloatArray:
    """Curvatures with a share of their diagonal added, so that they can be inverted."""
    diagonal = np.einsum("nii->ni", curvature)
    scale = np.where(diagonal > 0.0, diagonal, 1.0)  # a flat direction has no scale of its own
    added = scale[:, :, np.newaxis] * np.eye(curvature.shape[1])
    damped: FloatArray = curvature + damping[:, np.newaxis, np.newaxis] * added
    return damped
