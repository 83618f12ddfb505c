"""An analysis of several files against the same analysis of the merged file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import PARTITIONS, partition_range
from madminer.fisherinformation import FisherInformation
from madminer.io import EventFile, write_events
from madminer.likelihood import HistoLikelihood
from madminer.limits import AsymptoticLimits
from madminer.limits.asymptotic_limits import truth_limit_grid
from madminer.sampling import SampleAugmenter, combine_and_shuffle, morphing_points
from madminer.typing import FloatArray, IntArray
from madminer.validation import ValidationEvents

Make = Callable[..., Path]

SIZES = (900, 1_500, 2_100)
THETA = [0.3, -0.4]
FACTORS = (1.0, 0.5, 2.0)


@pytest.fixture(params=["toy", "nuisances"], scope="module")
def folder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    toy_event_file: Make,
    nuisance_event_file: Make,
) -> Path:
    """Three files, and what `combine_and_shuffle` makes of them."""
    make = toy_event_file if request.param == "toy" else nuisance_event_file
    folder = tmp_path_factory.mktemp("many")
    for i, n in enumerate(SIZES):
        shutil.copy(make(n, seed=i), folder / f"e_{i}.h5")
    paths = sorted(folder.glob("e_*.h5"))
    combine_and_shuffle(paths, folder / "merged.h5", seed=1)
    combine_and_shuffle(paths, folder / "factors.h5", FACTORS, seed=1)
    return folder


def pairs(folder: Path) -> list[tuple[DataAnalyzer, DataAnalyzer]]:
    """The files as one and the merged file, without and with k-factors."""
    k_factors = {str(folder / f"e_{i}.h5"): k for i, k in enumerate(FACTORS)}
    return [
        (DataAnalyzer(str(folder / "e_*.h5")), DataAnalyzer(folder / "merged.h5")),
        (DataAnalyzer(k_factors), DataAnalyzer(folder / "factors.h5")),
    ]


def test_numbers_and_cross_sections_are_those_of_the_merged_file(folder: Path) -> None:
    for files, merged in pairs(folder):
        assert files.n_samples == merged.n_samples == sum(SIZES)
        np.testing.assert_array_equal(
            files.n_events_generated_per_benchmark, merged.n_events_generated_per_benchmark
        )
        assert files.n_events_backgrounds == merged.n_events_backgrounds > 0
        for options in ({}, {"generated_close_to": THETA}):
            np.testing.assert_allclose(files.xsecs(**options), merged.xsecs(**options), rtol=1e-12)
            np.testing.assert_allclose(
                files.xsecs([THETA], **options), merged.xsecs([THETA], **options), rtol=1e-12
            )
        gradients = (analyzer.xsec_gradients([THETA]) for analyzer in (files, merged))
        np.testing.assert_allclose(*gradients, rtol=1e-10, atol=1e-15)


def test_cross_sections_at_nu_are_those_of_the_merged_file(folder: Path) -> None:
    for files, merged in pairs(folder):
        nus = [np.full(files.n_nuisance_parameters, 0.7)]
        np.testing.assert_allclose(
            files.xsecs([THETA], nus), merged.xsecs([THETA], nus), rtol=1e-12
        )


def rows_of(folder: Path) -> tuple[FloatArray, IntArray]:
    """Observables of all events of the files, and which file they are of."""
    x = [EventFile(folder / f"e_{i}.h5").read().x for i in range(3)]
    return np.concatenate(x), np.repeat(np.arange(3), SIZES)


@pytest.mark.parametrize("splits", [(0.2, 0.2), (0.33, 0.1), (0.05, None)])
def test_partitions_hold_the_same_part_of_every_file(
    folder: Path, splits: tuple[float | None, float | None]
) -> None:
    analyzer = DataAnalyzer(sorted(folder.glob("e_*.h5")))
    everything, of_file = rows_of(folder)
    found = {}
    for partition in PARTITIONS[: 3 if splits[1] else 1]:
        start, stop, _ = partition_range(analyzer.n_samples, partition, *splits)
        x, _ = analyzer.weighted_events(start_event=start, end_event=stop)
        for number in range(3):
            own = everything[of_file == number]
            # a file's first events train, its last ones test, up to the rounding of thousandths
            first, last, _ = partition_range(len(own), partition, *splits)
            inner = own[first + 5 : last - 5]
            assert contains(x, inner)
        assert len(x) == stop - start
        found[partition] = x
    together = np.concatenate([found[name] for name in found])
    if len(found) == 3:  # complete, and so disjoint
        np.testing.assert_array_equal(
            np.sort(together[:, 0]), np.sort(analyzer.event_file.read().x[:, 0])
        )


def contains(events: FloatArray, wanted: FloatArray) -> bool:
    """Whether all wanted events are there."""
    there = {row.tobytes() for row in np.ascontiguousarray(events)}
    return all(row.tobytes() in there for row in np.ascontiguousarray(wanted))


def test_files_of_one_benchmark_each_are_in_every_partition(folder: Path, tmp_path: Path) -> None:
    merged = EventFile(folder / "merged.h5")
    events = merged.read()
    assert events.sampling_benchmarks is not None
    origins = np.unique(events.sampling_benchmarks)
    for origin in origins:
        of_it = events.select(np.flatnonzero(events.sampling_benchmarks == origin))
        write_events(tmp_path / f"b_{origin}.h5", merged.setup, of_it, None)
    analyzer = DataAnalyzer(tmp_path / "b_*.h5")
    assert len(origins) == 4
    for partition, part in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        start, stop, _ = partition_range(analyzer.n_samples, partition)
        sampled = analyzer.event_file.read_sampling_benchmarks(start, stop)
        for origin in origins:
            n = np.count_nonzero(events.sampling_benchmarks == origin)
            assert np.count_nonzero(sampled == origin) == pytest.approx(part * n, abs=6)
        xsec, error = analyzer.xsecs(["sm"], partition=partition)
        total, _ = DataAnalyzer(folder / "merged.h5").xsecs(["sm"])
        assert abs(xsec[0] - total[0]) < 4.0 * error[0]


def test_samples_come_from_the_training_part_of_every_file(folder: Path) -> None:
    files = SampleAugmenter([folder / f"e_{i}.h5" for i in range(3)])
    sample = files.sample_train_local(morphing_points([THETA]), 20_000, seed=1)
    everything, of_file = rows_of(folder)
    start, stop, _ = partition_range(files.n_samples, "train")
    everything, train = (
        x.astype(sample.x.dtype) for x in (everything, files.event_file.read(start, stop).x)
    )
    assert contains(train, np.unique(sample.x, axis=0))
    for number in range(3):
        own = np.unique(everything[of_file == number], axis=0)
        there = {row.tobytes() for row in np.unique(sample.x, axis=0)}
        assert sum(row.tobytes() in there for row in own) > 0.2 * len(own)


def test_scores_and_effective_numbers_are_those_of_the_merged_file(folder: Path) -> None:
    found = []
    for source in (str(folder / "e_*.h5"), folder / "merged.h5"):
        augmenter = SampleAugmenter(source)
        events = augmenter.weighted_local(THETA, test_split=None, validation_split=None)
        order = np.lexsort(events.x.T)
        drawn = augmenter.sample_train_plain(
            morphing_points([THETA]), 100, test_split=None, validation_split=None, seed=1
        )
        found.append((events.x[order], events.t_xz[order], events.w[order], drawn[-1]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_information_is_that_of_the_merged_file(folder: Path) -> None:
    informations = [
        FisherInformation(source).truth_information(THETA, luminosity=1e4)[0]
        for source in ([str(folder / "e_*.h5")], str(folder / "merged.h5"))
    ]
    np.testing.assert_allclose(*informations, rtol=1e-9)


def test_limits_are_those_of_the_merged_file(folder: Path) -> None:
    grid = np.array([[0.0, 0.0], [0.5, 0.0], [0.3, -0.4]])
    found = []
    for source in (sorted(folder.glob("e_*.h5")), folder / "merged.h5"):
        limits = AsymptoticLimits(source)
        truth = truth_limit_grid(source, [0.0, 0.0], grid, 1e4, test_split=None)
        rate = limits.expected_limits(
            "rate", [0.0, 0.0], grid_ranges=[(-1, 1)] * 2, grid_resolutions=3, luminosity=1e4
        )
        found.append((truth.p_values, rate.p_values))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_likelihoods_are_those_of_the_merged_file(folder: Path) -> None:
    x = EventFile(folder / "e_0.h5").read(0, 50).x
    found = []
    for source in (sorted(folder.glob("e_*.h5")), folder / "merged.h5"):
        likelihood = HistoLikelihood(source, include_nuisance_parameters=False)
        nll = likelihood.create_negative_log_likelihood(
            x, observables=["k1"], hist_bins=[np.linspace(-1e-3, 1e-3, 6)], mode="weighted"
        )
        found.append(nll(np.array(THETA)))
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_validation_takes_test_events_of_every_file(folder: Path) -> None:
    files = sorted(folder.glob("e_*.h5"))
    events = ValidationEvents.from_file(files, THETA, n_events=None)
    everything, of_file = rows_of(folder)
    for number in range(3):
        own = everything[of_file == number]
        assert contains(events.x, own[-10:])


def test_one_file_in_a_list_is_that_file(folder: Path) -> None:
    alone, listed = DataAnalyzer(folder / "e_0.h5"), DataAnalyzer([folder / "e_0.h5"])
    np.testing.assert_array_equal(alone.xsecs()[0], listed.xsecs()[0])
    assert repr(alone) == repr(listed)


def test_a_set_says_what_it_is(folder: Path) -> None:
    text = repr(DataAnalyzer(str(folder / "e_*.h5")))
    assert f"{sum(SIZES)} events of 3 files from" in text
    assert "e_2.h5" in text
