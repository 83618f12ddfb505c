"""Arrays in memory-mapped files, read in pieces that do not stay in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np

from madminer.typing import FloatArray, IntArray

__all__ = ["chunks", "release_pages"]

_CHUNK_BYTES = 1 << 20  # fits into the cache of a processor


def chunks(values: FloatArray, rows: IntArray | None = None) -> Iterator[FloatArray]:
    """Cut an array into pieces; of a file, only the present one is in memory.

    Args:
        values: The array, shape ``(n, ...)``.
        rows: Rows to take, None for all.

    Yields:
        Pieces of at least one row, in order.
    """
    size = max(1, _CHUNK_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values) if rows is None else len(rows), size):
        part = slice(start, start + size)
        yield values[part] if rows is None else values[rows[part]]
        release_pages(values)


def release_pages(values: FloatArray) -> None:
    """Let go of the pages of a mapped file that were read; the system may keep them as its cache.

    Without this they count as memory of the process until another process needs it. Other arrays
    are left alone, and so are copies on write, which hold what was written.
    """
    if not isinstance(values, np.memmap) or values.mode == "c":
        return
    base: object = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
