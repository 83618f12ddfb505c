"""Objects of showered events that observables are written in, named as in files of Delphes.

======================  ===================================================================
name                    what it is
======================  ===================================================================
``e``, ``mu``, ``l``    electrons, muons, both
``a``                   photons
``j``                   jets, with b and tau tags
``met``                 missing transverse momentum
``visible``, ``all``    sum of e, mu, a, j; the same with the missing momentum
``p``, ``p_truth``      stable particles before the detector, in the order of the record
======================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import methodcaller
from typing import Any, Final

import numpy as np

from madminer.delphes.objects import merged
from madminer.expressions import ParticleArray
from madminer.expressions.columns import make_particles
from madminer.reading.objects import FlatParticles, LazyObjects
from madminer.shower.detector import MeasuredObjects

PARTICLES: Final = frozenset({"p", "p_truth"})
"""Lists of all particles, which are kept only where they are used."""

_SEEN: Final = ("e", "mu", "a", "j")

COLLECTIONS: Final = (*_SEEN, "l", *PARTICLES)
"""Lists of objects that expressions may use."""


def joined_events(parts: Sequence[FlatParticles]) -> FlatParticles:
    """Particles of several groups of events, one group after the other."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("counts", *parts[0].columns)
    }
    return replace(parts[0], **columns)


class ShowerObjects(LazyObjects):
    """Objects of some events, all lists sorted by falling transverse momentum except `p`.

    Args:
        measured: What the detector gives.
        particles: Stable particles; None if nothing needs them.
    """

    def __init__(self, measured: MeasuredObjects, particles: FlatParticles | None) -> None:
        self._measured, self._stable = measured, particles
        super().__init__(measured.met.shape[1], _MAKERS, {})

    def _list(self, name: str) -> ParticleArray:
        return self._measured.objects[name].to_records()

    def _leptons(self) -> ParticleArray:
        kinds = [self._measured.objects[name] for name in ("e", "mu")]
        return merged(*kinds).sorted_by_pt().to_records()

    def _particles(self) -> ParticleArray:
        if self._stable is None:
            raise KeyError(PARTICLES)
        return self._stable.to_records()

    def _sum(self) -> ParticleArray:
        total: ParticleArray = self._measured.objects["e"].total()
        for name in ("mu", "a", "j"):
            total = total + self._measured.objects[name].total()
        return total

    def _met(self) -> ParticleArray:
        """Missing transverse momentum, massless, at zero pseudorapidity."""
        px, py = self._measured.met
        return make_particles(None, px, py, np.zeros_like(px), np.hypot(px, py))


_MAKERS: Final[Mapping[str, Callable[[ShowerObjects], ParticleArray]]] = {
    **{name: methodcaller("_list", name) for name in _SEEN},
    "l": methodcaller("_leptons"),
    "p": methodcaller("_particles"),
    "p_truth": methodcaller("_particles"),
    "met": methodcaller("_met"),
    "visible": methodcaller("_sum"),
    "all": lambda objects: objects["visible"] + objects["met"],
}
