"""Numbers that describe the events of a file, from one pass with bounded memory.

Nothing is refused here: what is not finite is counted and left out of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.io.column_statistics import (
    BenchmarkStatistics,
    ObservableStatistics,
    ObservableSums,
    RepeatedRows,
    SamplingCounts,
    WeightSums,
)
from madminer.io.event_reader import EventFile
from madminer.io.events import EventSummary
from madminer.io.variation_statistics import RatioExtremes, VariationStatistics
from madminer.progress import track
from madminer.typing import FloatArray

__all__ = [
    "BenchmarkStatistics",
    "EventStatistics",
    "ObservableStatistics",
    "VariationStatistics",
    "event_statistics",
]

BATCH_BYTES = 2**25
MAX_RATIOS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventStatistics:
    """All events of a file.

    Args:
        n_events: Their number.
        observables: One entry for each observable.
        benchmarks: One entry for each benchmark.
        variations: One entry for each nuisance variation.
        counted: Events by sampling benchmark as counted, None where not known.
        stated: The same as the file states it, None where it does not.
        n_unknown_sampling: Events whose sampling benchmark does not exist.
        n_changes: How often successive events have different sampling benchmarks.
        n_weightless: Events with all weights zero.
        n_repeated: Events that repeat an earlier one in all observables and weights; of a large
            file, an estimate.
        sampled_weights: Weights of up to 100,000 events for checks of morphing, shape
            ``(n, n_benchmarks)``.
    """

    n_events: int
    observables: tuple[ObservableStatistics, ...]
    benchmarks: tuple[BenchmarkStatistics, ...]
    variations: tuple[VariationStatistics, ...]
    counted: EventSummary | None
    stated: EventSummary | None
    n_unknown_sampling: int
    n_changes: int
    n_weightless: int
    n_repeated: int
    sampled_weights: FloatArray


@np.errstate(over="ignore", invalid="ignore")  # of values beyond 1e150, which squares are not
def event_statistics(file: EventFile) -> EventStatistics:
    """Read all events once.

    Args:
        file: Event file with at least one event.

    Returns:
        The numbers.

    Raises:
        FileFormatError: If the file is damaged.
    """
    n_physical = len(file.setup.physical_benchmarks)
    observables = ObservableSums(file.n_events, file.n_observables)
    weights = WeightSums(n_physical + 1, file.n_benchmarks)
    sampling = SamplingCounts(n_physical)
    repeated = RepeatedRows(file.n_events)
    stride = -(-file.n_events // MAX_RATIOS)
    kept: list[FloatArray] = []
    extremes = RatioExtremes(file.setup)
    step = max(BATCH_BYTES // (8 * (file.n_observables + file.n_benchmarks)), 1)
    batches = track(file.iterate_unchecked(step), "Checking", total=-(-file.n_events // step))
    for start, events in zip(range(0, file.n_events, step), batches, strict=True):
        x, w, sampled = events.x, events.weights, events.sampling_benchmarks
        groups = np.full(len(w), n_physical) if sampled is None else sampling.add(sampled)
        observables.add(start, x)
        weights.add(w, groups)
        extremes.add(w)
        repeated.add(x, w)
        kept.append(w[-start % stride :: stride].copy())  # not the whole batch
    counted = sampling.summary if file.has_sampling_benchmarks else None
    sample = np.concatenate(kept)
    return EventStatistics(
        n_events=file.n_events,
        observables=observables.results(list(file.setup.observables)),
        benchmarks=weights.results(file.setup, counted, file.summary),
        variations=extremes.results(sample),
        counted=counted,
        stated=file.summary,
        n_unknown_sampling=sampling.n_unknown,
        n_changes=sampling.n_changes,
        n_weightless=weights.n_weightless,
        n_repeated=repeated.n_repeated,
        sampled_weights=sample,
    )
