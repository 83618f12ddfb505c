"""What trained scores claim, what is guaranteed, and the truth, on toys with closed forms.

In the Gaussian toy (see `gaussian_event_file`) the score of the observables (x0, z1) is
(2 x0 / 1.25, 2 z1), with the information diag(3.2, 4) per event; the truth is diag(4, 4).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import madminer
from madminer.errors import EvidenceError, NoEventsError, OptionError
from madminer.fisherinformation import FisherInformation
from madminer.fisherinformation.estimate import ScoreEvidence, report_evidence
from madminer.fisherinformation.response import CellResponse
from madminer.fisherinformation.score_information import EstimatedScores
from madminer.io import EventFile, Events, EventSummary, write_events
from madminer.ml import Ensemble, ScoreEstimator
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)
from madminer.sampling import SampleAugmenter, benchmark
from madminer.simulate import complete_observables, simulate, wbf_setup
from madminer.stats import binned_moments
from madminer.stats.score_moments import MatrixEstimate, ScoreMoments

L = 1000.0
ORIGIN = np.zeros(2)
INFORMATION = np.diag([3.2, 4.0])

ScoreFunction = Callable[[np.ndarray], np.ndarray]


class GivenScore(ScoreEstimator):  # type: ignore[misc]  # final, but for toys
    """A function of the observables in the place of a network."""

    is_trained = True

    def __init__(self, function: ScoreFunction, n_parameters: int = 2) -> None:
        super().__init__()
        self.function, self.n_parameters, self.n_observables = function, n_parameters, 3

    def evaluate_score(self, x: np.ndarray, *_: object, **__: object) -> np.ndarray:
        return self.function(x)


def exact(x: np.ndarray) -> np.ndarray:
    """The score of the observables (x0, z1)."""
    return 2.0 * x[:, [2, 1]] / [1.25, 1.0]


def nonsense(x: np.ndarray) -> np.ndarray:
    """An untrained network with large outputs."""
    return 3.0 * np.sin(40.0 * x[:, :2])


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(gaussian_event_file(50_000))


def assert_within(matrix: MatrixEstimate, expected: np.ndarray, n_sigma: float = 4.0) -> None:
    np.testing.assert_array_less(np.abs(matrix.value - expected), n_sigma * matrix.errors + 1e-9)


# --- first laws


@pytest.mark.parametrize("include_xsec_info", [True, False])
def test_calibrated_scores(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture, include_xsec_info: bool
) -> None:
    found = fisher.full_information(
        ORIGIN, GivenScore(exact), luminosity=L, include_xsec_info=include_xsec_info
    )
    assert not caplog.text
    for matrix in (found.plug_in, found.guaranteed, found.calibrated):
        assert_within(matrix, L * INFORMATION)
    assert_within(found.truth, 4.0 * L * np.eye(2))
    assert_within(found.calibration, np.eye(2))
    assert found.n_effective == pytest.approx(10_000.0)
    assert np.linalg.eigvalsh(found.truth.value - found.guaranteed.value).min() > 0.0
    rate, rate_covariance = fisher.rate_information(ORIGIN, L)
    without = fisher.full_information(
        ORIGIN, GivenScore(exact), luminosity=L, include_xsec_info=False
    )
    if include_xsec_info:
        for name in ("plug_in", "guaranteed", "calibrated", "truth"):
            ours, kinematic = getattr(found, name), getattr(without, name)
            np.testing.assert_allclose(ours.value, kinematic.value + rate)
            np.testing.assert_allclose(ours.covariance, kinematic.covariance + rate_covariance)


@pytest.mark.parametrize("factor", [1.2, 3.0])
def test_scaled_scores_warn_and_calibration_mends_them(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture, factor: float
) -> None:
    model = GivenScore(lambda x: factor * exact(x))
    found = fisher.full_information(ORIGIN, model, luminosity=L)
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    for part in ("claim", "guaranteed", "10000 effective", "calibrate=True", "more events"):
        assert part in message
    assert ("impossible" in message) == (factor**2 * 3.2 > 4.0)
    assert_within(found.plug_in, factor**2 * L * INFORMATION)
    assert_within(found.guaranteed, (2.0 * factor - factor**2) * L * INFORMATION)
    assert_within(found.calibrated, L * INFORMATION)
    assert_within(found.calibration, np.eye(2) / factor)
    caplog.clear()
    mended = fisher.full_information(ORIGIN, model, luminosity=L, calibrate=True)
    assert not caplog.text
    np.testing.assert_array_equal(mended[0], found.calibrated.value)
    np.testing.assert_array_equal(mended[1], found.calibrated.covariance)
    np.testing.assert_array_equal(mended.plug_in.value, found[0])


def test_untrained_networks_claim_much_and_know_nothing(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture
) -> None:
    found = fisher.full_information(ORIGIN, GivenScore(nonsense), luminosity=L)
    assert found[0][0, 0] == pytest.approx(4.5 * L, rel=0.1)
    assert_within(found.guaranteed, -4.5 * L * np.eye(2))
    assert_within(found.calibrated, np.zeros((2, 2)))
    assert np.abs(found.calibrated.value).max() < 0.05 * L
    assert len(caplog.records) == 1
    assert "is impossible" in caplog.text


def test_shrunken_scores_claim_too_little_and_are_no_fault(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture
) -> None:
    found = fisher.full_information(ORIGIN, GivenScore(lambda x: 0.5 * exact(x)), luminosity=L)
    assert not caplog.text
    assert found.guaranteed.value[0, 0] > 2.0 * found[0][0, 0]


def test_trained_network_with_complete_observables_is_close_to_the_truth(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = wbf_setup()
    events = simulate("wbf", 40_000, setup, channel="tutorial", seed=3)
    x, names = complete_observables(events)
    weights = events.benchmark_weights
    summary = EventSummary.count(np.full(len(x), -1), weights.shape[1])
    setup = replace(setup, observables=dict.fromkeys(names, "_"))
    write_events(tmp_path / "events.h5", setup, Events(x, weights, None), summary)
    x, _, t_xz, _ = SampleAugmenter(tmp_path / "events.h5").sample_train_local(
        benchmark("sm"), 30_000, seed=4
    )
    estimator = ScoreEstimator(n_hidden=(50, 50))
    settings = {"n_epochs": 30, "batch_size": 256, "initial_lr": 5e-3, "final_lr": 1e-4}
    estimator.train("sally", x, t_xz, seed=5, verbose="none", scale_scores=True, **settings)
    caplog.clear()
    fisher = FisherInformation(tmp_path / "events.h5")
    found = fisher.full_information("sm", estimator, include_xsec_info=False)
    below, errors = found.truth.value - found.guaranteed.value, found.guaranteed.errors
    assert np.linalg.eigvalsh(below).min() > 0.0
    for i in range(2):
        assert below[i, i] < 0.25 * found.truth.value[i, i]
        assert abs(found.calibrated.value[i, i] - found.guaranteed.value[i, i]) < 3 * errors[i, i]
    assert not caplog.text


# --- errors


def toy_sample(seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """x and weights (w, w t): a score x of variance 2, and t scattered around it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=np.sqrt(2.0), size=(n, 1))
    w = rng.exponential(size=n)
    t = x[:, 0] + rng.normal(size=n) + 0.7  # with a gradient of the cross section
    return x, np.column_stack([w, w * t])


