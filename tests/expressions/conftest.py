"""Events as plain Python objects, with textbook formulae: the slow twin of the columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import awkward as ak
import numpy as np
import pytest

from madminer.expressions import EventNamespace, ParticleArray, Vocabulary, make_particles

N_EVENTS = 60


@dataclass(frozen=True)
class SlowParticle:
    px: float
    py: float
    pz: float
    e: float
    charge: float = 0.0
    pdgid: int = 0
    spin: float = 0.0
    b_tag: bool = False
    tau_tag: bool = False
    t_tag: bool = False

    @property
    def pt(self) -> float:
        return math.sqrt(self.px * self.px + self.py * self.py)

    @property
    def phi(self) -> float:
        return math.atan2(self.py, self.px)

    @property
    def eta(self) -> float:
        theta = math.acos(self.pz / math.sqrt(self.pt**2 + self.pz**2))
        return -math.log(math.tan(theta / 2.0))

    @property
    def rapidity(self) -> float:
        return math.atanh(self.pz / self.e)

    @property
    def m(self) -> float:
        squared = self.e * self.e - self.px * self.px - self.py * self.py - self.pz * self.pz
        return math.sqrt(squared) if squared >= 0 else -math.sqrt(-squared)

    def deltaphi(self, other: SlowParticle) -> float:
        difference = self.phi - other.phi
        while difference > math.pi:
            difference -= 2.0 * math.pi
        while difference <= -math.pi:
            difference += 2.0 * math.pi
        return difference

    def deltaeta(self, other: SlowParticle) -> float:
        return self.eta - other.eta

    def deltaR(self, other: SlowParticle) -> float:  # noqa: N802
        return math.hypot(self.deltaeta(other), self.deltaphi(other))

    def boost(self, bx: float, by: float, bz: float) -> SlowParticle:
        """Split the momentum along and across the velocity."""
        beta = math.sqrt(bx * bx + by * by + bz * bz)
        gamma = 1.0 / math.sqrt(1.0 - beta * beta)
        along = (self.px * bx + self.py * by + self.pz * bz) / beta
        change = gamma * (along + beta * self.e) - along
        return SlowParticle(
            self.px + change * bx / beta,
            self.py + change * by / beta,
            self.pz + change * bz / beta,
            gamma * (self.e + beta * along),
        )

    def _with(self, other: SlowParticle, sign: int) -> SlowParticle:
        return SlowParticle(
            self.px + sign * other.px,
            self.py + sign * other.py,
            self.pz + sign * other.pz,
            self.e + sign * other.e,
            self.charge + sign * other.charge,
            b_tag=self.b_tag or other.b_tag,
            tau_tag=self.tau_tag or other.tau_tag,
            t_tag=self.t_tag or other.t_tag,
        )

    def __add__(self, other: SlowParticle) -> SlowParticle:
        return self._with(other, 1)

    def __sub__(self, other: SlowParticle) -> SlowParticle:
        return self._with(other, -1)


@dataclass(frozen=True)
class SlowEvent:
    j: list[SlowParticle]
    e: list[SlowParticle]
    a: list[SlowParticle]
    met: SlowParticle
    x: float
    y: float = field(default=0.0)


def _random_particle(rng: np.random.Generator) -> SlowParticle:
    px, py, pz = (float(p) for p in rng.normal(0.0, 50.0, 3))
    energy = math.sqrt(px * px + py * py + pz * pz + float(rng.uniform(1.0, 20.0)) ** 2)
    tags = [bool(tag) for tag in rng.integers(0, 2, 3)]
    charge, code, spin = float(rng.integers(-1, 2)), int(rng.integers(-6, 7)), 1.0
    return SlowParticle(px, py, pz, energy, charge, code, spin, *tags)


def _random_list(rng: np.random.Generator) -> list[SlowParticle]:
    particles = [_random_particle(rng) for _ in range(rng.integers(0, 4))]
    return sorted(particles, key=lambda particle: -particle.pt)


def records(lists: Sequence[Sequence[SlowParticle]]) -> ParticleArray:
    """Columns of plain particles, a list per event."""
    flat = [particle for particles in lists for particle in particles]
    counts = np.array([len(particles) for particles in lists], dtype=np.int64)
    names = ("px", "py", "pz", "e", "charge", "pdgid", "spin", "b_tag", "tau_tag", "t_tag")
    columns = [[getattr(particle, name) for particle in flat] for name in names]
    return make_particles(counts, *columns)


@pytest.fixture(scope="session")
def slow_events() -> list[SlowEvent]:
    rng = np.random.default_rng(20)
    return [
        SlowEvent(
            _random_list(rng),
            _random_list(rng),
            _random_list(rng),
            _random_particle(rng),
            float(rng.integers(-3, 4)),
            float(rng.normal(0.0, 2.0)),
        )
        for _ in range(N_EVENTS)
    ]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary(frozenset({"x", "y"}), frozenset({"met"}), frozenset({"j", "e", "a"}))


@pytest.fixture(scope="session")
def to_namespace() -> Callable[[list[SlowEvent]], EventNamespace]:
    def convert(events: list[SlowEvent]) -> EventNamespace:
        met = records([[event.met] for event in events])
        return EventNamespace(
            len(events),
            {
                "j": records([event.j for event in events]),
                "e": records([event.e for event in events]),
                "a": records([event.a for event in events]),
                "met": ak.flatten(met, axis=1),
                "x": np.array([event.x for event in events]),
                "y": np.array([event.y for event in events]),
            },
        )

    return convert


@pytest.fixture(scope="session")
def namespace(
    slow_events: list[SlowEvent], to_namespace: Callable[[list[SlowEvent]], EventNamespace]
) -> EventNamespace:
    return to_namespace(slow_events)
