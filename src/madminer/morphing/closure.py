r"""Closure of morphing: how well it predicts weights that are known.

The weights at benchmarks outside the basis, or at more benchmarks than components, test morphing:

.. math::

    \hat w_{ib} = \sum_{b'} W_{b'}(\theta_b)\, w_{ib'}, \qquad
    \frac{\sum_i \hat w_{ib}}{\sum_i w_{ib}} - 1, \qquad
    \left( \frac{\sum_i (\hat w_{ib} - w_{ib})^2}{\sum_i w_{ib}^2} \right)^{1/2}

Beyond the digits of the weights, times the cancellations of the basis, they deviate if a largest
power is too small, benchmarks are not where the setup has them, or a reweighting went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, NoEventsError, ShapeError
from madminer.morphing.weights import morphing_weights
from madminer.typing import FloatArray, IntArray

TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MorphingClosure:
    """Predicted and known weights of events at the benchmarks.

    Args:
        known: Sums of the known weights in pb, shape ``(n_benchmarks,)``.
        predicted: Sums of the predicted weights in pb, shape ``(n_benchmarks,)``.
        deviations: Relative deviations of the sums, shape ``(n_benchmarks,)``.
        event_deviations: Root mean squares of the relative deviations of single events, which
            count with their squared weights, shape ``(n_benchmarks,)``.
        n_events: Number of events.
        n_tests: Number of benchmarks minus number of components: with 0, the predictions are true
            by construction and nothing is tested.
    """

    known: FloatArray
    predicted: FloatArray
    deviations: FloatArray
    event_deviations: FloatArray
    n_events: int
    n_tests: int

    @property
    def largest_deviation(self) -> float:
        """Largest deviation of single events, over the benchmarks."""
        return float(self.event_deviations.max())

    @property
    def worst_benchmark(self) -> int:
        """Benchmark with the largest deviation of single events."""
        return int(np.argmax(self.event_deviations))

    def is_closed(self, tolerance: float = TOLERANCE) -> bool:
        """Whether no benchmark deviates by more than `tolerance`, in sums or in single events."""
        largest = max(self.largest_deviation, float(np.abs(self.deviations).max()))
        return largest <= tolerance


def morphing_closure(
    weights: ArrayLike, thetas: ArrayLike, components: IntArray, matrix: FloatArray
) -> MorphingClosure:
    """Compare the weights at benchmarks with what morphing predicts.

    Args:
        weights: Weights of events in pb, shape ``(n, n_benchmarks)``; the basis comes first.
        thetas: Positions of the benchmarks, shape ``(n_benchmarks, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.

    Returns:
        The comparison.

    Raises:
        ShapeError: If the numbers of benchmarks or parameters differ.
        NoEventsError: If there are no events, or all weights at a benchmark are zero.
        DataError: If weights are not finite.

    Examples:
        A quartic weight does not close with a quadratic polynomial:

        >>> thetas = np.array([[-1.0], [0.0], [1.0], [2.0]])
        >>> components = np.array([[0], [1], [2]])
        >>> matrix = np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.5], [0.5, -1.0, 0.5]])
        >>> morphing_closure([1.0 + thetas[:, 0] ** 2], thetas, components, matrix).deviations
        array([0., 0., 0., 0.])
        >>> morphing_closure([1.0 + thetas[:, 0] ** 4], thetas, components, matrix).deviations
        array([ 0.        ,  0.        ,  0.        , -0.70588235])
    """
    return morphing_closure_of_batches([weights], thetas, components, matrix)


def morphing_closure_of_batches(
    batches: Iterable[ArrayLike], thetas: ArrayLike, components: IntArray, matrix: FloatArray
) -> MorphingClosure:
    """Compare weights with what morphing predicts, for more events than fit in memory.

    Args:
        batches: Weights of events, shape ``(n_batch, n_benchmarks)`` each.
        thetas: Positions of the benchmarks, as in `morphing_closure`.
        components: Powers.
        matrix: Morphing matrix.

    Returns:
        The comparison, as from `morphing_closure` of all events.

    Raises:
        ShapeError: If the numbers of benchmarks or parameters differ.
        NoEventsError: If there are no events, or all weights at a benchmark are zero.
        DataError: If weights are not finite.
    """
    coefficients = morphing_weights(thetas, components, matrix)  # (n_benchmarks, n_basis)
    n_benchmarks, n_basis = coefficients.shape
    if n_basis > n_benchmarks:
        raise ShapeError(
            f"The morphing matrix has {n_basis} benchmarks, but positions are given for "
            f"{n_benchmarks}. Give all benchmarks, those of the basis first."
        )
    n_events = 0
    known, predicted, squares, squared_deviations = np.zeros((4, n_benchmarks))
    for batch in batches:
        weights = _checked(batch, n_benchmarks)
        predictions = weights[:, :n_basis] @ coefficients.T
        n_events += len(weights)
        known += weights.sum(axis=0)
        predicted += predictions.sum(axis=0)
        squares += np.sum(weights**2, axis=0)
        squared_deviations += np.sum((predictions - weights) ** 2, axis=0)
    if not np.all(known):
        raise NoEventsError(
            f"Closure is relative to the sums of weights, but these are zero for the benchmarks "
            f"number {np.flatnonzero(known == 0).tolist()} of {n_events} events. Leave them out."
        )
    return MorphingClosure(
        known=known,
        predicted=predicted,
        deviations=predicted / known - 1.0,
        event_deviations=np.sqrt(squared_deviations / squares),
        n_events=n_events,
        n_tests=n_benchmarks - len(components),
    )


def _checked(batch: ArrayLike, n_benchmarks: int) -> FloatArray:
    weights = np.asarray(batch, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != n_benchmarks:
        raise ShapeError(
            f"Weights must have the shape (n_events, {n_benchmarks}), one column for each "
            f"benchmark; got {weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise DataError(
            f"Weights must be finite; {np.sum(~np.isfinite(weights))} of {weights.size} are not."
        )
    return weights
