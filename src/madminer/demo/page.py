"""The numbers and figures of the demonstration's report; its text is ``report.html.jinja``."""

from __future__ import annotations

import math
import time

import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.figures import (
    heading,
    plot_coverage,
    plot_information,
    plot_nuisance_limits,
    plot_ranking,
    plot_score_closure,
    plot_score_maps,
    plot_training,
    with_heading,
)
from madminer.demo.inference import ANALYSES, LADDER, Limits
from madminer.demo.results import DemoResult
from madminer.fisherinformation import expected_limits
from madminer.limits import LimitGrid
from madminer.plotting import (
    plot_distributions,
    plot_fisher_information_contours_2d,
    plot_pvalue_limits,
)
from madminer.plotting.style import plain
from madminer.report import Picture, Table, draw, render_page
from madminer.stats import contour_level
from madminer.text import with_error
from madminer.typing import FloatArray

LEVELS = (0.32, 0.05)
"""p-values on the contours of limits; the first is that of all figures."""


N_RANKED = 15
"""Largest number of histograms that a ranking shows."""


def make_page(result: DemoResult, began: float) -> str:
    """Write the page.

    Args:
        result: Everything that was computed.
        began: When the work began, by `time.perf_counter`.

    Returns:
        The page.
    """
    events, settings = result.events, result.settings
    detector = DataAnalyzer(events.detector_file)
    sigma, error = (float(a[0]) for a in detector.xsecs([events.theta_reference]))
    widths = expected_limits(result.informations.sally).profiled
    morphing = events.setup.morphing
    content = {
        "process": events.process,
        "names": _names(result),
        "reference": events.reference,
        "source": events.source,
        "selection": events.measurement.selection,
        "note": events.measurement.note,
        "is_complete": events.measurement.is_complete,
        "n_basis": 0 if morphing is None else morphing.n_basis,
        "meaning": _meaning(result),
        "luminosity": f"{settings.luminosity / 1000:g} fb⁻¹",
        "level": f"{contour_level(1.0 - LEVELS[0], 2):.2f}",
        "n_events": f"{DataAnalyzer(events.parton_file).n_samples:,}",
        "cross_section": with_error(1000 * sigma, 1000 * error),
        "n_expected": with_error(settings.luminosity * sigma, settings.luminosity * error),
        "precisions": {
            name: f"{width:.3g}" for name, width in zip(_names(result), widths, strict=True)
        },
        "benchmarks": _benchmarks(result, detector),
        "informations": _informations(result),
        "ranking": _ranking_table(result),
        "ranking_bars": _ranking(result),
        "best": result.informations.ranking.best.label,
        "areas": _areas(result),
        "p_reference": _p_reference(result),
        "distributions": _distributions(result),
        "score_maps": _score_maps(result),
        "training": _training(result),
        "contours": _contours(result),
        "limits": _limits(result),
        "nuisance_limits": _nuisance_limits(result),
        "uncertainty": _uncertainty(result),
        "coverage": _coverage(result),
        "n_toys": settings.n_toys,
        "scores": _scores(result),
        "validations": result.validations,
        "curves": _curves(result),
        "command": _command(result),
    }
    return render_page(
        "madminer.demo",
        "report.html.jinja",
        result.checks,
        **content,
        seconds=time.perf_counter() - began,
    )


def _analyses(result: DemoResult) -> dict[str, str]:
    """What limits are set with, and what it is called."""
    labels = {"alices": "ALICES, detector level", **result.informations.labels}
    return {name: labels[name] for name in ANALYSES}


def _uncertainty(result: DemoResult) -> str:
    """The nuisance parameters in words."""
    shares = result.varied_events.norm_uncertainties
    return " and ".join(f"{100 * abs(share):.3g} % ({name})" for name, share in shares.items())


def _names(result: DemoResult) -> list[str]:
    return list(result.events.setup.parameters)


