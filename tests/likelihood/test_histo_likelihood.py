"""Likelihoods of histograms: loops over events, bins, draws, expected data and wrong input."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    ExpressionError,
    MadMinerError,
    MissingFileError,
    MorphingError,
    NoEventsError,
    OptionError,
    ShapeError,
)
from madminer.likelihood import (
    BaseLikelihood,
    HistoLikelihood,
    profile_log_likelihood,
    project_log_likelihood,
)
from madminer.likelihood.histograms import DensityHistogram
from madminer.ml import Ensemble, LikelihoodEstimator, ScoreEstimator

MakeFile = Callable[..., Path]
EDGES = [-1.0, -0.2, 0.3, 1.5]
K1_EDGES = [edge / 300.0 for edge in EDGES]  # of an observable that is that small
MODES = ("histo", "weighted")
L = 300.0


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def maker(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> HistoLikelihood:
    return HistoLikelihood(nuisance_event_file(300, varying=request.param))


@pytest.fixture(scope="module")
def gaussian(gaussian_event_file: MakeFile) -> HistoLikelihood:
    return HistoLikelihood(gaussian_event_file(4000))


@pytest.fixture(scope="module")
def observed(maker: HistoLikelihood) -> np.ndarray:
    x, _ = maker.weighted_events()
    rows: np.ndarray = x[::9]
    return rows


# --- in plain loops


def event_weight(row: list[float], theta: np.ndarray, nu: np.ndarray, varying: bool) -> float:
    """From the coefficients that the toy keeps as observables, see conftest."""

    def polynomial(first: int, a: float, b: float) -> float:
        monomials = [1, b, b**2, a, a * b, a**2]
        return sum(c * m for c, m in zip(row[first : first + 6], monomials, strict=True))

    at = theta if varying else np.zeros(2)
    centre, up, down = (polynomial(first, *at) for first in (0, 6, 12))
    log_f = row[18] * nu[0] + 0.5 * math.log(up / down) * nu[1]
    log_f += 0.5 * math.log(up * down / centre**2) * nu[1] ** 2
    return polynomial(0, *theta) * math.exp(log_f)


def bin_of(value: float) -> int:
    """Bins hold their upper edge, the outermost everything outside."""
    number = sum(value > edge for edge in K1_EDGES) - 1
    return min(max(number, 0), len(K1_EDGES) - 2)


def loop_nll(
    maker: HistoLikelihood, x: np.ndarray, weights: np.ndarray, params: np.ndarray, mode: str
) -> float:
    """Minus the log likelihood of the observable k1."""
    varying, theta, nu = bool(maker.response.varying), params[:2], params[2:]
    events = maker.event_file.read()
    signal = [i for i in events.sampling_benchmarks.tolist() if i >= 0]
    share = {i: signal.count(i) / len(signal) for i in set(signal)} | {-1: 1.0}
    rows = [
        (row, share[i], bin_of(row[1]))
        for row, i in zip(events.x.tolist(), events.sampling_benchmarks.tolist(), strict=True)
    ]
    n_bins = len(K1_EDGES) - 1

    def sums(at: np.ndarray) -> list[float]:
        found = [0.0] * (n_bins + 1)
        for row, factor, k in rows:
            weight = factor * event_weight(row, theta, at, varying)
            found[k] += weight
            found[n_bins] += weight
        return found

    nominal = sums(np.zeros(2))
    sigma = list(nominal)
    for j, step in enumerate(np.eye(2)):
        up, down = sums(step), sums(-step)
        for k in range(n_bins + 1):
            log_f = 0.5 * math.log(up[k] / down[k]) * nu[j]
            log_f += 0.5 * math.log(up[k] * down[k] / nominal[k] ** 2) * nu[j] ** 2
            sigma[k] *= math.exp(log_f)
    total = sigma[n_bins]
    if mode == "weighted":
        sigma = sums(nu)
    widths = [high - low for low, high in pairwise(K1_EDGES)]
    widths[0], widths[-1] = min(widths[0], 2 * widths[1]), min(widths[-1], 2 * widths[-2])
    n = sum(weights)
    result = L * total - n * math.log(L * total) + math.lgamma(n + 1.0)
    for row, weight in zip(x, weights, strict=True):
        k = bin_of(row[1])
        result -= weight * math.log(sigma[k] / sum(sigma[:n_bins]) / widths[k])
    return result + sum(0.5 * (v**2 + math.log(2.0 * math.pi)) for v in nu)


@pytest.mark.parametrize("mode", MODES)
def test_likelihood_is_the_loop(maker: HistoLikelihood, observed: np.ndarray, mode: str) -> None:
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.5, 2.0, len(observed))
    for n, given in ((None, None), (81.3, None), (81.3, weights)):
        likelihood = maker.create_negative_log_likelihood(
            observed,
            ["k1"],
            n_observed=n,
            x_observed_weights=given,
            luminosity=L,
            mode=mode,
            n_histo_toys=None,
            hist_bins=[K1_EDGES],
        )
        number = len(observed) if n is None else n
        each = np.ones(len(observed)) if given is None else given
        each = each * (number / each.sum())
        for params in ([0.0, 0.0, 0.0, 0.0], [0.5, -0.4, 1.3, -0.8]):
            expected = loop_nll(maker, observed, each, np.array(params), mode)
            assert likelihood(params) == pytest.approx(expected, rel=1e-10)
        assert likelihood(None) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("include_xsec", [True, False])
def test_gradients(
    maker: HistoLikelihood,
    observed: np.ndarray,
    mode: str,
    include_xsec: bool,
    assert_derivatives: Callable[..., None],
) -> None:
    likelihood = maker.create_negative_log_likelihood(
        observed,
        ["k1", "k3 - k1"],
        include_xsec=include_xsec,
        luminosity=L,
        mode=mode,
        n_histo_toys=200,
        hist_bins=[3, 2],
        thetas_binning=[[0.0, 0.0], [0.5, 0.5]],
        seed=1,
    )
    points = np.random.default_rng(3).normal(scale=0.6, size=(5, 4))
    assert_derivatives(likelihood, points)
    step, at = 1e-5, points[0]
    numeric = [
        (likelihood(at + step * e) - likelihood(at - step * e)) / (2 * step) for e in np.eye(4)
    ]
    np.testing.assert_allclose(likelihood.gradient(at), numeric, rtol=1e-5, atol=1e-5)


def test_rate_only(maker: HistoLikelihood, observed: np.ndarray) -> None:
    """N is real: the Poisson probability is continued by the gamma function."""
    for n in (0.0, 2.5, 40.0):
        likelihood = maker.create_negative_log_likelihood(observed, n_observed=n, luminosity=L)
        mean = L * maker.xsecs([[0.3, 0.1]])[0][0]
        expected = mean - n * math.log(mean) + math.lgamma(n + 1.0) + math.log(2.0 * math.pi)
        assert likelihood([0.3, 0.1, 0.0, 0.0]) == pytest.approx(expected, rel=1e-12)
        assert set(likelihood.parts(np.zeros((1, 4)))) == {"rate", "shape", "constraint"}


def test_events_outside_fill_the_outer_bins(gaussian: HistoLikelihood) -> None:
    x = np.array([[-50.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    likelihood, inside = (
        gaussian.create_negative_log_likelihood(
            events, ["z0"], mode="histo", hist_bins=[[-1.0, 0.0, 1.0]], luminosity=1.0
        )
        for events in (x, np.clip(x, -0.5, 0.5))
    )
    assert likelihood([0.1, 0.2]) == inside([0.1, 0.2])


@pytest.mark.parametrize("mode", [*MODES, "sampled"])
def test_undefined_statistics_count_nowhere(
    gaussian: HistoLikelihood, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """log z0 of negative z0: such events are in neither histogram, but in their number."""
    x = np.array([[0.5, 0.0, 0.0], [2.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    options = {"hist_bins": [[-2.0, 0.0, 2.0]], "luminosity": 1.0, "mode": mode, "seed": 1}
    with np.errstate(invalid="ignore"), caplog.at_level(logging.WARNING):
        likelihood = gaussian.create_negative_log_likelihood(x, ["log(z0)"], **options)
        without = gaussian.create_negative_log_likelihood(
            x[:2], ["log(z0)"], n_observed=2.0, **options
        )
    assert "1 of 3 observed events have no finite value" in caplog.text
    assert "simulated events have no finite value" in caplog.text
    both = [part.parts(np.array([[0.1, 0.2]])) for part in (likelihood, without)]
    assert both[0]["shape"][0] == pytest.approx(both[1]["shape"][0])
    assert both[0]["rate"][0] != both[1]["rate"][0]
    with np.errstate(invalid="ignore"), pytest.raises(DataError, match="None of the observed"):
        gaussian.create_negative_log_likelihood(x[2:], ["log(z0)"], **options)


def test_no_observed_events(gaussian: HistoLikelihood) -> None:
    """N = 0 is a measurement: the likelihood is exp(-L sigma)."""
    for options in ({}, {"observables": ["z0"], "hist_bins": [EDGES], "mode": "histo"}):
        likelihood = gaussian.create_negative_log_likelihood(
            np.empty((0, 3)), luminosity=2.0, **options
        )
        expected = 2.0 * gaussian.xsecs([[0.4, 0.1]])[0][0]
        assert likelihood([0.4, 0.1]) == pytest.approx(expected)
        with pytest.raises(DataError, match="n_observed is 5, but x_observed has no events"):
            gaussian.create_negative_log_likelihood(np.empty((0, 3)), n_observed=5.0, **options)


# --- bins


def test_adaptive_bins_have_equal_contents(gaussian: HistoLikelihood) -> None:
    theta = [0.3, -0.2]
    likelihood = gaussian.create_negative_log_likelihood(
        np.zeros((1, 3)),
        ["z0"],
        mode="weighted",
        n_histo_toys=None,
        hist_bins=[10],
        thetas_binning=[theta],
    )
    term = likelihood.channels[0].terms[0]
    points = likelihood.channels[0].points(np.array([theta]))
    sigma, _ = term.bins.expand(points, np.zeros(1, dtype=int))
    np.testing.assert_allclose(sigma / sigma.sum(), 0.1, atol=0.004)
    assert len(term.counts[0]) == 10
    assert term.counts.sum() == 1.0


def test_default_numbers_of_bins(gaussian: HistoLikelihood) -> None:
    for observables, n_bins in ((["z0"], 25), (["z0", "z1"], 64), (["z0", "z1", "x0"], 125)):
        likelihood = gaussian.create_negative_log_likelihood(
            np.zeros((1, 3)), observables, mode="histo", thetas_binning=["b0", "b1"]
        )
        assert likelihood.channels[0].terms[0].counts.shape == (1, n_bins)
    for bins in (7, np.int64(7), [7], np.array([7])):
        likelihood = gaussian.create_negative_log_likelihood(
            np.zeros((1, 3)), ["z0"], mode="histo", hist_bins=bins, thetas_binning=[0]
        )
        assert likelihood.channels[0].terms[0].counts.shape == (1, 7)


def test_one_list_of_edges_serves_one_statistic(gaussian: HistoLikelihood) -> None:
    values = [
        gaussian.create_negative_log_likelihood(
            np.zeros((1, 3)), ["z0"], mode="histo", hist_bins=bins
        )([0.1, 0.2])
        for bins in ([EDGES], EDGES, np.array(EDGES), [np.array(EDGES)], (tuple(EDGES),))
    ]
    assert len(set(values)) == 1


def test_weighted_histogram_of_some_events(gaussian: HistoLikelihood) -> None:
    """One set of events, the same at each call, scaled to all events."""
    options = {"hist_bins": [EDGES], "mode": "weighted", "n_histo_toys": 500}
    nlls = [
        gaussian.create_negative_log_likelihood(np.zeros((1, 3)), ["z0"], seed=seed, **options)
        for seed in (1, 1, 2)
    ]
    values = [[nll([0.1, 0.2]) for _ in range(2)] for nll in nlls]
    assert values[0] == values[1]
    assert values[0][0] == values[0][1]
    assert values[0][0] != values[2][0]
    term = nlls[0].channels[0].terms[0]
    points = nlls[0].channels[0].points(np.zeros((1, 2)))
    sigma, _ = term.bins.expand(points, np.zeros(1, dtype=int))
    total = gaussian.xsecs([[0.0, 0.0]])[0][0]
    assert sigma.sum() == pytest.approx(total, rel=1e-9)  # all events have equal weights there


def test_sampled_histograms_fluctuate_around_weighted_ones(
    maker: HistoLikelihood, observed: np.ndarray
) -> None:
    options = {"hist_bins": [K1_EDGES], "luminosity": L, "include_xsec": False}
    params, n_toys = [0.3, 0.2, 0.5, -0.5], 2000
    weighted = maker.create_negative_log_likelihood(
        observed, ["k1"], mode="weighted", n_histo_toys=None, **options
    )

    def sampled(seed: int) -> np.ndarray:
        nll = maker.create_negative_log_likelihood(
            observed, ["k1"], n_histo_toys=n_toys, seed=seed, **options
        )
        with pytest.raises(MorphingError, match="events are drawn anew at each call"):
            nll.gradient(params)
        return np.array([nll(params) for _ in range(200)])

    values = sampled(4)
    np.testing.assert_array_equal(values[:3], sampled(4)[:3])
    assert len(np.unique(values)) > 150
    # -sum n_k log(share_k) of multinomial shares: variance sum n_k^2 / (n q_k) - N^2 / n
    term, channel = weighted.channels[0].terms[0], weighted.channels[0]
    sigma, _ = term.bins.expand(channel.points(np.array([params])), np.zeros(1, dtype=int))
    q, counts = sigma[0] / sigma.sum(), term.counts[0]
    deviation = math.sqrt((np.sum(counts**2 / q) - counts.sum() ** 2) / n_toys)
    bias = np.sum(counts * (1.0 - q) / q) / (2.0 * n_toys)  # the logarithm is concave
    assert values.std() == pytest.approx(deviation, rel=0.2)
    assert values.mean() == pytest.approx(weighted(params) + bias, abs=4 * deviation / 14)


def test_sampled_likelihoods_can_be_projected(gaussian: HistoLikelihood) -> None:
    nll = gaussian.create_negative_log_likelihood(
        np.zeros((4, 3)), ["z0"], luminosity=4.0, hist_bins=[EDGES], seed=3
    )
    _, _, _, log_r = project_log_likelihood(nll, [0], grid_resolutions=5)
    assert np.all(np.isfinite(log_r))
    with pytest.raises(MorphingError, match="mode 'sampled'"):
        profile_log_likelihood(nll, [0], grid_resolutions=2)


# --- scores


@pytest.fixture(scope="module")
def score(gaussian: HistoLikelihood) -> ScoreEstimator:
    """The score of this model at zero, 2 z, badly learned; the tests need no better one."""
    x, _ = gaussian.weighted_events()
    estimator = ScoreEstimator(n_hidden=(5,))
    estimator.train("sally", x, 2.0 * x[:, :2], n_epochs=1, verbose="none", seed=1)
    return estimator


def test_scores_follow_the_observables(
    gaussian: HistoLikelihood, score: ScoreEstimator, tmp_path: Path
) -> None:
    x, _ = gaussian.weighted_events(end_event=50)
    score.save(tmp_path / "sally")
    edges = [[-1.0, 0.0, 1.0], [-2.0, 0.3, 3.0], [-0.5, 0.1, 0.6]]
    values = []
    ensemble = Ensemble([score, str(tmp_path / "sally")])
    for model in (score, tmp_path / "sally", ensemble):
        likelihood = gaussian.create_negative_log_likelihood(
            x, ["z1"], [1, 0], mode="histo", model_file=model, hist_bins=edges, luminosity=50.0
        )
        counts = likelihood.channels[0].terms[0].counts[0].reshape(2, 2, 2)
        t = score.evaluate_score(x)
        statistics = [x[:, 1], t[:, 1], t[:, 0]]
        cells = np.array([s > e[1] for s, e in zip(statistics, edges, strict=True)]).astype(int)
        expected = np.zeros((2, 2, 2))
        np.add.at(expected, tuple(cells), 1.0)
        np.testing.assert_allclose(counts, expected)
        values.append(likelihood([0.1, -0.1]))
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


def test_wrong_scores(gaussian: HistoLikelihood, score: ScoreEstimator) -> None:
    x = np.zeros((1, 3))
    for components in ([2], [-1], ["a"], [], 0, [0.5]):
        with pytest.raises(OptionError, match="score_components"):
            gaussian.create_negative_log_likelihood(
                x, None, components, model_file=score, hist_bins=[EDGES]
            )
    with pytest.raises(OptionError, match="score_components needs model_file"):
        gaussian.create_negative_log_likelihood(x, None, [0], hist_bins=[EDGES])
    with pytest.raises(MissingFileError):
        gaussian.create_negative_log_likelihood(x, None, [0], model_file="no/such/model")
    for wrong in (LikelihoodEstimator(), Ensemble(), ScoreEstimator(), 3):
        with pytest.raises(MadMinerError):
            gaussian.create_negative_log_likelihood(
                x,
                None,
                [0],
                model_file=wrong,  # type: ignore[arg-type]
                hist_bins=[EDGES],
            )


# --- expected data


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nu", [None, [0.6, -0.4]])
def test_expected_likelihoods_prefer_the_truth(
    maker: HistoLikelihood, mode: str, nu: list[float] | None
) -> None:
    """With all events for both, the gradient of rate and shape vanishes there at nu = 0."""
    theta = [0.2, 0.1]
    likelihood = maker.create_expected_negative_log_likelihood(
        theta, nu, ["k1"], luminosity=L, mode=mode, n_histo_toys=None, hist_bins=[EDGES]
    )
    n = L * maker.xsecs([theta], None if nu is None else [nu])[0][0]
    assert likelihood.channels[0].n_events[0] == pytest.approx(n, rel=1e-9)
    counts = likelihood.channels[0].terms[0].counts
    assert counts.sum() == pytest.approx(n, rel=1e-9)
    everywhere = maker.weighted_events(generated_close_to=theta)[0]
    assert len(everywhere) < 300  # of the closest benchmark, and background


def test_expected_data_of_one_benchmark_are_those_of_the_model(
    gaussian: HistoLikelihood,
) -> None:
    for mode in MODES:
        likelihood = gaussian.create_expected_negative_log_likelihood(
            [0.2, 0.1], None, ["z0"], luminosity=L, mode=mode, n_histo_toys=None
        )
        np.testing.assert_allclose(likelihood.gradient([0.2, 0.1]), 0.0, atol=1e-7)
        assert likelihood([0.2, 0.1]) < likelihood([0.25, 0.1])
        assert likelihood.channels[0].terms[0].counts.shape == (1, 25)  # thetas_binning: truth


def test_parts_of_the_file(gaussian: HistoLikelihood) -> None:
    options = {"observables": ["z0"], "mode": "histo", "hist_bins": [[-9.0, 0.0, 9.0]]}
    split = gaussian.create_expected_negative_log_likelihood(
        "b0", None, luminosity=1.0, test_split=0.25, **options
    )
    counts = split.channels[0].terms[0].counts[0]
    x, _ = gaussian.weighted_events(start_event=3000)
    total = gaussian.xsecs(["b0"])[0][0]
    share = np.mean(x[:, 0] > 0.0)
    np.testing.assert_allclose(counts, total * np.array([1.0 - share, share]), rtol=1e-9)
    sigma = (
        split.channels[0]
        .terms[0]
        .bins.expand(split.channels[0].points(np.zeros((1, 2))), np.zeros(1, dtype=int))[0][0]
    )
    rest, _ = gaussian.weighted_events(end_event=3000)
    assert sigma[1] / sigma.sum() == pytest.approx(np.mean(rest[:, 0] > 0.0))
    assert sigma.sum() == pytest.approx(total, rel=0.05)
    first = gaussian.create_expected_negative_log_likelihood(
        "b0", None, luminosity=1.0, n_asimov=10, test_split=0.25, **options
    )
    counts = first.channels[0].terms[0].counts[0]
    assert counts[1] / counts.sum() == pytest.approx(np.mean(x[:10, 0] > 0.0))
    assert counts.sum() == pytest.approx(total, rel=1e-9)


def test_no_expected_events(
    gaussian: HistoLikelihood, toy_event_file: MakeFile, template_file: MakeFile
) -> None:
    with pytest.raises(OptionError, match="n_asimov must be a whole number from 1"):
        gaussian.create_expected_negative_log_likelihood([0.0, 0.0], None, n_asimov=0)
    with pytest.raises(OptionError, match=r"partition 'test' .* is empty"):
        gaussian.create_expected_negative_log_likelihood([0.0, 0.0], None, test_split=0.0)
    negative = HistoLikelihood(toy_event_file(200, negative_share=1.0))
    with pytest.raises((NoEventsError, OptionError), match=r"cross section|add up to"):
        negative.create_expected_negative_log_likelihood([0.0, 0.0], None)
    with pytest.raises(ShapeError, match=r"nu must be finite with shape \(0,\)"):
        gaussian.create_expected_negative_log_likelihood([0.0, 0.0], [0.1])


# --- wrong input


def test_wrong_events(gaussian: HistoLikelihood) -> None:
    for x in (np.zeros((3, 2)), np.zeros(3), np.zeros((3, 4)), np.zeros((1, 3, 1)), 1.0):
        with pytest.raises(ShapeError, match=r"x_observed must have shape \(n, 3\)"):
            gaussian.create_negative_log_likelihood(x)
    for x in ("abc", [["a", "b", "c"]], [[1.0, 2.0], [3.0]]):
        with pytest.raises(ShapeError, match="x_observed must be an array of numbers"):
            gaussian.create_negative_log_likelihood(x)  # type: ignore[arg-type]
    x = np.zeros((3, 3))
    x[1, 2] = np.nan
    with pytest.raises(DataError, match="x_observed has NaN in 1 of 3 events"):
        gaussian.create_negative_log_likelihood(x, ["z0"])
    good = np.zeros((3, 3))
    for weights in (np.ones(2), np.ones((3, 1)), 1.0):
        with pytest.raises(ShapeError, match=r"x_observed_weights must have shape \(3,\)"):
            gaussian.create_negative_log_likelihood(good, x_observed_weights=weights)
    for values in ([1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]):
        with pytest.raises(DataError, match="x_observed_weights must be finite with a positive"):
            gaussian.create_negative_log_likelihood(good, x_observed_weights=values)
    for n in (-1.0, np.nan, np.inf, "3"):
        with pytest.raises(OptionError, match="n_observed must be a number from 0"):
            gaussian.create_negative_log_likelihood(good, n_observed=n)  # type: ignore[arg-type]


def test_wrong_options(gaussian: HistoLikelihood) -> None:
    x = np.zeros((3, 3))
    for options, message in (
        ({"luminosity": 0.0}, "luminosity must be a positive number"),
        ({"luminosity": np.nan}, "luminosity must be a positive number"),
        ({"mode": "weigthed"}, "mode must be one of 'sampled', 'weighted', 'histo'"),
        ({"mode": None}, "mode must be one of"),
        ({"include_xsec": "no"}, "include_xsec must be True or False"),
        ({"seed": -1}, "seed must be"),
        ({"test_split": 1.5}, "test_split must be a number from 0 to 1"),
        ({"test_split": 1.0}, "partition 'train' .* is empty"),
        ({"include_xsec": False}, "Nothing is left of the likelihood"),
    ):
        with pytest.raises(OptionError, match=message):
            gaussian.create_negative_log_likelihood(x, **options)  # type: ignore[arg-type]
    for options, message in (
        ({"hist_bins": [EDGES], "n_histo_toys": 0}, "n_histo_toys must be a whole number from 1"),
        ({"hist_bins": [EDGES], "n_histo_toys": -5}, "n_histo_toys must be"),
        ({"hist_bins": [EDGES], "n_histo_toys": 2.5}, "n_histo_toys must be"),
        ({}, "need thetas_binning"),
        ({"hist_bins": 5}, "need thetas_binning"),
        ({"hist_bins": 0, "thetas_binning": ["b0"]}, r"hist_bins\[0\] must be a whole number"),
        ({"hist_bins": [EDGES, EDGES]}, "one entry for each of 1 statistics, got 2"),
        ({"hist_bins": [[2.0, 1.0]]}, "strictly increasing"),
        ({"hist_bins": [[1.0]]}, "at least two edges"),
        ({"hist_bins": [["a", "b"]]}, "hist_bins must be an array of numbers"),
        ({"hist_bins": "many"}, "hist_bins must be a list"),
        ({"hist_bins": 2.5}, "hist_bins must be a list"),
        ({"hist_bins": [[0.0, np.nan]]}, "strictly increasing"),
    ):
        for mode in ("sampled", "weighted"):
            with pytest.raises(OptionError, match=message):
                gaussian.create_negative_log_likelihood(
                    x,
                    ["z0"],
                    mode=mode,
                    **options,  # type: ignore[arg-type]
                )
    with pytest.raises(ValueError, match="need thetas_binning"):
        gaussian.create_negative_log_likelihood(x, ["z0"], hist_bins=5)
    with pytest.raises(OptionError, match="The number of bins must be"):
        gaussian.create_negative_log_likelihood(
            x, ["z0", "z1"], hist_bins=[10_000, 10_000], thetas_binning=["b0"]
        )


def test_wrong_observables(gaussian: HistoLikelihood) -> None:
    x = np.zeros((3, 3))
    with pytest.raises(ExpressionError, match="z7"):
        gaussian.create_negative_log_likelihood(x, ["z7"], hist_bins=[EDGES])
    with pytest.raises(ExpressionError):
        gaussian.create_negative_log_likelihood(x, ["__import__('os')"], hist_bins=[EDGES])
    for observables in ("z0", 3, [3], []):
        with pytest.raises(MadMinerError):
            gaussian.create_negative_log_likelihood(
                x,
                observables,  # type: ignore[arg-type]
                hist_bins=[EDGES],
            )
    with pytest.raises(DataError, match="which makes no histogram"):
        gaussian.create_negative_log_likelihood(
            x, ["0 * z0"], hist_bins=4, thetas_binning=["b0"], mode="histo"
        )


def test_without_nuisance_parameters(nuisance_event_file: MakeFile) -> None:
    file = nuisance_event_file(300)
    all_of_them, without = (
        HistoLikelihood(file, include_nuisance_parameters=include).create_negative_log_likelihood(
            np.ones((4, 19)), ["k1"], mode="histo", hist_bins=[EDGES], luminosity=L
        )
        for include in (True, False)
    )
    assert without(None) == 2
    assert without([0.3, 0.1]) == pytest.approx(
        all_of_them([0.3, 0.1, 0.0, 0.0]) - math.log(2.0 * math.pi), rel=1e-12
    )


def test_the_base_makes_no_likelihoods(gaussian_event_file: MakeFile) -> None:
    base = BaseLikelihood(gaussian_event_file(10))
    for name in ("create_negative_log_likelihood", "create_expected_negative_log_likelihood"):
        with pytest.raises(NotImplementedError, match="Use HistoLikelihood"):
            getattr(base, name)()


def test_density_histograms_are_plottable() -> None:
    density = DensityHistogram((np.array(EDGES),), np.array([0.25, 0.8, 0.4]))
    shares = density.values()
    widths = np.array([0.8, 0.5, 1.0])
    np.testing.assert_allclose(shares, np.array([0.25, 0.8, 0.4]) * widths)
    assert shares.sum() == pytest.approx(1.0)
    assert density.kind == "COUNT"
    assert density.variances() is None
    assert density.counts() is None
    np.testing.assert_array_equal(density.axes[0].edges, EDGES)
