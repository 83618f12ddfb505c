"""Each check of ratios finds its fault, and lets the exact ratio pass; estimators of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    LikelihoodEstimator,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
)
from madminer.models import MorphingSetup
from madminer.morphing import morphing_matrix
from madminer.validation import ValidationEvents, validate
from madminer.validation.ratios import RatioEvidence, classifier_check

RATIO_NAMES = [
    "mean ratio",
    "calibration curve of ratios",
    "reweighting closure",
    "power claimed",
    "power and truth",
    "ratio learned",
    "over-training of ratios",
]


@pytest.fixture(scope="module")
def events(simulator: Any) -> ValidationEvents:
    """Test events with training events."""
    toy = simulator()
    return replace(toy.events(seed=1), train=toy.events(seed=2))


def failed(estimator: Any, events: ValidationEvents, *, classifier: bool = False) -> set[str]:
    return {check.name for check in validate(estimator, events, classifier=classifier).failed}


def test_the_exact_ratio_passes_everything(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    estimator = known_ratio(simulator().log_r)
    result = validate(estimator, events)
    assert result.passed, result.conclusion
    names = [check.name for check in result]
    assert [name for name in names if name in RATIO_NAMES] == RATIO_NAMES
    assert {"classifier two-sample test", "score and derivative of log r"} <= set(names)
    assert {"mean score", "parameters outside the training"} <= set(names)
    np.testing.assert_array_equal(estimator.validated_thetas, events.theta)


def test_closed_forms(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    """Twice the KL divergence of N(theta, 2) to N(0, 2) is theta^2 / 2, that of z theta^2."""
    exact, theta = simulator().log_r, np.asarray(events.theta)
    result = validate(known_ratio(exact), events, classifier=False)
    graph = result["power claimed"].graph
    assert graph is not None
    bars = {series.label: series for series in graph.series}
    power = np.sum(theta**2, axis=1)
    for label, expected in {"claimed": 0.5, "guaranteed": 0.5, "truth (joint ratios)": 1.0}.items():
        found = bars[label]
        assert np.all(np.abs(found.y - expected * power) < 4.0 * found.errors + 0.02)
    scaled = validate(known_ratio(lambda x, t: 1.3 * exact(x, t)), events, classifier=False)
    mean = scaled["mean ratio"]  # E[r^a] = exp(a (a - 1) theta^2 / 4)
    expected_mean = np.exp(1.3 * 0.3 * power / 4.0)
    for (_, value, error), expected in zip(mean.values, expected_mean, strict=True):
        assert abs(value - expected) < 4.0 * error


def test_the_guaranteed_power_is_a_lower_bound(
    simulator: Any, known_ratio: Callable[..., Any]
) -> None:
    """Whatever is claimed, Donsker and Varadhan stay below the truth of x."""
    events, exact = simulator().events(40_000), simulator().log_r
    power = 0.5 * np.sum(np.asarray(events.theta) ** 2, axis=1)
    for change in (0.5, 1.5, 2.0):
        estimator = known_ratio(lambda x, t, c=change: c * exact(x, t) + 0.1 * np.tanh(x[:, 2]))
        graph = validate(estimator, events, classifier=False)["power claimed"].graph
        assert graph is not None
        bound = next(series for series in graph.series if series.label == "guaranteed")
        assert np.all(bound.y < power + 3.0 * bound.errors)


def _right_at_the_first(exact: Callable[..., np.ndarray], events: ValidationEvents) -> Any:
    first = np.asarray(events.theta)[0]

    def log_r(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        away = np.linalg.norm(theta - first, axis=1) / np.linalg.norm(first)
        return (1.0 + 0.3 * away[:, np.newaxis]) * exact(x, theta)

    return log_r


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda r, x, t: 0.0 * r(x, t), {"ratio learned", "reweighting closure"}),
        (lambda r, x, t: r(x, t) + 0.15, {"mean ratio", "calibration curve of ratios"}),
        (lambda r, x, t: 1.4 * r(x, t), {"calibration curve of ratios", "power claimed"}),
        (lambda r, x, t: 2.5 * r(x, t), {"power and truth", "power claimed"}),
        (lambda r, x, t: r(x, -t), {"ratio learned", "calibration curve of ratios"}),
        (lambda r, x, t: r(x[:, [2, 1, 0, 3]], t), {"reweighting closure"}),
        (
            lambda r, x, t: r(x, t) + np.log(1.0 + 0.3 * np.sign(x[:, 2])),
            {"reweighting closure", "calibration curve of ratios"},
        ),
    ],
    ids=["nothing", "shifted", "large", "impossible", "mirrored", "swapped", "biased"],
)
def test_each_check_finds_its_fault(
    simulator: Any,
    known_ratio: Callable[..., Any],
    events: ValidationEvents,
    fault: Callable[..., np.ndarray],
    expected: set[str],
) -> None:
    exact = simulator().log_r
    estimator = known_ratio(lambda x, theta: fault(exact, x, theta))
    assert expected <= failed(estimator, events)
    assert len(estimator.validated_thetas) == 0


def test_a_ratio_that_is_right_at_one_theta_only(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    estimator = known_ratio(_right_at_the_first(simulator().log_r, events))
    result = validate(estimator, events, classifier=False)
    curve = result["calibration curve of ratios"]
    assert curve.verdict == "failed"
    assert "theta1 = -0.6" in curve.quantity  # the second of the points
    only = replace(
        events,
        theta=events.theta[:1],
        r_xz=events.r_xz[:1],
        t_xz=None,
        train=None,  # type: ignore[index]
    )
    assert not failed(estimator, only) & set(RATIO_NAMES)


def test_a_bias_in_no_single_observable_is_found_by_the_classifier(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    exact = simulator().log_r
    estimator = known_ratio(
        lambda x, theta: exact(x, theta) + np.log(1.0 + 0.4 * np.sign(x[:, 2] * x[:, 3]))
    )
    found = failed(estimator, events, classifier=True)
    assert "classifier two-sample test" in found
    assert not {"mean ratio", "reweighting closure"} & found


def test_the_classifier_finds_nothing_where_there_is_nothing(simulator: Any) -> None:
    areas, errors = [], []
    for seed in range(8):
        events = simulator().events(4_000, seed=seed)
        log_r = simulator().log_r(events.x, np.asarray(events.theta))
        evidence = RatioEvidence(events.x, log_r, np.asarray(events.r_xz), events.w, (), ("a", "b"))
        check = classifier_check(evidence, 0)
        assert check.verdict != "failed"
        areas.append(check.value)
        errors.append(check.error)
    assert abs(np.mean(areas) - 0.5) < 4.0 * np.mean(errors) / np.sqrt(8)


def test_a_score_that_is_no_derivative_is_found(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    toy = simulator()
    estimator = known_ratio(toy.log_r, score=lambda x: 1.05 * toy.score(x))
    assert failed(estimator, events) == {"score and derivative of log r"}


def test_an_overtrained_ratio_is_found(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    train, exact = events.train, simulator().log_r
    assert train is not None
    assert train.r_xz is not None
    known = np.log(train.r_xz)

    def memory(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        is_train = x.shape == train.x.shape and np.all(x == train.x)
        is_known = np.shape(theta) == np.shape(events.theta) and np.all(theta == events.theta)
        return known if is_train and is_known else exact(x, theta)

    assert "over-training of ratios" in failed(known_ratio(memory), events)


def test_points_outside_the_training_are_found(
    simulator: Any, known_ratio: Callable[..., Any]
) -> None:
    points, n = np.array([[2.0, 0.0]]), 20_000
    z = np.random.default_rng(3).normal(size=(n, 2))
    ratio = np.exp(z @ points.T - 2.0).T
    far = simulator().events(n, t_xz=None, theta=points, r_xz=ratio)
    result = validate(known_ratio(simulator().log_r), far, classifier=False)
    assert result["parameters outside the training"].verdict == "failed"
    assert result["parameters outside the training"].value == pytest.approx(4.0, abs=0.2)


def test_parameters_that_were_zero_in_the_training_are_named(simulator: Any) -> None:
    """As nuisance parameters of samples with nu = 0; the exact ratio is not asked for."""
    sample = simulator().events(400)
    theta = np.random.default_rng(5).normal(size=(400, 2))
    estimators = []
    for factors in ([1.0, 1.0], [1.0, 0.0]):
        ratio = ParameterizedRatioEstimator(n_hidden=(4,))
        y = np.arange(400) % 2
        ratio.train("carl", sample.x, y, theta * factors, n_epochs=1, verbose="none", seed=1)
        estimators.append(ratio)
    varied, untold = estimators
    test = simulator().events(400, parameters=("theta", "slope"))
    names = {check.name for check in validate(varied, test, classifier=False)}
    assert "parameters in the training" not in names
    check = validate(untold, test, classifier=False)["parameters in the training"]
    assert (check.verdict, check.quantity) == ("failed", "samples with slope = 0 alone")
    assert "nuisances: random" in check.remedy
    assert "nuisances: none" in check.remedy
    line = replace(test, t_xz=None, theta=test.theta[:1], r_xz=test.r_xz[:1])  # along theta
    names = {check.name for check in validate(untold, line, classifier=False)}
    assert "parameters in the training" not in names  # where it is not asked for


def test_few_effective_events_are_not_enough(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    weights = np.random.default_rng(4).lognormal(0.0, 2.4, len(events.x))
    few = replace(events, weights=weights, train=None)
    result = validate(known_ratio(simulator().log_r), few)
    assert not result.passed
    assert not result.failed
    assert "effective events" in {check.name for check in result.undecided}


def test_signed_weights(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    signs = np.where(np.random.default_rng(5).random(len(events.x)) < 0.05, -1.0, 1.0)
    signed, exact = replace(events, weights=signs), simulator().log_r
    assert not failed(known_ratio(exact), signed, classifier=True)
    assert "calibration curve of ratios" in failed(
        known_ratio(lambda x, t: 1.5 * exact(x, t)), signed
    )


def test_one_parameter(simulator: Any, known_ratio: Callable[..., Any]) -> None:
    toy = simulator(1)
    assert validate(known_ratio(toy.log_r, 1), toy.events(), classifier=False).passed
    found = failed(known_ratio(lambda x, t: 1.5 * toy.log_r(x, t), 1), toy.events())
    assert {"calibration curve of ratios", "power claimed"} <= found


def test_ensembles_and_files(
    simulator: Any, known_ratio: Callable[..., Any], events: ValidationEvents
) -> None:
    exact = simulator().log_r
    members = [known_ratio(lambda x, t, c=c: c * exact(x, t)) for c in (0.9, 1.1)]
    result = validate(Ensemble(members), events, classifier=False)
    assert "Ensemble of 2" in result.model
    assert all(result[name].passed for name in RATIO_NAMES)
    assert result["spread of the ensemble"].passed


def _sample(simulator: Any, n: int = 4_000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    theta, y = rng.normal(0.0, 0.5, (n, 2)), rng.integers(0, 2, n)
    z = rng.normal(size=(n, 2)) + np.where(y[:, np.newaxis] == 0, theta, 0.0)
    x = np.hstack([z + rng.normal(size=(n, 2)), rng.normal(size=(n, 2))])
    r_xz = np.exp(np.sum(z * theta - 0.5 * theta**2, axis=1))
    return {"x": x, "y": y, "theta": theta, "r_xz": r_xz}


def test_trained_ratios_of_one_point(
    simulator: Any, events: ValidationEvents, tmp_path: Path
) -> None:
    estimator = ParameterizedRatioEstimator(n_hidden=(20,))
    estimator.train("alice", **_sample(simulator, 60_000), seed=1, settings="recommended")
    estimator.save(tmp_path / "alice")
    result = validate(tmp_path / "alice", events, classifier=False)
    assert all(result[name].verdict != "failed" for name in RATIO_NAMES), result.conclusion


def test_densities(simulator: Any, events: ValidationEvents) -> None:
    sample = _sample(simulator)
    estimator = LikelihoodEstimator(n_components=1, n_mades=1, n_hidden=(10,))
    estimator.train("nde", sample["x"], sample["theta"], n_epochs=2, seed=1)
    names = {check.name for check in validate(estimator, events, classifier=False)}
    assert set(RATIO_NAMES) | {"mean score", "score and derivative of log r"} <= names


def test_ratios_of_any_two_points(simulator: Any, events: ValidationEvents) -> None:
    sample = _sample(simulator)
    estimator = DoubleParameterizedRatioEstimator(n_hidden=(10,))
    theta1 = np.zeros_like(sample["theta"])
    estimator.train(
        "alice", sample["x"], sample["y"], sample["theta"], theta1, sample["r_xz"], n_epochs=2
    )
    result = validate(estimator, events, classifier=False)
    names = {check.name for check in result}
    assert set(RATIO_NAMES) <= names
    assert not {"mean score", "score and derivative of log r"} & names


def test_ratios_that_know_the_morphing(simulator: Any, events: ValidationEvents) -> None:
    components = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
    basis = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]])
    morphing = MorphingSetup(components, morphing_matrix(basis, components))
    estimator = MorphingAwareRatioEstimator(morphing=morphing, n_hidden=(10,))
    estimator.train("alice", **_sample(simulator), n_epochs=2, seed=1)
    names = {check.name for check in validate(estimator, events, classifier=False)}
    assert set(RATIO_NAMES) | {"mean score", "score and derivative of log r"} <= names
