r"""Where the metric of information geometry comes from: a formula, a grid or a function.

The Fisher information is the metric of the space of parameters,
:math:`ds^2 = I_{ij}(\theta)\, d\theta_i\, d\theta_j`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import one_of, real_array, refusal, whole
from madminer.errors import DataError, OptionError, ShapeError
from madminer.fisherinformation.matrix_formulas import MatrixFormula
from madminer.ml.inputs import DataLike, load_array, load_columns
from madminer.stats.information import as_information
from madminer.typing import FloatArray

FieldFunction = Callable[[FloatArray], FloatArray]
"""Something at each parameter point: thetas, shape ``(n, p)``, to values, shape ``(n, ...)``."""

InformationFunction = Callable[[FloatArray], ArrayLike]
"""A Fisher information at one theta of shape ``(p,)``, or at many of shape ``(n, p)``."""

Stencil: TypeAlias = tuple[tuple[float, float], ...]

FORWARD: Final[Stencil] = ((1.0, 1.0),)
CENTRAL: Final[Stencil] = ((-2.0, 1 / 12), (-1.0, -8 / 12), (1.0, 8 / 12), (2.0, -1 / 12))
"""Offsets and weights of a first derivative, to first and fourth order of the step."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The Fisher information as a function of the parameters.

    Args:
        dimension: Number p of parameters.
        information: Function of thetas, shape ``(n, p)``, that gives informations, shape
            ``(n, p, p)``; not-a-number where it does not exist.
        interpolated_inverse: The same for the inverse, where it is not that of `information`.
    """

    dimension: int
    information: FieldFunction
    interpolated_inverse: FieldFunction | None = None

    def inverse(self, thetas: FloatArray, informations: FloatArray) -> FloatArray:
        """Inverse metric, not-a-number where it does not exist.

        Args:
            thetas: Parameter points, shape ``(n, p)``.
            informations: Informations there, shape ``(n, p, p)``.

        Returns:
            Inverses, shape ``(n, p, p)``.
        """
        if self.interpolated_inverse is not None:
            return self.interpolated_inverse(thetas)
        try:
            return np.asarray(np.linalg.inv(informations))
        except np.linalg.LinAlgError:
            regular = np.linalg.det(informations) != 0.0
            inverses = np.full_like(informations, np.nan)
            inverses[regular] = np.linalg.inv(informations[regular])
            return inverses

    def acceleration(
        self, thetas: FloatArray, velocities: FloatArray, steps: FloatArray, stencil: Stencil
    ) -> tuple[FloatArray, FloatArray]:
        r"""Right-hand side of the geodesic equation.

        .. math:: \ddot\theta^i = -(I^{-1})^{il} \left(\dot\theta^j \dot\theta^k \partial_k I_{lj}
                  - \tfrac12 \dot\theta^j \dot\theta^k \partial_l I_{jk}\right)

        Args:
            thetas: Points, shape ``(n, p)``.
            velocities: Velocities there, shape ``(n, p)``.
            steps: Steps of the derivatives, shape ``(p,)``.
            stencil: Offsets of the derivatives, in steps, and their weights.

        Returns:
            Accelerations, shape ``(n, p)``, and informations, shape ``(n, p, p)``.
        """
        information, gradient = self._derivatives(thetas, steps, stencil)
        along = np.einsum("nkij,ni,nk->nj", gradient, velocities, velocities)
        across = np.einsum("nkij,ni,nj->nk", gradient, velocities, velocities)
        force = along - 0.5 * across
        return -np.einsum("nij,nj->ni", self.inverse(thetas, information), force), information

    def _derivatives(
        self, thetas: FloatArray, steps: FloatArray, stencil: Stencil
    ) -> tuple[FloatArray, FloatArray]:
        """Informations and their derivatives, shape ``(n, p, p, p)``, that by theta_k at k."""
        (n, p), (offsets, weights) = thetas.shape, np.array(stencil).T
        shifts = offsets[:, np.newaxis, np.newaxis] * np.diag(steps)
        # the points themselves, then their neighbours by offset and direction
        around = np.concatenate([np.zeros((1, p)), shifts.reshape(-1, p)])
        values = self.information((thetas[:, np.newaxis] + around).reshape(-1, p))
        values = values.reshape(n, len(around), p, p)
        changes = (values[:, 1:] - values[:, :1]).reshape(n, len(offsets), p, p, p)
        gradient = np.einsum("s,nskij->nkij", weights, changes) / steps[:, np.newaxis, np.newaxis]
        return values[:, 0], gradient


def formula_metric(formula: str, dimension: int) -> Metric:
    """Metric of a formula, see `InformationGeometry.information_from_formula`."""
    p = whole(dimension, "dimension", 1)
    return Metric(p, MatrixFormula(formula, p))


def function_metric(function: InformationFunction, dimension: int, vectorized: bool) -> Metric:
    """Metric of any function.

    Args:
        function: Takes theta of shape ``(p,)`` and returns a matrix, shape ``(p, p)``.
        dimension: Number p of parameters.
        vectorized: Whether the function takes thetas, shape ``(n, p)``, and returns matrices,
            shape ``(n, p, p)``.

    Raises:
        OptionError: If `function` cannot be called; in use, ShapeError if a result does not fit.

    Examples:
        >>> metric = function_metric(lambda theta: [[1.0 / theta[0]]], 1, vectorized=False)
        >>> metric.information(np.array([[2.0], [4.0]])).ravel()
        array([0.5 , 0.25])
    """
    if not callable(function):
        raise refusal("function", "a function of theta that returns a matrix", function)
    p = whole(dimension, "dimension", 1)

    def checked(argument: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        result = real_array(function(argument), "The information of the function")
        if result.shape != shape:
            raise ShapeError(
                f"The function must return an information of shape {shape} for a theta of shape "
                f"{argument.shape}, got {result.shape}: check dimension={p} and vectorized. "
                f"Informations on more parameters are first profiled or projected."
            )
        return result

    def information(thetas: FloatArray) -> FloatArray:
        if vectorized:
            return checked(thetas, (len(thetas), p, p))
        return np.stack([checked(theta, (p, p)) for theta in thetas])

    return Metric(p, information)


def grid_metric(
    theta_grid: DataLike, fisherinformation_grid: DataLike, option: str, inverse: str
) -> Metric:
    """Metric interpolated between points, see `InformationGeometry.information_from_grid`."""
    one_of(option, "option", ("smooth", "linear"))
    one_of(inverse, "inverse", ("exact", "interpolate"))
    thetas = load_columns(theta_grid, "theta_grid").astype(np.float64)
    matrices = load_array(fisherinformation_grid, "fisherinformation_grid").astype(np.float64)
    _check_grid(thetas, matrices)
    information, inverses = interpolation(thetas, matrices, option), None
    if inverse == "interpolate":
        inverses = interpolation(thetas, _grid_inverses(thetas, matrices), option)
    return Metric(thetas.shape[1], information, inverses)


def _check_grid(thetas: FloatArray, matrices: FloatArray) -> None:
    n, p = thetas.shape
    if matrices.shape != (n, p, p):
        raise ShapeError(
            f"fisherinformation_grid must have shape (n, p, p) = {(n, p, p)} as theta_grid has "
            f"shape {(n, p)}, got {matrices.shape}."
        )
    if not np.all(np.isfinite(thetas)):
        raise DataError("theta_grid has entries that are not finite: remove these points.")
    if len(np.unique(thetas, axis=0)) < n:
        raise DataError("theta_grid has a point twice: give each point once.")
    for theta, matrix in zip(thetas, matrices, strict=True):
        try:
            as_information(matrix)
        except DataError as error:
            raise DataError(f"fisherinformation_grid at theta = {theta}: {error}") from None


def _grid_inverses(thetas: FloatArray, matrices: FloatArray) -> FloatArray:
    singular = np.linalg.det(matrices) == 0.0
    if np.any(singular):
        raise DataError(
            f"fisherinformation_grid has no inverse at theta = {thetas[singular][0]}: remove the "
            f"point or take inverse='exact'."
        )
    inverses: FloatArray = np.linalg.inv(matrices)
    return inverses


def interpolation(points: FloatArray, values: FloatArray, option: str) -> FieldFunction:
    """Interpolate between scattered points.

    Args:
        points: Points, shape ``(n, p)``, each only once.
        values: Values, shape ``(n, ...)``.
        option: ``"linear"``: on simplices; ``"smooth"``: cubic polynomials with continuous
            slopes, Clough and Tocher's on triangles for p = 2, a cubic spline for p = 1.

    Returns:
        Function from points, shape ``(m, p)``, to values, shape ``(m, ...)``, which are
        not-a-number outside the hull of `points`.

    Raises:
        OptionError: If it should be smooth in more than two dimensions.
        DataError: If the points span no volume.

    Examples:
        >>> points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> interpolation(points, np.array([0.0, 1.0, 2.0]), "linear")(np.array([[0.5, 0.25]]))
        array([1.])
    """
    from scipy.interpolate import CloughTocher2DInterpolator, LinearNDInterpolator
    from scipy.spatial import QhullError

    dimension = points.shape[1]
    if option == "smooth" and dimension > 2:
        raise OptionError(
            f"option='smooth' interpolates in one or two dimensions, got {dimension}: take "
            f"option='linear'."
        )
    if len(points) <= dimension:
        raise _no_volume(points)
    if dimension == 1:
        return _spline(points[:, 0], values, 3 if option == "smooth" else 1)
    kind = CloughTocher2DInterpolator if option == "smooth" else LinearNDInterpolator
    try:
        # rescaled, so that units of the parameters do not count
        interpolated: FieldFunction = kind(points, values, rescale=True)
    except QhullError:
        raise _no_volume(points) from None
    return interpolated


def _spline(x: FloatArray, values: FloatArray, degree: int) -> FieldFunction:
    from scipy.interpolate import make_interp_spline

    order = np.argsort(x)
    spline = make_interp_spline(x[order], values[order], k=min(degree, len(x) - 1))
    return lambda points: spline(points[:, 0], extrapolate=False)


def _no_volume(points: FloatArray) -> DataError:
    n, p = points.shape
    return DataError(
        f"Interpolation in {p} dimensions needs at least {p + 1} points that span a volume, not "
        f"all in one (hyper)plane; got {n} that do not: take more points, or more trajectories."
    )
