"""Where along an observable the rate changes and the information sits."""

from __future__ import annotations

import numpy as np

from madminer.fisherinformation.cells import Axis, Batches, cell_indices
from madminer.fisherinformation.kinematic import ScoreModel, estimated_scores
from madminer.fisherinformation.response import CellResponse
from madminer.stats.information import symmetric_pairs
from madminer.typing import FloatArray, IntArray

__all__ = ["model_slices", "truth_slices"]


def truth_slices(
    batches: Batches, axis: Axis, response: CellResponse, luminosity: float
) -> FloatArray:
    """Information of fully observed events in each slice.

    Args:
        batches: Events.
        axis: Observable and edges of the slices.
        response: Cross section and gradient at the parameter point.
        luminosity: Integrated luminosity in pb^-1.

    Returns:
        Information, shape ``(n_edges + 1, m, m)``.
    """
    n_cells = len(axis[1]) + 1
    total = np.zeros((n_cells, response.n_parameters, response.n_parameters))
    for x, weights in batches:
        sigma, gradient = response.sigma(weights), response.gradient(weights)
        inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
        total += _outer_sums(gradient, inverse, cell_indices(x, [axis]), n_cells)
    return luminosity * total


def model_slices(
    batches: Batches,
    axis: Axis,
    response: CellResponse,
    estimator: ScoreModel,
    theta: FloatArray,
    rate_score: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    r"""Sums of :math:`w (t + g)(t + g)^T` over the events of each slice, and of w.

    The score of the density plus that of the total rate, :math:`g = d\sigma / \sigma`, is the
    score of the differential cross section: the slices add up to the full information.

    Args:
        batches: Events.
        axis: Observable and edges of the slices.
        response: Gives the weights at theta.
        estimator: Score estimator or single ratio estimator.
        theta: Parameter point of the estimator, shape ``(m,)``.
        rate_score: g, shape ``(m,)``.

    Returns:
        Sums of outer products in pb, shape ``(n_edges + 1, m, m)``, and of weights in pb, shape
        ``(n_edges + 1,)``.
    """
    n_cells = len(axis[1]) + 1
    total, sums = np.zeros((n_cells, len(theta), len(theta))), np.zeros(n_cells)
    for x, weights in batches:
        if len(x):
            sigma, cells = response.sigma(weights), cell_indices(x, [axis])
            scores = estimated_scores(estimator, x, theta) + rate_score
            total += _outer_sums(scores, sigma, cells, n_cells)
            sums += np.bincount(cells, weights=sigma, minlength=n_cells)
    return total, sums


def _outer_sums(
    vectors: FloatArray, weights: FloatArray, cells: IntArray, n_cells: int
) -> FloatArray:
    m = vectors.shape[1]
    result = np.zeros((n_cells, m, m))
    for i, j in zip(*symmetric_pairs(m), strict=True):
        values = weights * vectors[:, i] * vectors[:, j]
        result[:, i, j] = result[:, j, i] = np.bincount(cells, values, minlength=n_cells)
    return result
