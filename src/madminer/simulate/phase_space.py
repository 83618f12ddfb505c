"""Points of phase space, the common currency of all processes."""

from __future__ import annotations

from dataclasses import dataclass

from madminer.typing import FloatArray, IntArray

__all__ = ["PhaseSpacePoints"]


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
