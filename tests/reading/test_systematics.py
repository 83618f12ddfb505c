from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import DataError, MissingWeightsError, SetupError
from madminer.io.events import Weights
from madminer.io.lhe import LHEHeader, WeightDescription, WeightGroup
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)
from madminer.reading.results import AnalysedSample, join_weights
from madminer.reading.selection import CutFlow
from madminer.reading.systematics import (
    NuisanceWeight,
    event_weights,
    find_nuisance_weights,
    join_nuisances,
)
from madminer.reading.weights import Sample

PATH = Path("events.lhe")
NAMES = ("lumi", "mu", "mur", "muf", "pdf")
SCALES = [(r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0)]
HEADER = LHEHeader(
    weight_groups=(
        WeightGroup(
            "Central scale variation",
            tuple(
                WeightDescription(f"{r}/{f}", attributes={"MUR": str(r), "MUF": str(f)})
                for r, f in SCALES
            ),
        ),
        WeightGroup(
            "CT10",
            tuple(
                WeightDescription(f"m{k}", f"PDF=10800 MemberID={k}", {"PDF": f"{10800 + k}"})
                for k in range(4)
            ),
        ),
    )
)
FOUND = [*HEADER.weight_ids, "w"]


def setup_with(**systematics: Systematic) -> AnalysisSetup:
    return AnalysisSetup(
        {"c": AnalysisParameter("c", "DIM6", 2)},
        {name: Benchmark(name, {"c": value}) for name, value in (("sm", 0.0), ("w", 10.0))},
        systematics=systematics,
    )


def scale(name: str, factors: str, which: str = "mu") -> Systematic:
    return Systematic(name, SystematicType.SCALE, factors, SystematicScale(which))


SETUP = setup_with(
    lumi=Systematic("lumi", SystematicType.NORM, 1.1),
    mu=scale("mu", "0.5,1.0,2.0"),
    mur=scale("mur", "0.5,2.0", "mur"),
    muf=scale("muf", "2.0", "muf"),
    pdf=Systematic("pdf", SystematicType.PDF, "ct10"),
)


def sample(*systematics: str) -> Sample:
    return Sample(path=PATH, sampled_from="sm", systematics=systematics)


def found_for(
    setup: AnalysisSetup, *systematics: str, header: LHEHeader = HEADER
) -> list[tuple[str, str | None, float]]:
    entries = find_nuisance_weights(setup, sample(*systematics), header, FOUND)
    return [(entry.benchmark, entry.weight_id, entry.factor) for entry in entries]


def test_weights_of_all_kinds_of_systematics() -> None:
    """In the order of the setup, whatever that of the sample."""
    assert found_for(SETUP, *reversed(NAMES)) == [
        ("lumi_nuisance_param_0_benchmark_0", None, 1.1),
        ("mu_nuisance_param_0_benchmark_0", "2.0/2.0", 1.0),
        ("mu_nuisance_param_0_benchmark_1", "0.5/0.5", 1.0),
        ("mur_nuisance_param_0_benchmark_0", "2.0/1.0", 1.0),
        ("mur_nuisance_param_0_benchmark_1", "0.5/1.0", 1.0),
        ("muf_nuisance_param_0_benchmark_0", "1.0/2.0", 1.0),
        ("pdf_nuisance_param_1_benchmark_0", "m1", 1.0),
        ("pdf_nuisance_param_2_benchmark_0", "m2", 1.0),
        ("pdf_nuisance_param_3_benchmark_0", "m3", 1.0),
    ]
    assert found_for(SETUP, "lumi") == [("lumi_nuisance_param_0_benchmark_0", None, 1.1)]
    assert found_for(SETUP) == []


