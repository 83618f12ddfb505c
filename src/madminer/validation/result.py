"""The outcome of a validation: checks with their evidence, shown in every form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from madminer.errors import EvidenceError, OptionError
from madminer.evidence import WORDS, ValidationCheck
from madminer.io.atomic import atomic_path
from madminer.text import Mark, ShownAsTable, Table, one_line, tables_html
from madminer.typing import FloatArray, StrPath
from madminer.validation.conclusion import conclusion_of, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS: dict[str, Mark] = {
    WORDS["passed"]: "good",
    WORDS["failed"]: "bad",
    WORDS["undecided"]: "open",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Validation(ShownAsTable):
    """Everything that test events say about an estimator.

    It prints as a table, shows itself in notebooks, and is drawn, written as JSON or as a page.

    Args:
        model: What was validated, in words.
        events: With which events, in words.
        n_effective: Effective number of test events at the reference point.
        checks: The checks.
        parameters: Names of the m parameters.
        reference: Point that the events follow: of the score, and denominator of ratios, shape
            ``(m,)``; None if it is not known.
        theta: Numerators at which ratios were tested, shape ``(k, m)``; None for none.
        call: How to do it again, as Python code; may be empty.

    Examples:
        >>> check = ValidationCheck("mean ratio", "E[r]", 1.0, 0.01, "1 within 0.05",
        ...     "A likelihood ratio has the mean 1.", "passed", "Train longer.")
        >>> validation = Validation("ALICES", "test events", 5000.0, (check,))
        >>> validation.passed, validation["mean ratio"].measured
        (True, '1.000 ± 0.010')
    """

    model: str
    events: str
    n_effective: float
    checks: tuple[ValidationCheck, ...]
    parameters: tuple[str, ...] = ()
    reference: FloatArray | None = None
    theta: FloatArray | None = None
    call: str = ""

    def __iter__(self) -> Iterator[ValidationCheck]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __getitem__(self, name: str) -> ValidationCheck:
        for check in self.checks:
            if check.name == name:
                return check
        known = ", ".join(repr(check.name) for check in self.checks)
        raise OptionError(f"There is no check {name!r}; there are {known}.")

    def __repr__(self) -> str:
        """Numbers of checks by verdict."""
        return f"Validation({one_line(self.model)}: {counted(self.checks)})"

    @property
    def passed(self) -> bool:
        """Whether every check passed: none failed, and there were enough events for all."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[ValidationCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "failed")

    @property
    def undecided(self) -> tuple[ValidationCheck, ...]:
        """The checks for which there were not enough events."""
        return tuple(check for check in self.checks if check.verdict == "undecided")

    @property
    def conclusion(self) -> str:
        """What can be concluded, and what cannot, a sentence or two a line."""
        return conclusion_of(
            self.checks, self.n_effective, self.parameters, self.reference, self.theta
        )

    @property
    def table(self) -> Table:
        """The checks, one a row."""
        columns = ("check", "verdict", "worst value", "required")
        rows = [(*_cells(check), one_line(check.requirement)) for check in self.checks]
        return Table(columns, rows, self._title, max_rows=100, marks=_MARKS)

    def _repr_html_(self) -> str:
        columns = ("check", "verdict", "worst value", "of", "required")
        rows = [
            (*_cells(check), one_line(check.quantity), one_line(check.requirement))
            for check in self.checks
        ]
        table = Table(columns, rows, self._title, max_rows=100, marks=_MARKS)
        lines = [(line,) for line in self.conclusion.splitlines()]
        return tables_html([table, Table(("",), lines, "Conclusion")])

    @property
    def _title(self) -> str:
        return f"{one_line(self.model)}, {one_line(self.events)}: {counted(self.checks)}"

    def figure(self, n_cols: int = 3) -> Figure:
        """Draw calibration curves, residuals and bounds, a panel for each check that has a graph.

        Args:
            n_cols: Largest number of panels in a row.

        Returns:
            The figure, see `madminer.plotting.plot_checks`.

        Raises:
            OptionError: If no check has a graph.
        """
        from madminer.plotting import plot_checks

        return plot_checks(self.checks, n_cols)

    def require(self) -> None:
        """Go on only with a validated estimator.

        Raises:
            EvidenceError: If a check did not pass; the message says which, and what to do.
        """
        if not self.passed:
            raise EvidenceError(f"{self.model} is not validated. {self.conclusion}")

    def to_dict(self) -> dict[str, Any]:
        """Names, numbers and figures' data as lists and texts, as for JSON."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**_plain(content), "passed": self.passed, "conclusion": self.conclusion}

    def write_json(self, filename: StrPath) -> None:
        """Write `to_dict` as a JSON file, whole or not at all.

        Raises:
            OutputError: If the file cannot be written.
        """
        with atomic_path(filename) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")

    def write_html(self, filename: StrPath) -> None:
        """Write one page that can be mailed: every check with its reason and figure.

        The page needs no other file, follows the light or dark colours of the browser, and can be
        printed.

        Args:
            filename: The HTML file to make or replace, whole or not at all.

        Raises:
            OutputError: If the file cannot be written.
        """
        from madminer.report import write_page
        from madminer.validation.page import validation_page

        write_page(filename, validation_page(self))


def _cells(check: ValidationCheck) -> tuple[str, str, str]:
    return one_line(check.name), check.word, check.measured


def _plain(value: object) -> Any:
    """Dataclasses, tuples and arrays as dictionaries and lists; numbers that JSON lacks as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
