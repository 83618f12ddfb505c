r"""Geodesics of the Fisher information, integrated numerically from one point.

.. math::

    \ddot\theta^i = -\Gamma^i_{jk}\, \dot\theta^j \dot\theta^k, \qquad
    \Gamma^i_{jk} = \tfrac12 (I^{-1})^{il}
                    (\partial_j I_{lk} + \partial_k I_{lj} - \partial_l I_{jk})

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import number, one_of
from madminer.errors import DataError, OptionError, ShapeError
from madminer.fisherinformation.metrics import CENTRAL, FORWARD, Metric, interpolation
from madminer.stats.information import as_information, unit_scales
from madminer.typing import BoolArray, FloatArray

Method = Literal["steps", "adaptive"]
"""How geodesics are integrated, see `InformationGeometry`."""

Trajectory: TypeAlias = tuple[FloatArray, FloatArray]
"""Points, shape ``(n, p)``, and their distances from the first one, shape ``(n,)``."""

_MOST_STEPS: Final = 200
_LARGEST_TURN: Final = 0.05  # change of the unit velocity in one Euler step
_FORWARD_STEP: Final = 1.0e-3  # in units of the parameters
_CENTRAL_STEP: Final = 5.0e-4  # in units of the limits
_ROUNDING: Final = 1.0e-6  # in units of a step
_SMALLEST_EIGENVALUE: Final = 1.0e-10  # of an information with a diagonal of ones


def geodesics_from(metric: Metric, theta0: FloatArray, limits: FloatArray) -> Geodesics:
    """Geodesics that leave a point ``(p,)`` in ranges of the parameters ``(p, 2)``, after checks.

    Raises:
        ShapeError: If there is not one range for each parameter.
        OptionError: If the point lies outside the limits.
        DataError: If the information there is not finite, symmetric and positive definite.

    Examples:
        >>> metric = Metric(1, lambda thetas: np.full((len(thetas), 1, 1), 4.0))
        >>> geodesics = geodesics_from(metric, np.zeros(1), np.array([[0.0, 2.0]]))
        >>> geodesics.follow(np.ones((1, 1)), 1.0, "adaptive", 1e-8)
        [(array([[0.], [1.], [2.]]), array([0., 2., 4.]))]
    """
    if len(limits) != len(theta0):
        raise ShapeError(
            f"Expected a range for each of {len(theta0)} parameters, got {len(limits)}."
        )
    if not np.all((theta0 >= limits[:, 0]) & (theta0 <= limits[:, 1])):
        raise OptionError(f"theta0 = {theta0} lies outside the limits {limits.tolist()}.")
    information = metric.information(theta0[np.newaxis])[0]
    _check_positive_definite(information, theta0)
    return Geodesics(metric, theta0, information, limits)


@dataclass(frozen=True, slots=True, eq=False)
class Geodesics:
    """All geodesics that leave one point.

    Args:
        metric: The Fisher information.
        theta0: The point, shape ``(p,)``.
        information0: The information there, shape ``(p, p)``.
        limits: Range of each parameter, shape ``(p, 2)``.
    """

    metric: Metric
    theta0: FloatArray
    information0: FloatArray
    limits: FloatArray

    def follow(
        self, directions: FloatArray, stepsize: float, method: Method, rtol: float
    ) -> list[Trajectory]:
        """Follow geodesics until they end.

        Args:
            directions: Directions in which they leave, shape ``(n, p)``.
            stepsize: Length of a step in units of theta: the largest one for ``"steps"``, the
                first one, of a direction of length one, for ``"adaptive"``.
            method: ``"steps"`` or ``"adaptive"``.
            rtol: Relative error of each step, for ``"adaptive"``.

        Returns:
            Points and distances along each of them.

        Raises:
            OptionError: If method or error are not valid.
        """
        one_of(method, "method", get_args(Method))
        tolerance = number(rtol, "rtol", 1e-12, below=1.0)
        if method == "steps":
            return self._by_steps(directions, stepsize)
        return [self._adaptive(stepsize * direction, tolerance) for direction in directions]

    def distances(
        self, directions: FloatArray, trajectories: list[Trajectory], grid: FloatArray, option: str
    ) -> FloatArray:
        """Distances ``(m,)`` of the points of a grid ``(m, p)``, interpolated between trajectories.

        In normal coordinates, distance times initial unit velocity, geodesics are straight lines.
        They are smooth at theta0, where the distance itself has a cusp. Not-a-number where no
        trajectories come.

        Raises:
            DataError: If the trajectories span no volume.
        """
        units = directions / self._lengths(directions)[:, np.newaxis]
        points = np.concatenate([thetas for thetas, _ in trajectories])
        coordinates = np.concatenate(
            [np.outer(d, unit) for (_, d), unit in zip(trajectories, units, strict=True)]
        )
        points, first = np.unique(points, axis=0, return_index=True)  # they share theta0
        return self._lengths(interpolation(points, coordinates[first], option)(grid))

    def _lengths(self, vectors: FloatArray) -> FloatArray:
        """Lengths of vectors at theta0, shape ``(..., p)``, in its metric."""
        squares = np.einsum("...i,ij,...j->...", vectors, self.information0, vectors)
        lengths: FloatArray = np.sqrt(squares)
        return lengths

    def _is_inside(self, thetas: FloatArray) -> BoolArray:
        low, high = self.limits.T
        inside: BoolArray = np.all((thetas >= low) & (thetas <= high), axis=-1)
        return inside

    def _by_steps(self, directions: FloatArray, stepsize: float) -> list[Trajectory]:
        """Advance all trajectories together by Euler steps."""
        n, p = directions.shape
        path = np.full((_MOST_STEPS + 1, n, p), np.nan)
        lengths = np.full((_MOST_STEPS + 1, n), np.nan)
        running, theta, length = np.arange(n), np.tile(self.theta0, (n, 1)), np.zeros(n)
        velocity = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        path[0], lengths[0] = theta, length
        for i in range(1, _MOST_STEPS + 1):
            theta, velocity, step_length = self._euler_step(theta, velocity, stepsize)
            length = length + step_length
            path[i, running], lengths[i, running] = theta, length
            goes_on = np.isfinite(length) & self._is_inside(theta)
            running, theta, velocity = running[goes_on], theta[goes_on], velocity[goes_on]
            length = length[goes_on]
            if not len(running):
                break
        n_points = np.sum(np.isfinite(lengths), axis=0)
        return [(path[:end, i], lengths[:end, i]) for i, end in enumerate(n_points)]

    def _euler_step(
        self, theta: FloatArray, velocity: FloatArray, stepsize: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """New points, new velocities and lengths of the steps, not-a-number where none exists."""
        shift = np.full(self.metric.dimension, _FORWARD_STEP)
        with np.errstate(all="ignore"):
            change, information = self.metric.acceleration(theta, velocity, shift, FORWARD)
            turn = np.linalg.norm(change, axis=1)
            step = np.minimum(stepsize, _LARGEST_TURN / turn)[:, np.newaxis]
            length = np.sqrt(np.einsum("ni,nij,nj->n", velocity, information, velocity))
            turned = velocity + step * change
            turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return theta + step * velocity, turned, step[:, 0] * length

    def _adaptive(self, displacement: FloatArray, rtol: float) -> Trajectory:
        """Follow one geodesic by Runge-Kutta steps; it takes `displacement` in the time one.

        Its velocity is constant in the metric, so that its length is the time, in units of the
        length of `displacement`.
        """
        curve = self._curve(displacement, rtol)
        if curve is None or curve.t_max < _ROUNDING:
            return self.theta0[np.newaxis], np.zeros(1)
        times = np.append(np.arange(np.ceil(curve.t_max - _ROUNDING)), curve.t_max)
        outside = np.flatnonzero(~self._is_inside(self._at(curve, times)))
        if len(outside):
            end = self._leaving_time(curve, times[outside[0] - 1], times[outside[0]])
            times = np.unique(np.append(times[: outside[0]], end))
        return self._at(curve, times), times * self._lengths(displacement)

    def _curve(self, displacement: FloatArray, rtol: float) -> Any:
        """Point and velocity as functions of time, until outside the limits; None without any.

        `scipy.integrate.solve_ivp` is not used as it would take ever smaller steps towards a point
        where the information ends, such as the border of a grid.
        """
        from scipy.integrate import DOP853, OdeSolution

        p, widths = self.metric.dimension, self.limits[:, 1] - self.limits[:, 0]
        speed = np.max(np.abs(displacement) / widths)
        slope = _Slope(self.metric, _CENTRAL_STEP * widths)
        start = np.concatenate([self.theta0, displacement])
        errors: Any = rtol * np.concatenate([widths, speed * widths])
        times, pieces = [0.0], list[Any]()
        with np.errstate(all="ignore"):
            if not np.all(np.isfinite(slope(0.0, start))):
                return None
            solver: Any = DOP853(slope, 0.0, start, float(_MOST_STEPS), rtol=rtol, atol=errors)
            while solver.status == "running" and self._is_inside(solver.y[:p]):
                slope.has_met_end = False
                solver.step()
                if solver.status == "failed":  # no step is small enough
                    break
                times.append(solver.t)
                pieces.append(solver.dense_output())
                if slope.has_met_end and speed * solver.step_size < _CENTRAL_STEP:
                    break
        return OdeSolution(times, pieces) if pieces else None

    def _at(self, curve: Any, times: ArrayLike) -> FloatArray:
        """Points of a curve, shape ``(n, p)``, or ``(p,)`` at one time."""
        thetas: FloatArray = curve(times)[: self.metric.dimension].T
        return thetas

    def _leaving_time(self, curve: Any, inside: float, outside: float) -> float:
        """Time at which a curve reaches the limits, between one inside and one outside."""
        from scipy.optimize import brentq

        low, high = self.limits.T

        def margin(time: float) -> float:
            theta = self._at(curve, time)
            return float(np.min(np.minimum(theta - low, high - theta) / (high - low)))

        return float(brentq(margin, inside, outside))


class _Slope:
    """Derivative of a point and its velocity, one after the other, by the time."""

    def __init__(self, metric: Metric, steps: FloatArray) -> None:
        self.metric = metric
        self.steps = steps
        self.has_met_end = False  # whether there was no information since this was set

    def __call__(self, _: float, state: FloatArray) -> FloatArray:
        theta, velocity = np.split(state[np.newaxis], 2, axis=1)
        change, _information = self.metric.acceleration(theta, velocity, self.steps, CENTRAL)
        self.has_met_end |= not np.all(np.isfinite(change))
        return np.concatenate([velocity[0], change[0]])


def _check_positive_definite(information: FloatArray, theta0: FloatArray) -> None:
    try:
        matrix = as_information(information)
    except DataError as error:
        raise DataError(f"At theta0 = {theta0}: {error} Choose a point where it exists.") from None
    scale = unit_scales(matrix)  # a diagonal of ones, as units of the parameters do not count
    if np.linalg.eigvalsh(matrix * np.outer(scale, scale))[0] > _SMALLEST_EIGENVALUE:
        return
    raise DataError(
        f"The Fisher information at theta0 = {theta0} is not positive definite, "
        f"{matrix.tolist()}: it has no distances in some direction. Leave out parameters that are "
        f"not measured, or add observables."
    )
