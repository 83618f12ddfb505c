"""Pythia 8 over blocks of parton-level events: shower, underlying event, hadrons, decays.

One Pythia is kept for each file, and begins each block with random numbers of its own: an event
does not depend on which process showered it, nor on the blocks before.

References:
    Bierlich et al., *A comprehensive guide to the physics and usage of PYTHIA 8.3*,
    arXiv:2203.11601.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import awkward as ak
import numpy as np

from madminer.errors import SimulatorError
from madminer.io.atomic import temporary_folder
from madminer.reading.objects import FlatParticles
from madminer.shower.lhe_blocks import END, LHEBlock
from madminer.shower.packages import shower_package
from madminer.typing import FloatArray, IntArray

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


@dataclass(frozen=True, slots=True)
class Generator:
    """What Pythia needs to know for all events of a file.

    Args:
        head: What stands before the events of the file.
        settings: Lines ``name = value``, checked by `check_settings`.
    """

    head: bytes
    settings: tuple[str, ...] = ()


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
    def events(self) -> IntArray:
        """Number of the event of each entry among these events, shape ``(n,)``."""
        return np.repeat(np.arange(self.n_events), self.counts)

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

    def stable(self) -> FlatParticles:
        """The stable particles, in the order of the record, without their charges."""
        rows = np.flatnonzero(self.status > 0)
        ends = np.searchsorted(rows, np.cumsum(self.counts))
        px, py, pz, energy = self.momenta[:, rows]
        unknown = np.full(len(rows), np.nan)
        return FlatParticles(
            counts=np.diff(ends, prepend=0),
            pdgid=self.pdgid[rows],
            px=px,
            py=py,
            pz=pz,
            energy=energy,
            mass=self.mass[rows],
            charge=unknown,
            spin=unknown,
        )


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
        _open(pythia, folder / "events.lhe", generator.head + block.text + END)
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
        _open(pythia, folder / "events.lhe", generator.head + END)
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
    columns = {name: ak.to_numpy(particles[name]) for name in ("id", "status", "m")}
    mothers = [ak.to_numpy(particles[name]) for name in ("mother1", "mother2")]
    momenta = [ak.to_numpy(particles.p[name]) for name in ("px", "py", "pz", "e")]
    return EventRecords(
        numbers=block.first + in_block,
        dropped=block.first + np.setdiff1d(np.arange(block.n_events), in_block),
        counts=ak.to_numpy(ak.num(batch.prt, axis=1)).astype(np.int64),
        pdgid=columns["id"].astype(np.int64),
        status=columns["status"].astype(np.int64),
        mothers=np.stack(mothers, axis=1).astype(np.int64),
        momenta=np.stack(momenta),
        mass=columns["m"],
        particles=particles,
    )
