"""Pythia 8 over blocks of parton-level events: shower, underlying event, hadrons, decays.

A Les Houches event file is cut into blocks, each a file that Pythia reads. Pythia gets the number
of each event in the place of its weight, and gives it back with the shower: which events it dropped
is then known for certain. The weights themselves do not influence the shower; they stay here.

One Pythia is kept for each file, and begins each block with random numbers of its own: an event
does not depend on which process showered it, nor on the blocks before.

The optional packages of the shower (pythia8mc, fastjet, pyhepmc) are imported here, when they are
first needed.

References:
    Bierlich et al., *A comprehensive guide to the physics and usage of PYTHIA 8.3*,
    arXiv:2203.11601.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import awkward as ak
import numpy as np

from madminer.errors import DataError, FileFormatError, MissingDependencyError, SimulatorError
from madminer.io.atomic import temporary_folder
from madminer.io.lhe import LHEFile
from madminer.reading.objects import FlatParticles
from madminer.typing import FloatArray, IntArray

BLOCK: Final = 250
"""Events of a block, which has random numbers of its own: other sizes give other events."""

_PACKAGES: Final = {
    "pythia8mc": "Showers are made",
    "fastjet": "Jets are clustered",
    "pyhepmc": "HepMC files are written",
}
_SEEDS: Final = 900_000_000  # Pythia takes whole numbers up to here
_SETTINGS: Final = (
    "Beams:frameType = 4",
    "Print:quiet = on",
    "SLHA:verbose = 0",
    "Random:setSeed = on",
    "Random:seed = 1",  # of the integrals that Pythia begins with; blocks have their own
)
_KEPT: Final = 2  # generators in memory, about 50 MB each
_MILLIMETRES: Final = ("px", "py", "pz", "e")  # as vectors in Pythia name their components

_END: Final = b"</LesHouchesEvents>\n"
_END_OF_EVENT: Final = b"</event>"
_GROUP: Final = re.compile(rb"<eventgroup[\s>]")
_WEIGHTS: Final = re.compile(rb"<(rwgt|weights|mgrwt)\b.*?</\1>\s*", re.DOTALL)
_DESCRIPTION: Final = re.compile(rb"<(initrwgt)\b.*?</\1>\s*", re.DOTALL)
_XWGTUP: Final = re.compile(rb"(<event(?:\s[^>]*)?>\s*\S+\s+\S+\s+)(\S+)")
_IDWTUP: Final = re.compile(rb"(<init(?:\s[^>]*)?>\s*(?:[^\s<]+\s+){8})([^\s<]+)")
_SHOWN: Final = 100  # bytes in a message
_AVERAGE: Final = rb"\g<1>-4"  # weights of any size and sign, none of which is used to drop events


def shower_package(name: str) -> Any:
    """Import pythia8mc, fastjet or pyhepmc, when it is first needed.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{_PACKAGES[name]} with the package {name}, which is not installed; "
            f'run: pip install "madminer[shower]"'
        ) from error


@dataclass(frozen=True, slots=True)
class Generator:
    """What Pythia needs to know for all events of a file.

    Args:
        head: What stands before the events, see `prepared_head`.
        settings: Lines ``name = value``, checked by `check_settings`.
    """

    head: bytes
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LHEBlock:
    """Some events as Pythia reads them, with numbers for weights.

    Args:
        number: Number of the block.
        first: Number of its first event in the file, counted from 0.
        n_events: Number of events.
        text: Their text; the weight of each event is its number in the block, counted from 1.
    """

    number: int
    first: int
    n_events: int
    text: bytes


def prepared_head(file: LHEFile) -> bytes:
    """What stands before the events of a file, for events with numbers in the place of weights.

    Raises:
        FileFormatError: If there is no line of beams and weights.
    """
    head, n_found = _IDWTUP.subn(_AVERAGE, _DESCRIPTION.sub(b"", file.head()), count=1)
    if not n_found:
        raise FileFormatError(
            f"{file.path}: the <init> block lacks its line of ten numbers, beams and weights. "
            f"Generate the file again."
        )
    return head


def lhe_blocks(file: LHEFile, size: int = BLOCK) -> Iterator[LHEBlock]:
    """Cut a file into blocks of `size` events; the last may have fewer.

    Raises:
        FileFormatError: If the file is truncated.
        DataError: If its events are grouped, as terms of a fixed-order calculation are.
    """
    events = _events(file)
    for number in count():
        texts = list(islice(events, size))
        if not texts:
            return
        numbered = (_numbered(text, position) for position, text in enumerate(texts, 1))
        yield LHEBlock(number, number * size, len(texts), b"\n".join(numbered) + b"\n")


def _events(file: LHEFile) -> Iterator[bytes]:
    for piece in file.event_texts():
        if _GROUP.search(piece):
            raise DataError(
                f"{file.path} has groups of events, terms of a fixed-order calculation that only "
                f"make sense together: they cannot be showered. Generate events for a shower."
            )
        yield from piece.split(_END_OF_EVENT)[:-1]


def _numbered(event: bytes, number: int) -> bytes:
    """An event with its number in the place of its weight, and without further weights."""
    found = _XWGTUP.search(event)
    if found is None:
        raise FileFormatError(f"An event has no line of six numbers: {event[:_SHOWN]!r}.")
    rest = event[found.end() :]
    if b"<" in rest:
        rest = _WEIGHTS.sub(b"", rest)
    return b"%s%d.%s%s" % (event[found.start() : found.end(1)], number, rest, _END_OF_EVENT)


