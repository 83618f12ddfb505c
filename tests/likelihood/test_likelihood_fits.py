"""Fits, profiles, impacts and functions of fewer parameters against closed forms and SciPy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2, poisson

from madminer.errors import (
    DataError,
    FitError,
    MadMinerError,
    MorphingError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from madminer.likelihood import (
    HistoLikelihood,
    Likelihood,
    fit,
    fix_params,
    impacts,
    profile_log_likelihood,
    project_log_likelihood,
)
from madminer.likelihood.fit import fit_many, profile_nuisances

MakeFile = Callable[..., Path]
QUADRATIC = {"powers": ((0,), (1,), (2,)), "basis": ((0.0,), (1.0,), (-1.0,))}
METHODS = ("TNC", "L-BFGS-B", "migrad")


def binned(
    path: Path, counts: np.ndarray, luminosity: float, *, include_xsec: bool = True
) -> Likelihood:
    """Likelihood of given contents of the bins of a `template_file`."""
    n = len(counts)
    return HistoLikelihood(path).create_negative_log_likelihood(
        np.arange(n)[:, np.newaxis] + 0.5,
        ["k"],
        hist_bins=[np.arange(n + 1.0)],
        mode="histo",
        n_observed=float(np.sum(counts)),
        x_observed_weights=counts,
        luminosity=luminosity,
        include_xsec=include_xsec,
    )


# --- one number of events and one norm


@pytest.fixture(scope="module")
def rate_file(template_file: MakeFile) -> Path:
    """sigma = (1 + theta / 2 + theta^2 / 5) 1.1^nu pb."""
    return template_file(
        np.array([[1.0, 0.5, 0.2]]), {"norm": (np.array([1.1]), None)}, **QUADRATIC
    )


def sigma(theta: float) -> float:
    return 1.0 + 0.5 * theta + 0.2 * theta**2


def rate_likelihood(path: Path, n: float, luminosity: float) -> Likelihood:
    return HistoLikelihood(path).create_negative_log_likelihood(
        [[0.5]], n_observed=n, luminosity=luminosity
    )


def rate_profile(theta: float, n: float, luminosity: float) -> tuple[float, float]:
    """Best nu and minus the log likelihood there, by a search."""

    def nll(nu: float) -> float:
        mean = luminosity * sigma(theta) * 1.1**nu
        # Poisson probability of SciPy for whole n
        return float(-poisson.logpmf(n, mean) + 0.5 * nu**2 + 0.5 * np.log(2.0 * np.pi))

    found = minimize_scalar(nll, bracket=(-1.0, 1.0), tol=1e-12)
    return float(found.x), float(found.fun)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(theta=st.floats(-5.0, 5.0), n=st.integers(0, 2000), luminosity=st.floats(0.5, 2000.0))
def test_profile_of_a_rate_is_that_of_a_search(
    rate_file: Path, theta: float, n: int, luminosity: float
) -> None:
    likelihood = rate_likelihood(rate_file, float(n), luminosity)
    profile = profile_nuisances(likelihood, np.array([[theta]]))
    nu, nll = rate_profile(theta, n, luminosity)
    assert profile.params[0, 0] == theta
    assert profile.nll[0] == pytest.approx(nll, rel=1e-6, abs=1e-6)
    assert profile.params[0, 1] == pytest.approx(nu, abs=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_profiles_of_all_methods_agree(rate_file: Path, method: str) -> None:
    """At the first points nu is exactly zero, from where the next ones start."""
    likelihood = rate_likelihood(rate_file, 30.0, 30.0)
    thetas = np.linspace(0.0, 3.0, 7)[:, np.newaxis]
    exact = np.array([rate_profile(theta, 30.0, 30.0)[1] for theta in thetas[:, 0]])
    grid, p, best, log_r = profile_log_likelihood(
        likelihood, [0], thetas_eval=thetas, method=method
    )
    np.testing.assert_array_equal(grid, thetas)
    assert best == 0
    np.testing.assert_allclose(log_r, exact[0] - exact, atol=1e-6)
    np.testing.assert_allclose(p, chi2.sf(2.0 * (exact - exact[0]), 1), atol=1e-6)
    together = profile_nuisances(likelihood, thetas)
    np.testing.assert_allclose(together.nll, exact, atol=1e-6)


def test_projection_is_at_zero(rate_file: Path) -> None:
    likelihood = rate_likelihood(rate_file, 42.0, 30.0)
    grid, _, best, log_r = project_log_likelihood(likelihood, [0], [(-1.0, 3.0)], 9)
    values = poisson.logpmf(42, 30.0 * sigma(grid[:, 0]))
    np.testing.assert_allclose(log_r, values - values.max(), atol=1e-10)
    assert best == np.argmax(values)


# --- many events: normal distributions


@dataclass(frozen=True)
class NormalModel:
    """mu_k = L (c_k0 + c_k1 theta + c_k2 theta^2) (1 + sum_j a_jk nu_j) with many events."""

    likelihood: Likelihood
    contents: np.ndarray
    a: np.ndarray
    counts: np.ndarray
    luminosity: float

    def mean(self, theta: float) -> np.ndarray:
        result: np.ndarray = self.luminosity * (self.contents @ [1.0, theta, theta**2])
        return result

    def inverse(self, theta: float) -> np.ndarray:
        """Inverse covariance of the counts, with that of the nuisance parameters."""
        moves = self.a * self.mean(theta)
        return np.linalg.inv(np.diag(self.counts) + moves.T @ moves)

    def q(self, theta: float) -> float:
        residual = self.counts - self.mean(theta)
        return float(residual @ self.inverse(theta) @ residual)

    def pulls(self, theta: float) -> np.ndarray:
        residual = self.counts - self.mean(theta)
        result: np.ndarray = (self.a * self.mean(theta)) @ self.inverse(theta) @ residual
        return result

    def covariance(self, theta: float) -> np.ndarray:
        """Inverse information in theta and nu."""
        slope = self.luminosity * (self.contents @ [0.0, 1.0, 2.0 * theta])
        jacobian = np.vstack([slope, self.a * self.mean(theta)])
        constraint = np.diag([0.0] + [1.0] * len(self.a))
        return np.linalg.inv((jacobian / self.mean(theta)) @ jacobian.T + constraint)


@pytest.fixture(scope="module", params=[0, 1, 2, 3], ids=lambda k: f"{k} nuisances")
def normal(request: pytest.FixtureRequest, template_file: MakeFile) -> NormalModel:
    k, n_bins, luminosity = request.param, 10, 1e7
    rng = np.random.default_rng(11 + k)
    contents = rng.uniform(0.5, 2.0, (n_bins, 3)) * [1.0, 0.3, 0.2]
    a = rng.normal(scale=2e-4, size=(k, n_bins)) + 1e-4
    variations = {f"s{j}": (np.exp(row), np.exp(-row)) for j, row in enumerate(a)}
    truth = rng.normal(size=k)
    mean = luminosity * (contents @ [1.0, 0.8, 0.64]) * np.exp(truth @ a)
    counts = mean + np.sqrt(mean) * rng.normal(size=n_bins)
    path = template_file(contents, variations, **QUADRATIC)
    return NormalModel(binned(path, counts, luminosity), contents, a, counts, luminosity)


def test_fits_of_many_events(normal: NormalModel) -> None:
    """Best values, errors and correlations are those of least squares."""
    result = fit(normal.likelihood, np.append(0.7, np.zeros(len(normal.a))), minos=True)
    best = minimize_scalar(normal.q, bounds=(0.79, 0.81), options={"xatol": 1e-10}).x
    covariance = normal.covariance(best)
    errors = np.sqrt(np.diag(covariance))
    assert result.values[0] == pytest.approx(best, abs=5e-3 * errors[0])
    np.testing.assert_allclose(result.values[1:], normal.pulls(best), atol=5e-3)
    np.testing.assert_allclose(result.errors, errors, rtol=2e-3)
    correlations = result.covariance / np.outer(errors, errors)
    np.testing.assert_allclose(correlations, covariance / np.outer(errors, errors), atol=5e-3)
    low, high = result.intervals["mu"]
    np.testing.assert_allclose([-low, high], errors[0], rtol=5e-3)
    information = normal.likelihood.expand(result.values[np.newaxis]).curvature[0]
    np.testing.assert_allclose(
        np.linalg.inv(information) / np.outer(errors, errors),
        covariance / np.outer(errors, errors),
        atol=1e-3,
    )
    together = fit_many(normal.likelihood, result.values[np.newaxis] * 0.999, np.zeros(1, int))
    assert together.nll[0] == pytest.approx(result.nll, abs=1e-4)
    assert result.nll == normal.likelihood(result.values)


def test_profiles_of_many_events(normal: NormalModel) -> None:
    error = np.sqrt(normal.covariance(0.8)[0, 0])
    thetas = 0.8 + error * np.linspace(-4.0, 4.0, 9)
    profile = profile_nuisances(normal.likelihood, thetas[:, np.newaxis])
    q = np.array([normal.q(theta) for theta in thetas])
    found = 2.0 * (profile.nll - profile.nll[0])
    np.testing.assert_allclose(found, q - q[0], atol=0.03)
    pulls = [normal.pulls(theta) for theta in thetas]
    np.testing.assert_allclose(profile.params[:, 1:], pulls, atol=5e-3)


def test_impacts_of_many_events(normal: NormalModel) -> None:
    """A pull by its error moves theta by cov(theta, nu) / error(nu), both ways."""
    result = fit(normal.likelihood, np.append(0.8, np.zeros(len(normal.a))))
    covariance = normal.covariance(result.values[0])
    errors = np.sqrt(np.diag(covariance))
    found = impacts(normal.likelihood, result, "mu")
    expected = covariance[0, 1:] / errors[1:]
    order = np.argsort(-np.abs(expected))
    assert found.names == tuple(f"s{j}" for j in order)
    np.testing.assert_allclose(found.impacts[:, 0], expected[order], atol=0.01 * errors[0])
    np.testing.assert_allclose(found.impacts[:, 1], -expected[order], atol=0.01 * errors[0])
    np.testing.assert_allclose(found.pull_errors, errors[1:][order], rtol=2e-3)
    np.testing.assert_array_equal(found.pulls, result.values[1:][order])
    assert (found.parameter, found.estimate) == ("mu", result.values[0])
    assert found.error == result.errors[0]
    html = found._repr_html_()
    assert "Impacts on mu" in html
    assert all(name in html for name in found.names)


# --- few events


@pytest.fixture(scope="module")
def few(template_file: MakeFile) -> Likelihood:
    """Four bins with a few events each, two nuisance parameters of unequal sides."""
    contents = np.array([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    up = np.array([1.3, 1.1, 0.9, 0.8])
    variations = {"s": (up, 0.95 / up), "t": (np.full(4, 1.2), None)}
    return binned(template_file(contents, variations), np.array([6.0, 3.0, 9.0, 4.0]), 1.0)


def test_fits_are_those_of_scipy(few: Likelihood) -> None:
    found = minimize(few, np.zeros(3), jac=few.gradient, method="BFGS", options={"gtol": 1e-8})
    result = fit(few)
    assert result.nll == pytest.approx(found.fun, abs=1e-4)
    together = fit_many(few, np.zeros((3, 3)), np.zeros(3, dtype=np.int64))
    np.testing.assert_allclose(together.nll, found.fun, atol=1e-6)
    steps = 1e-4 * np.eye(3)
    hessian = [(few.gradient(found.x + s) - few.gradient(found.x - s)) / 2e-4 for s in steps]
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    np.testing.assert_allclose(result.errors, errors, rtol=5e-3)


def test_profiles_are_those_of_scipy(few: Likelihood) -> None:
    thetas = np.linspace(-0.5, 3.0, 8)[:, np.newaxis]
    exact = [
        minimize(
            lambda nu, t=theta: few(np.append(t, nu)),
            np.zeros(2),
            jac=lambda nu, t=theta: few.gradient(np.append(t, nu))[1:],
            method="BFGS",
            options={"gtol": 1e-9},
        ).fun
        for theta in thetas
    ]
    profile = profile_nuisances(few, thetas)
    np.testing.assert_allclose(profile.nll, exact, atol=1e-6)
    log_r = np.min(exact) - np.array(exact)
    for method in METHODS:
        found = profile_log_likelihood(few, [0], thetas_eval=thetas, method=method)
        np.testing.assert_allclose(found[3], log_r, atol=1e-6)
    np.testing.assert_array_equal(
        profile_nuisances(few, thetas, start=profile.params[:, 1:]).params, profile.params
    )


def test_minos_ends_are_where_q_is_one(few: Likelihood) -> None:
    result = fit(few, minos=True)
    low, high = result.intervals["mu"]
    assert list(result.intervals) == ["mu"]
    assert low < 0.0 < high
    assert abs(high + low) > 0.01  # few events: not symmetric
    best = fit_many(few, result.values[np.newaxis], np.zeros(1, dtype=np.int64)).nll
    ends = profile_nuisances(few, result.values[0] + np.array([[low], [high]]))
    np.testing.assert_allclose(2.0 * (ends.nll - best), 1.0, atol=2e-3)
    assert "MINOS" in repr(result)


def test_fixed_parameters(few: Likelihood) -> None:
    best = fit(few)
    at_best = fit(few, fixed={"s": float(best.values[1])})
    assert at_best.nll == pytest.approx(best.nll, abs=1e-5)
    assert at_best.errors[0] < best.errors[0]
    result = fit(few, fixed={"s": 0.5})
    assert result.fixed == {"s"}
    assert result.values[1] == 0.5
    assert result.errors[1] == 0.0
    np.testing.assert_array_equal(result.covariance[1], 0.0)
    rest = fix_params(few, [0.5], [1])
    other = minimize(rest, np.zeros(2), method="BFGS", options={"gtol": 1e-6})
    assert result.nll == pytest.approx(other.fun, abs=1e-4)
    everything = fit(few, fixed={"mu": 1.0, "s": 0.5, "t": -0.2})
    assert everything.nll == pytest.approx(few([1.0, 0.5, -0.2]))
    np.testing.assert_array_equal(everything.values, [1.0, 0.5, -0.2])
    np.testing.assert_array_equal(everything.errors, 0.0)
    conditional = fit(few, fixed={"mu": 2.0})
    profiled = profile_nuisances(few, np.array([[2.0]]))
    np.testing.assert_allclose(conditional.values, profiled.params[0], atol=5e-3)
    some = impacts(few, result, "mu")
    assert some.names == ("t",)
    assert "s 0.5 fixed" in repr(result)
    assert "0.5 fixed" in result._repr_html_()


def test_limits_of_parameters(few: Likelihood, caplog: pytest.LogCaptureFixture) -> None:
    free = fit(few)
    inside = fit(few, limits={"mu": (-10.0, 10.0), "s": (-np.inf, 8.0)})
    np.testing.assert_allclose(inside.values, free.values, atol=5e-3)
    assert not caplog.records
    high = free.values[0] + 1.0
    with caplog.at_level(logging.WARNING):
        above = fit(few, [high + 0.5, 0.0, 0.0], limits={"mu": (high, high + 5.0)})
    assert above.values[0] == pytest.approx(high, abs=1e-3)
    assert "The best fit lies at the limit of mu" in caplog.text


def test_far_pulls_are_reported(template_file: MakeFile, caplog: pytest.LogCaptureFixture) -> None:
    file = template_file(np.array([[10.0, 0.0], [10.0, 1e-3]]), {"s": ([1.05, 1.05], None)})
    likelihood = binned(file, np.array([20_000.0, 20_000.0]), 1000.0)
    result = fit(likelihood, fixed={"mu": 0.0})
    assert result.values[1] == pytest.approx(np.log(2.0) / np.log(1.05), rel=0.02)
    assert "The data pull s = +14." in caplog.text


def test_starts_close_to_zero(few: Likelihood, rate_file: Path) -> None:
    """The best values of the fit before may be zero but for rounding: no smaller steps for that."""
    good = fit(few)
    for start in ([1.0, 1e-13, -1e-13], [1e-15, 1e-15, 1e-15], [-1e-9, 0.0, 1e-30]):
        result = fit(few, start)
        assert result.nll == pytest.approx(good.nll, abs=1e-4)
        np.testing.assert_allclose(result.errors, good.errors, rtol=0.02)
    asimov = rate_likelihood(rate_file, 300.0, 300.0)
    result = fit(asimov)
    found = impacts(asimov, result, "mu")
    covariance = np.linalg.inv(asimov.expand(result.values[np.newaxis]).curvature[0])
    expected = covariance[0, 1] / np.sqrt(covariance[1, 1])
    np.testing.assert_allclose(found.impacts, [[expected, -expected]], rtol=0.1)


def test_squares_have_a_maximum_where_fits_start(template_file: MakeFile) -> None:
    """sigma = 1 + theta^2 and more events than at theta = 0, which is no minimum."""
    path = template_file(np.array([[1.0, 1.0]]), powers=((0,), (2,)), basis=((0.0,), (1.0,)))
    likelihood = rate_likelihood(path, 450.0, 200.0)
    lowest = float(-poisson.logpmf(450, 450.0))
    assert fit(likelihood).nll == pytest.approx(lowest, abs=1e-3)
    together = fit_many(likelihood, np.array([[0.0], [1.5], [-0.01]]), np.zeros(3, dtype=int))
    np.testing.assert_allclose(together.nll, lowest, atol=1e-3)
    np.testing.assert_allclose(together.params**2, 1.25, rtol=1e-2)


def test_many_data_sets(few: Likelihood) -> None:
    """Each data set with its auxiliary measurements has the fit that it has alone."""
    auxiliary = np.array([[0.0, 0.0], [1.2, -0.7], [-2.0, 0.3]])
    joint = Likelihood(few.channels, auxiliary)
    which = np.array([1, 2, 0, 1])
    fits = fit_many(joint, np.zeros((4, 3)), which)
    profiles = profile_nuisances(joint, np.array([[0.5], [1.0], [1.5], [2.0]]), which)
    for i, d in enumerate(which):
        single = Likelihood(few.channels, auxiliary[[d]])
        found = minimize(single, np.zeros(3), jac=single.gradient, options={"gtol": 1e-8})
        assert fits.nll[i] == pytest.approx(found.fun, abs=1e-6)
        alone = profile_nuisances(single, profiles.params[[i], :1])
        assert profiles.nll[i] == pytest.approx(alone.nll[0], abs=1e-7)


# --- fits that fail


class NoMaximum(Likelihood):
    """The same with a slope that no curvature ends."""

    def values(self, params: np.ndarray, datasets: np.ndarray | None = None) -> np.ndarray:
        return super().values(params, datasets) + params[:, 2] ** 3

    def expand(self, params: np.ndarray, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        found = super().expand(params, *args, **kwargs)
        found.value[:] += params[:, 2] ** 3
        found.gradient[:, 2] += 3.0 * params[:, 2] ** 2
        return found


def test_fits_without_maximum(few: Likelihood) -> None:
    endless = NoMaximum(few.channels)
    with pytest.raises(MadMinerError):
        fit(endless, [0.0, 0.0, -3.0])
    with pytest.raises(MadMinerError):
        profile_nuisances(endless, np.array([[0.0]]), start=np.array([[0.0, -3.0]]))


def test_undetermined_parameters(template_file: MakeFile) -> None:
    """Signal and background of the same shape, and their number does not count."""
    contents = np.array([[1.0, 0.5], [2.0, 1.0]])
    file = template_file(contents, {"s": ([1.1, 1.2], None)})
    likelihood = binned(file, np.array([30.0, 70.0]), 30.0, include_xsec=False)
    with pytest.raises(FitError, match="fix parameters that the data do not determine"):
        fit(likelihood)
    result = fit(likelihood, fixed={"mu": 1.0}, minos=True)
    assert 0.0 < result.errors[1] < 1.0
    assert not result.intervals


@pytest.mark.parametrize("method", METHODS)
def test_profiles_without_minimum(method: str) -> None:
    class Slope:
        def __call__(self, params: np.ndarray | None) -> float:
            return 2 if params is None else params[0] ** 2 - 5.0 * params[1]

        def gradient(self, params: np.ndarray) -> np.ndarray:
            return np.array([2.0 * params[0], -5.0])

    with pytest.raises(FitError, match=r"No minimum over the parameters \[1\]"):
        profile_log_likelihood(Slope(), [0], thetas_eval=[[0.0]], method=method)


def test_fits_need_gradients(template_file: MakeFile) -> None:
    contents = np.array([[1.0, 0.5], [2.0, 0.5]])
    sampled = HistoLikelihood(template_file(contents)).create_negative_log_likelihood(
        [[0.5]], ["k"], hist_bins=[[0.0, 1.0, 2.0]], seed=1, luminosity=1.0
    )
    with pytest.raises(MorphingError, match="events are drawn anew at each call"):
        fit(sampled)
    alone = template_file(contents, {"s": ([1.1, 1.2], None)}, morphing=False)
    benchmarks = binned(alone, np.array([30.0, 40.0]), 20.0)
    with pytest.raises(MorphingError, match="has no morphing"):
        benchmarks.gradient([1.0, 0.0])
    profile = profile_nuisances(benchmarks, np.array([[0.0], [1.0]]))
    morphed = binned(
        template_file(contents, {"s": ([1.1, 1.2], None)}), np.array([30.0, 40.0]), 20.0
    )
    expected = profile_nuisances(morphed, np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(profile.nll, expected.nll, rtol=1e-10)


def test_wrong_options_of_fits(few: Likelihood) -> None:
    for start in ([0.0, 0.0], [np.nan, 0.0, 0.0], "abc", np.zeros((1, 3))):
        with pytest.raises(ShapeError, match="start must be"):
            fit(few, start)  # type: ignore[arg-type]
    for name in ("fixed", "limits"):
        with pytest.raises(UnknownNameError, match=f"{name}: there is no parameter 'nu'"):
            fit(few, **{name: {"nu": (0.0, 1.0)}})  # type: ignore[arg-type]
    for value in (np.nan, "1", None):
        with pytest.raises(OptionError, match=r"fixed\['mu'\] must be a finite number"):
            fit(few, fixed={"mu": value})  # type: ignore[dict-item]
    for ends in ((1.0, 0.0), (0.0,), 3.0, (0.0, np.nan), (0.0, 1.0, 2.0)):
        with pytest.raises(OptionError, match=r"limits\['mu'\] must be a"):
            fit(few, limits={"mu": ends})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="fixed or has limits, not both"):
        fit(few, fixed={"mu": 0.0}, limits={"mu": (1.0, 2.0)})
    with pytest.raises(OptionError, match="fixed must be a dictionary"):
        fit(few, fixed=["mu"])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="must be a Likelihood"):
        fit(lambda _: 0.0)  # type: ignore[arg-type]
    assert sum([few, few])([1.0] * few.n_params) > few([1.0] * few.n_params)
    with pytest.raises(OptionError, match="minos must be True or False"):
        fit(few, minos="yes")  # type: ignore[arg-type]
    result = fit(few)
    for name in ("s", "nothing"):
        with pytest.raises(UnknownNameError, match="parameter: there is no parameter"):
            impacts(few, result, name)


# --- functions of fewer parameters

A = np.array([[3.0, 1.0, 0.5], [1.0, 2.0, -0.4], [0.5, -0.4, 1.5]])
CENTRE = np.array([0.3, -0.2, 0.6])


def parabola(params: np.ndarray | None) -> float:
    """Half of a quadratic form: its profile is that of the inverse matrix."""
    if params is None:
        return 3
    step = np.asarray(params) - CENTRE
    return float(0.5 * step @ A @ step)


def test_fixed_functions() -> None:
    assert fix_params(parabola, [0.1])(None) == 2
    assert fix_params(parabola, [0.1])([0.2, 0.3]) == parabola([0.1, 0.2, 0.3])
    assert fix_params(parabola, 0.1, [2])([0.2, 0.3]) == parabola([0.2, 0.3, 0.1])
    assert fix_params(parabola, [5.0, 7.0], [2, 0])([1.0]) == parabola([7.0, 1.0, 5.0])
    nested = fix_params(fix_params(parabola, [0.1], [1]), [0.4], [1])
    assert nested(None) == 1
    assert nested([0.2]) == parabola([0.2, 0.1, 0.4])
    assert fix_params(parabola, [], [])([1.0, 2.0, 3.0]) == parabola([1.0, 2.0, 3.0])
    for theta, components, error in (
        ([0.0, 0.0], [1], ShapeError),
        ([0.0, 0.0], [1, 1], OptionError),
        ([0.0], [3], OptionError),
        ([0.0], [-1], OptionError),
        ([0.0], ["a"], OptionError),
        ([0.0, 0.0, 0.0], None, OptionError),
        (["a"], [0], ShapeError),
    ):
        with pytest.raises(error):
            fix_params(parabola, theta, components)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"params must have shape \(2,\)"):
        fix_params(parabola, [0.1])([0.1, 0.2, 0.3])


@pytest.mark.parametrize("kept", [[0], [2], [0, 1], [2, 0], [1, 2, 0], None])
def test_projections_and_profiles_of_a_parabola(kept: list[int] | None) -> None:
    """Grids have their columns in the order that is asked for, the last running fastest."""
    order = [0, 1, 2] if kept is None else kept
    ranges = [(-1.0, 1.0), (0.0, 2.0), (-0.5, 0.5)][: len(order)]
    grid, p, best, log_r = project_log_likelihood(parabola, kept, ranges, 3)
    assert grid.shape == (3 ** len(order), len(order))
    np.testing.assert_array_equal(grid[:2, -1], [ranges[-1][0], np.mean(ranges[-1])])
    full = np.zeros((len(grid), 3))
    full[:, order] = grid
    values = np.array([parabola(row) for row in full])
    np.testing.assert_allclose(log_r, values.min() - values, atol=1e-12)
    assert (best, log_r[best]) == (np.argmin(values), 0.0)
    np.testing.assert_allclose(p, chi2.sf(-2.0 * log_r, len(order)), rtol=1e-12)

    profile_form = np.linalg.inv(np.linalg.inv(A)[np.ix_(order, order)])
    steps = grid - CENTRE[order]
    expected = 0.5 * np.einsum("ni,ij,nj->n", steps, profile_form, steps)
    for method in METHODS:
        found = profile_log_likelihood(parabola, kept, ranges, 3, method=method, dof=7)
        np.testing.assert_array_equal(found[0], grid)
        np.testing.assert_allclose(found[3], expected.min() - expected, atol=1e-6)
        np.testing.assert_allclose(found[1], chi2.sf(-2.0 * found[3], 7), rtol=1e-9)
        assert found[2] == np.argmin(expected)


def test_default_grids() -> None:
    grid, _, _, _ = project_log_likelihood(parabola, [1])
    np.testing.assert_allclose(grid[:, 0], np.linspace(-1.0, 1.0, 25))
    grid, _, _, _ = profile_log_likelihood(parabola, [0, 1], grid_resolutions=[2, 3])
    assert grid.shape == (6, 2)
    given_points = [[0.1], [0.7]]
    np.testing.assert_array_equal(
        project_log_likelihood(parabola, [2], thetas_eval=given_points)[0], given_points
    )


def test_profiles_start_where_they_are_told() -> None:
    def two_valleys(params: np.ndarray | None) -> float:
        if params is None:
            return 2
        a, b = params
        return (b**2 - 1.0) ** 2 + 0.3 * a * b + a**2

    left, right = (
        profile_log_likelihood(two_valleys, [0], thetas_eval=[[0.5], [0.4]], theta_start=[b])
        for b in (-1.0, 1.0)
    )
    for found, b in ((left, -1.0), (right, 1.0)):
        values = [
            minimize_scalar(
                lambda y, a=a: two_valleys(np.array([a, y])),
                bounds=sorted((0.5 * b, 1.5 * b)),
                method="bounded",
            ).fun
            for a in (0.5, 0.4)
        ]
        np.testing.assert_allclose(found[3], np.min(values) - values, atol=1e-5)


class WithGradient:
    """Counts how often its gradient is used."""

    def __init__(self) -> None:
        self.n_gradients = 0

    def __call__(self, params: np.ndarray | None) -> float:
        return parabola(params)

    def gradient(self, params: np.ndarray) -> np.ndarray:
        self.n_gradients += 1
        result: np.ndarray = A @ (params - CENTRE)
        return result


@pytest.mark.parametrize("method", METHODS)
def test_profiles_use_gradients(method: str) -> None:
    nll = WithGradient()
    expected = profile_log_likelihood(parabola, [1], method=method)
    found = profile_log_likelihood(nll, [1], method=method)
    assert nll.n_gradients > 0
    np.testing.assert_allclose(found[3], expected[3], atol=1e-6)


def test_wrong_options_of_grids() -> None:
    for function in (project_log_likelihood, profile_log_likelihood):
        for components in ([3], [-1], [0, 0], [], 1, ["a"]):
            with pytest.raises(OptionError, match="remaining_components"):
                function(parabola, components)  # type: ignore[operator]
        for options, error in (
            ({"grid_ranges": [(1.0, 0.0)]}, OptionError),
            ({"grid_ranges": [(0.0, 1.0)] * 2}, OptionError),
            ({"grid_resolutions": 0}, OptionError),
            ({"dof": 0}, OptionError),
            ({"thetas_eval": [0.0]}, ShapeError),
            ({"thetas_eval": [[0.0, 1.0]]}, ShapeError),
            ({"thetas_eval": [[np.nan]]}, ShapeError),
            ({"thetas_eval": np.empty((0, 1))}, ShapeError),
        ):
            with pytest.raises(error):
                function(parabola, [0], **options)  # type: ignore[operator]
        with pytest.raises(DataError, match="The likelihood is not a number"):
            function(lambda params: 1 if params is None else np.nan, None, grid_resolutions=2)
    for start in ([0.0], np.zeros((1, 2)), "ab"):
        with pytest.raises(ShapeError, match="theta_start must"):
            profile_log_likelihood(parabola, [0], theta_start=start)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="method must be one of 'TNC', 'L-BFGS-B', 'migrad'"):
        profile_log_likelihood(parabola, [0], method="newton")
