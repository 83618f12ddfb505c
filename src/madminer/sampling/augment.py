"""Drawn samples, and the joint quantities that follow from the weights of their events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.io.event_file import EventFile
from madminer.sampling.draws import Targets, draw_events
from madminer.sampling.joint import joint_ratio, joint_score
from madminer.sampling.table import WeightTable
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["DrawnSample", "draw_sample", "sample_ratio", "sample_score", "signs"]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSample:
    """Events drawn at several parameter points, in equal numbers for each set of points.

    Args:
        x: Observables, shape ``(n_samples, n_observables)``.
        weights: Weights at the benchmarks, shape ``(n_samples, n_benchmarks)``.
        sums: Sums of the weights of the events that each set was drawn from, shape
            ``(n_sets, n_benchmarks)``.
        sets: Set of points that each sample belongs to, shape ``(n_samples,)``.
        n_effective: Effective number of events at the point of each sample.
        is_negative: Whether the weight of each sample is negative.
    """

    x: FloatArray
    weights: FloatArray
    sums: FloatArray
    sets: IntArray
    n_effective: FloatArray
    is_negative: BoolArray


def draw_sample(
    event_file: EventFile,
    table: WeightTable,
    targets: Targets,
    sets: IntArray,
    rng: np.random.Generator,
    n_eff_forced: float | None,
) -> DrawnSample:
    """Draw events and read their observables.

    Args:
        event_file: The events.
        table: Weights of the events to draw from.
        targets: Distributions to draw from; set s takes number ``s % len(targets)``.
        sets: Set that each sample belongs to, shape ``(n_samples,)``.
        rng: Source of randomness.
        n_eff_forced: See `madminer.sampling.draws.draw_events`.

    Returns:
        The sample.
    """
    points = sets % len(targets)
    draws = draw_events(table, targets, points, rng, n_eff_forced)
    return DrawnSample(
        x=event_file.rows(table.rows[draws.events]),
        weights=table.weights[draws.events],
        sums=(targets.factors @ table.sums)[np.arange(sets[-1] + 1) % len(targets)],
        sets=sets,
        n_effective=draws.n_effective[points],
        is_negative=draws.is_negative,
    )


def sample_ratio(
    sample: DrawnSample, coefficients0: FloatArray, coefficients1: FloatArray
) -> FloatArray:
    """Joint likelihood ratio of each drawn event.

    Args:
        sample: The sample.
        coefficients0: Coefficients at the points of the numerator, shape
            ``(n_points, n_benchmarks)``; set s takes number ``s % n_points``.
        coefficients1: Coefficients at the points of the denominator, likewise.

    Returns:
        Ratios, shape ``(n_samples,)``.
    """
    sets = np.arange(len(sample.sums))
    return joint_ratio(
        _form(coefficients0, sample.sets, sample.weights),
        _form(coefficients1, sample.sets, sample.weights),
        _form(coefficients0, sets, sample.sums)[sample.sets],
        _form(coefficients1, sets, sample.sums)[sample.sets],
    )


def sample_score(
    sample: DrawnSample, coefficients: FloatArray, gradients: FloatArray
) -> FloatArray:
    """Joint score of each drawn event.

    Args:
        sample: The sample.
        coefficients: Coefficients of the weights at the points, shape
            ``(n_points, n_benchmarks)``; set s takes number ``s % n_points``.
        gradients: Coefficients of their gradients, shape
            ``(n_points, n_parameters, n_benchmarks)``.

    Returns:
        Scores, shape ``(n_samples, n_parameters)``.
    """
    sets = np.arange(len(sample.sums))
    slopes = [gradients[:, j] for j in range(gradients.shape[1])]
    return joint_score(
        _form(coefficients, sample.sets, sample.weights),
        np.stack([_form(slope, sample.sets, sample.weights) for slope in slopes], axis=1),
        _form(coefficients, sets, sample.sums)[sample.sets],
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
    many: FloatArray = np.einsum("nb,nb->n", coefficients[sets % len(coefficients)], rows)
    return many
