from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from madminer import plotting
from madminer.errors import DataError, OptionError, ShapeError
from madminer.limits import regular_grid
from madminer.plotting import (
    plot_confidence_belt,
    plot_corner,
    plot_geodesics,
    plot_impacts,
    plot_information_ranking,
    plot_profile,
)
from madminer.plotting.options import one_or_list, regular_axes
from madminer.stats import contour_level

THETA = np.linspace(-1.0, 1.0, 41)
Q = 4.0 * (THETA - 0.25) ** 2


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    settings = mpl.rcParams.copy()
    yield
    plt.close("all")
    assert mpl.rcParams == settings


def curves(axes: plt.Axes, n: int) -> list[Line2D]:
    """Lines of n points."""
    return [line for line in axes.lines if len(np.asarray(line.get_xdata())) == n]


def heights(axes: plt.Axes) -> list[float]:
    """Heights of horizontal lines from end to end."""
    ends = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    full = [np.array_equal(line.get_xdata(), [0.0, 1.0]) for line in axes.lines]
    return [end[0] for end, is_full in zip(ends, full, strict=True) if is_full]


def stars(axes: plt.Axes) -> np.ndarray:
    return np.array(
        [
            (np.asarray(line.get_xdata())[0], np.asarray(line.get_ydata())[0])
            for line in axes.lines
            if line.get_marker() == "*"
        ]
    )


def legend_texts(axes: plt.Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def contour_vertices(axes: plt.Axes) -> list[np.ndarray]:
    sets = [artist for artist in axes.collections if isinstance(artist, ContourSet)]
    return [np.concatenate(lines.allsegs[0]) for lines in sets]


class TestProfile:
    def test_curves_lines_and_stars(self) -> None:
        figure = plot_profile(
            THETA, [Q, 2.0 * Q], ["rate", "full"], best=[0.25, 0.3], xlabel="$c_W$ [TeV$^{-2}$]"
        )
        assert isinstance(figure, Figure)
        (axes,) = figure.axes
        for line, expected in zip(curves(axes, 41), (Q, 2.0 * Q), strict=True):
            np.testing.assert_allclose(line.get_xdata(), THETA)
            np.testing.assert_allclose(line.get_ydata(), expected)
        assert len({line.get_linestyle() for line in curves(axes, 41)}) == 2
        expected_heights = [contour_level(level, 1) for level in (0.68, 0.95)]
        np.testing.assert_allclose(heights(axes), expected_heights)
        assert [text.get_text() for text in axes.texts] == ["68 %", "95 %"]
        np.testing.assert_allclose([t.xy[1] for t in axes.texts], expected_heights)  # type: ignore[attr-defined]
        np.testing.assert_allclose(stars(axes), [(0.25, 0.0), (0.3, 0.02)], atol=1e-9)
        assert legend_texts(axes) == ["rate", "full"]
        assert axes.get_xlabel() == "$c_W$ [TeV$^{-2}$]"
        low, high = axes.get_ylim()
        assert low == 0.0
        assert contour_level(0.95, 1) < high < Q.max() * 2.0

    def test_a_band(self) -> None:
        figure = plot_profile(THETA, Q, bands=(0.5 * Q, 2.0 * Q))
        (band,) = figure.axes[0].collections
        assert isinstance(band, PolyCollection)
        vertices = np.asarray(band.get_paths()[0].vertices)
        for factor in (0.5, 2.0):
            at_minus_one = vertices[vertices[:, 0] == -1.0][:, 1]
            assert factor * Q[0] in at_minus_one
        assert figure.axes[0].get_legend() is None

    def test_bands_of_some_curves(self) -> None:
        figure = plot_profile(THETA, [Q, Q], bands=[None, (Q, Q + 1.0)])
        assert len(figure.axes[0].collections) == 1

    def test_without_asymptotics_there_are_no_levels(self) -> None:
        (axes,) = plot_profile(THETA, Q, asymptotic=False).axes
        assert heights(axes) == []
        assert len(axes.texts) == 0

    def test_vanishing_likelihoods_and_low_curves(self) -> None:
        (axes,) = plot_profile(THETA, np.where(THETA < 0.0, np.inf, 0.0)).axes
        assert np.isfinite(axes.get_ylim()[1])
        (axes,) = plot_profile(THETA, [0.1 * Q, 9.0 * Q]).axes
        assert axes.get_ylim()[1] == pytest.approx(2.0 * contour_level(0.95, 1))

    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"values": THETA[::-1]}, OptionError, "values must be a list of two or more increas"),
            ({"q": Q[:5]}, ShapeError, r"q must be arrays of shape \(41,\), got shapes \[\(5,\)"),
            ({"q": Q - 1.0}, DataError, "not negative and not NaN, got -1"),
            ({"q": np.full(41, np.nan)}, DataError, "not negative and not NaN"),
            ({"labels": ["a", "b"]}, OptionError, "labels must be a list of 1 texts"),
            ({"best": [0.0, 0.1]}, ShapeError, "best must be an array of shape"),
            ({"best": 2.0}, DataError, "best must lie between -1 and 1"),
            ({"bands": (Q, Q, Q)}, OptionError, "bands must have a pair for each of 1"),
            ({"bands": (Q + 1.0, Q)}, DataError, "lower end is above"),
            ({"bands": (Q[:3], Q[:3])}, ShapeError, "bands must be an array"),
            ({"levels": [68.0]}, OptionError, r"levels\[0\] must be a number above 0"),
            ({"levels": []}, OptionError, "levels must be a list of one element or more"),
            ({"ax": "here"}, OptionError, "ax must be axes of a matplotlib figure"),
        ],
    )
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            plot_profile(**({"values": THETA, "q": Q} | keywords))


