"""Training samples as named columns, handed out in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

__all__ = ["Batch", "Dataset", "MappedColumn"]

Batch: TypeAlias = Mapping[str, Tensor]
"""Columns of a few events by name."""

_BLOCK = 1 << 17  # events that are permuted and gathered at once


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
        read = np.empty((len(wanted), *self.values.shape[1:]), dtype=self.values.dtype)
        read[order] = self.values[wanted[order]]
        return torch.as_tensor(self.prepare(read), dtype=self.dtype, device=self.device)


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
        n = len(self)
        size = max(1, _BLOCK // batch_size) * batch_size
        order = None if generator is None else torch.randperm(n, generator=generator)
        for start in range(0, n, size):
            rows = slice(start, start + size) if order is None else order[start : start + size]
            parts = [torch.split(column[rows], batch_size) for column in self.columns.values()]
            for views in zip(*parts, strict=True):
                yield dict(zip(self.columns, views, strict=True))
