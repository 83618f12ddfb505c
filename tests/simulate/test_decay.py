"""Boosts, rotations and the decay to two photons."""

from __future__ import annotations

import numpy as np

from madminer.simulate.phase_space import boost, decay_to_massless_pair, rotate_about_beam

RNG = np.random.default_rng(7)
MASS = 125.0
SPACE = RNG.normal(scale=300.0, size=(20_000, 3))
PARENTS = np.column_stack([np.sqrt(MASS**2 + np.sum(SPACE**2, axis=1)), SPACE])


def squares(p: np.ndarray) -> np.ndarray:
    return p[..., 0] ** 2 - np.sum(p[..., 1:] ** 2, axis=-1)


def test_rest_is_boosted_to_the_frame() -> None:
    rest = np.tile([MASS, 0.0, 0.0, 0.0], (len(PARENTS), 1))
    np.testing.assert_allclose(boost(rest, PARENTS, MASS), PARENTS, rtol=1e-12)


def test_decay_conserves_momentum_and_masses() -> None:
    pair = decay_to_massless_pair(PARENTS, MASS, np.random.default_rng(1))
    np.testing.assert_allclose(pair.sum(axis=1), PARENTS, rtol=1e-12)
    np.testing.assert_allclose(squares(pair) / pair[..., 0] ** 2, 0.0, atol=1e-8)
    assert pair[..., 0].min() > 0.0


def test_decay_is_isotropic_in_the_rest_frame() -> None:
    pair = decay_to_massless_pair(PARENTS, MASS, np.random.default_rng(2))
    back = PARENTS * np.array([1.0, -1.0, -1.0, -1.0])
    rest = boost(pair[:, 0], back, MASS)
    np.testing.assert_allclose(rest[:, 0], 0.5 * MASS, rtol=1e-9)
    cosines = rest[:, 1:] / rest[:, :1]
    assert np.all(np.abs(cosines.mean(axis=0)) < 4.0 / np.sqrt(3.0 * len(cosines)))
    np.testing.assert_allclose(cosines.T @ cosines / len(cosines), np.eye(3) / 3.0, atol=0.01)


def test_rotation_keeps_the_beam_axis() -> None:
    momenta = PARENTS.reshape(-1, 2, 4)
    angles = np.linspace(-3.0, 3.0, len(momenta))
    rotated = rotate_about_beam(momenta, angles)
    np.testing.assert_array_equal(rotated[..., [0, 3]], momenta[..., [0, 3]])
    np.testing.assert_allclose(squares(rotated), squares(momenta), rtol=1e-9)
    turned = np.arctan2(rotated[..., 2], rotated[..., 1]) - np.arctan2(
        momenta[..., 2], momenta[..., 1]
    )
    np.testing.assert_allclose(np.cos(turned), np.cos(angles)[:, None] * np.ones((1, 2)))
