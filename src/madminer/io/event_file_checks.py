"""Checks of event files: what is wrong or weak in a file, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from madminer import checks
from madminer.errors import FileFormatError
from madminer.io.event_reader import EventFile
from madminer.io.event_statistics import (
    EventStatistics,
    OriginStatistics,
    VariationStatistics,
    event_statistics,
)
from madminer.io.setup_file import read_setup
from madminer.models import AnalysisSetup
from madminer.morphing.basis import MAX_CONDITION, condition_numbers
from madminer.morphing.closure import morphing_closure
from madminer.morphing.weights import monomials
from madminer.text import Table, one_line, printable, tables_html
from madminer.typing import StrPath

FEW_EFFECTIVE_EVENTS = 100.0
"""Effective number of events below which a cross section is known to worse than 10 %."""

LARGE_SHARE = 0.1
"""Share of a cross section above which too few events of one origin make it uncertain."""

LARGE_NEGATIVE_SHARE = 0.25
UNBALANCED_SHARE = 0.1
LARGE_DRIFT = 60.0
"""Of 9 on average; exceeded once in 10^9 files of events in random order."""

LARGE_CONDITION = 1e8
HOPELESS_CLOSURE = 0.05
LARGE_RATIO = np.exp(10.0)


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Args:
        level: A problem makes results wrong or stops them; a warning makes them weak.
        text: What was found, with numbers; names from files are shown as text, whatever they hold.
        remedy: What to do, empty if nothing.
    """

    level: Level
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", one_line(self.text))
        object.__setattr__(self, "remedy", one_line(self.remedy))

    def __str__(self) -> str:
        return f"{self.level}: {self.text} {self.remedy}".rstrip()


def check_morphing(setup: AnalysisSetup) -> Iterator[Finding]:
    """Condition number of the basis."""
    if setup.morphing is None:
        yield Finding(Level.OK, "Weights are known at the benchmarks only: there is no morphing.")
        return
    factors = monomials(setup.benchmark_thetas[: setup.morphing.n_basis], setup.morphing.components)
    condition = float(condition_numbers(factors))
    text = f"The condition number of the morphing basis is {condition:.2g}"
    remedy = "Move benchmarks further apart, or let set_morphing choose them."
    if not condition < MAX_CONDITION:
        yield Finding(Level.PROBLEM, f"{text}: it is singular.", remedy)
    elif condition > LARGE_CONDITION:
        digits = 15 - round(np.log10(condition))
        yield Finding(Level.WARNING, f"{text}: about {digits} digits of weights remain.", remedy)
    else:
        yield Finding(Level.OK, f"{text}.")


def check_closure(setup: AnalysisSetup, events: EventStatistics) -> Iterator[Finding]:
    """Predicted weights at benchmarks beyond those that determine the components."""
    thetas = setup.benchmark_thetas
    if setup.morphing is None or len(thetas) <= setup.morphing.n_components:
        return
    weights = events.sampled_weights[:, : len(thetas)]
    weights = weights[np.isfinite(weights).all(axis=1)]
    size = np.abs(weights).max(axis=1, initial=0.0)
    weights = weights[np.ptp(weights, axis=1) > 1e-12 * size]  # background proves nothing
    if not np.all(weights.sum(axis=0)):
        return  # without cross section, which is reported
    closure = morphing_closure(weights, thetas, setup.morphing.components, setup.morphing.matrix)
    worst = max(closure.largest_deviation, float(np.abs(closure.deviations).max()))
    name = list(setup.physical_benchmarks)[closure.worst_benchmark]
    text = f"Morphing predicts the weights at all benchmarks to {percent(worst)} ({name})."
    if closure.is_closed():
        yield Finding(Level.OK, text)
    else:
        yield Finding(
            Level.PROBLEM if worst > HOPELESS_CLOSURE else Level.WARNING,
            text,
            "Raise the largest powers of the parameters, or check that the events were reweighted "
            "to the benchmarks of this setup.",
        )


