"""Make ``models_096``: dense estimators trained, saved and evaluated by MadMiner 0.9.6.

Run by hand, in an environment with MadMiner 0.9.6 as ``make bench`` installs it:

    .bench/peer/bin/python tests/data/make_models_096.py tests/data/models_096

Everything is written by that package, apart from ``expected.npz``, which holds what it evaluates
at six fixed events:

===================  ====================================================================
score                ScoreEstimator, features 0 and 2 of three, tanh: the scores
nuisance             ScoreEstimator after `set_nuisance`: kept, profiled, projected scores
ratio                ParameterizedRatioEstimator, relu: log r at four thetas in all
                     combinations; log r and the score at one theta for every event
double               DoubleParameterizedRatioEstimator, "sigmoid": log r at four pairs of
                     thetas in all combinations
ensemble             Ensemble of two ScoreEstimators: the mean score and both members'
===================  ====================================================================

Two peculiarities of 0.9.6 matter. It does not scale the parameters when it evaluates a double
estimator, although it did so when it trained it; here it is given parameters that are scaled
already, so that the numbers are those of the trained network. Its "sigmoid" stands for relu.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    ParameterizedRatioEstimator,
    ScoreEstimator,
)

N_TRAINING = 200
CENTRE, WIDTH = np.array([0.5, -20.0]), np.array([1.0, 30.0])  # of the two parameters
INFORMATION = np.array([[2.0, 0.3, 0.5], [0.3, 1.5, -0.4], [0.5, -0.4, 1.0]])
TRAINING = {"n_epochs": 2, "batch_size": 32, "n_workers": 0, "verbose": "none"}


def draw_thetas(rng: np.random.Generator, n: int) -> np.ndarray:
    """Parameters of very different sizes, so that their scaling matters."""
    return CENTRE + WIDTH * rng.normal(size=(n, 2))


def draw_observations(rng: np.random.Generator, n: int) -> np.ndarray:
    """Observations of very different sizes."""
    return np.array([1.0, 0.0, -100.0]) + np.array([0.1, 1.0, 40.0]) * rng.normal(size=(n, 3))


def make_score(rng: np.random.Generator, n_parameters: int, **settings: object) -> ScoreEstimator:
    """A score estimator after two epochs on noise."""
    estimator = ScoreEstimator(**{"n_hidden": (5, 4), "activation": "tanh", **settings})
    x = draw_observations(rng, N_TRAINING)
    t_xz = rng.normal(size=(N_TRAINING, n_parameters)) + x[:, :1]
    estimator.train("sally", x=x, t_xz=t_xz, **TRAINING)
    return estimator


def make_ratio(rng: np.random.Generator) -> ParameterizedRatioEstimator:
    """A single ratio estimator after two epochs on noise."""
    estimator = ParameterizedRatioEstimator(n_hidden=(5, 4), activation="relu")
    estimator.train(
        "alices",
        x=draw_observations(rng, N_TRAINING),
        y=rng.integers(0, 2, size=N_TRAINING).astype(float),
        theta=draw_thetas(rng, N_TRAINING),
        r_xz=np.exp(rng.normal(size=N_TRAINING)),
        t_xz=rng.normal(size=(N_TRAINING, 2)) / WIDTH,
        scale_parameters=True,
        **TRAINING,
    )
    return estimator


def make_double(rng: np.random.Generator) -> DoubleParameterizedRatioEstimator:
    """A double ratio estimator after two epochs on noise."""
    estimator = DoubleParameterizedRatioEstimator(n_hidden=(5, 4), activation="sigmoid")
    estimator.train(
        "alice",
        x=draw_observations(rng, N_TRAINING),
        y=rng.integers(0, 2, size=N_TRAINING).astype(float),
        theta0=draw_thetas(rng, N_TRAINING),
        theta1=draw_thetas(rng, N_TRAINING),
        r_xz=np.exp(rng.normal(size=N_TRAINING)),
        scale_parameters=True,
        **TRAINING,
    )
    return estimator


def main(folder: Path) -> None:
    """Train, save, evaluate."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (0.9.6 draws the split from there)
    rng = np.random.default_rng(1)
    x = draw_observations(rng, 6)
    theta, theta0, theta1, theta_of_event = (draw_thetas(rng, n) for n in (4, 4, 4, 6))
    expected = {
        "x": x,
        "theta": theta,
        "theta0": theta0,
        "theta1": theta1,
        "theta_of_event": theta_of_event,
    }

    score = make_score(rng, 2, features=[0, 2])
    score.save(str(folder / "score"))
    expected["score"] = score.evaluate_score(x)

    nuisance = make_score(rng, 3)
    nuisance.set_nuisance(INFORMATION, [0, 1])
    nuisance.save(str(folder / "nuisance"))
    for mode in ("keep", "profile", "project"):
        expected[f"nuisance_{mode}"] = nuisance.evaluate_score(x, nuisance_mode=mode)

    ratio = make_ratio(rng)
    ratio.save(str(folder / "ratio"))
    expected["ratio"], _ = ratio.evaluate_log_likelihood_ratio(x, theta)
    expected["ratio_pairs"], expected["ratio_scores"] = ratio.evaluate_log_likelihood_ratio(
        x, theta_of_event, test_all_combinations=False, evaluate_score=True
    )

    double = make_double(rng)
    double.save(str(folder / "double"))
    means, stds = (np.load(folder / f"double_theta_{name}.npy") for name in ("means", "stds"))
    scaled = [(thetas - means) / stds for thetas in (theta0, theta1)]
    expected["double"] = double.evaluate_log_likelihood_ratio(x, *scaled)[0]

    ensemble = Ensemble([make_score(rng, 2), make_score(rng, 2)])
    ensemble.save(str(folder / "ensemble"))
    members = [member.evaluate_score(x) for member in ensemble.estimators]
    expected["ensemble_members"] = np.stack(members)
    expected["ensemble"] = ensemble.evaluate_score(x=x, calculate_covariance=False)[0]

    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
