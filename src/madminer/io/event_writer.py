"""Writing event files, atomically and in pieces."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import DataError, OutputError, ShapeError
from madminer.io.atomic import atomic_path
from madminer.io.events import Events, EventSummary, describe_not_finite
from madminer.io.schema import (
    BACKGROUND_EVENTS,
    OBSERVATIONS,
    SAMPLING_BENCHMARKS,
    SIGNAL_EVENTS,
    WEIGHTS,
)
from madminer.io.setup_file import write_setup
from madminer.models import AnalysisSetup
from madminer.typing import StrPath

__all__ = ["EventWriter", "write_events"]

CHUNK_BYTES = 2**18


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
        n_events: Number of events that will be appended, where it is known: such files are
            faster to read and laid out exactly as by MadMiner 0.9.

    Raises:
        OutputError: If nothing can be written there.
    """

    def __init__(self, path: StrPath, setup: AnalysisSetup, *, n_events: int | None = None) -> None:
        self.setup = setup
        self.n_written = 0
        self._path = path
        self._n_events = n_events
        self._summary: EventSummary | None = None
        self._has_sampling_benchmarks: bool | None = None
        self._stack = ExitStack()
        self._file: h5py.File | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            self._file = stack.enter_context(h5py.File(temporary, "w"))
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
        file = self._opened()
        self._check(events)
        if self._has_sampling_benchmarks is None:
            self._has_sampling_benchmarks = events.sampling_benchmarks is not None
            if self._has_sampling_benchmarks:
                self._create(SAMPLING_BENCHMARKS, (), np.int64)
        stop = self.n_written + len(events)
        pieces: dict[str, NDArray[Any]] = {OBSERVATIONS: events.x, WEIGHTS: events.weights}
        if events.sampling_benchmarks is not None:
            pieces[SAMPLING_BENCHMARKS] = events.sampling_benchmarks
        for name, values in pieces.items():
            if self._n_events is None:
                file[name].resize(stop, axis=0)
            file[name][self.n_written : stop] = values
        self.n_written = stop

    def set_summary(self, summary: EventSummary | None) -> None:
        """Say how many events were generated at each benchmark.

        Args:
            summary: The numbers; None where not known.
        """
        self._summary = summary

    def _create(self, name: str, row: tuple[int, ...], dtype: type) -> None:
        file = self._opened()
        if self._n_events is not None:
            file.create_dataset(name, shape=(self._n_events, *row), dtype=dtype)
            return
        rows = max(CHUNK_BYTES // (8 * max(sum(row), 1)), 1)
        chunks = (rows, *(max(n, 1) for n in row))
        file.create_dataset(
            name,
            shape=(0, *row),
            maxshape=(None, *(n or None for n in row)),
            dtype=dtype,
            chunks=chunks,
        )

    def _check(self, events: Events) -> None:
        expected = (len(self.setup.observables), len(self.setup.benchmarks))
        columns = (events.x.shape[1], events.weights.shape[1])
        if columns != expected:
            raise ShapeError(
                f"Events need the observables {list(self.setup.observables)} and weights at "
                f"{list(self.setup.benchmarks)}, so {expected} columns; got {columns}."
            )
        if self._n_events is not None and self.n_written + len(events) > self._n_events:
            raise ShapeError(
                f"{self._n_events} events were announced, got at least "
                f"{self.n_written + len(events)}."
            )
        known = events.sampling_benchmarks is not None
        if self._has_sampling_benchmarks not in {None, known}:
            raise DataError("Either all pieces of an event file have sampling benchmarks or none.")
        if not np.isfinite(events.weights).all():
            raise DataError(
                f"Event weights must be finite; among {len(events)} events these are not: "
                f"{describe_not_finite(events.weights, self.setup.benchmarks)}. Remove these "
                f"events or repeat their reweighting."
            )

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
