"""HepMC 3 files of showered events, with the weights and numbers of the events before the shower.

Particles stand in topological order, each behind all of its mothers, as strict readers need it.

References:
    Buckley et al., *The HepMC3 event record library for Monte Carlo event generators*,
    arXiv:1912.08005.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from madminer.io.atomic import atomic_path, temporary_folder
from madminer.shower.pythia import EventRecords, shower_package
from madminer.typing import FloatArray, IntArray

_END: Final = b"HepMC::Asciiv3-END_EVENT_LISTING\n"
_FIRST_EVENT: Final = b"\nE "
_NOMINAL: Final = "Weight"
_GZIP_LEVEL: Final = 1

# status codes of Pythia of particles that come from a range of mothers, not from a pair of them
_OF_MANY: Final = (*range(81, 90), *range(101, 107))
_BEAM: Final = 12
_DECAYED: Final = (2, 4)  # status of HepMC: decayed, beam


@dataclass(frozen=True, slots=True, eq=False)
class HepMCEvents:
    """What a HepMC file says of events beside their particles.

    Args:
        names: Names of the weights behind the nominal one.
        weights: Weights of some events, the nominal ones first, shape ``(n_events, n_weights)``.
        cross_section: Cross section in pb.
        error: Its uncertainty in pb.
    """

    names: Sequence[str]
    weights: FloatArray
    cross_section: float
    error: float


def hepmc_text(records: EventRecords, events: HepMCEvents) -> bytes:
    """Text of a whole HepMC file of some events.

    Raises:
        MissingDependencyError: If pyhepmc is not installed.
    """
    pyhepmc = shower_package("pyhepmc")
    run = pyhepmc.GenRunInfo()
    run.weight_names = [_NOMINAL, *events.names]
    with temporary_folder("madminer-hepmc") as folder:
        file = folder / "events.hepmc"
        with pyhepmc.open(file, "w") as output:
            for event in _events(pyhepmc, records, events, run):
                output.write(event)
        return file.read_bytes()


def _events(pyhepmc: Any, records: EventRecords, events: HepMCEvents, run: Any) -> Iterator[Any]:
    """Events of HepMC, which are made particle by particle."""
    status = _status(records)
    rows = np.column_stack([records.momenta.T, records.vertices.T])
    ends = np.cumsum(records.counts)
    for position, (end, size) in enumerate(zip(ends, records.counts, strict=True)):
        part = slice(int(end - size) + 1, int(end))  # without the first entry, the whole system
        event = pyhepmc.GenEvent(run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
        event.event_number = int(records.numbers[position])
        columns = (records.pdgid[part], status[part], records.mass[part])
        particles = _particles(pyhepmc, rows[part], *columns)
        for vertex in _vertices(pyhepmc, particles, records, part, rows[part]):
            event.add_vertex(vertex)
        event.weights = events.weights[position].tolist()
        cross_section = pyhepmc.GenCrossSection()
        cross_section.set_cross_section(events.cross_section, events.error)
        event.cross_section = cross_section
        yield event


def _status(records: EventRecords) -> IntArray:
    """Status codes of HepMC: 1 stable, 2 decayed, 4 beam, others as in Pythia without sign."""
    code = np.abs(records.status)
    is_decayed = (records.status < 0) & (np.abs(records.pdgid) > 100) & (code > 80)
    code = np.where(is_decayed, _DECAYED[0], code)
    code = np.where(records.status > 0, 1, code)
    return np.where(np.abs(records.status) == _BEAM, _DECAYED[1], code)


def _particles(
    pyhepmc: Any, rows: FloatArray, pdgid: IntArray, status: IntArray, mass: FloatArray
) -> list[Any]:
    particles = []
    columns = (rows[:, :4].tolist(), pdgid.tolist(), status.tolist(), mass.tolist())
    for momentum, code, state, m in zip(*columns, strict=True):
        particle = pyhepmc.GenParticle(momentum, code, state)
        particle.generated_mass = m
        particles.append(particle)
    return particles


def _vertices(
    pyhepmc: Any, particles: list[Any], records: EventRecords, part: slice, rows: FloatArray
) -> list[Any]:
    """Vertices that join mothers and daughters, each behind those that its mothers come from."""
    mothers = _all_mothers(records.status[part], records.mothers[part])
    places = rows[:, 4:].tolist()
    vertices: dict[tuple[int, ...], Any] = {}  # by the mothers, none of which has two
    for position in TopologicalSorter(mothers).static_order():
        if not mothers[position]:
            continue
        origin = tuple(mothers[position])
        if origin not in vertices:
            vertices[origin] = pyhepmc.GenVertex(places[position - 1])
            for mother in origin:
                vertices[origin].add_particle_in(particles[mother - 1])
        vertices[origin].add_particle_out(particles[position - 1])
    return list(vertices.values())


def _all_mothers(status: IntArray, mothers: IntArray) -> dict[int, list[int]]:
    """Mothers of each particle of an event, by positions in the record, where 0 is the system."""
    first, last = mothers.T
    is_range = np.isin(np.abs(status), _OF_MANY) & (first < last)
    columns = (first.tolist(), last.tolist(), is_range.tolist())
    lists = (
        list(range(one, two + 1)) if is_range else sorted({one, two} - {0})
        for one, two, is_range in zip(*columns, strict=True)
    )
    return dict(enumerate(lists, 1))


@contextmanager
def hepmc_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write a file, which appears when it is complete; compressed if its name ends with ".gz".

    Yields:
        What adds events to it, each time a whole text as `hepmc_text` makes it.

    Raises:
        OutputError: If nothing can be written there.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as raw, ExitStack() as stack:
        stream: IO[bytes] | gzip.GzipFile = raw
        if path.name.endswith(".gz"):
            # no name and no time inside: equal events give equal bytes
            packed = gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0)
            stream = stack.enter_context(packed)

        def append(text: bytes) -> None:
            begin = text.index(_FIRST_EVENT) + 1 if stream.tell() else 0
            stream.write(text[begin : text.rindex(_END)])

        yield append
        stream.write(_END)
