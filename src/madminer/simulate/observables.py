r"""Observables that determine the dynamics of a weak-boson-fusion event completely.

The squared amplitude of one class depends on the momenta up to a rotation about and a boost along
the beam: of the three outgoing particles five numbers remain. Which jet comes from which quark
line matters; in the channel "tutorial" the flavours tell, since line 1 (beam 1) ends in a d and
line 2 (beam 2) in a u. Ordering the jets by transverse momentum or rapidity instead loses this
information where the lines cross.

The mass of the two quarks follows from the others. It is added for the sake of networks: the
standard-model amplitude vanishes with it, and the score grows without bound there.
"""

from __future__ import annotations

import numpy as np

from madminer.errors import OptionError
from madminer.simulate.events import PartonEvents
from madminer.simulate.wbf import WeakBosonFusion
from madminer.typing import FloatArray

__all__ = ["COMPLETE_OBSERVABLES", "complete_observables"]

COMPLETE_OBSERVABLES = {
    "log_pt_1": "log(p[0].pt)",
    "log_pt_2": "log(p[1].pt)",
    "delta_y_1": "p[0].rapidity - (a[0] + a[1]).rapidity",
    "delta_y_2": "(a[0] + a[1]).rapidity - p[1].rapidity",
    "cos_delta_phi": "cos(p[0].deltaphi(p[1]))",
    "sin_delta_phi": "sin(p[0].deltaphi(p[1]))",
    "log_m_jj": (
        "0.5 * log(2.0 * p[0].pt * p[1].pt"
        " * (cosh(p[0].deltaeta(p[1])) - cos(p[0].deltaphi(p[1]))))"
    ),
}
"""Expressions for readers of LHE files that were written by this package.

The first final-state particles in the files are the quarks of lines 1 and 2. In other programs'
files the flavour tells in the channel "tutorial":
``(j[0] if j[0].pdgid == 1 else j[1])`` is the quark of line 1.
"""


def complete_observables(events: PartonEvents) -> tuple[FloatArray, list[str]]:
    r"""Compute the complete observables from the momenta of the quark lines.

    They are :math:`\ln p_{T1}`, :math:`\ln p_{T2}` (GeV), :math:`y_1 - y_H`, :math:`y_H - y_2`,
    the cosine and sine of :math:`\phi_1 - \phi_2`, and :math:`\ln m_{12}` (GeV), with 1 and 2 the
    outgoing quarks of lines 1 and 2.

    Args:
        events: Events of weak-boson fusion, any channel. Only in "tutorial" do these observables
            determine the score; elsewhere the flavour channel matters too.

    Returns:
        Observables, shape ``(n, 7)``, and their names, the keys of `COMPLETE_OBSERVABLES`.

    Raises:
        OptionError: If the events are of another process.
    """
    if not isinstance(events.process, WeakBosonFusion):
        raise OptionError(
            f"Complete observables are defined for {WeakBosonFusion.name!r} events, got "
            f"{events.process.name!r}."
        )
    # order of WeakBosonFusion.record
    jet1, jet2, higgs = (events.momenta[:, i] for i in (2, 3, 4))
    y_higgs, y1, y2 = (_rapidity(p) for p in (higgs, jet1, jet2))
    pt1, pt2 = np.hypot(jet1[:, 1], jet1[:, 2]), np.hypot(jet2[:, 1], jet2[:, 2])
    cosine = (jet1[:, 1] * jet2[:, 1] + jet1[:, 2] * jet2[:, 2]) / (pt1 * pt2)
    sine = (jet1[:, 2] * jet2[:, 1] - jet1[:, 1] * jet2[:, 2]) / (pt1 * pt2)
    log_mass = 0.5 * np.log(2.0 * pt1 * pt2 * (np.cosh(y1 - y2) - cosine))
    columns = [np.log(pt1), np.log(pt2), y1 - y_higgs, y_higgs - y2, cosine, sine, log_mass]
    return np.stack(columns, axis=1), list(COMPLETE_OBSERVABLES)


def _rapidity(p: FloatArray) -> FloatArray:
    # arsinh(z / mT) keeps digits where E - z would cancel
    mt = np.sqrt(np.maximum(p[:, 0] ** 2 - p[:, 3] ** 2, 0.0))
    rapidity: FloatArray = np.arcsinh(p[:, 3] / mt)
    return rapidity
