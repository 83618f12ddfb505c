"""What users hand to `MadMiner`: names and numbers, checked as they come."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence
from numbers import Real

from madminer.errors import SetupError

__all__ = ["clean_name", "collection", "lha_entry", "number", "shortened", "text", "whole"]

SHOWN = 8


def clean_name(name: str) -> str:
    """Replace spaces and hyphens by underscores.

    Examples:
        >>> clean_name("c W-L2")
        'c_W_L2'
    """
    return re.sub(r"[ -]", "_", text(name, "A name"))


def text(value: object, what: str) -> str:
    """Check that a value is a text that is not empty.

    Raises:
        SetupError: If it is not; the message begins with `what`.
    """
    if not isinstance(value, str) or not value.strip():
        raise SetupError(f"{what} must be a text that is not empty, got {value!r}.")
    return value


def number(value: object, what: str) -> float:
    """Check that a value is a real number.

    Raises:
        SetupError: If it is not; the message begins with `what`.
    """
    if not isinstance(value, Real):
        raise SetupError(f"{what} must be a number, got {value!r}.")
    return float(value)


def whole(value: int, what: str) -> int:
    """Check that a value is a whole number.

    Raises:
        SetupError: If it is not; the message begins with `what`.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise SetupError(f"{what} must be a whole number, got {value!r}.") from error


def lha_entry(entry: tuple[str, int]) -> tuple[str, int]:
    """Check that a value is a pair (block, id).

    Raises:
        SetupError: If it is not.
    """
    try:
        block, lha_id = entry
    except (TypeError, ValueError) as error:
        raise SetupError(
            f"Parameters are set as a dict of AnalysisParameter or a list of pairs (lha_block, "
            f"lha_id), got the entry {entry!r}."
        ) from error
    return block, lha_id


def collection(value: object, what: str) -> None:
    """Check that a value is a dictionary or a list.

    Raises:
        SetupError: If it is not; the message begins with `what`.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SetupError(f"{what} are set as a dictionary or a list, got {value!r}.")


def shortened(names: Sequence[str]) -> str:
    """Join names, of many only the first.

    Examples:
        >>> shortened([f"b{i}" for i in range(30)])
        'b0, b1, b2, b3, b4, b5, b6, b7 and 22 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
