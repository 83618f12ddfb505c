"""Calibrated ratios: distorted estimators of a Gaussian whose likelihood is known."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import madminer
from madminer.errors import (
    DataError,
    EvidenceError,
    FileFormatError,
    NegativeWeightError,
    NoEventsError,
    NotAvailableError,
    NotTrainedError,
    OptionError,
    SetupError,
    ShapeError,
    UnknownNameError,
)
from madminer.fisherinformation import FisherInformation
from madminer.likelihood import NeuralLikelihood
from madminer.limits import AsymptoticLimits
from madminer.ml import (
    CalibratedRatio,
    CalibratedScore,
    DoubleParameterizedRatioEstimator,
    Ensemble,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.models import MorphingSetup
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.scaling import identity_standardization
from madminer.sampling import SampleAugmenter, benchmark, random_morphing_points

VARIANCE, LATENT = 5.0, 4.0  # x ~ N(z, 1), z ~ N(theta, 2): widths, not variances
NODES = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])


def true_log_r(theta: Any, x: Any) -> Any:
    """The exact log r to theta1 = 0, of numbers or tensors."""
    return (theta * x - theta**2 / 2) / VARIANCE


DISTORTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "exact": true_log_r,
    "power": lambda theta, x: 1.3 * true_log_r(theta, x),
    "shifted": lambda theta, x: true_log_r(theta, x) + 0.3 * theta,
    "saturated": lambda theta, x: torch.tanh(true_log_r(theta, x)),
    "noisy": lambda theta, x: true_log_r(theta, x) + 0.3 * theta * torch.sin(9.0 * x),
}


class Distorted(ConditionalNetwork):
    """A formula in the place of a network."""

    def __init__(self, formula: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.formula = formula
        self.nothing = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        value: Tensor = self.formula(theta[:, 0], x[:, 0]) + self.nothing * 0.0
        return value


def distorted(name: str) -> ParameterizedRatioEstimator:
    estimator = ParameterizedRatioEstimator()
    scaling = identity_standardization(1)
    estimator._adopt(Distorted(DISTORTIONS[name]), scaling, scaling, 1)
    return estimator


def events(n: int, seed: int, theta: np.ndarray = NODES) -> tuple[np.ndarray, np.ndarray]:
    """Events at theta1 = 0 and their joint ratios."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.0, np.sqrt(LATENT), size=n)
    joint = np.exp((theta[:, None] * z - theta[:, None] ** 2 / 2) / LATENT)
    return rng.normal(z, 1.0)[:, None], joint


def calibrated_toy(name: str, n: int = 20_000, seed: int = 1, **options: Any) -> CalibratedRatio:
    return CalibratedRatio.fit(distorted(name), *_in_order(events(n, seed)), **options)


