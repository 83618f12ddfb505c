from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import DataError, NotTrainedError, OptionError, ShapeError
from madminer.ml import ScoreEstimator, TheresAGoodReasonThisDoesntWork, load_estimator

X = np.random.default_rng(1).normal(size=(40, 2))
INFORMATION = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]])


@pytest.fixture(scope="module")
def trained() -> ScoreEstimator:
    rng = np.random.default_rng(0)
    estimator = ScoreEstimator(n_hidden=(5,))
    estimator.train("sally", rng.normal(size=(100, 2)), rng.normal(size=(100, 3)), seed=1)
    return estimator


@pytest.fixture
def estimator(trained: ScoreEstimator, tmp_path: Path) -> ScoreEstimator:
    """A fresh copy, as set_nuisance changes it."""
    trained.save(tmp_path / "copy")
    copy = ScoreEstimator()
    copy.load(tmp_path / "copy")
    return copy


def test_evaluate_is_evaluate_score(trained: ScoreEstimator) -> None:
    score = trained.evaluate_score(X, theta=[1.0, 2.0])
    assert score.shape == (40, 3)
    np.testing.assert_array_equal(trained.evaluate(X), score)
    np.testing.assert_array_equal(trained.evaluate_score(x=X, nuisance_mode="auto"), score)


def test_many_events_agree_with_few(trained: ScoreEstimator) -> None:
    x = np.tile(X, (2000, 1))  # more than one block
    np.testing.assert_allclose(
        trained.evaluate_score(x)[-40:], trained.evaluate_score(X), rtol=1e-5, atol=1e-6
    )


def test_profiled_and_projected_scores(estimator: ScoreEstimator, tmp_path: Path) -> None:
    keep = estimator.evaluate_score(X)
    estimator.set_nuisance(INFORMATION, [2, 0])
    projected = estimator.evaluate_score(X, nuisance_mode="project")
    profiled = estimator.evaluate_score(X, nuisance_mode="profile")
    np.testing.assert_allclose(projected, keep[:, [2, 0]])
    for column, i in enumerate((2, 0)):
        expected = keep[:, i] - INFORMATION[i, 1] / INFORMATION[1, 1] * keep[:, 1]
        np.testing.assert_allclose(profiled[:, column], expected)
    np.testing.assert_array_equal(estimator.evaluate_score(X), profiled)
    np.testing.assert_array_equal(estimator.evaluate_score(X, nuisance_mode="keep"), keep)
    estimator.save(tmp_path / "profiled")
    loaded: Any = load_estimator(tmp_path / "profiled")
    np.testing.assert_array_equal(loaded.evaluate_score(X), profiled)
    np.testing.assert_array_equal(loaded.evaluate_score(X, nuisance_mode="project"), projected)
    assert loaded.calculate_fisher_information(X).shape == (3, 3)


def test_profiled_information_is_that_of_the_profiled_score(estimator: ScoreEstimator) -> None:
    """With the information of the scores themselves, E[t_prof t_prof^T] is the profiled one."""
    information = estimator.calculate_fisher_information(X)
    estimator.set_nuisance(information, [0])
    score = estimator.evaluate_score(X)
    block = information[1:, 1:]
    expected = information[0, 0] - information[0, 1:] @ np.linalg.solve(block, information[1:, 0])
    assert np.mean(score**2) == pytest.approx(expected)


def test_nuisance_options_are_checked(estimator: ScoreEstimator) -> None:
    with pytest.raises(NotTrainedError, match="'profile' needs set_nuisance"):
        estimator.evaluate_score(X, nuisance_mode="profile")
    with pytest.raises(OptionError, match=r"nuisance_mode must be .* got 'typo'"):
        estimator.evaluate_score(X, nuisance_mode="typo")
    with pytest.raises(ShapeError, match=r"must have shape \(3, 3\)"):
        estimator.set_nuisance(np.eye(2), [0])
    with pytest.raises(OptionError, match="different numbers from 0 to 2"):
        estimator.set_nuisance(INFORMATION, [0, 0])
    with pytest.raises(DataError, match=r"profiled parameters \[1, 2\] is singular"):
        estimator.set_nuisance(np.ones((3, 3)), [0])
    with pytest.raises(NotTrainedError, match="was not trained"):
        ScoreEstimator().set_nuisance(np.eye(2), [0])


