"""The report of an analysis: limits between grid points, informations with nuisance parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from madminer.io import EventFile, write_events
from madminer.report import draw
from madminer.workflow import load_analysis, plan_analysis
from madminer.workflow.report import curve_figure, ellipses_figure, map_figure

GRID = {"grid_ranges": [[-1.0, 1.0], [-1.0, 1.0]], "grid_resolutions": 9, "luminosity": 100.0}


def write_analysis(folder: Path, events: Path) -> Path:
    """An analysis of events that are there, with a network that does not know nu."""
    content = {
        "name": "report",
        "setup": {"file": str(events)},
        "events": {"files": [str(events)]},
        "samples": {"local": {"kind": "weighted", "theta": "sm", "nuisances": "none"}},
        "estimators": {
            "sally": {
                "type": "score",
                "method": "sally",
                "sample": "local",
                "settings": {"n_hidden": [4]},
                "options": {"n_epochs": 1, "verbose": "none"},
            }
        },
        "validation": {"must_pass": False},
        "information": {
            "theta": "sm",
            "luminosity": 100.0,
            "estimators": ["sally"],
            "histograms": {"k3": 4},
        },
        "limits": {
            "joint": {"mode": "truth", "theta_true": "sm", "options": GRID},
            "alone": {"mode": "truth", "theta_true": "sm", "options": {**GRID, "dof": 1}},
        },
    }
    file = folder / "report.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def page(nuisance_event_file: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    source = EventFile(nuisance_event_file(1500))
    nuisances = source.setup.nuisance_parameters
    name = "scale_nuisance_param_0"  # as readers call it
    setup = replace(
        source.setup,
        nuisance_parameters={"nu0": nuisances["nu0"], name: replace(nuisances["nu1"], name=name)},
    )
    write_events(folder / "events.h5", setup, source.read(), source.summary)
    file = write_analysis(folder, folder / "events.h5")
    plan_analysis(load_analysis(file)).run()
    return (folder / "report_results" / "report.html").read_text()


def heads(page: str) -> list[list[str]]:
    return [
        re.findall(r"<th scope=\"col\">(.*?)</th>", head)
        for head in re.findall(r"<thead>(.*?)</thead>", page)
    ]


def test_columns_have_short_names(page: str) -> None:
    for first in ("information on", "standard deviation of"):
        assert [first, "a", "b", "nu0", "scale"] in heads(page)
    assert "nuisance_param" not in page[: page.index('id="again"')]


def test_every_information_is_compared_on_the_theory_parameters(page: str) -> None:
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", page)
    names = [name for name, _ in rows]
    for name in ("truth", "histogram of k3", "sally, ν fixed"):
        assert names.count(name) == 2
    assert "Nuisance parameters ν (nu0, scale) are profiled within their constraints" in page
    assert 'alt="Expected 1 sigma contours in a and b."' in page


def test_limits_say_what_their_intervals_are(page: str) -> None:
    levels = ("68 % CL", "95 % CL")
    for kind in ("region, projected", "interval"):
        assert ["parameter", "best fit", *(f"{level} {kind}" for level in levels)] in heads(page)
    assert "The regions hold a and b together (−2 log r up to 2.28 and 5.99)" in page
    assert "(−2 log r up to 0.99 and 3.84), each parameter alone, the others free" in page


def test_profiled_ellipses_are_larger_than_fixed_ones() -> None:
    joint = np.array([[4.0, 0.5, 1.5], [0.5, 3.0, 1.0], [1.5, 1.0, 2.0]])
    figure = ellipses_figure({"profiled": joint, "ν fixed": joint[:2, :2]}, ["a", "b"])
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "profiled",
        "ν fixed",
    ]
    widths = [
        float(np.ptp(np.concatenate([p.vertices for p in c.get_paths()])[:, 0]))
        for c in figure.axes[0].collections[:2]
    ]
    exact = [2.0 * np.sqrt(np.linalg.inv(m)[0, 0]) for m in (joint, joint[:2, :2])]
    np.testing.assert_allclose(widths, exact, rtol=0.02)
    assert draw(figure, "ellipses").width > 0


def test_what_measures_nothing_has_no_ellipse() -> None:
    blind = np.array([[1.0, 1.0], [1.0, 1.0]])
    negative = np.diag([1.0, -1.0])
    unknown = np.diag([1.0, 1.0, 0.0])  # of a nuisance parameter
    matrices = {"blind": blind, "negative": negative, "unknown": unknown}
    assert ellipses_figure(matrices, ["a", "b"]) is None


@pytest.mark.parametrize("n_excluded", [0, 2])
def test_what_is_excluded_is_shaded(n_excluded: int) -> None:
    theta = np.linspace(-1.0, 1.0, 21)
    log_r = -0.5 * (theta / (0.2 if n_excluded else 5.0)) ** 2
    p_values = np.exp(log_r)
    figure = curve_figure(theta, p_values, "c", (0.68, 0.95))
    assert len(figure.axes[0].patches) == 2 * n_excluded  # both sides, two levels
    picture = draw(figure, "curve")
    values = np.minimum.outer(p_values, p_values).ravel()
    figure = map_figure(values, "x", ["a", "b"], [(-1, 1), (-1, 1)], 21, (0.68, 0.95))
    shades = [c for c in figure.axes[0].collections if getattr(c, "filled", False)]
    assert len(shades) == n_excluded
    assert not picture.has_colour_map
    assert not draw(figure, "map").has_colour_map


def test_an_analysis_file_shows_its_sections(
    nuisance_event_file: Callable[..., Path], tmp_path: Path
) -> None:
    found = load_analysis(write_analysis(tmp_path, nuisance_event_file(50)))
    assert repr(found) == f"AnalysisFile(report, {tmp_path / 'report.yaml'})"
    rows = dict(found.table.rows)
    assert rows["results"] == str(tmp_path / "report_results")
    assert rows["events"] == "1 event files"
    assert rows["limits"] == "joint, alone"
    assert "<td>sally</td>" in found._repr_html_()
