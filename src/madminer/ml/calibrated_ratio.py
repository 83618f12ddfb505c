"""A ratio estimator with its calibration from held-out events."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any, NoReturn, Self, final

import numpy as np
from torch import Tensor

from madminer.checks import real_array
from madminer.errors import FileFormatError, NotAvailableError, OptionError, ShapeError
from madminer.evidence import is_strict, report_weakness
from madminer.ml.calibration_curves import CalibratedNetwork, CalibrationCurve, calibration_curve
from madminer.ml.inputs import (
    DataLike,
    check_finite,
    load_array,
    load_columns,
    load_thetas,
    normalized_weights,
)
from madminer.ml.morphing_aware import (
    MorphingAwareRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
)
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.persistence import StoredModel
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, StrPath

logger = logging.getLogger("madminer.ml")

_KINDS: dict[str, type[ParameterizedRatioEstimator]] = {
    kind.family: kind
    for kind in (
        MorphingAwareRatioEstimator,
        ParameterizedRatioEstimator,
        QuadraticMorphingAwareRatioEstimator,
    )
}
"""Estimators that can be calibrated, by the type that stands in their files."""

_SIGNIFICANT = 5.0  # standard errors
_PREFIX = "network."  # of what the state dict of a `CalibratedNetwork` holds


@final
class CalibratedRatio(ParameterizedRatioEstimator):
    r"""A trained ratio estimator whose ratios are those of the statistic that it gives.

    Made by `fit` or `from_events`, or loaded; evaluated, saved and loaded like the
    `ParameterizedRatioEstimator` that it is, and taken wherever one is: by ensembles, likelihoods,
    limits and the Fisher information.

    At each theta of the calibration the mean of the joint ratio of held-out events, in bins of the
    estimated log r, gives log r without a model, see `madminer.ml.calibration_curves`; in between
    the change of log r is interpolated smoothly, and the score is the exact derivative, see
    `madminer.ml.calibration_curves`. What is calibrated is log r of one event. The calibrated
    ratio has no more power than the estimated one, but limits from it are not too strong, up to the
    errors of the curves: these are common to all observed events, so calibrate with many times as
    many events as will be observed. Where p-values come from toy experiments, any statistic gives
    the right coverage: they need no calibration.

    Attributes:
        estimator: The estimator without its calibration.
        theta: Points of the calibration, shape ``(n_thetas, n_parameters)``.
        curves: Calibration curve at each of them.

    References:
        Cranmer, Pavez, Louppe, arXiv:1506.02169; Brehmer et al., arXiv:1805.00020, Sec. 3.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> theta = rng.uniform(-1.0, 1.0, size=8000)
        >>> y = rng.integers(0, 2, size=8000)
        >>> x = rng.normal(np.where(y == 0, theta, 0.0))  # p(x|theta) = N(theta, 1), theta1 = 0
        >>> r = np.exp(theta * x - theta**2 / 2)
        >>> estimator = ParameterizedRatioEstimator(n_hidden=(20,))
        >>> history = estimator.train("alice", x, y, theta, r, n_epochs=3, initial_lr=0.01, seed=1)
        >>> held_out, points = rng.normal(size=20_000), np.array([-1.0, -0.5, 0.5, 1.0])
        >>> joint = np.exp(points[:, None] * held_out - points[:, None] ** 2 / 2)
        >>> calibrated = CalibratedRatio.fit(estimator, held_out, points, joint, theta1=0.0)
        >>> log_r, _ = calibrated.evaluate_log_likelihood_ratio([[1.0]], [[0.5], [-0.5], [0.0]])
        >>> np.allclose(log_r[:, 0], [0.375, -0.625, 0.0], atol=0.05)
        True
    """

    family = "calibrated_ratio"

    def __init__(self) -> None:
        super().__init__()
        self.estimator = ParameterizedRatioEstimator()
        self.theta: FloatArray = np.empty((0, 0))
        self.curves: tuple[CalibrationCurve, ...] = ()
        self._has_warned = False

    @classmethod
    def fit(
        cls,
        estimator: ParameterizedRatioEstimator,
        x: DataLike,
        theta: DataLike,
        r_xz: DataLike,
        weights: DataLike | None = None,
        *,
        theta1: DataLike | None = None,
        n_bins: int = 20,
        method: str = "binned",
    ) -> Self:
        r"""Calibrate a trained estimator with events that its training has not seen.

        Args:
            estimator: Single ratio estimator, of any kind; a copy is kept.
            x: Observations drawn at the reference :math:`\theta_1`, shape ``(n, n_observables)``.
            theta: Points of the calibration, shape ``(n_thetas, n_parameters)``: those of a grid of
                limits, or a few that surround the region of interest, so that the calibrated
                points hold what is asked for.
            r_xz: Joint ratios :math:`p(x,z|\theta_k)/p(x,z|\theta_1)` of the same events, shape
                ``(n_thetas, n)``.
            weights: Weights of the events at theta1, negative ones included, shape ``(n,)``; None
                for equal ones.
            theta1: The reference, shape ``(n_parameters,)``: one more point of the calibration, at
                which log r is zero. It makes scores near the reference precise. None if it is
                not known, or among `theta` already.
            n_bins: Largest number of bins of log r at each theta, at least 2; neighbours are
                merged until each is worth 50 events at theta and at theta1.
            method: "binned", or "isotonic" for a curve that never falls.

        Returns:
            The calibrated estimator.

        Raises:
            NotTrainedError: If the estimator was not trained.
            OptionError: If it is no single ratio estimator or calibrated already, points are
                repeated, or an option lies outside its range.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities.
            NegativeWeightError: If negative weights prevail, or there are any with "isotonic".
            NoEventsError: If the events are too few at one of the thetas.
        """
        _check_kind(estimator)
        points, events = estimator._load_theta(theta), load_columns(x, "x")
        ratios = _loaded_ratios(r_xz, len(points), len(events))
        if theta1 is not None:  # where every ratio is one
            points = np.vstack([points, _reference(estimator, theta1)])
            ratios = np.vstack([ratios, np.ones((1, len(events)))])
        probabilities = normalized_weights(weights, len(events))
        _report_means(points, ratios, probabilities)
        curves = []
        for point, ratio in zip(points, ratios, strict=True):
            log_r_hat, _ = estimator.evaluate_log_likelihood_ratio(events, point[np.newaxis])
            curves.append(calibration_curve(log_r_hat[0], ratio, probabilities, n_bins, method))
        calibrated = cls()
        calibrated._take(deepcopy(estimator), points, tuple(curves))
        return calibrated

    @classmethod
    def from_events(
        cls,
        estimator: ParameterizedRatioEstimator,
        filename: StrPath,
        theta: DataLike | str | Sequence[str],
        theta1: DataLike | str,
        partition: str = "validation",
        *,
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        n_bins: int = 20,
        method: str = "binned",
    ) -> Self:
        """Calibrate a trained estimator with the weighted events of an event file.

        Args:
            estimator: Single ratio estimator, as for `fit`.
            filename: Event file.
            theta: Points of the calibration: names of benchmarks, or numbers, shape ``(n_thetas,
                n_parameters)``, with nuisance parameters in the last columns if the estimator knows
                them.
            theta1: The reference of the training: a name, or numbers, shape ``(n_parameters,)``.
            partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; not one that the
                estimator was trained on, nor one that will test the calibration.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            n_bins: Largest number of bins.
            method: "binned" or "isotonic".

        Returns:
            The calibrated estimator; see `fit` for the errors.
        """
        _check_kind(estimator)
        from madminer.ml.calibration_events import (  # h5py takes a third of a second
            joint_ratio_sample,
            load_points,
        )

        estimator._trained()
        m = estimator.n_parameters or 0
        points = load_points(theta, filename, m)
        reference = _reference(estimator, load_points(theta1, filename, m, "theta1"))
        x, r_xz, weights = joint_ratio_sample(
            filename,
            points,
            reference,
            (partition, test_split, validation_split),
        )
        others = np.any(points != reference, axis=1)
        return cls.fit(
            estimator,
            x,
            points[others],
            r_xz[others],
            weights,
            theta1=reference,
            n_bins=n_bins,
            method=method,
        )

    @property
    def errors(self) -> tuple[FloatArray, ...]:
        """Standard errors of log r in the bins of each theta, from the finite sample."""
        return tuple(curve.errors for curve in self.curves)

    @property
    def table(self) -> Table:
        """Points of all calibration curves, with their errors."""
        rows = [
            (str(point.tolist()), *(f"{value:.4g}" for value in values))
            for point, curve in zip(self.theta, self.curves, strict=True)
            for values in zip(*(getattr(curve, f.name) for f in fields(curve)), strict=True)
        ]
        columns = ("theta", "estimated log r", "log r", "error", "effective events")
        return Table(columns, rows, "Calibration", frozenset({1, 2, 3, 4}))

    def _repr_html_(self) -> str:
        return tables_html([self.table], repr(self))

    def _summary(self) -> list[str]:
        if not self.curves:
            return ["not trained"]
        largest = max(float(errors.max()) for errors in self.errors)
        n_bins = sorted({len(errors) for errors in self.errors})
        return [
            repr(self.estimator),
            f"calibrated at {len(self.curves)} thetas",
            f"{' to '.join(map(str, dict.fromkeys((n_bins[0], n_bins[-1]))))} bins",
            f"errors of log r up to {largest:.2g}",
        ]

    def train(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: after more training the calibration would be that of another network."""
        del args, kwargs
        raise NotAvailableError(
            "A CalibratedRatio is not trained. Train the estimator, then calibrate it with "
            "CalibratedRatio.fit."
        )

    def evaluate_log_likelihood_ratio(
        self,
        x: DataLike,
        theta: DataLike,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the calibrated log likelihood ratio, see `ParameterizedRatioEstimator`.

        Outside of the box that the points of the calibration span it is extrapolated, with a
        warning.
        """
        self._report_outside(theta)
        return super().evaluate_log_likelihood_ratio(
            x, theta, test_all_combinations, evaluate_score
        )

    def evaluate_log_likelihood_ratio_torch(
        self, x: Tensor, theta: Tensor, test_all_combinations: bool = True
    ) -> Tensor:
        """Evaluate the calibrated log likelihood ratio, differentiable in x and theta."""
        self._report_outside(theta)
        return super().evaluate_log_likelihood_ratio_torch(x, theta, test_all_combinations)

    def _report_outside(self, theta: DataLike) -> None:
        """Warn once of points that no calibration surrounds."""
        points = self._load_theta(theta)
        if self._has_warned and not is_strict():
            return
        low, high = self.theta.min(axis=0), self.theta.max(axis=0)
        margin = 1e-6 * (np.abs(low) + np.abs(high))
        outside = np.any((points < low - margin) | (points > high + margin), axis=1)
        if outside.any():
            self._has_warned = True
            report_weakness(
                logger,
                "The ratio is calibrated from theta = %s to %s, and extrapolated to %s. Calibrate "
                "at points that surround what is asked for.",
                low.tolist(),
                high.tolist(),
                points[np.argmax(outside)].tolist(),
            )

    def _take(
        self,
        estimator: ParameterizedRatioEstimator,
        theta: FloatArray,
        curves: tuple[CalibrationCurve, ...],
    ) -> None:
        """Become the calibration of an estimator."""
        self.estimator, self.theta, self.curves = estimator, theta, curves
        self.features, self.n_hidden = estimator.features, estimator.n_hidden
        self.activation, self.dropout_prob = estimator.activation, estimator.dropout_prob
        scaling = estimator._theta_scaling
        points = theta if scaling is None else scaling.transform(theta)
        network = CalibratedNetwork(estimator._conditional_network(), points, curves)
        network.eval()
        self._adopt(network, estimator._trained()[1], scaling, theta.shape[1])

    def _more_settings(self) -> dict[str, Any]:
        return {
            "estimator": self.estimator._settings(),
            "calibration": {
                "theta": self.theta.tolist(),
                "curves": [
                    {f.name: getattr(curve, f.name).tolist() for f in fields(curve)}
                    for curve in self.curves
                ],
            },
        }

    def _restore(self, model: StoredModel) -> None:
        calibration: Mapping[str, Any] = model.settings["calibration"]
        estimator = _restored(model)
        curves = tuple(CalibrationCurve(**curve) for curve in calibration["curves"])
        stored = real_array(calibration["theta"], "theta")
        theta = load_thetas(stored, estimator.n_parameters or 0)
        if len(theta) != len(curves):
            raise ShapeError(f"{len(theta)} thetas, but {len(curves)} calibration curves")
        self._take(estimator, theta, curves)


def _restored(model: StoredModel) -> ParameterizedRatioEstimator:
    """The estimator without its calibration, from the files of a calibrated one."""
    settings = {**model.settings["estimator"], "format_version": model.settings["format_version"]}
    kind = settings.get("estimator_type")
    if kind not in _KINDS:
        raise FileFormatError(f"it calibrates an estimator of type {kind!r}")
    state = {name.removeprefix(_PREFIX): value for name, value in model.state.items()}
    estimator = _KINDS[kind]()
    estimator.restore(StoredModel(settings, state, model.arrays), "calibrated")
    return estimator


def _check_kind(estimator: object) -> None:
    if not isinstance(estimator, ParameterizedRatioEstimator) or isinstance(
        estimator, CalibratedRatio
    ):
        raise OptionError(
            f"A CalibratedRatio is made of a single parameterized ratio estimator without "
            f"calibration, got a {type(estimator).__name__}. Of an ensemble calibrate each "
            f"member; of a CalibratedRatio take its estimator."
        )


def _reference(estimator: ParameterizedRatioEstimator, theta1: DataLike) -> FloatArray:
    """The one reference point, shape ``(1, n_parameters)``."""
    reference = estimator._load_theta(theta1, "theta1")
    if len(reference) != 1:
        raise ShapeError(f"theta1 must be one point, the reference; got {len(reference)} points.")
    return reference


def _loaded_ratios(r_xz: DataLike, n_thetas: int, n_events: int) -> FloatArray:
    """Joint ratios, shape ``(n_thetas, n_events)``; of one theta also given as ``(n_events,)``."""
    ratios = load_array(r_xz, "r_xz").astype(np.float64)
    ratios = ratios[np.newaxis] if ratios.ndim == 1 and n_thetas == 1 else ratios
    if ratios.shape != (n_thetas, n_events):
        raise ShapeError(
            f"r_xz must have shape ({n_thetas}, {n_events}), a joint ratio for each theta and "
            f"event; got {ratios.shape}."
        )
    check_finite(ratios.T, "r_xz")
    return ratios


def _report_means(points: FloatArray, ratios: FloatArray, probabilities: FloatArray) -> None:
    """Warn of joint ratios, shape ``(n_thetas, n)``, whose mean over the events is not one."""
    means = ratios @ probabilities
    scatter = (ratios - means[:, np.newaxis]) * probabilities
    errors = np.linalg.norm(scatter, axis=1)
    k = int(np.argmax(np.abs(means - 1.0) - _SIGNIFICANT * errors))
    if abs(means[k] - 1.0) > _SIGNIFICANT * errors[k] + 1e-6:
        report_weakness(
            logger,
            "The mean of r_xz at theta = %s is %.4g +- %.2g, but must be 1 for events drawn at "
            "theta1. Give events of the reference, their weights there, and p(x,z|theta) / "
            "p(x,z|theta1).",
            points[k].tolist(),
            means[k],
            errors[k],
        )
