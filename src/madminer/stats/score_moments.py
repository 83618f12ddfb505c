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
covariance of S (delta method for the weighted mean):

.. math::

    S = \frac{\sum_e w_e\, u_e u_e^T}{\sum_e w_e}, \qquad
    \mathrm{Cov}(S) = \frac{\sum_e w_e^2\, (u_e u_e^T - S)(u_e u_e^T - S)}{(\sum_e w_e)^2}.

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

__all__ = ["MatrixEstimate", "ScoreMoments"]

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


class ScoreMoments:
    """Second moments of estimated and joint scores, summed over batches of events.

    Args:
        n_parameters: Components m of a score.

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

    def __init__(self, n_parameters: int) -> None:
        self.n_parameters = n_parameters
        rows, columns = symmetric_pairs(2 * n_parameters)
        self._pairs = rows, columns
        self._sum = self._sum_of_squares = 0.0  # of w and w^2
        self._means = np.zeros(len(rows))  # sums of w u u
        self._products = np.zeros((len(rows), len(rows)))  # sums of w^2 (u u)(u u)
        self._squared = np.zeros(len(rows))  # sums of w^2 u u

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
        rows, columns = self._pairs
        for block in row_blocks(len(weights), CACHED_ROWS):
            u, w = np.hstack([estimated[block], joint[block]]), weights[block]
            if not (np.isfinite(u).all() and np.isfinite(w).all()):
                raise DataError("Scores and weights must be finite.")
            products = w[:, np.newaxis] * u[:, rows] * u[:, columns]
            self._means += products.sum(axis=0)
            self._squared += w @ products
            self._products += products.T @ products
            self._sum += float(w.sum())
            self._sum_of_squares += float(w @ w)
        return self

    @property
    def n_effective(self) -> float:
        r"""Effective number of events, :math:`(\sum w)^2 / \sum w^2`; 0 without events."""
        return self._sum**2 / self._sum_of_squares if self._sum_of_squares else 0.0

    def plug_in(self) -> MatrixEstimate:
        """:math:`E[f f^T]`, the information that the estimate claims for one event."""
        f, _ = self._parts()
        return self._form((f, f, 1.0))

    def truth(self) -> MatrixEstimate:
        """:math:`E[t t^T]` of the joint scores, which nothing made of x can exceed."""
        _, t = self._parts()
        return self._form((t, t, 1.0))

    def guaranteed(self, calibration: FloatArray | None = None) -> MatrixEstimate:
        """:math:`B`, never above the information of x in expectation.

        Args:
            calibration: Matrix A for the estimate A f, determined by other events, shape
                ``(m, m)``; None for f itself.
        """
        f, t = self._parts()
        error = (f if calibration is None else calibration @ f) - t
        return self._form((t, t, 1.0), (error, error, -1.0))

    def excess(self) -> MatrixEstimate:
        """Plug-in less guaranteed information: zero on average where f is calibrated."""
        f, t = self._parts()
        return self._form((f, f - t, 1.0), (f - t, f, 1.0))

    def calibration(self) -> MatrixEstimate:
        """The matrix A for which A f is calibrated; 1 for a calibrated f.

        Directions in which f does not vary have zeros.
        """
        f, t = self._parts()
        inverse = _inverse(self.plug_in().value)
        value = self._form((t, f, 1.0)).value @ inverse
        return MatrixEstimate(value, self._form((t - value @ f, inverse @ f, 1.0)).covariance)

    def _parts(self) -> tuple[FloatArray, FloatArray]:
        """Matrices that take f and t out of u, shape ``(m, 2 m)``."""
        identity = np.eye(2 * self.n_parameters)
        return identity[: self.n_parameters], identity[self.n_parameters :]

    def _form(self, *terms: tuple[FloatArray, FloatArray, float]) -> MatrixEstimate:
        """Sum of c L S R^T over terms (L, R, c), with its covariance."""
        if not self._sum > 0.0:
            raise NoEventsError(
                f"The weights of the events add up to {self._sum:g}; means over them need a "
                "positive number."
            )
        moments = self._means / self._sum
        spread = np.outer(moments, self._squared)
        covariance = self._products - spread - spread.T
        covariance += self._sum_of_squares * np.outer(moments, moments)
        m, n = self.n_parameters, 2 * self.n_parameters
        S = np.zeros((n, n))
        rows, columns = self._pairs
        S[rows, columns] = S[columns, rows] = moments
        map_ = sum(c * np.einsum("ia,jb->ijab", L, R) for L, R, c in terms)
        matrix = np.asarray(map_).reshape(m * m, n * n)
        full = unfold_pairs(covariance / self._sum**2).reshape(n * n, n * n)
        value: FloatArray = (matrix @ S.ravel()).reshape(m, m)
        return MatrixEstimate(value, (matrix @ full @ matrix.T).reshape((m,) * 4))


def _inverse(matrix: FloatArray) -> FloatArray:
    """Pseudo-inverse that does not depend on the units of the parameters."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
    units = np.outer(unit, unit)
    inverse: FloatArray = units * np.linalg.pinv(matrix * units, rcond=_SINGULAR, hermitian=True)
    return inverse
