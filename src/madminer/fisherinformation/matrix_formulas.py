"""Formulas of matrices as functions of theta, which are not handed to the interpreter."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

import numpy as np

from madminer.errors import ExpressionError
from madminer.expressions.compile import parse
from madminer.expressions.refusal import forbidden, known, refuse
from madminer.typing import FloatArray

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
