"""Every combination of what a setup can hold survives saving and loading."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.core import MadMiner
from madminer.core.systematics import clean_name
from madminer.errors import MorphingError
from madminer.io import read_setup, write_setup
from madminer.models import AnalysisSetup, Benchmark, NuisanceParameter
from madminer.models.setup import setup_differences

LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=20).filter(
    lambda text: text.strip() and text not in {"None", "_"}
)
TRANSFORMS = st.sampled_from([None, "16.52*theta", "theta**2 - 1.0e-3"])
POINTS = np.random.default_rng(0).uniform(-3.0, 3.0, size=(60, 4))
FEW = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def miners(draw: Any) -> MadMiner:
    """Any setup that can be defined."""
    miner = MadMiner()
    for i, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=clean_name))):
        miner.add_parameter(
            lha_block=draw(NAMES),
            lha_id=draw(st.integers(-(2**40), 2**40)) * 4 + i,
            parameter_name=name,
            param_card_transform=draw(TRANSFORMS),
            morphing_max_power=draw(st.integers(1, 4)),
            parameter_range=(draw(st.floats(-9.0, -1.0)), draw(st.floats(1.0, 9.0))),
        )
    add_benchmarks(miner, draw(st.integers(0, 5)), draw(NAMES))
    if draw(st.integers(0, 3)):
        set_morphing(draw, miner)
        add_benchmarks(miner, draw(st.integers(0, 2)), "outside")
    if miner.benchmarks and draw(st.integers(0, 2)):
        miner.finite_differences(draw(st.floats(1e-6, 1.0)))
    for name in draw(st.lists(NAMES, max_size=4, unique_by=clean_name)):
        add_systematics(draw, miner, name)
    return miner


def add_benchmarks(miner: MadMiner, number: int, name: str) -> None:
    """Points in general position, so that morphing is not singular."""
    for i in range(number):
        point = POINTS[len(miner.benchmarks), : len(miner.parameters)]
        miner.add_benchmark(dict(zip(miner.parameters, point.tolist(), strict=True)), f"{name}{i}")


def set_morphing(draw: Any, miner: MadMiner) -> None:
    options = draw(
        st.sampled_from(
            [
                {"n_bases": 1},
                {"n_bases": 2},
                {"n_bases": 1, "include_existing_benchmarks": False},
                {"n_bases": 2, "include_existing_benchmarks": False},
                {"least_squares": True},
            ]
        )
    )
    power, seed = draw(st.integers(1, 2)), draw(st.integers(0, 10))
    with suppress(MorphingError):  # more benchmarks than components
        miner.set_morphing(power, n_trials=5, n_test_thetas=5, seed=seed, **options)


def add_systematics(draw: Any, miner: MadMiner, name: str) -> None:
    low, high = draw(st.floats(0.1, 0.9)), draw(st.floats(1.1, 10.0))
    miner.add_systematics(
        draw(st.sampled_from(["norm", "scale", "pdf"])),
        draw(st.sampled_from([name, None])),
        norm_variation=draw(st.sampled_from([low, high])),
        scale=draw(st.sampled_from(["mu", "muf", "mur"])),
        scale_variations=draw(st.sampled_from([(low, 1.0, high), (low, high), (high,)])),
        pdf_variation=draw(NAMES.filter(lambda text: not {",", "@"} & set(text))),
    )


@st.composite
def setups(draw: Any) -> AnalysisSetup:
    """Any setup that readers can write: with nuisance parameters and observables."""
    setup = draw(miners()).setup
    benchmarks = dict(setup.benchmarks)
    if benchmarks and draw(st.booleans()):
        reference = draw(st.sampled_from(list(benchmarks)))
        benchmarks[reference] = replace(benchmarks[reference], is_reference=True)
    positions = dict.fromkeys(setup.parameters, 0.0)
    nuisances = {}
    names = NAMES.filter(lambda name: name not in setup.parameters)
    for i, name in enumerate(draw(st.lists(names, max_size=3, unique=True))):
        up, down = draw(st.sampled_from([(None, None), ("up", None), (None, "dn"), ("up", "dn")]))
        sides = [None if side is None else f"{name}_{side}_{i}" for side in (up, down)]
        for side in filter(None, sides):
            benchmarks[side] = Benchmark(side, positions, is_nuisance=True)
        at_points = dict.fromkeys(setup.physical_benchmarks, sides[0]) if up else None
        at_points = at_points if draw(st.booleans()) else None
        nuisances[name] = NuisanceParameter(name, draw(NAMES), *sides, at_points or None)
    return replace(
        setup,
        benchmarks=benchmarks,
        nuisance_parameters=nuisances,
        observables=draw(st.dictionaries(NAMES, st.text(LETTERS, max_size=400), max_size=3)),
    )


def contents(path: Path) -> dict[str, list[Any]]:
    """All datasets of a file."""
    found = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = [item.dtype.str, item[()].tolist()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@FEW
@given(setups())
def test_files_give_the_setup_that_was_written(setup: AnalysisSetup) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "setup.h5"
        write_setup(path, setup)
        assert setup_differences(setup, read_setup(path)) == []


@FEW
@given(miners(), miners())
def test_miners_load_what_they_saved(old: MadMiner, new: MadMiner) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, fresh = Path(folder) / "setup.h5", Path(folder) / "fresh.h5"
        old.save(path)
        new.save(path)
        new.save(fresh)
        assert contents(path) == contents(fresh)  # nothing stale
        old.load(path)
        assert setup_differences(new.setup, old.setup) == []
        assert repr(old) == repr(new)
        old.save(path)
        assert contents(path) == contents(fresh)
        old.load(path, disable_morphing=True)
        assert setup_differences(replace(new.setup, morphing=None), old.setup) == []


@FEW
@given(setups())
def test_miners_leave_to_readers_what_is_theirs(setup: AnalysisSetup) -> None:
    miner = MadMiner()
    with tempfile.TemporaryDirectory() as folder:
        write_setup(Path(folder) / "events.h5", setup)
        miner.load(Path(folder) / "events.h5")
    expected = replace(
        setup, benchmarks=setup.physical_benchmarks, nuisance_parameters={}, observables={}
    )
    assert setup_differences(expected, miner.setup) == []