def toy_evidence(
    function: ScoreFunction, batches: list[tuple[np.ndarray, np.ndarray]]
) -> ScoreEvidence:
    response = CellResponse(np.array([1.0, 0.0]), np.array([[0.0, 1.0]]))
    model = GivenScore(function, 1)
    scores = EstimatedScores(model, np.zeros(1), np.zeros(1, dtype=bool))
    evidence = ScoreEvidence(scores, response, np.array([0.6]))
    assert len(list(evidence.watch(batches))) == len(batches)
    return evidence


def test_coverage_of_the_errors_for_an_imperfect_score() -> None:
    """68 % of the intervals hold the truth, over resampled test events."""
    a, b = 1.2, 0.4  # f = a t(x) + b
    second, product = 2.0 * a**2 + b**2, 2.0 * a
    A = product / second
    expected = {
        "plug_in": second,
        "guaranteed": 2.0 * product - second,
        "calibrated": A * product,
        "truth": 3.0,
        "calibration": A,
    }
    pulls: dict[str, list[float]] = {name: [] for name in expected}
    for seed in range(300):
        evidence = toy_evidence(lambda x: a * x + b, [toy_sample(seed)])
        for name, value in expected.items():
            source = evidence if name == "calibrated" else evidence.moments
            matrix = getattr(source, name)()
            pulls[name].append(float((matrix.value[0, 0] - value) / matrix.errors[0, 0]))
    for name, values in pulls.items():
        covered = np.mean(np.abs(values) < 1.0)
        assert covered == pytest.approx(0.683, abs=0.08), name  # three errors of 300 repetitions
        assert abs(np.mean(values)) < 0.25, name


