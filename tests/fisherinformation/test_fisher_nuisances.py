r"""Fisher information of theta and nu: closed forms, laws, likelihoods and covariances.

The model: latent z ~ N(0, 1) in two dimensions, weights (1 + theta . z)^2, and systematics that
move (`shift`, z to z + nu c d), widen (`width`, to one side) or scale (`norm`) the density of z:

.. math::

    \log f_\mathrm{shift} = c\, \nu\, d \cdot z - \tfrac12 c^2 \nu^2, \qquad
    \log f_\mathrm{width} = \nu (h z_1^2 - k),\; h = \tfrac12 (1 - e^{-2k}), \qquad
    \log f_\mathrm{norm} = \nu \log \kappa
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.optimize import minimize

from madminer.analysis.response import (
    weights_and_gradients,
)
from madminer.analysis.weights import parameter_points
from madminer.errors import OptionError
from madminer.fisherinformation import (
    FisherInformation,
    profile_information,
    project_information,
    score_information,
)
from madminer.fisherinformation.bins import Axis, cell_moments, truth_information
from madminer.fisherinformation.response import CellResponse, cell_response, cells_information
from madminer.io import EventFile, Events, EventSummary, write_events
from madminer.ml import ScoreEstimator
from madminer.models import Benchmark, NuisanceParameter
from madminer.morphing.weights import monomials
from madminer.sampling import SampleAugmenter, morphing_point

MakeFile = Callable[..., Path]

L = 1000.0
C, K, KAPPA = 0.4, 0.3, 1.1
H = 0.5 * (1.0 - np.exp(-2.0 * K))
D = np.array([0.6, 0.8])
EDGES0, EDGES1 = [-0.8, 0.1, 0.9], [-0.5, 0.6]
ORIGIN, AWAY = np.zeros(2), np.array([0.3, -0.2])
RESPONSES = ("cells", "events")
BASIS = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]])


def generate(rng: np.random.Generator, n_expected: int) -> tuple[np.ndarray, np.ndarray]:
    """Latent variables and weights of a Poisson distributed number of events."""
    z = rng.normal(size=(int(rng.poisson(n_expected)), 2))
    shift = C * (z @ D)
    variations = [
        np.exp(shift - 0.5 * C**2),
        np.exp(-shift - 0.5 * C**2),
        np.exp(H * z[:, 1] ** 2 - K),
        np.full(len(z), KAPPA),
    ]
    weights = np.column_stack([(1.0 + z @ BASIS.T) ** 2, *variations])
    return z, weights / n_expected


@pytest.fixture(scope="module")
def fisher(
    gaussian_event_file: MakeFile, tmp_path_factory: pytest.TempPathFactory
) -> FisherInformation:
    setup = EventFile(gaussian_event_file(100)).setup
    np.testing.assert_array_equal(setup.benchmark_thetas, BASIS)
    names = ["shift_up", "shift_down", "width_up", "norm_up"]
    setup = replace(
        setup,
        benchmarks={
            **setup.benchmarks,
            **{name: Benchmark(name, {}, is_nuisance=True) for name in names},
        },
        nuisance_parameters={
            "shift": NuisanceParameter("shift", "scale", "shift_up", "shift_down"),
            "width": NuisanceParameter("width", "pdf", "width_up"),
            "norm": NuisanceParameter("norm", "lumi", "norm_up"),
        },
        observables={"z0": "_", "z1": "_"},
    )
    z, weights = generate(np.random.default_rng(1), 40_000)
    events = Events(z, weights, np.zeros(len(z), dtype=np.int64))
    path = tmp_path_factory.mktemp("model") / "model.h5"
    write_events(path, setup, events, EventSummary.count(events.sampling_benchmarks, 6))
    return FisherInformation(path)


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def toy(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> FisherInformation:
    """Events with two nuisance parameters, whose responses may depend on theta."""
    return FisherInformation(nuisance_event_file(1200, varying=request.param))


# --- the model, integrated


def nodes(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of an integral over a stretch of a standard normal density."""
    low, high = max(low, -9.0), min(high, 9.0)
    x, w = leggauss(60)
    z = 0.5 * (low + high) + 0.5 * (high - low) * x
    return z, 0.5 * (high - low) * w * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)


