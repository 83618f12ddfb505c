r"""Kinematics of four-momenta: pure functions of arrays, units GeV and radians.

Conventions: the beam is along z, :math:`\phi \in (-\pi, \pi]`, and masses of spacelike momenta
are negative, :math:`m = \mathrm{sign}(m^2)\sqrt{|m^2|}` (as in the package *vector*). Where a
quantity does not exist (the pseudorapidity along the beam) the result is not finite.
"""

from __future__ import annotations

import numpy as np

from madminer.typing import FloatArray

__all__ = [
    "angular_distance",
    "azimuth",
    "azimuthal_difference",
    "boosted",
    "invariant_mass",
    "pseudorapidity",
    "rapidity",
    "transverse_momentum",
]


def transverse_momentum(px: FloatArray, py: FloatArray) -> FloatArray:
    """Momentum orthogonal to the beam, :math:`p_T = (p_x^2 + p_y^2)^{1/2}`."""
    return np.hypot(px, py)


def azimuth(px: FloatArray, py: FloatArray) -> FloatArray:
    r"""Azimuthal angle in :math:`(-\pi, \pi]`."""
    angle: FloatArray = np.arctan2(py + 0.0, px)  # + 0.0 turns -0.0 into 0.0, hence -pi into pi
    return angle


def pseudorapidity(px: FloatArray, py: FloatArray, pz: FloatArray) -> FloatArray:
    r"""Pseudorapidity :math:`\eta = \mathrm{arsinh}(p_z / p_T)`, infinite along the beam."""
    eta: FloatArray = np.arcsinh(pz / np.hypot(px, py))
    return eta


def rapidity(pz: FloatArray, energy: FloatArray) -> FloatArray:
    r"""Rapidity :math:`y = \frac{1}{2} \ln \frac{E + p_z}{E - p_z}`."""
    y: FloatArray = 0.5 * np.log((energy + pz) / (energy - pz))
    return y


def invariant_mass(
    px: FloatArray, py: FloatArray, pz: FloatArray, energy: FloatArray
) -> FloatArray:
    r"""Mass :math:`m = \mathrm{sign}(m^2) \sqrt{|m^2|}` with :math:`m^2 = E^2 - \vec p^2`."""
    squared = energy**2 - (px**2 + py**2 + pz**2)
    mass: FloatArray = np.copysign(np.sqrt(np.abs(squared)), squared)
    return mass


def azimuthal_difference(first: FloatArray, second: FloatArray) -> FloatArray:
    r"""Difference of two azimuthal angles, :math:`\phi_1 - \phi_2` in :math:`(-\pi, \pi]`.

    Args:
        first: Angles in radians, any shape.
        second: Angles in radians, same shape.

    Returns:
        Differences in radians, same shape.

    Examples:
        >>> float(azimuthal_difference(np.array(3.0), np.array(-3.0)))
        -0.28318530717958623
    """
    difference = first - second
    return difference - 2.0 * np.pi * np.ceil((difference - np.pi) / (2.0 * np.pi))


def angular_distance(delta_eta: FloatArray, delta_phi: FloatArray) -> FloatArray:
    r"""Distance :math:`\Delta R = (\Delta\eta^2 + \Delta\phi^2)^{1/2}`."""
    return np.hypot(delta_eta, delta_phi)


def boosted(
    momentum: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    velocity: tuple[FloatArray, FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    r"""Four-momenta after an active boost: a particle at rest then moves with `velocity`.

    .. math::

        E' = \gamma (E + \vec\beta \cdot \vec p), \qquad
        \vec p' = \vec p + \left(\frac{\gamma^2}{1 + \gamma} \vec\beta \cdot \vec p
        + \gamma E\right) \vec\beta

    Args:
        momentum: Components (px, py, pz, E) in GeV, each of shape ``(n,)``.
        velocity: Components of :math:`\vec\beta` in units of the speed of light, each of shape
            ``(n,)``; not finite results at and above the speed of light.

    Returns:
        Components (px, py, pz, E), each of shape ``(n,)``.

    Examples:
        >>> [float(p) for p in boosted((0.0, 0.0, 0.0, 4.0), (0.0, 0.0, 0.6))]
        [0.0, 0.0, 3.0, 5.0]
    """
    px, py, pz, energy = momentum
    bx, by, bz = velocity
    gamma = 1.0 / np.sqrt(1.0 - (bx**2 + by**2 + bz**2))
    along = bx * px + by * py + bz * pz
    factor = gamma**2 / (1.0 + gamma) * along + gamma * energy
    return px + factor * bx, py + factor * by, pz + factor * bz, gamma * (energy + along)
