"""The outcome of a validation: checks with their evidence, shown in every form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from madminer.errors import EvidenceError, OptionError
from madminer.io.atomic import atomic_path
from madminer.tables import ShownAsTable, Table
from madminer.text import one_line
from madminer.typing import FloatArray, StrPath

__all__ = ["Graph", "Series", "Validation", "ValidationCheck", "Verdict"]

Verdict = Literal["passed", "failed", "undecided"]
"""Outcome of a check; ``"undecided"``: there are not enough events to tell."""

WORDS: dict[Verdict, str] = {
    "passed": "passed",
    "failed": "FAILED",
    "undecided": "not enough events to tell",
}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points of one curve, or heights of one group of bars.

    Args:
        label: What the legend calls them.
        x: Positions, shape ``(n,)``; the categories of the graph where it has some.
        y: Values, shape ``(n,)``.
        errors: Standard errors, shape ``(n,)``.
    """

    label: str
    x: FloatArray
    y: FloatArray
    errors: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What the figure of a check shows.

    Args:
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
        series: The curves or groups of bars.
        expected: ``"diagonal"``, a height, or None for no line of what is expected.
        categories: Names of the positions 0, 1, ... where the graph has bars.
    """

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    expected: Literal["diagonal"] | float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ValidationCheck:
    """One check: what came out, what is required and why, and what to do.

    Args:
        name: What is checked; unique in a validation.
        quantity: What the value is, and where the worst one was found.
        value: The worst value.
        error: Its standard error; 0 if it is exact.
        requirement: The condition, in words.
        reason: Why it is required.
        verdict: The outcome.
        remedy: What to do if it is not passed.
        values: All values of the check by name, each with its standard error.
        graph: Data of its figure.
    """

    name: str
    quantity: str
    value: float
    error: float
    requirement: str
    reason: str
    verdict: Verdict
    remedy: str
    values: tuple[tuple[str, float, float], ...] = ()
    graph: Graph | None = None

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``"passed"``."""
        return self.verdict == "passed"

    @property
    def measured(self) -> str:
        """Value and error as text."""
        if not np.isfinite(self.value):
            return "-"
        return f"{self.value:.3g}" + (f" ± {self.error:.2g}" if self.error > 0.0 else "")

    def __str__(self) -> str:
        """Outcome, numbers and remedy in a few lines."""
        lines = [
            f"{self.name}: {WORDS[self.verdict]}",
            f"  {self.quantity} = {self.measured}; required: {self.requirement}.",
            f"  {self.reason}",
        ]
        return "\n".join(lines if self.passed else [*lines, f"  Remedy: {self.remedy}"])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Validation(ShownAsTable):
    """Everything that test events say about an estimator.

    It prints as a table, shows itself in notebooks, and is written as JSON or as a page.

    Args:
        model: What was validated, in words.
        events: With which events, in words.
        n_effective: Effective number of test events at the reference point.
        checks: The checks.
    """

    model: str
    events: str
    n_effective: float
    checks: tuple[ValidationCheck, ...]

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
        return f"Validation({self.model}: {self._counts()})"

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
        """What can be concluded, and what cannot, in a few sentences."""
        with_events = f"with {self.n_effective:.0f} effective test events"
        if self.passed:
            return f"All {len(self)} checks passed {with_events}."
        lines = [f"{self._counts()} {with_events}."]
        if self.failed:
            lines.append("Do not use this estimator before these are mended:")
            lines += [_sentence(check) for check in self.failed]
        if self.undecided:
            names = ", ".join(check.name for check in self.undecided)
            lines.append(
                f"Nothing can be concluded on {names}: more test events are needed, or an "
                "estimator that needs less of them, as a histogram of few bins."
            )
        return "\n".join(lines)

    @property
    def table(self) -> Table:
        """The checks, one a row."""
        rows = [
            (
                one_line(check.name),
                one_line(check.quantity),
                check.measured,
                one_line(check.requirement),
                WORDS[check.verdict],
            )
            for check in self.checks
        ]
        title = f"{one_line(self.model)}, {one_line(self.events)}: {self._counts()}"
        columns = ("check", "worst value of", "measured", "required", "verdict")
        return Table(columns, rows, title, max_rows=100)

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

    def _counts(self) -> str:
        parts = [f"{sum(check.passed for check in self)} of {len(self)} checks passed"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{len(self.undecided)} undecided"] if self.undecided else []
        return ", ".join(parts)


def _sentence(check: ValidationCheck) -> str:
    return (
        f"- {check.name}: {check.quantity} is {check.measured}, required {check.requirement}. "
        f"{check.remedy}"
    )


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
