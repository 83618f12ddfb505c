r"""Several event files of one setup as one data set, without a merged copy.

**Order: the first thousandth of each file, then the second of each, and so on.**

The event :math:`i` of a file of :math:`n` events is in its thousandth :math:`\lfloor 1000\, i / n
\rfloor`, up to rounding; those of all files stand one behind the other in the order of the files.
Partitions are cut by position in this order, so that each holds the same fraction of every file,
whichever events a file has: its own first events train, its own last ones test. As with one file,
the events of each must be in random order.

**Weights add up, as they do in a merged file.** Each event keeps its weights, and counts with the
number of events that all files together generated at its benchmark. Files that each hold the whole
process, such as ten runs at one benchmark, need a k-factor of one over their number.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.blocks import row_blocks
from madminer.errors import DataError, MissingFileError, OptionError, SetupError
from madminer.io.event_reader import EventFile, Rows, StoredEvents
from madminer.io.events import EventSummary
from madminer.models.setup import setup_differences
from madminer.typing import EventSource, FloatArray, IntArray

Values = TypeVar("Values", bound=NDArray[Any])

logger = logging.getLogger(__name__)

MOST_OPEN = 200
"""Files that stay open; of more, each is opened again, if it is the same, whenever it is read."""

PARTS = 1000
"""Parts of each file between which the events of the others stand."""

BLOCK = 1 << 20
"""Events whose places in the files are known at once."""


def open_events(source: EventSource, name: str = "filename") -> StoredEvents:
    """Open one event file, or several as one.

    Args:
        source: Path, pattern, list of these, or dictionary with a k-factor for each.
        name: Name of the argument, for messages.

    Returns:
        An `EventFile` of one file without k-factor, else an `EventSet`.

    Raises:
        OptionError: If it is nothing of these, a file comes twice, or a k-factor is not positive.
        MissingFileError: If there is no such file, or none that matches the pattern.
        SetupError: If setups differ; the message names file and differences.
        DataError: If only some files know where their events were generated.
        FileFormatError: If a file is truncated or of another kind.
    """
    factors = paths_and_factors(source, name)
    if len(factors) == 1 and not isinstance(source, Mapping):
        return EventFile(next(iter(factors)))
    return EventSet(factors)


class Interleaving:
    """Places of the events of files of some sizes in one order, see `madminer.io.event_set`.

    Examples:
        >>> for file, rows, places in Interleaving([4, 2]).split(np.arange(6)):
        ...     print(file, rows.tolist(), places)
        0 [0, 1, 2, 3] [slice(0, 1, None), slice(1, 2, None), slice(3, 4, None), slice(4, 5, None)]
        1 [0, 1] [slice(2, 3, None), slice(5, 6, None)]
    """

    def __init__(self, sizes: list[int]) -> None:
        self.n_files = len(sizes)
        cuts = np.arange(PARTS + 1)[:, np.newaxis] * np.array(sizes, dtype=np.int64) // PARTS
        self._edges = np.append(0, np.cumsum(np.diff(cuts, axis=0)))  # part by part, file by file
        self._offsets = cuts[:-1].ravel() - self._edges[:-1]

    def split(self, positions: IntArray) -> Iterator[tuple[int, IntArray, list[slice]]]:
        """Find events, by their rising numbers in the common order, in the files.

        Yields:
            For each file that has some of them: its number, their rows in it, and their places
            among the positions, stretch by stretch.
        """
        first, last = np.searchsorted(self._edges, positions[[0, -1]], side="right") - 1
        ends = np.searchsorted(positions, self._edges[first : last + 2])
        filled = np.flatnonzero(np.diff(ends))
        files = (first + filled) % self.n_files
        for file in np.unique(files).tolist():
            pieces = filled[files == file]
            stretches = zip(ends[pieces].tolist(), ends[pieces + 1].tolist(), strict=True)
            places = [slice(start, stop) for start, stop in stretches]
            offsets = self._offsets[first + pieces].tolist()
            rows = [positions[at] + offset for at, offset in zip(places, offsets, strict=True)]
            yield file, np.concatenate(rows), places


class EventSet(StoredEvents):
    """Several event files of one setup as one data set, with what the analysis uses of one file.

    Args:
        k_factors: Factor on the weights of each file, by its path; the files in their order.

    Attributes:
        files: The files.

    Raises:
        SetupError: If setups differ; the message names file and differences.
        DataError: If only some files know where their events were generated.
        MissingFileError: If there is no such file.
        FileFormatError: If a file is truncated or of another kind.
        FileChangedError: If a file is written to while it is read, now or later.
    """

    def __init__(self, k_factors: Mapping[Path, float]) -> None:
        paths = list(k_factors)
        self._closes: Final = len(paths) > MOST_OPEN
        self._factors: Final = list(k_factors.values())
        self.files: Final = [self._open(path) for path in paths]
        first, sizes = self.files[0], [len(file) for file in self.files]
        for file in self.files[1:]:
            check_agreement(first, file)
        self._order: Final = Interleaving(sizes)
        name = f"{len(paths)} files from {paths[0]} to {paths[-1]}"
        super().__init__(name, first.setup, sum(sizes), first.has_sampling_benchmarks)
        logger.info(
            "%s are read as one. Their weights add up: files that each hold the whole process need "
            "k-factors of one over their number.",
            name,
        )

    def _open(self, path: Path) -> EventFile:
        file = EventFile(path)
        self._close(file)
        return file

    def _close(self, file: EventFile) -> None:
        if self._closes:
            file.close()

    def generated(self) -> EventSummary:
        """Numbers of events generated at each benchmark, added up."""
        summaries = []
        for file in self.files:
            summaries.append(file.generated())
            self._close(file)
        return reduce(add, summaries)

    def _observables(self, rows: Rows, allow_nan: bool) -> FloatArray:
        x = np.empty((_number(rows), self.n_observables))
        return self._gather(rows, x, lambda i, own: self.files[i]._observables(own, allow_nan))

    def _weights(self, rows: Rows) -> FloatArray:
        weights = np.empty((_number(rows), self.n_benchmarks))
        return self._gather(rows, weights, self._file_weights)

    def _file_weights(self, file: int, own: Rows) -> FloatArray:
        weights = self.files[file]._weights(own)
        if self._factors[file] != 1.0:
            weights *= self._factors[file]
        return weights

    def _sampled(self, rows: Rows) -> IntArray:
        sampled = np.empty(_number(rows), dtype=np.int64)
        return self._gather(rows, sampled, lambda i, own: self.files[i]._sampled(own))

    def _gather(self, rows: Rows, into: Values, read: Callable[[int, Rows], Values]) -> Values:
        """Fill an array with what `read` gives of each file, block by block."""
        for block in row_blocks(len(into), BLOCK):
            positions = _numbers(rows, block)
            if np.all(positions[1:] >= positions[:-1]):
                self._gather_rising(positions, into[block], read)
            else:
                order = np.argsort(positions, kind="stable")
                rising = np.empty_like(into[block])
                self._gather_rising(positions[order], rising, read)
                into[block][order] = rising
        return into

    def _gather_rising(
        self, positions: IntArray, into: Values, read: Callable[[int, Rows], Values]
    ) -> None:
        for file, rows, places in self._order.split(positions):
            values, start = read(file, _as_slice(rows)), 0
            for at in places:
                stop = start + at.stop - at.start
                into[at] = values[start:stop]
                start = stop
            self._close(self.files[file])


def _number(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _numbers(rows: Rows, block: slice) -> IntArray:
    """Numbers of the events of a block."""
    if isinstance(rows, slice):
        return np.arange(rows.start + block.start, rows.start + block.stop)
    return rows[block]


def _as_slice(rows: IntArray) -> Rows:
    """Consecutive rows as a slice, which are read faster, others as they are."""
    if rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def check_agreement(first: EventFile, file: EventFile) -> None:
    """Check that the events of two files can stand together.

    Raises:
        SetupError: If setups differ; the message names files and differences.
        DataError: If only one knows where its events were generated.
    """
    if differences := setup_differences(first.setup, file.setup):
        raise SetupError(
            f"{first.path} and {file.path} have different setups, so their events cannot be "
            f"joined. They differ in {'; '.join(differences)}. Read both samples with the same "
            f"setup, observables and systematics."
        )
    if file.has_sampling_benchmarks != first.has_sampling_benchmarks:
        raise DataError(
            f"Of {first.path} and {file.path} only one knows at which benchmarks its events were "
            f"generated. Read both samples in the same way."
        )


_PATTERN = re.compile(r"[*?\[]")


def paths_and_factors(source: EventSource, name: str = "filename") -> dict[Path, float]:
    """Event files in their order, and the k-factor of each.

    Args:
        source: Path, pattern, list of these, or dictionary with a k-factor for each.
        name: Name of the argument, for messages.

    Returns:
        K-factors by path; the files of a pattern in natural order. They need not exist, unless
        they come from a pattern.

    Raises:
        OptionError: If it is nothing of these, a file comes twice, or a k-factor is not positive.
        MissingFileError: If no file matches a pattern.

    Examples:
        >>> factors = paths_and_factors({"signal.h5": 1.2, "background.h5": 0.9})
        >>> {path.name: factor for path, factor in factors.items()}
        {'signal.h5': 1.2, 'background.h5': 0.9}
    """
    found = [
        (path, factor)
        for given, factor in _given(source, name)
        for path in _matching(checks.path(given, name))
    ]
    if not found:
        raise checks.refusal(name, "a path, a pattern or a list of at least one file", source)
    files = [os.path.realpath(path) for path, _ in found]
    if repeated := sorted({file for file in files if files.count(file) > 1}):
        raise OptionError(
            f"{name} must not count the same events twice, but {repeated} are given more than "
            f"once. Remove them, or give k-factors: {{path: factor}}."
        )
    return dict(found)


def _given(source: EventSource, name: str) -> list[tuple[object, float]]:
    """Paths and patterns, with their k-factors."""
    if isinstance(source, Mapping):
        factors = source.items()
        return [(key, checks.positive(k, f"The k-factor of {key!r}")) for key, k in factors]
    if isinstance(source, str | os.PathLike):
        return [(source, 1.0)]
    if not isinstance(source, Iterable):
        raise checks.refusal(name, "a path, a pattern or a list of them", source)
    return [(path, 1.0) for path in checks.sequence(source, name, checks.path)]


def _matching(path: Path) -> list[Path]:
    """Files that a pattern stands for, in natural order; a path stands for itself."""
    if not _PATTERN.search(str(path)) or path.exists():
        return [path]
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (leaves hidden files out)
    if not names:
        raise MissingFileError(
            f"No file matches the pattern {path}. Check it and the working folder."
        )
    return [Path(name) for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[str | int]:
    """Key that sorts numbers in names by their values."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]
