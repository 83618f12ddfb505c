from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer import sampling
from madminer.errors import (
    DataError,
    MorphingError,
    NoEventsError,
    OptionError,
    OutputError,
    UnknownNameError,
)
from madminer.io import Events, write_events
from madminer.morphing.weights import monomial_gradients, monomials
from madminer.sampling import SampleAugmenter

MakeFile = Callable[..., Path]
PRIORS = [("flat", -0.5, 0.5), ("gaussian", 0.0, 0.3)]
POINT = np.array([0.4, -0.3])


@pytest.fixture(scope="module")
def toy(toy_event_file: MakeFile) -> SampleAugmenter:
    return SampleAugmenter(toy_event_file(3000))


class Twin:
    """Slow formulas, event by event, from the coefficients that the toy keeps as observables."""

    def __init__(self, augmenter: SampleAugmenter, start: int, stop: int) -> None:
        events = augmenter.event_file.read(start, stop)
        assert augmenter.morphing_components is not None
        self.components = augmenter.morphing_components
        self.x, self.ids = events.x, events.sampling_benchmarks
        self.thetas = augmenter.setup.benchmark_thetas

    def weight(self, x: np.ndarray, theta: np.ndarray) -> float:
        return float(x @ monomials(theta, self.components))

    def xsec(self, theta: np.ndarray, sampled: np.ndarray) -> float:
        return sum(self.weight(x, theta) for x in self.chosen(sampled))

    def chosen(self, sampled: np.ndarray) -> np.ndarray:
        generated = [0, 3, 4]
        distances = [np.sum((self.thetas[i] - sampled) ** 2) for i in generated]
        closest = generated[int(np.argmin(distances))]
        return np.asarray(self.x[(self.ids == closest) | (self.ids < 0)])

    def ratio(self, x, theta0, theta1, sampled) -> float:
        numerator = self.weight(x, theta0) / self.xsec(theta0, sampled)
        return numerator / (self.weight(x, theta1) / self.xsec(theta1, sampled))

    def score(self, x: np.ndarray, theta: np.ndarray, sampled: np.ndarray) -> np.ndarray:
        slopes = monomial_gradients(theta, self.components)
        total = sum(slopes @ row for row in self.chosen(sampled))
        return np.asarray(slopes @ x / self.weight(x, theta) - total / self.xsec(theta, sampled))


def rows(x: np.ndarray) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x}


def test_plain_samples_come_from_the_closest_benchmark(toy: SampleAugmenter) -> None:
    x, theta, n_eff = toy.sample_train_plain(
        sampling.morphing_point(POINT), 500, seed=1, double_precision=True
    )
    twin = Twin(toy, 0, 1800)
    assert rows(x) <= rows(twin.chosen(POINT))
    np.testing.assert_array_equal(theta, np.tile(POINT, (500, 1)))
    weights = np.array([twin.weight(row, POINT) for row in twin.chosen(POINT)])
    assert n_eff == pytest.approx(weights.sum() / weights.max())
    x, _, _ = toy.sample_train_plain(
        sampling.morphing_point(POINT),
        2000,
        sample_only_from_closest_benchmark=False,
        seed=1,
        double_precision=True,
    )
    assert not rows(x) <= rows(twin.chosen(POINT))
    assert rows(x) <= rows(twin.x)


def test_local_scores_equal_the_slow_formula(toy: SampleAugmenter) -> None:
    points = sampling.random_morphing_points(10, PRIORS)
    x, theta, t_xz, _ = toy.sample_train_local(points, 100, seed=2, double_precision=True)
    twin = Twin(toy, 0, 1800)
    assert len(x) == 100
    for i in range(0, 100, 7):
        np.testing.assert_allclose(t_xz[i], twin.score(x[i], theta[i], theta[i]), rtol=1e-8)