class TestBelt:
    CRITICAL = np.array([np.full(41, 1.0), 3.0 + THETA])

    def spans(self, axes: plt.Axes) -> np.ndarray:
        """Ranges that are shaded."""
        shaded = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        return np.array([(p.get_x(), p.get_x() + p.get_width()) for p in shaded])

    def test_curves_bands_and_asymptotics(self) -> None:
        errors = np.array([np.full(41, 0.1), np.full(41, 0.3)])
        (axes,) = plot_confidence_belt(THETA, self.CRITICAL, errors=errors, xlabel="$c$").axes
        drawn = [np.asarray(line.get_ydata()) for line in curves(axes, 41)]
        np.testing.assert_allclose(drawn, self.CRITICAL)
        np.testing.assert_allclose(heights(axes), [contour_level(c, 1) for c in (0.68, 0.95)])
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert len(dashed) == 2  # the asymptotic values
        bands = [np.asarray(c.get_paths()[0].vertices)[:, 1] for c in axes.collections]
        assert [(band.min(), band.max()) for band in bands] == [
            pytest.approx((0.9, 1.1)),
            pytest.approx((1.7, 4.3)),
        ]
        assert legend_texts(axes) == ["68 % CL", "95 % CL", "asymptotic"]
        assert len(self.spans(axes)) == 0
        assert axes.get_ylim()[1] > 4.3

    def test_intervals_are_where_the_observed_is_not_above(self) -> None:
        q = 4.0 * THETA**2
        (axes,) = plot_confidence_belt(THETA, self.CRITICAL, observed=q, asymptotic=[0.9, 2.0]).axes
        # 4 t^2 = 1 and 4 t^2 = 3 + t
        expected = [(-0.5, 0.5), (-0.75, 1.0)]
        np.testing.assert_allclose(self.spans(axes), expected, atol=1e-3)
        np.testing.assert_allclose(heights(axes), [0.9, 2.0])
        np.testing.assert_allclose(curves(axes, 41)[-1].get_ydata(), q)

    def test_disjoint_intervals(self) -> None:
        q = 40.0 * (THETA**2 - 0.3) ** 2
        (axes,) = plot_confidence_belt(THETA, [np.full(41, 0.4)], levels=[0.5], observed=q).axes
        ends = np.sqrt([0.3 - 0.1, 0.3 + 0.1])  # (t^2 - 0.3)^2 = 0.01
        np.testing.assert_allclose(self.spans(axes), [-ends[::-1], ends], atol=5e-3)

    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"critical": np.ones((1, 41))}, ShapeError, r"critical must be .* \(2, 41\)"),
            ({"critical": np.full((2, 41), np.inf)}, DataError, "critical must be finite"),
            ({"errors": np.ones(41)}, ShapeError, "errors must be an array"),
            ({"errors": -np.ones((2, 41))}, DataError, "errors must not be negative"),
            ({"asymptotic": [1.0]}, ShapeError, r"asymptotic must be .* \(2,\)"),
            ({"observed": np.ones(3)}, ShapeError, r"observed must be .* \(41,\)"),
            ({"observed": -np.ones(41)}, DataError, "not negative"),
            ({"theta": np.zeros(41)}, OptionError, "theta must be a list of two or more incr"),
        ],
    )
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            plot_confidence_belt(**({"theta": THETA, "critical": self.CRITICAL} | keywords))


