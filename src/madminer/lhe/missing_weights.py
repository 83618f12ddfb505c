"""Events of a file that lack weights which others have."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from madminer.errors import FileFormatError, MissingWeightsError
from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEFile
from madminer.io.lhe.events import with_weights
from madminer.reading.systematics import NuisanceWeight
from madminer.reading.weights import Sample
from madminer.typing import BoolArray

POLICIES: Final = ("refuse", "nominal", "drop")
"""What may be done with events that lack weights."""

_SHOWN: Final = 5  # weights in a message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LHESample(Sample):
    """A Les Houches event file.

    Args:
        missing_weights: One of `POLICIES`.
    """

    missing_weights: str = "refuse"

    @property
    def may_lack(self) -> bool:
        """Whether some of its events may lack weights."""
        return self.missing_weights != "refuse"


def read_events(file: LHEFile, sample: LHESample) -> Iterator[LHEEvents]:
    """The events of a sample part by part; weights that lack are not-a-number if they may.

    Raises:
        MissingWeightsError: If events lack weights that others have, and none may; it counts them.
        FileFormatError: If the file is truncated or not of the expected form.
    """
    try:
        yield from file.events(may_lack=sample.may_lack)
    except MissingWeightsError as error:
        raise _counted(file, error) from error


def _counted(file: LHEFile, error: MissingWeightsError) -> MissingWeightsError:
    """The error with the numbers of events in all of the file."""
    gaps = WeightGaps()
    try:
        names = dict.fromkeys(name for part in file.events(may_lack=True) for name in part.weights)
        for part in file.events(may_lack=True):
            gaps.add(with_weights(part, names))
    except FileFormatError:  # not of a form that tells which events lack weights
        return error
    return MissingWeightsError(
        f"{file.path}: {gaps}. Every event needs all weights: repeat the reweighting, or say with "
        f"missing_weights of add_sample what is done: 'nominal' takes these events not to vary "
        f"with a systematic uncertainty, 'drop' leaves them out."
    )


@dataclass(slots=True)
class WeightGaps:
    """How many events of a file lack weights.

    Args:
        n_events: Number of events.
        n_lacking: Number of events that lack any weight.
        counts: The same by weight, of those that any event lacks.
        sum_weights: Sum of the nominal weights as the file gives them.
        lost: The same of events that lack any weight.
    """

    n_events: int = 0
    n_lacking: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    sum_weights: float = 0.0
    lost: float = 0.0

    def __str__(self) -> str:
        most = sorted(self.counts.items(), key=lambda item: -item[1])
        shown = [f"{name!r} in {count}" for name, count in most]
        rest = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        return (
            f"{self.n_lacking} of {self.n_events} events lack weights: "
            f"{', '.join([*shown[:_SHOWN], *rest])}"
        )

    def add(self, events: LHEEvents) -> BoolArray:
        """Count more events; returns which weights lack, shape ``(n_events, n_weights)``."""
        lacks: BoolArray = np.isnan(events.weights.matrix)
        is_lacking = np.any(lacks, axis=1)
        self.n_events += events.n_events
        self.n_lacking += int(np.count_nonzero(is_lacking))
        for name, count in zip(events.weights, lacks.sum(axis=0).tolist(), strict=True):
            if count:
                self.counts[name] = self.counts.get(name, 0) + count
        self.sum_weights += float(events.xwgtup.sum())
        self.lost += float(events.xwgtup[is_lacking].sum())
        return lacks

    def closed(
        self,
        events: LHEEvents,
        sample: LHESample,
        ids: Mapping[str, str | None],
        nuisances: Sequence[NuisanceWeight],
    ) -> LHEEvents:
        """Events that lack no weight of the analysis, those of the ids and nuisance benchmarks.

        With "refuse" they are the same events; with "drop" the ones that have all these weights;
        with "nominal" all, with the nominal weight in place of one of a systematic uncertainty
        that lacks.

        Raises:
            MissingWeightsError: With "nominal", if an event lacks the weight of a benchmark.
        """
        if not sample.may_lack:
            return events
        sources = (*ids.values(), *(entry.weight_id for entry in nuisances))
        events = with_weights(events, dict.fromkeys(name for name in sources if name is not None))
        lacks = self.add(events)
        if sample.missing_weights == "drop":
            return events.select(~np.any(lacks, axis=1))
        # the nominal weight says nothing about the weight at another parameter point
        if lost := [benchmark for benchmark, name in ids.items() if name in self.counts]:
            raise MissingWeightsError(
                f"{sample.path}: {self} so far; those of the benchmarks {lost} cannot be replaced "
                f"by the nominal weight. Repeat the reweighting, or give missing_weights='drop'."
            )
        matrix = np.where(lacks, events.xwgtup[:, np.newaxis], events.weights.matrix)
        return replace(events, weights=Weights(events.weights.names, matrix))

    def report(self, sample: LHESample, factor: float) -> None:
        """Say in the log what was done; the factor turns the weights of the file into pb."""
        if self.n_lacking and sample.missing_weights == "nominal":
            logger.warning("%s: %s. They are taken not to vary there.", sample.path, self)
        elif self.n_lacking:
            logger.warning(
                "%s: %s. They are left out, with %g of %g pb. If they lack by chance, a k_factor "
                "with 1 / (1 - this share) restores the cross section.",
                sample.path,
                self,
                factor * self.lost,
                factor * self.sum_weights,
            )