def check_observables(events: EventStatistics) -> Iterator[Finding]:
    """Observables that are not finite or constant."""
    columns = events.observables
    undefined = [f"{c.name} ({_of(c.n_nan, events)})" for c in columns if c.n_nan]
    infinite = [f"{c.name} ({_of(c.n_infinite, events)})" for c in columns if c.n_infinite]
    constant = [
        f"{c.name} = {c.minimum:g}"
        for c in columns
        if c.minimum == c.maximum and not c.n_nan and not c.n_infinite
    ]
    if undefined:
        yield Finding(
            Level.PROBLEM,
            f"Observables are undefined (not-a-number) in some events: {', '.join(undefined)}.",
            "No samples can be drawn. Give them a default, or make them required, when the events "
            "are read.",
        )
    if infinite:
        yield Finding(
            Level.PROBLEM,
            f"Observables are infinite in some events: {', '.join(infinite)}.",
            "Correct their definitions and read the events again.",
        )
    if constant:
        yield Finding(
            Level.WARNING,
            f"Observables are the same in all events: {', '.join(constant)}.",
            "They carry no information: leave them out of the features.",
        )
    if not undefined and not infinite:
        yield Finding(Level.OK, f"All {len(columns)} observables are finite in all events.")


def check_weights(events: EventStatistics) -> Iterator[Finding]:
    """Weights that are not finite or all zero, and repeated events."""
    lost = [
        f"{b.name} ({_of(b.n_not_finite, events)})" for b in events.benchmarks if b.n_not_finite
    ]
    if lost:
        yield Finding(
            Level.PROBLEM,
            f"Weights are not finite in some events: {', '.join(lost)}.",
            "Remove these events from the sample, or repeat the reweighting.",
        )
    else:
        yield Finding(Level.OK, "All weights are finite.")
    if events.n_weightless:
        yield Finding(
            Level.WARNING,
            f"All weights are zero in {_of(events.n_weightless, events)}.",
            "They change no result and can be left out; check whether the reweighting failed.",
        )
    if events.n_repeated:
        yield Finding(
            Level.WARNING,
            f"{_of(events.n_repeated, events)} repeat an earlier one in all observables and "
            f"weights.",
            "Where observables and weights take few values, that is expected. If a sample was "
            "joined twice, join again: copies make uncertainties look too small, and are in the "
            "training and the test sample.",
        )


def check_cross_sections(events: EventStatistics) -> Iterator[Finding]:
    """Cross sections, negative weights and effective numbers of events."""
    hopeless = [f"{b.name} ({b.xsec:.3g} pb)" for b in events.benchmarks if not b.xsec > 0.0]
    if hopeless:
        yield Finding(
            Level.PROBLEM,
            f"Cross sections are not positive: {', '.join(hopeless)}.",
            "Check the weights at these benchmarks, and whether there are enough events.",
        )
    negative = [b for b in events.benchmarks if b.negative_share > 0.0]
    if negative:
        worst = max(negative, key=lambda b: b.negative_share)
        is_large = worst.negative_share > LARGE_NEGATIVE_SHARE
        yield Finding(
            Level.WARNING if is_large else Level.OK,
            f"Weights are negative at {len(negative)} of {len(events.benchmarks)} benchmarks, at "
            f"most {percent(worst.negative_share)} of them ({worst.name}).",
            "Many more events are needed than without negative weights." if is_large else "",
        )
    threshold = max(FEW_EFFECTIVE_EVENTS, 0.01 * events.n_events)
    few = [b for b in events.benchmarks if b.xsec > 0.0 and b.n_effective < threshold]
    for b in few:
        yield Finding(
            Level.WARNING,
            f"The effective number of events at {b.name} is {b.n_effective:,.1f} of "
            f"{events.n_events:,}: its cross section is known to "
            f"{percent(b.xsec_uncertainty / b.xsec)}.",
            "Generate events at this benchmark or near it too.",
        )
    if events.benchmarks and not hopeless and not few:
        least = min(events.benchmarks, key=lambda b: b.n_effective)
        yield Finding(
            Level.OK,
            f"The effective number of events is at least {least.n_effective:,.0f} of "
            f"{events.n_events:,} ({least.name}).",
        )


