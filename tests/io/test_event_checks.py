"""Checks of event files: numbers against slow twins, and a finding for each planted fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import FileFormatError, MissingFileError
from madminer.io import (
    EventFile,
    EventFileReport,
    Events,
    EventSummary,
    check_event_file,
    write_events,
    write_setup,
)
from madminer.io.event_file_checks import Finding, Level
from madminer.io.event_statistics import event_statistics
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)

N = 2000
SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={
        "sm": Benchmark("sm", {"a": 0.0}),
        "w": Benchmark("w", {"a": 1.0}),
        "up": Benchmark("up", {"a": 0.0}, is_nuisance=True),
        "down": Benchmark("down", {"a": 0.0}, is_nuisance=True),
    },
    morphing=MorphingSetup(np.array([[0], [1]]), np.array([[1.0, 0.0], [-1.0, 1.0]])),
    nuisance_parameters={"nu": NuisanceParameter("nu", "pdf", "up", "down")},
    observables={"pt": "_", "phi": "_"},
)


def make_events(n: int = N, *, seed: int = 0) -> Events:
    """Healthy events in random order."""
    rng = np.random.default_rng(seed)
    nominal = rng.uniform(0.5, 1.5, size=(n, 2)) / n
    factors = rng.uniform([1.1, 0.8], [1.3, 0.9], size=(n, 2))
    weights = np.hstack([nominal, factors * nominal[:, :1]])
    return Events(rng.normal(50.0, 10.0, size=(n, 2)), weights, rng.integers(-1, 2, n))


def report_of(
    path: Path, events: Events, setup: AnalysisSetup = SETUP, summary: Any = "counted"
) -> EventFileReport:
    """Write a file, with weights that no writer would accept, and check it."""
    if summary == "counted":
        sampled = events.sampling_benchmarks
        assert sampled is not None
        summary = EventSummary.count(np.minimum(sampled, 1), 2)
    write_events(path, setup, replace(events, weights=np.nan_to_num(events.weights)), summary)
    with h5py.File(path, "a") as file:
        file["samples/weights"][:] = events.weights
    return check_event_file(path)


def test_display(tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.h5", make_events(3))
    counts = {level: len(report.of_level(level)) for level in ("ok", "warning", "problem")}
    assert repr(report).startswith(f"EventFileReport({tmp_path}/a.h5: {counts['ok']} ok")
    html = replace(report, path=Path("<b>"))._repr_html_()
    assert "&lt;b&gt;" in html
    assert html.count("<tr>") == 1 + len(report.findings)


def test_healthy_file(tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.h5", make_events())
    assert [finding.text for finding in report.findings if finding.level != "ok"] == []
    assert report.level == "ok"
    assert str(report).startswith(f"{tmp_path / 'a.h5'}\nok: The layout is of format 1")
    assert "All 2 observables are finite" in str(report)


def test_file_of_madminer_0_9(shared: Path) -> None:
    report = check_event_file(shared / "reference" / "public.h5")
    assert report.level == "ok"
    assert "layout is that of MadMiner 0.9" in str(report)


@pytest.mark.parametrize("sampling_benchmarks", [True, False])
def test_cross_sections_are_those_of_the_analysis(
    toy_event_file: Callable[..., Path], sampling_benchmarks: bool
) -> None:
    path = toy_event_file(sampling_benchmarks=sampling_benchmarks, negative_share=0.1)
    benchmarks = event_statistics(EventFile(path)).benchmarks
    xsecs, errors = DataAnalyzer(path).xsecs(list(EventFile(path).setup.benchmarks))
    np.testing.assert_allclose([b.xsec for b in benchmarks], xsecs, rtol=1e-12)
    np.testing.assert_allclose([b.xsec_uncertainty for b in benchmarks], errors, rtol=1e-12)


def test_statistics_are_those_of_all_events_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = make_events(777)
    events.x[3, 0], events.x[700, 0], events.x[5, 1] = np.nan, np.nan, np.inf
    events.weights[8:12] = 0.0
    events.weights[30, 2] *= -1.0
    events.weights[31, 2] = 0.0
    monkeypatch.setattr("madminer.io.event_statistics.BATCH_BYTES", 8 * 6 * 50)
    statistics = report_of(tmp_path / "a.h5", events).statistics
    assert statistics is not None
    pt, phi = statistics.observables
    assert (pt.n_nan, pt.n_infinite, phi.n_nan, phi.n_infinite) == (2, 0, 0, 1)
    finite = events.x[np.isfinite(events.x[:, 1]), 1]
    np.testing.assert_allclose(
        [phi.minimum, phi.mean, phi.maximum], [finite.min(), finite.mean(), finite.max()]
    )
    np.testing.assert_allclose(pt.drift, slow_drift(events.x[:, 0]), rtol=1e-9)
    assert statistics.n_weightless == 4
    assert events.sampling_benchmarks is not None
    assert statistics.n_changes == np.count_nonzero(np.diff(events.sampling_benchmarks))
    assert [b.negative_share for b in statistics.benchmarks] == [0.0, 0.0, 1 / 777, 0.0]
    up, down = statistics.variations
    ratios = np.delete(events.weights, [*range(8, 12), 30, 31], axis=0)
    ratios = ratios[:, 2] / ratios[:, 0]
    found = [up.minimum, up.median, up.maximum]
    np.testing.assert_allclose(found, [ratios.min(), np.median(ratios), ratios.max()])
    assert (up.n_undefined, down.n_undefined) == (2, 0)
    assert (up.nu, up.reference, down.nu, down.benchmark) == (1, "sm", -1, "down")


def slow_drift(x: np.ndarray[Any, Any]) -> float:
    """The same as in the module, block by block."""
    defined = x[np.isfinite(x)]
    total = 0.0
    for block in range(10):
        part = x[block * len(x) // 10 : (block + 1) * len(x) // 10]
        part = part[np.isfinite(part)]
        total += (part.mean() - defined.mean()) ** 2 / (defined.var() / len(part))
    return total


def test_effective_number_of_events(tmp_path: Path) -> None:
    events = make_events(500)
    unknown = replace(events, sampling_benchmarks=None)
    statistics = report_of(tmp_path / "a.h5", unknown, summary=None).statistics
    assert statistics is not None
    expected = events.weights.sum(axis=0) ** 2 / (events.weights**2).sum(axis=0)
    np.testing.assert_allclose([b.n_effective for b in statistics.benchmarks], expected)
    np.testing.assert_allclose(
        [b.xsec_uncertainty for b in statistics.benchmarks],
        np.sqrt((events.weights**2).sum(axis=0)),
    )


def test_background_of_few_events(tmp_path: Path) -> None:
    """34 events that hold half of the cross section, beside 8,500 of signal."""
    n = 8_500
    events = make_events(n + 34)
    sampled = np.random.default_rng(1).permutation(np.r_[np.zeros(n, np.int64), np.full(34, -1)])
    for factor, level in ((n / 34.0, "warning"), (1.0, "ok")):
        weights = np.where(sampled < 0, factor, 1.0)[:, np.newaxis] * events.weights
        report = report_of(tmp_path / "a.h5", Events(events.x, weights, sampled))
        (finding,) = [f for f in report.findings if "background" in f.text]
        assert finding.level == level
        if level == "warning":
            assert re.match(r"34 background events, worth 3\d\.?\d* of", finding.text)
            assert "hold 5" in finding.text
            assert "Simulate more of this background" in finding.remedy
        else:
            assert "shares of the cross section at sm: sm 7,8" in finding.text


def test_repeated_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = make_events(40_000)
    rows = np.random.default_rng(1).permutation(np.r_[:40_000, :10_000])
    assert events.sampling_benchmarks is not None
    twice = Events(events.x[rows], events.weights[rows], events.sampling_benchmarks[rows])
    report = report_of(tmp_path / "a.h5", twice)
    assert report.statistics is not None
    assert report.statistics.n_repeated == 10_000
    assert "10,000 of 50,000 events repeat an earlier one" in str(report)
    assert event_statistics(EventFile(tmp_path / "a.h5")).n_repeated == 10_000
    monkeypatch.setattr("madminer.io.event_statistics.MAX_HASHES", 5_000)
    estimate = event_statistics(EventFile(tmp_path / "a.h5")).n_repeated
    assert abs(estimate - 10_000) < 5 * np.sqrt(10 * 10_000)  # one copy in ten is seen


def with_x(values: Any, where: Any = slice(None)) -> Events:
    events = make_events()
    events.x[where, 0] = values
    return events


def with_weights(values: Any, where: Any = slice(None), column: Any = 1) -> Events:
    events = make_events()
    events.weights[where, column] = values
    return events


def with_sampling(sampled: Any) -> Events:
    return replace(make_events(), sampling_benchmarks=sampled)


ORDERED = np.repeat([0, 1], N // 2)
UNBALANCED = np.random.default_rng(0).permutation(np.repeat([0, 1], [1950, 50]))
RARE = np.r_[10.0, np.full(N - 1, 1e-4)]


@pytest.mark.parametrize(
    ("events", "level", "text", "remedy"),
    [
        (with_x(np.nan, [0, 7]), "problem", r"pt \(2 of 2,000 events\)", "default"),
        (with_x(np.inf, [3]), "problem", r"infinite.*pt \(1 of 2,000", "definitions"),
        (with_x(3.5), "warning", "same in all events: pt = 3.5", "no information"),
        (with_x(np.arange(N)), "problem", "not shuffled: the means of pt", "combine_and_shuffle"),
        (with_weights(np.nan, [1]), "problem", r"not finite.*w \(1 of 2,000", "reweighting"),
        (with_weights(-0.1), "problem", r"not positive: w \(-\d+ pb\)", "enough events"),
        (with_weights(0.0), "problem", r"not positive: w \(0 pb\)", "enough events"),
        (with_weights(0.0, [1, 2], slice(None)), "warning", "zero in 2 of 2,000", "left out"),
        (with_weights(-1e-5, slice(0, 800)), "warning", r"at 1 of 4 .* 40 % of them \(w\)", "more"),
        (with_weights(-1e-5, slice(0, 80)), "ok", r"at most 4 % of them \(w\)", ""),
        (with_weights(RARE), "warning", "number of events at w is 1.0 of 2,000.* 99 %", "Generate"),
        (with_sampling(ORDERED), "problem", "change 1 times .* about 1,000", "combine_and_shuffle"),
        (with_sampling(UNBALANCED), "warning", r"at w \(50\), but 1,950", "generate more there"),
        (with_sampling(np.full(N, -1)), "ok", "All events are background", ""),
        (with_sampling(UNBALANCED + 1), "problem", "50 .* at a benchmark that does not", "setup"),
        (
            with_weights(-1e-9, [0, 1], 2),
            "warning",
            r"\(\w+\): .*; undefined in 2 of 2,0",
            "zero",
        ),
        (
            with_weights(0.0, slice(None), 3),
            "problem",
            r"\(\w+\): no event has weights",
            "leave",
        ),
        (with_weights(1e9, [0], 3), "warning", r"nu = -1 \(\w+\): .* to \d.*e\+\d\d\)", "clipped"),
    ],
)
def test_planted_faults(tmp_path: Path, events: Events, level: str, text: str, remedy: str) -> None:
    report = report_of(tmp_path / "a.h5", events)
    matching = [f for f in report.of_level(level) if re.search(text, f.text)]
    assert len(matching) == 1, str(report)
    assert remedy in matching[0].remedy
    assert level == "ok" or report.level != "ok"


def test_numbers_of_generated_events(tmp_path: Path) -> None:
    events = make_events()
    sampled = events.sampling_benchmarks
    assert sampled is not None
    counted = EventSummary.count(sampled, 2)
    report = report_of(tmp_path / "a.h5", events, summary=None)
    assert report.level == "ok"
    assert report.statistics is not None
    assert report.statistics.benchmarks[1].n_generated == counted.signal_events[1]
    more = EventSummary(counted.signal_events + np.array([0, 7]), counted.background_events + 1)
    report = report_of(tmp_path / "a.h5", events, summary=more)
    (finding,) = report.of_level("warning")
    n, m = counted.signal_events[1], counted.background_events
    assert f"differ: w ({n} and {n + 7}), background ({m} and {m + 1})" in finding.text
    assert "combine_and_shuffle" in finding.remedy
    none = EventSummary(np.array([5, 0]), counted.background_events)
    report = report_of(tmp_path / "a.h5", events, summary=none)
    assert report.level == "problem"
    unknown = replace(events, sampling_benchmarks=None)
    report = report_of(tmp_path / "a.h5", unknown, summary=None)
    assert "not known where" in report.of_level("warning")[0].text
    assert report.statistics is not None
    assert report.statistics.benchmarks[0].n_generated is None


def test_nuisance_variations(tmp_path: Path) -> None:
    same = make_events()
    same.weights[:, 2] = same.weights[:, 0]
    report = report_of(tmp_path / "a.h5", same)
    assert "nu = +1 (up): it varies nothing" in report.of_level("warning")[0].text
    norm = make_events()
    norm.weights[:, 2] = 1.1 * norm.weights[:, 0]
    report = str(report_of(tmp_path / "a.h5", norm))
    assert "nu = +1 (up): weights change by the factor 1.1." in report
    several = NuisanceParameter("nu", "pdf", "up", None, {"sm": "up", "w": "down"})
    setup = replace(SETUP, nuisance_parameters={"nu": several})
    statistics = report_of(tmp_path / "a.h5", make_events(), setup).statistics
    assert statistics is not None
    found = [(v.nu, v.benchmark, v.reference) for v in statistics.variations]
    assert found == [(1, "up", "sm"), (1, "down", "w")]


@pytest.mark.parametrize(
    ("theta", "level", "text"),
    [(1e-14, "problem", "it is singular"), (1e-9, "warning", "about 5 digits of weights remain")],
)
def test_condition_of_the_basis(tmp_path: Path, theta: float, level: str, text: str) -> None:
    near = {**SETUP.benchmarks, "sm": Benchmark("sm", {"a": 1.0 - theta})}
    matrix = np.linalg.inv([[1.0, 1.0 - theta], [1.0, 1.0]])
    setup = replace(SETUP, benchmarks=near, morphing=MorphingSetup(np.array([[0], [1]]), matrix))
    report = report_of(tmp_path / "a.h5", make_events(), setup)
    assert [f for f in report.of_level(level) if text in f.text], str(report)
    report = report_of(tmp_path / "a.h5", make_events(), replace(SETUP, morphing=None))
    assert "there is no morphing" in str(report)


@pytest.mark.parametrize(("curvature", "level"), [(0.0, "ok"), (2e-3, "warning"), (1.0, "problem")])
def test_closure_at_benchmarks_outside_the_basis(
    tmp_path: Path, curvature: float, level: str
) -> None:
    """Weights are linear in a, but for the curvature."""
    benchmarks = {name: SETUP.benchmarks[name] for name in ("sm", "w")}
    benchmarks["far"] = Benchmark("far", {"a": 2.0})
    setup = replace(SETUP, benchmarks=benchmarks, nuisance_parameters={})
    events = make_events()
    first, second = events.weights[:, 0], events.weights[:, 1]
    far = (2.0 * second - first) + curvature * second
    events = replace(events, weights=np.stack([first, second, far], axis=1))
    summary = EventSummary(np.array([N, 0, 0]), 0)
    events = replace(events, sampling_benchmarks=np.zeros(N, dtype=np.int64))
    report = report_of(tmp_path / "a.h5", events, setup, summary)
    assert report.level == level
    (finding,) = (f for f in report.findings if "Morphing predicts" in f.text)
    assert (finding.level, "(far)" in finding.text) == (level, level != "ok")


def test_layouts_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(MissingFileError):
        check_event_file(path)
    path.write_text("text")
    with pytest.raises(FileFormatError, match="cannot be read"):
        check_event_file(path)
    write_setup(path, SETUP)
    (finding,) = check_event_file(path).findings
    assert (finding.level, "no event weights" in finding.text) == ("problem", True)
    report = report_of(path, make_events(20))
    with h5py.File(path, "a") as file:
        del file["samples/observations"]
        file["samples/observations"] = np.zeros((20, 3))
    report = check_event_file(path)
    assert report.statistics is None
    assert "got (20, 3)" in report.findings[0].text
    report = report_of(path, make_events(0), summary=None)
    assert "no events" in report.of_level("problem")[0].text
    report_of(path, make_events(20))
    with h5py.File(path, "a") as file:
        file.attrs["madminer_format"] = 99
    with pytest.raises(FileFormatError, match="Update it"):
        check_event_file(path)


def test_background_does_not_dilute_the_closure(tmp_path: Path) -> None:
    events = make_events()
    benchmarks = {**SETUP.benchmarks}
    nuisances = {name: benchmarks.pop(name) for name in ("up", "down")}
    setup = replace(
        SETUP, benchmarks={**benchmarks, "test": Benchmark("test", {"a": 2.0}), **nuisances}
    )
    wrong = 1.5 * (2 * events.weights[:, 1] - events.weights[:, 0])
    weights = np.insert(events.weights, 2, wrong, axis=1)
    texts = []
    for n_background in (0, 10 * N):
        background = np.full((n_background, 5), 10.0 / N)
        x = np.concatenate([events.x, np.tile(events.x, (n_background // N, 1)) + 1.0])
        everyone = Events(x, np.concatenate([weights, background]), None)
        report = report_of(tmp_path / "a.h5", everyone, setup, summary=None)
        texts += [f.text for f in report.findings if "Morphing predicts" in f.text]
    assert len(texts) == 2
    shares = [float(text.split(" to ")[1].split(" %")[0]) for text in texts]
    assert shares[0] > 10.0
    assert shares[1] == pytest.approx(shares[0], rel=0.2)


def test_findings_are_one_line_of_text() -> None:
    finding = Finding(Level.PROBLEM, "All \x1b[31m\nweights.", "Read \u202esome.")
    assert str(finding) == r"problem: All \x1b[31m weights. Read \u202esome."
