"""What MadGraph leaves on disk, which alone says whether it has succeeded."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import FileFormatError, NoEventsError, SimulatorError
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.madgraph.cards import CardValues, card_entries
from madminer.madgraph.log import cause_of_failure, cross_sections_in_log, log_tail, read_log
from madminer.madgraph.plan import Run
from madminer.madgraph.results import Product

logger = logging.getLogger(__name__)

_LO_FILES: Final = ("unweighted_events.lhe.gz", "unweighted_events.lhe")
_NLO_FILES: Final = ("events.lhe.gz", "events.lhe")
_SUFFIXES: Final = ("", "_nlo", "_lo", "_tree")  # aMC@NLO tells kinds of reweighting so
_DIGITS: Final = 1e-5  # relative: headers hold values rounded to 7 digits
_SUM: Final = 1e-3  # relative difference of sums of weights that are printed with 8 digits
_IN_LOG: Final = 1e-2  # the log gives cross sections with 4 digits
_FEWER: Final = "matching drops some, Main:numberOfEvents limits them, or Pythia failed"


def event_file(folder: Path, *, is_nlo: bool = False) -> Path | None:
    """File of events in the folder of a run, None if there is none.

    Args:
        folder: The folder in ``Events``.
        is_nlo: Whether aMC@NLO made it.
    """
    names = _NLO_FILES if is_nlo else _LO_FILES
    return next((folder / name for name in names if (folder / name).is_file()), None)


def failure(what: str, log: Path, hint: str = "") -> SimulatorError:
    """The error of a run, with its cause and the end of its log.

    Args:
        what: What is wrong.
        log: Log of the run.
        hint: What to do if the log says nothing.
    """
    cause = cause_of_failure(read_log(log)) or hint
    tail = log_tail(log)
    shown = f" The end of the log {log}:\n{tail}" if tail else f" There is no log {log}."
    return SimulatorError(f"{what}. {cause}{shown}" if cause else f"{what}.{shown}")


def check_product(run: Run, folder: Path, log: Path) -> Product:
    """Check the events of a run: number, weights at every benchmark, cross sections.

    Args:
        run: The run.
        folder: Its folder in ``Events``.
        log: Its log.

    Returns:
        What was made.

    Raises:
        SimulatorError: If there are no events, a weight is missing, belongs to another point or is
            the one of the sampled point, or cross sections contradict each other.
    """
    path = event_file(folder, is_nlo=run.is_nlo)
    if path is None:
        raise failure(f"MadGraph made no events for {run.name} ({run.benchmark})", log)
    try:
        file = LHEFile(path)
        sums = _sum_weights(file)
    except (FileFormatError, NoEventsError) as error:
        what = str(error).rstrip(".")
        raise failure(f"The events of {run.name} cannot be read: {what}", log) from error
    _check_number(run, file.header, sums.n_events, log, path)
    names = _weight_names(run, file.header, sums, log, path)
    _check_points(run, file.header, names, log, path)
    factor = 1.0 / sums.n_events if file.header.weights_average_to_cross_section else 1.0
    sections = {name: factor * sums.totals[weight] for name, weight in names.items()}
    _check_different(run, sums, names, log, path)
    _check_cross_sections(run, file.header, sections, log, path)
    hepmc = _check_showered(run, folder, sums.n_events, log)
    return Product(
        run=run.name,
        benchmark=run.benchmark,
        event_file=path,
        n_events=sums.n_events,
        cross_section=sections[run.benchmark],
        cross_section_error=file.header.cross_section_error,
        cross_sections=sections,
        is_background=run.is_background,
        hepmc_file=hepmc,
    )


_NOMINAL: Final = ""
"""Stands for the weight in the event line, XWGTUP."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Number of events, sums of weights by id, and the ids of those that equal the nominal one."""

    n_events: int
    totals: Mapping[str, float]
    as_nominal: frozenset[str]


def _sum_weights(file: LHEFile) -> _Sums:
    n_events, totals = 0, dict[str, float]()
    as_nominal: set[str] | None = None
    for events in file.events():
        n_events += events.n_events
        columns = {_NOMINAL: events.xwgtup, **events.weights}
        for name, column in columns.items():
            totals[name] = totals.get(name, 0.0) + float(np.sum(column))
        same = {
            name
            for name, column in events.weights.items()
            if np.allclose(column, events.xwgtup, rtol=1e-6, atol=0.0)
        }
        as_nominal = same if as_nominal is None else as_nominal & same
    if not n_events:
        raise NoEventsError("it holds no events")
    return _Sums(n_events, totals, frozenset(as_nominal or ()))


def _check_number(run: Run, header: LHEHeader, n_events: int, log: Path, path: Path) -> None:
    """Refuse a part of the events that were made; say so if fewer were made than asked for."""
    if header.n_events not in {None, n_events}:
        raise failure(f"{path} holds {n_events} of the {header.n_events} events of its header", log)
    if run.n_events is not None and n_events < run.n_events:
        logger.warning(
            "%s holds %d events, but %d were asked for: MadGraph did not find more. Their weights "
            "are right.",
            path,
            n_events,
            run.n_events,
        )


