"""What an ideal detector would see: leptons and photons with their isolation, jets, and the rest.

The same description serves for hadrons after a shower and for partons before it, of which each is
a jet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from madminer.reading.objects import FlatParticles, charges_of, is_one_of
from madminer.shower.cones import directions, sums_in_cones
from madminer.shower.jets import INVISIBLE, JET, cluster_jets, jet_flavours
from madminer.shower.pythia import EventRecords
from madminer.typing import FloatArray, IntArray

CODES: Final[Mapping[str, int]] = {"e": 11, "mu": 13, "a": 22}
"""Codes of the particles that are seen one by one."""

_LARGEST_ETA: Final = 5.0
"""Where the calorimeters of both experiments end; beyond it, remnants of the protons fly on."""

_PARTONS: Final = (1, 2, 3, 4, 5, 21)
_TAU: Final = 15


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ParticleLevel:
    """Objects of events before the detector.

    Args:
        objects: Particles and jets by name: ``e``, ``mu``, ``a``, ``j``.
        isolation: For each of ``e``, ``mu``, ``a`` the sum of the transverse momenta of others in
            a cone around it, over its own; shape ``(n,)`` each.
        flavours: What jets come from, 5, 4, 15 (tau) or 0, shape ``(n_jets,)``.
        seen: Sum of the momenta that a calorimeter sees, px and py in GeV, ``(2, n_events)``.
        sum_pt: Sum of their transverse momenta in GeV, shape ``(n_events,)``.
        particles: Stable particles; those of the matrix element without a shower.
    """

    objects: Mapping[str, FlatParticles]
    isolation: Mapping[str, FloatArray]
    flavours: IntArray
    seen: FloatArray
    sum_pt: FloatArray
    particles: FlatParticles


def hadron_level(
    records: EventRecords,
    *,
    radius: float,
    jet_pt_min: float,
    pt_min: float,
    cone: float,
) -> ParticleLevel:
    """Objects of events after the shower.

    Args:
        records: The events.
        radius: Radius R of the anti-kt jets, made of everything visible up to ``|eta|`` = 5.
        jet_pt_min: Least transverse momentum of jets in GeV.
        pt_min: Least transverse momentum of leptons and photons in GeV, as low as the detector
            may measure them above its own threshold.
        cone: Radius of the cones of isolation.

    Returns:
        The objects.
    """
    stable = records.stable()
    visible = _visible(stable)
    jets = cluster_jets(visible, radius, jet_pt_min)
    return _described(stable, visible, jets, jet_flavours(jets, records), pt_min, cone)


def parton_level(particles: FlatParticles, *, pt_min: float, cone: float) -> ParticleLevel:
    """Objects of events of a matrix element: each parton, and each tau, is a jet.

    Args:
        particles: Final state of the matrix element.
        pt_min: Least transverse momentum of leptons and photons in GeV.
        cone: Radius of the cones of isolation.

    Returns:
        The objects. The momentum of a tau is that of the lepton, with its neutrinos.
    """
    code = np.abs(particles.pdgid)
    jets = particles.select(is_one_of(code, (*_PARTONS, _TAU))).sorted_by_pt()
    flavours = np.where(is_one_of(np.abs(jets.pdgid), (4, 5, _TAU)), np.abs(jets.pdgid), 0)
    return _described(particles, _visible(particles), _as_jets(jets), flavours, pt_min, cone)


def _as_jets(partons: FlatParticles) -> FlatParticles:
    unknown = np.full(len(partons.pdgid), np.nan)
    return FlatParticles(
        counts=partons.counts,
        pdgid=np.full(len(partons.pdgid), JET),
        px=partons.px,
        py=partons.py,
        pz=partons.pz,
        energy=partons.energy,
        mass=partons.mass,
        charge=unknown,
        spin=unknown,
    )


def _visible(particles: FlatParticles) -> FlatParticles:
    is_seen = ~is_one_of(np.abs(particles.pdgid), INVISIBLE)
    return particles.select(is_seen & (np.abs(directions(particles)[0]) < _LARGEST_ETA))


def _described(
    particles: FlatParticles,
    visible: FlatParticles,
    jets: FlatParticles,
    flavours: IntArray,
    pt_min: float,
    cone: float,
) -> ParticleLevel:
    single = {name: _of_code(visible, code, pt_min) for name, code in CODES.items()}
    isolation = {name: _isolation(found, visible, cone) for name, found in single.items()}
    return ParticleLevel(
        objects={**single, "j": jets},
        isolation=isolation,
        flavours=flavours,
        seen=np.stack([visible.sum_per_event(visible.px), visible.sum_per_event(visible.py)]),
        sum_pt=visible.sum_per_event(visible.pt),
        particles=particles,
    )


def _of_code(particles: FlatParticles, code: int, pt_min: float) -> FlatParticles:
    same = particles.select(np.abs(particles.pdgid) == code)
    found = same.select(same.pt >= pt_min).sorted_by_pt()
    return replace(found, charge=charges_of(found.pdgid))


def _isolation(centres: FlatParticles, others: FlatParticles, cone: float) -> FloatArray:
    """Transverse momentum around particles over their own.

    Leptons do not count, so that those of a fast Z boson stay isolated; nor does the particle.
    """
    counted = np.where(is_one_of(np.abs(others.pdgid), (11, 13)), 0.0, others.pt)
    own = np.where(centres.pdgid == CODES["a"], centres.pt, 0.0)
    around = sums_in_cones(centres, others, counted, cone) - own
    return np.maximum(around / centres.pt, 0.0)
