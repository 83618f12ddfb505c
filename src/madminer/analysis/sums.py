r"""Sums over events, accumulated in one pass: all that cross sections need.

Per group :math:`g` of events (see `madminer.analysis.partitions`)

.. math:: S_{gb} = \sum_{i \in g} w_{ib}, \qquad Q_{gbc} = \sum_{i \in g} w_{ib} w_{ic}

With the coefficients :math:`W_b` of a point, :math:`w_i(\theta) = \sum_b W_b w_{ib}`, the cross
section is :math:`\sum_g f_g\, C \cdot S_g` and its variance
:math:`\sum_g f_g^2\, C^T Q_g C = \sum_i (f_i w_i(\theta))^2`, without touching the events again.

**Sums over events at values of the nuisance parameters.**

With the factors :math:`f_i(\nu)` of the events, these sums become

.. math::

    S_{gb}(\nu) = \sum_{i \in g} f_i w_{ib}, \qquad
    Q_{gbc}(\nu) = \sum_{i \in g} f_i^2 w_{ib} w_{ic}, \qquad
    T_{gjb}(\nu) = \sum_{i \in g} f_i \frac{\partial \log f_i}{\partial (\theta, \nu)_j} w_{ib}

Cross sections and gradients at every theta are linear in S and T again, so that each nu costs one
pass, whatever the number of thetas; a response that depends on theta costs one for each point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from madminer.analysis.response import EventResponse, ResponseModel
from madminer.analysis.weights import ParameterPoints
from madminer.errors import MorphingError, NoEventsError
from madminer.stats.histogram import BinnedMoments, binned_moments
from madminer.typing import FloatArray, IntArray

_CHUNK = 1 << 13  # rows that stay in the cache of a processor core


def accumulate_sums(
    batches: Iterable[tuple[FloatArray, IntArray]], n_groups: int, n_benchmarks: int
) -> BinnedMoments:
    """Sums S and Q of each group in one pass over weights ``(n, n_benchmarks)`` and groups."""
    total = binned_moments(np.empty((0, n_benchmarks)), np.empty(0, dtype=np.int64), n_groups)
    for weights, groups in batches:
        for start in range(0, len(weights), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            total += binned_moments(weights[chunk], groups[chunk], n_groups)
    return total


def cross_sections(
    sums: BinnedMoments, coefficients: FloatArray, factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Cross sections and their statistical uncertainties in pb, shape ``(n_thetas,)`` each.

    Args:
        sums: Moments of the events.
        coefficients: Coefficients of the benchmark weights, shape ``(n_thetas, n_benchmarks)``.
        factors: Factor of each group, shape ``(n_groups,)``.

    Raises:
        NoEventsError: If no event has a factor other than zero.
    """
    if not np.any(sums.counts[factors != 0.0]):
        raise NoEventsError("There are no events to calculate a cross section from.")
    xsecs: FloatArray = coefficients @ (factors @ sums.sums)
    second = np.tensordot(factors**2, sums.products, axes=1)
    variances = np.einsum("tb,tb->t", coefficients @ second, coefficients)
    return xsecs, np.sqrt(np.maximum(variances, 0.0))  # rounding can leave -0.0


_EVENTS = 1 << 12  # events at once
_CELLS = 1 << 19  # pairs of point and event at once

