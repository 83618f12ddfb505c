"""What the demonstration measures in each event.

At parton level the kinematics of the two quarks and the Higgs boson are complete: up to a rotation
about the beam and a boost along it, which leave the matrix element alone, they are the momenta. At
detector level jets are smeared and sorted by transverse momentum, as an experiment sees them.
"""

from __future__ import annotations

from collections.abc import Mapping

from madminer.lhe.lhe_reader import LHEReader

__all__ = [
    "DETECTOR_OBSERVABLES",
    "LABELS",
    "PARTON_OBSERVABLES",
    "add_cuts",
    "add_observables",
    "smear",
]

HIGGS = "(a[0] + a[1])"

PARTON_OBSERVABLES: Mapping[str, str] = {
    "log_pt_1": "log(p[0].pt)",
    "log_pt_2": "log(p[1].pt)",
    "sin_delta_phi": "sin(p[0].deltaphi(p[1]))",
    "cos_delta_phi": "cos(p[0].deltaphi(p[1]))",
    "delta_eta_1": f"p[0].eta - {HIGGS}.rapidity",
    "delta_eta_2": f"p[1].eta - {HIGGS}.rapidity",
}
"""Quark 1 and 2 in the order of the beams they come from; see the generator's channel."""

DETECTOR_OBSERVABLES: Mapping[str, str] = {
    "pt_j1": "j[0].pt",
    "delta_phi_jj": "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
    "pt_j2": "j[1].pt",
    "delta_eta_jj": "abs(j[0].eta - j[1].eta)",
    "m_jj": "(j[0] + j[1]).m",
    "pt_aa": f"{HIGGS}.pt",
    "eta_j1": "j[0].eta",
    "met": "met.pt",
}

LABELS: Mapping[str, str] = {
    "pt_j1": r"$p_{T,j1}$ [GeV]",
    "delta_phi_jj": r"$\Delta\phi_{jj}$ [rad]",
    "pt_j2": r"$p_{T,j2}$ [GeV]",
    "delta_eta_jj": r"$|\Delta\eta_{jj}|$",
    "m_jj": r"$m_{jj}$ [GeV]",
    "pt_aa": r"$p_{T,\gamma\gamma}$ [GeV]",
    "eta_j1": r"$\eta_{j1}$",
    "met": r"missing $E_T$ [GeV]",
}

QUARKS_AND_GLUON = [1, 2, 3, 4, 5, 6, 21, -1, -2, -3, -4, -5, -6]


def add_observables(reader: LHEReader, observables: Mapping[str, str]) -> None:
    """Add expression observables, all required: events in which one is undefined are rejected."""
    for name, definition in observables.items():
        reader.add_observable(name, definition, required=True)


def add_cuts(reader: LHEReader) -> None:
    """The selection of the detector-level analysis: a Higgs candidate and a hard jet."""
    reader.add_cut(f"{HIGGS}.m > 122.0")
    reader.add_cut(f"{HIGGS}.m < 128.0")
    reader.add_cut("pt_j1 > 20.0")


def smear(reader: LHEReader) -> None:
    """A simple detector: 10 % jet energy resolution, jet directions, noise in the missing ET."""
    reader.set_smearing(
        pdgids=QUARKS_AND_GLUON,
        energy_resolution_abs=0.0,
        energy_resolution_rel=0.1,
        pt_resolution_abs=None,
        pt_resolution_rel=None,
        eta_resolution_abs=0.1,
        eta_resolution_rel=0.0,
        phi_resolution_abs=0.1,
        phi_resolution_rel=0.0,
    )
    reader.set_met_noise(abs_=10.0, rel=0.05)
