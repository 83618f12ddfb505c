from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from madminer.errors import OptionError
from madminer.lhe.partons import MetNoise, Resolution, Smearing, smear_particles
from madminer.reading.objects import FlatParticles, charges_of
from madminer.typing import FloatArray

N = 40_000


def make_particles(
    n: int,
    *,
    pt: float = 50.0,
    eta: float = -1.5,
    phi: float = 3.1,
    mass: float = 0.0,
    code: int = 1,
) -> FlatParticles:
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + mass**2)
    numbers = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "energy": energy}
    columns = {name: np.full(n, value) for name, value in numbers.items()}
    codes = np.full(n, code)
    return FlatParticles(
        counts=np.ones(n, np.int64),
        pdgid=codes,
        mass=np.full(n, mass),
        charge=charges_of(codes),
        spin=np.full(n, -1.0),
        **columns,
    )


def smear(particles: FlatParticles, resolution: Resolution, seed: int = 1) -> FlatParticles:
    return smear_particles(particles, Smearing({}, resolution), np.random.default_rng(seed))


def eta_of(particles: FlatParticles) -> FloatArray:
    return np.arcsinh(particles.pz / particles.pt)


def assert_gaussian(values: FloatArray, mean: float, sigma: float) -> None:
    n = len(values)
    assert values.mean() == pytest.approx(mean, abs=5.0 * sigma / np.sqrt(n))
    assert values.std() == pytest.approx(sigma, rel=5.0 / np.sqrt(2.0 * n))
    assert stats.kstest((values - mean) / sigma, "norm").pvalue > 1e-4


def assert_unchanged(left: FlatParticles, right: FlatParticles) -> None:
    for name in ("counts", *left.columns):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-12)


def test_all_four_quantities_are_smeared_independently() -> None:
    resolution = Resolution(energy=(1.0, 0.1), pt=(0.5, 0.02), eta=(0.1, 0.1), phi=(0.05, 0.01))
    true = make_particles(N)
    measured = smear(true, resolution)
    energy = true.energy[0]
    assert_gaussian(measured.energy, energy, 1.0 + 0.1 * energy)
    assert_gaussian(measured.pt, 50.0, 0.5 + 0.02 * 50.0)
    assert_gaussian(eta_of(measured), -1.5, 0.1 + 0.1 * 1.5)  # sigma uses the absolute value
    phi = np.arctan2(measured.py, measured.px)
    assert np.all((phi > -np.pi) & (phi <= np.pi))
    assert_gaussian((phi - 3.1 + np.pi) % (2 * np.pi) - np.pi, 0.0, 0.05 + 0.01 * 3.1)
    table = np.stack([measured.energy, measured.pt, eta_of(measured)])
    assert np.all(np.abs(np.corrcoef(table) - np.eye(3)) < 5.0 / np.sqrt(N))


@pytest.mark.parametrize("mass", [0.0, 4.7])
def test_transverse_momentum_follows_from_the_energy(mass: float) -> None:
    true = make_particles(N, mass=mass)
    measured = smear(true, Resolution(energy=(0.0, 0.1), pt=None, eta=(0.1, 0.0)))
    assert_gaussian(measured.energy, true.energy[0], 0.1 * true.energy[0])
    assert_gaussian(eta_of(measured), -1.5, 0.1)
    mass_squared = measured.energy**2 - measured.pt**2 - measured.pz**2
    np.testing.assert_allclose(mass_squared, mass**2, atol=1e-9 * measured.energy.max() ** 2)


@pytest.mark.parametrize("mass", [0.0, 4.7])
def test_energy_follows_from_the_transverse_momentum(mass: float) -> None:
    measured = smear(make_particles(N, mass=mass), Resolution(energy=None, pt=(2.0, 0.05)))
    assert_gaussian(measured.pt, 50.0, 4.5)
    np.testing.assert_allclose(eta_of(measured), -1.5, rtol=1e-12)
    mass_squared = measured.energy**2 - measured.pt**2 - measured.pz**2
    np.testing.assert_allclose(mass_squared, mass**2, atol=1e-9 * measured.energy.max() ** 2)


