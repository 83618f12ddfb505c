"""Closed forms, bounds and covariances of the Fisher information."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    ExpressionError,
    NoEventsError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from madminer.fisherinformation import FisherInformation, profile_information, project_information
from madminer.fisherinformation.bins import cell_moments, truth_information
from madminer.fisherinformation.response import (
    CellResponse,
    NuisanceForms,
    cell_response,
    cells_information,
)
from madminer.io import EventFile

L = 1000.0
ORIGIN = [0.0, 0.0]


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(gaussian_event_file())


def assert_within(
    result: tuple[np.ndarray, np.ndarray], expected: np.ndarray, n_sigma: float = 4.0
) -> None:
    """The information must agree with the expectation within its own covariance."""
    information, covariance = result
    error = np.sqrt(np.einsum("ijij->ij", covariance))
    assert np.all(np.abs(information - expected) <= n_sigma * error + 1e-9 * L)


# --- closed forms of the Gaussian toy: information 4 per event in z, 4 / 1.25 in x0


def test_truth_is_the_closed_form(fisher: FisherInformation) -> None:
    result = fisher.truth_information(ORIGIN, L)
    assert_within(result, 4.0 * L * np.eye(2))
    assert result[0][0, 0] == pytest.approx(4.0 * L, rel=0.05)


def test_rate_is_the_closed_form(fisher: FisherInformation) -> None:
    assert_within(fisher.rate_information(ORIGIN, L), np.zeros((2, 2)))
    theta = np.array([0.3, -0.2])  # sigma = 1 + theta^2
    sigma, gradient = 1.0 + theta @ theta, 2.0 * theta
    assert_within(fisher.rate_information(theta, L), L * np.outer(gradient, gradient) / sigma)


def test_fine_histogram_is_the_information_of_its_observable(fisher: FisherInformation) -> None:
    information, covariance = fisher.histo_information(ORIGIN, L, "x0", 30)
    error = np.sqrt(covariance[0, 0, 0, 0])
    assert information[0, 0] == pytest.approx(4.0 / 1.25 * L, abs=4 * error, rel=0.02)
    assert information[1, 1] < 0.02 * L  # x0 knows nothing about the second parameter
    plane, _ = fisher.histo_information_2d(ORIGIN, L, "z0", 25, "z1", 25)
    assert plane == pytest.approx(4.0 * L * np.eye(2), abs=0.2 * L)


def test_luminosity_scales_information_and_its_error(fisher: FisherInformation) -> None:
    for name in ("truth_information", "rate_information"):
        once, twice = (getattr(fisher, name)([0.3, 0.1], factor * L) for factor in (1, 2))
        np.testing.assert_allclose(twice[0], 2 * once[0])
        np.testing.assert_allclose(twice[1], 4 * once[1])


def test_what_is_known_less_well_informs_less(fisher: FisherInformation) -> None:
    theta = [0.2, 0.4]
    chain = [
        fisher.truth_information(theta, L)[0],
        fisher.histo_information_2d(theta, L, "z0", [-1.0, 0.0, 1.0], "z1", [0.0])[0],
        fisher.histo_information(theta, L, "z0", [-1.0, 0.0, 1.0])[0],
        fisher.histo_information(theta, L, "z0", [0.0])[0],
        fisher.rate_information(theta, L)[0],
    ]
    for finer, coarser in pairwise(chain):
        assert np.linalg.eigvalsh(finer - coarser).min() > -1e-9 * np.trace(finer)


def test_slices_add_up_to_the_truth(fisher: FisherInformation) -> None:
    for histrange in ((-1.0, 1.5), None):
        edges, sigma, rate, full = fisher.histogram_of_information([0.1, 0.0], "z0", 6, histrange)
        truth, _ = fisher.truth_information([0.1, 0.0])
        assert edges.shape == (7,)
        assert rate.shape == full.shape == (8, 2, 2)
        np.testing.assert_allclose(full.sum(axis=0), truth)
        assert sigma.sum() == pytest.approx(fisher.xsecs([[0.1, 0.0]])[0][0])
        assert np.linalg.eigvalsh(full - rate).min() > -1e-6 * np.trace(truth)
    assert sigma[0] == sigma[-1] == 0.0
    np.testing.assert_allclose(sigma[1:-1], sigma.sum() / 6, rtol=0.01)  # equal content


def test_cuts_split_the_information(fisher: FisherInformation) -> None:
    everything, _ = fisher.truth_information(ORIGIN, L)
    above, _ = fisher.truth_information(ORIGIN, L, ["z0 > 0.3"])
    below, _ = fisher.truth_information(ORIGIN, L, cuts=[lambda x: x[:, 0] <= 0.3])
    np.testing.assert_allclose(above + below, everything)
    half, _ = fisher.truth_information(ORIGIN, L, efficiency_functions=["0.25 + 0.25 * (z0 < 9.)"])
    np.testing.assert_allclose(half, 0.5 * everything)


def test_theta_by_name_and_kept_sums(fisher: FisherInformation) -> None:
    by_name = fisher.histo_information("b1", L, "z0", 5, (-2.0, 2.0))
    np.testing.assert_allclose(by_name[0], fisher.histo_information(1, L, "z0", 5, (-2.0, 2.0))[0])
    again = FisherInformation(fisher.madminer_filename).histo_information(
        [1.0, 0.0], L, "z0", 5, (-2.0, 2.0)
    )
    np.testing.assert_allclose(by_name[0], again[0])
    np.testing.assert_allclose(by_name[1], again[1])


# --- covariances


@pytest.mark.parametrize("kind", ["truth", "rate", "histogram"])
def test_covariances_agree_with_poisson_bootstrap(
    toy_event_file: Callable[..., Path], kind: str
) -> None:
    fisher = FisherInformation(toy_event_file(3000))
    theta, edges = np.array([0.4, -0.3]), np.array([0.5, 1.0]) / 3000
    x, weights = fisher.weighted_events()
    response = cell_response(fisher.setup, theta)

    def information(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if kind == "truth":
            return truth_information([(x, w)], response, L)
        axes = [(lambda z: z[:, 0], edges)] if kind == "histogram" else []
        return cells_information(cell_moments([(x, w)], axes), response, L)

    expected, covariance = {
        "truth": lambda: fisher.truth_information(theta, L),
        "rate": lambda: fisher.rate_information(theta, L),
        "histogram": lambda: fisher.histo_information(theta, L, "k0", edges),
    }[kind]()
    np.testing.assert_allclose(information(weights)[0], expected)
    rng = np.random.default_rng(5)
    toys = [
        information(weights * rng.poisson(1.0, len(weights))[:, np.newaxis])[0].ravel()
        for _ in range(800)
    ]
    spread = np.cov(np.array(toys), rowvar=False).reshape(2, 2, 2, 2)
    scale = np.sqrt(np.einsum("ijij->ij", covariance))
    difference = (spread - covariance) / np.einsum("ij,kl->ijkl", scale, scale)
    assert np.abs(difference).max() < 0.2  # 800 toys know variances to 5 %


def test_covariance_does_not_depend_on_batches(fisher: FisherInformation) -> None:
    response = cell_response(fisher.setup, [0.2, 0.1])
    whole = truth_information(fisher.event_loader(), response, L)
    parts = truth_information(fisher.event_loader(batch_size=777), response, L)
    np.testing.assert_allclose(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1])


# --- nuisance parameters


def test_nuisance_slopes_and_their_derivatives() -> None:
    unit = np.eye(4)
    columns = NuisanceForms(unit[[1, 1, 0, 3]], unit[[0, 2, 2, 0]], np.array([1.0, 0.5, 1.0, 1.0]))
    sums = np.array([[2.0, 3.0, 1.5, 0.0], [1.0, 1.0, 1.0, 1e9], [-2.0, -1.0, 4.0, -2.0]])
    slopes = columns.slopes(sums)
    undefined = 0.0
    expected = [
        [np.log(1.5), 0.5 * np.log(2.0), np.log(2.0 / 1.5), undefined],
        [0.0, 0.0, 0.0, 10.0],
        [np.log(0.5), undefined, undefined, 0.0],
    ]
    np.testing.assert_allclose(slopes, expected)
    jacobian = columns.jacobian(sums)
    numerical = np.zeros_like(jacobian)
    for b in range(4):
        step = np.zeros((3, 4))
        step[:, b] = 1e-7
        up, down = columns.slopes(sums + step), columns.slopes(sums - step)
        numerical[:, :, b] = (up - down) / 2e-7
    numerical[0, 3] = 0.0  # at the border of where the logarithm is defined
    np.testing.assert_allclose(jacobian, numerical, atol=1e-6)


def test_covariance_with_nuisance_parameters_agrees_with_bootstrap(shared: Path) -> None:
    fisher = FisherInformation(shared / "reference/public.h5")
    x, weights = fisher.weighted_events(end_event=4000)
    response = cell_response(fisher.setup, ORIGIN)
    axis = (lambda z: z[:, 0], np.array([20.0, 40.0]))
    _, covariance = cells_information(cell_moments([(x, weights)], [axis]), response, 3e5)
    rng = np.random.default_rng(8)
    toys = []
    for _ in range(500):
        toy = weights * rng.poisson(1.0, len(weights))[:, np.newaxis]
        toys.append(cells_information(cell_moments([(x, toy)], [axis]), response, 3e5)[0].ravel())
    spread = np.cov(np.array(toys), rowvar=False).reshape(4, 4, 4, 4)
    scale = np.sqrt(np.einsum("ijij->ij", covariance))
    difference = (spread - covariance) / np.einsum("ij,kl->ijkl", scale, scale)
    assert np.abs(difference).max() < 0.3


def test_response_is_linear_without_nuisances() -> None:
    response = CellResponse(np.array([0.5, 0.5]), np.array([[1.0, -1.0]]))
    sums = np.array([[2.0, 4.0]])
    assert response.sigma(sums) == pytest.approx(3.0)
    assert response.gradient(sums) == pytest.approx(-2.0)
    assert response.gradient_jacobian(sums)[0, 0] == pytest.approx([1.0, -1.0])


# --- projecting and profiling with covariances


def test_profiled_covariance_agrees_with_toys() -> None:
    rng = np.random.default_rng(2)
    half = rng.normal(size=(3, 10))
    information = half @ half.T
    changes = rng.normal(size=(6, 3, 3))
    changes = 0.1 * (changes + np.swapaxes(changes, 1, 2))
    covariance = np.einsum("aij,akl->ijkl", changes, changes)
    linear = profile_information(information, [0, 1], covariance)
    toys = profile_information(
        information, [0, 1], covariance, 4_000, error_propagation="toys", seed=3
    )
    np.testing.assert_array_equal(linear[0], toys[0])
    np.testing.assert_allclose(toys[1], linear[1], rtol=0.15, atol=0.05 * np.abs(linear[1]).max())
    repeated = profile_information(
        information, [0, 1], covariance, 4_000, error_propagation="toys", seed=3
    )
    np.testing.assert_array_equal(toys[1], repeated[1])


def test_projection_keeps_the_given_order() -> None:
    information = np.arange(9.0).reshape(3, 3)
    information += information.T
    covariance = np.arange(81.0).reshape(3, 3, 3, 3)
    projected, error = project_information(information, [2, 0], covariance)
    np.testing.assert_array_equal(projected, information[[2, 0]][:, [2, 0]])
    assert error[0, 1, 1, 1] == covariance[2, 0, 0, 0]


def test_options_of_profiling() -> None:
    information, covariance = np.eye(2), np.zeros((2, 2, 2, 2))
    with pytest.raises(OptionError, match="one of 'linear', 'toys'"):
        profile_information(information, [0], covariance, error_propagation="bootstrap")  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="n_ensemble must be a whole number from 2"):
        profile_information(information, [0], covariance, 1, error_propagation="toys")
    with pytest.raises(DataError, match="singular"):
        profile_information(np.diag([1.0, 0.0]), [0])


# --- bad input


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"theta": [0.0]}, ShapeError, "theta must be finite with shape"),
        ({"theta": "bsm"}, UnknownNameError, "no benchmark 'bsm'"),
        ({"luminosity": 0.0}, OptionError, "luminosity must be a"),
        ({"luminosity": -1.0}, OptionError, "luminosity must be a"),
        ({"luminosity": np.nan}, OptionError, "luminosity must be a"),
        ({"observable": "pt_j7"}, ExpressionError, "pt_j7"),
        ({"bins": [1.0, 0.0]}, OptionError, "strictly increasing"),
        ({"bins": 0}, OptionError, "bins must be a whole number from 1"),
        ({"bins": True}, OptionError, "Bin edges must be an array of numbers"),
        ({"histrange": (1.0, 1.0)}, OptionError, "histrange must be a pair of finite numbers"),
        ({"cuts": ["z0 > 99."]}, NoEventsError, "No event passes the cuts"),
        ({"cuts": "z0 > 1."}, OptionError, "cuts must be a list"),
        ({"cuts": ["z0.__class__"]}, ExpressionError, "__class__"),
        ({"efficiency_functions": ["z0"]}, DataError, "efficiency is negative or undefined"),
        ({"observable": lambda x: x}, ShapeError, "one number per event"),
        ({"histrange": None, "n_events_dynamic_binning": 0}, OptionError, "must be a whole number"),
        ({"histrange": None, "cuts": ["z0 > 99."]}, NoEventsError, "No event passes"),
        ({"observable": "log(z0)"}, DataError, "not a number"),
    ],
)
def test_bad_input(
    fisher: FisherInformation, keywords: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments = {
        "theta": ORIGIN,
        "luminosity": L,
        "observable": "z0",
        "bins": 5,
        "histrange": (-1.0, 1.0),
    }
    with pytest.raises(error, match=message):
        fisher.histo_information(**(arguments | keywords))  # type: ignore[arg-type]


def test_slices_refuse_too_few_values(toy_event_file: Callable[..., Path]) -> None:
    fisher = FisherInformation(toy_event_file(100))
    with pytest.raises(OptionError, match="too few different values"):
        fisher.histogram_of_sigma_dsigma(ORIGIN, "0.0 * k0", 5, None)


def test_events_of_all_benchmarks_count_by_their_share(
    toy_event_file: Callable[..., Path],
) -> None:
    path = toy_event_file(2000)
    fisher, theta = FisherInformation(path), np.array([0.3, 0.2])
    file = EventFile(path)
    events = file.read()
    assert events.sampling_benchmarks is not None
    signal = events.sampling_benchmarks >= 0
    shares = np.bincount(events.sampling_benchmarks[signal]) / signal.sum()
    factors = np.where(signal, shares[events.sampling_benchmarks], 1.0)
    a, b = theta  # the observables are the coefficients of 1, b, b^2, a, ab, a^2
    powers = np.array([1.0, b, b**2, a, a * b, a**2])
    slopes = np.array([[0, 0, 0, 1, b, 2 * a], [0, 1, 2 * b, 0, a, 0]])
    w, dw = factors * (events.x @ powers), factors[:, np.newaxis] * (events.x @ slopes.T)
    expected = L * (dw / w[:, np.newaxis]).T @ dw
    np.testing.assert_allclose(fisher.truth_information(theta, L)[0], expected, rtol=1e-8)
