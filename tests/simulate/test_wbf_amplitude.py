"""The matrix element of weak-boson fusion at a point, against MadGraph and its own laws."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.simulate.electroweak import TUTORIAL_INPUTS, Electroweak
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.simulate.wbf import WeakBosonFusion
from madminer.simulate.wbf_amplitude import (
    WBF_COMPONENTS,
    contract_currents,
    left_handed_current,
    lorentz,
    square_amplitude,
    tensor_amplitudes,
    w_fusion_factor,
)
from madminer.typing import FloatArray


def direction(theta: float, phi: float) -> FloatArray:
    sine = np.sin(theta)
    return np.array([1.0, sine * np.cos(phi), sine * np.sin(phi), np.cos(theta)])


P1 = 500.0 * np.array([1.0, 0.0, 0.0, 1.0])
P2 = 500.0 * np.array([1.0, 0.0, 0.0, -1.0])
P3 = 400.0 * direction(0.2, 0.3)
P4 = 401.08300680428 * direction(2.8, 1.9)
TEV = 1e-6 ** WBF_COMPONENTS.sum(axis=1)


def components(p1: FloatArray, p2: FloatArray, p3: FloatArray, p4: FloatArray) -> FloatArray:
    """W W, u d -> d u, spin averaged, in TeV^-2."""
    v1, v2 = lorentz(p1 - p3, p1 - p3), lorentz(p2 - p4, p2 - p4)
    amplitudes = tensor_amplitudes(contract_currents(p1, p2, p3, p4), v1, v2)
    return w_fusion_factor(TUTORIAL_INPUTS, v1, v2) * (square_amplitude(*amplitudes).T * TEV).T


def random_boost(rng: np.random.Generator) -> FloatArray:
    """A boost up to 0.9 c in any direction after any rotation, shape (4, 4)."""
    beta = rng.uniform(0.1, 0.9) * direction(np.arccos(rng.uniform(-1, 1)), rng.uniform(0, 6))[1:]
    gamma = 1.0 / np.sqrt(1.0 - beta @ beta)
    boost = np.eye(4)
    boost[0, 0], boost[0, 1:], boost[1:, 0] = gamma, gamma * beta, gamma * beta
    boost[1:, 1:] += (gamma - 1.0) * np.outer(beta, beta) / (beta @ beta)
    rotation = np.eye(4)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation[1:, 1:] = orthogonal * np.sign(np.linalg.det(orthogonal))
    return boost @ rotation


def test_components_at_the_reference_point() -> None:
    # specification of the embedded generator
    expected = [4.0709466448e-4, -1.2150446204e-5, 2.2754932081e-5]
    expected += [9.5099817e-8, -3.4040593e-7, 3.1801540e-7]
    got = components(P1, P2, P3, P4)
    np.testing.assert_allclose(got[:3], expected[:3], rtol=1e-10)
    np.testing.assert_allclose(got[3:], expected[3:], rtol=2e-8)  # digits given
    theta = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 9.0])
    assert got @ theta == pytest.approx(4.522586706036e-4, rel=1e-12)


@pytest.mark.parametrize(
    ("even", "odd", "expected"),
    [
        (0.0, 0.0, 4.226896868522e-4),
        (1.0, 0.0, 4.140620975163e-4),
        (0.0, 1.0, 2.300974961042e-4),
        (1.0, 1.0, 2.240228437995e-4),
    ],
)
def test_smeftsim_values_of_madgraph(even: float, odd: float, expected: float) -> None:
    """MadGraph5_aMC@NLO 3.5.7, SMEFTsim, cHW and cHWtil with Lambda = 1 TeV."""
    ew = Electroweak.from_w_mass(w_mass=80.387, fermi=1.166379e-5, z_mass=91.1876)
    v1, v2 = lorentz(P1 - P3, P1 - P3), lorentz(P2 - P4, P2 - P4)
    parts = contract_currents(P1, P2, P3, P4)
    strength = 8e-6 / ew.weak_coupling**2
    amplitude = parts.metric - strength * (even * parts.field_strength - odd * parts.dual)
    got = w_fusion_factor(ew, v1, v2) * abs(amplitude) ** 2
    assert float(got) == pytest.approx(expected, rel=1e-11)


def test_lorentz_invariance() -> None:
    rng = np.random.default_rng(3)
    rest = components(P1, P2, P3, P4)
    for _ in range(50):
        boost = random_boost(rng)
        moved = components(*(boost @ p for p in (P1, P2, P3, P4)))
        np.testing.assert_allclose(moved, rest, rtol=1e-12)


def test_currents_are_conserved_at_the_reference_point() -> None:
    for p_in, p_out in ((P1, P3), (P2, P4)):
        current, q = left_handed_current(p_in, p_out), p_in - p_out
        size = np.abs(current) @ np.abs(q)
        assert abs(lorentz(current, q)) / size < 2e-16


def test_standard_model_has_a_closed_form() -> None:
    parts = contract_currents(P1, P2, P3, P4)
    assert abs(parts.metric) ** 2 == pytest.approx(16.0 * lorentz(P1, P2) * lorentz(P3, P4))
    crossed = contract_currents(P1, P2, P3, P4, opposite=True)
    assert abs(crossed.metric) ** 2 == pytest.approx(16.0 * lorentz(P1, P4) * lorentz(P2, P3))


@pytest.mark.parametrize("opposite", [False, True])
def test_contraction_with_the_written_out_tensor(opposite: bool) -> None:
    even, odd = 2.3e-6, -1.7e-6
    metric = np.diag([1.0, -1.0, -1.0, -1.0])
    epsilon = np.zeros((4, 4, 4, 4))
    for permutation in np.ndindex(4, 4, 4, 4):
        if len(set(permutation)) == 4:
            epsilon[permutation] = np.linalg.det(np.eye(4)[list(permutation)])
    q1, q2 = P1 - P3, P2 - P4
    v1, v2 = q1 @ metric @ q1, q2 @ metric @ q2
    lower1, lower2 = metric @ q1, metric @ q2
    # T with lower indices, contracted with the contravariant currents
    tensor = metric * (1.0 + 0.5 * even * (v1 + v2) + even * (q1 @ metric @ q2))
    tensor = tensor - even * np.outer(lower2, lower1)
    tensor = tensor - 2.0 * odd * np.einsum("mnab,a,b->mn", epsilon, q1, q2)
    j1, j2 = left_handed_current(P1, P3), left_handed_current(P2, P4)
    slow = j1 @ tensor @ (j2.conj() if opposite else j2)
    standard, first, second = tensor_amplitudes(
        contract_currents(P1, P2, P3, P4, opposite=opposite), v1, v2
    )
    assert standard + even * first + odd * second == pytest.approx(slow, rel=1e-11)


def test_parity_flips_the_odd_components_only() -> None:
    mirror = np.array([1.0, 1.0, -1.0, 1.0])
    flipped = components(*(p * mirror for p in (P1, P2, P3, P4)))
    signs = (-1.0) ** WBF_COMPONENTS[:, 1]
    np.testing.assert_allclose(flipped, signs * components(P1, P2, P3, P4), rtol=1e-11)


def test_z_fusion_reduces_to_w_fusion_with_its_couplings_and_masses() -> None:
    """With equal masses the Z Z amplitude is that of W W up to the couplings of the lines."""
    nearly = Electroweak(w_mass=80.0, z_mass=80.0 * (1 + 1e-9), weak_coupling=0.65)
    momenta = np.stack([P1, P2, P3, P4, P1 + P2 - P3 - P4])[..., np.newaxis]
    ones = np.ones(1)
    points = PhaseSpacePoints(momenta, ones, ones, ones, 80.0, np.zeros(1, dtype=int))
    process = WeakBosonFusion(channel="pp", electroweak=nearly)
    w_same, w_opposite, z_same, z_opposite = process.squared_amplitudes(points)
    lines = (nearly.weak_coupling**2 / 2.0) ** 2
    np.testing.assert_allclose(w_same, lines * z_same, rtol=1e-7)
    np.testing.assert_allclose(w_opposite, lines * z_opposite, rtol=1e-7)
