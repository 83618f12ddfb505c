"""Confidence belts against exact enumerations, published intervals, coverage; files; refusals."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, poisson

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    NoEventsError,
    OptionError,
    OutputError,
    ShapeError,
)
from madminer.io import Events, EventSummary, write_events
from madminer.likelihood import HistoLikelihood, Likelihood
from madminer.likelihood.fit import profile_nuisances
from madminer.likelihood.toys import draw_toys
from madminer.limits import (
    ConfidenceBelt,
    ToyLimits,
    belts,
    load_belt,
    regular_grid,
    toy_limits,
)
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)

PHYSICAL = [(0.0, np.inf)]
NUMBERS = np.arange(80)  # of events, the rest has no probability
MakeLikelihood = Callable[..., Likelihood]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., HistoLikelihood]:
    """Maker of analyses with bins sigma_k = contents_k0 + sum_i contents_ki mu_i, in pb.

    There is one event in each bin, with k = 1/2, 3/2, ...; `norm` are factors at nu = 1.
    """

    def make(contents: Sequence[Sequence[float]], norm: float | None = None) -> HistoLikelihood:
        sums = np.asarray(contents, float)
        n, p = len(sums), sums.shape[1] - 1
        names = [f"mu{i}" for i in range(p)]
        thetas = np.vstack([np.zeros(p), np.eye(p)])
        monomials = np.hstack([np.ones((p + 1, 1)), thetas])
        benchmarks = {
            f"b{i}": Benchmark.from_params(f"b{i}", names, t) for i, t in enumerate(thetas)
        }
        weights, nuisances = sums @ monomials.T, {}
        if norm is not None:
            benchmarks["up"] = Benchmark("up", {}, is_nuisance=True)
            nuisances["norm"] = NuisanceParameter("norm", "norm", "up")
            weights = np.column_stack([weights, norm * weights[:, 0]])
        powers = np.vstack([np.zeros((1, p), int), np.eye(p, dtype=int)])
        setup = AnalysisSetup(
            parameters={name: AnalysisParameter(name, "lha", i) for i, name in enumerate(names)},
            benchmarks=benchmarks,
            morphing=MorphingSetup(powers, np.linalg.inv(monomials)),
            nuisance_parameters=nuisances,
            observables={"k": "_"},
        )
        events = Events(np.arange(n)[:, np.newaxis] + 0.5, weights, np.zeros(n, np.int64))
        path = tmp_path_factory.mktemp("bins") / "bins.h5"
        write_events(path, setup, events, EventSummary.count(np.zeros(n, np.int64), p + 1))
        return HistoLikelihood(path)

    return make


@pytest.fixture(scope="module")
def counting(analysis: Callable[..., HistoLikelihood]) -> MakeLikelihood:
    """Maker of likelihoods of N ~ Pois(b + mu), with b = 2."""
    known: dict[float, HistoLikelihood] = {}

    def make(n: float, b: float = 2.0) -> Likelihood:
        if b not in known:
            known[b] = analysis([[b, 1.0]])
        return known[b].create_negative_log_likelihood([[0.5]], n_observed=n, luminosity=1.0)

    return make


@pytest.fixture(scope="module")
def with_norm(analysis: Callable[..., HistoLikelihood]) -> MakeLikelihood:
    """Maker of likelihoods of N ~ Pois((20 + mu) 1.2^nu)."""
    known = analysis([[20.0, 1.0]], norm=1.2)
    return lambda n: known.create_negative_log_likelihood([[0.5]], n_observed=n, luminosity=1.0)


@pytest.fixture(scope="module")
def binned(analysis: Callable[..., HistoLikelihood]) -> MakeLikelihood:
    """Maker of likelihoods of three bins and one or two signals."""
    contents = np.array([[6.0, 1.0, 8.0], [4.0, 3.0, 2.0], [2.0, 6.0, 1.0]])
    known = {p: analysis(contents[:, : p + 1]) for p in (1, 2)}

    def make(counts: Sequence[float], p: int = 1, luminosity: float = 1.0) -> Likelihood:
        return known[p].create_negative_log_likelihood(
            [[0.5], [1.5], [2.5]],
            ["k"],
            hist_bins=[[0.0, 1.0, 2.0, 3.0]],
            mode="histo",
            n_observed=float(np.sum(counts)),
            x_observed_weights=counts if np.any(counts) else None,
            luminosity=luminosity,
        )

    return make


GRID = regular_grid([(0.0, 10.0)], 21)


def exact_q(mu: float, n: np.ndarray, b: float = 2.0) -> np.ndarray:
    """-2 log r of N events, with mu >= 0."""
    best = b + np.maximum(n - b, 0.0)
    return 2.0 * (poisson.logpmf(n, best) - poisson.logpmf(n, b + mu))


def share_above(mu: float, n: int, b: float = 2.0, truth: float | None = None) -> float:
    """Probability of at least the q of n events at mu, where `truth` is true."""
    q, mean = exact_q(mu, NUMBERS, b), b + (mu if truth is None else truth)
    return min(float(poisson.pmf(NUMBERS, mean)[q >= q[n] - 1e-9].sum()), 1.0)


# --- exact distributions


def test_p_values_are_those_of_the_enumeration(counting: MakeLikelihood) -> None:
    n_toys = 4000
    found = toy_limits(counting(5), GRID, n_toys=n_toys, seed=1, ranges=PHYSICAL)
    exact = np.array([share_above(mu, 5) for mu in GRID[:, 0]])
    expected_errors = np.sqrt(exact * (1.0 - exact) / n_toys)
    np.testing.assert_allclose(found.q, exact_q(GRID[:, 0], np.array(5)), atol=1e-5)
    assert np.all(np.abs(found.p_values - exact) <= 4.0 * expected_errors)
    uncertain = expected_errors > 1e-4
    pulls = (found.p_values - exact)[uncertain] / expected_errors[uncertain]
    assert 5.0 < np.sum(pulls**2) < 45.0  # of about 20
    np.testing.assert_allclose(found.p_value_errors, expected_errors, rtol=0.3, atol=1e-3)
    assert found.nus.shape == (21, 0)
    # one event more or less is another p-value: the bound can fail
    assert np.all(np.abs(exact - [share_above(mu, 6) for mu in GRID[:, 0]]).max() > 0.1)


@pytest.mark.parametrize("level", [0.5, 0.68, 0.95])
def test_critical_values_are_quantiles_of_a_discrete_distribution(
    counting: MakeLikelihood, level: float
) -> None:
    """The smallest q up to which the probability is at least the level."""
    n_toys = 4000
    belt = toy_limits(counting(5), GRID, n_toys=n_toys, seed=2, ranges=PHYSICAL).belt
    critical, errors = belt.critical_values(level, smooth=False)
    slack = 4.0 * np.sqrt(level * (1.0 - level) / n_toys)
    for mu, value in zip(GRID[:, 0], critical, strict=True):
        q, p = exact_q(mu, NUMBERS), poisson.pmf(NUMBERS, 2.0 + mu)
        assert np.abs(q - value).min() < 1e-5  # a value that exists
        assert p[q <= value + 1e-5].sum() >= level - slack
        assert p[q < value - 1e-5].sum() < level + slack
    assert np.all(errors > 0.0)


# 90 % intervals of Feldman and Cousins, arXiv:physics/9711021, Table IV, b = 3.0. That of no
# events, [0, 1.08], is left out: its end was lengthened so that it does not grow with b.
PUBLISHED = {
    1: (0.0, 1.88),
    2: (0.0, 3.04),
    3: (0.0, 4.42),
    4: (0.0, 5.60),
    5: (0.0, 6.99),
    6: (0.15, 8.47),
}


def test_intervals_of_feldman_and_cousins(counting: MakeLikelihood) -> None:
    """One belt for all data, from which all published intervals follow."""
    step, n_toys = 0.2, 2000
    grid = regular_grid([(0.0, 10.0)], 51)
    belt = None
    for n, (low, high) in PUBLISHED.items():
        found = toy_limits(
            counting(n, 3.0), grid, n_toys=n_toys, seed=3, ranges=PHYSICAL, belt=belt
        )
        belt = found.belt
        inside = found.inside(0.9)
        exact = np.array([share_above(mu, n, 3.0) for mu in grid[:, 0]])
        within = (grid[:, 0] >= low - 0.01) & (grid[:, 0] <= high + 0.01)
        clear = np.abs(exact - 0.1) > 4.0 * np.sqrt(0.09 / n_toys)
        np.testing.assert_array_equal(inside[clear], within[clear])
        ends = grid[inside, 0][[0, -1]]
        assert ends == pytest.approx([low, high], abs=step + 0.15)


def test_interval_without_any_event(counting: MakeLikelihood) -> None:
    """Never empty; within the one that was lengthened."""
    grid = regular_grid([(0.0, 2.0)], 21)
    found = toy_limits(counting(0, 3.0), grid, n_toys=2000, seed=4, ranges=PHYSICAL)
    inside = grid[found.inside(0.9), 0]
    assert inside.min() == 0.0
    assert 0.7 < inside.max() <= 1.08


def test_cls_is_a_ratio_of_tails(counting: MakeLikelihood) -> None:
    """Of the enumerated probabilities at the point and at mu = 0."""
    n_toys = 4000
    found = toy_limits(counting(1), GRID, n_toys=n_toys, seed=5, ranges=PHYSICAL, theta_null=[0.0])
    above = np.array([share_above(mu, 1) for mu in GRID[:, 0]])
    above_null = np.array([share_above(mu, 1, truth=0.0) for mu in GRID[:, 0]])
    relative = np.sqrt((1.0 - above) / above + (1.0 - above_null) / above_null)
    exact = np.minimum(above / above_null, 1.0)
    cls = found.belt.cls(found.q)
    assert np.all(np.abs(cls - exact) <= 4.0 * exact * relative / np.sqrt(n_toys))
    assert cls[0] == pytest.approx(1.0, abs=0.02)
    assert np.all(cls >= found.p_values)
    assert found.belt.null_statistics.shape == (21, n_toys)


@pytest.mark.parametrize("level", [0.68, 0.9])
def test_coverage_of_few_counts(counting: MakeLikelihood, level: float) -> None:
    """The truth is inside as often as the enumeration says, and at least as often as it should."""
    n, truth, grid = 500, 2, regular_grid([(0.0, 6.0)], 7)
    mu = grid[truth, 0]
    belt = toy_limits(counting(0), grid, n_toys=4000, seed=6, ranges=PHYSICAL).belt
    data = np.random.default_rng(7).poisson(2.0 + mu, n)
    inside = {
        int(k): toy_limits(counting(k), grid, n_toys=4000, seed=6, ranges=PHYSICAL, belt=belt)
        for k in np.unique(data)
    }
    share = np.mean([inside[int(k)].inside(level)[truth] for k in data])
    accepted = np.array([share_above(mu, int(k)) > 1.0 - level for k in NUMBERS])
    exact = poisson.pmf(NUMBERS, 2.0 + mu)[accepted].sum()
    assert exact >= level
    assert share == pytest.approx(exact, abs=3.0 * np.sqrt(exact * (1.0 - exact) / n))


def test_coverage_of_histograms(binned: MakeLikelihood) -> None:
    """With several bins q is nearly continuous: the share is the level."""
    n, truth, grid = 250, np.array([0.5]), np.array([[0.0], [0.5], [1.5]])
    model = partial(binned, luminosity=0.5)
    data = draw_toys(model([2.0, 2.0, 2.0]), truth, n, seed=8).channels[0].terms[0].counts
    distinct, times = np.unique(data, axis=0, return_counts=True)
    belt, inside = None, []
    for counts in distinct:
        found = toy_limits(model(counts), grid, n_toys=3000, seed=9, ranges=PHYSICAL, belt=belt)
        belt = found.belt
        inside.append([found.inside(level)[1] for level in (0.68, 0.95)])
    for level, share in zip((0.68, 0.95), times @ inside / n, strict=True):
        assert share == pytest.approx(level, abs=3.0 * np.sqrt(level * (1.0 - level) / n) + 0.01)


def test_points_outside_the_physical_region_are_refused(counting: MakeLikelihood) -> None:
    grid = np.array([[-1.5], [-1.0], [0.0], [1.0]])
    with pytest.raises(OptionError, match="outside of the physical region"):
        toy_limits(counting(0), grid, n_toys=200, seed=10, ranges=PHYSICAL)


def test_impossible_data_are_outside(counting: MakeLikelihood) -> None:
    """Events that no background explains exclude mu = 0, whose q is infinite."""
    found = toy_limits(
        counting(3, 0.0), regular_grid([(0.0, 8.0)], 9), n_toys=400, seed=11, ranges=PHYSICAL
    )
    assert found.q[0] == np.inf
    assert found.p_values[0] == 0.0
    assert np.all(np.isfinite(found.p_values))
    exact = np.array([share_above(mu, 3, 0.0) for mu in np.arange(9.0)])
    clear = np.abs(exact - 0.32) > 4.0 * np.sqrt(0.25 / 400)
    np.testing.assert_array_equal(found.inside(0.68)[clear], exact[clear] > 0.32)
    assert np.count_nonzero(exact[clear] > 0.32) >= 2


def test_asymptotic_p_values_are_those_of_many_events(binned: MakeLikelihood) -> None:
    """Also smoothed critical values are those of chi-squared."""
    grid = regular_grid([(80.0, 120.0)], 9)
    data = np.array([[6.0, 1.0], [4.0, 3.0], [2.0, 6.0]]) @ [1.0, 100.0]
    found = toy_limits(binned(data), grid, n_toys=2000, seed=12)
    error = np.sqrt(0.25 / 2000)
    np.testing.assert_allclose(found.p_values, found.asymptotic_p_values, atol=4.0 * error)
    critical, errors = found.belt.critical_values(0.68)
    assert np.all(np.abs(critical - 0.989) < 4.0 * errors)
    rough, rough_errors = found.belt.critical_values(0.68, smooth=False)
    assert np.all(errors < rough_errors)
    assert np.std(critical) < np.std(rough)


# --- nuisance parameters


def test_experiments_are_drawn_at_the_profile(
    with_norm: MakeLikelihood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each point where nu fits best; those of the null hypothesis where it fits best there."""
    likelihood, grid = with_norm(40), regular_grid([(0.0, 30.0)], 3)
    drawn = []

    def recorded(model: Likelihood, params: np.ndarray, *args: object, **more: object) -> object:
        drawn.append(params)
        return draw_toys(model, params, *args, **more)

    monkeypatch.setattr(belts, "draw_toys", recorded)
    found = toy_limits(likelihood, grid, n_toys=20, seed=13, theta_null=[0.0])
    best = profile_nuisances(likelihood, grid).params
    assert best[0, 1] > 1.0  # far from zero, so that it matters
    np.testing.assert_allclose(found.nus, best[:, 1:])
    np.testing.assert_allclose(found.belt.nus, found.nus)
    pairs = np.reshape(drawn[-6:], (3, 2, 2))
    np.testing.assert_allclose(pairs[:, 0], best)
    np.testing.assert_allclose(pairs[:, 1], np.tile(best[0], (3, 1)))


