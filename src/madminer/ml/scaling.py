"""Scaling of observables, parameters and scores between user and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from madminer.nn.data import chunks
from madminer.nn.scaling import Standardization, fit_standardization, identity_standardization
from madminer.typing import FloatArray, IntArray

__all__ = [
    "SCORES",
    "THETAS",
    "Prepare",
    "fit_scaling",
    "fit_theta_scaling",
    "preparation",
    "score_sizes",
]

Prepare = Callable[[FloatArray], FloatArray]
"""What is done to the rows of a column before the network sees them."""

_ROUNDING = 1e-10  # of the largest component

THETAS = ("theta", "theta0", "theta1")
"""Columns that hold parameter points."""

SCORES = ("t_xz", "t_xz0", "t_xz1")
"""Columns that hold joint scores."""


def fit_scaling(
    values: FloatArray, rows: IntArray | None = None, *, transform: bool = True
) -> Standardization:
    """Measure the scaling of columns.

    Args:
        values: Sample, shape ``(n, n_columns)``.
        rows: Rows to measure, None for all.
        transform: Whether to scale to zero mean and unit variance, or not at all.

    Returns:
        The scaling.
    """
    if transform:
        return fit_standardization(values, rows)
    return identity_standardization(values.shape[1])


def fit_theta_scaling(
    sample: Mapping[str, FloatArray], rows: IntArray, *, transform: bool = True
) -> Standardization | None:
    """Measure the scaling of the parameters, numerators and denominators together.

    Args:
        sample: Columns by name.
        rows: Rows to measure.
        transform: Whether to scale to zero mean and unit variance, or not at all.

    Returns:
        The scaling, None if the sample has no parameters.
    """
    thetas = [sample[name] for name in THETAS if name in sample]
    if not thetas:
        return None
    if transform:
        return fit_standardization(thetas, rows)
    return identity_standardization(thetas[0].shape[1])


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


def preparation(
    x_scaling: Standardization, features: list[int] | None, theta_scaling: Standardization | None
) -> dict[str, Prepare]:
    r"""How each column is prepared.

    .. math:: x' = \frac{x - \mu_x}{\sigma_x}, \qquad
        \theta' = \frac{\theta - \mu_\theta}{\sigma_\theta}, \qquad
        t' = \nabla_{\theta'} \log p = \sigma_\theta\, t

    Args:
        x_scaling: Scaling of all observables.
        features: Observables that the network sees, None for all.
        theta_scaling: Scaling of the parameters; None: the network does not see them, and scores
            stay as they are.

    Returns:
        Functions by name of the column; columns without one stay as they are.
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
