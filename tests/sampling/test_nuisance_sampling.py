"""Samples with nuisance parameters and with negative weights against exact probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from madminer import sampling
from madminer.errors import DataError, NegativeWeightError, OptionError, OutputError, ShapeError
from madminer.io import EventFile, write_events
from madminer.morphing.weights import monomials
from madminer.sampling import SampleAugmenter, xsecs
from madminer.sampling import table as tables
from madminer.sampling.options import SamplingOptions
from madminer.sampling.parameters import Points, resolve_points
from madminer.sampling.table import empty_weights
from madminer.sampling.xsecs import fit_nuisance_sums, xsecs_and_gradients

MakeFile = Callable[..., Path]
POINT, NU = np.array([0.4, -0.3]), np.array([0.8, -1.1])
PRIORS = [("flat", -0.3, 0.3), ("gaussian", 0.0, 0.2)]
ALL = {"partition": "all", "double_precision": True, "sample_only_from_closest_benchmark": False}


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def augmenter(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> SampleAugmenter:
    return SampleAugmenter(nuisance_event_file(600, varying=request.param))


def options() -> SamplingOptions:
    return SamplingOptions(sample_only_from_closest_benchmark=False, partition="all")


def exact(
    augmenter: SampleAugmenter, x: np.ndarray, theta: np.ndarray, nu: np.ndarray
) -> np.ndarray:
    """Weights of events from the coefficients that the toy keeps as observables."""
    assert augmenter.morphing_components is not None
    m = monomials(theta, augmenter.morphing_components)
    nominal, up, down = x[:, :6] @ m, x[:, 6:12] @ m, x[:, 12:18] @ m
    if not augmenter.response.varying:
        up, down = nominal * x[:, 6] / x[:, 0], nominal * x[:, 12] / x[:, 0]
    a1, b1 = 0.5 * np.log(up / down), 0.5 * np.log(up * down / nominal**2)
    return np.asarray(nominal * np.exp(x[:, 18] * nu[0] + a1 * nu[1] + b1 * nu[1] ** 2))


def all_events(augmenter: SampleAugmenter) -> tuple[np.ndarray, np.ndarray]:
    """Observables of all events, and the shares that rescale their weights."""
    events = augmenter.event_file.read()
    ids = events.sampling_benchmarks
    assert ids is not None
    signal = ids >= 0
    counts = np.bincount(ids[signal], minlength=6) / signal.sum()
    return events.x, np.where(signal, counts[ids], 1.0)


def p_value(drawn: np.ndarray, x: np.ndarray, probabilities: np.ndarray) -> float:
    """Chi-squared test of the frequencies of events; rare events share a bin."""
    position = {row.tobytes(): i for i, row in enumerate(x)}
    found = np.bincount([position[row.tobytes()] for row in drawn], minlength=len(x))
    expected = len(drawn) * probabilities
    assert not np.any(found[probabilities == 0.0])
    rare = expected < 8.0
    found = np.append(found[~rare], found[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1e-12))
    use = expected > 1.0
    statistic = np.sum((found[use] - expected[use]) ** 2 / expected[use])
    return float(chi2.sf(statistic, use.sum() - 1))


def test_frequencies_equal_probabilities_at_one_nu(augmenter: SampleAugmenter) -> None:
    x, theta, n_eff = augmenter.sample_train_plain(
        sampling.morphing_point(POINT), 40_000, sampling.morphing_point(NU), seed=1, **ALL
    )
    np.testing.assert_array_equal(theta, np.tile(np.append(POINT, NU), (40_000, 1)))
    events, shares = all_events(augmenter)
    weights = shares * exact(augmenter, events, POINT, NU)
    assert p_value(x, events, weights / weights.sum()) > 1e-3
    assert n_eff == pytest.approx(weights.sum() / weights.max(), rel=1e-9)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_frequencies_equal_probabilities_at_many_nus(
    augmenter: SampleAugmenter, scale: float
) -> None:
    """Each sample has a nu of its own, so that expected frequencies add up over them."""
    n = 2000 if augmenter.response.varying else 8000
    x, theta, n_eff = augmenter.sample_train_plain(
        sampling.morphing_point(POINT),
        n,
        sampling.iid_nuisance_parameters("gaussian", 0.0, scale),
        seed=2,
        **ALL,
    )
    assert kstest(theta[:, 2] / scale, "norm").pvalue > 1e-3
    assert np.unique(theta[:, 3]).size == n
    events, shares = all_events(augmenter)
    mean, largest = np.zeros(len(events)), 0.0
    for nu in theta[:, 2:]:
        weights = shares * exact(augmenter, events, POINT, nu)
        mean += weights / weights.sum() / n
        largest = max(largest, weights.max() / weights.sum())
    assert p_value(x, events, mean) > 1e-3
    assert n_eff == pytest.approx(1.0 / largest, rel=1e-9)


def test_ratios_and_scores_equal_the_slow_formula(augmenter: SampleAugmenter) -> None:
    sample = augmenter.sample_train_ratio(
        sampling.random_morphing_points(20, PRIORS),
        sampling.benchmark("sm"),
        200,
        sampling.iid_nuisance_parameters(),
        sampling.morphing_points([NU, -NU]),
        seed=3,
        **ALL,
    )
    x, theta0, theta1, _, r_xz, t_xz, _ = sample
    assert t_xz is not None
    assert (theta0.shape, theta1.shape, t_xz.shape) == ((200, 4), (200, 4), (200, 4))
    assert {tuple(nu) for nu in theta1[:, 2:]} == {tuple(NU), tuple(-NU)}
    events, shares = all_events(augmenter)

    def log_p(row: np.ndarray, point: np.ndarray) -> float:
        sigma = np.sum(shares * exact(augmenter, events, point[:2], point[2:]))
        return float(np.log(exact(augmenter, row[np.newaxis], point[:2], point[2:])[0] / sigma))

    for i in range(0, 200, 17):
        expected = np.exp(log_p(x[i], theta0[i]) - log_p(x[i], theta1[i]))
        assert r_xz[i, 0] == pytest.approx(expected, rel=1e-9)
        for j, step in enumerate(1e-5 * np.eye(4)):
            slope = (log_p(x[i], theta0[i] + step) - log_p(x[i], theta0[i] - step)) / 2e-5
            assert t_xz[i, j] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_scores_at_nominal_values(augmenter: SampleAugmenter) -> None:
    """The default: scores of nuisance parameters at nu = 0, in draws and weighted events."""
    point = sampling.morphing_point(POINT)
    x, theta, t_xz, _ = augmenter.sample_train_local(point, 300, seed=4, **ALL)
    assert (theta.shape, t_xz.shape) == ((300, 4), (300, 4))
    explicit = augmenter.sample_train_local(
        point, 300, sampling.nominal_nuisance_parameters(), seed=4, **ALL
    )
    np.testing.assert_array_equal(explicit.t_xz, t_xz)
    only_theta = augmenter.sample_train_local(point, 300, nuisance_score=False, seed=4, **ALL)
    np.testing.assert_allclose(only_theta.t_xz, t_xz[:, :2], rtol=1e-10)
    events = augmenter.weighted_local(
        POINT, partition="all", sample_only_from_closest_benchmark=False
    )
    assert events.t_xz.shape == (600, 4)
    position = {row.tobytes(): i for i, row in enumerate(events.x)}
    same = [position[row.tobytes()] for row in x]
    np.testing.assert_allclose(events.t_xz[same], t_xz, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("nu", [None, NU])
def test_the_mean_score_is_zero(augmenter: SampleAugmenter, nu: np.ndarray | None) -> None:
    events = augmenter.weighted_local(
        POINT, partition="all", sample_only_from_closest_benchmark=False, nu=nu
    )
    mean = events.w[:, 0] @ events.t_xz / len(events.w)
    np.testing.assert_allclose(mean, 0.0, atol=1e-12)


def test_the_mean_ratio_is_one(augmenter: SampleAugmenter) -> None:
    sample = augmenter.sample_train_ratio(
        sampling.morphing_point(POINT),
        sampling.benchmark("sm"),
        40_000,
        sampling.morphing_point(NU),
        seed=5,
        **ALL,
    )
    ratios = sample.r_xz[sample.y[:, 0] == 1]
    assert ratios.mean() == pytest.approx(1.0, abs=4 * ratios.std() / np.sqrt(len(ratios)))


def test_additional_thetas_take_the_nu_of_the_point_they_replace(
    augmenter: SampleAugmenter,
) -> None:
    x, theta0, theta1, y, _, t_xz0, t_xz1, _ = augmenter.sample_train_more_ratios(
        sampling.morphing_point(POINT),
        sampling.benchmark("sm"),
        40,
        sampling.morphing_point(NU),
        sampling.morphing_point(-NU),
        additional_thetas=[sampling.benchmark("w1")],
        seed=6,
        **ALL,
    )
    assert len(x) == 80
    assert t_xz0 is not None
    assert t_xz1 is not None
    assert t_xz0.shape == t_xz1.shape == (80, 4)
    np.testing.assert_array_equal(theta0[:, 2:], np.tile(NU, (80, 1)))
    np.testing.assert_array_equal(theta1[:, 2:], np.tile(-NU, (80, 1)))
    assert y.sum() == 40


def test_lists_are_cycled_to_the_longest(augmenter: SampleAugmenter) -> None:
    _, theta, _ = augmenter.sample_train_plain(
        sampling.benchmarks(["sm", "w1"]),
        60,
        sampling.morphing_points([NU, -NU, 2 * NU]),
        seed=1,
        **ALL,
    )
    assert len(theta) == 60
    np.testing.assert_array_equal(theta[::20, 0], [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(theta[::20, 2:], [NU, -NU, 2 * NU])
    thetas, xsecs, _ = augmenter.cross_sections(
        sampling.benchmarks(["sm", "w1"]), sampling.morphing_points([NU, -NU, 2 * NU])
    )
    expected, _ = augmenter.xsecs(["sm", "w1", "sm"], [NU, -NU, 2 * NU])
    assert thetas.shape == (3, 4)
    np.testing.assert_allclose(xsecs, expected, rtol=1e-12)


def test_forced_effective_number(augmenter: SampleAugmenter) -> None:
    events, shares = all_events(augmenter)
    weights = shares * exact(augmenter, events, POINT, NU)
    forced = 0.5 * (weights.sum() / np.sort(weights)[-3] + weights.sum() / np.sort(weights)[-4])
    x, _, n_eff = augmenter.sample_train_plain(
        sampling.morphing_point(POINT),
        5000,
        sampling.morphing_point(NU),
        n_eff_forced=forced,
        seed=1,
        **ALL,
    )
    kept = np.where(weights > weights.sum() / forced, 0.0, weights)
    assert np.count_nonzero(kept == 0.0) == 3
    assert n_eff == pytest.approx(kept.sum() / kept.max(), rel=1e-9)
    assert p_value(x, events, kept / kept.sum()) > 1e-3


def test_refused_specifications(augmenter: SampleAugmenter) -> None:
    sm = sampling.benchmark("sm")
    for nu, error, message in [
        (sampling.morphing_point([1.0]), ShapeError, r"shape \(2,\)"),
        (sampling.benchmark("sm"), OptionError, "nu must be specified by"),
        (sampling.random_morphing_points(5, PRIORS[:1]), OptionError, "One prior is needed"),
        (sampling.morphing_points([]), OptionError, "nu must be specified by"),
    ]:
        with pytest.raises(error, match=message):
            augmenter.sample_train_plain(sm, 10, nu)
    with pytest.raises(OptionError, match="need a number of points"):
        augmenter.cross_sections(sm, sampling.iid_nuisance_parameters())


# --- classes of similar responses


def test_classes_hold_every_event_once(nuisance_event_file: MakeFile) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(900))
    everyone = np.ones(7, dtype=bool)
    plain = augmenter._table(options(), everyone, in_classes=False)
    table = augmenter._table(options(), everyone, in_classes=True)
    assert table.parents is not None
    assert table.bounds is not None
    np.testing.assert_array_equal(np.sort(table.rows), np.arange(900))
    np.testing.assert_array_equal(
        table.weights[np.argsort(table.rows)], plain.weights[np.argsort(plain.rows)]
    )
    np.testing.assert_array_equal(
        plain.groups[np.argsort(plain.rows)],
        table.parents[table.groups][np.argsort(table.rows)],
    )
    nus = np.random.default_rng(1).normal(0.0, 2.0, (50, 2))
    bounds = table.log_factor_bounds(nus)
    for response, groups in table.batches():  # one batch
        logs = nus @ response.a.T + nus**2 @ response.b.T
        assert np.all(logs <= bounds[:, groups] + 1e-12)
    np.testing.assert_allclose(table.file_sums, plain.sums, rtol=1e-12)


# --- negative weights


@pytest.mark.parametrize("nu", [None, sampling.morphing_point(NU)])
@pytest.mark.parametrize("policy", ["sign", "drop"])
def test_frequencies_with_negative_weights(
    nuisance_event_file: MakeFile,
    policy: str,
    nu: tuple[str, np.ndarray] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(500, negative_share=0.2))
    with caplog.at_level(logging.WARNING):
        sample = augmenter.sample_train_plain(
            sampling.morphing_point(POINT), 30_000, nu, negative_weights=policy, seed=1, **ALL
        )
    events, shares = all_events(augmenter)
    weights = shares * exact(augmenter, events, POINT, np.zeros(2) if nu is None else nu[1])
    used = np.maximum(weights, 0.0) if policy == "drop" else np.abs(weights)
    assert p_value(sample.x, events, used / used.sum()) > 1e-3
    assert sample.n_eff == pytest.approx(used.sum() / used.max(), rel=1e-9)
    n_negative = np.count_nonzero(events[:, 0] < 0.0)
    expected = f"{n_negative} of 500 events" if policy == "drop" else "have negative weights and"
    assert expected in caplog.text
    assert np.any(sample.w < 0.0) == (policy == "sign")
    if policy == "sign":  # signed means are those of the process
        x = events[:, 6]
        mean = np.sum(weights * x) / weights.sum()
        signs, drawn = sample.w[:, 0], sample.x[:, 6]
        residual = signs * (drawn - mean)  # its mean is zero
        assert abs(residual.mean()) < 4 * residual.std() / np.sqrt(len(residual))


def test_negative_weights_can_be_refused(nuisance_event_file: MakeFile) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(500, negative_share=0.2))
    with pytest.raises(NegativeWeightError, match=r"of 146 events .* have negative weights"):
        augmenter.sample_train_plain(sampling.benchmark("sm"), 10, negative_weights="refuse")
    positive = SampleAugmenter(nuisance_event_file(500))
    positive.sample_train_plain(sampling.benchmark("sm"), 10, negative_weights="refuse", seed=1)


# --- fits


def points_of(augmenter: SampleAugmenter, n: int, scale: float) -> Points:
    return resolve_points(
        sampling.random_morphing_points(n, PRIORS),
        sampling.iid_nuisance_parameters("gaussian", 0.0, scale),
        n,
        augmenter.setup,
        np.random.default_rng(4),
    )


@pytest.mark.parametrize("scale", [0.3, 0.6])
def test_fits_equal_passes_over_the_events(
    nuisance_event_file: MakeFile, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(900, negative_share=0.1))
    points = points_of(augmenter, 3000, scale)
    table = augmenter._table(options(), np.ones(7, dtype=bool), in_classes=False)
    assert fit_nuisance_sums(table, points, with_slopes=True) is not None
    factors = np.random.default_rng(1).random((3000, table.n_file_groups))
    found, found_gradients = xsecs_and_gradients(table, points, factors, by_theta=True, by_nu=True)
    monkeypatch.setattr(xsecs, "fit_nuisance_sums", lambda *_, **__: None)
    expected, gradients = xsecs_and_gradients(table, points, factors, by_theta=True, by_nu=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found_gradients is not None
    size = np.abs(expected)[:, np.newaxis]
    np.testing.assert_allclose(found_gradients / size, gradients / size, atol=1e-5)


def test_fits_that_do_not_agree_are_not_used(
    nuisance_event_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(900))
    table = augmenter._table(options(), np.ones(7, dtype=bool), in_classes=False)
    assert fit_nuisance_sums(table, points_of(augmenter, 400, 1.0), with_slopes=False) is None
    many = points_of(augmenter, 3000, 0.5)
    assert fit_nuisance_sums(table, many, with_slopes=False) is not None
    monkeypatch.setattr(xsecs, "_MAX_DEGREE", 2)
    assert fit_nuisance_sums(table, many, with_slopes=False) is None
    monkeypatch.undo()
    monkeypatch.setattr(xsecs, "SLOPE_TOLERANCE", 0.0)
    assert fit_nuisance_sums(table, many, with_slopes=True) is None


# --- tables larger than memory


@pytest.mark.parametrize("nu", [None, sampling.iid_nuisance_parameters()])
def test_weights_that_do_not_fit_into_memory(
    nuisance_event_file: MakeFile, nu: tuple[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nuisance_event_file(900, negative_share=0.1)
    monkeypatch.setattr(tables, "_ROWS", 100)
    small = SampleAugmenter(path, memory_limit=1000.0)
    large = SampleAugmenter(path)
    samples = [
        augmenter.sample_train_ratio(
            sampling.random_morphing_points(50, PRIORS),
            sampling.benchmark("sm"),
            400,
            nu,
            seed=1,
            double_precision=True,
        )
        for augmenter in (small, large)
    ]
    assert small._kept is not None
    assert isinstance(small._kept.table.weights, np.memmap)
    for found, expected in zip(samples[0][:-1], samples[1][:-1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert samples[0].n_eff == pytest.approx(samples[1].n_eff)
    with pytest.raises(OptionError, match="memory_limit must be"):
        SampleAugmenter(path, memory_limit=0.0)


def test_no_space_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match="set TMPDIR to a folder with space"):
        empty_weights((1000, 2), 100.0)


def test_effective_number_where_groups_count_differently(nuisance_event_file: MakeFile) -> None:
    """Only the closest benchmark and background are drawn from, so that most factors are zero."""
    augmenter = SampleAugmenter(nuisance_event_file(600))
    thetas, nus = [[0.0, 0.0], [0.3, -1.3], [-1.0, -1.3]], [NU, -NU, [3.0, 2.0]]
    sample = augmenter.sample_train_ratio(
        sampling.morphing_points(thetas),
        sampling.benchmark("sm"),
        6000,
        sampling.morphing_points(nus),
        seed=1,
        partition="all",
        return_individual_n_effective=True,
        double_precision=True,
    )
    lowest = augmenter.sample_train_plain(
        sampling.morphing_points(thetas),
        300,
        sampling.morphing_points(nus),
        seed=1,
        partition="all",
        double_precision=True,
    ).n_eff
    events = augmenter.event_file.read()
    ids, expected = events.sampling_benchmarks, []
    assert ids is not None
    for theta, nu, closest in zip(thetas, nus, (0, 3, 4), strict=True):
        chosen = events.x[(ids == closest) | (ids < 0)]
        weights = exact(augmenter, chosen, np.array(theta), np.array(nu))
        expected.append(weights.sum() / weights.max())
        rows = (sample.y[:, 0] == 0) & (sample.theta0[:, 2] == nu[0])
        np.testing.assert_allclose(np.asarray(sample.n_eff)[rows], expected[-1], rtol=1e-9)
    assert lowest == pytest.approx(min(expected), rel=1e-9)


def test_nuisance_parameters_beyond_all_numbers_are_refused(
    nuisance_event_file: MakeFile,
) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(200))
    far = sampling.morphing_point([1e5, 0.0])
    with pytest.raises(DataError, match=r"as large as 1e\+05\. They are in units"):
        augmenter.sample_train_plain(sampling.benchmark("sm"), 10, far)
    with pytest.raises(DataError, match="beyond all numbers at theta"):
        augmenter.xsecs([[1e200, 0.0]])


def test_weighted_events_know_their_point(nuisance_event_file: MakeFile) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(200))
    events = augmenter.weighted_local(sampling.morphing_point(POINT), nu=NU)
    np.testing.assert_array_equal(events.theta, [*POINT, *NU])
    without = augmenter.weighted_local("w3", nuisance_score=False)
    np.testing.assert_array_equal(without.theta, [0.3, -1.4])
    assert f"t_xz ({len(events.x)}, 4)" in repr(events)


def test_undefined_responses_of_drawn_events_are_reported(
    nuisance_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EventFile(nuisance_event_file(200))
    events = file.read()
    weights = events.weights.copy()
    weights[:, list(file.setup.benchmarks).index("nu0_up")] *= -1.0
    changed = type(events)(events.x, weights, events.sampling_benchmarks)
    write_events(tmp_path / "bad.h5", file.setup, changed, file.summary)
    augmenter = SampleAugmenter(tmp_path / "bad.h5")
    with caplog.at_level(logging.WARNING):
        augmenter.sample_train_plain(sampling.benchmark("sm"), 20, seed=1)
        augmenter.sample_train_local(sampling.benchmark("sm"), 20, seed=1)
    assert "nu0: among 20 events, 20 have weights that are zero or change sign" in caplog.text


# --- warnings that help


def test_points_far_from_the_events_are_named(
    nuisance_event_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    augmenter = SampleAugmenter(nuisance_event_file(200))
    with caplog.at_level(logging.WARNING):
        augmenter.sample_train_plain(sampling.benchmark("sm"), 10, seed=1, **ALL)
        assert "lies far" not in caplog.text
        augmenter.sample_train_plain(sampling.morphing_point([30.0, 0.0]), 10, seed=1, **ALL)
    assert "At theta = [30.0, 0.0] the morphing weights are as large as" in caplog.text
    events, shares = all_events(augmenter)
    weights = shares * exact(augmenter, events, np.array([30.0, 0.0]), np.zeros(2))
    percent = 100 * np.sqrt(np.sum(weights**2)) / weights.sum()
    assert f"known to {percent:.0f}% only" in caplog.text
    assert "effective events" in caplog.text


def test_unbalanced_benchmarks_are_named(
    nuisance_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EventFile(nuisance_event_file(600))
    events = file.read()
    ids = events.sampling_benchmarks
    assert ids is not None
    kept = (ids != 4) | (np.cumsum(ids == 4) <= 3)
    some = type(events)(events.x[kept], events.weights[kept], ids[kept])
    write_events(tmp_path / "few.h5", file.setup, some, None)
    with caplog.at_level(logging.WARNING):
        SampleAugmenter(tmp_path / "few.h5")
    assert "Only 3 events were generated at w4" in caplog.text
