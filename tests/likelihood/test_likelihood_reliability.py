"""Likelihoods say where weights are extrapolated, and what a network does not know of nuisances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import madminer
from madminer.analysis import DataAnalyzer
from madminer.analysis.weights import parameter_points
from madminer.errors import EvidenceError
from madminer.io.setup_file import read_setup
from madminer.likelihood import HistoLikelihood, NeuralLikelihood
from madminer.likelihood.base import report_extrapolation
from madminer.likelihood.learned import learned_density, report_fixed_shape, shape_spreads
from madminer.limits import AsymptoticLimits, regular_grid, toy_limits
from madminer.ml import ParameterizedRatioEstimator
from madminer.models import AnalysisSetup
from madminer.nn.scaling import Standardization

MakeFile = Callable[..., Path]

STEP, KAPPA = 0.3, 1.1  # of `moved_gaussian_file`
GRID = regular_grid([(-0.2, 0.2)] * 2, 3)


@pytest.fixture(scope="module")
def path(moved_gaussian_file: MakeFile) -> Path:
    return moved_gaussian_file()


def ranged(setup: AnalysisSetup, low: float, high: float) -> AnalysisSetup:
    parameters = {n: replace(p, val_range=(low, high)) for n, p in setup.parameters.items()}
    return replace(setup, parameters=parameters)


@pytest.mark.parametrize(
    ("theta", "words"),
    [
        ([0.5, -0.5], None),
        ([0.6, 1.0], None),  # beyond the range, but not beyond the benchmarks at -1 and 1
        ([0.5, 1.2], "b = 1.2 (range -0.5 to 0.5), and beyond all benchmarks"),
        ([5.0, 0.0], "a = 5 (range -0.5 to 0.5), and beyond all benchmarks"),
    ],
)
def test_points_beyond_ranges_and_benchmarks(
    theta: list[float], words: str | None, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = ranged(read_setup(path), -0.5, 0.5)
    report_extrapolation(setup, np.array([[0.0, 0.0], theta]), "The assumed truth")
    if words is None:
        assert not caplog.messages
    else:
        (message,) = caplog.messages
        assert message.startswith("The assumed truth lies outside the range")
        assert words in message


def test_a_benchmark_far_outside_the_range(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Benchmarks at 1 are within a width of the range up to 0.5, far from that up to 0.1."""
    setup = read_setup(path)
    one = setup.theta("b1")[np.newaxis]
    report_extrapolation(ranged(setup, -0.5, 0.5), one, "The assumed truth")
    assert not caplog.messages
    report_extrapolation(ranged(setup, -0.1, 0.1), one, "The assumed truth")
    assert "a = 1 (range -0.1 to 0.1), and far away from it" in caplog.text
    caplog.clear()
    without = replace(ranged(setup, -0.1, 0.1), morphing=None)
    report_extrapolation(without, one, "The assumed truth")  # known there exactly
    assert not caplog.messages


