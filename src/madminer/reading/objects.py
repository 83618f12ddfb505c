"""The objects that observables are written in: e, mu, tau, l, a, j, v, met, visible, all, p."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np

from madminer.expressions import ParticleArray, Vocabulary, make_particles
from madminer.reading.particles import FlatParticles, is_one_of
from madminer.reading.smearing import MetNoise
from madminer.typing import FloatArray

__all__ = [
    "COLLECTIONS",
    "EVENT_NUMBERS",
    "SINGLE_PARTICLES",
    "EventObjects",
    "draw_met_noise",
    "lhe_vocabulary",
    "visible_particles",
]

_JETS: Final = (1, 2, 3, 4, 5, 21, 9)  # quarks but not top, gluons
_COLLECTION_CODES: Final[Mapping[str, tuple[int, ...]]] = {
    "e": (11,),
    "mu": (13,),
    "tau": (15,),
    "l": (11, 13),
    "a": (22,),
    "j": _JETS,
    "v": (12, 14, 16),
}
_VISIBLE: Final = (*_JETS, 6, 11, 13, 15, 22, 23, 24, 25)  # other codes may be dark matter

COLLECTIONS: Final = (*_COLLECTION_CODES, "p", "p_truth")
"""Lists of particles."""

SINGLE_PARTICLES: Final = ("met", "visible", "all")
"""Objects that every event has exactly once."""

EVENT_NUMBERS: Final = ("n_particles", "scale", "alpha_qed", "alpha_qcd")
"""Numbers that the event line of a Les Houches event file holds."""


def lhe_vocabulary(observables: tuple[str, ...] = ()) -> Vocabulary:
    """Names that expressions on parton-level events may use.

    Args:
        observables: Names of observables, known to cuts and efficiencies.
    """
    return Vocabulary(
        numbers=frozenset((*EVENT_NUMBERS, *observables)),
        particles=frozenset(SINGLE_PARTICLES),
        collections=frozenset(COLLECTIONS),
    )


class EventObjects(Mapping[str, ParticleArray | FloatArray]):
    """Objects and numbers of many events by name; objects are made when first asked for.

    Lists are sorted by falling transverse momentum, except `p` and `p_truth`, which keep the
    order of the file.

    Args:
        truth: Final-state particles before smearing.
        particles: Final-state particles after smearing.
        met_noise: Noise added to the missing momentum in GeV, shape ``(n_events, 2)``.
        numbers: Further numbers by name, each of shape ``(n_events,)``.
    """

    def __init__(
        self,
        truth: FlatParticles,
        particles: FlatParticles,
        met_noise: FloatArray,
        numbers: Mapping[str, FloatArray],
    ) -> None:
        self.n_events = particles.n_events
        self.numbers = numbers
        self._particles = particles
        self._met_noise = met_noise
        self._makers: dict[str, Callable[[], ParticleArray]] = {
            **{name: partial(self._collection, codes) for name, codes in _COLLECTION_CODES.items()},
            "p": particles.to_records,
            "p_truth": truth.to_records,
            "met": self._met,
            "visible": self._visible,
            "all": lambda: self["visible"] + self["met"],
        }
        self._made: dict[str, ParticleArray | FloatArray] = dict(numbers)

    def __getitem__(self, name: str) -> ParticleArray | FloatArray:
        """One particle an event, a list of them, or a number."""
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._makers, **self._made})

    def __len__(self) -> int:
        return len({**self._makers, **self._made})

    def _collection(self, codes: tuple[int, ...]) -> ParticleArray:
        chosen = is_one_of(np.abs(self._particles.pdgid), codes)
        return self._particles.select(chosen).sorted_by_pt().to_records()

    def _visible(self) -> ParticleArray:
        seen = visible_particles(self._particles)
        columns = (seen.px, seen.py, seen.pz, seen.energy, seen.charge)
        px, py, pz, energy, charge = (seen.sum_per_event(column) for column in columns)
        return make_particles(None, px, py, pz, energy, charge=charge)

    def _met(self) -> ParticleArray:
        """Minus the visible transverse momentum, massless, at zero pseudorapidity."""
        seen = visible_particles(self._particles)
        px = -seen.sum_per_event(seen.px) + self._met_noise[:, 0]
        py = -seen.sum_per_event(seen.py) + self._met_noise[:, 1]
        return make_particles(None, px, py, np.zeros_like(px), np.hypot(px, py))


def visible_particles(particles: FlatParticles) -> FlatParticles:
    """Particles that a detector sees: neither neutrinos nor codes outside the standard model."""
    return particles.select(is_one_of(np.abs(particles.pdgid), _VISIBLE))


def draw_met_noise(
    particles: FlatParticles, noise: MetNoise, rng: np.random.Generator
) -> FloatArray:
    """Draw the noise of the missing momentum in GeV, shape ``(n_events, 2)``.

    Args:
        particles: Final-state particles after smearing; they determine HT.
        noise: Its standard deviation.
        rng: Source of randomness.
    """
    if noise == MetNoise():
        return np.zeros((particles.n_events, 2))
    seen = visible_particles(particles)
    sigma = noise.absolute + noise.relative * seen.sum_per_event(seen.pt)
    drawn: FloatArray = rng.standard_normal((particles.n_events, 2)) * sigma[:, np.newaxis]
    return drawn
