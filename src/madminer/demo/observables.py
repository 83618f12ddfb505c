"""What the demonstration measures in each event.

At detector level jets are smeared and sorted by transverse momentum, as an experiment sees them. At
parton level the generator's own complete observables are used (`madminer.simulate.wbf`), or
for events from a file the unsmeared jets.
"""

from __future__ import annotations

from collections.abc import Mapping

from madminer.lhe.lhe_reader import LHEReader

__all__ = [
    "DETECTOR_OBSERVABLES",
    "JET_OBSERVABLES",
    "LABELS",
    "add_cuts",
    "add_observables",
    "smear",
]

HIGGS = "(a[0] + a[1])"

JET_OBSERVABLES: Mapping[str, str] = {
    "log_pt_1": "log(j[0].pt)",
    "log_pt_2": "log(j[1].pt)",
    "delta_y_1": f"j[0].rapidity - {HIGGS}.rapidity",
    "delta_y_2": f"j[1].rapidity - {HIGGS}.rapidity",
    "cos_delta_phi": "cos(j[0].deltaphi(j[1]))",
    "sin_delta_phi": "sin(j[0].deltaphi(j[1]))",
    "y_higgs": f"{HIGGS}.rapidity",
}
"""Unsmeared observables of events from a file, jets by falling transverse momentum."""

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
