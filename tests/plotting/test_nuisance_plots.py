"""Bands from nuisance parameters, against loops over toys and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from madminer.analysis import DataAnalyzer
from madminer.errors import NoEventsError, OptionError, SetupError, UnknownNameError
from madminer.io import EventFile, Events, write_events
from madminer.models import Benchmark, NuisanceParameter
from madminer.plotting import plot_distributions, plot_systematics, plot_uncertainty
from madminer.plotting.uncertainties import (
    BAND_68,
    BAND_95,
    FACTOR_RANGE,
    ratios,
    toy_histograms,
    toy_nus,
    unit_area,
)
from madminer.typing import FloatArray

THETA = np.array([0.3, -0.2])
OPTIONS = {"theta": "sm", "observable": "k5", "obs_label": "$k_5$", "obs_range": (0.0, 0.0008)}


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


@pytest.fixture(scope="module")
def path(nuisance_event_file: Callable[..., Path]) -> Path:
    return nuisance_event_file(1500)


@pytest.fixture(scope="module")
def varying_path(nuisance_event_file: Callable[..., Path]) -> Path:
    return nuisance_event_file(1500, varying=True, negative_share=0.2)


@pytest.fixture(scope="module")
def norm_path(
    toy_event_file: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Toy events with a norm systematic of 10 % and one that multiplies single events by 1e4."""
    file = EventFile(toy_event_file(1500))
    events, setup = file.read(), file.setup
    reference = events.weights[:, 0]
    setup = replace(
        setup,
        benchmarks={
            **setup.benchmarks,
            **{name: Benchmark(name, {}, is_nuisance=True) for name in ("up", "wild_up")},
        },
        nuisance_parameters={
            "n": NuisanceParameter("n", "lumi", "up"),
            "wild": NuisanceParameter("wild", "wild", "wild_up"),
        },
    )
    wild = np.where(np.arange(len(reference)) % 100 == 0, 1e4, 1.0)
    weights = np.column_stack([events.weights, 1.1 * reference, wild * reference])
    path = tmp_path_factory.mktemp("norm") / "norm.h5"
    write_events(path, setup, Events(events.x, weights, events.sampling_benchmarks), file.summary)
    return path


def loop_over_toys(
    path: Path, theta: object, nus: FloatArray, column: int, edges: FloatArray
) -> FloatArray:
    """One pass over the events per toy, the factor on each event clipped."""
    analyzer = DataAnalyzer(path)
    x, nominal = analyzer.weighted_events(theta)  # type: ignore[arg-type]
    histograms = []
    for nu in nus:
        factors = analyzer.weighted_events(theta, nu)[1] / nominal  # type: ignore[arg-type]
        weights = nominal * np.clip(factors, *FACTOR_RANGE)
        histograms.append(np.histogram(x[:, column], edges, weights=weights)[0])
    return np.array(histograms)


def steps(axes: Axes) -> list[tuple[FloatArray, FloatArray, FloatArray | None]]:
    return [patch.get_data() for patch in axes.patches]  # type: ignore[attr-defined]


def bands(axes: Axes) -> list[tuple[FloatArray, FloatArray]]:
    """Lower and upper ends of the filled bands."""
    return [(low, high) for high, _, low in steps(axes) if low is not None]


