"""Weighted samples: every event once, with joint score and weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import DataError, UnknownNameError
from madminer.io import EventFile, Events, write_events
from madminer.sampling import SampleAugmenter, benchmark

THETA = np.array([0.3, -0.2])


def slow_weight(coefficients: np.ndarray, a: float, b: float) -> float:
    """Weight of an event of the toy file from its coefficients."""
    c1, cb, cbb, ca, cab, caa = coefficients
    return float(c1 + cb * b + cbb * b * b + ca * a + cab * a * b + caa * a * a)


def test_weights_and_scores_against_the_slow_formula(toy_event_file: Callable[..., Path]) -> None:
    sampler = SampleAugmenter(toy_event_file(400))
    sample = sampler.weighted_local(
        THETA, partition="all", sample_only_from_closest_benchmark=False
    )
    x = EventFile(sampler.madminer_filename).read().x
    shares = sampler.weighted_events(THETA)[1]  # includes the shares of the sampling benchmarks
    np.testing.assert_allclose(sample.w[:, 0], shares / shares.mean(), rtol=1e-9)
    step = 1e-5
    slopes = np.array(
        [
            [
                (slow_weight(e, 0.3 + s, -0.2 + u) - slow_weight(e, 0.3 - s, -0.2 - u)) / (2 * step)
                for s, u in ((step, 0.0), (0.0, step))
            ]
            for e in x
        ]
    )
    weights = np.array([slow_weight(e, *THETA) for e in x])
    relative = slopes / weights[:, np.newaxis]
    expected = relative - sample.probabilities @ relative
    np.testing.assert_allclose(sample.t_xz, expected, atol=1e-6)


@pytest.mark.parametrize("negative_share", [0.0, 0.2])
def test_mean_score_is_zero_with_weights_of_any_sign(
    toy_event_file: Callable[..., Path], negative_share: float
) -> None:
    sampler = SampleAugmenter(toy_event_file(2_000, negative_share=negative_share))
    sample = sampler.weighted_local(THETA)
    np.testing.assert_allclose(sample.probabilities @ sample.t_xz, 0.0, atol=1e-12)
    assert sample.w.mean() == pytest.approx(1.0)
    assert (sample.w < 0).any() == (negative_share > 0)
    assert 1.0 < sample.n_effective <= len(sample.w)


def test_partitions_are_disjoint_and_complete(toy_event_file: Callable[..., Path]) -> None:
    sampler = SampleAugmenter(toy_event_file(500))
    rows = [
        sampler.weighted_local("sm", partition=p, sample_only_from_closest_benchmark=False).x
        for p in ("train", "validation", "test")
    ]
    np.testing.assert_array_equal(np.concatenate(rows), sampler.event_file.read().x)


def test_draws_have_the_same_score(toy_event_file: Callable[..., Path]) -> None:
    sampler = SampleAugmenter(toy_event_file(2_000))
    weighted = sampler.weighted_local("sm")
    x, _, t_xz, _ = sampler.sample_train_local(benchmark("sm"), 300, seed=1, double_precision=True)
    for event, score in zip(x, t_xz, strict=True):
        (match,) = np.flatnonzero(np.all(weighted.x == event, axis=1))
        np.testing.assert_allclose(weighted.t_xz[match], score, atol=1e-12)


def test_unknown_benchmark(toy_event_file: Callable[..., Path]) -> None:
    with pytest.raises(UnknownNameError, match="no benchmark 'm'"):
        SampleAugmenter(toy_event_file()).weighted_local("m")


def test_score_that_is_not_defined(toy_event_file: Callable[..., Path], tmp_path: Path) -> None:
    file = EventFile(toy_event_file(100))
    events = file.read()
    weights = events.weights.copy()
    weights[3, 0] = 0.0  # no weight at the benchmark sm, but beside it
    path = tmp_path / "zero.h5"
    write_events(
        path, file.setup, Events(events.x, weights, events.sampling_benchmarks), file.summary
    )
    sampler = SampleAugmenter(path)
    with pytest.raises(DataError, match="1 of 100 events have weight zero"):
        sampler.weighted_local("sm", partition="all", sample_only_from_closest_benchmark=False)
