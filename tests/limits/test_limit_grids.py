from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from madminer.analysis import DataAnalyzer
from madminer.errors import (
    DataError,
    MissingFileError,
    NoEventsError,
    OptionError,
    ShapeError,
)
from madminer.fisherinformation import FisherInformation
from madminer.io import Events, EventSummary, write_events
from madminer.limits import (
    AsymptoticLimits,
    expected_limit_grid,
    limit_grid,
    regular_grid,
    truth_limit_grid,
)
from madminer.ml import Ensemble, ParameterizedRatioEstimator, ScoreEstimator
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark, MorphingSetup
from madminer.stats import log_poisson

L = 500.0
ORIGIN = np.zeros(2)


MakeRatio = Callable[..., ParameterizedRatioEstimator]


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
        log_p = truth_limit_grid(analyzer, ORIGIN, thetas, luminosity).log_p_rate
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
def test_exact_estimator_reproduces_the_truth(
    analyzer: DataAnalyzer, exact_ratio: MakeRatio, close: bool
) -> None:
    thetas = regular_grid([(-0.3, 0.3)] * 2, 5)
    options = {"sample_only_from_closest_benchmark": close, "test_split": 0.25}
    truth = truth_limit_grid(analyzer, ORIGIN, thetas, L, **options)  # type: ignore[arg-type]
    network = expected_limit_grid(analyzer, exact_ratio(), ORIGIN, thetas, L, **options)  # type: ignore[arg-type]
    # the truth normalises with the cross sections of the same events
    x, _ = analyzer.weighted_events(start_event=15_000)
    sigma = 1.0 + np.sum(thetas**2, axis=1)
    ones = np.column_stack([np.ones(len(x)), x[:, :2]])
    same = np.mean((ones @ np.column_stack([np.ones(25), thetas]).T) ** 2, axis=0)
    shift = truth.n_observed * np.log(same / sigma)
    np.testing.assert_allclose(network.llr_kin, truth.llr_kin + shift, atol=1e-6)
    np.testing.assert_array_equal(network.log_p_rate, truth.log_p_rate)


def test_expected_data_are_the_test_partition(toy_event_file: Callable[..., Path]) -> None:
    limits = AsymptoticLimits(toy_event_file(1000))
    theta = np.array([0.25, -1.3])  # closest to benchmark 3
    events = limits.event_file.read(700)
    assert events.sampling_benchmarks is not None
    kept = np.isin(events.sampling_benchmarks, [-1, 3])

    def data(**options: Any) -> tuple[np.ndarray, np.ndarray]:
        result = limits.expected_limits(
            "histo",
            theta,
            thetas_eval=[theta],
            hist_vars=["k0", "k3"],
            hist_bins=1,
            return_asimov=True,
            luminosity=L,
            **options,
        )
        return result.histos[1][0], result.histos[2]

    x, weights = data(test_split=0.3)
    np.testing.assert_array_equal(x, events.x[kept][:, [0, 3]])
    assert weights.sum() == pytest.approx(L * limits.xsecs([theta])[0][0])
    powers = np.array([1.0, -1.3, 1.69, 0.25, -0.325, 0.0625])  # of the weight, see the file
    at_theta = events.x[kept] @ powers  # background and one benchmark: no rescaling
    np.testing.assert_allclose(weights / weights.sum(), at_theta / at_theta.sum())
    x, _ = data(test_split=None, sample_only_from_closest_benchmark=False)
    assert len(x) == 1000
    negative = AsymptoticLimits(toy_event_file(200, negative_share=1.0))
    with pytest.raises(NoEventsError, match="add up to"):
        negative.expected_limits("rate", ORIGIN, thetas_eval=[ORIGIN])


def test_events_without_finite_ratio_count_nowhere(analyzer: DataAnalyzer) -> None:
    """Not at one point only, where the likelihood of the others would jump."""
    values = np.array([[1.0, -np.inf, 2.0, np.nan], [3.0, 1.0, 4.0, 1.0]])

    class Table(ParameterizedRatioEstimator):
        def evaluate_log_likelihood_ratio(self, x, theta, *_, **__):  # type: ignore[no-untyped-def]
            assert len(theta) == 2
            return values[:, x[:, 0].astype(int)], None

    table = Table()
    table.n_parameters = 2
    limits = AsymptoticLimits(analyzer.madminer_filename)
    x = np.column_stack([np.repeat(np.arange(4.0), [4, 1, 3, 2]), np.zeros((10, 2))])
    found = limits.observed_limits("ml", x, model_file=table, thetas_eval=[ORIGIN, [0.1, 0.0]])
    np.testing.assert_allclose(found.llr_kin, [4 * 1.0 + 3 * 2.0, 4 * 3.0 + 3 * 4.0])
    assert found.n_observed == 10.0


