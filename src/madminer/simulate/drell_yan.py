r"""Drell-Yan, ``q qbar -> mu- mu+``, with four-fermion operators: a second, instant process.

The squared matrix element is a polynomial in two operators. For quarks of helicity i and leptons
of helicity j,

.. math::

    A_{ij} = \frac{e^2 Q_q Q_l}{\hat s}
        + \frac{g_i^q g_j^l}{\hat s - M_Z^2 + i M_Z \Gamma_Z} + \delta_{iL}\delta_{jL}\, C, \qquad
    \overline{|M|^2} = \frac{1}{12} \sum_{ij} |2 k_{ij} A_{ij}|^2

with :math:`k = \hat u` for equal and :math:`\hat t` for opposite helicities, and
:math:`C = C_{lq}^{(1)} \mp C_{lq}^{(3)}` for up and down quarks.

References:
    Boughezal, Petriello, Wiegand, *Removing flat directions in SMEFT fits*, arXiv:2004.00748.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np
from particle import Particle

from madminer.checks import positive
from madminer.errors import OptionError
from madminer.models import AnalysisSetup
from madminer.simulate.electroweak import DOWN_QUARK, TUTORIAL_INPUTS, UP_QUARK, Electroweak
from madminer.simulate.parton_densities import DEFAULT_PDF
from madminer.simulate.phase_space import PhaseSpacePoints, lorentz
from madminer.simulate.process import ChannelTable, ParticleRecord, Process, TheoryParameter
from madminer.simulate.setups import drell_yan_setup
from madminer.typing import FloatArray, IntArray

DRELL_YAN_COMPONENTS = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
"""Powers of (clq1, clq3) in the squared matrix element."""


def drell_yan_components(
    quark: FloatArray,
    antiquark: FloatArray,
    lepton: FloatArray,
    antilepton: FloatArray,
    *,
    is_up: bool,
    electroweak: Electroweak,
    z_width: float,
) -> FloatArray:
    """Squared matrix element, averaged over initial and summed over final spins and colours.

    Args:
        quark: Momentum, shape ``(4, n)``, GeV.
        antiquark: Momentum.
        lepton: Momentum of the negative lepton.
        antilepton: Momentum of the positive lepton.
        is_up: Whether the quark is of up type.
        electroweak: Masses and couplings.
        z_width: Width of the Z in GeV.

    Returns:
        Coefficients of `DRELL_YAN_COMPONENTS` in powers of TeV^-2, shape ``(6, n)``.
    """
    s = 2.0 * lorentz(quark, antiquark)
    t, u = -2.0 * lorentz(quark, lepton), -2.0 * lorentz(quark, antilepton)
    isospin, charge = UP_QUARK if is_up else DOWN_QUARK
    photon = -4.0 * math.pi * electroweak.alpha * charge / s
    mass = electroweak.z_mass
    z = 1.0 / (s - mass**2 + 1j * mass * z_width)
    quarks = electroweak.z_couplings(isospin, charge)
    leptons = electroweak.z_couplings(-0.5, -1.0)
    amplitudes = {
        (i, j): photon + quarks[i] * leptons[j] * z for i in range(2) for j in range(2)
    }  # 0 left, 1 right
    standard = sum(
        (2.0 * (u if i == j else t) * np.abs(amplitude)) ** 2
        for (i, j), amplitude in amplitudes.items()
    )
    left = 4.0 * u**2 * 1e-6
    sign = -1.0 if is_up else 1.0  # of the triplet operator relative to the singlet
    linear, square = 2.0 * left * amplitudes[0, 0].real, left * 1e-6
    polynomial = [standard, linear, sign * linear, square, 2.0 * sign * square, square]
    return np.stack(polynomial) / 12.0  # spins 1/4, colours 1/3


@dataclass(frozen=True, slots=True, kw_only=True)
class DrellYan(Process):
    r"""Muon pairs from photon and Z, with the operators :math:`C_{lq}^{(1)}, C_{lq}^{(3)}`.

    The factorisation scale is the mass of the pair. The operators are flavour-universal.

    Args:
        energy: Energy of the beams in their centre of mass, GeV.
        mass_min: Smallest mass of the pair in GeV.
        mass_max: Largest mass of the pair in GeV.
        mixture_share: Weight of the quadratic terms in the sampled density, TeV^4.
        z_width: Width of the Z in GeV.
        pdf: Name of the parton densities.
        electroweak: Masses and couplings.

    Raises:
        OptionError: If a number lies outside its range.
    """

    energy: float = 13_000.0
    mass_min: float = 500.0
    mass_max: float = 10_000.0
    mixture_share: float = 0.05
    z_width: float = 2.4952
    pdf: str = DEFAULT_PDF
    electroweak: Electroweak = TUTORIAL_INPUTS

    name: ClassVar[str] = "drell_yan"
    parameters: ClassVar[tuple[TheoryParameter, ...]] = (
        TheoryParameter("clq1", "fourfermion", 1, "TeV^-2"),
        TheoryParameter("clq3", "fourfermion", 3, "TeV^-2"),
    )
    record: ClassVar[ParticleRecord] = ParticleRecord(
        status=(-1, -1, 1, 1), mothers=((0, 0), (0, 0), (1, 2), (1, 2)), colour_lines=((0, 1),)
    )
    n_dimensions: ClassVar[int] = 3

    def __post_init__(self) -> None:
        for name in ("energy", "mass_min", "mass_max", "mixture_share", "z_width"):
            positive(getattr(self, name), name)
        if not self.mass_min < min(self.mass_max, self.energy):
            raise OptionError(
                f"Drell-Yan needs 0 < mass_min < mass_max and mass_min < energy in GeV, got "
                f"{self.mass_min}, {self.mass_max} and {self.energy}."
            )

    @property
    def description(self) -> str:
        """The process in the syntax of MadGraph."""
        return "p p > mu- mu+ QCD=0"

    @property
    def couplings(self) -> dict[str, dict[int, float]]:
        """Masses and inputs of the parameter card."""
        ew = self.electroweak
        return {
            "mass": {23: ew.z_mass, 24: ew.w_mass},
            "sminputs": {1: 1.0 / ew.alpha, 2: ew.fermi},
        }

    @property
    def run_settings(self) -> dict[str, tuple[str | float, str]]:
        """Window of the mass."""
        return {
            "mmll": (self.mass_min, "smallest mass of the pair in GeV"),
            "mmllmax": (self.mass_max, "largest mass of the pair in GeV"),
        }

    @property
    def components(self) -> IntArray:
        """Powers of (clq1, clq3)."""
        return DRELL_YAN_COMPONENTS

    @property
    def mixture(self) -> FloatArray:
        """(1, 0, 0, k, 0, k)."""
        return np.array([1.0, 0.0, 0.0, self.mixture_share, 0.0, self.mixture_share])

    @property
    def channels(self) -> ChannelTable:
        """Five flavours, the quark from either beam."""
        return _channels()

    @property
    def rate_factor(self) -> float:
        """One."""
        return 1.0

    def phase_space(self, uniform: FloatArray) -> PhaseSpacePoints:
        r"""Map to the mass and rapidity of the pair and the angle of the muon.

        .. math:: dx_1 dx_2\, d\Phi_2 = \tau\, d\ln m^2\, dy\, \frac{d\cos\theta}{16\pi}
        """
        low, high = math.log(self.mass_min), math.log(min(self.mass_max, self.energy))
        log_mass = low + (high - low) * uniform[0]
        mass = np.exp(log_mass)
        most = math.log(self.energy) - log_mass  # largest rapidity
        rapidity = most * (2.0 * uniform[1] - 1.0)
        cosine = 2.0 * uniform[2] - 1.0
        tau = (mass / self.energy) ** 2
        x1, x2 = np.sqrt(tau) * np.exp(rapidity), np.sqrt(tau) * np.exp(-rapidity)
        volumes = tau * 2.0 * (high - low) * 2.0 * most * 2.0 / (16.0 * math.pi)
        everything = np.arange(uniform.shape[1])
        momenta = _pair(mass, rapidity, cosine)
        return PhaseSpacePoints(momenta, x1, x2, volumes, mass, everything)

    def squared_amplitudes(self, points: PhaseSpacePoints) -> FloatArray:
        """Classes: up and down quarks from beam 1, then from beam 2."""
        first, second, *leptons = points.momenta
        squared = partial(drell_yan_components, electroweak=self.electroweak, z_width=self.z_width)
        return np.stack(
            [
                squared(*quarks, *leptons, is_up=is_up)
                for quarks in ((first, second), (second, first))
                for is_up in (True, False)
            ]
        )

    def complete(
        self,
        momenta: FloatArray,
        channels: IntArray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> tuple[FloatArray, IntArray]:
        """Name the particles."""
        muons = np.tile([13, -13], (len(channels), 1))
        return momenta, np.concatenate([self.channels.incoming[channels], muons], axis=1)

    def default_setup(self) -> AnalysisSetup:
        """Both operators with six benchmarks."""
        return drell_yan_setup()


def _pair(mass: FloatArray, rapidity: FloatArray, cosine: FloatArray) -> FloatArray:
    """Momenta of quark and antiquark along the beams, muon and antimuon, ``(4, 4, n)``."""
    half, zero, sine = 0.5 * mass, np.zeros_like(mass), np.sqrt(1.0 - cosine**2)
    cosh, sinh = np.cosh(rapidity), np.sinh(rapidity)

    def moving(x: FloatArray, z: FloatArray) -> list[FloatArray]:
        # from the rest frame of the pair, momentum (1, x, 0, z) times half the mass
        return [half * (cosh + sinh * z), half * x, zero, half * (sinh + cosh * z)]

    one = np.ones_like(mass)
    return np.array(
        [moving(zero, one), moving(zero, -one), moving(sine, cosine), moving(-sine, -cosine)]
    )


@cache
def _channels() -> ChannelTable:
    quarks = (1, 2, 3, 4, 5)
    incoming = [(q, -q) for q in quarks] + [(-q, q) for q in quarks]
    columns = [q % 2 for q in quarks] + [2 + q % 2 for q in quarks]
    names = (tuple(Particle.from_pdgid(i).name for i in pair) for pair in incoming)
    return ChannelTable(
        names=tuple(f"{one} {two} > mu- mu+" for one, two in names),
        incoming=np.array(incoming),
        outgoing=np.zeros((len(incoming), 0), dtype=np.int64),
        couplings=np.eye(4)[columns],
    )