def test_belts_with_nuisances_belong_to_their_data(with_norm: MakeLikelihood) -> None:
    grid = regular_grid([(0.0, 30.0)], 3)
    belt = toy_limits(with_norm(40), grid, n_toys=20, seed=13).belt
    assert toy_limits(with_norm(40), grid, n_toys=20, seed=13, belt=belt).belt is belt
    with pytest.raises(FileFormatError, match="with nuisance parameters also to other data"):
        toy_limits(with_norm(41), grid, n_toys=20, seed=13, belt=belt)


def test_p_values_with_nuisances_are_uniform(with_norm: MakeLikelihood) -> None:
    """Enough events for Wilks; nuisance parameters are fitted in each experiment."""
    found = toy_limits(with_norm(26), np.array([[0.0], [5.0], [12.0]]), n_toys=2000, seed=14)
    np.testing.assert_allclose(found.p_values, found.asymptotic_p_values, atol=0.06)
    assert found.p_values[1] > 0.5


# --- files


class InterruptedRunError(Exception):
    """The end of a run in its middle."""


class Calls(list[float]):
    """Points at which experiments are done; after `limit` of them the run ends."""

    limit = -1

    def run(self, original: Callable[..., object], *job: Any) -> object:
        if len(self) == self.limit:
            raise InterruptedRunError
        *_, theta, _nu = job
        self.append(float(theta[0]))
        return original(*job)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    recorded = Calls()
    monkeypatch.setattr(belts, "_experiments", partial(recorded.run, belts._experiments))
    return recorded


