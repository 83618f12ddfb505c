"""Slow twins, event by event, of the limits from all histograms."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import dist, log, prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.limits import AsymptoticLimits, regular_grid

L = 50.0
MakeFile = Callable[..., Path]
Row = tuple[float, ...]


@dataclass
class Twin:
    """Histograms event by event, without NumPy."""

    mode: str
    bins: list[Any]
    fixing: str | None = "grid"
    thetaref: Row = (0.0, 0.0)
    postprocessing: Callable[[Row], Row] = field(default=lambda row: row)
    n_binning: int | None = None

    def log_l(
        self,
        simulated: list[tuple[Row, Row]],
        data: list[tuple[Row, float]],
        thetas: list[Row],
    ) -> list[float]:
        """Log likelihoods at points: simulated (statistics, latent z), data (statistics, weight).

        Statistics are what does not depend on theta: observables, or scores at thetaref.
        """
        results = []
        divided = self.mode in {"sallino", "adaptive-sally"}
        for theta in thetas:
            rows = [self.statistic(row, theta) for row, _ in simulated]
            few = self.n_binning or len(rows)
            weights = self.binning_weights([z for _, z in simulated], theta, thetas)
            edges = [
                slow_edges(column, weights[:few], n) if isinstance(n, int) else n
                for column, n in zip(zip(*rows[:few], strict=True), self.bins, strict=True)
            ]
            points = [self.statistic(row, theta) for row, _ in data]
            total = 0.0
            for sign, at in ((1.0, theta), (-1.0, self.thetaref))[: 1 + divided]:
                log_density = slow_density(rows, [weight(z, at) for _, z in simulated], edges)
                total += sign * sum(
                    w * log_density(p) for p, (_, w) in zip(points, data, strict=True)
                )
            results.append(total)
        return results

    def statistic(self, row: Row, theta: Row) -> Row:
        step = [a - b for a, b in zip(theta, self.thetaref, strict=False)]
        length = dist(theta, self.thetaref) if len(theta) == len(self.thetaref) else 0.0
        along = row[0]
        if length > 1e-6 and self.mode in {"sallino", "adaptive-sally"}:
            along = sum(s * d for s, d in zip(row, step, strict=True)) / length
        if self.mode == "sallino":
            turned: Row = (along,)
        elif self.mode != "adaptive-sally" or len(row) == 1:
            turned = row
        elif len(row) == 2:
            across = (row[1] * step[0] - row[0] * step[1]) / length if length > 1e-6 else row[1]
            turned = (along, across)
        else:
            turned = (along, *row)
        return self.postprocessing(turned)

    def binning_weights(self, z: list[Row], theta: Row, thetas: list[Row]) -> list[float]:
        if self.fixing == "grid":
            return [sum(weight(one, t) for t in thetas) for one in z]
        if self.fixing == "center":
            theta = tuple((min(column) + max(column)) / 2 for column in zip(*thetas, strict=True))
        return [weight(one, theta) for one in z]


def weight(z: Row, theta: Row) -> float:
    return (1.0 + sum(a * b for a, b in zip(z, theta, strict=True))) ** 2


def slow_edges(values: Row, weights: list[float], n_bins: int) -> list[float]:
    """Quantiles even from 0.1 to 99.9 % of the centred cumulative weights, stretched to [0, 1]."""
    order = sorted(range(len(values)), key=values.__getitem__)
    centred, below = [], 0.0
    for i in order:
        centred.append(below + weights[i] / 2)
        below += weights[i]
    share = [(c - centred[0]) / (centred[-1] - centred[0]) for c in centred]
    edges = []
    for j in range(n_bins + 1):
        q = 0.001 + 0.998 * j / n_bins
        i = bisect_right(share, q)
        part = (q - share[i - 1]) / (share[i] - share[i - 1])
        low, high = values[order[i - 1]], values[order[i]]
        edges.append(low + part * (high - low))
    return edges


def slow_widths(edges: list[float]) -> list[float]:
    widths = [high - low for low, high in pairwise(edges)]
    if len(widths) > 1:
        low, high = min(widths[0], 2 * widths[1]), min(widths[-1], 2 * widths[-2])
        widths[0], widths[-1] = low, high
    return widths


def slow_density(
    rows: list[Row], weights: list[float], edges: list[list[float]]
) -> Callable[[Row], float]:
    """Log density of a histogram; events outside lie in the outer bins."""

    def cell(row: Row) -> tuple[int, ...]:
        return tuple(
            min(max(bisect_left(e, value) - 1, 0), len(e) - 2)
            for value, e in zip(row, edges, strict=True)
        )

    content: dict[tuple[int, ...], float] = defaultdict(float)
    for row, w in zip(rows, weights, strict=True):
        content[cell(row)] += w
    total, n_bins = sum(content.values()), prod(len(e) - 1 for e in edges)
    widths = [slow_widths(e) for e in edges]

    def log_density(row: Row) -> float:
        k = cell(row)
        share = (content.get(k, 0.0) / total + 1e-12) / (1.0 + n_bins * 1e-12)
        return log(share / prod(w[i] for w, i in zip(widths, k, strict=True)))

    return log_density


def score(z: Row, theta: Row) -> Row:
    scale = 1.0 + sum(a * b for a, b in zip(z, theta, strict=True))
    return tuple(2.0 * value / scale for value in z)


HISTO: list[tuple[dict[str, Any], Twin]] = [
    ({"hist_vars": ["x0"]}, Twin("histo", [25])),
    ({"hist_vars": ["x0", "z1"]}, Twin("histo", [8, 8])),
    ({"hist_vars": ["x0", "z1", "z0"]}, Twin("histo", [5, 5, 5])),
    ({"hist_vars": ["x0", "z0"], "hist_bins": [4, 3]}, Twin("histo", [4, 3])),
    ({"hist_vars": ["x0"], "hist_bins": [-1.0, 0.0, 0.5, 4.0]}, Twin("histo", [[-1, 0, 0.5, 4]])),
    (
        {"hist_vars": ["x0", "z1"], "hist_bins": [[-3.0, 0.0, 0.3], [0.0, 1.0]]},
        Twin("histo", [[-3, 0, 0.3], [0, 1]]),
    ),
    ({"hist_vars": ["z0**2 - x0"], "hist_bins": 7}, Twin("histo", [7])),
    ({"hist_vars": ["x0"], "fix_adaptive_binning": "center"}, Twin("histo", [25], "center")),
    ({"hist_vars": ["x0"], "fix_adaptive_binning": "auto-center"}, Twin("histo", [25], "center")),
    ({"hist_vars": ["x0"], "fix_adaptive_binning": False}, Twin("histo", [25], None)),
    ({"hist_vars": ["x0"], "n_binning_toys": 100}, Twin("histo", [25], n_binning=100)),
    (
        {"hist_vars": ["x0", "z1"], "postprocessing": lambda s: s[:, :1] + s[:, 1:] ** 3},
        Twin("histo", [25], postprocessing=lambda s: (s[0] + s[1] ** 3,)),
    ),
]


def pairs(x: np.ndarray, columns: list[np.ndarray], p: int) -> list[tuple[Row, Row]]:
    return [
        (tuple(row), tuple(z))
        for row, z in zip(np.stack(columns, axis=1).tolist(), x[:, :p].tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def two(latent_event_file: MakeFile) -> AsymptoticLimits:
    return AsymptoticLimits(latent_event_file())


@pytest.fixture(scope="module")
def observed() -> np.ndarray:
    """Observables, some far outside."""
    return np.random.default_rng(9).normal(scale=1.5, size=(30, 3))


GRID = regular_grid([(-0.4, 0.4)] * 2, 3)


@pytest.mark.parametrize(("options", "twin"), HISTO)
def test_histograms_of_observables(
    two: AsymptoticLimits, observed: np.ndarray, options: dict[str, Any], twin: Twin
) -> None:
    functions = {
        "x0": lambda x: x[:, 2],
        "z0": lambda x: x[:, 0],
        "z1": lambda x: x[:, 1],
        "z0**2 - x0": lambda x: x[:, 0] ** 2 - x[:, 2],
    }
    found = two.observed_limits("histo", observed, thetas_eval=GRID, luminosity=L, **options)
    x = two.event_file.read(0, 480).x
    columns = [functions[name] for name in options["hist_vars"]]
    data = [(row, 1.0) for row, _ in pairs(observed, [c(observed) for c in columns], 2)]
    expected = twin.log_l(pairs(x, [c(x) for c in columns], 2), data, [*map(tuple, GRID.tolist())])
    np.testing.assert_allclose(found.llr_kin, expected, rtol=1e-10)


SCORES: list[tuple[int, str, dict[str, Any], Twin]] = [
    (2, "histo", {}, Twin("sally", [8, 8])),
    (2, "sally", {}, Twin("sally", [8, 8])),
    (2, "sally", {"hist_bins": 3, "thetaref": [0.1, 0.0]}, Twin("sally", [3, 3])),
    (2, "sally", {"score_components": [1]}, Twin("sally", [25])),
    (2, "sally", {"fix_adaptive_binning": None}, Twin("sally", [8, 8], None)),
    (3, "sally", {}, Twin("sally", [5, 5, 5])),
    (2, "adaptive-sally", {}, Twin("adaptive-sally", [15, 5], None)),
    (2, "adaptive-sally", {"fix_adaptive_binning": "grid"}, Twin("adaptive-sally", [15, 5])),
    (
        2,
        "adaptive-sally",
        {"fix_adaptive_binning": "center", "hist_bins": [6, 2]},
        Twin("adaptive-sally", [6, 2], "center"),
    ),
    (
        2,
        "adaptive-sally",
        {"thetaref": [0.2, -0.1]},
        Twin("adaptive-sally", [15, 5], None, thetaref=(0.2, -0.1)),
    ),
    (
        2,
        "adaptive-sally",
        {"hist_bins": [[-1.0, 0.0, 2.0], [-2.0, 0.0, 1.0, 2.0]]},
        Twin("adaptive-sally", [[-1, 0, 2], [-2, 0, 1, 2]], None),
    ),
    (
        3,
        "adaptive-sally",
        {},
        Twin("adaptive-sally", [12, 5, 5, 5], None, thetaref=(0.0, 0.0, 0.0)),
    ),
    (1, "adaptive-sally", {}, Twin("adaptive-sally", [25], None, thetaref=(0.0,))),
    (1, "sallino", {}, Twin("sallino", [25], None, thetaref=(0.0,))),
    (2, "sallino", {}, Twin("sallino", [25], None)),
    (2, "sallino", {"fix_adaptive_binning": "grid"}, Twin("sallino", [25])),
    (2, "sallino", {"thetaref": "b1"}, Twin("sallino", [25], None, thetaref=(1.0, 0.0))),
    (3, "sallino", {"hist_bins": 9}, Twin("sallino", [9], None, thetaref=(0.0, 0.0, 0.0))),
    (
        2,
        "sallino",
        {"postprocessing": lambda s: np.hstack([s, s**2]), "hist_bins": [4, 3]},
        Twin("sallino", [4, 3], None, postprocessing=lambda s: (s[0], s[0] ** 2)),
    ),
]


@pytest.mark.parametrize(("p", "mode", "options", "twin"), SCORES)
def test_histograms_of_scores(
    latent_event_file: MakeFile,
    exact_score: Callable[..., Any],
    p: int,
    mode: str,
    options: dict[str, Any],
    twin: Twin,
) -> None:
    """Expected limits; the Asimov events are the last fifth with their weights at the truth."""
    limits = AsymptoticLimits(latent_event_file(p, 400))
    thetas = regular_grid([(-0.3, 0.3)] * p, [3, 3, 2][:p])
    truth = tuple(thetas[-1].tolist())
    reference = tuple(limits.setup.theta(options.get("thetaref", [0.0] * p)).tolist())
    found = limits.expected_limits(
        mode,
        truth,
        thetas_eval=thetas,
        luminosity=L,
        model_file=exact_score(reference),
        **options,
    )
    x = limits.event_file.read().x
    chosen = options.get("score_components", range(p))
    scores = [tuple(score(z, reference)[i] for i in chosen) for z in map(tuple, x[:, :p].tolist())]
    events = list(zip(scores, map(tuple, x[:, :p].tolist()), strict=True))
    w = [weight(z, truth) for _, z in events]
    n = L * sum(w) / len(w)
    data = [
        (row, n * one / sum(w[320:])) for (row, _), one in zip(events[320:], w[320:], strict=True)
    ]
    points = [tuple(t) for t in thetas.tolist()]
    np.testing.assert_allclose(
        found.llr_kin, twin.log_l(events[:320], data, points), rtol=1e-9, atol=1e-9
    )
    assert found.n_observed == pytest.approx(n)
