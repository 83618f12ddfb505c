from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer import sampling
from madminer.errors import MorphingError, OptionError, ShapeError, UnknownNameError
from madminer.io import EventFile
from madminer.sampling.parameters import resolve_points

FLAT = [("flat", -1.0, 1.0), ("gaussian", 0.0, 0.5)]


@pytest.fixture(scope="module")
def setup(toy_event_file: Callable[..., Path]) -> object:
    return EventFile(toy_event_file(50)).setup


def resolve(specification, n_samples, setup, seed=1):
    return resolve_points(specification, None, n_samples, setup, np.random.default_rng(seed))


def test_one_point_gets_all_samples(setup) -> None:
    points = resolve(sampling.benchmark("w3"), 100, setup)
    assert points.n_per_point == 100
    np.testing.assert_allclose(points.positions, [[0.3, -1.4]])
    np.testing.assert_allclose(
        resolve(sampling.morphing_point([0.1, 0.2]), 7, setup).positions, [[0.1, 0.2]]
    )


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("w3", sampling.benchmark("w3")),
        (3, sampling.benchmark("w3")),
        (np.int64(3), sampling.benchmark("w3")),
        ([0, 0], sampling.morphing_point([0.0, 0.0])),
        ((0.1, 0.2), sampling.morphing_point([0.1, 0.2])),
        (np.array([0.1, 0.2]), sampling.morphing_point([0.1, 0.2])),
        (["sm", "w3"], sampling.benchmarks(["sm", "w3"])),
        (("sm", "w3"), sampling.benchmarks(["sm", "w3"])),
        ([[0, 0], (0.1, 0.2)], sampling.morphing_points([[0.0, 0.0], [0.1, 0.2]])),
        (np.array([[0.0, 0.0], [0.1, 0.2]]), sampling.morphing_points([[0, 0], [0.1, 0.2]])),
    ],
)
def test_points_are_taken_as_they_are(setup, given: object, same: object) -> None:
    ours, theirs = resolve(given, 100, setup), resolve(same, 100, setup)
    assert ours.n_per_point == theirs.n_per_point
    np.testing.assert_array_equal(ours.positions, theirs.positions)
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, atol=1e-12)


def test_names_and_positions_can_be_mixed(setup) -> None:
    points = resolve(["w3", [0.1, 0.2], 0], 99, setup)
    np.testing.assert_allclose(points.positions, [[0.3, -1.4], [0.1, 0.2], [0.0, 0.0]])


@pytest.mark.parametrize(("n_samples", "expected"), [(100, 33), (101, 34), (2, 1)])
def test_samples_are_shared_out_and_rounded(setup, n_samples: int, expected: int) -> None:
    points = resolve(sampling.benchmarks(["sm", "w1", "w2"]), n_samples, setup)
    assert (len(points), points.n_per_point) == (3, expected)
    points = resolve(sampling.morphing_points([[0, 0], [1, 0], [0, 1]]), n_samples, setup)
    assert (len(points), points.n_per_point) == (3, expected)


@pytest.mark.parametrize("number", [None, 0, -3, 51])
def test_new_point_for_each_sample(setup, number: int | None) -> None:
    points = resolve(sampling.random_morphing_points(number, FLAT), 50, setup)
    assert (len(points), points.n_per_point) == (50, 1)


def test_random_points_follow_their_priors(setup) -> None:
    points = resolve(sampling.random_morphing_points(4000, FLAT), 4000, setup)
    a, b = points.positions.T
    assert np.all(np.abs(a) < 1.0)
    assert a.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)
    assert b.std() == pytest.approx(0.5, rel=0.05)
    again = resolve(sampling.random_morphing_points(4000, FLAT), 4000, setup)
    np.testing.assert_array_equal(points.positions, again.positions)