def assert_same(first: ConfidenceBelt, second: ConfidenceBelt) -> None:
    for name in ("thetas", "nus", "statistics", "fingerprint"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.seed == second.seed
    assert (first.null_statistics is None) == (second.null_statistics is None)
    if first.null_statistics is not None:
        np.testing.assert_array_equal(first.null_statistics, second.null_statistics)


def limits(likelihood: Likelihood, grid: np.ndarray = GRID[:6], **options: object) -> ToyLimits:
    """A short run."""
    settings = {"n_toys": 50, "seed": 15, "ranges": PHYSICAL, **options}
    return toy_limits(likelihood, grid, **settings)


@pytest.mark.parametrize("null", [None, [0.0]])
def test_round_trip(counting: MakeLikelihood, tmp_path: Path, null: list[float] | None) -> None:
    belt = limits(counting(5), theta_null=null).belt
    belt.save(tmp_path / "new" / "belt.npz")
    again = load_belt(tmp_path / "new" / "belt.npz")
    assert_same(again, belt)
    assert again.n_toys == 50
    assert again.is_done.all()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["belt.npz"]


def test_files_keep_what_is_done(counting: MakeLikelihood, tmp_path: Path, calls: Calls) -> None:
    """A second run does nothing again; other data of the same model use the same belt."""
    file = tmp_path / "belt.npz"
    first = limits(counting(5), belt=file)
    assert calls == list(GRID[:6, 0])
    second = limits(counting(5), belt=str(file))
    other = limits(counting(2), belt=file)
    assert len(calls) == 6
    assert_same(first.belt, second.belt)
    np.testing.assert_array_equal(first.p_values, second.p_values)
    assert_same(first.belt, other.belt)
    np.testing.assert_allclose(other.q, exact_q(GRID[:6, 0], np.array(2)), atol=1e-5)
    np.testing.assert_array_equal(other.p_values, limits(counting(2)).p_values)


def test_interrupted_runs_go_on(counting: MakeLikelihood, tmp_path: Path, calls: Calls) -> None:
    file = tmp_path / "belt.npz"
    calls.limit = 4
    with pytest.raises(InterruptedRunError):
        limits(counting(5), belt=file, theta_null=0.0)
    half = load_belt(file)
    np.testing.assert_array_equal(half.is_done, [True] * 4 + [False] * 2)
    assert np.all(np.isnan(half.null_statistics[4:]))
    p_values, _ = half.p_values(np.zeros(6))
    np.testing.assert_array_equal(p_values, [1.0] * 4 + [np.nan] * 2)
    rough, _ = half.critical_values(0.68, smooth=False)
    np.testing.assert_array_equal(np.isnan(rough), ~half.is_done)
    assert np.all(np.isfinite(half.critical_values(0.68)[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["belt.npz"]
    calls.limit = -1
    calls.clear()
    resumed = limits(counting(5), belt=file, theta_null=0.0)
    assert calls == list(GRID[4:6, 0])
    assert_same(resumed.belt, limits(counting(5), theta_null=0.0).belt)
    assert_same(resumed.belt, load_belt(file))


def test_a_belt_that_is_given_is_not_changed(
    counting: MakeLikelihood, tmp_path: Path, calls: Calls
) -> None:
    belt = limits(counting(5)).belt
    half = replace(belt, statistics=np.where(np.arange(6)[:, None] < 3, belt.statistics, np.nan))
    calls.clear()
    found = limits(counting(5), belt=half)
    assert calls == list(GRID[3:6, 0])
    assert_same(found.belt, belt)
    np.testing.assert_array_equal(half.is_done, [True] * 3 + [False] * 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 16},
        {"n_toys": 51},
        {"grid": GRID[:5]},
        {"grid": GRID[1:7]},
        {"ranges": None},
        {"ranges": [(0.0, 20.0)]},
        {"theta_null": [0.0]},
        {"b": 2.001},
    ],
    ids=str,
)
@pytest.mark.parametrize("as_file", [False, True])
def test_belts_of_other_models_are_refused(
    counting: MakeLikelihood, tmp_path: Path, change: dict[str, object], as_file: bool
) -> None:
    belt: ConfidenceBelt | Path = limits(counting(5)).belt
    if as_file:
        belt.save(tmp_path / "belt.npz")
        belt = tmp_path / "belt.npz"
    options = {"belt": belt, **change}
    likelihood = counting(5, options.pop("b", 2.0))
    with pytest.raises(FileFormatError, match="belongs to another model, grid"):
        limits(likelihood, **options)


def test_another_null_hypothesis_is_refused(counting: MakeLikelihood) -> None:
    belt = limits(counting(5), theta_null=[0.0]).belt
    for null in ([0.5], None):
        with pytest.raises(FileFormatError, match="null hypothesis"):
            limits(counting(5), theta_null=null, belt=belt)


def test_missing_files(counting: MakeLikelihood, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no confidence belt"):
        load_belt(tmp_path / "belt.npz")
    with pytest.raises(OptionError, match="filename"):
        load_belt(3)
    with pytest.raises(OutputError, match="folder"):
        limits(counting(5)).belt.save(tmp_path)


def test_damaged_files_are_refused(counting: MakeLikelihood, tmp_path: Path) -> None:
    """Wherever a bit is wrong or the end is missing: refused, or the same belt."""
    belt = limits(counting(5), GRID[:2], n_toys=2, theta_null=0.0).belt
    file = tmp_path / "belt.npz"
    belt.save(file)
    content, rng, refused = file.read_bytes(), np.random.default_rng(16), 0
    damaged = [content[:end] for end in range(0, len(content), 61)]
    for position in range(0, len(content), 5):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    for text in damaged:
        file.write_bytes(text)
        try:
            assert_same(load_belt(file), belt)
        except FileFormatError as error:
            assert "is no confidence belt" in str(error)  # noqa: PT017
            refused += 1
    assert refused > 0.7 * len(damaged)


def test_other_files_are_refused(counting: MakeLikelihood, tmp_path: Path) -> None:
    """Nothing of them is executed: there is no pickle."""
    belt, file = limits(counting(5)).belt, tmp_path / "belt.npz"
    executed = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return Path.touch, (executed,)

    def write_pickle() -> None:
        file.write_bytes(pickle.dumps(Evil()))

    def write_objects() -> None:
        with file.open("wb") as stream:
            np.savez(stream, thetas=np.array([Evil()], dtype=object))

    def write_array() -> None:
        with file.open("wb") as stream:
            np.save(stream, belt.thetas)

    def write_other() -> None:
        replace(belt, statistics=belt.statistics[:3]).save(file)

    def write_scalars() -> None:
        np.savez(file, thetas=1.0, nus=1.0, statistics=1.0, null_statistics=1.0, seed=1)

    def write_text() -> None:
        file.write_text("mu,q\n1,2\n")

    writers = (write_pickle, write_objects, write_array, write_other, write_scalars, write_text)
    for write in (*writers, file.touch):
        file.unlink(missing_ok=True)
        write()
        with pytest.raises(FileFormatError, match="is no confidence belt"):
            load_belt(file)
        with pytest.raises(FileFormatError, match="is no confidence belt"):
            limits(counting(5), belt=file)
    assert not executed.exists()


# --- executors


def with_executor(likelihood: Likelihood, executor: Executor | None, file: Path) -> ToyLimits:
    return limits(likelihood, executor=executor, belt=file, theta_null=[1.0])


def test_threads_give_the_same_numbers(with_norm: MakeLikelihood, tmp_path: Path) -> None:
    alone = with_executor(with_norm(26), None, tmp_path / "alone.npz")
    with ThreadPoolExecutor(3) as executor:
        together = with_executor(with_norm(26), executor, tmp_path / "together.npz")
    assert_same(together.belt, alone.belt)
    assert_same(load_belt(tmp_path / "together.npz"), alone.belt)


@pytest.mark.slow
def test_processes_give_the_same_numbers(with_norm: MakeLikelihood, tmp_path: Path) -> None:
    alone = with_executor(with_norm(26), None, tmp_path / "alone.npz")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        together = with_executor(with_norm(26), executor, tmp_path / "together.npz")
    assert_same(together.belt, alone.belt)
    assert_same(load_belt(tmp_path / "together.npz"), alone.belt)


def test_every_point_has_its_own_seed(counting: MakeLikelihood) -> None:
    """The same point twice has independent experiments, another seed others again."""
    grid = np.array([[3.0], [3.0]])
    statistics = [
        limits(counting(5), grid, seed=seed, n_toys=200).belt.statistics for seed in (1, 2)
    ]
    assert np.any(statistics[0][0] != statistics[0][1])
    assert np.any(statistics[0][0] != statistics[1][0])


# --- near the contours only


def test_points_far_from_contours_have_no_experiments(
    counting: MakeLikelihood, calls: Calls
) -> None:
    grid = regular_grid([(0.0, 40.0)], 81)
    options = {"n_toys": 400, "confidence_levels": [0.68, 0.95]}
    near = limits(counting(5), grid, **options)
    done = near.belt.is_done
    assert sorted(calls) == list(grid[done, 0])
    assert np.all(near.q[~done & (grid[:, 0] > 10.0)] > 5.0)
    assert 10 < np.count_nonzero(done) < 40
    np.testing.assert_array_equal(np.isnan(near.p_values), ~done)
    every = limits(counting(5), grid, n_toys=400)
    np.testing.assert_array_equal(near.p_values[done], every.p_values[done])
    for level in (0.68, 0.95):
        np.testing.assert_array_equal(near.inside(level), every.inside(level))
        critical, _ = near.belt.critical_values(level)
        rough, _ = near.belt.critical_values(level, smooth=False)
        assert np.all(critical[~done] >= np.nanmin(rough))
        assert np.all(critical[~done] <= np.nanmax(rough))


def test_contours_of_two_parameters(binned: MakeLikelihood) -> None:
    """Points within a ring of experiments are inside, those far outside of it are not."""
    grid = regular_grid([(0.0, 4.0), (0.0, 4.0)], 9)
    data = binned([24.0, 12.0, 12.0], 2)
    options = {"n_toys": 80, "ranges": None}
    near = limits(data, grid, confidence_levels=[0.68], **options)
    every = limits(data, grid, **options)
    done = near.belt.is_done
    assert 6 < np.count_nonzero(done) < 40
    assert np.any(every.inside(0.68) & ~done)
    np.testing.assert_array_equal(near.inside(0.68), every.inside(0.68))


@pytest.mark.parametrize("n_points", [7, 9, 11])
def test_coarse_grids_keep_the_best_point(counting: MakeLikelihood, n_points: int) -> None:
    """Too few points near the contour for critical values elsewhere: those of Wilks decide."""
    grid = regular_grid([(0.0, 20.0)], n_points)
    near = limits(counting(5), grid, confidence_levels=[0.68], n_toys=400)
    every = limits(counting(5), grid, n_toys=400)
    assert np.count_nonzero(near.belt.is_done) < 3
    assert near.inside(0.68)[np.argmin(near.q)]
    np.testing.assert_array_equal(near.inside(0.68), every.inside(0.68))


def test_a_second_level_continues(counting: MakeLikelihood, tmp_path: Path, calls: Calls) -> None:
    """Points done for one contour are not done again for the other."""
    grid, file = regular_grid([(0.0, 20.0)], 41), tmp_path / "belt.npz"
    first = limits(counting(5), grid, confidence_levels=[0.95], belt=file).belt
    second = limits(counting(5), grid, confidence_levels=[0.68], belt=file).belt
    assert len(calls) == len(set(calls)) == np.count_nonzero(second.is_done)
    assert np.count_nonzero(second.is_done) > np.count_nonzero(first.is_done)


# --- errors of what is given


@pytest.mark.parametrize(
    ("thetas", "error"),
    [
        ([0.0, 1.0], ShapeError),
        ([[0.0, 1.0]], ShapeError),
        (np.empty((0, 1)), ShapeError),
        ("ab", ShapeError),
        ([[np.nan]], DataError),
        ([[np.inf]], DataError),
    ],
    ids=str,
)
def test_wrong_grids_are_refused(
    counting: MakeLikelihood, thetas: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match="thetas"):
        toy_limits(counting(5), thetas, n_toys=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_toys": 1}, "n_toys"),
        ({"n_toys": 2.0}, "n_toys"),
        ({"n_toys": True}, "n_toys"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"ranges": [(1.0, 0.0)]}, "ranges"),
        ({"ranges": [(0.0, 1.0)] * 2}, "ranges"),
        ({"ranges": "ab"}, "ranges"),
        ({"ranges": [(50.0, 60.0)]}, "No point of the grid"),
        ({"confidence_levels": 0.68}, "confidence_levels"),
        ({"confidence_levels": []}, "confidence_levels"),
        ({"confidence_levels": [1.0]}, "confidence_levels"),
        ({"confidence_levels": [0.68, 0.0]}, "confidence_levels"),
        ({"confidence_levels": [68.0]}, "confidence_levels"),
        ({"confidence_levels": ["0.68"]}, "confidence_levels"),
        ({"belt": 3}, "belt"),
        ({"belt": b"belt.npz"}, "belt"),
        ({"executor": 2}, "executor"),
        ({"theta_null": [0.0, 1.0]}, "theta_null"),
        ({"theta_null": [[0.0], [1.0]]}, "theta_null"),
        ({"theta_null": [np.nan]}, "theta_null"),
        ({"theta_null": "sm"}, "theta_null"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(
    counting: MakeLikelihood, calls: Calls, options: dict[str, object], message: str
) -> None:
    with pytest.raises((OptionError, ShapeError), match=message):
        limits(counting(5), **options)
    assert not calls


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, 68.0, np.nan, "0.68", None, True])
def test_wrong_levels_are_refused(counting: MakeLikelihood, level: object) -> None:
    found = limits(counting(5), GRID[:1], n_toys=2)
    with pytest.raises(OptionError, match="confidence_level"):
        found.belt.critical_values(level)
    with pytest.raises(OptionError, match="confidence_level"):
        found.inside(level)


def test_wrong_q_is_refused(counting: MakeLikelihood) -> None:
    belt = limits(counting(5), theta_null=0.0).belt
    for method in (belt.p_values, belt.cls):
        for wrong in (np.zeros(5), np.zeros((6, 1)), 1.0, "abcdef"):
            with pytest.raises(ShapeError, match="q must"):
                method(wrong)
        with pytest.raises(DataError, match="q must not be NaN"):
            method([0.0, 1.0, np.nan, 0.0, 0.0, 0.0])


def test_cls_needs_a_null_hypothesis(counting: MakeLikelihood) -> None:
    with pytest.raises(OptionError, match="theta_null"):
        limits(counting(5)).belt.cls(np.zeros(6))


def test_no_event_is_possible(analysis: Callable[..., HistoLikelihood]) -> None:
    likelihood = analysis([[0.0, 1.0], [0.0, 2.0]]).create_negative_log_likelihood(
        [[0.5]], ["k"], hist_bins=[[0.0, 1.0, 2.0]], mode="histo", luminosity=1.0
    )
    with pytest.raises(NoEventsError, match="No bin expects an event"):
        limits(likelihood)


# --- properties of belts


def test_p_values_of_a_belt_by_hand() -> None:
    """Equal values count as above; the error of no event above is that of about one."""
    statistics = np.array([[0.0, 1.0, 2.0, 3.0], [np.nan] * 4])
    belt = ConfidenceBelt(np.zeros((2, 1)), np.zeros((2, 0)), statistics, None, 0, np.zeros(1))
    for q, share in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.75), (3.0, 0.25), (3.1, 0.0), (np.inf, 0.0)):
        p, errors = belt.p_values([q, q])
        np.testing.assert_array_equal(p, [share, np.nan])
        within = np.clip(share, 1.0 / 6.0, 5.0 / 6.0)
        assert errors[0] == pytest.approx(np.sqrt(within * (1.0 - within) / 4.0))
        assert errors[0] > 0.0


