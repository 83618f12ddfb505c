"""Decays of particles without spin, and the boosts and rotations around them."""

from __future__ import annotations

import numpy as np

from madminer.typing import FloatArray

__all__ = ["boost", "decay_to_massless_pair", "rotate_about_beam"]


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
    """Rotate each event about the z axis.

    Args:
        momenta: Momenta, shape ``(n, n_particles, 4)``, GeV.
        azimuths: Angles in radians, shape ``(n,)``.

    Returns:
        Rotated momenta, shape ``(n, n_particles, 4)``.
    """
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
