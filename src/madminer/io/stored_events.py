"""Events on disk, read by their numbers: one event file, or several as one."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import numpy as np

from madminer.blocks import row_blocks
from madminer.errors import OptionError
from madminer.io.events import Events, EventSummary
from madminer.models import AnalysisSetup
from madminer.models.tables import setup_html
from madminer.typing import FloatArray, IntArray

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

        The memory is that of the result, see `madminer.io.event_reader`.

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
        counts = np.zeros(n_physical + 1, dtype=np.int64)
        if self.has_sampling_benchmarks:
            for rows in row_blocks(self.n_events, _COUNTED):
                sampled = np.maximum(self._sampled(rows), -1)
                counts += np.bincount(sampled + 1, minlength=n_physical + 1)
        return EventSummary(counts[1:], int(counts[0]))

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