@pytest.mark.parametrize("units", [1.0, 1e-9, 1e9])
def test_units_do_not_decide_what_can_be_profiled(estimator: ScoreEstimator, units: float) -> None:
    scale = np.array([1.0, units, 1.0])
    information = INFORMATION * np.outer(scale, scale)
    estimator.set_nuisance(information, [0])
    expected = -np.linalg.solve(INFORMATION[1:, 1:], INFORMATION[1:, 0]) / scale[1:]
    np.testing.assert_allclose(estimator._nuisance_matrices["profile"][0, 1:], expected)
    collinear = np.array([[1.0, 0.2, 0.2], [0.2, 1.0, 1.0 - 1e-13], [0.2, 1.0 - 1e-13, 1.0]])
    with pytest.raises(DataError, match="is singular"):
        estimator.set_nuisance(collinear * np.outer(scale, scale), [0])


def test_fisher_information(trained: ScoreEstimator) -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(1.0, 1.0, size=40)
    score = trained.evaluate_score(X)
    slow = sum(w * np.outer(t, t) for w, t in zip(weights / weights.sum(), score, strict=True))
    information = trained.calculate_fisher_information(X, weights=weights, n_events=7.5)
    np.testing.assert_allclose(information, 7.5 * slow, rtol=1e-10)
    np.testing.assert_array_equal(information, information.T)
    parts = trained.calculate_fisher_information(X, None, weights, 7.5, sum_events=False)
    assert parts.shape == (40, 3, 3)
    np.testing.assert_allclose(parts.sum(axis=0), information, rtol=1e-10)
    with pytest.raises(ShapeError, match=r"weights must have shape \(40,\)"):
        trained.calculate_fisher_information(X, weights=weights[:-1])
    with pytest.raises(DataError, match="sum of weights must be positive"):
        trained.calculate_fisher_information(X, weights=-np.ones(40))


def test_impossible_quantities_are_refused(trained: ScoreEstimator) -> None:
    with pytest.raises(TheresAGoodReasonThisDoesntWork, match="LikelihoodEstimator"):
        trained.evaluate_log_likelihood(X)
    with pytest.raises(TheresAGoodReasonThisDoesntWork, match="ParameterizedRatioEstimator"):
        trained.evaluate_log_likelihood_ratio(X)


def test_unknown_method_is_sally_with_a_warning() -> None:
    estimator = ScoreEstimator(n_hidden=(3,))
    with pytest.warns(UserWarning, match="'typo' is unknown here; 'sally' is used") as caught:
        estimator.train("typo", X, X, n_epochs=1)
    assert caught[0].filename == __file__
    assert estimator.is_trained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "typo"}, "activation must be one of"),
        ({"dropout_prob": 1.0}, "dropout_prob must be a number from 0 to below 1"),
        ({"features": [0, 0]}, "features must be None or different"),
        ({"features": [-1]}, r"features\[0\] must be a whole number from 0"),
        ({"n_hidden": (10, 0)}, r"n_hidden\[1\] must be a whole number from 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ScoreEstimator(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_split": 1.0}, "validation_split must be"),
        ({"limit_samplesize": 0}, "limit_samplesize must be"),
        ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64'"),
        ({"n_epochs": 0}, "n_epochs must be a whole number from 1"),
    ],
)
def test_wrong_training_options_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ScoreEstimator().train("sally", X, X, **settings)


def test_input_transform_is_kept_from_the_first_call() -> None:
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.initialize_input_transform(X, transform=False)
    estimator.initialize_input_transform(100.0 * X, overwrite=False)
    estimator.train("sally", X, X, n_epochs=1, seed=1)
    unscaled = ScoreEstimator(n_hidden=(3,))
    unscaled.train("sally", X, X, n_epochs=1, seed=1, scale_inputs=False)
    np.testing.assert_array_equal(estimator.evaluate_score(X), unscaled.evaluate_score(X))


