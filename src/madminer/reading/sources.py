"""Where the weights of a sample stand in its Les Houches event file, and what they add up to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from madminer.errors import NoEventsError
from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEFile, LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.reliability import report_ignored_weights
from madminer.reading.systematics import NuisanceWeight, event_weights, find_nuisance_weights
from madminer.reading.weights import Sample, check_parameter_points, normalisation, weight_ids
from madminer.typing import FloatArray, IntArray


def find_weights(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, found: Collection[str]
) -> tuple[Mapping[str, str | None], tuple[NuisanceWeight, ...]]:
    """Where the weights stand in the events.

    Args:
        setup: Setup of the analysis.
        sample: The sample.
        header: What stands before the events of its Les Houches event file; empty without one.
        found: Ids of the weights in the events.

    Returns:
        For each physical benchmark the id of its weight, None for the nominal weight; and the
        nuisance weights.

    Raises:
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        SetupError: If the weights belong to other parameter points than the benchmarks, or a
            systematic uncertainty varies nothing.
    """
    ids = weight_ids(setup, sample, found, header)
    check_parameter_points(setup, sample, ids, header)
    return ids, find_nuisance_weights(setup, sample, header, found)


@dataclass(slots=True)
class WeightSums:
    """What the normalisation of a Les Houches event file needs to know of all of its events.

    Args:
        n_events: Number of events.
        n_draws: The same, where a group of events counts once.
        sum_weights: Sum of the nominal weights as the file gives them.
        sum_squares: Sum of their squares.
        sum_trials: Sum of the numbers of trials, None if the file does not give them.
        is_unit: Whether all weights are 1 or -1.
    """

    n_events: int = 0
    n_draws: int = 0
    sum_weights: float = 0.0
    sum_squares: float = 0.0
    sum_trials: float | None = None
    is_unit: bool = True

    def add(self, events: LHEEvents) -> None:
        """Take more events into account."""
        self.n_events += events.n_events
        self.n_draws += events.n_draws
        self.sum_weights += float(events.xwgtup.sum())
        self.sum_squares += float((events.xwgtup**2).sum())
        if events.trials is not None:
            self.sum_trials = (self.sum_trials or 0.0) + float(events.trials.sum())
        self.is_unit &= bool(np.all(np.abs(events.xwgtup) == 1.0))

    def factor(self, header: LHEHeader, path: Path) -> float:
        """Factor that turns the weights of the file into weights in pb.

        Raises:
            DataError: If the weights cannot be normalised.
        """
        return normalisation(
            header,
            self.n_events,
            self.sum_weights,
            self.sum_squares,
            path,
            sum_trials=self.sum_trials,
            is_unit=self.is_unit,
            n_draws=self.n_draws,
        )


@dataclass(frozen=True, slots=True, eq=False)
class WeightTable:
    """Weights of all events of a sample, 8 bytes a weight and event.

    Args:
        path: The file that has them.
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights as the file gives them, shape ``(n_events,)``.
        weights: Further weights of the same events.
        factor: Factor that turns them into weights in pb.
    """

    path: Path
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    nominal: FloatArray
    weights: Weights
    factor: float

    def at_benchmarks(self, events: IntArray | slice, reference: str) -> Weights:
        """Weights of some events as `event_weights` gives them, normalised as in the file."""
        further = Weights(self.weights.names, self.weights.matrix[events])
        return event_weights(
            self.ids, self.nuisances, self.nominal[events], further, reference, self.path
        )


def read_weights(
    sample: Sample, setup: AnalysisSetup, *, n_unused: int | None = None
) -> WeightTable:
    """Read all weights, and with them the whole file: it is then known to be complete.

    Args:
        sample: The sample, a Les Houches event file.
        setup: Setup of the analysis.
        n_unused: How many weights to keep that the analysis does not use; None for all.

    Raises:
        NoEventsError: If the file holds no events.
        FileFormatError: If it is truncated or not of the expected form.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks.
        DataError: If they cannot be normalised.
    """
    file = LHEFile(sample.path)
    parts = file.events()
    first = next(parts, None)
    if first is None:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    names = first.weights.names
    ids, nuisances = find_weights(setup, sample, file.header, names)
    report_ignored_weights(setup, sample, file.header, first.xwgtup, first.weights)
    if n_unused is not None:
        used = {*ids.values(), *(entry.weight_id for entry in nuisances)}
        others = [name for name in names if name not in used]
        kept = used.union(others[:: max(-(-len(others) // n_unused), 1)])
        names = tuple(name for name in names if name in kept)
    nominal, weights, sums = [], [], WeightSums()
    for part in chain([first], parts):
        nominal.append(part.xwgtup)
        weights.append(part.weights if n_unused is None else part.weights.select(names))
        sums.add(part)
    factor = sums.factor(file.header, sample.path)
    table = Weights.joined(weights)
    return WeightTable(sample.path, ids, nuisances, np.concatenate(nominal), table, factor)
