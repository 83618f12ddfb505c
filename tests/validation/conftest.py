"""A simulator whose score and ratio are known, and estimators that say them exactly, or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.validation import ValidationEvents

Function = Callable[..., np.ndarray]


@dataclass(frozen=True)
class GaussianSimulator:
    """Latent z ~ N(theta, 1) in each of m dimensions, seen as x = z + N(0, 1), beside pure noise.

    At theta1 = 0 the joint score is z and that of x is x / 2; the ratios are exponentials.
    """

    m: int = 2

    def events(self, n: int = 20_000, seed: int = 1, **changes: Any) -> ValidationEvents:
        """Test events at zero with ratios of two points."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n, self.m))
        x = np.hstack([z + rng.normal(size=z.shape), rng.normal(size=(n, 2))])
        points = 0.6 * np.stack([np.eye(self.m)[0], -np.ones(self.m)])
        r_xz = np.exp(z @ points.T - 0.5 * np.sum(points**2, axis=1)).T
        given = {"x": x, "reference": np.zeros(self.m), "t_xz": z, "theta": points, "r_xz": r_xz}
        return ValidationEvents(**given | changes)

    def score(self, x: np.ndarray) -> np.ndarray:
        """The score at zero."""
        return 0.5 * x[:, : self.m]

    def log_r(self, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The log ratio of points to zero, shape (n_thetas, n)."""
        return (0.5 * x[:, : self.m] @ theta.T - 0.25 * np.sum(theta**2, axis=1)).T


class KnownScore(ScoreEstimator):
    """Says a given function of x."""

    def __init__(self, score: Function, x: np.ndarray, **options: Any) -> None:
        super().__init__(n_hidden=(2,))
        self.train("sally", x, score(x), n_epochs=1, verbose="none", seed=1, **options)
        self.score = score

    def evaluate_score(self, x: Any, theta: Any = None, nuisance_mode: str = "auto") -> np.ndarray:
        """The function."""
        del theta, nuisance_mode
        return self.score(x)


class KnownRatio(ParameterizedRatioEstimator):
    """Says a given function of x and theta, and as score its derivative, or another function."""

    def __init__(
        self, log_r: Function, x: np.ndarray, theta: np.ndarray, score: Function | None = None
    ) -> None:
        super().__init__(n_hidden=(2,))
        y = np.arange(len(x)) % 2
        self.train("carl", x, y, theta, n_epochs=1, verbose="none", seed=1)
        self.log_r, self.score = log_r, score

    def evaluate_log_likelihood_ratio(
        self, x: Any, theta: Any, test_all_combinations: bool = True, evaluate_score: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The function, and with a single point the score."""
        if test_all_combinations and not evaluate_score:
            return self.log_r(x, theta), None
        if self.score is not None:
            return self.log_r(x, theta)[0], self.score(x)
        step = 1e-3 * np.eye(theta.shape[1])
        difference = self.log_r(x, theta + step) - self.log_r(x, theta - step)
        return self.log_r(x, theta)[0], difference.T / 2e-3


@pytest.fixture(scope="session")
def simulator() -> type[GaussianSimulator]:
    """The simulator."""
    return GaussianSimulator


@pytest.fixture(scope="session")
def known_score() -> Callable[..., KnownScore]:
    """Maker of estimators of a score that is given, scaled to other events of the simulator."""

    def make(score: Function, m: int = 2, **options: Any) -> KnownScore:
        return KnownScore(score, GaussianSimulator(m).events(2_000, seed=99).x, **options)

    return make


@pytest.fixture(scope="session")
def known_ratio() -> Callable[..., KnownRatio]:
    """Maker of estimators of a ratio that is given, trained with points around zero."""

    def make(log_r: Function, m: int = 2, score: Function | None = None) -> KnownRatio:
        theta = np.random.default_rng(98).normal(0.0, 0.5, (2_000, m))
        return KnownRatio(log_r, GaussianSimulator(m).events(2_000, seed=99).x, theta, score)

    return make
