r"""Jets of the stable particles, and what they come from.

References:
    Cacciari, Salam, Soyez, *The anti-kt jet clustering algorithm*, arXiv:0802.1189;
    Cacciari, Salam, Soyez, *FastJet user manual*, arXiv:1111.6097;
    ATLAS, *Performance of b-jet identification in the ATLAS experiment*, arXiv:1512.01094, Sec. 2:
    jets have the flavour of the hadrons above 5 GeV within :math:`\Delta R = 0.3`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import awkward as ak
import numpy as np

from madminer.reading.objects import FlatParticles, is_one_of
from madminer.shower.cones import are_close
from madminer.shower.packages import shower_package
from madminer.shower.pythia import EventRecords
from madminer.typing import BoolArray, IntArray

__all__ = ["INVISIBLE", "JET", "cluster_jets", "heavy_hadrons", "jet_flavours", "tau_jets"]

JET: Final = 9
"""Code of jets."""

INVISIBLE: Final = (12, 14, 16, 1000022, 1000039)
"""Codes of neutrinos, neutralinos and gravitinos, which leave no trace."""

_MATCHED: Final = 0.3  # distance of hadrons and taus to the axis of the jet that is theirs
_LEAST_PT: Final = 5.0  # GeV, of hadrons that give jets a flavour
_LEPTONS: Final = (11, 13)
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
    for quark in (4, 5):
        flavours[are_close(jets, heavy_hadrons(records, quark), _MATCHED)] = quark
    return flavours


def heavy_hadrons(records: EventRecords, quark: int) -> FlatParticles:
    """Hadrons above 5 GeV with a heavy quark that do not decay into others of its kind.

    Args:
        records: The events.
        quark: 5 for bottom, 4 for charm.
    """
    heaviest = _heaviest_quark(records.pdgid)
    found = heaviest == quark
    has_heir = _has_daughter(records, found)
    hadrons = _taken(records, found & ~has_heir)
    return hadrons.select(hadrons.pt > _LEAST_PT)


def _heaviest_quark(pdgid: IntArray) -> IntArray:
    """Number of the heaviest quark of a hadron, 0 for other particles.

    Codes of hadrons have the numbers of their quarks at the third, and those of mesons with two
    heavy ones and of baryons at the third and fourth digit from the end.
    """
    code = np.abs(pdgid) % 10_000
    is_hadron = (np.abs(pdgid) > 100) & ((code // 10) % 10 > 0)
    return np.where(is_hadron, np.maximum(code // 1000, (code // 100) % 10), 0)


def tau_jets(records: EventRecords) -> FlatParticles:
    """The visible part of taus that decay into hadrons."""
    is_tau = np.abs(records.pdgid) == _TAU
    is_leptonic = _has_daughter(records, is_one_of(np.abs(records.pdgid), _LEPTONS))
    last = is_tau & ~_has_daughter(records, is_tau) & (records.status < 0)
    is_invisible = is_one_of(np.abs(records.pdgid), INVISIBLE)
    lost = _sum_over_daughters(records, is_invisible)
    visible = replace(records, momenta=records.momenta - lost)
    return _taken(visible, last & ~is_leptonic)


def _has_daughter(records: EventRecords, kind: BoolArray) -> BoolArray:
    """Which entries are the first mother of one of a kind, shape ``(n,)``."""
    return np.bincount(records.first_mothers[kind], minlength=len(kind)) > 0


def _sum_over_daughters(records: EventRecords, kind: BoolArray) -> Any:
    mothers, n = records.first_mothers[kind], len(kind)
    return np.stack(
        [np.bincount(mothers, weights=column[kind], minlength=n) for column in records.momenta]
    )


def _taken(records: EventRecords, mask: BoolArray) -> FlatParticles:
    """Entries of the record as particles."""
    px, py, pz, energy = records.momenta[:, mask]
    unknown = np.full(len(px), np.nan)
    return FlatParticles(
        counts=np.bincount(records.events[mask], minlength=records.n_events),
        pdgid=records.pdgid[mask],
        px=px,
        py=py,
        pz=pz,
        energy=energy,
        mass=records.mass[mask],
        charge=unknown,
        spin=unknown,
    )
