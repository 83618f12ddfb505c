"""Information from trained estimators, on the Gaussian toy whose score is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import NoEventsError, NotTrainedError, OptionError, SetupError, ShapeError
from madminer.fisherinformation import FisherInformation
from madminer.fisherinformation.estimate import report_evidence
from madminer.fisherinformation.score_information import EstimatedScores, model_information
from madminer.ml import (
    Ensemble,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.stats.score_moments import ScoreMoments

L = 1000.0
ORIGIN = np.zeros(2)


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(gaussian_event_file())


@pytest.fixture(scope="module")
def score_model(fisher: FisherInformation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, _ = fisher.weighted_events(end_event=8_000)
    estimator = ScoreEstimator(n_hidden=(20,))
    estimator.train(
        "sally",
        x,
        2.0 * x[:, :2],
        n_epochs=15,
        batch_size=256,
        initial_lr=0.01,
        verbose="none",
        seed=1,
    )
    path = tmp_path_factory.mktemp("models") / "sally"
    estimator.save(path)
    return path


@pytest.fixture(scope="module")
def ratio_model(fisher: FisherInformation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, _ = fisher.weighted_events(end_event=4000)
    rng = np.random.default_rng(3)
    theta = rng.normal(scale=0.3, size=(len(x), 2))
    estimator = ParameterizedRatioEstimator(n_hidden=(10,))
    estimator.train(
        "alice",
        x,
        rng.integers(0, 2, (len(x), 1)),
        theta,
        r_xz=(1.0 + np.sum(theta * x[:, :2], axis=1, keepdims=True)) ** 2,
        n_epochs=3,
        batch_size=256,
        verbose="none",
        seed=1,
    )
    path = tmp_path_factory.mktemp("models") / "alice"
    estimator.save(path)
    return path


def test_good_network_reaches_the_closed_form(
    fisher: FisherInformation,
    score_model: Path,
    caplog: pytest.LogCaptureFixture,
    sample_covariance: Callable[..., np.ndarray],
) -> None:
    information, covariance = fisher.full_information(ORIGIN, score_model, luminosity=L)
    assert not caplog.text  # although all latent variables are observed
    assert information == pytest.approx(4.0 * L * np.eye(2), abs=0.15 * 4.0 * L)
    x, weights = fisher.weighted_events(ORIGIN, start_event=16_000)
    events = L**2 * sample_covariance(load_estimator(score_model).evaluate_score(x), weights)
    expected = fisher.rate_information(ORIGIN, L)[1] + events  # a single network adds nothing
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-4 * expected.max())


def assert_text(text: object, value: float, error: float) -> None:
    """A number with its error as messages show it."""
    shown = [float(part) for part in str(text).split(" ± ")]
    assert shown[0] == pytest.approx(value, rel=0.1)
    assert shown[1] == pytest.approx(error, rel=0.3)


@pytest.mark.parametrize("with_rate", [True, False])
def test_more_information_than_in_the_events_is_reported(
    fisher: FisherInformation, tmp_path: Path, caplog: pytest.LogCaptureFixture, with_rate: bool
) -> None:
    x, _ = fisher.weighted_events(end_event=2000)
    estimator = ScoreEstimator(n_hidden=(20,))
    targets = x[:, :2] * [3.0, 1.0]  # the scores are 2 z
    estimator.train(
        "sally", x, targets, n_epochs=30, initial_lr=0.02, batch_size=64, verbose="none", seed=1
    )
    estimator.save(tmp_path / "model")
    fisher.full_information("b0", tmp_path / "model", luminosity=L, include_xsec_info=with_rate)
    assert len(caplog.records) == 1
    claimed, direction, names, bound, n_events, truth = caplog.records[0].args  # type: ignore[misc]
    assert_text(claimed, 9000.0, 9000.0 * np.sqrt(2.0 / 4000))  # E[t^4] = 3 E[t^2]^2
    np.testing.assert_allclose(direction, [1.0, 0.0], atol=0.1)  # type: ignore[arg-type]
    assert names == "a, b"
    assert_text(bound, 3000.0, np.sqrt(9.0 * 2.0 / 4000) * 1000.0)  # of 2 (3 z) (2 z) - (3 z)^2
    assert n_events == pytest.approx(4000.0)
    assert "truth of" in str(truth)
    assert_text(str(truth).split(" of ")[-1].removesuffix(" is impossible"), 4000.0, 90.0)


def test_units_and_errors_of_what_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(400, 2))
    joint = z + 2.0 * rng.normal(size=(400, 2))  # latent variables
    found = {}
    for unit in (1.0, 1e-6):
        units = np.array([unit, 1.0 / unit])
        for factor in (1.05, 1.8):  # excesses of 2 (c^2 - c): 0.1 and 2.9, known to 0.2 to 0.5
            caplog.clear()
            moments = ScoreMoments(2).add(factor * z * units, joint * units, np.ones(400))
            report_evidence(moments.plug_in(), moments, 1.0, ["a", "b"], same_events=True)
            found[factor, unit] = len(caplog.records)
    assert found == {(1.05, 1.0): 0, (1.05, 1e-6): 0, (1.8, 1.0): 1, (1.8, 1e-6): 1}


@pytest.mark.parametrize("model", ["score_model", "ratio_model"])
def test_full_information_is_the_definition(
    fisher: FisherInformation, model: str, request: pytest.FixtureRequest
) -> None:
    path, theta = request.getfixturevalue(model), np.array([0.1, -0.05])
    estimator = (ScoreEstimator if model == "score_model" else ParameterizedRatioEstimator)()
    estimator.load(path)
    x, weights = fisher.weighted_events(theta, start_event=16_000)
    kinematic = estimator.calculate_fisher_information(
        x, theta=theta, weights=weights, n_events=L * fisher.xsecs([theta])[0][0]
    )
    result, _ = fisher.full_information(theta, path, luminosity=L, include_xsec_info=False)
    np.testing.assert_allclose(result, kinematic, rtol=1e-4)
    both, _ = fisher.full_information(theta, path, luminosity=L)
    np.testing.assert_allclose(both, result + fisher.rate_information(theta, L)[0])
    small, _ = fisher.full_information(
        theta, path, luminosity=L, include_xsec_info=False, batch_size=313
    )
    np.testing.assert_allclose(small, result, rtol=1e-5)


def test_all_events_and_unweighted_samples(
    fisher: FisherInformation, score_model: Path, tmp_path: Path
) -> None:
    everything, _ = fisher.full_information(
        ORIGIN, score_model, luminosity=L, include_xsec_info=False, test_split=None
    )
    x, _ = fisher.weighted_events()  # equal weights at the origin
    np.save(tmp_path / "x.npy", x)
    sampled, _ = fisher.full_information(
        ORIGIN, score_model, tmp_path / "x.npy", luminosity=L, include_xsec_info=False
    )
    np.testing.assert_allclose(sampled, everything, rtol=1e-6)
    np.save(tmp_path / "x.npy", x[:, :2])
    with pytest.raises(ShapeError, match=r"must hold observables of shape \(n, 3\)"):
        fisher.full_information(ORIGIN, score_model, tmp_path / "x.npy")


@pytest.mark.parametrize("model", ["score_model", "ratio_model"])
def test_slices_add_up_to_the_full_information(
    fisher: FisherInformation, model: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model)
    _, sigma, rate, full = fisher.histogram_of_information(
        ORIGIN, "z0", 5, (-2.0, 2.0), path, L, batch_size=1001
    )
    expected, _ = fisher.full_information(ORIGIN, path, luminosity=L)
    # the mean of a perfect score vanishes; that of a network mixes with g = d sigma / sigma
    estimator = (ScoreEstimator if model == "score_model" else ParameterizedRatioEstimator)()
    estimator.load(path)
    x, _ = fisher.weighted_events(start_event=16_000)
    mean = estimator.evaluate_score(x, ORIGIN[np.newaxis]).mean(axis=0)
    mixed = L * np.outer(mean, fisher.xsec_gradients([ORIGIN])[0])
    np.testing.assert_allclose(full.sum(axis=0), expected + mixed + mixed.T, rtol=1e-4)
    assert rate.shape == full.shape == (7, 2, 2)
    assert sigma.sum() == pytest.approx(fisher.xsecs([ORIGIN])[0][0])


def test_refused(
    fisher: FisherInformation, score_model: Path, shared: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="mode must be"):
        fisher.full_information(ORIGIN, score_model, mode="mean")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="theta must have shape"):
        fisher.full_information([0.0], score_model)
    with pytest.raises(OptionError, match="luminosity"):
        fisher.full_information(ORIGIN, score_model, luminosity=0.0)
    estimator = ScoreEstimator(n_hidden=(3,))
    rng = np.random.default_rng(1)
    estimator.train(
        "sally", rng.normal(size=(64, 3)), rng.normal(size=(64, 3)), n_epochs=1, verbose="none"
    )
    estimator.save(tmp_path / "three")
    with pytest.raises(SetupError, match="estimator has 3 parameters, but the file has 2"):
        fisher.full_information(ORIGIN, tmp_path / "three")
    with pytest.raises(NoEventsError, match="positive total"):
        model_information(EstimatedScores(estimator, np.zeros(3), np.zeros(3, dtype=bool)), [])


def test_theta_may_carry_nuisance_parameters(shared: Path, tmp_path: Path) -> None:
    fisher = FisherInformation(shared / "reference/public.h5")
    rng = np.random.default_rng(1)
    for n_parameters in (2, 4):
        estimator = ScoreEstimator(n_hidden=(3,))
        data = rng.normal(size=(64, 4)), rng.normal(size=(64, n_parameters))
        estimator.train("sally", *data, n_epochs=1, verbose="none", seed=1)
        estimator.save(tmp_path / "model")
        long, covariance = fisher.full_information(np.zeros(4), tmp_path / "model")
        short, _ = fisher.full_information("sm", tmp_path / "model")
        np.testing.assert_array_equal(long, short)
        assert long.shape == (n_parameters, n_parameters)
        assert covariance.shape == (n_parameters,) * 4
        _, _, _, full = fisher.histogram_of_information(
            "sm", "pt", 3, (0.0, 90.0), tmp_path / "model"
        )
        assert full.shape == (5, 2, 2)
    with pytest.raises(ShapeError, match="zeros for the nuisance parameters"):
        fisher.full_information([0.0, 0.0, 1.0, 0.0], tmp_path / "model")


def test_scores_of_another_point_are_refused(fisher: FisherInformation, tmp_path: Path) -> None:
    x, _ = fisher.weighted_events(end_event=200)
    estimator = ScoreEstimator(n_hidden=(4,))
    theta = np.tile([0.1, 0.0], (200, 1))
    estimator.train("sally", x, 2.0 * x[:, :2], n_epochs=1, verbose="none", seed=1, theta_ref=theta)
    estimator.save(tmp_path / "sally")
    fisher.full_information([0.1, 0.0], tmp_path / "sally", luminosity=L)
    message = r"trained at theta = \[0.1, 0.0\].* not at \[0.0"
    with pytest.raises(OptionError, match=message):
        fisher.full_information(ORIGIN, tmp_path / "sally", luminosity=L)
    with pytest.raises(OptionError, match=message):
        fisher.histogram_of_information(ORIGIN, "z0", 4, (-2.0, 2.0), tmp_path / "sally", L)
    theta[3] = 0.0
    for wrong in (theta, [0.0]):
        with pytest.raises(ShapeError, match="theta_ref must be the one point of the scores"):
            estimator.train("sally", x, 2.0 * x[:, :2], n_epochs=1, theta_ref=wrong)


def test_estimators_are_taken_as_they_are(fisher: FisherInformation, score_model: Path) -> None:
    estimator = load_estimator(score_model)
    for model in (estimator, Ensemble([estimator])):
        ours, _ = fisher.full_information(ORIGIN, model, calculate_covariance=False)
        np.testing.assert_allclose(ours, fisher.full_information(ORIGIN, score_model)[0])
    for x, y in zip(
        fisher.histogram_of_information(ORIGIN, "z0", 3, (-1.0, 1.0), estimator),
        fisher.histogram_of_information(ORIGIN, "z0", 3, (-1.0, 1.0), score_model),
        strict=True,
    ):
        np.testing.assert_allclose(x, y)
    with pytest.raises(NotTrainedError, match="no estimators yet"):
        fisher.full_information(ORIGIN, Ensemble())
    with pytest.raises(OptionError, match="got a LikelihoodEstimator"):
        fisher.full_information(ORIGIN, LikelihoodEstimator())
