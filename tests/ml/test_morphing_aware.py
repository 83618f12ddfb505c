"""Estimators that know how the ratio depends on theta: truth, setup files, refusals.

Latent z ~ N(0, 1) in each dimension, weights (1 + theta . z)^2, x ~ N(z, 1), as in the fixture
`gaussian_event_file`: with z given x normal around x / 2 with variance 1 / 2,

    r(x|theta) = [(1 + theta . x / 2)^2 + theta^2 / 2] / (1 + theta^2),     theta1 = 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import (
    FileFormatError,
    MissingFileError,
    MorphingError,
    NotTrainedError,
    OptionError,
    ShapeError,
)
from madminer.io import read_setup, write_setup
from madminer.ml import (
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    load_estimator,
)
from madminer.models import MorphingSetup, NuisanceParameter, Systematic, SystematicType
from madminer.morphing import (
    monomials,
    morphing_components,
    morphing_matrix,
    morphing_weights,
)

COMPONENTS = morphing_components((2, 2), 2)
BASIS = np.array([[0, 0], [1, 0], [0, 1], [0.3, -1.4], [-1.1, -1.4], [-1.2, 0.4]])
MORPHING = MorphingSetup(COMPONENTS, morphing_matrix(BASIS, COMPONENTS))
QUICK: dict[str, Any] = {"n_epochs": 2, "batch_size": 64, "verbose": "none", "seed": 1}
SETTINGS: dict[str, Any] = {
    "n_epochs": 15,
    "batch_size": 256,
    "initial_lr": 0.02,
    "final_lr": 0.001,
    "alpha": 0.1,
    "seed": 1,
    "verbose": "none",
}


def draw_along(length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw u with the density (1 + length u)^2 N(u|0, 1) / (1 + length^2), by rejection."""
    u, todo = np.empty(len(length)), np.arange(len(length))
    while len(todo):
        t = length[todo]
        far = np.sqrt(rng.chisquare(3, len(t))) * rng.choice([-1.0, 1.0], len(t))
        is_far = rng.random(len(t)) < t**2 / (1.0 + t**2)
        drawn = np.where(is_far, far, rng.normal(size=len(t)))
        keep = rng.random(len(t)) < (1.0 + t * drawn) ** 2 / (2.0 + 2.0 * (t * drawn) ** 2)
        u[todo[keep]] = drawn[keep]
        todo = todo[~keep]
    return u


def draw_sample(n: int, n_parameters: int = 2, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1.0, 1.0, size=(n, n_parameters))
    y = rng.integers(0, 2, size=n)
    length = np.linalg.norm(theta, axis=1)
    direction = theta / length[:, None]
    z = rng.normal(size=(n, n_parameters))
    u = draw_along(np.where(y == 0, length, 0.0), rng)
    z += (u - np.sum(z * direction, axis=1))[:, None] * direction
    amplitude, sigma = 1.0 + np.sum(theta * z, axis=1), 1.0 + length**2
    return {
        "x": rng.normal(z),
        "y": y,
        "theta": theta,
        "r_xz": amplitude**2 / sigma,
        "t_xz": 2.0 * z / amplitude[:, None] - 2.0 * theta / sigma[:, None],
    }


