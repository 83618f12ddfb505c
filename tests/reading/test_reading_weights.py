from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import DataError, MissingWeightsError, SetupError
from madminer.io.lhe import LHEHeader, WeightDescription, WeightGroup, reweighting_group
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.reading.sample_weights import WeightSums
from madminer.reading.weights import (
    Sample,
    check_parameter_points,
    weight_ids,
)

PATH = Path("events.lhe")
SETUP = AnalysisSetup(
    {"c": AnalysisParameter("c", "DIM6", 2, transform="16.52*theta")},
    {name: Benchmark(name, {"c": value}) for name, value in (("sm", 0.0), ("w", 10.0), ("v", 5.0))},
)
SAMPLE = Sample(path=PATH, sampled_from="sm")
BACKGROUND = replace(SAMPLE, is_background=True)


def test_the_sampled_benchmark_has_the_nominal_weight() -> None:
    assert weight_ids(SETUP, SAMPLE, ["v", "x", "w"]) == {"sm": None, "w": "w", "v": "v"}
    assert weight_ids(SETUP, replace(SAMPLE, sampled_from="w"), ["SM", "V"]) == {
        "sm": "SM",
        "w": None,
        "v": "V",
    }


def test_background_has_the_nominal_weight_everywhere() -> None:
    assert weight_ids(SETUP, BACKGROUND, []) == {"sm": None, "w": None, "v": None}


def test_missing_weights_are_named() -> None:
    with pytest.raises(MissingWeightsError, match=r"events.lhe has no weights for .* \['v'\]") as e:
        weight_ids(SETUP, SAMPLE, ["w", "vv"])
    assert "it has ['w', 'vv']" in str(e.value)
    with pytest.raises(MissingWeightsError, match=r"\['w', 'v'\]; it has none"):
        weight_ids(SETUP, SAMPLE, [])


def test_a_wrong_sampled_benchmark_is_suspected() -> None:
    message = r"events.lhe: check sampled_from_benchmark.*but at 'sm'"
    with pytest.raises(MissingWeightsError, match=message) as e:
        weight_ids(SETUP, replace(SAMPLE, sampled_from="w"), ["w", "v"])
    assert "Reweight" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "weight_id"),
    [
        ("W-1 b", "w_1_b"),
        ("w_1", "W-1_"),
        ("w.1", "w_1"),
        ("w", "w_nlo"),
        ("W-1", "w_1_tree"),
        ("neg_w", "NEG_W"),
    ],
)
def test_weights_are_found_under_names_that_programs_change(name: str, weight_id: str) -> None:
    setup = replace(
        SETUP, benchmarks={n: Benchmark(n, {"c": v}) for n, v in (("sm", 0.0), (name, 1.0))}
    )
    assert weight_ids(setup, SAMPLE, ["x_w", weight_id, "1"]) == {"sm": None, name: weight_id}


def test_exact_names_come_first() -> None:
    assert weight_ids(SETUP, SAMPLE, ["W", "w_nlo", "w", "v", "V"]) == {
        "sm": None,
        "w": "w",
        "v": "v",
    }
    with pytest.raises(
        MissingWeightsError, match=r"'w' may have any of the weights \['W_', '_W'\]"
    ):
        weight_ids(SETUP, SAMPLE, ["W_", "_W", "v"])
    with pytest.raises(MissingWeightsError, match=r"any of the weights \['w_nlo', 'w_tree'\]"):
        weight_ids(SETUP, SAMPLE, ["w_nlo", "w_tree", "v"])
    with pytest.raises(MissingWeightsError, match=r"no weights for the benchmarks \['w'\]"):
        weight_ids(SETUP, SAMPLE, ["neg_w", "w_2", "v"])  # weights of other points


def test_two_benchmarks_need_two_weights() -> None:
    points = {"sm": 0.0, "w-1": 1.0, "w_1": 2.0}
    benchmarks = {name: Benchmark(name, {"c": value}) for name, value in points.items()}
    with pytest.raises(MissingWeightsError, match="'W_1' may be that of the benchmarks"):
        weight_ids(replace(SETUP, benchmarks=benchmarks), SAMPLE, ["W_1"])


