r"""Flavour channels of weak-boson fusion.

An antiquark is counted as the opposite helicity of its quark. W bosons couple to left-handed
quarks only, hence W W fusion of two quarks or two antiquarks is of class "same", of a quark and an
antiquark "opposite". Z Z fusion has all combinations:

.. math::

    a_{\text{same}} = g_{L1}^2 g_{L2}^2 + g_{R1}^2 g_{R2}^2, \qquad
    a_{\text{opposite}} = g_{L1}^2 g_{R2}^2 + g_{R1}^2 g_{L2}^2

for two quarks, exchanged for a quark and an antiquark. The mixing of generations is neglected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from particle import Particle

from madminer.simulate.channels import ChannelTable
from madminer.simulate.electroweak import Electroweak

__all__ = ["WBF_CHANNELS", "FusionChannelSet", "FusionClass", "fusion_channels"]

# quark lines that emit a W+, from and to; the others emit a W-
_W_PLUS = {2: 1, 4: 3, -1: -2, -3: -4}
_W_MINUS = {after: before for before, after in _W_PLUS.items()}
_FLAVOURS = (1, 2, 3, 4, 5, -1, -2, -3, -4, -5)


@dataclass(frozen=True, slots=True)
class FusionClass:
    """A class of squared amplitudes.

    Args:
        boson: The bosons that fuse.
        is_opposite: Whether the helicities of the quark lines are opposite.
    """

    boson: Literal["w", "z"]
    is_opposite: bool


class _Row(NamedTuple):
    """A channel: partons, quarks after the exchange, couplings of the classes `_ALL`."""

    incoming: tuple[int, int]
    outgoing: tuple[int, int]
    couplings: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FusionChannelSet:
    """A set of flavour channels that users choose by name.

    Args:
        description: The process in the syntax of MadGraph.
        classes: The classes of squared amplitudes that occur.
    """

    description: str
    classes: tuple[FusionClass, ...]


_WW = (FusionClass("w", is_opposite=False), FusionClass("w", is_opposite=True))
_ZZ = (FusionClass("z", is_opposite=False), FusionClass("z", is_opposite=True))
_ALL = _WW + _ZZ

WBF_CHANNELS = {
    "tutorial": FusionChannelSet("u d > d u h / z a QCD=0, h > a a", _WW[:1]),
    "ww": FusionChannelSet("p p > h j j $$ z w+ w- / a z QCD=0, h > a a", _WW),
    "zz": FusionChannelSet("p p > h j j $$ z w+ w- / a w+ w- QCD=0, h > a a", _ZZ),
    "pp": FusionChannelSet("p p > h j j $$ z w+ w- / a QCD=0, h > a a", _ALL),
}
"""Sets of channels by name."""


@cache
def fusion_channels(name: str, electroweak: Electroweak) -> ChannelTable:
    """Make the table of channels.

    Args:
        name: Key of `WBF_CHANNELS`.
        electroweak: Gives the couplings to the Z.

    Returns:
        The table; its classes are those of the set, in this order.
    """
    rows = _rows(name, electroweak)
    incoming = [row.incoming for row in rows]
    outgoing = [row.outgoing for row in rows]
    columns = [_ALL.index(kind) for kind in WBF_CHANNELS[name].classes]
    couplings = np.array([row.couplings for row in rows])[:, columns]
    return ChannelTable(
        names=tuple(map(_name, rows)),
        incoming=np.array(incoming),
        outgoing=np.array(outgoing),
        couplings=couplings,
    )


def _rows(name: str, electroweak: Electroweak) -> list[_Row]:
    if name == "tutorial":
        return [_Row((2, 1), (1, 2), (1.0, 0.0, 0.0, 0.0))]
    w_rows, z_rows = list(_w_rows()), list(_z_rows(electroweak))
    return {"ww": w_rows, "zz": z_rows, "pp": w_rows + z_rows}[name]


def _w_rows() -> Iterator[_Row]:
    for first, second in ((_W_PLUS, _W_MINUS), (_W_MINUS, _W_PLUS)):
        for one, two in product(first, second):
            couplings = (1.0, 0.0) if one * two > 0 else (0.0, 1.0)
            yield _Row((one, two), (first[one], second[two]), (*couplings, 0.0, 0.0))


def _z_rows(electroweak: Electroweak) -> Iterator[_Row]:
    for one, two in product(_FLAVOURS, _FLAVOURS):
        (left1, right1), (left2, right2) = (_z_squares(f, electroweak) for f in (one, two))
        same = left1 * left2 + right1 * right2
        opposite = left1 * right2 + right1 * left2
        couplings = (same, opposite) if one * two > 0 else (opposite, same)
        yield _Row((one, two), (one, two), (0.0, 0.0, *couplings))


def _z_squares(flavour: int, electroweak: Electroweak) -> tuple[float, float]:
    is_up = abs(flavour) % 2 == 0
    isospin, charge = (0.5, 2.0 / 3.0) if is_up else (-0.5, -1.0 / 3.0)
    left, right = electroweak.z_couplings(isospin, charge)
    return left**2, right**2


def _name(row: _Row) -> str:
    one, two = (Particle.from_pdgid(i).name for i in row.incoming)
    three, four = (Particle.from_pdgid(i).name for i in row.outgoing)
    bosons = "WW" if any(row.couplings[:2]) else "ZZ"
    return f"{one} {two} > {three} {four} h ({bosons})"
