r"""Standardisation of columns, :math:`x' = (x - \mu)/\sigma`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from madminer.errors import ShapeError
from madminer.nn.data import chunks
from madminer.typing import FloatArray, IntArray

__all__ = ["Standardization", "fit_standardization", "identity_standardization"]


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


def fit_standardization(
    x: FloatArray | Sequence[FloatArray], rows: IntArray | None = None
) -> Standardization:
    """Measure means and standard deviations; constant columns get standard deviation one.

    The sample is read once, in pieces, so that a memory-mapped one may be larger than memory.

    Args:
        x: Sample, shape ``(n, n_columns)``, or several that are measured as one.
        rows: Rows to measure of each, None for all.

    Returns:
        The standardisation.

    References:
        Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for computing sample
        variances* (1979), Eq. (2.1).

    Examples:
        >>> scaling = fit_standardization(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaling.means, scaling.stds
        (array([2., 5.]), array([1., 1.]))
    """
    n, means, squares = 0, np.zeros(()), np.zeros(())
    lowest, highest = np.array(np.inf), np.array(-np.inf)
    for sample in [x] if isinstance(x, np.ndarray) else x:
        for values in chunks(sample, rows):
            part = values.astype(np.float64)
            part_means = part.mean(axis=0)
            shift, share = part_means - means, len(part) / (n + len(part))
            lowest = np.minimum(lowest, part.min(axis=0))
            highest = np.maximum(highest, part.max(axis=0))
            part -= part_means
            squares = squares + np.einsum("ij,ij->j", part, part) + n * share * shift**2
            means = means + share * shift
            n += len(part)
    variances = squares / n
    is_spread = (highest > lowest) & (variances > 0.0)  # squares of tiny numbers underflow
    return Standardization(means, np.where(is_spread, np.sqrt(variances), 1.0))
