r"""Shares of information: what a histogram keeps of a reference, and the error of that.

With the information :math:`I` on p parameters after all others are profiled,

.. math:: s = \left( \frac{\det I}{\det I^\mathrm{ref}} \right)^{1/p}, \qquad
          d \log\det I = \mathrm{tr}(I^{-1} A\, dI^\mathrm{all}\, A^T)

where A profiles the information on all parameters. See `madminer.fisherinformation.ranking`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, ShapeError
from madminer.evidence import report_weakness
from madminer.fisherinformation.bins import FEW_EVENTS, Axis
from madminer.fisherinformation.histogram_scan import FilledHistogram, HistogramScan
from madminer.fisherinformation.summary import (
    BLIND,
    expected_limits,
    inverse_information,
    unit_scales,
)
from madminer.stats import constraint_information
from madminer.stats.information import as_covariance, as_information, transform_information
from madminer.typing import FloatArray

logger = logging.getLogger(__name__)

Reference = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Information, shape ``(m, m)``, or a pair of it and its covariance."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedInformation:
    r"""Information of one histogram, and how much of the reference it is.

    Args:
        label: The observable or expression, ``"a × b"`` for two, ``"rate"``, and ``"truth"`` or
            ``"reference"``.
        n_observables: Number of observables in the histogram, 0 for the rate; None for the
            reference.
        information: Information on all m parameters, theta then nu, without constraints on nu,
            shape ``(m, m)``.
        covariance: Its statistical covariance, shape ``(m, m, m, m)``; None if it is not known.
        merit: Figure of merit :math:`(\det I)^{1/p}` of the p ranked parameters, others profiled:
            the squared inverse of a standard deviation, averaged geometrically over directions.
        share: Figure of merit in units of that of the reference.
        share_error: Statistical error of the share; zero for the reference itself, and where the
            share is zero.
        standard_deviations: Of the ranked parameters, all others free, shape ``(p,)``; infinite
            where the information is blind.
    """

    label: str
    n_observables: int | None
    information: FloatArray
    covariance: FloatArray | None
    merit: float
    share: float
    share_error: float
    standard_deviations: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The reference, and what it takes to compare histograms with it.

    Args:
        reference: The reference.
        kept: The p ranked parameters.
        constraint: Information in the constraints on nuisance parameters, shape ``(m, m)``.
        volume: Volume of the reference.
        slope: Derivative of its log determinant in the events of the histograms, shape
            ``(m, m)``; zero if it is not their truth.
    """

    reference: RankedInformation
    kept: list[int]
    constraint: FloatArray
    volume: _Volume
    slope: FloatArray

    def entries(
        self, scan: HistogramScan, histograms: Mapping[str, Sequence[Axis]]
    ) -> list[RankedInformation]:
        """Information and share of histograms, which are filled in one pass.

        Args:
            scan: The events.
            histograms: Axes of each histogram, by label.

        Returns:
            One for each histogram.

        Raises:
            NoEventsError: If no event is left, or all weights are zero.
        """
        filled = dict(
            zip(histograms, scan.filled(list(histograms.values()), self.slope), strict=True)
        )
        entries = [
            self._entry(scan, label, len(histograms[label]), cells)
            for label, cells in filled.items()
        ]
        _warn_about_sparse_bins(scan, filled)
        return entries

    def _entry(
        self, scan: HistogramScan, label: str, n_observables: int, filled: FilledHistogram
    ) -> RankedInformation:
        information, covariance = scan.information(filled.moments)
        volume = _volume(information + self.constraint, self.kept)
        p = len(self.kept)
        share = math.exp((volume.log_det - self.volume.log_det) / p)
        variance = volume.variance(covariance) + self.volume.variance(self.reference.covariance)
        variance -= 2.0 * _common_variance(filled, scan, volume.slope)
        error = share * math.sqrt(max(variance, 0.0)) / p
        return RankedInformation(
            label, n_observables, information, covariance, volume.merit, share, error, volume.widths
        )


