"""Event files, read in pieces: consecutive events, or any by their numbers."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.blocks import row_blocks
from madminer.errors import (
    DataError,
    FileChangedError,
    FileFormatError,
    MissingWeightsError,
    OptionError,
)
from madminer.io.events import Events, EventSummary, all_finite, describe_not_finite, require_finite
from madminer.io.hdf5 import (
    BACKGROUND_EVENTS,
    OBSERVATIONS,
    OLD_SIGNAL_EVENTS,
    SAMPLING_BENCHMARKS,
    SIGNAL_EVENTS,
    WEIGHTS,
    HDF5Reader,
    gather_rows,
    read_rows,
)
from madminer.io.setup_file import read_setup_group
from madminer.models import AnalysisSetup
from madminer.models.tables import setup_html
from madminer.typing import FloatArray, IntArray, StrPath

Rows = slice | IntArray
"""Numbers of events: consecutive ones, ``slice(start, stop)``, or any."""

_COUNTED = 1 << 20  # events at once


class StoredEvents(ABC):
    """Observables and weights of events at every benchmark, read when they are asked for.

    Args:
        name: What messages call them.
        setup: Setup of the analysis.
        n_events: Number of events.
        has_sampling_benchmarks: Whether it is known where each event was generated.

    Attributes:
        name: What messages call them.
        setup: Setup of the analysis; its benchmarks are the columns of the weights, its
            observables those of x.
        n_events: Number of events.
        n_observables: Number of observables.
        n_benchmarks: Number of weights of each event, with those of nuisance variations.
        has_sampling_benchmarks: Whether it is known where each event was generated.
    """

    def __init__(
        self, name: str, setup: AnalysisSetup, n_events: int, has_sampling_benchmarks: bool
    ) -> None:
        self.name: Final = name
        self.setup: Final = setup
        self.n_events: Final = n_events
        self.n_observables: Final = len(setup.observables)
        self.n_benchmarks: Final = len(setup.benchmarks)
        self.has_sampling_benchmarks: Final = has_sampling_benchmarks

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}: {self.n_events} events, "
            f"{self.n_observables} observables, {self.n_benchmarks} benchmarks)"
        )

    def _repr_html_(self) -> str:
        return setup_html(self.setup, repr(self))

    def __len__(self) -> int:
        return self.n_events

    @abstractmethod
    def generated(self) -> EventSummary:
        """Numbers of events generated at each benchmark: as stated, else counted."""

    @abstractmethod
    def _observables(self, rows: Rows, allow_nan: bool) -> FloatArray:
        """Observables of events that are there, shape ``(n, n_observables)``."""

    @abstractmethod
    def _weights(self, rows: Rows) -> FloatArray:
        """Weights of events that are there, in pb, shape ``(n, n_benchmarks)``."""

    @abstractmethod
    def _sampled(self, rows: Rows) -> IntArray:
        """Sampling benchmarks of events that are there, if they are known, shape ``(n,)``."""

    def read(self, start: int = 0, stop: int | None = None, *, allow_nan: bool = False) -> Events:
        """Read consecutive events.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            The events.

        Raises:
            OptionError: If the range is not there.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        return self._read(self._range(start, stop), allow_nan)

    def read_weights(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Read only the weights of consecutive events.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end.

        Returns:
            Weights in pb, shape ``(stop - start, n_benchmarks)``.

        Raises:
            OptionError: If the range is not there.
            DataError: If weights are not finite.
        """
        return self._weights(self._range(start, stop))

    def read_sampling_benchmarks(self, start: int = 0, stop: int | None = None) -> IntArray | None:
        """Read only where consecutive events were generated.

        Args:
            start: First event.
            stop: Event behind the last one; None: the end.

        Returns:
            Index of the physical benchmark, negative for background, shape ``(stop - start,)``;
            None if it is not known.

        Raises:
            OptionError: If the range is not there.
        """
        return self._origins(self._range(start, stop))

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
            stop: Event behind the last one; None: the end.
            batch_size: Events in a batch; None: all in one.
            allow_nan: Whether observables may be undefined (not-a-number).
            memory_limit: Memory in bytes that reading may take; batches are then as large as it
                allows, whatever `batch_size`.

        Returns:
            Batches of events; none if the range is empty.

        Raises:
            OptionError: If the range is not there, `batch_size` is below one, or `memory_limit` is
                too small for an event.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        rows = self._range(start, stop)
        if memory_limit is not None:
            batch_size = self._events_within(memory_limit)
        if batch_size is not None and batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, or None; got {batch_size}.")
        step = batch_size or max(rows.stop - rows.start, 1)
        return (
            self.read(first, min(first + step, rows.stop), allow_nan=allow_nan)
            for first in range(rows.start, rows.stop, step)
        )

    def rows(self, indices: IntArray, *, allow_nan: bool = False) -> FloatArray:
        """Read the observables of chosen events.

        The memory is that of the result, see `madminer.io.hdf5.gather_rows`.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            Observables, shape ``(m, n_observables)``.

        Raises:
            OptionError: If an event is not there.
            DataError: If observables are not finite, without `allow_nan`.
        """
        return self._observables(self._wanted(indices), allow_nan)

    def weights(self, indices: IntArray) -> FloatArray:
        """Read the weights of chosen events, as `rows` does their observables.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.

        Returns:
            Weights in pb, shape ``(m, n_benchmarks)``.

        Raises:
            OptionError: If an event is not there.
            DataError: If weights are not finite.
        """
        return self._weights(self._wanted(indices))

    def take(self, indices: IntArray, *, allow_nan: bool = False) -> Events:
        """Read chosen events with their weights, as `rows` does their observables.

        Args:
            indices: Numbers of the events in any order, repeated ones allowed, shape ``(m,)``.
            allow_nan: Whether observables may be undefined (not-a-number).

        Returns:
            The events in the order of `indices`.

        Raises:
            OptionError: If an event is not there.
            DataError: If weights, or observables without `allow_nan`, are not finite.
        """
        return self._read(self._wanted(indices), allow_nan)

    def _read(self, rows: Rows, allow_nan: bool) -> Events:
        return Events(self._observables(rows, allow_nan), self._weights(rows), self._origins(rows))

    def _origins(self, rows: Rows) -> IntArray | None:
        return self._sampled(rows) if self.has_sampling_benchmarks else None

    def _counted(self) -> EventSummary:
        """Events by sampling benchmark, none where these are not known."""
        n_physical = len(self.setup.physical_benchmarks)
        counted = EventSummary(np.zeros(n_physical, dtype=np.int64), 0)
        if self.has_sampling_benchmarks:
            for rows in row_blocks(self.n_events, _COUNTED):
                counted += EventSummary.count(self._sampled(rows), n_physical)
        return counted

    def _wanted(self, indices: IntArray) -> IntArray:
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.n_events):
            raise OptionError(
                f"{self.name} has the events 0 to {self.n_events - 1}, but events "
                f"{wanted.min()} to {wanted.max()} were asked for."
            )
        return wanted

    def _range(self, start: int, stop: int | None) -> slice:
        first = operator.index(start)
        last = self.n_events if stop is None else operator.index(stop)
        if not 0 <= first <= last <= self.n_events:
            raise OptionError(
                f"Events {start} to {stop} were asked for; {self.name} has {self.n_events}, so "
                f"0 <= start <= stop <= {self.n_events} must hold."
            )
        return slice(first, last)

    def _events_within(self, memory_limit: float) -> int:
        """Events in a batch, with the last batch and the marks of the checks in memory too."""
        numbers = self.n_observables + self.n_benchmarks + int(self.has_sampling_benchmarks)
        needed = (2 * 8 + 1) * numbers
        if not needed <= memory_limit < math.inf:
            raise OptionError(
                f"memory_limit must be a number of bytes, at least the {needed} that reading an "
                f"event of {self.name} takes; got {memory_limit!r}. 1e8 is enough to be fast."
            )
        return int(memory_limit // needed)


class EventFile(StoredEvents):
    """Events on disk: observables and weights at every benchmark.

    The file is opened and its layout checked once; the events are read when they are asked for.
    It stays open until nothing refers to it any more, and holds what it held when it was opened:
    if another file takes its place, the old one is still read; if it is written to, reading is
    refused. Copies in other processes open it again, if it is still the same.

    Args:
        path: Event file of this version or of MadMiner 0.2 to 0.9.

    Attributes:
        path: The file.
        version: Version of the layout; 0 for files of MadMiner 0.9 and before.
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
        FileChangedError: If it is written to while it is read, now or later.
    """

    def __init__(self, path: StrPath) -> None:
        self.path: Final = checks.path(path)
        self._file: HDF5Reader | None = HDF5Reader(self.path)
        self._identity: Final = self._file.source.identity
        self.version: Final = self._file.version
        with self._file.reading():
            setup = read_setup_group(self._file)
            n_events, is_known = _check_layout(self._file, setup)
            self.summary: Final = _read_summary(self._file, setup)
        super().__init__(str(self.path), setup, n_events, is_known)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None}

    def close(self) -> None:
        """Close the file for now: it is opened again, if it is still the same, to be read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def _opened(self) -> Iterator[HDF5Reader]:
        if self._file is None:
            file = HDF5Reader(self.path)
            if file.source.identity != self._identity:
                raise FileChangedError(
                    f"{self.path} has changed, or was replaced, since it was read first. Make the "
                    f"object that reads it again."
                )
            self._file = file
        with self._file.reading():
            yield self._file

    def generated(self) -> EventSummary:
        """Numbers of events generated at each benchmark: as the file states them, else counted."""
        stated = self.summary
        if stated is not None and (
            np.any(stated.signal_events > 0) or not self.has_sampling_benchmarks
        ):
            return stated
        return self._counted()

    def iterate_unchecked(self, batch_size: int) -> Iterator[Events]:
        """Read all events in batches, whatever their numbers are; see `iterate`.

        Sampling benchmarks need not exist.
        """
        for start in range(0, self.n_events, batch_size):
            rows = slice(start, min(start + batch_size, self.n_events))
            yield Events(
                self._values(OBSERVATIONS, rows),
                self._values(WEIGHTS, rows),
                self._values(SAMPLING_BENCHMARKS, rows) if self.has_sampling_benchmarks else None,
            )

    def _values(self, name: str, rows: Rows) -> NDArray[Any]:
        with self._opened() as file:
            dataset = file[name]
            if isinstance(rows, slice):
                values = read_rows(dataset, rows.start, rows.stop, file.source)
            else:
                values = gather_rows(dataset, rows, file.source)
        return values.astype(np.int64 if name == SAMPLING_BENCHMARKS else np.float64, copy=False)

    def _observables(self, rows: Rows, allow_nan: bool) -> FloatArray:
        x = self._values(OBSERVATIONS, rows)
        if not allow_nan and not all_finite(x):
            raise DataError(
                f"Observables in {self.path} are not finite for some of {len(x)} events: "
                f"{describe_not_finite(x, list(self.setup.observables))}. Give these observables a "
                f"default, or make them required, when the events are read into the file."
            )
        return x

    def _weights(self, rows: Rows) -> FloatArray:
        weights = self._values(WEIGHTS, rows)
        return require_finite(weights, self.setup.benchmarks, f"Weights in {self.path}")

    def _sampled(self, rows: Rows) -> IntArray:
        sampled: IntArray = self._values(SAMPLING_BENCHMARKS, rows)
        n_physical = len(self.setup.physical_benchmarks)
        if sampled.size and sampled.max() >= n_physical:
            raise FileFormatError(
                f"{self.path} has events generated at benchmark {sampled.max()}, but only "
                f"{n_physical} physical benchmarks. Read the sample again."
            )
        return sampled


def _check_layout(file: HDF5Reader, setup: AnalysisSetup) -> tuple[int, bool]:
    """Number of events, and whether their sampling benchmarks are known, if all has its shape."""
    if WEIGHTS not in file or len(file[WEIGHTS].shape or ()) != 2:
        raise MissingWeightsError(
            f"{file.path} has a setup, but no event weights ({WEIGHTS!r}). Read a sample into "
            f"an event file first, with LHEReader or DelphesReader."
        )
    n_events, n_columns = file[WEIGHTS].shape
    if n_columns != len(setup.benchmarks):
        raise MissingWeightsError(
            f"{file.path} has {n_columns} weights for each event, but {len(setup.benchmarks)} "
            f"benchmarks: {list(setup.benchmarks)}. Read the sample again with the setup it was "
            f"made with."
        )
    expected = (n_events, len(setup.observables))
    shape = file[OBSERVATIONS].shape if OBSERVATIONS in file else None
    if shape != expected:
        raise FileFormatError(
            f"{file.path} must hold observables of the shape {expected}, one row for each "
            f"weight and one column for each of {list(setup.observables)}; got {shape}. Read the "
            f"sample again."
        )
    sampled = file[SAMPLING_BENCHMARKS].shape if SAMPLING_BENCHMARKS in file else (0,)
    if sampled not in {(n_events,), (0,)}:
        raise FileFormatError(
            f"{file.path} must name the sampling benchmark of all {n_events} events or of "
            f"none, got the shape {sampled}. Read the sample again."
        )
    kinds = {OBSERVATIONS: "fiu", WEIGHTS: "fiu"}
    is_known = SAMPLING_BENCHMARKS in file and sampled == (n_events,)
    if is_known:
        kinds[SAMPLING_BENCHMARKS] = "iu"
    for name, kind in kinds.items():
        if file[name].dtype.kind not in kind:
            raise FileFormatError(
                f"{file.path} must hold {'whole ' if kind == 'iu' else ''}numbers as {name!r}, got "
                f"the type {file[name].dtype}. Read the sample again."
            )
    return int(n_events), is_known


def _read_summary(file: HDF5Reader, setup: AnalysisSetup) -> EventSummary | None:
    """Numbers of generated events; None where there are none, or an empty list."""
    name = SIGNAL_EVENTS if SIGNAL_EVENTS in file else OLD_SIGNAL_EVENTS
    if name not in file or file[name].shape == (0,):
        return None
    background = file.numbers(BACKGROUND_EVENTS, [], np.zeros(()))
    return EventSummary.checked(file.numbers(name, [None]), float(background), setup)