def true_ratio(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    square = np.sum(theta**2, axis=1)[:, None]
    ratio: np.ndarray = ((1.0 + theta @ x.T / 2) ** 2 + square / 2) / (1.0 + square)
    return ratio


def error(estimator: ParameterizedRatioEstimator) -> float:
    """Root mean square error of the probability 1/(1+r) of the reference."""
    n_parameters = estimator.n_parameters or 0
    x = draw_sample(1000, n_parameters, seed=77)["x"]
    theta = np.random.default_rng(5).uniform(-1.0, 1.0, size=(30, n_parameters))
    log_r, _ = estimator.evaluate_log_likelihood_ratio(x, theta)
    difference = 1.0 / (1.0 + np.exp(log_r)) - 1.0 / (1.0 + true_ratio(x, theta))
    return float(np.sqrt(np.mean(difference**2)))


def trained(**keywords: Any) -> MorphingAwareRatioEstimator:
    estimator = MorphingAwareRatioEstimator(morphing=MORPHING, n_hidden=(8,), **keywords)
    estimator.train("alice", **draw_sample(300), **QUICK)
    return estimator


@pytest.mark.parametrize(("method", "largest"), [("alice", 0.07), ("alices", 0.06), ("rolr", 0.15)])
def test_two_parameters(method: str, largest: float) -> None:
    """The truth, as well as without knowledge of the morphing at equal data."""
    sample, errors = draw_sample(10_000), {}
    for name, estimator in {
        "aware": MorphingAwareRatioEstimator(morphing=MORPHING, n_hidden=(20,)),
        "agnostic": ParameterizedRatioEstimator(n_hidden=(20,)),
    }.items():
        estimator.train(method, **sample, **{**SETTINGS, "initial_lr": 0.005, "n_epochs": 12})
        errors[name] = error(estimator)
    assert errors["aware"] < largest
    assert errors["aware"] < 1.1 * errors["agnostic"]


@pytest.mark.parametrize("method", ["alice", "alices"])
def test_one_parameter_of_quadratic_form(method: str) -> None:
    """With the form of the truth built in, better than without at equal data."""
    sample, errors = draw_sample(8_000, n_parameters=1), {}
    for name, estimator in {
        "aware": QuadraticMorphingAwareRatioEstimator(n_hidden=(30,)),
        "agnostic": ParameterizedRatioEstimator(n_hidden=(30,)),
    }.items():
        estimator.train(method, **sample, **SETTINGS)
        errors[name] = error(estimator)
    assert errors["aware"] < 0.02
    assert errors["aware"] < 0.8 * errors["agnostic"]


def test_ratio_times_cross_section_is_a_polynomial_of_theta() -> None:
    """Six thetas determine all others, for every x, after whatever training."""
    estimator = MorphingAwareRatioEstimator(morphing=MORPHING, n_hidden=(8,))
    estimator.train("alice", **draw_sample(600), **QUICK, dtype="float64")
    network = estimator._conditional_network()
    sigma = network.log_sigma.detach().exp().cpu().numpy()  # type: ignore[operator]
    x = draw_sample(40, seed=3)["x"]

    def density(theta: np.ndarray) -> np.ndarray:
        log_r, _ = estimator.evaluate_log_likelihood_ratio(x, theta)
        total: np.ndarray = (
            np.exp(log_r) * (morphing_weights(theta, COMPONENTS, MORPHING.matrix) @ sigma)[:, None]
        )
        return total

    rng = np.random.default_rng(4)
    nodes, others = rng.uniform(-0.7, 0.7, size=(6, 2)), rng.uniform(-0.7, 0.7, size=(20, 2))
    coefficients = np.linalg.solve(monomials(nodes, COMPONENTS), density(nodes))
    np.testing.assert_allclose(
        density(others), monomials(others, COMPONENTS) @ coefficients, rtol=1e-9
    )


def test_scores_and_fisher_information_have_user_units() -> None:
    """Parameters are not scaled, whatever is asked for; scores are derivatives of log r."""
    for scale_parameters in (True, False):
        estimator = MorphingAwareRatioEstimator(morphing=MORPHING, n_hidden=(8,))
        sample = draw_sample(300)
        sample["theta"] = 0.3 + 0.4 * sample["theta"]
        estimator.train(
            "alices", **sample, **QUICK, scale_parameters=scale_parameters, dtype="float64"
        )
        x, theta, step = sample["x"][:50], np.array([0.2, -0.1]), 1e-5
        score = estimator.evaluate_score(x, theta)
        for i, shift in enumerate(step * np.eye(2)):
            up, down = estimator.evaluate_log_likelihood_ratio(x, [theta + shift, theta - shift])[0]
            np.testing.assert_allclose(score[:, i], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)
        information = estimator.calculate_fisher_information(x, theta, n_events=10)
        np.testing.assert_allclose(information, 10 * score.T @ score / 50)
        estimator.initialize_parameter_transform(sample["theta"])
        np.testing.assert_array_equal(estimator.evaluate_score(x, theta), score)


def test_differentiable_evaluation() -> None:
    estimator, x = trained(), draw_sample(7, seed=2)["x"]
    theta = torch.tensor([[0.1, 0.2], [-0.3, 0.0]], requires_grad=True)
    log_r = estimator.evaluate_log_likelihood_ratio_torch(torch.as_tensor(x), theta)
    expected, score = estimator.evaluate_log_likelihood_ratio(
        x, theta.detach(), evaluate_score=True
    )
    np.testing.assert_allclose(log_r.detach().cpu(), expected, rtol=1e-5, atol=1e-6)
    log_r.sum().backward()  # type: ignore[no-untyped-call]
    assert score is not None
    assert theta.grad is not None
    np.testing.assert_allclose(theta.grad, score.sum(axis=1), rtol=1e-4, atol=1e-5)


def test_vanishing_numerators_do_not_undo_the_training() -> None:
    """Scores are large where the numerator happens to vanish, often so with a narrow basis."""
    morphing = MorphingSetup(COMPONENTS, morphing_matrix(0.4 * BASIS, COMPONENTS))
    estimator = MorphingAwareRatioEstimator(morphing=morphing, n_hidden=(20,))
    history = estimator.train("alices", **draw_sample(4_000), **SETTINGS)
    assert max(history.train_losses) < 1.5  # 4 with the full gradients of scores
    assert error(estimator) < 0.13  # 0.2


def test_setup_file(toy_event_file: Callable[..., Path], tmp_path: Path) -> None:
    """The morphing comes from the file, is saved, and is not needed to load."""
    path = toy_event_file(20)
    estimator = MorphingAwareRatioEstimator(path, n_hidden=(4,))
    expected = read_setup(path).morphing
    assert expected is not None
    np.testing.assert_array_equal(estimator.morphing.components, expected.components)
    np.testing.assert_array_equal(estimator.morphing.matrix, expected.matrix)
    sample, x = draw_sample(200), draw_sample(9, seed=1)["x"]
    estimator.train("alice", **sample, **QUICK)
    estimator.save(tmp_path / "model")
    settings = json.loads((tmp_path / "model_settings.json").read_text())
    assert settings["estimator_type"] == "morphing_aware_ratio"
    assert settings["components"] == expected.components.tolist()
    np.testing.assert_array_equal(settings["morphing_matrix"], expected.matrix)
    loaded = load_estimator(tmp_path / "model")
    assert type(loaded) is MorphingAwareRatioEstimator
    np.testing.assert_array_equal(loaded.morphing.matrix, expected.matrix)
    np.testing.assert_array_equal(loaded.evaluate(x, BASIS)[0], estimator.evaluate(x, BASIS)[0])
    loaded.train("alice", **sample, **QUICK)  # goes on without the file


def test_optimized_basis(toy_event_file: Callable[..., Path]) -> None:
    """Other points, the same components: another matrix that interpolates them exactly."""
    path = toy_event_file(20)
    first, same, other = (
        MorphingAwareRatioEstimator(path, optimize_morphing_basis=True, basis_seed=seed).morphing
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.matrix, same.matrix)
    assert np.any(first.matrix != other.matrix)
    plain = MorphingAwareRatioEstimator(path).morphing
    np.testing.assert_array_equal(first.components, plain.components)
    columns = [plain.components.tolist().index(powers) for powers in ([1, 0], [0, 1])]
    points = np.linalg.inv(first.matrix)[:, columns]
    np.testing.assert_allclose(morphing_matrix(points, plain.components), first.matrix)
    assert points.min() >= 0.0  # the ranges of the parameters in the file
    assert points.max() <= 1.0


def test_refused_settings(toy_event_file: Callable[..., Path], tmp_path: Path) -> None:
    path = toy_event_file(20)
    setup = read_setup(path)
    write_setup(tmp_path / "plain.h5", replace(setup, morphing=None))
    with pytest.raises(MorphingError, match=r"plain\.h5 has no morphing"):
        MorphingAwareRatioEstimator(tmp_path / "plain.h5")
    nuisance = replace(
        setup,
        systematics={"scale": Systematic("scale", SystematicType.NORM, 1.1)},
        nuisance_parameters={"scale_up": NuisanceParameter("scale_up", "scale")},
    )
    write_setup(tmp_path / "nuisance.h5", nuisance)
    with pytest.raises(OptionError, match=r"has the nuisance parameters \['scale_up'\]"):
        MorphingAwareRatioEstimator(tmp_path / "nuisance.h5")
    with pytest.raises(MissingFileError, match=r"nothing\.h5"):
        MorphingAwareRatioEstimator(tmp_path / "nothing.h5")
    with pytest.raises(OptionError, match="not both"):
        MorphingAwareRatioEstimator(path, morphing=MORPHING)
    with pytest.raises(OptionError, match="optimize_morphing_basis needs morphing_setup_filename"):
        MorphingAwareRatioEstimator(optimize_morphing_basis=True)
    with pytest.raises(MorphingError, match=r"got shapes \(6, 2\) and \(5, 6\)"):
        MorphingAwareRatioEstimator(morphing=MorphingSetup(COMPONENTS, MORPHING.matrix[1:]))
    with pytest.raises(MorphingError, match="must be finite, and powers 0 or more"):
        MorphingAwareRatioEstimator(morphing=MorphingSetup(-COMPONENTS, MORPHING.matrix))


def test_training_without_setup_and_with_other_parameters_is_refused() -> None:
    with pytest.raises(MorphingError, match="has no morphing setup"):
        MorphingAwareRatioEstimator().train("alice", **draw_sample(100), **QUICK)
    estimator = MorphingAwareRatioEstimator(morphing=MORPHING)
    with pytest.raises(ShapeError, match="has 2 parameters, but theta has 3"):
        estimator.train("alice", **draw_sample(100, 3), **QUICK)
    with pytest.raises(NotTrainedError, match="was not trained yet"):
        estimator.evaluate_score(np.zeros((1, 2)), [0.0, 0.0])
    with pytest.raises(ShapeError, match="exactly one parameter, but theta has 2"):
        QuadraticMorphingAwareRatioEstimator().train("alice", **draw_sample(100), **QUICK)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("components", [[0, 0], [1]]),
        ("components", [[0, 0]]),
        ("morphing_matrix", [["a"]]),
        ("morphing_matrix", [[float("nan")] * 6] * 6),
        ("morphing_matrix", None),
    ],
)
def test_damaged_settings_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    trained().save(tmp_path / "model")
    path = tmp_path / "model_settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(FileFormatError, match="damaged"):
        load_estimator(tmp_path / "model")


def test_files_are_not_taken_for_another_type(tmp_path: Path) -> None:
    trained().save(tmp_path / "model")
    for estimator in (ParameterizedRatioEstimator(), QuadraticMorphingAwareRatioEstimator()):
        with pytest.raises(FileFormatError, match="type 'morphing_aware_ratio'"):
            estimator.load(tmp_path / "model")
