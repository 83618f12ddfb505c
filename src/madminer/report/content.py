"""What a report consists of: values that know nothing of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from madminer.errors import OptionError

__all__ = ["Check", "Fact", "Picture", "Report", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number worth a large font.

    Args:
        value: The number with its unit, as text.
        label: What it is.
    """

    value: str
    label: str


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
        caption: What is to be seen, a sentence or two.
        width: Width on the page in CSS pixels.
    """

    data: bytes
    media_type: Literal["image/png", "image/svg+xml"]
    caption: str
    width: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Args:
        header: Column names.
        rows: Cells, each row as long as the header.
        caption: What it shows.

    Raises:
        OptionError: If a row is not as long as the header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise OptionError(
                    f"Every row needs {len(self.header)} cells, one for each of "
                    f"{list(self.header)}; got {list(row)}."
                )


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: text, then tables and checks, then pictures.

    Args:
        title: Heading.
        paragraphs: Plain text, one entry a paragraph.
        tables: Tables, one below the other.
        checks: Closure tests, shown as one table with verdicts.
        pictures: Figures, side by side where they fit.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    checks: Sequence[Check] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A whole page.

    Args:
        title: Heading of the page.
        summary: One paragraph that says what was done and found.
        facts: Numbers shown at the top.
        sections: The parts.
        footer: How to repeat it.
    """

    title: str
    summary: str
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: str = ""

    @property
    def checks(self) -> tuple[Check, ...]:
        """The closure tests of all sections."""
        return tuple(check for section in self.sections for check in section.checks)
