"""Trained networks as densities of x at theta, or at theta and nu."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np

from madminer.analysis.weights import ParameterPoints
from madminer.checks import path
from madminer.errors import NotTrainedError, OptionError, SetupError
from madminer.ml import (
    Ensemble,
    Estimator,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    load_estimator,
)
from madminer.ml.validated import UndecidedValidation
from madminer.models import AnalysisSetup
from madminer.typing import BoolArray, FloatArray, StrPath

DensityModel = ParameterizedRatioEstimator | LikelihoodEstimator | Ensemble
"""Estimators of :math:`\\log p(x|\\theta)` up to a constant, and ensembles of them."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedDensity:
    r"""One network or several, whose mean :math:`\log \hat f(x|\theta, \nu)` is taken.

    Args:
        members: Single ratio estimators or likelihood estimators of one type.
        n_parameters: Number p of theory parameters.
        knows_nu: Whether the networks take nuisance parameters after theta.
        validated_thetas: Points at which their calibration was tested, shape ``(n, m)``; None if
            it never was.
        undecided_validation: A later validation whose events were too few to tell; None without.
        varied: Which nuisance parameters the training varied, shape ``(v,)``; None for all that
            the networks take. What networks say of the others is noise: they get zero for them.
    """

    members: Sequence[ParameterizedRatioEstimator | LikelihoodEstimator]
    n_parameters: int
    knows_nu: bool
    validated_thetas: FloatArray | None = None
    undecided_validation: UndecidedValidation | None = None
    varied: BoolArray | None = None

    def is_unknown(self, n_nuisance_parameters: int) -> BoolArray:
        """Which nuisance parameters change nothing in this density, shape ``(v,)``."""
        if self.varied is not None:
            return ~self.varied
        return np.full(n_nuisance_parameters, not self.knows_nu)

    def positions(self, points: ParameterPoints) -> FloatArray:
        """What the networks take of parameter points, shape ``(n, p)`` or ``(n, p + v)``."""
        if not self.knows_nu:
            return points.positions
        nus = points.nus if self.varied is None else points.nus * self.varied
        return np.hstack([points.positions, nus])

    def in_double_precision(self) -> LearnedDensity:
        """The same density without the rounding that fits of many events would see."""
        return replace(self, members=[_doubled(member) for member in self.members])

    def combinations(
        self, x: FloatArray, positions: FloatArray, *, with_score: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Every event at every point.

        Args:
            x: Observables, shape ``(n_x, n_observables)``.
            positions: Points, shape ``(n, m)``.
            with_score: Whether the gradients by the parameters are wanted.

        Returns:
            Values of log f, shape ``(n, n_x)``, and scores, shape ``(n, n_x, m)``, or None.
        """
        return self._mean(x, positions, all_combinations=True, with_score=with_score)

    def member_values(self, x: FloatArray, positions: FloatArray) -> FloatArray:
        """Values of each member at every point, shape ``(n_members, n, n_x)``."""
        return np.stack([_log_f(member, x, positions, True, False)[0] for member in self.members])

    def pairs(self, x: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Each event at a point of its own: values ``(n,)`` and scores ``(n, m)``."""
        values, scores = self._mean(x, positions, all_combinations=False, with_score=True)
        return values, np.empty((len(x), 0)) if scores is None else scores

    def _mean(
        self, x: FloatArray, positions: FloatArray, *, all_combinations: bool, with_score: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        found = [_log_f(m, x, positions, all_combinations, with_score) for m in self.members]
        values = sum((value for value, _ in found[1:]), found[0][0]) / len(found)
        scores = [score for _, score in found if score is not None]
        if not scores:
            return values, None
        score = sum(scores[1:], scores[0]) / len(scores)
        if self.varied is not None:  # it does not depend on what is not handed over
            score[..., self.n_parameters :] *= self.varied
        return values, score


def _doubled(
    member: ParameterizedRatioEstimator | LikelihoodEstimator,
) -> ParameterizedRatioEstimator | LikelihoodEstimator:
    copied = deepcopy(member)
    if copied._network is not None:
        copied._network.double()
    return copied


def _log_f(
    member: ParameterizedRatioEstimator | LikelihoodEstimator,
    x: FloatArray,
    positions: FloatArray,
    all_combinations: bool,
    with_score: bool,
) -> tuple[FloatArray, FloatArray | None]:
    if isinstance(member, LikelihoodEstimator):
        return member.evaluate_log_likelihood(x, positions, all_combinations, with_score)
    return member.evaluate_log_likelihood_ratio(x, positions, all_combinations, with_score)


def _varied_nus(
    members: Sequence[ParameterizedRatioEstimator | LikelihoodEstimator], p: int, v: int
) -> BoolArray:
    """Which nuisance parameters were not always zero in the training, shape ``(v,)``.

    Raises:
        OptionError: If none was.
    """
    varied = np.ones(v, dtype=np.bool_)
    for member in members:
        scaling = member._theta_scaling
        if scaling is None:
            continue
        is_constant = (scaling.means == 0.0) & (scaling.stds == 1.0)  # of a sample drawn never so
        if not np.all(is_constant):
            varied &= ~is_constant[p:]
    if varied.any():
        return varied
    raise OptionError(
        "The estimator was trained at nu = 0 alone and does not know what nuisance parameters do. "
        "Train it with samples of nu drawn at random (iid_nuisance_parameters; in an analysis file "
        "nuisances: random), or without nuisance parameters and give "
        "response=train_response(...), or load the events with include_nuisance_parameters=False."
    )


def learned_density(model: Estimator | Ensemble | StrPath, setup: AnalysisSetup) -> LearnedDensity:
    """Load an estimator where a path is given, and check that it fits to a setup.

    Args:
        model: Single ratio estimator or likelihood estimator, or an ensemble of them, or the file
            or folder of either.
        setup: Setup of the analysis.

    Returns:
        The density.

    Raises:
        OptionError: If it is another type of estimator, or it knows nuisance parameters by name
            but was trained at nu = 0 alone.
        NotTrainedError: If it was not trained, or an ensemble has no members.
        SetupError: If the numbers of parameters or observables are others than those of the setup.
    """
    known = (
        model
        if isinstance(model, Estimator | Ensemble)
        else load_estimator(path(model, "model_file"))
    )
    members = known.estimators if isinstance(known, Ensemble) else [known]
    if not members:
        raise NotTrainedError("The ensemble has no estimators yet. Train or load it.")
    densities = [
        m for m in members if isinstance(m, ParameterizedRatioEstimator | LikelihoodEstimator)
    ]
    if len(densities) < len(members):
        kinds = sorted({type(member).__name__ for member in members})
        raise OptionError(
            "A likelihood needs a single parameterized ratio estimator or a likelihood estimator, "
            f"or an ensemble of them; got {' and '.join(kinds)}. Scores are histogrammed: use "
            "HistoLikelihood, or the modes 'sally' and 'sallino' of AsymptoticLimits."
        )
    if densities[0].n_parameters is None:
        raise NotTrainedError(
            f"This {type(densities[0]).__name__} was not trained yet; call train or load first."
        )
    p, v = setup.n_parameters, setup.n_nuisance_parameters
    if densities[0].n_parameters not in {p, p + v}:
        raise SetupError(
            f"The estimator knows {densities[0].n_parameters} parameters, but the setup has {p} "
            f"theory parameters and {v} nuisance parameters."
        )
    n_observables = len(setup.observables)
    if densities[0].n_observables not in {None, n_observables} and densities[0].features is None:
        raise SetupError(
            f"The estimator was trained with {densities[0].n_observables} observables, but the "
            f"events have {n_observables}."
        )
    knows_nu = v > 0 and densities[0].n_parameters == p + v
    varied = _varied_nus(densities, p, v) if knows_nu else None
    return LearnedDensity(
        densities,
        p,
        knows_nu,
        known.validated_thetas,
        known.undecided_validation,
        None if varied is None or varied.all() else varied,
    )
