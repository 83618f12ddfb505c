"""What events come from: arrays in memory, and files of ROOT, NumPy and Parquet, as one table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.blocks import row_blocks
from madminer.errors import NoEventsError, OptionError
from madminer.io.event_columns import Columns, columns_of
from madminer.io.numpy_tables import NumpyTable
from madminer.io.parquet import ParquetFile
from madminer.io.root_trees import RootTree
from madminer.typing import StrPath

EventSource: TypeAlias = ak.Array | NDArray[Any] | Mapping[str, object] | StrPath
"""What `import_events` takes."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayTable:
    """Columns in memory, with what a `ParquetFile` has.

    Args:
        by_name: The columns, shape ``(n_events,)`` each.
    """

    by_name: Columns

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.by_name)

    @property
    def n_events(self) -> int:
        """Number of rows."""
        return len(next(iter(self.by_name.values())))

    @property
    def notes(self) -> None:
        """None; arrays say nothing of MadMiner."""
        return

    def iterate(self, columns: Sequence[str], batch_size: int) -> Iterator[Columns]:
        """Take chosen columns piece by piece."""
        for rows in row_blocks(self.n_events, batch_size):
            yield {name: self.by_name[name][rows] for name in columns}


Table: TypeAlias = ArrayTable | NumpyTable | ParquetFile | RootTree


def open_table(source: EventSource, names: Sequence[str] | None = None) -> Table:
    """Open a source of events.

    Args:
        source: Awkward array of records; arrays by name; array of NumPy with fields, or a plain
            one; path of a npy or Parquet file; path of a ROOT file, as ``"file.root:tree"``.
        names: Names of the columns of a plain table of NumPy.

    Returns:
        Its columns.

    Raises:
        OptionError: If it is nothing of these, or names do not fit.
        NoEventsError: If it has no rows.
        MadMinerError: What the table raises.

    Examples:
        >>> open_table({"pt": [31.0, 52.0], "jet_pt": [[31.0, 20.0], []]}).columns
        ['pt', 'jet_pt']
    """
    table = _opened(source, names)
    if names is not None and not isinstance(table, NumpyTable):
        raise OptionError(
            f"names are for plain tables of NumPy, but {type(source).__name__} brings the columns "
            f"{table.columns[:10]}. Leave names out."
        )
    if table.n_events == 0:
        raise NoEventsError("There are no events to import. Check the selection.")
    return table


def file_of(source: object) -> object:
    """The file behind ``"file.root:tree"``; anything else as it is."""
    return _file_and_tree(source)[0] if isinstance(source, str | os.PathLike) else source


def _opened(source: EventSource, names: Sequence[str] | None) -> Table:
    if isinstance(source, str | os.PathLike):
        return _opened_file(source, names)
    if isinstance(source, np.ndarray):
        return NumpyTable(source, names)
    if isinstance(source, ak.Array | Mapping):
        return ArrayTable(columns_of(source))
    raise OptionError(
        f"Events come from an awkward array, a dictionary of arrays, a table of NumPy, or the path "
        f"of a ROOT, npy or Parquet file, got {type(source).__name__}. Of a data frame, give "
        f"dict(frame)."
    )


def _opened_file(source: StrPath, names: Sequence[str] | None) -> Table:
    path, tree = _file_and_tree(source)
    if path.suffix == ".root" or _begins_with(path, b"root"):
        return RootTree(path, tree)
    if path.suffix == ".npy" or _begins_with(path, b"\x93NUMPY"):
        return NumpyTable(path, names)
    return ParquetFile(path)


def _file_and_tree(source: StrPath) -> tuple[Path, str | None]:
    file, _, tree = os.fspath(source).rpartition(".root:")
    return (checks.path(f"{file}.root"), tree) if file else (checks.path(source), None)


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:  # said where the file is opened
        return False
