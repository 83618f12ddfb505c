"""Nuisance parameters in limits, profiled by others, and the uncertainty of log r."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, lgamma, log
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import lambertw

from madminer.errors import NotAvailableError, OptionError
from madminer.io import EventFile, Events, write_events
from madminer.likelihood.histograms import Binning
from madminer.limits import AsymptoticLimits, LimitGrid, limit_grid, regular_grid
from madminer.ml import Ensemble, ParameterizedRatioEstimator, ScoreEstimator
from madminer.models import Benchmark, NuisanceParameter
from madminer.stats import log_poisson, p_values_from_log_r

L = 80.0
ORIGIN = [0.0, 0.0]
GRID = regular_grid([(-0.4, 0.4), (-0.3, 0.3)], 3)
FEW = GRID[::2]
MakeFile = Callable[..., Path]
Function = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Toy:
    """The toy events with nuisance parameters, and what is known of them in closed form."""

    limits: AsymptoticLimits
    x: np.ndarray
    scale: np.ndarray  # of the weights, as events were generated at several benchmarks

    @classmethod
    def of(cls, path: Path) -> Toy:
        limits = AsymptoticLimits(path, include_nuisance_parameters=True)
        x, weights = limits.weighted_events()
        return cls(limits, x, weights[:, 0] / x[:, 0])

    @property
    def nominal(self) -> AsymptoticLimits:
        return AsymptoticLimits(self.limits.madminer_filename)

    def weights(self, theta: np.ndarray) -> np.ndarray:
        """Weights at nu = 0, at (1, 0), (0, 1), (-1, 0) and (0, -1), shape (5, n)."""
        a, b = theta
        powers = np.array([1.0, b, b**2, a, a * b, a**2])
        nominal, up, down = (self.x[:, 6 * i : 6 * i + 6] @ powers for i in range(3))
        shift = np.exp(self.x[:, 18])
        return self.scale * np.stack([nominal, nominal * shift, up, nominal / shift, down])


@pytest.fixture(scope="module")
def toy(nuisance_event_file: MakeFile) -> Toy:
    return Toy.of(nuisance_event_file(600))


def response(sums: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Cross sections that are log-quadratic in nu, from those at 0 and +-1, shape (5, K)."""
    logs = np.log(sums[1:] / sums[0])
    a, b = 0.5 * (logs[:2] - logs[2:]), 0.5 * (logs[:2] + logs[2:])
    return lambda nu: sums[0] * np.exp(nu @ a + nu**2 @ b)


def log_rate(toy: Toy, theta: np.ndarray, n: float) -> Function:
    sigma = response(toy.weights(theta).sum(axis=1)[:, np.newaxis])
    return lambda nu: float(log_poisson(n, L * sigma(nu)[0]))


def profiled(log_l: Function) -> tuple[float, np.ndarray]:
    """Maximum over nu with unit constraints, by a minimiser that knows no gradients."""
    found = minimize(lambda nu: -log_l(nu) + 0.5 * np.sum(nu**2), np.zeros(2), method="BFGS")
    return -found.fun, found.x