class TestCorner:
    RANGES = ((-1.0, 1.0), (-2.0, 2.0), (-1.5, 1.5))
    GRID = regular_grid(RANGES, [21, 25, 31])
    MATRIX = np.array([[16.0, 4.0, 1.0], [4.0, 4.0, -1.0], [1.0, -1.0, 6.0]])
    Q = np.einsum("ni,ij,nj->n", GRID, MATRIX, GRID)
    NAMES = ("$c_W$", "$c_B$ [TeV$^{-2}$]", "$c_H$")

    def panels(self, figure: Figure) -> dict[tuple[int, int], plt.Axes]:
        """Panels by column and row; those above the diagonal do not exist."""
        places = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)]
        return dict(zip(places, figure.axes, strict=True))

    def profiled(self, kept: Sequence[int]) -> np.ndarray:
        """Matrix of a quadratic form whose other variables are minimised."""
        return np.linalg.inv(np.linalg.inv(self.MATRIX)[np.ix_(kept, kept)])

    def test_profiles_of_a_quadratic_form(self) -> None:
        figure = plot_corner(self.GRID, self.Q, self.NAMES)
        for (i, j), axes in self.panels(figure).items():
            if i == j:
                (curve,) = curves(axes, [21, 25, 31][i])
                x = np.asarray(curve.get_xdata())
                expected = self.profiled([i])[0, 0] * x**2
                np.testing.assert_allclose(curve.get_ydata(), expected, atol=0.25)
                assert np.all(np.asarray(curve.get_ydata()) >= expected - 1e-9)
                levels = [contour_level(level, 1) for level in (0.68, 0.95)]
                np.testing.assert_allclose(heights(axes), levels)
            else:
                matrix = self.profiled([i, j])
                for vertices, level in zip(contour_vertices(axes), (0.68, 0.95), strict=True):
                    q = np.einsum("ni,ij,nj->n", vertices, matrix, vertices)
                    np.testing.assert_allclose(q, contour_level(level, 2), rtol=0.1)
                np.testing.assert_allclose(stars(axes), [(0.0, 0.0)], atol=1e-12)

    def test_labels_and_ranges(self) -> None:
        ranges = [(-0.9, 0.9), (-1.9, 1.9), (-1.2, 1.2)]
        panels = self.panels(plot_corner(self.GRID, self.Q, self.NAMES, ranges=ranges))
        assert [panels[i, 2].get_xlabel() for i in range(3)] == list(self.NAMES)
        assert [panels[0, j].get_ylabel() for j in (1, 2)] == list(self.NAMES[1:])
        for (i, j), axes in panels.items():
            assert axes.get_xlim() == ranges[i]
            assert axes.get_ylim()[0] == (0.0 if i == j else ranges[j][0])

    def test_several_analyses_and_the_truth(self) -> None:
        figure = plot_corner(
            self.GRID,
            [self.Q, 2.0 * self.Q],
            self.NAMES,
            labels=["rate", "full"],
            best=[[0.1, 0.2, 0.3], [0.0, -0.1, 0.4]],
            truth=[0.05, 0.5, -0.25],
            levels=[0.5],
        )
        axes = self.panels(figure)[1, 2]
        np.testing.assert_allclose(stars(axes), [(0.2, 0.3), (-0.1, 0.4)])
        one, two = contour_vertices(axes)
        assert np.ptp(two[:, 0]) == pytest.approx(np.ptp(one[:, 0]) / np.sqrt(2.0), rel=0.05)
        sets = [c for c in axes.collections if isinstance(c, ContourSet)]
        assert sets[0].linestyles != sets[1].linestyles
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in dotted][:1] == [0.5]  # type: ignore[index]
        assert [line.get_ydata()[0] for line in dotted][1:] == [-0.25]  # type: ignore[index]
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == ["rate", "full", "50 % CL", "best fit", "truth"]

    def test_contours_outside_are_reported(self) -> None:
        with pytest.warns(RuntimeWarning, match="contour at 68 % CL of analysis 0 lies outside"):
            plot_corner(self.GRID, 1e-6 * self.Q, self.NAMES, levels=[0.68])

    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"theta_grid": GRID[::-1]}, ShapeError, "must be a regular grid"),
            ({"theta_grid": GRID[1:]}, ShapeError, "must be a regular grid"),
            ({"theta_grid": THETA[:, np.newaxis], "q": Q[:41]}, ShapeError, "plot_profile"),
            ({"q": Q[1:]}, ShapeError, "q must be arrays of shape"),
            ({"parameters": ["a", "b"]}, OptionError, "parameters must be a list of 3 texts"),
            ({"best": [0.0, 0.0]}, ShapeError, r"best must be an array of shape \(1, 3\)"),
            ({"truth": [0.0, np.inf, 0.0]}, DataError, "truth must be finite"),
            ({"ranges": [(0.0, 1.0)]}, OptionError, "ranges must be a list of 3 pairs"),
            ({"ranges": [(1.0, 0.0)] * 3}, OptionError, r"ranges\[0\] must be a pair"),
        ],
    )
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
        valid = {"theta_grid": self.GRID, "q": self.Q, "parameters": self.NAMES}
        with pytest.raises(error, match=message):
            plot_corner(**(valid | keywords))  # type: ignore[arg-type]