POINTS = {
    "rwgt_1": "",
    "rwgt_2": "set param_card dim6 2 165.2 # orig: 0.0",
    "rwgt_3": "set DIM6 2 8.26D+01 # orig: 0.0",
}


def test_weights_are_found_by_their_values(caplog: pytest.LogCaptureFixture) -> None:
    header = header_with(POINTS)
    with caplog.at_level("INFO"):
        assert weight_ids(SETUP, SAMPLE, list(POINTS), header) == {
            "sm": None,
            "w": "rwgt_2",
            "v": "rwgt_3",
        }
    assert "{'w': 'rwgt_2', 'v': 'rwgt_3'}" in caplog.text
    assert weight_ids(SETUP, replace(SAMPLE, sampled_from="w"), ["rwgt_1", "rwgt_3"], header)
    with pytest.raises(MissingWeightsError, match=r"no weights for the benchmarks \['v'\]"):
        weight_ids(SETUP, SAMPLE, ["rwgt_1", "rwgt_2"], header)
    both = header_with(POINTS | {"rwgt_3": POINTS["rwgt_2"]})
    with pytest.raises(MissingWeightsError, match=r"any of the weights \['rwgt_2', 'rwgt_3'\]"):
        weight_ids(SETUP, SAMPLE, list(POINTS), both)
    twice = header_with(POINTS | {"again": "set param_card dim6 2 165.2001"})
    with pytest.raises(MissingWeightsError, match=r"any of the weights \['rwgt_2', 'again'\]"):
        weight_ids(SETUP, SAMPLE, [*POINTS, "again"], twice)


def test_groups_of_any_name_describe_points() -> None:
    group = replace(reweighting_group(POINTS), name="my points")
    header = LHEHeader(weight_groups=(group,), slha="BLOCK dim6\n 2 0.0")
    assert weight_ids(SETUP, SAMPLE, list(POINTS), header)["w"] == "rwgt_2"
    with pytest.raises(SetupError, match=r"'w' belong to DIM6 2 = 82.6"):
        check_parameter_points(SETUP, SAMPLE, {"w": "rwgt_3"}, header)


@pytest.mark.parametrize(
    "weight",
    [
        WeightDescription("7", "w"),
        WeightDescription("7", "", {"NAME": "W"}),
        WeightDescription("7", "W_"),
    ],
)
def test_weights_are_found_by_names_in_their_description(weight: WeightDescription) -> None:
    header = LHEHeader(weight_groups=(WeightGroup("", (weight,)),))
    assert weight_ids(SETUP, SAMPLE, ["7", "v"], header) == {"sm": None, "w": "7", "v": "v"}


def test_backgrounds_that_are_not_declared_are_named_as_such() -> None:
    with pytest.raises(MissingWeightsError, match=r"a background.*is_background=True"):
        weight_ids(SETUP, SAMPLE, ["1", "2"])


def factor_of(
    header: LHEHeader,
    n_events: int,
    sum_weights: float,
    sum_squares: float,
    *,
    sum_trials: float | None = None,
    is_unit: bool = False,
    n_draws: int | None = None,
) -> float:
    sums = n_events, n_draws or n_events, sum_weights, sum_squares
    return WeightSums(*sums, sum_trials, is_unit).factor(header, PATH)


def normalise(header: LHEHeader, weights: list[float]) -> float:
    w = np.array(weights)
    is_unit = bool(np.all(np.abs(w) == 1.0))
    return factor_of(header, len(w), float(w.sum()), float((w**2).sum()), is_unit=is_unit)


def test_average_and_sum() -> None:
    average = LHEHeader(idwtup=-4, cross_section=2.0, n_events=4)
    assert normalise(average, [2.0] * 4) == 0.25
    assert normalise(replace(average, idwtup=-3), [0.5] * 4) == 1.0
    assert normalise(LHEHeader(idwtup=-4), [2.0] * 4) == 0.25  # no cross section to compare


