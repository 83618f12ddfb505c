from __future__ import annotations

import numpy as np
import pytest
import torch

from madminer.errors import DataError, OptionError, ShapeError
from madminer.ml import ParameterizedRatioEstimator, TheresAGoodReasonThisDoesntWork

RNG = np.random.default_rng(0)
N_X, N_THETAS = 9, 4
X = RNG.normal(size=(N_X, 3))
THETAS = RNG.normal(size=(N_THETAS, 2))


@pytest.fixture(scope="module")
def estimator() -> ParameterizedRatioEstimator:
    """Trained in double precision, on parameters far from unit scale."""
    rng = np.random.default_rng(1)
    trained = ParameterizedRatioEstimator(features=[2, 0], n_hidden=(6, 5))
    trained.train(
        "alices",
        rng.normal(2.0, 3.0, size=(200, 3)),
        rng.integers(0, 2, size=200),
        rng.normal(0.5, 4.0, size=(200, 2)),
        np.exp(rng.normal(size=200)),
        rng.normal(size=(200, 2)),
        n_epochs=5,
        initial_lr=0.02,
        seed=1,
        dtype="float64",
    )
    return trained


def test_shapes(estimator: ParameterizedRatioEstimator) -> None:
    log_r, score = estimator.evaluate_log_likelihood_ratio(X, THETAS)
    assert log_r.shape == (N_THETAS, N_X)
    assert score is None
    log_r, score = estimator.evaluate(X, THETAS, evaluate_score=True)
    assert score is not None
    assert score.shape == (N_THETAS, N_X, 2)
    for thetas in (THETAS[0], THETAS[:1], np.tile(THETAS[0], (N_X, 1))):
        pairs, score = estimator.evaluate_log_likelihood_ratio(
            X, thetas, test_all_combinations=False, evaluate_score=True
        )
        assert score is not None
        assert (pairs.shape, score.shape) == ((N_X,), (N_X, 2))
        np.testing.assert_allclose(pairs, log_r[0], rtol=1e-10)


def test_all_combinations_against_pairs(estimator: ParameterizedRatioEstimator) -> None:
    log_r, score = estimator.evaluate_log_likelihood_ratio(X, THETAS, evaluate_score=True)
    pairs, pair_score = estimator.evaluate_log_likelihood_ratio(
        np.tile(X, (N_THETAS, 1)), np.repeat(THETAS, N_X, axis=0), False, True
    )
    assert score is not None
    assert pair_score is not None
    np.testing.assert_allclose(log_r.ravel(), pairs, rtol=1e-10)
    np.testing.assert_allclose(score.reshape(-1, 2), pair_score, rtol=1e-10)


