"""Spreads of ensembles beside the error of the simulation, for a score in closed form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from madminer.ml.ensemble_statistics import ensemble_information
from madminer.sampling import SampleAugmenter

MakeFile = Callable[..., Path]
N_EVENTS, N_SAMPLES, N_MEMBERS, N_FILES = 400, 4_000, 8, 60
VARIANCE, SLOPE, RESIDUAL = 1.25, 1.6, 0.8
"""Of x0; of the score 2 x0 / 1.25; and the variance of 2 z0 at a given x0."""

TRUE_ERROR = 2.0 * VARIANCE * SLOPE * np.sqrt(RESIDUAL / (N_EVENTS * VARIANCE))
"""Of I = a^2 E[x0^2] with the slope a of a least-squares fit to the joint scores of the file."""


def fitted_slope(x: NDArray[np.float64], t: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """The network of this test: the least-squares fit t = a x0, which training cannot miss."""
    return float(np.sum(w * x[:, 2] * t[:, 0]) / np.sum(w * x[:, 2] ** 2))


def slope_of_bootstrap(sampler: SampleAugmenter, number: int | None) -> float:
    events = sampler.weighted_local("b0", partition="all", bootstrap=number)
    return fitted_slope(events.x, events.t_xz, events.w[:, 0])


def slope_of_draws(sampler: SampleAugmenter, seed: int) -> float:
    x, _, t_xz, _ = sampler.sample_train_local(
        "b0", N_SAMPLES, seed=seed, partition="all", log_message=False
    )
    return fitted_slope(x, t_xz, np.ones(N_SAMPLES))


def information(slopes: list[float]) -> NDArray[np.float64]:
    return VARIANCE * np.square(slopes)


@pytest.fixture(scope="module")
def samplers(gaussian_event_file: MakeFile) -> list[SampleAugmenter]:
    """Repetitions of the simulation."""
    return [SampleAugmenter(gaussian_event_file(N_EVENTS, seed=seed)) for seed in range(N_FILES)]


@pytest.fixture(scope="module")
def repeated(samplers: list[SampleAugmenter]) -> float:
    """The error of the simulation, from its repetitions."""
    slopes = [slope_of_bootstrap(sampler, None) for sampler in samplers]
    return float(information(slopes).std(ddof=1))


def typical_spread(spreads: list[float]) -> float:
    """Root mean square over simulations of the spread that each of them gives."""
    return float(np.sqrt(np.mean(np.square(spreads))))


def test_repetitions_have_the_error_in_closed_form(repeated: float) -> None:
    assert repeated == pytest.approx(TRUE_ERROR, rel=0.25)


def test_bootstraps_of_the_events_know_the_error_of_the_simulation(
    samplers: list[SampleAugmenter], repeated: float
) -> None:
    spreads = [
        information([slope_of_bootstrap(sampler, number) for number in range(N_MEMBERS)]).std(
            ddof=1
        )
        for sampler in samplers
    ]
    assert typical_spread(spreads) == pytest.approx(repeated, rel=0.3)
    assert typical_spread(spreads) == pytest.approx(TRUE_ERROR, rel=0.1)


def test_draws_from_the_same_events_do_not(
    samplers: list[SampleAugmenter], repeated: float
) -> None:
    """Their spread is that of the number of draws, which are more than there are events."""
    spreads = [
        information([slope_of_draws(sampler, seed) for seed in range(N_MEMBERS)]).std(ddof=1)
        for sampler in samplers
    ]
    of_number = TRUE_ERROR * np.sqrt(N_EVENTS / N_SAMPLES)
    assert typical_spread(spreads) == pytest.approx(of_number, rel=0.15)
    assert typical_spread(spreads) < 0.5 * repeated


def test_only_the_spread_of_bootstraps_is_their_error(samplers: list[SampleAugmenter]) -> None:
    """The mean of bootstraps is no better than a network of the file, whatever their number."""
    n = 100
    slopes = np.array([slope_of_bootstrap(samplers[0], number) for number in range(n)])
    x = np.sqrt(VARIANCE) * np.array([[-1.0], [1.0]])
    scores, events = slopes[:, np.newaxis, np.newaxis] * x, np.full(2, 0.5)
    members = np.full(n, 1.0 / n)
    _, spread = ensemble_information([(scores, events)], 1.0, members, "information")
    _, of_mean = ensemble_information([(scores, events)], 1.0, members, "score")
    assert spread is not None
    assert of_mean is not None
    assert np.sqrt(spread.item()) == pytest.approx(TRUE_ERROR, rel=0.3)
    assert of_mean.item() == pytest.approx(spread.item() / n, rel=0.1)  # vanishes with more members
