"""Events and estimators whose likelihood is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.io import Events, EventSummary, write_events
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark, MorphingSetup


class ExactScore(ScoreEstimator):
    """The score at theta_ref of weights (1 + theta . z)^2, up to a constant."""

    def __init__(self, theta_ref: Any) -> None:
        super().__init__()
        self.reference = np.asarray(theta_ref, dtype=np.float64)
        self.n_parameters = len(self.reference)

    def evaluate_score(  # type: ignore[override]
        self, x: np.ndarray, *_: object, **__: object
    ) -> np.ndarray:
        z = x[:, : len(self.reference)]
        return 2.0 * z / (1.0 + z @ self.reference)[:, np.newaxis]


class ExactRatio(ParameterizedRatioEstimator):
    """The ratio to theta = 0 of the same events: (1 + theta . z)^2 / (1 + theta^2)."""

    def __init__(self, n_parameters: int = 2, shift: float = 0.0) -> None:
        super().__init__()
        self.n_parameters = n_parameters
        self.shift = shift
        self.validated_thetas = np.array([[-10.0], [10.0]]) * np.ones(n_parameters)

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self,
        x: np.ndarray,
        theta: np.ndarray,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[np.ndarray, None]:
        assert test_all_combinations
        assert not evaluate_score
        theta = theta - np.array([self.shift, *[0.0] * (theta.shape[1] - 1)])
        square = (1.0 + theta @ x[:, : theta.shape[1]].T) ** 2
        with np.errstate(divide="ignore"):
            return np.log(square / (1.0 + np.sum(theta**2, axis=1)[:, np.newaxis])), None


@pytest.fixture(scope="session")
def exact_score() -> type[ExactScore]:
    return ExactScore


@pytest.fixture(scope="session")
def exact_ratio() -> type[ExactRatio]:
    return ExactRatio


@pytest.fixture(scope="session")
def latent_event_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    r"""Maker of event files with p parameters and weights (1 + theta . z)^2 / n, in pb.

    All events were generated at theta = 0, with z ~ N(0, 1) in p dimensions, so that
    sigma = 1 + theta^2. Observables: z0, z1, ..., and x0 = z0 + N(0, 0.5^2).
    """

    def make(p: int = 2, n_events: int = 600, *, seed: int = 5) -> Path:
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n_events, p))
        x = np.column_stack([z, z[:, 0] + rng.normal(scale=0.5, size=n_events)])
        one = np.eye(p, dtype=int)
        squares = [one[i] + one[j] for i in range(p) for j in range(i, p)]
        components = np.array([0 * one[0], *one, *squares])
        mixed = [one[i] + one[j] for i in range(p) for j in range(i + 1, p)]
        basis = np.array([0 * one[0], *one, *-one, *mixed], dtype=np.float64)
        monomials = np.prod(basis[:, np.newaxis, :] ** components, axis=-1)
        names = "abc"[:p]
        setup = AnalysisSetup(
            parameters={name: AnalysisParameter(name, "dim6", i) for i, name in enumerate(names)},
            benchmarks={
                f"b{i}": Benchmark.from_params(f"b{i}", names, theta)
                for i, theta in enumerate(basis)
            },
            morphing=MorphingSetup(components, np.linalg.inv(monomials)),
            observables=dict.fromkeys([*(f"z{i}" for i in range(p)), "x0"], "_"),
        )
        events = Events(x, (1.0 + z @ basis.T) ** 2 / n_events, np.zeros(n_events, dtype=np.int64))
        path = tmp_path_factory.mktemp("latent") / "latent.h5"
        write_events(
            path, setup, events, EventSummary.count(events.sampling_benchmarks, len(basis))
        )
        return path

    return make
