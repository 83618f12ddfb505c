"""What the demonstration measures in each event.

At detector level jets are smeared and sorted by transverse momentum, as an experiment sees them. At
parton level the generator's own complete observables are used
(`madminer.simulate.complete_observables`), or for events from a file the unsmeared particles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from madminer.errors import SetupError
from madminer.io.lhe import LHEFile
from madminer.lhe.lhe_reader import LHEReader
from madminer.plotting.distributions import axis_label
from madminer.simulate import COMPLETE_OBSERVABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Observables and cuts.

    Args:
        parton: Expressions of unsmeared observables, by name.
        detector: Those of smeared observables.
        is_complete: Whether the unsmeared observables determine the matrix element.
        cuts: Expressions that events at detector level have to fulfil.
        plane: The two detector-level observables over which scores are shown.
        selection: What is selected, a sentence.
        note: What is to be seen in the distributions, a sentence; may be empty.
        symbols: Labels of detector-level observables, where they are not their names.
    """

    parton: Mapping[str, str]
    detector: Mapping[str, str]
    is_complete: bool = False
    cuts: tuple[str, ...] = ()
    plane: tuple[str, str]
    selection: str
    note: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict)

    def labels(self) -> list[str]:
        """Axis labels of the observables at detector level, with units."""
        return [
            self.symbols.get(name) or axis_label(name, definition)
            for name, definition in self.detector.items()
        ]


_HIGGS = "(a[0] + a[1])"

_JET_OBSERVABLES: Mapping[str, str] = {
    "log_pt_1": "log(j[0].pt)",
    "log_pt_2": "log(j[1].pt)",
    "delta_y_1": f"j[0].rapidity - {_HIGGS}.rapidity",
    "delta_y_2": f"j[1].rapidity - {_HIGGS}.rapidity",
    "cos_delta_phi": "cos(j[0].deltaphi(j[1]))",
    "sin_delta_phi": "sin(j[0].deltaphi(j[1]))",
    "y_higgs": f"{_HIGGS}.rapidity",
}
"""Unsmeared observables of events from a file, jets by falling transverse momentum."""

_HIGGS_OBSERVABLES: Mapping[str, str] = {
    "pt_j1": "j[0].pt",
    "delta_phi_jj": "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
    "pt_j2": "j[1].pt",
    "delta_eta_jj": "abs(j[0].eta - j[1].eta)",
    "m_jj": "(j[0] + j[1]).m",
    "pt_aa": f"{_HIGGS}.pt",
    "eta_j1": "j[0].eta",
    "met": "met.pt",
}

_SYMBOLS: Mapping[str, str] = {
    "pt_j1": r"$p_{T,j1}$ [GeV]",
    "delta_phi_jj": r"$\Delta\phi_{jj}$ [rad]",
    "pt_j2": r"$p_{T,j2}$ [GeV]",
    "delta_eta_jj": r"$|\Delta\eta_{jj}|$",
    "m_jj": r"$m_{jj}$ [GeV]",
    "pt_aa": r"$p_{T,\gamma\gamma}$ [GeV]",
    "eta_j1": r"$\eta_{j1}$",
    "met": r"missing $E_T$ [GeV]",
}

_HIGGS_AND_JETS = Measurement(
    parton=_JET_OBSERVABLES,
    detector=_HIGGS_OBSERVABLES,
    cuts=(f"{_HIGGS}.m > 122.0", f"{_HIGGS}.m < 128.0", "pt_j1 > 20.0"),
    plane=("delta_phi_jj", "pt_j1"),
    selection="Events with a photon pair between 122 and 128 GeV and a leading jet above 20 GeV "
    "are selected.",
    note="Signed angles between the jets see CP-odd parameters, which no transverse momentum sees "
    "to first order.",
    symbols=_SYMBOLS,
)

EMBEDDED = replace(_HIGGS_AND_JETS, parton=COMPLETE_OBSERVABLES, is_complete=True)
"""Two jets and two photons of the embedded generator, which tells the quark lines."""

_QUARKS_AND_GLUON = (1, 2, 3, 4, 5, 6, 21)

_OBJECTS: Mapping[str, tuple[int, ...]] = {
    "j": _QUARKS_AND_GLUON,
    "a": (22,),
    "e": (11,),
    "mu": (13,),
    "tau": (15,),
}
"""Lists of particles in expressions, and their absolute PDG numbers."""

_MOST_OF_A_KIND = 2


def choose_measurement(lhe_file: Path) -> Measurement:
    """Observables that fit the final state of a file.

    Args:
        lhe_file: Les Houches events; the first few thousand are looked at.

    Returns:
        Those of Higgs production with two jets, decaying to two photons; for other events,
        momenta, angles and masses of the particles that every event has, up to two of a kind.

    Raises:
        SetupError: If no kind of visible particle is in every event.
    """
    events = next(LHEFile(lhe_file).events(chunk_size=1))
    owners = np.repeat(np.arange(events.n_events), events.n_particles)
    is_final, codes = events.status == 1, np.abs(events.pdgid)
    numbers = {
        name: int(
            np.bincount(owners[is_final & np.isin(codes, kinds)], minlength=events.n_events).min()
        )
        for name, kinds in _OBJECTS.items()
    }
    if numbers["j"] >= 2 and numbers["a"] >= 2 and 25 in codes:
        return _HIGGS_AND_JETS
    objects = {
        f"{name}{i + 1}": f"{name}[{i}]"
        for name, number in numbers.items()
        for i in range(min(number, _MOST_OF_A_KIND))
    }
    if not objects:
        raise SetupError(
            f"The demonstration measures jets, photons and charged leptons, but none of them is in "
            f"every event of {lhe_file}. Write the analysis with LHEReader."
        )
    return _of_particles(objects)


def _of_particles(objects: Mapping[str, str]) -> Measurement:
    observables: dict[str, str] = {}
    for name, particle in objects.items():
        observables[f"pt_{name}"] = f"{particle}.pt"
        observables[f"eta_{name}"] = f"{particle}.eta"
        if name.startswith(("e", "mu", "tau")):
            observables[f"charge_{name}"] = f"{particle}.charge"
    for (name, a), (other, b) in combinations(objects.items(), 2):
        observables[f"m_{name}_{other}"] = f"({a} + {b}).m"
        observables[f"delta_phi_{name}_{other}"] = (
            f"{a}.deltaphi({b}) * (-1.0 + 2.0 * float({a}.eta > {b}.eta))"
        )
        observables[f"delta_eta_{name}_{other}"] = f"{a}.eta - {b}.eta"
    names = list(observables)
    return Measurement(
        parton=observables,
        detector={**observables, "met": "met.pt"},
        plane=(names[-1], names[-3] if len(objects) > 1 else names[0]),
        selection=f"Selected are events with {', '.join(objects)}, in each kind sorted by "
        "transverse momentum.",
    )


def smear(reader: LHEReader) -> None:
    """A simple detector: 10 % jet energy resolution, jet directions, noise in the missing ET."""
    reader.set_smearing(
        pdgids=[*_QUARKS_AND_GLUON, *(-quark for quark in _QUARKS_AND_GLUON[:6])],
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
