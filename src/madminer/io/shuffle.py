"""Shuffling more events than fit in memory.

Each event gets a random number, its key, and the events are sorted by their keys. Those whose keys
begin with the same bits form a bucket: a first pass over the events sends each to its bucket, a
second one sorts the buckets one by one in memory. The result is a uniformly random permutation,
and the same one for any size of the memory.

The buckets lie behind each other where their events belong in the output, so that they take no
further space on disk. Only the keys, 8 bytes an event, lie in a file without a name, which vanishes
with the process.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from madminer.checks import random_generator
from madminer.errors import OptionError
from madminer.io.event_writer import EventWriter
from madminer.io.events import Events
from madminer.progress import track
from madminer.typing import IntArray, Seed

Keys = NDArray[np.uint64]

KEY_BITS = 64
KEY_BYTES = 8

SORTING_BYTES = 32
"""Memory for each event of a bucket beside the event: key, order, and what sorting takes."""

MAX_BITS = 12
"""Bits that number the buckets: with more buckets, the pieces written at once get too small."""


class EventPiece(Protocol):
    """Some of the events to shuffle, few enough to have several copies in memory."""

    def __len__(self) -> int:
        """Number of events."""

    def read(self) -> Events:
        """The events."""


class RandomKeys:
    """Random keys of events, the same ones whenever they are drawn."""

    def __init__(self, seed: Seed) -> None:
        self._entropy = random_generator(seed).integers(2**63, size=4).tolist()

    def draw(self, sizes: Iterable[int]) -> Iterator[Keys]:
        """Draw keys in pieces; they do not depend on the sizes of the pieces."""
        rng = np.random.default_rng(self._entropy)
        largest = np.iinfo(np.uint64).max
        return (rng.integers(largest, size=n, dtype=np.uint64, endpoint=True) for n in sizes)

    def tie_breaker(self) -> np.random.Generator:
        """Source of randomness for keys that are equal by accident, see `key_order`."""
        return np.random.default_rng([*self._entropy, 1])


def key_order(keys: Keys, rng: np.random.Generator) -> IntArray:
    """Positions of keys from the smallest to the largest, with equal ones in random order.

    Examples:
        >>> key_order(np.array([7, 2, 5], dtype=np.uint64), np.random.default_rng(0))
        array([1, 2, 0])
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    tied = np.flatnonzero(ordered[1:] == ordered[:-1])
    if tied.size:
        for group in np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1):
            members = slice(group[0], group[-1] + 2)
            order[members] = rng.permutation(order[members])
    return order


def write_shuffled(
    writer: EventWriter,
    sources: Sequence[EventPiece],
    *,
    seed: Seed,
    max_events: int,
) -> None:
    """Write events in random order.

    Args:
        writer: Open writer that expects the number of all events, and no others.
        sources: The events, which are read once and one after the other.
        seed: Source of randomness; with the order of the events, it determines the result.
        max_events: Events that may be in memory at a time, beside those of a source.

    Raises:
        OptionError: If there are no sources, or the events are too many for so little memory.
        ShapeError: If columns or numbers of events are not those that the writer expects.
        OutputError: If they cannot be written.
    """
    if not sources:
        raise OptionError("At least one source of events is needed to shuffle them, got none.")
    keys = RandomKeys(seed)
    n_events = sum(map(len, sources))
    at_once = max(map(len, sources))
    if n_events <= max_events:
        drawn = np.concatenate(list(keys.draw([n_events])))
        order = key_order(drawn, keys.tie_breaker())
        _write_ordered(writer, 0, _read_all(sources), order, at_once)
        return
    edges = _bucket_edges(keys, sources, max_events)
    with tempfile.TemporaryFile(dir=Path(os.path.realpath(writer.path)).parent) as stored:
        _distribute(writer, sources, keys, edges, stored)
        rng = keys.tie_breaker()
        for first, last in track(list(itertools.pairwise(edges)), "Shuffling"):
            stored.seek(KEY_BYTES * first)
            bucket = np.frombuffer(stored.read(KEY_BYTES * (last - first)), dtype=np.uint64)
            order = key_order(bucket, rng)
            _write_ordered(writer, first, writer.read_back(first, last), order, at_once)


def _bucket_edges(keys: RandomKeys, sources: Sequence[EventPiece], max_events: int) -> list[int]:
    """First event of each bucket in the output, and the number of events."""
    n_events = sum(map(len, sources))
    for n_bits in range(1, MAX_BITS + 1):
        if n_events <= max_events << n_bits:
            counts = np.zeros(1 << n_bits, dtype=np.int64)
            for drawn in keys.draw(map(len, sources)):
                counts += np.bincount(_buckets(drawn, n_bits), minlength=len(counts))
            if counts.max() <= max_events:
                return [0, *np.cumsum(counts).tolist()]
    raise OptionError(
        f"{n_events} events cannot be shuffled with {max_events} in memory at a time. Allow at "
        f"least {-(-n_events // (max_events << (MAX_BITS - 1)))} times as much memory."
    )


def _buckets(keys: Keys, n_bits: int) -> NDArray[np.uint16]:
    return (keys >> np.uint64(KEY_BITS - n_bits)).astype(np.uint16)


def _distribute(
    writer: EventWriter,
    sources: Sequence[EventPiece],
    keys: RandomKeys,
    edges: list[int],
    stored: IO[bytes],
) -> None:
    """Write events and their keys behind those that their buckets already hold."""
    places = edges[:-1]
    n_bits = (len(places) - 1).bit_length()
    sizes = map(len, sources)
    for source, drawn in zip(track(sources, "Reading"), keys.draw(sizes), strict=True):
        buckets = _buckets(drawn, n_bits)
        order = np.argsort(buckets, kind="stable")
        events, sorted_keys = source.read().select(order), drawn[order]
        ends = np.cumsum(np.bincount(buckets, minlength=len(places))).tolist()
        for bucket, (first, last) in enumerate(itertools.pairwise([0, *ends])):
            if first < last:
                place = places[bucket]
                writer.write_at(place, events.select(slice(first, last)))
                stored.seek(KEY_BYTES * place)
                stored.write(sorted_keys[first:last].tobytes())
                places[bucket] = place + last - first


def _read_all(sources: Sequence[EventPiece]) -> Events:
    """All events in one piece; they fit in memory once, but not twice."""
    pieces = (source.read() for source in track(sources, "Reading"))
    first = next(pieces)
    events, start = first.empty_like(sum(map(len, sources))), 0
    for piece in itertools.chain([first], pieces):
        events.assign(start, piece)
        start += len(piece)
    return events


def _write_ordered(
    writer: EventWriter, start: int, events: Events, order: IntArray, at_once: int
) -> None:
    for i in range(0, len(order), at_once):
        writer.write_at(start + i, events.select(order[i : i + at_once]))
