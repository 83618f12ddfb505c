r"""Weighted means of symmetric matrices over events, with their covariance.

.. math::

    M = \frac{\sum_e w_e\, q_e}{\sum_e w_e}, \qquad
    \mathrm{Cov}(M) = \frac{\sum_e w_e^2\, (q_e - M)(q_e - M)}{(\sum_e w_e)^2},

the delta method for a ratio of sums over events. Only sums are kept, so events come in batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.errors import DataError, NoEventsError
from madminer.stats.information import symmetric_pairs, unfold_pairs
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MatrixEstimate:
    """A matrix that was averaged over events, with the covariance of this average.

    Args:
        value: Shape ``(m, m)``.
        covariance: From the finite number of events, shape ``(m, m, m, m)``.
    """

    value: FloatArray
    covariance: FloatArray

    @property
    def errors(self) -> FloatArray:
        """Standard errors of the elements, shape ``(m, m)``."""
        variances = np.einsum("ijij->ij", self.covariance)
        errors: FloatArray = np.sqrt(np.maximum(variances, 0.0))
        return errors

    def along(self, direction: FloatArray) -> tuple[float, float]:
        r""":math:`v^T M v` and its standard error, for a vector v of shape ``(m,)``."""
        v = direction
        variance = np.einsum("i,j,ijkl,k,l", v, v, self.covariance, v, v, optimize=True)
        return float(v @ self.value @ v), float(np.sqrt(max(variance, 0.0)))

    def scaled(self, factor: float) -> MatrixEstimate:
        """The same for a number of events instead of one."""
        return MatrixEstimate(factor * self.value, factor**2 * self.covariance)

    def plus(self, value: FloatArray, covariance: FloatArray) -> MatrixEstimate:
        """The sum with an independent matrix, shapes ``(m, m)`` and ``(m, m, m, m)``."""
        return MatrixEstimate(self.value + value, self.covariance + covariance)


class MatrixMean:
    """Mean of a symmetric matrix over weighted events, summed batch by batch.

    Args:
        n_rows: Rows n of the matrix.

    Examples:
        >>> mean = MatrixMean(1)
        >>> mean.add(np.array([[1.0], [3.0]]), np.ones(2))
        >>> mean.estimate().value, mean.estimate().errors
        (array([[2.]]), array([[0.70710678]]))
    """

    def __init__(self, n_rows: int) -> None:
        n_pairs = len(symmetric_pairs(n_rows)[0])
        self.n_rows = n_rows
        self.sum_of_weights = self._sum_of_squares = 0.0
        self._values, self._squared = np.zeros(n_pairs), np.zeros(n_pairs)  # w q, w^2 q
        self._products = np.zeros((n_pairs, n_pairs))  # w^2 q q

    def add(self, values: FloatArray, weights: FloatArray) -> None:
        """Add events.

        Args:
            values: Upper triangles of the matrices q, in the order of
                `madminer.stats.information.symmetric_pairs`, shape ``(n, n_pairs)``.
            weights: Weights of the events in any unit, shape ``(n,)``.

        Raises:
            DataError: If a number is not finite.
        """
        weighted = weights[:, np.newaxis] * values
        values_sum = weighted.sum(axis=0)
        if not np.isfinite(values_sum).all():
            raise DataError("Scores and weights must be finite.")
        self._values += values_sum
        self._squared += weights @ weighted
        self._products += weighted.T @ weighted
        self.sum_of_weights += float(weights.sum())
        self._sum_of_squares += float(weights @ weights)

    def __add__(self, other: MatrixMean) -> MatrixMean:
        """The mean over the events of both."""
        total = MatrixMean(self.n_rows)
        for name in vars(total).keys() - {"n_rows"}:
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    @property
    def n_effective(self) -> float:
        r"""Effective number of events, :math:`(\sum w)^2 / \sum w^2`; 0 without events."""
        squares = self._sum_of_squares
        return self.sum_of_weights**2 / squares if squares else 0.0

    def estimate(self) -> MatrixEstimate:
        """The mean and its covariance.

        Raises:
            NoEventsError: If the weights do not add up to a positive number.
        """
        if not self.sum_of_weights > 0.0:
            raise NoEventsError(
                f"The weights of the events add up to {self.sum_of_weights:g}; means over them "
                "need a positive total. Take more events, or a larger test_split."
            )
        mean = self._values / self.sum_of_weights
        spread = np.outer(mean, self._squared)
        covariance = self._products - spread - spread.T
        covariance += self._sum_of_squares * np.outer(mean, mean)
        value = np.zeros((self.n_rows, self.n_rows))
        rows, columns = symmetric_pairs(self.n_rows)
        value[rows, columns] = value[columns, rows] = mean
        return MatrixEstimate(value, unfold_pairs(covariance / self.sum_of_weights**2))
