"""Terms of the likelihood: loops over events and bins, gradients, curvatures, many data sets."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madminer.analysis import DataAnalyzer
from madminer.errors import MorphingError, OptionError, ShapeError
from madminer.likelihood import HistoLikelihood, Likelihood
from madminer.likelihood.base import EventPool, total_cell
from madminer.likelihood.learned import LearnedDensity
from madminer.likelihood.model import Channel
from madminer.likelihood.terms import (
    BinnedShape,
    LearnedShape,
    RateTerm,
    ResponseShape,
    Term,
    binned_densities,
)
from madminer.likelihood.yields import DrawnCells, EventCells, MorphedCells

MakeFile = Callable[..., Path]
FIRST = np.zeros(1, dtype=np.int64)
POINTS = np.array(
    [[0.0, 0.0, 0.0, 0.0], [0.4, -0.3, 0.8, -1.1], [-0.7, 0.2, -0.5, 0.9], [0.1, 0.9, 1.5, 0.3]]
)
N_CELLS, LUMINOSITY = 4, 250.0


def one_channel(analyzer: DataAnalyzer, *terms: Term, n: float = 100.0) -> Likelihood:
    return Likelihood((Channel(analyzer.setup, terms, np.array([n])),))


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def analyzer(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> DataAnalyzer:
    return DataAnalyzer(nuisance_event_file(300, varying=request.param))


@pytest.fixture(scope="module")
def pool(analyzer: DataAnalyzer) -> EventPool:
    return EventPool.of(analyzer)


@pytest.fixture(scope="module")
def cells(pool: EventPool) -> np.ndarray:
    return np.searchsorted(np.quantile(pool.x[:, 1], [0.3, 0.5, 0.8]), pool.x[:, 1])


# --- the same in plain loops: observables are the coefficients of the weights, see conftest


def shared_rows(analyzer: DataAnalyzer) -> Iterator[tuple[list[float], float]]:
    """Observables of each event, and the share of the benchmark it was generated at."""
    events = analyzer.event_file.read()
    ids = events.sampling_benchmarks
    signal = [i for i in ids if i >= 0]
    for row, i in zip(events.x.tolist(), ids.tolist(), strict=True):
        yield row, signal.count(i) / len(signal) if i >= 0 else 1.0


def polynomial(coefficients: list[float], theta: np.ndarray) -> float:
    a, b = theta
    return sum(c * m for c, m in zip(coefficients, [1, b, b**2, a, a * b, a**2], strict=True))


def weight(row: list[float], theta: np.ndarray, nu: np.ndarray, varying: bool) -> float:
    """Weight of an event from its coefficients at nu = 0, at nu1 = 1 and at nu1 = -1."""
    at = theta if varying else np.zeros(2)
    centre, up, down = (polynomial(row[i : i + 6], at) for i in (0, 6, 12))
    a1 = 0.5 * math.log(up / down)
    b1 = 0.5 * math.log(up * down / centre**2)
    log_f = row[18] * nu[0] + a1 * nu[1] + b1 * nu[1] ** 2
    return polynomial(row[:6], theta) * math.exp(log_f)


def loop_sigma(
    analyzer: DataAnalyzer, cells: np.ndarray, params: np.ndarray, *, by_event: bool
) -> list[float]:
    """Cross sections of the cells: sums over events, or what their sums at nu = 0, +-1 give."""
    varying = bool(analyzer.response.varying)
    theta, nu = params[:2], params[2:]
    events = list(zip(shared_rows(analyzer), cells, strict=True))

    def total(k: int, at: np.ndarray) -> float:
        return sum(s * weight(r, theta, at, varying) for (r, s), cell in events if cell == k)

    found = []
    for k in sorted(set(cells.tolist())):
        if by_event:
            found.append(total(k, nu))
            continue
        sigma, log_f = total(k, np.zeros(2)), 0.0
        for j, step in enumerate(np.eye(2)):
            up, down = total(k, step), total(k, -step)
            log_f += 0.5 * math.log(up / down) * nu[j]
            log_f += 0.5 * math.log(up * down / sigma**2) * nu[j] ** 2
        found.append(sigma * math.exp(log_f))
    return found


def yields_of(
    analyzer: DataAnalyzer, pool: EventPool, cells: np.ndarray, by_event: bool
) -> MorphedCells | EventCells:
    if by_event:
        return EventCells(analyzer.setup, pool.weights, cells, N_CELLS)
    return MorphedCells.of_events(analyzer.setup, pool.weights, cells, N_CELLS)


@pytest.fixture(params=[False, True], ids=["cells", "events"])
def by_event(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def bins(
    analyzer: DataAnalyzer, pool: EventPool, cells: np.ndarray, by_event: bool
) -> MorphedCells | EventCells:
    return yields_of(analyzer, pool, cells, by_event)


def test_cross_sections_of_cells_are_sums_over_events(
    analyzer: DataAnalyzer, bins: MorphedCells, cells: np.ndarray, by_event: bool
) -> None:
    channel = Channel(analyzer.setup, (), np.ones(1))
    sigma, _ = bins.expand(channel.points(POINTS), np.zeros(4, dtype=np.int64))
    expected = [loop_sigma(analyzer, cells, params, by_event=by_event) for params in POINTS]
    np.testing.assert_allclose(sigma, expected, rtol=1e-11)


def test_cells_agree_where_variations_are_known(
    analyzer: DataAnalyzer, pool: EventPool, cells: np.ndarray
) -> None:
    """At nu = 0 and where one nuisance parameter is 1 or -1, at every theta."""
    channel = Channel(analyzer.setup, (), np.ones(1))
    nus = np.vstack([np.zeros(2), np.eye(2), -np.eye(2)])
    points = channel.points(np.array([[*theta, *nu] for theta in POINTS[:, :2] for nu in nus]))
    which = np.zeros(len(points), dtype=np.int64)
    (one, slope), (two, other) = (
        yields_of(analyzer, pool, cells, by_event).expand(points, which)
        for by_event in (False, True)
    )
    np.testing.assert_allclose(one, two, rtol=1e-11)
    np.testing.assert_allclose(slope[..., :2], other[..., :2], rtol=1e-9, atol=1e-9)


def test_totals_respond_as_at_the_reference_or_at_theta(analyzer: DataAnalyzer) -> None:
    channel = Channel(analyzer.setup, (), np.ones(1))
    everyone = np.zeros(analyzer.n_samples, dtype=np.int64)
    for params in POINTS:
        points = channel.points(params[np.newaxis])
        expected = loop_sigma(analyzer, everyone, params, by_event=False)[0]
        found, _ = total_cell(analyzer).expand(points, FIRST)
        assert found[0, 0] == pytest.approx(expected, rel=1e-11)
        if analyzer.response.varying:  # the sums at all benchmarks are known in any case
            continue

        def at(a: float, b: float, nu0: float, nu1: float) -> float:
            place = np.array([a, b, nu0, nu1])
            return loop_sigma(analyzer, everyone, place, by_event=False)[0]

        both, one_side = at(0, 0, 0, params[3]) / at(0, 0, 0, 0), at(0, 0, 1, 0) / at(0, 0, 0, 0)
        expected = at(params[0], params[1], 0, 0) * both * one_side ** params[2]
        found, _ = total_cell(analyzer, as_reference=True).expand(points, FIRST)
        assert found[0, 0] == pytest.approx(expected, rel=1e-11)


def test_binned_shape_is_the_loop_over_bins(
    analyzer: DataAnalyzer, bins: MorphedCells, cells: np.ndarray, by_event: bool
) -> None:
    counts, volumes = np.array([3.5, 0.0, 12.0, 7.25]), np.array([0.5, 2.0, 1.0, 4.0])
    term = BinnedShape(bins, counts[np.newaxis], volumes[np.newaxis])
    likelihood = one_channel(analyzer, term)
    for params, parts in zip(POINTS, likelihood.parts(POINTS)["shape"], strict=True):
        sigma = loop_sigma(analyzer, cells, params, by_event=by_event)
        expected = 0.0
        for k in range(N_CELLS):
            expected -= counts[k] * math.log(sigma[k] / sum(sigma) / volumes[k])
        assert parts == pytest.approx(expected, rel=1e-10)
        total = expected + sum(0.5 * (nu**2 + math.log(2.0 * math.pi)) for nu in params[2:])
        assert likelihood(params) == pytest.approx(total, rel=1e-10)


def test_rate_is_the_poisson_probability(analyzer: DataAnalyzer) -> None:
    everyone = np.zeros(analyzer.n_samples, dtype=np.int64)
    for n in (0.0, 17.0, 33.4):
        term = RateTerm(total_cell(analyzer), LUMINOSITY, np.array([n]))
        likelihood = one_channel(analyzer, term, n=n)
        for params, rate in zip(POINTS, likelihood.parts(POINTS)["rate"], strict=True):
            mean = LUMINOSITY * loop_sigma(analyzer, everyone, params, by_event=False)[0]
            expected = mean - n * math.log(mean) + math.lgamma(n + 1.0)
            assert rate == pytest.approx(expected, rel=1e-10)


def test_gradients_of_binned_likelihoods(
    analyzer: DataAnalyzer, bins: MorphedCells, assert_derivatives: Callable[..., None]
) -> None:
    counts = np.array([[3.5, 0.0, 12.0, 7.25]])
    rate = RateTerm(total_cell(analyzer), LUMINOSITY, np.array([22.75]))
    for terms in ([rate], [BinnedShape(bins, counts, np.ones((1, 4)))], None):
        chosen = terms or [rate, BinnedShape(bins, counts, np.ones((1, 4)))]
        assert_derivatives(one_channel(analyzer, *chosen), POINTS)


def test_curvature_is_the_expected_information(
    analyzer: DataAnalyzer, bins: MorphedCells, cells: np.ndarray
) -> None:
    """L sum_k dsigma_k dsigma_k^T / sigma_k where data are as expected, plus the constraints."""
    channel = Channel(analyzer.setup, (), np.ones(1))
    for params in POINTS[1:]:
        sigma, slope = bins.expand(channel.points(params[np.newaxis]), FIRST)
        counts = LUMINOSITY * sigma
        total = MorphedCellsLike(bins)
        terms = (
            RateTerm(total, LUMINOSITY, counts.sum(axis=1)),
            BinnedShape(bins, counts, np.ones((1, N_CELLS))),
        )
        found = one_channel(analyzer, *terms).expand(params[np.newaxis])
        expected = np.diag([0.0, 0.0, 1.0, 1.0])
        for k in range(N_CELLS):
            expected += LUMINOSITY * np.outer(slope[0, k], slope[0, k]) / sigma[0, k]
        np.testing.assert_allclose(found.curvature[0], expected, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(found.gradient[0, :2], 0.0, atol=1e-7)


class MorphedCellsLike:
    """The sum of cells as one."""

    def __init__(self, cells: MorphedCells | EventCells) -> None:
        self.cells = cells

    def expand(self, points: object, datasets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sigma, slope = self.cells.expand(points, datasets)  # type: ignore[arg-type]
        return sigma.sum(axis=1, keepdims=True), slope.sum(axis=1, keepdims=True)


def test_extended_binned_likelihoods_are_products_of_poisson_probabilities(
    analyzer: DataAnalyzer, bins: MorphedCells
) -> None:
    counts = np.array([[3.0, 1.0, 12.0, 7.0]])
    terms = (
        RateTerm(MorphedCellsLike(bins), LUMINOSITY, counts.sum(axis=1)),
        BinnedShape(bins, counts, np.ones((1, 4))),
    )
    likelihood = one_channel(analyzer, *terms)
    channel = likelihood.channels[0]
    sigma, _ = bins.expand(channel.points(POINTS), np.zeros(4, dtype=np.int64))
    poisson = np.sum(LUMINOSITY * sigma - counts * np.log(LUMINOSITY * sigma), axis=1)
    parts = likelihood.parts(POINTS)
    difference = parts["rate"] + parts["shape"] - poisson
    np.testing.assert_allclose(difference, difference[0], rtol=1e-9)


# --- bins without content


def test_densities_of_bins() -> None:
    densities = binned_densities(np.array([[1.0, 3.0, -2.0]]), np.array([[0.5, 1.0, 2.0]]))
    np.testing.assert_allclose(densities, [[0.5, 0.75, 0.5e-12]], rtol=1e-6)
    uniform = binned_densities(np.array([[-1.0, 0.0, -2.0]]), np.array([[0.5, 1.0, 2.0]]))
    np.testing.assert_allclose(uniform, [[2 / 3, 1 / 3, 1 / 6]])


@given(sigma=st.lists(st.floats(-1.0, 1e6), min_size=1, max_size=6), scale=st.floats(0.1, 10.0))
def test_densities_integrate_to_one(sigma: list[float], scale: float) -> None:
    volumes = scale * np.arange(1.0, len(sigma) + 1.0)[np.newaxis]
    densities = binned_densities(np.array([sigma]), volumes)
    assert np.all(densities > 0.0)
    assert np.sum(densities * volumes) == pytest.approx(1.0, rel=1e-12)


@pytest.fixture(scope="module")
def linear(template_file: MakeFile) -> HistoLikelihood:
    """Two bins, sigma = (1 + mu, 0.5 + mu / 2) pb, with one nuisance parameter."""
    shared = {"s": (np.array([1.1, 1.2]), 1.0 / np.array([1.1, 1.2]))}
    return HistoLikelihood(template_file(np.array([[1.0, 1.0], [0.5, 0.5]]), shared))


@pytest.mark.parametrize("mode", ["histo", "weighted", "sampled"])
def test_negative_cross_sections(
    linear: HistoLikelihood, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The mean is 1e-5, every bin is as likely as the others, and a warning says so."""
    likelihood = linear.create_negative_log_likelihood(
        [[0.5], [1.5]],
        ["k"],
        hist_bins=[[0.0, 1.0, 2.0]],
        n_observed=3.0,
        luminosity=10.0,
        mode=mode,
        seed=1,
    )
    with caplog.at_level(logging.WARNING):
        parts = likelihood.parts(np.array([[-3.0, 0.0]]))
    assert "cross section is negative at 1 of 1 parameter points" in caplog.text
    expected = 1e-5 - 3.0 * math.log(1e-5) + math.lgamma(4.0)
    assert parts["rate"][0] == pytest.approx(expected)
    assert parts["shape"][0] == pytest.approx(3.0 * math.log(2.0))
    if mode != "sampled":
        np.testing.assert_array_equal(likelihood.gradient([-3.0, 0.5]), [0.0, 0.5])


