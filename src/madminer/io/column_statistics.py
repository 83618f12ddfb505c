"""Statistics of observables and weights, accumulated batch by batch.

What is not finite is counted and left out of sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from madminer.io.events import EventSummary
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray

__all__ = [
    "BenchmarkStatistics",
    "ObservableStatistics",
    "ObservableSums",
    "RepeatedRows",
    "SamplingCounts",
    "WeightSums",
]

N_BLOCKS = 10
MAX_HASHES = 500_000


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
        for group in np.unique(groups):
            chosen = finite[groups == group]
            self.first[group] += chosen.sum(axis=0)
            self.second[group] += (chosen**2).sum(axis=0)

    def results(
        self, setup: AnalysisSetup, counted: EventSummary | None, stated: EventSummary | None
    ) -> tuple[BenchmarkStatistics, ...]:
        """Statistics of all events, with numbers of generated events as counted and as stated."""
        is_stated = stated is not None and (counted is None or stated.signal_events.any())
        summary = stated if is_stated else counted
        factors = np.ones(len(self.first))
        if counted is not None and summary is not None and summary.signal_events.any():
            factors[:-1] = summary.signal_events / summary.signal_events.sum()
        xsecs = factors @ self.first
        variances = factors**2 @ self.second
        n_effective = _mean(xsecs**2, variances)
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


class SamplingCounts:
    """Where events were generated, and in which order."""

    def __init__(self, n_physical: int) -> None:
        self.counts = np.zeros(n_physical + 1, dtype=np.int64)
        self.n_unknown = 0
        self.n_changes = 0
        self._last: int | None = None

    def add(self, sampled: IntArray) -> IntArray:
        """Count events; returns their groups, the last one for background and unknown ones."""
        n_physical = len(self.counts) - 1
        self.n_unknown += int(np.count_nonzero(sampled >= n_physical))
        groups = np.where((sampled < 0) | (sampled >= n_physical), n_physical, sampled)
        self.counts += np.bincount(groups, minlength=n_physical + 1)
        self.n_changes += int(np.count_nonzero(np.diff(groups)))
        self.n_changes += self._last not in {None, int(groups[0])}
        self._last = int(groups[-1])
        return groups

    @property
    def summary(self) -> EventSummary:
        """Numbers of events by sampling benchmark."""
        return EventSummary(self.counts[:-1], int(self.counts[-1]) - self.n_unknown)


@dataclass(slots=True)
class RepeatedRows:
    """Events that are equal to the last bit.

    Equal events have equal hashes; of a large file only every k-th value of the hash is kept, so
    that the memory is bounded and copies still meet.
    """

    n_events: int
    hashes: list[IntArray] = field(default_factory=list)

    def add(self, x: FloatArray, weights: FloatArray) -> None:
        """Add observables and weights of some events."""
        hashes = np.zeros(len(x), dtype=np.uint64)
        for column in (*x.T, *weights.T):
            hashes ^= np.ascontiguousarray(column).view(np.uint64)
            hashes *= np.uint64(0x9E3779B97F4A7C15)  # odd, with well mixed bits
            hashes ^= hashes >> np.uint64(29)
        self.hashes.append(hashes[hashes % np.uint64(self._stride) == 0])

    @property
    def _stride(self) -> int:
        return -(-self.n_events // MAX_HASHES)

    @property
    def n_repeated(self) -> int:
        """Number of events that repeat an earlier one; of a large file, an estimate."""
        kept = np.concatenate(self.hashes)
        return self._stride * (len(kept) - len(np.unique(kept)))


def _mean(sums: FloatArray, counts: FloatArray | IntArray) -> FloatArray:
    """Sums over counts, zero where there are none."""
    mean: FloatArray = np.divide(sums, counts, out=np.zeros(np.shape(sums)), where=counts > 0)
    return mean
