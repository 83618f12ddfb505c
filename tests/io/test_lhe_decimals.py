from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import DataError, FileFormatError
from madminer.io.lhe.decimals import format_floats, format_integers, parse_field, parse_lines
from madminer.typing import FloatArray

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e98, max_value=1e98)
REASONABLE = FINITE.filter(lambda value: value == 0.0 or abs(value) > 1e-98)


def parse(words: list[str]) -> FloatArray:
    width = max(map(len, words))
    text = "".join(word.rjust(width) for word in words).encode()
    return parse_field(np.frombuffer(text, np.uint8).reshape(len(words), width).T)


@given(st.lists(REASONABLE, min_size=1, max_size=20), st.integers(1, 16))
def test_columns_are_read_as_python_reads_them(values: list[float], n_digits: int) -> None:
    words = [f"{value:+.{n_digits}e}" for value in values]
    np.testing.assert_array_equal(parse(words), [float(word) for word in words])


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20))
def test_whole_numbers_are_read_as_python_reads_them(values: list[int]) -> None:
    np.testing.assert_array_equal(parse([str(value) for value in values]), values)


@given(st.lists(REASONABLE, min_size=1, max_size=20), st.integers(1, 12))
def test_written_columns_are_those_of_python(values: list[float], n_digits: int) -> None:
    text = format_floats(np.array(values), n_digits)
    for row, value in zip(text, values, strict=True):
        written, expected = row.tobytes().decode(), f"{value:+.{n_digits}e}"
        unit = 10.0 ** (int(expected.split("e")[1]) - n_digits)
        assert len(written) == len(expected)
        # ties and the last bit of the scaling may round the last digit the other way
        assert abs(float(written) - value) <= 0.5 * unit * (1 + 1e-3) or written == expected


@given(st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=20), st.integers(1, 12))
def test_written_whole_numbers_are_those_of_python(values: list[int], width: int) -> None:
    rows = format_integers(np.array(values), width)
    longest = max(width, *(len(str(value)) for value in values))
    assert [row.tobytes().decode() for row in rows] == [f"{v:{longest}d}" for v in values]


@pytest.mark.parametrize(
    "words",
    [
        ["-.10658E+03", "+.20000E-01"],  # Fortran without leading zero
        ["1.5D+02", "2.5d-03"],  # Fortran with double exponents
        ["1e5", "3.25"],  # free format
        ["+1.0e-300", "+2.0e+300"],
        ["+1.2345678901234567e+00", "-9.8765432109876543e-05"],
        ["0", "-0.0"],
        ["1.0e+0"],
        ["nan", "inf"],
    ],
)
def test_unusual_numbers_are_read_one_by_one(words: list[str]) -> None:
    expected = [float(word.lower().replace("d", "e")) for word in words]
    np.testing.assert_array_equal(parse(words), expected)


@pytest.mark.parametrize("word", ["1.0x+01", "--1", "1-1", "+", "1 1", "e", "1.0e+0x"])
def test_other_text_is_refused(word: str) -> None:
    with pytest.raises(FileFormatError, match="Expected a number"):
        parse([word])


@pytest.mark.parametrize(
    "lines",
    [
        ["  1  -1 +1.5e+00", " 22   2 -2.5e-01"],  # columns
        ["1 -1 +1.5e+00", "22 2 -2.5e-01  # free text", "3 4 5"],  # free format
    ],
)
def test_lines_are_read_in_any_layout(lines: list[str]) -> None:
    text = np.frombuffer("\n".join(lines).encode(), np.uint8)
    ends = np.cumsum([len(line) + 1 for line in lines]) - 1
    starts = ends - [len(line) for line in lines]
    expected = [[float(line.split()[i]) for line in lines] for i in (2, 0)]
    np.testing.assert_array_equal(parse_lines(text, starts, ends, 3, (2, 0)), expected)


def test_lines_with_missing_numbers_are_refused() -> None:
    text = np.frombuffer(b"1 2 3\n1 2 ", np.uint8)
    with pytest.raises(FileFormatError, match="Expected 3 numbers in a line, got '1 2 '"):
        parse_lines(text, np.array([0, 6]), np.array([5, 10]), 3, (0,))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e99])
def test_numbers_that_do_not_fit_are_not_written(value: float) -> None:
    with pytest.raises(DataError, match="must be finite and below 1e99"):
        format_floats(np.array([1.0, value]), 5)
