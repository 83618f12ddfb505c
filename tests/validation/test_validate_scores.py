"""Each check of scores finds its fault, and lets the exact score pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import NotTrainedError, OptionError, SetupError
from madminer.ml import Ensemble, ScoreEstimator
from madminer.validation import ValidationEvents, validate

NAMES = [
    "observables",
    "effective events",
    "observables outside the training",
    "mean score",
    "calibration of scores",
    "calibration curve of scores",
    "information claimed",
    "information and truth",
    "information learned",
    "residuals in observables",
    "over-training",
]
"""All checks of a single score estimator with training events."""


@pytest.fixture(scope="module")
def events(simulator: Any) -> ValidationEvents:
    """Test events with training events."""
    toy = simulator()
    return replace(toy.events(seed=1), train=toy.events(seed=2))


def failed(estimator: Any, events: ValidationEvents) -> set[str]:
    return {check.name for check in validate(estimator, events).failed}


def test_the_exact_score_passes_everything(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    result = validate(known_score(simulator().score), events)
    assert result.passed, result.conclusion
    assert [check.name for check in result] == NAMES
    assert result.conclusion.lower().startswith("all 11 checks passed")
    result.require()


def test_closed_forms(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    """For 1.5 times the score: slope 2/3, and plug-in 2.25 of I = 1/2 against B = 0.75 I."""
    exact = simulator().score
    result = validate(known_score(lambda x: 1.5 * exact(x)), events)
    slope = {label: value for label, value, _ in result[NAMES[4]].values}
    assert slope["slope of theta0"] == pytest.approx(2.0 / 3.0 - 1.0, abs=0.02)
    claimed = result["information claimed"]
    assert abs(claimed.value - (1.0 - 0.75 / 2.25)) < 4.0 * claimed.error
    truth = result["information and truth"]  # of joint scores: 1
    assert abs(truth.value - (2.25 / 2.0 - 1.0)) < 4.0 * truth.error + 0.02
    graph = result["information learned"].graph
    assert graph is not None
    bars = {series.label: series for series in graph.series}
    expected = {
        "claimed": 2.25 / 2.0,
        "guaranteed": 0.75 / 2.0,
        "guaranteed if recalibrated": 0.5,
        "polynomial": 0.5,
    }
    assert set(bars) == set(expected)
    for label, share in expected.items():
        np.testing.assert_allclose(bars[label].y, share, atol=0.03)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda _, t: 0.0 * t, {"information learned", "residuals in observables"}),
        (lambda _, t: t + 0.1, {"mean score"}),
        (lambda _, t: 1.2 * t, {"calibration of scores", "information claimed"}),
        (lambda _, t: 0.8 * t, {"calibration of scores", "calibration curve of scores"}),
        (lambda _, t: 1.6 * t, {"information and truth", "information claimed"}),
        (lambda _, t: t[:, ::-1], {"calibration of scores", "information learned"}),
        (lambda _, t: t * [1.0, -1.0], {"calibration of scores", "information learned"}),
        (lambda x, t: t + 0.3 * np.sign(x[:, 2:3]), {"residuals in observables"}),
        (
            lambda x, t: t + 0.3 * np.sign(x[:, 2:3] * x[:, 3:]),
            {"calibration of scores", "information claimed"},
        ),
        (lambda _, t: np.tanh(2.0 * t) / 1.3, {"calibration curve of scores"}),
    ],
    ids=[
        "nothing",
        "shifted",
        "large",
        "small",
        "impossible",
        "swapped",
        "mirrored",
        "biased",
        "hidden",
        "bent",
    ],
)
def test_each_check_finds_its_fault(
    simulator: Any,
    known_score: Callable[..., Any],
    events: ValidationEvents,
    fault: Callable[..., np.ndarray],
    expected: set[str],
) -> None:
    exact = simulator().score
    result = validate(known_score(lambda x: fault(x, exact(x))), events)
    found = {check.name for check in result.failed}
    assert expected <= found
    for name in expected:
        assert name in result.conclusion
        assert result[name].remedy in result.conclusion


def test_an_overtrained_score_is_found(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    """It knows the joint scores of its own events, and half of their scatter elsewhere."""
    train, exact = events.train, simulator().score
    assert train is not None
    noise = np.random.default_rng(3).normal(0.0, 0.5, events.x.shape)[:, :2]

    def memory(x: np.ndarray) -> np.ndarray:
        if len(x) != len(events.x):
            return exact(x)
        return np.asarray(train.t_xz) if np.all(x == train.x) else exact(x) + noise

    assert "over-training" in failed(known_score(memory), events)


def test_other_observables_are_found(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    estimator = known_score(simulator().score)
    other = replace(events, x=1000.0 * events.x)
    assert {"observables", "observables outside the training"} <= failed(estimator, other)


def test_another_reference_point_is_found(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    estimator = known_score(simulator().score, theta_ref=[0.0, 0.3])
    assert failed(estimator, events) == {"reference point"}
    right = replace(events, reference=np.array([0.0, 0.3]))
    assert validate(estimator, right)["reference point"].passed


def test_few_effective_events_are_not_enough(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    weights = np.random.default_rng(4).lognormal(0.0, 2.4, len(events.x))
    few = replace(events, weights=weights, train=None)
    result = validate(known_score(simulator().score), few)
    assert few.n_effective < 600.0
    assert not result.passed
    assert not result.failed
    assert "effective events" in {check.name for check in result.undecided}
    assert "not enough events" in result.conclusion


def test_signed_weights(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    """A tenth of the events has the weight -1: the same means, larger errors."""
    signs = np.where(np.random.default_rng(5).random(len(events.x)) < 0.1, -1.0, 1.0)
    signed, exact = replace(events, weights=signs), simulator().score
    result, unsigned = (validate(known_score(exact), e) for e in (signed, events))
    assert result.passed, result.conclusion
    ratio = result["mean score"].error / unsigned["mean score"].error
    assert ratio == pytest.approx(1.25, rel=0.05)
    assert "calibration of scores" in failed(known_score(lambda x: 1.3 * exact(x)), signed)


def test_one_parameter(simulator: Any, known_score: Callable[..., Any]) -> None:
    toy = simulator(1)
    assert validate(known_score(toy.score, 1), toy.events()).passed
    found = failed(known_score(lambda x: 1.3 * toy.score(x), 1), toy.events())
    assert {"calibration of scores", "information claimed"} <= found


def test_components_that_vanish_are_left_out(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    """The normalisation has no score of its own: noise of a network there is no fault of it."""
    exact, nothing = simulator().score, np.zeros((len(events.x), 1))
    more = replace(
        events,
        t_xz=np.hstack([np.asarray(events.t_xz), nothing]),
        reference=np.zeros(3),
        parameters=None,
        theta=None,
        r_xz=None,
        train=None,
    )
    result = validate(known_score(lambda x: np.hstack([exact(x), 0.1 * x[:, 2:3]])), more)
    assert result.passed
    assert not any("theta2" in label for label, _, _ in result["mean score"].values)
    none = replace(more, t_xz=np.zeros_like(more.t_xz))
    names = {check.name for check in validate(known_score(lambda x: x[:, :3]), none)}
    assert "mean score" not in names


def test_the_spread_of_an_ensemble_is_compared_with_its_errors(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    exact, rng = simulator().score, np.random.default_rng(6)

    def member(bias: float) -> Any:
        wave, phase = rng.normal(size=4), rng.uniform(-np.pi, np.pi)
        return known_score(
            lambda x: (
                exact(x) + 0.1 * np.sin(x @ wave + phase)[:, np.newaxis] + bias * np.sign(x[:, 2:3])
            )
        )

    independent = validate(Ensemble([member(0.0) for _ in range(5)]), events)
    assert independent["spread of the ensemble"].passed
    assert "Ensemble of 5" in independent.model
    shared = validate(Ensemble([member(0.15) for _ in range(5)]), events)
    assert shared["spread of the ensemble"].verdict == "failed"


def test_trained_networks_from_files(
    simulator: Any, events: ValidationEvents, tmp_path: Path
) -> None:
    sample = simulator().events(30_000, seed=7)
    estimator = ScoreEstimator(n_hidden=(20,))
    estimator.train(
        "sally", sample.x, sample.t_xz, theta_ref=np.zeros(2), seed=1, settings="recommended"
    )
    estimator.save(tmp_path / "sally")
    result = validate(tmp_path / "sally", events)
    assert result.passed, result.conclusion
    assert result["reference point"].value == 0.0
    result.write_json(tmp_path / "validation.json")
    content = json.loads((tmp_path / "validation.json").read_text())
    assert content == json.loads(json.dumps(result.to_dict()))
    assert [check["name"] for check in content["checks"]] == [check.name for check in result]


def test_an_event_file_is_read(gaussian_event_file: Callable[..., Path]) -> None:
    path = gaussian_event_file(20_000)
    events = ValidationEvents.from_file(path, np.zeros(2), partition="train")
    estimator = ScoreEstimator(n_hidden=(20,))
    estimator.train(
        "sally", events.x, events.t_xz, theta_ref=np.zeros(2), seed=1, settings="recommended"
    )
    result = validate(estimator, path)
    direct = validate(estimator, ValidationEvents.from_file(path, np.zeros(2)))
    assert not result.failed
    assert [check.values for check in result] == [check.values for check in direct]
    unknown = ScoreEstimator(n_hidden=(2,))
    unknown.train("sally", events.x, events.t_xz, n_epochs=1, seed=1)
    with pytest.raises(OptionError, match="reference"):
        validate(unknown, path)


def test_refusals(
    simulator: Any, known_score: Callable[..., Any], events: ValidationEvents
) -> None:
    with pytest.raises(NotTrainedError, match="not trained"):
        validate(ScoreEstimator(), events)
    narrow = replace(events, x=events.x[:, :3], observables=None, train=None)
    with pytest.raises(SetupError, match="4 observables, but the events have 3"):
        validate(known_score(simulator().score), narrow)
    with pytest.raises(SetupError, match="2 parameters, but the events have 1"):
        validate(known_score(simulator().score), ValidationEvents(events.x, np.zeros(1)))
    with pytest.raises(OptionError, match="classifier"):
        validate(known_score(simulator().score), events, classifier=2)  # type: ignore[arg-type]
