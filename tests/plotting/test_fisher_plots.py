from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from madminer.errors import DataError, OptionError, ShapeError
from madminer.plotting import (
    plot_distribution_of_information,
    plot_fisher_information_contours_2d,
    plot_fisherinfo_barplot,
)
from madminer.plotting.style import COLORS, figure_grid

MATRIX = np.array([[9.0, 2.0], [2.0, 4.0]])


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


def contour_sets(axes: plt.Axes) -> list[ContourSet]:
    return [artist for artist in axes.collections if isinstance(artist, ContourSet)]


def test_contours_lie_at_their_distance() -> None:
    centre = np.array([0.1, -0.2])
    figure = plot_fisher_information_contours_2d(
        [MATRIX, 4 * MATRIX],
        reference_thetas=[centre, None],
        contour_distance=1.5,
        xrange=(-2.0, 2.0),
        yrange=(-2.0, 2.0),
        labels=["one", "four"],
        colors=["red", "blue"],
        linestyles=["--", ":"],
        linewidths=[1.0, 2.5],
    )
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    first, second = contour_sets(axes)
    for lines, matrix, origin in ((first, MATRIX, centre), (second, 4 * MATRIX, np.zeros(2))):
        step = np.concatenate(lines.allsegs[0]) - origin
        squared = np.einsum("ni,ij,nj->n", step, matrix, step)
        np.testing.assert_allclose(squared, 1.5**2, rtol=1e-3)
        assert len(lines.allsegs[0]) == 1  # a closed curve
    assert mpl.colors.to_hex(first.get_edgecolor()[0]) == "#ff0000"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["one", "four"]
    assert [line.get_linestyle() for line in legend.get_lines()] == ["--", ":"]
    assert axes.get_xlim() == axes.get_ylim() == (-2.0, 2.0)


def test_bands_cover_the_standard_deviation() -> None:
    error = 0.2 * MATRIX  # one random factor, so that std(d^2) = 0.2 d^2
    covariance = np.einsum("ij,kl->ijkl", error, error)
    figure = plot_fisher_information_contours_2d(
        [MATRIX], [covariance], sigma_uncertainties=1.0, resolution=400
    )
    band = contour_sets(figure.axes[0])[0]  # type: ignore[union-attr]
    vertices = np.concatenate([path.vertices for path in band.get_paths()])
    squared = np.einsum("ni,ij,nj->n", vertices, MATRIX, vertices)
    # |d^2 - 1| < 0.2 d^2 between 1 / 1.2 and 1 / 0.8
    assert squared.min() == pytest.approx(1 / 1.2, rel=0.02)
    assert squared.max() == pytest.approx(1 / 0.8, rel=0.02)


def test_draws_on_given_axes() -> None:
    _, axes = plt.subplots()
    result = plot_fisher_information_contours_2d(
        [MATRIX], labels=["here"], inline_labels=["inside"], xrange=(-3.0, 3.0), ax=axes
    )
    assert result is axes
    assert axes.get_xlim() == (-3.0, 3.0)
    assert "inside" in {text.get_text() for text in axes.texts}


