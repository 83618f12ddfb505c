"""Tables of NumPy: arrays with named fields or plain tables, in memory or in npy files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from madminer.blocks import row_blocks
from madminer.checks import refusal, sequence, text
from madminer.errors import OptionError, ShapeError
from madminer.io.event_columns import as_awkward
from madminer.io.opened import OpenedFile
from madminer.typing import StrPath

_KIND = "a table of NumPy (npy)"


class NumpyTable:
    """Columns of a table of NumPy.

    Args:
        source: Array, or path of a npy file, whose rows are mapped, not loaded. Either it has
            named fields, shape ``(n_events,)``, as MadGraph 7 writes them; fields inside fields
            are ``field.inner``, and fields with several numbers are lists. Or it is plain, shape
            ``(n_events, n_columns)``.
        names: Names of the columns of a plain table, shape ``(n_columns,)``.

    Attributes:
        columns: Names of the columns.
        n_events: Number of rows.
        notes: None; tables of NumPy say nothing of MadMiner.

    Raises:
        OptionError: If a plain table has no names, or fields are to get others.
        ShapeError: If the shape is another one.
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, holds Python objects, or is no npy file.

    Examples:
        >>> table = NumpyTable(np.array([[31.0, 0.2], [52.0, 0.1]]), ["pt", "w"])
        >>> table.columns, table.n_events
        (['pt', 'w'], 2)
    """

    notes = None

    def __init__(self, source: NDArray[Any] | StrPath, names: Sequence[str] | None = None) -> None:
        self._file: OpenedFile | None = None
        if isinstance(source, np.ndarray):
            array = source
        else:
            self._file = OpenedFile(source)
            array = _mapped(self._file)
        self._fields = _fields(array) if array.dtype.names else _plain(array, names)
        if array.dtype.names and names is not None:
            raise OptionError(
                f"names are for plain tables, but this one has fields of its own: "
                f"{list(self._fields)}. Leave names out."
            )
        self.columns = list(self._fields)
        self.n_events = len(array)

    def iterate(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, ak.Array]]:
        """Read chosen columns piece by piece.

        Args:
            columns: Names of columns.
            batch_size: Rows in a piece.

        Yields:
            The columns by name.

        Raises:
            FileFormatError: If the file has changed.
        """
        for rows in row_blocks(self.n_events, batch_size):
            with nullcontext() if self._file is None else self._file.reading(_KIND):
                piece = {name: np.array(self._fields[name][rows]) for name in columns}
            yield {name: as_awkward(name, values) for name, values in piece.items()}


def _mapped(file: OpenedFile) -> NDArray[Any]:
    with file.reading(_KIND):
        mapped = np.load(file.path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise TypeError("an archive of arrays: give dict(numpy.load(path)) instead")
    return mapped


def _fields(array: NDArray[Any], prefix: str = "") -> Mapping[str, NDArray[Any]]:
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


def _plain(array: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, NDArray[Any]]:
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
    labels = sequence(names, "names", text)
    if len(labels) != array.shape[1] or len(set(labels)) < len(labels):
        raise refusal("names", f"{array.shape[1]} different names, one for each column", labels)
    return {name: array[:, i] for i, name in enumerate(labels)}
