"""Arithmetic, comparisons and logic of numbers, with Python's meaning and undefined values.

Every function works on float64 arrays that broadcast against each other; truth values are 1 and
0, and not-a-number stands for *undefined*. What raises an exception in Python (a division by
zero, the root of a negative number, an overflow) is undefined here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from madminer.expressions.columns import finite
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True)
class Partial:
    """A function that exists only for part of the real numbers, undefined elsewhere.

    Args:
        function: Function of arrays, giving something not finite where it does not exist.
    """

    function: Callable[..., Any]

    def __call__(self, *arguments: FloatArray) -> FloatArray:
        """Evaluate, shape of the broadcast arguments."""
        return finite(self.function(*arguments))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of two numbers, undefined where one of them is.

    Args:
        relation: Such as `numpy.less`.
    """

    relation: Callable[[FloatArray, FloatArray], Any]

    def __call__(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Compare, shape of the broadcast arguments."""
        undefined = np.isnan(left) | np.isnan(right)
        return np.where(undefined, np.nan, self.relation(left, right))


@dataclass(frozen=True, slots=True)
class Chain:
    """Comparisons in a row, ``a < b <= c``; what follows a false one is not read.

    Args:
        comparisons: Functions of two neighbouring numbers each.
    """

    comparisons: tuple[Callable[[FloatArray, FloatArray], FloatArray], ...]

    def __call__(self, *values: FloatArray) -> FloatArray:
        """Compare, shape of the broadcast values."""
        pairs = zip(self.comparisons, values[:-1], values[1:], strict=True)
        return conjunction(*(compare(left, right) for compare, left, right in pairs))


def divide(left: FloatArray, right: FloatArray) -> FloatArray:
    """Quotient, undefined for a zero divisor."""
    return np.where(np.equal(right, 0.0), np.nan, np.divide(left, right))


def divide_floor(left: FloatArray, right: FloatArray) -> FloatArray:
    """Quotient rounded down, undefined for a zero divisor."""
    return np.where(np.equal(right, 0.0), np.nan, np.floor_divide(left, right))


def modulo(left: FloatArray, right: FloatArray) -> FloatArray:
    """Remainder with the sign of the divisor, undefined for a zero divisor."""
    return np.where(np.equal(right, 0.0), np.nan, np.mod(left, right))


def power(base: FloatArray, exponent: FloatArray) -> FloatArray:
    """Power; undefined for fractional powers of negative numbers and negative powers of zero."""
    # IEEE has nan ** 0 = 1 ** nan = 1, but a power of something undefined is undefined.
    undefined = np.isnan(base) | np.isnan(exponent)
    return finite(np.where(undefined, np.nan, np.power(base, exponent)))


def logarithm(value: FloatArray, base: FloatArray | None = None) -> FloatArray:
    """Natural logarithm, or the one to a base."""
    if base is None:
        return finite(np.log(value))
    return finite(divide(finite(np.log(value)), finite(np.log(base))))


def round_to(value: FloatArray, digits: FloatArray | None = None) -> FloatArray:
    """Nearest whole number, or number of so many decimal digits, halves to even."""
    if digits is None:
        return np.rint(value)
    scale = np.power(10.0, np.abs(digits))
    fraction, whole = np.rint(value * scale) / scale, np.rint(value / scale) * scale
    rounded = np.where(np.greater_equal(digits, 0.0), fraction, whole)
    return finite(np.where(np.equal(digits, np.rint(digits)), rounded, np.nan))


def smallest(*values: FloatArray) -> FloatArray:
    """Smallest of several numbers."""
    return _reduced(np.minimum, values)


def largest(*values: FloatArray) -> FloatArray:
    """Largest of several numbers."""
    return _reduced(np.maximum, values)


def _reduced(function: np.ufunc, values: tuple[FloatArray, ...]) -> FloatArray:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


def same(value: FloatArray) -> FloatArray:
    """The number itself."""
    return value


def number_of_bool(value: FloatArray) -> FloatArray:
    """1 for numbers other than zero, 0 for zero."""
    return np.where(np.isnan(value), np.nan, np.not_equal(value, 0.0))


def negation(value: FloatArray) -> FloatArray:
    """Logical not."""
    return np.where(np.isnan(value), np.nan, np.equal(value, 0.0))


def conjunction(*values: FloatArray) -> FloatArray:
    """Logical and: the first false value, else the last; what follows a false value is not read."""
    result = values[-1]
    for value in reversed(values[:-1]):
        result = choose(value, result, value)
    return result


def disjunction(*values: FloatArray) -> FloatArray:
    """Logical or: the first true value, else the last; what follows a true value is not read."""
    result = values[-1]
    for value in reversed(values[:-1]):
        result = choose(value, value, result)
    return result


def choose(test: FloatArray, accepted: FloatArray, rejected: FloatArray) -> FloatArray:
    """One of two numbers; the one that is not chosen may be undefined."""
    chosen = np.where(np.equal(test, 0.0), rejected, accepted)
    return np.where(np.isnan(test), np.nan, chosen)
