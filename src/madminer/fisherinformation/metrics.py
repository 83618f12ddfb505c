r"""Where the metric of information geometry comes from: a formula, a grid or a function.

The Fisher information is the metric of the space of parameters,
:math:`ds^2 = I_{ij}(\theta)\, d\theta_i\, d\theta_j`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import one_of, real_array, refusal, whole
from madminer.errors import DataError, ExpressionError, OptionError, ShapeError
from madminer.expressions.syntax import forbidden, known, parse, refuse
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

_ELEMENTWISE: Final[dict[str, np.ufunc]] = {
    name: getattr(np, name)
    for name in (
        *("abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh"),
        *("cos", "cosh", "exp", "expm1", "hypot", "log", "log10", "log1p", "maximum"),
        *("minimum", "power", "sin", "sinh", "sqrt", "square", "tan", "tanh"),
    )
}
"""Functions of numbers, element by element."""

_MATRICES: Final = frozenset({"array", "diag", "eye", "outer"})
"""Functions that make a matrix."""

_CONSTANTS: Final = {"pi": np.pi, "e": np.e}

_OPERATORS: Final[dict[type[ast.AST], Callable[..., FloatArray]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}


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
        """Inverses ``(n, p, p)`` at points with known informations, NaN where there is none."""
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


def function_metric(function: InformationFunction, dimension: int, vectorized: bool) -> Metric:
    """Metric of any function, see `InformationGeometry.information_from_function`.

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
        singular = np.linalg.det(matrices) == 0.0
        if np.any(singular):
            raise DataError(
                f"fisherinformation_grid has no inverse at theta = {thetas[singular][0]}: remove "
                f"the point or take inverse='exact'."
            )
        inverses = interpolation(thetas, np.linalg.inv(matrices), option)
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


def interpolation(points: FloatArray, values: FloatArray, option: str) -> FieldFunction:
    """Interpolate between scattered points ``(n, p)`` with values ``(n, ...)``.

    ``"linear"`` is on simplices; ``"smooth"`` with cubic polynomials of continuous slopes, Clough
    and Tocher's on triangles for p = 2, a cubic spline for p = 1. Values are not-a-number outside
    the hull of the points.

    Raises:
        OptionError: If it should be smooth in more than two dimensions.
        DataError: If the points span no volume.

    Examples:
        >>> points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> interpolation(points, np.array([0.0, 1.0, 2.0]), "linear")(np.array([[0.5, 0.25]]))
        array([1.])
    """
    from scipy.interpolate import (
        CloughTocher2DInterpolator,
        LinearNDInterpolator,
        make_interp_spline,
    )
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
        order, degree = np.argsort(points[:, 0]), 3 if option == "smooth" else 1
        x, y = points[order, 0], values[order]
        spline = make_interp_spline(x, y, k=min(degree, len(x) - 1))
        return lambda wanted: spline(wanted[:, 0], extrapolate=False)
    kind = CloughTocher2DInterpolator if option == "smooth" else LinearNDInterpolator
    try:
        # rescaled, so that units of the parameters do not count
        interpolated: FieldFunction = kind(points, values, rescale=True)
    except QhullError:
        raise _no_volume(points) from None
    return interpolated


def _no_volume(points: FloatArray) -> DataError:
    n, p = points.shape
    return DataError(
        f"Interpolation in {p} dimensions needs at least {p + 1} points that span a volume, not "
        f"all in one (hyper)plane; got {n} that do not: take more points, or more trajectories."
    )