class TestGeodesics:
    RADIUS = np.linspace(0.0, 3.0, 31)
    DIRECTIONS = np.array([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6], [0.0, -1.0]])
    LINES = tuple(DIRECTIONS[:, np.newaxis] * RADIUS[:, np.newaxis])
    GRID = regular_grid([(-3.0, 3.0), (-2.0, 2.0)], [61, 41])
    DISTANCES = np.hypot(*GRID.T)

    def test_lines_and_contours(self) -> None:
        known = np.where(self.DISTANCES < 2.5, self.DISTANCES, np.nan)
        circle = np.stack([np.cos(self.RADIUS), np.sin(self.RADIUS)], axis=1)
        (axes,) = plot_geodesics(
            self.LINES,
            [circle],
            theta0=[0.0, 0.0],
            grid=self.GRID,
            distances=known,
            levels=[0.5, 1.5],
            ylabel="$c_B$",
        ).axes
        *lines, other = curves(axes, 31)
        for line, expected in zip(lines, self.LINES, strict=True):
            np.testing.assert_allclose(line.get_xydata(), expected)
        np.testing.assert_allclose(other.get_xydata(), circle)
        for vertices, distance in zip(contour_vertices(axes), (0.5, 1.5), strict=True):
            np.testing.assert_allclose(np.hypot(*vertices.T), distance, rtol=0.01)
            assert np.ptp(np.arctan2(*vertices.T)) > 6.0  # all around
        np.testing.assert_allclose(stars(axes), [(0.0, 0.0)])
        assert legend_texts(axes) == ["geodesics", "$d = 0.5$", "$d = 1.5$", "local"]
        assert axes.get_ylabel() == "$c_B$"

    def test_contours_outside_are_reported(self) -> None:
        with pytest.warns(RuntimeWarning, match="contour at distance 9 lies outside the grid"):
            plot_geodesics(
                self.LINES,
                theta0=[0.0, 0.0],
                grid=self.GRID,
                distances=self.DISTANCES,
                levels=[9.0],
            )

    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"trajectories": []}, OptionError, "trajectories must be a list of one element"),
            ({"trajectories": [THETA]}, ShapeError, r"trajectories must be .* \(n, 2\)"),
            ({"theta0": [0.0]}, ShapeError, "theta0 must be"),
            ({"grid": GRID}, OptionError, "grid and distances must be given together"),
            ({"grid": GRID, "distances": THETA}, ShapeError, "for 61 x 41 points"),
            ({"grid": GRID, "distances": np.full(2501, np.nan)}, DataError, "but none is"),
            ({"levels": [0.0]}, OptionError, r"levels\[0\] must be a positive number"),
            ({"contours": [[1.0, 2.0]]}, ShapeError, "contours must be"),
        ],
    )
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
        valid: dict[str, Any] = {"trajectories": self.LINES, "theta0": [0.0, 0.0]}
        with pytest.raises(error, match=message):
            plot_geodesics(**(valid | keywords))


