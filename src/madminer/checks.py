"""Checks of arguments: each returns the cleaned value, or says what must be given instead.

All messages have one form, ``<name> must be <what is allowed>, got <what came>.`` The error is an
`OptionError` unless `error` names another one.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from madminer.errors import MadMinerError, OptionError, ShapeError
from madminer.typing import FloatArray, Seed

T = TypeVar("T")
ErrorType = type[MadMinerError]

_LONGEST = 120
_MOST_BITS = 256
_LONGEST_FILE_NAME = 255  # bytes, of all common file systems

_CONTROLS = frozenset({"Cc", "Cs"})
"""Unicode's control characters, and halves of characters, which no file can hold."""


def whole(
    value: object,
    name: str,
    low: int | None = None,
    high: int | None = None,
    *,
    error: ErrorType = OptionError,
) -> int:
    """Check that a value is a whole number, from `low` to `high` where they are given.

    Args:
        value: What came; truth values and floats are refused.
        name: Name of the argument.
        low: Smallest number that is allowed.
        high: Largest number that is allowed.
        error: Type of the error.

    Returns:
        The number.

    Raises:
        MadMinerError: If it is something else, of the type `error`.

    Examples:
        >>> whole(np.int64(3), "n_events", 1)
        3
        >>> whole(0, "n_events", 1)
        Traceback (most recent call last):
        madminer.errors.OptionError: n_events must be a whole number from 1, got 0.
    """
    plain = _whole(value)
    if plain is not None and (low is None or plain >= low) and (high is None or plain <= high):
        return plain
    raise refusal(name, f"a whole number{_range(low, high)}", value, error)


def number(
    value: object,
    name: str,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    error: ErrorType = OptionError,
) -> float:
    """Check that a value is a finite number, within the ends that are given.

    Args:
        value: What came; truth values and texts are refused.
        name: Name of the argument.
        low: Smallest number that is allowed.
        high: Largest number that is allowed.
        above: Number below all that are allowed.
        below: Number above all that are allowed.
        error: Type of the error.

    Returns:
        The number.

    Raises:
        MadMinerError: If it is something else, of the type `error`.

    Examples:
        >>> number(1, "alpha", 0.0)
        1.0
        >>> number(1.0, "dropout_prob", 0.0, below=1.0)
        Traceback (most recent call last):
        madminer.errors.OptionError: dropout_prob must be a number from 0 to below 1, got 1.0.
    """
    plain = _float(value)
    if (
        math.isfinite(plain)
        and (low is None or plain >= low)
        and (high is None or plain <= high)
        and (above is None or plain > above)
        and (below is None or plain < below)
    ):
        return plain
    ends = _range(low, high, above, below)
    raise refusal(name, f"a number{ends}" if ends else "a finite number", value, error)


def real(value: object, name: str, *, error: ErrorType = OptionError) -> float:
    """Check that a value is a number, which need not be finite.

    Examples:
        >>> real("0.5", "scale")
        Traceback (most recent call last):
        madminer.errors.OptionError: scale must be a number, got '0.5'.
    """
    plain = _scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise refusal(name, "a number", value, error)
    return _float(plain)


def positive(value: object, name: str, *, error: ErrorType = OptionError) -> float:
    """Check that a value is a finite number above zero.

    Examples:
        >>> positive(300, "luminosity")
        300.0
    """
    plain = _float(value)
    if 0.0 < plain < math.inf:
        return plain
    raise refusal(name, "a positive number", value, error)


def fraction(value: object, name: str, *, error: ErrorType = OptionError) -> float:
    """Check that a value is a number from zero to one, both included.

    Examples:
        >>> fraction(0.5, "test_split")
        0.5
    """
    return number(value, name, 0.0, 1.0, error=error)


def flag(value: object, name: str, *, error: ErrorType = OptionError) -> bool:
    """Check that a value is True or False; the numbers 1 and 0 serve, too.

    Examples:
        >>> flag("no", "shuffle")
        Traceback (most recent call last):
        madminer.errors.OptionError: shuffle must be True or False, got 'no'.
    """
    plain = _scalar(value)
    if isinstance(plain, Real) and plain in (0, 1):
        return bool(plain)
    raise refusal(name, "True or False", value, error)


