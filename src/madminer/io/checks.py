"""Checks of event files: what is wrong or weak in a file, and what to do about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from madminer.errors import FileFormatError
from madminer.io.event_reader import EventFile
from madminer.io.event_statistics import EventStatistics, event_statistics
from madminer.io.findings import (
    Finding,
    Level,
    check_closure,
    check_cross_sections,
    check_morphing,
    check_observables,
    check_order,
    check_sampling,
    check_variations,
    check_weights,
)
from madminer.io.setup_file import read_setup
from madminer.models import AnalysisSetup
from madminer.models.tables import Section, tables_html
from madminer.text import one_line, printable
from madminer.typing import StrPath

__all__ = ["EventFileReport", "Finding", "Level", "check_event_file"]

CHECKS = (
    check_observables,
    check_weights,
    check_cross_sections,
    check_sampling,
    check_order,
    check_variations,
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventFileReport:
    """What is in an event file and what is wrong with it.

    Args:
        path: The file.
        setup: Setup of the analysis.
        statistics: Numbers that describe the events, None if there are none that can be read.
        findings: Results of the checks.
    """

    path: Path
    setup: AnalysisSetup
    statistics: EventStatistics | None
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return "\n".join([printable(self.path), *(str(finding) for finding in self.findings)])

    def __repr__(self) -> str:
        counts = Counter(str(finding.level) for finding in self.findings)
        found = ", ".join(f"{n} {level}" for level, n in counts.items())
        return one_line(f"EventFileReport({self.path}: {found})")

    def _repr_html_(self) -> str:
        rows = [(str(f.level), f"{f.text} {f.remedy}".rstrip()) for f in self.findings]
        findings = Section("Findings", ("", ""), rows, max_rows=len(rows))
        return tables_html([findings], str(self.path))

    @property
    def level(self) -> Level:
        """That of the worst finding."""
        return max((f.level for f in self.findings), key=list(Level).index, default=Level.OK)

    def of_level(self, level: Level | str) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]


def check_event_file(filename: StrPath) -> EventFileReport:
    """Check an event file and say what to do about what is wrong.

    All events are read once, in pieces; memory does not grow with the file.

    Args:
        filename: Event file of this version or of MadMiner 0.2 to 0.9.

    Returns:
        The report; printed, it lists the findings.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is damaged, of another kind, or holds no valid setup.

    Examples:
        >>> report = check_event_file("events.h5")  # doctest: +SKIP
        >>> [finding.text for finding in report.of_level("problem")]  # doctest: +SKIP
        []
    """
    path = Path(filename)
    setup = read_setup(path)
    try:
        file = EventFile(path)
    except FileFormatError as error:
        return EventFileReport(path, setup, None, (Finding(Level.PROBLEM, str(error)),))
    findings = [_version(file.version), *check_morphing(setup)]
    if file.n_events == 0:
        text = "The file has the layout of an event file, but no events."
        findings.append(Finding(Level.PROBLEM, text, "Check the cuts, and read the sample again."))
        return EventFileReport(path, setup, None, tuple(findings))
    statistics = event_statistics(file)
    for check in CHECKS:
        findings += check(statistics)
    findings += check_closure(setup, statistics)
    return EventFileReport(path, setup, statistics, tuple(findings))


def _version(version: int) -> Finding:
    kind = f"of format {version}" if version else "that of MadMiner 0.9"
    text = f"The layout is {kind}, with one column for each observable and benchmark."
    return Finding(Level.OK, text)
