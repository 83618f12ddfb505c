"""What operators, functions and methods do: functions of whole columns, with Python's meaning.

Truth values are 1 and 0, and not-a-number stands for *undefined*. What raises an exception in
Python (a division by zero, the root of a negative number, an overflow) is undefined here. A
function of lists has one result per list, undefined where the list is, or where one of the
elements read is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Final

import numpy as np

from madminer.expressions.columns import MOMENTUM, TAGS, Lists, ParticleColumns, Value, finite
from madminer.typing import BoolArray, FloatArray, IntArray

_UNSUMMED: Final = {"pdgid": 0.0, "spin": np.nan}
"""What sums and differences of particles have in place of a code and a spin."""

# Numbers


def where_finite(function: Callable[..., Any], *arguments: FloatArray) -> FloatArray:
    """A function that exists only for part of the real numbers, undefined elsewhere."""
    return finite(function(*arguments))


def compare(
    relation: Callable[[FloatArray, FloatArray], Any], left: FloatArray, right: FloatArray
) -> FloatArray:
    """A comparison such as `numpy.less`, undefined where one of the numbers is."""
    undefined = np.isnan(left) | np.isnan(right)
    return np.where(undefined, np.nan, relation(left, right))


def compare_chain(
    comparisons: tuple[Callable[[FloatArray, FloatArray], FloatArray], ...], *values: FloatArray
) -> FloatArray:
    """Comparisons in a row, ``a < b <= c``; what follows a false one is not read."""
    pairs = zip(comparisons, values[:-1], values[1:], strict=True)
    return conjunction(*(comparison(left, right) for comparison, left, right in pairs))


def divide(function: np.ufunc, left: FloatArray, right: FloatArray) -> FloatArray:
    """A quotient, with or without its remainder, undefined for a zero divisor."""
    return np.where(np.equal(right, 0.0), np.nan, function(left, right))


def power(base: FloatArray, exponent: FloatArray) -> FloatArray:
    """Power; undefined for fractional powers of negative numbers and negative powers of zero."""
    # IEEE has nan ** 0 = 1 ** nan = 1, but a power of something undefined is undefined.
    undefined = np.isnan(base) | np.isnan(exponent)
    return finite(np.where(undefined, np.nan, np.power(base, exponent)))


def logarithm(value: FloatArray, base: FloatArray | None = None) -> FloatArray:
    """Natural logarithm, or the one to a base."""
    if base is None:
        return finite(np.log(value))
    return finite(divide(np.divide, finite(np.log(value)), finite(np.log(base))))


def round_to(value: FloatArray, digits: FloatArray | None = None) -> FloatArray:
    """Nearest whole number, or number of so many decimal digits, halves to even."""
    if digits is None:
        return np.rint(value)
    scale = np.power(10.0, np.abs(digits))
    fraction, whole = np.rint(value * scale) / scale, np.rint(value / scale) * scale
    rounded = np.where(np.greater_equal(digits, 0.0), fraction, whole)
    return finite(np.where(np.equal(digits, np.rint(digits)), rounded, np.nan))


def extreme_of(function: np.ufunc, *values: FloatArray) -> FloatArray:
    """Smallest or largest of several numbers."""
    return reduce(function, values)


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
    return reduce(lambda result, value: choose(value, result, value), reversed(values))


def disjunction(*values: FloatArray) -> FloatArray:
    """Logical or: the first true value, else the last; what follows a true value is not read."""
    return reduce(lambda result, value: choose(value, value, result), reversed(values))


def choose(test: FloatArray, accepted: FloatArray, rejected: FloatArray) -> FloatArray:
    """One of two numbers; the one that is not chosen may be undefined."""
    chosen = np.where(np.equal(test, 0.0), rejected, accepted)
    return np.where(np.isnan(test), np.nan, chosen)


# Lists


def length(lists: Lists) -> FloatArray:
    """Number of elements of each list."""
    return np.where(lists.counts < 0, np.nan, lists.counts)


def item(lists: Lists, index: FloatArray) -> Value:
    """Element of each list at an index, counted from the end if negative.

    It is undefined where the list is too short or the index is no whole number.
    """
    number = np.asarray(index)
    position = np.where(number < 0, number + lists.counts, number)
    inside = (position >= 0) & (position < lists.counts) & (position == np.trunc(position))
    return lists.pick(np.where(inside, lists.starts + position, -1).astype(np.int64))


def section(lists: Lists, first: FloatArray, last: FloatArray) -> Lists:
    """The slice ``[first:last]`` of each list, with bounds like Python's."""
    counts = np.maximum(lists.counts, 0)
    begin, end = _bound(first, counts), _bound(last, counts)
    lengths = np.where(lists.counts < 0, -1, np.maximum(end - begin, 0))
    return Lists(lists.content, lists.starts + begin, lengths)


