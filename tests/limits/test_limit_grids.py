from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from madminer.analysis import DataAnalyzer
from madminer.errors import DataError, NoEventsError, OptionError, ShapeError
from madminer.fisherinformation import FisherInformation
from madminer.limits import expected_limit_grid, limit_grid, regular_grid, truth_limit_grid
from madminer.limits.asimov import asimov_sample, log_rate_probability
from madminer.limits.expected import mean_log_ratio
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.stats import log_poisson

L = 500.0
ORIGIN = np.zeros(2)


class ExactRatio(ParameterizedRatioEstimator):
    """The likelihood ratio to theta = 0 of the Gaussian toy, known in closed form."""

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self,
        x: np.ndarray,
        theta: np.ndarray,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[np.ndarray, None]:
        assert test_all_combinations
        assert not evaluate_score
        ratio = (1.0 + theta @ x[:, :2].T) ** 2 / (1.0 + np.sum(theta**2, axis=1)[:, np.newaxis])
        with np.errstate(divide="ignore"):
            return np.log(ratio), None


@pytest.fixture(scope="module")
def analyzer(gaussian_event_file: Callable[..., Path]) -> DataAnalyzer:
    return DataAnalyzer(gaussian_event_file())


def test_grid_is_flattened_with_the_last_parameter_fastest() -> None:
    grid = regular_grid([(-1.0, 1.0), (0.0, 2.0), (5.0, 6.0)], [3, 5, 2])
    assert grid.shape == (30, 3)
    np.testing.assert_array_equal(grid[:2], [[-1.0, 0.0, 5.0], [-1.0, 0.0, 6.0]])
    np.testing.assert_array_equal(grid.reshape(3, 5, 2, 3)[:, 0, 0, 0], [-1.0, 0.0, 1.0])
    assert regular_grid([(0.0, 1.0)] * 2, 4).shape == (16, 2)


def test_regular_grid_is_that_of_madminer(shared: Path) -> None:
    reference = json.loads((shared / "reference/public.json").read_text())["limits_rate"]
    np.testing.assert_allclose(regular_grid([(-1.0, 1.0)] * 2, 7), reference["grid"], atol=1e-12)


def test_combination_is_the_definition() -> None:
    thetas = regular_grid([(0.0, 1.0)], 3)
    result = limit_grid(thetas, np.array([-2.0, -1.0, -4.0]), np.array([0.0, -3.0, 0.5]), 12.5)
    np.testing.assert_allclose(result.log_r, [0.0, -2.0, -1.5])
    np.testing.assert_allclose(result.p_values, stats.chi2.sf([0.0, 4.0, 3.0], 1))
    assert (result.i_best, result.dof, result.n_observed) == (0, 1, 12.5)
    np.testing.assert_array_equal(result.best_theta, [0.0])


def test_rate_is_the_closed_form(analyzer: DataAnalyzer) -> None:
    thetas = regular_grid([(-0.5, 0.5)] * 2, 5)
    result = truth_limit_grid(analyzer, ORIGIN, thetas, L)
    sigma = analyzer.xsecs(list(thetas))[0]
    np.testing.assert_allclose(sigma, 1.0 + np.sum(thetas**2, axis=1), rtol=0.05)
    n = L * analyzer.xsecs([ORIGIN])[0][0]
    assert result.n_observed == pytest.approx(n)
    np.testing.assert_allclose(result.log_p_rate, log_poisson(n, L * sigma))
    ratio = n * np.log(sigma / (n / L)) - L * sigma + n  # of two Poisson probabilities
    best = result.log_p_rate[np.argmin(np.sum(thetas**2, axis=1))]
    np.testing.assert_allclose(result.log_p_rate - best, ratio, atol=1e-9)
    without = truth_limit_grid(analyzer, ORIGIN, thetas, L, include_xsec=False)
    np.testing.assert_array_equal(without.log_p_rate, 0.0)
    np.testing.assert_array_equal(without.llr_kin, result.llr_kin)


def test_real_event_numbers_prefer_the_truth(analyzer: DataAnalyzer) -> None:
    thetas = regular_grid([(-0.4, 0.4)] * 2, 9)
    for luminosity in (0.3, 17.0, 1e5):  # expected numbers are not rounded
        log_p = log_rate_probability(analyzer, thetas, luminosity * 1.0, luminosity)
        assert np.linalg.norm(thetas[np.argmax(log_p)]) < 0.15


def test_truth_is_the_integral_over_latent_variables(analyzer: DataAnalyzer) -> None:
    for a in (0.2, 0.5):
        thetas = np.array([[0.0, 0.0], [a, 0.0]])
        result = truth_limit_grid(analyzer, ORIGIN, thetas, L, include_xsec=False, test_split=None)
        expected, _ = integrate.quad(
            lambda z, a=a: np.log((1 + a * z) ** 2 / (1 + a**2)) * stats.norm.pdf(z),
            -12,
            12,
            points=[-1 / a],
            limit=200,
        )
        assert result.llr_kin[0] == pytest.approx(0.0, abs=1e-9)
        assert result.llr_kin[1] == pytest.approx(L * expected, rel=0.06)
        assert result.i_best == 0


