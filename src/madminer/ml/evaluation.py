"""Evaluation of networks of theta and x on what users ask for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from madminer.errors import DataError, ShapeError
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.scaling import Standardization
from madminer.typing import FloatArray

Blocks = Iterable[tuple[slice, Tensor]]
"""Rows of x and their scaled features, a block at a time."""


class ScaledParameters:
    r"""Parameters and scores between the units of the user and those of the network.

    .. math:: \theta' = \frac{\theta - \mu}{\sigma}, \qquad
        \nabla_\theta = \frac{1}{\sigma} \nabla_{\theta'}

    Args:
        scaling: Scaling of the parameters, None for none.
        like: A tensor of the network: its device and precision are taken.
    """

    def __init__(self, scaling: Standardization | None, like: Tensor) -> None:
        self._scaling = scaling
        self._like = like

    def scale(self, theta: FloatArray) -> Tensor:
        """Scale parameters, shape ``(n, n_parameters)``."""
        scaled = theta if self._scaling is None else self._scaling.transform(theta)
        tensor = torch.as_tensor(scaled).to(self._like)
        if not torch.isfinite(tensor).all():
            raise DataError(f"theta is too large for {self._like.dtype} numbers.")
        return tensor

    def unscale_score(self, score: Tensor) -> FloatArray:
        """Bring scores into inverse units of the parameters, shape ``(..., n_parameters)``."""
        values: FloatArray = score.cpu().numpy()
        return values if self._scaling is None else values / self._scaling.stds


def evaluate_combinations(
    network: ConditionalNetwork,
    blocks: Blocks,
    n_x: int,
    theta: FloatArray,
    parameters: ScaledParameters,
    *,
    with_score: bool,
) -> tuple[FloatArray, FloatArray | None]:
    """Evaluate every x at every theta.

    Args:
        network: The network.
        blocks: Scaled features of x.
        n_x: Number of observations.
        theta: Parameters in units of the user, shape ``(n_thetas, n_parameters)``.
        parameters: Scaling of the parameters.
        with_score: Whether to evaluate the score too.

    Returns:
        Values, shape ``(n_thetas, n_x)``, and scores, shape ``(n_thetas, n_x, n_parameters)``, or
        None.
    """
    points = parameters.scale(theta)
    values = np.empty((len(theta), n_x))
    scores = np.empty((*values.shape, theta.shape[1])) if with_score else None
    for rows, features in blocks:
        if scores is None:
            found = network.log_f_grid(points, features)
        else:
            found, gradients = network.log_f_score_grid(points, features)
            scores[:, rows] = parameters.unscale_score(gradients)
        values[:, rows] = found.cpu().numpy()
    return values, scores


def evaluate_pairs(
    network: ConditionalNetwork,
    blocks: Blocks,
    n_x: int,
    theta: FloatArray,
    parameters: ScaledParameters,
    *,
    with_score: bool,
) -> tuple[FloatArray, FloatArray | None]:
    r"""Evaluate :math:`x_i` at :math:`\theta_i`, or every x at a single theta.

    Args:
        network: The network.
        blocks: Scaled features of x.
        n_x: Number of observations.
        theta: Parameters in units of the user, shape ``(n_x, n_parameters)`` or
            ``(1, n_parameters)``.
        parameters: Scaling of the parameters.
        with_score: Whether to evaluate the score too.

    Returns:
        Values, shape ``(n_x,)``, and scores, shape ``(n_x, n_parameters)``, or None.

    Raises:
        ShapeError: If there is neither one theta nor one for each x.
    """
    check_pairs(n_x, len(theta))
    if len(theta) == 1:
        values, scores = evaluate_combinations(
            network, blocks, n_x, theta, parameters, with_score=with_score
        )
        return values[0], None if scores is None else scores[0]
    values = np.empty(n_x)
    scores = np.empty(theta.shape) if with_score else None
    with torch.no_grad():
        for rows, features in blocks:
            points = parameters.scale(theta[rows])
            if scores is None:
                found = network.log_f(points, features)
            else:
                found, gradients = network.log_f_and_score(points, features)
                scores[rows] = parameters.unscale_score(gradients)
            values[rows] = found.cpu().numpy()
    return values, scores


def check_pairs(n_x: int, n_thetas: int) -> None:
    """Refuse numbers of thetas that do not pair with the observations.

    Raises:
        ShapeError: If there is neither one theta nor one for each x.
    """
    if n_thetas not in {1, n_x}:
        raise ShapeError(
            f"Pairwise evaluation needs one theta, or one for each of the {n_x} observations; got "
            f"{n_thetas}. For all combinations set test_all_combinations=True."
        )
