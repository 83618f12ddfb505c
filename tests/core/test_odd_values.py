"""Whatever a user gives to a method of MadMiner: a setup that can be saved, or a named error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import MadMiner
from madminer.errors import MadMinerError, OptionError, SetupError

ODD: list[Any] = [
    None, "", " ", "a", "sm", "\x1b[2J", "\ud800", "x" * 10**5, b"a", True, False, 0, 1, -1, 2.5,
    math.nan, math.inf, -math.inf, 10**400, -(10**30), 1j, Decimal(1), np.float32(1), np.int64(3),
    np.bool_(True), np.array(1.5), np.array("a"), np.array([1, 2]), np.datetime64("2020-01-01"), [],
    [0], [0, 0], (1,), (1, 2), (2, 1), [[0, 0]], [None], ["a"], [[1], [1, 2]], set(), range(3), {},
    {"c": 0.0}, {"c": None}, {"c": "x"}, {"c": 10**400}, {"x": {"c": 0.0}}, {None: {"c": 0.0}},
    [{"c": 0.0}], [("dim6", 2)], [("dim6", 2.5)], [(None, None)], slice(1), ..., object(), len,
    np.random.default_rng(0),
]  # fmt: skip

CALLS: dict[str, dict[str, Any]] = {
    "add_parameter": {
        "lha_block": "dim6", "lha_id": 3, "parameter_name": "d", "param_card_transform": "theta",
        "morphing_max_power": 2, "parameter_range": (0.0, 1.0),
    },
    "set_parameters": {"parameters": [("dim6", 2)]},
    "add_benchmark": {"parameter_values": {"c": 0.5}, "benchmark_name": "n", "verbose": True},
    "set_benchmarks": {"benchmarks": [{"c": 0.5}], "verbose": True},
    "set_morphing": {
        "max_overall_power": 2, "n_bases": 1, "include_existing_benchmarks": True, "n_trials": 3,
        "n_test_thetas": 3, "seed": 1, "optimizer": "random", "least_squares": False,
    },
    "finite_differences": {"epsilon": 0.1},
    "add_systematics": {
        "effect": "norm", "systematic_name": "s", "norm_variation": 1.1, "scale": "mu",
        "scale_variations": (0.5, 2.0), "pdf_variation": "CT10",
    },
    "load": {"filename": "none.h5", "disable_morphing": False},
    "save": {"filename": "made.h5"},
}  # fmt: skip


def make_miner() -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "c", parameter_range=(-1.0, 1.0))
    miner.add_benchmark({"c": 0.0}, "sm")
    miner.add_benchmark({"c": 1.0}, "w")
    return miner


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Paths that are given by accident lie here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cases() -> Iterator[tuple[str, str, str]]:
    for call, arguments in CALLS.items():
        for argument in arguments:
            effects = ("norm", "scale", "pdf") if call == "add_systematics" else ("",)
            yield from ((call, argument, effect) for effect in effects)


@pytest.mark.parametrize(("call", "argument", "effect"), list(cases()))
@pytest.mark.usefixtures("in_tmp_path")
def test_odd_values_give_a_setup_or_a_named_error(call: str, argument: str, effect: str) -> None:
    seen = set[str]()
    for value in ODD:
        miner = make_miner()
        arguments = {**CALLS[call], **({"effect": effect} if effect else {}), argument: value}
        before = repr(miner.setup)
        try:
            getattr(miner, call)(**arguments)
        except MadMinerError:
            assert repr(miner.setup) == before
            continue
        if miner.parameters and repr(miner.setup) not in seen:
            seen.add(repr(miner.setup))
            miner.save("kept.h5")
            again = MadMiner()
            again.load("kept.h5")
            assert again.parameters == miner.parameters
            assert again.benchmarks == miner.benchmarks
            assert again.systematics == miner.systematics


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "a\0", "x" * 257])
def test_names_go_to_terminals_and_files(name: str) -> None:
    calls: list[Callable[[MadMiner], None]] = [
        lambda m: m.add_parameter("dim6", 3, name),
        lambda m: m.add_parameter(name, 3),
        lambda m: m.add_benchmark({"c": 3.0}, name),
        lambda m: m.add_systematics("norm", name),
        lambda m: m.add_systematics("pdf", pdf_variation=name),
    ]
    for call in calls:
        with pytest.raises(SetupError, match=r"text without control|text of at most 256") as caught:
            call(make_miner())
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a" * 256, "a\0", 3, None, b"a"])
def test_what_is_no_path_is_refused(name: Any) -> None:
    for call in (make_miner().save, make_miner().load):
        with pytest.raises(OptionError, match="filename must be a path"):
            call(name)