def test_scaling_is_measured_on_the_training_events_only(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(50, 1))
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.train("sally", x, x, n_epochs=1, x_val=x + 1000.0, t_xz_val=x)
    estimator.save(tmp_path / "model")
    assert np.load(tmp_path / "model_x_means.npy")[0] == pytest.approx(x.mean())


def test_scaled_scores_learn_small_components(tmp_path: Path) -> None:
    """Of two components of very different size, the small one is learned as well."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4000, 2))
    t_xz = np.column_stack([x[:, 0], 1e-3 * x[:, 1], np.zeros(4000)])
    correlation = {}
    for scale_scores in (False, True):
        estimator = ScoreEstimator(n_hidden=(10,))
        estimator.train(
            "sally",
            x,
            t_xz,
            n_epochs=5,
            initial_lr=0.01,
            seed=1,
            scale_scores=scale_scores,
            verbose="none",
        )
        scores = estimator.evaluate_score(x)
        correlation[scale_scores] = np.corrcoef(scores[:, 1], t_xz[:, 1])[0, 1]
        if scale_scores:
            assert np.abs(scores[:, 2]).max() < 0.3
            assert scores[:, 1].std() == pytest.approx(1e-3, rel=0.2)
            estimator.save(tmp_path / "model")
            copy = load_estimator(tmp_path / "model")
            np.testing.assert_array_equal(copy.evaluate_score(x), scores)
    assert correlation[True] > 0.95 > correlation[False]


def test_scaled_training_in_the_original_units_continues() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1000, 1))
    estimator = ScoreEstimator(n_hidden=(5,))
    settings = {"n_epochs": 3, "seed": 1, "scale_scores": True, "verbose": "none"}
    estimator.train("sally", x, 100.0 * x, **settings)
    before = estimator.evaluate_score(x)
    history = estimator.train("sally", x, 100.0 * x, **{**settings, "n_epochs": 1})
    after = estimator.evaluate_score(x)
    assert np.abs(after - before).max() < 0.5 * np.abs(before).max()
    assert history.train_losses[0] < 3.0  # in units of the size of the scores, 100
    with pytest.raises(DataError):
        estimator.train("sally", np.full((100, 1), np.nan), np.ones((100, 1)), **settings)
    np.testing.assert_allclose(estimator.evaluate_score(x), after, rtol=1e-6)


@pytest.mark.parametrize("scale_scores", [False, True])
@pytest.mark.parametrize("rounding", [0.0, 1e-15])
def test_components_without_score_are_exactly_zero(
    tmp_path: Path, scale_scores: bool, rounding: float
) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 2))
    t_xz = np.column_stack([x[:, 0], np.full(400, rounding), 1e-6 * x[:, 1]])
    np.save(tmp_path / "t_xz.npy", t_xz)
    estimator = ScoreEstimator(n_hidden=(10,))
    estimator.train(
        "sally", x, tmp_path / "t_xz.npy", n_epochs=1, seed=1, scale_scores=scale_scores
    )
    estimator.save(tmp_path / "model", save_model=True)
    loaded: Any = load_estimator(tmp_path / "model")
    program = torch.export.load(tmp_path / "model_model.pt").module()
    for scores in (
        estimator.evaluate_score(X),
        loaded.evaluate_score(X),
        program(torch.as_tensor(X, dtype=torch.float32)).detach().numpy(),
    ):
        assert np.all(scores[:, 1] == 0.0)
        assert np.all(np.any(scores[:, [0, 2]] != 0.0, axis=0))
    assert np.all(estimator.calculate_fisher_information(X)[1] == 0.0)
    estimator.train("sally", x, x[:, [0, 1, 1]], n_epochs=1, seed=1)  # now it has a score
    assert np.any(estimator.evaluate_score(X)[:, 1] != 0.0)


def test_small_scores_beside_large_ones_are_no_rounding() -> None:
    """Parameters in GeV^-4 have scores of 1e12 beside those of systematics."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 2))
    estimator = ScoreEstimator(n_hidden=(10,))
    estimator.train("sally", x, x * [1e12, 0.1], n_epochs=1, seed=1, scale_scores=True)
    assert np.all(np.any(estimator.evaluate_score(X) != 0.0, axis=0))
