"""Trees of ROOT files, TTree or RNTuple, NanoAOD or any other: chosen branches, piece by piece."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import awkward as ak

from madminer.blocks import row_blocks
from madminer.errors import FileFormatError, MadMinerError, OptionError, UnknownNameError
from madminer.io.delphes import uproot_package
from madminer.io.event_columns import closest
from madminer.io.opened import DAMAGES, OpenedFile
from madminer.typing import StrPath


class RootTree:
    """Branches of a tree.

    Args:
        path: The file.
        tree: Name of the tree; None: the only one.

    Attributes:
        columns: Names of the branches, or of the fields of a RNTuple (``"Jet.pt"``); those with
            several numbers for an event are lists.
        n_events: Number of entries.
        notes: None; ROOT files say nothing of MadMiner.

    Raises:
        MissingDependencyError: If the package uproot is not installed.
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, has no trees or is no ROOT file.
        UnknownNameError: If there is no such tree.
        OptionError: If no tree is chosen and there are several.

    Examples:
        >>> RootTree("nano.root", "Events").columns  # doctest: +SKIP
        ['run', 'event', 'nJet', 'Jet_pt']
    """

    notes = None

    def __init__(self, path: StrPath, tree: str | None = None) -> None:
        self._uproot = uproot_package()
        self._file = OpenedFile(path)
        with self._reading():
            root = self._uproot.open(self._file, array_cache=None)  # it would only grow
            self._require_bytes(int(root.file.fEND))
            kinds: dict[str, str] = root.classnames(cycle=False)
        trees = [
            name for name, kind in kinds.items() if kind.endswith(("Tree", "Ntuple", "RNTuple"))
        ]
        name = self._chosen(tree, trees)
        with self._reading():
            self._tree = root[name]
            # RNTuple has records, "Jet.pt", where trees have folders, "Jet/Jet.PT"
            keys: list[str] = self._tree.keys(full_paths=kinds[name].endswith("RNTuple"))
            self.columns = list(dict.fromkeys(keys))
            self.n_events = int(self._tree.num_entries)

    def iterate(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, ak.Array]]:
        """Read chosen branches piece by piece.

        Args:
            columns: Names of branches.
            batch_size: Entries in a piece.

        Yields:
            The branches by name.

        Raises:
            FileFormatError: If the file is damaged, or a branch has no numbers that can be read.
        """
        for rows in row_blocks(self.n_events, batch_size):
            yield {name: self._branch(name, rows) for name in columns}

    def _branch(self, name: str, rows: slice) -> ak.Array:
        with self._reading():
            values = self._tree[name].array(entry_start=rows.start, entry_stop=rows.stop)
        if len(values) != rows.stop - rows.start:
            raise FileFormatError(
                f"{self._file.path} is damaged: the branch {name!r} has fewer entries than its "
                f"tree. Copy it again, or make it again."
            )
        return values

    def _chosen(self, tree: str | None, trees: list[str]) -> str:
        path = self._file.path
        if not trees:
            raise FileFormatError(
                f"{path} has no trees: whatever wrote it broke off, or wrote histograms only."
            )
        if tree is None and len(trees) > 1:
            raise OptionError(
                f"{path} has the trees {trees}. Choose one, as in '{path}:{trees[0]}'."
            )
        if tree is not None and tree not in trees:
            raise UnknownNameError(
                f"{path} has no tree {tree!r}, but {closest(tree, trees)}. Correct its name behind "
                f"the colon."
            )
        return tree or trees[0]

    def _require_bytes(self, n_bytes: int) -> None:
        n_missing = n_bytes - self._file.n_bytes
        if n_missing > 0:
            raise FileFormatError(
                f"{self._file.path} is truncated: {n_missing} bytes are missing at its end. Copy "
                f"it again, or make it again."
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong inside is the fault of the file."""
        further = (zlib.error, lzma.LZMAError, self._uproot.DeserializationError)
        with self._file.reading("a ROOT file"):
            try:
                yield
            except MadMinerError:
                raise
            except (*DAMAGES, *further) as error:  # some show objects that are not complete
                raise ValueError(type(error).__name__) from error
