r"""Phase space of two massless jets and a heavy particle between them.

Random numbers map to :math:`\ln(p_{T,i}^2 + \mu^2)`, :math:`\Delta\phi` and the light-cone
fractions :math:`X_1, X_2, z_1, z_2` that follow the t-channel exchange of a boson of mass
:math:`\mu`. With :math:`m_T` the transverse mass of the heavy particle,

.. math::

    X_1 z_1 \sqrt s = m_T e^{y_H}, \quad X_2 z_2 \sqrt s = m_T e^{-y_H}, \quad
    X_1 (1 - z_1) \sqrt s = p_{T1} e^{y_1}, \quad X_2 (1 - z_2) \sqrt s = p_{T2} e^{-y_2}

The phase space is symmetric under rotations about the beam, therefore the azimuth of jet 1 is
zero here and drawn when events are completed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from madminer.errors import OptionError
from madminer.typing import FloatArray

__all__ = ["GeneratorCuts", "PhaseSpacePoints", "fusion_phase_space"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorCuts:
    """Cuts on the jets while events are generated.

    Args:
        jet_pt_min: Smallest transverse momentum in GeV; 0 for none.
        jet_eta_max: Largest absolute pseudorapidity; infinity for none.

    Raises:
        OptionError: If a cut is negative or leaves nothing.
    """

    jet_pt_min: float = 20.0
    jet_eta_max: float = 5.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.jet_pt_min) and self.jet_pt_min >= 0.0):
            raise OptionError(f"jet_pt_min must be finite and >= 0 GeV, got {self.jet_pt_min}.")
        if not self.jet_eta_max > 0.0:
            raise OptionError(f"jet_eta_max must be > 0, got {self.jet_eta_max}.")

    @classmethod
    def none(cls) -> GeneratorCuts:
        """No cuts."""
        return cls(jet_pt_min=0.0, jet_eta_max=math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseSpacePoints:
    r"""Points of phase space that lie inside the cuts.

    Args:
        momenta: Incoming partons, then outgoing particles, GeV, shape ``(n_particles, 4, n)``.
        x1: Momentum fraction of the parton from beam 1, shape ``(n,)``.
        x2: Momentum fraction of the parton from beam 2, shape ``(n,)``.
        volumes: Phase-space volume :math:`dx_1 dx_2 d\Phi` for each point, shape ``(n,)``.
        scales: Factorisation scale in GeV: one for all, or shape ``(n,)``.
        indices: Which of the given random points these are, shape ``(n,)``.
    """

    momenta: FloatArray
    x1: FloatArray
    x2: FloatArray
    volumes: FloatArray
    scales: float | FloatArray
    indices: FloatArray


def fusion_phase_space(
    uniform: FloatArray, *, energy: float, mass: float, exchanged_mass: float, cuts: GeneratorCuts
) -> tuple[FloatArray, FloatArray, FloatArray]:
    r"""Map random numbers to momenta of ``q q -> q q H``.

    .. math::

        dx_1 dx_2\, d\Phi_3 = (2\pi)^4 \frac{2}{s} [2 (2\pi)^3]^{-3}
            d^2p_{T1}\, d^2p_{T2}\, dy_1\, dy_2\, dy_H, \qquad
        \frac{\partial(y_1, y_2, y_H)}{\partial(\ln X_1 X_2, \ln X_1, \ln z_1)}
            = \frac{1}{(1 - z_1)(1 - z_2)}

    Args:
        uniform: Points in the unit cube, shape ``(6, n)``.
        energy: Centre-of-mass energy of the beams in GeV.
        mass: Mass of the heavy particle in GeV.
        exchanged_mass: Mass :math:`\mu` of the exchanged boson in GeV.
        cuts: Cuts on the jets.

    Returns:
        Momenta of the five particles (incoming 1 and 2, jets 1 and 2, heavy particle), shape
        ``(5, 4, n)``; volumes, zero outside the cuts or above the beam energy, shape ``(n,)``;
        momentum fractions, shape ``(2, n)``.
    """
    s, mu2 = energy**2, exchanged_mass**2
    lowest, highest = math.log(cuts.jet_pt_min**2 + mu2), math.log(s / 4.0 + mu2)
    log_range = highest - lowest
    pt2_mu2 = np.exp(lowest + log_range * uniform[:2])
    pt1, pt2 = np.sqrt(np.maximum(pt2_mu2 - mu2, 0.0))
    delta_phi = 2.0 * np.pi * uniform[2] - np.pi
    higgs_pt2 = pt1**2 + pt2**2 + 2.0 * pt1 * pt2 * np.cos(delta_phi)
    higgs_mt = np.sqrt(mass**2 + higgs_pt2)
    log_least = 2.0 * np.log(higgs_mt / energy)  # ln(mT^2 / s)
    inside = log_least < 0.0
    log_least = np.where(inside, log_least, -1.0)
    log_x12 = log_least * (1.0 - uniform[3])
    log_x1 = log_x12 * (1.0 - uniform[4])
    distance = log_x12 - log_least
    log_z1 = -distance * uniform[5]
    log_z2 = -distance - log_z1
    big_x1, big_x2 = np.exp(log_x1), np.exp(log_x12 - log_x1)
    rest1, rest2 = -np.expm1(log_z1), -np.expm1(log_z2)  # 1 - z
    plus1, minus2 = big_x1 * rest1 * energy, big_x2 * rest2 * energy
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        minus1, plus2 = pt1**2 / plus1, pt2**2 / minus2
        plus_h = big_x1 * np.exp(log_z1) * energy
        minus_h = higgs_mt**2 / plus_h
        x1 = (plus1 + plus2 + plus_h) / energy
        x2 = (minus1 + minus2 + minus_h) / energy
        # eta = ln(plus/minus)/2 = ln(plus/pt) of a massless jet
        inside &= (x1 <= 1.0) & (x2 <= 1.0) & (np.abs(np.log(plus1 / pt1)) < cuts.jet_eta_max)
        inside &= np.abs(np.log(minus2 / pt2)) < cuts.jet_eta_max
        volumes = (
            (2.0 * np.pi) ** 4
            * (2.0 / s)
            * (2.0 * (2.0 * np.pi) ** 3) ** -3
            * (0.5 * log_range) ** 2
            * pt2_mu2[0]
            * pt2_mu2[1]
            * (2.0 * np.pi) ** 2
            * (-log_least * -log_x12 * distance)
            / (rest1 * rest2)
        )
    return inside, volumes, x1