@settings(max_examples=20)
@given(
    st.floats(0.1, 100.0),
    st.floats(0.0, 50.0),
    st.floats(0.0, 300.0),
    st.sampled_from(["energy", "pt", "both"]),
)
def test_values_are_cut_off_as_by_drawing_again(
    pt: float, mass: float, width: float, which: str
) -> None:
    """However wide the Gaussian: no endless loop, nothing below the threshold, nothing NaN."""
    resolution = Resolution(
        energy=None if which == "pt" else (width, 0.0), pt=None if which == "energy" else (width, 0)
    )
    measured = smear(make_particles(200, pt=pt, eta=0.3, mass=mass), resolution)
    for name in ("px", "py", "pz", "energy"):
        assert np.all(np.isfinite(getattr(measured, name)))
    assert np.all(measured.energy >= (mass if which == "energy" else 0.0) * (1 - 1e-12))


def test_cut_off_gaussians_have_their_distribution() -> None:
    """A width as large as the value: the distribution is the truncated normal."""
    measured = smear(make_particles(N, pt=10.0), Resolution(energy=None, pt=(10.0, 0.0)))
    expected = stats.truncnorm(-1.0, np.inf, loc=10.0, scale=10.0)
    assert stats.kstest(measured.pt, expected.cdf).pvalue > 1e-4


def test_zero_width_changes_nothing() -> None:
    true = make_particles(50, mass=1.0)
    assert_unchanged(smear(true, Resolution()), true)
    assert_unchanged(smear(true, Resolution(pt=None)), true)
    assert_unchanged(smear(true, Resolution(energy=None)), true)


def test_only_the_given_particles_are_smeared_and_later_calls_win() -> None:
    wide, none = Resolution(energy=(10.0, 0.0)), Resolution()
    smearing = Smearing({}).replaced([1, 2], wide).replaced([2], none)
    rng = np.random.default_rng(0)
    for code, is_smeared in ((1, True), (2, False), (-1, False)):
        true = make_particles(10, code=code)
        assert np.all((smear_particles(true, smearing, rng).energy != true.energy) == is_smeared)
    everything = smearing.replaced(None, wide)
    true = make_particles(10, code=2)
    assert np.all(smear_particles(true, everything, rng).energy != true.energy)


def test_same_seed_gives_the_same_particles() -> None:
    true, resolution = make_particles(20), Resolution(energy=(1.0, 0.0), pt=None, phi=(0.1, 0.0))
    assert_unchanged(smear(true, resolution, 5), smear(true, resolution, 5))
    assert np.all(smear(true, resolution, 5).energy != smear(true, resolution, 6).energy)


def test_particles_along_the_beam_stay() -> None:
    true = make_particles(3, pt=0.0, eta=0.0, mass=1.0)
    assert_unchanged(smear(true, Resolution(energy=(1.0, 0.0), pt=(1.0, 0.0))), true)


def test_true_particles_are_not_changed() -> None:
    true = make_particles(3)
    before = true.energy.copy()
    smear(true, Resolution(energy=(1.0, 0.0)))
    np.testing.assert_array_equal(true.energy, before)


def test_energy_and_transverse_momentum_cannot_follow_from_each_other() -> None:
    with pytest.raises(OptionError, match="cannot both follow"):
        Resolution(energy=None, pt=None)


@pytest.mark.parametrize("width", [-0.1, np.nan, np.inf])
def test_widths_must_be_sensible(width: float) -> None:
    with pytest.raises(OptionError, match="Resolutions must be finite and >= 0, got eta"):
        Resolution(eta=(0.0, width))
    with pytest.raises(OptionError, match="noise of the missing momentum must be finite"):
        MetNoise(absolute=width)
