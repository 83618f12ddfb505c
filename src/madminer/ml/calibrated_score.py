r"""A score estimator with its calibration from held-out events.

The estimated score f(x) is calibrated where :math:`E[t f^T] = E[f f^T]`, with the joint scores
t(x, z) of events at the reference point. Of all linear functions of f,

.. math:: \hat t_{cal}(x) = A\, \big(f(x) - E[f]\big), \qquad
    A = E\big[t\, (f - E[f])^T\big]\, \mathrm{Cov}(f)^{-1}

is the closest to the true score, and calibrated; its information
:math:`E[\hat t_{cal} \hat t_{cal}^T]` is the most that f supports, and never above that of x in
expectation. See `madminer.stats.score_moments` for the mathematics and for the errors of A.
"""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn, Self, final

import numpy as np
import torch

from madminer.checks import flag, number, real_array
from madminer.errors import (
    FileFormatError,
    NoEventsError,
    NotAvailableError,
    OptionError,
    ShapeError,
)
from madminer.evidence import report_weakness
from madminer.ml.calibration_curves import LEAST_EVENTS
from madminer.ml.inputs import DataLike, check_finite, load_columns, normalized_weights
from madminer.ml.persistence import StoredModel
from madminer.ml.score import ScoreEstimator
from madminer.nn.networks import MLP
from madminer.stats.score_moments import ScoreMoments
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, StrPath

logger = logging.getLogger("madminer.ml")

