r"""Estimated beside joint scores of test events: what the former are worth.

The joint score of an event with weight w at the parameter point is that of the normalised density,

.. math:: t = \frac{\nabla w}{w} - \frac{\nabla \sigma}{\sigma}.

The bounds of `madminer.stats.score_moments` follow from it. The matrix that recalibrates a score
is taken from the other half of the events, as it would fit the fluctuations of its own: the
recalibrated information is a lower bound then, too. To first order it does not feel the error of
this matrix, for which it is stationary.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

from madminer.evidence import report_weakness
from madminer.fisherinformation.response import CellResponse
from madminer.fisherinformation.score_information import EstimatedScores
from madminer.stats.information import direction_of_largest_ratio
from madminer.stats.matrix_means import MatrixEstimate
from madminer.stats.score_moments import ScoreMoments
from madminer.typing import BoolArray, FloatArray

logger = logging.getLogger(__name__)

N_SIGMA = 3.0
"""Standard errors by which the claim for a parameter may exceed what is guaranteed."""

TOLERANCE = 0.05
"""Share of a claim that may not be guaranteed: what the noise of a good network adds."""

FEW_EVENTS = 300.0
"""Effective number of test events below which errors, and what they tell, are rough."""


class ScoreEvidence:
    """Moments of estimated and joint scores of the test events, in two halves.

    Args:
        scores: The estimated scores.
        response: Cross section and gradient at the parameter point.
        rate_score: Gradient of the logarithm of the cross section, shape ``(m,)``; the mean over
            the test events is taken off beside.
    """

    def __init__(
        self, scores: EstimatedScores, response: CellResponse, rate_score: FloatArray
    ) -> None:
        self._scores, self._response, self._rate_score = scores, response, rate_score
        m = response.n_parameters
        self._halves = ScoreMoments(m, centered=True), ScoreMoments(m, centered=True)
        self._n_events = 0

    def watch(
        self, batches: Iterable[tuple[FloatArray, FloatArray]]
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Evaluate test events and add them.

        Args:
            batches: Observables, shape ``(n, n_observables)``, and weights at all benchmarks,
                shape ``(n, b)``.

        Yields:
            Scores of the members, shape ``(n_members, n, m)``, and weights, shape ``(n,)``.
        """
        for x, weights in batches:
            if len(x):
                sigma = self._response.sigma(weights)
                members = self._scores.members(x)
                self._add(self._scores.mean(members), self._joint(sigma, weights), sigma)
                yield members, sigma

    def _joint(self, sigma: FloatArray, weights: FloatArray) -> FloatArray:
        gradient, w = self._response.gradient(weights), sigma[:, np.newaxis]
        joint = np.divide(gradient, w, out=np.zeros_like(gradient), where=w != 0.0)
        joint -= self._rate_score
        joint[:, self._scores.vanishing] = 0.0
        return joint

    def _add(self, estimated: FloatArray, joint: FloatArray, sigma: FloatArray) -> None:
        """Every second event goes into the same half, however files and batches are cut."""
        for half, moments in enumerate(self._halves):
            rows = slice((half + self._n_events) % 2, None, 2)
            moments.add(estimated[rows], joint[rows], sigma[rows])
        self._n_events += len(sigma)

    @property
    def vanishing(self) -> BoolArray:
        """Components that are known to be zero for each event, shape ``(m,)``."""
        return self._scores.vanishing

    @cached_property
    def moments(self) -> ScoreMoments:
        """Of all events that were added; to be asked for after the last one."""
        return self._halves[0] + self._halves[1]

    def calibrated(self) -> MatrixEstimate:
        """Guaranteed information of the recalibrated scores, for one event.

        Raises:
            NoEventsError: If the weights of a half do not add up to a positive number.
        """
        m, total = self._response.n_parameters, self.moments.sum_of_weights
        result = MatrixEstimate(np.zeros((m, m)), np.zeros((m, m, m, m)))
        for half, other in (self._halves, self._halves[::-1]):
            bound = half.guaranteed(other.calibration().value)
            share = bound.scaled(half.sum_of_weights / total)
            result = result.plus(share.value, share.covariance)
        return result


def report_evidence(
    claimed: MatrixEstimate,
    moments: ScoreMoments,
    n_events: float,
    parameters: Sequence[str],
    *,
    same_events: bool,
    calibrate: bool = False,
) -> None:
    """Say so if scores claim more than they are worth, or if that cannot be told.

    Args:
        claimed: Information that the scores claim for one event.
        moments: Estimated and joint scores of the test events.
        n_events: Expected number of events, for the numbers of the message.
        parameters: Names of the parameters.
        same_events: Whether the claim is an average over the same test events.
        calibrate: Whether not the claim, but the recalibrated information is returned.

    Raises:
        EvidenceError: In strict mode, instead of the warning.
    """
    bound, truth = moments.guaranteed(), moments.truth()
    v = None if calibrate else _overclaimed(claimed, moments, same_events)
    if v is not None:
        known = truth.along(v)
        report_weakness(
            logger,
            "The scores claim a kinematic information of %s in the direction %s of %s, but only "
            "%s is guaranteed by the joint scores of %.0f effective test events%s. The network is "
            "not converged, was trained at another point or on few events, or knows these events "
            "too well. Use calibrate=True for what it does tell, or train longer and on more "
            "events.",
            _text(claimed.along(v), n_events),
            np.round(v, 3).tolist(),
            ", ".join(parameters),
            _text(bound.along(v), n_events),
            moments.n_effective,
            f", and more than the truth of {_text(known, n_events)} is impossible"
            if claimed.along(v)[0] > known[0]
            else "",
        )
    elif moments.n_effective < FEW_EVENTS:
        report_weakness(
            logger,
            "The test events are worth only %.0f: what the scores of %s are worth cannot be told. "
            "They claim a kinematic information of %s, guaranteed is %s, the truth is %s. Use more "
            "events, or a larger test_split if the network was not trained on them.",
            moments.n_effective,
            ", ".join(parameters),
            *(_texts(matrix, n_events) for matrix in (claimed, bound, truth)),
        )


def _overclaimed(
    claimed: MatrixEstimate, moments: ScoreMoments, same_events: bool
) -> FloatArray | None:
    """Direction in which more is claimed than guaranteed, shape ``(m,)``; None for none.

    The largest fluctuation in any direction is larger than that of a single parameter: of a
    symmetric matrix it is below the quantile of chi^2 with as many degrees of freedom as elements.
    """
    from scipy.special import chdtri, ndtr  # scipy.stats has the same, and takes seconds to import

    m, excess = len(claimed.value), moments.excess()
    above = MatrixEstimate(claimed.value - moments.guaranteed().value, excess.covariance)
    if not same_events:
        above = MatrixEstimate(above.value, claimed.covariance + moments.guaranteed().covariance)
    in_any = math.sqrt(chdtri(m * (m + 1) // 2, 2.0 * ndtr(-N_SIGMA)))
    worst = direction_of_largest_ratio(above.value, claimed.value)
    for v, n_sigma in [(worst, in_any), *((axis, N_SIGMA) for axis in np.eye(m))]:
        value, error = above.along(v)
        if value > n_sigma * error and value > TOLERANCE * claimed.along(v)[0]:
            return v
    return None


def _text(value: tuple[float, float], n_events: float) -> str:
    return f"{n_events * value[0]:.4g} ± {n_events * value[1]:.2g}"


def _texts(matrix: MatrixEstimate, n_events: float) -> str:
    unit = np.eye(len(matrix.value))
    return ", ".join(_text(matrix.along(v), n_events) for v in unit)