def test_small_steps_give_the_fisher_information(analyzer: DataAnalyzer) -> None:
    fisher = FisherInformation(analyzer.madminer_filename)
    information, _ = fisher.truth_information(ORIGIN, L)
    thetas = np.array([[0.0, 0.0], [0.02, 0.0], [0.0, -0.02], [0.015, 0.015]])
    result = truth_limit_grid(analyzer, ORIGIN, thetas, L, test_split=None)
    distance = np.einsum("ni,ij,nj->n", thetas, information, thetas)
    np.testing.assert_allclose(-2.0 * result.log_r, distance, rtol=0.03)


@pytest.mark.parametrize("close", [True, False])
def test_exact_estimator_reproduces_the_truth(analyzer: DataAnalyzer, close: bool) -> None:
    thetas = regular_grid([(-0.3, 0.3)] * 2, 5)
    options = {"sample_only_from_closest_benchmark": close, "test_split": 0.25}
    truth = truth_limit_grid(analyzer, ORIGIN, thetas, L, **options)  # type: ignore[arg-type]
    network = expected_limit_grid(analyzer, ExactRatio(), ORIGIN, thetas, L, **options)  # type: ignore[arg-type]
    # the truth normalises with the cross sections of the same events
    x, _ = analyzer.weighted_events(start_event=15_000)
    sigma = 1.0 + np.sum(thetas**2, axis=1)
    ones = np.column_stack([np.ones(len(x)), x[:, :2]])
    same = np.mean((ones @ np.column_stack([np.ones(25), thetas]).T) ** 2, axis=0)
    shift = truth.n_observed * np.log(same / sigma)
    np.testing.assert_allclose(network.llr_kin, truth.llr_kin + shift, atol=1e-6)
    np.testing.assert_array_equal(network.log_p_rate, truth.log_p_rate)


def test_asimov_sample_is_the_test_partition(toy_event_file: Callable[..., Path]) -> None:
    analyzer = DataAnalyzer(toy_event_file(1000))
    theta = np.array([0.25, -1.3])  # closest to benchmark 3
    sample = asimov_sample(analyzer, theta, 0.3)
    events = analyzer.event_file.read(700)
    assert events.sampling_benchmarks is not None
    kept = np.isin(events.sampling_benchmarks, [-1, 3])
    np.testing.assert_array_equal(sample.x, events.x[kept])
    assert sample.probabilities.sum() == pytest.approx(1.0)
    assert len(asimov_sample(analyzer, theta, None, False).x) == 1000
    negative = DataAnalyzer(toy_event_file(200, negative_share=1.0))
    with pytest.raises(NoEventsError, match="add up to"):
        asimov_sample(negative, ORIGIN)


def test_events_without_finite_ratio_count_nowhere() -> None:
    values = np.array([[1.0, -np.inf, 2.0, np.nan], [3.0, 1.0, 4.0, 1.0]])
    weights = np.array([0.4, 0.1, 0.3, 0.2])
    mean, left_out = mean_log_ratio(lambda events: values[:, events], weights, 2)
    np.testing.assert_allclose(mean, [1.0, 2.4])
    assert left_out == pytest.approx(0.3)


def test_left_out_events_are_reported(analyzer: DataAnalyzer) -> None:
    x = analyzer.event_file.read(16_000).x
    zero = np.array([[-1.0 / x[5, 0], 0.0]])  # the ratio of this event vanishes here
    with pytest.warns(RuntimeWarning, match="have no finite log ratio"):
        expected_limit_grid(analyzer, ExactRatio(), ORIGIN, zero, L)

    class Broken(ExactRatio):
        def evaluate_log_likelihood_ratio(self, x, theta, **_):  # type: ignore[no-untyped-def]
            return np.full((len(theta), len(x)), np.nan), None

    with pytest.raises(DataError, match="not finite for 100 %"):
        expected_limit_grid(analyzer, Broken(), ORIGIN, zero, L)


def test_refused(analyzer: DataAnalyzer) -> None:
    with pytest.raises(ShapeError, match=r"shape \(n, 2\)"):
        truth_limit_grid(analyzer, ORIGIN, [[0.0]], L)
    with pytest.raises(ShapeError, match="theta must be finite"):
        truth_limit_grid(analyzer, [0.0], [[0.0, 0.0]], L)
    with pytest.raises(OptionError, match="luminosity must be positive"):
        truth_limit_grid(analyzer, ORIGIN, [[0.0, 0.0]], 0.0)
    with pytest.raises(OptionError, match="single ratio estimator, got ScoreEstimator"):
        expected_limit_grid(analyzer, ScoreEstimator(), ORIGIN, [[0.0, 0.0]], L)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="log likelihoods"):
        limit_grid(np.zeros((2, 1)), np.zeros(3), np.zeros(2), 1.0)
    with pytest.raises(DataError, match="not a number"):
        limit_grid(np.zeros((2, 1)), np.array([0.0, np.nan]), np.zeros(2), 1.0)
    for ranges, numbers in (
        ([(1.0, 0.0)], 3),
        ([(0.0, np.inf)], 3),
        ([], 3),
        ([(0.0, 1.0)], [3, 3]),
        ([(0.0, 1.0)], 0),
    ):
        with pytest.raises(OptionError, match="grid"):
            regular_grid(ranges, numbers)  # type: ignore[arg-type]
