"""A polynomial of second degree in the observables: what can be learned without training.

Its coefficients are those of weighted least squares, known in closed form; a network that finds
less than this has not learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from madminer.typing import FloatArray

_SCALE = 3.0  # observables are bounded to some standard deviations, so that tails do no harm
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """A polynomial of second degree in bounded observables, fitted by weighted least squares.

    Args:
        mean: Means of the observables, shape ``(n_observables,)``.
        std: Their standard deviations, shape ``(n_observables,)``.
        coefficients: Shape ``(n_terms, m)``.
    """

    mean: FloatArray
    std: FloatArray
    coefficients: FloatArray

    @classmethod
    def fit(cls, x: FloatArray, target: FloatArray, weights: FloatArray) -> Self:
        """Fit targets, shape ``(n, m)``, of events, shape ``(n, n_observables)``."""
        w = np.abs(weights) / np.abs(weights).sum()
        mean = w @ x
        std = np.sqrt(w @ (x - mean) ** 2)
        std = np.where(std > 0.0, std, 1.0)
        terms = _terms((x - mean) / std)
        weighted = terms * (weights / np.abs(weights).sum())[:, np.newaxis]
        gram = terms.T @ weighted + _RIDGE * np.eye(terms.shape[1])
        return cls(mean, std, np.linalg.solve(gram, weighted.T @ target))

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values, shape ``(n, m)``."""
        values: FloatArray = _terms((x - self.mean) / self.std) @ self.coefficients
        return values

    @classmethod
    def fit_predict(
        cls,
        x: FloatArray,
        target: FloatArray,
        weights: FloatArray,
        others: tuple[FloatArray, FloatArray, FloatArray] | None,
    ) -> FloatArray:
        """Predict targets of events by a fit to other ones.

        Args:
            x: Observables, shape ``(n, n_observables)``.
            target: What is to be predicted, shape ``(n, m)``.
            weights: Weights, shape ``(n,)``.
            others: Observables, targets and weights of the events to fit; None: each half of the
                events is predicted by a fit to the other half.

        Returns:
            Predictions, shape ``(n, m)``.
        """
        if others is not None:
            return cls.fit(*others)(x)
        predicted = np.empty_like(target)
        for fold in (0, 1):
            here, there = slice(fold, None, 2), slice(1 - fold, None, 2)
            predicted[here] = cls.fit(x[there], target[there], weights[there])(x[here])
        return predicted


def _terms(z: FloatArray) -> FloatArray:
    """1, z and all products of two, of standardised observables."""
    bounded = _SCALE * np.tanh(z / _SCALE)
    rows, columns = np.triu_indices(z.shape[1])
    return np.hstack([np.ones((len(z), 1)), bounded, bounded[:, rows] * bounded[:, columns]])
