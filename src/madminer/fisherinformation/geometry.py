r"""Information geometry: distances between parameter points along geodesics.

With the Fisher information as metric, the distance d of two parameter points is the length of the
geodesic between them. It generalises :math:`d^2 = \Delta\theta^T I\, \Delta\theta`, which holds
where the information is constant, and does not depend on how the parameters are chosen.

.. math::

    \ddot\theta^i = -\Gamma^i_{jk}\, \dot\theta^j \dot\theta^k, \qquad
    \Gamma^i_{jk} = \tfrac12 (I^{-1})^{il}
                    (\partial_j I_{lk} + \partial_k I_{lj} - \partial_l I_{jk})

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. 2.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np

from madminer.checks import (
    flag,
    interval,
    number,
    one_of,
    positive,
    random_generator,
    real_array,
    sequence,
    whole,
)
from madminer.errors import DataError, OptionError, SetupError, ShapeError
from madminer.fisherinformation.metrics import (
    CENTRAL,
    FORWARD,
    InformationFunction,
    Metric,
    formula_metric,
    function_metric,
    grid_metric,
    interpolation,
)
from madminer.ml.inputs import DataLike
from madminer.stats import p_values_from_q
from madminer.stats.information import as_information
from madminer.typing import ArrayLike, BoolArray, FloatArray, Seed

__all__ = ["InformationGeometry"]

logger = logging.getLogger(__name__)

Method = Literal["steps", "adaptive"]

Trajectory: TypeAlias = tuple[FloatArray, FloatArray]
"""Points, shape ``(n, p)``, and their distances from the first one, shape ``(n,)``."""

_MOST_STEPS: Final = 200
_LARGEST_TURN: Final = 0.05  # change of the unit velocity in one Euler step
_FORWARD_STEP: Final = 1.0e-3  # in units of the parameters
_CENTRAL_STEP: Final = 5.0e-4  # in units of the limits
_PADDING: Final = 0.1  # in units of the ranges of a grid
_ROUNDING: Final = 1.0e-6  # in units of a step
_SMALLEST_EIGENVALUE: Final = 1.0e-10  # of an information with a diagonal of ones
_MOST_POINTS: Final = 100_000_000


class InformationGeometry:
    r"""Geodesics and distances in the space of parameters, the Fisher information as metric.

    The information as a function of theta is set first, by one of the methods
    ``information_from_...``. All trajectories are then found by one of two methods:

    - ``"steps"``: Euler's, with steps of min(`stepsize`, 0.05 / :math:`|\ddot\theta|`), velocities
      with :math:`|\dot\theta| = 1` and derivatives of the information from forward differences of
      0.001. Good to about the step, and meant for parameters of order one.
    - ``"adaptive"``: Runge-Kutta of order eight with an error estimate, for the affine parameter,
      along which the velocity :math:`\sqrt{\dot\theta^T I\, \dot\theta}` is constant, and
      derivatives from central differences of fourth order. Good to about ten times `rtol`, in any
      units. Between the points of a grid, which are not known as well, 1e-5 is enough, and faster.

    Trajectories end where they leave the limits, where the information does not exist or has no
    inverse, or after 200 steps.

    Examples:
        The square root of a number of events is measured equally well everywhere, which makes
        distances :math:`2 |\sqrt{n} - \sqrt{n_0}|`:

        >>> geometry = InformationGeometry()
        >>> geometry.information_from_formula("np.array([[1 / theta[0]]])", dimension=1)
        >>> thetas, distances = geometry.find_trajectory(
        ...     [100.0], [1.0], limits=[(50.0, 144.0)], stepsize=10.0, method="adaptive"
        ... )
        >>> thetas[-1].round(6), distances[-1].round(6)
        (array([144.]), np.float64(4.0))
    """

    def __init__(self) -> None:
        self._metric: Metric | None = None

    def information_from_formula(self, formula: str, dimension: int) -> None:
        """Set the information by a formula.

        Args:
            formula: Matrix expression in ``theta[i]``, such as
                ``"np.array([[1 + 0.25 * theta[0], 1], [1, 2]])"``: lists of lists, numbers,
                ``+ - * / **``, and of NumPy ``array``, ``diag``, ``outer``, ``eye`` and functions
                of numbers, such as ``np.exp``. It is not handed to the interpreter.
            dimension: Number p of parameters.

        Raises:
            ExpressionError: If the formula has anything else, or is no matrix of this dimension.
            OptionError: If the dimension is not a positive whole number.
        """
        self._metric = formula_metric(formula, dimension)

    def information_from_grid(
        self,
        theta_grid: DataLike,
        fisherinformation_grid: DataLike,
        option: Literal["smooth", "linear"] = "smooth",
        inverse: Literal["exact", "interpolate"] = "exact",
    ) -> None:
        """Set the information by its values on a grid, between which it is interpolated.

        Args:
            theta_grid: Parameter points, shape ``(n, p)``, or path of an npy file; any points that
                span a volume. The information does not exist outside their hull.
            fisherinformation_grid: Informations there, shape ``(n, p, p)``, or path of an npy file.
            option: ``"smooth"``: cubic with continuous derivatives, for one or two parameters (in
                two by Clough and Tocher); ``"linear"``: on simplices, for any number.
            inverse: ``"exact"``: of the interpolated information; ``"interpolate"``: inverted on
                the grid, and then interpolated.

        Raises:
            OptionError: If an option is unknown, or ``"smooth"`` with more than two parameters.
            ShapeError: If the shapes do not fit.
            DataError: If the grid is not finite, has a point twice or no volume, or an information
                is not symmetric or has no inverse to interpolate.
            FileFormatError: If a file is not an npy file of numbers.

        Examples:
            >>> geometry = InformationGeometry()
            >>> thetas = np.array([[1.0], [2.0], [3.0]])
            >>> geometry.information_from_grid(thetas, thetas[:, :, np.newaxis], option="linear")
        """
        self._metric = grid_metric(theta_grid, fisherinformation_grid, option, inverse)

    def information_from_function(
        self, function: InformationFunction, dimension: int, *, vectorized: bool = False
    ) -> None:
        """Set the information by a function, such as one that asks an event file or an estimator.

        The function is called at about 4 p + 1 points for each of some hundred steps of a
        trajectory. If one call takes more than some milliseconds, call it on a grid and use
        `information_from_grid`. For estimators in single precision choose `rtol` above 1e-4.

        Args:
            function: Takes theta of shape ``(p,)`` and returns the information, shape ``(p, p)``;
                not-a-number where there is none.
            dimension: Number p of parameters.
            vectorized: Whether it takes thetas of shape ``(n, p)`` and returns ``(n, p, p)``.

        Raises:
            OptionError: If `function` cannot be called, or the dimension is no positive number.

        Examples:
            From the histogram of an event file::

                fisher = FisherInformation("events.h5", include_nuisance_parameters=False)
                geometry.information_from_function(
                    lambda theta: fisher.histo_information(theta, 3e5, "pt_j1", [50., 200.])[0],
                    dimension=2,
                )

            and from a trained `ParameterizedRatioEstimator`, whose score is known at any theta::

                lambda theta: fisher.full_information(theta, estimator, luminosity=3e5)[0]

            >>> geometry = InformationGeometry()
            >>> geometry.information_from_function(lambda theta: np.diag(1.0 + theta**2), 2)
        """
        is_vectorized = flag(vectorized, "vectorized")
        self._metric = function_metric(function, dimension, is_vectorized)

    def find_trajectory(
        self,
        theta0: ArrayLike,
        dtheta0: ArrayLike,
        limits: Sequence[tuple[float, float]],
        stepsize: float = 1,
        *,
        method: Method = "steps",
        rtol: float = 1.0e-8,
    ) -> tuple[FloatArray, FloatArray]:
        """Follow the geodesic that leaves a point in one direction.

        Args:
            theta0: Point at which it begins, shape ``(p,)``.
            dtheta0: Direction, shape ``(p,)``; its length has no meaning.
            limits: Range ``(low, high)`` of each parameter.
            stepsize: Length of a step in units of theta: the largest one for ``"steps"``, the
                first one for ``"adaptive"``, which gives points at equal distances.
            method: ``"steps"`` or ``"adaptive"``, see the class.
            rtol: Relative error of each step, for ``"adaptive"``.

        Returns:
            Points, shape ``(n, p)``, beginning with theta0, and their distances from it along the
            geodesic, shape ``(n,)``. Where the limits are left, the last point is the first one
            outside, for ``"adaptive"`` the one on the limits.

        Raises:
            SetupError: If no information was set.
            ShapeError: If a shape does not fit the number of parameters.
            OptionError: If theta0 lies outside the limits, the direction is zero, or an option is
                not valid.
            DataError: If the information at theta0 is not finite, symmetric and positive definite.

        Examples:
            >>> geometry = InformationGeometry()
            >>> geometry.information_from_formula("4 * np.eye(2)", dimension=2)
            >>> geometry.find_trajectory([0.0, 0.0], [1.0, 0.0], [(-1.0, 1.0), (-1.0, 1.0)], 0.75)
            (array([[0.  , 0.  ], [0.75, 0.  ], [1.5 , 0.  ]]), array([0. , 1.5, 3. ]))
        """
        geodesics = _geodesics(self._metric, theta0, limits)
        direction = _point(dtheta0, "dtheta0", geodesics.metric.dimension)
        if not np.any(direction):
            raise OptionError("dtheta0 must not be zero: it is the direction of the trajectory.")
        follow = geodesics.follower(method, positive(stepsize, "stepsize"), rtol)
        return follow(direction[np.newaxis] / np.linalg.norm(direction))[0]

    @overload
    def distance_contours(
        self,
        theta0: ArrayLike,
        grid_ranges: Sequence[tuple[float, float]],
        grid_resolutions: int | Sequence[int],
        stepsize: float | None = None,
        ntrajectories: int | None = None,
        continous_sampling: bool = False,
        return_trajectories: Literal[False] = False,
        *,
        method: Method = "steps",
        rtol: float = 1.0e-8,
        seed: Seed = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray]: ...
    @overload
    def distance_contours(
        self,
        theta0: ArrayLike,
        grid_ranges: Sequence[tuple[float, float]],
        grid_resolutions: int | Sequence[int],
        stepsize: float | None = None,
        ntrajectories: int | None = None,
        continous_sampling: bool = False,
        *,
        return_trajectories: Literal[True],
        method: Method = "steps",
        rtol: float = 1.0e-8,
        seed: Seed = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray, Trajectory]: ...
    def distance_contours(
        self,
        theta0: ArrayLike,
        grid_ranges: Sequence[tuple[float, float]],
        grid_resolutions: int | Sequence[int],
        stepsize: float | None = None,
        ntrajectories: int | None = None,
        continous_sampling: bool = False,
        return_trajectories: bool = False,
        *,
        method: Method = "steps",
        rtol: float = 1.0e-8,
        seed: Seed = None,
    ) -> (
        tuple[FloatArray, FloatArray, FloatArray]
        | tuple[FloatArray, FloatArray, FloatArray, Trajectory]
    ):
        r"""Distances of all points of a grid from one point, and the p-values that they mean.

        Trajectories leave theta0 in all directions, until a tenth of the ranges outside the grid.
        Between their points the normal coordinates, distance times initial unit velocity, are
        interpolated: exact where the information is constant, and otherwise up to the square of
        the spacing of the points. The interpolation is linear on simplices, or smooth, and several
        times better, for ``"adaptive"`` with one or two parameters.

        Args:
            theta0: Point from which distances are measured, shape ``(p,)``.
            grid_ranges: Range ``(low, high)`` of each parameter.
            grid_resolutions: Number of points along each parameter, or one for all.
            stepsize: As in `find_trajectory`; None for a twentieth of the smallest range. With
                ``"adaptive"`` the steps of the other parameters are in proportion to their ranges.
            ntrajectories: Number of trajectories, p + 1 or more; None for 20 p.
            continous_sampling: Whether the directions of two parameters are spread evenly, rather
                than drawn, in units of the ranges. (The name is spelled like this.)
            return_trajectories: Whether to return the points of the trajectories, too.
            method: ``"steps"`` or ``"adaptive"``, see the class.
            rtol: Relative error of each step, for ``"adaptive"``.
            seed: Seed of the directions that are drawn.

        Returns:
            Parameter points, shape ``(N, p)``, the last parameter running fastest; asymptotic
            p-values, the probability of :math:`\chi^2_p > d^2`, shape ``(N,)``; distances d, shape
            ``(N,)``, p-values and distances not-a-number where no trajectories come; with
            `return_trajectories` also the pair of the points of all trajectories, shape
            ``(m, p)``, and their distances, shape ``(m,)``.

        Raises:
            As `find_trajectory`; OptionError also for even directions if p is not two; DataError
            also if the trajectories are too few or too short to span a volume.

        References:
            Brehmer, Cranmer, Kling, Plehn, arXiv:1612.05261, Sec. 2.

        Examples:
            >>> geometry = InformationGeometry()
            >>> geometry.information_from_formula("np.eye(2)", dimension=2)
            >>> grid, p_values, distances = geometry.distance_contours(
            ...     [0.0, 0.0], [(-2.0, 2.0), (-2.0, 2.0)], 3, continous_sampling=True
            ... )
            >>> grid[5], distances[5].round(6), p_values[5].round(4)  # 2 standard deviations away
            (array([0., 2.]), np.float64(2.0), np.float64(0.1353))
        """
        flag(return_trajectories, "return_trajectories")
        ranges = _ranges(grid_ranges, "grid_ranges")
        grid = _grid(ranges, grid_resolutions)
        widths = ranges[:, 1] - ranges[:, 0]
        padded = ranges + _PADDING * np.stack([-widths, widths], axis=1)
        geodesics = _geodesics(self._metric, theta0, padded.tolist())
        step = np.min(widths) / 20.0 if stepsize is None else positive(stepsize, "stepsize")
        follow = geodesics.follower(method, step, rtol)
        p = len(ranges)
        n = whole(20 * p if ntrajectories is None else ntrajectories, "ntrajectories", p + 1)
        unit = _directions(p, n, flag(continous_sampling, "continous_sampling"), seed)
        directions = unit * widths / np.min(widths)
        trajectories = follow(directions)
        option = "smooth" if method == "adaptive" and p <= 2 else "linear"
        distances = geodesics.distances(directions, trajectories, grid, option)
        p_values = _p_values(distances, p)
        if not return_trajectories:
            return grid, p_values, distances
        points, lengths = zip(*trajectories, strict=True)
        return grid, p_values, distances, (np.concatenate(points), np.concatenate(lengths))


# Geodesics


@dataclass(frozen=True, slots=True, eq=False)
class _Geodesics:
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

    def follower(
        self, method: str, stepsize: float, rtol: float
    ) -> Callable[[FloatArray], list[Trajectory]]:
        """Function from directions, shape ``(n, p)``, to their trajectories."""
        one_of(method, "method", ("steps", "adaptive"))
        tolerance = number(rtol, "rtol", 1e-12, below=1.0)
        if method == "steps":
            return lambda directions: self.by_steps(directions, stepsize)
        return lambda directions: [
            self.adaptive(stepsize * direction, tolerance) for direction in directions
        ]

    def is_inside(self, thetas: FloatArray) -> BoolArray:
        low, high = self.limits.T
        inside: BoolArray = np.all((thetas >= low) & (thetas <= high), axis=-1)
        return inside

    def by_steps(self, directions: FloatArray, stepsize: float) -> list[Trajectory]:
        """Advance all trajectories together by Euler steps."""
        n, p = directions.shape
        path = np.full((_MOST_STEPS + 1, n, p), np.nan)
        lengths = np.full((_MOST_STEPS + 1, n), np.nan)
        running = np.arange(n)
        theta, length = np.tile(self.theta0, (n, 1)), np.zeros(n)
        velocity = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        path[0], lengths[0] = theta, length
        for i in range(1, _MOST_STEPS + 1):
            theta, velocity, step_length = self.euler_step(theta, velocity, stepsize)
            length = length + step_length
            exists = np.isfinite(length)
            path[i, running[exists]], lengths[i, running[exists]] = theta[exists], length[exists]
            goes_on = exists & self.is_inside(theta)
            running, theta, velocity = running[goes_on], theta[goes_on], velocity[goes_on]
            length = length[goes_on]
            if not len(running):
                break
        n_points = np.sum(np.isfinite(lengths), axis=0)
        return [(path[:end, i], lengths[:end, i]) for i, end in enumerate(n_points)]

    def euler_step(
        self, theta: FloatArray, velocity: FloatArray, stepsize: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """New points, new velocities and lengths of the steps, not-a-number where none exists."""
        p = self.metric.dimension
        with np.errstate(all="ignore"):
            change, information = self.metric.acceleration(
                theta, velocity, np.full(p, _FORWARD_STEP), FORWARD
            )
            turn = np.linalg.norm(change, axis=1)
            step = np.minimum(stepsize, _LARGEST_TURN / turn)[:, np.newaxis]
            length = np.sqrt(np.einsum("ni,nij,nj->n", velocity, information, velocity))
            turned = velocity + step * change
            turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return theta + step * velocity, turned, step[:, 0] * length

    def adaptive(self, displacement: FloatArray, rtol: float) -> Trajectory:
        """Follow one geodesic by Runge-Kutta steps; it takes `displacement` in the time one.

        Its velocity is constant in the metric, so that its length is the time, in units of the
        length of `displacement`.
        """
        curve = self.curve(displacement, rtol)
        if curve is None or curve.t_max < _ROUNDING:
            return self.theta0[np.newaxis], np.zeros(1)
        times = np.append(np.arange(np.ceil(curve.t_max - _ROUNDING)), curve.t_max)
        outside = np.flatnonzero(~self.is_inside(self.at(curve, times)))
        if len(outside):
            end = self.leaving_time(curve, times[outside[0] - 1], times[outside[0]])
            times = np.unique(np.append(times[: outside[0]], end))
        length = np.sqrt(displacement @ self.information0 @ displacement)
        return self.at(curve, times), times * length

    def curve(self, displacement: FloatArray, rtol: float) -> Any:
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
            while solver.status == "running" and self.is_inside(solver.y[:p]):
                slope.has_met_end = False
                solver.step()
                if solver.status == "failed":  # no step is small enough
                    break
                times.append(solver.t)
                pieces.append(solver.dense_output())
                if slope.has_met_end and speed * solver.step_size < _CENTRAL_STEP:
                    break
        return OdeSolution(times, pieces) if pieces else None

    def at(self, curve: Any, times: ArrayLike) -> FloatArray:
        """Points of a curve, shape ``(n, p)``, or ``(p,)`` at one time."""
        thetas: FloatArray = curve(times)[: self.metric.dimension].T
        return thetas

    def leaving_time(self, curve: Any, inside: float, outside: float) -> float:
        """Time at which a curve reaches the limits, between one inside and one outside."""
        from scipy.optimize import brentq

        low, high = self.limits.T

        def margin(time: float) -> float:
            theta = self.at(curve, time)
            return float(np.min(np.minimum(theta - low, high - theta) / (high - low)))

        return float(brentq(margin, inside, outside))

    def distances(
        self,
        directions: FloatArray,
        trajectories: list[Trajectory],
        grid: FloatArray,
        option: str,
    ) -> FloatArray:
        """Distances of the points of a grid, interpolated between trajectories.

        In normal coordinates, distance times initial unit velocity, geodesics are straight lines.
        They are smooth at theta0, where the distance itself has a cusp.
        """
        lengths = np.sqrt(np.einsum("ni,ij,nj->n", directions, self.information0, directions))
        units = directions / lengths[:, np.newaxis]
        points = np.concatenate([thetas for thetas, _ in trajectories])
        coordinates = np.concatenate(
            [np.outer(d, unit) for (_, d), unit in zip(trajectories, units, strict=True)]
        )
        points, first = np.unique(points, axis=0, return_index=True)  # they share theta0
        normal = interpolation(points, coordinates[first], option)(grid)
        distances: FloatArray = np.sqrt(np.einsum("ni,ij,nj->n", normal, self.information0, normal))
        return distances


class _Slope:
    """Derivative of a point and its velocity, one after the other, by the time.

    Args:
        metric: The Fisher information.
        steps: Steps of its derivatives, shape ``(p,)``.
    """

    def __init__(self, metric: Metric, steps: FloatArray) -> None:
        self.metric = metric
        self.steps = steps
        self.has_met_end = False  # whether there was no information since this was set

    def __call__(self, _: float, state: FloatArray) -> FloatArray:
        theta, velocity = np.split(state[np.newaxis], 2, axis=1)
        change, _information = self.metric.acceleration(theta, velocity, self.steps, CENTRAL)
        self.has_met_end |= not np.all(np.isfinite(change))
        return np.concatenate([velocity[0], change[0]])


# Checks of arguments


def _geodesics(metric: Metric | None, theta0: ArrayLike, limits: object) -> _Geodesics:
    if metric is None:
        raise SetupError(
            "There is no information yet: first call information_from_formula, "
            "information_from_grid or information_from_function."
        )
    point = _point(theta0, "theta0", metric.dimension)
    box = _ranges(limits, "limits")
    if len(box) != len(point):
        raise ShapeError(f"Expected a range for each of {len(point)} parameters, got {len(box)}.")
    if not np.all((point >= box[:, 0]) & (point <= box[:, 1])):
        raise OptionError(f"theta0 = {point} lies outside the limits {box.tolist()}.")
    information = metric.information(point[np.newaxis])[0]
    _check_positive_definite(information, point)
    return _Geodesics(metric, point, information, box)


def _check_positive_definite(information: FloatArray, theta0: FloatArray) -> None:
    try:
        matrix = as_information(information)
    except DataError as error:
        raise DataError(f"At theta0 = {theta0}: {error} Choose a point where it exists.") from None
    diagonal = np.diagonal(matrix)
    if np.all(diagonal > 0.0):  # with a diagonal of ones, as units of the parameters do not count
        scale = np.sqrt(diagonal)
        if np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] > _SMALLEST_EIGENVALUE:
            return
    raise DataError(
        f"The Fisher information at theta0 = {theta0} is not positive definite, "
        f"{matrix.tolist()}: it has no distances in some direction. Leave out parameters that are "
        f"not measured, or add observables."
    )


def _point(value: ArrayLike, name: str, dimension: int) -> FloatArray:
    point = real_array(value, name)
    if point.shape != (dimension,):
        raise ShapeError(
            f"{name} must have shape ({dimension},), as the information, got {point.shape}."
        )
    if not np.all(np.isfinite(point)):
        raise DataError(f"{name} must be finite, got {point}.")
    return point


def _ranges(value: object, name: str) -> FloatArray:
    """Ranges of parameters, shape ``(p, 2)``."""
    return np.array(sequence(value, name, interval)).reshape(-1, 2)


def _grid(ranges: FloatArray, resolutions: int | Sequence[int]) -> FloatArray:
    """Points of a regular grid, shape ``(N, p)``, the last parameter running fastest."""
    name, p = "grid_resolutions", len(ranges)
    given = [resolutions] * p if np.isscalar(resolutions) else resolutions
    numbers = sequence(given, name, lambda value, label: whole(value, label, 1))
    if len(numbers) != p or not p:
        raise ShapeError(f"Expected one range and resolution per parameter, got {p} and {numbers}.")
    whole(math.prod(numbers), "The number of grid points", 1, _MOST_POINTS)
    axes = [np.linspace(low, high, n) for (low, high), n in zip(ranges, numbers, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, p)


def _directions(dimension: int, n: int, is_even: bool, seed: Seed) -> FloatArray:
    """Unit vectors, shape ``(n, p)``."""
    rng = random_generator(seed)
    if is_even and dimension != 2:
        raise OptionError(
            f"continous_sampling spreads the directions of two parameters, got {dimension}: leave "
            f"it out, and take many trajectories."
        )
    if dimension == 1:  # there are but two
        return np.where(np.arange(n) % 2, -1.0, 1.0)[:, np.newaxis]
    if is_even:
        angles = 2.0 * np.pi * np.arange(n) / n
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors = rng.standard_normal((n, dimension))
    units: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def _p_values(distances: FloatArray, dof: int) -> FloatArray:
    """p-values, not-a-number where there is no distance."""
    reached = np.isfinite(distances)
    if not np.all(reached):
        logger.warning(
            "%d of %d grid points have no distance, as no trajectories come there: take more "
            "trajectories, or a smaller grid.",
            np.count_nonzero(~reached),
            len(reached),
        )
    p_values = np.full(len(distances), np.nan)
    p_values[reached] = p_values_from_q(distances[reached] ** 2, dof)
    return p_values
