"""What MadGraph leaves on disk, which alone says whether it has succeeded: checked, recorded."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import FileFormatError, NoEventsError, SimulatorError
from madminer.io.atomic import atomic_path
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.io.lhe.header import card_entries
from madminer.madgraph.cards import CardValues
from madminer.madgraph.log import cross_sections_in_log, failure, read_log
from madminer.madgraph.plan import Run
from madminer.text import ShownAsTable, Table

logger = logging.getLogger(__name__)

_LO_FILES: Final = ("unweighted_events.lhe.gz", "unweighted_events.lhe")
_NLO_FILES: Final = ("events.lhe.gz", "events.lhe")
_NOMINAL: Final = ""  # stands for the weight in the event line, XWGTUP
_SUFFIXES: Final = ("", "_nlo", "_lo", "_tree")  # aMC@NLO tells kinds of reweighting so
_DIGITS: Final = 1e-5  # relative: headers hold values rounded to 7 digits
_SUM: Final = 1e-3  # relative difference of sums of weights that are printed with 8 digits
_IN_LOG: Final = 1e-2  # the log gives cross sections with 4 digits
_FEWER: Final = "matching drops some, Main:numberOfEvents limits them, or Pythia failed"


@dataclass(frozen=True, slots=True)
class Product:
    """A checked file of events.

    Args:
        run: Name of the run.
        benchmark: Benchmark that it was generated at.
        event_file: The file.
        n_events: Number of events in it.
        cross_section: Cross section at `benchmark` in pb.
        cross_section_error: Its uncertainty in pb.
        cross_sections: Cross section at every benchmark in pb, as the weights sum to it.
        is_background: Whether the process does not depend on the parameters.
        hepmc_file: Showered events, None without shower.
    """

    run: str
    benchmark: str
    event_file: Path
    n_events: int
    cross_section: float
    cross_section_error: float
    cross_sections: Mapping[str, float]
    is_background: bool = False
    hepmc_file: Path | None = None

    def record(self, path: Path, key: str) -> None:
        """Write it down, with a number that says of which run it is."""
        content = {**asdict(self), "key": key, "size": self.event_file.stat().st_size}
        with atomic_path(path) as file:
            file.write_text(json.dumps(content, default=str, indent=1), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RunResults(ShownAsTable):
    """Checked files of events, for ``add_sample`` of a reader.

    Args:
        products: One for each run.
    """

    products: tuple[Product, ...]

    @property
    def event_files(self) -> list[Path]:
        """The files in the order of the runs."""
        return [product.event_file for product in self.products]

    @property
    def table(self) -> Table:
        """One row for each run."""
        rows = [
            (
                product.run,
                "background" if product.is_background else product.benchmark,
                str(product.n_events),
                f"{product.cross_section:.4g} +- {product.cross_section_error:.2g}",
                str(product.event_file),
            )
            for product in self.products
        ]
        columns = ("run", "generated at", "events", "cross section [pb]", "file")
        return Table(columns, rows, "Events of MadGraph", frozenset({2}), max_rows=len(rows) + 1)


def read_record(path: Path, key: str) -> Product | None:
    """A product that was written down; None if there is none, or its file is another one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        file, hepmc = Path(content["event_file"]), content["hepmc_file"]
        if content.pop("key") != key or file.stat().st_size != content.pop("size"):
            return None
        content |= {"event_file": file, "hepmc_file": None if hepmc is None else Path(hepmc)}
        return Product(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def event_file(folder: Path, *, is_nlo: bool = False) -> Path | None:
    """File of events in the folder of a run in ``Events``, None if there is none."""
    names = _NLO_FILES if is_nlo else _LO_FILES
    return next((folder / name for name in names if (folder / name).is_file()), None)


def check_product(run: Run, folder: Path, log: Path) -> Product:
    """Check the events of a run: number, weights at every benchmark, cross sections.

    Args:
        run: The run.
        folder: Its folder in ``Events``.
        log: Its log.

    Raises:
        SimulatorError: If there are no events, a weight is missing, belongs to another point or is
            the one of the sampled point, or cross sections contradict each other.
    """
    path = event_file(folder, is_nlo=run.is_nlo)
    if path is None:
        raise failure(f"MadGraph made no events for {run.name} ({run.benchmark})", log)
    try:
        events = _sum_weights(run, path, log)
    except (FileFormatError, NoEventsError) as error:
        what = str(error).rstrip(".")
        raise failure(f"The events of {run.name} cannot be read: {what}", log) from error
    events.check_number()
    names = events.weight_names()
    events.check_points(names)
    events.check_different(names)
    sections = events.cross_sections(names)
    return Product(
        run=run.name,
        benchmark=run.benchmark,
        event_file=path,
        n_events=events.n_events,
        cross_section=sections[run.benchmark],
        cross_section_error=events.header.cross_section_error,
        cross_sections=sections,
        is_background=run.is_background,
        hepmc_file=_showered(run, folder, events.n_events, log),
    )


@dataclass(frozen=True, slots=True)
class _Events:
    """Events of a run, as far as the checks need them.

    Args:
        run: The run.
        path: The file.
        log: Log of the run.
        header: What stands before the events.
        n_events: Number of events.
        totals: Sums of weights by id; that of the weight in the event line is "".
        as_nominal: Ids of the weights that equal it in every event.
    """

    run: Run
    path: Path
    log: Path
    header: LHEHeader
    n_events: int
    totals: Mapping[str, float]
    as_nominal: frozenset[str]

    def failure(self, what: str, hint: str = "") -> SimulatorError:
        return failure(f"{self.path}{what}", self.log, hint)

    def check_number(self) -> None:
        """Refuse a part of the events that were made; say so if fewer were than asked for."""
        announced, asked = self.header.n_events, self.run.n_events
        if announced not in {None, self.n_events}:
            raise self.failure(f" holds {self.n_events} of the {announced} events of its header")
        if asked is not None and self.n_events < asked:
            logger.warning(
                "%s holds %d events, but %d were asked for: MadGraph did not find more. Their "
                "weights are right.",
                self.path,
                self.n_events,
                asked,
            )

    def weight_names(self) -> dict[str, str]:
        """By benchmark the id of its weight."""
        names = {self.run.benchmark: _NOMINAL}
        for name in self.run.points:
            if name != self.run.benchmark:
                ids = (name + suffix for suffix in _SUFFIXES)
                names[name] = next((i for i in ids if i in self.totals), name)
        missing = [name for name, weight in names.items() if weight not in self.totals]
        if missing:
            found = sorted(set(self.totals) - {_NOMINAL}) or "none"
            what = f" lacks weights for the benchmarks {missing}; it has {found}"
            raise self.failure(what, "The reweighting failed.")
        wrong = [name for name, weight in names.items() if not math.isfinite(self.totals[weight])]
        if wrong:
            raise self.failure(f" has weights that are not finite, for the benchmarks {wrong}")
        described = set(self.header.parameter_points)
        if self.run.has_variations and not set(self.header.weight_ids) - described:
            raise self.failure(" has no scale or PDF variations, but they were asked for")
        return names

    def check_points(self, names: Mapping[str, str]) -> None:
        """Compare the parameter values that the header states with those of the benchmarks."""
        sampled = self.run.points[self.run.benchmark]
        if not self.run.is_background:
            found = _numbers(card_entries(self.header.slha))
            self._check_values(self.run.benchmark, sampled, found)
        for name, weight in names.items():
            if name != self.run.benchmark:
                described = self.header.parameter_points.get(weight)
                changed = _numbers(described.card_values) if described is not None else {}
                self._check_values(name, self.run.points[name], {**sampled, **changed})

    def _check_values(self, benchmark: str, expected: CardValues, found: CardValues) -> None:
        for (block, number), value in expected.items():
            got = found.get((block, number))
            if got is None or not math.isclose(value, got, rel_tol=_DIGITS, abs_tol=1e-12):
                raise self.failure(
                    f": for the benchmark {benchmark!r} {block} {number} must be {value:g}, but "
                    f"in MadGraph it {'is missing' if got is None else f'is {got:g}'}",
                    "The card was ignored, or another one was used.",
                )

    def check_different(self, names: Mapping[str, str]) -> None:
        """Refuse weights that do not depend on the parameters at all."""
        points, sampled = self.run.points, self.run.benchmark
        others = [name for name in names if points[name] != points[sampled]]
        if others and all(names[name] in self.as_nominal for name in others):
            raise self.failure(
                f": the weights at all benchmarks equal those at {sampled!r}, so that the process "
                f"does not depend on the parameters",
                "Check the coupling orders of the process, such as NP=2; a background is run with "
                "is_background=True.",
            )

    def cross_sections(self, names: Mapping[str, str]) -> dict[str, float]:
        """By benchmark the sum of weights, which agrees with what the file and the log state."""
        is_average = self.header.weights_average_to_cross_section
        factor = 1.0 / self.n_events if is_average else 1.0
        sections = {name: factor * self.totals[weight] for name, weight in names.items()}
        nominal = sections[self.run.benchmark]
        if nominal == 0.0:
            raise self.failure(" has a cross section of zero")
        in_log, reweighted = cross_sections_in_log(read_log(self.log))
        stated = [(self.run.benchmark, self.header.cross_section, _SUM, "its header")]
        if in_log is not None:
            stated.append((self.run.benchmark, in_log, _IN_LOG, "the log"))
        stated += [(n, reweighted[n], _SUM, "the log") for n in sections if n in reweighted]
        for name, value, allowed, where in stated:
            got = sections[name]
            if not math.isclose(got, value, rel_tol=allowed, abs_tol=allowed * abs(nominal)):
                raise self.failure(
                    f": the weights at {name!r} give {got:g} pb, {where} says {value:g} pb"
                )
        return sections


def _sum_weights(run: Run, path: Path, log: Path) -> _Events:
    file = LHEFile(path)
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
    return _Events(run, path, log, file.header, n_events, totals, frozenset(as_nominal or ()))


def _showered(run: Run, folder: Path, n_events: int, log: Path) -> Path | None:
    """Showered events, if any; refused if they are missing, or end where Pythia did."""
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
        with suppress(ValueError):
            numbers[entry] = float(text.lower().replace("d", "e"))
    return numbers