class MatrixFormula:
    """A matrix expression, evaluated on its syntax tree for all thetas at once.

    The axes of vectors and matrices stand before the one of the thetas, so that numbers, shape
    ``(n,)``, vectors, shape ``(p, n)``, and matrices, shape ``(p, p, n)``, broadcast as in NumPy.

    Args:
        formula: The expression, see `InformationGeometry.information_from_formula`.
        dimension: Number p of parameters.

    Raises:
        ExpressionError: If it has anything else, or is no matrix of this dimension.

    Examples:
        >>> MatrixFormula("theta[0] * np.diag([1, 1 / theta[1]])", 2)(np.array([[1.0, 2.0]]))
        array([[[1. , 0. ],
                [0. , 0.5]]])
    """

    def __init__(self, formula: str, dimension: int) -> None:
        if not isinstance(formula, str):
            raise ExpressionError(f"A formula must be a string, got {type(formula).__name__}.")
        self._text = formula.strip()
        self._dimension = dimension
        self._root = parse(self._text)
        self(np.zeros((1, dimension)))  # walks through all of it, which is refused here if ever

    def __call__(self, thetas: FloatArray) -> FloatArray:
        """Thetas, shape ``(n, p)``, to informations, shape ``(n, p, p)``."""
        with np.errstate(all="ignore"):
            value = self._value(self._root, thetas.T)
        if value.ndim != 3:
            p = self._dimension
            raise self._refusal(self._root, f"it must be a matrix, {p} by {p}.")
        n = len(thetas)
        matrices: FloatArray = np.moveaxis(np.broadcast_to(value, (*value.shape[:2], n)), -1, 0)
        return np.ascontiguousarray(matrices)

    def _refusal(self, syntax: ast.AST, reason: str) -> ExpressionError:
        return refuse(self._text, syntax, reason)

    def _value(self, syntax: ast.expr, theta: FloatArray) -> FloatArray:
        match syntax:
            case ast.Constant(value=value):
                return self._number(syntax, value)
            case ast.Name(id="theta"):
                return theta
            case ast.Subscript(value=ast.Name(id="theta"), slice=index):
                return np.asarray(theta[self._index(index)])
            case ast.UnaryOp(op=op, operand=operand):
                return self._operated(syntax, op, [operand], theta)
            case ast.BinOp(op=op, left=left, right=right):
                return self._operated(syntax, op, [left, right], theta)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return self._stacked(syntax, [self._value(element, theta) for element in elements])
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) if name in _CONSTANTS:
                return np.array([_CONSTANTS[name]])
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name), keywords=[]
            ):
                return self._called(syntax, name, [self._value(a, theta) for a in syntax.args])
        raise self._unknown(syntax)

    def _number(self, syntax: ast.expr, value: object) -> FloatArray:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(syntax, "only real numbers can stand here.")
        try:
            return np.array([float(value)])
        except OverflowError:
            raise self._refusal(syntax, "the number is too large.") from None

    def _index(self, syntax: ast.expr) -> int:
        i = syntax.value if isinstance(syntax, ast.Constant) else None
        if type(i) is not int or not 0 <= i < self._dimension:
            last = self._dimension - 1
            raise self._refusal(
                syntax, f"an index of theta must be a whole number from 0 to {last}."
            )
        return i

    def _operated(
        self, syntax: ast.expr, op: ast.AST, operands: list[ast.expr], theta: FloatArray
    ) -> FloatArray:
        if type(op) not in _OPERATORS:
            raise self._refusal(syntax, forbidden(op))
        return _OPERATORS[type(op)](*(self._value(operand, theta) for operand in operands))

    def _stacked(self, syntax: ast.expr, elements: list[FloatArray]) -> FloatArray:
        """A vector of numbers, or a matrix of its rows."""
        p, ranks = self._dimension, {element.ndim for element in elements}
        if len(elements) != p or len(ranks) > 1 or max(ranks) > 2:
            raise self._refusal(
                syntax, f"a list must have {p} entries: numbers, or lists of {p} numbers each."
            )
        return np.stack(np.broadcast_arrays(*elements))

    def _called(self, syntax: ast.Call, name: str, arguments: list[FloatArray]) -> FloatArray:
        if name not in _ELEMENTWISE.keys() | _MATRICES:
            names = known(name, _ELEMENTWISE.keys() | _MATRICES)
            raise self._refusal(syntax, f"unknown function np.{name}; {names}")
        if name in _MATRICES:
            return self._matrix(syntax, name, arguments)
        function = _ELEMENTWISE[name]
        if len(arguments) != function.nin:
            n = len(arguments)
            raise self._refusal(syntax, f"np.{name} takes {function.nin} argument(s), got {n}.")
        result: FloatArray = function(*arguments)
        return result

    def _matrix(self, syntax: ast.Call, name: str, arguments: list[FloatArray]) -> FloatArray:
        unit = np.eye(self._dimension)[:, :, np.newaxis]
        match name, [argument.ndim for argument in arguments]:
            case "array", [2 | 3]:
                return arguments[0]
            case "diag", [2]:
                return arguments[0] * unit
            case "outer", [2, 2]:
                return arguments[0][:, np.newaxis] * arguments[1]
            case "eye", [1] if np.all(arguments[0] == self._dimension):
                return unit
        usage = {"array": "a list", "diag": "a list of numbers", "outer": "two lists of numbers"}
        expected = usage.get(name, f"the dimension {self._dimension}")
        raise self._refusal(syntax, f"np.{name} takes {expected}.")

    def _unknown(self, syntax: ast.expr) -> ExpressionError:
        match syntax:
            case ast.Call(keywords=[_, *_]):
                return self._refusal(syntax, "functions take no keyword arguments.")
            case ast.Call(func=ast.Name(id=name)):
                return self._refusal(syntax, f"functions stand with their module, as np.{name}.")
            case ast.Name(id=name):
                what = f"unknown name {name!r}"
                return self._refusal(syntax, f"{what}: write theta[i] for the i-th parameter.")
        return self._refusal(syntax, forbidden(syntax))
