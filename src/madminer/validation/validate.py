"""validate: what test events say about an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from madminer import checks
from madminer.errors import OptionError, SetupError
from madminer.evidence import ValidationCheck
from madminer.io.event_set import paths_and_factors
from madminer.ml import Ensemble, Estimator
from madminer.ml.validated import UndecidedValidation
from madminer.typing import EventSource, FloatArray, StrPath, ThetaLike
from madminer.validation.events import ValidationEvents
from madminer.validation.ratios import (
    CLOSURE,
    CURVE,
    MEAN,
    checks_of_ratios,
    derivative_check,
)
from madminer.validation.result import Validation
from madminer.validation.scores import score_checks
from madminer.validation.validated_model import (
    ValidatedModel,
    match_checks,
    region_checks,
    training_checks,
    untested_checks,
)

FEWEST_EFFECTIVE = 50.0
"""Effective number of test events below which no check that has a statistical error can fail: the
errors of bins in which by chance a heavy event is missing are far too small."""

_REACH = 1.5  # standard deviations; a uniform prior reaches 1.7


def validate(
    estimator: Estimator | Ensemble | StrPath,
    events: ValidationEvents | EventSource,
    reference: ThetaLike | None = None,
    theta: Sequence[ThetaLike] | FloatArray | None = None,
    *,
    partition: str = "test",
    test_split: float | None = 0.2,
    validation_split: float | None = 0.2,
    classifier: bool = True,
) -> Validation:
    """Find out with test events whether an estimator can be trusted.

    The simulator knows the joint score and the joint ratio of every test event; what they say about
    estimated scores and ratios holds whatever the network is. `docs/validation.md` explains every
    check, and how often it finds which fault.

    Args:
        estimator: Estimator or ensemble of any kind, or the file or folder of either.
        events: Event file, or events of any simulator. A file must not hold other events first:
            its test partition is used, which no training saw.
        reference: Point that a score estimator was trained at, and the denominator theta1 of
            ratios: shape ``(m,)``, or name or index of a benchmark. None: the one the estimator
            knows.
        theta: Numerators at which ratios are tested, a list of points that covers the region in
            which limits are to be set. None: along each parameter one and a half standard
            deviations of the training from its mean, to both sides; the other benchmarks if the
            training's parameters are not known.
        partition: Which part of the file holds test events.
        test_split: Fraction of events kept for testing, as when sampling.
        validation_split: Fraction of events kept for validation.
        classifier: Whether to train a classifier that tells reweighted from true events (some
            seconds), for ratios.

    Returns:
        The checks. `Validation.passed` tells whether all passed, `Validation.conclusion` what
        follows; printed it is a table.

        An estimator of ratios that is given as an object, not as a file, then knows where it was
        found calibrated, ``estimator.validated_thetas``, so that limits do not warn; at no point if
        a check failed; and ``estimator.undecided_validation`` if the events were too few to tell.
        Save it to keep this. Nothing is written to files.

    Raises:
        OptionError: If the reference point is not known, or an option lies outside its range.
        SetupError: If the events have other numbers of observables or parameters.
        NotTrainedError: If the estimator was not trained.

    Examples:
        A Gaussian with mean theta: its score at 0 is x, here known to a network as 0.5 x.

        >>> from madminer.ml import ScoreEstimator
        >>> from madminer.validation import ValidationEvents, validate
        >>> x = np.random.default_rng(1).normal(size=(20_000, 1))
        >>> estimator = ScoreEstimator(n_hidden=(20,))
        >>> _ = estimator.train(
        ...     "sally", x=x, t_xz=0.5 * x, n_epochs=5, theta_ref=[0.0], seed=1, verbose="none")
        >>> test = np.random.default_rng(2).normal(size=(20_000, 1))
        >>> result = validate(estimator, ValidationEvents(test, np.zeros(1), t_xz=test))
        >>> [check.name for check in result.failed]
        ['calibration of scores', 'calibration curve of scores', 'information learned',
        'residuals in observables']
    """
    model = ValidatedModel(estimator)
    checks.flag(classifier, "classifier")
    given, parts = events, (partition, test_split, validation_split)
    if not isinstance(events, ValidationEvents):
        point = model.theta_ref if reference is None else reference
        events = _read(events, model, point, theta, parts)
    _check_sizes(model, events)
    matching = [
        *match_checks(model, events),
        *training_checks(model, events),
        *region_checks(model, events),
    ]
    found = []
    if events.t_xz is not None and model.knows_scores:
        found += score_checks(model, events)
    if model.knows_ratios and events.theta is not None:
        found += checks_of_ratios(model, events, classifier)
    if model.knows_ratios and model.knows_scores:
        found.append(derivative_check(model, events))
    found += untested_checks(model, events)
    if events.n_effective < FEWEST_EFFECTIVE:
        found = [_doubtful(check) for check in found]
    found = [*matching, *found]
    result = Validation(
        model.name,
        events.name,
        events.n_effective,
        tuple(found),
        events.parameters or (),
        events.reference,
        events.theta if model.knows_ratios else None,
        _call(estimator, given, events, parts, classifier),
    )
    if isinstance(estimator, Estimator | Ensemble) and result.theta is not None:
        if result.failed:
            estimator.validated_thetas = result.theta[:0]
        elif _is_calibrated(result):
            estimator.validated_thetas = result.theta
        elif result.undecided:
            n_checks = len(result.undecided)
            estimator.undecided_validation = UndecidedValidation(result.theta, n_checks)
    return result


def _doubtful(check: ValidationCheck) -> ValidationCheck:
    """A failure with an error, where a few heavy events more or less may make the difference."""
    is_certain = check.verdict != "failed" or check.error == 0.0
    return check if is_certain else replace(check, verdict="undecided")


def _is_calibrated(result: Validation) -> bool:
    """Whether there were enough events for the calibration of ratios, and all of it passed."""
    passed = {check.name for check in result if check.passed}
    return passed >= {MEAN.name, CURVE.name, CLOSURE.name}


def _call(
    estimator: Estimator | Ensemble | StrPath,
    given: ValidationEvents | EventSource,
    events: ValidationEvents,
    parts: tuple[str, float | None, float | None],
    classifier: bool,
) -> str:
    """Python code that does the same once more."""
    is_file = not isinstance(given, ValidationEvents)
    arguments = [
        "estimator" if isinstance(estimator, Estimator | Ensemble) else repr(str(estimator)),
        repr(str(given)) if is_file else "events",
    ]
    if is_file:
        theta = None if events.theta is None else events.theta.tolist()
        partition, test_split, validation_split = parts
        arguments += [
            f"reference={events.reference.tolist()}",
            f"theta={theta}",
            f"partition={partition!r}",
            f"test_split={test_split}",
            f"validation_split={validation_split}",
        ]
    return f"validate({', '.join([*arguments, f'classifier={classifier}'])})"


def _read(
    filename: EventSource,
    model: ValidatedModel,
    reference: ThetaLike | None,
    theta: Sequence[ThetaLike] | FloatArray | None,
    parts: tuple[str, float | None, float | None],
) -> ValidationEvents:
    from madminer.analysis import DataAnalyzer

    if reference is None:
        raise OptionError(
            "The estimator does not know its reference point: give reference=, the point that a "
            "score estimator was trained at or the denominator of the ratio, such as a benchmark."
        )
    paths_and_factors(filename, "events")
    analyzer = DataAnalyzer(filename)
    setup = analyzer.setup
    p, v = setup.n_parameters, setup.n_nuisance_parameters
    m = model.n_parameters
    if m not in {p, p + v}:
        raise SetupError(
            f"The estimator has {m} parameters, but {analyzer.event_file.name} has {p}, and {v} "
            "nuisance parameters: it belongs to another setup."
        )
    if theta is None and model.knows_ratios:
        theta = _default_points(model)
        theta = [b for b in setup.physical_benchmarks if b != reference] if theta is None else theta
    partition, test_split, validation_split = parts
    return ValidationEvents.from_file(
        filename,
        reference,
        theta if model.knows_ratios else None,
        partition=partition,
        test_split=test_split,
        validation_split=validation_split,
        nuisance_score=m > p,
    )


def _default_points(model: ValidatedModel) -> FloatArray | None:
    """Points to both sides of the mean of the training, shape ``(2 m, m)``."""
    if model.trained_thetas is None:
        return None
    means, stds = model.trained_thetas
    steps = np.diag(_REACH * stds)
    points: FloatArray = means + np.concatenate([-steps, steps])
    return points


def _check_sizes(model: ValidatedModel, events: ValidationEvents) -> None:
    n_observables = len(model.columns[0])
    if events.x.shape[1] != n_observables:
        raise SetupError(
            f"The estimator was trained with {n_observables} observables, but the events have "
            f"{events.x.shape[1]}: {', '.join(events.observables or ())}."
        )
    if len(events.reference) != model.n_parameters:
        raise SetupError(
            f"The estimator has {model.n_parameters} parameters, but the events have "
            f"{len(events.reference)}."
        )
