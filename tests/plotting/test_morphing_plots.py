"""Plots of a morphing basis show what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from madminer.errors import MorphingError, OptionError
from madminer.morphing import PhysicsMorpher
from madminer.plotting.morphing import (
    plot_1d_morphing_basis,
    plot_2d_morphing_basis,
    plot_nd_morphing_basis_scatter,
    plot_nd_morphing_basis_slices,
)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def make_morpher(n_parameters: int) -> PhysicsMorpher:
    morpher = PhysicsMorpher(
        parameter_max_power=[2] * n_parameters, parameter_range=[(-1.0, 1.0)] * n_parameters
    )
    morpher.find_components(2)
    morpher.optimize_basis(n_trials=10, seed=1)
    return morpher


def test_one_parameter(tmp_path: Path) -> None:
    morpher = make_morpher(1)
    figure = plot_1d_morphing_basis(morpher, xlabel="$c$", resolution=50)
    top, bottom = figure.axes
    thetas, weights = top.lines[0].get_data()
    expected = morpher.calculate_morphing_weights(np.asarray(thetas)[:, np.newaxis])
    np.testing.assert_allclose(weights, expected[:, 0])
    sizes = bottom.lines[-1].get_ydata()
    np.testing.assert_allclose(sizes, np.linalg.norm(expected, axis=1))
    assert bottom.get_xlabel() == "$c$"
    figure.savefig(tmp_path / "plot.png")


def test_two_parameters(tmp_path: Path) -> None:
    morpher = make_morpher(2)
    figure = plot_2d_morphing_basis(morpher, "c0", "c1", (-2.0, 2.0), (-1.0, 3.0), resolution=20)
    axes, bar = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2.0, 2.0), (-1.0, 3.0))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("c0", "c1")
    assert "Size of the morphing weights" in bar.get_ylabel()
    points = axes.lines[-1].get_xydata()
    np.testing.assert_array_equal(points, morpher.basis)
    sizes = np.asarray(axes.collections[0].get_array()).reshape(20, 20)
    corner = morpher.calculate_morphing_weights([2.0, -1.0])  # x runs along rows
    assert sizes[0, -1] == pytest.approx(np.linalg.norm(corner))
    figure.savefig(tmp_path / "plot.png")


@pytest.mark.parametrize("n_parameters", [2, 3])
def test_many_parameters(tmp_path: Path, n_parameters: int) -> None:
    morpher = make_morpher(n_parameters)
    n_panels = n_parameters * (n_parameters - 1) // 2
    for figure in (
        plot_nd_morphing_basis_scatter(morpher, n_test_thetas=50, seed=2),
        plot_nd_morphing_basis_slices(morpher, resolution=10),
    ):
        visible = [axes for axes in figure.axes if axes.get_visible()]
        assert len(visible) == n_panels + 1
        figure.savefig(tmp_path / "plot.png")


def test_slices_pass_through_zero_or_the_middle() -> None:
    morpher = PhysicsMorpher(
        parameter_max_power=[2] * 3, parameter_range=[(-1.0, 1.0), (-1.0, 1.0), (2.0, 4.0)]
    )
    morpher.find_components(2)
    morpher.optimize_basis(n_trials=10, seed=3)
    figure = plot_nd_morphing_basis_slices(morpher, resolution=10)
    sizes = np.asarray(figure.axes[0].collections[0].get_array()).reshape(10, 10)
    corner = morpher.calculate_morphing_weights([-1.0, 1.0, 3.0])
    assert sizes[-1, 0] == pytest.approx(np.linalg.norm(corner))


def test_same_seed_gives_the_same_points() -> None:
    def offsets(seed: int) -> Any:
        figure = plot_nd_morphing_basis_scatter(make_morpher(2), n_test_thetas=20, seed=seed)
        return figure.axes[0].collections[0].get_offsets()

    np.testing.assert_array_equal(offsets(4), offsets(4))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(OptionError, match="for 1 parameters, but the morpher has 2"):
        plot_1d_morphing_basis(make_morpher(2))
    with pytest.raises(OptionError, match="for two or more parameters, but the morpher has 1"):
        plot_nd_morphing_basis_scatter(make_morpher(1))
    with pytest.raises(OptionError, match="low < high"):
        plot_1d_morphing_basis(make_morpher(1), xrange=(1.0, 0.0))
    with pytest.raises(OptionError, match=r"crange\[0\] must be a positive number"):
        plot_2d_morphing_basis(make_morpher(2), crange=(0.0, 1.0))
    empty = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    with pytest.raises(MorphingError, match="no basis to plot"):
        plot_1d_morphing_basis(empty)


def test_corner_plots_take_labels() -> None:
    labels = [r"$\alpha$", "b", "c"]
    for plot in (plot_nd_morphing_basis_scatter, plot_nd_morphing_basis_slices):
        figure = plot(make_morpher(3), parameter_labels=labels)
        texts = {axes.get_xlabel() for axes in figure.axes if axes.get_visible()}
        assert {r"$\alpha$", "b"} <= texts
        with pytest.raises(OptionError, match="must name the 3 parameters"):
            plot(make_morpher(3), parameter_labels=["a"])
