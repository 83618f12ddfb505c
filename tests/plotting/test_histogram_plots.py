from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import boost_histogram as bh
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting import plot_histograms

EDGES = np.array([0.0, 1.0, 3.0, 4.0])
FLAT = SimpleNamespace(edges=[EDGES], histo=np.full(3, 0.25))
STEEP = SimpleNamespace(edges=[EDGES], histo=np.array([0.6, 0.2, 0.0]))
OBSERVED = np.array([0.5, 0.7, 2.0, 3.9, 4.0])
PLANE = SimpleNamespace(
    edges=[np.array([0.0, 1.0, 2.0]), EDGES], histo=np.arange(1.0, 7.0).reshape(2, 3) / 28.0
)
PAIRS = np.array([[0.5, 0.5], [1.5, 3.5], [1.0, 2.0]])


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


def steps(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(patch.get_data().values) for patch in figure.axes[0].patches]  # type: ignore[attr-defined]


def points(figure: Figure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, heights and errors of the observed events."""
    (bars,) = [c for c in figure.axes[0].containers if isinstance(c, ErrorbarContainer)]
    line, _, (errors,) = bars.lines
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in errors.get_segments()]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), np.array(lengths)


def markers(axes: plt.Axes) -> tuple[np.ndarray, np.ndarray]:
    """Positions and areas of the observed events of two variables."""
    found = [c for c in axes.collections if isinstance(c, PathCollection)]
    return (
        np.concatenate([np.asarray(c.get_offsets()) for c in found]),
        np.concatenate([np.asarray(c.get_sizes()) for c in found]),
    )


def test_densities_are_overlaid() -> None:
    figure = plot_histograms(
        [FLAT, STEEP], histo_labels=["flat", "steep"], xlabel="m [GeV]", linewidths=[1.0, 3.0]
    )
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    np.testing.assert_allclose(steps(figure), [FLAT.histo, STEEP.histo])
    np.testing.assert_allclose(axes.patches[0].get_data().edges, EDGES)  # type: ignore[attr-defined]
    assert [patch.get_linewidth() for patch in axes.patches] == [1.0, 3.0]
    assert (axes.get_xlim(), axes.get_xlabel()) == ((0.0, 4.0), "m [GeV]")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["flat", "steep"]
    styles = {line.get_linestyle() for line in legend.get_lines()}
    assert len(styles) == 2  # told apart without colours


def test_line_styles_count() -> None:
    figure = plot_histograms([FLAT, STEEP], linestyles=[":", "--"], colors="black")
    assert [patch.get_linestyle() for patch in figure.axes[0].patches] == [":", "--"]


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 3.0, 4.0, -1.0])])
@pytest.mark.parametrize("given", [OBSERVED, OBSERVED[:, np.newaxis], [OBSERVED, [99.0]]])
def test_observed_events_have_unit_area(given: object, weights: np.ndarray | None) -> None:
    figure = plot_histograms(FLAT, given, weights)  # type: ignore[arg-type]
    x, y, errors = points(figure)
    w = np.ones(5) if weights is None else weights
    sums = np.array([w[0] + w[1], w[2], w[3] + w[4]])  # counted by hand
    squares = np.array([w[0] ** 2 + w[1] ** 2, w[2] ** 2, w[3] ** 2 + w[4] ** 2])
    np.testing.assert_allclose(x, [0.5, 2.0, 3.5])
    np.testing.assert_allclose(y, sums / sums.sum() / [1.0, 2.0, 1.0])
    np.testing.assert_allclose(errors, np.sqrt(squares) / sums.sum() / [1.0, 2.0, 1.0])
    assert np.sum(y * np.diff(EDGES)) == pytest.approx(1.0)
    assert figure.axes[0].get_title(loc="right") == ""


def test_events_outside_are_told_and_do_not_count() -> None:
    figure = plot_histograms(FLAT, [0.5, 2.0, 5.0, -1.0], observed_label="seen")
    x, y, _ = points(figure)
    np.testing.assert_allclose(x, [0.5, 2.0])  # the empty bin has no point
    np.testing.assert_allclose(y, [0.5, 0.25])
    assert figure.axes[0].get_title(loc="right") == "2 of 4 events outside"
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[-1].get_text() == "seen"


def test_logarithmic_axis_hides_what_is_practically_zero() -> None:
    tail = SimpleNamespace(edges=[EDGES], histo=[0.8, 0.1, 1e-13])
    (axes,) = plot_histograms(tail, log=True).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] == pytest.approx(0.8e-6)
    (axes,) = plot_histograms(tail, log=True, yrange=(1e-14, 2.0), xrange=(1.0, 2.0)).axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((1.0, 2.0), (1e-14, 2.0))


def test_two_variables_have_a_panel_each() -> None:
    figure = plot_histograms(
        [PLANE, SimpleNamespace(edges=PLANE.edges, histo=2.0 * PLANE.histo)],
        PAIRS,
        np.array([1.0, 3.0, -2.0]),
        histo_labels=["one", "two"],
        zlabel="density [1/GeV]",
        markersize=30.0,
    )
    one, two, colour_bar = figure.axes
    meshes = [next(c for c in axes.collections if isinstance(c, QuadMesh)) for axes in (one, two)]
    for mesh, factor in zip(meshes, (1.0, 2.0), strict=True):
        np.testing.assert_allclose(
            np.asarray(mesh.get_array()).reshape(3, 2), factor * PLANE.histo.T
        )
        np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], PLANE.edges[0])
        assert mesh.norm.vmax == pytest.approx(2.0 * PLANE.histo.max())  # one scale for both
    assert [axes.get_title(loc="left") for axes in (one, two)] == ["one", "two"]
    assert colour_bar.get_ylabel() == "density [1/GeV]"
    for axes in (one, two):
        positions, areas = markers(axes)
        np.testing.assert_allclose(positions, PAIRS)
        np.testing.assert_allclose(areas, [15.0, 45.0, 30.0])
    hollow = [c for c in one.collections if isinstance(c, PathCollection)][1]
    assert len(np.asarray(hollow.get_facecolor())) == 0  # a negative weight


def test_observed_events_of_each_panel() -> None:
    figure = plot_histograms([PLANE, PLANE], [PAIRS, PAIRS[:1]], xrange=(0.0, 1.5))
    assert [len(markers(axes)[0]) for axes in figure.axes[:2]] == [3, 1]
    assert figure.axes[1].get_xlim() == (0.0, 1.5)


def test_colours_are_logarithmic() -> None:
    figure = plot_histograms(PLANE, log=True, zrange=(0.01, 1.0), cmap="cividis")
    (mesh,) = figure.axes[0].collections
    assert isinstance(mesh, QuadMesh)
    assert isinstance(mesh.norm, LogNorm)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.01, 1.0)
    assert mesh.get_cmap().name == "cividis"


def test_histograms_of_boost_histogram_become_densities() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 1000))
    line = bh.Histogram(bh.axis.Variable([-2.0, -1.0, 0.0, 2.0]))
    line.fill(x)
    expected = np.histogram(x, [-2.0, -1.0, 0.0, 2.0], density=True)[0]
    np.testing.assert_allclose(steps(plot_histograms(line))[0], expected)
    edges = [np.linspace(-2.0, 2.0, 5), np.array([-3.0, 0.0, 1.0])]
    plane = bh.Histogram(*(bh.axis.Variable(axis) for axis in edges))
    plane.fill(x, y)
    (mesh,) = plot_histograms(plane).axes[0].collections
    expected = np.histogram2d(x, y, edges, density=True)[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(2, 4), expected.T)
    means = bh.Histogram(bh.axis.Regular(2, 0.0, 1.0), storage=bh.storage.Mean())
    means.fill([0.1, 0.7], sample=[1.0, 2.0])
    with pytest.raises(DataError, match=r"histos\[0\] must count events"):
        plot_histograms(means)


@dataclass(frozen=True)
class Frame:
    """Has axes and values, but is no histogram."""

    axes: tuple[int, ...] = (1,)
    values: float = 1.0


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"histos": []}, ShapeError, "one histogram or more"),
        ({"histos": [FLAT, PLANE]}, ShapeError, r"got \[1, 2\] axes"),
        ({"histos": Frame()}, OptionError, r"histos\[0\] must be a histogram with edges"),
        ({"histos": np.ones(3)}, OptionError, r"histos\[0\] must be a histogram"),
        (
            {"histos": SimpleNamespace(edges=[EDGES], histo=[1.0])},
            ShapeError,
            r"The bins of histos\[0\] must be an array of shape \(3,\)",
        ),
        (
            {"histos": SimpleNamespace(edges=[EDGES[::-1]], histo=FLAT.histo)},
            OptionError,
            r"The edges of histos\[0\]\[0\] must be a list of two or more increasing numbers",
        ),
        (
            {"histos": SimpleNamespace(edges=[EDGES], histo=[1.0, np.nan, 1.0])},
            DataError,
            "got 1 of 3",
        ),
        ({"observed": PAIRS}, ShapeError, "observed must be an array of shape"),
        ({"observed": [np.nan, 1.0]}, DataError, "observed must be finite"),
        ({"observed": [9.0]}, DataError, "lie outside of the bins"),
        ({"observed": [1.0, 2.0], "observed_weights": [1.0]}, ShapeError, "observed_weights must"),
        ({"observed": [1.0], "observed_weights": [0.0]}, DataError, "add up to more than zero"),
        ({"histos": [PLANE] * 3, "observed": [PAIRS] * 2}, OptionError, "a list of 3, got 2"),
        ({"histo_labels": ["a", "b"]}, OptionError, "histo_labels must be a list of 1 texts"),
        ({"colors": ["red", "blue"]}, OptionError, "colors must be one value or a list of 1"),
        ({"xrange": (1.0, 0.0)}, OptionError, "xrange must be a pair"),
        ({"log": True, "yrange": (0.0, 1.0)}, OptionError, "range of them above zero"),
        ({"cmap": "no"}, OptionError, "cmap must be a colour map"),
        ({"markersize": 0.0}, OptionError, "markersize must be"),
    ],
)
def test_refused(keywords: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot_histograms(**({"histos": FLAT} | keywords))  # type: ignore[arg-type]