def test_nuisance_parameters() -> None:
    entries = find_nuisance_weights(SETUP, sample(*NAMES), HEADER, FOUND)
    parameters = join_nuisances(SETUP, [(sample(*NAMES), entries)])
    name = "mu_nuisance_param_0"
    assert parameters[name] == NuisanceParameter(
        name, "mu", f"{name}_benchmark_0", f"{name}_benchmark_1"
    )
    name = "muf_nuisance_param_0"
    assert parameters[name] == NuisanceParameter(name, "muf", f"{name}_benchmark_0")
    assert list(parameters) == [
        *(f"{systematic}_nuisance_param_0" for systematic in NAMES[:4]),
        *(f"pdf_nuisance_param_{k}" for k in (1, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ("2.0", {"_0": "2.0/2.0"}),
        ("0.5", {"_0": "0.5/0.5"}),
        ("1.0,2.0", {"_0": "2.0/2.0"}),
        ("0.5,1.0", {"_1": "0.5/0.5"}),
        ("2.0,1.0,0.5", {"_0": "0.5/0.5", "_1": "2.0/2.0"}),
    ],
)
def test_sides_of_scale_variations(factors: str, expected: dict[str, str]) -> None:
    """A side with the factor 1 is absent."""
    found = found_for(setup_with(mu=scale("mu", factors)), "mu")
    assert {benchmark[-2:]: weight_id for benchmark, weight_id, _ in found} == expected


def test_scales_that_do_not_vary_are_refused() -> None:
    with pytest.raises(SetupError, match=r"'mu' varies nothing: .* 1.0,2.0,1.0 .* Give \(0.5, 1"):
        found_for(setup_with(mu=scale("mu", "1.0,2.0,1.0")), "mu")


PDF99 = Systematic("pdf", SystematicType.PDF, "CT99")
ONLY_CENTRAL = LHEHeader(weight_groups=(WeightGroup("CT99", (WeightDescription("m1"),)),))


@pytest.mark.parametrize(
    ("systematic", "header", "message"),
    [
        (scale("s", "0.25,4.0"), HEADER, r"'s' needs a weight with MUR = 4 and MUF = 4 in a group"),
        (scale("s", "0.25,2.0", "mur"), HEADER, r"MUR = 0.25 and MUF = 1 .*'CT10' .*, set 10800\)"),
        (PDF99, HEADER, r"densities 'CT99'. The file has .*'Central scale variation' .*'CT10'"),
        (PDF99, ONLY_CENTRAL, r"needs members of the parton densities 'CT99' beside the central"),
        (scale("s", "2.0"), LHEHeader(), r"groups of weights: none\. Run the systematics of MadG"),
    ],
)
def test_missing_weights_list_the_groups(
    systematic: Systematic, header: LHEHeader, message: str
) -> None:
    with pytest.raises(MissingWeightsError, match=message) as caught:
        found_for(setup_with(s=systematic), "s", header=header)
    assert str(caught.value).startswith("events.lhe: systematic uncertainty ")
    assert "out of `systematics`" in str(caught.value)


def test_weights_that_the_events_lack_are_refused() -> None:
    with pytest.raises(MissingWeightsError, match=r"the weights \['m2'\], which the header"):
        find_nuisance_weights(SETUP, sample("pdf"), HEADER, ["m1", "m3", "w"])


def entry(benchmark: str, weight_id: str | None, factor: float = 1.0) -> NuisanceWeight:
    parameter = NuisanceParameter(benchmark, "lumi", benchmark)
    return NuisanceWeight(
        parameter=parameter, benchmark=benchmark, label="x", weight_id=weight_id, factor=factor
    )


WEIGHTS = st.lists(
    st.tuples(*(st.floats(0.01, 100.0) | st.floats(-100.0, -0.01) for _ in range(3))),
    min_size=1,
    max_size=5,
)


@settings(max_examples=30, derandomize=True)
@given(rows=WEIGHTS, factor=st.floats(0.5, 2.0))
def test_weights_move_to_the_reference(
    rows: list[tuple[float, float, float]], factor: float
) -> None:
    """Spelled out: factor * w_nu * w_ref / w_sampled."""
    entries = [entry("a", "up"), entry("b", None, factor)]
    nominal, up, reference = np.array(rows).T
    columns = {"up": up, "reference": reference}
    found = event_weights({"r": "reference"}, entries, nominal, columns, "r", PATH)
    assert found.names == ("r", "a", "b")
    twin = [[r, v * r / n, factor * n * r / n] for n, v, r in rows]
    np.testing.assert_allclose(found.matrix, twin, rtol=1e-14)
    at_home = event_weights({"r": None}, entries, nominal, columns, "r", PATH)
    np.testing.assert_array_equal(at_home.matrix, np.stack([nominal, up, factor * nominal], axis=1))


def test_events_without_any_weight_stay_without() -> None:
    zero = np.zeros(2)
    found = event_weights({"r": None}, [entry("a", "up")], zero, {"up": zero}, "r", PATH)
    np.testing.assert_array_equal(found.matrix, np.zeros((2, 2)))
    assert event_weights({"r": None}, [], zero, {}, "r", PATH).matrix.shape == (2, 1)


def test_bad_weights_are_refused() -> None:
    entries, one, ids = [entry("a", "up")], np.ones(2), {"sm": None, "w": "w"}
    lost = "1 events have the nominal weight 0 but other"
    with pytest.raises(DataError, match=lost):
        event_weights({"r": None}, entries, np.array([0.0, 1.0]), {"up": one}, "r", PATH)
    with pytest.raises(DataError, match=lost):
        event_weights(ids, [], np.array([0.0, 1.0]), {"w": one}, "sm", PATH)
    with pytest.raises(DataError, match=r"events.lhe: .* these are not: a \(2\)\. Repeat"):
        event_weights({"r": None}, entries, one, {"up": np.full(2, np.nan)}, "r", PATH)
    for bad in (np.nan, np.inf, -1e300):
        with pytest.raises(DataError, match=r"these are not: w \(1\)\. Repeat"):
            event_weights(ids, [], one, {"w": np.array([1.0, bad])}, "sm", PATH)


def test_weights_are_collected_in_the_order_of_the_setup() -> None:
    columns = {"w": np.array([3.0, 4.0]), "v": np.array([5.0, 6.0])}
    ids = {"sm": None, "w": "w", "v": "v"}
    found = event_weights(ids, [], np.array([1.0, 2.0]), columns, "sm", PATH)
    assert found.names == ("sm", "w", "v")
    np.testing.assert_array_equal(found.matrix, [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]])