def bars(axes: plt.Axes) -> list[np.ndarray]:
    """Lengths of the bars of each kind, from the top."""
    found = [c for c in axes.containers if isinstance(c, BarContainer)]
    for container in found:
        rows = [bar.get_y() + bar.get_height() / 2.0 for bar in container]
        np.testing.assert_allclose(rows, range(len(rows)))
    return [np.array([bar.get_width() for bar in container]) for container in found]


def row_names(axes: plt.Axes) -> list[str]:
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one at the top
    return [label.get_text() for label in axes.get_yticklabels()]


def error_lengths(axes: plt.Axes) -> tuple[np.ndarray, np.ndarray]:
    """Centres and half lengths of horizontal error bars."""
    (found,) = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    segments = np.array(found.lines[2][0].get_segments())[:, :, 0]
    return segments.mean(axis=1), np.ptp(segments, axis=1) / 2.0


class TestImpacts:
    VALID: dict[str, Any] = {  # noqa: RUF012
        "names": ["jes", "pdf", "scale"],
        "pulls": [0.1, -0.5, 1.5],
        "pull_errors": [0.9, 0.8, 1.0],
        "impacts": [[0.1, -0.1], [0.2, -0.4], [0.3, 0.25]],
    }

    def test_rows_are_sorted_by_impact(self) -> None:
        figure = plot_impacts(
            **self.VALID, parameter="$m_t$", unit="GeV", estimate=(172.513, 0.331)
        )
        left, right = figure.axes
        assert row_names(left) == ["pdf", "scale", "jes"]
        centres, lengths = error_lengths(left)
        np.testing.assert_allclose(centres, [-0.5, 1.5, 0.1])
        np.testing.assert_allclose(lengths, [0.8, 1.0, 0.9])
        up, down = bars(right)
        np.testing.assert_allclose(up, [0.2, 0.3, 0.1])
        np.testing.assert_allclose(down, [-0.4, 0.25, -0.1])
        assert left.get_ylim() == right.get_ylim()
        assert right.get_xlabel() == "impact on $m_t$ [GeV]"
        assert left.get_title(loc="left") == r"$m_t$ = 172.51 $\pm$ 0.33 GeV"
        assert len(legend_texts(right)) == 2
        (band,) = left.patches
        assert isinstance(band, Rectangle)
        assert (band.get_x(), band.get_width()) == (-1.0, 2.0)
        hatches = [patch.get_hatch() for patch in right.patches]
        assert hatches == [None] * 3 + ["////"] * 3  # told apart without colours

    def test_only_the_largest_are_shown(self) -> None:
        left, right = plot_impacts(**self.VALID, n_shown=2).axes
        assert row_names(left) == ["pdf", "scale"]
        assert left.get_title(loc="right") == "2 of 3 shown"
        assert [len(kind) for kind in bars(right)] == [2, 2]
        assert right.get_xlabel() == r"impact on $\theta$"

    def test_draws_on_two_given_axes(self) -> None:
        figure, panels = plt.subplots(1, 2)
        assert plot_impacts(**self.VALID, ax=list(panels)) is figure
        assert [len(kind) for kind in bars(panels[1])] == [3, 3]

    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"names": []}, OptionError, "names must be a list of one element or more"),
            ({"pulls": [0.0]}, ShapeError, r"pulls must be an array of shape \(3,\)"),
            ({"pull_errors": [1.0, -1.0, 1.0]}, DataError, "pull_errors must not be negative"),
            ({"impacts": [[1.0, 1.0]]}, ShapeError, r"impacts must be .* \(3, 2\)"),
            ({"impacts": np.full((3, 2), np.nan)}, DataError, "impacts must be finite"),
            ({"estimate": (1.0, 0.0)}, OptionError, "error in estimate must be a positive"),
            ({"n_shown": 0}, OptionError, "n_shown must be a whole number from 1"),
            ({"parameter": 1}, OptionError, "parameter must be a text"),
        ],
    )
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            plot_impacts(**(self.VALID | keywords))

    def test_one_panel_is_not_enough(self) -> None:
        with pytest.raises(OptionError, match="ax must be a list"):
            plot_impacts(**self.VALID, ax=plt.subplots()[1])  # type: ignore[arg-type]


