"""Weights, cross sections and gradients with nuisance parameters against the slow formulas."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.analysis.response import (
    EventResponse,
    response_model,
)
from madminer.analysis.sums import accumulate_nuisance_sums
from madminer.analysis.weights import parameter_points
from madminer.errors import MorphingError, OptionError, SetupError, ShapeError
from madminer.io import EventFile, write_events
from madminer.models import FiniteDiffBenchmark, FiniteDifferences
from madminer.morphing.weights import monomials

MakeFile = Callable[..., Path]
THETAS = [np.array([0.4, -0.3]), np.array([-0.2, 0.7]), np.array([0.0, 0.0])]
NUS = [np.array([0.5, -1.2]), np.array([-2.0, 0.3]), np.array([1.0, 1.0])]


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def analyzer(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> DataAnalyzer:
    return DataAnalyzer(nuisance_event_file(500, negative_share=0.1, varying=request.param))


def exact_weight(analyzer: DataAnalyzer, x: np.ndarray, theta: np.ndarray, nu: np.ndarray) -> float:
    """Weight of one event from the coefficients that the toy keeps as observables."""
    assert analyzer.morphing_components is not None
    m = monomials(theta, analyzer.morphing_components)
    nominal, up, down = x[:6] @ m, x[6:12] @ m, x[12:18] @ m
    if not analyzer.response.varying:  # the response at the reference benchmark holds everywhere
        up, down = nominal * x[6] / x[0], nominal * x[12] / x[0]
    a1, b1 = 0.5 * np.log(up / down), 0.5 * np.log(up * down / nominal**2)
    return float(nominal * np.exp(x[18] * nu[0] + a1 * nu[1] + b1 * nu[1] ** 2))


def shares(analyzer: DataAnalyzer) -> np.ndarray:
    ids = analyzer.event_file.read().sampling_benchmarks
    assert ids is not None
    signal = ids >= 0
    counts = np.bincount(ids[signal], minlength=6) / signal.sum()
    return np.where(signal, counts[ids], 1.0)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_weights_and_cross_sections_equal_the_slow_formula(analyzer: DataAnalyzer, i: int) -> None:
    theta, nu = THETAS[i], NUS[i]
    x, weights = analyzer.weighted_events(theta, nu)
    expected = [exact_weight(analyzer, row, theta, nu) for row in x] * shares(analyzer)
    np.testing.assert_allclose(weights, expected, rtol=1e-9)
    xsecs, uncertainties = analyzer.xsecs(THETAS, NUS)
    assert xsecs[i] == pytest.approx(expected.sum(), rel=1e-9)
    assert uncertainties[i] == pytest.approx(np.sqrt(np.sum(expected**2)), rel=1e-9)


def test_nominal_values_may_be_left_out(analyzer: DataAnalyzer) -> None:
    nominal = analyzer.xsecs(THETAS)
    for nus in ([None] * 3, np.zeros((3, 2))):
        np.testing.assert_array_equal(analyzer.xsecs(THETAS, nus), nominal)
    mixed, _ = analyzer.xsecs(THETAS, [None, NUS[1], None])
    np.testing.assert_allclose(mixed[[0, 2]], nominal[0][[0, 2]], rtol=1e-12)
    assert mixed[1] == pytest.approx(analyzer.xsecs(THETAS, NUS)[0][1], rel=1e-12)


@pytest.mark.parametrize("nus", [NUS, None])
@pytest.mark.parametrize("close", [None, "w3"])
def test_gradients_are_numerical_derivatives(
    analyzer: DataAnalyzer, nus: list[np.ndarray] | None, close: str | None
) -> None:
    gradients = analyzer.xsec_gradients(THETAS, nus, generated_close_to=close)
    assert gradients.shape == (3, 4)
    parts = [
        analyzer.xsec_gradients(THETAS, nus, gradients=part, generated_close_to=close)
        for part in ("theta", "nu")
    ]
    np.testing.assert_allclose(np.hstack(parts), gradients, rtol=1e-12)
    values = np.hstack([THETAS, NUS if nus is not None else np.zeros((3, 2))])
    for j, step in enumerate(1e-5 * np.eye(4)):
        raised, lowered = (
            analyzer.xsecs(list(v[:, :2]), v[:, 2:], generated_close_to=close)[0]
            for v in (values + step, values - step)
        )
        np.testing.assert_allclose(gradients[:, j], (raised - lowered) / 2e-5, rtol=1e-5)


def test_derivatives_of_events_add_up_to_the_gradient(analyzer: DataAnalyzer) -> None:
    _, derivatives = analyzer.weighted_events(THETAS[0], NUS[0], derivative=True)
    expected = analyzer.xsec_gradients(THETAS[:1], NUS[:1], gradients="theta")[0]
    np.testing.assert_allclose(derivatives.sum(axis=0), expected, rtol=1e-10)


def test_partitions_average_to_the_whole(analyzer: DataAnalyzer) -> None:
    parts = {"train": 0.6, "validation": 0.2, "test": 0.2}
    average = sum(
        share * analyzer.xsecs(THETAS, NUS, partition=name)[0] for name, share in parts.items()
    )
    np.testing.assert_allclose(average, analyzer.xsecs(THETAS, NUS)[0], rtol=1e-12)


def test_variations_are_met_exactly(analyzer: DataAnalyzer) -> None:
    """At nu = +-1 and the reference benchmark; where theta matters, at every benchmark."""
    xsecs = dict(zip(analyzer.benchmarks, analyzer.xsecs()[0], strict=True))
    names = list(analyzer.setup.physical_benchmarks) if analyzer.response.varying else ["sm"]
    for name in names:
        found, _ = analyzer.xsecs([name] * 2, [[0.0, 1.0], [0.0, -1.0]])
        expected = [xsecs[f"nu1_{side}_{name}"] for side in ("up", "down")]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sums_are_kept(analyzer: DataAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = analyzer.xsecs([THETAS[0]] * 2, NUS[:2])[0]
    monkeypatch.setattr(EventFile, "read_weights", None)
    np.testing.assert_array_equal(analyzer.xsecs([THETAS[0]] * 2, NUS[:2])[0], first)
    if not analyzer.response.varying:  # each nu costs one pass, whatever theta
        analyzer.xsecs(THETAS * 10, [NUS[0]] * 30)


def test_many_points_in_small_pieces_equal_one_by_one(analyzer: DataAnalyzer) -> None:
    rng = np.random.default_rng(3)
    thetas, nus = rng.normal(0.0, 0.3, (300, 2)), rng.normal(0.0, 1.0, (300, 2))
    together, _ = analyzer.xsecs(thetas, nus, batch_size=77)
    for i in range(0, 300, 50):
        alone = analyzer.xsecs(thetas[i : i + 1], nus[i : i + 1])[0][0]
        assert together[i] == pytest.approx(alone, rel=1e-12)


def test_group_sums_add_up(nuisance_event_file: MakeFile) -> None:
    setup = EventFile(nuisance_event_file(300)).setup
    weights = EventFile(nuisance_event_file(300)).read_weights()
    model = response_model(setup)
    points = parameter_points(setup, THETAS, NUS)
    whole, split = (
        accumulate_nuisance_sums([(EventResponse.of(model, weights), groups)], model, points, 3)
        for groups in (np.zeros(300, dtype=int), np.arange(300) % 3)
    )
    np.testing.assert_allclose(split.first.sum(axis=1), whole.first.sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(split.n_events, [100, 100, 100])


def test_cross_sections_agree_with_madminer(shared: Path) -> None:
    """MadMiner (repository head of June 2024), see shared/reference/README.md."""
    reference = json.loads((shared / "reference/public.json").read_text())
    analyzer = DataAnalyzer(shared / "reference/public.h5")
    thetas = [np.array(theta) for theta in reference["thetas"]]
    xsecs, _ = analyzer.xsecs(thetas, [reference["xsecs_nu"]["nu"]] * len(thetas))
    np.testing.assert_allclose(xsecs, reference["xsecs_nu"]["xsecs"], rtol=1e-6)
    np.testing.assert_allclose(
        analyzer.xsec_gradients(thetas), reference["xsec_gradients"], rtol=1e-6
    )


def test_variations_that_depend_on_theta_survive_the_file(nuisance_event_file: MakeFile) -> None:
    setup = EventFile(nuisance_event_file(50, varying=True)).setup
    nu1 = setup.nuisance_parameters["nu1"]
    assert nu1.depends_on_theta
    assert not setup.nuisance_parameters["nu0"].depends_on_theta
    assert nu1.benchmarks_pos is not None
    assert nu1.benchmarks_pos["w3"] == "nu1_up_w3"
    assert nu1.benchmark_names[:2] == ["nu1_up_sm", "nu1_down_sm"]


def test_missing_variations_are_named(nuisance_event_file: MakeFile, tmp_path: Path) -> None:
    file = EventFile(nuisance_event_file(50, varying=True))
    nu1 = file.setup.nuisance_parameters["nu1"]
    fewer = {k: v for k, v in (nu1.benchmarks_pos or {}).items() if k != "w3"}

    def changed(nuisance: object) -> DataAnalyzer:
        nuisances = {**file.setup.nuisance_parameters, "nu1": nuisance}
        path = tmp_path / "changed.h5"
        setup = replace(file.setup, nuisance_parameters=nuisances)
        write_events(path, setup, file.read(), file.summary)
        return DataAnalyzer(path)

    with pytest.raises(MorphingError, match=r"those at \['w3'\] are missing"):
        changed(replace(nu1, benchmarks_pos=fewer)).xsecs(THETAS[:1], NUS[:1])
    with pytest.raises(SetupError, match="same signs of nu"):
        changed(replace(nu1, benchmarks_neg=None))
    with pytest.raises(SetupError, match="has variations at"):
        replace(
            file.setup,
            nuisance_parameters={"nu1": replace(nu1, benchmarks_pos={"w9": "nu1_up_w3"})},
        )


def test_derivatives_at_benchmarks_without_morphing(
    nuisance_event_file: MakeFile, tmp_path: Path
) -> None:
    file = EventFile(nuisance_event_file(200))
    differences = FiniteDifferences(
        {"sm": FiniteDiffBenchmark.from_params("sm", "ab", ["w1", "w2"])}, 1.0
    )
    setup = replace(file.setup, morphing=None, finite_differences=differences)
    write_events(tmp_path / "plain.h5", setup, file.read(), file.summary)
    analyzer = DataAnalyzer(tmp_path / "plain.h5")
    expected = DataAnalyzer(file.path).xsec_gradients(["sm"], NUS[:1], gradients="nu")
    np.testing.assert_allclose(analyzer.xsec_gradients(["sm"], NUS[:1], gradients="nu"), expected)
    sm, w1, w2 = analyzer.xsecs(["sm", "w1", "w2"], [NUS[0]] * 3)[0]
    found = analyzer.xsec_gradients(["sm"], NUS[:1], gradients="theta")[0]
    np.testing.assert_allclose(found, [w1 - sm, w2 - sm])
    with pytest.raises(MorphingError, match="no derivative"):
        analyzer.xsec_gradients(["w3"], NUS[:1])


def test_undefined_responses_are_reported_once(
    nuisance_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EventFile(nuisance_event_file(50))
    events = file.read()
    weights = events.weights.copy()
    weights[:3, list(file.setup.benchmarks).index("nu0_up")] = 0.0
    write_events(tmp_path / "bad.h5", file.setup, replace(events, weights=weights), file.summary)
    analyzer = DataAnalyzer(tmp_path / "bad.h5")
    with caplog.at_level(logging.WARNING):
        analyzer.xsecs(THETAS, NUS)
        analyzer.xsecs(THETAS, [-nu for nu in NUS])
    assert caplog.text.count("nu0: among 50 events, 3 have weights") == 1


def test_bad_input_is_refused(analyzer: DataAnalyzer) -> None:
    with pytest.raises(ShapeError, match="one entry"):
        analyzer.xsecs(THETAS, NUS[:2])
    with pytest.raises(ShapeError, match=r"nu must be finite with shape \(2,\)"):
        analyzer.xsecs(THETAS, [[0.5]] * 3)
    with pytest.raises(ShapeError, match="nu must be finite"):
        analyzer.xsecs(THETAS, [[0.5, np.inf]] * 3)
    with pytest.raises(OptionError, match="nus needs thetas"):
        analyzer.xsecs(None, NUS)
    with pytest.raises(OptionError, match="need a theta"):
        analyzer.weighted_events(nu=NUS[0])
    with pytest.raises(OptionError, match="gradients must be"):
        analyzer.xsec_gradients(THETAS, gradients="both")
