r"""Calibration of an estimated likelihood ratio: curves at parameter points, and between them.

**At one parameter point.** Whatever :math:`\hat r(x)` is, it is a statistic, and the likelihood
ratio of this statistic is the mean of the joint ratio over the events that share its value,

.. math:: \frac{p(\hat r|\theta)}{p(\hat r|\theta_1)} =
    E_{\theta_1}\!\left[r(x, z|\theta, \theta_1) \,\middle|\, \hat r\right].

Held-out events drawn at :math:`\theta_1` give it in bins of :math:`\log \hat r`: no model, small
errors, and no more power than :math:`\hat r` has. With :math:`m_j[\cdot]` for the weighted mean in
bin j, the curve goes through the points

.. math:: \left(\log m_j[\hat r],\; \log m_j[r]\right)

on straight lines between them, and on the first and the last line beyond. In this form a calibrated
ratio, for which both means are the same, is left as it is, however wide the bins are. A constant
makes the mean of the calibrated ratio one over the events. The standard error of log r is that of
the mean joint ratio around the curve,

.. math:: \sigma_j^2 = \frac{\sum_{e \in j} w_e^2\, (r_e - r_{cal, e})^2}
    {\left(\sum_{e \in j} w_e r_e\right)^2}.

**Between them.** Curves :math:`g_k` are known at parameter points :math:`\theta_k`. They change
log r of an event by :math:`\delta_k(x)`, and this change is interpolated in theta:

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
    Cranmer, Pavez, Louppe, *Approximating Likelihood Ratios with Calibrated Discriminative
    Classifiers*, arXiv:1506.02169; Brehmer et al., arXiv:1805.00020, Sec. 3 (the joint ratio and
    its mean); Duchon, *Splines minimizing rotation-invariant semi-norms in Sobolev spaces* (1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from madminer.checks import one_of, real_array, whole
from madminer.errors import (
    DataError,
    NegativeWeightError,
    NoEventsError,
    OptionError,
    ShapeError,
)
from madminer.nn.conditional import ConditionalNetwork
from madminer.typing import FloatArray, IntArray

LEAST_EVENTS = 50.0
"""Effective number of events of a bin, both under theta1 and under theta."""

METHODS = ("binned", "isotonic")
"""How bins are chosen: with equal shares of the events, or by a monotonic fit."""

_FLAT = 1e-6  # extent of the points in a direction, relative to the largest, that is none
_CONSTANT = 1e-5  # range of log r-hat that is rounding of single precision


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCurve:
    """Log ratios that are exact for the statistic that a network gives, in bins of its log r.

    Args:
        log_r_hat: Points of the estimated log r, increasing, shape ``(n_bins,)``.
        log_r: Calibrated log r there, shape ``(n_bins,)``.
        errors: Standard errors of `log_r` from the finite number of events, shape ``(n_bins,)``.
        n_effective: Effective number of events in each bin, shape ``(n_bins,)``.

    Raises:
        ShapeError: If the shapes differ, or there are no bins.
        DataError: If numbers are not finite, `log_r_hat` does not increase, or errors or numbers
            of events are negative.

    Examples:
        >>> curve = CalibrationCurve([0.0, 1.0], [0.0, 2.0], [0.1, 0.1], [100.0, 100.0])
        >>> curve(np.array([-1.0, 0.5, 2.0]))
        array([-2.,  1.,  4.])
    """

    log_r_hat: FloatArray
    log_r: FloatArray
    errors: FloatArray
    n_effective: FloatArray

    def __post_init__(self) -> None:
        names = ("log_r_hat", "log_r", "errors", "n_effective")
        arrays = [real_array(getattr(self, name), name) for name in names]
        shape = arrays[0].shape
        if len(shape) != 1 or not shape[0] or any(a.shape != shape for a in arrays):
            raise ShapeError(
                f"A calibration curve needs four lists of one number for each bin, got shapes "
                f"{', '.join(str(a.shape) for a in arrays)}."
            )
        increases = bool(np.all(np.diff(arrays[0]) > 0.0))
        if not increases or not np.isfinite(arrays).all() or np.min(arrays[2:]) < 0.0:
            raise DataError(
                "A calibration curve needs finite numbers, an increasing log_r_hat and no negative "
                "errors or numbers of events."
            )
        for name, array in zip(names, arrays, strict=True):
            object.__setattr__(self, name, array)

    @property
    def slopes(self) -> FloatArray:
        """Slopes below the first point, between points, above the last, shape ``(n_bins + 1,)``."""
        if len(self.log_r) == 1:  # a constant statistic, which says nothing
            return np.zeros(2)
        inner = np.diff(self.log_r) / np.diff(self.log_r_hat)
        return np.concatenate([inner[:1], inner, inner[-1:]])

    @property
    def offsets(self) -> FloatArray:
        """Values of the straight lines at log r-hat = 0, shape ``(n_bins + 1,)``."""
        offsets: FloatArray = self.log_r - self.slopes[1:] * self.log_r_hat
        return np.concatenate([[self.log_r[0] - self.slopes[0] * self.log_r_hat[0]], offsets])

    def __call__(self, log_r_hat: FloatArray) -> FloatArray:
        """Calibrated log r, of any shape."""
        line = np.searchsorted(self.log_r_hat, log_r_hat)
        values: FloatArray = self.offsets[line] + self.slopes[line] * log_r_hat
        return values


def calibration_curve(
    log_r_hat: FloatArray,
    r_xz: FloatArray,
    weights: FloatArray,
    n_bins: int = 20,
    method: str = "binned",
) -> CalibrationCurve:
    r"""Measure the calibration of a ratio at one parameter point.

    Args:
        log_r_hat: Estimated :math:`\log \hat r` of events drawn at theta1, shape ``(n,)``.
        r_xz: Joint ratios :math:`r(x, z|\theta, \theta_1)` of the same events, shape ``(n,)``.
        weights: Weights of the events at theta1, negative ones included, shape ``(n,)``.
        n_bins: Largest number of bins, which hold equal shares of the events. Neighbours are merged
            until each has `LEAST_EVENTS` effective events.
        method: "binned", or "isotonic": the bins are the steps of the monotonic curve with the
            least squared distance from the joint ratios, so that r never falls with r-hat; there
            can be more of them than `n_bins`.

    Returns:
        The curve.

    Raises:
        OptionError: If an option lies outside its range.
        NoEventsError: If there are not two bins with enough events.
        NegativeWeightError: If a weight is negative and the method is "isotonic", or the negative
            weights prevail.

    Examples:
        The statistic x, which is twice log r, and a latent variable that scatters the joint ratio:

        >>> rng = np.random.default_rng(1)
        >>> log_r = rng.normal(-0.125, 0.5, size=20_000)  # so that the mean of r is one
        >>> joint = np.exp(log_r) * rng.gamma(4.0, 0.25, size=20_000)
        >>> curve = calibration_curve(2.0 * log_r, joint, np.ones(20_000), n_bins=5)
        >>> curve(np.array([0.0, 1.0])).round(1)
        array([0. , 0.5])
    """
    whole(n_bins, "n_bins", 2)
    one_of(method, "method", METHODS)
    order = np.flatnonzero(weights)
    order = order[np.argsort(log_r_hat[order], kind="stable")]
    s, r, w = log_r_hat[order], r_xz[order], weights[order]
    starts = _first_events(s, r, w, n_bins, method)
    merged = _merged(starts, r, w)
    if len(merged) < min(2, len(starts)):
        at1, at = _effective(_sums(r, w, np.zeros(1, dtype=np.int64))[0])
        raise NoEventsError(
            f"A calibration needs two bins of {LEAST_EVENTS:g} effective events, but all {len(w)} "
            f"events are worth {at1:.3g} at theta1 and {at:.3g} at theta. Use more events, or a "
            f"theta closer to theta1."
        )
    curve = _normalized(_curve(merged, s, r, w), s, w)
    scatter = np.add.reduceat((w * (r - np.exp(curve(s)))) ** 2, merged)
    return replace(curve, errors=np.sqrt(scatter) / np.add.reduceat(w * r, merged))


def _first_events(
    s: FloatArray, r: FloatArray, w: FloatArray, n_bins: int, method: str
) -> IntArray:
    """First events of the bins of sorted events."""
    if not len(s) or s[-1] - s[0] <= _CONSTANT:
        return np.zeros(1, dtype=np.int64)
    return _steps(s, r, w) if method == "isotonic" else _shares(s, w, n_bins)


def _shares(s: FloatArray, w: FloatArray, n_bins: int) -> IntArray:
    """First events of bins with equal shares of the weight; equal values stay together."""
    share = np.cumsum(np.abs(w))
    n_bins = min(n_bins, len(s))  # more would be empty
    at = np.searchsorted(share, share[-1] * np.arange(n_bins) / n_bins, side="right")
    return np.unique(np.searchsorted(s, s[np.minimum(at, len(s) - 1)]))


def _steps(s: FloatArray, r: FloatArray, w: FloatArray) -> IntArray:
    """First events of the steps of the isotonic regression of r on s."""
    if w.min() < 0.0:
        raise NegativeWeightError(
            f"The isotonic calibration needs weights that are not negative, but "
            f"{np.count_nonzero(w < 0.0)} of {len(w)} are. Use method='binned'."
        )
    from scipy.optimize import isotonic_regression  # importing it takes half a second

    blocks = isotonic_regression(r, weights=w).blocks[:-1]
    return np.unique(np.searchsorted(s, s[blocks]))


def _merged(starts: IntArray, r: FloatArray, w: FloatArray) -> IntArray:
    """Merge bins with their right neighbours until each has enough events."""
    sums = _sums(r, w, starts)
    merged, first, total = [], 0, np.zeros(4)
    for start, end, row in zip(starts, [*starts[1:], len(w)], sums, strict=True):
        first, total = (start, row) if first == start else (first, total + row)
        if np.all(total[::2] > 0.0) and np.all(_effective(total) >= LEAST_EVENTS):
            merged.append(first)
            first = end
    return np.array(merged, dtype=np.int64)  # what is left over joins the last bin


def _sums(r: FloatArray, w: FloatArray, starts: IntArray) -> FloatArray:
    """Sums of w, w^2, w r and (w r)^2 in bins, shape ``(n_bins, 4)``."""
    columns = np.stack([w, w**2, w * r, (w * r) ** 2], axis=1)
    return np.add.reduceat(columns, starts, axis=0) if len(w) else np.zeros((1, 4))


def _effective(sums: FloatArray) -> FloatArray:
    """Effective numbers of events with weights w and w r, shape ``(2,)``."""
    numbers: FloatArray = sums[..., ::2] ** 2 / np.maximum(sums[..., 1::2], np.finfo(float).tiny)
    return numbers


def _curve(starts: IntArray, s: FloatArray, r: FloatArray, w: FloatArray) -> CalibrationCurve:
    """Means in bins of sorted events, still without errors."""
    last = np.append(starts[1:], len(s)) - 1
    bins = np.searchsorted(starts, np.arange(len(s)), side="right") - 1
    total = np.add.reduceat(w, starts)
    mean = np.add.reduceat(w * r, starts) / total
    # relative to the largest of the bin, so that nothing overflows
    mean_hat = np.add.reduceat(w * np.exp(s - s[last][bins]), starts) / total
    if np.any(mean <= 0.0):
        raise NegativeWeightError("Events of negative weight prevail in a bin. Use fewer bins.")
    with np.errstate(invalid="ignore", divide="ignore"):
        knots = s[last] + np.log(mean_hat)
    return CalibrationCurve(
        log_r_hat=np.clip(np.nan_to_num(knots, nan=-np.inf), s[starts], s[last]),
        log_r=np.log(mean),
        errors=np.zeros(len(starts)),
        n_effective=total**2 / np.add.reduceat(w**2, starts),
    )


def _normalized(curve: CalibrationCurve, s: FloatArray, w: FloatArray) -> CalibrationCurve:
    """Shift a curve so that the mean of the calibrated ratio is one."""
    log_r = curve(s)
    highest = log_r.max()
    mean = w @ np.exp(log_r - highest) / w.sum()
    if mean <= 0.0:
        raise NegativeWeightError(
            "The mean of the calibrated ratio is negative: events of negative weight prevail where "
            "the ratio is large. Calibrate closer to theta1, or with more events."
        )
    return replace(curve, log_r=curve.log_r - highest - np.log(mean))


# Between parameter points


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
        n, d = nodes.shape
        distances = np.linalg.norm(nodes[:, np.newaxis] - nodes, axis=-1)
        linear = np.column_stack([np.ones(n), nodes])
        # coefficients of kernels and of the linear part that are one at a node, zero at the others
        system = np.block([[distances**3, linear], [linear.T, np.zeros((1 + d, 1 + d))]])
        return cls(centre, axes, nodes, np.linalg.inv(system)[:, :n])

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
        change = (self.spline(theta) * self._changes(x).T).sum(-1)
        return self.network.log_f(theta, x) + change.to(x)

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        change = self.spline(theta) @ self._changes(x)
        return self.network.log_f_combinations(theta, x) + change.to(x)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        with torch.no_grad():
            change = self.spline(theta) @ self._changes(x, in_blocks=True)
            return self.network.log_f_grid(theta, x) + change.to(x)

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        with torch.no_grad():
            changes = self._changes(x, in_blocks=True)
            values, scores = self.network.log_f_score_grid(theta, x)
            values += (self.spline(theta) @ changes).to(x)
            scores += torch.einsum("tkp,kx->txp", self.spline.gradients(theta), changes).to(x)
        return values, scores

    def _changes(self, x: Tensor, in_blocks: bool = False) -> Tensor:
        """What each calibration changes of each event, shape ``(K, n)``."""
        points = _like(self.points, x).to(x)
        log_f = self.network.log_f_grid if in_blocks else self.network.log_f_combinations
        values = log_f(points, x).double()
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
