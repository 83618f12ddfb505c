"""Writing event files, atomically and in pieces."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.errors import DataError, OptionError, OutputError, ShapeError
from madminer.io.atomic import atomic_path
from madminer.io.events import Events, EventSummary, require_finite
from madminer.io.hdf5 import (
    BACKGROUND_EVENTS,
    OBSERVATIONS,
    SAMPLING_BENCHMARKS,
    SIGNAL_EVENTS,
    WEIGHTS,
    create_hdf5,
)
from madminer.io.setup_file import write_setup
from madminer.models import AnalysisSetup
from madminer.typing import StrPath

CHUNK_BYTES = 2**18
"""Size of the chunks of a file whose number of events is not known when it is begun."""


def write_events(
    path: StrPath, setup: AnalysisSetup, events: Events, summary: EventSummary | None
) -> None:
    """Write events in the layout of MadMiner 0.9; an older file is replaced when all is written.

    Args:
        path: File to write.
        setup: Setup of the analysis, with the observables.
        events: The events.
        summary: Numbers of events generated at each benchmark; None where not known.

    Raises:
        ShapeError: If the columns are not those of the setup.
        DataError: If weights are not finite.
        OutputError: If nothing can be written there.
    """
    with EventWriter(path, setup, n_events=len(events)) as writer:
        writer.append(events)
        writer.set_summary(summary)


class EventWriter:
    """Writes an event file piece by piece, for use in a ``with`` statement.

    The file appears under its name when the statement ends; after an error it is as before.

    Args:
        path: File to write.
        setup: Setup of the analysis, with the observables.
        n_events: Number of events that will be written, where it is known: such files are
            faster to read and laid out exactly as by MadMiner 0.9.

    Attributes:
        path: The file.
        setup: Setup of the analysis.
        n_written: Number of events so far.

    Raises:
        OutputError: If nothing can be written there.
    """

    def __init__(self, path: StrPath, setup: AnalysisSetup, *, n_events: int | None = None) -> None:
        self.path: Final = checks.path(path)
        self.setup: Final = setup
        self.n_written = 0
        self._n_events = n_events
        self._summary: EventSummary | None = None
        self._has_sampling_benchmarks: bool | None = None
        self._stack = ExitStack()
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(create_hdf5(temporary))
            write_setup(self._file, self.setup)
            self._create(OBSERVATIONS, (len(self.setup.observables),), np.float64)
            self._create(WEIGHTS, (len(self.setup.benchmarks),), np.float64)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)
        self._file = None

    def append(self, events: Events) -> None:
        """Write the next events.

        Args:
            events: The events; either all pieces know their sampling benchmarks or none.

        Raises:
            ShapeError: If the columns are not those of the setup, or there are more events than
                announced.
            DataError: If weights are not finite, or only some pieces know where they were
                generated.
        """
        self._write(self.n_written, events)

    def write_at(self, start: int, events: Events) -> None:
        """Write events at their places in a file with an announced number of events.

        The order is free, and events may be written again. Whether a place was left out is not
        checked, only whether the last one is written.

        Args:
            start: Number of the first of them in the file.
            events: The events; either all pieces know their sampling benchmarks or none.

        Raises:
            OptionError: If the number of events was not announced, or `start` is negative.
            ShapeError: If the columns are not those of the setup, or the events lie beyond the
                end.
            DataError: If weights are not finite, or only some pieces know where they were
                generated.
        """
        if self._n_events is None or start < 0:
            raise OptionError(
                f"Events are written at places from 0 on, in a file with an announced number of "
                f"events (n_events); got start={start} and n_events={self._n_events}. Use append "
                f"otherwise."
            )
        self._write(start, events)

    def read_back(self, start: int, stop: int) -> Events:
        """Read events that were written.

        Args:
            start: First event.
            stop: Event behind the last one.

        Raises:
            OptionError: If they are not written.
        """
        if not 0 <= start <= stop <= self.n_written:
            raise OptionError(
                f"Events {start} to {stop} were asked for, of {self.n_written} that are written."
            )
        self._opened()
        sampled = self._datasets.get(SAMPLING_BENCHMARKS)
        return Events(
            self._datasets[OBSERVATIONS][start:stop],
            self._datasets[WEIGHTS][start:stop],
            None if sampled is None else sampled[start:stop],
        )

    def _write(self, start: int, events: Events) -> None:
        self._opened()
        stop = start + len(events)
        self._check(events, stop)
        if self._has_sampling_benchmarks is None:
            self._has_sampling_benchmarks = events.sampling_benchmarks is not None
            if self._has_sampling_benchmarks:
                self._create(SAMPLING_BENCHMARKS, (), np.int64)
        pieces: dict[str, NDArray[Any]] = {OBSERVATIONS: events.x, WEIGHTS: events.weights}
        if events.sampling_benchmarks is not None:
            pieces[SAMPLING_BENCHMARKS] = events.sampling_benchmarks
        for name, values in pieces.items():
            if self._n_events is None:
                self._datasets[name].resize(stop, axis=0)
            self._datasets[name][start:stop] = values
        self.n_written = max(self.n_written, stop)

    def set_summary(self, summary: EventSummary | None) -> None:
        """Say how many events were generated at each benchmark.

        Args:
            summary: The numbers; None where not known.
        """
        self._summary = summary

    def _create(self, name: str, row: tuple[int, ...], dtype: type) -> None:
        file = self._opened()
        if self._n_events is not None:
            shape = (self._n_events, *row)
            self._datasets[name] = file.create_dataset(name, shape=shape, dtype=dtype)
            return
        rows = max(CHUNK_BYTES // (8 * max(sum(row), 1)), 1)
        chunks = (rows, *(max(n, 1) for n in row))
        self._datasets[name] = file.create_dataset(
            name,
            shape=(0, *row),
            maxshape=(None, *(n or None for n in row)),
            dtype=dtype,
            chunks=chunks,
        )

    def _check(self, events: Events, stop: int) -> None:
        expected = (len(self.setup.observables), len(self.setup.benchmarks))
        columns = (events.x.shape[1], events.weights.shape[1])
        if columns != expected:
            raise ShapeError(
                f"Events need the observables {list(self.setup.observables)} and weights at "
                f"{list(self.setup.benchmarks)}, so {expected} columns; got {columns}."
            )
        if self._n_events is not None and stop > self._n_events:
            raise ShapeError(f"{self._n_events} events were announced, got at least {stop}.")
        known = events.sampling_benchmarks is not None
        if self._has_sampling_benchmarks not in {None, known}:
            raise DataError("Either all pieces of an event file have sampling benchmarks or none.")
        require_finite(events.weights, self.setup.benchmarks, "Event weights")

    def _finish(self) -> None:
        file = self._opened()
        if self._n_events not in {None, self.n_written}:
            raise ShapeError(f"{self._n_events} events were announced, got {self.n_written}.")
        if SAMPLING_BENCHMARKS not in file:
            file[SAMPLING_BENCHMARKS] = np.empty(0, dtype=np.int64)
        if self._summary is not None:
            file[SIGNAL_EVENTS] = np.asarray(self._summary.signal_events, dtype=np.int64)
            file[BACKGROUND_EVENTS] = int(self._summary.background_events)

    def _opened(self) -> h5py.File:
        if self._file is None:
            raise OutputError("An EventWriter writes only inside its with statement.")
        return self._file
