"""Training samples as named columns, handed out in batches.

Columns in memory are shuffled event by event. Columns in files are read in pieces, else every event
would be a page of the disk: runs of successive events come in random order, and the events of about
a hundred runs are shuffled among each other. Both orders are random enough for a sample that is
shuffled itself or consists of many more than a thousand events of every kind.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

__all__ = [
    "Batch",
    "Dataset",
    "MappedColumn",
    "chunks",
    "gather",
    "release_pages",
    "stacked_batches",
]

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


Batch: TypeAlias = Mapping[str, Tensor]
"""Columns of a few events by name."""

_BLOCK = 1 << 17  # events that are gathered at once
_RUN = 1 << 10  # successive events that are read at once
_STACKED_BLOCK = 1 << 20  # events of all datasets that are gathered at once


@dataclass(frozen=True, slots=True, eq=False)
class MappedColumn:
    """A column that stays in a memory-mapped file until its rows are asked for.

    Args:
        values: The file's array, shape ``(n_file, ...)``.
        rows: Rows that make up the column, shape ``(n,)``.
        prepare: What is done to rows after reading them.
        dtype: Precision of the tensors handed out.
        device: Where the tensors handed out lie.
    """

    values: FloatArray
    rows: IntArray
    prepare: Callable[[FloatArray], FloatArray]
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        """Number of events."""
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Read rows, in ascending order of their position in the file."""
        wanted = self.rows[index.cpu().numpy() if isinstance(index, Tensor) else index]
        order = np.argsort(wanted, kind="stable")
        read = gather(self.values, wanted[order], self.prepare, self.dtype)
        result = torch.empty_like(read)
        result[torch.from_numpy(order)] = read
        return result.to(self.device)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Events with named columns, all on the device that trains.

    Args:
        columns: Tensors of shape ``(n, ...)``, or columns of memory-mapped files.

    Raises:
        ShapeError: If there is no column, or columns differ in length.
    """

    columns: Mapping[str, Tensor | MappedColumn]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ShapeError(f"All columns must have the same number of events, got {lengths}.")

    def __len__(self) -> int:
        """Number of events."""
        return len(next(iter(self.columns.values())))

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Hand out all events once.

        Events are gathered in large blocks, of which batches are views: a step costs no copy.

        Args:
            batch_size: Number of events in a batch; the last may be smaller.
            generator: Source of the random order; None for the order of the columns.

        Yields:
            Columns by name, shape ``(<= batch_size, ...)`` each.
        """
        batch_size = min(batch_size, len(self))
        size = max(1, _BLOCK // batch_size) * batch_size
        for rows in self._blocks(size, generator):
            parts = [torch.split(column[rows], batch_size) for column in self.columns.values()]
            for views in zip(*parts, strict=True):
                yield dict(zip(self.columns, views, strict=True))

    def _blocks(self, size: int, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """Rows of all events, `size` at a time."""
        n = len(self)
        in_runs = any(isinstance(column, MappedColumn) for column in self.columns.values())
        if generator is None:
            yield from (slice(start, start + size) for start in range(0, n, size))
        elif in_runs and n > size:
            yield from _blocks_of_runs(n, size, generator)
        else:
            yield from torch.split(_permutation(n, generator), size)


def stacked_batches(
    datasets: Sequence[Dataset],
    batch_size: int,
    generators: Sequence[torch.Generator] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Hand out all events of datasets in memory once, side by side.

    Args:
        datasets: Datasets with the same columns and numbers of events.
        batch_size: Number of events of each in a batch; the last may be smaller.
        generators: Source of the random order of each, the one that `Dataset.batches` finds with
            it; None for the order of the columns.

    Yields:
        Columns by name, shape ``(n_datasets, <= batch_size, ...)`` each.
    """
    first, n = datasets[0], len(datasets[0])
    batch_size = min(batch_size, n)
    size = max(1, _STACKED_BLOCK // (len(datasets) * batch_size)) * batch_size
    orders = None if generators is None else [_permutation(n, source) for source in generators]
    for start in range(0, n, size):
        part = slice(start, start + size)
        rows: Sequence[Tensor | slice] = [part] * len(datasets)
        if orders is not None:
            rows = [order[part] for order in orders]
        block = {
            name: torch.stack([d.columns[name][r] for d, r in zip(datasets, rows, strict=True)])
            for name in first.columns
        }
        parts = [torch.split(column, batch_size, dim=1) for column in block.values()]
        for views in zip(*parts, strict=True):
            yield dict(zip(block, views, strict=True))


def _blocks_of_runs(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Permute runs of rows, cut them into blocks, and permute every block."""
    n_runs = n // _RUN
    runs = _permutation(n_runs, generator)
    runs = torch.cat((runs, runs.new_tensor([n_runs])))  # what is left over comes last
    for start in range(0, n, size):
        position = torch.arange(start, min(start + size, n), device=runs.device)
        rows = runs[position // _RUN] * _RUN + position % _RUN
        yield rows[_permutation(len(rows), generator)]


def _permutation(n: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)


def gather(
    values: FloatArray,
    rows: IntArray,
    prepare: Callable[[FloatArray], FloatArray],
    dtype: torch.dtype,
) -> Tensor:
    """Prepare rows of an array, a piece at a time: nothing of its size exists but the result.

    Args:
        values: The array, shape ``(n, ...)``.
        rows: Rows to take.
        prepare: What is done to them.
        dtype: Precision of the result.

    Returns:
        The prepared rows, in the order of `rows`.
    """
    shape = prepare(values[:0]).shape[1:]
    result = torch.empty((len(rows), *shape), dtype=dtype, device="cpu")
    place, start = result.numpy(), 0
    for part in chunks(values, rows):
        place[start : start + len(part)] = prepare(part)
        start += len(part)
    return result
