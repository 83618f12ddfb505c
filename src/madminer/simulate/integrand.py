r"""The differential cross section of a process over the unit cube of random numbers.

.. math::

    d\sigma = \sum_{ij} f_i(x_1) f_j(x_2)\, \frac{|M_{ij}|^2}{2 \hat s}\, dx_1 dx_2\, d\Phi
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.simulate.electroweak import GEV2_PB
from madminer.simulate.parton_densities import load_parton_densities
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.simulate.process import Process
from madminer.typing import FloatArray, IntArray

__all__ = ["WeightedPoints", "weigh_points"]


@dataclass(frozen=True, slots=True, eq=False)
class WeightedPoints:
    """Points of phase space with everything that gives their weights.

    Args:
        points: Momenta and volumes of `n` points.
        amplitudes: Squared amplitudes of each class times flux, volume and unit, such that
            luminosities times these are cross sections in pb (and units of the parameters), shape
            ``(n_classes, n_components, n)``.
        densities1: Parton densities x f of the process's flavours in beam 1, ``(n, n_flavours)``.
        densities2: The same for beam 2.
        luminosities: Products of densities summed by class, shape ``(n_classes, n)``.
    """

    points: PhaseSpacePoints
    amplitudes: FloatArray
    densities1: FloatArray
    densities2: FloatArray
    luminosities: FloatArray

    def coefficients(self) -> FloatArray:
        """Cross section summed over flavours, in pb, shape ``(n_components, n)``."""
        total: FloatArray = np.einsum("kn,kcn->cn", self.luminosities, self.amplitudes)
        return total

    def densities(self, mixture: FloatArray) -> FloatArray:
        """Sampled density in pb, shape ``(n,)``.

        Args:
            mixture: Coefficients that contract the components, shape ``(n_components,)``.
        """
        total = np.zeros(self.luminosities.shape[1])
        for c in np.flatnonzero(mixture):  # few: faster than a matrix product over all
            total += mixture[c] * np.sum(self.luminosities * self.amplitudes[:, c], axis=0)
        return total

    def draw_channels(
        self, process: Process, chosen: IntArray, rng: np.random.Generator
    ) -> tuple[IntArray, FloatArray]:
        """Draw flavour channels of some points, and their share in each component.

        Args:
            process: The process.
            chosen: Indices of `m` points.
            rng: Source of randomness.

        Returns:
            Channels, shape ``(m,)``, and the coefficients of their squared amplitudes over the
            sampled density, shape ``(m, n_components)``.
        """
        table, amplitudes = process.channels, self.amplitudes[:, :, chosen]
        densities = np.einsum("c,kcn->kn", process.mixture, amplitudes)
        f1, f2 = self.densities1[chosen], self.densities2[chosen]
        channels = table.draw(f1, f2, densities, rng)
        selected = np.einsum("nk,kcn->nc", table.couplings[channels], amplitudes)
        return channels, selected / (selected @ process.mixture)[:, np.newaxis]


def weigh_points(
    process: Process, uniform: FloatArray, jacobian: FloatArray | None = None
) -> WeightedPoints:
    """Evaluate a process at points of the unit cube.

    Args:
        process: The process.
        uniform: Random numbers, shape ``(n_dimensions, n)``.
        jacobian: Factor on the volume of each point, shape ``(n,)``, None for one.

    Returns:
        The points inside the cuts, with amplitudes and luminosities.
    """
    points = process.phase_space(uniform)
    table, grid = process.channels, load_parton_densities(process.pdf)
    f1 = grid.momentum_densities(points.x1, points.scale, table.flavours)
    f2 = grid.momentum_densities(points.x2, points.scale, table.flavours)
    flux = 2.0 * points.x1 * points.x2 * process.energy**2
    # x1 x2 once more, because the densities are x f
    factor = GEV2_PB * process.rate_factor * points.volumes / (flux * points.x1 * points.x2)
    if jacobian is not None:
        factor *= jacobian[points.indices]
    amplitudes = process.squared_amplitudes(points) * factor
    return WeightedPoints(points, amplitudes, f1, f2, table.luminosities(f1, f2))
