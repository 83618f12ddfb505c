"""Odd values of every option of every plot end in a named error, and the default passes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from madminer import plotting
from madminer.errors import MadMinerError, OptionError
from madminer.evidence import Graph, Series, ValidationCheck
from madminer.morphing import PhysicsMorpher

ODD = (-1, 0, 2.5, np.nan, np.inf, "x", None, True, [], {}, (1,), (1, 0), (0, np.nan), 10**50)
PLOTS = [getattr(plotting, name) for name in plotting.__all__]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def morpher(n: int) -> PhysicsMorpher:
    made = PhysicsMorpher(parameter_max_power=[2] * n, parameter_range=[(-1.0, 1.0)] * n)
    made.find_components(2)
    made.optimize_basis(n_bases=1, n_trials=5, n_test_thetas=5, seed=1)
    return made


@pytest.fixture(scope="module")
def arguments(nuisance_event_file: Callable[..., Path]) -> dict[str, dict[str, Any]]:
    """Arguments that draw quickly, by the name of the function."""
    file = {"filename": nuisance_event_file(300), "n_toys": 2, "n_bins": 3}
    one = {**file, "theta": "sm", "observable": "k5", "obs_label": "k", "obs_range": (0, 0.004)}
    information = {"fisher_information_matrices": [np.eye(2)]}
    grid = [[a, b] for a in range(3) for b in range(3)]
    points = Series("a", np.arange(3.0), np.arange(3.0), np.ones(3))
    check = ValidationCheck(
        "c", "q", 1.0, 0.1, "r", "w", "passed", "m", graph=Graph("x", "y", (points,), "diagonal")
    )
    return {
        "plot_1d_morphing_basis": {"morpher": morpher(1), "resolution": 4},
        "plot_2d_morphing_basis": {"morpher": morpher(2), "resolution": 4},
        "plot_nd_morphing_basis_scatter": {"morpher": morpher(2), "n_test_thetas": 4},
        "plot_nd_morphing_basis_slices": {"morpher": morpher(2), "resolution": 4},
        "plot_fisher_information_contours_2d": {**information, "resolution": 20},
        "plot_fisherinfo_barplot": {**information, "labels": ["a"]},
        "plot_distribution_of_information": {
            "xbins": [0, 1, 2],
            "xsecs": [1, 1, 1, 1],
            "fisher_information_matrices": np.array([np.eye(2)] * 4),
        },
        "plot_pvalue_limits": {
            "p_values": [np.full(9, 0.5)],
            "best_fits": [0],
            "labels": ["a"],
            "grid_ranges": [(0, 1), (0, 1)],
            "grid_resolutions": 3,
        },
        "plot_histograms": {
            "histos": [SimpleNamespace(edges=[[0, 1, 2]], histo=[0.5, 0.5])],
            "observed": [0.5, 1.5],
        },
        "plot_profile": {"values": [0, 1, 2], "q": [1, 0, 4]},
        "plot_corner": {"theta_grid": grid, "q": np.arange(9.0), "parameters": ["a", "b"]},
        "plot_confidence_belt": {
            "theta": [0, 1, 2],
            "critical": [[1, 1, 1]],
            "levels": [0.68],
            "observed": [4, 0, 4],
        },
        "plot_geodesics": {
            "trajectories": [[[0, 0], [1, 1]]],
            "theta0": [0, 0],
            "grid": grid,
            "distances": np.arange(9.0),
        },
        "plot_impacts": {
            "names": ["a"],
            "pulls": [0.0],
            "pull_errors": [1.0],
            "impacts": [[1, -1]],
        },
        "plot_checks": {"checks": [check]},
        "plot_information_ranking": {"labels": ["a"], "shares": [0.5]},
        "plot_distributions": {**file, "observables": ["k5"], "parameter_points": ["sm"]},
        "plot_uncertainty": one,
        "plot_systematics": one,
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_odd_values_end_in_a_named_error(
    plot: Callable[..., object], arguments: dict[str, dict[str, Any]]
) -> None:
    valid = arguments[plot.__name__]
    plot(**valid)
    for name in set(inspect.signature(plot).parameters) - {"morpher", "filename", "ax"}:
        for value in ODD:
            with contextlib.suppress(MadMinerError):
                plot(**valid | {name: value})
            plt.close("all")


def test_the_option_is_named(arguments: dict[str, dict[str, Any]]) -> None:
    valid = arguments["plot_fisher_information_contours_2d"]
    for name, value in {
        "colors": "no",
        "linestyles": "..",
        "alphas": 2.0,
        "resolution": 1e3,
    }.items():
        with pytest.raises(OptionError, match=f"{name} must be"):
            plotting.plot_fisher_information_contours_2d(**valid | {name: value})
