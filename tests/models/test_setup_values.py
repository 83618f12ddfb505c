"""The values of a setup refuse what makes no sense, and tell their differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from madminer.errors import SetupError, ShapeError, UnknownNameError
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
from madminer.models.setup import setup_differences

PARAMETERS = {name: AnalysisParameter(name, "dim6", i) for i, name in enumerate(["a", "b"])}
SETUP = AnalysisSetup(
    parameters=PARAMETERS,
    benchmarks={
        "sm": Benchmark("sm", {"a": 0.0, "b": 0.0}),
        "w": Benchmark("w", {"b": 2.0, "a": 1.0}, is_reference=True),
        "up": Benchmark("up", is_nuisance=True),
    },
    morphing=MorphingSetup(np.array([[0, 0], [1, 0]]), np.eye(2)),
    observables={"met": "met.pt"},
)


def test_order_of_theta_is_that_of_the_parameters() -> None:
    np.testing.assert_array_equal(SETUP.benchmark_thetas, [[0.0, 0.0], [1.0, 2.0]])
    np.testing.assert_array_equal(SETUP.theta("w"), [1.0, 2.0])
    np.testing.assert_array_equal(SETUP.theta(1), [1.0, 2.0])
    np.testing.assert_array_equal(SETUP.theta([3, 4]), [3.0, 4.0])
    assert SETUP.reference_benchmark == "w"
    assert AnalysisSetup().reference_benchmark is None


def test_unknown_points_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no benchmark 'up'.*\['sm', 'w'\]"):
        SETUP.theta("up")
    with pytest.raises(UnknownNameError, match="no benchmark number 2; there are 2"):
        SETUP.theta(2)
    with pytest.raises(UnknownNameError, match="unless given by name, must be a whole number, got"):
        SETUP.benchmark_index(None)  # type: ignore[arg-type]
    for theta in ([1.0], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(ShapeError, match=r"finite with shape \(2,\)"):
            SETUP.theta(theta)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": {"sm": Benchmark("sm", {"a": 0.0})}}, "exactly the parameters"),
        ({"benchmarks": dict(reversed(SETUP.benchmarks.items()))}, "before nuisance benchmarks"),
        ({"morphing": MorphingSetup(np.zeros((2, 3), int), np.eye(2))}, r"\(2, 3\) and \(2, 2\)"),
        ({"morphing": MorphingSetup(np.zeros((2, 2), int), np.eye(3))}, "needs components"),
        ({"morphing": MorphingSetup(np.zeros((3, 2), int), np.eye(3))}, "b <= 2"),
        (
            {"nuisance_parameters": {"nu": NuisanceParameter("nu", "lumi", "down")}},
            r"refer to the benchmarks \['down'\]",
        ),
        (
            {
                "finite_differences": FiniteDifferences(
                    {"sm": FiniteDiffBenchmark("sm", {"a": "x"})}, 1
                )
            },
            r"refer to the benchmarks \['x'\]",
        ),
    ],
)
def test_setups_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        replace(SETUP, **changes)


def test_bad_parameters_and_benchmarks_are_refused() -> None:
    with pytest.raises(SetupError, match="needs a name"):
        AnalysisParameter("", "dim6", 1)
    with pytest.raises(SetupError, match="max_power >= 0"):
        AnalysisParameter("a", "dim6", 1, max_power=-1)
    with pytest.raises(SetupError, match="low < high"):
        AnalysisParameter("a", "dim6", 1, val_range=(1.0, 1.0))
    with pytest.raises(SetupError, match="finite values, got a = inf"):
        Benchmark("sm", {"a": float("inf")})


def test_benchmarks_from_lists() -> None:
    assert Benchmark.from_params("w", ["a", "b"], [1, 2]).values == {"a": 1.0, "b": 2.0}
    shifted = FiniteDiffBenchmark.from_params("w", ["a", "b"], ["w_plus_a", "w_plus_b"])
    assert shifted.shift_names["b"] == "w_plus_b"
    with pytest.raises(ValueError, match="shorter"):
        Benchmark.from_params("w", ["a", "b"], [1.0])


def test_systematics() -> None:
    assert SystematicType.from_str("NORM") is SystematicType.NORM
    assert SystematicScale.from_str("muf") is SystematicScale.MUF
    with pytest.raises(ValueError, match="typo"):
        SystematicType.from_str("typo")
    with pytest.raises(SetupError, match="exactly for type scale"):
        Systematic("s", SystematicType.SCALE, "0.5,2.0")
    with pytest.raises(SetupError, match="exactly for type scale"):
        Systematic("s", SystematicType.NORM, 1.1, SystematicScale.MU)


def test_same_setups_have_no_differences() -> None:
    assert setup_differences(SETUP, replace(SETUP)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observables": {"pt": "j[0].pt"}}, r"observables: \['met'\] and \['pt'\]"),
        ({"observables": {"met": "met.e"}}, "observables: 'met.pt' and 'met.e'"),
        (
            {"parameters": {**PARAMETERS, "a": AnalysisParameter("a", "dim6", 9)}},
            "parameters: .*lha_id=0.*lha_id=9",
        ),
        (
            {"systematics": {"s": Systematic("s", SystematicType.NORM, 1.1)}},
            r"systematics: \[\] and \['s'\]",
        ),
        ({"morphing": None}, "morphing: 2 components over 2 benchmarks and none"),
        ({"morphing": MorphingSetup(SETUP.morphing.components, 2 * np.eye(2))}, "morphing: 2"),  # type: ignore[union-attr]
        (
            {"finite_differences": FiniteDifferences({}, 0.1)},
            "finite differences: None and .*0.1",
        ),
    ],
)
def test_differences_are_named(changes: dict[str, Any], message: str) -> None:
    (text,) = setup_differences(SETUP, replace(SETUP, **changes))
    with pytest.raises(SetupError, match=message):
        raise SetupError(text)


def test_nuisance_parameters_need_names_and_benchmarks_of_their_own() -> None:
    with pytest.raises(SetupError, match="needs different benchmarks"):
        NuisanceParameter("nu", "scale", "up", "up")
    name = next(iter(SETUP.parameters))
    up = {**SETUP.benchmarks, "up": Benchmark("up", {}, is_nuisance=True)}
    clash = {name: NuisanceParameter(name, "scale", "up")}
    with pytest.raises(SetupError, match="are both"):
        replace(SETUP, benchmarks=up, nuisance_parameters=clash)


def test_labels_of_nuisance_parameters_are_short() -> None:
    """Numbers only where a systematic uncertainty has several; other names are the user's own."""
    names = {
        "scale_bkg_nuisance_param_0": "scale_bkg",
        "pdf_nuisance_param_1": "pdf",
        "pdf_nuisance_param_2": "pdf",
        "c_nuisance_param_0": "c",
        "lumi": "luminosity",
        "x_nuisance_param_0": "y",
    }
    setup = AnalysisSetup(
        parameters={"c": AnalysisParameter("c", "dim6", 1)},
        nuisance_parameters={n: NuisanceParameter(n, s) for n, s in names.items()},
    )
    assert list(setup.nuisance_labels.values()) == [
        "scale_bkg",
        "pdf_1",
        "pdf_2",
        "c_nuisance_param_0",  # as there is a theory parameter c
        "lumi",
        "x_nuisance_param_0",
    ]
    table = setup._repr_html_()
    assert ">scale_bkg<" in table
    assert ">scale_bkg_nuisance_param_0<" not in table


def test_labels_are_unique() -> None:
    names = {"lumi_nuisance_param_0": "lumi", "lumi": "other"}
    setup = AnalysisSetup(
        nuisance_parameters={n: NuisanceParameter(n, s) for n, s in names.items()}
    )
    assert setup.nuisance_labels == {name: name for name in names}


@pytest.mark.parametrize(
    "theta",
    [None, True, 1.5, -1, 10**5000, "x" * 10**6, b"sm", {"a": 1.0}, {1, 2}, [1j, 0], ["a", "b"]],
    ids=lambda theta: type(theta).__name__,
)
def test_points_of_other_types_are_refused_by_short_messages(theta: object) -> None:
    with pytest.raises((UnknownNameError, ShapeError)) as caught:
        SETUP.theta(theta)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 400
