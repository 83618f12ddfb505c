"""Reading event files in pieces."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import DataError, FileFormatError, MissingWeightsError, OptionError
from madminer.io.events import Events, EventSummary, describe_not_finite
from madminer.io.rows import gather_rows
from madminer.io.schema import (
    BACKGROUND_EVENTS,
    OBSERVATIONS,
    SAMPLING_BENCHMARKS,
    SIGNAL_EVENTS,
    WEIGHTS,
    open_hdf5,
    read_array,
)
from madminer.io.setup_file import read_setup_group
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray, StrPath

__all__ = ["EventFile"]


class EventFile:
    """Events on disk: observables and weights at every benchmark.

    The layout is checked once, when the file is named; the events are read when they are asked
    for, and the file is open only while they are.

    Args:
        path: Event file of this version or of MadMiner 0.9.

    Attributes:
        path: The file.
        setup: Setup of the analysis; its benchmarks are the columns of the weights, its
            observables those of x.
        n_events: Number of events.
        n_observables: Number of observables.
        n_benchmarks: Number of weights of each event, with those of nuisance variations.
        has_sampling_benchmarks: Whether it is known where each event was generated.
        summary: Numbers of events generated at each benchmark, None where not known.

    Raises:
        MissingFileError: If there is no such file.
        MissingWeightsError: If it has no events or not one weight for each benchmark.
        FileFormatError: If it is truncated or of another layout.
    """

    def __init__(self, path: StrPath) -> None:
        self.path: Final = Path(path)
        with open_hdf5(path) as file:
            self.setup: Final[AnalysisSetup] = read_setup_group(file)
            _check_layout(file, self.setup)
            self.n_events: Final = int(file[WEIGHTS].shape[0])
            self.summary: Final = _read_summary(file, len(self.setup.physical_benchmarks))
            self.has_sampling_benchmarks: Final = _has_sampling_benchmarks(file)
        self.n_observables: Final = len(self.setup.observables)
        self.n_benchmarks: Final = len(self.setup.benchmarks)

    def __repr__(self) -> str:
        return (
            f"EventFile({str(self.path)!r}: {self.n_events} events, "
            f"{self.n_observables} observables, {self.n_benchmarks} benchmarks)"
        )

    def __len__(self) -> int:
        return self.n_events

    def read(self, start: int = 0, stop: int | None = None, *, allow_nan: bool = False) -> Events:
        """Read consecutive events.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end of the file.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            The events.

        Raises:
            OptionError: If the range is not in the file.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        first, last = self._range(start, stop)
        return self._read(lambda dataset: dataset[first:last], allow_nan)

    def read_weights(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Read only the weights of consecutive events.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end of the file.

        Returns:
            Weights in pb, shape ``(stop - start, n_benchmarks)``.

        Raises:
            OptionError: If the range is not in the file.
            DataError: If weights are not finite.
        """
        start, stop = self._range(start, stop)
        with open_hdf5(self.path) as file:
            weights: FloatArray = file[WEIGHTS][start:stop]
        self._check_weights(weights)
        return weights

    def read_sampling_benchmarks(self, start: int = 0, stop: int | None = None) -> IntArray | None:
        """Read only where consecutive events were generated.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end of the file.

        Returns:
            Index of the physical benchmark, negative for background, shape ``(stop - start,)``;
            None if it is not known.

        Raises:
            OptionError: If the range is not in the file.
        """
        start, stop = self._range(start, stop)
        if not self.has_sampling_benchmarks:
            return None
        with open_hdf5(self.path) as file:
            sampled: IntArray = file[SAMPLING_BENCHMARKS][start:stop]
        self._check_sampling_benchmarks(sampled)
        return sampled

    def iterate(
        self,
        start: int = 0,
        stop: int | None = None,
        batch_size: int | None = 100_000,
        *,
        allow_nan: bool = False,
        memory_limit: float | None = None,
    ) -> Iterator[Events]:
        """Read consecutive events in batches.

        A batch is read while the last one is still in memory, so memory for two is needed.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end of the file.
            batch_size: Events in a batch; None: all in one.
            allow_nan: Whether observables may be undefined (not-a-number).
            memory_limit: Memory in bytes that reading may take; batches are then as large as it
                allows, whatever `batch_size`.

        Returns:
            Batches of events; none if the range is empty.

        Raises:
            OptionError: If the range is not in the file, `batch_size` is below one, or
                `memory_limit` is too small for an event.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        start, stop = self._range(start, stop)
        if memory_limit is not None:
            batch_size = self._events_within(memory_limit)
        if batch_size is not None and batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, or None; got {batch_size}.")
        end, step = stop, batch_size or max(stop - start, 1)
        return (
            self.read(first, min(first + step, end), allow_nan=allow_nan)
            for first in range(start, end, step)
        )

    def rows(self, indices: IntArray, *, allow_nan: bool = False) -> FloatArray:
        """Read the observables of chosen events.

        The memory is that of the result, see `madminer.io.rows`.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            Observables, shape ``(m, n_observables)``.

        Raises:
            OptionError: If an event is not in the file.
            DataError: If observables are not finite, without `allow_nan`.
        """
        wanted = self._wanted(indices)
        with open_hdf5(self.path) as file:
            x = gather_rows(file[OBSERVATIONS], wanted)
        self._check_observables(x, allow_nan)
        return x

    def weights(self, indices: IntArray) -> FloatArray:
        """Read the weights of chosen events, as `rows` does their observables.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.

        Returns:
            Weights in pb, shape ``(m, n_benchmarks)``.

        Raises:
            OptionError: If an event is not in the file.
            DataError: If weights are not finite.
        """
        wanted = self._wanted(indices)
        with open_hdf5(self.path) as file:
            weights = gather_rows(file[WEIGHTS], wanted)
        self._check_weights(weights)
        return weights

    def take(self, indices: IntArray, *, allow_nan: bool = False) -> Events:
        """Read chosen events with their weights, as `rows` does their observables.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            The events in the order of `indices`.

        Raises:
            OptionError: If an event is not in the file.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        wanted = self._wanted(indices)
        return self._read(lambda dataset: gather_rows(dataset, wanted), allow_nan)

    def _read(self, pick: Callable[[Any], NDArray[Any]], allow_nan: bool) -> Events:
        with open_hdf5(self.path) as file:
            x = pick(file[OBSERVATIONS])
            weights = pick(file[WEIGHTS])
            sampled = pick(file[SAMPLING_BENCHMARKS]) if self.has_sampling_benchmarks else None
        self._check_observables(x, allow_nan)
        self._check_weights(weights)
        if sampled is not None:
            self._check_sampling_benchmarks(sampled)
        return Events(x, weights, sampled)

    def _wanted(self, indices: IntArray) -> IntArray:
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.n_events):
            raise OptionError(
                f"{self.path} has the events 0 to {self.n_events - 1}, but events "
                f"{wanted.min()} to {wanted.max()} were asked for."
            )
        return wanted

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        first = operator.index(start)
        last = self.n_events if stop is None else operator.index(stop)
        if not 0 <= first <= last <= self.n_events:
            raise OptionError(
                f"Events {start} to {stop} were asked for; {self.path} has {self.n_events}, so "
                f"0 <= start <= stop <= {self.n_events} must hold."
            )
        return first, last

    def _events_within(self, memory_limit: float) -> int:
        """Events in a batch, with the last batch and the marks of the checks in memory too."""
        numbers = self.n_observables + self.n_benchmarks + int(self.has_sampling_benchmarks)
        needed = (2 * 8 + 1) * numbers
        if not needed <= memory_limit < math.inf:
            raise OptionError(
                f"memory_limit must be a number of bytes, at least the {needed} that reading an "
                f"event of {self.path} takes; got {memory_limit!r}. 1e8 is enough to be fast."
            )
        return int(memory_limit // needed)

    def _check_sampling_benchmarks(self, sampled: IntArray) -> None:
        n_physical = len(self.setup.physical_benchmarks)
        if sampled.size and sampled.max() >= n_physical:
            raise FileFormatError(
                f"{self.path} has events generated at benchmark {sampled.max()}, but only "
                f"{n_physical} physical benchmarks. Read the sample again."
            )

    def _check_observables(self, x: FloatArray, allow_nan: bool) -> None:
        if not allow_nan and not np.isfinite(x).all():
            raise DataError(
                f"Observables in {self.path} are not finite for some of {len(x)} events: "
                f"{describe_not_finite(x, list(self.setup.observables))}. Give these observables a "
                f"default, or make them required, when the events are read into the file."
            )

    def _check_weights(self, weights: FloatArray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            is_certain = np.isfinite(weights.sum())  # of one pass; finite terms may overflow
        if not is_certain and not np.isfinite(weights).all():
            raise DataError(
                f"Weights in {self.path} are not finite for some of {len(weights)} events: "
                f"{describe_not_finite(weights, list(self.setup.benchmarks))}. Remove these events "
                f"from the sample, or repeat the reweighting."
            )


def _check_layout(file: h5py.File, setup: AnalysisSetup) -> None:
    if WEIGHTS not in file or file[WEIGHTS].ndim != 2:
        raise MissingWeightsError(
            f"{file.filename} has a setup, but no event weights ({WEIGHTS!r}). Read a sample into "
            f"an event file first, with LHEReader or DelphesReader."
        )
    n_events, n_columns = file[WEIGHTS].shape
    if n_columns != len(setup.benchmarks):
        raise MissingWeightsError(
            f"{file.filename} has {n_columns} weights for each event, but {len(setup.benchmarks)} "
            f"benchmarks: {list(setup.benchmarks)}. Read the sample again with the setup it was "
            f"made with."
        )
    expected = (n_events, len(setup.observables))
    shape = file[OBSERVATIONS].shape if OBSERVATIONS in file else None
    if shape != expected:
        raise FileFormatError(
            f"{file.filename} must hold observables of the shape {expected}, one row for each "
            f"weight and one column for each of {list(setup.observables)}; got {shape}. Read the "
            f"sample again."
        )
    sampled = file[SAMPLING_BENCHMARKS].shape if SAMPLING_BENCHMARKS in file else (0,)
    if sampled not in {(n_events,), (0,)}:
        raise FileFormatError(
            f"{file.filename} must name the sampling benchmark of all {n_events} events or of "
            f"none, got the shape {sampled}. Read the sample again."
        )


def _has_sampling_benchmarks(file: h5py.File) -> bool:
    n_events = file[WEIGHTS].shape[0]
    return SAMPLING_BENCHMARKS in file and file[SAMPLING_BENCHMARKS].shape == (n_events,)


def _read_summary(file: h5py.File, n_physical: int) -> EventSummary | None:
    if SIGNAL_EVENTS not in file:
        return None
    signal_events = read_array(file, SIGNAL_EVENTS).astype(np.int64)
    if signal_events.shape != (n_physical,):
        raise FileFormatError(
            f"{file.filename} must count the events generated at each of {n_physical} physical "
            f"benchmarks, got the shape {signal_events.shape}. Read the sample again."
        )
    return EventSummary(signal_events, int(read_array(file, BACKGROUND_EVENTS)))