def test_a_vanishing_cross_section_has_no_gradient(linear: HistoLikelihood) -> None:
    likelihood = linear.create_negative_log_likelihood([[0.5]], luminosity=10.0)
    assert likelihood([-1.0, 0.0]) == math.inf
    with pytest.raises(MorphingError, match="its cross section vanishes"):
        likelihood.gradient([-1.0, 0.0])


def test_empty_bins_with_events_are_unlikely_but_not_impossible(
    template_file: MakeFile, assert_derivatives: Callable[..., None]
) -> None:
    file = HistoLikelihood(template_file(np.array([[1.0, 1.0], [0.0, 0.5], [2.0, 0.0]])))
    likelihood = file.create_negative_log_likelihood(
        [[0.5], [1.5]], ["k"], hist_bins=[[0.0, 1.0, 2.0, 3.0]], mode="histo", include_xsec=False
    )
    assert likelihood([0.0]) == pytest.approx(math.log(3.0) + 12.0 * math.log(10.0), rel=1e-6)
    np.testing.assert_array_equal(likelihood.expand(np.zeros((1, 1))).curvature >= 0.0, True)
    assert_derivatives(likelihood, np.array([[0.5], [2.0]]))


# --- terms of networks


@pytest.fixture(scope="module")
def moved(moved_gaussian_file: MakeFile) -> DataAnalyzer:
    return DataAnalyzer(moved_gaussian_file())


