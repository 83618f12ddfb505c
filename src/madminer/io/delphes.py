"""ROOT files of Delphes: columns of some events at a time, in bounded memory."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Any, Final, Self

import awkward as ak
import numpy as np

from madminer.errors import (
    DataError,
    FileFormatError,
    MadMinerError,
    MissingDependencyError,
    NoEventsError,
)
from madminer.io.opened import DAMAGES, OpenedFile
from madminer.typing import FloatArray, IntArray, StrPath

_TREE: Final = "Delphes"
_KIND: Final = "a ROOT file of Delphes"
_SHOWN: Final = 30  # names in a message


def uproot_package() -> Any:
    """Import uproot.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        import uproot  # type: ignore[import-untyped] # optional
    except ImportError as error:
        raise MissingDependencyError(
            "Files of Delphes are read with the package uproot, which is not installed; run: "
            'pip install "madminer[delphes]"'
        ) from error
    return uproot


class DelphesFile:
    """A ROOT file that Delphes wrote; nothing but what is asked for is read.

    Args:
        path: The file.

    Attributes:
        path: Where it lies.
        n_events: Number of events.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no ROOT file, truncated, or has no tree of Delphes.
        NoEventsError: If it holds no events.
        MissingDependencyError: If uproot is not installed.
    """

    def __init__(self, path: StrPath) -> None:
        self._uproot = uproot_package()
        self._file = OpenedFile(path)
        self.path = self._file.path
        self._tree: Any = None
        try:
            with self._reading():
                root = self._uproot.open(self._file, array_cache=None)  # it would only grow
                self._require_bytes(int(root.file.fEND))
                known = root.keys(cycle=False)
                if _TREE in known:
                    self._tree = root[_TREE]
                    self.n_events = int(self._tree.num_entries)
        except BaseException:
            self._file.close()
            raise
        if self._tree is None:
            raise FileFormatError(
                f"{path} has no tree {_TREE!r}, but {known[:_SHOWN] or 'nothing'}: it is not an "
                f"output of Delphes, or its run broke off. Run Delphes again."
            )
        if self.n_events == 0:
            raise NoEventsError(
                f"{path} holds no events. Check the log of Delphes and the HepMC file, and run it "
                f"again."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, column: str) -> bool:
        """Whether it has a column such as "Jet.PT"."""
        return column in self._tree

    def chunks(self, n_events: int) -> Iterator[slice]:
        """Cut the events into parts of about `n_events`, where the file is cut itself.

        Compressed blocks of the file are then read once; larger ones are read several times.
        """
        with self._reading():
            ends = self._tree.common_entry_offsets(filter_name=["Event.Number", "Jet.PT"])[1:]
        start = 0
        for end in [*ends[:-1], self.n_events]:
            if end - start >= n_events or end == self.n_events:
                n_parts = max(round((end - start) / n_events), 1)
                edges = np.linspace(start, end, n_parts + 1).astype(int).tolist()
                yield from (slice(a, b) for a, b in pairwise(edges))
                start = end

    def columns(
        self, branch: str, leaves: Sequence[str], rows: slice
    ) -> tuple[IntArray, dict[str, FloatArray]]:
        """Objects of some events.

        Args:
            branch: Kind of the objects, such as "Jet".
            leaves: Quantities, such as "PT".
            rows: The events.

        Returns:
            counts: Number of objects in each event, shape ``(n_events,)``.
            columns: By quantity, the values of all objects one event after the other, shape
                ``(n_objects,)``.

        Raises:
            FileFormatError: If the file has no such objects, or cannot be read.
            DataError: If a value is not finite.
        """
        if f"{branch}.{leaves[0]}" not in self:
            raise self._lacking(branch)
        columns: dict[str, FloatArray] = {}
        counts = np.zeros(rows.stop - rows.start, dtype=np.int64)
        for leaf in leaves:
            counts, columns[leaf] = self._column(f"{branch}.{leaf}", rows)
        if len({len(values) for values in columns.values()}) > 1:
            raise FileFormatError(
                f"{self.path} is damaged: columns of {branch!r} differ in length. Run Delphes "
                f"again."
            )
        return counts, columns

    def one_per_event(self, branch: str, leaf: str, rows: slice) -> FloatArray:
        """A quantity that every event has once, such as the missing momentum.

        Args:
            branch: What it belongs to, such as "MissingET".
            leaf: The quantity, such as "MET".
            rows: The events.

        Returns:
            Values, shape ``(n_events,)``.

        Raises:
            FileFormatError: If the file has none, or not one in each event.
            DataError: If a value is not finite.
        """
        counts, columns = self.columns(branch, [leaf], rows)
        if np.any(counts != 1):
            raise FileFormatError(
                f"{self.path}: {np.count_nonzero(counts != 1)} events have not exactly one "
                f"{branch!r}. Run Delphes again."
            )
        return columns[leaf]

    def weights(self, rows: slice) -> FloatArray:
        """Weights of some events as the file gives them, the nominal one first.

        Args:
            rows: The events.

        Returns:
            Weights, shape ``(n_events, n_weights)``; only the nominal one if the file has no
            others, none where it has no weights at all.

        Raises:
            FileFormatError: If events have unequal numbers of weights.
        """
        n_events = rows.stop - rows.start
        for name in ("Weight.Weight", "Event.Weight"):
            if name not in self:
                continue
            counts, values = self._column(name, rows, finite=False)
            if np.any(counts != counts[0]):
                raise FileFormatError(
                    f"{self.path}: events have unequal numbers of weights, from {counts.min()} to "
                    f"{counts.max()}. Shower the events again, or take the weights from the Les "
                    f"Houches event file (weights='lhe')."
                )
            if counts[0]:
                return values.reshape(n_events, -1)
        return np.empty((n_events, 0))

    @property
    def n_weights(self) -> int:
        """Number of weights of an event."""
        return int(self.weights(slice(0, 1)).shape[1])

    @property
    def numbers(self) -> IntArray:
        """Numbers of the events, shape ``(n_events,)``; from zero if the file gives none."""
        if "Event.Number" not in self:
            return np.arange(self.n_events)
        parts = (self.one_per_event("Event", "Number", rows) for rows in self.chunks(100_000))
        return np.concatenate(list(parts)).astype(np.int64)

    @property
    def cross_section(self) -> float:
        """Cross section in pb as the last event gives it, the best estimate; 0 for none."""
        if "Event.CrossSection" not in self:
            return 0.0
        last = slice(self.n_events - 1, self.n_events)
        return float(self.one_per_event("Event", "CrossSection", last)[0])

    def _require_bytes(self, n_bytes: int) -> None:
        """Refuse a file that ends before what its beginning says."""
        n_missing = n_bytes - self._file.n_bytes
        if n_missing > 0:
            raise FileFormatError(
                f"{self.path} is truncated: {n_missing} bytes are missing at its end. Copy it "
                f"again, or run Delphes again."
            )

    def _lacking(self, branch: str) -> FileFormatError:
        names: list[str] = self._tree.keys()
        columns = (name.rpartition("/")[2] for name in names)
        known = dict.fromkeys(name.partition(".")[0] for name in columns if "." in name)
        return FileFormatError(
            f"{self.path} has no {branch!r}, but {list(known)[:_SHOWN]}. Let the TreeWriter of the "
            f"card of Delphes write it, or leave out what uses it."
        )

    def _column(
        self, name: str, rows: slice, *, finite: bool = True
    ) -> tuple[IntArray, FloatArray]:
        """Values of all objects of some events, and how many each event has."""
        if name not in self:
            raise FileFormatError(f"{self.path} has no column {name!r}. Use Delphes 3.")
        with self._reading():
            lists = self._tree[name].array(entry_start=rows.start, entry_stop=rows.stop)
            counts = ak.to_numpy(ak.num(lists, axis=1)).astype(np.int64)
            values = ak.to_numpy(ak.flatten(lists, axis=1)).astype(np.float64)
        if finite and not np.all(np.isfinite(values)):
            raise DataError(
                f"{self.path}: {np.count_nonzero(~np.isfinite(values))} values of {name} are not "
                f"finite. Run Delphes again."
            )
        return counts, values

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong inside is the fault of the file."""
        further = (zlib.error, lzma.LZMAError, self._uproot.DeserializationError)
        with self._file.reading(_KIND):
            try:
                yield
            except MadMinerError:
                raise
            except (*DAMAGES, *further) as error:
                raise ValueError(_described(error)) from error


def _described(error: Exception) -> str:
    """What an error of uproot says, which may show objects that are not complete."""
    try:
        return f"{error!r:.200}"
    except DAMAGES:
        return type(error).__name__
