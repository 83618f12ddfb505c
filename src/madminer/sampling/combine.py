"""Joining event files and shuffling their events."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence

import numpy as np

from madminer.errors import DataError, NoEventsError, OptionError, SetupError
from madminer.io import EventFile, Events, EventSummary, EventWriter
from madminer.models.differences import setup_differences
from madminer.progress import track
from madminer.typing import IntArray, Seed, StrPath

__all__ = ["combine_and_shuffle"]

logger = logging.getLogger(__name__)

EVENTS_IN_MEMORY = 1_000_000


def combine_and_shuffle(
    input_filenames: Sequence[StrPath],
    output_filename: StrPath,
    k_factors: Sequence[float] | float | None = None,
    recalculate_header: bool = True,
    *,
    seed: Seed = None,
) -> None:
    """Join event files with the same setup into one, with their events in random order.

    Partitions into training and test events are cut by position, so files must be shuffled before
    events are sampled. At most a million events are in memory at a time.

    Args:
        input_filenames: Event files to join; one file is just shuffled.
        output_filename: File to write; it may be one of the inputs.
        k_factors: Factors on the weights, one for all files or one for each; None: 1.
        recalculate_header: Whether the numbers of events generated at each benchmark are counted
            anew; else those of the files are added. Files that do not know where their events
            were generated are added.
        seed: Source of randomness.

    Raises:
        OptionError: If there are no files, or the factors are not positive and one for each.
        SetupError: If setups differ; the message names the differences.
        DataError: If only some files know where their events were generated.
        NoEventsError: If there are no events at all.
        MissingFileError: If there is no such file.
        FileFormatError: If a file is truncated or of another kind.
        OutputError: If the result cannot be written.
    """
    files = _open(input_filenames)
    factors = _factors(k_factors, len(files))
    _check_agreement(files)
    n_events = sum(len(file) for file in files)
    if n_events == 0:
        raise NoEventsError(f"There are no events in {[str(file.path) for file in files]}.")
    order = np.random.default_rng(seed).permutation(n_events)
    starts = range(0, n_events, EVENTS_IN_MEMORY)
    counts: list[EventSummary] = []
    with EventWriter(output_filename, files[0].setup, n_events=n_events) as writer:
        for start in track(starts, "Shuffling"):
            events = _gather(files, factors, order[start : start + EVENTS_IN_MEMORY])
            writer.append(events)
            counts += _count(events, len(files[0].setup.physical_benchmarks))
        given = [file.summary for file in files if file.summary is not None]
        if recalculate_header and counts:
            writer.set_summary(_add(counts))
        elif len(given) == len(files):
            writer.set_summary(_add(given))
    logger.info("Combined %d events of %d files in %s", n_events, len(files), output_filename)


def _open(filenames: Sequence[StrPath]) -> list[EventFile]:
    if isinstance(filenames, str | os.PathLike) or len(filenames) == 0:
        raise OptionError(f"A list of at least one event file is needed, got {filenames!r}.")
    return [EventFile(filename) for filename in filenames]


def _factors(k_factors: Sequence[float] | float | None, n_files: int) -> list[float]:
    given = np.asarray(1.0 if k_factors is None else k_factors, dtype=np.float64)
    if given.shape not in {(), (n_files,)} or not np.all((given > 0) & (given < math.inf)):
        raise OptionError(
            f"k_factors must be one positive number, or one for each of {n_files} files; got "
            f"{k_factors!r}."
        )
    return [float(factor) for factor in np.broadcast_to(given, n_files)]


def _check_agreement(files: list[EventFile]) -> None:
    first = files[0]
    for file in files[1:]:
        differences = setup_differences(first.setup, file.setup)
        if differences:
            raise SetupError(
                f"{first.path} and {file.path} have different setups, so their events cannot be "
                f"joined. They differ in {'; '.join(differences)}. Read both samples with the same "
                f"setup, observables and systematics."
            )
        if file.has_sampling_benchmarks != first.has_sampling_benchmarks:
            raise DataError(
                f"Of {first.path} and {file.path} only one knows at which benchmarks its events "
                f"were generated. Read both samples in the same way."
            )


def _gather(files: list[EventFile], factors: list[float], indices: IntArray) -> Events:
    """Read events by their number in the sequence of all files."""
    setup = files[0].setup
    x = np.empty((len(indices), len(setup.observables)))
    weights = np.empty((len(indices), len(setup.benchmarks)))
    sampled = np.empty(len(indices), dtype=np.int64) if files[0].has_sampling_benchmarks else None
    offset = 0
    for file, factor in zip(files, factors, strict=True):
        mine = np.flatnonzero((indices >= offset) & (indices < offset + len(file)))
        events = file.take(indices[mine] - offset, allow_nan=True)
        x[mine] = events.x
        weights[mine] = factor * events.weights
        if sampled is not None and events.sampling_benchmarks is not None:
            sampled[mine] = events.sampling_benchmarks
        offset += len(file)
    return Events(x, weights, sampled)


def _count(events: Events, n_physical: int) -> list[EventSummary]:
    if events.sampling_benchmarks is None:
        return []
    return [EventSummary.count(events.sampling_benchmarks, n_physical)]


def _add(summaries: list[EventSummary]) -> EventSummary:
    signal = np.sum([summary.signal_events for summary in summaries], axis=0)
    return EventSummary(signal, sum(summary.background_events for summary in summaries))
