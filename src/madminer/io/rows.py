"""Chosen rows of a data set on disk."""

from __future__ import annotations

import mmap
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import OptionError
from madminer.typing import IntArray

__all__ = ["gather_rows"]

BLOCK_ROWS = 65_536
"""Rows of a chunked dataset read at once; bounds the memory."""

GAP_ROWS = 2_048
"""Rows that it is cheaper to read than to skip."""

MAPPED_BYTES = 2**27
"""Part of a file mapped to memory at once; bounds the resident memory."""

FEW_CHANGES = 1_000
"""Rows between two changes of the block from which on rows are read in their given order."""


def gather_rows(dataset: Any, indices: IntArray) -> NDArray[Any]:
    """Read chosen rows of an HDF5 dataset.

    Rows of a dataset that lies in one piece in the file are taken from there: the file is mapped
    to memory for this moment, at most 128 MB of it at once. Of others, contiguous blocks are read
    and rows picked in memory. Both are far faster than h5py's own selection by index, and allow
    any order and repetitions. Beside the result, the memory is bounded.

    Args:
        dataset: HDF5 dataset or array, shape ``(n, ...)``.
        indices: Row numbers, shape ``(m,)``.

    Returns:
        The rows in the order of `indices`, shape ``(m, ...)``.

    Raises:
        OptionError: If there is no such row.

    Examples:
        >>> gather_rows(np.array([[0.0], [10.0], [20.0]]), np.array([2, 0, 2]))
        array([[20.],
               [ 0.],
               [20.]])
    """
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(dataset):
        raise OptionError(
            f"Rows 0 to {len(dataset) - 1} can be read, but rows {indices.min()} to "
            f"{indices.max()} were asked for."
        )
    if not _is_one_piece(dataset):
        return _gather_blocks(dataset, indices)
    rows = np.empty((len(indices), *dataset.shape[1:]), dtype=dataset.dtype)
    if rows.size:
        mapped = _MappedRows(dataset)
        for start in range(0, len(indices), mapped.block_rows):
            piece = slice(start, start + mapped.block_rows)
            mapped.take(indices[piece], mapped.as_records(rows[piece]))
    return rows


class _MappedRows:
    """Rows of a dataset that lies in one piece, of which one block at a time is mapped.

    Args:
        dataset: The dataset, of numbers.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.path = Path(dataset.file.filename)
        self.offset = dataset.id.get_offset()
        self.n_rows = len(dataset)
        self.row = np.dtype((np.void, dataset.id.get_storage_size() // self.n_rows))
        self.block_rows = max(MAPPED_BYTES // self.row.itemsize, 1)
        self.number = np.min_scalar_type(self.n_rows // self.block_rows)

    def as_records(self, rows: NDArray[Any]) -> NDArray[np.void]:
        """The same memory with one element a row, which is copied as a whole."""
        return rows.reshape(len(rows), -1).view(self.row)[:, 0]

    def take(self, indices: IntArray, records: NDArray[np.void]) -> None:
        """Copy rows to `records`, each block being mapped once where the order is random."""
        blocks = (indices // self.block_rows).astype(self.number)
        if np.count_nonzero(blocks[1:] != blocks[:-1]) * FEW_CHANGES < len(blocks):
            self._take_stretches(indices, blocks, records)
            return
        order = np.argsort(blocks, kind="stable")
        ordered = np.empty_like(records)
        self._take_stretches(indices[order], blocks[order], ordered)
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        np.take(ordered, places, out=records, mode="clip")  # faster than to assign in this order

    def _take_stretches(
        self, indices: IntArray, blocks: IntArray, records: NDArray[np.void]
    ) -> None:
        changes = np.flatnonzero(blocks[1:] != blocks[:-1]) + 1
        for first, last in pairwise([0, *changes.tolist(), len(blocks)]):
            block, low = self._mapped(blocks[first], last - first)
            np.take(block, indices[first:last] - low, out=records[first:last], mode="clip")

    def _mapped(self, number: int, n_wanted: int) -> tuple[NDArray[np.void], int]:
        """A block, which unmaps itself at its end, and its first row."""
        low = int(number) * self.block_rows
        n_rows = min(self.block_rows, self.n_rows - low)
        start = self.offset + low * self.row.itemsize
        page = start - start % mmap.ALLOCATIONGRANULARITY
        length = start + n_rows * self.row.itemsize - page
        with self.path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=page)
        if n_wanted * GAP_ROWS > n_rows and hasattr(memory, "madvise"):
            memory.madvise(mmap.MADV_WILLNEED)  # one after the other, not in the order of the rows
        return np.frombuffer(memory, self.row, n_rows, start - page), low


def _gather_blocks(dataset: Any, indices: IntArray) -> NDArray[Any]:
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    rows = np.empty((len(indices), *dataset.shape[1:]), dtype=dataset.dtype)
    for first, last in pairwise(_run_edges(ordered)):
        low, high = ordered[first], ordered[last - 1] + 1
        rows[order[first:last]] = dataset[low:high][ordered[first:last] - low]
    return rows


def _run_edges(ordered: IntArray) -> list[int]:
    """Positions where a new block begins or a gap is worth skipping, and the end."""
    is_new_block = np.diff(ordered // BLOCK_ROWS) > 0
    is_gap = np.diff(ordered) > GAP_ROWS
    breaks = np.flatnonzero(is_new_block | is_gap) + 1
    return [0, *breaks.tolist(), len(ordered)] if len(ordered) else []


def _is_one_piece(dataset: Any) -> bool:
    """Whether the bytes of the rows follow each other in the file, as they are in memory."""
    return (
        isinstance(dataset, h5py.Dataset)
        and dataset.id.get_offset() is not None  # neither chunked, compact, virtual nor empty
        and not dataset.external
        and dataset.file.driver == "sec2"
        and dataset.file.userblock_size == 0
        and dataset.dtype.kind in "fiu"
    )