MOVED = np.array([[0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.7, 0.4], [-0.1, 0.4, -1.2, 1.0]])


def test_learned_shape_is_the_loop_over_events(
    moved: DataAnalyzer, exact_ratio: type, assert_derivatives: Callable[..., None]
) -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(30, 2)), rng.uniform(0.5, 2.0, 30)
    for n in (2, 4):
        density = LearnedDensity([exact_ratio(n)], 2, n == 4)
        term = LearnedShape(density, x, w, np.array([0, 30]))
        likelihood = one_channel(moved, term)
        for params, value in zip(MOVED, likelihood.parts(MOVED)["shape"], strict=True):
            expected = 0.0
            for z, weight in zip(x, w, strict=True):
                log_r, _ = exact_ratio(n).evaluate_log_likelihood_ratio(z[None], params[None, :n])
                expected -= weight * float(log_r[0, 0])
            assert value == pytest.approx(expected, rel=1e-11)
        assert term.depends_on_nu == (n == 4)
        assert_derivatives(likelihood, MOVED)
        scores = exact_ratio(n).evaluate_log_likelihood_ratio(x, MOVED[1:2, :n], True, True)[1][0]
        curvature = likelihood.expand(MOVED[1:2]).curvature[0, :2, :2]
        np.testing.assert_allclose(curvature, ((scores.T * w) @ scores)[:2, :2])


