"""Read an LHE file as the parton-level tutorial does: smearing, observables, cuts, saving.

Arguments: setup file, LHE file, event file to write.
"""

from __future__ import annotations

import sys

import numpy as np
from stopwatch import Stopwatch

from madminer.lhe import LHEReader

QUARKS_AND_GLUON = [1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6, 21]


def main(setup: str, lhe: str, output: str) -> None:
    """Time everything from the construction of the reader to the saved file."""
    with Stopwatch() as watch:
        reader = LHEReader(setup)
        reader.add_sample(lhe_filename=lhe, sampled_from_benchmark="sm")
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
        reader.add_observable("pt_j1", "j[0].pt", required=False, default=0.0)
        reader.add_observable(
            "delta_phi_jj",
            "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
            required=True,
        )
        reader.add_observable("met", "met.pt", required=True)
        reader.add_observable("m_aa", "(a[0] + a[1]).m", required=True)
        reader.add_cut("(a[0] + a[1]).m > 122.0")
        reader.add_cut("(a[0] + a[1]).m < 128.0")
        reader.add_cut("pt_j1 > 20.0")
        reader.analyse_samples()
        reader.save(output)
    names = ["pt_j1", "met", "m_aa"]
    means = [np.mean(reader.observations[name]) for name in names]
    watch.report([len(reader.observations["pt_j1"]), np.sum(reader.weights["sm"]), *means])


if __name__ == "__main__":
    main(*sys.argv[1:])