def test_contours_outside_the_figure_are_reported() -> None:
    with pytest.warns(RuntimeWarning, match="contour of tiny lies outside") as caught:
        plot_fisher_information_contours_2d([1e-6 * MATRIX], labels=["tiny"])
    assert caught[0].filename == __file__  # not a line of this package


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"fisher_information_matrices": [np.eye(3)]}, ShapeError, "project_information"),
        ({"fisher_information_matrices": [[[1, 2], [0, 1]]]}, DataError, "not symmetric"),
        ({"fisher_information_matrices": [-np.eye(2)]}, DataError, "not positive definite"),
        ({"fisher_information_matrices": [np.diag([1.0, -1.0])]}, DataError, "eigenvalues are"),
        ({"fisher_information_matrices": []}, OptionError, "one matrix or more"),
        ({"fisher_information_covariances": [np.ones((2, 2))]}, ShapeError, "covariance"),
        ({"fisher_information_covariances": []}, OptionError, "one entry for each of 1"),
        ({"labels": ["a", "b"]}, OptionError, "labels must have one entry for each of 1"),
        ({"colors": ["red", "blue"]}, OptionError, "colors must be one value or a list of 1"),
        ({"reference_thetas": [[0.0]]}, ShapeError, "reference theta"),
        ({"contour_distance": 0.0}, OptionError, "contour_distance must be a positive number"),
        ({"xrange": (1.0, -1.0)}, OptionError, "xrange must be a pair of finite numbers"),
        ({"resolution": 1}, OptionError, "resolution must be a whole number from 2"),
    ],
)
def test_contours_refuse(keywords: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot_fisher_information_contours_2d(
            **({"fisher_information_matrices": [MATRIX]} | keywords)  # type: ignore[arg-type]
        )
    assert not plt.get_fignums()  # no empty figure is left


def test_bar_plot_shows_eigenvalues_and_determinants() -> None:
    matrices = [np.diag([4.0, 1.0, 9.0]), np.diag([16.0, 1.0, 0.0])]
    figure = plot_fisherinfo_barplot(matrices, ["a", "b"], determinant_indices=[0, 1])
    above, below = figure.axes
    values = {round(float(line.get_ydata()[0]), 9) for line in above.lines}  # type: ignore[index]
    assert values == {1.0, 4.0, 9.0, 16.0}  # the blind direction is left out
    longest = max(above.lines, key=lambda line: np.ptp(line.get_xdata()))
    assert np.ptp(longest.get_xdata()) == pytest.approx(0.7)
    np.testing.assert_allclose([bar.get_height() for bar in below.patches], [2.0, 4.0])
    assert [label.get_text() for label in below.get_xticklabels()] == ["a", "b"]
    with pytest.raises(ShapeError, match="all of one shape"):
        plot_fisherinfo_barplot([np.eye(2), np.eye(3)], ["a", "b"])
    with pytest.raises(OptionError, match="labels must name 1"):
        plot_fisherinfo_barplot([np.eye(2)], ["a", "b"])
    with pytest.raises(OptionError, match="from 0 to 1"):
        plot_fisherinfo_barplot([np.eye(2)], ["a"], determinant_indices=[2])


def test_distribution_of_information() -> None:
    edges, sigma = [0.0, 1.0, 3.0], np.array([1.0, 2.0, 4.0, 1.0])
    matrices = np.array([1.0, 4.0, 9.0, 1.0])[:, np.newaxis, np.newaxis] * np.eye(2)
    figure = plot_distribution_of_information(
        edges, sigma, matrices, 0.5 * matrices, xlabel="x", xmin=0.5, log_xsec=True
    )
    left, right = figure.axes
    filled, full, aux = (
        patch.get_data().values
        for axes in (left, right)
        for patch in axes.patches  # type: ignore[attr-defined]
    )
    np.testing.assert_allclose(filled, [0.25, 0.5])
    np.testing.assert_allclose(full, [4.0, 9.0])
    np.testing.assert_allclose(aux, [2.0, 4.5])
    assert left.get_xlim() == (0.5, 3.0)
    assert left.get_yscale() == "log"
    with pytest.raises(ShapeError, match="3 edges need 4 cross sections"):
        plot_distribution_of_information(edges, sigma[1:], matrices)
    with pytest.raises(ShapeError, match="4 information matrices"):
        plot_distribution_of_information(edges, sigma, matrices[1:])


def test_style_is_left_alone_and_panels_fill_rows() -> None:
    figure, panels = figure_grid(5, n_cols=3)
    assert len(panels) == len(figure.axes) == 5
    assert len(set(COLORS)) == len(COLORS)
    with pytest.raises(OptionError, match="n_panels must be a whole number"):
        figure_grid(0)


def test_information_on_one_direction_is_drawn() -> None:
    direction = np.array([1.3, 2.1])  # as from a rate
    figure = plot_fisher_information_contours_2d([np.outer(direction, direction)])
    assert contour_sets(figure.axes[0])


def test_bars_take_names_that_do_not_collide() -> None:
    labels = [f"a long name {i}" for i in range(5)]
    figure = plot_fisherinfo_barplot(
        [np.eye(2)] * 5, labels, parameter_labels=["CWL2", r"$\tilde c$"]
    )
    above, below = figure.axes
    legend = above.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["CWL2", r"$\tilde c$"]
    figure.canvas.draw()
    ticks = below.get_xticklabels()
    assert all(tick.get_rotation() > 0 for tick in ticks)
    with pytest.raises(OptionError, match="parameter_labels must name 2"):
        plot_fisherinfo_barplot([np.eye(2)], ["a"], parameter_labels=["b"])


def test_the_legend_hides_no_contour() -> None:
    figure = plot_fisher_information_contours_2d([MATRIX] * 4, labels=["rate", "b", "c", "d"])
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
    assert figure.bbox.containsx(legend.get_window_extent().x1)
