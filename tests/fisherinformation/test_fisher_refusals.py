from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from madminer.errors import FileFormatError, NoEventsError, OptionError
from madminer.fisherinformation import FisherInformation

MakeFile = Callable[..., Path]
ORIGIN = [0.0, 0.0]


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: MakeFile) -> FisherInformation:
    return FisherInformation(gaussian_event_file(500))


def test_edges_of_a_histogram(fisher: FisherInformation) -> None:
    with pytest.raises(OptionError, match="at least one edge"):
        fisher.histo_information(ORIGIN, 1.0, "z0", [])
    fisher.histo_information(ORIGIN, 1.0, "z0", [1.0])


def test_sparse_bins_are_reported(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture
) -> None:
    fisher.histo_information(ORIGIN, 1.0, "z0", 10)
    assert "effective events" not in caplog.text
    fisher.histo_information(ORIGIN, 1.0, "z0", 300)
    assert "300 bins with events hold 1.7 effective events on average" in caplog.text


@pytest.mark.parametrize("luminosity", ["3", None, True, 0.0])
def test_luminosity_is_a_number(fisher: FisherInformation, luminosity: Any) -> None:
    with pytest.raises(OptionError, match="luminosity must be positive, a number"):
        fisher.rate_information(ORIGIN, luminosity)


def test_weights_of_zero_are_refused(gaussian_event_file: MakeFile) -> None:
    path = gaussian_event_file(100)
    with h5py.File(path, "r+") as file:
        file["samples/weights"][:] = 0.0
    fisher = FisherInformation(path)
    for call in (
        lambda: fisher.truth_information(ORIGIN, 1.0),
        lambda: fisher.rate_information(ORIGIN, 1.0),
        lambda: fisher.histo_information(ORIGIN, 1.0, "z0", [0.0]),
        lambda: fisher.histogram_of_information(ORIGIN, "z0", 2, (-1.0, 1.0)),
    ):
        with pytest.raises(NoEventsError, match="add up to 0"):
            call()


@pytest.mark.parametrize(
    ("dataset", "value"),
    [
        ("benchmarks/values", 0.5),
        ("benchmarks/values", float("nan")),
        ("morphing/morphing_matrix", 0.5),
        ("morphing/morphing_matrix", float("nan")),
        ("morphing/morphing_matrix", float("inf")),
        ("morphing/components", 2),
    ],
)
def test_damaged_morphing_is_refused(
    gaussian_event_file: MakeFile, dataset: str, value: float
) -> None:
    path = gaussian_event_file(20)
    with h5py.File(path, "r+") as file:
        file[dataset][1, 0] = value
    with pytest.raises(FileFormatError, match=rf"{path.name} holds no valid setup"):
        FisherInformation(path)
