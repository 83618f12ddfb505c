"""Samples of parton-level events that are showered, and the weights of their events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from madminer.errors import NoEventsError
from madminer.io.events import Weights
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.reliability import report_ignored_weights
from madminer.reading.sources import WeightSums, find_weights
from madminer.reading.systematics import NuisanceWeight
from madminer.reading.weights import Sample
from madminer.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowerSample(Sample):
    """A sample of parton-level events.

    Args:
        is_showered: Whether Pythia showers them; else each parton is a jet.
        settings: Lines ``name = value`` for Pythia.
        hepmc: File for the showered events; None for none.
    """

    is_showered: bool = True
    settings: tuple[str, ...] = ()
    hepmc: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WeightTable:
    """Weights of all events of a sample.

    Args:
        header: What stands before the events.
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights as the file gives them, shape ``(n_events,)``.
        weights: Further weights.
        sums: What their normalisation needs to know.
    """

    header: LHEHeader
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    nominal: FloatArray
    weights: Weights
    sums: WeightSums

    def of_events(self, numbers: IntArray) -> tuple[FloatArray, Weights]:
        """Nominal and further weights of events, by their numbers from 0."""
        return self.nominal[numbers], Weights(self.weights.names, self.weights.matrix[numbers])


def read_weights(sample: Sample, setup: AnalysisSetup) -> WeightTable:
    """Read all weights, and with them the whole file: it is known to be complete before a shower.

    They are kept in memory, 8 bytes a weight and event.

    Args:
        sample: The sample.
        setup: Setup of the analysis.

    Returns:
        The weights.

    Raises:
        NoEventsError: If the file holds no events.
        FileFormatError: If it is truncated or not of the expected form.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks.
    """
    file = LHEFile(sample.path)
    parts = file.events()
    first = next(parts, None)
    if first is None:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    ids, nuisances = find_weights(setup, sample, file.header, first.weights.names)
    report_ignored_weights(setup, sample, file.header, first.xwgtup, first.weights)
    nominal, weights, sums = [], [], WeightSums()
    for part in chain([first], parts):
        nominal.append(part.xwgtup)
        weights.append(part.weights)
        sums.add(part)
    table = np.concatenate(nominal)
    return WeightTable(file.header, ids, nuisances, table, Weights.joined(weights), sums)
