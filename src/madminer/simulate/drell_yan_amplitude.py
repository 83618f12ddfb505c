r"""Squared matrix element of ``q qbar -> l- l+`` as a polynomial in two four-fermion operators.

For quarks of helicity i and leptons of helicity j,

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

import numpy as np

from madminer.simulate.currents import lorentz
from madminer.simulate.electroweak import Electroweak
from madminer.typing import FloatArray

__all__ = ["DRELL_YAN_COMPONENTS", "drell_yan_components"]

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
    isospin, charge = (0.5, 2.0 / 3.0) if is_up else (-0.5, -1.0 / 3.0)
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
