"""Joining event files and shuffling their events."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from madminer import checks
from madminer.errors import NoEventsError, OptionError
from madminer.io import EventFile, Events, EventSummary, EventWriter
from madminer.io.atomic import require_space
from madminer.io.event_set import check_agreement
from madminer.io.shuffle import KEY_BYTES, SORTING_BYTES, write_shuffled
from madminer.typing import Seed, StrPath

logger = logging.getLogger(__name__)

SMALLEST_MEMORY = 1e6

BUCKET_SHARE = 0.7
"""Part of the memory for events that are put in order; the rest is for copies of some of them."""

PIECE_SHARE = 1 / 8
"""Part of the memory for the events that are read or written at once, of which copies are made."""

MOST_AT_ONCE = 2**25
"""Bytes of the events that are read or written at once, if the memory is large."""

WRITTEN_BYTES = 2**16
"""Bytes that are written for each bucket from each piece; far fewer take far longer."""

MOST_OPEN = 200
"""Files that stay open; of more, each is opened again, if it is the same, for each piece."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of the events of a file, with their weights multiplied by a factor."""

    file: EventFile
    start: int
    stop: int
    factor: float
    closes: bool

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> Events:
        events = self.file.read(self.start, self.stop, allow_nan=True)
        if self.closes:
            self.file.close()
        return replace(events, weights=self.factor * events.weights)


def combine_and_shuffle(
    input_filenames: Sequence[StrPath],
    output_filename: StrPath,
    k_factors: Sequence[float] | float | None = None,
    recalculate_header: bool = True,
    *,
    seed: Seed = None,
    memory_limit: float = 5e8,
) -> None:
    """Join event files with the same setup into one, with their events in random order.

    Partitions into training and test events are cut by position, so files must be shuffled before
    events are sampled. All orders are equally probable. Files may be larger than the memory, see
    `madminer.io.shuffle`. The result depends on the seed and the order of the files, not on
    `memory_limit`.

    Args:
        input_filenames: Event files to join; one file is just shuffled.
        output_filename: File to write; it may be one of the inputs.
        k_factors: Factors on the weights, one for all files or one for each; None: 1.
        recalculate_header: Whether the numbers of events generated at each benchmark are counted
            anew; else those of the files are added. Files that do not know where their events
            were generated are added.
        seed: Source of randomness.
        memory_limit: Memory for events in bytes, beside that of the program itself. At least
            6 MB for a file of 50 MB, 90 MB for 10 GB, 270 MB for 100 GB are taken, the square root
            of 0.75 MB times the size: with less, it would take hours.

    Raises:
        OptionError: If there are no files, the factors are not positive and one for each, or the
            memory is too small.
        SetupError: If setups differ; the message names the differences.
        DataError: If only some files know where their events were generated.
        NoEventsError: If there are no events at all.
        MissingFileError: If there is no such file.
        FileFormatError: If a file is truncated or of another kind.
        OutputError: If the result cannot be written, for example for lack of space.
    """
    _check_memory(memory_limit)
    files = _open(input_filenames)
    factors = _factors(k_factors, len(files))
    for file in files[1:]:
        check_agreement(files[0], file)
    n_events = sum(len(file) for file in files)
    if n_events == 0:
        raise NoEventsError(f"There are no events in {[str(file.path) for file in files]}.")
    event_bytes = _event_bytes(files[0])
    require_space(output_filename, n_events * (event_bytes + KEY_BYTES))
    memory = max(memory_limit, _least_memory(n_events * event_bytes))
    at_once = int(min(PIECE_SHARE * memory, MOST_AT_ONCE) // event_bytes) + 1
    pieces = _cut(files, factors, at_once)
    with EventWriter(output_filename, files[0].setup, n_events=n_events) as writer:
        max_events = int(BUCKET_SHARE * memory / (event_bytes + SORTING_BYTES))
        write_shuffled(writer, pieces, seed=seed, max_events=max_events)
        summary = _summary(files, pieces, recalculate_header)
        writer.set_summary(summary)
    if summary is None:
        logger.info(
            "It is not known where events were generated: the header has no numbers of generated "
            "events."
        )
    logger.info("Combined %d events of %d files in %s", n_events, len(files), output_filename)


def _check_memory(memory_limit: float) -> None:
    if not SMALLEST_MEMORY <= memory_limit < math.inf:
        raise OptionError(
            f"memory_limit must be a number of bytes, at least {SMALLEST_MEMORY:g}; got "
            f"{memory_limit!r}. The default of 5e8 suits most machines and files."
        )


def _least_memory(n_bytes: int) -> float:
    """Memory with which pieces and buckets are so large that few bytes are never written alone."""
    return math.sqrt(WRITTEN_BYTES * n_bytes / (PIECE_SHARE * BUCKET_SHARE))


def _event_bytes(file: EventFile) -> int:
    return 8 * (file.n_observables + file.n_benchmarks + int(file.has_sampling_benchmarks))


def _cut(files: list[EventFile], factors: list[float], size: int) -> list[_Piece]:
    return [
        _Piece(file, start, min(start + size, len(file)), factor, closes=len(files) > MOST_OPEN)
        for file, factor in zip(files, factors, strict=True)
        for start in range(0, len(file), size)
    ]


def _open(filenames: Sequence[StrPath]) -> list[EventFile]:
    is_one = isinstance(filenames, str | os.PathLike)
    given = [] if is_one else checks.sequence(filenames, "input_filenames", checks.path)
    if not given:
        raise OptionError(f"A list of at least one event file is needed, got {filenames!r}.")
    paths = [os.path.realpath(filename) for filename in given]
    if repeated := sorted({path for path in paths if paths.count(path) > 1}):
        raise OptionError(
            f"The same events must not be counted twice, but {repeated} are given more than once. "
            f"Remove them, or use k_factors."
        )
    files = []
    for filename in filenames:
        files.append(EventFile(filename))
        if len(filenames) > MOST_OPEN:
            files[-1].close()
    return files


def _factors(k_factors: Sequence[float] | float | None, n_files: int) -> list[float]:
    given = np.asarray(1.0 if k_factors is None else k_factors)
    is_number = given.dtype.kind in "iuf"
    if (
        not is_number
        or given.shape not in {(), (n_files,)}
        or not np.all((given > 0) & (given < math.inf))
    ):
        raise OptionError(
            f"k_factors must be one positive number, or one for each of {n_files} files; got "
            f"{k_factors!r}."
        )
    return [float(factor) for factor in np.broadcast_to(given, n_files)]


def _summary(files: list[EventFile], pieces: list[_Piece], anew: bool) -> EventSummary | None:
    """Numbers of generated events, counted anew or added; None where not known."""
    if anew and files[0].has_sampling_benchmarks:
        n_physical = len(files[0].setup.physical_benchmarks)
        return reduce(add, [_count(piece, n_physical) for piece in pieces])
    given = [file.summary for file in files if file.summary is not None]
    return reduce(add, given) if len(given) == len(files) else None


def _count(piece: _Piece, n_physical: int) -> EventSummary:
    sampled = piece.file.read_sampling_benchmarks(piece.start, piece.stop)
    if piece.closes:
        piece.file.close()
    return EventSummary.count(np.empty(0, np.int64) if sampled is None else sampled, n_physical)
