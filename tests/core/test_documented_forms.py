"""Every form in which parameters and benchmarks can be given, sentence by sentence."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import SetupError
from madminer.io import read_setup
from madminer.models import AnalysisParameter, Benchmark


@pytest.fixture
def miner() -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", "16.52*theta", 2, (-2.0, 2.0))
    miner.add_parameter("dim6", 5, "b", parameter_range=(-2.0, 2.0))
    return miner


def test_attributes_of_a_new_object() -> None:
    miner = MadMiner()
    for name in ("parameters", "benchmarks", "systematics", "finite_difference_benchmarks"):
        assert getattr(miner, name) == {}
    assert miner.default_benchmark is None
    assert miner.morpher is None
    assert miner.export_morphing is False
    assert miner.finite_difference_epsilon == 0.0


def test_signatures() -> None:
    assert str(inspect.signature(MadMiner.finite_differences)).startswith(
        "(self, epsilon: 'float' = 0.01)"
    )
    parameters = inspect.signature(MadMiner.add_systematics).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert list(defaults.items())[2:] == [
        ("systematic_name", None),
        ("norm_variation", 1.1),
        ("scale", "mu"),
        ("scale_variations", (0.5, 1.0, 2.0)),
        ("pdf_variation", "CT10"),
    ]


def test_all_arguments_of_a_parameter(miner: MadMiner) -> None:
    miner.add_parameter(
        lha_block="dim6",
        lha_id=np.int64(7),
        parameter_name="c-d e",
        param_card_transform="theta**2",
        morphing_max_power=4,
        parameter_range=[np.float32(-1), 1],
    )
    expected = AnalysisParameter("c_d_e", "dim6", 7, 4, (-1.0, 1.0), "theta**2")
    assert miner.parameters["c_d_e"] == expected
    assert AnalysisParameter("b", "dim6", 5, 2, (-2.0, 2.0), None) == miner.parameters["b"]
    with pytest.raises(RuntimeError, match="already is a parameter 'c_d_e'"):
        miner.add_parameter("dim6", 8, "c d-e")


@pytest.mark.parametrize("other", ["new", "cleared", "paired"])
def test_parameters_reset_benchmarks_and_morphing(miner: MadMiner, other: str) -> None:
    miner.set_morphing(max_overall_power=1, seed=1)
    if other == "new":
        miner.add_parameter("dim6", 7)
    elif other == "cleared":
        miner.set_parameters(dict(miner.parameters))
    else:
        miner.set_parameters([("dim6", 7)])
    assert miner.benchmarks == {}
    assert (miner.morpher, miner.export_morphing) == (None, False)


def test_parameters_in_a_dict_have_their_own_names_and_keep_everything(miner: MadMiner) -> None:
    other = MadMiner()
    other.set_parameters({"x": miner.parameters["b"], "y": miner.parameters["a"]})
    assert list(other.parameters.items()) == list(reversed(miner.parameters.items()))


@pytest.mark.parametrize("as_sequence", [list, tuple, iter])
def test_parameters_as_pairs_have_default_names(miner: MadMiner, as_sequence: Any) -> None:
    miner.set_parameters(as_sequence([("dim6", 1), ["sminputs", np.int32(3)]]))
    assert miner.parameters == {
        "parameter_0": AnalysisParameter("parameter_0", "dim6", 1),
        "parameter_1": AnalysisParameter("parameter_1", "sminputs", 3),
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": ("dim6", 2)}, r"type AnalysisParameter, got \('dim6', 2\)"),
        ([("dim6", 2, "a")], "a list of pairs"),
        ([("dim6", "2")], "lha_id must be a whole number"),
        ([(6, 2)], "lha_block must be a text"),
        (
            {"x": AnalysisParameter("a b", "dim6", 1), "y": AnalysisParameter("a-b", "dim6", 2)},
            "already is a parameter 'a_b'",
        ),
    ],
)
def test_other_forms_of_parameters_are_refused(
    miner: MadMiner, parameters: Any, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        miner.set_parameters(parameters)
    assert list(miner.parameters) == ["a", "b"]


@pytest.mark.parametrize("name", ["", " ", 5])
def test_names_are_texts(miner: MadMiner, name: Any) -> None:
    with pytest.raises(SetupError, match="must be a text that is not empty"):
        miner.add_parameter("dim6", 7, name)


@pytest.mark.parametrize("bounds", [("a", "b"), (0.0, None), (0.0, np.nan), (0.0, np.inf)])
def test_ranges_are_numbers(miner: MadMiner, bounds: Any) -> None:
    with pytest.raises(SetupError, match="parameter_range must be a pair of finite numbers"):
        miner.add_parameter("dim6", 7, parameter_range=bounds)


def test_values_are_stored_in_the_order_of_the_parameters(miner: MadMiner, tmp_path: Path) -> None:
    miner.add_benchmark({"b": 2, "a": np.float32(1)}, "first")
    miner.set_benchmarks({**miner.benchmarks, "second": {"b": 4.0, "a": 3.0}})
    miner.save(tmp_path / "setup.h5")
    expected = [[1.0, 2.0], [3.0, 4.0]]
    np.testing.assert_array_equal(read_setup(tmp_path / "setup.h5").benchmark_thetas, expected)


def test_default_benchmark_is_the_first(miner: MadMiner) -> None:
    miner.add_benchmark({"a": 1.0, "b": 0.0})
    miner.add_benchmark({"a": 2.0, "b": 0.0}, "sm")
    assert list(miner.benchmarks) == ["benchmark_0", "sm"]
    assert miner.default_benchmark == "benchmark_0"


def test_benchmarks_in_a_dict_are_called_by_their_keys(miner: MadMiner) -> None:
    miner.set_benchmarks({"x": {"a": 1.0, "b": 0.0}, "y": Benchmark("z", {"a": 2.0, "b": 0.0})})
    assert miner.benchmarks == {
        "x": Benchmark("x", {"a": 1.0, "b": 0.0}),
        "y": Benchmark("y", {"a": 2.0, "b": 0.0}),
    }


def test_benchmarks_in_a_list_have_default_names_unless_they_bring_one(miner: MadMiner) -> None:
    miner.set_benchmarks([{"a": 1.0, "b": 0.0}, Benchmark("own", {"a": 2.0, "b": 0.0})])
    assert list(miner.benchmarks) == ["benchmark_0", "own"]
    miner.add_benchmark(Benchmark("other", {"a": 3.0, "b": 0.0}))
    assert list(miner.benchmarks) == ["benchmark_0", "own", "other"]


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ([[0.0, 1.0]], "is given as a dict"),
        (["a"], "is given as a dict"),
        ({"x": {"a": 0.0}}, "exactly the parameters"),
        ({"x": {"a": 0.0, "b": 0.0, "c": 0.0}}, "exactly the parameters"),
        ({5: {"a": 0.0, "b": 0.0}}, "name must be a text"),
        ({"x": {"a": 0.0, "b": np.inf}}, "finite values, got b = inf"),
        ([Benchmark("x", {"a": 0.0, "b": 0.0})] * 2, "already is a benchmark 'x'"),
    ],
)
def test_other_forms_of_benchmarks_are_refused(
    miner: MadMiner, benchmarks: Any, message: str
) -> None:
    miner.add_benchmark({"a": 0.0, "b": 0.0}, "sm")
    with pytest.raises(RuntimeError, match=message):
        miner.set_benchmarks(benchmarks)
    assert list(miner.benchmarks) == ["sm"]


def test_loading_replaces_everything(miner: MadMiner, tmp_path: Path) -> None:
    other = MadMiner()
    other.add_parameter("sminputs", 1)
    other.add_benchmark({"parameter_0": 0.0})
    other.save(tmp_path / "new" / "folder" / "setup.h5")
    miner.set_morphing(max_overall_power=1, seed=1)
    miner.finite_differences()
    miner.add_systematics("norm")
    miner.load(tmp_path / "new" / "folder" / "setup.h5")
    assert repr(miner) == "MadMiner: parameters parameter_0; benchmarks benchmark_0"
    assert (miner.morpher, miner.systematics, miner.finite_difference_benchmarks) == (None, {}, {})