def plane(cell0: tuple[float, float], cell1: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    (z0, w0), (z1, w1) = nodes(*cell0), nodes(*cell1)
    z = np.stack(np.meshgrid(z0, z1, indexing="ij"), axis=-1).reshape(-1, 2)
    return z, np.outer(w0, w1).ravel()


def model_slopes(z: np.ndarray) -> np.ndarray:
    """Derivatives of log f at nu = 0, shape ``(n, 3)``."""
    return np.stack([C * (z @ D), H * z[:, 1] ** 2 - K, np.full(len(z), np.log(KAPPA))], axis=1)


def model_scores(theta: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.hstack([2.0 * z / (1.0 + z @ theta)[:, np.newaxis], model_slopes(z)])


def expected_truth(theta: np.ndarray) -> np.ndarray:
    z, measure = plane((-np.inf, np.inf), (-np.inf, np.inf))
    scores = model_scores(theta, z)
    result: np.ndarray = L * (scores.T * measure * (1.0 + z @ theta) ** 2) @ scores
    return result


def expected_cells(
    theta: np.ndarray, edges0: list[float], edges1: list[float], nuisance_response: str
) -> np.ndarray:
    total = np.zeros((5, 5))
    for cell0 in pairwise([-np.inf, *edges0, np.inf]):
        for cell1 in pairwise([-np.inf, *edges1, np.inf]):
            z, measure = plane(cell0, cell1)
            weights = measure * (1.0 + z @ theta) ** 2
            gradient = weights @ model_scores(theta, z)
            if nuisance_response == "cells":
                a = C * (z @ D)
                up, down, wide = (
                    measure @ np.exp(log_f)
                    for log_f in (a - C**2 / 2, -a - C**2 / 2, H * z[:, 1] ** 2 - K)
                )
                slopes = [0.5 * np.log(up / down), np.log(wide / measure.sum()), np.log(KAPPA)]
                gradient[2:] = weights.sum() * np.array(slopes)
            total += L * np.outer(gradient, gradient) / weights.sum()
    return total


def assert_within(
    result: tuple[np.ndarray, np.ndarray], expected: np.ndarray, n_sigma: float = 4.0
) -> None:
    """The information must agree with the expectation within its own covariance, and be close."""
    information, covariance = result
    error = np.sqrt(np.einsum("ijij->ij", covariance))
    difference = np.abs(information - expected)
    assert np.all(difference <= n_sigma * error + 1e-9 * L)
    scale = np.sqrt(np.diag(expected_truth(AWAY)))[: len(expected)]
    assert np.all(difference <= 0.05 * np.outer(scale, scale))


@pytest.mark.parametrize("theta", [ORIGIN, AWAY], ids=["origin", "away"])
def test_truth_is_the_closed_form(fisher: FisherInformation, theta: np.ndarray) -> None:
    expected = expected_truth(theta)
    log_kappa, square, along = np.log(KAPPA), theta @ theta, theta @ D
    by_hand = np.zeros((4, 4))  # theta, shift, norm
    by_hand[:2, :2] = 4.0 * np.eye(2)
    by_hand[:2, 2] = by_hand[2, :2] = 2.0 * C * D
    by_hand[:2, 3] = by_hand[3, :2] = 2.0 * log_kappa * theta
    by_hand[2, 2] = C**2 * (1.0 + square + 2.0 * along**2)
    by_hand[2, 3] = by_hand[3, 2] = 2.0 * C * log_kappa * along
    by_hand[3, 3] = log_kappa**2 * (1.0 + square)
    np.testing.assert_allclose(
        project_information(expected, [0, 1, 2, 4]), L * by_hand, rtol=1e-9, atol=1e-9 * L
    )
    assert_within(fisher.truth_information(theta, L), expected)


def test_profiled_truth_is_the_closed_form(fisher: FisherInformation) -> None:
    """With shift alone and its constraint: 4 L (1 - d d^T c^2 / (c^2 + 1 / L))."""
    truth, covariance = fisher.truth_information(ORIGIN, L)
    constrained = truth + fisher.nuisance_constraint_information()
    kept, covariance = project_information(constrained, [0, 1, 2], covariance)
    expected = L * (4.0 * np.eye(2) - 4.0 * C**2 * np.outer(D, D) / (C**2 + 1.0 / L))
    result, error = profile_information(kept, [0, 1], covariance)
    assert_within((result, error), expected)


@pytest.mark.parametrize("nuisance_response", RESPONSES)
@pytest.mark.parametrize("theta", [ORIGIN, AWAY], ids=["origin", "away"])
def test_cells_are_the_closed_form(
    fisher: FisherInformation, theta: np.ndarray, nuisance_response: str
) -> None:
    option = {"nuisance_response": nuisance_response}
    rate = fisher.rate_information(theta, L, **option)
    assert_within(rate, expected_cells(theta, [], [], nuisance_response))
    line = fisher.histo_information(theta, L, "z0", EDGES0, **option)
    assert_within(line, expected_cells(theta, EDGES0, [], nuisance_response))
    grid = fisher.histo_information_2d(theta, L, "z0", EDGES0, "z1", EDGES1, **option)
    assert_within(grid, expected_cells(theta, EDGES0, EDGES1, nuisance_response))


def test_templates_keep_their_norm_and_events_do_not(fisher: FisherInformation) -> None:
    """The widened density has the same integral, but log-linear weights at small nu do not."""
    cells, events = (
        fisher.rate_information(ORIGIN, L, nuisance_response=name)[0][3, 3] for name in RESPONSES
    )
    assert cells < 2e-4 * L
    assert events == pytest.approx(L * (H - K) ** 2, rel=0.1)
    sigma = fisher.xsecs([ORIGIN] * 2, [[0.0, 1e-4, 0.0], [0.0, -1e-4, 0.0]])[0]
    slope = (sigma[0] - sigma[1]) / 2e-4
    assert events == pytest.approx(L * slope**2 / fisher.xsecs([ORIGIN])[0][0], rel=1e-6)


# --- laws, also where the response depends on theta


def test_rate_is_the_derivative_of_the_cross_section(toy: FisherInformation) -> None:
    theta = np.array([0.4, -0.3])
    sigma, gradient = toy.xsecs([theta])[0][0], toy.xsec_gradients([theta])[0]
    rate, _ = toy.rate_information(theta, L, nuisance_response="events")
    np.testing.assert_allclose(rate, L * np.outer(gradient, gradient) / sigma, rtol=1e-10)
    assert np.linalg.matrix_rank(rate, tol=1e-10 * np.trace(rate), hermitian=True) == 1
    for j, step in enumerate(1e-5 * np.eye(2)):
        raised, lowered = toy.xsecs([theta] * 2, [step, -step])[0]
        slope = (raised - lowered) / 2e-5
        np.testing.assert_allclose(rate[2 + j, 2 + j], L * slope**2 / sigma, rtol=1e-6)


def test_cells_take_the_slope_of_the_summed_variations(toy: FisherInformation) -> None:
    theta = np.array([0.4, -0.3])
    where = theta if toy.response.varying else "sm"
    up, down = toy.xsecs([where] * 2, [[0.0, 1.0], [0.0, -1.0]])[0]
    rate, _ = toy.rate_information(theta, L)
    slope = 0.5 * np.log(up / down)
    assert rate[3, 3] == pytest.approx(L * toy.xsecs([theta])[0][0] * slope**2, rel=1e-9)


def twin(toy: FisherInformation, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observables, weights and gradients, shape ``(n, 4)``, from the coefficients kept in x."""
    assert toy.morphing_components is not None
    x, weights = toy.weighted_events(theta)
    steps = 1e-6 * np.eye(2)
    powers = monomials(
        np.array([theta, *(theta + steps), *(theta - steps)]), toy.morphing_components
    )
    shares = weights / (x[:, :6] @ powers[0])
    by_theta = shares[:, np.newaxis] * (x[:, :6] @ ((powers[1:3] - powers[3:]) / 2e-6).T)
    at = powers[0] if toy.response.varying else np.eye(6)[0]
    slope = 0.5 * np.log((x[:, 6:12] @ at) / (x[:, 12:18] @ at))
    return x, weights, np.column_stack([by_theta, weights * x[:, 18], weights * slope])


def test_events_equal_the_slow_formula(toy: FisherInformation) -> None:
    theta = np.array([0.4, -0.3])
    x, weights, gradients = twin(toy, theta)
    truth, _ = toy.truth_information(theta, L)
    slow = sum(L * np.outer(g, g) / w for w, g in zip(weights, gradients, strict=True))
    np.testing.assert_allclose(truth, slow, rtol=1e-7, atol=1e-9 * np.trace(truth))
    edges = np.quantile(x[:, 18], [0.3, 0.6])
    histogram, _ = toy.histo_information(theta, L, "a0", list(edges), nuisance_response="events")
    slow = np.zeros((4, 4))
    for k in range(3):
        inside = np.searchsorted(edges, x[:, 18], side="left") == k
        gradient = gradients[inside].sum(axis=0)
        slow += L * np.outer(gradient, gradient) / weights[inside].sum()
    np.testing.assert_allclose(histogram, slow, rtol=1e-7, atol=1e-9 * np.trace(slow))


def test_constant_responses_do_not_change_beside_varying_ones(
    nuisance_event_file: MakeFile,
) -> None:
    theta = np.array([0.4, -0.3])
    constant, varying = (
        FisherInformation(nuisance_event_file(400, varying=flag)).truth_information(theta, L)[0]
        for flag in (False, True)
    )
    kept = [0, 1, 2]  # theta and nu0, whose response never depends on theta
    np.testing.assert_allclose(
        project_information(varying, kept), project_information(constant, kept), rtol=1e-10
    )
    assert abs(varying[3, 3] / constant[3, 3] - 1.0) > 0.01


@pytest.mark.parametrize("theta", [[0.0, 0.0], [0.4, -0.3], [-0.9, 0.6]])
def test_what_is_known_less_well_informs_less(toy: FisherInformation, theta: list[float]) -> None:
    option = {"nuisance_response": "events"}
    k0, a0 = ([float(q)] for q in np.median(toy.weighted_events()[0][:, [0, 18]], axis=0))
    chain = [
        toy.truth_information(theta, L)[0],
        toy.histo_information_2d(theta, L, "k0", k0, "a0", [a0[0] - 0.02, *a0], **option)[0],
        toy.histo_information_2d(theta, L, "k0", k0, "a0", a0, **option)[0],
        toy.histo_information(theta, L, "k0", k0, **option)[0],
        toy.rate_information(theta, L, **option)[0],
        np.zeros((4, 4)),
    ]
    constraint = toy.nuisance_constraint_information()
    for finer, coarser in pairwise(chain):
        assert np.linalg.eigvalsh(finer - coarser).min() > -1e-10 * np.trace(finer)
        profiled = [profile_information(part + constraint, [0, 1]) for part in (finer, coarser)]
        assert np.linalg.eigvalsh(profiled[0] - profiled[1]).min() > -1e-9 * np.trace(finer)


def test_a_norm_is_the_derivative_of_the_rate(fisher: FisherInformation) -> None:
    gradient = fisher.xsec_gradients([AWAY], gradients="theta")[0]
    sigma = fisher.xsecs([AWAY])[0][0]
    expected = L * np.log(KAPPA) * np.append(gradient, np.log(KAPPA) * sigma)
    results = [fisher.truth_information(AWAY, L)[0]]
    for nuisance_response in RESPONSES:
        option = {"nuisance_response": nuisance_response}
        results += [
            fisher.rate_information(AWAY, L, **option)[0],
            fisher.histo_information(AWAY, L, "z0", 7, (-2.0, 2.0), **option)[0],
        ]
    for result in results:
        np.testing.assert_allclose(result[4, [0, 1, 4]], expected, rtol=1e-10)


def test_scores_of_samples_add_up_to_the_truth(toy: FisherInformation) -> None:
    """The score of the density is that of the differential cross section less that of the total:
    L sigma E[t t^T] + I_rate = I_truth."""
    theta = np.array([0.4, -0.3])
    truth, _ = toy.truth_information(theta, L)
    rate, _ = toy.rate_information(theta, L, nuisance_response="events")
    augmenter = SampleAugmenter(toy.madminer_filename)
    n_expected = L * toy.xsecs([theta])[0][0]
    every = {"partition": "all", "sample_only_from_closest_benchmark": False}
    sample = augmenter.weighted_local(theta, **every)
    assert sample.t_xz.shape == (1200, 4)
    kinematic = n_expected * (sample.t_xz.T * sample.probabilities) @ sample.t_xz
    np.testing.assert_allclose(
        kinematic + rate, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max()
    )
    _, _, t_xz, _ = augmenter.sample_train_local(
        morphing_point(theta), 40_000, test_split=None, seed=3, **every
    )
    products = t_xz[:, :, np.newaxis] * t_xz[:, np.newaxis, :].astype(np.float64)
    error = n_expected * products.std(axis=0) / np.sqrt(len(t_xz))
    assert np.all(np.abs(n_expected * products.mean(axis=0) + rate - truth) < 4.0 * error)


def test_without_nuisances_the_others_are_fixed(toy: FisherInformation) -> None:
    for method in (toy.truth_information, toy.rate_information):
        everything, covariance = method([0.4, -0.3], L)
        alone = method([0.4, -0.3], L, include_nuisance_parameters=False)
        projected = project_information(everything, [0, 1], covariance)
        for result, expected in zip(alone, projected, strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-10)
    plain = FisherInformation(toy.madminer_filename, include_nuisance_parameters=False)
    np.testing.assert_array_equal(plain.nuisance_constraint_information(), np.zeros((2, 2)))
    truth, covariance = plain.truth_information([0.4, -0.3], L)
    for result, expected in zip(
        profile_information(truth, [0, 1], covariance), (truth, covariance), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-12)
    same = [
        plain.histo_information([0.4, -0.3], L, "a0", [0.05], nuisance_response=name)[0]
        for name in RESPONSES
    ]
    np.testing.assert_array_equal(*same)


# --- constraints and likelihoods


def test_profiling_is_the_schur_complement_between_its_limits(fisher: FisherInformation) -> None:
    truth, _ = fisher.truth_information(AWAY, L)
    constraint = fisher.nuisance_constraint_information()
    np.testing.assert_array_equal(constraint, np.diag([0.0, 0.0, 1.0, 1.0, 1.0]))
    constrained = truth + constraint
    profiled = profile_information(constrained, [0, 1])
    schur = constrained[:2, :2] - constrained[:2, 2:] @ np.linalg.solve(
        constrained[2:, 2:], constrained[2:, :2]
    )
    np.testing.assert_allclose(profiled, schur, rtol=1e-12)
    np.testing.assert_allclose(profiled, np.linalg.inv(np.linalg.inv(constrained)[:2, :2]))
    free, tight = (profile_information(truth + f * constraint, [0, 1]) for f in (1e-9, 1e12))
    np.testing.assert_allclose(free, profile_information(truth, [0, 1]), rtol=1e-9)
    np.testing.assert_allclose(tight, project_information(truth, [0, 1]), rtol=1e-8)
    for lower, upper in pairwise([free, profiled, tight]):
        assert np.linalg.eigvalsh(upper - lower).min() > 0.0


@pytest.mark.parametrize("edges", [[], [-0.02, 0.05, 0.1]], ids=["rate", "histogram"])
def test_profiled_information_is_the_curvature_of_the_profiled_likelihood(
    toy: FisherInformation, edges: list[float]
) -> None:
    theta0, luminosity = np.array([0.4, -0.3]), 50.0
    x, weights = toy.weighted_events()
    cells = np.searchsorted(edges, x[:, 18], side="left")

    def prediction(theta: np.ndarray, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected counts and their derivatives by nu."""
        if not edges:
            slopes = toy.xsec_gradients([theta], [nu], gradients="nu")
            return luminosity * toy.xsecs([theta], [nu])[0], luminosity * slopes
        point = parameter_points(toy.setup, [theta], [nu])
        w, gradients = weights_and_gradients(toy.response, point, weights, by_nu=True)
        columns = [np.bincount(cells, column) for column in (w, *gradients[:, 2:].T)]
        return luminosity * columns[0], luminosity * np.stack(columns[1:], axis=1)

    observed, _ = prediction(theta0, np.zeros(2))

    def negative_log_likelihood(nu: np.ndarray, theta: np.ndarray) -> tuple[float, np.ndarray]:
        counts, slopes = prediction(theta, nu)
        excess = counts - observed - observed * np.log(counts / observed)
        return float(excess.sum() + 0.5 * nu @ nu), (1.0 - observed / counts) @ slopes + nu

    def profiled(theta: np.ndarray) -> float:
        fit = minimize(negative_log_likelihood, np.zeros(2), (theta,), jac=True, tol=1e-7)
        return float(fit.fun)

    step = 0.02  # odd orders cancel in the sum of both signs
    directions = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0])]
    curves = [
        (profiled(theta0 + step * d) + profiled(theta0 - step * d)) / step**2 for d in directions
    ]
    off = 0.5 * (curves[2] - curves[0] - curves[1])
    curvature = np.array([[curves[0], off], [off, curves[1]]])
    option = {"nuisance_response": "events"}
    information = (
        toy.histo_information(theta0, luminosity, "a0", edges, **option)[0]
        if edges
        else toy.rate_information(theta0, luminosity, **option)[0]
    )
    constrained = information + toy.nuisance_constraint_information()
    result = profile_information(constrained, [0, 1])
    np.testing.assert_allclose(result, curvature, atol=2e-3 * np.trace(result))
    lost = np.trace(information[:2, :2]) - np.trace(result)
    assert lost > 0.05 * np.trace(result)  # profiling matters here


