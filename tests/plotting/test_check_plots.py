from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.container import BarContainer, ErrorbarContainer

from madminer.errors import OptionError
from madminer.evidence import Graph, Series, ValidationCheck
from madminer.plotting import plot_checks

X = np.array([-2.0, 0.0, 2.0])
CURVE = Series("a$_x$", X, np.array([-1.5, 0.1, np.nan]), np.array([0.2, 0.1, np.nan]))
BARS = tuple(
    Series(label, np.arange(2.0), height * np.ones(2), 0.1 * np.ones(2))
    for label, height in (("claimed", 2.0), ("guaranteed", 1.0), ("truth", 1.5))
)
CHECK = ValidationCheck(
    "calibration", "", 0.1, 0.02, "0", "", "passed", "", graph=Graph("f", "t", (CURVE,), "diagonal")
)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


def with_graph(graph: Graph) -> plt.Axes:
    return plot_checks([replace(CHECK, graph=graph)]).axes[0]


def dashed(panel: plt.Axes) -> list[np.ndarray]:
    """Lines of what is expected."""
    return [line.get_xydata() for line in panel.lines if line.get_label().startswith("_child")]


def test_points_have_their_errors() -> None:
    (container,) = with_graph(CHECK.graph).containers  # type: ignore[arg-type]
    assert isinstance(container, ErrorbarContainer)
    line, _, (bars,) = container
    np.testing.assert_array_equal(line.get_xydata()[:2], [[-2.0, -1.5], [0.0, 0.1]])
    ends = [segment[:, 1] for segment in bars.get_segments()[:2]]
    np.testing.assert_allclose(ends, [[-1.7, -1.3], [0.0, 0.2]])


def test_bars_of_a_group_stand_beside_each_other() -> None:
    panel = with_graph(Graph("", "power", BARS, None, ("c", "d")))
    groups = [c for c in panel.containers if isinstance(c, BarContainer)]
    assert [group.get_label() for group in groups] == ["claimed", "guaranteed", "truth"]
    ends = np.array([[(b.get_x(), b.get_x() + b.get_width()) for b in group] for group in groups])
    np.testing.assert_allclose(ends[1:, :, 0], ends[:-1, :, 1])
    np.testing.assert_allclose(ends[[0, -1], :, [0, 1]], [[-0.4, 0.6], [0.4, 1.4]])
    assert [bar.get_height() for group in groups for bar in group] == [2, 2, 1, 1, 1.5, 1.5]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["c", "d"]


@pytest.mark.parametrize(
    ("expected", "line"),
    [("diagonal", [[-2, -2], [2, 2]]), (1.0, [[0, 1], [1, 1]]), (0.0, [[0, 0], [1, 0]])],
)
def test_what_is_expected_is_drawn(expected: float, line: list[list[float]]) -> None:
    (found,) = dashed(with_graph(Graph("f", "t", (CURVE,), expected)))
    np.testing.assert_array_equal(found, line)


def test_without_expectation_there_is_no_line() -> None:
    assert dashed(with_graph(Graph("f", "t", (CURVE,)))) == []


def test_verdicts_are_words_and_colours() -> None:
    verdicts = ("passed", "failed", "undecided")
    checks = [replace(CHECK, name=f"{v}$", verdict=v) for v in verdicts]  # type: ignore[arg-type]
    panels = plot_checks([*checks, replace(CHECK, graph=None)]).axes
    titles = [panel.get_title("left") for panel in panels]
    assert titles == [
        "passed\\$\n✓ passed: 0.100 ± 0.020",
        "failed\\$\n✗ FAILED: 0.100 ± 0.020",
        "undecided\\$\n? undecided: 0.100 ± 0.020",
    ]
    colors = {panel._left_title.get_color() for panel in panels}  # type: ignore[attr-defined]
    assert len(colors) == 3


@pytest.mark.parametrize("n_series", [1, 2, 5])
def test_the_legend_hides_no_point(n_series: int) -> None:
    many = tuple(
        Series(f"share at CWL2 = {i}, CPWL2 = 0.00123", X, X, np.zeros(3)) for i in range(n_series)
    )
    panel = with_graph(Graph("f", "t", many, 0.0))
    panel.figure.canvas.draw()
    legend = panel.get_legend().get_window_extent()
    x_low, x_high = panel.transData.transform([(-2.0, -2.0), (2.0, 2.0)])[:, 0]
    assert (legend.x0, legend.x1) > (0.0, x_low)
    assert legend.y0 > panel.transData.transform((2.0, 2.0))[1]
    assert legend.x1 < panel.get_window_extent().x1
    assert x_high - x_low > 200  # long labels make no narrow panel


def test_names_of_categories_are_apart() -> None:
    names = tuple(f"CWL2 = -0.{i}1234, CPWL2 = -0.00123" for i in range(4))
    bars = tuple(replace(b, x=np.arange(4.0), y=np.ones(4), errors=np.zeros(4)) for b in BARS)
    panel = with_graph(Graph("", "power", bars, None, names))
    assert panel.get_xticklabels()[0].get_rotation() == 30
    assert panel.get_xticklabels()[0].get_text() == "CWL2 = -0.01234\nCPWL2 = -0.00123"


def test_nothing_to_draw_and_wrong_options() -> None:
    with pytest.raises(OptionError, match="nothing to draw"):
        plot_checks([replace(CHECK, graph=None)])
    with pytest.raises(OptionError, match="n_cols"):
        plot_checks([CHECK], n_cols=0)


def test_panels_stand_in_rows() -> None:
    figure = plot_checks([CHECK] * 3, n_cols=2)
    assert [panel.get_subplotspec().rowspan.start for panel in figure.axes] == [0, 0, 1]