@pytest.mark.parametrize(
    "prior",
    [
        ("uniform", 0.0, 1.0),
        ("flat", 1.0, 0.0),
        ("flat", 0.0),
        ("gaussian", 0.0, 0.0),
        ("gaussian", 0.0, float("nan")),
        ("flat", "low", "high"),
        (["flat"], 0.0, 1.0),
        "flat",
    ],
)
def test_wrong_priors_are_refused(prior: object) -> None:
    with pytest.raises(OptionError, match="A prior must be"):
        sampling.random_morphing_points(10, [prior])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("specification", "error", "message"),
    [
        (sampling.benchmark("smm"), UnknownNameError, "no benchmark 'smm'"),
        (sampling.benchmarks(["sm", "smm"]), UnknownNameError, "no benchmark 'smm'"),
        (sampling.benchmarks([]), OptionError, "At least one"),
        (sampling.morphing_point([1.0]), ShapeError, r"shape \(2,\)"),
        (sampling.morphing_points([[1.0, 2.0], [1.0]]), ShapeError, r"shape \(2,\)"),
        (sampling.random_morphing_points(3, FLAT[:1]), OptionError, "One prior"),
        ("smm", UnknownNameError, "no benchmark 'smm'"),
        (["sm", "smm"], UnknownNameError, "no benchmark 'smm'"),
        (6, UnknownNameError, "no benchmark number 6"),
        ([0.0], ShapeError, r"shape \(2,\)"),
        ([[0.0, 1.0], [0.0]], ShapeError, r"shape \(2,\)"),
        ([0.0, "sm"], ShapeError, r"shape \(2,\)"),
        ([0.0, np.nan], ShapeError, "finite"),
        ([], ShapeError, r"shape \(2,\)"),
        (None, OptionError, "name of a benchmark, a position"),
        (0.5, OptionError, "name of a benchmark, a position"),
        (True, OptionError, "name of a benchmark, a position"),
        ({"a": 0.0}, OptionError, "name of a benchmark, a position"),
        (("random", 3), OptionError, "must be specified as one of"),
        (("benchmarks", 3), OptionError, "list of parameter points"),
        (("random_morphing_points", 3), OptionError, "number, priors"),
    ],
)
def test_wrong_specifications_are_refused(
    setup, specification: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        resolve(specification, 10, setup)


@pytest.mark.parametrize("number", [1.5, "3", True, [3]])
def test_numbers_of_random_points_are_whole(setup, number: object) -> None:
    with pytest.raises(OptionError, match="n_thetas must be a whole number"):
        sampling.random_morphing_points(number, FLAT)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="n_thetas must be a whole number"):
        resolve(("random_morphing_points", (number, FLAT)), 10, setup)


def test_priors_are_a_list() -> None:
    with pytest.raises(OptionError, match="priors must be a list, got None"):
        sampling.random_morphing_points(10, None)  # type: ignore[arg-type]


def test_points_that_are_no_vectors_are_refused() -> None:
    with pytest.raises(ShapeError, match="must be an array of numbers, got 'sm'"):
        sampling.morphing_point("sm")
    with pytest.raises(ShapeError, match="must be an array of numbers, got 'sm'"):
        sampling.morphing_points(["sm"])
    with pytest.raises(OptionError, match="thetas must be a list, got 'sm'"):
        sampling.morphing_points("sm")
    with pytest.raises(ShapeError, match="vector of finite numbers"):
        sampling.morphing_point([[1.0, 2.0]])
    with pytest.raises(ShapeError, match="vector of finite numbers"):
        sampling.morphing_points([[1.0, np.inf]])


def test_random_points_need_a_number_without_samples(setup) -> None:
    assert len(resolve(sampling.random_morphing_points(7, FLAT), None, setup)) == 7
    with pytest.raises(OptionError, match="need a number"):
        resolve(sampling.random_morphing_points(None, FLAT), None, setup)
    with pytest.raises(OptionError, match="n_samples must be a whole number"):
        resolve(sampling.benchmark("sm"), 0, setup)


def test_nu_needs_nuisance_parameters(setup) -> None:
    rng = np.random.default_rng(1)
    for nu in (None, sampling.nominal_nuisance_parameters()):
        points = resolve_points(sampling.benchmark("sm"), nu, 5, setup, rng)
        assert points.is_nominal
        assert points.nus.shape == (1, 0)
    iid = sampling.iid_nuisance_parameters()
    with pytest.raises(OptionError, match="nu needs nuisance parameters"):
        resolve_points(sampling.benchmark("sm"), iid, 5, setup, rng)


def test_arrays_need_morphing(setup) -> None:
    from dataclasses import replace

    with pytest.raises(MorphingError, match="Without morphing"):
        resolve(sampling.morphing_point([0.5, 0.5]), 10, replace(setup, morphing=None))
