"""Weights of the events of Delphes, from whatever file has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from madminer.delphes.lhe_weights import open_lhe_weights
from madminer.delphes.samples import DelphesSample
from madminer.delphes.showered_weights import open_showered_weights
from madminer.io.delphes import DelphesFile
from madminer.io.events import Weights
from madminer.models import AnalysisSetup
from madminer.reading.systematics import NuisanceWeight
from madminer.typing import FloatArray


class WeightSource(Protocol):
    """Where the weights of a sample come from, read in step with its events."""

    @property
    def path(self) -> Path:
        """The file, for messages."""

    @property
    def ids(self) -> Mapping[str, str | None]:
        """For each physical benchmark the id of its weight, None for the nominal weight."""

    @property
    def nuisances(self) -> tuple[NuisanceWeight, ...]:
        """Where the weights at the nuisance benchmarks come from."""

    def read(self, rows: slice) -> tuple[FloatArray, Weights]:
        """Nominal and further weights of some events of Delphes, as the file gives them."""

    def factor(self) -> float:
        """Factor that turns them into weights in pb, once all have been read."""


def open_weights(sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile) -> WeightSource:
    """Find the weights of a sample, and which event each belongs to.

    Args:
        sample: The sample.
        setup: Setup of the analysis.
        file: Its events at detector level.

    Returns:
        The weights.

    Raises:
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        DataError: If the files hold different events, or it is not certain which is which.
        FileFormatError: If a file is truncated or not of the expected form.
        SetupError: If weights belong to other parameter points than the benchmarks.
    """
    if sample.source == "lhe":
        return open_lhe_weights(sample, setup, file)
    return open_showered_weights(sample, setup, file)
