"""Calibrated scores, and which points of an estimator were validated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    FileFormatError,
    NegativeWeightError,
    NoEventsError,
    NotAvailableError,
    NotTrainedError,
    OptionError,
    SetupError,
    ShapeError,
)
from madminer.fisherinformation import FisherInformation
from madminer.ml import (
    CalibratedRatio,
    CalibratedScore,
    Ensemble,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.calibrated_score import ScoreCalibration
from madminer.sampling import SampleAugmenter

QUICK: dict[str, Any] = {"n_epochs": 2, "initial_lr": 0.01, "seed": 1, "verbose": "none"}
MIXING = np.array([[1.3, 0.4], [-0.2, 0.7]])
OFFSET = np.array([0.5, -0.1])


def events(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores x of events, and joint scores that scatter around them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, x + rng.normal(size=(n, 2))


def linear(mixing: np.ndarray = MIXING, offset: np.ndarray = OFFSET) -> ScoreEstimator:
    """The estimate M x + b of the score x, in double precision."""
    estimator = ScoreEstimator(n_hidden=())
    x = np.random.default_rng(0).normal(size=(100, 2))
    estimator.train("sally", x, x, dtype="float64", scale_inputs=False, **QUICK)
    network: Any = estimator._network
    state = network.state_dict()
    state["layers.0.weight"][:] = state["layers.0.weight"].new_tensor(mixing)
    state["layers.0.bias"][:] = state["layers.0.bias"].new_tensor(offset)
    return estimator


def moment(a: np.ndarray, b: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    """Weighted mean of a b^T."""
    weights = np.full(len(a), 1.0 / len(a)) if w is None else w / w.sum()
    return np.einsum("e,ei,ej->ij", weights, a, b)


@pytest.fixture(scope="module")
def trained() -> ScoreEstimator:
    estimator = ScoreEstimator(n_hidden=(8, 5), features=[1, 0])
    x, t_xz = events(2000, 5)
    estimator.train("sally", x, 1.4 * t_xz, theta_ref=[0.0, 0.5], **QUICK)
    return estimator


@pytest.fixture(scope="module")
def calibrated(trained: ScoreEstimator) -> CalibratedScore:
    return CalibratedScore.fit(trained, *events(5000, 6))


# What is calibrated


def test_distortions_are_taken_back() -> None:
    calibrated = CalibratedScore.fit(linear(), *events(50_000, 1))
    assert calibrated.calibration is not None
    difference = calibrated.calibration.matrix - np.linalg.inv(MIXING)
    assert np.all(np.abs(difference) < 4.0 * calibrated.calibration.matrix_errors)
    x, _ = events(1000, 2)
    np.testing.assert_allclose(calibrated.evaluate_score(x), x, atol=0.06)


@pytest.mark.parametrize("shift", [True, False])
def test_scores_are_calibrated_on_their_events(shift: bool) -> None:
    """Nearly exactly: E[t f] = E[f f], and of a shifted one the mean is zero."""
    (x, t_xz), rng = events(4000, 1), np.random.default_rng(3)
    weights = rng.normal(1.0, 0.7, size=4000)  # some are negative
    calibrated = CalibratedScore.fit(linear(), x, t_xz, weights, shift=shift)
    scores = calibrated.evaluate_score(x)
    mean = weights @ scores / weights.sum()
    np.testing.assert_allclose(
        moment(t_xz, scores, weights) - moment(scores, scores, weights),
        np.outer(weights @ t_xz / weights.sum(), mean) if shift else 0.0,
        atol=1e-12,
    )
    assert np.allclose(mean, 0.0, atol=1e-12) == shift


def test_the_information_is_never_above_that_of_x() -> None:
    """Of independent events, the claim is the bound, and both are below the truth."""
    rng = np.random.default_rng(4)
    x, t_xz = events(20_000, 1)
    noise = linear(np.array([[1.5, 0.0], [0.0, 0.0]]))  # knows one component only, and too well
    calibrated = CalibratedScore.fit(noise, x + 0.5 * rng.normal(size=x.shape), t_xz)
    test, joint = events(200_000, 2)
    seen = test + 0.5 * rng.normal(size=test.shape)
    scores = calibrated.evaluate_score(seen)
    claimed = moment(scores, scores)
    bound = moment(scores, joint) + moment(joint, scores) - claimed
    np.testing.assert_allclose(claimed, bound, atol=0.03)
    np.testing.assert_allclose(claimed, [[0.8, 0.0], [0.0, 0.0]], atol=0.03)  # 1 / (1 + 0.25)
    raw = noise.evaluate_score(seen)
    assert moment(raw, raw)[0, 0] > 2.5  # without the calibration, above the truth, which is 1


def test_components_without_joint_score_are_exactly_zero(trained: ScoreEstimator) -> None:
    x, t_xz = events(2000, 1)
    t_xz[:, 1] = 0.0
    calibrated = CalibratedScore.fit(trained, x, t_xz)
    scores = calibrated.evaluate_score(x)
    assert np.all(scores[:, 1] == 0.0)
    assert np.all(scores[:, 0] != 0.0)
    assert calibrated.calculate_fisher_information(x)[1, 1] == 0.0


def test_pulls_of_the_calibration_have_unit_width() -> None:
    estimator, pulls, shifts = linear(), [], []
    for seed in range(40):
        found = CalibratedScore.fit(estimator, *events(1000, seed)).calibration
        assert found is not None
        pulls.append((found.matrix - np.linalg.inv(MIXING)) / found.matrix_errors)
        shifts.append((found.shift + np.linalg.inv(MIXING) @ OFFSET) / found.shift_errors)
    assert 0.8 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 0.25
    assert 0.5 < np.std(shifts) < 1.7  # dominated by the mean of f and by A times the offset


def test_weights_count_like_events() -> None:
    x, t_xz = events(1000, 1)
    twice = np.arange(1000) % 2 == 0
    weighted = CalibratedScore.fit(linear(), x, t_xz, 1.0 + twice).calibration
    rows = np.concatenate([np.arange(1000), np.flatnonzero(twice)])
    repeated = CalibratedScore.fit(linear(), x[rows], t_xz[rows]).calibration
    assert weighted is not None
    assert repeated is not None
    np.testing.assert_allclose(weighted.matrix, repeated.matrix, atol=1e-12)
    np.testing.assert_allclose(weighted.shift, repeated.shift, atol=1e-12)
    assert weighted.n_effective == pytest.approx(900.0)  # (3 / 2)^2 / (5 / 2) of a thousand


def test_calibrating_twice_changes_nothing(calibrated: CalibratedScore) -> None:
    again = CalibratedScore.fit(calibrated, *events(5000, 6))
    assert again.calibration is not None
    np.testing.assert_allclose(again.calibration.matrix, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(again.calibration.shift, 0.0, atol=1e-6)


# Files and other places where scores are taken


def test_saved_and_loaded_scores_agree_exactly(calibrated: CalibratedScore, tmp_path: Path) -> None:
    x, _ = events(50, 9)
    calibrated.save(tmp_path / "model")
    loaded, again, plain = load_estimator(tmp_path / "model"), CalibratedScore(), ScoreEstimator()
    again.load(tmp_path / "model")
    plain.load(tmp_path / "model")  # as a program that knows of no calibration
    for other in (loaded, again, plain):
        assert isinstance(other, ScoreEstimator)
        np.testing.assert_array_equal(other.evaluate_score(x), calibrated.evaluate_score(x))
        assert other.theta_ref == (0.0, 0.5)
    assert isinstance(loaded, CalibratedScore)
    assert loaded.calibration is not None
    assert calibrated.calibration is not None
    for name in ("matrix", "matrix_errors", "shift", "shift_errors", "n_effective"):
        np.testing.assert_array_equal(
            getattr(loaded.calibration, name), getattr(calibrated.calibration, name)
        )
    assert repr(loaded) == repr(calibrated)


def test_the_estimator_is_not_changed(trained: ScoreEstimator, calibrated: CalibratedScore) -> None:
    x, _ = events(50, 9)
    assert calibrated.calibration is not None
    expected = (
        trained.evaluate_score(x) @ calibrated.calibration.matrix.T + calibrated.calibration.shift
    )
    np.testing.assert_allclose(calibrated.evaluate_score(x), expected, atol=1e-6)


def test_nuisance_modes_and_ensembles(calibrated: CalibratedScore, tmp_path: Path) -> None:
    x, t_xz = events(2000, 7)
    profiled = CalibratedScore.fit(calibrated, x, t_xz)
    profiled.set_nuisance(np.array([[2.0, 0.5], [0.5, 1.0]]), [0])
    kept = profiled.evaluate_score(x, nuisance_mode="keep")
    np.testing.assert_allclose(profiled.evaluate_score(x), kept[:, :1] - 0.5 * kept[:, 1:])
    ensemble = Ensemble([calibrated, CalibratedScore.fit(calibrated, x, t_xz)])
    ensemble.save(tmp_path / "ensemble")
    loaded = load_estimator(tmp_path / "ensemble")
    assert isinstance(loaded, Ensemble)
    assert all(isinstance(member, CalibratedScore) for member in loaded.estimators)
    information, covariance = loaded.calculate_fisher_information(x)
    assert information.shape == (2, 2)
    assert covariance is not None
    assert loaded.calculate_expectation(x).shape == (2, 2)


def test_calibrations_are_shown(calibrated: CalibratedScore) -> None:
    assert calibrated.calibration is not None
    first = calibrated.calibration.matrix[0, 0]
    error = calibrated.calibration.matrix_errors[0, 0]
    assert f"diagonal of A: {first:.3g} ± {error:.1g}, " in repr(calibrated)
    assert "A, column 1" in calibrated._repr_html_()
    assert "not trained" in repr(CalibratedScore())
    assert "not trained" in CalibratedScore()._repr_html_()


# Event files


@pytest.fixture(scope="module")
def event_file(toy_event_file: Callable[..., Path]) -> Path:
    return toy_event_file(4000)


def test_event_files_calibrate_with_all_their_events(event_file: Path) -> None:
    augmenter = SampleAugmenter(event_file)
    sample = augmenter.weighted_local("sm")
    estimator = ScoreEstimator(n_hidden=(8,))
    estimator.train("sally", sample.x, 1.5 * sample.t_xz, theta_ref=sample.theta, **QUICK)
    calibrated = CalibratedScore.from_events(estimator, event_file, [0.0, 0.0])
    held_out = augmenter.weighted_local("sm", partition="validation")
    twin = CalibratedScore.fit(estimator, held_out.x, held_out.t_xz, held_out.w)
    np.testing.assert_array_equal(
        calibrated.evaluate_score(held_out.x), twin.evaluate_score(held_out.x)
    )
    information, _ = FisherInformation(event_file).full_information([0.0, 0.0], calibrated)
    assert information.shape == (2, 2)
    with pytest.raises(OptionError, match=r"one point at which the estimator was trained, \[0.0"):
        CalibratedScore.from_events(estimator, event_file, [0.1, 0.0])


def test_files_with_other_parameters_are_refused(
    nuisance_event_file: Callable[..., Path],
) -> None:
    path, x = nuisance_event_file(2000), np.zeros((3, 19))
    augmenter = SampleAugmenter(path)
    sample = augmenter.weighted_local("sm")
    estimator = ScoreEstimator(n_hidden=(8,))
    estimator.train("sally", sample.x, sample.t_xz, **QUICK)
    calibrated = CalibratedScore.from_events(estimator, path, [0.0] * 4)
    assert calibrated.evaluate_score(sample.x[:5]).shape == (5, 4)
    three = ScoreEstimator(n_hidden=(3,))
    three.train("sally", x, np.eye(3), **QUICK)
    with pytest.raises(SetupError, match=r"knows 3 parameters, but .* has 2 theory parameters"):
        CalibratedScore.from_events(three, path, [0.0] * 3)


# Refusals


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"t_xz": np.zeros((200, 3))}, ShapeError, r"t_xz must have shape \(200, 2\)"),
        ({"t_xz": np.zeros((10, 2))}, ShapeError, r"t_xz must have shape \(200, 2\)"),
        ({"t_xz": np.full((200, 2), np.nan)}, DataError, "t_xz contains 400 values"),
        ({"x": np.zeros((200, 3))}, ShapeError, "observables of the training"),
        ({"x": np.full((200, 2), np.inf)}, DataError, "x contains 400 values"),
        ({"weights": np.ones(3)}, ShapeError, "weights must have shape"),
        ({"weights": np.zeros(200)}, NegativeWeightError, "must be positive"),
        ({"weights": np.arange(200) < 49}, NoEventsError, "200 are worth 49. Use more events"),
        ({"shift": "mean"}, OptionError, "shift must be True or False"),
        ({"estimator": ScoreEstimator()}, NotTrainedError, "not trained yet"),
        ({"estimator": ParameterizedRatioEstimator()}, OptionError, "for ratios take Calibrated"),
        ({"estimator": Ensemble()}, OptionError, "Of an ensemble calibrate each member"),
        ({"estimator": CalibratedRatio()}, OptionError, "got a CalibratedRatio"),
    ],
)
def test_refusals(change: dict[str, Any], error: type[Exception], message: str) -> None:
    x, t_xz = events(200, 1)
    good = {"estimator": linear(), "x": x, "t_xz": t_xz}
    with pytest.raises(error, match=message):
        CalibratedScore.fit(**{**good, **change})


def test_calibrated_scores_are_not_trained(calibrated: CalibratedScore) -> None:
    with pytest.raises(NotAvailableError, match="Train a ScoreEstimator, then calibrate"):
        calibrated.train("sally")
    with pytest.raises(NotTrainedError):
        CalibratedScore().evaluate_score([[0.0]])


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [[1.0]]},
        {"shift": [0.0]},
        {"shift": [0.0, None]},
        {"matrix_errors": "none"},
        {"n_effective": -1.0},
        {"more": 1.0},
    ],
)
def test_damaged_files_are_refused(
    change: dict[str, Any], calibrated: CalibratedScore, tmp_path: Path
) -> None:
    calibrated.save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    settings = json.loads(path.read_text())
    settings["calibration"].update(change)
    path.write_text(json.dumps(settings))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "model")


def test_shapes_of_a_calibration_fit() -> None:
    with pytest.raises(ShapeError, match=r"matrix must be finite numbers of shape \(2, 2\)"):
        ScoreCalibration(np.eye(3), np.eye(3), np.zeros(2), np.zeros(2), 100.0)


# Points at which an estimator was validated


def test_validated_thetas_are_kept_in_files(trained: ScoreEstimator, tmp_path: Path) -> None:
    estimator = ScoreEstimator()
    assert estimator.validated_thetas is None
    trained.save(tmp_path / "model")
    assert "validated_thetas" not in json.loads((tmp_path / "model_settings.json").read_text())
    estimator.load(tmp_path / "model")
    assert estimator.validated_thetas is None
    thetas = np.array([[0.0, 0.5], [1.0 / 3.0, -1e-17]])
    estimator.validated_thetas = thetas
    estimator.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert isinstance(loaded, ScoreEstimator)
    np.testing.assert_array_equal(loaded.validated_thetas, thetas)
    Ensemble([loaded]).save(tmp_path / "ensemble")
    ensemble = load_estimator(tmp_path / "ensemble")
    assert isinstance(ensemble, Ensemble)
    np.testing.assert_array_equal(ensemble.estimators[0].validated_thetas, thetas)


def test_more_training_and_calibrations_are_to_be_validated_again(trained: ScoreEstimator) -> None:
    x, t_xz = events(300, 1)
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.train("sally", x, t_xz, **QUICK)
    estimator.validated_thetas = np.zeros((1, 2))
    assert CalibratedScore.fit(estimator, x, t_xz).validated_thetas is None
    assert estimator.validated_thetas is not None
    estimator.train("sally", x, t_xz, **QUICK)
    assert estimator.validated_thetas is None


@pytest.mark.parametrize("value", [[[0.0]], "all", [[0.0, "x"]], {"a": 1.0}])
def test_damaged_validated_thetas_are_refused(
    value: object, trained: ScoreEstimator, tmp_path: Path
) -> None:
    trained.save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "validated_thetas": value}))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "model")


@pytest.mark.parametrize("kind", ["shuffled", "negative", "good"])
def test_joint_scores_that_do_not_belong_are_reported(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    x, t_xz = events(5000, 6)
    if kind == "shuffled":
        t_xz = np.random.default_rng(1).permutation(t_xz)
    CalibratedScore.fit(linear(), x, -t_xz if kind == "negative" else t_xz)
    assert ("hardly depend on component 1" in caplog.text) == (kind != "good")