def test_left_out_events_are_reported(
    analyzer: DataAnalyzer, exact_ratio: MakeRatio, caplog: pytest.LogCaptureFixture
) -> None:
    x = analyzer.event_file.read(16_000).x
    zero = np.array([[-1.0 / x[5, 0], 0.0]])  # the ratio of this event vanishes here
    expected_limit_grid(analyzer, exact_ratio(), ORIGIN, zero, L)
    assert "1 of 4000 events have no finite likelihood" in caplog.text


def test_most_events_must_count(tmp_path: Path) -> None:
    """Weights 1 - 2 theta of 60 % of the events, 1 + 10 theta of the others."""
    slopes = np.repeat([-2.0, 10.0], [60, 40])
    setup = AnalysisSetup(
        parameters={"a": AnalysisParameter("a", "dim6", 1)},
        benchmarks={n: Benchmark.from_params(n, "a", [t]) for n, t in (("sm", 0.0), ("w", 1.0))},
        morphing=MorphingSetup(np.array([[0], [1]]), np.array([[1.0, 0.0], [-1.0, 1.0]])),
        observables={"x": "_"},
    )
    weights = np.stack([np.ones(100), 1.0 + slopes], axis=1)
    events = Events(slopes[:, np.newaxis], weights, np.zeros(100, dtype=np.int64))
    write_events(tmp_path / "linear.h5", setup, events, EventSummary.count(np.zeros(100, int), 2))
    file = tmp_path / "linear.h5"
    given: dict[str, Any] = {"luminosity": L, "test_split": None}
    truth_limit_grid(file, [0.0], [[0.0], [0.4]], **given)
    with pytest.raises(DataError, match="not finite for 60 % of the expected events"):
        truth_limit_grid(file, [0.0], [[0.0], [0.6]], **given)


def test_refused(analyzer: DataAnalyzer) -> None:
    with pytest.raises(ShapeError, match=r"shape \(n, 2\)"):
        truth_limit_grid(analyzer, ORIGIN, [[0.0]], L)
    with pytest.raises(ShapeError, match="theta must be finite"):
        truth_limit_grid(analyzer, [0.0], [[0.0, 0.0]], L)
    with pytest.raises(OptionError, match="luminosity must be a positive number"):
        truth_limit_grid(analyzer, ORIGIN, [[0.0, 0.0]], 0.0)
    wrong = ScoreEstimator(), Ensemble([ScoreEstimator()])
    for estimator in wrong:
        with pytest.raises(OptionError, match=r"ratio estimator .*; got ScoreEstimator"):
            expected_limit_grid(analyzer, estimator, ORIGIN, [[0.0, 0.0]], L)  # type: ignore[arg-type]
    with pytest.raises(MissingFileError):
        expected_limit_grid(analyzer, "no/such/model", ORIGIN, [[0.0, 0.0]], L)
    with pytest.raises(ShapeError, match="must be finite"):
        truth_limit_grid(analyzer, ORIGIN, [[0.0, np.nan]], L)
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
    for number in (1.5, "3", None):
        with pytest.raises(OptionError, match="must be a positive whole number, or one for each"):
            regular_grid([(0.0, 1.0)], number)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(analyzer: DataAnalyzer) -> list[ParameterizedRatioEstimator]:
    """Two small networks of the ratio."""
    x, _ = analyzer.weighted_events(end_event=2000)
    members = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        theta = rng.normal(scale=0.3, size=(len(x), 2))
        r_xz = (1.0 + np.sum(theta * x[:, :2], axis=1, keepdims=True)) ** 2
        estimator = ParameterizedRatioEstimator(n_hidden=(10,))
        y = rng.integers(0, 2, (len(x), 1))
        estimator.train("alice", x, y, theta, r_xz, n_epochs=2, verbose="none", seed=seed)
        members.append(estimator)
    return members


def test_ensemble_takes_the_mean_log_ratio(
    analyzer: DataAnalyzer, trained: list[ParameterizedRatioEstimator], tmp_path: Path
) -> None:
    thetas = regular_grid([(-0.3, 0.3)] * 2, 3)
    singles = [expected_limit_grid(analyzer, one, ORIGIN, thetas, L) for one in trained]
    ensemble = Ensemble(list(trained))
    result = expected_limit_grid(analyzer, ensemble, ORIGIN, thetas, L)
    mean = np.mean([single.llr_kin for single in singles], axis=0)
    np.testing.assert_allclose(result.llr_kin, mean, rtol=1e-6)
    ensemble.save(tmp_path / "ensemble")
    trained[0].save(tmp_path / "single")
    loaded = expected_limit_grid(analyzer, tmp_path / "ensemble", ORIGIN, thetas, L)
    np.testing.assert_array_equal(loaded.llr_kin, result.llr_kin)
    loaded = expected_limit_grid(analyzer, str(tmp_path / "single"), ORIGIN, thetas, L)
    np.testing.assert_array_equal(loaded.llr_kin, singles[0].llr_kin)


