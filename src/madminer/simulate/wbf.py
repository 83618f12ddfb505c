r"""Weak-boson fusion, ``q q' -> q q' H``, with ``H -> gamma gamma``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from madminer.errors import OptionError, UnknownNameError
from madminer.models import AnalysisSetup
from madminer.simulate.channels import ChannelTable
from madminer.simulate.currents import lorentz
from madminer.simulate.cuts import GeneratorCuts
from madminer.simulate.decay import decay_to_massless_pair
from madminer.simulate.electroweak import TUTORIAL_INPUTS, Electroweak
from madminer.simulate.fusion_phase_space import FUSION_DIMENSIONS, fusion_phase_space
from madminer.simulate.parton_densities import DEFAULT_PDF
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.simulate.process import ParticleRecord, Process, TheoryParameter
from madminer.simulate.setups import wbf_setup
from madminer.simulate.wbf_amplitude import (
    WBF_COMPONENTS,
    contract_currents,
    square_amplitude,
    tensor_amplitudes,
    w_fusion_factor,
    z_fusion_factor,
)
from madminer.simulate.wbf_channels import WBF_CHANNELS, FusionClass, fusion_channels
from madminer.typing import FloatArray, IntArray

__all__ = ["WeakBosonFusion"]


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
        _check_positive("energy", self.energy, "GeV")
        _check_positive("mixture_share", self.mixture_share)
        _check_positive("branching_ratio", self.branching_ratio)
        if self.scale is not None:
            _check_positive("scale", self.scale, "GeV")
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
        fermi = 1.0 / (math.sqrt(2.0) * ew.vev**2)
        return {
            "mass": {23: ew.z_mass, 24: ew.w_mass, 25: ew.higgs_mass},
            "sminputs": {1: 1.0 / ew.alpha, 2: fermi},
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
        polynomials = {
            opposite: square_amplitude(
                *tensor_amplitudes(
                    contract_currents(p1, p2, p3, p4, opposite=opposite), *virtualities
                )
            )
            for opposite in {kind.is_opposite for kind in classes}
        }
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


def _check_positive(name: str, value: float, unit: str = "") -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise OptionError(f"{name} must be positive, got {value} {unit}".rstrip() + ".")