def compare(grid: LimitGrid, log_l: list[Function]) -> None:
    """The maxima of log likelihoods at all points are those of the limits, as are their places."""
    found = [profiled(one) for one in log_l]
    values = grid.llr_kin + grid.log_p_rate + grid.log_constraint
    np.testing.assert_allclose(values, [value for value, _ in found], rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(grid.nus, [nu for _, nu in found], atol=3e-3)  # flat at the maximum
    np.testing.assert_allclose(grid.log_constraint, -0.5 * np.sum(grid.nus**2, axis=1))
    np.testing.assert_allclose(grid.log_r, values - values.max())
    np.testing.assert_allclose(grid.p_values, p_values_from_log_r(grid.log_r, 2))
    assert np.abs(grid.nus).max() > 0.02


def test_normalisation_has_a_closed_form(latent_event_file: MakeFile, tmp_path: Path) -> None:
    """Pois(N | lambda exp(a nu)) exp(-nu^2 / 2) is largest where Lambert's W says."""
    a, n = 0.15, 70
    file = EventFile(latent_event_file())
    setup, events = file.setup, file.read()
    setup = replace(
        setup,
        benchmarks={**setup.benchmarks, "up": Benchmark("up", {}, is_nuisance=True)},
        nuisance_parameters={"norm": NuisanceParameter("norm", "norm", "up")},
    )
    weights = np.column_stack([events.weights, events.weights[:, 0] * exp(a)])
    write_events(
        tmp_path / "norm.h5",
        setup,
        Events(events.x, weights, events.sampling_benchmarks),
        file.summary,
    )
    limits = AsymptoticLimits(tmp_path / "norm.h5", include_nuisance_parameters=True)
    grid = limits.observed_limits("rate", np.zeros((n, 3)), thetas_eval=GRID, luminosity=50.0)
    mean = 50.0 * limits.xsecs(list(GRID))[0]
    nu = n * a - lambertw(a**2 * mean * exp(n * a**2)).real / a
    assert nu.max() > 1.0
    np.testing.assert_allclose(grid.nus[:, 0], nu, atol=1e-3)
    np.testing.assert_allclose(grid.log_p_rate, log_poisson(n, mean * np.exp(a * nu)), atol=1e-3)
    log_l = log_poisson(n, mean * np.exp(a * nu)) - 0.5 * nu**2
    np.testing.assert_allclose(grid.log_r, log_l - log_l.max(), atol=1e-6)
    fixed = AsymptoticLimits(tmp_path / "norm.h5").observed_limits(
        "rate", np.zeros((n, 3)), thetas_eval=GRID, luminosity=50.0
    )
    np.testing.assert_allclose(fixed.log_p_rate, log_poisson(n, mean))
    assert fixed.nus.shape == (9, 0)


class ToyScore(ScoreEstimator):
    """The score at zero of the toy."""

    def __init__(self) -> None:
        super().__init__()
        self.n_parameters = 2

    def evaluate_score(self, x: np.ndarray, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
        return x[:, [3, 1]] / x[:, :1]


BINNED: list[tuple[str, dict[str, Any]]] = [
    ("histo", {"hist_vars": ["k3/k0"]}),
    ("histo", {"hist_vars": ["k3/k0", "k1/k0"], "hist_bins": [4, 3]}),
    ("histo", {"hist_vars": ["k3/k0"], "fix_adaptive_binning": False}),
    ("sally", {"model_file": ToyScore(), "hist_bins": 4}),
    ("sallino", {"model_file": ToyScore()}),
    ("adaptive-sally", {"model_file": ToyScore(), "hist_bins": [5, 2]}),
]


@pytest.mark.parametrize(("mode", "options"), BINNED)
@pytest.mark.parametrize("varying", [False, True])
def test_histograms_against_other_fits(
    nuisance_event_file: MakeFile, mode: str, options: dict[str, Any], varying: bool
) -> None:
    toy = Toy.of(nuisance_event_file(600, varying=varying))
    data = toy.x[np.random.default_rng(1).choice(600, 25, replace=False)]
    grid = toy.limits.observed_limits(
        mode,  # type: ignore[arg-type]
        data,
        thetas_eval=FEW,
        luminosity=L,
        return_observed=True,
        **options,
    )
    histos, of_data, _ = grid.histos
    simulated = toy.limits.observed_limits(
        mode,  # type: ignore[arg-type]
        toy.x,
        thetas_eval=FEW,
        return_observed=True,
        **options,
    ).histos[1]
    log_l = []
    for theta, histogram, events, rows in zip(FEW, histos, simulated, of_data, strict=True):
        binning = Binning(histogram.edges)
        cells, n_bins = binning.cells(events)[:480], binning.n_bins

        def sums(at: np.ndarray, cells: np.ndarray = cells, n_bins: int = n_bins) -> np.ndarray:
            columns = toy.weights(at)[:, :480]
            return np.stack([np.bincount(cells, w, minlength=n_bins) for w in columns])

        filled = sums(theta)[0] > 0.0
        counts = np.bincount(binning.cells(rows), minlength=n_bins)[filled]
        assert counts.sum() == 25
        content = response(sums(theta)[:, filled])
        volumes = binning.volumes[filled]
        reference = 0.0
        if mode in {"sallino", "adaptive-sally"}:
            at_zero = sums(np.zeros(2))[0][filled]
            reference = float(counts @ np.log(at_zero / at_zero.sum() / volumes))
        rate = log_rate(toy, theta, 25.0)

        def function(
            nu: np.ndarray,
            content: Any = content,
            counts: np.ndarray = counts,
            rate: Function = rate,
            constant: float = reference + float(counts @ np.log(volumes)),
        ) -> float:
            sigma = content(nu)
            return float(counts @ np.log(sigma / sigma.sum())) - constant + rate(nu)

        log_l.append(function)
    compare(grid, log_l)


class ToyRatio(ParameterizedRatioEstimator):
    """The ratio of the densities of the toy at theta and at zero."""

    def __init__(self, toy: Toy) -> None:
        super().__init__()
        self.n_parameters = 2
        self.sums = toy.scale @ toy.x[:, :6]

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self, x: np.ndarray, theta: np.ndarray, *_: object, **__: object
    ) -> tuple[np.ndarray, None]:
        a, b = theta.T
        powers = np.stack([a**0, b, b**2, a, a * b, a**2])
        weights = x[:, :6] @ powers / x[:, :1]
        return np.log(weights / (self.sums @ powers / self.sums[0])).T, None


class ToyResponse(ScoreEstimator):
    """The response of the toy, odd parts and then even parts, as train_response learns them."""

    def __init__(self) -> None:
        super().__init__()
        self.n_parameters = 4

    def evaluate_score(self, x: np.ndarray, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
        shift = np.exp(x[:, 18])
        up = np.stack([shift, x[:, 6] / x[:, 0]], axis=1)
        down = np.stack([1.0 / shift, x[:, 12] / x[:, 0]], axis=1)
        return np.hstack([0.5 * (up - down), 0.5 * (up + down) - 1.0])


def event_response(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients a and b of events, each of shape (n, 2)."""
    up, down = np.log(x[:, 6] / x[:, 0]), np.log(x[:, 12] / x[:, 0])
    zero = np.zeros(len(x))
    a = np.stack([x[:, 18], 0.5 * (up - down)], axis=1)
    return a, np.stack([zero, 0.5 * (up + down)], axis=1)


def test_network_of_theta_with_a_learned_response(toy: Toy) -> None:
    data = toy.x[20:60]
    grid = toy.limits.observed_limits(
        "ml",
        data,
        model_file=ToyRatio(toy),
        response=ToyResponse(),
        thetas_eval=GRID,
        luminosity=L,
    )
    a, b = event_response(data)
    a_all, b_all = event_response(toy.x)
    log_l = []
    for theta in GRID:
        ratio = ToyRatio(toy).evaluate_log_likelihood_ratio(data, theta[np.newaxis])[0].sum()
        weights = toy.weights(theta)[0]
        rate = log_rate(toy, theta, 40.0)
        log_l.append(
            lambda nu, ratio=ratio, weights=weights, rate=rate: (
                float(ratio + (a @ nu + b @ nu**2).sum())
                - 40.0 * log(weights @ np.exp(a_all @ nu + b_all @ nu**2) / weights.sum())
                + rate(nu)
            )
        )
    compare(grid, log_l)


def test_network_of_theta_alone_has_a_rate_with_nuisances(toy: Toy) -> None:
    data = toy.x[20:60]
    given: dict[str, Any] = {"model_file": ToyRatio(toy), "thetas_eval": GRID, "luminosity": L}
    grid = toy.limits.observed_limits("ml", data, **given)
    rate = toy.limits.observed_limits("rate", data, thetas_eval=GRID, luminosity=L)
    np.testing.assert_allclose(grid.nus, rate.nus, atol=1e-6)
    np.testing.assert_allclose(grid.log_p_rate, rate.log_p_rate)
    np.testing.assert_allclose(
        grid.llr_kin, toy.nominal.observed_limits("ml", data, **given).llr_kin
    )
    compare(rate, [log_rate(toy, theta, 40.0) for theta in GRID])


class GaussianRatio(ParameterizedRatioEstimator):
    """A network that knows nu: x0 ~ N(theta0 + nu0, 1), x1 ~ N(theta1 - 2 nu1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.n_parameters = 4

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self,
        x: np.ndarray,
        theta: np.ndarray,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        assert test_all_combinations
        slopes = np.array([1.0, -2.0])
        steps = x[np.newaxis, :, :2] - (theta[:, :2] + theta[:, 2:] * slopes)[:, np.newaxis]
        score = np.concatenate([steps, steps * slopes], axis=2) if evaluate_score else None
        return -0.5 * np.sum(steps**2, axis=2), score


def test_network_that_knows_nu(toy: Toy) -> None:
    data = np.zeros((12, 19))
    data[:, :2] = np.random.default_rng(2).normal([0.3, 0.2], size=(12, 2))
    grid = toy.limits.observed_limits(
        "ml", data, model_file=GaussianRatio(), thetas_eval=GRID, include_xsec=False
    )
    sums = (data[np.newaxis, :, :2] - GRID[:, np.newaxis]).sum(axis=1)
    nu = sums * [1.0 / 13.0, -2.0 / 49.0]
    np.testing.assert_allclose(grid.nus, nu, atol=3e-4)
    at_best = np.hstack([GRID, nu])
    values = GaussianRatio().evaluate_log_likelihood_ratio(data, at_best)[0].sum(axis=1)
    np.testing.assert_allclose(grid.llr_kin, values, atol=2e-3)
    with pytest.raises(OptionError, match="knows the nuisance parameters already"):
        toy.limits.observed_limits(
            "ml", data, model_file=GaussianRatio(), response=ToyResponse(), thetas_eval=GRID
        )


def test_network_that_saw_nu_only_at_zero(toy: Toy) -> None:
    """It takes nuisance parameters, and knows nothing of them."""
    rng = np.random.default_rng(1)
    theta, x = rng.normal(size=(200, 4)), rng.normal(size=(200, 19))

    def limits() -> LimitGrid:
        estimator = ParameterizedRatioEstimator(n_hidden=(3,))
        y = rng.integers(0, 2, size=200)
        estimator.train("carl", x, y, theta, n_epochs=1, verbose="none", seed=1)
        return toy.limits.observed_limits("ml", x[:3], model_file=estimator, thetas_eval=FEW)

    assert len(limits().p_values) == len(FEW)
    theta[:, 2:] = 0.0
    with pytest.raises(OptionError, match="trained at nu = 0 alone"):
        limits()


def test_truth_event_by_event(nuisance_event_file: MakeFile) -> None:
    toy = Toy.of(nuisance_event_file(160))
    truth = np.array([0.1, -0.2])
    grid = toy.limits.expected_limits(
        "truth",
        truth,
        thetas_eval=GRID,
        luminosity=L,
        test_split=0.5,
        sample_only_from_closest_benchmark=False,
    )
    last = slice(80, None)
    true_weights = toy.weights(truth)[0, last].tolist()
    n = L * float(toy.weights(truth)[0].sum())
    a, b = (part.tolist() for part in event_response(toy.x[last]))
    log_l = []
    for theta in GRID:
        weights = toy.weights(theta)[0, last].tolist()
        rate = log_rate(toy, theta, n)

        def function(nu: np.ndarray, weights: list[float] = weights, rate: Any = rate) -> float:
            varied = [
                w * exp(sum(c * v + d * v**2 for c, d, v in zip(*row, nu, strict=True)))
                for w, *row in zip(weights, a, b, strict=True)
            ]
            total = 0.0
            for at_nu, true in zip(varied, true_weights, strict=True):
                ratio = at_nu / sum(varied) / (true / sum(true_weights))
                total += n * true / sum(true_weights) * log(ratio)
            return total + rate(nu)

        log_l.append(function)
    compare(grid, log_l)
    assert grid.n_observed == pytest.approx(n)


def test_truth_needs_a_response_without_theta(nuisance_event_file: MakeFile) -> None:
    toy = Toy.of(nuisance_event_file(100, varying=True))
    with pytest.raises(NotAvailableError, match="does not depend on theta"):
        toy.limits.expected_limits("truth", ORIGIN, thetas_eval=GRID)
    with pytest.raises(OptionError, match="cannot be profiled with histograms that are drawn"):
        toy.limits.expected_limits(
            "histo", ORIGIN, hist_vars=["k3"], weighted_histo=False, thetas_eval=GRID
        )


@pytest.mark.parametrize("mode", ["rate", "ml", "truth", "histo", "sally", "sallino"])
def test_profiled_limits_are_never_narrower(toy: Toy, mode: str) -> None:
    """Expected from the same Asimov data, which the truth fits best, with nu = 0."""
    given: dict[str, Any] = {
        "rate": {},
        "truth": {},
        "ml": {"model_file": ToyRatio(toy)},
        "histo": {"hist_vars": ["k3/k0"]},
    }.get(mode, {"model_file": ToyScore()})
    given |= {"thetas_eval": GRID, "luminosity": 10.0 * L, "test_split": None}
    given["sample_only_from_closest_benchmark"] = False
    fixed = toy.nominal.expected_limits(mode, ORIGIN, **given)  # type: ignore[arg-type]
    if mode == "ml":
        given["response"] = ToyResponse()
    free = toy.limits.expected_limits(mode, ORIGIN, **given)  # type: ignore[arg-type]
    # of networks the total responds as a whole and not by event: not quite the same Asimov data
    assert np.all(free.log_r >= fixed.log_r - (5e-3 if mode == "ml" else 1e-6))
    assert np.any(free.log_r > fixed.log_r + 1e-3)
    assert free.i_best == fixed.i_best == 4
    np.testing.assert_allclose(free.nus[4], 0.0, atol=0.05 if mode == "ml" else 1e-3)
    np.testing.assert_allclose(free.n_observed, fixed.n_observed)


@pytest.mark.parametrize(("with_nuisances", "n_toys"), [(False, 200), (True, 100)])
def test_uncertainty_is_that_of_resampled_events(
    nuisance_event_file: MakeFile, with_nuisances: bool, n_toys: int
) -> None:
    """Each event of the file comes a Poisson number of times: its weights grow by that factor."""
    path = nuisance_event_file(1000, seed=3 + with_nuisances)
    rng = np.random.default_rng(4)
    with h5py.File(path) as file:
        weights, data = file["samples/weights"][:], file["samples/observations"][:40]
    options: dict[str, Any] = {
        "hist_vars": ["k3/k0"],
        "hist_bins": [-9.0, -0.3, 0.0, 0.2, 0.5, 9.0],
        "thetas_eval": FEW,
        "luminosity": L,
        "test_split": None,
    }

    def limits(**more: Any) -> LimitGrid:
        analyzer = AsymptoticLimits(path, with_nuisances)
        return analyzer.observed_limits("histo", data, **options, **more)

    found = [limits(), limits(include_xsec=False)]
    log_l = np.empty((2, n_toys, len(FEW)))
    for i in range(n_toys):
        with h5py.File(path, "r+") as file:
            file["samples/weights"][:] = weights * rng.poisson(1.0, (1000, 1))
        one = limits()
        log_l[:, i] = one.llr_kin + one.log_p_rate + one.log_constraint, one.llr_kin
    for grid, values in zip(found, log_l, strict=True):
        assert grid.log_r_errors is not None
        if not with_nuisances or grid is found[0]:
            spread = np.std(values - values[:, [grid.i_best]], axis=0)
            np.testing.assert_allclose(grid.log_r_errors, spread, rtol=0.2, atol=1e-12)
        assert grid.log_r_errors[grid.i_best] == 0.0


@pytest.mark.parametrize("with_nuisances", [False, True])
def test_uncertainty_scales_with_the_events(
    nuisance_event_file: MakeFile, with_nuisances: bool
) -> None:
    """Errors fall as one over the square root of the number of simulated events."""
    data = EventFile(nuisance_event_file(200)).read().x[:50]
    edges = [-9.0, -0.1, 0.1, 0.3, 9.0]
    errors = []
    for n in (500, 8000):
        limits = AsymptoticLimits(nuisance_event_file(n), with_nuisances)
        grid = limits.observed_limits(
            "histo", data, hist_vars=["k3/k0"], hist_bins=[edges], thetas_eval=GRID, luminosity=L
        )
        assert grid.log_r_errors is not None
        errors.append(np.sort(grid.log_r_errors)[1:])
    np.testing.assert_allclose(errors[0] / errors[1], 4.0, rtol=0.5)


def test_uncertainty_of_an_ensemble_is_that_of_its_mean(
    latent_event_file: MakeFile, exact_ratio: Callable[..., ParameterizedRatioEstimator]
) -> None:
    limits = AsymptoticLimits(latent_event_file())
    data = np.random.default_rng(3).normal(size=(30, 3))
    members = [exact_ratio(shift=shift) for shift in (-0.1, 0.0, 0.15)]
    grid = limits.observed_limits(
        "ml", data, model_file=Ensemble(members), thetas_eval=GRID, luminosity=L
    )
    alone = [
        limits.observed_limits("ml", data, model_file=one, thetas_eval=GRID) for one in members
    ]
    values = np.array([one.llr_kin for one in alone])
    np.testing.assert_allclose(grid.llr_kin, values.mean(axis=0))
    log_r = values - values[:, [grid.i_best]]
    np.testing.assert_allclose(grid.log_r_errors, np.std(log_r, axis=0, ddof=1) / np.sqrt(3.0))
    assert all(one.log_r_errors is None for one in alone)
    with pytest.raises(OptionError, match="uncertainty of these limits is not known"):
        alone[0].p_value_band()


def test_extra_variance_widens(latent_event_file: MakeFile) -> None:
    """q' = q / (1 + tau^2 / sigma^2), see limit_grid."""
    limits = AsymptoticLimits(latent_event_file())
    data = np.random.default_rng(3).normal(size=(30, 3))
    options: dict[str, Any] = {"hist_vars": ["x0"], "hist_bins": 6, "thetas_eval": GRID}
    plain = limits.observed_limits("histo", data, luminosity=L, **options)
    wide = limits.observed_limits("histo", data, luminosity=L, extra_variance=True, **options)
    assert plain.log_r_errors is not None
    q, errors = -2.0 * plain.log_r, plain.log_r_errors
    np.testing.assert_allclose(-2.0 * wide.log_r, q**2 / (np.where(q > 0, q, 1.0) + errors**2))
    np.testing.assert_allclose(wide.p_values, p_values_from_log_r(wide.log_r, 2))
    assert np.all(wide.log_r >= plain.log_r)
    assert wide.i_best == plain.i_best
    np.testing.assert_array_equal(wide.llr_kin, plain.llr_kin)
    low, high = plain.p_value_band()
    np.testing.assert_allclose(low, p_values_from_log_r(plain.log_r - errors, 2))
    shifted = np.minimum(plain.log_r + errors, 0.0)
    np.testing.assert_allclose(high, p_values_from_log_r(shifted, 2))
    lower, higher = plain.p_value_band(2.0)
    assert np.all((lower <= low) & (low <= plain.p_values))
    assert np.all((plain.p_values <= high) & (high <= higher))
    for same in plain.p_value_band(0.0):
        np.testing.assert_allclose(same, plain.p_values)
    with pytest.raises(OptionError, match="n_sigma must be"):
        plain.p_value_band(-1.0)


def test_extra_variance_is_that_of_a_noisy_estimator() -> None:
    """x = theta + N(0, sigma) and a shift N(0, tau): p-values are uniform with both variances."""
    rng = np.random.default_rng(8)
    sigma, tau, theta = 1.0, 0.7, 0.4
    estimate = theta + rng.normal(scale=sigma, size=4000) + rng.normal(scale=tau, size=4000)
    distance = np.abs(estimate - theta)
    thetas = np.array([[0.0], [theta]])
    p_values = [
        limit_grid(
            thetas,
            np.array([0.0, -0.5 * (one / sigma) ** 2]),
            np.zeros(2),
            1.0,
            log_r_errors=np.array([0.0, one * tau / sigma**2]),  # half of the shift of q
            extra_variance=True,
        ).p_values[1]
        for one in distance
    ]
    shares = np.histogram(p_values, bins=10, range=(0.0, 1.0))[0] / 400.0
    np.testing.assert_allclose(shares, 1.0, atol=0.2)


def test_observed_numbers_are_poisson(toy: Toy) -> None:
    """The log Poisson probability is that at the profiled nuisance parameters."""
    grid = toy.limits.observed_limits("rate", toy.x[:30], thetas_eval=GRID, luminosity=L)
    for theta, nu, found in zip(GRID, grid.nus, grid.log_p_rate, strict=True):
        mean = L * response(toy.weights(theta).sum(axis=1)[:, np.newaxis])(nu)[0]
        assert found == pytest.approx(30 * log(mean) - mean - lgamma(31))
