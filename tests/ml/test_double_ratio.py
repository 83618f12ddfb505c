from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from madminer.errors import DataError, OptionError, ShapeError, TrainingError
from madminer.ml import DoubleParameterizedRatioEstimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.methods import FAMILIES
from madminer.nn.activations import ACTIVATIONS
from madminer.nn.networks import DoubleRatioNetwork

RNG = np.random.default_rng(0)
N_X, N_THETAS = 9, 4
X = RNG.normal(size=(N_X, 3))
THETA0, THETA1 = RNG.normal(size=(2, N_THETAS, 2))


@pytest.fixture(scope="module")
def estimator() -> DoubleParameterizedRatioEstimator:
    """Trained in double precision, on parameters far from unit scale."""
    rng = np.random.default_rng(1)
    trained = DoubleParameterizedRatioEstimator(features=[2, 0], n_hidden=(6, 5))
    trained.train(
        "alices",
        rng.normal(2.0, 3.0, size=(200, 3)),
        rng.integers(0, 2, size=200),
        rng.normal(0.5, 4.0, size=(200, 2)),
        rng.normal(-0.5, 2.0, size=(200, 2)),
        np.exp(rng.normal(size=200)),
        rng.normal(size=(200, 2)),
        rng.normal(size=(200, 2)),
        n_epochs=5,
        initial_lr=0.02,
        seed=1,
        dtype="float64",
    )
    return trained


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 4)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scores_are_gradients(activation: str, n_hidden: tuple[int, ...]) -> None:
    network = DoubleRatioNetwork(7, n_hidden, 1, activation).double().eval()
    theta, x = draw(5, 4).requires_grad_(), draw(5, 3, seed=1)
    (expected,) = torch.autograd.grad(network.log_f(theta, x).sum(), theta)
    with torch.no_grad():
        torch.testing.assert_close(network.log_f_and_score(theta, x)[1], expected)
        torch.testing.assert_close(network.log_f_score_grid(theta, x)[1].diagonal().T, expected)


@pytest.mark.parametrize(("n_thetas", "n_x"), [(1, 1), (3, 7), (9000, 2), (2, 9000)])
def test_grid_against_one_by_one(n_thetas: int, n_x: int) -> None:
    network = DoubleRatioNetwork(7, (6, 4), 1).double()
    theta, x = draw(n_thetas, 4), draw(n_x, 3, seed=1)
    pairs = theta.repeat_interleave(n_x, 0), x.repeat(n_thetas, 1)
    slow, slow_scores = network.log_f_and_score(*pairs)
    ratios, scores = network.log_f_score_grid(theta, x)
    torch.testing.assert_close(ratios, slow.detach().reshape(n_thetas, n_x))
    torch.testing.assert_close(scores, slow_scores.detach().reshape(n_thetas, n_x, 4))
    torch.testing.assert_close(network.log_f_grid(theta, x), ratios)
    torch.testing.assert_close(network.log_f_combinations(theta, x).detach(), ratios)
    assert not ratios.requires_grad
    assert not scores.requires_grad


def test_shapes(estimator: DoubleParameterizedRatioEstimator) -> None:
    log_r, score0, score1 = estimator.evaluate_log_likelihood_ratio(X, THETA0, THETA1)
    assert (log_r.shape, score0, score1) == ((N_THETAS, N_X), None, None)
    log_r, score0, score1 = estimator.evaluate(X, THETA0, THETA1, evaluate_score=True)
    assert score0 is not None
    assert score1 is not None
    assert score0.shape == score1.shape == (N_THETAS, N_X, 2)
    for theta0, theta1 in (
        (THETA0[0], THETA1[:1]),
        (np.tile(THETA0[0], (N_X, 1)), THETA1[0]),
        (THETA0[0], np.tile(THETA1[0], (N_X, 1))),
    ):
        pairs, t0, t1 = estimator.evaluate_log_likelihood_ratio(X, theta0, theta1, False, True)
        np.testing.assert_allclose(pairs, log_r[0], rtol=1e-10)
        np.testing.assert_allclose(t0, score0[0], rtol=1e-10)
        np.testing.assert_allclose(t1, score1[0], rtol=1e-10)


