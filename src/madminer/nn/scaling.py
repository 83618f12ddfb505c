r"""Standardisation of columns, :math:`x' = (x - \mu)/\sigma`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

__all__ = ["Standardization", "fit_standardization", "identity_standardization"]

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Standardization:
    r"""Means and standard deviations of columns.

    Args:
        means: :math:`\mu`, shape ``(n_columns,)``.
        stds: :math:`\sigma > 0`, shape ``(n_columns,)``.
    """

    means: FloatArray
    stds: FloatArray

    def __post_init__(self) -> None:
        if self.means.ndim != 1 or self.means.shape != self.stds.shape:
            raise ShapeError(
                f"means and stds must be of one shape (n_columns,), got {self.means.shape} and "
                f"{self.stds.shape}."
            )

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.means)

    def transform(self, x: FloatArray) -> FloatArray:
        """Standardise, shape ``(..., n_columns)``; `x` is not changed."""
        scaled: FloatArray = (x - self.means) / self.stds
        return scaled

    def transform_tensor(self, x: Tensor) -> Tensor:
        """Standardise a tensor, with gradients, shape ``(..., n_columns)``."""
        return (x - torch.as_tensor(self.means).to(x)) / torch.as_tensor(self.stds).to(x)

    def select(self, columns: list[int] | None) -> Standardization:
        """Keep some columns, or all with None."""
        if columns is None:
            return self
        return Standardization(self.means[columns], self.stds[columns])


def identity_standardization(n_columns: int) -> Standardization:
    """Make the one that changes nothing."""
    return Standardization(np.zeros(n_columns), np.ones(n_columns))


def fit_standardization(x: FloatArray, rows: IntArray | None = None) -> Standardization:
    """Measure means and standard deviations; constant columns get standard deviation one.

    Works in chunks, so that a memory-mapped `x` may be larger than memory.

    Args:
        x: Sample, shape ``(n, n_columns)``.
        rows: Rows to measure, None for all.

    Returns:
        The standardisation.

    Examples:
        >>> scaling = fit_standardization(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaling.means, scaling.stds
        (array([2., 5.]), array([1., 1.]))
    """
    chosen = np.arange(len(x)) if rows is None else rows
    n, zero = len(chosen), np.zeros(x.shape[1])
    means = sum((c.sum(axis=0, dtype=np.float64) for c in _chunks(x, chosen)), zero) / n
    variances = sum((np.square(c - means).sum(axis=0) for c in _chunks(x, chosen)), zero) / n
    lowest = np.min([c.min(axis=0) for c in _chunks(x, chosen)], axis=0)
    highest = np.max([c.max(axis=0) for c in _chunks(x, chosen)], axis=0)
    is_spread = (highest > lowest) & (variances > 0.0)  # squares of tiny numbers underflow
    return Standardization(means, np.where(is_spread, np.sqrt(variances), 1.0))


def _chunks(x: FloatArray, rows: IntArray) -> Iterator[FloatArray]:
    for start in range(0, len(rows), _CHUNK):
        yield x[rows[start : start + _CHUNK]]