ResponseBatch = tuple[EventResponse, IntArray]
"""Successive events with their weights and response, and their groups ``(n,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class NuisanceSums:
    """Sums over events at K values of the nuisance parameters.

    Args:
        n_events: Number of events, shape ``(n_groups,)``.
        first: Sums of weights at the physical benchmarks, to which all coefficients refer, shape
            ``(K, n_groups, n_physical)``.
        second: Sums of products, shape ``(K, n_groups, n_physical, n_physical)``; None where not
            wanted.
        slopes: Sums with the derivatives of log f by theta and nu, shape
            ``(K, n_groups, p + v, n_physical)``; None where not wanted.
    """

    n_events: IntArray
    first: FloatArray
    second: FloatArray | None
    slopes: FloatArray | None

    def split(self) -> list[NuisanceSums]:
        """The sums of each nu alone."""
        return [
            NuisanceSums(
                self.n_events,
                self.first[k : k + 1],
                None if self.second is None else self.second[k : k + 1],
                None if self.slopes is None else self.slopes[k : k + 1],
            )
            for k in range(len(self.first))
        ]

    @classmethod
    def join(cls, parts: Sequence[NuisanceSums]) -> NuisanceSums:
        """The inverse of `split`."""
        second = [part.second for part in parts if part.second is not None]
        slopes = [part.slopes for part in parts if part.slopes is not None]
        return cls(
            parts[0].n_events,
            np.concatenate([part.first for part in parts]),
            np.concatenate(second) if len(second) == len(parts) else None,
            np.concatenate(slopes) if len(slopes) == len(parts) else None,
        )


def distinct_points(model: ResponseModel, points: ParameterPoints) -> tuple[IntArray, IntArray]:
    """Points whose sums differ: those of different nu, unless the response depends on theta.

    Returns:
        Indices of points with different sums, shape ``(K,)``; and for each point the position of
        its sums among them, shape ``(n,)``.
    """
    if model.varying:
        everyone = np.arange(len(points))
        return everyone, everyone
    _, firsts, inverse = np.unique(points.nus, axis=0, return_index=True, return_inverse=True)
    return firsts, inverse.reshape(-1)


def accumulate_nuisance_sums(
    batches: Iterable[ResponseBatch],
    model: ResponseModel,
    points: ParameterPoints,
    n_groups: int,
    *,
    with_second: bool = False,
    with_slopes: bool = False,
) -> NuisanceSums:
    """Accumulate the sums of all points in one pass.

    Args:
        batches: Successive events.
        model: The response.
        points: Points with different sums.
        n_groups: Number of groups.
        with_second: Whether sums of products are wanted.
        with_slopes: Whether sums with derivatives are wanted.
    """
    n_points, n_physical = len(points), len(points.setup.physical_benchmarks)
    n_slopes = points.setup.n_parameters + len(model.columns)
    n_events = np.zeros(n_groups, dtype=np.int64)
    first = np.zeros((n_points, n_groups, n_physical))
    second = np.zeros((n_points, n_groups, n_physical**2)) if with_second else None
    slopes = np.zeros((n_points, n_groups, n_slopes, n_physical)) if with_slopes else None
    step = max(_CELLS // _EVENTS, 1)
    parts = [points.take(np.arange(i, min(i + step, n_points))) for i in range(0, n_points, step)]
    for response, group in _pieces(batches, n_groups):
        n_events[group] += len(response)
        physical = np.ascontiguousarray(response.weights[:, :n_physical])
        products = _products(physical) if with_second else None
        for i, part in enumerate(parts):
            at = slice(i * step, i * step + len(part))
            factors = response.factors(part)
            first[at, group] += factors @ physical
            if second is not None and products is not None:
                second[at, group] += factors**2 @ products
            if slopes is not None:
                for j, slope in enumerate(response.slopes(part)):
                    if slope is not None:
                        slopes[at, group, j] += (factors * slope) @ physical
    shape = (n_points, n_groups, n_physical, n_physical)
    return NuisanceSums(n_events, first, None if second is None else second.reshape(shape), slopes)


def nuisance_cross_sections(
    sums: NuisanceSums, which: IntArray, coefficients: FloatArray, factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """As `cross_sections`, each point with the sums at its nu, of which it has the position."""
    xsecs, uncertainties = np.empty(len(which)), np.empty(len(which))
    for k, part in enumerate(sums.split()):
        rows = np.flatnonzero(which == k)
        second = np.empty(0) if part.second is None else part.second[0]
        moments = BinnedMoments(part.n_events, part.first[0], second)
        physical = coefficients[rows, : part.first.shape[-1]]
        xsecs[rows], uncertainties[rows] = cross_sections(moments, physical, factors)
    return xsecs, uncertainties


def xsec_gradients(
    sums: NuisanceSums,
    which: IntArray,
    points: ParameterPoints,
    factors: FloatArray,
    *,
    by_theta: bool = True,
    by_nu: bool = True,
) -> FloatArray:
    """Gradients of cross sections.

    Args:
        sums: Sums at each nu, with those of derivatives.
        which: Position of the sums of each point, shape ``(n,)``.
        points: Parameter points.
        factors: Factor of each group, shape ``(n_groups,)`` or of each point ``(n, n_groups)``.
        by_theta: Whether the theory parameters are wanted.
        by_nu: Whether the nuisance parameters are wanted.

    Returns:
        Gradients in pb by theta, then nu, shape ``(n, p + v)``, or those that are wanted.

    Raises:
        MorphingError: If the derivatives of the response are not known.
    """
    if sums.slopes is None:
        raise MorphingError(
            "Gradients with respect to nuisance parameters whose response depends on theta need "
            "morphing. Call set_morphing when setting up the analysis."
        )
    p, n_physical = points.setup.n_parameters, sums.slopes.shape[-1]
    each = np.broadcast_to(factors, (len(which), factors.shape[-1]))
    physical = points.coefficients[:, :n_physical]
    slopes: FloatArray = np.einsum(
        "ng,ngjb,nb->nj", each, sums.slopes[which], physical, optimize=True
    )
    if by_theta:
        first = np.einsum("ng,ngb->nb", each, sums.first[which])
        slopes[:, :p] += np.einsum("npb,nb->np", points.gradients[..., :n_physical], first)
    return slopes[:, 0 if by_theta else p : None if by_nu else p]


def _pieces(batches: Iterable[ResponseBatch], n_groups: int) -> Iterable[tuple[EventResponse, int]]:
    """Events of one group, few at a time."""
    for response, groups in batches:
        for start in range(0, len(response), _EVENTS):
            chunk = slice(start, start + _EVENTS)
            for group in np.flatnonzero(np.bincount(groups[chunk], minlength=n_groups)):
                yield response.take(start + np.flatnonzero(groups[chunk] == group)), int(group)


def _products(weights: FloatArray) -> FloatArray:
    products = weights[:, :, np.newaxis] * weights[:, np.newaxis, :]
    return products.reshape(len(weights), -1)
