"""Setups as JSON: the same setup comes back, to the last digit; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import FileFormatError, OutputError
from madminer.io import read_setup
from madminer.io.parquet import setup_from_json, setup_to_json
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    FiniteDiffBenchmark,
    FiniteDifferences,
    MorphingSetup,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(min_size=1, max_size=8)


@st.composite
def setups(draw: st.DrawFn) -> AnalysisSetup:
    """Setups with every kind of entry."""
    parameters = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    names = draw(st.lists(NAMES, min_size=3, max_size=6, unique=True))
    n_physical = draw(st.integers(1, len(names) - 1))
    physical, nuisance = names[:n_physical], names[n_physical:]
    benchmarks = {
        name: Benchmark(
            name,
            {parameter: draw(FLOATS) for parameter in parameters},
            is_nuisance=name in nuisance,
            is_reference=name == physical[-1],
        )
        for name in names
    }
    c = draw(st.integers(1, 4))
    powers = draw(st.lists(st.integers(0, 9), min_size=c, max_size=c))
    matrix = draw(st.lists(FLOATS, min_size=c * n_physical, max_size=c * n_physical))
    shifted = FiniteDiffBenchmark(physical[0], dict.fromkeys(parameters, physical[-1]))
    return AnalysisSetup(
        parameters={
            name: AnalysisParameter(name, draw(NAMES), i, i, (-1.0, draw(st.floats(0, 9))), None)
            for i, name in enumerate(parameters)
        },
        benchmarks=benchmarks,
        morphing=draw(
            st.sampled_from(
                [
                    None,
                    MorphingSetup(
                        np.array([powers] * len(parameters)).T,
                        np.array(matrix).reshape(c, n_physical),
                    ),
                ]
            )
        ),
        finite_differences=draw(
            st.sampled_from([None, FiniteDifferences({physical[0]: shifted}, 1e-3)])
        ),
        systematics={
            "lumi": Systematic("lumi", SystematicType.NORM, draw(st.floats(0.5, 2.0))),
            "mu": Systematic("mu", SystematicType.SCALE, "0.5,1.0,2.0", SystematicScale.MUF),
            "pdf": Systematic("pdf", SystematicType.PDF, f"set {draw(st.text())}"),
        },
        nuisance_parameters={
            "nu": NuisanceParameter("nu", "mu", nuisance[0]),
            "tilt": NuisanceParameter(
                "tilt", "pdf", None, nuisance[-1], benchmarks_neg={physical[0]: nuisance[0]}
            ),
        },
        observables={name: draw(st.text()) for name in draw(st.lists(NAMES, unique=True))},
    )


def assert_same_setup(first: AnalysisSetup, second: AnalysisSetup) -> None:
    """Equal in all sections, the order of names and all digits."""
    if first.morphing is not None and second.morphing is not None:
        np.testing.assert_array_equal(first.morphing.components, second.morphing.components)
        np.testing.assert_array_equal(first.morphing.matrix, second.morphing.matrix)
        assert second.morphing.components.dtype == np.int64
    assert (first.morphing is None) == (second.morphing is None)
    assert repr(replace(first, morphing=None)) == repr(replace(second, morphing=None))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(setups())
def test_round_trip_of_any_setup(setup: AnalysisSetup) -> None:
    assert_same_setup(setup, setup_from_json(setup_to_json(setup)))


def test_round_trip_of_a_file_of_madminer_0_9(shared: Path) -> None:
    setup = read_setup(shared / "reference" / "public.h5")
    assert_same_setup(setup, setup_from_json(setup_to_json(setup)))


def changed(**sections: Any) -> str:
    plain = json.loads(setup_to_json(AnalysisSetup()))
    return json.dumps({**plain, **sections})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid setup: Expecting property name"),
        ("[]", r"entry setup may have .*'observables'\], got \[\]"),
        (changed(colour="red"), "'colour'.*newer version of MadMiner: update"),
        (changed(observables=["met"]), "no valid setup"),
        (changed(observables={"met": 3}), "setup.observables.met must be of type str, got 3"),
        (changed(parameters={"a": {"name": "a"}}), "missing .* required"),
        (
            changed(benchmarks={"sm": {"name": "sm", "values": {"a": 1.0}}}),
            "Benchmark 'sm' must give a value for exactly the parameters",
        ),
        (
            changed(systematics={"s": {"name": "s", "type": "shape", "value": 1.0}}),
            "'shape' is not a valid SystematicType",
        ),
        (changed(morphing={"components": [["a"]], "matrix": [[1.0]]}), "no valid setup"),
    ],
)
def test_what_is_no_setup_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        setup_from_json(text)


def test_numbers_that_are_not_finite_are_refused() -> None:
    setup = AnalysisSetup(
        parameters={"a": AnalysisParameter("a", "dim6", 1)},
        benchmarks={"sm": Benchmark("sm", {"a": 0.0})},
        morphing=MorphingSetup(np.array([[0]]), np.array([[np.nan]])),
    )
    with pytest.raises(OutputError, match="not finite"):
        setup_to_json(setup)
