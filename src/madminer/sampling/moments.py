"""Cross sections and their gradients at the points that samples are drawn from or compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.analysis.nuisance_sums import (
    NuisanceSums,
    accumulate_nuisance_sums,
    distinct_points,
    nuisance_gradients,
    theta_gradients,
)
from madminer.analysis.points import ParameterPoints
from madminer.progress import track
from madminer.sampling.nuisance_fit import NuisanceFit, fit_nuisance_sums
from madminer.sampling.table import WeightTable
from madminer.typing import FloatArray, IntArray

__all__ = ["PointMoments", "point_moments"]

_AT_ONCE = 256  # values of nu in one pass over the events
_MANY = 4  # passes from which on a progress bar is shown


@dataclass(frozen=True, slots=True, eq=False)
class PointMoments:
    """Cross sections of the events in a table at parameter points.

    Args:
        xsecs: Cross sections in pb, shape ``(n,)``.
        gradients: Their gradients by theta and, if wanted, nu, shape ``(n, p)`` or
            ``(n, p + v)``; None where not wanted.
    """

    xsecs: FloatArray
    gradients: FloatArray | None


def point_moments(
    table: WeightTable,
    points: ParameterPoints,
    factors: FloatArray,
    *,
    by_theta: bool = False,
    by_nu: bool = False,
) -> PointMoments:
    """Sum up the weights of events at parameter points.

    At nominal nuisance parameters the sums over the table serve all points; each other nu costs a
    pass over it, unless there are so many that a fit does (`madminer.sampling.nuisance_fit`).

    Args:
        table: Weights of the events.
        points: Parameter points.
        factors: Factors of the groups of the file at each point, shape ``(n, n_file_groups)``.
        by_theta: Whether gradients are wanted.
        by_nu: Whether they have components for nuisance parameters.

    Returns:
        The moments.
    """
    if points.is_nominal and not by_nu:
        sums = factors @ table.file_sums
        xsecs: FloatArray = np.einsum("nb,nb->n", points.coefficients, sums)
        slopes = np.einsum("npb,nb->np", points.gradients, sums) if by_theta else None
        return PointMoments(xsecs, slopes)
    distinct, which = distinct_points(table.model, points)
    everywhere = points.take(distinct)
    fit = fit_nuisance_sums(table, everywhere, with_slopes=by_theta or by_nu)
    order = np.argsort(which, kind="stable")
    xsecs = np.empty(len(points))
    n_gradients = points.setup.n_parameters + (len(table.model.columns) if by_nu else 0)
    gradients = np.empty((len(points), n_gradients)) if by_theta else None
    starts = range(0, len(distinct), _AT_ONCE)
    for start in track(starts, "Integrating") if len(starts) >= _MANY else starts:
        some = distinct[start : start + _AT_ONCE]
        low, high = np.searchsorted(which[order], [start, start + len(some)])
        mine = order[low:high]
        sums_of_some = _sums(table, points.take(some), fit, with_slopes=by_theta or by_nu)
        part, at = points.take(mine), which[mine] - start
        first = np.einsum("ng,ngb->nb", factors[mine], sums_of_some.first[at])
        xsecs[mine] = np.einsum("nb,nb->n", part.coefficients[:, : first.shape[1]], first)
        if gradients is not None:
            gradients[mine] = _gradients(sums_of_some, at, part, factors[mine], by_nu=by_nu)
    return PointMoments(xsecs, gradients)


def _sums(
    table: WeightTable, points: ParameterPoints, fit: NuisanceFit | None, *, with_slopes: bool
) -> NuisanceSums:
    if fit is not None:
        return fit.sums(points, with_slopes=with_slopes)
    return accumulate_nuisance_sums(
        table.file_batches(), table.model, points, table.n_file_groups, with_slopes=with_slopes
    )


def _gradients(
    sums: NuisanceSums, at: IntArray, points: ParameterPoints, factors: FloatArray, *, by_nu: bool
) -> FloatArray:
    by_theta = theta_gradients(sums, at, points, factors)
    if not by_nu:
        return by_theta
    return np.hstack([by_theta, nuisance_gradients(sums, at, points, factors)])
