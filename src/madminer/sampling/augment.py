"""Drawn samples, and the joint quantities that follow from the weights of their events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.sampling.draws import Targets, draw_events
from madminer.sampling.joint import joint_ratio, joint_score
from madminer.sampling.points import Points
from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["DrawnSample", "draw_sample", "sample_ratio", "sample_score", "signs"]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSample:
    """Events drawn at several parameter points, in equal numbers for each set of points.

    Args:
        rows: Rows of the events in the file, shape ``(n_samples,)``.
        weights: Weights at the benchmarks, shape ``(n_samples, n_benchmarks)``.
        sums: Sums of the weights of the events that each set was drawn from, shape
            ``(n_sets, n_benchmarks)``.
        sets: Set of points that each sample belongs to, shape ``(n_samples,)``.
        n_effective: Effective number of events at the point of each sample, or the smallest.
        is_negative: Whether the weight of each sample is negative.
    """

    rows: IntArray
    weights: FloatArray
    sums: FloatArray
    sets: IntArray
    n_effective: FloatArray
    is_negative: BoolArray


def draw_sample(
    table: WeightTable,
    targets: Targets,
    sets: IntArray,
    rng: np.random.Generator,
    n_eff_forced: float | None,
    *,
    individually: bool = True,
) -> DrawnSample:
    """Draw events at the points of each set.

    Args:
        table: Weights of the events to draw from.
        targets: Distributions to draw from; set s takes number ``s % len(targets)``.
        sets: Set that each sample belongs to, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: See `madminer.sampling.draws.draw_events`.
        individually: See there.

    Returns:
        The sample.
    """
    points = sets % len(targets)
    draws = draw_events(table, targets, points, rng, n_eff_forced, individually=individually)
    return DrawnSample(
        rows=table.rows[draws.events],
        weights=np.take(table.weights, draws.events, axis=0),
        sums=(targets.factors @ table.sums)[np.arange(sets[-1] + 1) % len(targets)],
        sets=sets,
        n_effective=draws.n_effective[points],
        is_negative=draws.is_negative,
    )


def sample_ratio(sample: DrawnSample, points0: Points, points1: Points) -> FloatArray:
    """Joint likelihood ratio of each drawn event.

    Args:
        sample: The sample.
        points0: Points of the numerator; set s takes number ``s % len(points0)``.
        points1: Points of the denominator, likewise.

    Returns:
        Ratios, shape ``(n_samples,)``.
    """
    sets = np.arange(len(sample.sums))
    return joint_ratio(
        _form(points0.coefficients, sample.sets, sample.weights),
        _form(points1.coefficients, sample.sets, sample.weights),
        _form(points0.coefficients, sets, sample.sums)[sample.sets],
        _form(points1.coefficients, sets, sample.sums)[sample.sets],
    )


def sample_score(sample: DrawnSample, points: Points) -> FloatArray:
    """Joint score of each drawn event.

    Args:
        sample: The sample.
        points: Points at which it is evaluated; set s takes number ``s % len(points)``.

    Returns:
        Scores, shape ``(n_samples, n_parameters)``.
    """
    sets = np.arange(len(sample.sums))
    slopes = [points.gradients[:, j] for j in range(points.gradients.shape[1])]
    return joint_score(
        _form(points.coefficients, sample.sets, sample.weights),
        np.stack([_form(slope, sample.sets, sample.weights) for slope in slopes], axis=1),
        _form(points.coefficients, sets, sample.sums)[sample.sets],
        np.stack([_form(slope, sets, sample.sums) for slope in slopes], axis=1)[sample.sets],
    )


def signs(sample: DrawnSample) -> FloatArray:
    """+1, or -1 where the weight of a drawn event is negative, shape ``(n_samples, 1)``."""
    return np.where(sample.is_negative, -1.0, 1.0)[:, np.newaxis]


def _form(coefficients: FloatArray, sets: IntArray, rows: FloatArray) -> FloatArray:
    """One linear form a row, shape ``(n_samples,)``."""
    if len(coefficients) == 1:
        single: FloatArray = rows @ coefficients[0]
        return single
    many: FloatArray = np.einsum(
        "nb,nb->n", np.take(coefficients, sets % len(coefficients), axis=0), rows
    )
    return many
