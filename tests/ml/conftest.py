"""A simulator with latent variable whose likelihood is known.

z ~ N(theta, 2) in each of p dimensions and x ~ N(z, 1) (widths, not variances), so that
p(x|theta) = N(theta, sqrt(5)), while the joint ratio and the joint score are functions of z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

LATENT_VARIANCE = 4.0
VARIANCE = 5.0


@dataclass(frozen=True)
class GaussianToy:
    """The simulator with n_parameters dimensions; the reference theta1 is zero."""

    n_parameters: int = 1

    def ratio_sample(self, n: int, seed: int, width: float = 1.0) -> dict[str, Any]:
        """Training data of ratio estimators, thetas uniform within plus and minus `width`."""
        rng = np.random.default_rng(seed)
        theta = rng.uniform(-width, width, size=(n, self.n_parameters))
        y = rng.integers(0, 2, size=n)
        z = rng.normal(np.where(y[:, None] == 0, theta, 0.0), np.sqrt(LATENT_VARIANCE))
        x = rng.normal(z, 1.0)
        r_xz = np.exp(np.sum(z * theta - theta**2 / 2, axis=1) / LATENT_VARIANCE)
        return {"x": x, "y": y, "theta": theta, "r_xz": r_xz, "t_xz": (z - theta) / LATENT_VARIANCE}

    def double_ratio_sample(self, n: int, seed: int, width: float = 1.0) -> dict[str, Any]:
        """Training data of doubly parameterized ratio estimators, both thetas uniform."""
        rng = np.random.default_rng(seed)
        theta0, theta1 = rng.uniform(-width, width, size=(2, n, self.n_parameters))
        y = rng.integers(0, 2, size=n)
        z = rng.normal(np.where(y[:, None] == 0, theta0, theta1), np.sqrt(LATENT_VARIANCE))
        log_r = np.sum((theta0 - theta1) * (z - (theta0 + theta1) / 2), axis=1) / LATENT_VARIANCE
        return {
            "x": rng.normal(z, 1.0),
            "y": y,
            "theta0": theta0,
            "theta1": theta1,
            "r_xz": np.exp(log_r),
            "t_xz0": (z - theta0) / LATENT_VARIANCE,
            "t_xz1": (z - theta1) / LATENT_VARIANCE,
        }

    def score_sample(self, n: int, seed: int) -> dict[str, Any]:
        """Training data of score estimators at theta = 0."""
        rng = np.random.default_rng(seed)
        z = rng.normal(0.0, np.sqrt(LATENT_VARIANCE), size=(n, self.n_parameters))
        return {"x": rng.normal(z, 1.0), "t_xz": z / LATENT_VARIANCE}

    def log_ratio(self, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The true log r, shape (n_thetas, n_x)."""
        return np.asarray(
            (x @ theta.T - np.sum(theta**2, axis=1) / 2).T / VARIANCE,
        )

    def score(self, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The true score."""
        return np.asarray((x - theta) / VARIANCE)


@pytest.fixture(scope="session")
def make_toy() -> Callable[[int], GaussianToy]:
    """Make the simulator with a number of parameters."""
    return GaussianToy
