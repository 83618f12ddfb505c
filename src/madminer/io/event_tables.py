"""What events come from: arrays in memory, and files of ROOT, NumPy and Parquet, as one table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.blocks import row_blocks
from madminer.errors import NoEventsError, OptionError, ShapeError
from madminer.io.event_columns import as_awkward, columns_of
from madminer.io.opened import OpenedFile
from madminer.io.parquet import ParquetFile
from madminer.io.root_files import RootTree
from madminer.typing import StrPath

TableSource: TypeAlias = ak.Array | NDArray[Any] | Mapping[str, object] | StrPath
"""What `import_events` takes."""

_NPY = "a table of NumPy (npy)"


@dataclass(frozen=True, slots=True, eq=False)
class ArrayTable:
    """Columns in memory, or in a npy file whose rows are mapped, not loaded.

    Args:
        by_name: The columns, shape ``(n_events, ...)`` each.
        file: The npy file.
    """

    by_name: Mapping[str, ak.Array | NDArray[Any]]
    file: OpenedFile | None = None
    notes: ClassVar[None] = None  # arrays say nothing of MadMiner

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.by_name)

    @property
    def n_events(self) -> int:
        """Number of rows."""
        return len(next(iter(self.by_name.values()), ()))

    def iterate(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, ak.Array]]:
        """Take chosen columns piece by piece."""
        for rows in row_blocks(self.n_events, batch_size):
            with nullcontext() if self.file is None else self.file.reading(_NPY):
                piece = {name: self.by_name[name][rows] for name in columns}
                if self.file is not None:  # which may change or end
                    piece = {name: np.array(values) for name, values in piece.items()}
            yield {name: as_awkward(name, values) for name, values in piece.items()}


Table: TypeAlias = ArrayTable | ParquetFile | RootTree


def open_table(source: TableSource, names: Sequence[str] | None = None) -> Table:
    """Open a source of events.

    Args:
        source: Awkward array of records; arrays by name; array of NumPy with fields, or a plain
            one; path of a npy or Parquet file; path of a ROOT file, as ``"file.root:tree"``.
        names: Names of the columns of a plain table of NumPy.

    Raises:
        OptionError: If it is nothing of these, or names do not fit.
        NoEventsError: If it has no rows.
        MadMinerError: What the table raises.

    Examples:
        >>> open_table({"pt": [31.0, 52.0], "jet_pt": [[31.0, 20.0], []]}).columns
        ['pt', 'jet_pt']
        >>> table = open_table(np.array([[31.0, 0.2], [52.0, 0.1]]), ["pt", "w"])
        >>> table.columns, table.n_events
        (['pt', 'w'], 2)
    """
    table = _opened(source, names)
    is_numpy = isinstance(source, np.ndarray) or getattr(table, "file", None) is not None
    if names is not None and not is_numpy:
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


def _file_and_tree(source: StrPath) -> tuple[Path, str | None]:
    file, _, tree = os.fspath(source).rpartition(".root:")
    return (checks.path(f"{file}.root"), tree) if file else (checks.path(source), None)


def _opened(source: TableSource, names: Sequence[str] | None) -> Table:
    if isinstance(source, str | os.PathLike):
        path, tree = _file_and_tree(source)
        if path.suffix == ".root" or _begins_with(path, b"root"):
            return RootTree(path, tree)
        if path.suffix == ".npy" or _begins_with(path, b"\x93NUMPY"):
            file = OpenedFile(path)
            return ArrayTable(_numpy_columns(_mapped(file), names), file)
        return ParquetFile(path)
    if isinstance(source, np.ndarray):
        return ArrayTable(_numpy_columns(source, names))
    if isinstance(source, ak.Array | Mapping):
        return ArrayTable(columns_of(source))
    raise OptionError(
        f"Events come from an awkward array, a dictionary of arrays, a table of NumPy, or the path "
        f"of a ROOT, npy or Parquet file, got {type(source).__name__}. Of a data frame, give "
        f"dict(frame)."
    )


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:  # said where the file is opened
        return False


def _mapped(file: OpenedFile) -> NDArray[Any]:
    with file.reading(_NPY):
        mapped = np.load(file.path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise TypeError("an archive of arrays: give dict(numpy.load(path)) instead")
    return mapped


def _numpy_columns(array: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, NDArray[Any]]:
    """Columns of a table with fields, as MadGraph 7 writes them, or of a plain one with names."""
    if array.dtype.names:
        fields = _fields(array)
        if names is not None:
            raise OptionError(
                f"names are for plain tables, but this one has fields of its own: "
                f"{list(fields)}. Leave names out."
            )
        return fields
    if array.ndim != 2:
        raise ShapeError(
            f"A table without fields must have the shape (n_events, n_columns), got "
            f"{array.shape}. Of several arrays, give {{name: array}}."
        )
    if names is None:
        raise OptionError(
            f"Give names=[...], one for each of the {array.shape[1]} columns: the table has no "
            f"fields, so it does not say what they are."
        )
    labels = checks.sequence(names, "names", checks.text)
    if len(labels) != array.shape[1] or len(set(labels)) < len(labels):
        what = f"{array.shape[1]} different names, one for each column"
        raise checks.refusal("names", what, labels)
    return dict(zip(labels, array.T, strict=True))


def _fields(array: NDArray[Any], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Fields of records by name; fields inside of fields are ``field.inner``."""
    if array.ndim != 1:
        raise ShapeError(
            f"A table with fields must have one row for each event, got the shape {array.shape}."
        )
    columns: dict[str, NDArray[Any]] = {}
    for name in array.dtype.names or ():
        inner = array[name]
        is_nested = inner.dtype.names is not None
        columns |= _fields(inner, f"{prefix}{name}.") if is_nested else {prefix + name: inner}
    return columns
