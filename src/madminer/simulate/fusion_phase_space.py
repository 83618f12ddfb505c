r"""Phase space of two massless jets with a heavy particle between them.

Random numbers map to :math:`\ln(p_{T,i}^2 + \mu^2)`, :math:`\Delta\phi` and the light-cone
fractions :math:`X_1, X_2, z_1, z_2` natural to the exchange of bosons of mass :math:`\mu` in the
t-channel. With :math:`m_T` the transverse mass of the heavy particle,

.. math::

    X_1 z_1 \sqrt s = m_T e^{y_H}, \quad X_2 z_2 \sqrt s = m_T e^{-y_H}, \quad
    X_1 (1 - z_1) \sqrt s = p_{T1} e^{y_1}, \quad X_2 (1 - z_2) \sqrt s = p_{T2} e^{-y_2}

Everything is symmetric under rotations about the beam: the azimuth of jet 1 is zero here and
drawn when events are completed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from madminer.simulate.cuts import GeneratorCuts
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.typing import BoolArray, FloatArray

__all__ = ["FUSION_DIMENSIONS", "fusion_phase_space"]

FUSION_DIMENSIONS = 6
"""Random numbers that one point takes."""

# (2 pi)^4 [2 (2 pi)^3]^-3, the constants of three-particle phase space
_CONSTANTS = (2.0 * math.pi) ** 4 / (2.0 * (2.0 * math.pi) ** 3) ** 3


@dataclass(frozen=True, slots=True, eq=False)
class _Kinematics:
    """Transverse momenta and light-cone momenta E + z ("plus") and E - z ("minus"), GeV."""

    pt1: FloatArray
    pt2: FloatArray
    delta_phi: FloatArray
    plus: FloatArray  # jet 1, jet 2, heavy particle
    minus: FloatArray

    def momenta(self, energy: float, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Momenta of incoming partons, jets and heavy particle, shape ``(5, 4, n)``."""
        jet_x, jet_y = self.pt2 * np.cos(self.delta_phi), self.pt2 * np.sin(self.delta_phi)
        zero = np.zeros_like(x1)
        e1, e2 = 0.5 * energy * x1, 0.5 * energy * x2
        e, z = 0.5 * (self.plus + self.minus), 0.5 * (self.plus - self.minus)
        # delta phi is phi of jet 1 minus phi of jet 2, and phi of jet 1 is zero
        return np.array(
            [
                [e1, zero, zero, e1],
                [e2, zero, zero, -e2],
                [e[0], self.pt1, zero, z[0]],
                [e[1], jet_x, -jet_y, z[1]],
                [e[2], -self.pt1 - jet_x, jet_y, z[2]],
            ]
        )


def fusion_phase_space(
    uniform: FloatArray,
    *,
    energy: float,
    mass: float,
    exchanged_mass: float,
    scale: float,
    cuts: GeneratorCuts,
) -> PhaseSpacePoints:
    r"""Map random numbers to momenta of ``q q -> q q H``.

    .. math::

        dx_1 dx_2\, d\Phi_3 = (2\pi)^4\, \frac{2}{s}\, [2 (2\pi)^3]^{-3}\,
            d^2p_{T1}\, d^2p_{T2}\, dy_1\, dy_2\, dy_H

    Args:
        uniform: Points in the unit cube, shape ``(6, n)``.
        energy: Energy of the beams in their centre of mass, :math:`\sqrt s` in GeV.
        mass: Mass of the heavy particle in GeV.
        exchanged_mass: :math:`\mu` in GeV.
        scale: Factorisation scale in GeV, handed on.
        cuts: Cuts on the jets.

    Returns:
        The points that lie inside the cuts and the beams' energy; particles are the incoming
        partons 1 and 2, the jets 1 and 2 (of the quark lines 1 and 2) and the heavy particle.
    """
    with np.errstate(all="ignore"):  # points outside become infinite before they are dropped
        kinematics, volumes = _map(uniform, energy, mass, exchanged_mass, cuts)
        x1, x2 = kinematics.plus.sum(axis=0) / energy, kinematics.minus.sum(axis=0) / energy
        indices = np.flatnonzero(
            (volumes > 0.0) & (x1 < 1.0) & (x2 < 1.0) & _pass(kinematics, cuts)
        )
    kept = _Kinematics(
        kinematics.pt1[indices],
        kinematics.pt2[indices],
        kinematics.delta_phi[indices],
        kinematics.plus[:, indices],
        kinematics.minus[:, indices],
    )
    x1, x2 = x1[indices], x2[indices]
    return PhaseSpacePoints(kept.momenta(energy, x1, x2), x1, x2, volumes[indices], scale, indices)


def _map(
    uniform: FloatArray, energy: float, mass: float, exchanged_mass: float, cuts: GeneratorCuts
) -> tuple[_Kinematics, FloatArray]:
    s, mu2 = energy**2, exchanged_mass**2
    lowest = math.log(cuts.jet_pt_min**2 + mu2)
    pt_range = math.log(s / 4.0 + mu2) - lowest
    pt2_mu2 = np.exp(lowest + pt_range * uniform[:2])
    pt1, pt2 = np.sqrt(np.maximum(pt2_mu2 - mu2, 0.0))
    delta_phi = 2.0 * math.pi * (uniform[2] - 0.5)
    mt2 = mass**2 + pt1**2 + pt2**2 + 2.0 * pt1 * pt2 * np.cos(delta_phi)

    log_least = np.log(mt2 / s)  # smallest ln X1 X2; above zero the beams cannot make it
    log_x12 = log_least * uniform[3]
    log_x1 = log_x12 * uniform[4]
    distance = log_x12 - log_least
    log_z1 = -distance * uniform[5]
    rest1, rest2 = -np.expm1(log_z1), -np.expm1(-distance - log_z1)  # 1 - z
    plus1 = rest1 * np.exp(log_x1) * energy
    minus2 = rest2 * np.exp(log_x12 - log_x1) * energy
    plus_heavy = np.exp(log_x1 + log_z1) * energy

    volumes = (
        np.where(log_least < 0.0, _CONSTANTS * 2.0 / s, 0.0)
        * (2.0 * math.pi) ** 2  # both azimuths
        * (0.5 * pt_range) ** 2
        * (pt2_mu2[0] * pt2_mu2[1])  # d^2 pT = dphi (pT^2 + mu^2) d ln(pT^2 + mu^2) / 2
        * (log_least * log_x12 * distance)  # ranges of ln X1 X2, ln X1, ln z1
        / (rest1 * rest2)  # d(y1, y2, yH) / d(ln X1 X2, ln X1, ln z1)
    )
    plus = np.stack([plus1, pt2**2 / minus2, plus_heavy])
    minus = np.stack([pt1**2 / plus1, minus2, mt2 / plus_heavy])
    return _Kinematics(pt1, pt2, delta_phi, plus, minus), volumes


def _pass(kinematics: _Kinematics, cuts: GeneratorCuts) -> BoolArray:
    if math.isinf(cuts.jet_eta_max):
        return np.ones(kinematics.pt1.shape, dtype=np.bool_)
    # eta = ln(plus / minus) / 2 of massless jets
    eta = 0.5 * np.log(kinematics.plus[:2] / kinematics.minus[:2])
    inside: BoolArray = np.all(np.abs(eta) < cuts.jet_eta_max, axis=0)
    return inside
