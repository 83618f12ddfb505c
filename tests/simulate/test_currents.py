"""Spinors, currents and determinants against textbook matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.simulate.wbf_amplitude import (
    left_handed_current,
    left_handed_spinor,
    levi_civita,
    lorentz,
)
from madminer.typing import FloatArray

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
SIGMA_BAR = np.concatenate([np.eye(2)[np.newaxis], -PAULI])
METRIC = np.diag([1.0, -1.0, -1.0, -1.0])

energies = st.floats(1.0, 1e4)
polar = st.floats(0.0, np.pi)
azimuthal = st.floats(-np.pi, np.pi)
momenta = st.tuples(energies, polar, azimuthal).map(lambda args: massless(*args))


def massless(energy: float, theta: float, phi: float) -> FloatArray:
    sine = np.sin(theta)
    return energy * np.array([1.0, sine * np.cos(phi), sine * np.sin(phi), np.cos(theta)])


@given(momenta)
def test_spinor_is_left_handed_and_normalised(p: FloatArray) -> None:
    spinor = np.array(left_handed_spinor(p))
    rotated = np.einsum("i,iab,b->a", p[1:], PAULI, spinor)
    np.testing.assert_allclose(rotated, -p[0] * spinor, atol=1e-12 * p[0] ** 1.5)
    assert np.vdot(spinor, spinor).real == pytest.approx(2.0 * p[0], rel=1e-12)


@given(momenta, momenta)
def test_current_is_that_of_the_pauli_matrices(p_in: FloatArray, p_out: FloatArray) -> None:
    incoming, outgoing = np.array(left_handed_spinor(p_in)), np.array(left_handed_spinor(p_out))
    slow = np.einsum("a,mab,b->m", outgoing.conj(), SIGMA_BAR, incoming)
    scale = np.sqrt(p_in[0] * p_out[0])
    np.testing.assert_allclose(left_handed_current(p_in, p_out), slow, atol=1e-13 * scale)


@settings(max_examples=200)
@given(momenta, momenta)
def test_current_is_conserved(p_in: FloatArray, p_out: FloatArray) -> None:
    current, q = left_handed_current(p_in, p_out), p_in - p_out
    scale = np.linalg.norm(q) * np.linalg.norm(current) + p_in[0] * p_out[0]
    # a few units in the last place of the terms of the sum
    assert abs(lorentz(current, q)) < 2e-15 * scale


def test_forward_current_is_twice_the_momentum() -> None:
    for z in (1.0, -1.0):
        p = 250.0 * np.array([1.0, 0.0, 0.0, z])
        np.testing.assert_allclose(left_handed_current(p, p), 2.0 * p, atol=1e-12)


def test_levi_civita_is_the_determinant() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 4, 50)) + 1j * rng.normal(size=(2, 4, 50))
    c, d = rng.normal(size=(2, 4, 50))
    rows = np.stack([a, b, c.astype(complex), d.astype(complex)])
    slow = np.linalg.det(np.moveaxis(rows, -1, 0))
    np.testing.assert_allclose(levi_civita(a, b, c, d), slow, rtol=1e-11)


def test_lorentz_product_uses_the_metric() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 4))
    assert lorentz(a, b) == pytest.approx(a @ METRIC @ b, rel=1e-13)
