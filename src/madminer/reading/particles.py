"""Particles of many events in flat columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
from particle import pdgid as pdg

from madminer.errors import ShapeError
from madminer.expressions.particles import ParticleArray, make_particles
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["FlatParticles", "charges_of", "is_one_of"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FlatParticles:
    """Particles of many events, one event after the other.

    Args:
        counts: Number of particles in each event, shape ``(n_events,)``, summing to ``n``.
        pdgid: Particle codes, shape ``(n,)``.
        px: Momentum in x direction in GeV, shape ``(n,)``.
        py: Momentum in y direction in GeV, shape ``(n,)``.
        pz: Momentum along the beam in GeV, shape ``(n,)``.
        energy: Energy in GeV, shape ``(n,)``.
        mass: Mass in GeV, shape ``(n,)``.
        charge: Electric charge in units of e, not-a-number where unknown, shape ``(n,)``.
        spin: Helicity, not-a-number for unknown, shape ``(n,)``.

    Raises:
        ShapeError: If the lengths do not fit together.
    """

    counts: IntArray
    pdgid: IntArray
    px: FloatArray
    py: FloatArray
    pz: FloatArray
    energy: FloatArray
    mass: FloatArray
    charge: FloatArray
    spin: FloatArray

    def __post_init__(self) -> None:
        expected = (int(self.counts.sum()),)
        for name in (f.name for f in fields(self) if f.name != "counts"):
            shape = getattr(self, name).shape
            if shape != expected:
                raise ShapeError(f"Column {name} needs shape {expected}, got {shape}.")

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.counts)

    @property
    def events(self) -> IntArray:
        """Number of the event that each particle belongs to, shape ``(n,)``."""
        return np.repeat(np.arange(self.n_events), self.counts)

    @property
    def pt(self) -> FloatArray:
        """Transverse momentum in GeV, shape ``(n,)``."""
        return np.sqrt(self.px**2 + self.py**2)  # several times faster than hypot

    def select(self, mask: BoolArray) -> FlatParticles:
        """Keep the particles where `mask` of shape ``(n,)`` is true; all events stay."""
        counts = np.bincount(self.events[mask], minlength=self.n_events)
        return self._taken(np.flatnonzero(mask), counts)

    def sorted_by_pt(self) -> FlatParticles:
        """Order the particles of each event by falling transverse momentum."""
        return self._taken(np.lexsort((-self.pt, self.events)), self.counts)

    def sum_per_event(self, values: FloatArray) -> FloatArray:
        """Sum `values` of shape ``(n,)`` over the particles of each event."""
        sums = np.bincount(self.events, weights=values, minlength=self.n_events)
        return sums.astype(np.float64)  # whole numbers if there are no particles

    def to_records(self) -> ParticleArray:
        """The particles as records, one list an event, with tags from the true flavour."""
        flavour = np.abs(self.pdgid)
        return make_particles(
            self.counts,
            self.px,
            self.py,
            self.pz,
            self.energy,
            charge=self.charge,
            pdgid=self.pdgid,
            spin=self.spin,
            b_tag=flavour == 5,
            tau_tag=flavour == 15,
            t_tag=flavour == 6,
        )

    def _taken(self, order: IntArray, counts: IntArray) -> FlatParticles:
        columns = (f.name for f in fields(self) if f.name != "counts")
        return replace(
            self, counts=counts, **{name: getattr(self, name)[order] for name in columns}
        )


def charges_of(pdgid: IntArray) -> FloatArray:
    """Electric charges by particle code.

    Args:
        pdgid: Particle codes, shape ``(n,)``.

    Returns:
        Charges in units of e, not-a-number for codes that have none, shape ``(n,)``.

    Examples:
        >>> charges_of(np.array([11, -11, 22]))
        array([-1.,  1.,  0.])
    """
    codes, where = np.unique(pdgid, return_inverse=True)
    charges = [pdg.charge(int(code)) for code in codes]
    table = np.array([np.nan if charge is None else float(charge) for charge in charges])
    return table[where]


def is_one_of(pdgid: IntArray, codes: Iterable[int]) -> BoolArray:
    """Which particles have one of the codes, shape ``(n,)``."""
    return np.isin(pdgid, np.fromiter(codes, np.int64))
