"""Evaluation of networks on many inputs in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from madminer.nn.networks import MLP

__all__ = ["log_ratio_combinations", "log_ratio_grid", "log_ratio_score_grid", "row_blocks"]

_ROWS = 4096  # rows evaluated at once: the activations of a layer fit into the cache


def row_blocks(n_rows: int, size: int = _ROWS) -> Iterator[slice]:
    """Cut rows into blocks.

    Examples:
        >>> list(row_blocks(5, 3))
        [slice(0, 3, None), slice(3, 5, None)]
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def log_ratio_combinations(network: MLP, theta: Tensor, x: Tensor) -> Tensor:
    r"""Log ratios :math:`f(\theta_j, x_i)` of all combinations at once, with gradients.

    Args:
        network: Network with ``n_parameters + n_features`` inputs and one output.
        theta: Parameters, shape ``(n_thetas, n_parameters)``.
        x: Features, shape ``(n_x, n_features)``.

    Returns:
        Log ratios, differentiable in theta and x, shape ``(n_thetas, n_x)``.
    """
    of_theta, of_x = _first_layer(network, theta, x)
    return network.from_first_layer(of_theta[:, None] + of_x).squeeze(-1)


def log_ratio_grid(network: MLP, theta: Tensor, x: Tensor) -> Tensor:
    r"""Log ratios :math:`f(\theta_j, x_i)` of all combinations.

    The first layer is linear, :math:`z = A\theta + B x + b`, so its two parts are computed once for
    every theta and every x and added for each combination.

    Args:
        network: Network with ``n_parameters + n_features`` inputs and one output.
        theta: Parameters, shape ``(n_thetas, n_parameters)``.
        x: Features, shape ``(n_x, n_features)``.

    Returns:
        Log ratios without gradients, shape ``(n_thetas, n_x)``.
    """
    result = x.new_empty((len(theta), len(x)))

    def evaluate(z: Tensor, thetas: slice, events: slice) -> None:
        values = network.from_first_layer(z.flatten(0, 1))
        result[thetas, events] = values.reshape(z.shape[:2])

    _for_all_combinations(network, theta, x, evaluate)
    return result


def log_ratio_score_grid(network: MLP, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Log ratios and scores :math:`\nabla_\theta f(\theta_j, x_i)` of all combinations.

    Args:
        network: Network with ``n_parameters + n_features`` inputs and one output.
        theta: Parameters, shape ``(n_thetas, n_parameters)``.
        x: Features, shape ``(n_x, n_features)``.

    Returns:
        Log ratios, shape ``(n_thetas, n_x)``, and scores, shape ``(n_thetas, n_x, n_parameters)``,
        both without gradients.
    """
    n_parameters = theta.shape[1]
    result = x.new_empty((len(theta), len(x)))
    scores = x.new_empty((len(theta), len(x), n_parameters))
    weight = network.layer(0).weight[:, :n_parameters]

    def evaluate(z: Tensor, thetas: slice, events: slice) -> None:
        values, slope = network.from_first_layer_with_slope(z.flatten(0, 1))
        result[thetas, events] = values.reshape(z.shape[:2])
        scores[thetas, events] = (slope @ weight).reshape(*z.shape[:2], n_parameters)

    _for_all_combinations(network, theta, x, evaluate)
    return result, scores


def _for_all_combinations(
    network: MLP, theta: Tensor, x: Tensor, evaluate: Callable[[Tensor, slice, slice], None]
) -> None:
    with torch.no_grad():
        for events in row_blocks(len(x)):
            of_theta, of_x = _first_layer(network, theta, x[events])
            for thetas in row_blocks(len(theta), max(1, _ROWS // len(of_x))):
                evaluate(of_theta[thetas, None] + of_x, thetas, events)


def _first_layer(network: MLP, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the first layer that theta makes, and the part that x makes."""
    first, n_parameters = network.layer(0), theta.shape[1]
    of_theta = theta @ first.weight[:, :n_parameters].T
    return of_theta, x @ first.weight[:, n_parameters:].T + first.bias
