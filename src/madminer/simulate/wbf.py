r"""Weak-boson fusion, ``q q' -> q q' H``, with ``H -> gamma gamma``.

**Channels.** An antiquark is counted as the opposite helicity of its quark. W bosons couple to
left-handed quarks only, hence W W fusion of two quarks or two antiquarks is of class "same", of a
quark and an antiquark "opposite". Z Z fusion has all combinations:

.. math::

    a_{\text{same}} = g_{L1}^2 g_{L2}^2 + g_{R1}^2 g_{R2}^2, \qquad
    a_{\text{opposite}} = g_{L1}^2 g_{R2}^2 + g_{R1}^2 g_{L2}^2

for two quarks, exchanged for a quark and an antiquark. The mixing of generations is neglected.

**Complete observables.** The squared amplitude of one class depends on the momenta up to a rotation
about and a boost along the beam: of the three outgoing particles five numbers remain. Which jet
comes from which quark line matters; in the channel "tutorial" the flavours tell, since line 1
(beam 1) ends in a d and line 2 (beam 2) in a u. Ordering the jets by transverse momentum or
rapidity instead loses this information where the lines cross. The mass of the two quarks follows
from the others. It is added for the sake of networks: the standard-model amplitude vanishes with
it, and the score grows without bound there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import ClassVar, Literal

import numpy as np
from particle import Particle

from madminer.checks import positive
from madminer.errors import OptionError, UnknownNameError
from madminer.models import AnalysisSetup
from madminer.simulate.electroweak import DOWN_QUARK, TUTORIAL_INPUTS, UP_QUARK, Electroweak
from madminer.simulate.events import PartonEvents
from madminer.simulate.parton_densities import DEFAULT_PDF
from madminer.simulate.phase_space import (
    FUSION_DIMENSIONS,
    GeneratorCuts,
    PhaseSpacePoints,
    decay_to_massless_pair,
    fusion_phase_space,
    lorentz,
)
from madminer.simulate.process import ChannelTable, ParticleRecord, Process, TheoryParameter
from madminer.simulate.setups import wbf_setup
from madminer.simulate.wbf_amplitude import (
    WBF_COMPONENTS,
    contract_currents,
    square_amplitude,
    tensor_amplitudes,
    w_fusion_factor,
    z_fusion_factor,
)
from madminer.typing import FloatArray, IntArray

# quark lines that emit a W+, from and to; the others emit a W-
_W_PLUS = {2: 1, 4: 3, -1: -2, -3: -4}
_W_MINUS = {after: before for before, after in _W_PLUS.items()}
_FLAVOURS = (1, 2, 3, 4, 5, -1, -2, -3, -4, -5)


@dataclass(frozen=True, slots=True)
class FusionClass:
    """A class of squared amplitudes.

    Args:
        boson: The bosons that fuse.
        is_opposite: Whether the helicities of the quark lines are opposite.
    """

    boson: Literal["w", "z"]
    is_opposite: bool


@dataclass(frozen=True, slots=True)
class FusionChannelSet:
    """A set of flavour channels that users choose by name.

    Args:
        description: The process in the syntax of MadGraph.
        classes: The classes of squared amplitudes that occur.
    """

    description: str
    classes: tuple[FusionClass, ...]


_WW = (FusionClass("w", is_opposite=False), FusionClass("w", is_opposite=True))
_ZZ = (FusionClass("z", is_opposite=False), FusionClass("z", is_opposite=True))
_ALL = _WW + _ZZ

WBF_CHANNELS = {
    "tutorial": FusionChannelSet("u d > d u h / z a QCD=0, h > a a", _WW[:1]),
    "ww": FusionChannelSet("p p > h j j $$ z w+ w- / a z QCD=0, h > a a", _WW),
    "zz": FusionChannelSet("p p > h j j $$ z w+ w- / a w+ w- QCD=0, h > a a", _ZZ),
    "pp": FusionChannelSet("p p > h j j $$ z w+ w- / a QCD=0, h > a a", _ALL),
}
"""Sets of channels by name."""


@cache
def fusion_channels(name: str, electroweak: Electroweak) -> ChannelTable:
    """Make the table of channels.

    Args:
        name: Key of `WBF_CHANNELS`.
        electroweak: Gives the couplings to the Z.

    Returns:
        The table; its classes are those of the set, in this order.
    """
    w_rows, z_rows = list(_w_rows()), list(_z_rows(electroweak))
    tutorial = [row for row in w_rows if row[0] == (2, 1)]
    rows = {"tutorial": tutorial, "ww": w_rows, "zz": z_rows, "pp": w_rows + z_rows}[name]
    incoming, outgoing, couplings = (np.array(column) for column in zip(*rows, strict=True))
    columns = [_ALL.index(kind) for kind in WBF_CHANNELS[name].classes]
    return ChannelTable(
        names=tuple(_channel_name(*row) for row in rows),
        incoming=incoming,
        outgoing=outgoing,
        couplings=couplings[:, columns],
    )


# Partons, quarks after the exchange, couplings of the classes `_ALL`
_Row = tuple[tuple[int, int], tuple[int, int], tuple[float, float, float, float]]


def _w_rows() -> Iterator[_Row]:
    for first, second in ((_W_PLUS, _W_MINUS), (_W_MINUS, _W_PLUS)):
        for one, two in product(first, second):
            couplings = (1.0, 0.0) if one * two > 0 else (0.0, 1.0)
            yield (one, two), (first[one], second[two]), (*couplings, 0.0, 0.0)


def _z_rows(electroweak: Electroweak) -> Iterator[_Row]:
    squares = {}
    for flavour in _FLAVOURS:
        quark = DOWN_QUARK if flavour % 2 else UP_QUARK
        squares[flavour] = [coupling**2 for coupling in electroweak.z_couplings(*quark)]
    for one, two in product(_FLAVOURS, _FLAVOURS):
        (left1, right1), (left2, right2) = squares[one], squares[two]
        same = left1 * left2 + right1 * right2
        opposite = left1 * right2 + right1 * left2
        couplings = (same, opposite) if one * two > 0 else (opposite, same)
        yield (one, two), (one, two), (0.0, 0.0, *couplings)


def _channel_name(
    incoming: tuple[int, int], outgoing: tuple[int, int], couplings: tuple[float, ...]
) -> str:
    one, two, three, four = (Particle.from_pdgid(i).name for i in (*incoming, *outgoing))
    bosons = "WW" if any(couplings[:2]) else "ZZ"
    return f"{one} {two} > {three} {four} h ({bosons})"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakBosonFusion(Process):
    r"""Higgs production in weak-boson fusion, followed by its decay to two photons.

    Events are drawn from the squared amplitude contracted with :math:`(1, 0, 0, k, 0, k)` in units
    of :math:`\theta = C v^2` (:math:`C` = 16.5 TeV^-2 at :math:`\theta = 1`), not at a parameter
    point. W W and Z Z fusion are added without interference; Z Z includes no photon exchange and
    no exchange of identical quarks.

    Args:
        channel: ``"tutorial"`` (u of beam 1, d of beam 2, W W), ``"ww"``, ``"zz"`` or ``"pp"``
            (both, all flavours).
        energy: Energy of the beams in their centre of mass, GeV.
        branching_ratio: Of the Higgs to two photons; 1 gives cross sections of ``q q H``.
        cuts: Cuts on the jets.
        scale: Factorisation scale in GeV, None for the W mass.
        mixture_share: :math:`k`; with 0.5 the effective number of events is 80% or more for
            :math:`|\theta| \leq 1`. Take 50 for points as far as :math:`|\theta| \sim 15`.
        pdf: Name of the parton densities.
        electroweak: Masses and couplings.

    Raises:
        UnknownNameError: If there is no such channel.
        OptionError: If a number lies outside its range.
    """

    channel: str = "tutorial"
    energy: float = 13_000.0
    branching_ratio: float = 2.27e-3
    cuts: GeneratorCuts = field(default_factory=GeneratorCuts)
    scale: float | None = None
    mixture_share: float = 0.5
    pdf: str = DEFAULT_PDF
    electroweak: Electroweak = TUTORIAL_INPUTS

    name: ClassVar[str] = "wbf"
    parameters: ClassVar[tuple[TheoryParameter, ...]] = (
        TheoryParameter("CWL2", "dim6", 2, "TeV^-2"),
        TheoryParameter("CPWL2", "dim6", 5, "TeV^-2"),
    )
    # incoming 1, 2; jets of the quark lines 1, 2; Higgs, photons
    record: ClassVar[ParticleRecord] = ParticleRecord(
        status=(-1, -1, 1, 1, 2, 1, 1),
        mothers=((0, 0), (0, 0), (1, 2), (1, 2), (1, 2), (5, 5), (5, 5)),
        colour_lines=((0, 2), (1, 3)),
    )
    n_dimensions: ClassVar[int] = FUSION_DIMENSIONS

    def __post_init__(self) -> None:
        if self.channel not in WBF_CHANNELS:
            raise UnknownNameError(
                f"Weak-boson fusion has no channel {self.channel!r}; choose one of "
                f"{list(WBF_CHANNELS)}."
            )
        for name in ("energy", "mixture_share", "branching_ratio"):
            positive(getattr(self, name), name)
        if self.scale is not None:
            positive(self.scale, "scale")
        if self.branching_ratio > 1.0:
            raise OptionError(f"branching_ratio must be <= 1, got {self.branching_ratio}.")
        threshold = self.electroweak.higgs_mass + 2.0 * self.cuts.jet_pt_min
        if self.energy <= threshold:
            raise OptionError(
                f"energy must exceed {threshold:g} GeV, the Higgs mass and the transverse momenta "
                f"of two jets; got {self.energy:g} GeV."
            )

    @property
    def description(self) -> str:
        """The process in the syntax of MadGraph."""
        return WBF_CHANNELS[self.channel].description

    @property
    def couplings(self) -> dict[str, dict[int, float]]:
        """Masses and inputs of the parameter card."""
        ew = self.electroweak
        return {
            "mass": {23: ew.z_mass, 24: ew.w_mass, 25: ew.higgs_mass},
            "sminputs": {1: 1.0 / ew.alpha, 2: ew.fermi},
        }

    @property
    def run_settings(self) -> dict[str, tuple[str | float, str]]:
        """Scale and cuts as in a run card of MadGraph, -1 for no cut on the pseudorapidity."""
        eta = self.cuts.jet_eta_max
        return {
            "fixed_fac_scale": ("True", "fixed factorisation scale"),
            "dsqrt_q2fact1": (self._scale, "in GeV"),
            "dsqrt_q2fact2": (self._scale, "in GeV"),
            "ptj": (self.cuts.jet_pt_min, "smallest pT of the jets in GeV"),
            "etaj": (eta if math.isfinite(eta) else -1.0, "largest |eta| of the jets"),
        }

    @property
    def components(self) -> IntArray:
        """Powers of (CWL2, CPWL2): 1, C, Ct, C^2, C Ct, Ct^2."""
        return WBF_COMPONENTS

    @property
    def mixture(self) -> FloatArray:
        r"""(1, 0, 0, k, 0, k) in units of :math:`\theta = C v^2`."""
        natural = (1e3 / self.electroweak.vev) ** 2  # C in TeV^-2 at theta = 1
        share = self.mixture_share * natural**2
        return np.array([1.0, 0.0, 0.0, share, 0.0, share])

    @property
    def channels(self) -> ChannelTable:
        """The flavour channels of the chosen set."""
        return fusion_channels(self.channel, self.electroweak)

    @property
    def rate_factor(self) -> float:
        """The branching ratio."""
        return self.branching_ratio

    def phase_space(self, uniform: FloatArray) -> PhaseSpacePoints:
        """Two jets and the Higgs, see `fusion_phase_space`."""
        return fusion_phase_space(
            uniform,
            energy=self.energy,
            mass=self.electroweak.higgs_mass,
            exchanged_mass=self.electroweak.w_mass,
            scale=self._scale,
            cuts=self.cuts,
        )

    def squared_amplitudes(self, points: PhaseSpacePoints) -> FloatArray:
        """Coefficients of the classes that the channel has, in TeV^-2."""
        p1, p2, p3, p4, _ = points.momenta
        virtualities = lorentz(p1 - p3, p1 - p3), lorentz(p2 - p4, p2 - p4)
        classes = WBF_CHANNELS[self.channel].classes
        polynomials = {}
        for opposite in {kind.is_opposite for kind in classes}:
            contractions = contract_currents(p1, p2, p3, p4, opposite=opposite)
            amplitudes = tensor_amplitudes(contractions, *virtualities)
            polynomials[opposite] = square_amplitude(*amplitudes)
        factors = {
            "w": w_fusion_factor(self.electroweak, *virtualities),
            "z": z_fusion_factor(self.electroweak, *virtualities),
        }
        return np.stack(
            [
                self._scales(kind)[:, np.newaxis]
                * factors[kind.boson]
                * polynomials[kind.is_opposite]
                for kind in classes
            ]
        )

    def complete(
        self, momenta: FloatArray, channels: IntArray, rng: np.random.Generator
    ) -> tuple[FloatArray, IntArray]:
        """Let the Higgs decay and name the particles."""
        photons = decay_to_massless_pair(momenta[:, 4], self.electroweak.higgs_mass, rng)
        decays = np.tile([25, 22, 22], (len(channels), 1))
        table = self.channels
        pdgids = np.concatenate([table.incoming[channels], table.outgoing[channels], decays], 1)
        return np.concatenate([momenta, photons], axis=1), pdgids

    def default_setup(self) -> AnalysisSetup:
        r"""CWL2 and CPWL2 with six benchmarks at :math:`|\theta| \leq 1`."""
        return wbf_setup()

    @property
    def _scale(self) -> float:
        return self.electroweak.w_mass if self.scale is None else self.scale

    def _scales(self, kind: FusionClass) -> FloatArray:
        # TeV^-2 to GeV^-2; the Z couples to O_W with cos^2(theta_W)
        unit = 1e-6 * (1.0 if kind.boson == "w" else self.electroweak.cos2)
        scales: FloatArray = unit ** WBF_COMPONENTS.sum(axis=1).astype(np.float64)
        return scales


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
