"""Unweighted events from numpy files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from madminer.errors import OptionError, ShapeError
from madminer.typing import FloatArray, StrPath

__all__ = ["read_samples"]


def read_samples(
    filename: StrPath, n_observables: int, batch_size: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Read observables in batches, each event with weight one.

    Args:
        filename: File (npy) with observables, shape ``(n, n_observables)``.
        n_observables: Number of columns it must have.
        batch_size: Events in a batch.

    Returns:
        Batches of observables and weights, shapes ``(m, n_observables)`` and ``(m,)``.

    Raises:
        ShapeError: If the file has another shape.
        OptionError: If `batch_size` is not positive.
    """
    x = np.load(Path(filename), mmap_mode="r", allow_pickle=False)
    if x.ndim != 2 or x.shape[1] != n_observables:
        raise ShapeError(
            f"{filename} must hold observables of shape (n, {n_observables}), got {x.shape}."
        )
    if batch_size < 1:
        raise OptionError(f"batch_size must be positive, got {batch_size}.")
    return (
        (np.array(x[i : i + batch_size]), np.ones(len(x[i : i + batch_size])))
        for i in range(0, len(x), batch_size)
    )
