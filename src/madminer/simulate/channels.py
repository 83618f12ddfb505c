r"""Flavour channels: which partons collide, and with which couplings.

The squared amplitudes of all channels are combinations of few classes, so that the sum over
flavours of a hundred channels costs as much as that over the classes:

.. math::

    \sum_{ij} f_i(x_1) f_j(x_2) |M_{ij}|^2 = \sum_k L_k\, |M_k|^2, \qquad
    L_k = \sum_c a_{ck}\, f_{i_c}(x_1)\, f_{j_c}(x_2)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.typing import FloatArray, IntArray

__all__ = ["ChannelTable"]


@dataclass(frozen=True, slots=True, eq=False)
class ChannelTable:
    """The flavour channels of a process.

    Args:
        names: Unique name of each channel, as ``"u d > d u h (WW)"``.
        incoming: PDG numbers of the partons of beam 1 and 2, shape ``(n_channels, 2)``.
        outgoing: PDG numbers of the outgoing particles that depend on the channel, shape
            ``(n_channels, n_outgoing)``.
        couplings: Factor :math:`a_{ck}` of each class of amplitudes, shape
            ``(n_channels, n_classes)``.
    """

    names: tuple[str, ...]
    incoming: IntArray
    outgoing: IntArray
    couplings: FloatArray

    @property
    def flavours(self) -> tuple[int, ...]:
        """Partons that occur, in increasing PDG number."""
        return tuple(int(flavour) for flavour in np.unique(self.incoming))

    @property
    def columns(self) -> IntArray:
        """Positions of the incoming partons among `flavours`, shape ``(n_channels, 2)``."""
        return np.searchsorted(self.flavours, self.incoming)

    @property
    def flavour_couplings(self) -> FloatArray:
        """Couplings by class and pair of partons, shape ``(n_classes, n_flavours, n_flavours)``."""
        n_flavours, (_, n_classes) = len(self.flavours), self.couplings.shape
        table = np.zeros((n_classes, n_flavours, n_flavours))
        for column, row in zip(self.columns, self.couplings, strict=True):
            table[:, column[0], column[1]] += row
        return table

    def luminosities(self, f1: FloatArray, f2: FloatArray) -> FloatArray:
        """Products of densities, summed over the channels with their couplings.

        Args:
            f1: Densities of `flavours` in beam 1, shape ``(n, n_flavours)``.
            f2: Densities of `flavours` in beam 2, shape ``(n, n_flavours)``.

        Returns:
            Luminosities of the classes, shape ``(n_classes, n)``.
        """
        return np.stack([np.sum((f1 @ table) * f2, axis=1) for table in self.flavour_couplings])

    def draw(
        self, f1: FloatArray, f2: FloatArray, densities: FloatArray, rng: np.random.Generator
    ) -> IntArray:
        """Draw the channel of each event in proportion to its share of the density.

        Args:
            f1: Densities of `flavours` in beam 1, shape ``(n, n_flavours)``.
            f2: Densities of `flavours` in beam 2, shape ``(n, n_flavours)``.
            densities: Sampled density of each class, shape ``(n_classes, n)``.
            rng: Source of randomness.

        Returns:
            Channels, shape ``(n,)``.
        """
        first, second = self.columns.T
        shares = f1[:, first] * f2[:, second] * (densities.T @ self.couplings.T)
        cumulative = np.cumsum(shares, axis=1)
        thresholds = rng.random(len(f1)) * cumulative[:, -1]
        # strict: a channel with zero share is never drawn
        channels: IntArray = np.sum(cumulative <= thresholds[:, np.newaxis], axis=1)
        return np.minimum(channels, len(self.names) - 1)
