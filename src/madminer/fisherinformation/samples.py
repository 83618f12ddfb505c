"""Unweighted events from numpy files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from madminer.errors import ShapeError
from madminer.ml.inputs import load_array
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
        MissingFileError: If there is no such file.
        FileFormatError: If it is not an npy file of numbers.
        ShapeError: If it has another shape.
    """
    x = load_array(filename, "unweighted_x_sample_file", memmap=True)
    if x.ndim != 2 or x.shape[1] != n_observables:
        raise ShapeError(
            f"{filename} must hold observables of shape (n, {n_observables}), got {x.shape}."
        )
    return (
        (np.array(x[i : i + batch_size]), np.ones(len(x[i : i + batch_size])))
        for i in range(0, len(x), batch_size)
    )