def test_ratios_and_scores_equal_the_slow_formula(toy: SampleAugmenter) -> None:
    x, theta0, theta1, y, r_xz, t_xz, _ = toy.sample_train_ratio(
        sampling.random_morphing_points(10, PRIORS),
        sampling.benchmark("sm"),
        200,
        seed=3,
        double_precision=True,
        test_split=None,
        validation_split=0.5,
    )
    twin = Twin(toy, 0, 1500)
    assert r_xz.shape == y.shape == (200, 1)
    assert y.sum() == 100
    assert t_xz is not None
    for i in range(0, 200, 13):
        sampled = theta1[i] if y[i, 0] else theta0[i]
        assert r_xz[i, 0] == pytest.approx(twin.ratio(x[i], theta0[i], theta1[i], sampled))
        np.testing.assert_allclose(t_xz[i], twin.score(x[i], theta0[i], sampled), rtol=1e-8)


def test_more_ratios_equal_the_slow_formula(toy: SampleAugmenter) -> None:
    third = np.array([-0.4, 0.1])
    x, theta0, theta1, y, r_xz, t_xz0, t_xz1, _ = toy.sample_train_more_ratios(
        sampling.morphing_point(POINT),
        sampling.benchmark("sm"),
        60,
        additional_thetas=[sampling.morphing_point(third)],
        seed=4,
        double_precision=True,
    )
    twin = Twin(toy, 0, 1800)
    assert len(x) == 120
    assert t_xz0 is not None
    assert t_xz1 is not None
    pairs = {(float(y[i, 0]), *theta0[i], *theta1[i]) for i in range(120)}
    assert pairs == {
        (0.0, *POINT, 0.0, 0.0),
        (0.0, *POINT, *third),
        (1.0, *POINT, 0.0, 0.0),
        (1.0, *third, 0.0, 0.0),
    }
    for i in range(0, 120, 11):
        sampled = theta1[i] if y[i, 0] else theta0[i]
        assert r_xz[i, 0] == pytest.approx(twin.ratio(x[i], theta0[i], theta1[i], sampled))
        np.testing.assert_allclose(t_xz0[i], twin.score(x[i], theta0[i], sampled), rtol=1e-8)
        np.testing.assert_allclose(
            t_xz1[i], twin.score(x[i], theta1[i], sampled), rtol=1e-8, atol=1e-12
        )


def test_expectations_of_ratio_and_score(toy: SampleAugmenter) -> None:
    n = 40_000
    _, _, _, y, r_xz, _, _ = toy.sample_train_ratio(
        sampling.morphing_point(POINT), sampling.benchmark("sm"), n, seed=5
    )
    from_theta1 = r_xz[y == 1]
    error = from_theta1.std() / np.sqrt(len(from_theta1))
    assert from_theta1.mean() == pytest.approx(1.0, abs=5 * error)
    _, _, t_xz, _ = toy.sample_train_local(sampling.morphing_point(POINT), n, seed=6)
    np.testing.assert_array_less(np.abs(t_xz.mean(axis=0)), 5 * t_xz.std(axis=0) / np.sqrt(n))


def test_numbers_of_samples_and_cycled_points(toy: SampleAugmenter) -> None:
    x, theta0, theta1, *_ = toy.sample_train_ratio(
        sampling.benchmarks(["sm", "w1", "w2"]), sampling.benchmarks(["w3", "w4"]), 120, seed=1
    )
    assert len(x) == 2 * 3 * 20  # three sets a half; the smaller number (60 / 3) counts
    found = {(*a.tolist(), *b.tolist()) for a, b in zip(theta0, theta1, strict=True)}
    np.testing.assert_allclose(
        sorted(found), [[0, 0, 0.3, -1.4], [0, 1, 0.3, -1.4], [1, 0, -1.1, -1.4]], rtol=1e-6
    )


def test_random_points_are_drawn_anew_for_the_second_half(toy: SampleAugmenter) -> None:
    _, theta0, _, y, *_ = toy.sample_train_ratio(
        sampling.random_morphing_points(5, PRIORS), sampling.benchmark("sm"), 100, seed=1
    )
    first, second = rows(theta0[y[:, 0] == 0]), rows(theta0[y[:, 0] == 1])
    assert len(first) == len(second) == 5
    assert not first & second


