from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import OptionError, UnknownNameError
from madminer.plotting import plot_distributions

THETA = np.array([0.3, -0.2])


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


@pytest.fixture(scope="module")
def path(gaussian_event_file: Callable[..., Path]) -> Path:
    return gaussian_event_file(4000)


def test_histograms_are_those_of_the_weights(path: Path) -> None:
    figure = plot_distributions(
        path,
        parameter_points=["b0", THETA],
        uncertainties="none",
        n_bins=12,
        n_cols=2,
        observable_labels=["first", "second", "third"],
    )
    assert [axes.get_xlabel() for axes in figure.axes] == ["first", "second", "third"]
    x, weights = DataAnalyzer(path).weighted_events(THETA)
    values, edges, _ = figure.axes[0].patches[1].get_data()  # type: ignore[attr-defined]
    np.testing.assert_allclose(values, np.histogram(x[:, 0], edges, weights=weights)[0])
    assert len(edges) == 13
    assert x[:, 0].min() <= edges[0] < -1.9
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["b0", r"$\theta$ = (0.3, -0.2)"]


def test_normalised_histograms_have_unit_area(path: Path) -> None:
    figure = plot_distributions(
        path, ["x0"], uncertainties="statistical", normalize=True, log=True, n_bins=10
    )
    (axes,) = figure.axes
    curves = [patch.get_data() for patch in axes.patches]  # type: ignore[attr-defined]
    assert len(curves) == 12  # six benchmarks, a line and a band each
    for values, edges, _ in curves[::2]:
        assert np.sum(values * np.diff(edges)) == pytest.approx(1.0)
    upper, _, lower = curves[1]
    assert np.all(upper >= lower)
    assert axes.get_yscale() == "log"


def test_statistical_bands_are_the_errors_of_the_weights(path: Path) -> None:
    figure = plot_distributions(
        path, ["z1"], [THETA], uncertainties="statistical", n_bins=5, line_labels=["here"]
    )
    line, band = (patch.get_data() for patch in figure.axes[0].patches)  # type: ignore[attr-defined]
    x, weights = DataAnalyzer(path).weighted_events(THETA)
    errors = np.sqrt(np.histogram(x[:, 1], line.edges, weights=weights**2)[0])
    np.testing.assert_allclose(band.values - line.values, errors)
    np.testing.assert_allclose(line.values - band.baseline, errors)


def test_some_events_are_scaled_to_the_cross_section(path: Path) -> None:
    options = {"uncertainties": "none", "quantiles_for_range": (0.0, 1.0), "n_bins": 4}
    totals = []
    for n_events in (None, 500):
        figure = plot_distributions(path, ["z0"], ["b1"], n_events=n_events, seed=1, **options)  # type: ignore[arg-type]
        totals.append(figure.axes[0].patches[0].get_data().values.sum())  # type: ignore[attr-defined]
    assert totals[0] == pytest.approx(totals[1])


def test_negative_weights_count(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(500, negative_share=0.3)
    figure = plot_distributions(
        path, ["k1"], ["sm"], uncertainties="none", n_bins=3, quantiles_for_range=(0.0, 1.0)
    )
    values = figure.axes[0].patches[0].get_data().values  # type: ignore[attr-defined]
    analyzer = DataAnalyzer(path)
    expected = analyzer.weighted_events("sm", generated_close_to="sm")[1].sum()
    assert values.sum() == pytest.approx(expected)


def test_refused(path: Path) -> None:
    with pytest.raises(UnknownNameError, match="pt_j1"):
        plot_distributions(path, ["pt_j1"], uncertainties="none")
    with pytest.raises(OptionError, match="uncertainties must be"):
        plot_distributions(path, uncertainties="some")
    with pytest.raises(OptionError, match="line_labels must be one value or a list of 6"):
        plot_distributions(path, uncertainties="none", line_labels=["a"])
    with pytest.raises(OptionError, match="n_bins"):
        plot_distributions(path, uncertainties="none", n_bins=0)
    with pytest.warns(UserWarning, match="No bands from nuisance parameters"):
        plot_distributions(path, ["z0"], ["b0"], "nuisance")


def test_the_default_is_silent(path: Path) -> None:
    plot_distributions(path, ["z0"], ["b0"])  # warnings are errors
