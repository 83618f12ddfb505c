"""Drell-Yan: cross sections, amplitudes and events of the second process."""

from __future__ import annotations

import math

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.io.lhe import read_lhe
from madminer.simulate import DrellYan, integrate, simulate, write_parton_events
from madminer.simulate.drell_yan import drell_yan_components
from madminer.simulate.electroweak import GEV2_PB, Electroweak
from madminer.simulate.parton_densities import load_parton_densities

# the photon alone: no coupling to the Z at infinite mass
QED = Electroweak(w_mass=80e6, z_mass=91e6, weak_coupling=0.65)


def pair(s: float, cosine: float) -> tuple[np.ndarray, ...]:
    half, sine = 0.5 * math.sqrt(s), math.sqrt(1.0 - cosine**2)
    axis, tilted = np.array([0.0, 0.0, 1.0]), np.array([sine, 0.0, cosine])
    return tuple(half * np.array([1.0, *v]) for v in (axis, -axis, tilted, -tilted))


def test_photon_exchange_has_the_textbook_form() -> None:
    s, cosine = 100.0**2, 0.3
    got = drell_yan_components(*pair(s, cosine), is_up=True, electroweak=QED, z_width=1.0)
    # sum over spins, averaged: 2 e^4 Q^2 (t^2 + u^2) / s^2, a third for colour
    charge4 = (4.0 * math.pi * QED.alpha) ** 2
    assert got[0] == pytest.approx(charge4 * 4.0 / 9.0 * (1.0 + cosine**2) / 3.0, rel=1e-6)


def test_contact_terms_follow_isospin() -> None:
    up, down = (
        drell_yan_components(*pair(4e5, 0.2), is_up=u, electroweak=QED, z_width=1.0)
        for u in (True, False)
    )
    np.testing.assert_allclose([up[2], up[4]], [-up[1], -2.0 * up[3]])  # C1 - C3
    np.testing.assert_allclose([down[2], down[4]], [down[1], 2.0 * down[3]])  # C1 + C3
    assert up[1] < 0.0 < down[1]  # interference with the photon: sign of the charges


def test_cross_section_at_the_z_peak() -> None:
    got = integrate(DrellYan(mass_min=60.0, mass_max=120.0), 40_000, seed=1)
    own = math.sqrt(got.covariance[0, 0])
    # specification of the embedded generator: 1443(3) pb; Pythia 1446(2), other inputs
    assert own < 2.5
    assert abs(got.values[0] - 1443.0) < 3.0 * math.hypot(own, 3.0)
    assert got.values[0] == pytest.approx(1446.0, rel=0.01)


def test_cross_section_at_high_mass() -> None:
    got = integrate(DrellYan(mass_min=500.0), 200_000, seed=2)
    # specification: 0.0824 pb; relative to it -1.63, +5.52 per TeV^-2 and 20.9 per TeV^-4,
    # without errors: a few percent are left for them
    own = math.sqrt(got.covariance[0, 0])
    assert own < 0.003 * 0.0824
    assert abs(got.values[0] - 0.0824) < 3.0 * math.hypot(own, 0.0001)
    np.testing.assert_allclose(got.values[[1, 2]] / 0.0824, [-1.63, 5.52], rtol=0.03)
    np.testing.assert_allclose(got.values[[3, 5]] / 0.0824, 20.9, rtol=0.04)


def test_quadratic_term_against_quadrature() -> None:
    """sigma-hat = C^2 s-hat / (144 pi), integrated over densities with fixed nodes."""
    low, high, s = 500.0, 3_000.0, 13_000.0**2
    nodes, weights = np.polynomial.legendre.leggauss(40)
    masses = np.exp(0.5 * math.log(high * low) + 0.5 * math.log(high / low) * nodes)
    grid, quarks = load_parton_densities(), (1, 2, 3, 4, 5)
    expected = 0.0
    for mass, weight in zip(masses, weights, strict=True):
        most = -0.5 * math.log(mass**2 / s)
        x1, x2 = mass / math.sqrt(s) * np.exp(np.outer([1.0, -1.0], most * nodes))
        q1, q2 = (grid.momentum_densities(x, float(mass), quarks) for x in (x1, x2))
        anti = tuple(-q for q in quarks)
        a1, a2 = (grid.momentum_densities(x, float(mass), anti) for x in (x1, x2))
        luminosity = most * weights @ np.sum(q1 * a2 + a1 * q2, axis=1)
        # d tau / tau = 2 d ln m
        expected += weight * math.log(high / low) * luminosity * mass**2 / (144.0 * math.pi)
    expected *= 1e-12 * GEV2_PB
    got = integrate(DrellYan(mass_min=low, mass_max=high), 40_000, seed=3)
    own = math.sqrt(got.covariance[3, 3])
    assert own < 0.005 * expected
    assert abs(got.values[3] - expected) < 3.5 * own


def test_events_and_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    events = simulate("drell_yan", 2_000, seed=4)
    p = events.momenta
    np.testing.assert_allclose(p[:, 0] + p[:, 1], p[:, 2] + p[:, 3], rtol=1e-9, atol=1e-7)
    total = p[:, 2] + p[:, 3]
    masses = np.sqrt(total[:, 0] ** 2 - np.sum(total[:, 1:] ** 2, axis=1))
    np.testing.assert_allclose(masses, events.scales, rtol=1e-7)
    assert masses.min() > 500.0
    assert np.all(events.pdgids[:, 0] == -events.pdgids[:, 1])
    assert events.pdgids[:, 2:].tolist() == [[13, -13]] * 2_000
    for theta in events.setup.benchmark_thetas:
        assert events.effective_size(theta) > 0.4 * events.n_events
    write_parton_events(tmp_path / "dy.lhe", events, sampled_from="sm")
    header, read = read_lhe(tmp_path / "dy.lhe")
    assert header.run_settings["mmll"] == "500.0"
    assert read.colours is not None
    quark_first = read.colours.reshape(-1, 4, 2)[events.pdgids[:, 0] > 0][0]
    assert quark_first.tolist() == [[501, 0], [0, 501], [0, 0], [0, 0]]


def test_muons_follow_the_quark_at_high_mass() -> None:
    """Left-left dominates above the Z: the muon goes along the quark."""
    events = simulate("drell_yan", 5_000, seed=5)
    quark_direction = np.sign(events.pdgids[:, 0])
    muons = events.momenta[:, 2:]
    rapidity = np.arctanh(muons[..., 3] / muons[..., 0])
    forward = quark_direction * np.sign(rapidity[:, 0] - rapidity[:, 1])
    asymmetry = np.average(forward, weights=events.weights([0.0, 0.0]))
    assert 0.4 < asymmetry < 0.8


def test_bad_options() -> None:
    with pytest.raises(OptionError, match="mass_min < mass_max"):
        DrellYan(mass_min=200.0, mass_max=100.0)
    with pytest.raises(OptionError, match="mass_min < energy"):
        DrellYan(energy=400.0)
    with pytest.raises(OptionError, match="z_width must be a positive number"):
        DrellYan(z_width=0.0)
