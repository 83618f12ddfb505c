r"""Information geometry: distances between parameter points along geodesics.

With the Fisher information as metric, the distance d of two parameter points is the length of the
geodesic between them. It generalises :math:`d^2 = \Delta\theta^T I\, \Delta\theta`, which holds
where the information is constant, and does not depend on how the parameters are chosen.

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. 2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import flag, interval, positive, random_generator, real_array, sequence, whole
from madminer.errors import DataError, OptionError, SetupError, ShapeError
from madminer.evidence import report_weakness
from madminer.fisherinformation.geodesics import Geodesics, Method, Trajectory, geodesics_from
from madminer.fisherinformation.metrics import (
    InformationFunction,
    MatrixFormula,
    Metric,
    function_metric,
    grid_metric,
)
from madminer.ml.inputs import DataLike
from madminer.stats import p_values_from_q, regular_grid
from madminer.typing import FloatArray, Seed

logger = logging.getLogger(__name__)

_PADDING: Final = 0.1  # in units of the ranges of a grid


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
        p = whole(dimension, "dimension", 1)
        self._metric = Metric(p, MatrixFormula(formula, p))

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
        geodesics = self._geodesics(theta0, _ranges(limits, "limits"))
        direction = _point(dtheta0, "dtheta0", len(geodesics.theta0))
        if not np.any(direction):
            raise OptionError("dtheta0 must not be zero: it is the direction of the trajectory.")
        unit = direction[np.newaxis] / np.linalg.norm(direction)
        return geodesics.follow(unit, positive(stepsize, "stepsize"), method, rtol)[0]

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
            OptionError: As `find_trajectory`, and for even directions if p is not two.
            DataError: As `find_trajectory`, and if the trajectories are too few or too short to
                span a volume.

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
        p, widths = len(ranges), ranges[:, 1] - ranges[:, 0]
        padding = _PADDING * widths[:, np.newaxis] * [-1.0, 1.0]
        geodesics = self._geodesics(theta0, ranges + padding)
        grid = regular_grid(grid_ranges, grid_resolutions)
        step = np.min(widths) / 20.0 if stepsize is None else positive(stepsize, "stepsize")
        n = whole(20 * p if ntrajectories is None else ntrajectories, "ntrajectories", p + 1)
        units = _directions(p, n, flag(continous_sampling, "continous_sampling"), seed)
        directions = units * widths / np.min(widths)
        trajectories = geodesics.follow(directions, step, method, rtol)
        option = "smooth" if method == "adaptive" and p <= 2 else "linear"
        distances = geodesics.distances(directions, trajectories, grid, option)
        p_values = _p_values(distances, p)
        if not return_trajectories:
            return grid, p_values, distances
        points, lengths = zip(*trajectories, strict=True)
        return grid, p_values, distances, (np.concatenate(points), np.concatenate(lengths))

    def _geodesics(self, theta0: ArrayLike, limits: FloatArray) -> Geodesics:
        if self._metric is None:
            raise SetupError(
                "There is no information yet: first call information_from_formula, "
                "information_from_grid or information_from_function."
            )
        point = _point(theta0, "theta0", self._metric.dimension)
        return geodesics_from(self._metric, point, limits)


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
        report_weakness(
            logger,
            "%d of %d grid points have no distance, as no trajectories come there: take more "
            "trajectories, or a smaller grid.",
            np.count_nonzero(~reached),
            len(reached),
        )
    p_values = np.full(len(distances), np.nan)
    p_values[reached] = p_values_from_q(distances[reached] ** 2, dof)
    return p_values