def _meaning(result: DemoResult) -> str:
    """What the parameters are in the card of the generator, a sentence each."""
    return " ".join(
        f"Entry {p.lha_id} of block {p.lha_block} of the parameter card is "
        f"{p.transform or 'theta'} for theta = {name}."
        for name, p in result.events.setup.parameters.items()
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


def _informations(result: DemoResult) -> Table:
    names = _names(result)
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
    return Table(("from", "I₁₁", "I₁₂", "I₂₂", *(f"σ({name})" for name in names)), rows)


def _ranking_table(result: DemoResult) -> Table:
    rows = [
        [
            entry.label,
            with_error(100.0 * entry.share, 100.0 * entry.share_error),
            *map(with_error, entry.standard_deviations),
        ]
        for entry in result.informations.ranking.entries[: N_RANKED + 1]  # the first is the truth
    ]
    heads = ("from", "share [%]", *(f"σ({name})" for name in _names(result)))
    return Table(heads, rows)


def _areas(result: DemoResult) -> Table:
    limits = result.limits
    rows = []
    for name, label in _analyses(result).items():
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


def _distributions(result: DemoResult) -> Picture:
    events = result.events
    reference = events.theta_reference
    points = [reference, *(reference + shift for shift in np.diag(0.5 * events.theta_scales))]
    figure = plot_distributions(
        events.detector_file,
        parameter_points=points,
        line_labels=[_point(result, theta) for theta in points],
        observable_labels=events.measurement.labels(),
        uncertainties="none",
        n_bins=30,
        n_cols=3,
        normalize=True,
    )
    return draw(
        with_heading(figure, _heading(result)), "Distributions of the observables", encoding="svg"
    )


def _score_maps(result: DemoResult) -> Picture:
    labels = result.events.measurement.labels()
    columns = list(result.events.measurement.detector)
    first, second = (columns.index(name) for name in result.events.measurement.plane)
    figure = plot_score_maps(
        result.detector_scores,
        (first, second),
        (labels[first], labels[second]),
        [plain(name) for name in _names(result)],
    )
    return draw(figure, "Average scores over two observables, estimated above and exact below")


def _training(result: DemoResult) -> Picture:
    histories = {
        "SALLY, parton level": result.sally_parton.history,
        "SALLY, detector level": result.sally_detector.history,
        "ALICES, detector level": result.alices.history,
    }
    return draw(plot_training(histories), "Losses over the epochs of each network", encoding="svg")


def _contours(result: DemoResult) -> Picture:
    informations, names = result.informations, _names(result)
    figure = plot_information(
        {plain(informations.labels[key]): getattr(informations, key) for key in LADDER},
        result.events.theta_reference,
        (plain(names[0]), plain(names[1])),
        result.limits.ranges,
        _heading(result),
    )
    return draw(figure, "Expected regions of 68 % confidence, nested", encoding="svg")


def _limits(result: DemoResult) -> Picture:
    limits, names = result.limits, [plain(name) for name in _names(result)]
    grids = {_analyses(result)[name]: limits.nominal[name] for name in ("alices", "truth")}
    figure = plot_pvalue_limits(
        {label: grid.p_values for label, grid in grids.items()},
        {label: grid.i_best for label, grid in grids.items()},
        None,
        grid_ranges=limits.ranges,
        grid_resolutions=limits.resolution,
        levels=list(LEVELS),
        single_plot=False,
        xlabel=names[0],
        ylabel=names[1],
    )
    plot_fisher_information_contours_2d(
        [result.informations.sally],
        reference_thetas=[result.events.theta_reference],
        contour_distance=math.sqrt(contour_level(1.0 - LEVELS[0], 2)),
        xlabel=names[0],
        ylabel=names[1],
        xrange=limits.ranges[0],
        yrange=limits.ranges[1],
        colors="0.4",
        linestyles=":",
        ax=figure.axes[0],
    )
    return draw(with_heading(figure, _heading(result)), "Expected p-values in the plane")


def _nuisance_limits(result: DemoResult) -> Picture:
    limits, names = result.limits, [plain(name) for name in _names(result)]
    pairs = {
        plain(label): (limits.nominal[name], limits.profiled[name])
        for name, label in _analyses(result).items()
        if name != "rate"  # which excludes hardly anything on this grid
    }
    figure = plot_nuisance_limits(
        pairs, limits.ranges, limits.resolution, (names[0], names[1]), LEVELS
    )
    return draw(figure, "Contours with the normalisation known and profiled", encoding="svg")


def _ranking(result: DemoResult) -> Picture:
    measurement = result.events.measurement
    labels = (label.partition(" [")[0] for label in measurement.labels())  # without units
    symbols = dict(zip(measurement.detector, labels, strict=True))
    return draw(
        plot_ranking(result.informations.ranking, N_RANKED, symbols),
        "Share of the information that each histogram keeps",
        encoding="svg",
    )


def _coverage(result: DemoResult) -> Picture:
    return draw(
        plot_coverage(result.coverage),
        "Distribution functions of the test statistic, of toys and of chi-squared",
        encoding="svg",
    )


def _curves(result: DemoResult) -> dict[str, Picture]:
    """Calibration curves, residuals and bounds of each network, where there are some."""
    return {
        name: draw(
            validation.figure(),
            f"Calibration curves, residuals and bounds of {name}",
            encoding="svg",
        )
        for name, validation in result.validations.items()
        if any(check.graph for check in validation)
    }


def _scores(result: DemoResult) -> Picture:
    comparisons = {"detector level": result.detector_scores}
    if result.events.measurement.is_complete:
        comparisons = {"complete observables": result.parton_scores, **comparisons}
    figure = plot_score_closure(comparisons, [plain(name) for name in _names(result)])
    return draw(figure, "Estimated against exact scores, event by event")


def _heading(result: DemoResult) -> str:
    return heading(result.events.process, result.settings.luminosity)


def _point(result: DemoResult, theta: FloatArray) -> str:
    changed = theta != result.events.theta_reference
    if not np.any(changed):
        return plain(result.events.reference)
    return ", ".join(
        f"{plain(name)} = {value:g}"
        for name, value, new in zip(_names(result), theta, changed, strict=True)
        if new
    )
