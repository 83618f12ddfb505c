"""ROOT files: trees of Delphes, NanoAOD or any other, some entries at a time, in bounded memory."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final, Self

import awkward as ak
import numpy as np

from madminer.blocks import row_blocks
from madminer.errors import (
    DataError,
    FileFormatError,
    MadMinerError,
    MissingDependencyError,
    NoEventsError,
    OptionError,
    UnknownNameError,
)
from madminer.io.event_columns import closest
from madminer.io.opened import DAMAGES, OpenedFile
from madminer.typing import FloatArray, IntArray, StrPath

_DELPHES: Final = "Delphes"
_SHOWN: Final = 30  # names in a message


class RootFile:
    """A ROOT file that is opened once; nothing but what is asked for is read.

    Args:
        path: The file.
        kind: What it should be, for messages.
        remedy: How to get one that is not truncated.

    Raises:
        MissingDependencyError: If uproot is not installed.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no ROOT file, or ends before what its beginning says.
    """

    def __init__(
        self, path: StrPath, kind: str = "a ROOT file", remedy: str = "make it again"
    ) -> None:
        try:
            import uproot  # type: ignore[import-untyped] # optional
        except ImportError as error:
            raise MissingDependencyError(
                "ROOT files, such as those of Delphes, are read with the package uproot, which is "
                'not installed; run: pip install "madminer[delphes]"'
            ) from error
        self._damages: Final = (
            *DAMAGES,
            zlib.error,
            lzma.LZMAError,
            uproot.DeserializationError,
        )
        self._kind: Final = kind
        self._file: Final = OpenedFile(path)
        self.path: Final = self._file.path
        with self._closed_after_errors(), self._reading():
            self._root: Any = uproot.open(self._file, array_cache=None)  # it would only grow
            n_missing = int(self._root.file.fEND) - self._file.n_bytes
            if n_missing > 0:
                raise FileFormatError(
                    f"{self.path} is truncated: {n_missing} bytes are missing at its end. Copy it "
                    f"again, or {remedy}."
                )
            self._kinds: dict[str, str] = self._root.classnames(cycle=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def _closed_after_errors(self) -> Iterator[None]:
        """A file that cannot be used is not left open."""
        try:
            yield
        except BaseException:
            self._file.close()
            raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong inside is the fault of the file."""
        with self._file.reading(self._kind):
            try:
                yield
            except MadMinerError:
                raise
            except self._damages as error:
                raise ValueError(_described(error)) from error


def _described(error: Exception) -> str:
    """What an error of uproot says, which may show objects that are not complete."""
    try:
        return f"{error!r:.200}"
    except DAMAGES:
        return type(error).__name__


class RootTree(RootFile):
    """Branches of a TTree, or fields of a RNTuple, as a table that `import_events` takes.

    Args:
        path: The file.
        tree: Name of the tree; None: the only one.

    Attributes:
        columns: Names of the branches, or of the fields of a RNTuple (``"Jet.pt"``); those with
            several numbers for an event are lists.
        n_events: Number of entries.

    Raises:
        FileFormatError: If the file is truncated, has no trees or is no ROOT file.
        UnknownNameError: If there is no such tree.
        OptionError: If no tree is chosen and there are several.
    """

    notes = None

    def __init__(self, path: StrPath, tree: str | None = None) -> None:
        super().__init__(path)
        with self._closed_after_errors(), self._reading():
            name = self._chosen(tree)
            self._tree = self._root[name]
            # RNTuple has records, "Jet.pt", where trees have folders, "Jet/Jet.PT"
            keys = self._tree.keys(full_paths=self._kinds[name].endswith("RNTuple"))
            self.columns: list[str] = list(dict.fromkeys(keys))
            self.n_events = int(self._tree.num_entries)

    def _chosen(self, tree: str | None) -> str:
        ends = ("Tree", "Ntuple", "RNTuple")
        trees = [name for name, kind in self._kinds.items() if kind.endswith(ends)]
        if not trees:
            raise FileFormatError(
                f"{self.path} has no trees: whatever wrote it broke off, or wrote histograms only."
            )
        if tree is None and len(trees) > 1:
            raise OptionError(
                f"{self.path} has the trees {trees}. Choose one, as in '{self.path}:{trees[0]}'."
            )
        if tree is not None and tree not in trees:
            raise UnknownNameError(
                f"{self.path} has no tree {tree!r}, but {closest(tree, trees)}. Correct its name "
                f"behind the colon."
            )
        return tree or trees[0]

    def iterate(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, ak.Array]]:
        """Read chosen branches piece by piece."""
        for rows in row_blocks(self.n_events, batch_size):
            yield {name: self._branch(name, rows) for name in columns}

    def _branch(self, name: str, rows: slice) -> ak.Array:
        with self._reading():
            values = self._tree[name].array(entry_start=rows.start, entry_stop=rows.stop)
        if len(values) != rows.stop - rows.start:
            raise FileFormatError(
                f"{self.path} is damaged: the branch {name!r} has fewer entries than its tree. "
                f"Copy it again, or make it again."
            )
        return values


class DelphesFile(RootFile):
    """A ROOT file that Delphes wrote.

    Args:
        path: The file.

    Attributes:
        path: Where it lies.
        n_events: Number of events.

    Raises:
        FileFormatError: If it has no tree of Delphes.
        NoEventsError: If it holds no events.
    """

    def __init__(self, path: StrPath) -> None:
        super().__init__(path, "a ROOT file of Delphes", "run Delphes again")
        with self._closed_after_errors(), self._reading():
            if _DELPHES not in self._kinds:
                found = list(self._kinds)[:_SHOWN] or "nothing"
                raise FileFormatError(
                    f"{path} has no tree {_DELPHES!r}, but {found}: it is not an output of "
                    f"Delphes, or its run broke off. Run Delphes again."
                )
            self._tree = self._root[_DELPHES]
            self.n_events = int(self._tree.num_entries)
            if self.n_events == 0:
                raise NoEventsError(
                    f"{path} holds no events. Check the log of Delphes and the HepMC file, and run "
                    f"it again."
                )

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
        """Objects of a branch such as "Jet", with their quantities such as "PT".

        Returns:
            counts: Number of objects in each event, shape ``(n_events,)``.
            columns: By quantity, the values of all objects one event after the other, shape
                ``(n_objects,)``.
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
        """A quantity that every event has once, such as "MET" of "MissingET", ``(n_events,)``."""
        counts, columns = self.columns(branch, [leaf], rows)
        if np.any(counts != 1):
            raise FileFormatError(
                f"{self.path}: {np.count_nonzero(counts != 1)} events have not exactly one "
                f"{branch!r}. Run Delphes again."
            )
        return columns[leaf]

    def weights(self, rows: slice) -> FloatArray:
        """Weights as the file gives them, the nominal one first, shape ``(n_events, n_weights)``.

        Only the nominal one if the file has no others, none where it has no weights at all.
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
