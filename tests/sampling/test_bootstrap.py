"""Bootstraps of the simulation: their first laws, and that nothing but number and row matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from madminer.errors import OptionError
from madminer.sampling import SampleAugmenter, benchmark, random_morphing_points
from madminer.sampling.options import bootstrap_counts
from madminer.sampling.stream import SampleStream

MakeFile = Callable[..., Path]
THETA = np.array([0.3, -0.2])
PRIOR = [("gaussian", 0.0, 0.2)] * 2


def test_counts_are_poisson_distributed() -> None:
    counts = np.stack([bootstrap_counts(number, np.arange(40_000)) for number in range(5)])
    frequencies = np.bincount(counts.ravel(), minlength=8)
    expected = counts.size * stats.poisson(1.0).pmf(np.arange(len(frequencies)))
    few = slice(0, 6)
    deviations = (frequencies[few] - expected[few]) / np.sqrt(expected[few])
    assert np.all(np.abs(deviations) < 4.0)
    correlations = np.corrcoef(counts) - np.eye(5)  # bootstraps are independent
    assert np.all(np.abs(correlations) < 4.0 / np.sqrt(40_000))
    neighbours = np.corrcoef(counts[0, :-1], counts[0, 1:])[0, 1]
    assert abs(neighbours) < 4.0 / np.sqrt(40_000)


def test_counts_depend_on_number_and_row_alone() -> None:
    everything = bootstrap_counts(3, np.arange(60_000))
    rng = np.random.default_rng(1)
    for rows in (np.arange(50_000, 50_010), rng.permutation(60_000), np.array([16_384, 3, 3])):
        np.testing.assert_array_equal(bootstrap_counts(3, rows), everything[rows])
    assert len(bootstrap_counts(3, np.arange(0))) == 0
    assert np.any(bootstrap_counts(4, np.arange(100)) != everything[:100])
    np.testing.assert_array_equal(bootstrap_counts(None, np.arange(5)), np.ones(5))


def test_cross_sections_of_bootstraps(toy_event_file: MakeFile) -> None:
    """Mean and variance over bootstraps are sum w and sum w^2."""
    sampler = SampleAugmenter(toy_event_file(500))
    _, w = sampler.weighted_events(THETA)
    counts = np.stack([bootstrap_counts(number, np.arange(500)) for number in range(4_000)])
    sigmas = counts @ w
    variance = float(np.sum(w**2))
    assert sigmas.mean() == pytest.approx(w.sum(), abs=4.0 * np.sqrt(variance / 4_000))
    assert sigmas.var() == pytest.approx(variance, rel=4.0 * np.sqrt(2.0 / 4_000))
    _, sigma, error = sampler.cross_sections([THETA])
    np.testing.assert_allclose([w.sum(), np.sqrt(variance)], [sigma[0], error[0]])


@pytest.mark.parametrize("closest", [True, False])
def test_weighted_samples_count_events_as_often(toy_event_file: MakeFile, closest: bool) -> None:
    sampler = SampleAugmenter(toy_event_file(600))
    parts, plain = [], []
    for partition in ("train", "validation", "test"):
        given: dict[str, Any] = {
            "partition": partition,
            "sample_only_from_closest_benchmark": closest,
        }
        parts.append(sampler.weighted_local(THETA, bootstrap=2, **given))
        plain.append(sampler.weighted_local(THETA, **given))
    x = sampler.event_file.read().x
    counts = bootstrap_counts(2, np.arange(600))
    for part, file in zip(parts, plain, strict=True):
        rows = np.array([np.flatnonzero((x == event).all(axis=1))[0] for event in file.x])
        times = counts[rows]
        np.testing.assert_array_equal(part.x, file.x[times > 0])
        expected = (times * file.w[:, 0])[times > 0]
        np.testing.assert_allclose(part.w[:, 0], expected / expected.mean(), rtol=1e-12)
        assert part.n_effective < file.n_effective
        # scores are those of the bootstrap: they differ by a constant and have the mean zero
        shifts = part.t_xz - file.t_xz[times > 0]
        np.testing.assert_allclose(shifts - shifts[0], 0.0, atol=1e-12)
        np.testing.assert_allclose(part.probabilities @ part.t_xz, 0.0, atol=1e-12)


def test_draws_come_from_the_bootstrap(toy_event_file: MakeFile) -> None:
    """Events are drawn as often as their weights in it say, those that are not in it never."""
    sampler = SampleAugmenter(toy_event_file(60))
    weighted = sampler.weighted_local(THETA, partition="all", bootstrap=5)
    given: dict[str, Any] = {"partition": "all", "bootstrap": 5, "double_precision": True}
    x, _, t_xz, n_eff = sampler.sample_train_local(THETA, 40_000, seed=1, **given)
    matches = (x[:, np.newaxis] == weighted.x).all(axis=2)
    assert np.all(matches.sum(axis=1) == 1)
    p, n = weighted.probabilities, matches.sum(axis=0)
    assert np.all(np.abs(n - 40_000 * p) < 5.0 * np.sqrt(40_000 * p))
    np.testing.assert_allclose(t_xz, weighted.t_xz[matches.argmax(axis=1)], atol=1e-9)
    assert n_eff == pytest.approx(1.0 / p.max())


def test_tables_of_other_bootstraps_are_not_kept(toy_event_file: MakeFile) -> None:
    path = toy_event_file(400)
    sampler = SampleAugmenter(path)
    for number in (None, 1, 2, None, 1):
        found = sampler.sample_train_local("sm", 200, seed=1, bootstrap=number)
        fresh = SampleAugmenter(path).sample_train_local("sm", 200, seed=1, bootstrap=number)
        np.testing.assert_array_equal(found.x, fresh.x)
        np.testing.assert_array_equal(found.t_xz, fresh.t_xz)


def test_weights_in_a_temporary_file(toy_event_file: MakeFile) -> None:
    path = toy_event_file(400)
    in_memory, mapped = (
        SampleAugmenter(path, memory_limit=limit).sample_train_local("sm", 200, seed=1, bootstrap=1)
        for limit in (4e9, 1.0)
    )
    np.testing.assert_array_equal(in_memory.x, mapped.x)


def test_every_function_takes_it(toy_event_file: MakeFile) -> None:
    sampler = SampleAugmenter(toy_event_file(2_000))
    thetas, at = random_morphing_points(10, PRIOR), benchmark("sm")
    draws: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (sampler.sample_train_plain, {"theta": thetas}),
        (sampler.sample_train_local, {"theta": at}),
        (sampler.sample_train_density, {"theta": thetas}),
        (sampler.sample_train_ratio, {"theta0": thetas, "theta1": at}),
        (sampler.sample_train_more_ratios, {"theta0": thetas, "theta1": at}),
        (sampler.sample_test, {"theta": at}),
    ]
    for draw, points in draws:
        plain, one, again, two = (
            draw(**points, n_samples=400, seed=1, bootstrap=number) for number in (None, 1, 1, 2)
        )
        np.testing.assert_array_equal(one.x, again.x)
        for other in (plain, two):
            assert np.any(one.x != other.x)
    stream = SampleStream(sampler.sample_train_local, theta=at, n_samples=100, seed=1, bootstrap=1)
    in_file = sampler.event_file.read().x[bootstrap_counts(1, np.arange(2_000)) == 0]
    drawn = np.concatenate([batch["x"].numpy() for batch in stream])
    assert not np.any((drawn[:, np.newaxis] == in_file.astype(np.float32)).all(axis=2))


def test_joint_ratios_have_the_cross_sections_of_the_bootstrap(toy_event_file: MakeFile) -> None:
    """E[r] = 1 over the events of the bootstrap."""
    sampler = SampleAugmenter(toy_event_file(300))
    given: dict[str, Any] = {"partition": "all", "bootstrap": 1, "double_precision": True}
    sample = sampler.sample_train_ratio([0.2, 0.1], "sm", 4_000, seed=2, **given)
    at0, at1 = (
        sampler.weighted_local(theta, partition="all", bootstrap=1) for theta in ([0.2, 0.1], "sm")
    )
    np.testing.assert_array_equal(at0.x, at1.x)
    ratios = at0.probabilities / at1.probabilities
    assert at1.probabilities @ ratios == pytest.approx(1.0)
    rows = (sample.x[:, np.newaxis] == at1.x).all(axis=2).argmax(axis=1)
    np.testing.assert_allclose(sample.r_xz[:, 0], ratios[rows], rtol=1e-9)


@pytest.mark.parametrize("wrong", [-1, 1.5, "a", True])
def test_other_numbers_are_refused(wrong: Any, toy_event_file: MakeFile) -> None:
    sampler = SampleAugmenter(toy_event_file(100))
    for call in (
        lambda: sampler.sample_train_local("sm", 10, bootstrap=wrong),
        lambda: sampler.weighted_local("sm", bootstrap=wrong),
    ):
        with pytest.raises(OptionError, match="bootstrap must be a whole number from 0"):
            call()