def test_score_is_the_derivative_in_user_units(estimator: ParameterizedRatioEstimator) -> None:
    score = estimator.evaluate_score(X, THETAS[0])
    for i in range(2):
        step = 1e-5 * np.eye(2)[i]
        up, down = (
            estimator.evaluate_log_likelihood_ratio(X, THETAS[0] + s, False)[0]
            for s in (step, -step)
        )
        np.testing.assert_allclose(score[:, i], (up - down) / 2e-5, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("all_combinations", [True, False])
def test_torch_agrees_and_is_differentiable(
    estimator: ParameterizedRatioEstimator, all_combinations: bool
) -> None:
    thetas = THETAS if all_combinations else np.tile(THETAS[1], (N_X, 1))
    log_r, score = estimator.evaluate_log_likelihood_ratio(X, thetas, all_combinations, True)
    x = torch.as_tensor(X).requires_grad_()
    theta = torch.as_tensor(thetas).requires_grad_()
    values = estimator.evaluate_log_likelihood_ratio_torch(x, theta, all_combinations)
    np.testing.assert_allclose(values.detach().cpu().numpy(), log_r, rtol=1e-10)
    values.sum().backward()
    assert theta.grad is not None
    assert x.grad is not None
    assert score is not None
    expected = score.sum(axis=1) if all_combinations else score
    np.testing.assert_allclose(theta.grad.numpy(), expected, rtol=1e-10)
    assert x.grad[:, 1].abs().max() == 0.0  # not among the features
    assert x.grad[:, [0, 2]].abs().min() > 0.0


def test_torch_with_one_theta_for_all(estimator: ParameterizedRatioEstimator) -> None:
    values = estimator.evaluate_log_likelihood_ratio_torch(
        torch.as_tensor(X), torch.as_tensor(THETAS[2]), test_all_combinations=False
    )
    expected, _ = estimator.evaluate_log_likelihood_ratio(X, THETAS[2], False)
    np.testing.assert_allclose(values.detach().cpu().numpy(), expected, rtol=1e-10)
    with pytest.raises(ShapeError, match="Pairwise evaluation needs one theta"):
        estimator.evaluate_log_likelihood_ratio_torch(
            torch.as_tensor(X), torch.as_tensor(THETAS), test_all_combinations=False
        )


def test_fisher_information(estimator: ParameterizedRatioEstimator) -> None:
    weights = np.arange(1.0, N_X + 1)
    score = estimator.evaluate_score(X, THETAS[0])
    expected = 3.0 * np.einsum("e,ei,ej->ij", weights / weights.sum(), score, score)
    information = estimator.calculate_fisher_information(X, THETAS[0], weights, n_events=3)
    np.testing.assert_allclose(information, expected, rtol=1e-10)
    parts = estimator.calculate_fisher_information(
        X, THETAS[:1], weights, n_events=3, sum_events=False
    )
    np.testing.assert_allclose(parts.sum(axis=0), expected, rtol=1e-10)
    with pytest.raises(ShapeError, match=r"needs a single theta .* got 4 points"):
        estimator.calculate_fisher_information(X, THETAS)


def test_bad_input_is_refused(estimator: ParameterizedRatioEstimator) -> None:
    with pytest.raises(ShapeError, match=r"theta must have 2 parameters .* shape \(4, 1\)"):
        estimator.evaluate_log_likelihood_ratio(X, THETAS[:, :1])
    with pytest.raises(ShapeError, match="one for each of the 9 observations; got 4"):
        estimator.evaluate_log_likelihood_ratio(X, THETAS, test_all_combinations=False)
    with pytest.raises(DataError, match="theta contains 1 values that are NaN"):
        estimator.evaluate_log_likelihood_ratio(X, [0.0, np.nan])
    with pytest.raises(OptionError, match="'keep' only, got 'profile'"):
        estimator.evaluate_score(X, THETAS[0], nuisance_mode="profile")
    with pytest.raises(TheresAGoodReasonThisDoesntWork, match="not the likelihood"):
        estimator.evaluate_log_likelihood(X)


def test_bad_training_data_are_refused() -> None:
    rng = np.random.default_rng(2)
    x, y, theta = rng.normal(size=(20, 2)), rng.integers(0, 2, size=20), rng.normal(size=(20, 2))
    with pytest.raises(OptionError, match=r"method must be one of 'alice', .* got 'typo'"):
        ParameterizedRatioEstimator().train("typo", x, y, theta)
    with pytest.raises(DataError, match=r"y must be 0 .* got 20 other values in 20"):
        ParameterizedRatioEstimator().train("carl", x, y + 2, theta)
    with pytest.raises(ShapeError, match=r"number of parameters, got .*'t_xz': \(20, 1\)"):
        ParameterizedRatioEstimator().train("cascal", x, y, theta, t_xz=theta[:, :1])
    with pytest.raises(DataError, match="mean of sample_weight must be positive"):
        ParameterizedRatioEstimator().train("carl", x, y, theta, sample_weight=-np.ones(20))
    with pytest.raises(OptionError, match="alpha must be a number from 0"):
        ParameterizedRatioEstimator().train("carl", x, y, theta, alpha=-1.0)
    with pytest.raises(DataError, match="r_xz contains 20 values that are NaN"):
        ParameterizedRatioEstimator().train("alice", x, y, theta, r_xz=np.full(20, np.nan))


def test_parameter_transform_is_kept_from_the_first_call() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(40, 2)), rng.integers(0, 2, size=40), rng.normal(5.0, size=(40, 1))
    fixed, unscaled = ParameterizedRatioEstimator(), ParameterizedRatioEstimator()
    fixed.initialize_parameter_transform(data[2], transform=False)
    fixed.initialize_parameter_transform(100.0 * data[2], overwrite=False)
    fixed.train("carl", *data, n_epochs=1, seed=1)
    unscaled.train("carl", *data, n_epochs=1, seed=1, scale_parameters=False)
    np.testing.assert_array_equal(
        fixed.evaluate_score(data[0], 0.3), unscaled.evaluate_score(data[0], 0.3)
    )