def one_of(
    value: object, name: str, choices: Iterable[str], *, error: ErrorType = OptionError
) -> str:
    """Check that a value is one of several texts.

    Examples:
        >>> one_of("adm", "optimizer", ["adam", "sgd"])
        Traceback (most recent call last):
        madminer.errors.OptionError: optimizer must be one of 'adam', 'sgd', got 'adm'.
    """
    known = tuple(choices)
    if isinstance(value, str) and value in known:
        return value
    raise refusal(name, f"one of {', '.join(map(repr, known))}", value, error)


def text(
    value: object, name: str, n_bytes: int | None = None, *, error: ErrorType = OptionError
) -> str:
    r"""Check that a value is a text, not empty, without control characters, of `n_bytes` at most.

    Examples:
        >>> text("c\x1b[2J", "parameter_name")
        Traceback (most recent call last):
        madminer.errors.OptionError: parameter_name must be a text without control characters, got
        'c\x1b[2J'.
    """
    if not isinstance(value, str) or not value.strip():
        raise refusal(name, "a text that is not empty", value, error)
    if any(unicodedata.category(character) in _CONTROLS for character in value):
        raise refusal(name, "a text without control characters", value, error)
    if n_bytes is not None and len(value.encode()) > n_bytes:
        raise refusal(name, f"a text of at most {n_bytes} bytes", value, error)
    return value


def path(value: object, name: str = "filename", *, error: ErrorType = OptionError) -> Path:
    r"""Check that a value can be the path of a file.

    Examples:
        >>> path("events\0.h5")
        Traceback (most recent call last):
        madminer.errors.OptionError: filename must be a path, got 'events\x00.h5'.
    """
    try:
        file = Path(value)  # type: ignore[arg-type]
        names = os.fsencode(file).split(b"/")
    except (TypeError, UnicodeEncodeError):
        raise refusal(name, "a path", value, error) from None
    if any(b"\0" in part for part in names):
        raise refusal(name, "a path", value, error)
    if any(len(part) > _LONGEST_FILE_NAME for part in names):
        raise refusal(
            name, f"a path, its names of at most {_LONGEST_FILE_NAME} bytes", value, error
        )
    return file


def interval(value: object, name: str, *, error: ErrorType = OptionError) -> tuple[float, float]:
    """Check that a value is a pair of finite, increasing numbers.

    Examples:
        >>> interval([0, 1], "parameter_range")
        (0.0, 1.0)
    """
    plain = [_float(end) for end in _elements(value) or ()]
    if len(plain) == 2 and all(map(math.isfinite, plain)) and plain[0] < plain[1]:
        return plain[0], plain[1]
    raise refusal(name, "a pair of finite numbers (low, high) with low < high", value, error)


def sequence(
    value: object,
    name: str,
    check: Callable[[object, str], T],
    *,
    error: ErrorType = OptionError,
) -> list[T]:
    """Check that a value is a list (or tuple, array, ...), and each of its elements.

    Args:
        value: What came; texts, dictionaries and sets are refused.
        name: Name of the argument.
        check: Called with each element and its name, such as ``"n_hidden[0]"``.
        error: Type of the error if it is no list.

    Returns:
        The checked elements.

    Raises:
        MadMinerError: If it is something else, of the type `error`; or what `check` raises.

    Examples:
        >>> sequence((100, 50), "n_hidden", whole)
        [100, 50]
    """
    elements = listed(value, name, error=error)
    return [check(element, f"{name}[{i}]") for i, element in enumerate(elements)]


def listed(value: object, name: str, *, error: ErrorType = OptionError) -> list[Any]:
    """Check that a value is a list (or tuple, array, ...); others check its elements."""
    elements = _elements(value)
    if elements is None:
        raise refusal(name, "a list", value, error)
    return elements