def _in_order(sample: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sample[0], NODES, sample[1]


@pytest.fixture(params=DISTORTIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# What is calibrated


@pytest.mark.parametrize("method", ["binned", "isotonic"])
def test_means_of_independent_joint_ratios_are_the_calibrated_ratio(name: str, method: str) -> None:
    calibrated = calibrated_toy(name, method=method)
    x, joint = events(50_000, 2)
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(x, NODES)
    chi2, n_bins = 0.0, 0
    for k, errors in enumerate(calibrated.errors):
        order = np.array_split(np.argsort(log_r[k]), 10)
        for part in order:
            difference = joint[k, part].mean() - np.exp(log_r[k, part]).mean()
            own = joint[k, part].std() / np.sqrt(len(part))
            others = joint[k, part].mean() * np.median(errors) * np.sqrt(len(errors) / 10.0)
            chi2 += difference**2 / (own**2 + others**2)
            n_bins += 1
    assert chi2 / n_bins < 2.0  # thetas share their events, so that chi2 scatters widely
    if name in {"power", "shifted", "saturated"}:
        raw, _ = calibrated.estimator.evaluate_log_likelihood_ratio(x, NODES)
        truth = true_log_r(NODES[:, None], x[:, 0])
        worst = np.abs(raw - truth).mean(axis=1)
        assert np.all(np.abs(log_r - truth).mean(axis=1) < 0.5 * worst + 0.01)


def test_the_mean_of_the_calibrated_ratio_is_one(name: str) -> None:
    calibrated = calibrated_toy(name)
    x, _ = events(20_000, 1)
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(x, NODES)
    np.testing.assert_allclose(np.exp(log_r).mean(axis=1), 1.0, atol=1e-12)


def test_power_never_rises(name: str) -> None:
    """The divergence of a statistic is below that of x, for any statistic."""
    calibrated = calibrated_toy(name)
    x, _ = events(100_000, 3)
    truth = true_log_r(NODES[:, None], x[:, 0])
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(x, NODES)
    at_theta = np.exp(truth) * (truth - log_r + np.exp(log_r - truth) - 1.0)
    assert np.all(at_theta.mean(axis=1) > -1e-12)  # of the ratio as it is, normalised or not
    lost = np.exp(truth) * (truth - log_r)
    assert np.all(lost.mean(axis=1) > -0.02)
    if name == "noisy":  # noise costs power, which the raw estimate does not tell
        second_moment = np.mean(np.exp(2.0 * log_r), axis=1)
        assert np.all(second_moment < 0.97 * np.exp(NODES**2 / VARIANCE) + 0.03)
        raw, _ = calibrated.estimator.evaluate_log_likelihood_ratio(x, NODES)
        assert np.all(second_moment < np.mean(np.exp(2.0 * raw), axis=1))


def test_between_its_points_the_calibration_is_interpolated() -> None:
    calibrated = calibrated_toy("power", theta1=0.0)
    x = np.linspace(-6.0, 6.0, 25)[:, None]
    thetas = np.array([-1.7, -0.7, 0.2, 0.75, 1.6])
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(x, thetas)
    np.testing.assert_allclose(log_r, true_log_r(thetas[:, None], x[:, 0]), atol=0.12)
    at_reference, _ = calibrated.evaluate_log_likelihood_ratio(x, [0.0])
    np.testing.assert_allclose(at_reference, 0.0, atol=1e-12)
    scores = calibrated.evaluate_score(x, 0.0)
    np.testing.assert_allclose(scores[:, 0], x[:, 0] / VARIANCE, atol=0.06)


def test_single_points_change_nothing_but_log_r_there() -> None:
    x, joint = events(5000, 1, np.array([1.0]))
    calibrated = CalibratedRatio.fit(distorted("power"), x, 1.0, joint[0])
    grid = np.linspace(-3.0, 3.0, 7)[:, None]
    expected = calibrated.curves[0](1.3 * true_log_r(1.0, grid[:, 0]))
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(grid, 1.0)
    np.testing.assert_allclose(log_r[0], expected, atol=1e-12)


def test_limits_from_a_calibrated_ratio_are_those_of_the_gaussian() -> None:
    """1000 events measure theta to the width of the Gaussian over the root of 1000."""
    x = np.random.default_rng(8).normal(0.2, np.sqrt(VARIANCE), size=(1000, 1))
    grid = np.linspace(-0.3, 0.7, 1001)

    def interval(estimator: ParameterizedRatioEstimator) -> tuple[float, float]:
        q = -2.0 * estimator.evaluate_log_likelihood_ratio(x, grid)[0].sum(axis=1)
        inside = grid[q - q.min() < 1.0]
        return inside.mean(), np.ptp(inside) / 2.0

    thetas = np.array([-0.5, -0.25, 0.25, 0.5, 0.75])
    sample, joint = events(100_000, 4, thetas)
    estimator = distorted("power")
    calibrated = CalibratedRatio.fit(estimator, sample, thetas, joint, theta1=0.0)
    sigma = np.sqrt(VARIANCE / 1000)
    centre, width = interval(calibrated)
    assert centre == pytest.approx(x.mean(), abs=0.35 * sigma)
    assert width == pytest.approx(sigma, rel=0.12)
    assert interval(estimator)[1] == pytest.approx(sigma / np.sqrt(1.3), rel=0.05)


# Derivatives and forms of evaluation


def test_scores_are_the_derivatives(name: str) -> None:
    calibrated = calibrated_toy(name, theta1=0.0)
    x, _ = events(40, 5)
    thetas, step = np.array([-1.5, -0.5, 0.0, 0.1, 1.9]), 1e-5
    _, scores = calibrated.evaluate_log_likelihood_ratio(x, thetas, evaluate_score=True)
    up, down = (
        calibrated.evaluate_log_likelihood_ratio(x, thetas + shift)[0] for shift in (step, -step)
    )
    assert scores is not None
    np.testing.assert_allclose(scores[..., 0], (up - down) / (2.0 * step), atol=1e-6)
    pairs = np.resize(thetas, len(x))
    log_r, score = calibrated.evaluate_log_likelihood_ratio(x, pairs, False, evaluate_score=True)
    every, every_score = calibrated.evaluate_log_likelihood_ratio(x, pairs, evaluate_score=True)
    assert score is not None
    assert every_score is not None
    np.testing.assert_allclose(log_r, np.diagonal(every), atol=1e-12)
    np.testing.assert_allclose(score[:, 0], np.diagonal(every_score[..., 0]), atol=1e-12)
    np.testing.assert_allclose(calibrated.evaluate_score(x, pairs), score)


def test_tensors_give_the_same_and_gradients() -> None:
    calibrated = calibrated_toy("saturated")
    x, thetas = events(30, 5)[0], np.array([[-1.5], [0.3], [1.9]])
    x_tensor = torch.tensor(x, requires_grad=True)
    theta = torch.tensor(thetas, requires_grad=True)
    found = calibrated.evaluate_log_likelihood_ratio_torch(x_tensor, theta)
    log_r, scores = calibrated.evaluate_log_likelihood_ratio(x, thetas, evaluate_score=True)
    assert scores is not None
    np.testing.assert_allclose(found.detach(), log_r, atol=1e-12)
    found.sum().backward()
    np.testing.assert_allclose(theta.grad, scores.sum(axis=1), atol=1e-10)
    up, down = (
        calibrated.evaluate_log_likelihood_ratio(x + step, thetas)[0] for step in (1e-6, -1e-6)
    )
    expected = ((up - down) / 2e-6).sum(axis=0)
    assert x_tensor.grad is not None
    np.testing.assert_allclose(x_tensor.grad[:, 0], expected, atol=1e-5)
    one = calibrated.evaluate_log_likelihood_ratio_torch(x_tensor, theta[:1], False)
    np.testing.assert_allclose(one.detach(), log_r[0], atol=1e-12)


def test_log_r_is_continuous_in_the_estimate() -> None:
    calibrated = calibrated_toy("power", n=3000)
    x = np.linspace(-9.0, 9.0, 40_001)[:, None]
    log_r, _ = calibrated.evaluate_log_likelihood_ratio(x, NODES)
    steepest = max(np.abs(curve.slopes).max() for curve in calibrated.curves)
    steps = np.abs(np.diff(log_r, axis=1)).max()
    assert steps < 1.01 * steepest * 1.3 * 2.0 / VARIANCE * 18.0 / 40_000


# Trained estimators and files


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1.0, 1.0, size=(3000, 2))
    y = rng.integers(0, 2, size=3000)
    x = rng.normal(np.where(y[:, None] == 0, theta, 0.0), 1.0)
    log_r = np.sum(x * theta - theta**2 / 2, axis=1)
    x = np.column_stack([x, rng.normal(50.0, 2.0, size=3000)])
    return {"x": x, "y": y, "theta": theta, "r_xz": np.exp(log_r)}


POINTS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
QUICK: dict[str, Any] = {"n_epochs": 2, "initial_lr": 0.01, "seed": 1, "verbose": "none"}


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(9).normal(size=(4000, 2))
    joint = np.exp(POINTS @ x.T - np.sum(POINTS**2, axis=1)[:, None] / 2)
    return np.column_stack([x, np.full(4000, 50.0)]), joint


COMPONENTS = np.array([[0, 0], [1, 0], [0, 1]])
MORPHING = MorphingSetup(COMPONENTS, np.array([[1.0, 0.0, 0.0], [-1, 1, 0], [-1, 0, 1]]))


@pytest.fixture(scope="module", params=["plain", "morphing"])
def trained(
    request: pytest.FixtureRequest, data: dict[str, np.ndarray]
) -> ParameterizedRatioEstimator:
    estimator = (
        MorphingAwareRatioEstimator(morphing=MORPHING, features=[1, 0], n_hidden=(6,))
        if request.param == "morphing"
        else ParameterizedRatioEstimator(features=[1, 0], n_hidden=(6, 5))
    )
    estimator.train("alice", **data, **QUICK)
    return estimator


@pytest.fixture(scope="module")
def model(
    trained: ParameterizedRatioEstimator, held_out: tuple[np.ndarray, np.ndarray]
) -> CalibratedRatio:
    x, joint = held_out
    return CalibratedRatio.fit(trained, x, POINTS, joint, theta1=[0.0, 0.0], n_bins=8)


def test_saved_and_loaded_ratios_agree_exactly(
    model: CalibratedRatio, held_out: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x = held_out[0][:50]
    theta = 0.3 * POINTS
    expected = model.evaluate_log_likelihood_ratio(x, theta, evaluate_score=True)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert isinstance(loaded, CalibratedRatio)
    again = CalibratedRatio()
    again.load(tmp_path / "model")
    for other in (loaded, again):
        found = other.evaluate_log_likelihood_ratio(x, theta, evaluate_score=True)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        assert repr(other) == repr(model)
        assert type(other.estimator) is type(model.estimator)
    np.testing.assert_array_equal(
        loaded.estimator.evaluate_log_likelihood_ratio(x, theta)[0],
        model.estimator.evaluate_log_likelihood_ratio(x, theta)[0],
    )
    for curve, same in zip(model.curves, loaded.curves, strict=True):
        np.testing.assert_array_equal(same.errors, curve.errors)
        np.testing.assert_array_equal(same.n_effective, curve.n_effective)


def test_trained_networks_are_calibrated_in_single_precision(
    model: CalibratedRatio, held_out: tuple[np.ndarray, np.ndarray]
) -> None:
    log_r, _ = model.evaluate_log_likelihood_ratio(held_out[0], POINTS)
    np.testing.assert_allclose(np.exp(log_r).mean(axis=1), 1.0, atol=2e-6)
    raw, _ = model.estimator.evaluate_log_likelihood_ratio(held_out[0], POINTS)
    for k, curve in enumerate(model.curves[: len(POINTS)]):
        np.testing.assert_allclose(log_r[k], curve(raw[k]), atol=1e-5)


def test_scores_of_two_parameters_are_the_derivatives(
    model: CalibratedRatio, held_out: tuple[np.ndarray, np.ndarray]
) -> None:
    from madminer.likelihood.learned import LearnedDensity  # as fits take it

    (double,) = LearnedDensity([model], 2, knows_nu=False).in_double_precision().members
    assert isinstance(double, CalibratedRatio)
    x, theta = held_out[0][:20], np.array([[0.2, -0.3], [0.0, 0.0], [0.4, 0.7]])
    _, scores = double.evaluate_log_likelihood_ratio(x, theta, evaluate_score=True)
    assert scores is not None
    for i, step in enumerate(1e-5 * np.eye(2)):
        up, down = (double.evaluate_log_likelihood_ratio(x, theta + s)[0] for s in (step, -step))
        np.testing.assert_allclose(scores[..., i], (up - down) / 2e-5, atol=1e-6)


def test_ensembles_of_calibrated_ratios(
    model: CalibratedRatio, held_out: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, joint = held_out
    other = CalibratedRatio.fit(model.estimator, x, POINTS, joint, n_bins=4)
    ensemble = Ensemble([model, other])
    ensemble.save(tmp_path / "ensemble")
    loaded = load_estimator(tmp_path / "ensemble")
    assert isinstance(loaded, Ensemble)
    mean, covariance = loaded.evaluate_log_likelihood_ratio(
        x=x[:5], theta=0.5 * POINTS, calculate_covariance=True
    )
    members = [m.evaluate_log_likelihood_ratio(x[:5], 0.5 * POINTS)[0] for m in (model, other)]
    np.testing.assert_allclose(mean, np.mean(members, axis=0), atol=1e-12)
    assert covariance is not None
    assert loaded.calculate_expectation(x, theta=POINTS).shape == (2, len(POINTS))


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_exported_programs_are_calibrated(
    model: CalibratedRatio, held_out: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x = held_out[0][:7].astype(np.float32)
    theta = np.resize(0.5 * POINTS, (7, 2)).astype(np.float32)
    expected, _ = model.evaluate_log_likelihood_ratio(x, theta, test_all_combinations=False)
    model.save(tmp_path / "model", save_model=True)
    program = torch.export.load(tmp_path / "model_model.pt").module()
    found = program(torch.as_tensor(theta), torch.as_tensor(x))
    np.testing.assert_allclose(found.detach(), expected, atol=1e-5)
    model.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    np.testing.assert_allclose(session.run(None, {"theta": theta, "x": x})[0], expected, atol=1e-5)


def test_features_of_the_calibration_are_shown(model: CalibratedRatio) -> None:
    text = repr(model)
    assert "calibrated at 6 thetas" in text
    assert f"errors of log r up to {max(e.max() for e in model.errors):.2g}" in text
    assert len(model.table.rows) == sum(len(errors) for errors in model.errors)
    html = model._repr_html_()
    assert "effective events" in html
    assert repr(CalibratedRatio()) == "CalibratedRatio(not trained)"


def test_the_estimator_is_copied(
    data: dict[str, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]
) -> None:
    estimator = ParameterizedRatioEstimator(n_hidden=(4,))
    estimator.train("alice", **data, **QUICK)
    x, joint = held_out
    calibrated = CalibratedRatio.fit(estimator, x, POINTS, joint)
    before, _ = calibrated.evaluate_log_likelihood_ratio(x, POINTS)
    estimator.train("alice", **data, **QUICK)
    np.testing.assert_array_equal(calibrated.evaluate_log_likelihood_ratio(x, POINTS)[0], before)


# Event files, likelihoods, limits, information


@pytest.fixture(scope="module")
def event_file(toy_event_file: Callable[..., Path]) -> Path:
    return toy_event_file(6000)


@pytest.fixture(scope="module")
def from_file(event_file: Path) -> CalibratedRatio:
    prior = random_morphing_points(50, [("gaussian", 0.0, 0.3)] * 2)
    sample = SampleAugmenter(event_file).sample_train_ratio(prior, benchmark("sm"), 2000, seed=1)
    estimator = ParameterizedRatioEstimator(features=[1, 3], n_hidden=(10,))
    estimator.train("alice", sample.x, sample.y, sample.theta0, sample.r_xz, **QUICK)
    return CalibratedRatio.from_events(
        estimator, event_file, 0.3 * POINTS, [0.0, 0.0], n_bins=6, validation_split=0.4
    )


def test_event_files_calibrate_with_all_their_events(
    from_file: CalibratedRatio, event_file: Path
) -> None:
    """The twin reads the weights, whose coefficients the observables of the toy are."""
    augmenter = SampleAugmenter(event_file)
    x, weights = augmenter.weighted_events(
        start_event=2400, end_event=4800, generated_close_to="sm"
    )
    a, b = np.vstack([0.3 * POINTS, [0.0, 0.0]]).T
    # x are the coefficients in pb; weights of a benchmark's group keep their factor
    w = np.stack([np.ones_like(a), b, b**2, a, a * b, a**2], axis=1) @ x.T
    np.testing.assert_allclose(weights[:, 0], w[-1], rtol=1e-12)
    r = w / w[-1] * (w[-1].sum() / w.sum(axis=1)[:, None])
    twin = CalibratedRatio.fit(from_file.estimator, x, 0.3 * POINTS, r[:-1], w[-1],
                               theta1=[0.0, 0.0], n_bins=6)  # fmt: skip
    for curve, expected in zip(from_file.curves, twin.curves, strict=True):
        np.testing.assert_allclose(curve.log_r, expected.log_r, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(curve.errors, expected.errors, rtol=1e-9, atol=1e-12)


def test_points_may_be_names_of_benchmarks(from_file: CalibratedRatio, event_file: Path) -> None:
    setup = SampleAugmenter(event_file).setup
    names = [name for name in setup.physical_benchmarks if name != "sm"][:2]
    thetas = [setup.theta(name) for name in names]
    options: Any = {"n_bins": 4, "partition": "all"}
    named = CalibratedRatio.from_events(from_file.estimator, event_file, names, "sm", **options)
    twin = CalibratedRatio.from_events(
        from_file.estimator, event_file, thetas, setup.theta("sm"), **options
    )
    np.testing.assert_array_equal(named.theta, twin.theta)
    np.testing.assert_array_equal(named.curves[0].log_r, twin.curves[0].log_r)
    with pytest.raises(UnknownNameError, match="nowhere"):
        CalibratedRatio.from_events(from_file.estimator, event_file, ["nowhere"], "sm")


def test_likelihoods_limits_and_information_take_calibrated_ratios(
    from_file: CalibratedRatio, event_file: Path, tmp_path: Path
) -> None:
    x = SampleAugmenter(event_file).weighted_events()[0][:30]
    neural = NeuralLikelihood(event_file).create_negative_log_likelihood(
        from_file, x, include_xsec=False
    )
    expected = -from_file.evaluate_log_likelihood_ratio(x, [[0.1, -0.2]])[0].sum()
    difference = neural([0.1, -0.2]) - neural([0.0, 0.0])
    assert difference == pytest.approx(expected, abs=1e-4)
    from_file.save(tmp_path / "model")
    grid = AsymptoticLimits(event_file).observed_limits(
        "ml",
        x,
        model_file=tmp_path / "model",
        include_xsec=False,
        grid_ranges=[(-0.3, 0.3)] * 2,
        grid_resolutions=[5, 5],
    )
    thetas, _, _, kinematic, *_ = grid
    direct = from_file.evaluate_log_likelihood_ratio(x, thetas)[0].sum(axis=1)
    np.testing.assert_allclose(kinematic - kinematic[0], direct - direct[0], atol=1e-4)
    information, _ = FisherInformation(event_file).full_information([0.0, 0.0], from_file)
    assert information.shape == (2, 2)


def test_files_with_other_parameters_are_refused(
    model: CalibratedRatio, nuisance_event_file: Callable[..., Path]
) -> None:
    path = nuisance_event_file(400)
    estimator = distorted("power")
    with pytest.raises(SetupError, match=r"knows 1 parameters, but .* 2 theory parameters and 2"):
        CalibratedRatio.from_events(estimator, path, [0.5], [0.0])


# Refusals and warnings


def test_outside_of_its_points_a_calibration_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    calibrated = calibrated_toy("power", n=3000)
    x = events(3, 1)[0]
    with caplog.at_level(logging.WARNING):
        calibrated.evaluate_log_likelihood_ratio(x, NODES)
        assert not caplog.records
        calibrated.evaluate_score(x, 2.5)
        calibrated.evaluate_score(x, 2.5)
    (record,) = caplog.records
    assert "calibrated from theta = [-2.0] to [2.0], and extrapolated to [2.5]" in record.message
    with madminer.strict(), pytest.raises(EvidenceError, match="extrapolated to"):
        calibrated.evaluate_log_likelihood_ratio_torch(torch.tensor(x), torch.tensor([[-2.1]]))


def test_joint_ratios_of_other_events_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    x, joint = events(3000, 1)
    shifted = joint * joint[4]  # as if drawn at theta = 1
    with caplog.at_level(logging.WARNING):
        CalibratedRatio.fit(distorted("power"), x, NODES, shifted)
    assert "must be 1 for events drawn at theta1" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((10, 1))}, ShapeError, r"r_xz must have shape \(6, 10\)"),
        ({"x": np.zeros((3000, 2))}, ShapeError, "observables of the training"),
        ({"x": np.full((3000, 1), np.nan)}, DataError, "x contains 3000 values that are NaN"),
        ({"theta": np.ones((6, 2))}, ShapeError, "theta must have 1 parameters"),
        ({"theta": [-2.0, -1.0, -0.5, 0.5, 1.0, 1.0]}, OptionError, "different points"),
        ({"r_xz": np.ones((5, 3000))}, ShapeError, r"r_xz must have shape \(6, 3000\)"),
        ({"r_xz": np.full((6, 3000), np.inf)}, DataError, "r_xz contains 18000 values"),
        ({"weights": np.ones(5)}, ShapeError, "weights must have shape"),
        ({"weights": -np.ones(3000)}, NegativeWeightError, "must be positive"),
        ({"weights": np.eye(1, 3000)[0]}, NoEventsError, "Use more events"),
        ({"theta1": [[0.0, 1.0]]}, ShapeError, "theta1 must have 1 parameters"),
        ({"theta1": [0.0, 1.0]}, ShapeError, "theta1 must be one point"),
        ({"theta1": 1.0}, OptionError, "different points"),
        ({"n_bins": 1}, OptionError, "n_bins must be a whole number from 2"),
        ({"method": "spline"}, OptionError, "method must be one of 'binned', 'isotonic'"),
        ({"estimator": ParameterizedRatioEstimator()}, NotTrainedError, "not trained yet"),
        ({"estimator": ScoreEstimator()}, OptionError, "got a ScoreEstimator"),
        ({"estimator": DoubleParameterizedRatioEstimator()}, OptionError, "got a Double"),
        ({"estimator": Ensemble()}, OptionError, "Of an ensemble calibrate each member"),
        ({"estimator": CalibratedRatio()}, OptionError, "take its estimator"),
    ],
)
def test_refusals(change: dict[str, Any], error: type[Exception], message: str) -> None:
    x, joint = events(3000, 1)
    good = {"estimator": distorted("power"), "x": x, "theta": NODES, "r_xz": joint}
    with pytest.raises(error, match=message):
        CalibratedRatio.fit(**{**good, **change})


def test_calibrated_ratios_are_not_trained() -> None:
    calibrated = calibrated_toy("power", n=3000)
    with pytest.raises(NotAvailableError, match="Train the estimator, then calibrate"):
        calibrated.train("alice")
    with pytest.raises(NotTrainedError):
        CalibratedRatio().evaluate_log_likelihood_ratio([[0.0]], [[0.0]])
    with pytest.raises(NotTrainedError):
        CalibratedRatio().save("nowhere")


def test_damaged_files_are_refused(model: CalibratedRatio, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    good = path.read_text()
    family = model.estimator.family
    for change in (
        ('"curves": [', '"curves": [{}, '),
        (f'"estimator_type": "{family}"', '"estimator_type": "score"'),
        ('"log_r_hat"', '"typo"'),
        ('"calibration"', '"typo"'),
        ('"theta": [', '"theta": ["events.npy", '),
    ):
        assert change[0] in good
        path.write_text(good.replace(*change))
        with pytest.raises(FileFormatError):
            load_estimator(tmp_path / "model")


@pytest.mark.parametrize("kind", [CalibratedRatio, CalibratedScore])
def test_other_models_are_not_loaded_as_calibrated_ones(
    kind: type[CalibratedRatio | CalibratedScore], tmp_path: Path
) -> None:
    score = ScoreEstimator(n_hidden=(3,))
    score.train("sally", np.eye(3), np.eye(3), n_epochs=1, verbose="none")
    score.save(tmp_path / "score")
    with pytest.raises(FileFormatError):
        kind().load(tmp_path / "score")