def test_nuisance_parameters_of_several_samples_join() -> None:
    setup = replace(SETUP, systematics={name: SETUP.systematics[name] for name in ("lumi", "mu")})
    samples = [sample("mu"), sample("lumi"), sample("lumi", "mu"), sample()]
    pairs = [(s, find_nuisance_weights(setup, s, HEADER, FOUND)) for s in samples]
    assert list(join_nuisances(setup, pairs)) == ["lumi_nuisance_param_0", "mu_nuisance_param_0"]
    assert join_nuisances(setup, [pairs[-1]]) == {}


def test_another_meaning_of_a_nuisance_parameter_is_refused() -> None:
    group = HEADER.weight_groups[1]
    other_set = tuple(
        replace(w, text=w.text.replace("108", "131"), attributes={"PDF": f"{13100 + k}"})
        for k, w in enumerate(group.weights)
    )
    header = replace(HEADER, weight_groups=(replace(group, weights=other_set),))
    other = replace(sample("pdf"), path=Path("other.lhe"))
    pairs = [
        (s, find_nuisance_weights(SETUP, s, head, FOUND))
        for s, head in ((sample("pdf"), HEADER), (other, header))
    ]
    message = (
        "'pdf_nuisance_param_1' is the parton densities 13101 in other.lhe, but the parton "
        "densities 10801 in events.lhe. Define"
    )
    with pytest.raises(SetupError, match=message):
        join_nuisances(SETUP, pairs)


def test_samples_without_a_benchmark_are_filled_with_the_reference() -> None:
    def analysed(weights: list[list[float]], **varied: list[float]) -> AnalysedSample:
        n = len(weights)
        return AnalysedSample(
            x=np.zeros((n, 1)),
            weights=Weights(("sm", "w", *varied), np.column_stack([weights, *varied.values()])),
            nuisances=tuple(entry(name, None) for name in varied),
            cut_flow=CutFlow(("generated",), np.array([n]), np.zeros(1)),
        )

    samples = [
        analysed([[1.0, 2.0], [3.0, 4.0]], b=[1.5, 3.5], a=[0.5, 2.5]),
        analysed([[5.0, 6.0]]),
        analysed([[7.0, 8.0]], c=[9.0]),
    ]
    joined = join_weights(samples, reference="w")
    assert {name: weights.tolist() for name, weights in joined.items()} == {
        "sm": [1.0, 3.0, 5.0, 7.0],
        "w": [2.0, 4.0, 6.0, 8.0],
        "a": [0.5, 2.5, 6.0, 8.0],
        "b": [1.5, 3.5, 6.0, 8.0],
        "c": [2.0, 4.0, 6.0, 9.0],
    }
    assert list(joined) == ["sm", "w", "a", "b", "c"]
    assert list(join_weights(samples[1:2], reference="sm")) == ["sm", "w"]
