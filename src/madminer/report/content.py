"""What a report consists of besides its text: values that know nothing of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from madminer.errors import OptionError

__all__ = ["Check", "Picture", "Table"]


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a closure test.

    Args:
        name: What is compared.
        measured: What came out, as text.
        expected: What would be perfect, as text.
        requirement: The condition for passing, as text.
        passed: Whether it is met.
    """

    name: str
    measured: str
    expected: str
    requirement: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, already drawn.

    Args:
        data: The encoded image.
        media_type: How it is encoded.
        width: Width on the page in CSS pixels.
    """

    data: bytes
    media_type: Literal["image/png", "image/svg+xml"]
    width: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Args:
        header: Column names.
        rows: Cells, each row as long as the header.

    Raises:
        OptionError: If a row is not as long as the header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise OptionError(
                    f"Every row needs {len(self.header)} cells, one for each of "
                    f"{list(self.header)}; got {list(row)}."
                )
