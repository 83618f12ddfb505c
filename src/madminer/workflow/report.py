"""The report of an analysis: one page from the files that its stages left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import yaml
from matplotlib.figure import Figure

from madminer.analysis import DataAnalyzer
from madminer.errors import DataError
from madminer.evidence import ValidationCheck
from madminer.fisherinformation import expected_limits
from madminer.limits.grid import interval_texts, is_full_grid, region_words
from madminer.plotting import plot_fisher_information_contours_2d, plot_pvalue_limits
from madminer.plotting.style import plain, plot_style
from madminer.report import Picture, Table, draw, render_page, write_page
from madminer.stats import contour_level, profiled, ranges_below
from madminer.text import one_line, with_error
from madminer.typing import FloatArray
from madminer.workflow.schema import Analysis
from madminer.workflow.tasks import Places, read_json

LEVELS = (0.68, 0.95)
"""Confidence levels of intervals and contours."""


def write_report(analysis: Analysis, places: Places, warnings: Mapping[str, Sequence[str]]) -> None:
    """Write ``report.html`` into the folder of the results, with what stages said, by label."""
    validations = {name: _checks(places.output("validate", name)) for name in analysis.estimators}
    validations = {name: checks for name, checks in validations.items() if checks}
    analyzer = DataAnalyzer(places.event_source())
    page = render_page(
        "madminer.workflow",
        "report.html.jinja",
        [check for checks in validations.values() for check in checks],
        title=analysis.report.title or analysis.name,
        text=analysis.report.text,
        events=_events(analyzer),
        trainings={name: _training(places, name) for name in analysis.estimators},
        validations=validations,
        information=_information(analysis, places, analyzer.setup.nuisance_labels),
        limits={name: _limits(analysis, places, name) for name in analysis.limits},
        settings=yaml.safe_dump(
            analysis.model_dump(mode="json", exclude_defaults=True), sort_keys=False
        ),
        warnings=_others(warnings),
        version=version("madminer"),
    )
    write_page(places.output("report"), page)


def _others(warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """Warnings of stages whose own sections do not show them."""
    return [
        f"{label}: {text}"
        for label, texts in warnings.items()
        for text in texts
        if label.partition(" ")[0] not in {"fisher", "limits", "validate"}
    ]


def _checks(path: Path) -> list[ValidationCheck]:
    """Checks without their figures, which the page of the validation shows."""
    if not path.exists():
        return []
    checks = []
    for entry in read_json(path)["checks"]:
        number = {key: np.nan if entry[key] is None else entry[key] for key in ("value", "error")}
        checks.append(ValidationCheck(**{**entry, **number, "values": (), "graph": None}))
    return checks


def _events(analyzer: DataAnalyzer) -> Table:
    """Cross section at each benchmark."""
    sigmas, errors = analyzer.xsecs(include_nuisance_benchmarks=False)
    rows = [
        (
            one_line(name),
            ", ".join(f"{value:.4g}" for value in benchmark.values.values()),
            with_error(1000.0 * float(sigma), 1000.0 * float(error)),
        )
        for (name, benchmark), sigma, error in zip(
            analyzer.setup.physical_benchmarks.items(), sigmas, errors, strict=True
        )
    ]
    columns = ("benchmark", ", ".join(analyzer.setup.parameters), "cross section [fb]")
    return Table(columns, rows)


def _training(places: Places, name: str) -> Picture | None:
    """Losses of each epoch."""
    if not places.output("train", name).exists():
        return None
    found = read_json(places.output("train", name))
    figure = loss_figure(found["losses"], found["validation_losses"])
    return draw(figure, f"Loss of {name} by epoch, training and validation.", encoding="svg")


def _information(
    analysis: Analysis, places: Places, short: Mapping[str, str]
) -> dict[str, Any] | None:
    """Information on each parameter, expected standard deviations, and ellipses of two."""
    if analysis.information is None:
        return None
    found = read_json(places.output("fisher"))
    names = [one_line(short.get(name, name)) for name in found["parameters"]]
    constraint = np.array(found["constraint"])
    n_theta = len(names) - len(short)
    matrices = {}
    rows = []
    for name, entry in found["informations"].items():
        matrix, covariance = np.array(entry["value"]), np.array(entry["covariance"])
        label = one_line(name) + ("" if len(matrix) == len(names) else ", ν fixed")
        errors = np.sqrt(np.maximum(np.einsum("ijij->ij", covariance), 0.0)).diagonal()
        cells = map(with_error, matrix.diagonal().tolist(), errors.tolist())
        rows.append(_row(label, cells, len(names)))
        matrices[label] = matrix
    constrained = {
        label: matrix + constraint if len(matrix) == len(names) else matrix
        for label, matrix in matrices.items()
    }
    widths = [_row(label, _widths(m), len(names)) for label, m in constrained.items()]
    return {
        "table": Table(("information on", *names), rows),
        "luminosity": f"{found['luminosity_inverse_pb'] / 1000.0:g}",
        "warnings": found["warnings"],
        "precisions": Table(("standard deviation of", *names), widths),
        "nuisances": names[n_theta:],
        "picture": _ellipses(constrained, names[:n_theta]),
    }


def _row(label: str, cells: Iterable[str], n: int) -> tuple[str, ...]:
    """A row of n cells; of parameters that an analysis does not know there are none."""
    known = list(cells)
    return (label, *known, *["–"] * (n - len(known)))


def _widths(matrix: FloatArray) -> list[str]:
    try:
        widths = expected_limits(matrix).profiled
    except DataError:  # a guaranteed information can be negative
        return ["–"] * len(matrix)
    return ["∞" if np.isinf(width) else f"{width:.3g}" for width in widths]


def _ellipses(matrices: Mapping[str, FloatArray], names: Sequence[str]) -> Picture | None:
    """Information on two theory parameters, nuisance parameters profiled where they are known."""
    if len(names) != 2:
        return None
    figure = ellipses_figure(matrices, names)
    alt = f"Expected 1 sigma contours in {names[0]} and {names[1]}."
    return None if figure is None else draw(figure, alt, encoding="svg")


def _limits(analysis: Analysis, places: Places, name: str) -> dict[str, Any]:
    found, options = read_json(places.output("limits", name)), analysis.limits[name].options
    grid, log_r = np.array(found["theta_grid"]), np.array(found["log_r"])
    parameters = [one_line(parameter) for parameter in found["parameters"]]
    dof = int(options.get("dof") or len(parameters))
    levels = LEVELS if is_full_grid(grid) else ()
    texts = [interval_texts(grid, log_r, level, dof) for level in levels]
    best = (f"{value:.4g}" for value in found["best_theta"])
    kind = region_words(len(parameters), dof)
    columns = ("parameter", "best fit", *(f"{100 * level:g} % CL {kind}" for level in levels))
    return {
        "table": Table(columns, list(zip(parameters, best, *texts, strict=True))),
        "parameters": parameters,
        "is_joint": len(parameters) > 1 and dof > 1,
        "critical": [f"{contour_level(level, dof):.2f}" for level in LEVELS],
        "mode": found["mode"],
        "data": _data(found, parameters),
        "profiled": [one_line(label) for label in found["profiled"]],
        "n_observed": f"{found['n_observed']:.4g}",
        "scale_factor": found["scale_factor"],
        "warnings": found["warnings"],
        "picture": _contours(options, found, name),
    }


def _data(found: Mapping[str, Any], parameters: Sequence[str]) -> str:
    """What was or would be observed, and with which luminosity."""
    truth, luminosity = found["theta_true"], found["luminosity_inverse_pb"]
    pairs = [] if truth is None else zip(parameters, truth, strict=True)
    values = ", ".join(f"{name} = {value:.4g}" for name, value in pairs)
    data = f"expected for {values}" if values else "observed"
    return data if luminosity is None else f"{data}, {luminosity / 1000.0:g} fb⁻¹"


def _contours(options: Mapping[str, Any], found: dict[str, Any], name: str) -> Picture | None:
    """p-values of one parameter, or contours of two."""
    names, ranges = found["parameters"], options.get("grid_ranges")
    if ranges is None or len(names) > 2:
        return None
    p_values = np.array(found["p_values"])
    if len(names) == 1:
        figure = curve_figure(np.array(found["theta_grid"])[:, 0], p_values, names[0], LEVELS)
    else:
        figure = map_figure(
            p_values, name, names, ranges, options.get("grid_resolutions", 25), LEVELS
        )
    return draw(figure, f"p-values of {name} in {' and '.join(names)}.", encoding="svg")


_SMALLEST = 1e-4  # p-value that is shown
_GREY, _ALPHA = "0.5", 0.13  # of what is excluded; each level adds a shade
_BLIND = 1e-8  # ratio of eigenvalues below which an ellipse is a pair of lines


@plot_style
def loss_figure(
    losses: Sequence[Sequence[float]], validation_losses: Sequence[Sequence[float | None]]
) -> Figure:
    """Losses by epoch, a curve for each network; None where there was no validation."""
    figure, axes = plt.subplots(figsize=(5.0, 3.2))
    kinds = (("training", "-", "C0", losses), ("validation", "--", "C1", validation_losses))
    for name, style, color, curves in kinds:
        for i, curve in enumerate(curves):
            values = np.array(curve, dtype=np.float64)  # None becomes NaN
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, style, color=color, label=None if i else name)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)
    return figure


def ellipses_figure(matrices: Mapping[str, FloatArray], names: Sequence[str]) -> Figure | None:
    """Contours of one standard deviation in two theory parameters, the others profiled.

    Args:
        matrices: Information of each analysis by its label, with that of the constraints, shape
            ``(2, 2)`` or, with nuisance parameters, ``(2 + v, 2 + v)``.
        names: Names of the two.

    Returns:
        The figure, without contours much larger than the smallest; None if none measures both.
    """
    found = {label: _on_theta(matrix) for label, matrix in matrices.items()}
    regular = {label: matrix for label, matrix in found.items() if matrix is not None}
    if not regular:
        return None
    widths = [float(expected_limits(matrix).profiled.max()) for matrix in regular.values()]
    reach = min(2.0 * max(widths), 6.0 * min(widths))  # the best ones stay visible
    corners = reach * np.array([[1.0, 1.0], [1.0, -1.0]])
    shown = {
        label: matrix
        for label, matrix in regular.items()
        if np.einsum("ci,ij,cj->c", corners, matrix, corners).max() > 1.0  # else it is outside
    }
    figure, axes = plt.subplots(figsize=(5.0, 4.5))
    plot_fisher_information_contours_2d(
        list(shown.values()),
        xlabel=plain(names[0]),
        ylabel=plain(names[1]),
        xrange=(-reach, reach),
        yrange=(-reach, reach),
        labels=[plain(label) for label in shown],
        ax=axes,
    )
    return figure


def _on_theta(matrix: FloatArray) -> FloatArray | None:
    """Information on the first two parameters; None where it has no ellipse."""
    try:
        found = profiled(matrix, range(2))
    except DataError:  # nothing is known of a nuisance parameter
        return None
    values = np.linalg.eigvalsh(found)  # guaranteed ones can be negative, all can be blind
    return found if values[0] > _BLIND * values[-1] else None


@plot_style
def curve_figure(
    theta: FloatArray, p_values: FloatArray, name: str, levels: Sequence[float]
) -> Figure:
    """p-values of increasing values of one parameter; shaded is what is excluded."""
    shown = np.maximum(p_values, _SMALLEST)
    figure, axes = plt.subplots(figsize=(5.0, 3.6))
    axes.semilogy(theta, shown)
    for level in levels:
        axes.axhline(1.0 - level, color=_GREY, linestyle=":")
        for low, high in ranges_below(theta, np.log(shown / (1.0 - level))):
            axes.axvspan(low, high, color=_GREY, alpha=_ALPHA, linewidth=0.0)
    axes.set(xlabel=plain(name), ylabel="p-value", xlim=(theta[0], theta[-1]))
    return figure


def map_figure(
    p_values: FloatArray,
    label: str,
    names: Sequence[str],
    ranges: Sequence[Sequence[float]],
    resolutions: int | Sequence[int],
    levels: Sequence[float],
) -> Figure:
    """Contours of p-values on the flattened grid of two parameters; shaded is what is excluded."""
    numbers = [resolutions] * 2 if isinstance(resolutions, int) else list(resolutions)
    ends = [(low, high) for low, high in ranges]
    figure = plot_pvalue_limits(
        [p_values],
        [int(np.argmax(p_values))],
        [plain(label)],
        ends,
        numbers,
        levels=[1.0 - level for level in levels],
        xlabel=plain(names[0]),
        ylabel=plain(names[1]),
    )
    x, y = (np.linspace(*pair, n) for pair, n in zip(ends, numbers, strict=True))
    log_p = np.log(np.maximum(p_values, _SMALLEST)).reshape(numbers).T
    for edge in np.log(1.0 - np.asarray(levels)):
        if log_p.min() < edge:
            figure.axes[0].contourf(x, y, log_p, [-np.inf, edge], colors=[_GREY], alpha=_ALPHA)
    return figure