def check_origins(
    origins: Sequence[OriginStatistics], benchmarks: Sequence[str], reference: str
) -> Iterator[Finding]:
    """Effective numbers of background and of the events of each sampling benchmark.

    Args:
        origins: Their statistics.
        benchmarks: Names of the physical benchmarks.
        reference: The one at which all of them are told.
    """
    if len(origins) < 2:  # all other checks look at these
        return
    few = [found for origin in origins if (found := _few(origin, benchmarks)) is not None]
    yield from few
    if not few:
        at = benchmarks.index(reference)
        numbers = ", ".join(
            f"{o.name} {o.n_effective[at]:,.0f} ({percent(o.shares[at])})" for o in origins
        )
        yield Finding(
            Level.OK,
            f"Effective numbers of events by origin, and shares of the cross section at "
            f"{reference}: {numbers}.",
        )


def _few(origin: OriginStatistics, benchmarks: Sequence[str]) -> Finding | None:
    """Too few events that hold too much, where they are fewest; None if that is nowhere."""
    n_effective = np.where(origin.shares > LARGE_SHARE, origin.n_effective, np.inf)
    worst = int(np.argmin(n_effective))
    if not n_effective[worst] < FEW_EFFECTIVE_EVENTS:
        return None
    what = "background events" if origin.is_background else f"events generated at {origin.name}"
    share, n = float(origin.shares[worst]), float(n_effective[worst])
    return Finding(
        Level.WARNING,
        f"{origin.n_events:,} {what}, worth {n:,.3g} of equal weight, hold {percent(share)} of "
        f"the cross section at {benchmarks[worst]}: they alone make it uncertain by "
        f"{percent(share / np.sqrt(n))}.",
        "Simulate more of this background, with cuts near those of the analysis so that more "
        "events pass, each of a smaller weight."
        if origin.is_background
        else "Generate more events there, or, if others describe this point better, leave these "
        "out.",
    )


def check_sampling(events: EventStatistics) -> Iterator[Finding]:
    """Where events were generated, against the summary."""
    counted, stated = events.counted, events.stated
    if events.n_unknown_sampling:
        yield Finding(
            Level.PROBLEM,
            f"{_of(events.n_unknown_sampling, events)} were generated at a benchmark that does "
            f"not exist.",
            "Read the sample again with the setup that it was made with.",
        )
    if counted is None:
        yield Finding(
            Level.WARNING,
            "It is not known where the events were generated: events close to a parameter point "
            "cannot be chosen.",
            "Read the sample again, or import it with sampled_from_benchmark or "
            "sampling_benchmark.",
        )
        return
    names = [b.name for b in events.benchmarks]
    yield from _balance(names, counted.signal_events.tolist())
    if stated is None:
        return
    pairs = zip(names, counted.signal_events.tolist(), stated.signal_events.tolist(), strict=False)
    differing = [f"{name} ({c:,} and {s:,})" for name, c, s in pairs if c != s]
    if counted.background_events != stated.background_events:
        differing.append(
            f"background ({counted.background_events:,} and {stated.background_events:,})"
        )
    if differing:
        lost = np.any((counted.signal_events > 0) & (stated.signal_events == 0))
        yield Finding(
            Level.PROBLEM if lost and stated.signal_events.any() else Level.WARNING,
            f"Numbers of generated events in the file and in its summary differ: "
            f"{', '.join(differing)}. Cross sections mix samples by the summary.",
            "If events were selected, combine_and_shuffle([file], output) counts again.",
        )


def _balance(names: list[str], counts: list[int]) -> Iterator[Finding]:
    generated = {name: n for name, n in zip(names, counts, strict=False) if n}
    most = max(generated.values(), default=0)
    few = [f"{name} ({n:,})" for name, n in generated.items() if n < UNBALANCED_SHARE * most]
    if few:
        yield Finding(
            Level.WARNING,
            f"Few events were generated at {', '.join(few)}, but {most:,} elsewhere.",
            "Close to these points, samples use only these events: generate more there, or set "
            "sample_only_from_closest_benchmark=False.",
        )
    elif generated:
        numbers = ", ".join(f"{name} ({n:,})" for name, n in generated.items())
        yield Finding(Level.OK, f"Events were generated at {numbers}.")
    else:
        yield Finding(Level.OK, "All events are background.")


