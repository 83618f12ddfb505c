r"""An information from trained scores, and how far it can be trusted.

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
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from madminer.evidence import report_weakness
from madminer.fisherinformation.response import CellResponse
from madminer.fisherinformation.score_information import EstimatedScores, ModelInformation
from madminer.fisherinformation.summary import value_text
from madminer.stats.information import direction_of_largest_ratio
from madminer.stats.score_moments import MatrixEstimate, ScoreMoments
from madminer.text import ShownAsTable, Table, one_line, tables_html, tables_rich
from madminer.typing import FloatArray

if TYPE_CHECKING:
    from rich.console import Group

logger = logging.getLogger(__name__)

N_SIGMA = 3.0
"""Standard errors by which the claim for a parameter may exceed what is guaranteed."""

TOLERANCE = 0.05
"""Share of a claim that may not be guaranteed: what the noise of a good network adds."""

FEW_EVENTS = 300.0
"""Effective number of test events below which errors, and what they tell, are rough."""


class InformationEstimate(ShownAsTable, tuple[FloatArray, FloatArray]):  # noqa: SLOT001 (no room)
    r"""The pair (information, covariance), with the evidence for it as attributes.

    ``information, covariance = fisher.full_information(...)`` unpacks it. With the estimated
    scores f, the joint scores t of the test events, and, where the rate is included, its
    information added to all of them, the attributes are matrices with the covariances that they
    have from the finite number of events:

    - ``plug_in``: what the scores claim, :math:`n\, E[f f^T]`. This is the pair, unless it was
      asked for calibrated; it can be anything where the scores are wrong.
    - ``guaranteed``: :math:`n\, (E[f t^T] + E[t f^T] - E[f f^T])`, which is never above the
      information of the observables on average, whatever f is.
    - ``calibrated``: the same for the scores A f, the best linear function of f. A comes from
      the other half of the events, so that this is a bound as well.
    - ``truth``: :math:`n\, E[t t^T]`: all latent variables known, which nothing can exceed.
    - ``calibration``: the matrix A, shape ``(m, m)``; the unit matrix for calibrated scores.
    - ``n_effective``: effective number of test events, :math:`(\sum w)^2 / \sum w^2`.
    - ``parameters``, ``vanishing``: names of all parameters, and of those without any information
      in the kinematics.
    - ``uncertainties``: what the covariance of ``plug_in`` holds, in words.

    None of them can be set. The covariances say how the numbers would scatter over other test
    events; only that of an ensemble also says how they would over other trainings.

    Args:
        information: Information, shape ``(m, m)``.
        covariance: Its covariance, shape ``(m, m, m, m)``.
        **evidence: The attributes.

    References:
        `madminer.stats.score_moments` derives the bounds.
    """

    plug_in: MatrixEstimate
    guaranteed: MatrixEstimate
    calibrated: MatrixEstimate
    truth: MatrixEstimate
    calibration: MatrixEstimate
    n_effective: float
    parameters: tuple[str, ...]
    vanishing: tuple[str, ...]
    uncertainties: str

    def __new__(cls, information: FloatArray, covariance: FloatArray, **evidence: Any) -> Self:
        """Make the pair; tuples are made here, not in ``__init__``."""
        estimate = super().__new__(cls, (information, covariance))
        expected = set(InformationEstimate.__annotations__)
        if evidence and set(evidence) != expected:  # copies get their attributes later
            raise TypeError(f"The evidence must be {sorted(expected)}, got {sorted(evidence)}.")
        vars(estimate).update(evidence)
        return estimate

    def __getnewargs__(self) -> tuple[FloatArray, FloatArray]:
        """What copies are made of, beside the attributes."""
        return self[0], self[1]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed; {name} was not set.")

    @property
    def table(self) -> Table:
        """Diagonal elements with their errors, one row for each parameter."""
        heads = ("parameter", "network", "guaranteed", "recalibrated", "truth")
        columns = (self.plug_in, self.guaranteed, self.calibrated, self.truth)
        rows = list(zip(self.parameters, *map(_diagonal, columns), strict=True))
        return Table(heads, rows, "Information, diagonal", frozenset({1, 2, 3, 4}), len(rows))

    @property
    def _notes(self) -> Table:
        rows = [
            ("effective test events", f"{self.n_effective:.0f}"),
            ("errors of the network", self.uncertainties),
            ("other errors", "test events"),
        ]
        if self.vanishing:
            reason = "joint score is zero: no information in the kinematics"
            rows.append((", ".join(self.vanishing), reason))
        return Table(("about", "what is known"), rows, "What it rests on")

    def __rich__(self) -> Group:
        return tables_rich([self.table, self._notes])

    def _repr_html_(self) -> str:
        return tables_html([self.table, self._notes])

    def __repr__(self) -> str:
        names = ("network", "guaranteed", "recalibrated", "truth")
        rows = [
            f"{name}: " + ", ".join(f"{n} {text}" for n, text in zip(names, texts, strict=True))
            for name, *texts in self.table.rows
        ]
        return one_line(f"InformationEstimate({'; '.join(rows)}; {self.uncertainties})")


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
        self.scores, self._response, self._rate_score = scores, response, rate_score
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
                sigma, joint = self._response.sigma(weights), self._response.scores(weights)
                joint -= self._rate_score
                joint[:, self.scores.vanishing] = 0.0
                members = self.scores.members(x)
                estimated = self.scores.mean(members)
                # every second event goes into the same half, however files and batches are cut
                for half, moments in enumerate(self._halves):
                    rows = slice((half + self._n_events) % 2, None, 2)
                    moments.add(estimated[rows], joint[rows], sigma[rows])
                self._n_events += len(sigma)
                yield members, sigma

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


def information_estimate(
    kinematic: ModelInformation,
    evidence: ScoreEvidence,
    *,
    n_events: float,
    rate: tuple[FloatArray, FloatArray] | None,
    parameters: Sequence[str],
    same_events: bool,
    calibrate: bool,
) -> InformationEstimate:
    """Put together what scores claim and what they are worth; warn where these differ.

    Args:
        kinematic: What the scores claim of one event.
        evidence: What the test events say about them.
        n_events: Expected number of events.
        rate: Information in the rate and its covariance, added to everything; None for none.
        parameters: Names of the m parameters.
        same_events: Whether the claim is an average over the test events.
        calibrate: Whether the pair is that of the recalibrated scores.
    """

    def total(matrix: MatrixEstimate) -> MatrixEstimate:
        many = matrix.scaled(n_events)
        return many if rate is None else many.plus(*rate)

    moments = evidence.moments
    report_evidence(
        kinematic.claimed,
        moments,
        n_events,
        parameters,
        same_events=same_events,
        calibrate=calibrate,
    )
    plug_in, calibrated = total(kinematic.total), total(evidence.calibrated())
    chosen = calibrated if calibrate else plug_in
    if calibrate and (lowest := float(np.linalg.eigvalsh(chosen.value)[0])) < 0.0:
        report_weakness(
            logger,
            "The recalibrated information is not positive (smallest eigenvalue %.3g, with %.0f "
            "effective test events): in this direction the scores guarantee nothing. Use more "
            "events, or an analysis that needs less of them, such as a histogram of few bins.",
            lowest,
            moments.n_effective,
        )
    return InformationEstimate(
        chosen.value,
        chosen.covariance,
        plug_in=plug_in,
        guaranteed=total(moments.guaranteed()),
        calibrated=calibrated,
        truth=total(moments.truth()),
        calibration=moments.calibration(),
        n_effective=moments.n_effective,
        parameters=tuple(parameters),
        vanishing=tuple(
            name for name, v in zip(parameters, evidence.scores.vanishing, strict=True) if v
        ),
        uncertainties=kinematic.uncertainties,
    )


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
    claimed, bound, truth = (
        matrix.scaled(n_events) for matrix in (claimed, moments.guaranteed(), moments.truth())
    )
    excess = moments.excess().scaled(n_events)
    v = None if calibrate else _overclaimed(claimed, bound, excess if same_events else None)
    if v is not None:
        known = truth.along(v)
        report_weakness(
            logger,
            "The scores claim a kinematic information of %s in the direction %s of %s, but only "
            "%s is guaranteed by the joint scores of %.0f effective test events%s. The network is "
            "not converged, was trained at another point or on few events, or knows these events "
            "too well. Use calibrate=True for what it does tell, or train longer and on more "
            "events.",
            value_text(*claimed.along(v)),
            np.round(v, 3).tolist(),
            ", ".join(parameters),
            value_text(*bound.along(v)),
            moments.n_effective,
            f", and more than the truth of {value_text(*known)} is impossible"
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
            *(", ".join(_diagonal(matrix)) for matrix in (claimed, bound, truth)),
        )


def _overclaimed(
    claimed: MatrixEstimate, bound: MatrixEstimate, excess: MatrixEstimate | None
) -> FloatArray | None:
    """Direction in which more is claimed than guaranteed, shape ``(m,)``; None for none.

    The largest fluctuation in any direction is larger than that of a single parameter: of a
    symmetric matrix it is below the quantile of chi^2 with as many degrees of freedom as elements.
    `excess` has the errors of the difference where both come from the same events, else None.
    """
    from scipy.special import chdtri, ndtr  # scipy.stats has the same, and takes seconds to import

    m = len(claimed.value)
    covariance = claimed.covariance + bound.covariance if excess is None else excess.covariance
    above = MatrixEstimate(claimed.value - bound.value, covariance)
    in_any = math.sqrt(chdtri(m * (m + 1) // 2, 2.0 * ndtr(-N_SIGMA)))
    worst = direction_of_largest_ratio(above.value, claimed.value)
    for v, n_sigma in [(worst, in_any), *((axis, N_SIGMA) for axis in np.eye(m))]:
        value, error = above.along(v)
        if value > n_sigma * error and value > TOLERANCE * claimed.along(v)[0]:
            return v
    return None


def _diagonal(matrix: MatrixEstimate) -> Sequence[str]:
    """Diagonal elements with their errors, as texts."""
    values, errors = matrix.value.diagonal(), matrix.errors.diagonal()
    return [value_text(value, error) for value, error in zip(values, errors, strict=True)]