def test_names_indices_and_lists_are_the_same_truth(analyzer: DataAnalyzer) -> None:
    thetas = regular_grid([(-0.3, 0.3)] * 2, 3)
    expected = truth_limit_grid(analyzer, ORIGIN, thetas, L)
    for theta in ("b0", 0, [0, 0], (0.0, 0.0)):
        for grid in (thetas, thetas.tolist()):
            result = truth_limit_grid(analyzer, theta, grid, L)  # type: ignore[arg-type]
            np.testing.assert_allclose(result.p_values, expected.p_values)


def test_excluded_truth_is_reported(
    analyzer: DataAnalyzer, exact_ratio: MakeRatio, caplog: pytest.LogCaptureFixture
) -> None:
    thetas = regular_grid([(-0.9, 0.9)] * 2, 7)
    truth_limit_grid(analyzer, ORIGIN, thetas, L)
    expected_limit_grid(analyzer, exact_ratio(), ORIGIN, thetas, L)
    assert not caplog.text
    result = expected_limit_grid(
        analyzer, exact_ratio(shift=0.3), ORIGIN, thetas, L, include_xsec=False
    )
    np.testing.assert_allclose(result.best_theta, [0.3, 0.0], atol=1e-12)
    assert "truth theta = (0, 0) is excluded by the limits expected from it" in caplog.text
    assert len(caplog.records) == 1


def test_truth_between_grid_points_is_not_excluded(
    analyzer: DataAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    thetas = regular_grid([(-0.9, 0.9)] * 2, 4)  # 0 is not in it, and far from it
    truth_limit_grid(analyzer, ORIGIN, thetas, 1e5)
    assert not caplog.text


def test_best_fit_at_the_border_is_reported(
    analyzer: DataAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    thetas = regular_grid([(-0.9, 0.9), (0.3, 0.9)], 5)
    result = truth_limit_grid(analyzer, ORIGIN, thetas, L)
    np.testing.assert_allclose(result.best_theta, [0.0, 0.3], atol=1e-12)
    assert "best fit theta = (0, 0.3) lies at the border of the grid in b:" in caplog.text
    caplog.clear()
    truth_limit_grid(analyzer, ORIGIN, thetas[[0, 12]], L)  # two points have no border
    assert "border" not in caplog.text


def test_display() -> None:
    thetas = regular_grid([(0.0, 1.0)], 4)
    grid = limit_grid(thetas, np.array([0.0, -0.4, -1.0, -9.0]), np.zeros(4), 12.5)
    expected = (
        "LimitGrid(theta_0: best fit 0, 68 % below 0.40, 95 % below 0.73; events 12.5, degrees of "
        "freedom 1, grid points 4, within 68 % 50 % of them, within 95 % 75 % of them)"
    )
    assert repr(grid) == expected
    assert grid.share_within(0.95) == np.mean(grid.p_values >= 0.05)
    named = replace(grid, parameters=("<b>",), luminosity=3e5, warnings=("too <few>",))
    html = named._repr_html_()
    for text in ("<td>&lt;b&gt;</td><td>0</td><td>below 0.40</td>", "68 % CL interval"):
        assert text in html
    assert "300000 pb^-1" in html
    assert "too &lt;few&gt;" in html


def test_points_that_are_no_grid_show_no_intervals() -> None:
    points = np.array([[0.0, 0.0], [0.1, 0.3], [0.2, 0.1]])
    grid = limit_grid(points, np.array([0.0, -1.0, -9.0]), np.zeros(3), 5.0)
    assert repr(grid).startswith("LimitGrid(theta_0: best fit 0; theta_1: best fit 0; events 5,")


def test_limits_carry_names_luminosity_and_warnings(analyzer: DataAnalyzer) -> None:
    grid = truth_limit_grid(analyzer, ORIGIN, regular_grid([(0.0, 0.3), (-0.3, 0.3)], 5), L)
    assert grid.parameters == ("a", "b")
    assert grid.luminosity == L
    assert any("border of the grid in a" in text for text in grid.warnings)


def test_files_are_taken_as_they_are(analyzer: DataAnalyzer) -> None:
    thetas = [[0.0, 0.0], [0.1, 0.0]]
    for events in (analyzer.madminer_filename, str(analyzer.madminer_filename)):
        truth = truth_limit_grid(events, ORIGIN, thetas, L)
        np.testing.assert_array_equal(
            truth.log_r, truth_limit_grid(analyzer, ORIGIN, thetas, L).log_r
        )
    with pytest.raises(MissingFileError):
        expected_limit_grid("nowhere.h5", "model", ORIGIN, thetas)
    with pytest.raises(OptionError, match="must be a path"):
        truth_limit_grid(None, ORIGIN, thetas)  # type: ignore[arg-type]
