"""Test events, from arrays and from files: their joint scores and ratios, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import DataError, NegativeWeightError, OptionError, ShapeError
from madminer.io import EventFile
from madminer.sampling import SampleAugmenter
from madminer.validation import ValidationEvents

THETAS = np.array([[0.5, 0.0], [0.2, -0.3]])


def weights_at(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Weights of the toy events, whose observables are the coefficients 1, b, b^2, a, ab, a^2."""
    a, b = theta
    return x[:, :6] @ np.array([1.0, b, b * b, a, a * b, a * a])


def test_arrays_have_names_and_weights() -> None:
    events = ValidationEvents(np.zeros((4, 2)), np.zeros(3))
    assert events.observables == ("x0", "x1")
    assert events.parameters == ("theta0", "theta1", "theta2")
    np.testing.assert_array_equal(events.w, np.full(4, 0.25))
    assert events.n_effective == 4.0
    assert events.n_effective_at(0) == 4.0


def test_effective_events_are_those_of_the_weights() -> None:
    weights, ratio = np.array([1.0, 2.0, -0.5]), np.array([[2.0, 1.0, 0.0]])
    events = ValidationEvents(np.zeros((3, 1)), np.zeros(1), weights, None, np.ones((1, 1)), ratio)
    np.testing.assert_allclose(events.w, weights / 2.5)
    assert events.n_effective == pytest.approx(2.5**2 / 5.25)
    assert events.n_effective_at(0) == pytest.approx(4.0**2 / 8.0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": np.zeros(5)}, ShapeError, "x must have shape"),
        ({"weights": np.ones(4)}, ShapeError, "weights must have shape"),
        ({"t_xz": np.zeros((5, 2))}, ShapeError, "t_xz must have shape"),
        ({"theta": np.zeros((2, 1))}, OptionError, "belong together"),
        ({"r_xz": np.zeros((1, 5))}, ShapeError, "r_xz must have shape"),
        ({"theta": np.zeros((1, 1)), "r_xz": np.ones((1, 4))}, ShapeError, "r_xz must have"),
        ({"observables": ("a", "b", "c")}, ShapeError, "observables must hold 2 names, got 3"),
        ({"parameters": ("a", "b")}, ShapeError, "parameters must hold 1 names, got 2"),
        ({"t_xz": np.full((5, 1), np.nan)}, DataError, "t_xz has values that are not finite"),
        ({"weights": -np.ones(5)}, NegativeWeightError, "positive number"),
    ],
)
def test_refusals_of_arrays(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"x": np.zeros((5, 2)), "reference": np.zeros(1)}
    with pytest.raises(error, match=message):
        ValidationEvents(**given | changes)


@pytest.mark.parametrize("partition", ["test", "validation", "train"])
def test_scores_and_weights_are_those_of_the_sampler(
    toy_event_file: Callable[..., Path], partition: str
) -> None:
    path = toy_event_file(2_000)
    events = ValidationEvents.from_file(path, THETAS[1], partition=partition)
    sample = SampleAugmenter(path).weighted_local(
        tuple(THETAS[1]), partition=partition, sample_only_from_closest_benchmark=False
    )
    np.testing.assert_allclose(events.x, sample.x)
    np.testing.assert_allclose(events.w, (sample.w / sample.w.sum()).ravel(), rtol=1e-10)
    np.testing.assert_allclose(events.t_xz, sample.t_xz, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(events.reference, THETAS[1])
    assert events.parameters == ("a", "b")
    assert events.r_xz is None


def test_ratios_are_those_of_the_weights(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(2_000, negative_share=0.1, sampling_benchmarks=False)
    events = ValidationEvents.from_file(path, "sm", [*THETAS, "w1"])
    assert events.r_xz is not None
    assert events.theta is not None
    np.testing.assert_allclose(events.theta, [*THETAS, [1.0, 0.0]])
    at_reference = weights_at(events.x, np.zeros(2))
    for theta, r_xz in zip(events.theta, events.r_xz, strict=True):
        weights = weights_at(events.x, theta)
        expected = (weights / weights.sum()) / (at_reference / at_reference.sum())
        np.testing.assert_allclose(r_xz, expected, rtol=1e-9)
        assert events.w @ r_xz == pytest.approx(1.0)
    assert (events.w < 0.0).any()


def test_scores_are_the_derivatives_of_ratios(toy_event_file: Callable[..., Path]) -> None:
    path, step = toy_event_file(2_000), 1e-4
    points = [THETAS[0] + sign * step * axis for axis in np.eye(2) for sign in (1.0, -1.0)]
    events = ValidationEvents.from_file(path, THETAS[0], points)
    assert events.r_xz is not None
    numerical = (events.r_xz[::2] - events.r_xz[1::2]).T / (2.0 * step)
    np.testing.assert_allclose(events.t_xz, numerical, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("varying", [False, True])
def test_nuisance_parameters(nuisance_event_file: Callable[..., Path], varying: bool) -> None:
    path = nuisance_event_file(2_000, varying=varying)
    point = np.array([0.3, -0.2, 0.5, -1.0])
    events = ValidationEvents.from_file(path, "sm", [point], nuisance_score=True)
    sampler = SampleAugmenter(path)
    options = {"partition": "test", "sample_only_from_closest_benchmark": False}
    sample = sampler.weighted_local("sm", nuisance_score=True, **options)
    assert events.parameters == ("a", "b", "nu0", "nu1")
    np.testing.assert_array_equal(events.reference, np.zeros(4))
    np.testing.assert_allclose(events.t_xz, sample.t_xz, rtol=1e-9, atol=1e-12)
    varied = sampler.weighted_local(tuple(point[:2]), nu=point[2:], **options)
    assert events.r_xz is not None
    share, varied_share = ((s.w / s.w.sum()).ravel() for s in (sample, varied))
    expected = varied_share / share
    np.testing.assert_allclose(events.r_xz[0], expected, rtol=1e-9)
    without = ValidationEvents.from_file(path, "sm", [point[:2]])
    assert without.parameters == ("a", "b")
    np.testing.assert_allclose(without.t_xz, sample.t_xz[:, :2], rtol=1e-9, atol=1e-12)


def test_partitions_are_disjoint_and_complete(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(1_000)
    events = ValidationEvents.from_file(path, "sm")
    others = ValidationEvents.from_file(path, "sm", partition="validation")
    assert events.train is not None
    parts = [events.x, others.x, events.train.x]
    assert sum(map(len, parts)) == 1_000
    rows = {tuple(row) for part in parts for row in part}
    assert rows == {tuple(row) for row in EventFile(path).read().x}
    assert ValidationEvents.from_file(path, "sm", partition="train").train is None
    assert ValidationEvents.from_file(path, "sm", with_train=False).train is None


def test_as_many_events_as_wanted(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(1_000)
    events = ValidationEvents.from_file(path, "sm", n_events=50)
    every = ValidationEvents.from_file(path, "sm", n_events=None)
    assert events.train is not None
    assert (len(events.x), len(events.train.x), len(every.x)) == (50, 50, 200)
    np.testing.assert_array_equal(events.x, every.x[:50])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"partition": "tests"}, "partition"), ({"n_events": 0}, "n_events")],
)
def test_refusals_of_files(
    toy_event_file: Callable[..., Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        ValidationEvents.from_file(toy_event_file(100), "sm", **options)


def test_negative_cross_sections_are_refused(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(500, negative_share=0.9)
    with pytest.raises(NegativeWeightError, match="must be positive"):
        ValidationEvents.from_file(path, "sm")