def test_recalibration_with_other_events_is_no_gain_from_noise() -> None:
    """Scores without any information: a matrix from the same events would find some."""
    rng = np.random.default_rng(1)
    crossed, same = [], []
    for _ in range(200):
        f, t = rng.normal(size=(80, 3)), rng.normal(size=(80, 3))
        response = CellResponse(np.eye(4)[0], np.eye(4)[1:])
        scores = EstimatedScores(GivenScore(lambda x: x, 3), np.zeros(3), np.zeros(3, dtype=bool))
        evidence = ScoreEvidence(scores, response, np.zeros(3))
        list(evidence.watch([(f, np.column_stack([np.ones(80), t]))]))
        crossed.append(np.trace(evidence.calibrated().value))
        A = evidence.moments.calibration().value
        same.append(np.trace(evidence.moments.guaranteed(A).value))
    assert np.mean(same) > 0.05
    assert np.mean(crossed) < 3.0 * np.std(crossed) / np.sqrt(200)


def test_halves_and_moments_do_not_depend_on_batches() -> None:
    x, weights = toy_sample(5)
    whole = toy_evidence(np.sin, [(x, weights)])
    cuts = pairwise([0, 1, 4, 500, 777, len(x)])
    parts = toy_evidence(np.sin, [(x[a:b], weights[a:b]) for a, b in cuts])
    for one, other in (
        (whole.calibrated(), parts.calibrated()),
        (whole.moments.guaranteed(), parts.moments.guaranteed()),
    ):
        np.testing.assert_allclose(one.value, other.value)
        np.testing.assert_allclose(one.covariance, other.covariance)


def test_good_networks_do_not_cry_wolf(caplog: pytest.LogCaptureFixture) -> None:
    """Calibrated scores of five parameters, 400 events: the direction is chosen by chance."""
    cries = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        f = rng.normal(size=(400, 5))
        moments = ScoreMoments(5, centered=True).add(
            f, f + 2.0 * rng.normal(size=(400, 5)), np.ones(400)
        )
        caplog.clear()
        report_evidence(moments.plug_in(), moments, 1.0, list("abcde"), same_events=True)
        cries += len(caplog.records)
    assert cries <= 4


# --- samples, few events, strict mode


