from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.analysis.weights import ThetaTable
from madminer.errors import (
    FileFormatError,
    MorphingError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from madminer.fisherinformation import FisherInformation
from madminer.io import EventFile, Events, EventSummary, write_events
from madminer.models import Benchmark, FiniteDiffBenchmark, FiniteDifferences
from madminer.morphing.weights import monomials
from madminer.sampling import SampleAugmenter

MakeFile = Callable[..., Path]
THETAS = [np.array([0.4, -0.3]), np.array([-0.2, 0.7])]


@pytest.fixture(scope="module")
def toy(toy_event_file: MakeFile) -> DataAnalyzer:
    return DataAnalyzer(toy_event_file())


def exact_weights(analyzer: DataAnalyzer, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Weights from the coefficients that the toy keeps as observables."""
    assert analyzer.morphing_components is not None
    return np.asarray(x @ monomials(theta, analyzer.morphing_components))


def shares(analyzer: DataAnalyzer) -> np.ndarray:
    events = analyzer.event_file.read()
    assert events.sampling_benchmarks is not None
    signal = events.sampling_benchmarks >= 0
    counts = np.bincount(events.sampling_benchmarks[signal], minlength=6) / signal.sum()
    return np.where(signal, counts[events.sampling_benchmarks], 1.0)


# --- numbers of MadMiner (repository head of June 2024), see shared/reference/README.md


@pytest.mark.parametrize("filename", ["public.h5", "public_nosyst.h5"])
def test_cross_sections_agree_with_madminer(shared: Path, filename: str) -> None:
    reference = json.loads((shared / "reference/public.json").read_text())
    analyzer = DataAnalyzer(shared / "reference" / filename)
    for case in reference["xsecs"]:
        if filename == "public_nosyst.h5" and case["partition"] != "all":
            continue  # the same events in another order
        xsecs, _ = analyzer.xsecs(
            [np.array(theta) for theta in reference["thetas"]],
            partition=case["partition"],
            generated_close_to=case["generated_close_to"],
        )
        lost_one_event = case["partition"] in {"validation", "test"}
        np.testing.assert_allclose(xsecs, case["xsecs"], rtol=1e-3 if lost_one_event else 1e-6)


def test_gradients_and_events_agree_with_madminer(shared: Path) -> None:
    reference = json.loads((shared / "reference/public.json").read_text())
    analyzer = DataAnalyzer(shared / "reference/public.h5")
    thetas = [np.array(theta) for theta in reference["thetas"]]
    gradients = analyzer.xsec_gradients(thetas, gradients="theta")
    np.testing.assert_allclose(gradients, np.array(reference["xsec_gradients"])[:, :2], rtol=1e-6)
    x, weights = analyzer.weighted_events(thetas[1])
    expected = reference["weighted_events_theta1_first5"]
    np.testing.assert_allclose(x[:5], expected["x"], rtol=1e-6)
    np.testing.assert_allclose(weights[:5], expected["w"], rtol=1e-6)
    assert weights.sum() == pytest.approx(expected["sum"], rel=1e-6)


def test_nuisance_parameters_can_be_left_out(shared: Path) -> None:
    path = shared / "reference/public.h5"
    full, reduced = DataAnalyzer(path), DataAnalyzer(path, include_nuisance_parameters=False)
    assert (full.n_benchmarks, full.n_benchmarks_phys, full.n_nuisance_parameters) == (9, 6, 2)
    assert (reduced.n_benchmarks, reduced.n_nuisance_parameters) == (6, 0)
    assert reduced.systematics == {}
    np.testing.assert_array_equal(full.xsecs()[0][:6], reduced.xsecs()[0])
    np.testing.assert_array_equal(
        full.xsecs(include_nuisance_benchmarks=False)[0], reduced.xsecs()[0]
    )
    assert reduced.xsec_gradients(THETAS).shape == (2, 2)
    with pytest.raises(OptionError, match="needs nuisance parameters"):
        reduced.xsec_gradients(THETAS, gradients="nu")
    with pytest.raises(ShapeError, match="not loaded"):
        reduced.xsecs(THETAS, nus=[np.array([0.5, 0.0]), None])


# --- laws


@pytest.mark.parametrize("close", [None, "w3"])
@pytest.mark.parametrize("partition", ["all", "train", "validation", "test"])
def test_cross_sections_equal_sums_over_events(
    toy: DataAnalyzer, partition: str, close: str | None
) -> None:
    start, stop = {"all": (0, 1000), "train": (0, 600), "validation": (600, 800)}.get(
        partition, (800, 1000)
    )
    xsecs, uncertainties = toy.xsecs(THETAS, partition=partition, generated_close_to=close)
    events = toy.event_file.read(start, stop)
    ids = events.sampling_benchmarks
    assert ids is not None
    factor = shares(toy)[start:stop] if close is None else ((ids < 0) | (ids == 3)).astype(float)
    for i, theta in enumerate(THETAS):
        weights = 1000 / (stop - start) * factor * exact_weights(toy, events.x, theta)
        assert xsecs[i] == pytest.approx(weights.sum(), rel=1e-10)
        assert uncertainties[i] == pytest.approx(np.sqrt(np.sum(weights**2)), rel=1e-10)


def test_partitions_average_to_the_whole(toy: DataAnalyzer) -> None:
    parts = {"train": 0.6, "validation": 0.2, "test": 0.2}
    average = sum(share * toy.xsecs(THETAS, partition=name)[0] for name, share in parts.items())
    np.testing.assert_allclose(average, toy.xsecs(THETAS)[0], rtol=1e-12)


def test_gradients_are_numerical_derivatives(toy: DataAnalyzer) -> None:
    gradients = toy.xsec_gradients(THETAS)
    for theta, gradient in zip(THETAS, gradients, strict=True):
        for j, step in enumerate(1e-5 * np.eye(2)):
            raised, lowered = toy.xsecs([theta + step, theta - step])[0]
            assert gradient[j] == pytest.approx((raised - lowered) / 2e-5, rel=1e-6)


def test_benchmark_by_name_index_and_position_are_the_same(toy: DataAnalyzer) -> None:
    xsecs, _ = toy.xsecs(["w3", 3, np.array([0.3, -1.4])])
    np.testing.assert_allclose(xsecs, xsecs[0], rtol=1e-9)
    assert toy.xsecs()[0][3] == xsecs[0]


def test_weighted_events(toy: DataAnalyzer) -> None:
    x, weights = toy.weighted_events(THETAS[0])
    np.testing.assert_allclose(weights, shares(toy) * exact_weights(toy, x, THETAS[0]))
    _, derivatives = toy.weighted_events(THETAS[0], derivative=True)
    np.testing.assert_allclose(derivatives.sum(axis=0), toy.xsec_gradients([THETAS[0]])[0])
    x, weights = toy.weighted_events(start_event=10, end_event=200, generated_close_to="sm")
    assert len(x) == len(weights) < 190
    assert weights.shape[1] == 6


def test_drawn_events_are_different_events_with_their_weights(toy: DataAnalyzer) -> None:
    x, weights = toy.weighted_events(THETAS[0], start_event=100, n_draws=300, seed=4)
    again, _ = toy.weighted_events(THETAS[0], start_event=100, n_draws=300, seed=4)
    all_x, all_weights = toy.weighted_events(THETAS[0], start_event=100)
    np.testing.assert_array_equal(x, again)
    assert len(np.unique(x, axis=0)) == 300
    assert {tuple(row) for row in x} <= {tuple(row) for row in all_x}
    assert set(weights) <= set(all_weights)


def test_too_many_draws_warn(toy: DataAnalyzer, caplog: pytest.LogCaptureFixture) -> None:
    x, _ = toy.weighted_events("sm", n_draws=2000)
    assert len(x) == 1000
    assert "2000 events asked for, all 1000 are returned" in caplog.text


def test_event_loader_joins_to_the_file(toy: DataAnalyzer) -> None:
    batches = list(toy.event_loader(5, 905, 100, return_sampling_ids=True))
    whole = toy.event_file.read(5, 905)
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), whole.x)
    weights = np.concatenate([b[1] for b in batches])
    np.testing.assert_allclose(weights, whole.weights * shares(toy)[5:905, np.newaxis])
    ids = [b[2] for b in batches if b[2] is not None]
    np.testing.assert_array_equal(np.concatenate(ids), whole.sampling_benchmarks)


def test_file_without_sampling_benchmarks_uses_all_events(toy_event_file: MakeFile) -> None:
    analyzer = DataAnalyzer(toy_event_file(sampling_benchmarks=False))
    total = analyzer.event_file.read().weights.sum(axis=0)
    np.testing.assert_allclose(analyzer.xsecs()[0], total)
    np.testing.assert_allclose(analyzer.xsecs(generated_close_to="w3")[0], total)


def test_the_morpher_is_that_of_the_file(toy: DataAnalyzer) -> None:
    assert toy.morpher is not None
    np.testing.assert_allclose(
        toy.morpher.calculate_morphing_weights(THETAS[0]),
        ThetaTable(toy.setup, [THETAS[0]]).coefficients[0],
    )


# --- without morphing


def test_without_morphing_only_benchmarks_are_known(toy_event_file: MakeFile) -> None:
    analyzer = DataAnalyzer(toy_event_file(), disable_morphing=True)
    assert analyzer.morpher is None
    np.testing.assert_array_equal(
        analyzer.xsecs(["w3", np.array([1.0, 0.0])])[0], analyzer.xsecs()[0][[3, 1]]
    )
    with pytest.raises(MorphingError, match="known at the benchmarks only"):
        analyzer.xsecs(THETAS)
    with pytest.raises(MorphingError, match="no derivative"):
        analyzer.xsec_gradients(["sm"])


def test_finite_differences_replace_morphing(toy: DataAnalyzer) -> None:
    names = {"a": "sm_plus_a", "b": "sm_plus_b"}
    benchmarks = {
        **toy.benchmarks,
        "sm_plus_a": Benchmark("sm_plus_a", {"a": 0.1, "b": 0.0}),
        "sm_plus_b": Benchmark("sm_plus_b", {"a": 0.0, "b": 0.1}),
    }
    differences = FiniteDifferences({"sm": FiniteDiffBenchmark("sm", names)}, 0.1)
    setup = replace(toy.setup, benchmarks=benchmarks, morphing=None, finite_differences=differences)
    expected = np.zeros((2, 8))
    expected[:, 0], expected[0, 6], expected[1, 7] = -10.0, 10.0, 10.0
    found = ThetaTable(setup, ["sm", "sm_plus_b", 6]).gradients
    np.testing.assert_allclose(found, np.broadcast_to(expected, (3, 2, 8)))
    with pytest.raises(MorphingError, match="no derivative"):
        _ = ThetaTable(setup, ["w1"]).gradients


# --- bad input


def test_wrong_points_are_refused(toy: DataAnalyzer) -> None:
    with pytest.raises(UnknownNameError, match="no benchmark 'smm'"):
        toy.xsecs(["smm"])
    with pytest.raises(ShapeError, match=r"shape \(2,\)"):
        toy.xsecs([np.array([1.0, 2.0, 3.0])])
    with pytest.raises(ShapeError, match="finite"):
        toy.xsecs([np.array([1.0, np.nan])])
    with pytest.raises(OptionError, match="need a theta"):
        toy.weighted_events(derivative=True)
    with pytest.raises(OptionError, match="gradients must be"):
        toy.xsec_gradients(THETAS, gradients="thetas")  # type: ignore[arg-type]


def test_a_summary_that_forgets_events_is_refused(toy: DataAnalyzer, tmp_path: Path) -> None:
    events = toy.event_file.read()
    counts = np.array([500, 0, 0, 0, 300, 0])
    write_events(tmp_path / "bad.h5", toy.setup, events, EventSummary(counts, 200))
    with pytest.raises(FileFormatError, match=r"generated at \['w3'\]"):
        DataAnalyzer(tmp_path / "bad.h5").xsecs(THETAS)


def test_events_are_counted_where_there_is_no_summary(toy: DataAnalyzer, tmp_path: Path) -> None:
    events: Events = toy.event_file.read()
    write_events(tmp_path / "plain.h5", toy.setup, events, None)
    assert EventFile(tmp_path / "plain.h5").summary is None
    analyzer = DataAnalyzer(tmp_path / "plain.h5")
    np.testing.assert_array_equal(
        analyzer.n_events_generated_per_benchmark, toy.n_events_generated_per_benchmark
    )
    assert analyzer.n_events_backgrounds == toy.n_events_backgrounds


@pytest.mark.parametrize(
    ("thetas", "error", "message"),
    [
        ("sm", OptionError, r"give \['sm'\]"),
        (0, OptionError, r"give \[0\]"),
        ([0.1, 0.0], ShapeError, r"give \[\[0.1, 0.0\]\]"),
        (np.array([0.1, 0.0]), ShapeError, r"give \[\[0.1, 0.0\]\]"),
        ([1, 0], ShapeError, "can be one position or the benchmarks number 1 and number 0"),
        (np.array([1, 0]), ShapeError, r"give \[\[1, 0\]\]"),
        ([True], ShapeError, "theta must be finite"),
    ],
)
def test_single_points_are_refused(
    toy: DataAnalyzer, thetas: object, error: type[Exception], message: str
) -> None:
    for method in (toy.xsecs, toy.xsec_gradients):
        with pytest.raises(error, match=message):
            method(thetas)  # type: ignore[operator]


def test_display(toy_event_file: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "a<b>\x1b[2J.h5"
    path.write_bytes(toy_event_file(50).read_bytes())
    for kind in (DataAnalyzer, SampleAugmenter, FisherInformation):
        shown = repr(kind(path))
        assert shown.startswith(f"{kind.__name__}: 50 events of {tmp_path}/a<b>\\x1b[2J.h5; ")
        assert "parameters a, b; benchmarks sm, w1, w2, w3, w4, w5; observables k0, k1" in shown
        html = kind(path)._repr_html_()
        assert f"{kind.__name__}: 50 events of {tmp_path}/a&lt;b&gt;" in html
        assert "<b>" not in html
        assert ("Benchmarks (6)" in html) == (kind is DataAnalyzer)
        assert ("What it calculates" in html) == (kind is not DataAnalyzer)


@pytest.mark.parametrize("option", ["disable_morphing", "include_nuisance_parameters"])
@pytest.mark.parametrize("made", [DataAnalyzer, SampleAugmenter])
def test_options_are_truth_values(
    toy_event_file: Callable[..., Path], made: type[DataAnalyzer], option: str
) -> None:
    with pytest.raises(OptionError, match=f"{option} must be True or False, got 'x'"):
        made(toy_event_file(20), **{option: "x"})