def test_statistics_are_sorted_and_not_negative(binned: MakeLikelihood) -> None:
    belt = limits(binned([5.0, 8.0, 6.0]), theta_null=[0.0]).belt
    for statistics in (belt.statistics, belt.null_statistics):
        assert np.all(np.diff(statistics, axis=1) >= 0.0)
        assert np.all(statistics >= 0.0)


def test_errors_of_critical_values(binned: MakeLikelihood) -> None:
    """Of many belts the quantiles scatter as much as one of them says."""
    data, point = binned([5.0, 8.0, 6.0]), np.array([[1.0]])
    found = [limits(data, point, seed=seed, n_toys=200).belt for seed in range(40)]
    pairs = [belt.critical_values(0.68, smooth=False) for belt in found]
    values, errors = np.array(pairs)[:, :, 0].T
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.4)


def test_p_values_do_not_depend_on_the_number_of_experiments(counting: MakeLikelihood) -> None:
    """More experiments narrow down the same p-value."""
    exact = share_above(3.0, 4)
    for n_toys in (100, 1000, 10_000):
        found = limits(counting(4), np.array([[3.0]]), n_toys=n_toys)
        above = round(found.p_values[0] * n_toys)
        assert 1e-3 < binom.cdf(above, n_toys, exact) < 1.0 - 1e-3 or above == n_toys * exact