def _weight_names(
    run: Run, header: LHEHeader, sums: _Sums, log: Path, path: Path
) -> dict[str, str]:
    """By benchmark the id of its weight."""
    names = {run.benchmark: _NOMINAL}
    for name in run.points:
        if name != run.benchmark:
            ids = (name + suffix for suffix in _SUFFIXES)
            names[name] = next((i for i in ids if i in sums.totals), name)
    missing = [name for name, weight in names.items() if weight not in sums.totals]
    if missing:
        found = sorted(set(sums.totals) - {_NOMINAL}) or "none"
        raise failure(
            f"{path} lacks weights for the benchmarks {missing}; it has {found}",
            log,
            "The reweighting failed.",
        )
    wrong = [name for name, weight in names.items() if not math.isfinite(sums.totals[weight])]
    if wrong:
        raise failure(f"{path} has weights that are not finite, for the benchmarks {wrong}", log)
    described = set(header.parameter_points)
    if run.has_variations and not set(header.weight_ids) - described:
        raise failure(f"{path} has no scale or PDF variations, but they were asked for", log)
    return names


def _check_points(
    run: Run, header: LHEHeader, names: Mapping[str, str], log: Path, path: Path
) -> None:
    """Compare the parameter values that the header states with those of the benchmarks."""
    original = _numbers(card_entries(header.slha))
    sampled = run.points[run.benchmark]
    if not run.is_background:
        _check_values(run.benchmark, sampled, original, log, path)
    for name, weight in names.items():
        if name != run.benchmark:
            described = header.parameter_points.get(weight)
            changed = _numbers(described.card_values) if described is not None else {}
            _check_values(name, run.points[name], {**sampled, **changed}, log, path)


def _check_values(
    benchmark: str, expected: CardValues, found: CardValues, log: Path, path: Path
) -> None:
    for entry, value in expected.items():
        got = found.get(entry)
        if got is None or not math.isclose(value, got, rel_tol=_DIGITS, abs_tol=1e-12):
            block, number = entry
            is_at = "is missing" if got is None else f"is {got:g}"
            raise failure(
                f"{path}: for the benchmark {benchmark!r} {block} {number} must be {value:g}, but "
                f"in MadGraph it {is_at}",
                log,
                "The card was ignored, or another one was used.",
            )


def _check_different(
    run: Run, sums: _Sums, names: Mapping[str, str], log: Path, path: Path
) -> None:
    """Refuse weights that do not depend on the parameters at all."""
    sampled = run.points[run.benchmark]
    others = [name for name in names if run.points[name] != sampled]
    if others and all(names[name] in sums.as_nominal for name in others):
        raise failure(
            f"{path}: the weights at all benchmarks equal those at {run.benchmark!r}, so that the "
            f"process does not depend on the parameters",
            log,
            "Check the coupling orders of the process, such as NP=2; a background is run with "
            "is_background=True.",
        )


def _check_cross_sections(
    run: Run, header: LHEHeader, sections: Mapping[str, float], log: Path, path: Path
) -> None:
    """Compare sums of weights with what MadGraph states in the file and in the log."""
    nominal = sections[run.benchmark]
    in_log, reweighted = cross_sections_in_log(read_log(log))
    stated = [(run.benchmark, header.cross_section, _SUM, "its header")]
    if in_log is not None:
        stated.append((run.benchmark, in_log, _IN_LOG, "the log"))
    stated += [(name, reweighted[name], _SUM, "the log") for name in sections if name in reweighted]
    if nominal == 0.0:
        raise failure(f"{path} has a cross section of zero", log)
    for name, value, allowed, where in stated:
        got = sections[name]
        if not math.isclose(got, value, rel_tol=allowed, abs_tol=allowed * abs(nominal)):
            raise failure(
                f"{path}: the weights at {name!r} give {got:g} pb, {where} says {value:g} pb", log
            )


def _check_showered(run: Run, folder: Path, n_events: int, log: Path) -> Path | None:
    """Refuse showered events that are missing, or end where Pythia did."""
    path = next(iter(sorted(folder.glob("*.hepmc*"))), None)
    if "pythia8_card" not in run.cards:
        return path
    if path is None or not path.stat().st_size:
        raise failure(f"Pythia made no showered events for {run.name} ({run.benchmark})", log)
    try:
        n_showered = len(read_hepmc_weights(path).numbers)
    except (FileFormatError, NoEventsError) as error:
        what = str(error).rstrip(".")
        raise failure(f"The showered events of {run.name} cannot be read: {what}", log) from error
    if n_showered < n_events:
        logger.warning("%s holds %d of %d events: %s.", path, n_showered, n_events, _FEWER)
    return path


def _numbers(entries: Mapping[tuple[str, int], str]) -> dict[tuple[str, int], float]:
    """Values that are numbers; others, such as Auto, are left out."""
    numbers = {}
    for entry, text in entries.items():
        try:
            numbers[entry] = float(text.lower().replace("d", "e"))
        except ValueError:
            continue
    return numbers
