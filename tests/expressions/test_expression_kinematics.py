"""Kinematic formulae against the package vector, and their laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.expressions.columns import MOMENTUM, ParticleColumns
from madminer.expressions.kernels import boost, delta_phi, delta_r

MOMENTA = np.random.default_rng(7).normal(0.0, 80.0, (3, 500))
MASSES = np.random.default_rng(8).uniform(0.5, 200.0, 500)


@pytest.fixture(scope="module")
def momenta() -> vector.MomentumNumpy4D:
    px, py, pz = MOMENTA
    energy = np.sqrt(px**2 + py**2 + pz**2 + MASSES**2)
    return vector.array({"px": px, "py": py, "pz": pz, "E": energy})


def particles(px: Any, py: Any, pz: Any, energy: Any) -> ParticleColumns:
    columns = {n: np.atleast_1d(c) for n, c in zip(MOMENTUM, (px, py, pz, energy), strict=True)}
    return ParticleColumns(len(columns["px"]), columns.__getitem__, columns)


def columns_of(momenta: vector.MomentumNumpy4D) -> ParticleColumns:
    return particles(momenta.px, momenta.py, momenta.pz, momenta.E)


def test_quantities_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    columns = columns_of(momenta)
    np.testing.assert_allclose(columns["pt"], momenta.pt, rtol=1e-12)
    np.testing.assert_allclose(columns["phi"], momenta.phi, rtol=1e-12)
    np.testing.assert_allclose(columns["eta"], momenta.eta, rtol=1e-12)
    np.testing.assert_allclose(columns["rapidity"], momenta.rapidity, rtol=1e-9)
    np.testing.assert_allclose(columns["m"], MASSES, rtol=1e-8)


def test_angles_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    first, second = momenta[:250], momenta[250:]
    pair = columns_of(first), columns_of(second)
    np.testing.assert_allclose(delta_phi(*pair), first.deltaphi(second), atol=1e-12)
    np.testing.assert_allclose(delta_r(*pair), first.deltaR(second), rtol=1e-9)


def test_boosts_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    first, second = momenta[:250], momenta[250:]
    expected = first.boost_p4(second)
    velocity = (second.px / second.E, second.py / second.E, second.pz / second.E)
    boosted = boost(columns_of(first), *velocity)
    for name in MOMENTUM:
        np.testing.assert_allclose(boosted[name], getattr(expected, name), rtol=1e-7, atol=1e-7)


def test_opposite_boosts_cancel(momenta: vector.MomentumNumpy4D) -> None:
    velocity = np.array([0.3, -0.4, 0.5])
    back = boost(boost(columns_of(momenta), *velocity), *-velocity)
    for name in MOMENTUM:
        np.testing.assert_allclose(back[name], getattr(momenta, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("speed", [1.0, 1.1])
def test_no_boost_at_the_speed_of_light(speed: float) -> None:
    with np.errstate(all="ignore"):
        moved = boost(particles(0.0, 0.0, 0.0, 1.0), *np.array([0.0, 0.0, speed]))
    assert not np.isfinite(moved["E"])


def azimuthal_difference(first: float, second: float) -> float:
    angles = (np.array([first]), np.array([second]))
    pair = [ParticleColumns(1, lambda _: np.array([np.nan]), {"phi": phi}) for phi in angles]
    return float(delta_phi(*pair).item())


@settings(deadline=None, derandomize=True)
@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
def test_azimuthal_differences_are_angles(first: float, second: float) -> None:
    difference = azimuthal_difference(first, second)
    assert -np.pi < difference <= np.pi
    assert np.isclose(np.exp(1j * difference), np.exp(1j * (first - second)))


def test_the_cut_of_the_azimuth_belongs_to_plus_pi() -> None:
    assert particles(-1.0, -0.0, 0.0, 1.0)["phi"] == np.pi
    assert azimuthal_difference(0.0, np.pi) == np.pi


def test_spacelike_masses_are_negative() -> None:
    assert particles(3.0, 0.0, 4.0, 3.0)["m"] == -4.0