SIGNIFICANT: Final = 3.0
"""Standard errors by which slopes are positive where something was learned."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCalibration:
    r"""A linear calibration of scores, :math:`\hat t_{cal} = A f + b`.

    Args:
        matrix: A, without units, shape ``(n_parameters, n_parameters)``.
        matrix_errors: Standard errors of its elements from the finite number of events.
        shift: b in inverse parameter units, shape ``(n_parameters,)``.
        shift_errors: Standard errors of its elements.
        n_effective: Effective number of events that it was measured with.

    Raises:
        ShapeError: If the shapes do not fit.
    """

    matrix: FloatArray
    matrix_errors: FloatArray
    shift: FloatArray
    shift_errors: FloatArray
    n_effective: float

    def __post_init__(self) -> None:
        shape = real_array(self.shift, "shift").shape
        for name, expected in zip(_ARRAYS, (shape * 2, shape * 2, shape, shape), strict=True):
            array = real_array(getattr(self, name), name)
            if array.shape != expected or not np.isfinite(array).all():
                raise ShapeError(f"{name} must be finite numbers of shape {expected}.")
            object.__setattr__(self, name, array)
        number(self.n_effective, "n_effective", 0.0)

    @classmethod
    def measured(
        cls, scores: FloatArray, t_xz: FloatArray, probabilities: FloatArray, *, shift: bool = True
    ) -> Self:
        """Measure the calibration.

        Args:
            scores: Estimated scores of events at the reference point, shape ``(n, m)``.
            t_xz: Their joint scores, shape ``(n, m)``.
            probabilities: Weights of the events with sum one, shape ``(n,)``.
            shift: Whether the mean of the calibrated score is zero, as that of the true one.

        Raises:
            NoEventsError: If the events are worth fewer than `LEAST_EVENTS`.
        """
        mean = probabilities @ scores if shift else np.zeros(scores.shape[1])
        moments = ScoreMoments(scores.shape[1]).add(scores - mean, t_xz, probabilities)
        if moments.n_effective < LEAST_EVENTS:
            raise NoEventsError(
                f"A calibration needs {LEAST_EVENTS:g} effective events, but these {len(scores)} "
                f"are worth {moments.n_effective:.3g}. Use more events."
            )
        A = moments.calibration()
        _report_unrelated(A.value, A.errors)
        scatter = probabilities[:, np.newaxis] * ((scores - mean) @ A.value.T)
        errors = np.linalg.norm(scatter, axis=0) if shift else mean
        return cls(A.value, A.errors, -A.value @ mean, errors, moments.n_effective)

    @property
    def table(self) -> Table:
        """Elements of A and b with their errors."""
        lines = zip(self.matrix, self.matrix_errors, self.shift, self.shift_errors, strict=True)
        rows = [(*map(_with_error, a, errors), _with_error(b, e)) for a, errors, b, e in lines]
        n = len(self.shift)
        columns = (*(f"A, column {i}" for i in range(n)), "b")
        return Table(columns, rows, "Calibration", frozenset(range(n + 1)))


def _report_unrelated(slopes: FloatArray, errors: FloatArray) -> None:
    """Warn of components on which the joint score does not depend, or with the wrong sign."""
    for i, (slope, error) in enumerate(zip(np.diag(slopes), np.diag(errors), strict=True)):
        if slope < SIGNIFICANT * error:
            report_weakness(
                logger,
                "The joint scores hardly depend on component %d of the estimated ones: the slope "
                "is %.2g +- %.2g. The calibration keeps nothing of it. Check that joint scores and "
                "events are in the same order and belong to this reference point; else the "
                "network learned nothing.",
                i,
                slope,
                error,
            )


_ARRAYS = ("matrix", "matrix_errors", "shift", "shift_errors")


@final
class CalibratedScore(ScoreEstimator):
    r"""A trained score estimator whose scores are calibrated linearly with held-out events.

    Made by `fit` or `from_events`, or loaded; evaluated, saved and loaded like the `ScoreEstimator`
    that it is, and taken wherever one is: by ensembles, histograms of scores and the Fisher
    information. The last layer of its network, which is linear, holds the calibration, so that
    every program that reads its files has the calibrated scores.

    Components whose joint score is zero for every event, as those of norm systematics, are exactly
    zero.

    Attributes:
        calibration: The calibration with its errors; None until it is made or loaded.

    References:
        Brehmer et al., arXiv:1805.00020, Sec. 3, for scores and their information.

    Examples:
        Scores that are too large by a fifth, and the joint scores of a latent variable:

        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(20_000, 1))  # p(x|theta) = N(theta, 1): the score at 0 is x
        >>> estimator = ScoreEstimator(n_hidden=())
        >>> history = estimator.train(
        ...     "sally", x[:5000], 1.2 * x[:5000], n_epochs=5, initial_lr=0.05, seed=1
        ... )
        >>> t_xz = x + rng.normal(size=x.shape)
        >>> calibrated = CalibratedScore.fit(estimator, x[5000:], t_xz[5000:])
        >>> abs(calibrated.evaluate_score([[1.0]])[0, 0] - 1.0) < 0.03
        np.True_
    """

    def __init__(self) -> None:
        super().__init__()
        self.calibration: ScoreCalibration | None = None

    @classmethod
    def fit(
        cls,
        estimator: ScoreEstimator,
        x: DataLike,
        t_xz: DataLike,
        weights: DataLike | None = None,
        *,
        shift: bool = True,
    ) -> Self:
        r"""Calibrate a trained estimator with events that its training has not seen.

        Args:
            estimator: Score estimator, which is not changed; one that is calibrated already is
                calibrated once more.
            x: Observations drawn at the reference point, shape ``(n, n_observables)``.
            t_xz: Joint scores there in inverse parameter units, shape ``(n, n_parameters)``.
            weights: Weights of the events at the reference point, negative ones included, shape
                ``(n,)``; None for equal ones.
            shift: Whether the mean of the calibrated score is zero, as that of the true one.

        Returns:
            The calibrated estimator.

        Raises:
            NotTrainedError: If the estimator was not trained.
            OptionError: If it is no score estimator.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities.
            NegativeWeightError: If the weights do not add up to a positive number.
            NoEventsError: If the events are worth fewer than 50.
        """
        _check_kind(estimator)
        scores = estimator.evaluate_score(x, nuisance_mode="keep")
        joint = load_columns(t_xz, "t_xz")
        if joint.shape != scores.shape:
            raise ShapeError(f"t_xz must have shape {scores.shape}, got {joint.shape}.")
        check_finite(joint, "t_xz")
        calibration = ScoreCalibration.measured(
            scores,
            joint.astype(np.float64),
            normalized_weights(weights, len(scores)),
            shift=flag(shift, "shift"),
        )
        calibrated = cls()
        vars(calibrated).update(deepcopy(vars(estimator)))
        calibrated._apply(calibration)
        return calibrated

    @classmethod
    def from_events(
        cls,
        estimator: ScoreEstimator,
        filename: StrPath,
        theta: DataLike | str,
        partition: str = "validation",
        *,
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        shift: bool = True,
    ) -> Self:
        """Calibrate a trained estimator with the weighted events of an event file.

        Args:
            estimator: Score estimator, as for `fit`.
            filename: Event file.
            theta: Reference point of the training: the name of a benchmark, or numbers, shape
                ``(n_parameters,)``, followed by the nuisance parameters if the score has components
                for them.
            partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; not one that the
                estimator was trained on, nor one that will test the calibration.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            shift: As for `fit`.

        Returns:
            The calibrated estimator; see `fit` for the errors.

        Raises:
            OptionError: If the estimator is known to be trained at another point.
        """
        from madminer.ml.calibration_events import (  # h5py takes a third of a second
            joint_score_sample,
            load_points,
        )

        _check_kind(estimator)
        estimator._trained()
        points = load_points(theta, filename, estimator.n_parameters or 0)
        reference = estimator.theta_ref
        if len(points) != 1 or (reference is not None and not np.allclose(points[0], reference)):
            raise OptionError(
                f"theta must be the one point at which the estimator was trained"
                f"{'' if reference is None else f', {list(reference)}'}; got {points.tolist()}."
            )
        sample = joint_score_sample(
            filename,
            points[0],
            (partition, test_split, validation_split),
        )
        return cls.fit(estimator, sample.x, sample.t_xz, sample.w, shift=shift)

    def train(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: after more training the calibration would be that of another network."""
        del args, kwargs
        raise NotAvailableError(
            "A CalibratedScore is not trained. Train a ScoreEstimator, then calibrate it with "
            "CalibratedScore.fit."
        )

    def _repr_html_(self) -> str:
        return tables_html([] if self.calibration is None else [self.calibration.table], repr(self))

    def _summary(self) -> list[str]:
        if self.calibration is None:
            return super()._summary()
        matrices = self.calibration.matrix, self.calibration.matrix_errors
        diagonal = ", ".join(map(_with_error, *map(np.diagonal, matrices)))
        return [*super()._summary(), f"calibrated, diagonal of A: {diagonal}"]

    def _apply(self, calibration: ScoreCalibration) -> None:
        """Let the last layer, z -> W z + c, hold the calibration: A W z + (A c + b)."""
        network, _ = self._trained()
        if not isinstance(network, MLP):
            raise OptionError(f"A network that ends in a linear layer was expected, got {network}.")
        last = network.layer(len(network.layers) - 1)
        A, b = (
            torch.as_tensor(v).to(last.bias.device) for v in (calibration.matrix, calibration.shift)
        )
        with torch.no_grad():
            last.bias.copy_(A @ last.bias.double() + b)
            last.weight.copy_(A @ last.weight.double())
        self.calibration = calibration
        self.validated_thetas = None

    def _more_settings(self) -> dict[str, Any]:
        c = self.calibration
        if c is None:
            return super()._more_settings()
        values = {f.name: np.asarray(getattr(c, f.name)).tolist() for f in fields(c)}
        return {**super()._more_settings(), "calibration": values}

    def _restore_more(self, model: StoredModel) -> None:
        if "calibration" not in model.settings:
            raise FileFormatError("it has no calibration; load it with load_estimator")
        super()._restore_more(model)
        self.calibration = ScoreCalibration(**model.settings["calibration"])
        if len(self.calibration.shift) != self.n_parameters:
            raise ShapeError(
                f"{self.n_parameters} parameters, but the calibration of another number"
            )


def _check_kind(estimator: object) -> None:
    if not isinstance(estimator, ScoreEstimator):
        raise OptionError(
            f"A CalibratedScore is made of a ScoreEstimator, got a {type(estimator).__name__}. Of "
            f"an ensemble calibrate each member; for ratios take CalibratedRatio."
        )


def _with_error(value: float, error: float) -> str:
    return f"{value:.3g} ± {error:.1g}"
