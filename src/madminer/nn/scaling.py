r"""Scaling between user and network: :math:`x' = (x - \mu)/\sigma`, and so for theta and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from madminer.errors import ShapeError
from madminer.nn.data import chunks
from madminer.typing import FloatArray, IntArray

Scaler = Callable[[FloatArray], FloatArray]
"""What is done to the rows of a column before the network sees them."""

_ROUNDING = 1e-10  # of the largest component

THETAS = ("theta", "theta0", "theta1")
"""Columns that hold parameter points."""

SCORES = ("t_xz", "t_xz0", "t_xz1")
"""Columns that hold joint scores."""


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


def fit_scaling(
    samples: Sequence[FloatArray], rows: IntArray | None, transform: bool
) -> Standardization:
    """Measure the scaling of columns in some rows of several samples; none without `transform`."""
    if transform:
        return fit_standardization(samples, rows)
    return identity_standardization(samples[0].shape[1])


def score_sizes(t_xz: FloatArray, sample_weight: FloatArray | None = None) -> FloatArray:
    r"""Typical size of each component of scores.

    .. math:: \sigma_i = \sqrt{\sum_e |w_e|\, t_{ei}^2 / \sum_e |w_e|}

    Args:
        t_xz: Scores, shape ``(n, n_parameters)``.
        sample_weight: Weights of the events, shape ``(n,)``; None for one each.

    Returns:
        Root mean squares, shape ``(n_parameters,)``; zero for a component that is rounding only.
    """
    total, norm, start = np.zeros(t_xz.shape[1]), 0.0, 0
    for part in chunks(t_xz):
        rows = slice(start, start + len(part))
        weight = np.ones(len(part)) if sample_weight is None else np.abs(sample_weight[rows])
        total += weight @ np.square(part, dtype=np.float64)
        norm += float(weight.sum())
        start = rows.stop
    sizes = np.sqrt(total / norm) if norm > 0.0 else np.zeros(len(total))
    return np.where(sizes > _ROUNDING * sizes.max(initial=0.0), sizes, 0.0)


def column_scalers(
    x_scaling: Standardization, features: list[int] | None, theta_scaling: Standardization | None
) -> dict[str, Scaler]:
    r"""Functions that scale a column, by its name; columns without one stay as they are.

    .. math:: x' = \frac{x - \mu_x}{\sigma_x}, \qquad
        \theta' = \frac{\theta - \mu_\theta}{\sigma_\theta}, \qquad
        t' = \nabla_{\theta'} \log p = \sigma_\theta\, t

    Of x only the features are kept, all for None. Without `theta_scaling` the network does not see
    the parameters, and scores stay as they are.
    """
    selected = x_scaling.select(features)

    def scale_x(x: FloatArray) -> FloatArray:
        return selected.transform(x if features is None else x[:, features])

    if theta_scaling is None:
        return {"x": scale_x}
    stds = theta_scaling.stds
    return {
        "x": scale_x,
        **dict.fromkeys(THETAS, theta_scaling.transform),
        **dict.fromkeys(SCORES, lambda t: t * stds),
    }
