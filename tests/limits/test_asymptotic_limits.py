"""AsymptoticLimits: what it returns, and what its options do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from madminer.io import EventFile, Events, write_events
from madminer.likelihood.histograms import Binning, DensityHistogram
from madminer.limits import AsymptoticLimits, regular_grid
from madminer.stats import log_poisson, p_values_from_log_r

L = 50.0
ORIGIN = [0.0, 0.0]
RANGES = [(-0.4, 0.4), (-0.2, 0.2)]
GRID = regular_grid(RANGES, 3)
MakeFile = Callable[..., Path]
MODES = ("rate", "ml", "histo", "sally", "adaptive-sally", "sallino")


@pytest.fixture(scope="module")
def limits(latent_event_file: MakeFile) -> AsymptoticLimits:
    return AsymptoticLimits(latent_event_file())


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(40, 3))


@pytest.fixture(scope="module")
def options(
    exact_score: Callable[..., Any], exact_ratio: Callable[..., Any]
) -> Callable[[str], dict[str, Any]]:
    """What each mode needs."""

    def needed(mode: str) -> dict[str, Any]:
        model = {"ml": exact_ratio(), "rate": None, "histo": None}.get(mode, exact_score(ORIGIN))
        grid = {"grid_ranges": RANGES, "grid_resolutions": 3, "luminosity": L}
        return {**grid, "model_file": model, "hist_vars": ["x0"] if mode == "histo" else None}

    return needed


@pytest.mark.parametrize("mode", MODES)
def test_result_unpacks_as_documented(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]], mode: str
) -> None:
    for result in (
        limits.observed_limits(mode, x, **options(mode)),  # type: ignore[arg-type]
        limits.expected_limits(mode, ORIGIN, **options(mode)),  # type: ignore[arg-type]
    ):
        theta_grid, p_values, best, llr_kin, log_p_rate, histos = result
        np.testing.assert_array_equal(theta_grid, GRID)
        log_r = llr_kin + log_p_rate - np.max(llr_kin + log_p_rate)
        np.testing.assert_allclose(result.log_r, log_r)
        np.testing.assert_allclose(p_values, stats.chi2.sf(-2.0 * log_r, 2))
        assert (best, result.best_fit, result.dof, len(result)) == (np.argmax(log_r),) * 2 + (2, 6)
        named = (result.theta_grid, result.p_values, result.llr_kin, result.log_p_rate)
        for by_name, by_place in zip(
            named, (theta_grid, p_values, llr_kin, log_p_rate), strict=True
        ):
            assert by_name is by_place
        np.testing.assert_allclose(
            log_p_rate, log_poisson(result.n_observed, L * limits.xsecs(list(GRID))[0])
        )
        if mode in {"rate", "ml"}:
            assert histos is None
        else:
            assert len(histos) == len(GRID)
        if mode == "rate":
            np.testing.assert_array_equal(llr_kin, np.zeros(9))


def test_learned_likelihood_is_the_sum_over_events(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    observed = limits.observed_limits("ml", x, **options("ml"))
    ratio = (1.0 + GRID @ x[:, :2].T) ** 2 / (1.0 + np.sum(GRID**2, axis=1))[:, np.newaxis]
    np.testing.assert_allclose(observed.llr_kin, np.log(ratio).sum(axis=1))
    half = limits.observed_limits("ml", x, n_observed=20.5, **options("ml"))
    assert (observed.n_observed, half.n_observed) == (40.0, pytest.approx(20.5))
    np.testing.assert_allclose(half.llr_kin, observed.llr_kin * 20.5 / 40.0)
    sigma = limits.xsecs(list(GRID))[0]
    np.testing.assert_allclose(half.log_p_rate, log_poisson(20.5, L * sigma))


def test_grids(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    given = options("histo") | {"hist_bins": [-1.0, 0.0, 1.0]}
    for numbers in (4, [4, 4], (4, 4), np.array([4, 4])):
        result = limits.observed_limits("histo", x, **given | {"grid_resolutions": numbers})
        np.testing.assert_array_equal(result.theta_grid, regular_grid(RANGES, 4))
    uneven = limits.observed_limits("histo", x, **given | {"grid_resolutions": [3, 5]})
    assert len(uneven.theta_grid) == 15
    points = uneven.theta_grid[[7, 2, 11]]
    del given["grid_ranges"], given["grid_resolutions"]
    chosen = limits.observed_limits("histo", x, **given, thetas_eval=points)
    np.testing.assert_array_equal(chosen.theta_grid, points)
    np.testing.assert_allclose(chosen.llr_kin, uneven.llr_kin[[7, 2, 11]])
    listed = limits.observed_limits("histo", x, **given, thetas_eval=points.tolist())
    np.testing.assert_array_equal(listed.p_values, chosen.p_values)


@pytest.mark.parametrize("mode", MODES[1:])
def test_without_rate(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]], mode: str
) -> None:
    both = limits.observed_limits(mode, x, **options(mode))  # type: ignore[arg-type]
    shape = limits.observed_limits(mode, x, include_xsec=False, **options(mode))  # type: ignore[arg-type]
    np.testing.assert_array_equal(shape.log_p_rate, np.zeros(9))
    np.testing.assert_array_equal(shape.llr_kin, both.llr_kin)
    np.testing.assert_allclose(shape.log_r, shape.llr_kin - shape.llr_kin.max())


def test_degrees_of_freedom(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    result = limits.observed_limits("rate", x, dof=1, **options("rate"))
    np.testing.assert_allclose(result.p_values, stats.chi2.sf(-2.0 * result.log_r, 1))
    assert result.dof == 1
    log_r = [-0.5, -2.0]
    np.testing.assert_allclose(limits.asymptotic_p_value(log_r), stats.chi2.sf([1.0, 4.0], 2))
    np.testing.assert_allclose(limits.asymptotic_p_value(log_r, 3), stats.chi2.sf([1.0, 4.0], 3))
    np.testing.assert_allclose(
        AsymptoticLimits().asymptotic_p_value(log_r, dof=1), p_values_from_log_r(log_r, 1)
    )
    assert "AsymptoticLimits" in repr(AsymptoticLimits())
    assert "AsymptoticLimits" in AsymptoticLimits()._repr_html_()


@pytest.mark.parametrize("mode", MODES[2:])
def test_returned_data(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]], mode: str
) -> None:
    n_statistics = {"histo": 1, "sallino": 1}.get(mode, 2)
    observed = limits.observed_limits(mode, x, return_observed=True, **options(mode))  # type: ignore[arg-type]
    histos, statistics, weights = observed.histos
    assert (len(histos), statistics.shape) == (9, (9, 40, n_statistics))
    np.testing.assert_array_equal(weights, np.ones(40))
    if mode == "histo":
        np.testing.assert_array_equal(statistics[3, :, 0], x[:, 2])
    if mode == "sallino":
        along = GRID[0] / np.linalg.norm(GRID[0])
        np.testing.assert_allclose(statistics[0, :, 0], 2.0 * x[:, :2] @ along)
        np.testing.assert_allclose(statistics[4, :, 0], 2.0 * x[:, 0])  # no direction at zero
    few = limits.observed_limits(mode, x, return_observed=7, return_histos=False, **options(mode))  # type: ignore[arg-type]
    assert few.histos[0] is None  # the data come without histograms too
    np.testing.assert_array_equal(few.histos[1], statistics[:, :7])
    np.testing.assert_array_equal(few.histos[2], weights[:7])
    np.testing.assert_array_equal(few.llr_kin, observed.llr_kin)
    none = limits.observed_limits(mode, x, return_histos=False, **options(mode))  # type: ignore[arg-type]
    assert none.histos is None
    asimov = limits.expected_limits(mode, ORIGIN, return_asimov=True, **options(mode))  # type: ignore[arg-type]
    assert asimov.histos[1].shape == (9, 120, n_statistics)
    assert asimov.histos[2].sum() == pytest.approx(asimov.n_observed)
    few = limits.expected_limits(mode, ORIGIN, return_asimov=5, **options(mode))  # type: ignore[arg-type]
    np.testing.assert_array_equal(few.histos[1], asimov.histos[1][:, :5])


def of_histograms(histograms: list[DensityHistogram], statistics: np.ndarray) -> np.ndarray:
    """Log likelihoods of events, one each, from the histograms that are returned."""
    values = []
    for histogram, events in zip(histograms, statistics, strict=True):
        cells = Binning(histogram.edges).cells(events)
        values.append(np.log(histogram.histo.reshape(-1)[cells]).sum())
    return np.array(values)


@pytest.mark.parametrize("mode", MODES[2:])
@pytest.mark.parametrize("is_weighted", [True, False])
def test_histograms_are_those_of_the_likelihood(
    limits: AsymptoticLimits,
    x: np.ndarray,
    options: Callable[[str], dict[str, Any]],
    mode: str,
    is_weighted: bool,
) -> None:
    result = limits.observed_limits(
        mode,  # type: ignore[arg-type]
        x,
        return_observed=True,
        weighted_histo=is_weighted,
        seed=4,
        **options(mode),
    )
    histos, statistics, _ = result.histos
    for histogram in histos:
        volumes = Binning(histogram.edges).volumes.reshape(histogram.histo.shape)
        assert (histogram.histo * volumes).sum() == pytest.approx(1.0)
        assert histogram.values().sum() == pytest.approx(1.0)
        assert histogram.histo.shape == tuple(len(e) - 1 for e in histogram.edges)
    if mode in {"histo", "sally"}:  # else the density at thetaref is divided out
        np.testing.assert_allclose(of_histograms(histos, statistics), result.llr_kin)


def test_histograms_can_be_plotted(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    mplhep = pytest.importorskip("mplhep")
    one = limits.observed_limits("histo", x, **options("histo")).histograms
    two = limits.observed_limits("sally", x, **options("sally")).histograms
    assert one is not None
    assert two is not None
    figure, axes = plt.subplots(1, 2)
    mplhep.histplot(one[0], ax=axes[0])
    mplhep.hist2dplot(two[0], ax=axes[1])
    drawn = axes[0].patches[0].get_data()
    np.testing.assert_allclose(drawn.values, one[0].values())
    np.testing.assert_allclose(drawn.edges, one[0].edges[0])
    plt.close(figure)


@pytest.mark.parametrize("mode", ["histo", "adaptive-sally", "sallino"])
def test_drawn_histograms_converge(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]], mode: str
) -> None:
    bins = {"hist_bins": [4, 2] if mode == "adaptive-sally" else 5}
    weighted = limits.observed_limits(mode, x, **bins, **options(mode))  # type: ignore[arg-type]
    spread = []
    for n in (1_000, 100_000, 10_000_000):
        drawn = limits.observed_limits(
            mode,  # type: ignore[arg-type]
            x,
            weighted_histo=False,
            n_histo_toys=n,
            seed=1,
            **bins,
            **options(mode),
        )
        spread.append(np.std(drawn.llr_kin - weighted.llr_kin))
        assert drawn.log_r_errors is None
    assert spread[2] < 0.3 * spread[1] < 0.09 * spread[0]  # as the square root, 0.1
    assert spread[2] < 0.02


def test_few_events_are_drawn_from_all(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    """Contents of bins are multinomial: drawing does not first drop events."""
    edges = {"hist_bins": [-9.0, 0.0, 9.0], "thetas_eval": [ORIGIN]}
    below = limits.observed_limits("histo", x, **edges, **options("histo")).histograms
    assert below is not None
    share = below[0].values()[0]
    drawn = []
    for seed in range(300):
        result = limits.observed_limits(
            "histo",
            x,
            weighted_histo=False,
            n_histo_toys=100,
            seed=seed,
            **edges,
            **options("histo"),
        )
        assert result.histograms is not None
        drawn.append(result.histograms[0].values()[0])
    assert np.mean(drawn) == pytest.approx(share, abs=0.01)
    assert np.std(drawn) == pytest.approx(np.sqrt(share * (1.0 - share) / 100), rel=0.12)


def test_number_of_histogrammed_events(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]]
) -> None:
    def llr(n: int | None, seed: int = 0) -> np.ndarray:
        result = limits.observed_limits(
            "histo", x, n_histo_toys=n, seed=seed, hist_bins=5, **options("histo")
        )
        return result.llr_kin

    np.testing.assert_array_equal(llr(None), llr(480))
    np.testing.assert_array_equal(llr(100), llr(100))
    assert np.abs(llr(100) - llr(100, seed=1)).max() > 0.1
    batches = limits.observed_limits(
        "histo", x, hist_bins=5, histo_theta_batchsize=2, **options("histo")
    )
    np.testing.assert_array_equal(batches.llr_kin, llr(None))


def test_parts_of_the_file(
    limits: AsymptoticLimits, options: Callable[[str], dict[str, Any]]
) -> None:
    """Asimov events are the last of the file, histograms hold the rest; None: all are both."""
    events = limits.event_file.read()
    for fraction, first in ((0.25, 450), (0.2, 480), (None, 0)):
        result = limits.expected_limits(
            "histo", "b1", test_split=fraction, return_asimov=True, **options("histo")
        )
        histos, statistics, weights = result.histos
        np.testing.assert_array_equal(statistics[0, :, 0], events.x[first:, 2])
        np.testing.assert_allclose(
            weights / weights.sum(), events.weights[first:, 1] / events.weights[first:, 1].sum()
        )
        assert result.n_observed == pytest.approx(L * events.weights[:, 1].sum())
        inside = events.x[: first or 600, 2] <= histos[4].edges[0][3]
        w = events.weights[: first or 600, 0]  # at theta = 0, the centre of the grid
        assert histos[4].values()[:3].sum() == pytest.approx(w[inside].sum() / w.sum())
    few = limits.expected_limits("histo", "b1", n_asimov=50, return_asimov=True, **options("histo"))
    np.testing.assert_array_equal(few.histos[1][0, :, 0], events.x[480:530, 2])
    assert few.histos[2].sum() == pytest.approx(few.n_observed)
    assert few.n_observed == pytest.approx(L * events.weights[:, 1].sum())


def test_events_of_the_closest_benchmark(toy_event_file: MakeFile) -> None:
    limits = AsymptoticLimits(toy_event_file(1000))
    kept = {}
    for close in (True, False):
        result = limits.expected_limits(
            "histo",
            [0.25, -1.3],  # closest to benchmark 3
            grid_ranges=[(0.1, 0.4), (-1.4, -1.2)],
            grid_resolutions=3,
            hist_vars=["k1"],
            test_split=0.3,
            sample_only_from_closest_benchmark=close,
            return_asimov=True,
        )
        kept[close] = result.histos[1][0, :, 0]
    events = limits.event_file.read(700)
    assert events.sampling_benchmarks is not None
    is_close = np.isin(events.sampling_benchmarks, [-1, 3])
    np.testing.assert_array_equal(kept[True], events.x[is_close, 1])
    np.testing.assert_array_equal(kept[False], events.x[:, 1])


def test_events_without_statistics_count_nowhere(
    limits: AsymptoticLimits,
    x: np.ndarray,
    options: Callable[[str], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = options("histo") | {"hist_bins": 4, "hist_vars": ["log(x0)"]}
    result = limits.observed_limits("histo", x, return_observed=True, **given)
    positive = x[:, 2] > 0.0
    same = limits.observed_limits(
        "histo", x[positive], n_observed=float(positive.sum()), return_observed=True, **given
    )
    np.testing.assert_allclose(result.llr_kin, same.llr_kin)
    assert result.n_observed == 40.0  # they are events nevertheless
    assert f"{40 - positive.sum()} of 40 data events have no finite value" in caplog.text
    np.testing.assert_array_equal(result.histos[2], positive)


@pytest.mark.parametrize("mode", ["histo", "sallino"])
def test_undefined_after_postprocessing_counts_nowhere(
    limits: AsymptoticLimits, x: np.ndarray, options: Callable[[str], dict[str, Any]], mode: str
) -> None:
    """An event whose statistic is undefined at one point counts at none."""

    def cut(values: np.ndarray) -> np.ndarray:
        return np.where(values > 1.5, np.nan, values)

    bins = {"hist_bins": [-9.0, -1.0, 0.0, 9.0]}
    found = limits.observed_limits(
        mode,  # type: ignore[arg-type]
        x,
        postprocessing=cut,
        **bins,
        **options(mode),
    )
    values = limits.observed_limits(mode, x, return_observed=True, **bins, **options(mode)).histos[
        1
    ]  # type: ignore[arg-type]
    used = (values <= 1.5).all(axis=(0, 2))
    assert 0 < used.sum() < 40
    few = limits.observed_limits(
        mode,  # type: ignore[arg-type]
        x[used],
        postprocessing=cut,
        **bins,
        **options(mode),
    )
    np.testing.assert_allclose(found.llr_kin, few.llr_kin)


def test_no_observed_event_is_an_observation(
    limits: AsymptoticLimits, options: Callable[[str], dict[str, Any]]
) -> None:
    none = np.empty((0, 3))
    for mode in MODES:
        result = limits.observed_limits(mode, none, **options(mode))  # type: ignore[arg-type]
        np.testing.assert_array_equal(result.llr_kin, np.zeros(9))
        np.testing.assert_allclose(result.log_p_rate, -L * limits.xsecs(list(GRID))[0])


def test_expected_limits_of_the_truth_shape(
    limits: AsymptoticLimits, options: Callable[[str], dict[str, Any]]
) -> None:
    """The more is known of an event, the larger the average log ratio: same Asimov data."""
    given: dict[str, Any] = {"test_split": None, "include_xsec": False}
    log_r = {
        mode: limits.expected_limits(mode, ORIGIN, **given, **options(mode)).log_r  # type: ignore[arg-type]
        for mode in ("truth", "sally", "histo")
    }
    assert np.all(log_r["truth"] <= log_r["sally"])
    assert np.all(log_r["truth"] <= log_r["histo"])
    assert log_r["histo"][4] == 0.0  # the truth fits its own Asimov data best


def test_order_of_events_does_not_matter(latent_event_file: MakeFile, tmp_path: Path) -> None:
    """Limits do not depend on the order of events within the parts of the file."""
    path = latent_event_file()
    file = EventFile(path)
    events = file.read()
    order = np.concatenate([np.random.default_rng(1).permutation(480), np.arange(480, 600)])
    assert events.sampling_benchmarks is not None
    shuffled = Events(events.x[order], events.weights[order], events.sampling_benchmarks)
    write_events(tmp_path / "shuffled.h5", file.setup, shuffled, file.summary)
    results = [
        AsymptoticLimits(name).expected_limits(
            "histo", ORIGIN, thetas_eval=GRID, hist_vars=["x0"], luminosity=L
        )
        for name in (path, tmp_path / "shuffled.h5")
    ]
    np.testing.assert_allclose(results[0].p_values, results[1].p_values)