def test_evidence_comes_from_the_test_events_and_the_pair_from_a_sample(
    fisher: FisherInformation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x, _ = fisher.weighted_events(end_event=5000)
    np.save(tmp_path / "x.npy", x)
    model = GivenScore(lambda x: 1.3 * exact(x))
    plain = fisher.full_information(ORIGIN, model, luminosity=L)
    sampled = fisher.full_information(ORIGIN, model, tmp_path / "x.npy", L)
    for name in ("guaranteed", "calibrated", "truth", "calibration"):
        np.testing.assert_array_equal(getattr(sampled, name).value, getattr(plain, name).value)
    rate, _ = fisher.rate_information(ORIGIN, L)
    squares = (1.3 * exact(x)).T @ (1.3 * exact(x)) / 5000
    np.testing.assert_allclose(sampled[0], L * squares + rate)
    assert len(caplog.records) == 2
    calibrated = fisher.full_information(ORIGIN, model, tmp_path / "x.npy", L, calibrate=True)
    np.testing.assert_array_equal(calibrated[0], plain.calibrated.value)


def test_few_events_cannot_tell(
    gaussian_event_file: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    few = FisherInformation(gaussian_event_file(1000))
    for calibrate in (False, True):
        few.full_information(ORIGIN, GivenScore(exact), luminosity=L, calibrate=calibrate)
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert "worth only 200: what the scores of a, b are worth cannot be told" in record.message
    caplog.clear()
    few.full_information(ORIGIN, GivenScore(exact), luminosity=L, test_split=None)
    few.full_information(ORIGIN, GivenScore(nonsense), luminosity=L)  # this can be told
    assert len(caplog.records) == 1
    assert "is impossible" in caplog.text
    with pytest.raises(NoEventsError, match="larger test_split"):
        few.full_information(ORIGIN, GivenScore(exact), test_split=0.001)


def test_strict_mode_refuses(fisher: FisherInformation) -> None:
    with madminer.strict(), pytest.raises(EvidenceError, match="is guaranteed by the joint scores"):
        fisher.full_information(ORIGIN, GivenScore(nonsense))
    with pytest.raises(OptionError, match="calibrate"):
        fisher.full_information(ORIGIN, GivenScore(exact), calibrate="yes")  # type: ignore[arg-type]


def test_ensembles_are_judged_by_their_mean(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture
) -> None:
    members = [GivenScore(lambda x, c=c: c * exact(x)) for c in (0.8, 1.1, 1.7)]
    found = fisher.full_information(ORIGIN, Ensemble(members), luminosity=L)
    assert_within(found.guaranteed, (2.4 - 1.44) * L * INFORMATION)
    assert_within(found.calibrated, L * INFORMATION)
    assert "error of the mean of 3 networks" in repr(found)
    spread = fisher.full_information(ORIGIN, Ensemble(members), luminosity=L, mode="information")
    assert "spread of 3 networks" in repr(spread)
    votes = fisher.full_information(
        ORIGIN, Ensemble(members), luminosity=L, estimator_weights=[2 / 3, 0, 1 / 3]
    )
    assert_within(votes.calibration, np.eye(2) / 1.1)


# --- the result


def test_the_result_is_a_pair_that_shows_its_evidence(fisher: FisherInformation) -> None:
    found = fisher.full_information(ORIGIN, GivenScore(exact), luminosity=L)
    information, covariance = found
    assert isinstance(found, tuple)
    assert len(found) == 2
    assert information is found[0]
    assert covariance.shape == (2, 2, 2, 2)
    with pytest.raises(AttributeError):
        found.guaranteed = found.truth  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot be changed"):
        found.truth_of_others = 1.0  # type: ignore[attr-defined]
    for twin in (copy.copy(found), copy.deepcopy(found)):
        np.testing.assert_array_equal(twin[0], found[0])
        np.testing.assert_array_equal(twin.guaranteed.value, found.guaranteed.value)
        assert repr(twin) == repr(found)
    value, error = found.guaranteed.value[0, 0], found.guaranteed.errors[0, 0]
    for text in (repr(found), str(found), found._repr_html_()):
        assert f"{value:.4g} ± {error:.2g}" in text
        assert "a single network cannot tell" in " ".join(text.split())
    assert found.parameters == ("a", "b")


# --- parameters that only change the rate


def with_norm(file: EventFile, out: Path, kappa: float = 1.3) -> FisherInformation:
    """The same events with a factor on all weights as a nuisance parameter, and a shift."""
    events, setup = file.read(), file.setup
    slope = np.exp(0.2 * np.tanh(events.x[:, 0]))
    norm = kappa * events.weights[:, 0]
    setup = replace(
        setup,
        benchmarks={
            **setup.benchmarks,
            **{n: Benchmark(n, {}, is_nuisance=True) for n in ("norm_up", "shape_up")},
        },
        nuisance_parameters={
            "norm": NuisanceParameter("norm", "lumi", "norm_up"),
            "shape": NuisanceParameter("shape", "scale", "shape_up"),
        },
    )
    weights = np.column_stack([events.weights, norm, slope * events.weights[:, 0]])
    write_events(out, setup, Events(events.x, weights, events.sampling_benchmarks), file.summary)
    return FisherInformation(out)


@pytest.mark.parametrize("nuisance_response", ["cells", "events"])
@pytest.mark.parametrize("calibrate", [False, True])
def test_noise_about_a_factor_on_all_events_is_no_information(
    gaussian_event_file: Callable[..., Path],
    tmp_path: Path,
    nuisance_response: str,
    calibrate: bool,
) -> None:
    path = gaussian_event_file(10_000)
    fisher = with_norm(EventFile(path), tmp_path / "norm.h5")

    def noisy(x: np.ndarray) -> np.ndarray:
        return np.column_stack([exact(x), 0.5 * np.sin(9.0 * x[:, 0]), 0.2 * np.tanh(x[:, 0])])

    options = {"luminosity": L, "nuisance_response": nuisance_response}
    found = fisher.full_information(ORIGIN, GivenScore(noisy, 4), calibrate=calibrate, **options)
    rate, rate_covariance = fisher.rate_information(ORIGIN, **options)
    for matrix in (found.plug_in, found.guaranteed, found.calibrated, found.truth):
        np.testing.assert_array_equal(matrix.value[2], rate[2])  # with all others, too
        np.testing.assert_array_equal(matrix.covariance[2], rate_covariance[2])
        assert matrix.value[3, 3] > 1.05 * rate[3, 3]
    np.testing.assert_allclose(rate[2, 2], L * np.log(1.3) ** 2)
    assert found.vanishing == ("norm",)
    assert "norm" in found._repr_html_()
    assert "joint score is zero" in " ".join(str(found).split())
    theory = fisher.full_information(ORIGIN, GivenScore(exact), **options)
    assert theory.vanishing == ()


def test_a_signal_strength_without_background_is_rate_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(2000, 1)), rng.exponential(size=2000) / 2000
    for background, vanishing in ((False, ("mu",)), (True, ())):
        other = np.where(x[:, 0] > 0.5, 1.0, 2.0) if background else np.full(2000, 2.0)
        setup = AnalysisSetup(
            parameters={"mu": AnalysisParameter("mu", "mu", 1)},
            benchmarks={n: Benchmark(n, {"mu": v}) for n, v in (("one", 1.0), ("two", 2.0))},
            morphing=MorphingSetup(np.array([[0], [1]]), np.linalg.inv([[1.0, 1.0], [1.0, 2.0]])),
            observables={"x": "_"},
        )
        events = Events(x, np.column_stack([w, other * w]), np.zeros(2000, dtype=np.int64))
        path = tmp_path / f"{background}.h5"
        write_events(path, setup, events, EventSummary.count(events.sampling_benchmarks, 2))
        fisher, model = FisherInformation(path), GivenScore(np.sin, 1)
        found = fisher.full_information([1.0], model, luminosity=L)
        assert found.vanishing == vanishing
        rate, _ = fisher.rate_information([1.0], L)
        assert (found[0][0, 0] == rate[0, 0]) is not background
        slices = fisher.histogram_of_information([1.0], "x", 4, (-2.0, 2.0), model, L)
        if not background:
            np.testing.assert_allclose(slices[3].sum(axis=0), rate)
            np.testing.assert_allclose(slices[3], slices[2], rtol=0.3, atol=0.01 * L)


def test_units_do_not_decide_what_vanishes() -> None:
    rng = np.random.default_rng(4)
    w = rng.exponential(size=300)
    gradients = np.column_stack([w * rng.normal(size=300), 0.3 * w, 0.3 * w + 1e-4 * w**2])
    for units in (np.ones(3), np.array([1e-9, 1e9, 1e6])):
        columns = np.column_stack([w, gradients * units])
        moments = binned_moments(columns, np.zeros(300, dtype=np.int64), 1)
        vanish = CellResponse(np.eye(4)[0], np.eye(4)[1:]).vanishing_scores(moments)
        assert vanish.tolist() == [False, True, False]