def test_weights_that_fluctuate_are_accepted() -> None:
    weights = [1.0, 3.0] * 50 + [3.0] * 5
    assert normalise(LHEHeader(cross_section=2.0), weights) == 1 / 105


@pytest.mark.parametrize("idwtup", [-4, -3])
def test_parts_of_files_are_scaled_to_the_cross_section(idwtup: int) -> None:
    header = LHEHeader(idwtup=idwtup, cross_section=2.0, n_events=8)
    with pytest.warns(UserWarning, match=r"holds 4 events, but its header announces 8.*2 pb"):
        factor = normalise(header, [2.0 if idwtup == -4 else 0.25] * 4)
    assert factor * 4 * (2.0 if idwtup == -4 else 0.25) == pytest.approx(2.0)


def test_another_convention_is_scaled_to_the_cross_section() -> None:
    with pytest.warns(UserWarning, match="weights that sum to 12 pb, but its header gives 2 pb"):
        assert normalise(LHEHeader(idwtup=3, cross_section=2.0), [3.0] * 4) == 1 / 6


@pytest.mark.parametrize(("idwtup", "weight"), [(3, 2.0), (-3, 2.0), (4, 0.5), (1, 0.5)])
def test_a_wrong_kind_that_the_cross_section_tells(idwtup: int, weight: float) -> None:
    header = LHEHeader(idwtup=idwtup, cross_section=2.0)
    assert 4 * weight * normalise(header, [weight] * 4) == 2.0


def test_weights_of_one_beside_a_placeholder(caplog: pytest.LogCaptureFixture) -> None:
    assert normalise(LHEHeader(idwtup=1, cross_section=1.0), [1.0] * 4) == 0.25
    assert "exactly 1 pb" in caplog.text


def test_weights_in_pb_beside_a_placeholder() -> None:
    assert normalise(LHEHeader(idwtup=-4, cross_section=1.0), [3.0, 4.0] * 2) == 0.25
    assert normalise(LHEHeader(idwtup=-4, cross_section=1.0), [1.0] * 4) == 0.25


@pytest.mark.parametrize("idwtup", [1, -1, 2, -2, 3, -3])
def test_weights_of_one_are_shares_of_the_cross_section(idwtup: int) -> None:
    """They carry no cross section, so that it must stand in the header."""
    header = LHEHeader(idwtup=idwtup, cross_section=6.0, n_events=4)
    assert normalise(header, [1.0] * 4) == 1.5
    assert normalise(header, [1.0, 1.0, 1.0, -1.0]) == 3.0
    with pytest.raises(DataError, match="all weights are 1 or -1, and the header gives no cross"):
        normalise(replace(header, cross_section=0.0), [1.0] * 4)


@pytest.mark.parametrize(
    ("idwtup", "event_norm", "expected"),
    [
        (4, "", 0.25),
        (-4, "sum", 0.25),
        (3, "average", 1.0),
        (-3, "", 1.0),
        (1, "", 0.25),
        (-1, "sum", 1.0),
        (2, "average", 0.25),
        (-2, "bias", 0.25),
    ],
)
def test_weights_in_pb_need_no_cross_section(idwtup: int, event_norm: str, expected: float) -> None:
    header = LHEHeader(idwtup=idwtup, run_card=f"{event_norm} = event_norm")
    assert normalise(header, [1.0, 2.0, 3.0, -1.0]) == expected


def test_trials_give_the_cross_section() -> None:
    """Whatever the header says: programs that count trials often fill in a placeholder."""
    header = LHEHeader(idwtup=3, cross_section=1.0, n_events=6)
    factor = factor_of(header, 6, 3600.0, 6 * 600.0**2, sum_trials=21.0)
    assert 3600.0 * factor == pytest.approx(171.428571)
    with pytest.raises(DataError, match="numbers of trials must be positive"):
        factor_of(header, 6, 3600.0, 6 * 600.0**2, sum_trials=0.0)


