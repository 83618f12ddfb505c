"""Functions of lists: length, sum, extremes, any, all, elements, slices, membership.

One result per list, undefined where the list is, or where one of the elements read is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from madminer.expressions.arithmetic import Comparison, negation
from madminer.expressions.columns import Lists, ParticleColumns, Value
from madminer.typing import BoolArray, FloatArray, IntArray

_EQUAL: Final = Comparison(np.equal)


def length(lists: Lists) -> FloatArray:
    """Number of elements of each list, shape ``(n_rows,)``."""
    return np.where(lists.counts < 0, np.nan, lists.counts)


def item(lists: Lists, index: FloatArray) -> Value:
    """Element of each list at an index, counted from the end if negative.

    Args:
        lists: Lists, ``n_rows`` or one for all rows.
        index: Whole numbers, shape ``(n_rows,)`` or one number.

    Returns:
        Numbers or particles, one per row; undefined where the list is too short or the index is
        no whole number.
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
    (n_rows,) = np.broadcast_shapes((1,), *{np.shape(number) for number in numbers})
    table = np.empty((n_rows, len(numbers)))
    for column, number in enumerate(numbers):
        table[:, column] = number
    undefined = np.isnan(table).any(axis=-1)
    starts = np.arange(len(table)) * len(numbers)
    return Lists(table.ravel(), starts, np.where(undefined, -1, len(numbers)))


def total(lists: Lists) -> FloatArray:
    """Sum of the numbers of each list, 0 for empty lists."""
    return _sum(lists, _numbers(lists))


def total_momentum(lists: Lists) -> ParticleColumns:
    """Sum of the particles of each list; undefined for empty lists.

    Momenta and charges add, tags are or-ed; code and spin are 0 and unknown unless the list
    holds one particle only.
    """
    particles = lists.elements()
    is_alone = lists.counts == 1

    def load(field: str) -> FloatArray:
        column = np.asarray(particles[field])  # type: ignore[call-overload]
        if field in {"b_tag", "tau_tag", "t_tag"}:
            return _extreme(np.maximum, lists, column)
        result = _sum(lists, column)
        if field in {"pdgid", "spin"}:
            none = 0.0 if field == "pdgid" else np.nan
            result = np.where(is_alone | np.isnan(result), result, none)
        return np.where(lists.counts > 0, result, np.nan)

    return ParticleColumns(lists.n_rows, load)


def minimum(lists: Lists) -> FloatArray:
    """Smallest number of each list; undefined for empty lists."""
    return _extreme(np.minimum, lists, _numbers(lists))


def maximum(lists: Lists) -> FloatArray:
    """Largest number of each list; undefined for empty lists."""
    return _extreme(np.maximum, lists, _numbers(lists))


def some(lists: Lists) -> FloatArray:
    """Whether any number of each list is true; what follows a true one is not read."""
    return _first_decisive(lists, stop_at=True)


def every(lists: Lists) -> FloatArray:
    """Whether all numbers of each list are true; what follows a false one is not read."""
    return _first_decisive(lists, stop_at=False)


def contains(value: FloatArray, lists: Lists) -> FloatArray:
    """Whether a number stands in each list."""
    (n_rows,) = np.broadcast_shapes((lists.n_rows,), np.shape(value))
    spread = Lists(
        lists.content,
        np.broadcast_to(lists.starts, n_rows),
        np.broadcast_to(lists.counts, n_rows),
    )
    repeated = np.broadcast_to(value, n_rows)[spread.rows()]
    found = _EQUAL(repeated, _numbers(spread))
    result = some(Lists.from_counts(found, spread.counts))
    return np.where(np.isnan(value), np.nan, result)


def lacks(value: FloatArray, lists: Lists) -> FloatArray:
    """Whether a number does not stand in each list."""
    return negation(contains(value, lists))


def _numbers(lists: Lists) -> FloatArray:
    return np.asarray(lists.elements())


def _sum(lists: Lists, values: FloatArray) -> FloatArray:
    sums = np.bincount(lists.rows(), weights=values, minlength=lists.n_rows)
    return np.where(lists.counts < 0, np.nan, sums)


def _extreme(function: np.ufunc, lists: Lists, values: FloatArray) -> FloatArray:
    filled = lists.counts > 0
    result = np.full(lists.n_rows, np.nan)
    if filled.any():
        lengths = lists.counts[filled]
        result[filled] = function.reduceat(values, np.cumsum(lengths) - lengths)
    return result


def _first_decisive(lists: Lists, *, stop_at: bool) -> FloatArray:
    """The first element that is undefined or has the truth value that ends the search."""
    values, rows = _numbers(lists), lists.rows()
    truth: BoolArray = values != 0.0
    decisive = np.flatnonzero(np.isnan(values) | (truth == stop_at))
    found, first = np.unique(rows[decisive], return_index=True)
    result = np.where(lists.counts < 0, np.nan, float(not stop_at))
    verdict = values[decisive[first]]
    result[found] = np.where(np.isnan(verdict), np.nan, float(stop_at))
    return result