# --- trained scores


class LatentScore(ScoreEstimator):
    """The exact score at `AWAY`, and no network."""

    def evaluate_score(self, x: np.ndarray, *_: object, **__: object) -> np.ndarray:
        scores: np.ndarray = model_scores(AWAY, x) - self.rate_score
        return scores[:, : self.n_parameters]


def test_full_information_with_the_exact_score_is_the_truth(
    fisher: FisherInformation,
    monkeypatch: pytest.MonkeyPatch,
    sample_covariance: Callable[..., np.ndarray],
) -> None:
    estimator = LatentScore()
    estimator.n_parameters = 5
    estimator.rate_score = fisher.xsec_gradients([AWAY])[0] / fisher.xsecs([AWAY])[0][0]
    monkeypatch.setattr(score_information, "load_score_model", lambda _: estimator)
    every = {"luminosity": L, "test_split": None}
    truth, _ = fisher.truth_information(AWAY, L)
    rate, rate_covariance = fisher.rate_information(AWAY, L, nuisance_response="events")
    x, weights = fisher.weighted_events(AWAY)
    events = (L * weights.sum()) ** 2 * sample_covariance(estimator.evaluate_score(x), weights)
    for theta in (AWAY, [*AWAY, 0.0, 0.0, 0.0]):
        full, covariance = fisher.full_information(
            theta, "model", **every, nuisance_response="events"
        )
        np.testing.assert_allclose(full, truth, rtol=1e-10, atol=1e-10 * L)
        np.testing.assert_allclose(covariance - rate_covariance, events, atol=1e-10 * L**2)
    default, _ = fisher.full_information(AWAY, "model", **every)
    templates, _ = fisher.rate_information(AWAY, L)
    np.testing.assert_allclose(default - templates, truth - rate, atol=1e-10 * L)
    fifth, _ = fisher.full_information(AWAY, "model", luminosity=L, nuisance_response="events")
    np.testing.assert_allclose(fifth, truth, atol=0.15 * L)
    estimator.n_parameters = 2
    theory, _ = fisher.full_information(AWAY, "model", **every)
    np.testing.assert_allclose(theory, truth[:2, :2], rtol=1e-10, atol=1e-10 * L)


