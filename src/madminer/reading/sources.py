"""Where the weights of a sample stand in its Les Houches event file, and what they add up to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.io.lhe import LHEEvents, LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.systematics import NuisanceWeight, find_nuisance_weights
from madminer.reading.weights import Sample, check_parameter_points, normalisation, weight_ids


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
