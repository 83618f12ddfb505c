"""Toy experiments and their test statistic, against closed forms and independent fits by SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom, chi2, kstest, multinomial, poisson

from madminer.errors import NoEventsError, OptionError
from madminer.likelihood import HistoLikelihood, Likelihood, NeuralLikelihood
from madminer.likelihood.terms import BinnedShape, LearnedShape, RateTerm, ResponseShape
from madminer.likelihood.toys import Region, best_nll, draw_toys, statistics_at
from madminer.ml import ParameterizedRatioEstimator

MakeFile = Callable[..., Path]
CONTENTS = np.array([[4.0, 1.0], [2.0, 3.0], [1.0, 0.5]])  # pb: of background, of signal times mu
NORM = np.array([1.2, 1.1, 0.9])  # of the bins at nu = 1
TWO_SIGNALS = np.array([[3.0, 1.0, 0.8], [2.0, 0.5, 1.0], [4.0, 1.0, 1.2]])
UNBOUNDED = (-np.inf, np.inf)


def histogram(
    path: Path, luminosity: float = 10.0, counts: np.ndarray | None = None, **options: object
) -> Likelihood:
    """Likelihood of the bins of a `template_file`."""
    n = HistoLikelihood(path).n_samples
    data = np.full(n, 5.0) if counts is None else counts
    settings = {"mode": "histo", "luminosity": luminosity, **options}
    return HistoLikelihood(path).create_negative_log_likelihood(
        np.arange(n)[:, np.newaxis] + 0.5,
        ["k"],
        hist_bins=[np.arange(n + 1.0)],
        n_observed=float(np.sum(data)),
        x_observed_weights=data,
        **settings,
    )


@pytest.fixture(scope="module")
def plain_file(template_file: MakeFile) -> Path:
    return template_file(CONTENTS)


@pytest.fixture(scope="module")
def norm_file(template_file: MakeFile) -> Path:
    return template_file(CONTENTS, {"norm": (NORM, 1.0 / NORM)})


@pytest.fixture(scope="module")
def two_signals(template_file: MakeFile) -> Path:
    """Two signals of similar shape, whose rates are anticorrelated."""
    return template_file(
        TWO_SIGNALS,
        powers=((0, 0), (1, 0), (0, 1)),
        basis=((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)),
        parameters=("mu0", "mu1"),
    )


def counts_of(toys: Likelihood, channel: int = 0) -> np.ndarray:
    (shape,) = (t for t in toys.channels[channel].terms if isinstance(t, BinnedShape))
    return shape.counts


def norm_nll(params: np.ndarray, counts: np.ndarray, auxiliary: float) -> float:
    """Minus log likelihood of `norm_file` in closed form; bins and total respond on their own."""
    mu, nu = params
    nominal, n = CONTENTS @ [1.0, mu], counts.sum()
    up, total, down = (float(nominal @ NORM**side) for side in (1.0, 0.0, -1.0))
    a, b = 0.5 * np.log(up / down), 0.5 * np.log(up * down / total**2)
    mean = 10.0 * total * np.exp(a * nu + b * nu**2)
    shares = nominal * NORM**nu / (nominal @ NORM**nu)
    value = -poisson.logpmf(n, mean) - counts @ np.log(shares)
    return float(value + 0.5 * (nu - auxiliary) ** 2 + 0.5 * np.log(2.0 * np.pi))


def two_signals_nll(params: np.ndarray, counts: np.ndarray) -> float:
    """Minus log likelihood of `two_signals` in closed form, for 3 pb^-1."""
    mean = 3.0 * (TWO_SIGNALS @ np.append(1.0, params))
    return float(-poisson.logpmf(counts.sum(), mean.sum()) - counts @ np.log(mean / mean.sum()))


def assert_mean(sample: np.ndarray, mean: np.ndarray | float) -> None:
    """Means of columns agree within 4 standard errors."""
    error = sample.std(axis=0) / np.sqrt(len(sample))
    assert np.all(np.abs(sample.mean(axis=0) - mean) < 4.0 * error)


def lowest(
    nll: Callable[[np.ndarray], float],
    starts: list[np.ndarray],
    bounds: list[tuple[float, float]],
    jac: Callable[[np.ndarray], np.ndarray] | None = None,
) -> float:
    """Smallest value by SciPy, from several starts."""
    options = {"ftol": 1e-14, "gtol": 1e-8}
    method = "L-BFGS-B"
    found = [
        minimize(nll, s, jac=jac, method=method, bounds=bounds, options=options) for s in starts
    ]
    return min(result.fun for result in found)


# --- draws


def test_counts_are_poisson_at_theta_and_nu(norm_file: Path) -> None:
    """Poisson bins: independent, with variances equal to the means."""
    likelihood, (mu, nu) = histogram(norm_file), (0.7, -1.0)
    toys = draw_toys(likelihood, np.array([mu, nu]), 6000, seed=1)
    counts, mean = counts_of(toys), 10.0 * (CONTENTS @ [1.0, mu]) * NORM**nu
    assert_mean(counts, mean)
    assert_mean((counts - mean) ** 2, mean)
    assert_mean((counts[:, 0] - mean[0]) * (counts[:, 1] - mean[1]), 0.0)
    np.testing.assert_array_equal(counts.sum(axis=1), toys.channels[0].n_events)
    (rate,) = (t for t in toys.channels[0].terms if isinstance(t, RateTerm))
    np.testing.assert_array_equal(rate.n_observed, toys.channels[0].n_events)


def test_auxiliary_measurements_are_normal_around_nu(norm_file: Path) -> None:
    toys = draw_toys(histogram(norm_file), np.array([0.7, -1.3]), 4000, seed=2)
    assert toys.auxiliary.shape == (4000, 1)
    assert kstest(toys.auxiliary[:, 0] + 1.3, "norm").pvalue > 0.01
    correlation = np.corrcoef(toys.auxiliary[:, 0], toys.channels[0].n_events)[0, 1]
    assert abs(correlation) < 4.0 / np.sqrt(4000)


def test_counts_are_multinomial_where_the_rate_does_not_count(plain_file: Path) -> None:
    likelihood = histogram(plain_file, include_xsec=False)  # of 15 events
    toys = draw_toys(likelihood, np.array([2.0]), 5000, seed=3)
    counts, sigma = counts_of(toys), CONTENTS @ [1.0, 2.0]
    assert np.all(counts.sum(axis=1) == 15.0)
    expected = multinomial(15, sigma / sigma.sum())
    assert_mean(counts, expected.mean())
    steps = counts - expected.mean()
    products = steps[:, :, np.newaxis] * steps[:, np.newaxis, :]
    assert_mean(products, expected.cov())


def test_seeds(norm_file: Path) -> None:
    likelihood, truth = histogram(norm_file), np.array([0.7, 0.2])
    first, again, other = (draw_toys(likelihood, truth, 50, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(counts_of(first), counts_of(again))
    np.testing.assert_array_equal(first.auxiliary, again.auxiliary)
    assert np.any(counts_of(first) != counts_of(other))
    assert np.any(first.auxiliary != other.auxiliary)


def test_toys_are_data_sets_of_the_same_model(norm_file: Path) -> None:
    """Minus the log likelihood of each is that of its counts and its auxiliary measurement."""
    toys = draw_toys(histogram(norm_file), np.array([0.7, 0.2]), 20, seed=6)
    params, counts = np.array([0.3, -0.4]), counts_of(toys)
    expected = [norm_nll(params, *data) for data in zip(counts, toys.auxiliary[:, 0], strict=True)]
    np.testing.assert_allclose(toys.scan(params[np.newaxis])[:, 0], expected, rtol=1e-9)
    each = toys.values(np.tile(params, (20, 1)), np.arange(20))
    np.testing.assert_allclose(each, expected, rtol=1e-9)


def test_toys_of_toys(norm_file: Path) -> None:
    """Only the model matters, not the data that it was made with."""
    likelihood, truth = histogram(norm_file), np.array([0.7, 0.2])
    toys = draw_toys(likelihood, truth, 7, seed=7)
    again = draw_toys(toys, truth, 30, seed=8)
    np.testing.assert_array_equal(
        counts_of(again), counts_of(draw_toys(likelihood, truth, 30, seed=8))
    )


def test_channels_share_nuisance_parameters(template_file: MakeFile, norm_file: Path) -> None:
    """Each has its own luminosity and bins; there is one auxiliary measurement of a name."""
    second = template_file(
        np.array([[1.0, 0.0], [0.0, 2.0]]),
        {"other": (np.array([1.5, 1.0]), None), "norm": (np.array([2.0, 2.0]), None)},
    )
    likelihood = histogram(norm_file, 10.0) + histogram(second, 100.0)
    assert likelihood.names == ("mu", "norm", "other")
    toys = draw_toys(likelihood, np.array([0.5, 0.3, -0.6]), 4000, seed=9)
    first = 10.0 * (CONTENTS @ [1.0, 0.5]) * NORM**0.3
    assert_mean(counts_of(toys, 0), first)
    assert_mean(counts_of(toys, 1), 100.0 * 2.0**0.3 * np.array([1.5**-0.6, 1.0]))
    assert_mean(toys.auxiliary, [0.3, -0.6])
    numbers = [channel.n_events for channel in toys.channels]
    assert abs(np.corrcoef(*numbers)[0, 1]) < 4.0 / np.sqrt(4000)
    q = statistics_at(
        draw_toys(likelihood, np.array([0.5, 0.3, -0.6]), 500, seed=10),
        np.array([0.5]),
        Region.of(np.linspace(0.0, 2.0, 5)[:, np.newaxis]),
    )
    assert_mean(q, 1.0)


def test_experiments_without_events(plain_file: Path) -> None:
    """No event at all is an experiment too."""
    toys = draw_toys(histogram(plain_file, luminosity=0.01), np.array([0.0]), 300, seed=11)
    n = toys.channels[0].n_events
    assert_mean((n == 0.0).astype(float), np.exp(-0.07))
    q = statistics_at(toys, np.array([0.0]), Region.of(np.array([[0.0], [5.0]]), [(0.0, 30.0)]))
    np.testing.assert_allclose(q[n == 0.0], 0.0, atol=1e-9)
    assert np.all(np.isfinite(q))


# --- events of a network


@pytest.fixture(scope="module")
def learned(
    moved_gaussian_file: MakeFile, exact_ratio: type[ParameterizedRatioEstimator]
) -> Likelihood:
    analysis = NeuralLikelihood(moved_gaussian_file(4000))
    x = np.random.default_rng(1).normal(size=(5, 2))
    return analysis.create_negative_log_likelihood(
        exact_ratio(4), x, luminosity=30.0, xsec_mode="sampled", mode="sampled"
    )


TRUTH = np.array([0.3, -0.2, 0.8, -0.5])


def test_events_are_drawn_like_the_reweighted_pool(learned: Likelihood) -> None:
    toys = draw_toys(learned, TRUTH, 400, seed=12)
    channel = toys.channels[0]
    (shape,) = (t for t in channel.terms if isinstance(t, LearnedShape))
    (rate,) = (t for t in channel.terms if isinstance(t, RateTerm))
    np.testing.assert_array_equal(np.diff(shape.starts), channel.n_events)
    np.testing.assert_array_equal(rate.n_observed, channel.n_events)
    assert len(shape.x) == channel.n_events.sum()
    np.testing.assert_array_equal(shape.weights, 1.0)
    pool = channel.pool
    weights = pool.weights_at(channel.points(TRUTH[np.newaxis]))[0]
    assert_mean(channel.n_events, 30.0 * weights.sum())
    assert_mean((channel.n_events - 30.0 * weights.sum()) ** 2, 30.0 * weights.sum())
    share = weights / weights.sum()
    assert_mean(shape.x, share @ pool.x)
    assert_mean(shape.x**2, share @ pool.x**2)
    order = np.argsort(pool.x[:, 0])  # the distribution of one observable, too
    position = np.searchsorted(pool.x[order, 0], shape.x[:, 0])
    below = np.cumsum(share[order])[position]
    assert kstest(below, "uniform").pvalue > 0.01
    # away from the truth the mean differs, so that the comparison can fail
    plain = pool.weights_at(channel.points(np.zeros((1, 4))))[0]
    error = shape.x.std(axis=0) / np.sqrt(len(shape.x))
    assert np.any(np.abs(plain @ pool.x / plain.sum() - shape.x.mean(axis=0)) > 10.0 * error)


def test_a_fixed_number_of_events(learned: Likelihood) -> None:
    """Without a rate every experiment has as many events as the data."""
    channel = learned.channels[0]
    shapes = tuple(t for t in channel.terms if not isinstance(t, RateTerm))
    toys = draw_toys(Likelihood((replace(channel, terms=shapes),)), TRUTH, 9, seed=13)
    np.testing.assert_array_equal(toys.channels[0].n_events, 5.0)
    np.testing.assert_array_equal(toys.channels[0].terms[0].starts, 5 * np.arange(10))


def test_statistic_of_events_is_that_of_scipy(learned: Likelihood) -> None:
    toys = draw_toys(learned, TRUTH, 3, seed=14)
    grid = np.stack(np.meshgrid([0.0, 0.4], [-0.4, 0.0]), axis=-1).reshape(-1, 2)
    q = statistics_at(toys, TRUTH[:2], Region.of(grid))
    for i in range(3):
        which = np.array([i])

        def nll(params: np.ndarray, which: np.ndarray = which) -> float:
            return float(toys.values(params[np.newaxis], which)[0])

        def slope(params: np.ndarray, which: np.ndarray = which) -> np.ndarray:
            return toys.expand(params[np.newaxis], which).gradient[0]

        best = lowest(nll, [TRUTH], [UNBOUNDED] * 4, slope)
        tested = lowest(nll, [TRUTH], [(t, t) for t in TRUTH[:2]] + [UNBOUNDED] * 2, slope)
        assert q[i] == pytest.approx(2.0 * (tested - best), abs=2e-3)


def test_the_response_is_drawn_with_the_events(
    moved_gaussian_file: MakeFile, exact_ratio: type[ParameterizedRatioEstimator]
) -> None:
    """Sums of a and b over the events of each experiment."""
    analysis = NeuralLikelihood(moved_gaussian_file(4000))
    likelihood = analysis.create_negative_log_likelihood(
        exact_ratio(2), [[0.0, 0.0]], luminosity=30.0
    )
    channel = likelihood.channels[0]
    (rate,) = (t for t in channel.terms if isinstance(t, RateTerm))

    def respond(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([0.3 * x[:, 0], 0.1 + 0.0 * x[:, 0]], 1), np.stack([x[:, 1], x[:, 0]], 1)

    term = ResponseShape.of(rate.total, *respond(np.zeros((1, 2))), np.ones(1), respond=respond)
    full = Likelihood((replace(channel, terms=(*channel.terms, term)),))
    toys = draw_toys(full, TRUTH, 30, seed=15)
    shape, _, found = toys.channels[0].terms
    assert isinstance(shape, LearnedShape)
    assert isinstance(found, ResponseShape)
    assert found.respond is respond
    np.testing.assert_array_equal(found.n_observed, toys.channels[0].n_events)
    for i in range(30):
        a, b = respond(shape.x[shape.starts[i] : shape.starts[i + 1]])
        np.testing.assert_allclose(found.linear[i], a.sum(axis=0))
        np.testing.assert_allclose(found.quadratic[i], b.sum(axis=0))
        np.testing.assert_allclose(found.spread[i], len(a) * np.cov(a.T, ddof=0), atol=1e-12)


# --- the test statistic


@pytest.mark.parametrize("ranges", [None, [(0.0, np.inf)], [(0.2, 1.0)]])
def test_statistic_with_nuisances_is_that_of_scipy(
    norm_file: Path, ranges: list[tuple[float, float]] | None
) -> None:
    toys = draw_toys(histogram(norm_file), np.array([0.5, 0.4]), 25, seed=16)
    grid = np.linspace(0.0, 2.0, 5)[:, np.newaxis]
    bounds = UNBOUNDED if ranges is None else ranges[0]
    q = statistics_at(toys, np.array([0.5]), Region.of(grid, ranges))
    start = [np.array([0.5, 0.0])]
    for data, found in zip(zip(counts_of(toys), toys.auxiliary[:, 0], strict=True), q, strict=True):
        nll = partial(_of_data, norm_nll, data)
        best = lowest(nll, start, [bounds, UNBOUNDED])
        tested = lowest(nll, start, [(0.5, 0.5), UNBOUNDED])
        assert found == pytest.approx(2.0 * (tested - best), abs=1e-4)


def _of_data(function: Callable[..., float], data: tuple, params: np.ndarray) -> float:
    return function(params, *data)


@pytest.mark.parametrize(
    "ranges",
    [
        [(0.0, np.inf), (0.0, np.inf)],
        [(0.0, 1.0), (0.0, 0.5)],
        [(-1.0, 0.1), (0.3, np.inf)],
    ],
)
def test_best_point_at_the_edge_of_two_parameters(
    two_signals: Path, ranges: list[tuple[float, float]]
) -> None:
    """Not the corner or edge nearest to a minimum outside, but the best point of the region."""
    toys = draw_toys(histogram(two_signals, 3.0), np.array([0.2, 0.2]), 40, seed=17)
    grid = np.stack(np.meshgrid([0.0, 0.1, 0.4, 2.0], [0.0, 0.4, 2.0]), axis=-1).reshape(-1, 2)
    region = Region.of(grid, ranges)
    found = best_nll(toys, region, np.arange(40))
    free = best_nll(toys, Region.of(grid), np.arange(40))
    starts = [np.clip(s, *np.transpose(ranges)) for s in ([0.2, 0.3], [2.0, 0.0], [0.0, 2.0])]
    nlls = [partial(_of_data, two_signals_nll, (counts,)) for counts in counts_of(toys)]
    exact = [lowest(nll, starts, ranges) for nll in nlls]
    np.testing.assert_allclose(found, exact, atol=1e-5)
    assert np.count_nonzero(found > free + 1e-3) > 20  # most minima lie outside


@pytest.mark.parametrize("with_nuisances", [False, True])
def test_many_events_are_chi_squared(
    plain_file: Path, norm_file: Path, with_nuisances: bool
) -> None:
    """Mean, variance and quantiles of Wilks; nuisance parameters do not count."""
    path = norm_file if with_nuisances else plain_file
    truth = np.array([1.0, 0.5] if with_nuisances else [1.0])
    n = 3000
    toys = draw_toys(histogram(path, luminosity=300.0), truth, n, seed=19)
    q = statistics_at(toys, truth[:1], Region.of(np.linspace(0.5, 1.5, 5)[:, np.newaxis]))
    assert np.all(q >= 0.0)
    assert_mean(q, 1.0)
    assert_mean((q - 1.0) ** 2, 2.0)
    for level in (0.3, 0.68, 0.95, 0.99):
        below = int(np.count_nonzero(q <= chi2.ppf(level, 1)))
        assert binom.cdf(below, n, level) > 1e-3
        assert binom.sf(below - 1, n, level) > 1e-3
    assert kstest(q, chi2(1).cdf).pvalue > 1e-3


def test_two_parameters_are_chi_squared(two_signals: Path) -> None:
    truth = np.array([1.0, 1.0])
    toys = draw_toys(histogram(two_signals, luminosity=3000.0), truth, 2000, seed=20)
    grid = np.stack(np.meshgrid([0.5, 1.0, 1.5], [0.5, 1.0, 1.5]), axis=-1).reshape(-1, 2)
    q = statistics_at(toys, truth, Region.of(grid))
    assert_mean(q, 2.0)
    assert kstest(q, chi2(2).cdf).pvalue > 1e-3


def test_half_of_the_experiments_at_an_edge_have_no_excess(plain_file: Path) -> None:
    """At mu = 0 with mu >= 0 the distribution is half a delta function, half chi-squared."""
    toys = draw_toys(histogram(plain_file, luminosity=300.0), np.array([0.0]), 2000, seed=21)
    q = statistics_at(toys, np.array([0.0]), Region.of(np.array([[0.0], [0.3]]), [(0.0, np.inf)]))
    assert_mean((q < 1e-6).astype(float), 0.5)
    assert_mean(q, 0.5)
    assert kstest(q[q > 1e-6], chi2(1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("n", [0, 1, 4])
def test_statistic_of_one_number_is_exact(template_file: MakeFile, n: int) -> None:
    """N ~ Pois(2 + mu) with mu >= 0."""
    likelihood = HistoLikelihood(template_file(np.array([[2.0, 1.0]])))
    data = likelihood.create_negative_log_likelihood([[0.5]], n_observed=n, luminosity=1.0)
    region = Region.of(np.linspace(0.0, 8.0, 9)[:, np.newaxis], [(0.0, np.inf)])
    for mu in (0.0, 0.5, 6.0):
        q = statistics_at(data, np.array([mu]), region)
        best = 2.0 + max(n - 2.0, 0.0)
        exact = 2.0 * (poisson.logpmf(n, best) - poisson.logpmf(n, 2.0 + mu))
        assert q == pytest.approx([exact], abs=1e-6)


# --- refusals


def test_bins_that_depend_on_theta_are_refused(plain_file: Path) -> None:
    likelihood = histogram(plain_file)
    shape, rate = likelihood.channels[0].terms
    moving = replace(
        shape, counts=np.tile(shape.counts, (2, 1)), volumes=np.tile(shape.volumes, (2, 1))
    )
    other = Likelihood((replace(likelihood.channels[0], terms=(moving, rate)),))
    with pytest.raises(OptionError, match="common to all points"):
        draw_toys(other, np.array([1.0]), 5, seed=1)


def test_bins_filled_at_random_are_refused(plain_file: Path) -> None:
    likelihood = histogram(plain_file, mode="sampled", n_histo_toys=100, seed=1)
    with pytest.raises(OptionError, match="filled at random"):
        draw_toys(likelihood, np.array([1.0]), 5, seed=1)


def test_weighted_bins_are_drawn(norm_file: Path) -> None:
    likelihood = histogram(norm_file, mode="weighted", n_histo_toys=None)
    toys = draw_toys(likelihood, np.array([0.7, 1.0]), 2000, seed=22)
    assert_mean(counts_of(toys), 10.0 * (CONTENTS @ [1.0, 0.7]) * NORM)


def test_latent_variables_are_refused(learned: Likelihood) -> None:
    """A response without a function of observables belongs to the events it was made of."""
    channel = learned.channels[0]
    (rate,) = (t for t in channel.terms if isinstance(t, RateTerm))
    term = ResponseShape.of(rate.total, np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1))
    other = Likelihood((replace(channel, terms=(*channel.terms, term)),))
    with pytest.raises(OptionError, match="latent variables"):
        draw_toys(other, TRUTH, 5, seed=1)


def test_events_without_simulation_are_refused(learned: Likelihood) -> None:
    other = Likelihood((replace(learned.channels[0], pool=None),))
    with pytest.raises(OptionError, match="knows no simulation"):
        draw_toys(other, TRUTH, 5, seed=1)


def test_no_event_is_possible(template_file: MakeFile, learned: Likelihood) -> None:
    nothing = histogram(template_file(np.array([[0.0, 1.0], [0.0, 2.0]])))
    with pytest.raises(NoEventsError, match="No bin expects an event"):
        draw_toys(nothing, np.array([0.0]), 5, seed=1)
    channel = learned.channels[0]
    empty = replace(channel.pool, weights=0.0 * channel.pool.weights)
    with pytest.raises(NoEventsError, match="positive weight"):
        draw_toys(Likelihood((replace(channel, pool=empty),)), TRUTH, 5, seed=1)


@pytest.mark.parametrize("n_toys", [0, -1, 2.0, True, "3"])
def test_wrong_numbers_are_refused(plain_file: Path, n_toys: object) -> None:
    with pytest.raises(OptionError, match="n_toys"):
        draw_toys(histogram(plain_file), np.array([1.0]), n_toys, seed=1)


@pytest.mark.parametrize(
    "ranges",
    [
        [(1.0, 1.0)],
        [(2.0, 1.0)],
        [(0.0, np.nan)],
        [(0.0, 1.0), (0.0, 1.0)],
        (0.0, 1.0),
        "ab",
        [(0.0,)],
        [(None, 1.0)],
        [(5.0, 6.0)],
    ],
)
def test_wrong_regions_are_refused(ranges: object) -> None:
    make = partial(Region.of, np.array([[0.0], [1.0]]))
    with pytest.raises(OptionError, match=r"ranges must be|physical region"):
        make(ranges)


def test_region_keeps_the_points_inside() -> None:
    region = Region.of(np.array([[-1.0], [0.0], [1.0]]), [(0.0, np.inf)])
    np.testing.assert_array_equal(region.starts, [[0.0], [1.0]])
    np.testing.assert_array_equal(region.contains(np.array([[-0.1], [0.0]])), [False, True])
