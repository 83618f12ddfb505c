"""An information from trained scores, with what is known about how far it can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Self

import numpy as np

from madminer.evidence import report_weakness
from madminer.fisherinformation.score_evidence import ScoreEvidence, report_evidence
from madminer.fisherinformation.score_information import ModelInformation
from madminer.fisherinformation.summary import value_text
from madminer.stats.matrix_means import MatrixEstimate
from madminer.text import ShownAsTable, Table, one_line, tables_html, tables_rich
from madminer.typing import FloatArray

if TYPE_CHECKING:
    from rich.console import Group

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class InformationEvidence:
    """What stands beside an information and its covariance.

    Args:
        plug_in: What the scores claim, :math:`E[f f^T]`, as the first attribute of
            `InformationEstimate`.
        guaranteed: See `InformationEstimate`, as all that follow.
        calibrated: Guaranteed information of the recalibrated scores.
        truth: Information of the joint scores.
        calibration: Matrix A.
        n_effective: Effective number of test events.
        parameters: Names of the m parameters.
        vanishing: Names of those without information in the kinematics.
        uncertainties: What the covariance of the plug-in holds, in words.
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

    None of them can be set. The covariances say how the numbers would scatter over other test
    events; only that of an ensemble also says how they would over other trainings.

    Args:
        information: Information, shape ``(m, m)``.
        covariance: Its covariance, shape ``(m, m, m, m)``.
        evidence: The rest.

    References:
        `madminer.stats.score_moments` derives the bounds.
    """

    evidence: InformationEvidence

    def __new__(
        cls, information: FloatArray, covariance: FloatArray, evidence: InformationEvidence
    ) -> Self:
        """Make the pair; tuples are made here, not in ``__init__``."""
        estimate = super().__new__(cls, (information, covariance))
        vars(estimate)["evidence"] = evidence
        return estimate

    def __getnewargs__(self) -> tuple[FloatArray, FloatArray, InformationEvidence]:
        """What copies are made of."""
        return *self, self.evidence

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed; {name} was not set.")

    @property
    def plug_in(self) -> MatrixEstimate:
        """What the scores claim."""
        return self.evidence.plug_in

    @property
    def guaranteed(self) -> MatrixEstimate:
        """What the scores tell at least, on average over test events."""
        return self.evidence.guaranteed

    @property
    def calibrated(self) -> MatrixEstimate:
        """What they tell at least once they are linearly recalibrated."""
        return self.evidence.calibrated

    @property
    def truth(self) -> MatrixEstimate:
        """What the test events would tell if all latent variables were known."""
        return self.evidence.truth

    @property
    def calibration(self) -> MatrixEstimate:
        """Matrix A by which the scores have to be multiplied to be calibrated."""
        return self.evidence.calibration

    @property
    def n_effective(self) -> float:
        """Effective number of test events."""
        return self.evidence.n_effective

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.evidence.parameters

    @property
    def vanishing(self) -> tuple[str, ...]:
        """Names of parameters that have no information in the kinematics."""
        return self.evidence.vanishing

    @property
    def table(self) -> Table:
        """Diagonal elements with their errors, one row for each parameter."""
        heads = ("parameter", "network", "guaranteed", "recalibrated", "truth")
        columns = (self.plug_in, self.guaranteed, self.calibrated, self.truth)
        rows = list(zip(self.parameters, *(_diagonal(c) for c in columns), strict=True))
        return Table(heads, rows, "Information, diagonal", frozenset({1, 2, 3, 4}), len(rows))

    @property
    def _notes(self) -> Table:
        found = self.evidence
        rows = [
            ("effective test events", f"{found.n_effective:.0f}"),
            ("errors of the network", found.uncertainties),
            ("other errors", "test events"),
        ]
        if found.vanishing:
            reason = "joint score is zero: no information in the kinematics"
            rows.append((", ".join(found.vanishing), reason))
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
        return one_line(f"InformationEstimate({'; '.join(rows)}; {self.evidence.uncertainties})")


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

    Returns:
        The information.
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
    found = InformationEvidence(
        plug_in=total(kinematic.total),
        guaranteed=total(moments.guaranteed()),
        calibrated=total(evidence.calibrated()),
        truth=total(moments.truth()),
        calibration=moments.calibration(),
        n_effective=moments.n_effective,
        parameters=tuple(parameters),
        vanishing=tuple(n for n, v in zip(parameters, evidence.vanishing, strict=True) if v),
        uncertainties=kinematic.uncertainties,
    )
    chosen = found.calibrated if calibrate else found.plug_in
    if calibrate and (lowest := float(np.linalg.eigvalsh(chosen.value)[0])) < 0.0:
        report_weakness(
            logger,
            "The recalibrated information is not positive (smallest eigenvalue %.3g, with %.0f "
            "effective test events): in this direction the scores guarantee nothing. Use more "
            "events, or an analysis that needs less of them, such as a histogram of few bins.",
            lowest,
            moments.n_effective,
        )
    return InformationEstimate(chosen.value, chosen.covariance, found)


def _diagonal(matrix: MatrixEstimate) -> Sequence[str]:
    values, errors = matrix.value.diagonal(), matrix.errors.diagonal()
    return [value_text(value, error) for value, error in zip(values, errors, strict=True)]