def real_array(value: object, name: str, *, error: ErrorType = ShapeError) -> FloatArray:
    """Check that a value is an array of real numbers, or a list that makes one.

    Args:
        value: What came; texts, truth values and lists of unequal lengths are refused.
        name: Name of the argument.
        error: Type of the error.

    Returns:
        The array, of any shape.

    Raises:
        MadMinerError: If it is something else, of the type `error`.

    Examples:
        >>> real_array([[1], [2.0, 3.0]], "theta")
        Traceback (most recent call last):
        madminer.errors.ShapeError: theta must be an array of numbers, got [[1], [2.0, 3.0]].
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray("")
    if array.dtype.kind not in "fiu":
        raise refusal(name, "an array of numbers", value, error)
    numbers: FloatArray = array.astype(np.float64, copy=False)
    return numbers


def seed(value: object, name: str = "seed", *, error: ErrorType = OptionError) -> Seed:
    """Check that a value can be a seed, without drawing from it.

    Args:
        value: None, a whole number of 0 or more, a `numpy.random.Generator`, or the seed
            sequences and bit generators that NumPy makes generators from.
        name: Name of the argument.
        error: Type of the error.

    Returns:
        The seed: the number, the generator or None.

    Raises:
        MadMinerError: If it is something else, of the type `error`.

    Examples:
        >>> seed(-1)
        Traceback (most recent call last):
        madminer.errors.OptionError: seed must be None, a whole number from 0 or a numpy Generator,
        got -1.
    """
    plain = _scalar(value)
    if plain is None or isinstance(plain, np.random.Generator):
        return plain
    if isinstance(plain, np.random.SeedSequence | np.random.BitGenerator):
        return np.random.default_rng(plain)
    whole_number = _whole(plain)
    if whole_number is not None and whole_number >= 0:
        return whole_number
    raise refusal(name, "None, a whole number from 0 or a numpy Generator", value, error)


def random_generator(
    value: object, name: str = "seed", *, error: ErrorType = OptionError
) -> np.random.Generator:
    """The generator of a seed, which is checked; a generator is returned as it is.

    Examples:
        >>> random_generator(0).integers(10, size=3)
        array([8, 6, 5])
    """
    return np.random.default_rng(seed(value, name, error=error))


def refusal(
    name: str, expected: str, value: object, error: ErrorType = OptionError
) -> MadMinerError:
    """The error that a check raises.

    Args:
        name: Name of the argument.
        expected: What is allowed, read after "must be".
        value: What came.
        error: Type of the error.

    Returns:
        The error, to be raised by the caller.

    Examples:
        >>> refusal("pdgids", "None or a list of codes", "e")
        OptionError("pdgids must be None or a list of codes, got 'e'.")
    """
    return error(f"{name} must be {expected}, got {shown(value)}.")


def shown(value: object) -> str:
    """A value as messages show it: on one line, and of long ones only the beginning.

    Examples:
        >>> shown("x" * 1000)[-8:]
        'xxxx ...'
    """
    if isinstance(value, Integral) and int(value).bit_length() > _MOST_BITS:
        return f"a whole number of {int(value).bit_length()} bits"
    shortened = value[:_LONGEST] if isinstance(value, str | bytes) else value
    line = " ".join(repr(shortened).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _scalar(value: object) -> Any:
    """The Python scalar of a NumPy one, anything else as it is."""
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
        return value.item()
    return value


def _whole(value: object) -> int | None:
    """The value as a whole number, None where it is none."""
    plain = _scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, Integral):
        return None
    return int(plain)


def _elements(value: object) -> list[object] | None:
    """The elements of a list, tuple, range or array; None for anything else."""
    if isinstance(value, list | tuple | range) or (isinstance(value, np.ndarray) and value.ndim):
        return list(value)
    return None


def _float(value: object) -> float:
    """The value as a float, not-a-number where it is none."""
    plain = _scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, Real):
        return math.nan
    try:
        return float(plain)
    except OverflowError:
        return math.inf


def _range(
    low: float | None,
    high: float | None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    """The ends of a range in words, beginning with a space; empty without ends."""
    lower = (
        f" from {low:g}" if low is not None else f" above {above:g}" if above is not None else ""
    )
    if high is not None:
        return f"{lower} to {high:g}" if lower else f" of at most {high:g}"
    if below is not None:
        return f"{lower} to below {below:g}" if lower else f" below {below:g}"
    return lower
