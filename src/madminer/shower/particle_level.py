r"""What an ideal detector would see: leptons and photons with their isolation, jets, and the rest.

The same description serves for hadrons after a shower and for partons before it, of which each is
a jet. Distances are :math:`\Delta R = (\Delta\eta^2 + \Delta\phi^2)^{1/2}`.

References:
    Cacciari, Salam, Soyez, *The anti-kt jet clustering algorithm*, arXiv:0802.1189;
    Cacciari, Salam, Soyez, *FastJet user manual*, arXiv:1111.6097;
    ATLAS, *Performance of b-jet identification in the ATLAS experiment*, arXiv:1512.01094, Sec. 2:
    jets have the flavour of the hadrons above 5 GeV within :math:`\Delta R = 0.3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import awkward as ak
import numpy as np

from madminer.reading.objects import FlatParticles, charges_of, is_one_of
from madminer.shower.pythia import EventRecords, shower_package
from madminer.typing import BoolArray, FloatArray, IntArray

_CODES: Final[Mapping[str, int]] = {"e": 11, "mu": 13, "a": 22}  # of what is seen one by one
_LARGEST_ETA: Final = 5.0  # where the calorimeters end; beyond it, remnants of the protons fly on
_INVISIBLE: Final = (12, 14, 16, 1000022, 1000039)  # neutrinos, neutralinos, gravitinos
_LEPTONS: Final = (11, 13)
_PARTONS: Final = (1, 2, 3, 4, 5, 21)
_TAU: Final = 15
_JET: Final = 9
_HEAVY: Final = (4, 5)
_LEAST_HEAVY: Final = 400  # codes of all hadrons with such quarks are above
_LEAST_PT: Final = 5.0  # GeV, of hadrons that give jets a flavour
_MATCHED: Final = 0.3  # distance of hadrons and taus to the axis of the jet that is theirs
_ALONG_THE_BEAM: Final = 1e-12  # GeV, instead of no transverse momentum at all


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
    partons = particles.select(is_one_of(code, (*_PARTONS, _TAU))).sorted_by_pt()
    code = np.abs(partons.pdgid)
    flavours = np.where(is_one_of(code, (*_HEAVY, _TAU)), code, 0)
    unknown = np.full(len(code), np.nan)
    jets = replace(partons, pdgid=np.full(len(code), _JET), charge=unknown, spin=unknown)
    return _described(particles, _visible(particles), jets, flavours, pt_min, cone)


def _visible(particles: FlatParticles) -> FlatParticles:
    is_seen = ~is_one_of(np.abs(particles.pdgid), _INVISIBLE)
    return particles.select(is_seen & (np.abs(directions(particles)[0]) < _LARGEST_ETA))


def _described(
    particles: FlatParticles,
    visible: FlatParticles,
    jets: FlatParticles,
    flavours: IntArray,
    pt_min: float,
    cone: float,
) -> ParticleLevel:
    single: dict[str, FlatParticles] = {}
    for name, code in _CODES.items():
        same = visible.select(np.abs(visible.pdgid) == code)
        found = same.select(same.pt >= pt_min).sorted_by_pt()
        single[name] = replace(found, charge=charges_of(found.pdgid))
    return ParticleLevel(
        objects={**single, "j": jets},
        isolation={name: _isolation(found, visible, cone) for name, found in single.items()},
        flavours=flavours,
        seen=np.stack([visible.sum_per_event(visible.px), visible.sum_per_event(visible.py)]),
        sum_pt=visible.sum_per_event(visible.pt),
        particles=particles,
    )


def _isolation(centres: FlatParticles, others: FlatParticles, cone: float) -> FloatArray:
    """Transverse momentum around particles over their own.

    Leptons do not count, so that those of a fast Z boson stay isolated; nor does the particle.
    """
    counted = np.where(is_one_of(np.abs(others.pdgid), _LEPTONS), 0.0, others.pt)
    own = np.where(centres.pdgid == _CODES["a"], centres.pt, 0.0)
    around = sums_in_cones(centres, others, counted, cone) - own
    return np.maximum(around / centres.pt, 0.0)


# Jets and what they come from


def cluster_jets(particles: FlatParticles, radius: float, pt_min: float) -> FlatParticles:
    """Cluster particles with the anti-kt algorithm.

    Args:
        particles: What the detector sees.
        radius: Radius R of the jets.
        pt_min: Least transverse momentum of jets in GeV.

    Returns:
        Jets by falling transverse momentum, with masses; their charges are not known.

    Raises:
        MissingDependencyError: If fastjet is not installed.
    """
    fastjet = shower_package("fastjet")
    columns = {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}
    records = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), particles.counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    jets = fastjet.ClusterSequence(records, definition).inclusive_jets(pt_min)
    counts = ak.to_numpy(ak.num(jets, axis=1)).astype(np.int64)
    momenta = np.stack([ak.to_numpy(ak.flatten(jets[name])) for name in columns])
    px, py, pz, energy = momenta
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    codes = np.full(len(px), _JET)
    return FlatParticles.of_momenta(counts, codes, momenta, mass).sorted_by_pt()


def jet_flavours(jets: FlatParticles, records: EventRecords) -> IntArray:
    """What jets come from.

    Args:
        jets: The jets.
        records: The events that they belong to.

    Returns:
        5 for a bottom hadron, else 4 for a charmed one, 15 for a tau that decays into hadrons, 0
        for none of them; shape ``(n_jets,)``.
    """
    flavours = np.zeros(len(jets.pdgid), dtype=np.int64)
    flavours[are_close(jets, tau_jets(records), _MATCHED)] = _TAU
    hadrons = heavy_hadrons(records)
    for quark in _HEAVY:
        ours = hadrons.select(_heaviest_quark(hadrons.pdgid) == quark)
        flavours[are_close(jets, ours, _MATCHED)] = quark
    return flavours


def heavy_hadrons(records: EventRecords) -> FlatParticles:
    """Charmed and bottom hadrons above 5 GeV that do not decay into others of their kind."""
    rows = np.flatnonzero(np.abs(records.pdgid) > _LEAST_HEAVY)
    quark = _heaviest_quark(records.pdgid[rows])
    is_heavy = is_one_of(quark, _HEAVY)
    rows, quark = rows[is_heavy], quark[is_heavy]
    by_mother = np.zeros(len(records.pdgid), dtype=np.int64)
    by_mother[records.first_mothers[rows]] = quark  # of any heavy daughter
    hadrons = records.select(rows[by_mother[rows] != quark])
    return hadrons.select(hadrons.pt > _LEAST_PT)


def _heaviest_quark(pdgid: IntArray) -> IntArray:
    """Number of the heaviest quark of a hadron, 0 for other particles.

    Codes of mesons have the numbers of their quarks at the third and second digit from the end,
    those of baryons at the fourth to second.
    """
    code = np.abs(pdgid) % 10_000
    is_hadron = (code > 100) & ((code // 10) % 10 > 0)
    return np.where(is_hadron, np.maximum(code // 1000, (code // 100) % 10), 0)


def tau_jets(records: EventRecords) -> FlatParticles:
    """The visible part of taus that decay into hadrons."""
    is_tau = np.abs(records.pdgid) == _TAU
    mothers = records.first_mothers
    daughters = np.flatnonzero(is_tau[mothers])
    code = np.abs(records.pdgid[daughters])
    is_last = records.status < 0
    is_last[mothers[daughters[is_one_of(code, (_TAU, *_LEPTONS))]]] = False
    visible, lost = records.momenta.T.copy(), daughters[is_one_of(code, _INVISIBLE)]
    np.subtract.at(visible, mothers[lost], records.momenta.T[lost])
    return records.select(np.flatnonzero(is_tau & is_last), visible.T)


# Which particles of the same event are close to each other


def directions(particles: FlatParticles) -> FloatArray:
    """Pseudorapidity and azimuth, shape ``(2, n)``; along the beam the first is some 40."""
    eta = np.arcsinh(particles.pz / np.maximum(particles.pt, _ALONG_THE_BEAM))
    return np.stack([eta, np.arctan2(particles.py, particles.px)])


def are_close(left: FlatParticles, right: FlatParticles, radius: float) -> BoolArray:
    """Which particles have a particle of another kind within a radius, shape ``(n_left,)``."""
    i, _ = _close_pairs(left, right, radius)
    return np.bincount(i, minlength=len(left.pdgid)) > 0


def sums_in_cones(
    centres: FlatParticles, others: FlatParticles, values: FloatArray, radius: float
) -> FloatArray:
    """Sums of `values` of all others that are around particles, themselves included.

    Args:
        centres: The particles.
        others: What may be around them.
        values: What is summed, shape ``(n_others,)``.
        radius: Radius of the cones.

    Returns:
        Sums, shape ``(n_centres,)``.
    """
    i, j = _close_pairs(centres, others, radius)
    return np.bincount(i, weights=values[j], minlength=len(centres.pdgid)).astype(np.float64)


def _close_pairs(
    left: FlatParticles, right: FlatParticles, radius: float
) -> tuple[IntArray, IntArray]:
    i, j = pairs_of_event(left.counts, right.counts)
    (eta, phi), (others_eta, others_phi) = directions(left), directions(right)
    near = np.abs(eta[i] - others_eta[j]) <= radius  # most are not, which saves the rest
    i, j = i[near], j[near]
    delta_phi = np.abs(phi[i] - others_phi[j])
    delta_phi = np.minimum(delta_phi, 2.0 * np.pi - delta_phi)
    close = (eta[i] - others_eta[j]) ** 2 + delta_phi**2 <= radius**2
    return i[close], j[close]


def pairs_of_event(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs of two kinds of particles that belong to the same event.

    Args:
        left: Number of particles of the first kind in each event, shape ``(n_events,)``.
        right: The same of the second kind.

    Returns:
        Positions of the first and second partner, shape ``(n_pairs,)`` each, the pairs of each
        first partner together.

    Examples:
        >>> pairs_of_event(np.array([1, 1]), np.array([0, 2]))
        (array([1, 1]), array([0, 1]))
    """
    partners = np.repeat(right, left)  # of each particle of the first kind
    begins = np.repeat(np.cumsum(right) - right, left)
    ends = np.cumsum(partners)
    within = np.arange(int(partners.sum())) - np.repeat(ends - partners, partners)
    return np.repeat(np.arange(len(partners)), partners), np.repeat(begins, partners) + within
