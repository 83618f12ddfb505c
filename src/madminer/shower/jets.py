r"""Jets of the stable particles, and what they come from.

References:
    Cacciari, Salam, Soyez, *The anti-kt jet clustering algorithm*, arXiv:0802.1189;
    Cacciari, Salam, Soyez, *FastJet user manual*, arXiv:1111.6097;
    ATLAS, *Performance of b-jet identification in the ATLAS experiment*, arXiv:1512.01094, Sec. 2:
    jets have the flavour of the hadrons above 5 GeV within :math:`\Delta R = 0.3`.
"""

from __future__ import annotations

from typing import Any, Final

import awkward as ak
import numpy as np

from madminer.reading.objects import FlatParticles, is_one_of
from madminer.shower.cones import are_close
from madminer.shower.packages import shower_package
from madminer.shower.pythia import EventRecords
from madminer.typing import FloatArray, IntArray

JET: Final = 9
"""Code of jets."""

INVISIBLE: Final = (12, 14, 16, 1000022, 1000039)
"""Codes of neutrinos, neutralinos and gravitinos, which leave no trace."""

_MATCHED: Final = 0.3  # distance of hadrons and taus to the axis of the jet that is theirs
_LEAST_PT: Final = 5.0  # GeV, of hadrons that give jets a flavour
_LEPTONS: Final = (11, 13)
_HEAVY: Final = (4, 5)
_LEAST_HEAVY: Final = 400  # codes of all hadrons with such quarks are above
_TAU: Final = 15


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
    names = {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}
    records = ak.unflatten(ak.zip(names, with_name="Momentum4D"), particles.counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    jets = fastjet.ClusterSequence(records, definition).inclusive_jets(pt_min)
    return _flat(jets).sorted_by_pt()


def _flat(jets: Any) -> FlatParticles:
    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets[k])) for k in ("px", "py", "pz", "E"))
    unknown = np.full(len(px), np.nan)
    return FlatParticles(
        counts=ak.to_numpy(ak.num(jets, axis=1)).astype(np.int64),
        pdgid=np.full(len(px), JET),
        px=px,
        py=py,
        pz=pz,
        energy=energy,
        mass=np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0)),
        charge=unknown,
        spin=unknown,
    )


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
    """Charmed and bottom hadrons above 5 GeV that do not decay into others of their kind.

    Args:
        records: The events.
    """
    rows = np.flatnonzero(np.abs(records.pdgid) > _LEAST_HEAVY)
    quark = _heaviest_quark(records.pdgid[rows])
    is_heavy = is_one_of(quark, _HEAVY)
    rows, quark = rows[is_heavy], quark[is_heavy]
    by_mother = np.zeros(len(records.pdgid), dtype=np.int64)
    by_mother[records.first_mothers[rows]] = quark  # of any heavy daughter
    hadrons = _taken(records, rows[by_mother[rows] != quark], records.momenta)
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
    visible, lost = records.momenta.T.copy(), daughters[is_one_of(code, INVISIBLE)]
    np.subtract.at(visible, mothers[lost], records.momenta.T[lost])
    return _taken(records, np.flatnonzero(is_tau & is_last), visible.T)


def _taken(records: EventRecords, rows: IntArray, momenta: FloatArray) -> FlatParticles:
    """Entries of the record as particles."""
    px, py, pz, energy = momenta[:, rows]
    unknown = np.full(len(px), np.nan)
    ends = np.searchsorted(rows, np.cumsum(records.counts))
    return FlatParticles(
        counts=np.diff(ends, prepend=0),
        pdgid=records.pdgid[rows],
        px=px,
        py=py,
        pz=pz,
        energy=energy,
        mass=records.mass[rows],
        charge=unknown,
        spin=unknown,
    )
