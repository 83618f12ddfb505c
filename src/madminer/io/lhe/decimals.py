"""Decimal numbers in tables of text, whole columns at a time.

Event files hold tens of numbers per event in columns of fixed width. Their digits are read and
written here by arithmetic on whole columns of bytes, several times faster than number by number.
Columns that do not have the expected form are read number by number instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from madminer.errors import DataError, FileFormatError
from madminer.typing import FloatArray, IntArray

Bytes = NDArray[np.uint8]
"""Characters of a text as numbers."""

_BLANK, _ZERO, _PLUS, _MINUS, _POINT, _EXPONENT = (ord(c) for c in " 0+-.e")
_LARGEST_EXACT_POWER: Final = 22  # 10^22 is the largest power of ten that a float64 holds exactly
_POWERS: Final = 10.0 ** np.arange(_LARGEST_EXACT_POWER + 1)
_BLOCK: Final = 512
_EXACT_DIGITS: Final = 15  # integers of so many digits are exact in float64
_FEW_LINES: Final = 16  # columns pay for more
_LONGEST_WORD: Final = 100  # no program writes longer numbers
_LONGEST_LINE: Final = 10_000
_FORTRAN: Final = re.compile(
    r"([+-]?(?:\d+\.?|\d*\.\d+))(?:[deq]([+-]?\d+)|([+-]\d{3}))", re.IGNORECASE
)  # the letter is missing before exponents of three digits


def read_number(text: str) -> float:
    """Read a number that Fortran or C has written.

    Examples:
        >>> read_number("-.10658E+03"), read_number("1.5D-02"), read_number("1.5-102")
        (-106.58, 0.015, 1.5e-102)
    """
    word = text.strip()
    if len(word) <= _LONGEST_WORD and "_" not in word:
        try:
            return float(word)
        except ValueError:
            if found := _FORTRAN.fullmatch(word):
                return float(f"{found[1]}e{found[2] or found[3]}")
    raise FileFormatError(
        f"Expected a number, got {shortened(word)!r}."
        + (" Fortran writes * where a number does not fit its columns." if "*" in word else "")
    )


def shortened(text: str, at_most: int = 120) -> str:
    """A text for a message: of a long one the beginning."""
    return text if len(text) <= at_most else f"{text[:at_most]}..."


def take_columns(buffer: Bytes, starts: IntArray, length: int) -> Bytes:
    """Copy lines of equal length out of a text as ``(length, n_lines)``, column by column."""
    columns = np.empty((length, len(starts)), np.uint8)
    if columns.size:
        windows = np.lib.stride_tricks.sliding_window_view(buffer, length)
        for first in range(0, len(starts), _BLOCK):  # blocks stay in the cache while transposed
            columns[:, first : first + _BLOCK] = windows[starts[first : first + _BLOCK]].T
    return columns


def parse_lines(
    buffer: Bytes, starts: IntArray, ends: IntArray, n_fields: int, wanted: Sequence[int]
) -> FloatArray:
    """Numbers in wanted columns of lines that hold the same number of fields each.

    Lines of a text go from `starts` to `ends`; what follows the fields must be a comment after
    "#". The result has the shape ``(len(wanted), n_lines)``.
    """
    table = np.empty((len(wanted), len(starts)))
    for chosen, length in _equally_long(ends - starts):
        columns = take_columns(buffer, starts[chosen], length)
        begins, finishes = _field_spans(columns)
        if len(begins) == n_fields and columns.shape[1] >= _FEW_LINES:
            for row, position in enumerate(wanted):
                table[row, chosen] = parse_field(columns[begins[position] : finishes[position]])
        else:
            table[:, chosen] = _parse_words(columns, n_fields, wanted)
    return table


def _equally_long(lengths: IntArray) -> Iterator[tuple[IntArray | slice, int]]:
    """Positions of the lines of each length."""
    if not len(lengths) or np.all(lengths == lengths[0]):
        groups: list[IntArray | slice] = [slice(None)] if len(lengths) else []
    else:
        order = np.argsort(lengths, kind="stable")
        groups = list(np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1))
    for group in groups:
        yield group, int(lengths[group][0])


def parse_field(field: Bytes) -> FloatArray:
    """Numbers in one column of text, one in each line, shape ``(width, n_lines)``.

    Numbers of up to fifteen digits come out correctly rounded: their digits form an exact
    integer, which is divided once by an exact power of ten.

    References:
        W. D. Clinger, *How to read floating point numbers accurately*, PLDI 1990.

    Examples:
        >>> text = np.frombuffer(b"+1.250e+01-2.000e-03", np.uint8).reshape(2, 10)
        >>> parse_field(text.T)
        array([ 1.25e+01, -2.00e-03])
    """
    numbers = _parse_scientific(field) if _POINT in field[:, :1] else _parse_integers(field)
    return _parse_one_by_one(field) if numbers is None else numbers


def format_floats(values: FloatArray, n_digits: int) -> Bytes:
    """Numbers as ``%+.<n>e`` writes them, all of the same width, shape ``(n_values, n + 7)``.

    Below 1e-99 they become zero.

    Examples:
        >>> format_floats(np.array([-12.5]), 3).tobytes()
        b'-1.250e+01'
    """
    magnitude = np.abs(values)
    if not np.all(magnitude < 1e99):
        raise DataError(
            f"Numbers to be written must be finite and below 1e99, got "
            f"{values[~(magnitude < 1e99)][0]}."
        )
    magnitude = np.where(magnitude < 1e-99, 1.0, magnitude)
    exponent = np.floor(np.log10(magnitude)).astype(np.int64)
    mantissa = np.rint(magnitude * 10.0 ** (n_digits - exponent))
    exponent += mantissa >= 10.0 ** (n_digits + 1)  # rounded up to the next power of ten
    exponent -= mantissa < 10.0**n_digits
    mantissa = np.rint(magnitude * 10.0 ** (n_digits - exponent))
    mantissa[np.abs(values) < 1e-99] = 0
    exponent[np.abs(values) < 1e-99] = 0
    digits = _digits(mantissa.astype(np.int64), n_digits + 1)
    text = np.empty((len(values), n_digits + 7), np.uint8)
    text[:, 0] = np.where(np.signbit(values), _MINUS, _PLUS)
    text[:, 1] = digits[:, 0]
    text[:, 2] = _POINT
    text[:, 3 : n_digits + 3] = digits[:, 1:]
    text[:, n_digits + 3] = _EXPONENT
    text[:, n_digits + 4] = np.where(exponent < 0, _MINUS, _PLUS)
    text[:, n_digits + 5 :] = _digits(np.abs(exponent), 2)
    return text


def format_integers(values: IntArray, width: int) -> Bytes:
    """Whole numbers as ``%<width>d`` writes them, all as wide as the longest needs.

    Examples:
        >>> format_integers(np.array([-1, 22]), 4).tobytes()
        b'  -1  22'
    """
    longest = max(len(str(int(values.max(initial=0)))), len(str(int(values.min(initial=0)))))
    width = max(width, longest)
    distinct, where = np.unique(values, return_inverse=True)  # few particle codes in many lines
    text = "".join(f"{value:{width}d}" for value in distinct.tolist()).encode()
    rows: Bytes = np.frombuffer(text, np.uint8).reshape(len(distinct), width)[where]
    return rows


def _digits(values: IntArray, n_digits: int) -> Bytes:
    text = np.empty((len(values), n_digits), np.uint8)
    for position in range(n_digits - 1, -1, -1):
        rest = values // 10
        text[:, position] = values - 10 * rest + _ZERO
        values = rest
    return text


def _field_spans(columns: Bytes) -> tuple[IntArray, IntArray]:
    """Begin and end of the fields: columns between columns that are blank in all lines."""
    is_filled = np.max(columns, axis=1, initial=0) > _BLANK
    steps = np.diff(np.concatenate([[False], is_filled, [False]]).astype(np.int8))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def _parse_scientific(field: Bytes) -> FloatArray | None:
    """Numbers like +1.25e+01 with every character in its column, else None."""
    line, n_lines = field[:, 0].tobytes().lower(), field.shape[1]
    point, exponent = line.find(b"."), max(line.find(b"e"), line.find(b"d"))
    begin = 1 if point >= 1 and line[:1] in b"+- " else 0
    n_fraction = exponent - point - 1
    if not begin < point < exponent < len(line) - 2 or point - begin + n_fraction > _EXACT_DIGITS:
        return None
    digits = field - np.uint8(_ZERO)  # wraps around below zero
    is_regular = (
        np.all(field[point] == _POINT)
        and np.all(field[exponent] | 32 == line[exponent])  # 32: lower case
        and _are_signs(field[exponent + 1])
        and (not begin or _are_signs(field[0]) or bool(np.all(field[0] == _BLANK)))
        and np.all(digits[begin:point] <= 9)
        and np.all(digits[point + 1 : exponent] <= 9)
        and np.all(digits[exponent + 2 :] <= 9)
    )
    if not is_regular:
        return None
    mantissa = _number((*digits[begin:point], *digits[point + 1 : exponent]), n_lines)
    power = _number(digits[exponent + 2 :], n_lines).astype(np.int64)
    power = np.where(field[exponent + 1] == _MINUS, -power, power) - n_fraction
    power[mantissa == 0] = 0
    if np.any(np.abs(power) > _LARGEST_EXACT_POWER):
        return None
    mantissa *= _POWERS[np.maximum(power, 0)]
    mantissa /= _POWERS[np.maximum(-power, 0)]
    return np.negative(mantissa, out=mantissa, where=field[0] == _MINUS)


def _number(digits: Iterable[Bytes], n_lines: int) -> FloatArray:
    """Whole numbers from columns of digits, the highest first."""
    number = np.zeros(n_lines)
    for column in digits:
        number *= 10
        number += column
    return number


def _are_signs(characters: Bytes) -> bool:
    return bool(np.all((characters == _PLUS) | (characters == _MINUS)))


def _parse_integers(field: Bytes) -> FloatArray | None:
    """Whole numbers, aligned to the right, else None."""
    digits = field - np.uint8(_ZERO)
    is_digit = digits <= 9
    is_minus = field == _MINUS
    is_blank = field == _BLANK
    is_regular = (
        len(field) <= _EXACT_DIGITS
        and np.all(is_digit[-1])
        and np.all(is_digit | is_minus | is_blank)
        and np.all(is_digit[1:] | is_blank[:-1])  # a digit follows digits and signs
    )
    if not is_regular:
        return None
    values = _number(np.where(is_digit, digits, np.uint8(0)), field.shape[1])
    return np.negative(values, out=values, where=np.any(is_minus, axis=0))


def _parse_one_by_one(field: Bytes) -> FloatArray:
    words = np.ascontiguousarray(field.T).view(f"S{len(field)}").ravel().tolist()
    return np.array([read_number(word.decode("latin1")) for word in words])


def _parse_words(columns: Bytes, n_fields: int, wanted: Sequence[int]) -> FloatArray:
    """The general case: fields anywhere in the line."""
    table = np.empty((len(wanted), columns.shape[1]))
    for number, column in enumerate(np.ascontiguousarray(columns.T)):
        line = column.tobytes().split(b"#", 1)[0].decode("latin1")
        words = line.split() if len(line) <= _LONGEST_LINE else []
        if len(words) != n_fields:
            raise FileFormatError(
                f"Expected {n_fields} numbers in a line, got {shortened(line)!r}."
            )
        table[:, number] = [read_number(words[position]) for position in wanted]
    return table