class TestInformationRanking:
    def test_bars_are_sorted(self) -> None:
        (axes,) = plot_information_ranking(
            ["a", "b", "c"], [0.2, 0.7, 0.4], [0.02, 0.01, 0.03], n_shown=2
        ).axes
        assert row_names(axes) == ["b", "c"]
        np.testing.assert_allclose(bars(axes), [[0.7, 0.4]])
        centres, lengths = error_lengths(axes)
        np.testing.assert_allclose(centres, [0.7, 0.4])
        np.testing.assert_allclose(lengths, [0.01, 0.03])
        assert axes.get_title(loc="right") == "2 of 3 shown"
        assert axes.get_xlabel() == "share of the full information"
        assert axes.get_xlim()[0] == 0.0

    def test_without_errors(self) -> None:
        (axes,) = plot_information_ranking(["a"], [-0.1], xlabel="d").axes
        np.testing.assert_allclose(bars(axes), [[-0.1]])
        assert axes.get_xlim()[0] < -0.1
        assert axes.get_title(loc="right") == ""

    def test_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"shares must be an array of shape \(2,\)"):
            plot_information_ranking(["a", "b"], [0.1])
        with pytest.raises(DataError, match="errors must not be negative"):
            plot_information_ranking(["a"], [0.1], [-0.1])
        with pytest.raises(OptionError, match="labels must be a list of one element or more"):
            plot_information_ranking([], [])


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("plot_profile", {"values": THETA, "q": Q}),
        ("plot_confidence_belt", {"theta": THETA, "critical": [Q], "levels": [0.68]}),
        ("plot_geodesics", {"trajectories": TestGeodesics.LINES, "theta0": [0.0, 0.0]}),
        ("plot_information_ranking", {"labels": ["a"], "shares": [0.5]}),
    ],
)
def test_draws_on_given_axes_of_a_figure_or_subfigure(name: str, keywords: dict[str, Any]) -> None:
    figure = plt.figure()
    part = figure.subfigures(1, 2)[0]
    for axes in (figure.add_subplot(), part.subplots()):
        assert getattr(plotting, name)(**keywords, ax=axes) is figure
        assert len(axes.lines) + len(axes.patches) > 0
        assert axes.get_xlabel() != ""


def test_regular_axes_are_those_of_the_grid() -> None:
    axes = regular_axes(regular_grid([(0.0, 1.0), (-0.3, 0.7)], [7, 11]), "grid")
    np.testing.assert_array_equal(axes[0], np.linspace(0.0, 1.0, 7))
    np.testing.assert_array_equal(axes[1], np.linspace(-0.3, 0.7, 11))
    with pytest.raises(ShapeError, match="grid must be a regular grid"):
        regular_axes([[0.0, 1.0], [1.0, 1.0]], "grid")  # one value along an axis


def test_lists_of_arrays_are_told_from_arrays() -> None:
    assert len(one_or_list(np.zeros((3, 2)), 2)) == 1
    assert len(one_or_list([np.zeros((3, 2)), np.zeros((4, 2))], 2)) == 2
    assert one_or_list([[[1.0], [1.0, 2.0]]], 2) == [[[[1.0], [1.0, 2.0]]]]