def comparison_with(
    reference: Reference | None, scan: HistogramScan, kept: list[int]
) -> Comparison:
    """What it takes to compare histograms with a reference.

    Args:
        reference: Information, or a pair of it and its covariance; None for the truth.
        scan: The events of the histograms.
        kept: The ranked parameters.

    Returns:
        The comparison.

    Raises:
        ShapeError: If the reference is of another number of parameters.
        DataError: If it is blind to a direction of the ranked parameters.
    """
    p, m = scan.fisher.n_parameters, scan.response.n_parameters
    constraint = constraint_information(p, m - p)
    information, covariance = scan.truth() if reference is None else _given(reference, m)
    volume = _volume(information + constraint, kept)
    if volume.log_det == -math.inf:
        raise DataError(
            f"The reference is blind to a direction of the ranked parameters {kept}, so that there "
            "is nothing to share. Rank fewer of them, or give another reference."
        )
    label = "truth" if reference is None else "reference"
    entry = RankedInformation(
        label, None, information, covariance, volume.merit, 1.0, 0.0, volume.widths
    )
    slope = volume.slope if reference is None else np.zeros((m, m))
    return Comparison(entry, kept, constraint, volume, slope)


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    """Log determinant of the information on p parameters, the others profiled.

    Args:
        log_det: The logarithm, minus infinity if a direction is blind.
        slope: Its derivative in the information on all parameters, shape ``(m, m)``; zero if blind.
        widths: Standard deviations of the parameters, shape ``(p,)``.
    """

    log_det: float
    slope: FloatArray
    widths: FloatArray

    @property
    def merit(self) -> float:
        return math.exp(self.log_det / len(self.widths))

    def variance(self, covariance: FloatArray | None) -> float:
        """Variance of the logarithm, from the covariance of the information."""
        if covariance is None:
            return 0.0
        return float(np.einsum("ij,ijkl,kl", self.slope, covariance, self.slope))


def _volume(information: FloatArray, kept: Sequence[int]) -> _Volume:
    widths = expected_limits(information).profiled[kept]
    matrix = _profiling(information, kept)
    profiled = transform_information(information, matrix)
    scale = unit_scales(information)[kept]  # of what there was before others took their part
    values = np.linalg.eigvalsh(profiled * np.outer(scale, scale))
    if values[0] <= BLIND:
        return _Volume(-math.inf, np.zeros_like(information), widths)
    log_det = float(np.log(values).sum() - 2.0 * np.log(scale).sum())
    slope = transform_information(np.linalg.inv(profiled), matrix.T)
    return _Volume(log_det, slope, widths)


def _profiling(information: FloatArray, kept: Sequence[int]) -> FloatArray:
    """As `profile_matrix`, but directions of the others without information may stay free.

    They are not correlated with anything, as the information is positive semidefinite.
    """
    n = len(information)
    others = [i for i in range(n) if i not in kept]
    matrix = np.eye(n)[kept]
    if others:
        inverse, _ = inverse_information(information[np.ix_(others, others)])
        matrix[:, others] = -information[np.ix_(kept, others)] @ inverse
    return matrix


def _given(reference: Reference, m: int) -> tuple[FloatArray, FloatArray | None]:
    """Information of the user, and its covariance if there is one."""
    covariance = None
    if isinstance(reference, tuple) and len(reference) == 2 and np.ndim(reference[1]) == 4:
        information = as_information(reference[0])
        covariance = as_covariance(reference[1], len(information))
    else:
        information = as_information(cast("ArrayLike", reference))
    if len(information) != m:
        raise ShapeError(
            f"The reference must have shape ({m}, {m}), as the histograms, got "
            f"{information.shape}. With include_nuisance_parameters=False only the theory "
            "parameters count."
        )
    return information, covariance


def _common_variance(filled: FilledHistogram, scan: HistogramScan, slope: FloatArray) -> float:
    r"""Covariance of the log determinants of a histogram and of the truth.

    .. math::

        \sum_k D_{kb} \sum_{e \in k} w_{eb} s_e, \qquad
        D_{kb} = L \left[ 2\, t^T B\, G_b - t^T B\, t\; W_b \right]_k, \qquad t = g / \sigma

    with the slope B, the derivatives G and W of g and sigma, and the part s of each event.
    """
    cells, sums = scan.cells, filled.moments.sums
    sigma, gradient = cells.sigma(sums), cells.gradient(sums)
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
    score = gradient * inverse[:, np.newaxis]
    jacobian = 2.0 * np.einsum("ni,nib->nb", score @ slope, cells.gradient_jacobian(sums))
    jacobian -= np.einsum("ni,ij,nj->n", score, slope, score)[:, np.newaxis] * cells.weights
    return scan.luminosity * float(np.sum(jacobian * filled.mixed))


def _warn_about_sparse_bins(scan: HistogramScan, filled: Mapping[str, FilledHistogram]) -> None:
    sparse = [
        label
        for label, cells in filled.items()
        if np.mean(scan.cells.effective_events(cells.moments)[0]) < FEW_EVENTS
    ]
    if sparse:
        report_weakness(
            logger,
            "The bins of %s hold fewer than %g effective events on average: such histograms "
            "approach the truth at event level, and their information is too large. Use fewer "
            "bins or more events.",
            ", ".join(sparse),
            FEW_EVENTS,
        )
