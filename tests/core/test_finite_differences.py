"""Finite differences: one shifted benchmark for each benchmark and parameter, once, at the end."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import SetupError
from madminer.io import read_setup
from madminer.models import FiniteDiffBenchmark
from madminer.models.setup import setup_differences


@pytest.fixture
def miner() -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", parameter_range=(-2.0, 2.0))
    miner.add_parameter("dim6", 5, "b", parameter_range=(-2.0, 2.0))
    miner.add_benchmark({"a": 0.0, "b": 0.0}, "sm")
    miner.add_benchmark({"a": 1.0, "b": -2.0}, "w")
    return miner


def test_each_parameter_of_each_benchmark_is_raised(miner: MadMiner) -> None:
    miner.finite_differences(epsilon=0.1)
    values = {name: list(b.values.values()) for name, b in miner.benchmarks.items()}
    assert values == {
        "sm": [0.0, 0.0],
        "w": [1.0, -2.0],
        "sm_plus_a": [0.1, 0.0],
        "sm_plus_b": [0.0, 0.1],
        "w_plus_a": [1.1, -2.0],
        "w_plus_b": [1.0, -1.9],
    }
    assert miner.finite_difference_epsilon == 0.1
    assert miner.finite_difference_benchmarks == {
        "sm": FiniteDiffBenchmark("sm", {"a": "sm_plus_a", "b": "sm_plus_b"}),
        "w": FiniteDiffBenchmark("w", {"a": "w_plus_a", "b": "w_plus_b"}),
    }
    assert miner.default_benchmark == "sm"


def test_default_step(miner: MadMiner) -> None:
    miner.finite_differences()
    assert miner.finite_difference_epsilon == 0.01
    assert miner.benchmarks["sm_plus_b"].values == {"a": 0.0, "b": 0.01}


def test_derivatives_are_those_of_a_function(miner: MadMiner) -> None:
    """(w(shifted) - w(base)) / epsilon tends to the gradient at the base."""

    def weight(a: float, b: float) -> float:
        return 1.0 + 2.0 * a - b + a * b + 0.5 * a**2

    miner.finite_differences(1e-6)
    gradients = {"sm": (2.0, -1.0), "w": (1.0, 0.0)}
    for base, differences in miner.finite_difference_benchmarks.items():
        for gradient, parameter in zip(gradients[base], "ab", strict=True):
            shifted = miner.benchmarks[differences.shift_names[parameter]]
            step = weight(**shifted.values) - weight(**miner.benchmarks[base].values)
            assert step / miner.finite_difference_epsilon == pytest.approx(gradient, abs=1e-5)


def test_they_lie_outside_the_morphing_basis(miner: MadMiner, tmp_path: Path) -> None:
    miner.set_morphing(max_overall_power=2, seed=1)
    expected = miner.setup.morphing
    miner.finite_differences()
    assert len(miner.benchmarks) == 6 * 3
    assert expected is not None
    assert miner.setup.morphing is not None
    np.testing.assert_array_equal(miner.setup.morphing.matrix, expected.matrix)
    miner.save(tmp_path / "setup.h5")
    assert read_setup(tmp_path / "setup.h5").morphing is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.finite_differences(),
        lambda m: m.add_benchmark({"a": 3.0, "b": 3.0}),
        lambda m: m.set_morphing(max_overall_power=2),
    ],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_nothing_is_added_afterwards(
    miner: MadMiner, call: Any, loaded: bool, tmp_path: Path
) -> None:
    miner.finite_differences()
    if loaded:
        miner.save(tmp_path / "setup.h5")
        miner = MadMiner()
        miner.load(tmp_path / "setup.h5")
    names = list(miner.benchmarks)
    with pytest.raises(SetupError, match=r"comes too late: .* with set_benchmarks, .* at the end"):
        call(miner)
    assert list(miner.benchmarks) == names
    assert miner.morpher is None


def test_the_remedy_works(miner: MadMiner) -> None:
    miner.finite_differences()
    miner.set_benchmarks({"sm": {"a": 0.0, "b": 0.0}})
    assert miner.finite_difference_benchmarks == {}
    assert miner.finite_difference_epsilon == 0.0
    miner.set_morphing(max_overall_power=2, seed=1)
    miner.finite_differences(0.5)
    assert list(miner.benchmarks)[-1] == "morphing_basis_vector_5_plus_b"
    miner.add_parameter("dim6", 7)
    assert miner.finite_difference_benchmarks == {}


def test_systematics_may_follow(miner: MadMiner) -> None:
    miner.finite_differences()
    miner.add_systematics("norm", "lumi")
    assert list(miner.setup.systematics) == ["lumi"]


@pytest.mark.parametrize("epsilon", [0.0, -0.01, np.nan, np.inf, "0.01", None])
def test_steps_are_positive_numbers(miner: MadMiner, epsilon: Any) -> None:
    with pytest.raises(SetupError, match="must be"):
        miner.finite_differences(epsilon)
    assert len(miner.benchmarks) == 2


def test_steps_are_not_lost_to_rounding(miner: MadMiner) -> None:
    with pytest.raises(SetupError, match=r"step 1e-16 is lost to rounding at a = 1 .* 'w'"):
        miner.finite_differences(1e-16)
    assert miner.finite_difference_benchmarks == {}


def test_benchmarks_are_needed() -> None:
    with pytest.raises(SetupError, match="Call add_benchmark first"):
        MadMiner().finite_differences()


def test_names_must_be_free(miner: MadMiner) -> None:
    miner.add_benchmark({"a": 1.0, "b": 1.0}, "sm_plus_b")
    with pytest.raises(SetupError, match="'sm' with b raised would be called 'sm_plus_b'"):
        miner.finite_differences()
    assert len(miner.benchmarks) == 3


COMBINATIONS = list(itertools.product([1, 2, 3, 4], [0, 1, 2], [False, True]))


@pytest.mark.parametrize(("n_parameters", "n_bases", "with_differences"), COMBINATIONS)
def test_every_combination_survives_saving(
    tmp_path: Path, n_parameters: int, n_bases: int, with_differences: bool
) -> None:
    miner = MadMiner()
    for i in range(n_parameters):
        transform = f"{i}.5*theta" if i % 2 else None
        miner.add_parameter("dim6", i, None, transform, 1 + i % 2, (-1.0 - i, 2.0))
    miner.add_benchmark(dict.fromkeys(miner.parameters, 0.0), "sm")
    if n_bases:
        miner.set_morphing(max_overall_power=2, n_bases=n_bases, n_trials=10, seed=1)
    if with_differences:
        miner.finite_differences(0.125)
    for effect in ("norm", "scale", "pdf", "scale", "norm"):
        miner.add_systematics(effect)
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert setup_differences(miner.setup, loaded.setup) == []
