"""Training samples as named columns, handed out in batches.

Columns in memory are shuffled event by event. Columns in files are read in pieces, else every event
would be a page of the disk: runs of successive events come in random order, and the events of about
a hundred runs are shuffled among each other. Both orders are random enough for a sample that is
shuffled itself or consists of many more than a thousand events of every kind.

Columns in files, and those that the memory of a graphics processor cannot hold, are brought to the
device a block ahead of its use, by a thread of their own.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from madminer.blocks import row_blocks
from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

_CHUNK_BYTES = 1 << 20  # fits into the cache of a processor


def chunks(values: FloatArray, rows: IntArray | None = None) -> Iterator[FloatArray]:
    """Pieces of an array or of some of its rows; of a file, only the present one is in memory."""
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
_LARGEST_SHARE = 0.8  # of a device's free memory that data may take
_ORDER_BYTES = 40  # an event takes while a random order is drawn


@dataclass(frozen=True, slots=True, eq=False)
class MappedColumn:
    """A column that stays in a memory-mapped file until its rows are asked for.

    Args:
        values: The file's array, shape ``(n_file, ...)``.
        rows: Rows that make up the column, shape ``(n,)``.
        prepare: What is done to rows after reading them.
        dtype: Precision of the tensors handed out.
    """

    values: FloatArray
    rows: IntArray
    prepare: Callable[[FloatArray], FloatArray]
    dtype: torch.dtype

    def __len__(self) -> int:
        """Number of events."""
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Read rows, in ascending order of their position in the file."""
        wanted = self.rows[index.numpy() if isinstance(index, Tensor) else index]
        order = np.argsort(wanted, kind="stable")
        read = gather(self.values, wanted[order], self.prepare, self.dtype)
        result = torch.empty_like(read)
        result[torch.from_numpy(order)] = read
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Events with named columns.

    Args:
        columns: Tensors of shape ``(n, ...)``, all on one device, or columns of memory-mapped files
            and tensors in the memory of the host.
        device: Where batches are handed out; None for where the columns lie.

    Raises:
        ShapeError: If there is no column, or columns differ in length.
    """

    columns: Mapping[str, Tensor | MappedColumn]
    device: torch.device | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ShapeError(f"All columns must have the same number of events, got {lengths}.")

    def __len__(self) -> int:
        """Number of events."""
        return len(next(iter(self.columns.values())))

    @property
    def order_device(self) -> torch.device:
        """Where the order of events is drawn.

        That is where they train, for files too; but what a device cannot hold needs an order that
        it cannot hold either.
        """
        column = next(iter(self.columns.values()))
        if self._is_mapped or isinstance(column, MappedColumn):
            return self.device or torch.device("cpu")
        return column.device

    @property
    def _is_mapped(self) -> bool:
        return any(isinstance(column, MappedColumn) for column in self.columns.values())

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

        is_mapped = self._is_mapped

        def take(rows: Tensor | slice) -> dict[str, Tensor]:
            if is_mapped and isinstance(rows, Tensor):
                rows = rows.cpu()
            return {name: column[rows] for name, column in self.columns.items()}

        device = torch.device("cpu") if self.device is None and is_mapped else self.device
        for block in _brought(take, self._blocks(size, generator), device):
            yield from _split(block, batch_size, 0)

    def _blocks(self, size: int, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """Rows of all events, `size` at a time."""
        n = len(self)
        if generator is None:
            yield from row_blocks(n, size)
        elif self._is_mapped and n > size:
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

    def take(part: slice) -> dict[str, Tensor]:
        rows: Sequence[Tensor | slice] = [part] * len(datasets)
        if orders is not None:
            rows = [order[part] for order in orders]
        return {
            name: torch.stack([d.columns[name][r] for d, r in zip(datasets, rows, strict=True)])
            for name in first.columns
        }

    for block in _brought(take, row_blocks(n, size), first.device):
        yield from _split(block, batch_size, 1)


def fits_on(device: torch.device, n_bytes: int, n_events: int) -> bool:
    """Whether a device has memory for data of so many bytes, and for drawing their order."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes + _ORDER_BYTES * n_events < _LARGEST_SHARE * free


recording = threading.Lock()
"""Held while operations are recorded (`madminer.nn.recorded`), which others on the same graphics
processor would spoil."""

_Place = TypeVar("_Place")


def _brought(
    take: Callable[[_Place], dict[str, Tensor]],
    places: Iterable[_Place],
    device: torch.device | None,
) -> Iterator[dict[str, Tensor]]:
    """Take blocks of events; with a device, bring each there while the one before it is used."""
    if device is None:
        yield from map(take, places)
        return

    is_gpu = device.type == "cuda"
    stream = torch.cuda.current_stream(device) if is_gpu else None  # that of the steps

    def bring(place: _Place) -> dict[str, Tensor]:
        with recording if is_gpu else nullcontext(), torch.cuda.stream(stream):
            return {name: _sent(column, device) for name, column in take(place).items()}

    with ThreadPoolExecutor(1) as reader:
        ahead: Future[dict[str, Tensor]] | None = None
        for place in places:
            coming = reader.submit(bring, place)
            if ahead is not None:
                yield ahead.result()
            ahead = coming
        if ahead is not None:
            yield ahead.result()


def _sent(column: Tensor, device: torch.device) -> Tensor:
    """A column on its way to a device; of pinned memory, a graphics processor fetches it itself."""
    is_fetched = device.type == "cuda" and column.device.type == "cpu"
    return (column.pin_memory() if is_fetched else column).to(device, non_blocking=True)


def _split(block: Mapping[str, Tensor], size: int, dim: int) -> Iterator[dict[str, Tensor]]:
    """Cut a block into batches, which are views of it."""
    parts = [torch.split(column, size, dim) for column in block.values()]
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
    """Prepare rows of an array, a piece at a time: nothing of its size exists but the result."""
    shape = prepare(values[:0]).shape[1:]
    result = torch.empty((len(rows), *shape), dtype=dtype, device="cpu")
    place, start = result.numpy(), 0
    for part in chunks(values, rows):
        place[start : start + len(part)] = prepare(part)
        start += len(part)
    return result