def check_order(events: EventStatistics) -> Iterator[Finding]:
    """Whether events are in random order."""
    remedy = (
        "Partitions into training and test events are cut by position: call "
        "combine_and_shuffle([file], output)."
    )
    expected = _expected_changes(events)
    if expected > 20.0 and events.n_changes < 0.5 * expected:
        yield Finding(
            Level.PROBLEM,
            f"The file is not shuffled: sampling benchmarks change {events.n_changes:,} times from "
            f"event to event, in random order it would be about {expected:,.0f} times.",
            remedy,
        )
        return
    drifting = [o.name for o in events.observables if o.drift > LARGE_DRIFT]
    if drifting:
        yield Finding(
            Level.PROBLEM,
            f"The file is not shuffled: the means of {', '.join(drifting)} differ from one tenth "
            f"of the file to another more than by chance.",
            remedy,
        )
    else:
        yield Finding(Level.OK, "The events are in random order, as far as it can be seen.")


def _expected_changes(events: EventStatistics) -> float:
    """Changes of the sampling benchmark between neighbours in random order."""
    if events.counted is None:
        return 0.0
    counts = [*events.counted.signal_events.tolist(), events.counted.background_events]
    shares = np.array(counts) / events.n_events
    return float(events.n_events * (1.0 - np.sum(shares**2)))


def _variation(v: VariationStatistics, events: EventStatistics) -> Finding:
    """Weights of a nuisance variation relative to those that it varies."""
    what = f"Nuisance parameter {v.parameter} at nu = {v.nu:+d} ({v.benchmark})"
    if np.isnan(v.minimum):
        return Finding(
            Level.PROBLEM,
            f"{what}: no event has weights at both {v.benchmark} and {v.reference}.",
            "Repeat the reweighting of this variation, or leave the systematic out.",
        )
    text = f"{what}: weights change by the factor {v.median:.4g}"
    if not np.isclose(v.minimum, v.maximum):
        text += f" (median; {v.minimum:.3g} to {v.maximum:.3g})"
    if v.n_undefined:
        text += f"; undefined in {_of(v.n_undefined, events)}, which count as not varied"
    if np.isclose(v.minimum, 1.0) and np.isclose(v.maximum, 1.0):
        return Finding(
            Level.WARNING,
            f"{what}: it varies nothing.",
            "Leave the systematic out, unless its weights at other benchmarks vary.",
        )
    if v.n_undefined or v.maximum > LARGE_RATIO or v.minimum < 1.0 / LARGE_RATIO:
        return Finding(
            Level.WARNING,
            f"{text}.",
            "Look at the events where one of the two weights is zero, tiny or of another sign; "
            "coefficients beyond exp(10) are clipped.",
        )
    return Finding(Level.OK, f"{text}.")


def _of(n: int, events: EventStatistics) -> str:
    """Number and share of events."""
    return f"{n:,} of {events.n_events:,} events"


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
        findings = Table(("", ""), rows, "Findings", max_rows=len(rows))
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
    path = checks.path(filename)
    setup = read_setup(path)
    try:
        file = EventFile(path)
    except FileFormatError as error:
        return EventFileReport(path, setup, None, (Finding(Level.PROBLEM, str(error)),))
    version = f"of format {file.version}" if file.version else "that of MadMiner 0.9"
    layout = f"The layout is {version}, with one column for each observable and benchmark."
    findings = [Finding(Level.OK, layout), *check_morphing(setup)]
    if file.n_events == 0:
        text = "The file has the layout of an event file, but no events."
        findings.append(Finding(Level.PROBLEM, text, "Check the cuts, and read the sample again."))
        return EventFileReport(path, setup, None, tuple(findings))
    statistics = event_statistics(file)
    benchmarks = list(setup.physical_benchmarks)
    findings += [
        *check_observables(statistics),
        *check_weights(statistics),
        *check_cross_sections(statistics),
        *check_origins(statistics.origins, benchmarks, statistics.reference),
        *check_sampling(statistics),
        *check_order(statistics),
        *(_variation(variation, statistics) for variation in statistics.variations),
        *check_closure(setup, statistics),
    ]
    return EventFileReport(path, setup, statistics, tuple(findings))


def percent(share: float) -> str:
    """A share to two digits.

    Examples:
        >>> percent(0.0123), percent(0.998)
        ('1.2 %', '100 %')
    """
    return f"{float(f'{100.0 * share:.2g}'):g} %"
