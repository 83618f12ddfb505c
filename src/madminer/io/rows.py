"""Rows of a dataset on disk: consecutive ones, or chosen ones in any order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import OptionError
from madminer.io.opened import OpenedFile
from madminer.typing import IntArray

__all__ = ["gather_rows", "read_rows"]

BLOCK_BYTES = 2**22
"""Part of a file that is read at once where many of its rows are wanted."""

CHUNKED_BLOCK_ROWS = 65_536
"""Rows of a chunked dataset read at once; bounds the memory."""

GAP_ROWS = 2_048
"""Rows of a chunked dataset that it is cheaper to read than to skip."""

READ_BYTES = 2**15
"""Bytes that are read in the time that it takes to ask for them."""


def read_rows(dataset: h5py.Dataset, start: int, stop: int, file: OpenedFile) -> NDArray[Any]:
    """Read consecutive rows of an HDF5 dataset.

    Args:
        dataset: HDF5 dataset, shape ``(n, ...)``.
        start: First row.
        stop: Row behind the last one, at most `n`.
        file: The file that the dataset is in.

    Returns:
        The rows, shape ``(stop - start, ...)``.
    """
    if not _is_one_piece(dataset):
        rows: NDArray[Any] = dataset[start:stop]
        return rows
    rows = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        file.read_at(dataset.id.get_offset() + start * rows[0].nbytes, rows)
    return rows


def gather_rows(dataset: h5py.Dataset, indices: IntArray, file: OpenedFile) -> NDArray[Any]:
    """Read chosen rows of an HDF5 dataset.

    Blocks of the file are read and rows picked in memory; where few rows of a block are wanted,
    only these. That is far faster than h5py's own selection by index, and allows any order and
    repetitions. Beside the result, the memory is bounded, and never is the file mapped to it: what
    another process cuts from a mapped file ends this one.

    Args:
        dataset: HDF5 dataset, shape ``(n, ...)``.
        indices: Row numbers, shape ``(m,)``.
        file: The file that the dataset is in.

    Returns:
        The rows in the order of `indices`, shape ``(m, ...)``.

    Raises:
        OptionError: If there is no such row.
    """
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(dataset):
        raise OptionError(
            f"Rows 0 to {len(dataset) - 1} can be read, but rows {indices.min()} to "
            f"{indices.max()} were asked for."
        )
    if not _is_one_piece(dataset):
        return _gather_blocks(dataset, indices)
    rows = np.empty((len(indices), *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        row = np.dtype((np.void, rows[0].nbytes))  # one element a row, which is copied as a whole
        _gather_pieces(dataset, indices, file, rows.reshape(len(rows), -1).view(row)[:, 0])
    return rows


def _gather_pieces(
    dataset: h5py.Dataset, indices: IntArray, file: OpenedFile, rows: NDArray[np.void]
) -> None:
    """Fill `rows` from a dataset in one piece, block by block."""
    n_block = max(BLOCK_BYTES // rows.itemsize, 1)
    blocks = (indices // n_block).astype(np.min_scalar_type(len(dataset) // n_block))
    if np.all(blocks[1:] >= blocks[:-1]):
        _gather_ordered(dataset, indices, blocks, file, rows)
        return
    order = np.argsort(blocks, kind="stable")
    ordered = np.empty_like(rows)
    _gather_ordered(dataset, indices[order], blocks[order], file, ordered)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    np.take(ordered, places, out=rows, mode="clip")  # faster than to assign in this order


def _gather_ordered(
    dataset: h5py.Dataset,
    indices: IntArray,
    blocks: IntArray,
    file: OpenedFile,
    rows: NDArray[np.void],
) -> None:
    """Fill `rows` with those of one block after the other."""
    size, offset = rows.itemsize, dataset.id.get_offset()
    buffer = np.empty(max(BLOCK_BYTES // size, 1), rows.dtype)
    edges = np.flatnonzero(blocks[1:] != blocks[:-1]) + 1
    for first, last in pairwise([0, *edges.tolist(), len(blocks)]):
        wanted = indices[first:last]
        if len(wanted) * READ_BYTES < BLOCK_BYTES:
            for place, index in enumerate(wanted.tolist(), first):
                file.read_at(offset + index * size, rows[place : place + 1])
            continue
        low = int(wanted.min())
        n_rows = int(wanted.max()) + 1 - low
        file.read_at(offset + low * size, buffer[:n_rows])
        np.take(buffer, wanted - low, out=rows[first:last], mode="clip")


def _gather_blocks(dataset: h5py.Dataset, indices: IntArray) -> NDArray[Any]:
    """The rows of a dataset in chunks."""
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    rows = np.empty((len(indices), *dataset.shape[1:]), dtype=dataset.dtype)
    for first, last in pairwise(_run_edges(ordered)):
        low, high = ordered[first], ordered[last - 1] + 1
        rows[order[first:last]] = dataset[low:high][ordered[first:last] - low]
    return rows


def _run_edges(ordered: IntArray) -> list[int]:
    """Positions where a new block begins or a gap is worth skipping, and the end."""
    is_new_block = np.diff(ordered // CHUNKED_BLOCK_ROWS) > 0
    is_gap = np.diff(ordered) > GAP_ROWS
    breaks = np.flatnonzero(is_new_block | is_gap) + 1
    return [0, *breaks.tolist(), len(ordered)] if len(ordered) else []


def _is_one_piece(dataset: h5py.Dataset) -> bool:
    """Whether the bytes of the rows follow each other in the file, as they are in memory."""
    return (
        dataset.id.get_offset() is not None  # neither chunked, compact, virtual nor empty
        and not dataset.external
        and dataset.file.userblock_size == 0
        and dataset.dtype.kind in "fiu"
    )
