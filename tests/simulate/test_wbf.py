"""Cross sections and distributions of weak-boson fusion against MadGraph and Pythia."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from madminer.errors import OptionError, UnknownNameError
from madminer.simulate import GeneratorCuts, PartonEvents, WeakBosonFusion, integrate, simulate
from madminer.simulate.electroweak import TUTORIAL_INPUTS
from madminer.typing import FloatArray

NONE = GeneratorCuts.none()
N_POINTS = 100_000

# case: options; cross section of the prototype; that of the other program; both with errors (pb).
# Origin: specification of the embedded generator (MG 3.5.7, Pythia 8.317).
CASES: dict[str, tuple[dict[str, Any], tuple[float, float], tuple[float, float] | None]] = {
    "u d, 13 TeV": (
        {"channel": "tutorial", "energy": 13_000.0},
        (0.4100, 0.0002),
        (0.4104, 0.0010),
    ),
    "u d, 14 TeV, no cuts": (
        {"channel": "tutorial", "energy": 14_000.0, "cuts": NONE},
        (0.59077, 0.00022),
        (0.5901, 0.0005),
    ),
    "p p W W, 14 TeV, no cuts": (
        {"channel": "ww", "energy": 14_000.0, "cuts": NONE},
        (2.8755, 0.0012),
        (2.900, 0.002),
    ),
    "p p Z Z, 14 TeV, no cuts": (
        {"channel": "zz", "energy": 14_000.0, "cuts": NONE},
        (1.0548, 0.0004),
        (1.064, 0.001),
    ),
    "p p, 14 TeV": ({"channel": "pp", "energy": 14_000.0}, (2.980, 0.001), None),
}


@pytest.mark.parametrize("case", CASES)
def test_cross_sections(case: str) -> None:
    options, (expected, error), reference = CASES[case]
    got = integrate("wbf", N_POINTS, branching_ratio=1.0, seed=11, **options)
    own = math.sqrt(got.covariance[0, 0])
    assert own / got.values[0] < 3e-3
    assert abs(got.values[0] - expected) < 3.0 * math.hypot(own, error)
    if reference is not None:
        # Pythia's W and Z masses and couplings differ: one percent on top
        value, reference_error = reference
        slack = 0.01 * value if "p p" in case else 0.0
        assert abs(got.values[0] - value) < 3.0 * math.hypot(own, reference_error) + slack


@pytest.mark.parametrize(
    ("options", "expected", "errors"),
    [
        (
            {"channel": "pp", "energy": 14_000.0},
            [-0.3299, -0.001, 0.1599, 0.002, 0.166],
            [0.0005, 0.001, 0.0008, 0.001, 0.001],
        ),
        (
            {"channel": "tutorial", "energy": 13_000.0},
            [-0.3711, -0.001, 0.2150, -0.001, 0.221],
            [0.0005, 0.001, 0.0009, 0.001, 0.002],
        ),
    ],
)
def test_components_over_the_standard_model(
    options: dict[str, Any], expected: list[float], errors: list[float]
) -> None:
    """In units of theta = C v^2; specification of the embedded generator."""
    process = WeakBosonFusion(branching_ratio=1.0, **options)
    got = integrate(process, 100_000, seed=12)
    natural = (1e3 / TUTORIAL_INPUTS.vev) ** 2
    scales = natural ** process.components.sum(axis=1)
    values, covariance = got.values * scales, got.covariance * np.outer(scales, scales)
    ratios = values / values[0]
    # error of a ratio: derivative by numerator and denominator
    derivative = (np.eye(6) - np.outer(ratios, np.eye(6)[0])) / values[0]
    own = np.sqrt(np.diag(derivative @ covariance @ derivative.T))[1:]
    assert own.max() < 4e-3
    assert np.all(np.abs(ratios[1:] - expected) < 3.0 * np.hypot(own, errors))


def delta_phi(events: PartonEvents) -> FloatArray:
    """Azimuth of the jet with the larger pseudorapidity minus that of the other."""
    (x1, y1, z1), (x2, y2, z2) = (events.momenta[:, i, 1:].T for i in (2, 3))
    forward = np.arcsinh(z1 / np.hypot(x1, y1)) > np.arcsinh(z2 / np.hypot(x2, y2))
    difference = np.where(forward, 1.0, -1.0) * (np.arctan2(y1, x1) - np.arctan2(y2, x2))
    return (difference + np.pi) % (2.0 * np.pi) - np.pi


def test_azimuthal_distribution() -> None:
    """The CP-odd linear part is odd in delta phi, the CP-even one even."""
    events = simulate("wbf", 60_000, is_unweighted=False, channel="pp", energy=14_000.0, seed=13)
    angle, (standard, even, odd) = delta_phi(events), events.coefficients.T[:3]
    # asymmetry -0.368(1) theta
    asymmetry = np.sum(np.sign(angle) * odd) / standard.sum()
    error = np.linalg.norm(np.sign(angle) * odd - asymmetry * standard) / standard.sum()
    assert error < 5e-3
    assert abs(asymmetry + 0.368) < 3.0 * math.hypot(error, 0.001)
    bins = np.linspace(-np.pi, np.pi, 21)
    sums = {
        name: np.histogram(angle, bins, weights=weights)[0]
        for name, weights in (("sm", standard), ("even", even), ("odd", odd))
    }
    ratio_even, ratio_odd = sums["even"] / sums["sm"], sums["odd"] / sums["sm"]
    np.testing.assert_allclose(ratio_even, ratio_even[::-1], atol=0.04)
    np.testing.assert_allclose(ratio_odd, -ratio_odd[::-1], atol=0.06)
    assert ratio_even[9:11].mean() == pytest.approx(-0.62, abs=0.02)
    assert ratio_even[[0, -1]].mean() == pytest.approx(-0.11, abs=0.02)


def test_mixture_keeps_the_effective_size() -> None:
    events = simulate("wbf", 20_000, seed=14)
    for theta in ([0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.7, 0.7]):
        assert events.effective_size(theta) > 0.77 * events.n_events
    # tutorial channel, quadratic terms: larger than in p p, hence a little below 80% at (0, 1)
    for theta in ([0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]):
        assert events.effective_size(theta) > 0.80 * events.n_events


@pytest.mark.parametrize("channel", ["tutorial", "pp"])
def test_unweighting_efficiency(channel: str) -> None:
    summary = simulate("wbf", 10_000, channel=channel, seed=15).summary
    assert summary.efficiency > 0.2  # 13% suffice
    assert summary.n_overweight < 0.01 * 10_000
    assert summary.cross_section_error < 5e-3 * summary.cross_section


def test_generation_at_the_standard_model_would_not_do() -> None:
    events = simulate("wbf", 20_000, mixture_share=1e-9, seed=16)
    assert events.effective_size([0.0, 0.0]) > 0.99 * events.n_events
    assert events.effective_size([1.0, 0.0]) < 0.5 * events.n_events


def test_branching_ratio_scales_the_rate() -> None:
    full, decayed = (integrate("wbf", 20_000, branching_ratio=b, seed=1) for b in (1.0, 2.27e-3))
    np.testing.assert_allclose(decayed.values, 2.27e-3 * full.values, rtol=1e-12)
    assert WeakBosonFusion().branching_ratio == 2.27e-3


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"energy": 0.0}, OptionError, "energy must be a positive number"),
        ({"energy": -13_000.0}, OptionError, "energy must be a positive number"),
        ({"energy": 150.0}, OptionError, "energy must exceed 165 GeV"),
        ({"energy": math.nan}, OptionError, "energy must be a positive number"),
        ({"channel": "gg"}, UnknownNameError, "'tutorial', 'ww', 'zz', 'pp'"),
        ({"branching_ratio": 2.0}, OptionError, "branching_ratio must be <= 1"),
        ({"scale": 0.0}, OptionError, "scale must be a positive number"),
        ({"mixture_share": 0.0}, OptionError, "mixture_share must be a positive number"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        WeakBosonFusion(**options)
