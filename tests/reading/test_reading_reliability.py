"""Samples that are declared wrongly, or are too few, are named while they are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import madminer
from madminer.errors import EvidenceError
from madminer.io.event_statistics import origin_statistics
from madminer.io.events import Weights
from madminer.io.lhe import LHEHeader, reweighting_group
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.reading.reliability import (
    report_few_events,
    report_ignored_weights,
    report_partial_systematics,
)
from madminer.reading.weights import Sample

SETUP = AnalysisSetup(
    {"c": AnalysisParameter("c", "DIM6", 2)},
    {name: Benchmark(name, {"c": value}) for name, value in (("sm", 0.0), ("w", 10.0), ("v", 5.0))},
)
SAMPLE = Sample(path=Path("a.lhe"), sampled_from="sm", systematics=("scales", "lumi"))
BACKGROUND = replace(SAMPLE, path=Path("bkg.lhe"), is_background=True, systematics=())


def other(name: str, *systematics: str) -> Sample:
    return replace(SAMPLE, path=Path(name), systematics=systematics)


def test_samples_of_signal_without_a_systematic_are_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    samples = [SAMPLE, other("b.lhe", "lumi"), other("c.lhe", "lumi", "pdf"), BACKGROUND]
    report_partial_systematics(samples)
    (message,) = caplog.messages
    assert "'scales' in b.lhe and c.lhe; 'pdf' in a.lhe and b.lhe." in message
    assert "lumi" not in message
    assert "bkg.lhe" not in message
    with madminer.strict(), pytest.raises(EvidenceError, match="lack systematic uncertainties"):
        report_partial_systematics(samples)
    caplog.clear()
    report_partial_systematics([SAMPLE, other("b.lhe", "lumi", "scales"), BACKGROUND])
    report_partial_systematics([other("a.lhe"), replace(BACKGROUND, systematics=("lumi",))])
    assert not caplog.messages


def test_many_samples_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    report_partial_systematics([SAMPLE, *(other(f"{i}.lhe", "lumi") for i in range(20))])
    assert "0.lhe and 1.lhe and 2.lhe and 3.lhe and 4.lhe and 15 more" in caplog.text


NOMINAL = np.array([1.0, 2.0, 0.0])


def further(**columns: np.ndarray) -> Weights:
    return Weights(tuple(columns), np.column_stack(list(columns.values())))


def test_background_with_the_weights_of_signal(caplog: pytest.LogCaptureFixture) -> None:
    found = further(w=1.1 * NOMINAL, v=NOMINAL, other=3.0 * NOMINAL)
    report_ignored_weights(SETUP, BACKGROUND, LHEHeader(), NOMINAL, found)
    (message,) = caplog.messages
    assert message.startswith("bkg.lhe is declared as background, but looks like signal")


def test_background_whose_weights_are_found_by_value(caplog: pytest.LogCaptureFixture) -> None:
    points = {"rwgt_1": "set param_card dim6 2 10.0", "rwgt_2": "set param_card dim6 2 5.0"}
    header = LHEHeader(weight_groups=(reweighting_group(points),))
    found = further(rwgt_1=NOMINAL, rwgt_2=0.9 * NOMINAL)
    report_ignored_weights(SETUP, BACKGROUND, header, NOMINAL, found)
    assert "looks like signal" in caplog.text


@pytest.mark.parametrize(
    ("sample", "weights"),
    [
        (BACKGROUND, further(w=NOMINAL, v=NOMINAL * (1.0 + 1e-8))),  # reweighted, for nothing
        (BACKGROUND, further(w=1.1 * NOMINAL, scale=2.0 * NOMINAL)),  # not at all benchmarks
        (BACKGROUND, further(scale=2.0 * NOMINAL)),
        (SAMPLE, further(w=1.1 * NOMINAL, v=NOMINAL)),
    ],
)
def test_healthy_backgrounds(
    sample: Sample, weights: Weights, caplog: pytest.LogCaptureFixture
) -> None:
    report_ignored_weights(SETUP, sample, LHEHeader(), NOMINAL, weights)
    assert not caplog.messages


def test_setups_of_one_benchmark_have_no_other_weights(caplog: pytest.LogCaptureFixture) -> None:
    one = replace(SETUP, benchmarks={"sm": SETUP.benchmarks["sm"]})
    report_ignored_weights(one, BACKGROUND, LHEHeader(), NOMINAL, further(w=2.0 * NOMINAL))
    assert not caplog.messages


def mixed(n_background: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A thousand events of signal with 1 pb in sum at sm, and background with a share of all."""
    sampled = np.repeat([1, -1], [1000, n_background])
    signal = np.tile([1e-3, 2e-3, 1e-3], (1000, 1))
    each = share / (1.0 - share) / n_background
    return np.concatenate([signal, np.full((n_background, 3), each)]), sampled


def test_few_background_events_with_a_large_share(caplog: pytest.LogCaptureFixture) -> None:
    report_few_events(SETUP, *mixed(34, 0.5), "sm")
    (message,) = caplog.messages
    assert message.startswith("34 background events, worth 34 of equal weight, hold 50 % of the")
    assert "uncertain by 8.6 %" in message  # 0.5 / sqrt(34)
    assert "Simulate more of this background" in message


@pytest.mark.parametrize(("n", "share"), [(34, 0.05), (200, 0.5)])
def test_enough_background(n: int, share: float, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        report_few_events(SETUP, *mixed(n, share), "sm")
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert f"w 1,000 ({100 - 100 * share:.0f} %), background {n} ({100 * share:g} %)" in (
        record.getMessage()
    )


def test_few_events_of_a_sampling_benchmark(caplog: pytest.LogCaptureFixture) -> None:
    """Each has its share of the generated events: 50 of 250 at v hold a fifth."""
    sampled = np.repeat([0, 2], [200, 50])
    weights = np.tile(np.where(sampled == 0, 1 / 200, 1 / 50)[:, np.newaxis], 3)
    report_few_events(SETUP, weights, sampled, "sm")
    (message,) = caplog.messages
    assert message.startswith("50 events generated at v, worth 50 of equal weight, hold 20 %")
    caplog.clear()
    report_few_events(SETUP, weights[:200], sampled[:200], "sm")  # one origin: all events
    assert not caplog.messages


def test_origins_against_a_loop() -> None:
    rng = np.random.default_rng(3)
    sampled = rng.integers(-1, 3, 500)
    weights = rng.exponential(size=(500, 3))
    found = {origin.name: origin for origin in origin_statistics(SETUP, weights, sampled)}
    n_signal = np.count_nonzero(sampled >= 0)
    sums, effective = {}, {}
    for name, number in (("sm", 0), ("w", 1), ("v", 2), ("background", -1)):
        mine = weights[sampled == number]
        factor = 1.0 if number < 0 else len(mine) / n_signal
        sums[name] = factor * mine.sum(axis=0)
        effective[name] = mine.sum(axis=0) ** 2 / (mine**2).sum(axis=0)
        assert found[name].n_events == len(mine)
    for name, origin in found.items():
        np.testing.assert_allclose(origin.n_effective, effective[name], rtol=1e-12)
        np.testing.assert_allclose(origin.shares, sums[name] / sum(sums.values()), rtol=1e-12)
    assert [origin.is_background for origin in found.values()] == [False, False, False, True]
