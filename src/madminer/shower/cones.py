r"""Which particles of the same event are close to each other: sums in cones, nearest neighbours.

Distances are :math:`\Delta R = (\Delta\eta^2 + \Delta\phi^2)^{1/2}`.
"""

from __future__ import annotations

import numpy as np

from madminer.reading.objects import FlatParticles
from madminer.typing import BoolArray, FloatArray, IntArray

_ALONG_THE_BEAM = 1e-12  # GeV, instead of no transverse momentum at all


def directions(particles: FlatParticles) -> FloatArray:
    """Pseudorapidity and azimuth, shape ``(2, n)``; along the beam the first is some 40."""
    eta = np.arcsinh(particles.pz / np.maximum(particles.pt, _ALONG_THE_BEAM))
    return np.stack([eta, np.arctan2(particles.py, particles.px)])


def pairs_of_event(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs of two kinds of particles that belong to the same event.

    Args:
        left: Number of particles of the first kind in each event, shape ``(n_events,)``.
        right: The same of the second kind.

    Returns:
        Positions of the first and second partner, shape ``(n_pairs,)`` each, the pairs of each
        first partner together.

    Examples:
        >>> pairs_of_event(np.array([1, 1]), np.array([0, 2]))
        (array([1, 1]), array([0, 1]))
    """
    partners = np.repeat(right, left)  # of each particle of the first kind
    begins = np.repeat(np.cumsum(right) - right, left)
    ends = np.cumsum(partners)
    within = np.arange(int(partners.sum())) - np.repeat(ends - partners, partners)
    return np.repeat(np.arange(len(partners)), partners), np.repeat(begins, partners) + within


def are_close(left: FlatParticles, right: FlatParticles, radius: float) -> BoolArray:
    """Which particles have a particle of another kind within a radius, shape ``(n_left,)``."""
    i, _ = _close_pairs(left, right, radius)
    return np.bincount(i, minlength=len(left.pdgid)) > 0


def sums_in_cones(
    centres: FlatParticles, others: FlatParticles, values: FloatArray, radius: float
) -> FloatArray:
    """Sums over what is around particles, themselves included.

    Args:
        centres: The particles.
        others: What may be around them.
        values: What is summed, one number for each of the others, shape ``(n_others,)``.
        radius: Radius of the cones.

    Returns:
        Sums, shape ``(n_centres,)``.
    """
    i, j = _close_pairs(centres, others, radius)
    return np.bincount(i, weights=values[j], minlength=len(centres.pdgid)).astype(np.float64)


def _close_pairs(
    left: FlatParticles, right: FlatParticles, radius: float
) -> tuple[IntArray, IntArray]:
    i, j = pairs_of_event(left.counts, right.counts)
    (eta, phi), (others_eta, others_phi) = directions(left), directions(right)
    near = np.abs(eta[i] - others_eta[j]) <= radius  # most are not, which saves the rest
    i, j = i[near], j[near]
    delta_phi = np.abs(phi[i] - others_phi[j])
    delta_phi = np.minimum(delta_phi, 2.0 * np.pi - delta_phi)
    close = (eta[i] - others_eta[j]) ** 2 + delta_phi**2 <= radius**2
    return i[close], j[close]
