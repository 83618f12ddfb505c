"""Weights of nuisance variations relative to those that they vary, accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from madminer.models import AnalysisSetup
from madminer.typing import FloatArray

__all__ = ["RatioExtremes", "VariationStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
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
        found = []
        for i, (parameter, nu, benchmark, reference) in enumerate(self.variations):
            ratios, _ = _ratios(sample, self.columns[i])
            is_any = self.minimum[i] <= self.maximum[i]
            found.append(
                VariationStatistics(
                    parameter=parameter,
                    nu=nu,
                    benchmark=benchmark,
                    reference=reference,
                    minimum=float(self.minimum[i]) if is_any else np.nan,
                    median=float(np.median(ratios)) if ratios.size else np.nan,
                    maximum=float(self.maximum[i]) if is_any else np.nan,
                    n_undefined=int(self.n_undefined[i]),
                )
            )
        return tuple(found)


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