def test_trials_that_contradict_the_header_are_named(caplog: pytest.LogCaptureFixture) -> None:
    header = LHEHeader(idwtup=3, cross_section=170.0, n_events=6)
    factor_of(header, 6, 3600.0, 6 * 600.0**2, sum_trials=21.0)
    assert "the header gives" in caplog.text
    caplog.clear()
    near = replace(header, cross_section_error=1.0)
    factor_of(near, 6, 3600.0, 6 * 600.0**2, sum_trials=21.0)
    assert not caplog.records


def test_groups_of_events_count_once() -> None:
    """Of real emissions 2 and counter-events -1 the sums average to the cross section."""
    header = LHEHeader(idwtup=-4, cross_section=1.0)
    assert 6.0 * factor_of(header, 12, 6.0, 30.0, n_draws=6) == 1.0
    unknown = replace(header, cross_section=0.0)
    assert 6.0 * factor_of(unknown, 12, 6.0, 30.0, n_draws=6) == 1.0
    other = replace(header, cross_section=0.5, n_events=12)
    assert 6.0 * factor_of(other, 12, 6.0, 3.0, n_draws=6) == 0.5


@pytest.mark.parametrize("idwtup", [-4, -3, -2, -1, 0, 1, 2, 3, 4])
def test_what_the_header_leaves_open_is_said(idwtup: int, caplog: pytest.LogCaptureFixture) -> None:
    normalise(LHEHeader(idwtup=idwtup), [2.0] * 4)
    assert ("does not say how" in caplog.text) == (idwtup in {-3, 0, 3})


def test_weights_that_cannot_be_normalised_are_refused() -> None:
    for weights in ([-1.0] * 4, [1.0, -1.0] * 4):
        with pytest.raises(DataError, match="they cannot be normalised"):
            normalise(LHEHeader(idwtup=-3, cross_section=2.0), weights)


def header_with(points: dict[str, str], card: str = "BLOCK dim6\n 2 0.0 # c") -> LHEHeader:
    return LHEHeader(weight_groups=(reweighting_group(points), WeightGroup("x")), slha=card)


IDS = {"sm": None, "w": "w", "v": "v"}


@pytest.mark.parametrize(
    "points",
    [
        {"w": "set param_card dim6 2 165.2 # orig: 0.0", "v": "set param_card dim6 2 8.26e+01\n"},
        {
            "w": "set param_card dim6 2 165.2001",
            "v": "set param_card other 2 7.0\nset param_card dim6 2 82.6",
        },
        {"w": "free text", "v": ""},
        {},
    ],
)
def test_points_of_the_header_are_those_of_the_benchmarks(points: dict[str, str]) -> None:
    check_parameter_points(SETUP, SAMPLE, IDS, header_with(points))


def test_weights_at_another_point_are_refused() -> None:
    header = header_with({"w": "set param_card dim6 2 10.0"})
    with pytest.raises(SetupError, match=r"weights for benchmark 'w' belong to DIM6 2 = 10, but"):
        check_parameter_points(SETUP, SAMPLE, IDS, header)
    check_parameter_points(SETUP, BACKGROUND, IDS, header)


