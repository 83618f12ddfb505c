"""The names of the first releases: they warn, and return what their replacements return."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import sampling
from madminer.errors import OptionError
from madminer.sampling import SampleAugmenter

PRIORS = [("flat", -0.5, 0.5), ("gaussian", 0.0, 0.3)]
THEN: dict[str, Any] = {
    "test_split": 0.5,
    "validation_split": None,
    "sample_only_from_closest_benchmark": False,
    "seed": 3,
}


@pytest.fixture(scope="module")
def toy(toy_event_file: Callable[..., Path]) -> SampleAugmenter:
    return SampleAugmenter(toy_event_file())


def assert_same(old: Any, new: Any) -> None:
    """Compare nested tuples and lists with arrays in them."""
    if isinstance(new, tuple | list):
        assert len(old) == len(new)
        for a, b in zip(old, new, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("old", "new", "arguments"),
    [
        ("constant_benchmark_theta", "benchmark", ("sm",)),
        ("multiple_benchmark_thetas", "benchmarks", (["sm", "w1"],)),
        ("constant_morphing_theta", "morphing_point", ([0.5, 0.1],)),
        ("multiple_morphing_thetas", "morphing_points", ([[0.5, 0.1], [0.0, 1.0]],)),
        ("random_morphing_thetas", "random_morphing_points", (7, PRIORS)),
    ],
)
def test_points(old: str, new: str, arguments: tuple[Any, ...]) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old} is .* use madminer\.sampling\.{new}\."):
        result = getattr(sampling, old)(*arguments)
    assert_same(result, getattr(sampling, new)(*arguments))


SM = ("benchmark", "sm")
RANDOM = ("random_morphing_points", (10, PRIORS))


@pytest.mark.parametrize(
    ("old", "new", "thetas", "n_values", "more"),
    [
        ("extract_samples_train_plain", "sample_train_plain", (RANDOM,), 2, {}),
        ("extract_samples_train_local", "sample_train_local", (SM,), 3, {}),
        ("extract_samples_train_global", "sample_train_density", (RANDOM,), 3, {}),
        ("extract_samples_train_ratio", "sample_train_ratio", (RANDOM, SM), 6, {}),
        (
            "extract_samples_train_more_ratios",
            "sample_train_more_ratios",
            (RANDOM, SM),
            7,
            {"additional_thetas": [("benchmark", "w1")]},
        ),
        ("extract_samples_test", "sample_test", (SM,), 2, {}),
    ],
)
@pytest.mark.parametrize("switch", [False, True])
def test_samples(
    toy: SampleAugmenter,
    old: str,
    new: str,
    thetas: tuple[Any, ...],
    n_values: int,
    more: dict[str, Any],
    switch: bool,
    tmp_path: Path,
) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old} is .* use SampleAugmenter\.{new}\."):
        result = getattr(toy, old)(
            *thetas, 200, tmp_path, "a", 0.5, switch_train_test_events=switch, seed=3, **more
        )
    is_test = (new == "sample_test") != switch
    expected = getattr(toy, new)(
        *thetas, n_samples=200, partition="test" if is_test else "train", **THEN, **more
    )
    assert len(result) == n_values
    assert_same(result, expected[:n_values])
    np.testing.assert_array_equal(np.load(tmp_path / "x_a.npy"), result[0])


def test_half_of_the_events_were_for_testing(toy: SampleAugmenter) -> None:
    with pytest.warns(DeprecationWarning, match="sample_train_plain"):
        x, _ = toy.extract_samples_train_plain(SM, 3000, seed=1)
    with pytest.warns(DeprecationWarning, match="sample_test"):
        x_test, _ = toy.extract_samples_test(SM, 3000, seed=1)
    rows = toy.event_file.read().x.astype(np.float32)[:, 0]
    assert set(x[:, 0]) <= set(rows[:500])
    assert set(x_test[:, 0]) <= set(rows[500:])


def test_cross_sections(toy: SampleAugmenter) -> None:
    with pytest.warns(DeprecationWarning, match=r"use SampleAugmenter\.cross_sections"):
        result = toy.extract_cross_sections(RANDOM, seed=2)
    assert_same(result, toy.cross_sections(RANDOM, seed=2))


@pytest.mark.parametrize("derivative", [False, True])
def test_raw_data(toy: SampleAugmenter, derivative: bool) -> None:
    with pytest.warns(DeprecationWarning, match=r"use weighted_events"):
        result = toy.extract_raw_data([0.1, 0.2], derivative=derivative)
    assert_same(result, toy.weighted_events([0.1, 0.2], derivative=derivative))


def test_refusals_are_those_of_the_replacement(toy: SampleAugmenter, tmp_path: Path) -> None:
    warns = pytest.warns(DeprecationWarning, match="sample_train_local")
    with warns, pytest.raises(OptionError, match="folder"):
        toy.extract_samples_train_local(SM, 10, folder=tmp_path)


def test_the_warning_points_to_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="will be removed in 2.0") as record:
        sampling.constant_benchmark_theta("sm")
    frame = inspect.currentframe()
    assert frame is not None
    assert record[0].filename == frame.f_code.co_filename


def test_debug_has_no_effect(toy: SampleAugmenter) -> None:
    assert SampleAugmenter(toy.madminer_filename, debug=True).n_samples == toy.n_samples


def test_log_of_the_tutorial(toy: SampleAugmenter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="madminer")
    augmenter = SampleAugmenter(toy.madminer_filename)
    augmenter.sample_train_local(sampling.benchmark("sm"), 10, seed=1)
    assert {record.name for record in caplog.records} == {"madminer.sampling"}
    *lines, last = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"Loading data from {toy.madminer_filename}",
        "Found 2 parameters",
        "Did not find nuisance parameters",
        "Found 6 benchmarks, of which 6 physical",
        "Found 6 observables",
        "Found 1000 events",
        "Found morphing setup with 6 components",
        "Extracting training sample for local score regression. Sampling and score evaluation "
        "according to ('benchmark', 'sm')",
    ]
    assert last.startswith("Effective number of samples: ")
    assert float(last.rpartition(" ")[2]) > 10.0


@pytest.mark.parametrize(
    ("name", "n_thetas", "message"),
    [
        ("sample_train_plain", 1, "Extracting plain training sample. Sampling according to"),
        ("sample_test", 1, "Extracting evaluation sample. Sampling according to"),
        ("sample_train_density", 1, "Extracting training sample for density estimation."),
        ("sample_train_ratio", 2, "Extracting training sample for ratio-based methods."),
        ("sample_train_more_ratios", 2, "Extracting training sample for ratio-based methods."),
    ],
)
def test_every_extraction_says_what_it_draws(
    toy: SampleAugmenter, name: str, n_thetas: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="madminer")
    many = sampling.random_morphing_points(500, PRIORS)
    getattr(toy, name)(*[many] * n_thetas, n_samples=500, seed=1)
    records = [record for record in caplog.records if record.levelno == logging.INFO]
    first, second = [record.getMessage() for record in records]
    assert first.startswith(message)
    assert "('random_morphing_points', (500, [('flat', -0.5, 0.5)," in first
    assert second.startswith("Effective number of samples: ")
