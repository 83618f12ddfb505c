"""Blocks of rows: how many events are calculated at once.

Temporary arrays are then as large as a block, not as a sample. No result depends on the sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

ROWS = 1 << 16
"""Rows of a block that bounds the memory; what each block costs beside its rows does not count."""

CACHED_ROWS = 1 << 12
"""Rows of a block whose temporary arrays, tens of numbers a row, stay in a processor's cache."""

LAUNCHED_ROWS = 1 << 18
"""Rows of a block with which a graphics processor calculates longer than it takes to launch it."""


def row_blocks(n_rows: int, size: int = ROWS) -> Iterator[slice]:
    """Cut rows into blocks.

    Args:
        n_rows: Number of rows.
        size: Rows of each block; the last may have fewer.

    Yields:
        The blocks in order.

    Examples:
        >>> list(row_blocks(5, 3))
        [slice(0, 3, None), slice(3, 5, None)]
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
