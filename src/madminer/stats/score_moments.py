r"""What estimated scores are worth, measured with the joint scores of simulated events.

Let :math:`f(x)` be any estimate of the score :math:`t(x)` at :math:`\theta_0`, and
:math:`t(x, z)` the joint score of events drawn at :math:`\theta_0`, which the simulator knows.
As :math:`E[t(x, z) | x] = t(x)`, all products with functions of x have the mean that the unknown
score would give, :math:`E[f\, t(x, z)^T] = E[f\, t(x)^T]`. With the information
:math:`I = E[t(x)\, t(x)^T]` of one event follow

.. math::

    B = E[f t^T] + E[t f^T] - E[f f^T] = I - E[(f - t(x))(f - t(x))^T] \le I,

the **guaranteed information**: whatever f is, B is never above I in expectation, while the plug-in
:math:`E[f f^T]` can be anything. The linear recalibration :math:`A f` with the largest B,

.. math::

    A = E[t f^T]\, E[f f^T]^{-1}, \qquad
    B(A f) = E[t f^T]\, E[f f^T]^{-1}\, E[f t^T] \le I,

is the most that f supports; f is calibrated where :math:`A = 1`, and then
:math:`B = E[f f^T]`. Above all of them is the truth at parton level,
:math:`E[t(x, z)\, t(x, z)^T]`.

Everything is linear, or to first order linear, in the second moments S of the vector
:math:`u = (f, t)`. These are summed over the events together with their products, which give the
covariance of S (`MatrixMean`).

The mean of t is zero, but of the joint scores of a finite sample only within errors, and not at all
if the gradient of the cross section was left out. **Centred** moments take the mean of the sample
off the joint scores: with :math:`u = (f, t, 1)`, the covariance :math:`E[(f - E f)(t - E t)^T]`
stands for :math:`E[f t^T]`, and its error includes that of the means.

References:
    Brehmer, Cranmer, Louppe, Pavez, *A Guide to Constraining Effective Field Theories with Machine
    Learning*, arXiv:1805.00020, Sec. 3 (scores and their information). The bounds follow from
    the definition of the conditional mean; `docs/validation.md` derives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from madminer.blocks import CACHED_ROWS, row_blocks
from madminer.errors import DataError, NoEventsError, ShapeError
from madminer.stats.information import symmetric_pairs, unfold_pairs
from madminer.typing import FloatArray

_SINGULAR = 1e-10  # share of the largest eigenvalue below which a direction has no estimate


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
    r"""Mean of a symmetric matrix over weighted events, summed batch by batch.

    .. math::

        M = \frac{\sum_e w_e\, q_e}{\sum_e w_e}, \qquad
        \mathrm{Cov}(M) = \frac{\sum_e w_e^2\, (q_e - M)(q_e - M)}{(\sum_e w_e)^2},

    the delta method for a ratio of sums over events.

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


