"""Whether numbers can be trusted: outcomes of checks as values, and warnings of wrong results.

Each warning that a result may be wrong goes through `report_weakness`. By default it is a warning
in the log. In strict mode it is an `EvidenceError`, so that no number leaves a calculation without
the proof that it can be trusted. Strict mode holds

- inside ``with madminer.strict():``, and nowhere else;
- from ``madminer.strict()`` on, in this thread;
- with the environment variable ``MADMINER_STRICT=1``, in all threads and processes;
- for one run of the command, with ``madminer --strict``.

Notices, such as an option without effect, are warnings in either mode.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from madminer.checks import flag
from madminer.errors import EvidenceError
from madminer.text import with_error
from madminer.typing import FloatArray

_chosen: ContextVar[bool | None] = ContextVar("strict", default=None)
_is_unreported: ContextVar[bool] = ContextVar("unreported", default=False)


class _Choice(AbstractContextManager[None]):
    """A choice that holds from now on; used as a context, until its end."""

    def __init__(self, on: bool) -> None:
        self._token = _chosen.set(on)

    def __exit__(self, *_: object) -> None:
        _chosen.reset(self._token)


def strict(on: bool = True) -> AbstractContextManager[None]:
    """Turn warnings that a result may be wrong into errors.

    Args:
        on: Whether they are errors; False makes them warnings again, whatever the environment says.

    Returns:
        A context manager, at whose end the mode is as it was before. Without ``with`` the mode
        holds from now on. Threads that start later do not know of it; ``MADMINER_STRICT=1`` holds
        for all threads and processes.

    Raises:
        OptionError: If `on` is neither True nor False.

    Examples:
        >>> import madminer
        >>> logger = logging.getLogger("madminer")
        >>> with madminer.strict():
        ...     report_weakness(logger, "The sample is worth %d events. Use more.", 9)
        Traceback (most recent call last):
        madminer.errors.EvidenceError: The sample is worth 9 events. Use more. This warning is an
        error in strict mode, see madminer.strict.
    """
    return _Choice(flag(on, "on"))


def is_strict() -> bool:
    """Whether warnings that a result may be wrong are errors.

    Examples:
        >>> with strict():
        ...     is_strict()
        True
    """
    chosen = _chosen.get()
    return os.environ.get("MADMINER_STRICT", "0") not in {"", "0"} if chosen is None else chosen


def report_weakness(logger: logging.Logger, message: str, *args: object) -> None:
    """Say that a result may be wrong: a warning in the log, an error in strict mode.

    Args:
        logger: Where it is logged.
        message: What is wrong, with its numbers, and what to do; with ``%`` for each argument.
        *args: What is put there.

    Raises:
        EvidenceError: In strict mode, with the same text.
    """
    if _is_unreported.get():
        return
    if is_strict():
        text = message % args if args else message
        raise EvidenceError(f"{text} This warning is an error in strict mode, see madminer.strict.")
    logger.warning(message, *args, stacklevel=2)


@contextmanager
def unreported() -> Iterator[None]:
    """Report no weakness of what is only a means, and judged by whoever asked for it.

    Examples:
        >>> with strict(), unreported():
        ...     report_weakness(logging.getLogger("madminer"), "This classifier learned nothing.")
    """
    token = _is_unreported.set(True)
    try:
        yield
    finally:
        _is_unreported.reset(token)


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