def _bound(bound: FloatArray, counts: IntArray) -> IntArray:
    shifted = np.where(np.less(bound, 0), np.add(bound, counts), bound)
    return np.clip(shifted, 0, counts).astype(np.int64)


def list_of(*numbers: FloatArray) -> Lists:
    """A list of given numbers in each row."""
    table = np.stack(np.broadcast_arrays(np.empty(1), *numbers)[1:], axis=-1)
    undefined = np.isnan(table).any(axis=-1)
    starts = np.arange(len(table)) * len(numbers)
    return Lists(table.ravel(), starts, np.where(undefined, -1, len(numbers)))


def total(lists: Lists) -> FloatArray:
    """Sum of the numbers of each list, 0 for empty lists."""
    return _sum(lists, np.asarray(lists.elements()))


def total_momentum(lists: Lists) -> ParticleColumns:
    """Sum of the particles of each list; undefined for empty lists.

    Momenta and charges add, tags are or-ed; code and spin are 0 and unknown unless the list
    holds one particle only.
    """
    particles = lists.elements()
    is_alone = lists.counts == 1

    def load(field: str) -> FloatArray:
        column = np.asarray(particles[field])  # type: ignore[call-overload]
        if field in TAGS:
            return _reduced(np.maximum, lists, column)
        result = _sum(lists, column)
        if field in _UNSUMMED:
            result = np.where(is_alone | np.isnan(result), result, _UNSUMMED[field])
        return np.where(lists.counts > 0, result, np.nan)

    return ParticleColumns(lists.n_rows, load)


def extreme(function: np.ufunc, lists: Lists) -> FloatArray:
    """Smallest or largest number of each list; undefined for empty lists."""
    return _reduced(function, lists, np.asarray(lists.elements()))


def some(lists: Lists) -> FloatArray:
    """Whether any number of each list is true; what follows a true one is not read."""
    return _first_decisive(lists, stop_at=True)


def every(lists: Lists) -> FloatArray:
    """Whether all numbers of each list are true; what follows a false one is not read."""
    return _first_decisive(lists, stop_at=False)


def contains(value: FloatArray, lists: Lists) -> FloatArray:
    """Whether a number stands in each list."""
    (n_rows,) = np.broadcast_shapes((lists.n_rows,), np.shape(value))
    spread = lists.spread(n_rows)
    repeated = np.broadcast_to(value, n_rows)[spread.rows()]
    found = compare(np.equal, repeated, np.asarray(spread.elements()))
    result = some(Lists.from_counts(found, spread.counts))
    return np.where(np.isnan(value), np.nan, result)


def lacks(value: FloatArray, lists: Lists) -> FloatArray:
    """Whether a number does not stand in each list."""
    return negation(contains(value, lists))


def _sum(lists: Lists, values: FloatArray) -> FloatArray:
    sums = np.bincount(lists.rows(), weights=values, minlength=lists.n_rows)
    return np.where(lists.counts < 0, np.nan, sums)


def _reduced(function: np.ufunc, lists: Lists, values: FloatArray) -> FloatArray:
    filled = lists.counts > 0
    result = np.full(lists.n_rows, np.nan)
    if filled.any():
        lengths = lists.counts[filled]
        result[filled] = function.reduceat(values, np.cumsum(lengths) - lengths)
    return result


def _first_decisive(lists: Lists, *, stop_at: bool) -> FloatArray:
    """The first element that is undefined or has the truth value that ends the search."""
    values, rows = np.asarray(lists.elements()), lists.rows()
    truth: BoolArray = values != 0.0
    decisive = np.flatnonzero(np.isnan(values) | (truth == stop_at))
    found, first = np.unique(rows[decisive], return_index=True)
    result = np.where(lists.counts < 0, np.nan, float(not stop_at))
    verdict = values[decisive[first]]
    result[found] = np.where(np.isnan(verdict), np.nan, float(stop_at))
    return result


