from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from madminer.errors import DataError, OptionError, ShapeError
from madminer.limits import regular_grid
from madminer.plotting import plot_pvalue_limits
from madminer.stats import contour_level, p_values_from_q

RANGES = [(-1.0, 1.0), (-2.0, 2.0)]
RESOLUTIONS = [21, 31]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


@pytest.fixture
def p_values() -> np.ndarray:
    thetas = regular_grid(RANGES, RESOLUTIONS)
    return p_values_from_q(9.0 * thetas[:, 0] ** 2 + 2.0 * thetas[:, 1] ** 2, 2)


def contour_sets(axes: plt.Axes) -> list[ContourSet]:
    return [artist for artist in axes.collections if isinstance(artist, ContourSet)]


def test_contours_lie_at_their_level(p_values: np.ndarray) -> None:
    figure = plot_pvalue_limits([p_values], [325], ["ml"], RANGES, RESOLUTIONS, levels=[0.05, 0.32])
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    for lines, level in zip(contour_sets(axes), [0.32, 0.05], strict=True):
        vertices = np.concatenate(lines.allsegs[0])
        q = 9.0 * vertices[:, 0] ** 2 + 2.0 * vertices[:, 1] ** 2
        np.testing.assert_allclose(q, contour_level(1 - level, 2), rtol=0.05)
    (star,) = axes.lines
    assert (star.get_marker(), star.get_xdata()[0]) == ("*", pytest.approx(0.0))  # type: ignore[index]
    assert star.get_ydata()[0] == pytest.approx(0.0)  # type: ignore[index]
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["ml", "68 % CL", "95 % CL"]
    assert axes.get_ylim() == (-2.0, 2.0)


def test_dictionaries_panels_and_colours(p_values: np.ndarray) -> None:
    figure = plot_pvalue_limits(
        {"a": p_values, "b": np.sqrt(p_values)},
        {"b": 0, "a": 5},
        None,
        RANGES,
        RESOLUTIONS,
        single_plot=False,
        p_val_min=0.01,
    )
    first, a, b, colour_bar = figure.axes
    assert [axes.get_title(loc="left") for axes in (a, b)] == ["a", "b"]
    meshes = [[c for c in axes.collections if isinstance(c, QuadMesh)] for axes in (first, a, b)]
    assert [len(found) for found in meshes] == [0, 1, 1]
    colours = np.asarray(meshes[1][0].get_array()).reshape(31, 21)
    np.testing.assert_allclose(colours, p_values.reshape(21, 31).T)
    assert meshes[1][0].norm.vmin == 0.01
    assert colour_bar.get_ylabel() == "$p$-value"
    shown = plot_pvalue_limits([p_values], [5], ["a"], RANGES, RESOLUTIONS, show_index=0)
    assert len([c for c in shown.axes[0].collections if isinstance(c, QuadMesh)]) == 1


def test_one_resolution_serves_both_axes() -> None:
    p = p_values_from_q(np.sum(regular_grid([(-3.0, 3.0)] * 2, 11) ** 2, axis=1), 2)
    plot_pvalue_limits([p.reshape(11, 11)], [60], ["a"], [(-3.0, 3.0)] * 2, 11)


def test_bands_lie_between_the_contours_of_their_ends() -> None:
    thetas = regular_grid(RANGES, RESOLUTIONS)
    q = 9.0 * thetas[:, 0] ** 2 + 2.0 * thetas[:, 1] ** 2
    central, lower, upper = (p_values_from_q(factor * q, 2) for factor in (1.0, 1.25, 0.8))
    figure = plot_pvalue_limits(
        [central, central],
        [325, 325],
        ["with", "without"],
        RANGES,
        RESOLUTIONS,
        p_value_bands=[(lower, upper), None],
    )
    filled = [c for c in contour_sets(figure.axes[0]) if c.filled]
    assert len(filled) == 1
    vertices = np.concatenate([path.vertices for path in filled[0].get_paths()])
    at_vertices = 9.0 * vertices[:, 0] ** 2 + 2.0 * vertices[:, 1] ** 2
    level = contour_level(0.68, 2)
    # q is scaled by 1.25 and 0.8, so that the level is reached at q / 1.25 and q / 0.8
    assert at_vertices.min() == pytest.approx(level / 1.25, rel=0.05)
    assert at_vertices.max() == pytest.approx(level / 0.8, rel=0.05)


def test_draws_on_given_axes(p_values: np.ndarray) -> None:
    given, (_, right) = plt.subplots(1, 2)
    figure = plot_pvalue_limits(
        [p_values], [325], ["ml"], RANGES, RESOLUTIONS, show_index=0, ax=right
    )
    assert figure is given
    assert len(contour_sets(right)) == 1
    assert right.get_xlim() == (-1.0, 1.0)
    assert len(given.axes) == 3  # with the scale of the colours
    legend = right.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ml", "68 % CL"]


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"p_value_bands": [(np.ones(651), np.zeros(651))]}, DataError, "above its upper"),
        ({"p_value_bands": [(np.ones(651),)]}, OptionError, "must hold pairs"),
        ({"p_value_bands": []}, OptionError, "one entry for each of 1"),
        ({"p_value_bands": [np.ones((2, 3))]}, ShapeError, "needs 651 p-values, got 3"),
        ({"p_value_bands": [5.0]}, OptionError, r"p_value_bands\[0\] must be a list"),
        ({"levels": []}, OptionError, "levels must be a list of one element or more"),
        ({"ax": 5}, OptionError, "ax must be axes"),
        ({"p_values": [np.ones(5)]}, ShapeError, "21 x 31 points needs 651 p-values, got 5"),
        ({"p_values": [np.full(651, 1.5)]}, DataError, "between 0 and 1"),
        ({"labels": ["a", "b"]}, OptionError, "got 1, 1 and 2"),
        ({"best_fits": [0, 1]}, OptionError, "got 1, 2 and 1"),
        ({"best_fits": [651]}, OptionError, "best-fit index"),
        ({"grid_ranges": [(0.0, 1.0)]}, OptionError, "ranges and resolutions of two parameters"),
        (
            {"grid_ranges": [(1.0, 0.0), (0.0, 1.0)]},
            OptionError,
            r"grid_ranges\[0\] must be a pair",
        ),
        ({"levels": [68.0]}, OptionError, "above 0 to below 1"),
        ({"show_index": 1}, OptionError, "show_index"),
        ({"p_val_min": 0.0}, OptionError, "p_val_min"),
    ],
)
def test_refused(keywords: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {
        "p_values": [np.ones(651)],
        "best_fits": [0],
        "labels": ["a"],
        "grid_ranges": RANGES,
        "grid_resolutions": RESOLUTIONS,
    }
    with pytest.raises(error, match=message):
        plot_pvalue_limits(**(arguments | keywords))  # type: ignore[arg-type]


def test_given_axes_are_one_panel(p_values: np.ndarray) -> None:
    with pytest.raises(OptionError, match="single_plot must be True where ax is given"):
        plot_pvalue_limits(
            [p_values], [0], ["a"], RANGES, RESOLUTIONS, single_plot=False, ax=plt.gca()
        )


def test_keys_of_dictionaries_must_agree() -> None:
    with pytest.raises(OptionError, match="must have the keys"):
        plot_pvalue_limits({"a": np.ones(4)}, {"b": 0}, None, RANGES, 2)


def test_best_fits_are_a_list(p_values: np.ndarray) -> None:
    with pytest.raises(OptionError, match="best_fits must be a list"):
        plot_pvalue_limits([p_values], 0, None, RANGES, RESOLUTIONS)  # type: ignore[arg-type]