def test_samples_from_another_point_are_refused() -> None:
    card = "Block DIM6 # x\n 1 3.0\n 2 1.652D+02 # c\nDECAY 2 0.0\nBLOCK QNUMBERS 5 # x\n 2 7"
    with pytest.raises(SetupError, match=r"weights for benchmark 'sm' belong to DIM6 2 = 165.2"):
        check_parameter_points(SETUP, SAMPLE, IDS, header_with({}, card))
    ids = {"sm": "sm", "w": None, "v": "v"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_parameter_points(SETUP, replace(SAMPLE, sampled_from="w"), ids, header_with({}, card))


OTHER = {
    "w": "set param_card smeft 7 1.0 # orig: 0.0\nset param_card smeftcpv 4 2.0 # orig: 0.0",
    "v": "set param_card smeft 7 2.0",
}


@pytest.mark.parametrize("card", ["", "BLOCK sminputs\n 2 1.166e-05", "Block smeft\n 7 0.0"])
def test_points_of_other_parameters_are_refused(card: str) -> None:
    message = r"weight 'w' sets smeft 7 and smeftcpv 4; the setup has dim6 2\. Check that the file"
    with pytest.raises(SetupError, match=message):
        check_parameter_points(SETUP, SAMPLE, IDS, header_with(OTHER, card))
    check_parameter_points(SETUP, BACKGROUND, IDS, header_with(OTHER, card))


def test_cards_without_the_parameters_are_refused() -> None:
    card = "BLOCK smeft\n 7 0.0\nBLOCK dim6\n 3 0.0"
    with pytest.raises(
        SetupError, match=r"parameter card has no dim6 2; the setup has dim6 2.*is_background=True"
    ):
        check_parameter_points(SETUP, SAMPLE, IDS, header_with({}, card))
    check_parameter_points(SETUP, SAMPLE, IDS, header_with({}, ""))
    check_parameter_points(SETUP, SAMPLE, IDS, header_with({"w": "change model X"}, card))
    particles = "BLOCK QNUMBERS 32\n 1 0\nBLOCK MASS\n 32 500.0\nDECAY 32 1.5\n 0.5 2 1 -1"
    check_parameter_points(SETUP, SAMPLE, IDS, header_with({}, particles))


@pytest.mark.parametrize("card", ["BLOCK dim6\n 2 0.0\n 5 0.0", ""])
def test_weights_keep_what_they_do_not_set(card: str) -> None:
    parameters = {**SETUP.parameters, "d": AnalysisParameter("d", "dim6", 5)}
    points = {"sm": (0.0, 0.0), "w": (10.0, 0.0), "v": (0.0, 2.0)}
    benchmarks = {n: Benchmark.from_params(n, parameters, point) for n, point in points.items()}
    setup = AnalysisSetup(parameters, benchmarks)
    texts = {"w": "set param_card dim6 2 165.2", "v": "set param_card dim6 5 2.0"}
    check_parameter_points(setup, SAMPLE, IDS, header_with(texts, card))
    texts["w"] = "set param_card dim6 5 0.0"
    with pytest.raises(SetupError, match=r"benchmark 'w' belong to DIM6 2 = 0, but .* 165.2"):
        check_parameter_points(setup, SAMPLE, IDS, header_with(texts, "Block dim6\n 2 0.0\n 5 0.0"))


@pytest.mark.parametrize(
    ("values", "card", "is_accepted"),
    [
        ((0.0, 1.0, -1.0), 1e-5, True),  # programs write small numbers for zero
        ((0.0, 1.0, -1.0), 1e-3, False),
        ((0.0, 1e-4, -1e-4), 1e-5, True),  # the range counts too
        ((0.0, 1e-5, -1e-5), 1e-5, False),  # as large as a benchmark
        ((1.0, 1.001, 0.999), 1.00001, True),  # benchmarks for finite differences
        ((1.0, 1.001, 0.999), 1.0005, False),
        ((300.0, 0.0, -300.0), 300.2, True),
    ],
)
def test_how_much_values_may_differ(
    values: tuple[float, ...], card: float, is_accepted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    parameter = AnalysisParameter("c", "dim6", 2, val_range=(-1.0, 1.0))
    benchmarks = {n: Benchmark(n, {"c": v}) for n, v in zip(("sm", "w", "v"), values, strict=True)}
    setup = AnalysisSetup({"c": parameter}, benchmarks)
    header = header_with({}, f"BLOCK dim6\n 2 {card!r}")
    if is_accepted:
        with caplog.at_level("INFO"):
            check_parameter_points(setup, SAMPLE, IDS, header)
        is_said = f"dim6 2 = {card:g} for {values[0]:g}" in caplog.text
        assert is_said is (abs(card - values[0]) > 1e-3 * abs(values[0]))
    else:
        with pytest.raises(SetupError, match=r"'sm' belong to dim6 2"):
            check_parameter_points(setup, SAMPLE, IDS, header)