@pytest.mark.parametrize("which", ["path", "varying_path"])
def test_toy_histograms_are_those_of_a_loop_over_toys(
    which: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    analyzer = DataAnalyzer(path)
    nus = toy_nus(7, 2, seed=3)
    edges = [np.linspace(-0.002, 0.002, 9), np.linspace(0.0, 0.004, 9)]
    found = toy_histograms(
        analyzer, analyzer.event_loader(batch_size=400), ["w1", THETA], nus, [1, 2], edges
    )
    assert found.shape == (2, 2, 7, 8)
    for t, theta in enumerate(["w1", THETA]):
        for k, column in enumerate([1, 2]):
            expected = loop_over_toys(path, theta, nus, column, edges[k])
            np.testing.assert_allclose(found[t, k], expected, rtol=1e-9, atol=1e-15)


def test_values_on_edges_are_binned_as_by_numpy(path: Path) -> None:
    analyzer = DataAnalyzer(path)
    values = np.array([0.0, 1.0, 2.0, 3.0, -0.1, 3.1, 2.0])
    x = np.zeros((7, analyzer.n_observables))
    x[:, 0] = values
    weights = np.ones((7, analyzer.n_benchmarks))
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    found = toy_histograms(analyzer, [(x, weights)], ["sm"], np.zeros((1, 2)), [0], [edges])
    np.testing.assert_allclose(found[0, 0, 0], np.histogram(values, edges)[0])


def test_factors_on_events_are_clipped(norm_path: Path) -> None:
    analyzer = DataAnalyzer(norm_path)
    x, weights = analyzer.weighted_events("sm")
    edges = np.array([x[:, 0].min(), x[:, 0].max()])
    nus = np.array([[0.0, 1.0], [0.0, -1.0]])
    found = toy_histograms(analyzer, analyzer.event_loader(), ["sm"], nus, [0], [edges])
    is_wild = np.arange(len(x)) % 100 == 0
    for total, limit in zip(found[0, 0, :, 0], FACTOR_RANGE[::-1], strict=True):
        assert total == pytest.approx(np.sum(weights * np.where(is_wild, limit, 1.0)))


def test_area_and_ratios() -> None:
    edges = np.array([0.0, 1.0, 3.0])
    histograms = np.array([[2.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(unit_area(histograms, edges) @ np.diff(edges), 1.0)
    np.testing.assert_array_equal(
        ratios(histograms, histograms[1:]), [[np.nan, 4.0], [np.nan, 1.0]]
    )


def test_a_norm_systematic_changes_the_rate_and_not_the_shape(norm_path: Path) -> None:
    figure = plot_uncertainty(norm_path, **OPTIONS, n_bins=6, systematics=["lumi"], seed=5)  # type: ignore[arg-type]
    factors = 1.1 ** toy_nus(100, 2, np.random.default_rng(5))[:, 0]
    rate, shape, rate_ratio, shape_ratio = figure.axes
    nominal = steps(rate)[-1][0]
    for quantiles, (low, high), (low_ratio, high_ratio) in zip(
        (BAND_95, BAND_68), bands(rate), bands(rate_ratio), strict=True
    ):
        ends = np.quantile(factors, quantiles)
        np.testing.assert_allclose([low, high], np.outer(ends, nominal))
        np.testing.assert_allclose([low_ratio, high_ratio], np.outer(ends, np.ones(6)))
    line = steps(shape)[-1][0]
    for low, high in bands(shape):
        np.testing.assert_allclose([low, high], [line, line])
    for low, high in bands(shape_ratio):
        np.testing.assert_allclose([low, high], 1.0)


def test_uncertainty_bands_are_those_of_a_loop_over_toys(varying_path: Path) -> None:
    figure = plot_uncertainty(
        varying_path, THETA, "k2", "$k_2$", (0.0, 0.003), n_bins=4, n_toys=30, seed=2
    )
    nus = toy_nus(30, 2, np.random.default_rng(2))
    edges = np.linspace(0.0, 0.003, 5)
    toys = loop_over_toys(varying_path, THETA, nus, 2, edges)
    ((low, high), _) = bands(figure.axes[0])
    np.testing.assert_allclose([low, high], np.quantile(toys, BAND_95, axis=0))
    ((low, high), _) = bands(figure.axes[1])
    np.testing.assert_allclose([low, high], np.quantile(unit_area(toys, edges), BAND_95, axis=0))


def test_bands_contain_the_nominal_histogram(path: Path) -> None:
    for figure in (
        plot_uncertainty(path, **OPTIONS, n_bins=5, seed=1),  # type: ignore[arg-type]
        plot_systematics(path, **OPTIONS, n_bins=5, seed=1),  # type: ignore[arg-type]
    ):
        rate = figure.axes[0]
        line = steps(rate)[-1][0]
        for low, high in bands(rate):
            assert np.all((low < line) & (line < high))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_figures_say_what_they_show(path: Path) -> None:
    figure = plot_uncertainty(path, **OPTIONS, n_bins=5, n_toys=10, ratio_range=(0.5, 1.5))  # type: ignore[arg-type]
    assert texts(figure) == ["nominal", "68 %", "95 %"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "$k_5$", "$k_5$"]
    assert figure.axes[2].get_ylim() == (0.5, 1.5)
    figure = plot_systematics(
        path,
        **OPTIONS,  # type: ignore[arg-type]
        n_bins=5,
        n_toys=10,
        bandcolors=["red", "blue"],
        band_alpha=0.4,
    )
    assert texts(figure) == ["nominal", "lumi", "scale", "combined"]
    assert len(bands(figure.axes[0])) == 3
    fills = [p for p in figure.axes[0].patches if p.get_data().baseline is not None]  # type: ignore[attr-defined]
    assert {patch.get_alpha() for patch in fills} == {0.4}


def test_combined_is_wider_than_each_systematic(path: Path) -> None:
    figure = plot_systematics(path, **OPTIONS, n_bins=3, n_toys=2000, seed=1)  # type: ignore[arg-type]
    combined, scale, lumi = (high - low for low, high in bands(figure.axes[0]))
    assert np.all(combined > np.maximum(lumi, scale))
    np.testing.assert_allclose(combined, np.hypot(lumi, scale), rtol=0.1)


def test_some_events_are_scaled_to_the_cross_section(path: Path) -> None:
    options = {**OPTIONS, "obs_range": (-1.0, 1.0), "n_bins": 1, "n_toys": 5, "seed": 3}
    lines = [
        steps(plot_uncertainty(path, n_events=n, **options).axes[0])[-1][0]  # type: ignore[arg-type]
        for n in (None, 200)
    ]
    np.testing.assert_allclose(lines[0], lines[1])


def test_same_seed_same_figure(path: Path) -> None:
    drawn = [
        bands(plot_systematics(path, **OPTIONS, n_bins=3, n_events=500, seed=s).axes[0])  # type: ignore[arg-type]
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_distributions_have_bands_and_toys(path: Path) -> None:
    figure = plot_distributions(
        path,
        ["k3", "k5"],
        ["sm", THETA],
        nuisance_parameters=[1],
        draw_nuisance_toys=4,
        n_bins=5,
        n_toys=20,
        toy_linewidths=[0.3, 0.4],
        toy_alpha=0.6,
        sample_only_from_closest_benchmark=False,
        seed=8,
    )
    nus = toy_nus(20, 2, seed=8) * [0.0, 1.0]
    for axes, column in zip(figure.axes, (3, 5), strict=True):
        drawn = steps(axes)
        assert len(drawn) == 2 * (1 + 1 + 4)
        edges = drawn[0][1]
        for i, theta in enumerate(["sm", THETA]):
            toys = loop_over_toys(path, theta, nus, column, edges)
            ends = np.quantile(toys, BAND_68, axis=0)
            np.testing.assert_allclose(bands(axes)[i], ends, rtol=1e-6)
            lines = [values for values, _, _ in drawn[6 * i + 2 : 6 * i + 6]]
            np.testing.assert_allclose(lines, toys[:4], rtol=1e-6)
    toy = figure.axes[0].patches[-1]
    assert (toy.get_linewidth(), toy.get_alpha()) == (0.4, 0.6)


def test_bands_of_distributions_lie_around_the_line_that_is_drawn(norm_path: Path) -> None:
    figure = plot_distributions(
        norm_path, ["k5"], ["w3"], "nuisance", [0], n_bins=4, n_events=300, seed=4
    )
    line = steps(figure.axes[0])[0][0]
    ends = np.quantile(1.1 ** toy_nus(100, 2, seed=4)[:, 0], BAND_68)
    np.testing.assert_allclose(bands(figure.axes[0])[0], np.outer(ends, line))
    figure = plot_distributions(
        norm_path, ["k5"], ["w3"], "nuisance", [0], normalize=True, n_bins=4, seed=4
    )
    line = steps(figure.axes[0])[0][0]
    np.testing.assert_allclose(bands(figure.axes[0])[0], [line, line])


def test_toys_may_be_drawn_without_bands(path: Path) -> None:
    figure = plot_distributions(path, ["k5"], ["sm"], "none", None, 3, n_bins=4, seed=1)
    assert [low is None for _, _, low in steps(figure.axes[0])] == [True] * 4


def test_reference_file(shared: Path) -> None:
    figure = plot_systematics(
        shared / "reference" / "public.h5", [0.5, 0.5], "pt", "pt", (10.0, 90.0), n_bins=8, seed=1
    )
    low, high = bands(figure.axes[2])[0]
    assert np.all((low > 0.85) & (low < 1.0) & (high > 1.0) & (high < 1.15))


def test_refused(path: Path, toy_event_file: Callable[..., Path]) -> None:
    def uncertainty(**options: object) -> None:
        plot_uncertainty(path, **{**OPTIONS, **options})  # type: ignore[arg-type]

    with pytest.raises(UnknownNameError, match="pt_j1"):
        uncertainty(observable="pt_j1")
    with pytest.raises(UnknownNameError, match=r"no systematics \['pdf'\].*'lumi', 'scale'"):
        uncertainty(systematics=["lumi", "pdf"])
    with pytest.raises(UnknownNameError, match="no systematics"):
        uncertainty(systematics=[])
    with pytest.raises(OptionError, match="range must be a pair of finite numbers"):
        uncertainty(obs_range=(1.0, 0.0))
    with pytest.raises(OptionError, match="range must be a pair of finite numbers"):
        uncertainty(ratio_range=(1.0, 1.0))
    with pytest.raises(OptionError, match="n_bins"):
        uncertainty(n_bins=0)
    with pytest.raises(OptionError, match="n_toys"):
        uncertainty(n_toys=0)
    with pytest.raises(OptionError, match="n_events"):
        uncertainty(n_events=0)
    with pytest.raises(NoEventsError, match="choose obs_range"):
        uncertainty(obs_range=(5.0, 6.0))
    with pytest.raises(SetupError, match="no nuisance parameters"):
        plot_systematics(toy_event_file(500), **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="indices from 0 to 1"):
        plot_distributions(path, ["k5"], ["sm"], nuisance_parameters=[2])
    with pytest.raises(OptionError, match="draw_nuisance_toys"):
        plot_distributions(path, ["k5"], ["sm"], draw_nuisance_toys=-1)


def test_a_warning_only_if_asked_for(toy_event_file: Callable[..., Path]) -> None:
    without = toy_event_file(500)
    plot_distributions(without, ["k5"], ["sm"])  # warnings are errors
    with pytest.warns(UserWarning, match="No bands from nuisance parameters"):
        figure = plot_distributions(without, ["k5"], ["sm"], "nuisance")
    assert bands(figure.axes[0]) == []
    with pytest.warns(UserWarning, match="No bands from nuisance parameters"):
        plot_distributions(without, ["k5"], ["sm"], draw_nuisance_toys=2)


def test_the_range_of_ratios_is_that_of_the_bands(norm_path: Path) -> None:
    options = OPTIONS | {"theta": "sm", "n_toys": 200, "seed": 3}
    rate, shape = plot_uncertainty(norm_path, systematics=["lumi"], **options).axes[2:]  # type: ignore[arg-type]
    low, high = rate.get_ylim()
    # 95 % of exp(nu log(1.1)) reach to 1.1^1.96 = 1.205
    assert high == pytest.approx(1.0 + 1.15 * 0.205, abs=0.05)
    assert low == pytest.approx(2.0 - high)
    assert shape.get_ylim() == (0.99, 1.01)  # a norm does not change the shape
    given = plot_systematics(norm_path, ratio_range=(0.5, 1.5), **options)  # type: ignore[arg-type]
    assert given.axes[2].get_ylim() == given.axes[3].get_ylim() == (0.5, 1.5)
