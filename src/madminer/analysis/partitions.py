r"""Partitions: the stretches of an event file for training, validation and testing.

**Rescaling: how events generated at different benchmarks are put together.**

Events fall into groups by the physical benchmark :math:`k` they were generated at; background
forms one more group. Each group alone describes the full signal, so that a sum over events is

.. math:: \sum_g f_g \sum_{i \in g} w_i

with either :math:`f_k = N_k / \sum_l N_l` for all signal groups, or :math:`f_k = 1` for the
benchmark closest to a point and 0 for the others; background always has :math:`f = 1`.
"""

from __future__ import annotations

import numpy as np

from madminer.checks import fraction
from madminer.errors import NoEventsError, OptionError
from madminer.typing import FloatArray, IntArray

PARTITIONS = ("train", "validation", "test", "all")
"""Names of the partitions."""


def partition_range(
    n_events: int,
    partition: str,
    test_split: float | None = 0.2,
    validation_split: float | None = 0.2,
) -> tuple[int, int, float]:
    r"""Rows of a partition, and the factor that scales its weights to the full cross section.

    Partitions are cut by position: training events first, then validation, then test, with
    borders at :math:`\mathrm{round}(n (1 - f_\mathrm{test} - f_\mathrm{val}))` and
    :math:`\mathrm{round}(n (1 - f_\mathrm{test}))`. They are disjoint and complete.

    Args:
        n_events: Number of events in the file.
        partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        test_split: Fraction of events kept for testing; None and 0 mean none.
        validation_split: Fraction of events kept for validation; None and 0 mean none.

    Returns:
        First row, row behind the last, and the factor ``n_events / n_rows``.

    Raises:
        OptionError: If the partition is unknown or empty, or the fractions exceed one.

    Examples:
        >>> partition_range(1000, "validation", 0.2, 0.1)
        (700, 800, 10.0)
    """
    if partition not in PARTITIONS:
        raise OptionError(f"partition must be one of {list(PARTITIONS)}, got {partition!r}.")
    test = fraction(0.0 if test_split is None else test_split, "test_split")
    validation = fraction(0.0 if validation_split is None else validation_split, "validation_split")
    if test + validation > 1.0 + 1e-9:
        raise OptionError(
            f"test_split and validation_split must add up to at most 1, got {test} and "
            f"{validation}."
        )
    start_validation = max(round(n_events * (1.0 - test - validation)), 0)
    start_test = max(round(n_events * (1.0 - test)), start_validation)
    start, stop = {
        "train": (0, start_validation),
        "validation": (start_validation, start_test),
        "test": (start_test, n_events),
        "all": (0, n_events),
    }[partition]
    if start == stop:
        raise OptionError(
            f"The partition {partition!r} of {n_events} events is empty with test_split = {test} "
            f"and validation_split = {validation}; change the fractions or use another partition."
        )
    return start, stop, n_events / (stop - start)


def group_indices(sampling_benchmarks: IntArray | None, n_events: int, n_physical: int) -> IntArray:
    """Group of each event: its sampling benchmark, or the last group for background.

    Args:
        sampling_benchmarks: Index of the benchmark each event was generated at, negative for
            background, shape ``(n_events,)``; None if unknown: all events form the last group,
            which is never rescaled.
        n_events: Number of events.
        n_physical: Number of physical benchmarks, which is the last group.

    Examples:
        >>> group_indices(np.array([1, -1, 0]), 3, 2)
        array([1, 2, 0], dtype=int16)
    """
    if sampling_benchmarks is None:
        return np.full(n_events, n_physical, dtype=np.int16)
    groups = np.asarray(sampling_benchmarks).astype(np.int16)
    groups[groups < 0] = n_physical
    return groups


def share_factors(n_generated: IntArray) -> FloatArray:
    r"""Factors when all events are used, :math:`f_k = N_k / \sum_l N_l`.

    Examples:
        >>> share_factors(np.array([30, 10]))
        array([0.75, 0.25, 1.  ])
    """
    counts = np.asarray(n_generated, dtype=np.float64)
    return np.append(counts / max(counts.sum(), 1.0), 1.0)


def closest_benchmarks(
    thetas: FloatArray, benchmark_thetas: FloatArray, n_generated: IntArray
) -> IntArray:
    """The benchmark with events that is closest to each point, the first of equals.

    Args:
        thetas: Parameter points, shape ``(n_thetas, n_parameters)``.
        benchmark_thetas: Physical benchmarks, shape ``(n_physical, n_parameters)``.
        n_generated: Events generated at each of them, shape ``(n_physical,)``.

    Raises:
        NoEventsError: If no benchmark has events.
    """
    candidates = np.flatnonzero(np.asarray(n_generated) > 0)
    if candidates.size == 0:
        raise NoEventsError(
            "No events were generated at a benchmark, so that there is no closest one; use "
            "sample_only_from_closest_benchmark=False or generated_close_to=None."
        )
    steps = thetas[:, np.newaxis, :] - benchmark_thetas[np.newaxis, candidates, :]
    closest: IntArray = candidates[np.argmin(np.sum(steps**2, axis=-1), axis=1)]
    return closest


def closest_factors(closest: IntArray, n_physical: int) -> FloatArray:
    """Factors where only events of one benchmark are used: ``(n,)`` to ``(n, n_physical + 1)``.

    Examples:
        >>> closest_factors(np.array([1]), 2)
        array([[0., 1., 1.]])
    """
    factors = np.zeros((len(closest), n_physical + 1))
    factors[np.arange(len(closest)), closest] = 1.0
    factors[:, -1] = 1.0
    return factors
