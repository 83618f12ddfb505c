"""Kinematic formulae against the package vector, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.expressions import columns as kinematics

MOMENTA = np.random.default_rng(7).normal(0.0, 80.0, (3, 500))
MASSES = np.random.default_rng(8).uniform(0.5, 200.0, 500)


@pytest.fixture(scope="module")
def momenta() -> vector.MomentumNumpy4D:
    px, py, pz = MOMENTA
    energy = np.sqrt(px**2 + py**2 + pz**2 + MASSES**2)
    return vector.array({"px": px, "py": py, "pz": pz, "E": energy})


def test_quantities_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    px, py, pz, energy = momenta.px, momenta.py, momenta.pz, momenta.E
    np.testing.assert_allclose(kinematics.transverse_momentum(px, py), momenta.pt, rtol=1e-12)
    np.testing.assert_allclose(kinematics.azimuth(px, py), momenta.phi, rtol=1e-12)
    np.testing.assert_allclose(kinematics.pseudorapidity(px, py, pz), momenta.eta, rtol=1e-12)
    np.testing.assert_allclose(kinematics.rapidity(pz, energy), momenta.rapidity, rtol=1e-9)
    np.testing.assert_allclose(kinematics.invariant_mass(px, py, pz, energy), MASSES, rtol=1e-8)


def test_angles_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    first, second = momenta[:250], momenta[250:]
    delta_phi = kinematics.azimuthal_difference(first.phi, second.phi)
    np.testing.assert_allclose(delta_phi, first.deltaphi(second), atol=1e-12)
    distance = kinematics.angular_distance(first.eta - second.eta, delta_phi)
    np.testing.assert_allclose(distance, first.deltaR(second), rtol=1e-9)


def test_boosts_agree_with_vector(momenta: vector.MomentumNumpy4D) -> None:
    first, second = momenta[:250], momenta[250:]
    expected = first.boost_p4(second)
    velocity = (second.px / second.E, second.py / second.E, second.pz / second.E)
    boosted = kinematics.boosted((first.px, first.py, first.pz, first.E), velocity)
    for component, name in zip(boosted, ("px", "py", "pz", "E"), strict=True):
        np.testing.assert_allclose(component, getattr(expected, name), rtol=1e-7, atol=1e-7)


def test_opposite_boosts_cancel(momenta: vector.MomentumNumpy4D) -> None:
    momentum = (momenta.px, momenta.py, momenta.pz, momenta.E)
    there = kinematics.boosted(momentum, (0.3, -0.4, 0.5))
    back = kinematics.boosted(there, (-0.3, 0.4, -0.5))
    np.testing.assert_allclose(back, momentum, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("speed", [1.0, 1.1])
def test_no_boost_at_the_speed_of_light(speed: float) -> None:
    with np.errstate(all="ignore"):
        energy = kinematics.boosted((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, np.float64(speed)))[3]
    assert not np.isfinite(energy)


@settings(deadline=None, derandomize=True)
@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
def test_azimuthal_differences_are_angles(first: float, second: float) -> None:
    difference = kinematics.azimuthal_difference(np.float64(first), np.float64(second))
    assert -np.pi < difference <= np.pi
    assert np.isclose(np.exp(1j * difference), np.exp(1j * (first - second)))


def test_the_cut_of_the_azimuth_belongs_to_plus_pi() -> None:
    assert kinematics.azimuth(np.float64(-1.0), np.float64(-0.0)) == np.pi
    assert kinematics.azimuthal_difference(np.float64(0.0), np.float64(np.pi)) == np.pi


def test_spacelike_masses_are_negative() -> None:
    mass = kinematics.invariant_mass(*(np.float64(p) for p in (3.0, 0.0, 4.0, 3.0)))
    assert mass == -4.0
