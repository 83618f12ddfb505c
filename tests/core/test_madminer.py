"""MadMiner: defining, saving and loading a setup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.core.madminer import MadMiner
from madminer.errors import (
    ExpressionError,
    FileFormatError,
    MorphingError,
    OptionError,
    OutputError,
    SetupError,
)
from madminer.io import EventFile, read_setup
from madminer.models import AnalysisParameter, Benchmark, FiniteDiffBenchmark
from madminer.models.setup import setup_differences


@pytest.fixture
def miner() -> MadMiner:
    """The setup of the tutorial."""
    miner = MadMiner()
    miner.add_parameter(
        lha_block="dim6",
        lha_id=2,
        parameter_name="CWL2",
        morphing_max_power=2,
        param_card_transform="16.52*theta",
        parameter_range=(-20.0, 20.0),
    )
    miner.add_parameter(
        lha_block="dim6",
        lha_id=5,
        parameter_name="CPWL2",
        morphing_max_power=2,
        param_card_transform="16.52*theta",
        parameter_range=(-20.0, 20.0),
    )
    miner.add_benchmark({"CWL2": 0.0, "CPWL2": 0.0}, "sm")
    miner.add_benchmark({"CWL2": 15.2, "CPWL2": 0.1}, "w")
    miner.add_benchmark({"CPWL2": 0.2, "CWL2": -15.4}, "neg_w")
    miner.add_benchmark({"CWL2": 0.3, "CPWL2": 15.1}, "ww")
    miner.add_benchmark({"CWL2": 0.4, "CPWL2": -15.3}, "neg_ww")
    return miner


def test_tutorial(miner: MadMiner, tmp_path: Path) -> None:
    miner.set_morphing(include_existing_benchmarks=True, max_overall_power=2, seed=1)
    assert list(miner.benchmarks) == ["sm", "w", "neg_w", "ww", "neg_ww", "morphing_basis_vector_5"]
    assert miner.default_benchmark == "sm"
    assert miner.export_morphing
    miner.save(tmp_path / "data" / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "data" / "setup.h5")
    assert setup_differences(miner.setup, loaded.setup) == []
    assert loaded.morpher is not None
    assert miner.morpher is not None
    np.testing.assert_array_equal(loaded.morpher.basis, miner.morpher.basis)
    np.testing.assert_array_equal(
        loaded.morpher.calculate_morphing_weights([1.0, 2.0]),
        miner.morpher.calculate_morphing_weights([1.0, 2.0]),
    )


def test_values_are_stored_in_parameter_order(miner: MadMiner) -> None:
    assert list(miner.benchmarks["neg_w"].values) == ["CWL2", "CPWL2"]
    np.testing.assert_array_equal(miner.setup.benchmark_thetas[2], [-15.4, 0.2])


def test_default_names_and_cleaned_names() -> None:
    miner = MadMiner()
    miner.add_parameter("dim6", 1)
    miner.add_parameter("dim6", 2, parameter_name="c W-L2")
    miner.add_parameter("dim6", 3)
    assert list(miner.parameters) == ["parameter_0", "c_W_L2", "parameter_2"]
    miner.add_benchmark(dict.fromkeys(miner.parameters, 0.0))
    miner.add_benchmark(dict.fromkeys(miner.parameters, 1.0), verbose=False)
    assert list(miner.benchmarks) == ["benchmark_0", "benchmark_1"]


def test_new_parameters_forget_benchmarks_and_morphing(miner: MadMiner) -> None:
    miner.set_morphing(max_overall_power=2, seed=2)
    miner.add_parameter("dim6", 7)
    assert miner.benchmarks == {}
    assert miner.default_benchmark is None
    assert miner.morpher is None
    assert not miner.export_morphing


def test_parameters_at_once(miner: MadMiner) -> None:
    parameters = dict(miner.parameters)
    other = MadMiner()
    other.set_parameters({"ignored": parameters["CPWL2"], "too": parameters["CWL2"]})
    assert other.parameters == {"CPWL2": parameters["CPWL2"], "CWL2": parameters["CWL2"]}
    assert other.parameters["CWL2"].transform == "16.52*theta"
    miner.set_parameters([("dim6", 1), ("sminputs", 2)])
    assert miner.parameters["parameter_1"] == AnalysisParameter("parameter_1", "sminputs", 2)
    assert miner.benchmarks == {}


def test_benchmarks_at_once(miner: MadMiner) -> None:
    miner.set_morphing(max_overall_power=2, seed=3)
    miner.set_benchmarks({"sm": {"CWL2": 0.0, "CPWL2": 0.0}, "x": {"CPWL2": 1.0, "CWL2": 2.0}})
    assert list(miner.benchmarks) == ["sm", "x"]
    assert miner.morpher is None
    miner.set_benchmarks([{"CWL2": 0.0, "CPWL2": 0.0}, {"CPWL2": 1.0, "CWL2": 2.0}])
    assert list(miner.benchmarks) == ["benchmark_0", "benchmark_1"]
    miner.set_benchmarks({"b": Benchmark("ignored", {"CWL2": 0.0, "CPWL2": 0.0})})
    assert list(miner.benchmarks) == ["b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.add_parameter("dim6", 3, "CWL2"), "already is a parameter 'CWL2'"),
        (lambda m: m.add_parameter("dim6", 3, morphing_max_power=-1), "max_power >= 0"),
        (lambda m: m.add_parameter("dim6", 3, morphing_max_power=1.5), "morphing_max_power must"),
        (lambda m: m.add_parameter("dim6", "x"), "lha_id must be a whole number"),
        (lambda m: m.add_parameter("dim6", 3, parameter_range=(1.0, 0.0)), "low < high"),
        (
            lambda m: m.add_parameter("dim6", 3, parameter_range=(1.0,)),
            r"parameter_range must be a pair of finite numbers \(low",
        ),
        (lambda m: m.set_parameters([("dim6",)]), "a list of pairs"),
        (lambda m: m.set_parameters([3]), "a list of pairs"),
        (lambda m: m.add_benchmark({"CWL2": 0.0, "CPWL2": 0.0}, "sm"), "already is a benchmark"),
        (lambda m: m.add_benchmark({"CWL2": 0.0, "typo": 0.0}, "x"), r"got \['CWL2', 'typo'\]"),
        (lambda m: m.add_benchmark({"CWL2": 0.0}, "x"), "a value for exactly the parameters"),
        (lambda m: m.add_benchmark([0.0, 1.0], "x"), "is given as a dict"),
        (lambda m: m.set_benchmarks({"x": {"CWL2": 0.0}}), "a value for exactly the parameters"),
        (lambda m: m.set_morphing(max_overall_power=1), "has 3 benchmarks, but 5 are given"),
    ],
)
def test_bad_calls_are_refused_and_change_nothing(
    miner: MadMiner, call: Callable[[Any], None], message: str
) -> None:
    parameters, benchmarks = dict(miner.parameters), dict(miner.benchmarks)
    with pytest.raises(RuntimeError, match=message) as caught:
        call(miner)
    assert isinstance(caught.value, SetupError)
    assert (miner.parameters, miner.benchmarks) == (parameters, benchmarks)


@pytest.mark.parametrize("transform", ["16.52*", "theta.__class__", "open('x')", "2*thta"])
def test_bad_transforms_are_refused(miner: MadMiner, transform: str) -> None:
    with pytest.raises(ExpressionError):
        miner.add_parameter("dim6", 7, param_card_transform=transform)
    assert len(miner.benchmarks) == 5


def test_existing_benchmarks_may_lie_outside_the_basis(miner: MadMiner) -> None:
    miner.set_morphing(max_overall_power=2, include_existing_benchmarks=False, seed=4)
    assert list(miner.benchmarks)[:6] == [f"morphing_basis_vector_{k}" for k in range(6)]
    assert list(miner.benchmarks)[6:] == ["sm", "w", "neg_w", "ww", "neg_ww"]
    with pytest.raises(SetupError, match="earlier morphing are in the way"):
        miner.set_morphing(max_overall_power=2, include_existing_benchmarks=False, seed=4)


def test_benchmarks_after_morphing_lie_outside_the_basis(miner: MadMiner, tmp_path: Path) -> None:
    miner.set_morphing(max_overall_power=2, seed=5)
    miner.add_benchmark({"CWL2": 1.0, "CPWL2": 1.0}, "extra")
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert list(loaded.benchmarks)[-1] == "extra"
    assert loaded.morpher is not None
    assert loaded.morpher.n_benchmarks == 6
    assert loaded.setup.morphing is not None
    assert loaded.setup.morphing.n_basis == 6


def test_several_bases_survive_saving(miner: MadMiner, tmp_path: Path) -> None:
    miner.set_morphing(max_overall_power=2, n_bases=2, n_trials=5, seed=6)
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert loaded.setup.morphing is not None
    assert loaded.setup.morphing.matrix.shape == (6, 12)


def test_same_seed_gives_the_same_basis(miner: MadMiner) -> None:
    first = dict(miner.benchmarks)
    results = []
    for seed in (7, 7, 8):
        miner.set_benchmarks({name: b.values for name, b in first.items()}, verbose=False)
        miner.set_morphing(max_overall_power=2, seed=seed)
        results.append(miner.benchmarks["morphing_basis_vector_5"])
    assert results[0] == results[1] != results[2]


def test_morphing_needs_parameters() -> None:
    with pytest.raises(MorphingError, match="Call add_parameter"):
        MadMiner().set_morphing()


def test_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no setup to save"):
        MadMiner().save(tmp_path / "setup.h5")


def test_setup_of_madminer_0_9(shared: Path, tmp_path: Path) -> None:
    miner = MadMiner()
    miner.load(shared / "reference" / "public.setup.h5")
    original = read_setup(shared / "reference" / "public.setup.h5")
    assert setup_differences(miner.setup, original) == []
    assert list(miner.systematics) == ["lumi"]
    miner.save(tmp_path / "setup.h5")
    assert setup_differences(read_setup(tmp_path / "setup.h5"), original) == []


def test_event_files_give_their_setup(shared: Path) -> None:
    miner = MadMiner()
    miner.load(shared / "reference" / "public.h5")
    assert len(EventFile(shared / "reference" / "public.h5").setup.benchmarks) == 9
    assert len(miner.benchmarks) == 6  # readers make nuisance benchmarks anew
    assert miner.setup.nuisance_parameters == {}
    assert miner.setup.observables == {}


def test_morphing_can_be_left_out(shared: Path, tmp_path: Path) -> None:
    miner = MadMiner()
    miner.load(shared / "reference" / "public.setup.h5", disable_morphing=True)
    assert miner.morpher is None
    miner.save(tmp_path / "setup.h5")
    assert read_setup(tmp_path / "setup.h5").morphing is None


def test_finite_differences_in_a_file_are_kept(miner: MadMiner, tmp_path: Path) -> None:
    shifted = {"CWL2": "w", "CPWL2": "ww"}
    miner.finite_difference_benchmarks = {"sm": FiniteDiffBenchmark("sm", shifted)}
    miner.finite_difference_epsilon = 0.01
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert loaded.finite_difference_benchmarks == miner.finite_difference_benchmarks
    assert loaded.finite_difference_epsilon == 0.01
    loaded.set_parameters([("dim6", 1)])
    assert loaded.finite_difference_benchmarks == {}


def test_failed_loading_keeps_the_present_setup(miner: MadMiner, tmp_path: Path) -> None:
    (tmp_path / "setup.h5").write_text("not HDF5")
    with pytest.raises(FileFormatError, match="another kind of file"):
        miner.load(tmp_path / "setup.h5")
    assert len(miner.benchmarks) == 5


def test_saving_into_an_impossible_place(miner: MadMiner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        miner.save(tmp_path / "file" / "setup.h5")


def test_repr(miner: MadMiner) -> None:
    assert repr(MadMiner()) == "MadMiner: no parameters yet, start with add_parameter"
    assert repr(miner) == "MadMiner: parameters CWL2, CPWL2; benchmarks sm, w, neg_w, ww, neg_ww"


def test_an_entry_of_the_card_belongs_to_one_parameter(miner: MadMiner) -> None:
    with pytest.raises(SetupError, match=r"entry 2 of block 'DIM6', .* parameter 'CWL2' already"):
        miner.add_parameter("DIM6", 2, "twin")
    with pytest.raises(SetupError, match="entry 2 of block 'dim6'"):
        MadMiner().set_parameters([("dim6", 2), ("dim6", 2)])


@pytest.mark.parametrize("value", ["1.0", None, [1.0], 1j])
def test_values_of_benchmarks_are_numbers(miner: MadMiner, value: Any) -> None:
    with pytest.raises(SetupError, match="CWL2 of benchmark 'a' must be a number"):
        miner.add_benchmark({"CWL2": value, "CPWL2": 0.0}, "a")


def test_powers_are_whole(miner: MadMiner) -> None:
    with pytest.raises(OptionError, match=r"max_overall_power must be a whole number, got 2.5"):
        miner.set_morphing(max_overall_power=2.5)  # type: ignore[arg-type]
