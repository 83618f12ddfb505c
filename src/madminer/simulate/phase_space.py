r"""Phase space: cuts, and points of two massless jets with a heavy particle that decays.

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
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from madminer.errors import OptionError
from madminer.typing import BoolArray, FloatArray, IntArray

ComplexArray = NDArray[np.complexfloating]

A = TypeVar("A", FloatArray, ComplexArray)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorCuts:
    """Cuts on the jets while events are generated; the defaults are those of the tutorial.

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
        momenta: Incoming partons 1 and 2, then outgoing particles, components (E, x, y, z) in
            GeV, shape ``(n_particles, 4, n)``.
        x1: Momentum fraction of the parton from beam 1, shape ``(n,)``.
        x2: Momentum fraction of the parton from beam 2, shape ``(n,)``.
        volumes: Volume :math:`dx_1\,dx_2\,d\Phi` per unit of the unit cube, shape ``(n,)``.
        scale: Factorisation scale in GeV: one for all, or shape ``(n,)``.
        indices: Which of the given random points these are, shape ``(n,)``.
    """

    momenta: FloatArray
    x1: FloatArray
    x2: FloatArray
    volumes: FloatArray
    scale: float | FloatArray
    indices: IntArray


def lorentz(a: A, b: FloatArray | A) -> A:
    r"""Lorentz product :math:`a \cdot b = a^0 b^0 - \vec a \cdot \vec b`.

    Args:
        a: Four-vectors with their components first, shape ``(4, ...)``.
        b: Four-vectors, shape ``(4, ...)``.

    Returns:
        Products, shape ``(...)``.

    Examples:
        >>> lorentz(np.array([5.0, 0.0, 0.0, 3.0]), np.array([5.0, 0.0, 0.0, 3.0]))
        np.float64(16.0)
    """
    product: A = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]
    return product


def boost(momenta: FloatArray, frame: FloatArray, mass: float) -> FloatArray:
    r"""Boost momenta from the rest frame of a particle to the frame in which it has a momentum.

    .. math::

        E' = \frac{E_P E + \vec P\vec p}{M}, \qquad
        \vec p\,' = \vec p + \vec P\,\frac{E + E'}{E_P + M}

    Args:
        momenta: Momenta in the rest frame, shape ``(n, 4)``, GeV.
        frame: Momentum :math:`P` of the particle, shape ``(n, 4)``, GeV.
        mass: Mass :math:`M` of the particle in GeV.

    Returns:
        Boosted momenta, shape ``(n, 4)``.
    """
    product = np.sum(momenta[:, 1:] * frame[:, 1:], axis=1)
    energy = (frame[:, 0] * momenta[:, 0] + product) / mass
    stretch = (momenta[:, 0] + energy) / (frame[:, 0] + mass)
    space = momenta[:, 1:] + stretch[:, np.newaxis] * frame[:, 1:]
    return np.concatenate([energy[:, np.newaxis], space], axis=1)


def rotate_about_beam(momenta: FloatArray, azimuths: FloatArray) -> FloatArray:
    """Rotate the momenta of each event, ``(n, n_particles, 4)``, about the z axis, in radians."""
    cosine, sine = np.cos(azimuths)[:, np.newaxis], np.sin(azimuths)[:, np.newaxis]
    x, y = momenta[..., 1], momenta[..., 2]
    rotated = momenta.copy()
    rotated[..., 1] = cosine * x - sine * y
    rotated[..., 2] = sine * x + cosine * y
    return rotated


def decay_to_massless_pair(parent: FloatArray, mass: float, rng: np.random.Generator) -> FloatArray:
    """Decay a spinless particle into two massless ones, isotropically in its rest frame.

    Args:
        parent: Its momentum, shape ``(n, 4)``, GeV.
        mass: Its mass in GeV.
        rng: Source of randomness.

    Returns:
        Momenta of the two, shape ``(n, 2, 4)``; their sum is `parent`.
    """
    n = len(parent)
    cosine, azimuth = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1.0 - cosine**2)
    direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
    first = boost(0.5 * mass * np.insert(direction, 0, 1.0, axis=1), parent, mass)
    return np.stack([first, parent - first], axis=1)


FUSION_DIMENSIONS = 6
"""Random numbers that one point takes."""

# (2 pi)^4 [2 (2 pi)^3]^-3, the constants of three-particle phase space
_CONSTANTS = (2.0 * math.pi) ** 4 / (2.0 * (2.0 * math.pi) ** 3) ** 3


class _Kinematics(NamedTuple):
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
    kept = _Kinematics(*(values[..., indices] for values in kinematics))
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