# Particles

PAIR_QUANTITIES: Final = (
    *("deltaR2", "deltaRapidityPhi", "deltaRapidityPhi2", "deltaangle", "dot"),
    *("is_antiparallel", "is_parallel", "is_perpendicular"),
)
"""Methods of *vector* that take two particles and give a number or a truth value."""

VERDICTS: Final = ("is_lightlike", "is_spacelike", "is_timelike")
"""Methods of *vector* that take one particle and give a truth value."""


def vector_method(name: str, particle: ParticleColumns, *others: ParticleColumns) -> FloatArray:
    """A method of the package *vector* with a number or truth value as its result."""
    method = getattr(particle.vectors, name)
    values = particle.where_defined(method(*(other.vectors for other in others)))
    for other in others:
        values = other.where_defined(values)
    return values


def combine(operation: np.ufunc, left: ParticleColumns, right: ParticleColumns) -> ParticleColumns:
    """Sum or difference of particles: of momenta and charges; tags are or-ed, no code, no spin."""

    def load(field: str) -> FloatArray:
        if field in _UNSUMMED:
            return np.where(np.isnan(left["E"] + right["E"]), np.nan, _UNSUMMED[field])
        function = np.maximum if field in TAGS else operation
        combined: FloatArray = function(left[field], right[field])
        return combined

    return ParticleColumns(left.n_rows, load)


def boost(
    particle: ParticleColumns, bx: FloatArray, by: FloatArray, bz: FloatArray
) -> ParticleColumns:
    r"""Active boost by a velocity in units of the speed of light, undefined unless below it.

    .. math::

        E' = \gamma (E + \vec\beta \cdot \vec p), \qquad
        \vec p' = \vec p + \left(\frac{\gamma^2}{1 + \gamma} \vec\beta \cdot \vec p
        + \gamma E\right) \vec\beta
    """
    px, py, pz, energy = (particle[name] for name in MOMENTUM)
    gamma = 1.0 / np.sqrt(1.0 - (bx**2 + by**2 + bz**2))
    along = bx * px + by * py + bz * pz
    factor = gamma**2 / (1.0 + gamma) * along + gamma * energy
    moved = px + factor * bx, py + factor * by, pz + factor * bz, gamma * (energy + along)
    columns = {name: finite(values) for name, values in zip(MOMENTUM, moved, strict=True)}
    outside = np.isnan(columns["E"])
    return ParticleColumns(
        particle.n_rows, lambda field: np.where(outside, np.nan, particle[field]), columns
    )


def boost_axis(axis: int, particle: ParticleColumns, beta: FloatArray) -> ParticleColumns:
    """Boost along an axis."""
    velocity: list[FloatArray] = [np.zeros(1)] * 3
    velocity[axis] = beta
    return boost(particle, *velocity)


def boost_along(particle: ParticleColumns, frame: ParticleColumns) -> ParticleColumns:
    """Boost by the velocity of another particle, ``particle.boost(frame)``.

    What is at rest is then moving like `frame`. To go to the rest frame of a particle q, boost by
    the opposite velocity, ``boost(-q.px / q.e, -q.py / q.e, -q.pz / q.e)``.
    """
    return boost(particle, *(frame[name] / frame["E"] for name in MOMENTUM[:3]))


def boost_into(particle: ParticleColumns, other: ParticleColumns) -> ParticleColumns:
    """Boost to the rest frame of another particle, ``particle.boostCM_of(other)``."""
    return boost(particle, *(-other[name] / other["E"] for name in MOMENTUM[:3]))


def choose_particle(
    test: FloatArray, accepted: ParticleColumns, rejected: ParticleColumns
) -> ParticleColumns:
    """One of two particles; the one that is not chosen may be undefined."""
    return ParticleColumns(
        accepted.n_rows, lambda field: choose(test, accepted[field], rejected[field])
    )


def delta_phi(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    r"""Azimuthal difference in :math:`(-\pi, \pi]`."""
    difference = left["phi"] - right["phi"]
    return difference - 2.0 * np.pi * np.ceil((difference - np.pi) / (2.0 * np.pi))


def delta_eta(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    """Difference of pseudorapidities."""
    return left["eta"] - right["eta"]


def delta_r(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    """Distance in pseudorapidity and azimuth."""
    return np.hypot(delta_eta(left, right), delta_phi(left, right))
