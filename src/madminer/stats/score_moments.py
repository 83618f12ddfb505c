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
covariance of S (`madminer.stats.matrix_means`).

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

from typing import Self

import numpy as np

from madminer.blocks import CACHED_ROWS, row_blocks
from madminer.errors import DataError, ShapeError
from madminer.stats.information import symmetric_pairs
from madminer.stats.matrix_means import MatrixEstimate, MatrixMean
from madminer.typing import FloatArray

_SINGULAR = 1e-10  # share of the largest eigenvalue below which a direction has no estimate


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
