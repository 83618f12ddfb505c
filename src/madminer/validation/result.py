"""The outcome of a validation: its checks, what they allow to conclude, and its page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from madminer.errors import EvidenceError, OptionError
from madminer.evidence import WORDS, Graph, ValidationCheck, Verdict
from madminer.io.atomic import atomic_path
from madminer.text import Mark, ShownAsTable, Table, one_line, tables_html, with_error
from madminer.typing import FloatArray, StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS: dict[str, Mark] = {
    WORDS["passed"]: "good",
    WORDS["failed"]: "bad",
    WORDS["undecided"]: "open",
}
_ITEM = "- "  # begins the lines of a conclusion that say what to mend


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
        return _with(self.checks, "failed")

    @property
    def undecided(self) -> tuple[ValidationCheck, ...]:
        """The checks for which there were not enough events."""
        return _with(self.checks, "undecided")

    @property
    def conclusion(self) -> str:
        """What can be concluded, and what cannot, a sentence or two a line."""
        n_effective = f"{self.n_effective:,.0f}"
        lines = [f"{counted(self.checks)}, with {n_effective} effective test events."]
        if self.failed:
            lines += _about_failed(self.failed)
        if self.undecided:
            lines.append(_about_undecided(self.undecided, is_all=not self.failed))
        if not self.failed and not self.undecided:
            lines += _about_passed(self)
        return "\n".join(lines)

    @property
    def table(self) -> Table:
        """The checks, one a row."""
        return self._table()

    def _repr_html_(self) -> str:
        lines = [(line,) for line in self.conclusion.splitlines()]
        return tables_html([self._table("of"), Table(("",), lines, "Conclusion")])

    def _table(self, *of: str) -> Table:
        """The checks, one a row; with a column of what the worst value is of, if it has a name."""
        rows = [
            (
                one_line(check.name),
                check.word,
                check.measured,
                *(one_line(check.quantity) for _ in of),
                one_line(check.requirement),
            )
            for check in self.checks
        ]
        columns = ("check", "verdict", "worst value", *of, "required")
        title = f"{one_line(self.model)}, {one_line(self.events)}: {counted(self.checks)}"
        return Table(columns, rows, title, max_rows=100, marks=_MARKS)

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

        write_page(filename, validation_page(self))


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


# What a validation allows to conclude, and what not, a sentence or two a line

_BELONG_TOGETHER = {"observables", "reference point"}
"""Checks without which no other one means anything."""


def counted(checks: Iterable[ValidationCheck]) -> str:
    """Numbers of checks by verdict.

    Examples:
        >>> counted([])
        'no checks'
    """
    found = list(checks)
    if not found:
        return "no checks"
    n_passed = len(_with(found, "passed"))
    if n_passed == len(found):
        return f"all {n_passed} checks passed"
    numbers = {"failed": _with(found, "failed"), "undecided": _with(found, "undecided")}
    others = [f"{len(some)} {verdict}" for verdict, some in numbers.items() if some]
    return ", ".join([f"{n_passed} of {len(found)} checks passed", *others])


def _with(checks: Iterable[ValidationCheck], verdict: Verdict) -> tuple[ValidationCheck, ...]:
    return tuple(check for check in checks if check.verdict == verdict)


def _about_failed(failed: Sequence[ValidationCheck]) -> list[str]:
    if any(check.name in _BELONG_TOGETHER for check in failed):
        lines = [
            "The estimator and these events do not belong together: no other result of this "
            "validation means anything."
        ]
    else:
        lines = [
            "Do not quote information, likelihood ratios or asymptotic limits from this estimator. "
            "What stays valid are bounds that hold for any network, the guaranteed information and "
            "p-values from toy experiments drawn from simulated events; both may be weak."
        ]
    faults = [
        one_line(
            f"{_ITEM}{check.name}: {check.quantity} is {check.measured}, required is "
            f"{check.requirement}. {check.remedy}"
        )
        for check in failed
    ]
    return [*lines, "Mend this first:", *faults]


def _about_undecided(undecided: Sequence[ValidationCheck], *, is_all: bool) -> str:
    first = "No check failed for certain, but the estimator is not validated. " if is_all else ""
    names = ", ".join(one_line(check.name) for check in undecided)
    return (
        f"{first}There are not enough events to tell, good or bad: {names}. Take more test events; "
        "where there are none, choose an analysis that needs fewer, such as a histogram of a few "
        "bins."
    )


def _about_passed(validation: Validation) -> Iterator[str]:
    by_name = {check.name: check for check in validation}
    if "mean score" in by_name:  # scores were tested
        at, learned = _at(validation), by_name.get("information learned")
        kept = "" if learned is None else _kept(learned.graph)
        yield f"Scores and Fisher information{at} can be used: they are calibrated{kept}."
    if "mean ratio" in by_name and validation.theta is not None:  # ratios were tested
        ranges = _ranges(validation, validation.theta)
        yield (
            f"Likelihood ratios and limits can be used for {ranges}, where they were tested, and "
            "not beyond."
        )
    yield (
        "No test with simulated events can tell whether the simulation describes data, or whether "
        "an observable that knows more was left out."
    )


def _at(validation: Validation) -> str:
    if validation.reference is None or not validation.parameters:
        return ""
    values = zip(validation.parameters, np.asarray(validation.reference), strict=True)
    return f" at {', '.join(f'{one_line(name)} = {value:.4g}' for name, value in values)}"


def _kept(graph: Graph | None) -> str:
    """Guaranteed shares of the truth by parameter."""
    series = [] if graph is None else [s for s in graph.series if s.label == "guaranteed"]
    if graph is None or not series:
        return ""
    shares = " and ".join(
        f"{with_error(100.0 * share, 100.0 * error)} % on {one_line(name)}"
        for name, share, error in zip(graph.categories, series[0].y, series[0].errors, strict=True)
    )
    return f", and keep at least {shares} of the information at parton level"


def _ranges(validation: Validation, theta: FloatArray) -> str:
    names = validation.parameters or [f"theta{i}" for i in range(theta.shape[1])]
    ends = zip(names, theta.min(axis=0), theta.max(axis=0), strict=True)
    return " and ".join(
        f"{one_line(name)} from {low:.3g} to {high:.3g}" for name, low, high in ends
    )


# The page; its text is ``validation.html.jinja``


def validation_page(validation: Validation) -> str:
    """The page as HTML that needs no other file.

    Examples:
        >>> page = validation_page(Validation("SALLY", "test events", 100.0, ()))
        >>> "<h1>Validation of SALLY</h1>" in page
        True
    """
    from madminer.plotting import plot_checks
    from madminer.report import draw, render_page

    lines = validation.conclusion.splitlines()
    verdicts: tuple[Verdict, ...] = ("passed", "failed", "undecided")
    counts = {verdict: len(_with(validation, verdict)) for verdict in verdicts}
    return render_page(
        "madminer.validation",
        "validation.html.jinja",
        validation.checks,
        validation=validation,
        events=one_line(validation.events),
        n_effective=f"{validation.n_effective:,.0f}",
        counts={verdict: n for verdict, n in counts.items() if n},
        conclusion=[line for line in lines if not line.startswith(_ITEM)],
        to_mend=[line.removeprefix(_ITEM) for line in lines if line.startswith(_ITEM)],
        pictures={
            check.name: draw(plot_checks([check]), _alt(check.name, check.graph), encoding="svg")
            for check in validation
            if check.graph is not None
        },
        values={
            check.name: Table(("of", "value"), [(n, with_error(v, e)) for n, v, e in check.values])
            for check in validation
            if len(check.values) > 1
        },
        version=version("madminer"),
    )


def _alt(name: str, graph: Graph) -> str:
    """What the figure of a check shows, in words."""
    labels = ", ".join(series.label for series in graph.series)
    across = "parameter or point" if graph.categories else graph.x_label
    at = "on the diagonal" if graph.expected == "diagonal" else f"at {graph.expected}"
    expected = "" if graph.expected is None else f"; a perfect estimator lies {at}"
    return f"{name}: {graph.y_label} by {across}, of {labels}{expected}."