def test_the_shorter_list_of_thetas_starts_again(
    estimator: DoubleParameterizedRatioEstimator,
) -> None:
    log_r, score0, score1 = estimator.evaluate(X, THETA0, THETA1[:3], evaluate_score=True)
    again = THETA1[[0, 1, 2, 0]]
    for actual, expected in zip(
        (log_r, score0, score1), estimator.evaluate(X, THETA0, again, True, True), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    swapped = estimator.evaluate_log_likelihood_ratio(X, THETA1[0], THETA0)[0]
    assert swapped.shape == (N_THETAS, N_X)


@pytest.mark.parametrize("all_combinations", [True, False])
def test_antisymmetry_is_exact(
    estimator: DoubleParameterizedRatioEstimator, all_combinations: bool
) -> None:
    theta0, theta1 = (draw(N_X, 2, seed=seed).numpy() for seed in (3, 4))
    log_r, score0, score1 = estimator.evaluate(X, theta0, theta1, all_combinations, True)
    swapped, swapped0, swapped1 = estimator.evaluate(X, theta1, theta0, all_combinations, True)
    np.testing.assert_array_equal(swapped, -log_r)
    np.testing.assert_array_equal(swapped0, score1)
    np.testing.assert_array_equal(swapped1, score0)
    same = estimator.evaluate_log_likelihood_ratio(X, theta0, theta0, all_combinations)[0]
    np.testing.assert_array_equal(same, 0.0)


def test_scores_are_the_derivatives_in_user_units(
    estimator: DoubleParameterizedRatioEstimator,
) -> None:
    theta0, theta1 = THETA0[0], THETA1[0]
    _, score0, score1 = estimator.evaluate(X, theta0, theta1, False, True)
    for i in range(2):
        step = 1e-5 * np.eye(2)[i]
        up0, down0, up1, down1 = (
            estimator.evaluate(X, theta0 + s, theta1 + t, False)[0]
            for s, t in ((step, 0), (-step, 0), (0, step), (0, -step))
        )
        close = {"rtol": 1e-5, "atol": 1e-9}
        np.testing.assert_allclose(score0[:, i], (up0 - down0) / 2e-5, **close)
        np.testing.assert_allclose(score1[:, i], -(up1 - down1) / 2e-5, **close)


@pytest.mark.parametrize("all_combinations", [True, False])
def test_torch_agrees_and_is_differentiable(
    estimator: DoubleParameterizedRatioEstimator, all_combinations: bool
) -> None:
    thetas = THETA0 if all_combinations else np.tile(THETA0[1], (N_X, 1))
    log_r, score0, score1 = estimator.evaluate(X, thetas, THETA1[0], all_combinations, True)
    x, theta0, theta1 = (
        torch.as_tensor(values).requires_grad_() for values in (X, thetas, THETA1[0])
    )
    values = estimator.evaluate_log_likelihood_ratio_torch(x, theta0, theta1, all_combinations)
    np.testing.assert_allclose(values.detach().cpu().numpy(), log_r, rtol=1e-10)
    gradients = torch.autograd.grad(values.sum(), (x, theta0, theta1))
    assert gradients[0][:, 1].abs().max() == 0.0  # not among the features
    assert gradients[0][:, [0, 2]].abs().min() > 0.0
    expected = score0.sum(axis=1) if all_combinations else score0
    np.testing.assert_allclose(gradients[1], expected, rtol=1e-10)
    np.testing.assert_allclose(gradients[2], -score1.reshape(-1, 2).sum(axis=0), rtol=1e-10)
    with pytest.raises(ShapeError, match="Pairwise evaluation needs one theta"):
        estimator.evaluate_log_likelihood_ratio_torch(x, theta0[:2], theta1, False)


def test_bad_input_is_refused(estimator: DoubleParameterizedRatioEstimator) -> None:
    with pytest.raises(ShapeError, match=r"theta1 must have 2 parameters .* shape \(4, 1\)"):
        estimator.evaluate_log_likelihood_ratio(X, THETA0, THETA1[:, :1])
    for theta0, theta1 in ((THETA0, THETA1[0]), (THETA0[0], THETA1)):
        with pytest.raises(ShapeError, match="one for each of the 9 observations; got 4"):
            estimator.evaluate_log_likelihood_ratio(X, theta0, theta1, False)
    with pytest.raises(DataError, match="theta0 contains 1 values that are NaN"):
        estimator.evaluate_log_likelihood_ratio(X, [0.0, np.nan], THETA1)
    with pytest.raises(TheresAGoodReasonThisDoesntWork, match="not the likelihood"):
        estimator.evaluate_log_likelihood(X, THETA0)
    with pytest.raises(NotImplementedError, match="returns both"):
        estimator.evaluate_score(X, THETA0)
    with pytest.raises(NotImplementedError, match="calculates no Fisher information"):
        estimator.calculate_fisher_information(X, THETA0)


@pytest.mark.parametrize("method", FAMILIES["double_parameterized_ratio"].methods)
def test_what_a_method_needs_is_asked_for(method: str) -> None:
    rng = np.random.default_rng(2)
    data = {
        "x": rng.normal(size=(20, 2)),
        "y": np.arange(20) % 2,
        "theta0": rng.normal(size=(20, 2)),
        "theta1": rng.normal(size=(20, 2)),
    }
    joint = {
        "r_xz": np.exp(rng.normal(size=20)),
        "t_xz0": rng.normal(size=(20, 2)),
        "t_xz1": rng.normal(size=(20, 2)),
    }
    needed = {
        "carl": (),
        "rolr": ("r_xz",),
        "alice": ("r_xz",),
        "cascal": ("t_xz0", "t_xz1"),
        "rascal": ("r_xz", "t_xz0", "t_xz1"),
        "alices": ("r_xz", "t_xz0", "t_xz1"),
    }[method]
    estimator = DoubleParameterizedRatioEstimator(n_hidden=(3,))
    for name in needed:
        others = {other: joint[other] for other in joint if other != name}
        with pytest.raises(TrainingError, match=f"{method!r} needs {name}, which was not given"):
            estimator.train(method, **data, **others, n_epochs=1)
    taken = {name: joint[name] for name in needed}
    estimator.train(method, **data, **taken, n_epochs=1, seed=1)
    external = {f"{name}_val": values for name, values in (data | taken).items()}
    estimator.train(method, **data, **taken, **external, n_epochs=1, seed=1)
    with pytest.raises(ShapeError, match=r"number of parameters, got .*'theta1': \(20, 1\)"):
        estimator.train(method, **{**data, "theta1": data["theta1"][:, :1]}, **taken)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match=r"method must be one of 'alice', .* got 'sally'"):
        DoubleParameterizedRatioEstimator().train("sally", X, np.ones(N_X), X, X)


def test_scores_have_user_units(make_toy: Callable[[int], Any]) -> None:
    """In units of theta that are 100 times smaller, scores are 100 times smaller."""
    sample = make_toy(1).double_ratio_sample(1_000, seed=9)
    scaled = {
        name: values * {"theta": 100.0, "t_xz": 0.01}.get(name.rstrip("01"), 1.0)
        for name, values in sample.items()
    }
    scores = []
    for data, unit in ((sample, 1.0), (scaled, 100.0)):
        estimator = DoubleParameterizedRatioEstimator(n_hidden=(10,))
        estimator.train("alices", **data, n_epochs=2, seed=1, dtype="float64")
        _, *found = estimator.evaluate(sample["x"], [0.3 * unit], [0.1 * unit], True, True)
        scores.append(unit * np.array(found))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
