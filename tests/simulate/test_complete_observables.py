"""The complete observables determine the dynamics of an event."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.simulate import (
    COMPLETE_OBSERVABLES,
    Electroweak,
    WeakBosonFusion,
    complete_observables,
    simulate,
)
from madminer.simulate.electroweak import TUTORIAL_INPUTS
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.typing import FloatArray


def rebuild(x: FloatArray, ew: Electroweak = TUTORIAL_INPUTS) -> PhaseSpacePoints:
    """Momenta from the observables alone, in the frame in which the Higgs is transverse."""
    log_pt1, log_pt2, y1, minus_y2, cosine, sine, _ = x.T
    pt1, pt2, y2, zero = np.exp(log_pt1), np.exp(log_pt2), -minus_y2, np.zeros(len(x))
    jet1 = pt1 * np.stack([np.cosh(y1), zero + 1.0, zero, np.sinh(y1)])
    jet2 = pt2 * np.stack([np.cosh(y2), cosine, -sine, np.sinh(y2)])
    higgs_x, higgs_y = -jet1[1] - jet2[1], -jet1[2] - jet2[2]
    energy = np.sqrt(ew.higgs_mass**2 + higgs_x**2 + higgs_y**2)
    higgs = np.stack([energy, higgs_x, higgs_y, zero])
    total = jet1 + jet2 + higgs
    plus, minus = 0.5 * (total[0] + total[3]), 0.5 * (total[0] - total[3])
    in1, in2 = np.stack([plus, zero, zero, plus]), np.stack([minus, zero, zero, -minus])
    momenta = np.stack([in1, in2, jet1, jet2, higgs])
    return PhaseSpacePoints(momenta, zero, zero, zero, 80.0, np.arange(len(x)))


def test_observables_determine_the_coefficients() -> None:
    events = simulate("wbf", 5_000, channel="tutorial", seed=1)
    x, names = complete_observables(events)
    assert names == list(COMPLETE_OBSERVABLES)
    assert x.shape == (5_000, len(names))
    assert np.all(np.isfinite(x))
    amplitudes = events.process.squared_amplitudes(rebuild(x))[0].T
    scales = 16.52 ** events.components.sum(axis=1)
    ratios = amplitudes * scales / amplitudes[:, :1]
    expected = events.coefficients / events.coefficients[:, :1]
    # CP-odd interference vanishes in places, hence the absolute tolerance
    np.testing.assert_allclose(ratios, expected, rtol=1e-6, atol=1e-7)


def test_they_do_not_in_a_mixture_of_channels() -> None:
    events = simulate("wbf", 2_000, channel="pp", seed=1)
    x, _ = complete_observables(events)
    amplitudes = events.process.squared_amplitudes(rebuild(x))[0].T
    ratios = amplitudes[:, 3] * 16.52**2 / amplitudes[:, 0]
    expected = events.coefficients[:, 3] / events.coefficients[:, 0]
    assert np.mean(np.isclose(ratios, expected, rtol=1e-3)) < 0.9


def test_rotations_and_boosts_along_the_beam_do_not_matter() -> None:
    events = simulate("wbf", 100, seed=2)
    x, _ = complete_observables(events)
    rebuilt = rebuild(x).momenta
    pair = rebuilt[2] + rebuilt[3]
    masses = np.sqrt(pair[0] ** 2 - np.sum(pair[1:] ** 2, axis=0))
    np.testing.assert_allclose(x[:, 6], np.log(masses), rtol=1e-9)
    assert not np.allclose(np.moveaxis(rebuilt, -1, 0), events.momenta[:, :5])
    np.testing.assert_allclose(x[:, 4] ** 2 + x[:, 5] ** 2, 1.0, rtol=1e-12)


def test_other_processes_are_refused() -> None:
    events = simulate("drell_yan", 10, seed=1)
    with pytest.raises(OptionError, match="defined for 'wbf' events, got 'drell_yan'"):
        complete_observables(events)
    assert isinstance(simulate("wbf", 1, seed=1).process, WeakBosonFusion)
