from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import NoEventsError, OptionError, UnknownNameError
from madminer.io import EventFile, write_events
from madminer.plotting import plot_distributions
from madminer.plotting.distributions import unit

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


def test_signal_and_background_are_split(toy_event_file: Callable[..., Path]) -> None:
    path = toy_event_file(2000)
    figure = plot_distributions(
        path,
        ["k1"],
        ["sm", THETA],
        uncertainties="none",
        n_bins=4,
        quantiles_for_range=(0.0, 1.0),
        sample_only_from_closest_benchmark=False,
        split_background=True,
    )
    background, *lines = (patch.get_data().values for patch in figure.axes[0].patches)  # type: ignore[attr-defined]
    analyzer = DataAnalyzer(path)
    for line, theta in zip(lines, ["sm", THETA], strict=True):
        total = analyzer.weighted_events(theta)[1].sum()
        assert line.sum() + background.sum() == pytest.approx(total)
    (_, _, sampled) = next(analyzer.event_loader(batch_size=None, return_sampling_ids=True))
    assert sampled is not None
    expected = analyzer.weighted_events("sm")[1][sampled < 0].sum()
    assert background.sum() == pytest.approx(expected)
    assert [t.get_text() for t in figure.legends[0].get_texts()][-1] == "background"
    with pytest.raises(OptionError, match="all events"):
        plot_distributions(path, ["k1"], ["sm"], "none", n_events=10, split_background=True)


def test_a_file_without_background_has_nothing_to_split(path: Path) -> None:
    with pytest.raises(NoEventsError, match="no background events"):
        plot_distributions(path, ["z0"], ["b0"], split_background=True)


def test_text_of_files_is_not_mathtext(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    definitions = {"$x^{$": "j[0].pt", "phi": "j[0].phi"}
    names = dict(zip(file.setup.observables, definitions, strict=False))
    setup = replace(
        file.setup,
        observables={
            names.get(k, k): definitions.get(names.get(k, k), "_") for k in file.setup.observables
        },
    )
    write_events(tmp_path / "a.h5", setup, file.read(), file.summary)
    figure = plot_distributions(tmp_path / "a.h5", list(definitions), ["sm"], "none")
    figure.canvas.draw()  # mathtext would not parse
    assert [axes.get_xlabel() for axes in figure.axes] == [r"\$x^{\$ [GeV]", "phi [rad]"]


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("met.pt", "GeV"),
        ("(a[0] + a[1]).m", "GeV"),
        ("abs(j[0].eta - j[1].eta)", ""),
        ("j[0].deltaphi(j[1]) * (1 if j[0].eta < j[1].eta else -1)", "rad"),
        ("log(j[0].pt)", ""),
        ("j[0].pt / j[1].pt", ""),
        ("j[0].pt / 1000", "GeV"),
        ("j[0].pt * j[1].pt", None),
        ("sum(x.pt for x in j)", None),
        ("len(j)", ""),
        ("not an expression", None),
        ("(" * 1000, None),
        ("-" * 200_000 + "1", None),
    ],
)
def test_units_of_observables(definition: str, expected: str | None) -> None:
    assert unit(definition) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_bins", 2.5),
        ("n_cols", 0),
        ("n_events", -1),
        ("seed", -1),
        ("alpha", 2.0),
        ("draw_nuisance_toys", -2),
        ("quantiles_for_range", (0.5, 2.0)),
        ("n_toys", "many"),
    ],
)
def test_odd_options_are_named(option: str, value: object, path: Path) -> None:
    with pytest.raises(OptionError, match=option):
        plot_distributions(path, ["z0"], ["b0"], **{option: value})  # type: ignore[arg-type]
