"""Held-out events for calibrations, from files, each with its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.response import EventResponse
from madminer.analysis.weights import parameter_points
from madminer.errors import NegativeWeightError, SetupError
from madminer.ml.inputs import DataLike, load_thetas
from madminer.sampling.augment import joint_ratio
from madminer.sampling.weighted import WeightedSample, weighted_sample
from madminer.typing import FloatArray, StrPath

Partition: TypeAlias = tuple[str, float | None, float | None]
"""Name of a partition, and the fractions of events kept for testing and for validation."""


def joint_ratio_sample(
    filename: StrPath, theta: FloatArray, theta1: FloatArray, partition: Partition
) -> tuple[FloatArray, FloatArray, FloatArray]:
    r"""Take the events of a partition with :math:`r(x, z|\theta_k, \theta_1)`.

    Args:
        filename: Event file.
        theta: Numerators, shape ``(n_thetas, m)`` with m = p parameters, or m = p + v with
            nuisance parameters in the last columns.
        theta1: The reference, shape ``(1, m)``.
        partition: Which events.

    Returns:
        Observables, shape ``(n, n_observables)``; joint ratios at each theta, of mean one, shape
        ``(n_thetas, n)``; weights at the reference in pb, shape ``(n,)``.

    Raises:
        SetupError: If the file has other parameters.
        NegativeWeightError: If weights do not add up to a positive cross section at one of the
            points.
        DataError: If an event has weight zero at the reference.
    """
    analyzer = DataAnalyzer(filename)
    positions = np.vstack([theta1, theta])
    p = _n_theory_parameters(analyzer, positions.shape[1])
    start, stop, _ = partition_range(analyzer.n_samples, *partition)
    is_known = analyzer.event_file.has_sampling_benchmarks
    x, benchmark_weights = analyzer.weighted_events(
        start_event=start,
        end_event=stop,
        generated_close_to=positions[0, :p] if is_known else None,
    )
    nus = positions[:, p:] if positions.shape[1] > p else None
    points = parameter_points(analyzer.setup, list(positions[:, :p]), nus)
    weights: FloatArray = points.coefficients @ benchmark_weights.T
    if not points.is_nominal:
        weights *= EventResponse.of(analyzer.response, benchmark_weights).factors(points)
    sigmas = weights.sum(axis=1)
    if not np.all(sigmas > 0.0):
        worst = int(np.argmin(sigmas))
        raise NegativeWeightError(
            f"The weights of {len(x)} events at {positions[worst].tolist()} add up to "
            f"{sigmas[worst]} pb, but must be positive: use more events, or a theta closer to "
            f"those generated."
        )
    ratios = joint_ratio(weights[1:], weights[0], sigmas[1:, np.newaxis], sigmas[:1])
    return x, ratios, weights[0]


def joint_score_sample(
    filename: StrPath, theta: FloatArray, partition: Partition
) -> WeightedSample:
    """Take the events of a partition with weights and joint scores at a point.

    The point has shape ``(p,)``, or ``(p + v,)`` for scores of nuisance parameters, too. See
    `madminer.sampling.weighted.weighted_sample` for the errors.
    """
    analyzer = DataAnalyzer(filename)
    p = _n_theory_parameters(analyzer, len(theta))
    nu, (name, test_split, validation_split) = theta[p:] if len(theta) > p else None, partition
    return weighted_sample(
        analyzer,
        theta[:p],
        partition=name,
        test_split=test_split,
        validation_split=validation_split,
        nu=nu,
        nuisance_score=nu is not None,
    )


def load_points(
    theta: DataLike | str | Sequence[str], filename: StrPath, m: int, name: str = "theta"
) -> FloatArray:
    """Get parameter points, of which some may be names of benchmarks.

    Args:
        theta: A name, names, or numbers, shape ``(m,)`` or ``(n, m)``.
        filename: Event file, whose benchmarks these are.
        m: Number of parameters of the estimator.
        name: What the points are called in messages.

    Returns:
        The points, shape ``(n, m)``; nuisance parameters of benchmarks are zero.

    Raises:
        UnknownNameError: If there is no such benchmark.
        ShapeError: If the number of parameters differs.
        DataError: If a value is not finite.
    """
    names = [theta] if isinstance(theta, str) else theta
    if isinstance(names, Sequence) and names and all(isinstance(one, str) for one in names):
        analyzer = DataAnalyzer(filename)
        p = _n_theory_parameters(analyzer, m)
        points = np.zeros((len(names), m))
        points[:, :p] = [analyzer.setup.theta(str(one)) for one in names]
        return points
    return load_thetas(theta, m, name)


def _n_theory_parameters(analyzer: DataAnalyzer, m: int) -> int:
    """Number of theory parameters, where points must have m parameters in all."""
    p, v = analyzer.n_parameters, analyzer.n_nuisance_parameters
    if m not in {p, p + v}:
        raise SetupError(
            f"The estimator knows {m} parameters, but {analyzer.madminer_filename} has {p} theory "
            f"parameters and {v} nuisance parameters."
        )
    return p
