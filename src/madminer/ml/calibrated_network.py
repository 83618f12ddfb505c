r"""A network of log r with its calibration: a network of theta and x like any other.

Calibration curves :math:`g_k` are known at parameter points :math:`\theta_k`. They change log r of
an event by :math:`\delta_k(x)`, and this change is interpolated in theta:

.. math::

    \log r_{cal}(x|\theta) = \log \hat r(x|\theta) + \sum_k c_k(\theta)\, \delta_k(x), \qquad
    \delta_k(x) = g_k\big(\log \hat r(x|\theta_k)\big) - \log \hat r(x|\theta_k)

At :math:`\theta_k` this is the curve itself. What is interpolated is the change of the same event,
hence smooth in theta, and zero everywhere for a calibrated network; interpolated curves would not
be, since the range of log r changes with theta and shrinks to nothing at the reference.

The :math:`c_k` are those of the cubic spline through the points: in one parameter the natural one,
in several its generalisation with the kernel :math:`|\theta - \theta_k|^3` and a linear part. They
are one at their own point, zero at the others, and add up to one; the score is the exact derivative

.. math:: \nabla_\theta \log r_{cal} = \hat t(x|\theta) + \sum_k \nabla c_k(\theta)\, \delta_k(x).

References:
    Duchon, *Splines minimizing rotation-invariant semi-norms in Sobolev spaces* (1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from madminer.errors import OptionError
from madminer.ml.calibration_curves import CalibrationCurve
from madminer.nn.conditional import ConditionalNetwork
from madminer.typing import FloatArray

_FLAT = 1e-6  # extent of the points in a direction, relative to the largest, that is none


@dataclass(frozen=True, slots=True, eq=False)
class ThetaSpline:
    r"""Interpolation of what is known at parameter points, :math:`\sum_k c_k(\theta) f_k`.

    Points that lie on a line or in a plane are interpolated along it, and nothing changes across.
    The result does not depend on the units of the parameters.

    Args:
        centre: Mean of the points, shape ``(p,)``.
        axes: From parameters to coordinates of unit size along the points, shape ``(p, d)``.
        nodes: The points in these coordinates, shape ``(K, d)``.
        matrix: From kernels, 1 and coordinates to :math:`c_k`, shape ``(K + 1 + d, K)``.

    Examples:
        >>> spline = ThetaSpline.through(np.array([[0.0], [1.0], [2.0]]))
        >>> spline(torch.tensor([[1.0], [0.5]])).numpy().round(2)
        array([[ 0.  ,  1.  ,  0.  ],
               [ 0.41,  0.69, -0.09]])
    """

    centre: FloatArray
    axes: FloatArray
    nodes: FloatArray
    matrix: FloatArray

    @classmethod
    def through(cls, points: FloatArray) -> Self:
        """Interpolate between points, shape ``(K, p)``.

        Raises:
            OptionError: If two of them are the same.
        """
        if len(np.unique(points, axis=0)) < len(points):
            raise OptionError("theta must be different points, but some are the same.")
        centre = points[0] + (points - points[0]).mean(axis=0)  # without rounding where constant
        units = np.maximum(np.abs(points - centre).max(axis=0), np.finfo(np.float64).tiny)
        _, sizes, directions = np.linalg.svd((points - centre) / units, full_matrices=False)
        kept = sizes > _FLAT * sizes[0]
        axes = (directions[kept] / sizes[kept, None]).T * np.sqrt(len(points)) / units[:, None]
        nodes = (points - centre) @ axes
        return cls(centre, axes, nodes, _spline_matrix(nodes))

    def __call__(self, theta: Tensor) -> Tensor:
        """Coefficients in double precision, shape ``(..., p)`` to ``(..., K)``."""
        at = (theta.double() - _like(self.centre, theta)) @ _like(self.axes, theta)
        squares = (at[..., None, :] - _like(self.nodes, theta)).square().sum(-1)
        basis = torch.cat([squares.pow(1.5), torch.ones_like(squares[..., :1]), at], dim=-1)
        return basis @ _like(self.matrix, theta)

    def gradients(self, theta: Tensor) -> Tensor:
        """Gradients by theta, shape ``(n, p)`` to ``(n, K, p)``."""
        gradients: Tensor = torch.func.vmap(torch.func.jacrev(self))(theta.double())
        return gradients


def _spline_matrix(nodes: FloatArray) -> FloatArray:
    """Solve for the coefficients of kernels and linear part that give one at a node."""
    n, d = nodes.shape
    distances = np.linalg.norm(nodes[:, np.newaxis] - nodes, axis=-1)
    linear = np.column_stack([np.ones(n), nodes])
    system = np.block([[distances**3, linear], [linear.T, np.zeros((1 + d, 1 + d))]])
    matrix: FloatArray = np.linalg.inv(system)[:, :n]
    return matrix


class CalibratedNetwork(ConditionalNetwork):
    """A network of log r and what calibrates it.

    Args:
        network: The network; its log ratios are changed, its parameters are not.
        points: Points of the calibration in units of the network, shape ``(K, p)``.
        curves: Calibration curve at each of them.

    Raises:
        OptionError: If two points are the same.
    """

    def __init__(
        self, network: ConditionalNetwork, points: FloatArray, curves: Sequence[CalibrationCurve]
    ) -> None:
        super().__init__()
        self.network = network
        self.spline = ThetaSpline.through(points)
        self.points = points
        # Lines of a curve with fewer bins than others begin at infinity, where no event is.
        n_lines = max(len(curve.slopes) for curve in curves)
        self.knots = _padded([curve.log_r_hat for curve in curves], n_lines - 1, np.inf)
        self.slopes = _padded([curve.slopes for curve in curves], n_lines, 0.0)
        self.offsets = _padded([curve.offsets for curve in curves], n_lines, 0.0)

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        points = _like(self.points, x).to(x)
        changes = self._changes(self.network.log_f_combinations(points, x))
        change = (self.spline(theta) * changes.T).sum(-1)
        return self.network.log_f(theta, x) + change.to(x)

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        points = _like(self.points, x).to(x)
        changes = self._changes(self.network.log_f_combinations(points, x))
        return self.network.log_f_combinations(theta, x) + (self.spline(theta) @ changes).to(x)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        with torch.no_grad():
            change = self.spline(theta) @ self._changes_of(x)
            return self.network.log_f_grid(theta, x) + change.to(x)

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        with torch.no_grad():
            changes = self._changes_of(x)
            values, scores = self.network.log_f_score_grid(theta, x)
            values += (self.spline(theta) @ changes).to(x)
            scores += torch.einsum("tkp,kx->txp", self.spline.gradients(theta), changes).to(x)
        return values, scores

    def _changes_of(self, x: Tensor) -> Tensor:
        """What each calibration changes of each event, without gradients, shape ``(K, n)``."""
        return self._changes(self.network.log_f_grid(_like(self.points, x).to(x), x))

    def _changes(self, log_r_hat: Tensor) -> Tensor:
        """The same for log ratios at the points of the calibration, shape ``(K, n)``."""
        values = log_r_hat.double()
        lines = torch.zeros_like(values, dtype=torch.int64)  # number of knots below each value
        for knots in _like(self.knots, values).T:
            lines = lines + (values > knots[:, None])
        slopes = _like(self.slopes, values).gather(1, lines)
        return _like(self.offsets, values).gather(1, lines) + (slopes - 1.0) * values


def _padded(rows: Sequence[FloatArray], length: int, value: float) -> FloatArray:
    """Rows of one length."""
    return np.array([np.pad(row, (0, length - len(row)), constant_values=value) for row in rows])


def _like(values: FloatArray, other: Tensor) -> Tensor:
    """Numbers on the device of a tensor, in double precision."""
    return torch.as_tensor(np.ascontiguousarray(values), device=other.device)