def test_every_assumed_truth_is_looked_at(
    path: Path, exact_ratio: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    density, far = exact_ratio(), [3.0, 0.0]
    makers = [
        lambda theta: HistoLikelihood(path).create_expected_negative_log_likelihood(theta, None),
        lambda theta: NeuralLikelihood(
            path, include_nuisance_parameters=False
        ).create_expected_negative_log_likelihood(density, theta, None, luminosity=5.0),
        lambda theta: AsymptoticLimits(path).expected_limits("rate", theta, thetas_eval=GRID),
    ]
    for make in makers:
        caplog.clear()
        make([0.1, 0.0])
        assert "outside the range" not in caplog.text
        make(far)
        assert "The assumed truth lies outside the range of the setup, a = 3" in caplog.text


def test_points_of_toy_experiments(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    likelihood = HistoLikelihood(
        path, include_nuisance_parameters=False
    ).create_expected_negative_log_likelihood([0.0, 0.0], None, luminosity=10.0)
    toy_limits(likelihood, GRID, n_toys=2, theta_null=[0.1, 0.0])
    assert "outside the range" not in caplog.text
    toy_limits(likelihood, GRID[:2], n_toys=2, theta_null=[0.0, -4.0])
    assert "The null hypothesis lies outside the range of the setup, b = -4" in caplog.text
    caplog.clear()
    toy_limits(likelihood, [[0.0, 0.0], [2.5, 0.0]], n_toys=2)
    assert "A point at which experiments are drawn lies outside" in caplog.text


def test_spreads_are_those_of_the_factors(path: Path) -> None:
    """A move of a Gaussian by s has the factors exp(s z - s^2 / 2), of variance exp(s^2) - 1."""
    spreads = shape_spreads(DataAnalyzer(path))
    np.testing.assert_allclose(spreads, [np.sqrt(np.expm1(STEP**2)), 0.0], atol=1e-6)


def test_networks_of_theta_alone_know_no_shape(
    path: Path, exact_ratio: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    """The shift of at most sqrt(N) s is that of the score along the move."""
    analyzer = DataAnalyzer(path)
    alone, both = (learned_density(exact_ratio(p), analyzer.setup) for p in (2, 4))
    report_fixed_shape(analyzer, both, 1e6)
    report_fixed_shape(analyzer, alone, 0.5)  # too few events for it to matter
    nominal = DataAnalyzer(path, include_nuisance_parameters=False)
    report_fixed_shape(nominal, learned_density(exact_ratio(2), nominal.setup), 1e6)
    assert not caplog.messages
    report_fixed_shape(analyzer, alone, 100.0)
    (message,) = caplog.messages
    assert "shift (31 %)" in message
    assert "norm" not in message
    assert "with 100 events it may move the best fit by up to 3.1 statistical errors" in message
    assert "train_response" in message
    assert "nuisances: random" in message


class PartlyTrained(ParameterizedRatioEstimator):
    """log r = z . (theta + nu) of two theory and two nuisance parameters, of noise in the last."""

    def __init__(self) -> None:
        super().__init__()
        self.n_parameters, self.n_observables = 4, 2

    def varied(self, *stds: float) -> PartlyTrained:
        self._theta_scaling = Standardization(np.zeros(4), np.array([0.9, 1.1, *stds]))
        return self

    def evaluate_log_likelihood_ratio(  # type: ignore[override]
        self,
        x: np.ndarray,
        theta: np.ndarray,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        points = theta[:, np.newaxis] if test_all_combinations else theta
        slopes = np.hstack([x, x])
        log_r = np.sum(points * slopes, axis=-1)
        return log_r, np.broadcast_to(slopes, (*log_r.shape, 4)).copy() if evaluate_score else None


def test_nuisance_parameters_that_were_never_varied_are_left_out(
    path: Path, caplog: pytest.LogCaptureFixture, assert_derivatives: Callable[..., None]
) -> None:
    """What a network says of them is noise: it gets zero, and its score has no such component."""
    setup = DataAnalyzer(path).setup
    x = np.array([[0.5, -0.25], [1.0, 2.0]])
    points = parameter_points(setup, [[0.1, 0.2]], [[0.7, 3.0]])
    half = learned_density(PartlyTrained().varied(0.8, 1.0), setup)
    np.testing.assert_array_equal(half.positions(points), [[0.1, 0.2, 0.7, 0.0]])
    _, score = half.combinations(x, half.positions(points), with_score=True)
    np.testing.assert_array_equal(score[0, :, 3], 0.0)
    np.testing.assert_array_equal(score[0, :, :3], np.hstack([x, x[:, :1]]))
    full = learned_density(PartlyTrained().varied(0.8, 1.2), setup)
    np.testing.assert_array_equal(full.positions(points), [[0.1, 0.2, 0.7, 3.0]])
    nll = NeuralLikelihood(path).create_negative_log_likelihood(
        PartlyTrained().varied(0.8, 1.0), x, luminosity=2.0
    )
    assert_derivatives(nll, np.array([[0.1, 0.2, 0.7, 0.3]]))
    assert "The network knows" not in caplog.text  # norm, the last one, has no shape
    shifted = learned_density(PartlyTrained().varied(1.0, 1.2), setup)
    report_fixed_shape(DataAnalyzer(path), shifted, 100.0)
    assert "knows nothing of some nuisance parameters" in caplog.text
    assert "shift (31 %)" in caplog.text
    assert "train_response" not in caplog.text  # which is for networks of theta alone


def test_a_mere_normalisation_has_no_spread(template_file: MakeFile) -> None:
    bins = np.array([[3.0, 1.0], [1.0, 5.0]])
    at_one = bins.sum(axis=1)  # the reference is mu = 1
    for factors in (np.full(2, KAPPA), np.array([1.1, 0.9])):
        analyzer = DataAnalyzer(template_file(bins, {"nu": (factors, None)}))
        mean = np.average(factors, weights=at_one)
        spread = np.sqrt(np.average((factors - mean) ** 2, weights=at_one)) / mean
        down = 1.0 / factors  # what is known at +1 alone is log-linear
        mean_down = np.average(down, weights=at_one)
        other = np.sqrt(np.average((down - mean_down) ** 2, weights=at_one)) / mean_down
        expected = max(spread, other)
        np.testing.assert_allclose(shape_spreads(analyzer), [expected], atol=1e-12)


@pytest.mark.parametrize("include_xsec", [True, False])
def test_limits_and_likelihoods_say_so(
    include_xsec: bool,
    path: Path,
    exact_ratio: Callable[..., object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    truth, given = [0.0, 0.0], {"luminosity": 50.0, "include_xsec": include_xsec}
    limits = AsymptoticLimits(path, include_nuisance_parameters=True)
    fixed = AsymptoticLimits(path)
    alone, x = exact_ratio(2), np.zeros((3, 2))
    for one, warns in ((limits, True), (fixed, False)):
        caplog.clear()
        one.expected_limits("ml", truth, model_file=alone, thetas_eval=GRID, **given)
        assert ("The network knows theta alone" in caplog.text) == warns
    caplog.clear()
    limits.expected_limits("histo", truth, hist_vars=["z0"], hist_bins=[4], thetas_eval=GRID)
    limits.expected_limits("ml", truth, model_file=exact_ratio(4), thetas_eval=GRID, **given)
    assert "The network knows theta alone" not in caplog.text
    neural = NeuralLikelihood(path)
    neural.create_negative_log_likelihood(exact_ratio(4), x, n_observed=50.0)
    assert "The network knows theta alone" not in caplog.text
    neural.create_negative_log_likelihood(alone, x, n_observed=50.0)
    assert "The network knows theta alone" in caplog.text
    with madminer.strict(), pytest.raises(EvidenceError, match="The network knows theta alone"):
        neural.create_negative_log_likelihood(alone, x, n_observed=50.0)
