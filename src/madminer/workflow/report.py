"""The report of an analysis: one page from the files that its stages left behind."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import yaml
from matplotlib.figure import Figure

from madminer.analysis import DataAnalyzer
from madminer.fisherinformation import expected_limits
from madminer.plotting import plot_fisher_information_contours_2d, plot_pvalue_limits
from madminer.plotting.style import plot_style
from madminer.report import Picture, Table, draw, render_page, write_page
from madminer.text import one_line, with_error
from madminer.typing import FloatArray
from madminer.verdicts import ValidationCheck
from madminer.workflow.schema import Analysis

if TYPE_CHECKING:
    from madminer.workflow.tasks import Places

__all__ = ["write_report"]

LEVELS = (0.32, 0.05)
"""p-values of the contours."""


def write_report(analysis: Analysis, places: Places) -> None:
    """Write ``report.html`` into the folder of the results.

    Args:
        analysis: The analysis.
        places: Where its results lie.

    Raises:
        OutputError: If the page cannot be written.
    """
    validations = {name: _checks(places.validation(name)) for name in analysis.estimators}
    validations = {name: checks for name, checks in validations.items() if checks}
    page = render_page(
        "madminer.workflow",
        "report.html.jinja",
        [check for checks in validations.values() for check in checks],
        title=analysis.report.title or analysis.name,
        text=analysis.report.text,
        events=_events(places),
        trainings={name: _training(places, name) for name in analysis.estimators},
        validations=validations,
        information=_information(analysis, places),
        limits={name: _limits(analysis, places, name) for name in analysis.limits},
        settings=yaml.safe_dump(
            analysis.model_dump(mode="json", exclude_defaults=True), sort_keys=False
        ),
        version=version("madminer"),
    )
    write_page(places.folder / "report.html", page)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _checks(path: Path) -> list[ValidationCheck]:
    """Checks without their figures, which the page of the validation shows."""
    if not path.exists():
        return []
    checks = []
    for entry in _read(path)["checks"]:
        number = {key: np.nan if entry[key] is None else entry[key] for key in ("value", "error")}
        checks.append(ValidationCheck(**{**entry, **number, "values": (), "graph": None}))
    return checks


def _events(places: Places) -> Table:
    """Number of events and cross section at each benchmark."""
    files = [Path(path) for path in _read(places.events)]
    analyzer = DataAnalyzer(files[0] if len(files) == 1 else files)
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
    if not places.training(name).exists():
        return None
    figure = _loss_figure(_read(places.training(name)))
    return draw(figure, f"Loss of {name} by epoch, training and validation.", encoding="svg")


@plot_style
def _loss_figure(found: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(5.0, 3.2))
    for i, losses in enumerate(found["losses"]):
        epochs = np.arange(1, len(losses) + 1)
        axes.plot(epochs, losses, color="C0", label=None if i else "training")
    for i, losses in enumerate(found["validation_losses"]):
        values = [np.nan if loss is None else loss for loss in losses]
        axes.plot(
            np.arange(1, len(losses) + 1),
            values,
            "--",
            color="C1",
            label=None if i else "validation",
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return figure


def _information(analysis: Analysis, places: Places) -> dict[str, Any] | None:
    """Expected standard deviations of each parameter, and ellipses of two."""
    if analysis.information is None:
        return None
    found = _read(places.information)
    names = found["parameters"]
    matrices = {label: np.array(entry["value"]) for label, entry in found["informations"].items()}
    rows = []
    for label, entry in found["informations"].items():
        matrix, covariance = np.array(entry["value"]), np.array(entry["covariance"])
        errors = np.sqrt(np.maximum(np.einsum("ijij->ij", covariance), 0.0))
        cells = [
            with_error(float(matrix[i, i]), float(errors[i, i])) if i < len(matrix) else "–"
            for i in range(len(names))
        ]
        rows.append((one_line(label), *cells))
    return {
        "table": Table(("analysis", *(f"information on {name}" for name in names)), rows),
        "luminosity": f"{found['luminosity_inverse_pb'] / 1000.0:g}",
        "warnings": found["warnings"],
        "precisions": _precisions(matrices, np.array(found["constraint"]), names),
        "picture": _ellipses(matrices, names),
    }


def _precisions(matrices: dict[str, Any], constraint: FloatArray, names: list[str]) -> Table:
    rows = []
    for label, matrix in matrices.items():
        try:
            knows_nu = len(matrix) == len(constraint)
            widths = expected_limits(matrix + constraint if knows_nu else matrix).profiled
            cells = [f"{width:.3g}" for width in widths]
        except Exception:  # noqa: BLE001 (a direction without information has no width)
            cells = ["–"] * len(matrix)
        rows.append((one_line(label), *cells, *["–"] * (len(names) - len(cells))))
    return Table(("analysis", *(f"standard deviation of {name}" for name in names)), rows)


def _has_ellipse(matrix: FloatArray) -> bool:
    """Guaranteed information can be negative, and any can be blind in a direction."""
    values = np.linalg.eigvalsh(matrix)
    return bool(values[0] > 1e-8 * values[-1])


def _ellipses(matrices: dict[str, Any], names: list[str]) -> Picture | None:
    shown = {label: m for label, m in matrices.items() if m.shape == (2, 2)}
    regular = {label: m for label, m in shown.items() if _has_ellipse(m)}
    if not regular:
        return None
    widths = [float(expected_limits(m).profiled.max()) for m in regular.values()]
    reach = min(2.0 * max(widths), 6.0 * min(widths))  # the best ones stay visible
    figure, axes = plt.subplots(figsize=(5.0, 4.5))
    plot_fisher_information_contours_2d(
        list(regular.values()),
        xlabel=names[0],
        ylabel=names[1],
        xrange=(-reach, reach),
        yrange=(-reach, reach),
        labels=list(regular),
        ax=axes,
    )
    return draw(figure, f"Expected 1 sigma contours in {names[0]} and {names[1]}.", encoding="svg")


def _limits(analysis: Analysis, places: Places, name: str) -> dict[str, Any]:
    found = _read(places.limits(name))
    grid, p_values = np.array(found["theta_grid"]), np.array(found["p_values"])
    rows = []
    for i, parameter in enumerate(found["parameters"]):
        cells = [f"{found['best_theta'][i]:.4g}"]
        cells += [_range(grid[p_values >= level, i], grid[:, i]) for level in LEVELS]
        rows.append((parameter, *cells))
    columns = ("parameter", "best fit", *(f"{100 * (1 - level):g} % CL" for level in LEVELS))
    return {
        "table": Table(columns, rows),
        "mode": found["mode"],
        "n_observed": f"{found['n_observed']:.4g}",
        "scale_factor": found["scale_factor"],
        "warnings": found["warnings"],
        "picture": _contours(analysis, found, name),
    }


def _range(inside: FloatArray, grid: FloatArray) -> str:
    """Where values that are not excluded lie; an end of the grid is no limit."""
    if not len(inside):
        return "none"
    low, high = float(inside.min()), float(inside.max())
    left = "" if low > grid.min() else "≤ "
    right = "" if high < grid.max() else "≥ "
    return f"{left}{low:.4g} to {right}{high:.4g}"


def _contours(analysis: Analysis, found: dict[str, Any], name: str) -> Picture | None:
    options = analysis.limits[name].options
    ranges, names = options.get("grid_ranges"), found["parameters"]
    if ranges is None:
        return None
    p_values = np.array(found["p_values"])
    alt = f"p-values of {name} in {' and '.join(names)}."
    if len(names) == 1:
        figure, axes = plt.subplots(figsize=(5.0, 3.6))
        axes.semilogy(np.array(found["theta_grid"])[:, 0], np.maximum(p_values, 1e-4))
        for level in LEVELS:
            axes.axhline(level, color="0.5", linestyle=":")
        axes.set_xlabel(names[0])
        axes.set_ylabel("p-value")
        return draw(figure, alt, encoding="svg")
    if len(names) != 2:
        return None
    resolutions = options.get("grid_resolutions", 25)
    resolutions = [resolutions] * 2 if isinstance(resolutions, int) else list(resolutions)
    best = int(np.argmax(found["log_r"]))
    figure = plot_pvalue_limits(
        [p_values],
        [best],
        [name],
        [tuple(r) for r in ranges],
        resolutions,
        levels=list(LEVELS),
        xlabel=names[0],
        ylabel=names[1],
    )
    return draw(figure, alt, encoding="svg")
