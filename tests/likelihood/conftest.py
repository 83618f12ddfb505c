"""Event files and estimators whose likelihoods are closed forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from madminer.io import Events, EventSummary, write_events
from madminer.likelihood import Likelihood
from madminer.ml import ParameterizedRatioEstimator
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)

STEP, D = 0.3, np.array([0.6, 0.8])
KAPPA = 1.1
GAUSSIAN_BASIS = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]])
GAUSSIAN_POWERS = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    r"""Maker of event files with one event a bin, so that cross sections are closed forms:

    sigma_k(theta) = sum_c contents_kc prod_i theta_i^powers_ci, times the factors of nu_j = +1 and
    -1 in each bin. The only observable is k + 1/2. By default one parameter mu and sigma_k =
    contents_k0 + contents_k1 mu.
    """

    def make(
        contents: np.ndarray,
        variations: Mapping[str, tuple[np.ndarray, np.ndarray | None]] | None = None,
        *,
        powers: Sequence[Sequence[int]] = ((0,), (1,)),
        basis: Sequence[Sequence[float]] = ((1.0,), (0.0,)),
        parameters: Sequence[str] = ("mu",),
        morphing: bool = True,
    ) -> Path:
        exponents, thetas = np.array(powers), np.array(basis)
        monomials = np.prod(thetas[:, np.newaxis, :] ** exponents, axis=-1)
        nominal = np.asarray(contents, float) @ monomials.T
        benchmarks = {
            f"b{i}": Benchmark.from_params(f"b{i}", parameters, theta)
            for i, theta in enumerate(thetas)
        }
        columns, nuisances = [nominal], {}
        for name, sides in (variations or {}).items():
            names: list[str | None] = [None, None]
            for i, (side, factors) in enumerate(zip(("up", "down"), sides, strict=True)):
                if factors is not None:
                    names[i] = f"{name}_{side}"
                    benchmarks[f"{name}_{side}"] = Benchmark(f"{name}_{side}", {}, is_nuisance=True)
                    columns.append((nominal[:, 0] * factors)[:, np.newaxis])
            nuisances[name] = NuisanceParameter(name, "norm", names[0], names[1])
        setup = AnalysisSetup(
            parameters={n: AnalysisParameter(n, "lha", i) for i, n in enumerate(parameters)},
            benchmarks=benchmarks,
            morphing=MorphingSetup(exponents, np.linalg.inv(monomials)) if morphing else None,
            nuisance_parameters=nuisances,
            observables={"k": "_"},
        )
        n = len(nominal)
        events = Events(
            np.arange(n)[:, np.newaxis] + 0.5, np.hstack(columns), np.zeros(n, dtype=np.int64)
        )
        path = tmp_path_factory.mktemp("templates") / "templates.h5"
        write_events(path, setup, events, EventSummary.count(np.zeros(n, np.int64), len(thetas)))
        return path

    return make


@pytest.fixture(scope="session")
def moved_gaussian_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    r"""Maker of files with latent z ~ N(0, 1) in two dimensions and weights (1 + theta . z)^2.

    `shift` moves z by STEP nu d, `norm` scales by KAPPA^nu; both responses are functions of z. The
    events are the nodes of an integral, whose sums are exact:
    sigma = ((1 + theta . m)^2 + theta^2) KAPPA^norm with m = STEP shift d; or drawn at random.
    """

    def make(n_events: int | None = None, *, seed: int = 1) -> Path:
        if n_events is None:
            nodes, shares = hermegauss(24)
            z = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
            measure = np.outer(shares, shares).ravel() / shares.sum() ** 2
        else:
            z = np.random.default_rng(seed).normal(size=(n_events, 2))
            measure = np.full(n_events, 1.0 / n_events)
        move = STEP * (z @ D)
        factors = [move - STEP**2 / 2, -move - STEP**2 / 2, np.full(len(z), np.log(KAPPA))]
        weights = np.column_stack([(1.0 + z @ GAUSSIAN_BASIS.T) ** 2, np.exp(factors).T])
        monomials = np.prod(GAUSSIAN_BASIS[:, np.newaxis, :] ** GAUSSIAN_POWERS, axis=-1)
        varied = ("shift_up", "shift_down", "norm_up")
        setup = AnalysisSetup(
            parameters={n: AnalysisParameter(n, "lha", i) for i, n in enumerate("ab")},
            benchmarks={
                f"b{i}": Benchmark.from_params(f"b{i}", "ab", theta)
                for i, theta in enumerate(GAUSSIAN_BASIS)
            }
            | {name: Benchmark(name, {}, is_nuisance=True) for name in varied},
            morphing=MorphingSetup(GAUSSIAN_POWERS, np.linalg.inv(monomials)),
            nuisance_parameters={
                "shift": NuisanceParameter("shift", "scale", "shift_up", "shift_down"),
                "norm": NuisanceParameter("norm", "norm", "norm_up"),
            },
            observables={"z0": "_", "z1": "_"},
        )
        order = np.random.default_rng(seed + 1).permutation(len(z))
        events = Events(
            z[order],
            (weights * measure[:, np.newaxis])[order],
            np.zeros(len(z), dtype=np.int64),
        )
        path = tmp_path_factory.mktemp("moved") / "moved.h5"
        write_events(path, setup, events, EventSummary.count(events.sampling_benchmarks, 6))
        return path

    return make


class ExactRatio(ParameterizedRatioEstimator):
    """log p(z|theta, nu) / p(z|0, 0) of these events, and its score; of theta alone with p = 2."""

    def __init__(self, n_parameters: int = 2) -> None:
        super().__init__()
        self.n_parameters, self.n_observables = n_parameters, 2

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self,
        x: np.ndarray,
        theta: np.ndarray,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        z, points = np.asarray(x), np.asarray(theta)
        points = points[:, np.newaxis] if test_all_combinations else points
        t = points[..., :2]
        nu = points[..., 2] if self.n_parameters > 2 else np.zeros(points.shape[:-1])
        move = STEP * (z @ D)
        along = 1.0 + t @ (STEP * D) * nu
        sigma = along**2 + np.sum(t**2, axis=-1)
        amplitude = 1.0 + np.sum(t * z, axis=-1)
        with np.errstate(divide="ignore"):
            log_r = 2.0 * np.log(np.abs(amplitude)) - np.log(sigma)
        log_r = log_r + move * nu - 0.5 * (STEP * nu) ** 2
        if not evaluate_score:
            return log_r, None
        score = np.zeros((*log_r.shape, self.n_parameters))
        mean = STEP * nu[..., np.newaxis] * D
        score[..., :2] = 2.0 * z / amplitude[..., np.newaxis]
        score[..., :2] -= (
            2.0 * (along[..., np.newaxis] * mean + t) / np.asarray(sigma)[..., np.newaxis]
        )
        if self.n_parameters > 2:
            slope = 2.0 * along * (t @ (STEP * D)) / sigma
            score[..., 2] = move - STEP**2 * nu - slope
        return log_r, score


@pytest.fixture(scope="session")
def exact_ratio() -> type[ExactRatio]:
    """Estimator of the events of `moved_gaussian_file`: of two or four parameters."""
    return ExactRatio


@pytest.fixture(scope="session")
def assert_derivatives() -> Callable[..., None]:
    """Compare gradients with central differences, and check curvatures."""

    def check(
        likelihood: Likelihood,
        params: np.ndarray,
        *,
        step: float = 1e-5,
        rtol: float = 1e-6,
        components: Sequence[int] | None = None,
    ) -> None:
        found = likelihood.expand(params)
        np.testing.assert_allclose(found.value, likelihood.values(params), rtol=1e-12)
        for j in range(likelihood.n_params) if components is None else components:
            shift = step * np.eye(likelihood.n_params)[j]
            up, down = likelihood.values(params + shift), likelihood.values(params - shift)
            scale = rtol * np.abs(found.gradient).max() + 1e-9 * np.abs(found.value) / step
            assert np.all(np.abs(found.gradient[:, j] - (up - down) / (2.0 * step)) <= scale), (
                found.gradient[:, j],
                (up - down) / (2.0 * step),
            )
        np.testing.assert_allclose(found.curvature, np.swapaxes(found.curvature, 1, 2))
        eigenvalues = np.linalg.eigvalsh(found.curvature)
        assert np.all(eigenvalues >= -1e-9 * np.abs(eigenvalues).max())

    return check