# --- covariances

KINDS = ("truth", "rate cells", "rate events", "histogram cells", "histogram events")


def of_sample(
    response: CellResponse, kind: str, axis: Axis, x: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the facade calculates from a file."""
    name, *option = kind.split()
    if name == "truth":
        return truth_information([(x, weights)], response, L)
    columns = weights
    if option == ["events"]:
        columns, response = response.event_columns(weights), response.summed()
    axes = [axis] if name == "histogram" else []
    return cells_information(cell_moments([(x, columns)], axes), response, L)


def scaled_difference(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Difference of covariances in units of the standard deviations."""
    scale = np.sqrt(np.einsum("ijij->ij", expected))
    return (found - expected) / np.einsum("ij,kl->ijkl", scale, scale)


def spread(informations: list[np.ndarray]) -> np.ndarray:
    flat = np.reshape(informations, (len(informations), -1))
    return np.cov(flat, rowvar=False).reshape(informations[0].shape * 2)


def pull(result: tuple[np.ndarray, np.ndarray], expected: np.ndarray) -> np.ndarray:
    information, covariance = result
    pulls: np.ndarray = (information - expected) / np.sqrt(np.einsum("ijij->ij", covariance))
    return pulls


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_agree_with_poisson_bootstrap(nuisance_event_file: MakeFile, kind: str) -> None:
    toy = FisherInformation(nuisance_event_file(1200, varying=True))
    theta, n_toys = np.array([0.4, -0.3]), 400
    x, weights = toy.weighted_events()
    axis = (lambda z: z[:, 3], np.quantile(x[:, 3], [0.1, 0.3, 0.7, 0.9]))
    response = cell_response(toy.setup, theta)
    expected, covariance = of_sample(response, kind, axis, x, weights)
    name, *option = kind.split()
    by_facade = {
        "truth": lambda: toy.truth_information(theta, L),
        "rate": lambda: toy.rate_information(theta, L, nuisance_response=option[0]),
        "histogram": lambda: toy.histo_information(
            theta, L, "k3", list(axis[1]), nuisance_response=option[0]
        ),
    }[name]()
    for result, same in zip(by_facade, (expected, covariance), strict=True):
        np.testing.assert_allclose(result, same, rtol=1e-10)

    rng = np.random.default_rng(4)
    toys = [
        of_sample(response, kind, axis, x, rng.poisson(1.0, (len(x), 1)) * weights)[0]
        for _ in range(n_toys)
    ]
    assert np.abs(scaled_difference(spread(toys), covariance)).max() < 0.25  # 400 toys: 7 %
    constraint = 50.0 * toy.nuisance_constraint_information()
    profiled = [profile_information(each + constraint, [0, 1]) for each in toys]
    _, linear = profile_information(expected + constraint, [0, 1], covariance)
    assert np.abs(scaled_difference(spread(profiled), linear)).max() < 0.25
    _, from_toys = profile_information(
        expected + constraint, [0, 1], covariance, 1000, error_propagation="toys", seed=2
    )
    assert np.abs(scaled_difference(from_toys, linear)).max() < 0.2  # 1000 toys: 4.5 %


@pytest.mark.parametrize("kind", KINDS)
def test_pulls_of_generated_samples(fisher: FisherInformation, kind: str) -> None:
    """Over independent samples, pulls to the closed form have mean zero and width one.

    Not so where the expected slope is zero: the information is then quadratic in what fluctuates.
    """
    n_samples, theta = 200, np.array([0.2, 0.1])
    response = cell_response(fisher.setup, theta)
    axis = (lambda z: z[:, 0], np.array(EDGES0))
    name, *option = kind.split()
    expected = {
        "truth": lambda: expected_truth(theta),
        "rate": lambda: expected_cells(theta, [], [], option[0]),
        "histogram": lambda: expected_cells(theta, EDGES0, [], option[0]),
    }[name]()
    constraint = 50.0 * fisher.nuisance_constraint_information()
    profiled_expected = profile_information(expected + constraint, [0, 1])
    rng = np.random.default_rng(8)
    pulls, profiled_pulls = [], []
    for _ in range(n_samples):
        result = of_sample(response, kind, axis, *generate(rng, 2000))
        pulls.append(pull(result, expected))
        result = profile_information(result[0] + constraint, [0, 1], result[1])
        profiled_pulls.append(pull(result, profiled_expected))
    sloped = np.diag(expected) > 1e-6 * L
    assert sloped.sum() >= 3
    for each in (np.array(pulls)[:, sloped][:, :, sloped], np.array(profiled_pulls)):
        assert np.abs(each.mean(axis=0)).max() < 0.35  # 200 samples: 0.07, and a bias 1 / n
        assert np.abs(each.std(axis=0) - 1.0).max() < 0.2  # 200 samples: 0.05


# --- bad input


def test_undefined_responses_are_reported_once(
    nuisance_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EventFile(nuisance_event_file(50))
    events = file.read()
    weights = events.weights.copy()
    column = list(file.setup.benchmarks).index("nu0_up")
    weights[:3, column] = 0.0
    weights[3, column] = weights[3, 0] * np.exp(11.0)
    write_events(tmp_path / "bad.h5", file.setup, replace(events, weights=weights), file.summary)
    fisher = FisherInformation(tmp_path / "bad.h5")
    with caplog.at_level(logging.WARNING):
        for theta in (ORIGIN, AWAY):
            fisher.truth_information(theta, L)
            fisher.rate_information(theta, L, nuisance_response="events")
            fisher.rate_information(theta, L)
    assert caplog.text.count("nu0: of 50 events, 3 have weights that are zero") == 1
    assert caplog.text.count("and 1 vary by more than a factor exp(10)") == 1
    assert "bins" not in caplog.text
    weights[:, column] *= -1.0
    write_events(tmp_path / "bad.h5", file.setup, replace(events, weights=weights), file.summary)
    with caplog.at_level(logging.WARNING):
        rate, _ = FisherInformation(tmp_path / "bad.h5").rate_information(ORIGIN, L)
    assert rate[2, 2] == 0.0
    assert caplog.text.count("nu0: of 1 bins, 1 have weights that are zero or change sign") == 1


def test_unknown_response_is_refused(fisher: FisherInformation) -> None:
    with pytest.raises(OptionError, match="one of 'cells', 'events', got 'bins'"):
        fisher.rate_information(ORIGIN, L, nuisance_response="bins")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="one of 'cells', 'events'"):
        fisher.histo_information(ORIGIN, L, "z0", 3, nuisance_response=None)  # type: ignore[arg-type]
