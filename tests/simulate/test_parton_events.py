"""Generated events: kinematics, normalisation, truth, reproducibility, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from madminer.errors import (
    DataError,
    NoEventsError,
    OptionError,
    SetupError,
    ShapeError,
    UnknownNameError,
)
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.morphing.weights import monomials
from madminer.simulate import (
    GeneratorCuts,
    PartonEvents,
    WeakBosonFusion,
    simulate,
    tutorial_setup,
    wbf_setup,
)
from madminer.simulate.process import parametrise


@pytest.fixture(scope="module")
def events() -> PartonEvents:
    return simulate("wbf", 20_000, channel="pp", seed=1, branching_ratio=1.0)


def squares(p: np.ndarray) -> np.ndarray:
    return p[..., 0] ** 2 - np.sum(p[..., 1:] ** 2, axis=-1)


def test_short_display(events: PartonEvents) -> None:
    assert repr(events) == ("PartonEvents: 20000 events of wbf at 13 TeV; parameters CWL2, CPWL2")


def test_particles_and_momenta(events: PartonEvents) -> None:
    p, ids = events.momenta, events.pdgids
    assert p.shape == (20_000, 7, 4)
    assert ids.shape == (20_000, 7)
    np.testing.assert_array_equal(ids[:, 4:], np.tile([25, 22, 22], (20_000, 1)))
    np.testing.assert_array_equal(ids[:, :2], events.process.channels.incoming[events.channels])
    total = p[:, 0] + p[:, 1]
    np.testing.assert_allclose(p[:, 2:5].sum(axis=1), total, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(p[:, 5] + p[:, 6], p[:, 4], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(squares(p[:, 4])), 125.0, rtol=1e-6)
    np.testing.assert_allclose(
        squares(p[:, [2, 3, 5, 6]]) / p[:, [2, 3, 5, 6], 0] ** 2, 0, atol=1e-9
    )


def test_azimuth_is_uniform(events: PartonEvents) -> None:
    phi = np.arctan2(events.momenta[:, 2, 2], events.momenta[:, 2, 1])
    counts, _ = np.histogram(phi, 20, (-np.pi, np.pi), weights=events.sampling_weights)
    expected = events.sampling_weights.sum() / 20.0
    statistic = np.sum((counts - expected) ** 2) / expected / events.sampling_weights.mean()
    assert chi2.sf(statistic, 19) > 1e-3


def test_sum_of_weights_is_the_cross_section(events: PartonEvents) -> None:
    theta = np.array([0.3, -0.6])
    value, error = events.cross_section(theta)
    assert events.weights(theta).sum() == pytest.approx(value, rel=1e-12)
    # independent sample of weighted points
    points = simulate("wbf", 60_000, channel="pp", seed=2, branching_ratio=1.0, is_unweighted=False)
    other, other_error = points.cross_section(theta)
    assert error < 0.01 * value
    assert abs(value - other) < 3.5 * np.hypot(error, other_error)


def test_sampling_weights_are_equal_but_for_a_few(events: PartonEvents) -> None:
    weights, summary = events.sampling_weights, events.summary
    assert weights.sum() == pytest.approx(summary.cross_section, rel=1e-12)
    heavier = weights > weights.min() * (1.0 + 1e-12)
    assert np.count_nonzero(heavier) == summary.n_overweight
    assert weights.max() / weights.mean() == pytest.approx(summary.largest_weight)


def test_unweighted_events_follow_the_density_of_weighted_points() -> None:
    unweighted = simulate("wbf", 30_000, seed=3)
    weighted = simulate("wbf", 60_000, seed=4, is_unweighted=False)
    bins = np.array([20, 30, 40, 55, 70, 90, 115, 150, 200, 300, 6500.0])

    def shares(sample: PartonEvents) -> tuple[np.ndarray, np.ndarray]:
        pt = np.hypot(sample.momenta[:, 3, 1], sample.momenta[:, 3, 2])
        weights = sample.weights([0.0, 0.0])
        total = weights.sum()
        values, _ = np.histogram(pt, bins, weights=weights / total)
        variances, _ = np.histogram(pt, bins, weights=(weights / total) ** 2)
        return values, variances

    (one, one_variance), (two, two_variance) = shares(unweighted), shares(weighted)
    statistic = np.sum((one - two) ** 2 / (one_variance + two_variance))
    assert chi2.sf(statistic, len(one) - 1) > 1e-3


def test_weights_are_positive_everywhere(events: PartonEvents) -> None:
    thetas = np.random.default_rng(6).uniform(-20.0, 20.0, (50, 2))
    assert events.weights(thetas).min() > 0.0


def test_flavours_keep_their_own_components(events: PartonEvents) -> None:
    ratios = events.coefficients[:, 3] / events.coefficients[:, 0]
    names = np.array(events.process.channels.names)[events.channels]
    is_ww = np.char.find(names, "(WW)") >= 0
    assert 0.6 < np.average(is_ww, weights=events.weights([0.0, 0.0])) < 0.8
    # a squared coefficient of Z Z is suppressed by cos^4(theta_W)
    assert np.median(ratios[~is_ww]) < np.median(ratios[is_ww])


def test_score_is_the_derivative_of_the_log_ratio(events: PartonEvents) -> None:
    theta, step = np.array([0.2, -0.4]), 1e-5  # scores up to 80, hence the tolerance
    score = events.joint_score(theta)
    for i in range(2):
        shift = step * np.eye(2)[i]
        slope = events.joint_log_ratio(theta + shift, theta - shift) / (2.0 * step)
        np.testing.assert_allclose(score[:, i], slope, rtol=1e-4, atol=1e-7)


def test_expectations_of_score_and_ratio(events: PartonEvents) -> None:
    theta0, theta1 = np.array([0.5, 0.3]), np.array([-0.2, 0.1])
    p1 = events.weights(theta1) / events.weights(theta1).sum()
    assert p1 @ np.exp(events.joint_log_ratio(theta0, theta1)) == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(p1 @ events.joint_score(theta1), 0.0, atol=1e-12)
    np.testing.assert_allclose(
        events.joint_log_ratio(theta0, theta1), -events.joint_log_ratio(theta1, theta0)
    )


def test_coefficients_reproduce_benchmark_weights(events: PartonEvents) -> None:
    setup = wbf_setup()
    assert setup.morphing is not None
    # morphing of the benchmark weights equals the polynomial
    theta = np.array([0.37, -0.81])
    morphing = monomials(theta, setup.morphing.components) @ setup.morphing.matrix
    np.testing.assert_allclose(
        events.benchmark_weights @ morphing, events.weights(theta), rtol=1e-9
    )


def test_same_seed_same_events() -> None:
    one, two, other = (simulate("wbf", 500, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.momenta, two.momenta)
    np.testing.assert_array_equal(one.coefficients, two.coefficients)
    assert not np.array_equal(one.momenta, other.momenta)


def test_one_event() -> None:
    events = simulate("wbf", 1, seed=9)
    assert events.n_events == 1
    assert events.joint_score([0.0, 0.0]).shape == (1, 2)


def test_parameters_are_matched_by_their_place_in_the_card() -> None:
    odd = AnalysisParameter("odd", "DIM6", 5, 2, (-1.0, 1.0), "1.652*theta")
    even = AnalysisParameter("even", "dim6", 2, 2, (-1.0, 1.0), None)
    setup = AnalysisSetup({"odd": odd, "even": even})
    ours, usual = simulate("wbf", 300, setup, seed=4), simulate("wbf", 300, seed=4)
    assert ours.parameters == ("odd", "even")
    # CWL2 = 5 TeV^-2, CPWL2 = 3 TeV^-2
    np.testing.assert_allclose(
        ours.weights([3.0 / 1.652, 5.0]), usual.weights([5.0 / 16.52, 3.0 / 16.52])
    )


def test_one_parameter_leaves_the_other_at_zero() -> None:
    even = AnalysisParameter("CWL2", "dim6", 2, 2, (-1.0, 1.0), "16.52*theta")
    ours = simulate("wbf", 300, AnalysisSetup({"CWL2": even}), seed=4)
    assert ours.components.tolist() == [[0], [1], [2]]
    np.testing.assert_allclose(
        ours.weights([0.7]), simulate("wbf", 300, seed=4).weights([0.7, 0.0])
    )


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ([], "no theory parameters"),
        ([AnalysisParameter("CWL2", "dim6", 3)], "does not depend on parameter 'CWL2'.*CPWL2"),
        ([AnalysisParameter("x", "dim6", 2), AnalysisParameter("y", "dim6", 2)], "same place"),
        ([AnalysisParameter("x", "dim6", 2, transform="theta**2")], "takes factors only"),
        ([AnalysisParameter("x", "dim6", 2, transform="theta + 1.0")], "takes factors only"),
        ([AnalysisParameter("x", "dim6", 2, transform="0.0*theta")], "takes factors only"),
    ],
)
def test_setups_that_do_not_fit(parameters: list[AnalysisParameter], match: str) -> None:
    setup = AnalysisSetup({parameter.name: parameter for parameter in parameters})
    with pytest.raises(SetupError, match=match):
        parametrise(WeakBosonFusion(), setup)


def test_bad_requests() -> None:
    with pytest.raises(OptionError, match="n_events must be a whole number from 1"):
        simulate("wbf", 0)
    with pytest.raises(UnknownNameError, match=r"no process 'ttbar'.*wbf"):
        simulate("ttbar", 10)
    with pytest.raises(OptionError, match=r"no option \['chanel'\].*'channel'"):
        simulate("wbf", 10, chanel="pp")
    with pytest.raises(OptionError, match="belong to a process given by name"):
        simulate(WeakBosonFusion(), 10, channel="pp")
    impossible = GeneratorCuts(jet_pt_min=3_200.0, jet_eta_max=0.001)
    with pytest.raises(NoEventsError, match="loosen the generator cuts"):
        simulate("wbf", 10, cuts=impossible, seed=1)


def test_events_of_different_lengths_are_refused(events: PartonEvents) -> None:
    with pytest.raises(ShapeError, match="scales needs one entry"):
        replace(events, scales=events.scales[:-1])
    with pytest.raises(ShapeError, match="2 parameters"):
        events.weights([0.0, 0.0, 0.0])


def test_events_without_probability_have_no_truth(events: PartonEvents) -> None:
    negative = replace(events, coefficients=-events.coefficients)
    with pytest.raises(DataError, match="20000 of 20000 events have no probability"):
        negative.joint_score([0.0, 0.0])


def test_tutorial_setup_has_the_literal_benchmarks() -> None:
    setup = tutorial_setup()
    assert list(setup.parameters) == ["CWL2", "CPWL2"]
    assert setup.parameters["CPWL2"].lha_id == 5
    assert setup.parameters["CWL2"].val_range == (-20.0, 20.0)
    np.testing.assert_array_equal(
        setup.benchmark_thetas[:5],
        [[0.0, 0.0], [15.2, 0.1], [-15.4, 0.2], [0.3, 15.1], [0.4, -15.3]],
    )
    assert setup.morphing is not None
    assert setup.morphing.matrix.shape == (6, 6)
    far = simulate("wbf", 5_000, setup, mixture_share=50.0, seed=3)
    for theta in setup.benchmark_thetas[1:]:
        assert far.effective_size(theta) > 0.5 * far.n_events


def test_default_setup_stays_where_the_expansion_holds() -> None:
    setup = wbf_setup()
    assert list(setup.benchmarks)[:5] == ["sm", "w", "neg_w", "ww", "neg_ww"]
    assert np.linalg.norm(setup.benchmark_thetas, axis=1).max() <= 1.0
    assert all(isinstance(benchmark, Benchmark) for benchmark in setup.benchmarks.values())


@pytest.mark.parametrize(
    "option", [{"seed": -1}, {"seed": "a"}, {"n_events": 2.5}, {"n_events": True}]
)
def test_odd_options_are_named(option: dict[str, object]) -> None:
    (name,) = option
    with pytest.raises(OptionError, match=f"{name} must be"):
        simulate("drell_yan", **({"n_events": 10} | option))  # type: ignore[arg-type]


def test_setups_that_are_none() -> None:
    for setup in ("setup.h5", 1, {"parameters": []}):
        with pytest.raises(OptionError, match="setup must be None or an AnalysisSetup"):
            simulate("wbf", 10, setup)  # type: ignore[arg-type]


def test_points_that_are_none() -> None:
    events = simulate("drell_yan", 10, seed=1)
    for function in (events.weights, events.cross_section, events.joint_score):
        for theta in ("sm", [np.nan] * len(events.parameters), ["0"]):
            with pytest.raises(ShapeError, match="theta must be an array of"):
                function(theta)
