"""Numbers that describe the events of a file, from one pass with bounded memory.

Nothing is refused here: what is not finite is counted and left out of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from madminer.blocks import row_blocks
from madminer.io.event_reader import EventFile
from madminer.io.events import EventSummary
from madminer.models import AnalysisSetup
from madminer.progress import track
from madminer.typing import FloatArray, IntArray

N_BLOCKS = 10
"""Stretches of a file whose means are compared."""

BATCH_BYTES = 2**25
MAX_HASHES = 500_000
MAX_RATIOS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableStatistics:
    """One observable over all events.

    Args:
        name: Its name.
        minimum: Smallest finite value, not-a-number if there is none.
        mean: Mean of the finite values, without weights.
        maximum: Largest finite value.
        n_nan: Events where it is not-a-number.
        n_infinite: Events where it is infinite.
        drift: Squared deviations of its mean in ten stretches of the file from the overall mean,
            in units of their variances: about 9 for events in random order.
    """

    name: str
    minimum: float
    mean: float
    maximum: float
    n_nan: int
    n_infinite: int
    drift: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkStatistics:
    r"""The weights at one benchmark over all events.

    Args:
        name: Its name.
        is_nuisance: Whether it is the variation of a nuisance parameter.
        xsec: Cross section in pb; signal events of several sampling benchmarks are rescaled by
            their shares, as `DataAnalyzer.xsecs` does.
        xsec_uncertainty: Its statistical uncertainty in pb.
        n_effective: Effective number of events, :math:`(\sum w)^2 / \sum w^2`.
        negative_share: Share of the events that have a negative weight.
        n_not_finite: Events whose weight is not-a-number or infinite.
        n_generated: Events generated there, None where not known.
    """

    name: str
    is_nuisance: bool
    xsec: float
    xsec_uncertainty: float
    n_effective: float
    negative_share: float
    n_not_finite: int
    n_generated: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OriginStatistics:
    """The events that were generated at one benchmark, or those of background.

    Args:
        name: Name of the benchmark, or "background".
        is_background: Whether it is background.
        n_events: Number of events.
        n_effective: Effective number of events at each physical benchmark, shape
            ``(n_physical,)``.
        shares: Share of the cross section of all events there, same shape; zero where that is not
            positive.
    """

    name: str
    is_background: bool
    n_events: int
    n_effective: FloatArray
    shares: FloatArray


class ObservableSums:
    """Moments of the observables in stretches of the file."""

    def __init__(self, n_events: int, n_observables: int) -> None:
        self.n_events = n_events
        self.shift: FloatArray | None = None  # against cancellations in the variance
        self.minimum = np.full(n_observables, np.inf)
        self.maximum = np.full(n_observables, -np.inf)
        self.n_nan = np.zeros(n_observables, dtype=np.int64)
        self.n_infinite = np.zeros(n_observables, dtype=np.int64)
        self.counts, self.first, self.second = np.zeros((3, N_BLOCKS, n_observables))

    def add(self, start: int, x: FloatArray) -> None:
        """Add observables ``(n, n_observables)`` of the events from number `start` on."""
        is_finite = np.isfinite(x)
        self.n_nan += np.isnan(x).sum(axis=0)
        self.n_infinite += np.isinf(x).sum(axis=0)
        self.minimum = np.minimum(self.minimum, x.min(axis=0, where=is_finite, initial=np.inf))
        self.maximum = np.maximum(self.maximum, x.max(axis=0, where=is_finite, initial=-np.inf))
        if self.shift is None:
            self.shift = _mean(x.sum(axis=0, where=is_finite), is_finite.sum(axis=0))
        shifted = np.where(is_finite, x - self.shift, 0.0)
        edges = np.arange(N_BLOCKS + 1) * self.n_events // N_BLOCKS - start
        for block, (low, high) in enumerate(pairwise(edges.clip(0, len(x)).tolist())):
            self.counts[block] += is_finite[low:high].sum(axis=0)
            self.first[block] += shifted[low:high].sum(axis=0)
            self.second[block] += (shifted[low:high] ** 2).sum(axis=0)

    def results(self, names: list[str]) -> tuple[ObservableStatistics, ...]:
        """Statistics of all events that were added."""
        n_finite = self.counts.sum(axis=0)
        offset = _mean(self.first.sum(axis=0), n_finite)
        means = offset + (0.0 if self.shift is None else self.shift)
        variances = _mean(self.second.sum(axis=0), n_finite) - offset**2
        deviations = self.counts * (_mean(self.first, self.counts) - offset) ** 2
        drifts = _mean(deviations.sum(axis=0), np.maximum(variances, 0.0))
        return tuple(
            ObservableStatistics(
                name=name,
                minimum=float(self.minimum[i]) if n_finite[i] else np.nan,
                mean=float(means[i]) if n_finite[i] else np.nan,
                maximum=float(self.maximum[i]) if n_finite[i] else np.nan,
                n_nan=int(self.n_nan[i]),
                n_infinite=int(self.n_infinite[i]),
                drift=float(drifts[i]) if self.minimum[i] < self.maximum[i] else 0.0,
            )
            for i, name in enumerate(names)
        )


class WeightSums:
    """Moments of the weights by sampling benchmark; the last group is background."""

    def __init__(self, n_groups: int, n_benchmarks: int) -> None:
        self.n_events = 0
        self.n_weightless = 0
        self.counts = np.zeros(n_groups, dtype=np.int64)
        self.n_negative = np.zeros(n_benchmarks, dtype=np.int64)
        self.n_not_finite = np.zeros(n_benchmarks, dtype=np.int64)
        self.first, self.second = np.zeros((2, n_groups, n_benchmarks))

    def add(self, weights: FloatArray, groups: IntArray) -> None:
        """Add weights ``(n, n_benchmarks)`` with the group of each event."""
        is_finite = np.isfinite(weights)
        finite = np.where(is_finite, weights, 0.0)
        self.n_events += len(weights)
        self.n_weightless += int(np.count_nonzero(~weights.any(axis=1)))
        self.n_negative += (finite < 0.0).sum(axis=0)
        self.n_not_finite += (~is_finite).sum(axis=0)
        self.counts += np.bincount(groups, minlength=len(self.counts))
        for group in np.unique(groups):
            chosen = finite[groups == group]
            self.first[group] += chosen.sum(axis=0)
            self.second[group] += (chosen**2).sum(axis=0)

    def results(
        self, setup: AnalysisSetup, counted: EventSummary | None, stated: EventSummary | None
    ) -> tuple[BenchmarkStatistics, ...]:
        """Statistics of all events, with numbers of generated events as counted and as stated."""
        factors = self._factors(counted, stated)
        xsecs = factors @ self.first
        variances = factors**2 @ self.second
        n_effective = _mean(xsecs**2, variances)
        summary = _generated(counted, stated)
        generated = [] if summary is None else summary.signal_events.tolist()
        return tuple(
            BenchmarkStatistics(
                name=name,
                is_nuisance=benchmark.is_nuisance,
                xsec=float(xsecs[i]),
                xsec_uncertainty=float(np.sqrt(variances[i])),
                n_effective=float(n_effective[i]),
                negative_share=float(self.n_negative[i]) / self.n_events,
                n_not_finite=int(self.n_not_finite[i]),
                n_generated=int(generated[i]) if i < len(generated) else None,
            )
            for i, (name, benchmark) in enumerate(setup.benchmarks.items())
        )

    def origins(
        self, setup: AnalysisSetup, counted: EventSummary | None, stated: EventSummary | None
    ) -> tuple[OriginStatistics, ...]:
        """Statistics of the events by where they were generated; none where that is not known."""
        if counted is None:
            return ()
        names = [*setup.physical_benchmarks, "background"]
        n_physical = len(names) - 1
        factors = self._factors(counted, stated)
        xsecs = factors[:, np.newaxis] * self.first[:, :n_physical]
        n_effective = _mean(self.first**2, self.second)[:, :n_physical]
        total = np.maximum(xsecs.sum(axis=0), 0.0)
        return tuple(
            OriginStatistics(
                name=name,
                is_background=i == n_physical,
                n_events=int(self.counts[i]),
                n_effective=n_effective[i],
                shares=_mean(xsecs[i], total),
            )
            for i, name in enumerate(names)
            if self.counts[i]
        )

    def _factors(self, counted: EventSummary | None, stated: EventSummary | None) -> FloatArray:
        """Share of each benchmark in the generated events: samples of all add up to one."""
        summary = _generated(counted, stated)
        factors = np.ones(len(self.first))
        if counted is not None and summary is not None and summary.signal_events.any():
            factors[:-1] = summary.signal_events / summary.signal_events.sum()
        return factors


def _generated(counted: EventSummary | None, stated: EventSummary | None) -> EventSummary | None:
    """Numbers of generated events that count."""
    is_stated = stated is not None and (counted is None or stated.signal_events.any())
    return stated if is_stated else counted


def origin_statistics(
    setup: AnalysisSetup, weights: FloatArray, sampled: IntArray
) -> tuple[OriginStatistics, ...]:
    """Statistics of events by where they were generated.

    Args:
        setup: Setup of the analysis.
        weights: Weights at the physical benchmarks in pb, shape ``(n, n_physical)``.
        sampled: Index of the benchmark that an event was generated at, negative for background,
            shape ``(n,)``.

    Returns:
        One entry for each benchmark with events, and for background.
    """
    n_physical = len(setup.physical_benchmarks)
    sums = WeightSums(n_physical + 1, n_physical)
    for rows in row_blocks(len(weights)):
        sums.add(weights[rows], np.where(sampled[rows] < 0, n_physical, sampled[rows]))
    return sums.origins(setup, EventSummary.count(sampled, n_physical), None)


def _row_hashes(columns: Sequence[FloatArray]) -> NDArray[np.uint64]:
    """A number for each row, equal for rows that are equal to the last bit."""
    hashes = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        hashes ^= np.ascontiguousarray(column).view(np.uint64)
        hashes *= np.uint64(0x9E3779B97F4A7C15)  # odd, with well mixed bits
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _mean(sums: FloatArray, counts: FloatArray | IntArray) -> FloatArray:
    """Sums over counts, zero where there are none."""
    mean: FloatArray = np.divide(sums, counts, out=np.zeros(np.shape(sums)), where=counts > 0)
    return mean


@dataclass(frozen=True, slots=True)
class VariationStatistics:
    """Weights of a nuisance variation relative to those that it varies.

    Args:
        parameter: Name of the nuisance parameter.
        nu: Its value, +1 or -1.
        benchmark: Benchmark with the weights.
        reference: Benchmark with the weights at nu = 0.
        minimum: Smallest defined ratio, not-a-number if there is none.
        median: Their median; of many events, that of every k-th one.
        maximum: The largest.
        n_undefined: Events where one weight is zero or they have different signs.
    """

    parameter: str
    nu: int
    benchmark: str
    reference: str
    minimum: float
    median: float
    maximum: float
    n_undefined: int


class RatioExtremes:
    """Smallest and largest ratio of weights for each nuisance variation."""

    def __init__(self, setup: AnalysisSetup) -> None:
        self.variations = list(_variations(setup))
        names = list(setup.benchmarks)
        self.columns = [(names.index(v[2]), names.index(v[3])) for v in self.variations]
        self.minimum = np.full(len(self.columns), np.inf)
        self.maximum = np.full(len(self.columns), -np.inf)
        self.n_undefined = np.zeros(len(self.columns), dtype=np.int64)

    def add(self, weights: FloatArray) -> None:
        """Add weights ``(n, n_benchmarks)`` of some events."""
        for i, columns in enumerate(self.columns):
            ratios, n_undefined = _ratios(weights, columns)
            self.n_undefined[i] += n_undefined
            self.minimum[i] = min(self.minimum[i], ratios.min(initial=np.inf))
            self.maximum[i] = max(self.maximum[i], ratios.max(initial=-np.inf))

    def results(self, sample: FloatArray) -> tuple[VariationStatistics, ...]:
        """Statistics of all events; medians are those of a sample of weights."""
        is_any = self.minimum <= self.maximum
        minimum = np.where(is_any, self.minimum, np.nan).tolist()
        maximum = np.where(is_any, self.maximum, np.nan).tolist()
        medians = [
            float(np.median(ratios)) if ratios.size else np.nan
            for ratios, _ in (_ratios(sample, columns) for columns in self.columns)
        ]
        n_undefined = self.n_undefined.tolist()
        rows = zip(self.variations, minimum, medians, maximum, n_undefined, strict=True)
        return tuple(VariationStatistics(*variation, *numbers) for variation, *numbers in rows)


def _variations(setup: AnalysisSetup) -> Iterator[tuple[str, int, str, str]]:
    """Nuisance parameter, nu, benchmark and the one it varies, for all variations."""
    reference = setup.reference_benchmark
    for name, parameter in setup.nuisance_parameters.items():
        sides = (
            (1, parameter.benchmark_pos, parameter.benchmarks_pos),
            (-1, parameter.benchmark_neg, parameter.benchmarks_neg),
        )
        for nu, single, several in sides:
            pairs = dict(several or {})
            if single is not None and reference is not None:
                pairs = {reference: single, **pairs}
            for physical, benchmark in pairs.items():
                yield name, nu, benchmark, physical


def _ratios(weights: FloatArray, columns: tuple[int, int]) -> tuple[FloatArray, int]:
    """Defined ratios, and the number of undefined ones; events without both weights are left."""
    varied, nominal = weights[:, columns[0]], weights[:, columns[1]]
    is_defined = np.isfinite(varied) & np.isfinite(nominal)
    is_defined &= np.sign(varied) * np.sign(nominal) > 0.0
    is_counted = ~is_defined & ((varied != 0.0) | (nominal != 0.0))
    return varied[is_defined] / nominal[is_defined], int(np.count_nonzero(is_counted))


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
        origins: One entry for each benchmark at which events were generated, and for background;
            none where that is not known.
        reference: Name of the reference benchmark.
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
    origins: tuple[OriginStatistics, ...]
    reference: str


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
    extremes = RatioExtremes(file.setup)
    # equal events have equal hashes: where only every k-th value is kept, copies still meet
    hash_stride = np.uint64(-(-file.n_events // MAX_HASHES))
    stride = -(-file.n_events // MAX_RATIOS)
    hashes, kept = [], []
    n_unknown = n_changes = 0
    last: IntArray = np.empty(0, dtype=np.int64)
    step = max(BATCH_BYTES // (8 * (file.n_observables + file.n_benchmarks)), 1)
    batches = track(file.iterate_unchecked(step), "Checking", total=-(-file.n_events // step))
    for start, events in zip(range(0, file.n_events, step), batches, strict=True):
        x, w, sampled = events.x, events.weights, events.sampling_benchmarks
        groups = np.full(len(w), n_physical)  # the last one is background, or not known
        if sampled is not None:
            groups = np.where((sampled < 0) | (sampled >= n_physical), n_physical, sampled)
            n_unknown += int(np.count_nonzero(sampled >= n_physical))
        n_changes += int(np.count_nonzero(np.diff(groups, prepend=last)))
        last = groups[-1:]
        observables.add(start, x)
        weights.add(w, groups)
        extremes.add(w)
        row_hashes = _row_hashes([*x.T, *w.T])
        hashes.append(row_hashes[row_hashes % hash_stride == 0])
        kept.append(w[-start % stride :: stride].copy())  # not the whole batch
    counted = None
    if file.has_sampling_benchmarks:
        counted = EventSummary(weights.counts[:-1], int(weights.counts[-1]) - n_unknown)
    sample, all_hashes = np.concatenate(kept), np.concatenate(hashes)
    return EventStatistics(
        n_events=file.n_events,
        observables=observables.results(list(file.setup.observables)),
        benchmarks=weights.results(file.setup, counted, file.summary),
        variations=extremes.results(sample),
        counted=counted,
        stated=file.summary,
        n_unknown_sampling=n_unknown,
        n_changes=n_changes,
        n_weightless=weights.n_weightless,
        n_repeated=int(hash_stride) * (len(all_hashes) - len(np.unique(all_hashes))),
        sampled_weights=sample,
        origins=weights.origins(file.setup, counted, file.summary),
        reference=str(file.setup.reference_benchmark),
    )