def test_individual_effective_numbers(toy: SampleAugmenter) -> None:
    arguments = (sampling.random_morphing_points(5, PRIORS), sampling.benchmark("sm"), 100)
    *_, smallest = toy.sample_train_ratio(*arguments, seed=1)
    _, theta0, _, y, *_, each = toy.sample_train_ratio(
        *arguments, seed=1, return_individual_n_effective=True
    )
    assert isinstance(each, np.ndarray)
    assert each.shape == (100,)
    assert each.min() == pytest.approx(smallest)
    first = np.column_stack([each, theta0])[y[:, 0] == 0]
    assert len(rows(first)) == len(rows(first[:, 1:])) == 5


def test_test_samples_come_from_the_test_partition(toy: SampleAugmenter) -> None:
    x, theta, _ = toy.sample_test(sampling.benchmark("w3"), 300, seed=1, double_precision=True)
    assert rows(x) <= rows(toy.event_file.read(2400, 3000).x)
    np.testing.assert_allclose(theta, np.tile([0.3, -1.4], (300, 1)))
    x, _, _ = toy.sample_test(
        sampling.benchmark("w3"), 3000, partition="all", seed=1, double_precision=True
    )
    assert not rows(x) <= rows(toy.event_file.read(2400, 3000).x)


def test_forced_effective_number(toy: SampleAugmenter, caplog: pytest.LogCaptureFixture) -> None:
    spec = sampling.morphing_point([2.0, 0.0])
    _, _, before = toy.sample_train_plain(spec, 2000, seed=1)
    x, _, after = toy.sample_train_plain(
        spec, 2000, seed=1, n_eff_forced=2.0 * before, double_precision=True
    )
    assert after > before
    twin = Twin(toy, 0, 1800)
    position = np.array([2.0, 0.0])
    limit = twin.xsec(position, position) / (2.0 * before)
    assert max(twin.weight(row, position) for row in x) <= limit * (1 + 1e-9)
    assert "are never drawn" in caplog.text


def test_density_is_local(toy: SampleAugmenter) -> None:
    points = sampling.random_morphing_points(5, PRIORS)
    local = toy.sample_train_local(points, 50, seed=1)
    density = toy.sample_train_density(points, 50, seed=1)
    for first, second in zip(local, density, strict=True):
        np.testing.assert_array_equal(first, second)


