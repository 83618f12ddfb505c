"""Flavour channels of weak-boson fusion, and how channels are summed and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from madminer.simulate.electroweak import TUTORIAL_INPUTS
from madminer.simulate.process import ChannelTable
from madminer.simulate.wbf import WBF_CHANNELS, fusion_channels


def charge(flavour: int) -> float:
    size = 2.0 / 3.0 if abs(flavour) % 2 == 0 else -1.0 / 3.0
    return float(np.sign(flavour)) * size


@pytest.mark.parametrize(
    ("name", "n_channels"), [("tutorial", 1), ("ww", 32), ("zz", 100), ("pp", 132)]
)
def test_number_of_channels_and_conserved_charge(name: str, n_channels: int) -> None:
    table = fusion_channels(name, TUTORIAL_INPUTS)
    assert len(table.names) == len(set(table.names)) == n_channels
    assert table.couplings.shape == (n_channels, len(WBF_CHANNELS[name].classes))
    assert np.all(table.couplings.sum(axis=1) > 0.0)
    for incoming, outgoing in zip(table.incoming, table.outgoing, strict=True):
        assert sum(map(charge, incoming)) == pytest.approx(sum(map(charge, outgoing)))
        assert np.all(np.sign(incoming) == np.sign(outgoing))  # quark number of each line


def test_tutorial_is_u_from_beam_1_and_d_from_beam_2() -> None:
    table = fusion_channels("tutorial", TUTORIAL_INPUTS)
    assert table.incoming.tolist() == [[2, 1]]
    assert table.outgoing.tolist() == [[1, 2]]
    assert table.names == ("u d > d u h (WW)",)


def test_antiquarks_exchange_the_classes() -> None:
    table = fusion_channels("pp", TUTORIAL_INPUTS)
    rows = {
        (tuple(incoming), tuple(outgoing)): couplings
        for incoming, outgoing, couplings in zip(
            table.incoming.tolist(), table.outgoing.tolist(), table.couplings, strict=True
        )
    }
    np.testing.assert_array_equal(rows[(2, 1), (1, 2)], [1, 0, 0, 0])  # u d: same
    np.testing.assert_array_equal(rows[(-1, -2), (-2, -1)], [1, 0, 0, 0])  # dbar ubar: same
    np.testing.assert_array_equal(rows[(2, -2), (1, -1)], [0, 1, 0, 0])  # u ubar: opposite
    same, opposite = rows[(2, 1), (2, 1)][2:]
    np.testing.assert_array_equal(rows[(2, -1), (2, -1)][2:], [opposite, same])
    np.testing.assert_array_equal(rows[(-2, -1), (-2, -1)][2:], [same, opposite])


TABLE = ChannelTable(
    names=("a", "b", "c"),
    incoming=np.array([[2, 1], [1, 2], [2, 2]]),
    outgoing=np.array([[2, 1], [1, 2], [2, 2]]),
    couplings=np.array([[1.0, 0.5], [2.0, 0.0], [0.0, 3.0]]),
)


def test_luminosities_are_the_sum_over_channels() -> None:
    f1, f2 = np.random.default_rng(1).random((2, 20, 2))
    slow = np.zeros((2, 20))
    for (i, j), couplings in zip(TABLE.incoming, TABLE.couplings, strict=True):
        product = f1[:, TABLE.flavours.index(i)] * f2[:, TABLE.flavours.index(j)]
        slow += couplings[:, np.newaxis] * product
    np.testing.assert_allclose(TABLE.luminosities(f1, f2), slow)


def test_channels_are_drawn_by_their_share() -> None:
    n = 30_000
    f1, f2 = np.tile([0.3, 0.7], (n, 1)), np.tile([0.6, 0.4], (n, 1))
    densities = np.tile([[1.0], [0.2]], (1, n))
    drawn = TABLE.draw(f1, f2, densities, np.random.default_rng(2))
    # flavours are (1, 2): channels (2, 1), (1, 2), (2, 2)
    shares = np.array([0.7 * 0.6 * 1.1, 0.3 * 0.4 * 2.0, 0.7 * 0.4 * 0.6])
    counts = np.bincount(drawn, minlength=3)
    assert chisquare(counts, n * shares / shares.sum()).pvalue > 1e-3


def test_channel_without_density_is_never_drawn() -> None:
    f1, f2 = np.tile([0.0, 1.0], (1_000, 1)), np.tile([1.0, 0.0], (1_000, 1))
    drawn = TABLE.draw(f1, f2, np.ones((2, 1_000)), np.random.default_rng(3))
    assert set(drawn.tolist()) == {0}
