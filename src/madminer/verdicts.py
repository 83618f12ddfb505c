"""The outcome of a check as a value: what came out, what is required and why, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from madminer.text import with_error
from madminer.typing import FloatArray

Verdict = Literal["passed", "failed", "undecided"]
"""Outcome of a check; ``"undecided"``: there are not enough events to tell."""

WORDS: dict[Verdict, str] = {
    "passed": "passed",
    "failed": "FAILED",
    "undecided": "undecided",
}
"""Verdicts in words, for those who do not see colours."""

MARKS: dict[Verdict, str] = {"passed": "✓", "failed": "✗", "undecided": "?"}
"""Verdicts in one character."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points of one curve, or heights of one group of bars.

    Args:
        label: What the legend calls them.
        x: Positions, shape ``(n,)``; the categories of the graph where it has some.
        y: Values, shape ``(n,)``; NaN where there is none.
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
        remedy: What to do if it failed.
        values: All values of the check by name, each with its standard error.
        graph: Data of its figure.

    Examples:
        >>> check = ValidationCheck(
        ...     "mean ratio", "E[r]", 1.2, 0.03, "1 within 0.05",
        ...     "A likelihood ratio has the mean 1.", "failed", "Train longer.")
        >>> print(check)
        mean ratio: FAILED
          E[r] = 1.200 ± 0.030; required: 1 within 0.05.
          A likelihood ratio has the mean 1.
          Remedy: Train longer.
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
    def word(self) -> str:
        """The verdict as it is shown."""
        return WORDS[self.verdict]

    @property
    def mark(self) -> str:
        """The verdict in one character."""
        return MARKS[self.verdict]

    @property
    def measured(self) -> str:
        """Value and error as text."""
        return with_error(self.value, self.error)

    @property
    def advice(self) -> str:
        """What to do; empty if it passed."""
        advice: dict[Verdict, str] = {
            "passed": "",
            "failed": self.remedy,
            "undecided": "Take more test events.",
        }
        return advice[self.verdict]

    def __str__(self) -> str:
        """Outcome, numbers and what to do in a few lines."""
        lines = [
            f"{self.name}: {self.word}",
            f"  {self.quantity} = {self.measured}; required: {self.requirement}.",
            f"  {self.reason}",
        ]
        return "\n".join(lines if self.passed else [*lines, f"  Remedy: {self.advice}"])
