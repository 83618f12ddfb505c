"""Likelihoods of networks: exact ratios, small trained networks, learned responses, wrong input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import (
    DataError,
    MadMinerError,
    MissingFileError,
    NoEventsError,
    NotTrainedError,
    OptionError,
    SetupError,
    ShapeError,
)
from madminer.likelihood import (
    HistoLikelihood,
    NeuralLikelihood,
    fit,
    profile_log_likelihood,
    train_response,
)
from madminer.likelihood.fit import profile_nuisances
from madminer.likelihood.learned import learned_response
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
)

MakeFile = Callable[..., Path]
L = 200.0
STEP, D, KAPPA = 0.3, np.array([0.6, 0.8]), 1.1
POINTS = np.array(
    [[0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.7, -0.4], [-0.1, 0.4, -1.2, 1.0], [0.2, 0.1, 1.0, -1.0]]
)
QUIET = {"verbose": "none", "seed": 1}


@pytest.fixture(scope="module")
def exact(moved_gaussian_file: MakeFile) -> NeuralLikelihood:
    """Events whose sums are exact integrals."""
    return NeuralLikelihood(moved_gaussian_file())


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(60, 2))


def closed_sigma(params: np.ndarray) -> float:
    """In pb, with the response of each event."""
    theta, move = params[:2], STEP * params[2] * D
    return float((1.0 + theta @ move) ** 2 + theta @ theta) * KAPPA ** float(params[3])


def rate(n: float, mean: float) -> float:
    return mean - n * math.log(mean) + math.lgamma(n + 1.0)


def train_sigma(analyzer: NeuralLikelihood, params: np.ndarray) -> float:
    """Of the first four fifths of the events, in a loop over them."""
    events = analyzer.event_file.read()
    n = round(0.8 * len(events.x))
    total = 0.0
    for z, measure in zip(events.x[:n], events.weights[:n, 0], strict=True):
        log_f = STEP * params[2] * float(z @ D) - 0.5 * (STEP * params[2]) ** 2
        total += measure * (1.0 + float(z @ params[:2])) ** 2 * math.exp(log_f)
    return float(total * len(events.x) / n * KAPPA ** params[3])


# --- exact ratios


@pytest.mark.parametrize("n_parameters", [2, 4])
@pytest.mark.parametrize("xsec_mode", ["interpol", "sampled"])
def test_likelihood_is_the_loop(
    exact: NeuralLikelihood,
    exact_ratio: type[ParameterizedRatioEstimator],
    x: np.ndarray,
    n_parameters: int,
    xsec_mode: str,
    assert_derivatives: Callable[..., None],
) -> None:
    """A network of theta alone gets theta; the total responds as the reference, or as its events.

    The cross section at the reference does not change with a shift.
    """
    estimator = exact_ratio(n_parameters)
    weights = np.random.default_rng(4).uniform(0.5, 1.5, len(x))
    for n, given in ((None, None), (71.5, None), (71.5, weights)):
        likelihood = exact.create_negative_log_likelihood(
            estimator, x, n, given, luminosity=L, xsec_mode=xsec_mode, mode="sampled"
        )
        number = len(x) if n is None else n
        each = np.ones(len(x)) if given is None else given
        for params in POINTS:
            sigma = (
                train_sigma(exact, params)
                if xsec_mode == "sampled"
                else (1.0 + params[:2] @ params[:2]) * KAPPA ** params[3]
            )
            expected = rate(number, L * sigma)
            expected += sum(0.5 * (nu**2 + math.log(2.0 * math.pi)) for nu in params[2:])
            for row, weight in zip(x, each * number / each.sum(), strict=True):
                log_r, _ = estimator.evaluate_log_likelihood_ratio(
                    row[np.newaxis], params[np.newaxis, :n_parameters]
                )
                expected -= weight * float(log_r[0, 0])
            assert likelihood(params) == pytest.approx(expected, rel=1e-9)
        assert likelihood(None) == 4
        assert_derivatives(likelihood, POINTS)


def test_without_rate(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator], x: np.ndarray
) -> None:
    both, shape = (
        exact.create_negative_log_likelihood(exact_ratio(4), x, include_xsec=include, luminosity=L)
        for include in (True, False)
    )
    assert shape(None) == 4
    parts, alone = both.parts(POINTS), shape.parts(POINTS)
    np.testing.assert_array_equal(parts["shape"], alone["shape"])
    np.testing.assert_array_equal(alone["rate"], 0.0)


def test_expected_likelihoods_are_largest_at_the_truth(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator]
) -> None:
    """Expected scores vanish there, and the curvature is that of all events and constraints."""
    for truth in POINTS[[0, 1]]:
        likelihood = exact.create_expected_negative_log_likelihood(
            exact_ratio(4),
            truth[:2],
            truth[2:],
            luminosity=L,
            mode="sampled",
            xsec_mode="sampled",
            test_split=None,
        )
        n = likelihood.channels[0].n_events[0]
        interpolated = exact.xsecs([truth[:2]], [truth[2:]])[0][0]
        assert n == pytest.approx(L * interpolated)
        assert n == pytest.approx(L * closed_sigma(truth), rel=1e-9)
        np.testing.assert_allclose(likelihood.gradient(truth), [0, 0, *truth[2:]], atol=1e-7)
        parts = likelihood.parts(np.array([truth, truth + 0.05]))
        assert parts["rate"][0] < parts["rate"][1]
        assert parts["shape"][0] < parts["shape"][1]
    at_zero = likelihood.expand(POINTS[:1]).curvature[0]
    assert at_zero.shape == (4, 4)


def test_curvature_at_zero_is_the_information(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator]
) -> None:
    """Scores 2 z, STEP z . d and log KAPPA of L events."""
    likelihood = exact.create_expected_negative_log_likelihood(
        exact_ratio(4), "b0", None, luminosity=L, test_split=None
    )
    c, k = STEP * D, math.log(KAPPA)
    expected = np.zeros((4, 4))
    expected[:2, :2] = 4.0 * L * np.eye(2)
    expected[:2, 2] = expected[2, :2] = 2.0 * L * c
    expected[2, 2] = L * STEP**2 + 1.0
    expected[3, 3] = L * k**2 + 1.0
    np.testing.assert_allclose(likelihood.expand(POINTS[:1]).curvature[0], expected, atol=1e-6)
    result = fit(likelihood, [0.01, -0.01, 0.1, 0.1])
    np.testing.assert_allclose(result.values, 0.0, atol=2e-3)
    np.testing.assert_allclose(result.covariance, np.linalg.inv(expected), atol=5e-3)
    np.testing.assert_allclose(result.errors, np.sqrt(np.diag(np.linalg.inv(expected))), rtol=0.02)


def test_parts_of_the_file(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator]
) -> None:
    """Expected data are the last events, n_asimov counts those, and N stays."""
    all_x = exact.event_file.read().x
    for split, n, rows in ((0.25, None, 144), (0.25, 20, 20), (0.25, 1000, 144), (None, None, 576)):
        likelihood = exact.create_expected_negative_log_likelihood(
            exact_ratio(), "b0", None, luminosity=L, n_asimov=n, test_split=split
        )
        term = likelihood.channels[0].terms[0]
        first = 432 if split else 0
        np.testing.assert_array_equal(term.x, all_x[first : first + rows])
        assert term.weights.sum() == pytest.approx(L, rel=1e-9)
        weights = exact.event_file.read().weights[first : first + rows, 0]
        np.testing.assert_allclose(term.weights, L * weights / weights.sum())


def test_cross_sections_of_weighted_events(
    moved_gaussian_file: MakeFile, exact_ratio: type[ParameterizedRatioEstimator], x: np.ndarray
) -> None:
    """One set of events, drawn once and scaled to all of them."""
    file = NeuralLikelihood(moved_gaussian_file(2000))

    def mean(seed: int, params: np.ndarray, n: int = 500) -> float:
        likelihood = file.create_negative_log_likelihood(
            exact_ratio(), x, 0.0, luminosity=L, xsec_mode="weighted", n_weighted=n, seed=seed
        )
        values = [likelihood.parts(params[np.newaxis])["rate"][0] for _ in range(2)]
        assert values[0] == values[1]
        return float(values[0])

    assert mean(1, POINTS[1]) == mean(1, POINTS[1])
    assert mean(1, POINTS[1]) != mean(2, POINTS[1])
    sigma = [mean(seed, POINTS[1]) / L for seed in range(20)]
    assert np.mean(sigma) == pytest.approx(closed_sigma(POINTS[1]), rel=0.05)
    everything = mean(1, POINTS[1], 10_000)
    assert everything == mean(2, POINTS[1], 10_000)
    assert everything / L == pytest.approx(train_sigma(file, POINTS[1]), rel=1e-9)


def test_events_without_finite_ratio_count_nowhere(
    exact: NeuralLikelihood,
    exact_ratio: type[ParameterizedRatioEstimator],
    caplog: pytest.LogCaptureFixture,
) -> None:
    x = np.array([[0.5, 0.1], [-4.0, 0.0], [0.2, 0.3]])  # 1 + theta . x vanishes for the second
    likelihood, without = (
        exact.create_negative_log_likelihood(exact_ratio(), events, include_xsec=False)
        for events in (x, x[[0, 2]])
    )
    params = [0.25, 0.0, 0.3, -0.2]
    with np.errstate(divide="ignore", invalid="ignore"):
        assert likelihood(params) == pytest.approx(without(params))
        np.testing.assert_allclose(likelihood.gradient(params), without.gradient(params))
    assert "1 of 3 events have no finite likelihood" in caplog.text


def test_no_observed_events(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator]
) -> None:
    response = ExactResponse()
    for events, options in (
        (np.empty((0, 2)), {}),
        (np.empty((0, 2)), {"response": response}),
        (np.ones((3, 2)), {"n_observed": 0.0, "response": response}),
    ):
        likelihood = exact.create_negative_log_likelihood(
            exact_ratio(), events, luminosity=2.0, **options
        )
        parts = likelihood.parts(POINTS[:2])
        assert parts["rate"][0] == pytest.approx(2.0)
        np.testing.assert_allclose(parts["shape"], 0.0, atol=1e-12)
        assert np.all(np.isfinite(likelihood.gradient(POINTS[1])))
    with pytest.raises(DataError, match="n_observed is 3, but x_observed has no events"):
        exact.create_negative_log_likelihood(exact_ratio(), np.empty((0, 2)), n_observed=3.0)


# --- networks


@pytest.fixture(scope="module")
def ratios() -> dict[int, list[ParameterizedRatioEstimator]]:
    """Two small networks each of theta, and of theta and nu, in double precision."""
    found = {}
    for n_parameters in (2, 4):
        members = []
        for seed in (1, 2):
            rng = np.random.default_rng(seed)
            x, theta = rng.normal(size=(400, 2)), rng.normal(scale=0.3, size=(400, n_parameters))
            r = np.exp(np.sum(theta[:, :2] * x, axis=1))
            estimator = ParameterizedRatioEstimator(n_hidden=(8,))
            y = rng.integers(0, 2, 400)
            estimator.train(
                "alice", x, y, theta, r, n_epochs=2, dtype="float64", seed=seed, verbose="none"
            )
            members.append(estimator)
        found[n_parameters] = members
    return found


@pytest.fixture(scope="module")
def flows() -> dict[int, LikelihoodEstimator]:
    found = {}
    for n_parameters in (2, 4):
        rng = np.random.default_rng(5)
        theta = rng.normal(scale=0.5, size=(400, n_parameters))
        estimator = LikelihoodEstimator(n_mades=2, n_hidden=(6,))
        estimator.train(
            "nde",
            rng.normal(size=(400, 2)) + theta[:, :2],
            theta,
            n_epochs=2,
            dtype="float64",
            **QUIET,
        )
        found[n_parameters] = estimator
    return found


@pytest.mark.parametrize("n_parameters", [2, 4])
def test_trained_estimators(
    exact: NeuralLikelihood,
    ratios: dict[int, list[ParameterizedRatioEstimator]],
    flows: dict[int, LikelihoodEstimator],
    x: np.ndarray,
    n_parameters: int,
    tmp_path: Path,
    assert_derivatives: Callable[..., None],
) -> None:
    """Ensembles give the mean log; files and folders are the estimators that they hold."""
    one, two = ratios[n_parameters]
    flow = flows[n_parameters]
    ensemble, flow_ensemble = Ensemble([one, two]), Ensemble([flow])
    one.save(tmp_path / "one")
    ensemble.save(tmp_path / "ensemble")
    models = [one, two, flow, ensemble, flow_ensemble, tmp_path / "one", str(tmp_path / "ensemble")]
    likelihoods = [exact.create_negative_log_likelihood(model, x, luminosity=L) for model in models]
    for likelihood in likelihoods[:5]:
        assert_derivatives(likelihood, POINTS, rtol=1e-5)
    values = np.array([likelihood.parts(POINTS)["shape"] for likelihood in likelihoods])
    positions = POINTS[:, :n_parameters]
    direct = [
        -model.evaluate_log_likelihood_ratio(x, positions)[0].sum(axis=1) for model in (one, two)
    ]
    direct.append(-flow.evaluate_log_likelihood(x, positions)[0].sum(axis=1))
    np.testing.assert_allclose(values[:3], direct, rtol=1e-10)
    np.testing.assert_allclose(values[3], values[:2].mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(values[4:], values[[2, 0, 3]], rtol=1e-10)
    by_nu = likelihoods[0].expand(POINTS, only_nu=True).gradient[:, 2:]
    np.testing.assert_allclose(by_nu, likelihoods[0].expand(POINTS).gradient[:, 2:])


def test_networks_in_single_precision(moved_gaussian_file: MakeFile) -> None:
    """Their rounding keeps no fit of many events from its minimum, nor spoils its errors."""
    rng = np.random.default_rng(6)
    theta, y = rng.normal(scale=0.5, size=(6000, 4)), rng.integers(0, 2, 6000)
    mean = theta[:, :2] + theta[:, 2:3] * [0.3, -0.3]
    x = rng.normal(size=(6000, 2)) + np.where(y[:, np.newaxis] == 0, mean, 0.0)
    r = np.exp(np.sum(x * mean - 0.5 * mean**2, axis=1))
    single = ParameterizedRatioEstimator(n_hidden=(10,))
    single.train("alice", x, y, theta, r, n_epochs=6, initial_lr=0.01, **QUIET)
    observed = rng.normal(size=(300, 2))
    file = NeuralLikelihood(moved_gaussian_file(500))
    for n in (1e3, 1e6):
        likelihood = file.create_negative_log_likelihood(single, observed, n, luminosity=n)
        result = fit(likelihood)
        steps = 1e-2 * np.diag(result.errors)
        hessian = np.array(
            [
                (
                    likelihood.gradient(result.values + step)
                    - likelihood.gradient(result.values - step)
                )
                / (2.0 * step.sum())
                for step in steps
            ]
        )
        gradient = likelihood.gradient(result.values)
        assert gradient @ np.linalg.solve(hessian, gradient) < 1e-4
        errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
        np.testing.assert_allclose(result.errors, errors, rtol=0.02)
        thetas = result.values[:2] + result.errors[:2] * [[0.0, 0.0], [0.5, 0.0]]
        start = np.tile(result.values[2:], (2, 1))
        together = profile_nuisances(likelihood, thetas, start=start)
        for method in ("TNC", "L-BFGS-B", "migrad"):
            found = profile_log_likelihood(
                likelihood, [0, 1], thetas_eval=thetas, theta_start=result.values[2:], method=method
            )
            np.testing.assert_allclose(np.diff(found[3]), -np.diff(together.nll), atol=1e-3)
    assert next(single._network.parameters()).dtype.itemsize == 4  # the user's own stays


# --- responses


class ExactResponse(ScoreEstimator):  # type: ignore[misc]
    """What train_response learns: odd and even parts of the ratios at +1 and -1."""

    def __init__(self) -> None:
        super().__init__()
        self.n_parameters = 4

    def evaluate_score(self, x: np.ndarray, **_: object) -> np.ndarray:  # type: ignore[override]
        move = STEP * (x @ D)
        norm = np.full(len(x), KAPPA)
        up = np.stack([np.exp(move - STEP**2 / 2), norm], axis=1)
        down = np.stack([np.exp(-move - STEP**2 / 2), 1.0 / norm], axis=1)
        return np.hstack([0.5 * (up - down), 0.5 * (up + down) - 1.0])


@pytest.mark.parametrize("include_xsec", [True, False])
def test_an_exact_response_makes_a_network_of_theta_know_nu(
    exact: NeuralLikelihood,
    exact_ratio: type[ParameterizedRatioEstimator],
    x: np.ndarray,
    include_xsec: bool,
    assert_derivatives: Callable[..., None],
) -> None:
    """Everywhere with the totals of events; with morphed totals where variations are known."""
    at_variations = POINTS[[0, 3]] + [[0.3, -0.1, 0.0, 0.0], [0.0, 0.0, -2.0, 0.0]]
    for xsec_mode, points in (("sampled", POINTS), ("interpol", at_variations)):
        known, taught = (
            exact.create_expected_negative_log_likelihood(
                model,
                [0.1, -0.2],
                [0.5, 0.5],
                include_xsec,
                L,
                mode="sampled",
                xsec_mode=xsec_mode,
                test_split=None,
                response=response,
            )
            for model, response in ((exact_ratio(4), None), (exact_ratio(2), ExactResponse()))
        )
        np.testing.assert_allclose(
            known.parts(points)["shape"], taught.parts(points)["shape"], rtol=1e-7, atol=1e-7
        )
        if xsec_mode == "sampled":
            np.testing.assert_allclose(known.values(points), taught.values(points), rtol=1e-8)
            np.testing.assert_allclose(
                known.expand(points).gradient, taught.expand(points).gradient, atol=1e-5
            )
        observed = exact.create_negative_log_likelihood(
            exact_ratio(2), x, luminosity=L, xsec_mode=xsec_mode, response=ExactResponse()
        )
        assert_derivatives(observed, POINTS)


@pytest.fixture(scope="module")
def sample(moved_gaussian_file: MakeFile) -> NeuralLikelihood:
    return NeuralLikelihood(moved_gaussian_file(8000))


@pytest.fixture(scope="module")
def response(sample: NeuralLikelihood) -> ScoreEstimator:
    return train_response(sample, [0.0, 0.0], n_hidden=(30,), n_epochs=40, initial_lr=0.02, **QUIET)


def test_a_learned_response_is_that_of_the_events(
    sample: NeuralLikelihood, response: ScoreEstimator, x: np.ndarray
) -> None:
    assert response.n_parameters == 4
    a, b = learned_response(response, x)
    exact_a = np.column_stack([STEP * (x @ D), np.full(len(x), math.log(KAPPA))])
    np.testing.assert_allclose(a, exact_a, atol=0.08)
    np.testing.assert_allclose(b, np.tile([-(STEP**2) / 2, 0.0], (len(x), 1)), atol=0.08)
    assert np.mean(np.abs(a - exact_a)) < 0.02
    again = train_response(
        sample.madminer_filename, "b0", n_hidden=(30,), n_epochs=40, initial_lr=0.02, **QUIET
    )
    np.testing.assert_allclose(again.evaluate_score(x), response.evaluate_score(x))


def test_a_learned_response_closes(
    exact: NeuralLikelihood,
    response: ScoreEstimator,
    exact_ratio: type[ParameterizedRatioEstimator],
    tmp_path: Path,
) -> None:
    """Differences in nu are those of the exact likelihood, and so are profiles and pulls."""
    response.save(tmp_path / "response")
    truth = [0.0, 0.0], [0.8, 0.5]
    options = {"luminosity": 400.0, "test_split": None, "mode": "sampled", "xsec_mode": "sampled"}
    known = exact.create_expected_negative_log_likelihood(exact_ratio(4), *truth, **options)
    points = np.array([[0.0, 0.0, s, n] for s in (-1.0, 0.0, 0.8, 2.0) for n in (0.0, 0.5)])
    thetas = np.array([[0.0, 0.0], [0.05, 0.0], [0.0, -0.05]])
    profile = profile_nuisances(known, thetas)
    for given in (response, str(tmp_path / "response")):
        taught = exact.create_expected_negative_log_likelihood(
            exact_ratio(2), *truth, response=given, **options
        )
        differences = [nll.values(points) - nll.values(points[2:3]) for nll in (known, taught)]
        np.testing.assert_allclose(differences[1], differences[0], atol=0.8)
        assert np.ptp(differences[0]) > 40.0
        found = profile_nuisances(taught, thetas)
        np.testing.assert_allclose(found.params, profile.params, atol=0.1)
        np.testing.assert_allclose(
            found.nll - found.nll[0], profile.nll - profile.nll[0], atol=0.15
        )
    neglected = exact.create_expected_negative_log_likelihood(exact_ratio(2), *truth, **options)
    assert profile_nuisances(neglected, thetas).params[0, 2] == pytest.approx(0.0, abs=1e-6)


# --- wrong input


def test_wrong_estimators(
    exact: NeuralLikelihood,
    gaussian_event_file: MakeFile,
    ratios: dict[int, list[ParameterizedRatioEstimator]],
    exact_ratio: type[ParameterizedRatioEstimator],
    x: np.ndarray,
    tmp_path: Path,
) -> None:
    def create(model: object, file: NeuralLikelihood = exact, events: np.ndarray = x) -> None:
        file.create_negative_log_likelihood(model, events, luminosity=L)  # type: ignore[arg-type]

    for wrong in (
        ScoreEstimator(),
        DoubleParameterizedRatioEstimator(),
        Ensemble([ScoreEstimator()]),
    ):
        with pytest.raises(OptionError, match="needs a single parameterized ratio estimator"):
            create(wrong)
    with pytest.raises(SetupError, match="knows 3 parameters, but the setup has 2"):
        create(exact_ratio(3))
    other = NeuralLikelihood(gaussian_event_file(50))
    events = np.zeros((4, 3))
    with pytest.raises(SetupError, match="knows 4 parameters, but the setup has 2"):
        create(ratios[4][0], other, events)
    with pytest.raises(SetupError, match="trained with 2 observables, but the events have 3"):
        create(ratios[2][0], other, events)
    for untrained in (ParameterizedRatioEstimator(), LikelihoodEstimator()):
        with pytest.raises(NotTrainedError):
            create(untrained)
    with pytest.raises(NotTrainedError, match="no estimators yet"):
        create(Ensemble())
    with pytest.raises(MissingFileError):
        create(tmp_path / "nothing")
    for wrong in (None, 3):
        with pytest.raises(OptionError, match="model_file must be a path"):
            create(wrong)


def test_wrong_events(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator], x: np.ndarray
) -> None:
    for wrong in (np.zeros((3, 1)), np.zeros((3, 3)), np.zeros(2), 0.0):
        with pytest.raises(ShapeError, match=r"x_observed must have shape \(n, 2\)"):
            exact.create_negative_log_likelihood(exact_ratio(), wrong)
    bad = x.copy()
    bad[3, 1] = np.nan
    with pytest.raises(DataError, match="x_observed has NaN in 1 of 60 events"):
        exact.create_negative_log_likelihood(exact_ratio(), bad)
    with pytest.raises(ShapeError, match=r"x_observed_weights must have shape \(60,\)"):
        exact.create_negative_log_likelihood(exact_ratio(), x, None, np.ones(59))
    with pytest.raises(DataError, match="x_observed_weights must be finite"):
        exact.create_negative_log_likelihood(exact_ratio(), x, None, -np.ones(60))
    with pytest.raises(OptionError, match="n_observed must be a number from 0"):
        exact.create_negative_log_likelihood(exact_ratio(), x, -1.0)


def test_wrong_options(
    exact: NeuralLikelihood, exact_ratio: type[ParameterizedRatioEstimator], x: np.ndarray
) -> None:
    for options, message in (
        ({"mode": "histo"}, "mode must be one of 'weighted', 'sampled'"),
        ({"xsec_mode": "sample"}, "xsec_mode must be one of 'interpol', 'weighted', 'sampled'"),
        ({"luminosity": -1.0}, "luminosity must be a positive number"),
        ({"include_xsec": 2}, "include_xsec must be True or False"),
        ({"seed": "x"}, "seed must be"),
        ({"xsec_mode": "weighted", "n_weighted": 0}, "n_weighted must be a whole number"),
    ):
        with pytest.raises(OptionError, match=message):
            exact.create_negative_log_likelihood(exact_ratio(), x, **options)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=message):
            exact.create_expected_negative_log_likelihood(
                exact_ratio(),
                "b0",
                None,
                **options,  # type: ignore[arg-type]
            )
    for theta, nu in (
        ([0.0], None),
        ("b9", None),
        ([0.0, 0.0], [1.0]),
        ([0.0, 0.0], [1.0, np.nan]),
    ):
        with pytest.raises(MadMinerError):
            exact.create_expected_negative_log_likelihood(exact_ratio(), theta, nu)


def test_wrong_responses(
    exact: NeuralLikelihood,
    gaussian_event_file: MakeFile,
    exact_ratio: type[ParameterizedRatioEstimator],
    ratios: dict[int, list[ParameterizedRatioEstimator]],
    template_file: MakeFile,
    x: np.ndarray,
) -> None:
    def create(model: object, response: object) -> None:
        exact.create_negative_log_likelihood(model, x, response=response)  # type: ignore[arg-type]

    with pytest.raises(OptionError, match="knows the nuisance parameters already"):
        create(exact_ratio(4), ExactResponse())
    with pytest.raises(OptionError, match="must be what train_response returns"):
        create(exact_ratio(2), ratios[2][0])
    with pytest.raises(OptionError, match="response must be a path"):
        create(exact_ratio(2), 3)
    other = ExactResponse()
    for n in (2, 1, 3, 6, None):
        other.n_parameters = n
        with pytest.raises(SetupError, match="two outputs for each of 2 nuisance parameters"):
            create(exact_ratio(2), other)
    with pytest.raises(SetupError, match="needs some: the file has none"):
        train_response(gaussian_event_file(50), "b0")
    with pytest.raises(OptionError, match="test_split"):
        train_response(exact, "b0", test_split=2.0)
    with pytest.raises(MadMinerError):
        train_response(exact, "b9", **QUIET)
    negative = HistoLikelihood(
        template_file(np.array([[-1.0, 0.5]]), {"s": ([1.1], None)}),
        include_nuisance_parameters=True,
    )
    with pytest.raises(NoEventsError):
        train_response(negative, [0.0], test_split=None, **QUIET)
