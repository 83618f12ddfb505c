"""Phase space: kinematics, cuts, and its volume against the closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from madminer.errors import OptionError
from madminer.simulate.phase_space import (
    FUSION_DIMENSIONS,
    GeneratorCuts,
    PhaseSpacePoints,
    fusion_phase_space,
)
from madminer.simulate.vegas import adapt_grid
from madminer.simulate.wbf_amplitude import lorentz
from madminer.typing import FloatArray

ENERGY, MASS = 2_000.0, 125.0


def points(
    uniform: FloatArray, cuts: GeneratorCuts | None = None, energy: float = ENERGY
) -> PhaseSpacePoints:
    return fusion_phase_space(
        uniform,
        energy=energy,
        mass=MASS,
        exchanged_mass=80.0,
        scale=80.0,
        cuts=GeneratorCuts.none() if cuts is None else cuts,
    )


def test_momentum_is_conserved_and_particles_are_on_shell() -> None:
    sample = points(np.random.default_rng(1).random((FUSION_DIMENSIONS, 5_000)))
    p1, p2, p3, p4, p5 = sample.momenta
    np.testing.assert_allclose(p1 + p2, p3 + p4 + p5, rtol=1e-9, atol=1e-9 * ENERGY)
    for p in (p1, p2, p3, p4):
        np.testing.assert_allclose(lorentz(p, p) / p[0] ** 2, 0.0, atol=1e-12)
    np.testing.assert_allclose(lorentz(p5, p5), MASS**2, rtol=1e-7)
    np.testing.assert_allclose(p1[0], 0.5 * ENERGY * sample.x1)
    np.testing.assert_allclose(p2[0], 0.5 * ENERGY * sample.x2)
    assert sample.x1.max() < 1.0
    assert sample.volumes.min() > 0.0


def test_cuts_hold() -> None:
    cuts = GeneratorCuts(jet_pt_min=50.0, jet_eta_max=1.5)
    sample = points(np.random.default_rng(2).random((FUSION_DIMENSIONS, 20_000)), cuts)
    assert 0 < len(sample.x1) < 20_000
    for jet in sample.momenta[2:4]:
        pt = np.hypot(jet[1], jet[2])
        assert pt.min() > 50.0 * (1.0 - 1e-12)
        assert np.abs(np.arcsinh(jet[3] / pt)).max() < 1.5


def test_indices_tell_which_points_were_kept() -> None:
    uniform = np.random.default_rng(3).random((FUSION_DIMENSIONS, 2_000))
    sample = points(uniform, GeneratorCuts())
    again = points(uniform[:, sample.indices], GeneratorCuts())
    np.testing.assert_array_equal(again.indices, np.arange(len(sample.indices)))
    np.testing.assert_array_equal(again.momenta, sample.momenta)


def test_volume_agrees_with_the_closed_form() -> None:
    r"""Integral of x1 x2 dx1 dx2 dPhi3, two massless particles and one of mass M.

    Phi3(s) = s / (256 pi^3) [1 - r^2 + 2 r ln r], r = M^2 / s (textbook result).
    """

    def exact(tau: float) -> float:
        r = MASS**2 / (tau * ENERGY**2)
        volume = tau * ENERGY**2 / (256.0 * math.pi**3) * (1.0 - r**2 + 2.0 * r * math.log(r))
        return -math.log(tau) * tau * volume  # -ln(tau): from x1 at fixed x1 x2

    expected, _ = quad(exact, (MASS / ENERGY) ** 2, 1.0)

    def integrand(uniform: FloatArray) -> FloatArray:
        sample = points(uniform)
        values = np.zeros(uniform.shape[1])
        values[sample.indices] = sample.volumes * sample.x1 * sample.x2
        return values

    rng = np.random.default_rng(4)
    grid = adapt_grid(integrand, FUSION_DIMENSIONS, rng)
    mapped, jacobian = grid.map(rng.random((FUSION_DIMENSIONS, 200_000)))
    values = integrand(mapped) * jacobian
    error = values.std() / math.sqrt(len(values))
    assert error / expected < 0.01
    assert abs(values.mean() - expected) < 3.5 * error


def test_bad_cuts_are_refused() -> None:
    with pytest.raises(OptionError, match="jet_pt_min"):
        GeneratorCuts(jet_pt_min=-1.0)
    with pytest.raises(OptionError, match="jet_eta_max"):
        GeneratorCuts(jet_eta_max=0.0)
