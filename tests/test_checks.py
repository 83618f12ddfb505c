"""Checks of arguments: what is allowed comes back clean, everything else is refused by name."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import checks
from madminer.errors import OptionError, SetupError

ODD: list[Any] = [
    None, "", "1", "nan", b"1", 1j, math.nan, math.inf, -math.inf, [], [1], {}, {"a": 1}, object(),
    object, len, Decimal(1), np.array([2, 1]), np.array("a"), np.datetime64("2020-01-01"),
    range(3), 10**400, -(10**5000), slice(1), ..., b"\xff", "\ud800", "a" * 10**6,
]  # fmt: skip
"""Values that are neither small whole numbers, truth values nor names of one line."""


@pytest.mark.parametrize("value", ODD, ids=lambda value: str(type(value).__name__))
@pytest.mark.parametrize(
    "check",
    [
        lambda value: checks.whole(value, "n", 0, 100),
        lambda value: checks.number(value, "n"),
        lambda value: checks.positive(value, "n"),
        lambda value: checks.fraction(value, "n"),
        lambda value: checks.flag(value, "n"),
        lambda value: checks.one_of(value, "n", ["adam", "sgd"]),
        lambda value: checks.interval(value, "n"),
    ],
)
def test_odd_values_are_refused_by_name_on_one_short_line(check: Any, value: Any) -> None:
    with pytest.raises(OptionError, match=r"^n must be .*, got ") as caught:
        check(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3), np.bool_(True) + 2])
def test_whole_numbers_of_any_library_become_int(value: Any) -> None:
    assert type(checks.whole(value, "n", 3, 3)) is int
    assert type(checks.number(value, "n")) is float
    assert type(checks.seed(value)) is int


@pytest.mark.parametrize("value", [True, np.True_, 2, 5, 3.0, np.float64(3), -3])
def test_whole_numbers_within_ends(value: Any) -> None:
    with pytest.raises(OptionError, match="n must be a whole number from 3 to 4, got "):
        checks.whole(value, "n", 3, 4)


@pytest.mark.parametrize(
    ("ends", "words", "inside", "outside"),
    [
        ({}, "a finite number", [-1e300, 0, 1e300], [math.inf]),
        ({"low": 0}, "a number from 0", [0, 1], [-1e-300]),
        ({"above": 0}, "a number above 0", [1e-300], [0, -1]),
        ({"low": 0, "high": 1}, "a number from 0 to 1", [0, 1], [1.5, -0.5]),
        ({"low": 0, "below": 1}, "a number from 0 to below 1", [0, 0.999], [1]),
        ({"above": 0, "high": 1}, "a number above 0 to 1", [1], [0]),
        ({"high": 1}, "a number of at most 1", [-5, 1], [2]),
        ({"below": 1}, "a number below 1", [-5], [1]),
    ],
)
def test_ends_of_numbers(
    ends: dict[str, Any], words: str, inside: list[float], outside: list[float]
) -> None:
    assert [checks.number(value, "a", **ends) for value in inside] == inside
    for value in outside:
        with pytest.raises(OptionError, match=f"^a must be {words}, got "):
            checks.number(value, "a", **ends)


def test_numbers_of_any_library_become_float() -> None:
    values = [np.float32(0.5), np.array(0.5), 0.5, np.longdouble(0.5)]
    assert [type(checks.fraction(value, "n")) for value in values] == [float] * 4


def test_flags_of_numpy_are_flags() -> None:
    assert checks.flag(np.True_, "n") is True
    assert checks.flag(np.array(False), "n") is False
    assert (checks.flag(1, "n"), checks.flag(0.0, "n")) == (True, False)
    for value in (2, -1, 0.5):
        with pytest.raises(OptionError, match="n must be True or False, got "):
            checks.flag(value, "n")


@pytest.mark.parametrize("value", ["a\nb", "a\x1b[2Jb", "a\x00", "a\x7fb", "\ud800"])
def test_texts_without_control_characters(value: str) -> None:
    with pytest.raises(OptionError, match="text without control characters, got '") as caught:
        checks.text(value, "name")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["c_W", "θ é 漢", "$\\Lambda$", "a  b"])
def test_other_texts_pass(value: str) -> None:
    assert checks.text(value, "name") == value


@pytest.mark.parametrize("value", ["", "  ", None, 3, ["a"], b"a"])
def test_empty_texts_and_others_are_refused(value: object) -> None:
    with pytest.raises(SetupError, match="name must be a text that is not empty, got "):
        checks.text(value, "name", error=SetupError)


def test_texts_have_a_length() -> None:
    assert checks.text("ä" * 4, "name", 8) == "ä" * 4
    with pytest.raises(OptionError, match="name must be a text of at most 7 bytes, got 'ä"):
        checks.text("ä" * 4, "name", 7)


@pytest.mark.parametrize("value", [(0, 1), [0.0, 1.0], np.array([0, 1])])
def test_intervals(value: Any) -> None:
    assert checks.interval(value, "r") == (0.0, 1.0)


@pytest.mark.parametrize(
    "value", [(1, 0), (0, 0), (0, math.inf), (0,), (0, 1, 2), "01", 3, [[0, 1]]]
)
def test_other_intervals_are_refused(value: Any) -> None:
    with pytest.raises(OptionError, match=r"r must be a pair of finite numbers \(low, high\)"):
        checks.interval(value, "r")


@pytest.mark.parametrize("value", [(3, 4), [3, 4], np.array([3, 4]), range(3, 5)])
def test_sequences(value: Any) -> None:
    assert checks.sequence(value, "n", checks.whole) == [3, 4]


def test_elements_of_sequences_are_named() -> None:
    with pytest.raises(OptionError, match=r"n\[1\] must be a whole number, got 'a'"):
        checks.sequence([1, "a"], "n", checks.whole)


@pytest.mark.parametrize("value", [3, "ab", {1: 2}, {1, 2}, None, np.array(3), iter([1])])
def test_other_sequences_are_refused(value: object) -> None:
    with pytest.raises(OptionError, match="n must be a list, got "):
        checks.sequence(value, "n", checks.whole)


@pytest.mark.parametrize("value", [-1, np.int64(-5), 1.0, True, "1", [1, 2], math.nan, object()])
def test_what_is_no_seed_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match="seed must be None, a whole number from 0 or a numpy"):
        checks.seed(value)
    with pytest.raises(OptionError, match="seed must be"):
        checks.random_generator(value)


@pytest.mark.parametrize("value", [0, 12345, 2**100, np.uint64(7)])
def test_seeds_draw_as_numpys(value: int) -> None:
    expected = np.random.default_rng(int(value)).random(3)
    np.testing.assert_array_equal(checks.random_generator(value).random(3), expected)


def test_generators_are_kept_and_not_drawn_from() -> None:
    rng = np.random.default_rng(3)
    assert checks.seed(rng) is rng
    assert checks.random_generator(rng) is rng
    assert rng.random() == np.random.default_rng(3).random()


def test_seed_sequences_and_no_seed() -> None:
    sequence = np.random.SeedSequence(5)
    expected = np.random.default_rng(np.random.SeedSequence(5)).random()
    assert checks.random_generator(sequence).random() == expected
    assert checks.seed(None) is None
    assert checks.random_generator(None).random() != checks.random_generator(None).random()


@pytest.mark.parametrize("value", ["a/b.h5", Path("a/b.h5")])
def test_paths(value: Any) -> None:
    assert checks.path(value) == Path("a/b.h5")


@pytest.mark.parametrize("value", [None, 3, b"a", ["a"], "a\0b", "\ud800", "a" * 256])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(
        OptionError, match=r"filename must be a path(, its names of at most 255 bytes)?, got "
    ):
        checks.path(value)


def test_numbers_that_need_not_be_finite() -> None:
    assert checks.real(np.float32(math.inf), "n") == math.inf
    assert math.isnan(checks.real(math.nan, "n"))
    for value in ("1", None, True, 1j, [1.0]):
        with pytest.raises(OptionError, match="n must be a number, got "):
            checks.real(value, "n")