class ScoreMoments:
    """Second moments of estimated and joint scores, summed over batches of events.

    Args:
        n_parameters: Components m of a score.
        centered: Whether to take the mean over the events off the joint scores.

    Examples:
        A score that is too large by a fifth claims too much; the joint scores tell:

        >>> rng = np.random.default_rng(1)
        >>> score = rng.normal(size=(100_000, 1))
        >>> joint = score + rng.normal(size=(100_000, 1))  # latent variables scatter around it
        >>> moments = ScoreMoments(1).add(1.2 * score, joint, np.ones(100_000))
        >>> moments.plug_in().value.round(1), moments.guaranteed().value.round(2)
        (array([[1.4]]), array([[0.96]]))
        >>> moments.calibration().value.round(2)
        array([[0.84]])
    """

    def __init__(self, n_parameters: int, *, centered: bool = False) -> None:
        self.n_parameters, self.centered = n_parameters, centered
        self._moments = MatrixMean(2 * n_parameters + centered)

    def add(self, estimated: FloatArray, joint: FloatArray, weights: FloatArray) -> Self:
        """Add events.

        Args:
            estimated: Estimated scores f, shape ``(n, m)``.
            joint: Joint scores t of the same events, shape ``(n, m)``.
            weights: Their weights at the reference point, in any unit, shape ``(n,)``.

        Returns:
            This object.

        Raises:
            ShapeError: If the shapes do not fit.
            DataError: If a number is not finite.
        """
        shape = (len(weights), self.n_parameters)
        if estimated.shape != shape or joint.shape != shape or weights.ndim != 1:
            raise ShapeError(
                f"Expected estimated and joint scores of shape {shape}, got {estimated.shape} and "
                f"{joint.shape}."
            )
        rows, columns = symmetric_pairs(self._moments.n_rows)
        for block in row_blocks(len(weights), CACHED_ROWS):
            one = np.ones((int(self.centered), len(weights[block])))
            u = np.vstack([estimated[block].T, joint[block].T, one])  # products of rows are fast
            if not np.isfinite(u).all():
                raise DataError("Scores and weights must be finite.")
            self._moments.add((u[rows] * u[columns]).T, weights[block])
        return self

    def __add__(self, other: ScoreMoments) -> ScoreMoments:
        """The moments of the events of both."""
        total = ScoreMoments(self.n_parameters, centered=self.centered)
        total._moments = self._moments + other._moments
        return total

    @property
    def sum_of_weights(self) -> float:
        """Sum of the weights of the events, in their unit."""
        return self._moments.sum_of_weights

    @property
    def n_effective(self) -> float:
        r"""Effective number of events, :math:`(\sum w)^2 / \sum w^2`; 0 without events."""
        return self._moments.n_effective

    def plug_in(self) -> MatrixEstimate:
        """:math:`E[f f^T]`, the information that the estimate claims for one event."""
        f, _, _ = self._parts()
        return self._form((f, f, 1.0))

    def truth(self) -> MatrixEstimate:
        """:math:`E[t t^T]` of the joint scores, which nothing made of x can exceed."""
        _, t, _ = self._parts()
        return self._form((t, t, 1.0))

    def guaranteed(self, calibration: FloatArray | None = None) -> MatrixEstimate:
        """:math:`B`, never above the information of x in expectation.

        Args:
            calibration: Matrix A for the estimate A f, determined by other events, shape
                ``(m, m)``; None for f itself.
        """
        f, t, c = self._parts()
        if calibration is not None:
            f, c = calibration @ f, calibration @ c
        return self._form((c, t, 1.0), (t, c, 1.0), (f, f, -1.0))

    def excess(self) -> MatrixEstimate:
        """Plug-in less guaranteed information: zero on average where f is calibrated."""
        f, t, c = self._parts()
        return self._form((f, f, 2.0), (c, t, -1.0), (t, c, -1.0))

    def calibration(self) -> MatrixEstimate:
        """The matrix A for which A f is calibrated; 1 for a calibrated f.

        Directions in which f does not vary have zeros.
        """
        f, t, c = self._parts()
        inverse = _inverse(self.plug_in().value)
        value = self._form((t, c, 1.0)).value @ inverse
        change = self._form((t, inverse @ c, 1.0), (value @ f, inverse @ f, -1.0))
        return MatrixEstimate(value, change.covariance)

    def _parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Matrices that take f, t, and f as it is multiplied with t, out of u."""
        m = self.n_parameters
        f, t = np.split(np.eye(2 * m, self._moments.n_rows), 2)
        if not self.centered:
            return f, t, f
        mean = self._moments.estimate().value[-1]
        c = f.copy()
        c[:, -1], t[:, -1] = -mean[:m], -mean[m:-1]
        return f, t, c

    def _form(self, *terms: tuple[FloatArray, FloatArray, float]) -> MatrixEstimate:
        """Sum of c L S R^T over terms (L, R, c), with its covariance."""
        moments, m, n = self._moments.estimate(), self.n_parameters, self._moments.n_rows
        map_ = sum(c * np.einsum("ia,jb->ijab", L, R) for L, R, c in terms)
        matrix = np.asarray(map_).reshape(m * m, n * n)
        full = moments.covariance.reshape(n * n, n * n)
        value: FloatArray = (matrix @ moments.value.ravel()).reshape(m, m)
        return MatrixEstimate(value, (matrix @ full @ matrix.T).reshape((m,) * 4))


def _inverse(matrix: FloatArray) -> FloatArray:
    """Pseudo-inverse that does not depend on the units of the parameters."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
    units = np.outer(unit, unit)
    inverse: FloatArray = units * np.linalg.pinv(matrix * units, rcond=_SINGULAR, hermitian=True)
    return inverse