def test_same_seed_same_samples(toy: SampleAugmenter) -> None:
    arguments = (sampling.random_morphing_points(5, PRIORS), sampling.benchmark("sm"), 100)
    first, again, other = (toy.sample_train_ratio(*arguments, seed=s) for s in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(first[0] != other[0])


@pytest.mark.parametrize("double_precision", [False, True])
def test_saved_arrays(toy: SampleAugmenter, tmp_path: Path, double_precision: bool) -> None:
    dtype = np.float64 if double_precision else np.float32
    folder = tmp_path / "new" / "samples"
    arguments = {"folder": folder, "filename": "a", "double_precision": double_precision, "seed": 1}
    names = ["x", "theta0", "theta1", "y", "r_xz", "t_xz"]
    point, sm = sampling.morphing_point(POINT), sampling.benchmark("sm")
    returned = toy.sample_train_ratio(point, sm, 20, **arguments)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{n}_a.npy" for n in names)
    for name, values in zip(names, returned, strict=False):
        saved = np.load(folder / f"{name}_a.npy")
        assert saved.dtype == dtype
        np.testing.assert_array_equal(saved, values)
    toy.sample_train_local(point, 20, **{**arguments, "filename": "b"})
    toy.sample_test(point, 20, **{**arguments, "filename": "c"})
    toy.sample_train_more_ratios(point, sm, 20, **{**arguments, "filename": "d"})
    found = {path.name for path in folder.iterdir()}
    assert {"x_b.npy", "theta_b.npy", "t_xz_b.npy", "x_c.npy", "theta_c.npy"} <= found
    assert {"t_xz0_d.npy", "t_xz1_d.npy", "r_xz_d.npy"} <= found
    assert "n_eff_a.npy" not in found


def test_cross_sections(toy: SampleAugmenter) -> None:
    thetas, xsecs, uncertainties = toy.cross_sections(
        sampling.random_morphing_points(7, PRIORS), seed=1
    )
    expected = toy.xsecs(thetas)
    assert thetas.shape == (7, 2)
    np.testing.assert_allclose(xsecs, expected[0])
    np.testing.assert_allclose(uncertainties, expected[1])
    with pytest.raises(OptionError, match="need a number"):
        toy.cross_sections(sampling.random_morphing_points(None, PRIORS))


def test_one_message_about_the_effective_number(
    toy: SampleAugmenter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="madminer")
    toy.sample_train_local(sampling.benchmark("sm"), 10, seed=1)
    assert caplog.text.count("Effective number of samples") == 1
    toy.sample_train_local(sampling.benchmark("sm"), 10, seed=1, log_message=False)
    assert caplog.text.count("Effective number of samples") == 1


# --- negative weights


def test_signs_are_handed_out(
    toy_event_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    augmenter = SampleAugmenter(toy_event_file(3000, negative_share=0.1))
    sample = augmenter.sample_train_local(
        sampling.morphing_point(POINT), 40_000, folder=tmp_path, filename="a", seed=1
    )
    x, _, t_xz, _ = sample
    assert sample.w.shape == (40_000, 1)
    np.testing.assert_array_equal(np.load(tmp_path / "w_a.npy"), sample.w)
    np.testing.assert_array_equal(sample.w[:, 0] < 0.0, x[:, 0] < 0.0)
    assert "have negative weights" in caplog.text
    mean = np.mean(sample.w * t_xz, axis=0) / sample.w.mean()
    np.testing.assert_allclose(mean, 0.0, atol=5 * np.max(np.abs(t_xz).std(axis=0)) / 180.0)


def test_positive_weights_have_no_signs_to_save(toy: SampleAugmenter, tmp_path: Path) -> None:
    sample = toy.sample_test(sampling.benchmark("sm"), 10, folder=tmp_path, filename="a", seed=1)
    assert np.all(sample.w == 1.0)
    assert not (tmp_path / "w_a.npy").exists()


# --- files with less


def test_without_sampling_benchmarks(toy_event_file: MakeFile) -> None:
    augmenter = SampleAugmenter(toy_event_file(sampling_benchmarks=False))
    x, _, _ = augmenter.sample_train_plain(
        sampling.benchmark("w3"), 3000, seed=1, double_precision=True
    )
    assert len(rows(x)) > 400


def test_without_morphing(toy_event_file: MakeFile) -> None:
    augmenter = SampleAugmenter(toy_event_file(), disable_morphing=True)
    sm, w3 = sampling.benchmark("sm"), sampling.benchmark("w3")
    *_, t_xz, _ = augmenter.sample_train_ratio(sm, w3, 20, seed=1)
    assert t_xz is None
    with pytest.raises(MorphingError, match="no derivative"):
        augmenter.sample_train_local(sm, 20)
    with pytest.raises(MorphingError, match="Without morphing"):
        augmenter.sample_train_plain(sampling.morphing_point(POINT), 20)


def test_files_with_nuisance_parameters(shared: Path) -> None:
    path = shared / "reference/public.h5"
    augmenter = SampleAugmenter(path)
    x, theta, t_xz, _ = augmenter.sample_train_local(sampling.benchmark("sm"), 10, seed=1)
    assert (x.shape, theta.shape, t_xz.shape) == ((10, 4), (10, 4), (10, 4))
    x, theta, t_xz, _ = augmenter.sample_train_local(
        sampling.benchmark("sm"), 10, nuisance_score=False, seed=1
    )
    assert (x.shape, theta.shape, t_xz.shape) == ((10, 4), (10, 4), (10, 2))
    np.testing.assert_array_equal(theta[:, 2:], 0.0)
    thetas, *_ = augmenter.cross_sections(sampling.benchmark("sm"))
    assert thetas.shape == (1, 2)
    thetas, *_ = augmenter.cross_sections(
        sampling.benchmark("sm"), sampling.nominal_nuisance_parameters()
    )
    assert thetas.shape == (1, 4)
    augmenter = SampleAugmenter(path, include_nuisance_parameters=False)
    assert augmenter.sample_train_local(sampling.benchmark("sm"), 10, seed=1)[1].shape == (10, 2)


# --- bad input


def test_bad_input_is_refused(toy: SampleAugmenter, tmp_path: Path) -> None:
    sm = sampling.benchmark("sm")
    with pytest.raises(UnknownNameError, match="no benchmark 'smm'"):
        toy.sample_train_plain(sampling.benchmark("smm"), 10)
    with pytest.raises(OptionError, match=r"n_samples must be a whole number from 2 to .* got 1"):
        toy.sample_train_ratio(sm, sm, 1)
    for n_samples in (None, 0, 1.5, "10", 10**12):
        for draw in (toy.sample_train_plain, toy.sample_train_local, toy.sample_test):
            with pytest.raises(OptionError, match="n_samples must be a whole number from 1 to"):
                draw(sm, n_samples)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed must be"):
        toy.cross_sections(sm, seed=-1)
    with pytest.raises(OptionError, match="n_eff_forced must be a positive number"):
        toy.sample_train_plain(sm, 10, n_eff_forced=-1.0)
    with pytest.raises(OptionError, match="nuisance_score must be"):
        toy.sample_train_local(sm, 10, nuisance_score="yes")
    with pytest.raises(OptionError, match="nuisance_score=True needs"):
        toy.sample_train_local(sm, 10, nuisance_score=True)
    with pytest.raises(OptionError, match="negative_weights must be"):
        toy.sample_train_local(sm, 10, negative_weights="keep")
    with pytest.raises(OptionError, match="nu needs nuisance parameters"):
        toy.sample_train_local(sm, 10, sampling.iid_nuisance_parameters())
    with pytest.raises(OptionError, match="partition must be one of"):
        toy.sample_train_plain(sm, 10, partition="training")
    with pytest.raises(OptionError, match="empty"):
        toy.sample_test(sm, 10, test_split=0.0)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(OutputError, match="Cannot write"):
        toy.sample_test(sm, 10, folder=blocked, filename="a")


def test_partition_without_events_of_the_benchmark(toy: SampleAugmenter, tmp_path: Path) -> None:
    events = toy.event_file.read()
    assert events.sampling_benchmarks is not None
    sampled = np.repeat([0, 3], 1500)
    write_events(tmp_path / "a.h5", toy.setup, Events(events.x, events.weights, sampled), None)
    augmenter = SampleAugmenter(tmp_path / "a.h5")
    with pytest.raises(NoEventsError, match="sample_only_from_closest_benchmark=False"):
        augmenter.sample_test(sampling.benchmark("sm"), 10)


def test_undefined_observables_are_named(toy: SampleAugmenter, tmp_path: Path) -> None:
    events = toy.event_file.read()
    x = events.x.copy()
    x[:, 2] = np.nan
    write_events(
        tmp_path / "a.h5", toy.setup, Events(x, events.weights, events.sampling_benchmarks), None
    )
    augmenter = SampleAugmenter(tmp_path / "a.h5")
    with pytest.raises(DataError, match="k2"):
        augmenter.sample_test(sampling.benchmark("sm"), 10)
    assert augmenter.xsecs(["sm"])[0] == pytest.approx(toy.xsecs(["sm"])[0])
