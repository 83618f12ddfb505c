"""The numbers of the demonstration's report; its text is ``report.html.jinja``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.figures import LEVELS, N_RANKED, draw_figures, draw_validations
from madminer.demo.inference import Limits
from madminer.fisherinformation import expected_limits
from madminer.limits import LimitGrid
from madminer.report import Table, render_page
from madminer.stats import contour_level
from madminer.text import with_error

if TYPE_CHECKING:
    from madminer.demo.chain import DemoResult


def make_page(result: DemoResult, began: float) -> str:
    """The page; the work began at `began`, by `time.perf_counter`."""
    events, settings = result.events, result.settings
    detector = DataAnalyzer(events.detector_file)
    sigma, error = (float(a[0]) for a in detector.xsecs([events.theta_reference]))
    widths = expected_limits(result.informations.sally).profiled
    parameters, morphing = events.setup.parameters, events.setup.morphing
    uncertainties = result.varied_events.norm_uncertainties
    return render_page(
        "madminer.demo",
        "report.html.jinja",
        result.checks,
        process=events.process,
        parameters=parameters,
        names=list(parameters),
        reference=events.reference,
        source=events.source,
        measurement=events.measurement,
        n_basis=0 if morphing is None else morphing.n_basis,
        luminosity=f"{settings.luminosity / 1000:g} fb⁻¹",
        level=f"{contour_level(1.0 - LEVELS[0], 2):.2f}",
        n_events=f"{DataAnalyzer(events.parton_file).n_samples:,}",
        cross_section=with_error(1000 * sigma, 1000 * error),
        n_expected=with_error(settings.luminosity * sigma, settings.luminosity * error),
        precisions={name: f"{w:.3g}" for name, w in zip(parameters, widths, strict=True)},
        benchmarks=_benchmarks(result, detector),
        informations=_informations(result),
        ranking=_ranking(result),
        best=result.informations.ranking.best.label,
        areas=_areas(result),
        p_reference=_p_reference(result),
        uncertainty=" and ".join(f"{100 * abs(u):.3g} % ({n})" for n, u in uncertainties.items()),
        n_toys=settings.n_toys,
        validations=result.validations,
        command=_command(result),
        **draw_figures(result),
        curves=draw_validations(result),
        seconds=time.perf_counter() - began,
    )


def _command(result: DemoResult) -> str:
    settings = result.settings
    options = {
        "events": settings.n_events,
        "lhe": settings.lhe,
        "setup": settings.setup,
        "sampled-from": settings.sampled_from,
        "reference": settings.reference,
        "seed": settings.seed,
    }
    given = (f" --{name} {value}" for name, value in options.items() if value is not None)
    return "madminer demo --out DIR" + "".join(given)


def _benchmarks(result: DemoResult, detector: DataAnalyzer) -> Table:
    setup = result.events.setup
    points = zip(setup.physical_benchmarks, setup.benchmark_thetas, *detector.xsecs(), strict=False)
    rows = [
        [name, *(f"{value:g}" for value in theta), with_error(1000 * sigma, 1000 * error)]
        for name, theta, sigma, error in points
    ]
    return Table(("benchmark", *setup.parameters, "selected cross section [fb]"), rows)


def _widths(result: DemoResult) -> list[str]:
    """Heads of the columns of standard deviations."""
    return [f"σ({name})" for name in result.events.setup.parameters]


def _informations(result: DemoResult) -> Table:
    rows = []
    for key, label in result.informations.labels.items():
        matrix = getattr(result.informations, key)
        covariance = result.informations.covariances.get(key)
        limits = expected_limits(matrix, covariance=covariance)
        elements, widths = (matrix[0, 0], matrix[0, 1], matrix[1, 1]), limits.profiled
        errors: list[float] = [0.0] * 5
        if covariance is not None and limits.profiled_errors is not None:
            variances = [covariance[i, j, i, j] for i, j in ((0, 0), (0, 1), (1, 1))]
            errors = [*np.sqrt(np.maximum(variances, 0.0)), *limits.profiled_errors]
        texts = [with_error(*pair) for pair in zip((*elements, *widths), errors, strict=True)]
        rows.append([label, *texts])
    *rows, selected = rows  # the truth of the selected events, or of all if none is rejected
    same = next((row for row in rows if row[1:] == selected[1:]), None)
    if same is None:
        rows.append(selected)
    else:
        same[0] += ", of all and of the selected events"
    return Table(("from", "I₁₁", "I₁₂", "I₂₂", *_widths(result)), rows)


def _ranking(result: DemoResult) -> Table:
    rows = [
        [
            entry.label,
            with_error(100.0 * entry.share, 100.0 * entry.share_error),
            *map(with_error, entry.standard_deviations),
        ]
        for entry in result.informations.ranking.entries[: N_RANKED + 1]  # the first is the truth
    ]
    return Table(("from", "share [%]", *_widths(result)), rows)


def _areas(result: DemoResult) -> Table:
    limits = result.limits
    rows = []
    for name, label in result.analyses.items():
        pair = limits.nominal[name], limits.profiled[name]
        rows.append([label, *(_area(limits, grid, level) for level in LEVELS for grid in pair)])
    kinds = ("known", "profiled")
    heads = (f"{100 * (1 - level):.0f} % CL, {kind}" for level in LEVELS for kind in kinds)
    return Table(("from", *heads), rows)


def _area(limits: Limits, grid: LimitGrid, level: float) -> str:
    """Area that is not excluded, in the units of the parameters."""
    return "all" if grid.p_values.min() >= level else f"{limits.area(grid, level):.3g}"


def _p_reference(result: DemoResult) -> float:
    """The p-value of the reference itself, at the nearest point of the grid; one if all is well."""
    grid = result.limits.nominal["alices"]
    scales = [high - low for low, high in result.limits.ranges]
    distances = np.abs((grid.theta_grid - result.events.theta_reference) / scales).sum(axis=1)
    return float(grid.p_values[np.argmin(distances)])