@dataclass(frozen=True, slots=True, eq=False)
class EventRecords:
    """Events after the shower, with everything that happened on the way.

    Args:
        numbers: Number of each event in the Les Houches event file, from 0, shape
            ``(n_events,)``.
        dropped: Numbers of the events for which Pythia failed.
        counts: Number of entries of each event, shape ``(n_events,)``, summing to ``n``.
        pdgid: Particle codes; the first entry of each event, 90, is the whole system; ``(n,)``.
        status: Status codes of Pythia, positive for stable particles, shape ``(n,)``.
        mothers: Positions in the event of the first and last mother, 0 for none, ``(n, 2)``.
        momenta: px, py, pz, E in GeV, shape ``(4, n)``.
        mass: In GeV, shape ``(n,)``.
        particles: Records of Pythia, for what is needed of them more rarely.
    """

    numbers: IntArray
    dropped: IntArray
    counts: IntArray
    pdgid: IntArray
    status: IntArray
    mothers: IntArray
    momenta: FloatArray
    mass: FloatArray
    particles: Any = field(repr=False)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.counts)

    @property
    def first_mothers(self) -> IntArray:
        """Position among all entries of the first mother of each, shape ``(n,)``."""
        mothers: IntArray = np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        return mothers + self.mothers[:, 0]

    @property
    def vertices(self) -> FloatArray:
        """Where particles come from: x, y, z, ct in mm, shape ``(4, n)``."""
        places = self.particles.vProd
        return np.stack([ak.to_numpy(ak.fill_none(places[k], 0.0)) for k in _MILLIMETRES])

    def select(self, rows: IntArray, momenta: FloatArray | None = None) -> FlatParticles:
        """Entries in rising order as particles, with other momenta of all entries if given."""
        ends = np.searchsorted(rows, np.cumsum(self.counts))
        chosen = (self.momenta if momenta is None else momenta)[:, rows]
        counts = np.diff(ends, prepend=0)
        return FlatParticles.of_momenta(counts, self.pdgid[rows], chosen, self.mass[rows])

    def stable(self) -> FlatParticles:
        """The stable particles, in the order of the record, without their charges."""
        return self.select(np.flatnonzero(self.status > 0))


def shower_block(generator: Generator, block: LHEBlock, seed: int) -> EventRecords:
    """Shower and hadronise some events.

    Args:
        generator: What all events of the file share.
        block: The events.
        seed: Seed of this block, a whole number from 0.

    Returns:
        The events that Pythia made, and which it dropped.

    Raises:
        SimulatorError: If Pythia cannot begin, or fails for all events.
        MissingDependencyError: If it is not installed.
    """
    pythia = _initialised(generator, threading.get_ident())
    with temporary_folder("madminer-shower") as folder:
        _open(pythia, folder / "events.lhe", generator.head + block.text + _END)
        pythia.rndm.init(1 + seed % (_SEEDS - 1))
        batch = pythia.nextBatch(block.n_events, "skip")  # without those that fail
    if not len(batch):
        raise SimulatorError(
            f"Pythia fails for all of the events {block.first} to "
            f"{block.first + block.n_events - 1}; it says why where programs print errors. Check "
            f"the settings, and that the particles of the file are known to Pythia."
        )
    records = _records(batch, block)
    if not np.all(records.counts):
        raise SimulatorError(
            "Pythia gives events without particles, as PartonLevel:all = off makes it do: leave "
            "this setting out."
        )
    return records


@lru_cache(maxsize=_KEPT)
def _initialised(generator: Generator, thread: int) -> Any:  # noqa: ARG001 (one for each thread)
    pythia = shower_package("pythia8mc").Pythia("", False)
    for line in (*generator.settings, *_SETTINGS):
        pythia.readString(line)
    with temporary_folder("madminer-shower") as folder:
        _open(pythia, folder / "events.lhe", generator.head + _END)
    pythia.readString("Beams:newLHEFsameInit = on")  # from now on only events are new
    return pythia


def _open(pythia: Any, file: Path, text: bytes) -> None:
    file.write_bytes(text)
    pythia.readString(f"Beams:LHEF = {file}")
    if not pythia.init():
        raise SimulatorError(
            "Pythia cannot begin; it says why where programs print errors. Check the settings, and "
            "the beams and energies in the <init> block of the Les Houches event file."
        )


def _records(batch: Any, block: LHEBlock) -> EventRecords:
    in_block = ak.to_numpy(batch.info.weights[:, 0]).round().astype(np.int64) - 1
    particles = ak.flatten(batch.prt, axis=1)
    mothers = [ak.to_numpy(particles[name]) for name in ("mother1", "mother2")]
    momenta = [ak.to_numpy(particles.p[name]) for name in ("px", "py", "pz", "e")]
    return EventRecords(
        numbers=block.first + in_block,
        dropped=block.first + np.setdiff1d(np.arange(block.n_events), in_block),
        counts=ak.to_numpy(ak.num(batch.prt, axis=1)).astype(np.int64),
        pdgid=ak.to_numpy(particles["id"]).astype(np.int64),
        status=ak.to_numpy(particles["status"]).astype(np.int64),
        mothers=np.stack(mothers, axis=1).astype(np.int64),
        momenta=np.stack(momenta),
        mass=ak.to_numpy(particles["m"]),
        particles=particles,
    )