def test_response_term_is_its_formula(
    moved: DataAnalyzer, assert_derivatives: Callable[..., None]
) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(scale=0.2, size=(20, 2)), rng.normal(scale=0.05, size=(20, 2))
    w = rng.uniform(0.5, 2.0, 20)
    for total in (
        total_cell(moved),
        EventCells(moved.setup, EventPool.of(moved).weights, np.zeros(576, np.int64), 1),
    ):
        term = ResponseShape.of(total, a, b, w)
        likelihood = one_channel(moved, term)
        for params, value in zip(MOVED, likelihood.parts(MOVED)["shape"], strict=True):
            both = np.array([params, [*params[:2], 0.0, 0.0]])
            sigma = total.expand(likelihood.channels[0].points(both), np.zeros(2, np.int64))[0]
            expected = sum(w) * math.log(sigma[0, 0] / sigma[1, 0])
            for i in range(20):
                for j, nu in enumerate(params[2:]):
                    expected -= w[i] * (a[i, j] * nu + b[i, j] * nu**2)
            assert value == pytest.approx(expected, rel=1e-10, abs=1e-12)
        assert_derivatives(likelihood, MOVED)


class Undefined:
    """Log ratios that are not finite for some events, as those of networks far from their data."""

    def __init__(self, value: float) -> None:
        self.value = value

    def evaluate_log_likelihood_ratio(
        self, x: np.ndarray, theta: np.ndarray, combinations: bool, with_score: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        assert combinations
        log_r = theta[:, :1] * x[:, 0]
        log_r = np.where(x[:, 0] > 2.0, self.value, log_r)
        score = np.tile(x[:, :1], (len(theta), 1, 2)) if with_score else None
        return log_r, score


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_events_that_are_not_finite_count_nowhere(
    moved: DataAnalyzer, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    x = np.array([[1.0, 0.0], [3.0, 0.0], [-0.5, 0.0]])
    density = LearnedDensity([Undefined(value)], 2, False)  # type: ignore[list-item]
    term = LearnedShape(density, x, np.ones(3), np.array([0, 3]))
    found = one_channel(moved, term).expand(np.array([[0.3, 0.0, 0.0, 0.0]]))
    assert found.value[0] == pytest.approx(-0.3 * 0.5 + math.log(2.0 * math.pi))
    np.testing.assert_allclose(found.gradient[0], [-0.5, -0.5, 0.0, 0.0])
    assert "1 of 3 events have no finite likelihood" in caplog.text


# --- many data sets


def many_datasets(
    moved: DataAnalyzer, exact_ratio: type, *, same_bins: bool = False
) -> tuple[Likelihood, list[Likelihood], list[np.ndarray]]:
    """One likelihood of three data sets of different sizes, and each alone."""
    rng = np.random.default_rng(6)
    sizes = [4, 0, 7]
    xs = [rng.normal(size=(n, 2)) for n in sizes]
    a = [0.2 * x for x in xs]
    auxiliary = rng.normal(size=(3, 2))
    density = LearnedDensity([exact_ratio(2)], 2, False)
    total = total_cell(moved)
    sums = rng.uniform(0.5, 1.5, (3, 5, moved.n_benchmarks))
    counts = rng.uniform(0.0, 9.0, (3, 5))

    def terms(sets: list[int]) -> tuple[Term, ...]:
        x = np.vstack([xs[d] for d in sets])
        starts = np.append(0, np.cumsum([sizes[d] for d in sets]))
        own = MorphedCells(moved.setup, sums[:1] if same_bins else sums[sets])
        n = np.array([float(sizes[d]) for d in sets])
        response = np.vstack([a[d] for d in sets])
        return (
            LearnedShape(density, x, np.ones(len(x)), starts),
            ResponseShape.of(total, response, 0.0 * x, np.ones(len(x)), starts),
            RateTerm(total, 3.0, n),
            BinnedShape(own, counts[sets], np.ones((1, 5))),
        )

    def build(sets: list[int]) -> Likelihood:
        channel = Channel(moved.setup, terms(sets), np.array([float(sizes[d]) for d in sets]))
        return Likelihood((channel,), auxiliary[sets])

    return build([0, 1, 2]), [build([d]) for d in range(3)], xs


def test_data_sets_are_independent(moved: DataAnalyzer, exact_ratio: type) -> None:
    joint, singles, _ = many_datasets(moved, exact_ratio)
    which = np.array([2, 0, 1, 1, 2])
    params = np.random.default_rng(7).normal(scale=0.3, size=(5, 4))
    found = joint.expand(params, which)
    np.testing.assert_allclose(joint.values(params, which), found.value, rtol=1e-12)
    for i, d in enumerate(which):
        alone = singles[d].expand(params[i : i + 1])
        assert found.value[i] == pytest.approx(alone.value[0], rel=1e-11)
        np.testing.assert_allclose(found.gradient[i], alone.gradient[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.curvature[i], alone.curvature[0], rtol=1e-9, atol=1e-12)
    only_nu = joint.expand(params, which, only_nu=True)
    np.testing.assert_allclose(only_nu.gradient[:, 2:], found.gradient[:, 2:])
    assert not np.allclose(only_nu.value, found.value)


def test_scans_are_all_data_sets_at_all_points(moved: DataAnalyzer, exact_ratio: type) -> None:
    joint, singles, _ = many_datasets(moved, exact_ratio, same_bins=True)
    params = np.random.default_rng(8).normal(scale=0.3, size=(4, 4))
    expected = [[alone(row) for row in params] for alone in singles]
    np.testing.assert_allclose(joint.scan(params), expected, rtol=1e-11)


# --- the model


def test_calls_give_numbers(analyzer: DataAnalyzer) -> None:
    likelihood = one_channel(analyzer, RateTerm(total_cell(analyzer), 10.0, np.array([12.0])))
    assert likelihood(None) == likelihood() == likelihood.n_params == 4
    assert likelihood.names == ("a", "b", "nu0", "nu1")
    assert isinstance(likelihood([0.0, 0.0, 0.0, 0.0]), float)
    assert likelihood(POINTS[1].tolist()) == pytest.approx(likelihood.values(POINTS)[1], rel=1e-14)
    assert repr(likelihood) == "Likelihood(a, b, nu0, nu1; 100 events)"
    for wrong in ([0.0, 0.0], POINTS, [0.0, 0.0, 0.0, np.nan], "abcd", [True] * 4):
        for function in (likelihood, likelihood.gradient):
            with pytest.raises(ShapeError, match="params must be"):
                function(wrong)


def test_nuisance_parameters_are_in_standard_deviations(linear: HistoLikelihood) -> None:
    """log Normal(nu | auxiliary, 1), whatever the rest."""
    likelihood = linear.create_negative_log_likelihood([[0.5]], luminosity=10.0)
    moved = Likelihood(likelihood.channels, np.array([[0.7], [-1.0]]))
    params, which = np.array([[0.2, 0.3], [0.2, 0.3]]), np.array([0, 1])
    difference = moved.values(params, which) - likelihood.values(params)
    np.testing.assert_allclose(difference, [0.5 * (0.16 - 0.09), 0.5 * (1.69 - 0.09)])
    assert likelihood.parts(params)["constraint"][0] == pytest.approx(
        0.5 * 0.09 + 0.5 * math.log(2.0 * math.pi)
    )


@pytest.fixture(scope="module")
def channels(template_file: MakeFile) -> list[Likelihood]:
    """Parameters and nuisance parameters in different orders, and not all in both."""
    up = np.array([1.1]), np.array([0.9])
    other = np.array([1.3]), np.array([0.8])
    powers, basis = [[0, 0], [1, 0], [0, 1]], [[0.0, 0.0], [1, 0], [0, 1]]
    one = template_file(
        np.array([[1.0, 0.5, 0.25]]),
        {"s": up, "t": other},
        powers=powers,
        basis=basis,
        parameters=("a", "b"),
    )
    two = template_file(
        np.array([[2.0, 0.5, 0.75]]),
        {"u": other, "s": other},
        powers=powers,
        basis=basis,
        parameters=("b", "c"),
    )
    return [
        HistoLikelihood(file).create_negative_log_likelihood(
            [[0.5]], n_observed=n, luminosity=luminosity
        )
        for file, n, luminosity in ((one, 13.0, 10.0), (two, 70.0, 30.0))
    ]


def test_sums_share_parameters_by_name(
    channels: list[Likelihood], assert_derivatives: Callable[..., None]
) -> None:
    one, two = channels
    both = one + two
    assert both.names == ("a", "b", "c", "s", "t", "u")
    assert both(None) == 6
    values = {"a": 0.3, "b": -0.2, "c": 0.5, "s": 0.7, "t": -0.4, "u": 1.2}
    separate = sum(part([values[name] for name in part.names]) for part in channels)
    repeated = 0.5 * (values["s"] ** 2 + math.log(2.0 * math.pi))  # in both, but known once
    total = both([values[name] for name in both.names])
    assert total == pytest.approx(separate - repeated, rel=1e-12)
    other = two + one
    assert other.names == ("b", "c", "a", "u", "s", "t")
    assert other([values[name] for name in other.names]) == pytest.approx(total, rel=1e-12)
    thrice = both + one
    assert thrice.names == both.names
    assert_derivatives(both, np.array([list(values.values())]))
    gradient = both.gradient(list(values.values()))
    for name, slope in zip(both.names, gradient, strict=True):
        parts = sum(
            part.gradient([values[n] for n in part.names])[part.names.index(name)]
            for part in channels
            if name in part.names
        )
        expected = parts - (values["s"] if name == "s" else 0.0)
        assert slope == pytest.approx(expected, rel=1e-10)


def test_names_that_mean_different_things_do_not_add(
    channels: list[Likelihood], template_file: MakeFile
) -> None:
    file = template_file(np.array([[1.0, 0.5]]), parameters=("s",))
    other = HistoLikelihood(file).create_negative_log_likelihood([[0.5]])
    for left, right in ((channels[0], other), (other, channels[0])):
        with pytest.raises(OptionError, match=r"\['s'\] are theory parameters of one likelihood"):
            _ = left + right
    toys = Likelihood(channels[0].channels, np.zeros((2, 2)))
    with pytest.raises(OptionError, match="toy experiments do not add"):
        _ = channels[1] + toys


def test_sums_of_cells_have_a_column_for_each_benchmark(analyzer: DataAnalyzer) -> None:
    for shape in ((2, 3), (1, 2, analyzer.n_benchmarks + 1)):
        with pytest.raises(ShapeError, match=r"Sums must have shape \(n_datasets, n_cells"):
            MorphedCells(analyzer.setup, np.ones(shape))


def test_drawn_cells_are_multinomial(linear: HistoLikelihood) -> None:
    sums, _ = linear.summed_weights()
    cells = MorphedCells(linear.setup, np.array([[0.75 * sums, 0.25 * sums]]))
    drawn = DrawnCells(cells, 1000, np.random.default_rng(3))
    points = Channel(linear.setup, (), np.ones(1)).points(np.zeros((400, 2)))
    sigma, gradients = drawn.expand(points, np.zeros(400, dtype=np.int64))
    exact, _ = cells.expand(points, np.zeros(400, dtype=np.int64))
    np.testing.assert_allclose(sigma.sum(axis=1), exact.sum(axis=1))
    shares = sigma[:, 0] / sigma.sum(axis=1)
    deviation = math.sqrt(0.75 * 0.25 / 1000)
    assert shares.mean() == pytest.approx(0.75, abs=5 * deviation / math.sqrt(400))
    assert shares.std() == pytest.approx(deviation, rel=0.2)
    assert np.all(np.isnan(gradients))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    params=st.tuples(*[st.floats(-1.0, 1.0)] * 2, *[st.floats(-3.0, 3.0)] * 2),
    counts=st.lists(st.floats(0.0, 1e4), min_size=4, max_size=4),
)
def test_binned_curvatures_are_positive_semidefinite(
    analyzer: DataAnalyzer,
    pool: EventPool,
    cells: np.ndarray,
    params: tuple[float, ...],
    counts: list[float],
) -> None:
    bins = yields_of(analyzer, pool, cells, False)
    terms = (
        RateTerm(total_cell(analyzer), 10.0, np.array([sum(counts)])),
        BinnedShape(bins, np.array([counts]), np.ones((1, 4))),
    )
    found = one_channel(analyzer, *terms).expand(np.array([params]))
    eigenvalues = np.linalg.eigvalsh(found.curvature[0])
    assert eigenvalues[0] >= -1e-9 * eigenvalues[-1]
    assert np.isfinite(found.value[0])
